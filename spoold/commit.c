/*
 * The committer's process: its doors. Workers connect and send requests and lmtpd's connections;
 * lmtpd is answered directly. Only this process syncs; the descriptors it syncs with were opened by
 * the parent before anything was written, because Linux reports a failed writeback once per open file.
 *
 * EOF on the channel: another generation's committer took over; ends when its workers left.
 * SIGTERM: the same, then the last sync, and a flag for the parent: an orderly stop.
 */
#include "commit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "sandbox.h"

#define MESSAGES_AT_ONCE	64	/* of one worker, before the others have a turn */

enum { PRIORITY_DOORS, PRIORITY_BATCH };	/* a batch begins when nothing more can be read at once */

/* ---- answers ---- */

static struct commit_conn *
conn_find(const struct commit_client *cl, uint32_t id)
{
	for (struct commit_conn *cn = cl->conns; cn != NULL; cn = cn->next)
		if (cn->id == id)
			return cn;
	return NULL;
}

static void
answer_rcpts(const struct commit_request *r)
{
	const struct commit_answer *a = &r->head.answer;
	struct commit_conn *cn = conn_find(r->client, a->conn);
	struct reply reply = {.result = DONE, .code = 250};
	struct buf b = buf_make(1024);

	strcpy(reply.text, commit_text(COMMIT_OK));
	for (size_t i = 0; i < a->nrcpts && cn != NULL; i++) {
		buf_clear(&b);
		delivery_pack_done(&b, a->req, a->rcpts[i].index, &reply);
		if (pack_ok(&b))
			outq_add(&cn->out, buf_slice(&b));
	}
	buf_free(&b);
}

/* The worker voids what failed, and then answers; one that is gone took its answers with it. */
static void
log_orphan(const struct commit_request *r)
{
	const struct commit_answer *a = &r->head.answer;

	for (size_t i = 0; i < a->nrcpts; i++)
		LOG("deliver.temp", log_slice("sid", a->sid), log_slice("qid", a->qid), log_slice("user", a->rcpts[i].user),
		    log_u64("code", 451), log_str("why", "not durable, and its worker died"),
		    log_i64("ms", mono_ms() - a->start_ms));
}

void
commit_answer(const struct commit_request *r)
{
	struct buf b = buf_make(1 + 8 + 1);

	if (r->outcome == COMMIT_OK && r->head.answer.conn != 0)
		answer_rcpts(r);
	if (r->client->fd >= 0) {
		pack_u8(&b, COMMIT_RESULT);
		pack_u64(&b, r->head.req);
		pack_u8(&b, (uint8_t)r->outcome);
		outq_add(&r->client->out, buf_slice(&b));
	}
	buf_free(&b);
}

void
commit_tell(const struct commit *c, const struct commit_request *r)
{
	const struct commit_answer *a = &r->head.answer;

	if (r->outcome != COMMIT_OK && r->client->fd < 0)
		log_orphan(r);
	if (r->outcome != COMMIT_OK || a->conn == 0)
		return;
	for (size_t i = 0; i < a->nrcpts; i++)
		notify_user(&c->site->notify, a->rcpts[i].user, 0);
	for (size_t i = 0; i < a->nrcpts; i++)
		LOG("deliver.done", log_slice("sid", a->sid), log_slice("qid", a->qid), log_slice("user", a->rcpts[i].user),
		    log_u64("uid", a->rcpts[i].uid), log_u64("bytes", a->bytes), log_i64("ms", mono_ms() - a->start_ms));
}

void
commit_answers_send(struct commit *c)
{
	for (struct commit_client *cl = c->clients; cl != NULL; cl = cl->next) {
		for (struct commit_conn *cn = cl->conns; cn != NULL; cn = cn->next)
			outq_push(&cn->out);
		if (cl->fd >= 0)
			outq_push(&cl->out);
	}
}

/* ---- workers ---- */

static void
conn_drop(struct commit_client *cl, uint32_t id)
{
	for (struct commit_conn **at = &cl->conns; *at != NULL; at = &(*at)->next) {
		struct commit_conn *cn = *at;

		if (cn->id != id)
			continue;
		*at = cn->next;
		outq_push(&cn->out);
		outq_free(&cn->out);
		close(cn->fd);
		free(cn);
		return;
	}
}

static void
client_free(struct commit *c, struct commit_client *cl)
{
	struct commit_client **at = &c->clients;

	while (*at != cl)
		at = &(*at)->next;
	*at = cl->next;
	while (cl->conns != NULL)
		conn_drop(cl, cl->conns->id);
	free(cl);
	commit_end_if_idle(c);
}

