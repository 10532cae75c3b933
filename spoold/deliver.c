/*
 * The process of a delivery worker: accepts lmtpd's connections, reads its requests one by one. It
 * waits for no sync: many messages are in the committer's hands at once. It never parses a message.
 *
 * EOF on the channel or SIGTERM: takes no new connection, ends the old ones after the last answer.
 */
#include "deliver.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "worker.h"

#define LOGS_KEPT		1024	/* a day's busy users; each log has LOG_FDS descriptors */
#define LOG_FDS			3
#define MESSAGES_AT_ONCE	16	/* of one connection, before the others have a turn */

void
deliver_answer(struct deliver_conn *cn, uint32_t req, uint32_t index, const struct reply *r)
{
	struct buf b = buf_make(REPLY_TEXT_MAX_BYTES + 64);

	delivery_pack_done(&b, req, index, r);
	if (pack_ok(&b))
		outq_send(&cn->out, buf_slice(&b));
	buf_free(&b);
}

static void
conn_free(struct deliver_conn *cn)
{
	struct deliver *d = cn->deliver;
	struct deliver_conn **at = &d->conns;

	while (*at != cn)
		at = &(*at)->next;
	*at = cn->next;
	outq_free(&cn->out);
	close(cn->fd);
	deliver_link_gone(d, cn->id);
	free(cn);
	deliver_end_if_idle(d);
}

void
deliver_conn_settle(struct deliver_conn *cn)
{
	if (--cn->npending == 0 && cn->ev == NULL)
		conn_free(cn);
}

void
deliver_conn_cut(struct deliver_conn *cn)
{
	shutdown(cn->fd, SHUT_RDWR);
	if (cn->ev != NULL)
		event_free(cn->ev);
	cn->ev = NULL;
}

/* False: nonsense. */
static bool
conn_message(struct deliver_conn *cn, struct slice msg, const int *fds, size_t nfds)
{
	static struct delivery delivery;
	struct unpack u = unpack_make(msg.p, msg.n);
	struct slice user;
	uint32_t req;
	bool place;

	switch (unpack_u8(&u)) {
	case DELIVERY_CHECK:
		if (nfds != 0 || !delivery_unpack_check(&u, &req, &place, &user))
			return false;
		deliver_check(cn, req, place, user);
		return true;
	case DELIVERY_SUBMIT:
		if (nfds > 1 || !delivery_unpack_submit(&u, &delivery) || (nfds == 1 && delivery.message.n > 0))
			return false;
		deliver_submit(cn, &delivery, nfds == 1 ? fds[0] : -1);
		return true;
	}
	return false;
}

static void
on_conn(evutil_socket_t fd, short what, void *arg)
{
	static char msg[IPC_MSG_MAX_BYTES];
	struct deliver_conn *cn = arg;
	int fds[IPC_FDS_MAX];
	size_t nfds;

	(void)what;
	/* Held over its own messages: a dead committer may end it meanwhile. */
	cn->npending++;
	for (int i = 0; i < MESSAGES_AT_ONCE && cn->ev != NULL; i++) {
		ssize_t n = ipc_recv((int)fd, msg, sizeof(msg), fds, &nfds);
		bool is_good;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		is_good = n > 0 && conn_message(cn, (struct slice){msg, (size_t)n}, fds, nfds);
		if (n > 0)
			ipc_close_fds(fds, nfds);
		if (is_good)
			continue;
		if (n != 0) {
			LOG("warn.deliver.bad", log_i64("bytes", n));
			deliver_conn_cut(cn);
		} else {
			event_free(cn->ev);
			cn->ev = NULL;
		}
	}
	deliver_conn_settle(cn);
}

static void
accept_one(struct deliver *d)
{
	struct deliver_conn *cn;
	int fd = accept4(d->site->deliver_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (!ipc_peer_is(fd, d->site->deliver_uids, d->site->ndeliver_uids)) {
		LOG("warn.peer.refused", log_str("socket", "deliver"));
		close(fd);
		return;
	}
	cn = calloc(1, sizeof(*cn));
	if (cn == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*cn)));
	cn->deliver = d;
	cn->fd = fd;
	cn->id = ++d->next_conn;
	outq_init(&cn->out, d->base, fd);
	cn->ev = event_new(d->base, fd, EV_READ | EV_PERSIST, on_conn, cn);
	if (cn->ev == NULL || event_add(cn->ev, NULL) != 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	cn->next = d->conns;
	d->conns = cn;
}

