/*
 * A lot's workers: which is idle, which had a user last, who waits. A worker may be captured, so
 * what comes back is checked against what was given; one that lies is cut off and its session lost.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "lot.h"

static void
worker_want(struct lot *l)
{
	unsigned char verb = LOT_WANT_WORKER;

	if (l->chan >= 0 && ipc_send(l->chan, (struct slice){(char *)&verb, 1}, NULL, 0) == 0)
		l->nwanted++;
}

void
lot_worker_fill(struct lot *l)
{
	while (l->chan >= 0 && l->nworkers + l->nwanted < l->site->conf.workers_min) {
		size_t before = l->nwanted;

		worker_want(l);
		if (l->nwanted == before)
			return;
	}
}

/* Closing the socketpair ends the worker: it exits when it reads the end. Its session, if it has one, is the caller's. */
static void
worker_drop(struct lot *l, struct lot_worker *w)
{
	if (w->session == NULL)
		l->nidle--;
	event_del(&w->ev);
	close(w->fd);
	*w = (struct lot_worker){.fd = -1};
	l->nworkers--;
}

/* LMDB falls over a damaged page: what killed one worker would kill the next one. */
static void
suspect_add(struct lot *l, const struct user *u)
{
	memcpy(l->suspects[l->next_suspect], u->name, u->n + 1u);
	l->next_suspect = (l->next_suspect + 1) % LOT_SUSPECTS;
}

static char *
suspect_find(struct lot *l, const struct user *u)
{
	for (size_t i = 0; i < LOT_SUSPECTS; i++)
		if (strcmp(l->suspects[i], u->name) == 0)
			return l->suspects[i];
	return NULL;
}

static void
worker_lost(struct lot *l, struct lot_worker *w, const char *why)
{
	struct lot_session *s = w->session;

	worker_drop(l, w);
	if (s != NULL) {
		suspect_add(l, s->user);
		lot_session_lost(l, s, why);
	}
	lot_worker_fill(l);
}

/* The worker is free: it ends where the epoch it knows is past. */
static void
worker_free(struct lot *l, struct lot_worker *w)
{
	w->session = NULL;
	w->is_hurried = false;
	w->idle_ms = mono_ms();
	l->nidle++;
	if (w->is_retired) {
		worker_drop(l, w);
		lot_worker_fill(l);
	}
}

/* False: the worker lied or is confused. Descriptors are owned from here. */
static bool
worker_result(struct lot *l, struct lot_worker *w, struct slice msg, int *fds, size_t nfds)
{
	struct unpack u = unpack_make(msg.p, msg.n);
	struct lot_session *s = w->session;
	struct work_result r;

	if (unpack_u8(&u) != WORK_RESULT || !work_unpack_result(&u, &r) || s == NULL || r.id != s->id ||
	    nfds != (r.has_lock ? 1u : 0u) || (r.has_lock && s->proto != SESS_POP3)) {
		ipc_close_fds(fds, nfds);
		return false;
	}
	worker_free(l, w);
	if (r.is_parked)
		lot_session_park(l, s, &r, r.has_lock ? fds[0] : -1);
	else
		lot_session_over(l, s, &r);
	return true;
}

static void
on_worker(evutil_socket_t fd, short what, void *arg)
{
	static char msg[IPC_MSG_MAX_BYTES];
	struct lot_worker *w = arg;
	struct lot *l = w->lot;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = ipc_recv((int)fd, msg, sizeof(msg), fds, &nfds);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		worker_lost(l, w, "worker died");
	else if (!worker_result(l, w, (struct slice){msg, (size_t)n}, fds, nfds))
		worker_lost(l, w, "bad answer of the worker");
	lot_worker_pump(l);
	lot_end_if_empty(l);
}

void
lot_worker_add(struct lot *l, int fd)
{
	struct lot_worker *w = l->workers;

	if (l->nwanted > 0)
		l->nwanted--;
	if (fd < 0)
		return;
	if (l->nworkers >= l->site->conf.workers_max || fd_nonblock(fd) != 0) {
		close(fd);
		return;
	}
	while (w->fd >= 0)
		w++;
	*w = (struct lot_worker){.lot = l, .fd = fd, .idle_ms = mono_ms()};
	event_assign(&w->ev, l->base, fd, EV_READ | EV_PERSIST, on_worker, w);
	if (event_add(&w->ev, NULL) != 0)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "event_add"));
	l->nworkers++;
	l->nidle++;
	lot_worker_pump(l);
}