void
commit_request_free(struct commit *c, struct commit_request *r)
{
	struct commit_client *cl = r->client;

	c->held_bytes -= r->raw.n;
	c->held_fds -= r->nfds;
	ipc_close_fds(r->fds, r->nfds);
	buf_free(&r->raw);
	free(r);
	if (--cl->nrequests == 0 && cl->fd < 0)
		client_free(c, cl);
}

/* Its connection ended. What it asked for is still done and answered. */
static void
client_gone(struct commit *c, struct commit_client *cl)
{
	struct commit_request *partial = cl->partial;

	event_free(cl->ev);
	outq_free(&cl->out);
	close(cl->fd);
	cl->fd = -1;
	cl->partial = NULL;
	if (partial != NULL)
		commit_request_free(c, partial);
	else if (cl->nrequests == 0)
		client_free(c, cl);
}

/* All records and descriptors fit together: from here on nothing of it can surprise. */
static bool
request_check(struct commit *c, struct commit_request *r)
{
	struct unpack u = unpack_make(r->raw.p, r->raw.n);
	size_t nfds;

	if (!commit_unpack_head(&u, &r->head) || r->head.partition >= c->site->npartitions)
		return false;
	nfds = r->head.nlogs;
	r->records = u;
	for (uint32_t i = 0; i < r->head.nrecords; i++) {
		struct commit_body body;
		struct record rec;

		if (!commit_unpack_record(&u, &rec, &body) || (rec.type != RECORD_MESSAGE && r->head.user.n == 0))
			return false;
		nfds += body.is_fd;
	}
	return unpack_end(&u) && nfds == r->nfds && (r->head.answer.conn == 0 || r->head.wait);
}

static bool
client_request(struct commit *c, struct commit_client *cl)
{
	struct commit_request *r = cl->partial;

	if (!request_check(c, r))
		return false;
	cl->partial = NULL;
	if (r->head.epoch != c->site->epoch)
		r->outcome = COMMIT_MOVED;
	*c->collected_end = r;
	c->collected_end = &r->next;
	event_active(c->batch_ev, 0, 0);
	return true;
}

/* False: nonsense. Descriptors are owned from here. */
static bool
client_piece(struct commit *c, struct commit_client *cl, struct slice piece, bool is_last, int *fds, size_t nfds)
{
	struct commit_request *r = cl->partial;

	if (r == NULL) {
		r = calloc(1, sizeof(*r));
		if (r == NULL)
			DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*r)));
		r->client = cl;
		r->raw = buf_make(COMMIT_REQUEST_MAX_BYTES);
		cl->partial = r;
		cl->nrequests++;
	}
	if (r->nfds + nfds > COMMIT_FDS_MAX || buf_add_slice(&r->raw, piece) != 0) {
		ipc_close_fds(fds, nfds);
		return false;
	}
	for (size_t i = 0; i < nfds; i++)
		r->fds[r->nfds++] = fds[i];
	c->held_bytes += piece.n;
	c->held_fds += nfds;
	return !is_last || client_request(c, cl);
}

static bool
client_conn(struct commit *c, struct commit_client *cl, struct unpack *u, int *fds, size_t nfds)
{
	uint32_t id = unpack_u32(u);
	struct commit_conn *cn;

	if (!unpack_end(u) || nfds != 1 || id == 0 || conn_find(cl, id) != NULL) {
		ipc_close_fds(fds, nfds);
		return false;
	}
	cn = calloc(1, sizeof(*cn));
	if (cn == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*cn)));
	cn->id = id;
	cn->fd = fds[0];
	outq_init(&cn->out, c->base, cn->fd);
	cn->next = cl->conns;
	cl->conns = cn;
	return true;
}

static bool
client_message(struct commit *c, struct commit_client *cl, struct slice msg, int *fds, size_t nfds)
{
	struct unpack u = unpack_make(msg.p, msg.n);
	uint32_t id;

	switch (unpack_u8(&u)) {
	case COMMIT_PIECE:
		if (msg.n >= 2 && (unsigned char)msg.p[1] <= 1)
			return client_piece(c, cl, (struct slice){msg.p + 2, msg.n - 2}, msg.p[1] == 1, fds, nfds);
		break;
	case COMMIT_CONN:
		return client_conn(c, cl, &u, fds, nfds);
	case COMMIT_GONE:
		id = unpack_u32(&u);
		if (!unpack_end(&u) || nfds != 0)
			break;
		conn_drop(cl, id);
		return true;
	}
	ipc_close_fds(fds, nfds);
	return false;
}