/*
 * lmtpd's connections are few and long: taken by whoever wakes first they would all end at one worker. The
 * more a worker has, the longer it leaves a new one to the others.
 */
static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct deliver *d = arg;
	struct timeval turn = {0};

	(void)fd;
	(void)what;
	for (const struct deliver_conn *cn = d->conns; cn != NULL; cn = cn->next)
		turn.tv_usec += DELIVER_STEP_MS * 1000;
	if (turn.tv_usec == 0) {
		accept_one(d);
		return;
	}
	turn = (struct timeval){.tv_sec = turn.tv_usec / 1000000, .tv_usec = turn.tv_usec % 1000000};
	event_del(d->listen_ev);
	evtimer_add(d->turn_ev, &turn);
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct deliver *d = arg;

	(void)fd;
	(void)what;
	if (d->is_stopping)
		return;
	accept_one(d);
	event_add(d->listen_ev, NULL);
}

void
deliver_end_if_idle(struct deliver *d)
{
	if (d->is_stopping && d->conns == NULL)
		event_base_loopbreak(d->base);
}

static void
on_too_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	LOG("warn.deliver.stop", log_str("why", "answers did not come in time"));
	event_base_loopbreak(((struct deliver *)arg)->base);
}

/* What lmtpd sent before it noticed is still read and answered; what it sends later fails at its side. */
static void
on_stop(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = {.tv_sec = DELIVER_STOP_MS / 1000};
	struct deliver *d = arg;

	(void)fd;
	(void)what;
	if (d->is_stopping)
		return;
	d->is_stopping = true;
	event_del(d->listen_ev);
	event_del(d->chan_ev);
	evtimer_add(d->stop_ev, &tv);
	for (struct deliver_conn *cn = d->conns; cn != NULL; cn = cn->next)
		shutdown(cn->fd, SHUT_RD);
	deliver_end_if_idle(d);
}

static struct event *
deliver_event(struct deliver *d, int fd, short what, event_callback_fn fn)
{
	struct event *ev = event_new(d->base, fd, what, fn, d);

	if (ev == NULL || (what != 0 && event_add(ev, NULL) != 0))
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	return ev;
}

/* Where the system gives fewer descriptors half of them are left for connections and messages in flight. */
static void
keep_logs(void)
{
	struct rlimit nofile;

	if (getrlimit(RLIMIT_NOFILE, &nofile) != 0)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "getrlimit"));
	if (nofile.rlim_cur < 2 * LOGS_KEPT * LOG_FDS && nofile.rlim_cur < nofile.rlim_max) {
		nofile.rlim_cur = nofile.rlim_max < 2 * LOGS_KEPT * LOG_FDS ? nofile.rlim_max : 2 * LOGS_KEPT * LOG_FDS;
		(void)setrlimit(RLIMIT_NOFILE, &nofile);
	}
	store_keep_logs(nofile.rlim_cur >= 2 * LOGS_KEPT * LOG_FDS ? LOGS_KEPT : (size_t)nofile.rlim_cur / (2 * LOG_FDS));
}

void
deliver_run(void *arg, int chan)
{
	static struct deliver deliver;
	struct deliver *d = &deliver;

	d->site = arg;
	keep_logs();
	worker_confine(d->site, false);
	worker_host(d->site, true, &d->place_commit, &d->host);
	d->base = event_base_new();
	if (d->base == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event base"));
	d->listen_ev = deliver_event(d, d->site->deliver_fd, EV_READ | EV_PERSIST, on_accept);
	d->chan_ev = deliver_event(d, chan, EV_READ | EV_PERSIST, on_stop);
	d->term_ev = deliver_event(d, SIGTERM, EV_SIGNAL | EV_PERSIST, on_stop);
	d->stop_ev = deliver_event(d, -1, 0, on_too_late);
	d->turn_ev = deliver_event(d, -1, 0, on_turn);
	event_base_dispatch(d->base);
	_exit(0);
}