/* The one that had this user last (its indexes are open there), else the first idle one. */
static struct lot_worker *
worker_pick(struct lot *l, const struct user *u)
{
	struct lot_worker *w;

	if (u->last_worker < l->site->conf.workers_max) {
		w = &l->workers[u->last_worker];
		if (w->fd >= 0 && w->session == NULL)
			return w;
	}
	for (w = l->workers; w->fd < 0 || w->session != NULL; w++)
		assert(w < l->workers + l->site->conf.workers_max);
	return w;
}

static bool
worker_give(struct lot_worker *w, struct lot_session *s)
{
	static struct buf b;
	struct work work = {.id = s->id, .why = (enum session_why)s->why, .has_lock = s->lock_fd >= 0,
	    .open = {s->blob, s->open_n}, .state = {s->blob + s->open_n, s->state_n},
	    .unread = {s->blob + s->open_n + s->state_n, s->unread_n}};
	char *suspect = suspect_find(w->lot, s->user);
	int fds[2] = {s->fd, s->lock_fd};

	if (b.cap == 0)
		b = buf_make(IPC_MSG_MAX_BYTES);
	buf_clear(&b);
	work.is_suspect = suspect != NULL;
	work_pack(&b, &work);
	if (!pack_ok(&b) || ipc_send(w->fd, buf_slice(&b), fds, s->lock_fd >= 0 ? 2 : 1) != 0)
		return false;
	if (suspect != NULL)
		suspect[0] = '\0';
	return true;
}

static void
worker_hurry_all(struct lot *l)
{
	unsigned char verb = WORK_HURRY;

	for (size_t i = 0; i < l->site->conf.workers_max; i++) {
		struct lot_worker *w = &l->workers[i];

		if (w->fd < 0 || w->session == NULL || w->is_hurried)
			continue;
		w->is_hurried = true;
		(void)!ipc_send(w->fd, (struct slice){(char *)&verb, 1}, NULL, 0);
	}
}

static struct lot_session *
ready_pop(struct lot *l)
{
	struct lot_session *s = l->ready;

	l->ready = s->queue_next;
	if (l->ready == NULL)
		l->ready_end = &l->ready;
	l->nready--;
	return s;
}

void
lot_worker_pump(struct lot *l)
{
	while (l->ready != NULL && l->nidle > 0) {
		struct lot_session *s = ready_pop(l);
		struct lot_worker *w = worker_pick(l, s->user);

		if (s->why == SESSION_CHANGED || s->why == SESSION_NEW)
			s->is_changed = false;
		s->where = LOT_SERVED;
		s->user->last_worker = (uint32_t)(w - l->workers);
		w->session = s;
		l->nidle--;
		if (!worker_give(w, s))
			worker_lost(l, w, "worker did not take it");
	}
	if (l->ready == NULL)
		return;
	worker_hurry_all(l);
	if (!evtimer_pending(l->more_ev, NULL))
		evtimer_add(l->more_ev, &(struct timeval){.tv_usec = LOT_MORE_MS * 1000});
	/* Without a parent there will never be another worker. */
	while (l->ready != NULL && l->nworkers == 0 && l->chan < 0) {
		struct lot_session *s = ready_pop(l);

		s->where = LOT_SERVED;
		lot_session_lost(l, s, "no worker left");
	}
}

void
lot_worker_more(struct lot *l)
{
	while (l->nwanted < l->nready && l->nworkers + l->nwanted < l->site->conf.workers_max) {
		size_t before = l->nwanted;

		worker_want(l);
		if (l->nwanted == before)
			break;
	}
}

void
lot_worker_renew(struct lot *l)
{
	for (size_t i = 0; i < l->site->conf.workers_max; i++) {
		struct lot_worker *w = &l->workers[i];

		if (w->fd >= 0 && w->session == NULL)
			worker_drop(l, w);
		else if (w->fd >= 0)
			w->is_retired = true;
	}
	lot_worker_fill(l);
}

void
lot_worker_trim(struct lot *l)
{
	int64_t now = mono_ms();

	for (size_t i = l->site->conf.workers_max; i > 0 && l->nworkers > l->site->conf.workers_min; i--) {
		struct lot_worker *w = &l->workers[i - 1];

		if (w->fd >= 0 && w->session == NULL && now - w->idle_ms > LOT_IDLE_WORKER_MS)
			worker_drop(l, w);
	}
}