static void
on_client(evutil_socket_t fd, short what, void *arg)
{
	static char msg[IPC_MSG_MAX_BYTES];
	struct commit_client *cl = arg;
	struct commit *c = cl->commit;
	int fds[IPC_FDS_MAX];
	size_t nfds;

	(void)what;
	for (int i = 0; i < MESSAGES_AT_ONCE && !c->is_full; i++) {
		ssize_t n = ipc_recv((int)fd, msg, sizeof(msg), fds, &nfds);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n > 0 && client_message(c, cl, (struct slice){msg, (size_t)n}, fds, nfds)) {
			commit_flow(c);
			continue;
		}
		/* A worker that ended with something of ours unread resets the connection: an end like any other. */
		if (n > 0 || (n < 0 && errno != ECONNRESET))
			LOG("warn.commit.bad", log_i64("bytes", n));
		client_gone(c, cl);
		break;
	}
}

void
commit_flow(struct commit *c)
{
	bool is_full = c->held_bytes > COMMIT_HELD_MAX_BYTES || c->held_fds > c->held_fds_max;

	if (is_full == c->is_full)
		return;
	c->is_full = is_full;
	for (struct commit_client *cl = c->clients; cl != NULL; cl = cl->next) {
		if (cl->fd >= 0 && is_full)
			event_del(cl->ev);
		else if (cl->fd >= 0)
			event_add(cl->ev, NULL);
	}
}

static void
on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct commit *c = arg;
	struct commit_client *cl;
	uid_t uid = c->site->conf.worker_user.uid;
	int fd = accept4((int)listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	if (!ipc_peer_is(fd, &uid, c->site->conf.worker_user.is_set ? 1 : 0)) {
		LOG("warn.peer.refused", log_str("socket", "commit"));
		close(fd);
		return;
	}
	cl = calloc(1, sizeof(*cl));
	if (cl == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*cl)));
	cl->commit = c;
	cl->fd = fd;
	cl->ev = event_new(c->base, fd, EV_READ | EV_PERSIST, on_client, cl);
	if (cl->ev == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	event_priority_set(cl->ev, PRIORITY_DOORS);
	outq_init(&cl->out, c->base, fd);
	cl->next = c->clients;
	c->clients = cl;
	if (!c->is_full)
		event_add(cl->ev, NULL);
}

/* ---- the round ---- */

static bool
is_settled(const struct commit *c)
{
	for (size_t i = 0; i < c->site->npartitions; i++)
		if (!c->parts[i].is_settled)
			return false;
	return true;
}

static void
on_batch(evutil_socket_t fd, short what, void *arg)
{
	struct commit *c = arg;

	(void)fd;
	(void)what;
	/* After a start the first requests wait for the first descriptors rather than being deferred. */
	c->is_ready = c->is_ready || is_settled(c);
	if (c->is_ready)
		commit_batch(c);
}

static void
on_start(evutil_socket_t fd, short what, void *arg)
{
	((struct commit *)arg)->is_ready = true;
	on_batch(fd, what, arg);
}

static void
on_sync_due(evutil_socket_t fd, short what, void *arg)
{
	((struct commit *)arg)->is_due = true;
	on_batch(fd, what, arg);
}

static void
on_synced(evutil_socket_t fd, short what, void *arg)
{
	struct commit *c = arg;

	(void)what;
	commit_thread_ack((int)fd);
	commit_batch_done(c);
	if (c->is_over)
		event_base_loopbreak(c->base);
	commit_end_if_idle(c);
	event_active(c->batch_ev, 0, 0);
}

void
commit_fail(struct commit *c, uint32_t partitions, int error)
{
	unsigned char verb = COMMIT_CHAN_FAILED;

	for (size_t i = 0; i < c->site->npartitions; i++) {
		if ((partitions >> i & 1) == 0 || c->parts[i].is_failed)
			continue;
		c->parts[i].is_failed = true;
		errno = error;
		LOG("warn.sync.failed", log_str("partition", c->parts[i].name), log_i64("errno", error),
		    log_str("why", strerrordesc_np(error)));
	}
	if (!c->is_failed && c->chan >= 0)
		(void)!ipc_send(c->chan, (struct slice){(char *)&verb, 1}, NULL, 0);
	c->is_failed = true;
}

/* ---- the end ---- */

void
commit_end_if_idle(struct commit *c)
{
	if ((!c->is_stopping && !c->is_draining) || c->clients != NULL || c->is_syncing)
		return;
	if (c->is_last || c->is_failed) {
		if (c->is_stopping && !c->is_failed)
			atomic_store(&c->site->notify.shared->is_synced, 1);
		event_base_loopbreak(c->base);
		return;
	}
	/* Once more, all of it. */
	c->is_last = true;
	c->is_due = true;
	for (size_t i = 0; i < c->site->npartitions; i++)
		c->dirty |= c->parts[i].is_failed ? 0 : (uint32_t)1 << i;
	commit_batch(c);
}

