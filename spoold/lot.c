/*
 * The process of a lot: its doors. proxyd's auth brings sessions through the session socket, the
 * parent brings workers over the channel, other processes say whose spool changed. It never reads
 * a byte of a session (it looks whether there is one) and opens no file.
 *
 * EOF on the channel: the next generation took over; no new sessions, the old ones stay until
 * drain_max, then BYE. SIGTERM: BYE now, and end.
 */
#include "lot.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "sandbox.h"

#define LOT_TICK_S	5	/* how often idle workers are looked over */

struct opener {
	struct event	 ev;
	struct lot	*lot;
	int		 fd;
};

static void
opener_close(struct opener *o)
{
	event_del(&o->ev);
	close(o->fd);
	o->lot->nopeners--;
	free(o);
}

static void
on_opener(evutil_socket_t fd, short what, void *arg)
{
	static char msg[IPC_MSG_MAX_BYTES];
	struct opener *o = arg;
	struct lot *l = o->lot;
	unsigned char answer = SESSOPEN_BAD;
	int fds[IPC_FDS_MAX];
	size_t nfds = 0;
	struct sessopen who;
	ssize_t n = (what & EV_READ) != 0 ? ipc_recv((int)fd, msg, sizeof(msg), fds, &nfds) : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		event_add(&o->ev, NULL);
		return;
	}
	if (n > 0) {
		struct slice record = {msg, (size_t)n};

		if (nfds == 1 && sessopen_unpack(record, &who))
			answer = !l->is_stopping && lot_session_open(l, record, &who, fds[0]) ? SESSOPEN_OK : SESSOPEN_BUSY;
		else
			LOG("warn.session.bad", log_u64("bytes", (uint64_t)n), log_u64("fds", nfds));
		if (answer == SESSOPEN_BAD || l->is_stopping)
			ipc_close_fds(fds, nfds);
		(void)!ipc_send((int)fd, (struct slice){(char *)&answer, 1}, NULL, 0);
	}
	opener_close(o);
	lot_worker_pump(l);
}

static void
on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct timeval deadline = {.tv_sec = LOT_OPENER_MS / 1000};
	struct lot *l = arg;
	struct opener *o;
	int fd;

	(void)what;
	if (l->nopeners >= l->nopeners_max)
		return;
	fd = accept4((int)listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (!ipc_peer_is(fd, l->site->session_uids, l->site->nsession_uids)) {
		LOG("warn.peer.refused", log_str("socket", "session"));
		close(fd);
		return;
	}
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*o)));
	o->lot = l;
	o->fd = fd;
	l->nopeners++;
	event_assign(&o->ev, l->base, fd, EV_READ, on_opener, o);
	event_add(&o->ev, &deadline);
}

static void
on_notify(evutil_socket_t fd, short what, void *arg)
{
	struct lot *l = arg;
	char name[USER_MAX_BYTES + 1];
	struct user *user;
	uint64_t origin;

	(void)fd;
	(void)what;
	while (notify_read(&l->site->notify, l->index, name, &origin))
		if ((user = users_find(&l->users, slice_of(name))) != NULL)
			lot_changed(l, user, origin);
	if (notify_missed(&l->site->notify, l->index))
		lot_changed(l, NULL, 0);
}

static void
on_drain_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	lot_changed(arg, NULL, 0);
}

void
lot_end_if_empty(struct lot *l)
{
	if ((l->is_draining || l->is_stopping) && l->nsessions == 0)
		event_base_loopbreak(l->base);
}

static void
on_too_late(evutil_socket_t fd, short what, void *arg)
{
	struct lot *l = arg;

	(void)fd;
	(void)what;
	LOG("warn.lot.stop", log_u64("sessions", l->nsessions), log_str("why", "did not end in time"));
	lot_session_log_all(l);
	event_base_loopbreak(l->base);
}

/* BYE to everybody, and the end. */
static void
lot_stop(struct lot *l)
{
	struct timeval late = {.tv_sec = LOT_STOP_MS / 1000};

	if (l->is_stopping)
		return;
	l->is_stopping = true;
	event_del(l->listen_ev);
	evtimer_add(l->stop_ev, &late);
	lot_session_drain_all(l);
	lot_end_if_empty(l);
}

static void
on_stop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	lot_stop(arg);
}