static void
on_term(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = {.tv_sec = COMMIT_STOP_MS / 1000};
	struct commit *c = arg;

	(void)fd;
	(void)what;
	if (!c->is_stopping)
		evtimer_add(c->stop_ev, &tv);
	c->is_stopping = true;
	commit_end_if_idle(c);
}

static void
on_too_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	LOG("warn.commit.stop", log_str("why", "workers did not go in time"));
	event_base_loopbreak(((struct commit *)arg)->base);
}

static void
commit_drain(struct commit *c)
{
	unsigned char verb = COMMIT_DRAIN;

	event_del(c->chan_ev);
	close(c->chan);
	c->chan = -1;
	event_del(c->listen_ev);
	c->is_draining = true;
	for (struct commit_client *cl = c->clients; cl != NULL; cl = cl->next)
		if (cl->fd >= 0)
			outq_send(&cl->out, (struct slice){(char *)&verb, 1});
	commit_end_if_idle(c);
}

static void
on_chan(evutil_socket_t fd, short what, void *arg)
{
	struct commit *c = arg;
	unsigned char msg[16];
	ssize_t n = recv((int)fd, msg, sizeof(msg), MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		commit_drain(c);
	else if (msg[0] == COMMIT_CHAN_FAILED && !c->is_syncing)
		event_base_loopbreak(c->base);
	else if (msg[0] == COMMIT_CHAN_FAILED)
		c->is_over = true;	/* not when the last worker has gone: until then nothing would be accepted */
}

static struct event *
commit_event(struct commit *c, int fd, short what, event_callback_fn fn, int priority)
{
	struct event *ev = event_new(c->base, fd, what, fn, c);

	if (ev == NULL || event_priority_set(ev, priority) != 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	return ev;
}

static void
commit_init(struct commit *c, const struct site *site, int chan)
{
	struct timeval start = {.tv_sec = COMMIT_START_MS / 1000};
	struct rlimit nofile;

	*c = (struct commit){.site = site, .calls = site->calls, .chan = chan, .collected_end = &c->collected,
	    .written_end = &c->written};
	for (size_t i = 0; i < site->npartitions; i++)
		c->parts[i].is_failed = site->is_down[i];
	if (c->calls.syncfs == NULL)
		c->calls.syncfs = syncfs;
	if (c->calls.fdatasync == NULL)
		c->calls.fdatasync = fdatasync;
	c->base = event_base_new();
	if (c->base == NULL || event_base_priority_init(c->base, 2) != 0 || getrlimit(RLIMIT_NOFILE, &nofile) != 0)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "event base"));
	/* One request can bring COMMIT_FDS_MAX more after this is reached; lmtpd's connections need some. */
	c->held_fds_max = nofile.rlim_cur / 2;
	c->listen_ev = commit_event(c, c->site->commit_fd, EV_READ | EV_PERSIST, on_accept, PRIORITY_DOORS);
	c->chan_ev = commit_event(c, chan, EV_READ | EV_PERSIST, on_chan, PRIORITY_DOORS);
	c->term_ev = commit_event(c, SIGTERM, EV_SIGNAL | EV_PERSIST, on_term, PRIORITY_DOORS);
	c->batch_ev = commit_event(c, -1, 0, on_batch, PRIORITY_BATCH);
	c->sync_ev = commit_event(c, -1, 0, on_sync_due, PRIORITY_BATCH);
	c->start_ev = commit_event(c, -1, 0, on_start, PRIORITY_BATCH);
	c->stop_ev = commit_event(c, -1, 0, on_too_late, PRIORITY_DOORS);
	event_add(c->listen_ev, NULL);
	event_add(c->chan_ev, NULL);
	event_add(c->term_ev, NULL);
	evtimer_add(c->start_ev, &start);
}

void
commit_run(void *arg, int chan)
{
	static struct commit commit;
	struct commit *c = &commit;

	signal(SIGPIPE, SIG_IGN);
	sandbox_limits(0, 0, false);
	if (fd_nonblock(chan) != 0)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "channel"));
	commit_init(c, arg, chan);
	sandbox_paths(NULL, 0);
	privileges_drop(&c->site->conf.commit_user, NULL, 0);
	sandbox_seccomp(SANDBOX_COMMIT);
	c->synced_ev = commit_event(c, commit_thread_start(&c->calls), EV_READ | EV_PERSIST, on_synced, PRIORITY_DOORS);
	event_add(c->synced_ev, NULL);
	commit_day_start(c);
	event_base_dispatch(c->base);
	_exit(c->is_failed ? EXIT_TEMP : 0);
}