/* The parent is another generation's now. */
static void
lot_drain(struct lot *l)
{
	struct timeval wake = {.tv_sec = LOT_DRAIN_WAKE_MS / 1000};
	struct timeval end = {.tv_sec = (time_t)l->site->conf.drain_max_s};

	event_del(l->chan_ev);
	close(l->chan);
	l->chan = -1;
	l->is_draining = true;
	l->nwanted = 0;
	event_del(l->listen_ev);
	event_add(l->tick_ev, &wake);
	evtimer_add(l->drain_ev, &end);
	lot_worker_pump(l);
	lot_end_if_empty(l);
}

static void
on_chan(evutil_socket_t fd, short what, void *arg)
{
	struct lot *l = arg;
	unsigned char msg[16];
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = ipc_recv((int)fd, msg, sizeof(msg), fds, &nfds);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lot_drain(l);
		return;
	}
	if (msg[0] == LOT_WORKER && nfds <= 1) {
		lot_worker_add(l, nfds == 1 ? fds[0] : -1);
		return;
	}
	ipc_close_fds(fds, nfds);
	if (msg[0] == LOT_RENEW)
		lot_worker_renew(l);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct lot *l = arg;

	if (l->is_draining)
		on_drain_wake(fd, what, arg);
	else
		lot_worker_trim(l);
}

static void
on_more(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	lot_worker_more(arg);
}

static struct event *
lot_event(struct lot *l, int fd, short what, event_callback_fn fn)
{
	struct event *ev = event_new(l->base, fd, what, fn, l);

	if (ev == NULL)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "event_new"));
	return ev;
}

static void
lot_init(struct lot *l, const struct lot_arg *a, int chan)
{
	struct timeval tick = {.tv_sec = LOT_TICK_S};
	struct rlimit nofile;

	*l = (struct lot){.site = a->site, .index = a->index, .chan = chan};
	l->ready_end = &l->ready;
	users_init(&l->users);
	notify_watch_none(&a->site->notify, a->index);
	if (getrlimit(RLIMIT_NOFILE, &nofile) != 0)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "getrlimit"));
	/* An opener is a connection and perhaps a session's descriptor; then workers, listener and the like. */
	l->nopeners_max = nofile.rlim_cur / 16;
	l->nfds_max = nofile.rlim_cur - nofile.rlim_cur / 8;
	l->nfds_max -= l->nfds_max > a->site->conf.workers_max + 64 ? a->site->conf.workers_max + 64 : l->nfds_max;
	l->workers = calloc(a->site->conf.workers_max, sizeof(*l->workers));
	l->base = event_base_new();
	if (l->workers == NULL || l->base == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "lot"));
	for (size_t i = 0; i < a->site->conf.workers_max; i++)
		l->workers[i].fd = -1;
	l->listen_ev = lot_event(l, a->site->session_fd, EV_READ | EV_PERSIST, on_accept);
	l->chan_ev = lot_event(l, chan, EV_READ | EV_PERSIST, on_chan);
	l->notify_ev = lot_event(l, a->site->notify.recv_fds[a->index], EV_READ | EV_PERSIST, on_notify);
	l->term_ev = lot_event(l, SIGTERM, EV_SIGNAL | EV_PERSIST, on_stop);
	l->tick_ev = lot_event(l, -1, EV_PERSIST, on_tick);
	l->more_ev = lot_event(l, -1, 0, on_more);
	l->drain_ev = lot_event(l, -1, 0, on_stop);
	l->stop_ev = lot_event(l, -1, 0, on_too_late);
	event_add(l->listen_ev, NULL);
	event_add(l->chan_ev, NULL);
	event_add(l->notify_ev, NULL);
	event_add(l->term_ev, NULL);
	event_add(l->tick_ev, &tick);
}

void
lot_run(void *arg, int chan)
{
	static struct lot lot;
	const struct lot_arg *a = arg;

	signal(SIGPIPE, SIG_IGN);
	sandbox_limits(0, 0, true);
	sandbox_paths(NULL, 0);
	if (fd_nonblock(chan) != 0)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "channel"));
	lot_init(&lot, a, chan);
	privileges_drop(&a->site->conf.lot_user, NULL, 0);
	sandbox_seccomp(SANDBOX_NET);
	lot_worker_fill(&lot);
	event_base_dispatch(lot.base);
	_exit(0);
}
