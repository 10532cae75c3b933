/*
 * The auth front. See front.h. Every exchange has a slot; its index and a counter name it towards the
 * worker, so that a late answer to a forgotten exchange finds nothing. RFC 4422 exchanges pass through unread.
 *
 *   START --> [QUEUED] --worker idle--> [WORKING] --CHALLENGE--> [CLIENT]
 *                 ^                         |                       |
 *                 '--------- STEP ----------|-----------------------'
 *                                           '-- OK, FAILED --> [FREE]     (ABORT, a deadline: from any)
 */
#include "front.h"

#include <event2/event.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "authmsg.h"
#include "house.h"
#include "ipc.h"
#include "log.h"
#include "sandbox.h"

#define WORK_MAX_MS	30000	/* queued and worked on; a worker ends itself after 20 s (login.c) */
#define TICK_MS		1000

enum exchange_state { FREE, QUEUED, WORKING, CLIENT };

struct exchange {
	enum exchange_state	state;
	bool			is_aborted;	/* WORKING: net does not want the answer */
	uint32_t		index;
	uint32_t		serial;
	size_t			net;
	uint64_t		net_id;		/* net's name for it */
	struct worker		*worker;	/* NULL until first worked on */
	int64_t			deadline_ms;
	struct buf		msg;		/* QUEUED: owned; may hold a password */
	TAILQ_ENTRY(exchange)	link;		/* QUEUED: in the queue */
};

struct worker {
	struct front	*f;
	int		 fd;
	struct event	*event;
	uint64_t	 incarnation;	/* 0: not heard of yet */
	struct exchange	*working;	/* what it works on */
	bool		 is_busy;
};

struct net_peer {
	struct front	*f;
	size_t		 index;
	int		 fd;
	struct event	*event;
};

struct front {
	struct event_base	*base;
	struct house		*house;
	struct worker		 workers[AUTH_WORKERS_MAX];
	struct net_peer		 nets[PROCESSES_MAX];
	size_t			 nopen;		/* net processes not yet gone */
	struct exchange		 exchanges[AUTH_EXCHANGES_MAX];
	uint32_t		 serial;
	TAILQ_HEAD(, exchange)	 queue;
	uint64_t		 done, failed;
	char			 msg[AUTH_MSG_MAX_BYTES];	/* wiped after each use */
};

static uint64_t
exchange_id(const struct exchange *x)
{
	return (uint64_t)x->serial << 32 | x->index;
}

static struct exchange *
exchange_of_worker(struct front *f, uint64_t id)
{
	struct exchange *x = &f->exchanges[(uint32_t)id % AUTH_EXCHANGES_MAX];

	return x->state != FREE && exchange_id(x) == id ? x : NULL;
}

static struct exchange *
exchange_of_net(struct front *f, size_t net, uint64_t id)
{
	for (size_t i = 0; i < AUTH_EXCHANGES_MAX; i++) {
		struct exchange *x = &f->exchanges[i];

		if (x->state != FREE && x->net == net && x->net_id == id)
			return x;
	}
	return NULL;
}

static void
exchange_free(struct front *f, struct exchange *x)
{
	if (x->state == QUEUED)
		TAILQ_REMOVE(&f->queue, x, link);
	buf_wipe(&x->msg);
	x->state = FREE;
}

/* A message without a body or with a failure; lost where the peer's socket is full: it has a deadline. */
static void
say(int fd, enum auth_verb verb, uint64_t exchange, enum auth_fail fail)
{
	struct buf b = buf_make(AUTH_MSG_MAX_BYTES);

	auth_pack(&b, &(struct auth_msg){.verb = verb, .exchange = exchange, .fail = fail});
	if (ipc_send(fd, buf_slice(&b), NULL, 0) == -1)
		LOG("warn.auth.unsent", log_u64("verb", verb));
	buf_free(&b);
}

static void
tell_worker_abort(struct exchange *x)
{
	if (x->worker != NULL)
		say(x->worker->fd, AUTH_ABORT, exchange_id(x), 0);
}

static void
exchange_fail(struct front *f, struct exchange *x, enum auth_fail fail)
{
	say(f->nets[x->net].fd, AUTH_FAILED, x->net_id, fail);
	f->failed++;
	exchange_free(f, x);
}

/* A free slot, taking the one whose client dawdles longest if there is none. */
static struct exchange *
exchange_take(struct front *f)
{
	struct exchange *oldest = NULL;

	for (size_t i = 0; i < AUTH_EXCHANGES_MAX; i++) {
		struct exchange *x = &f->exchanges[i];

		if (x->state == FREE)
			return x;
		if (x->state == CLIENT && (oldest == NULL || x->deadline_ms < oldest->deadline_ms))
			oldest = x;
	}
	if (oldest != NULL) {
		tell_worker_abort(oldest);
		exchange_fail(f, oldest, AUTH_BUSY);
	}
	return oldest;
}

static void
exchange_queue(struct front *f, struct exchange *x, struct slice msg)
{
	x->msg = buf_make(AUTH_MSG_MAX_BYTES);
	buf_add_slice(&x->msg, msg);
	auth_rename(x->msg.p, exchange_id(x));
	x->state = QUEUED;
	x->deadline_ms = mono_ms() + WORK_MAX_MS;
	TAILQ_INSERT_TAIL(&f->queue, x, link);
}

static void
net_message(struct net_peer *net, struct slice msg)
{
	struct front *f = net->f;
	struct auth_msg m;
	struct exchange *x;

	if (!auth_unpack(msg, &m)) {
		LOG("bug.auth.message", log_u64("bytes", msg.n));
		return;
	}
	x = exchange_of_net(f, net->index, m.exchange);
	if (m.verb == AUTH_START && x == NULL) {
		x = exchange_take(f);
		if (x == NULL) {
			say(net->fd, AUTH_FAILED, m.exchange, AUTH_BUSY);
			return;
		}
		x->serial = ++f->serial;
		x->net = net->index;
		x->net_id = m.exchange;
		x->worker = NULL;
		x->is_aborted = false;
		exchange_queue(f, x, msg);
	} else if (m.verb == AUTH_STEP && x != NULL && x->state == CLIENT) {
		exchange_queue(f, x, msg);
	} else if (m.verb == AUTH_STEP && x == NULL) {
		say(net->fd, AUTH_FAILED, m.exchange, AUTH_TEMP);	/* it was given up meanwhile */
	} else if (m.verb == AUTH_ABORT && x != NULL && x->state == WORKING) {
		x->is_aborted = true;
	} else if (m.verb == AUTH_ABORT && x != NULL) {
		tell_worker_abort(x);
		exchange_free(f, x);
	}
}

/* The worker is new: what it had is lost. */
static void
worker_ready(struct worker *w, uint64_t incarnation)
{
	struct front *f = w->f;

	if (w->incarnation == incarnation)
		return;
	w->incarnation = incarnation;
	w->is_busy = false;
	w->working = NULL;
	for (size_t i = 0; i < AUTH_EXCHANGES_MAX; i++)
		if (f->exchanges[i].state != FREE && f->exchanges[i].worker == w)
			exchange_fail(f, &f->exchanges[i], AUTH_TEMP);
}

static void
worker_answer(struct worker *w, const struct auth_msg *m, char *packed, size_t n, const int *fds, size_t nfds)
{
	struct front *f = w->f;
	struct exchange *x = exchange_of_worker(f, m->exchange);

	if (x == NULL || x->worker != w || x->state != WORKING)
		return;
	if (w->working == x) {
		w->working = NULL;
		w->is_busy = false;
	}
	if (x->is_aborted) {
		if (m->verb == AUTH_CHALLENGE)
			tell_worker_abort(x);
		exchange_free(f, x);
		return;
	}
	auth_rename(packed, x->net_id);
	if (ipc_send(f->nets[x->net].fd, (struct slice){packed, n}, fds, nfds) == -1)
		LOG("warn.auth.unsent", log_u64("verb", m->verb));
	if (m->verb == AUTH_CHALLENGE) {
		x->state = CLIENT;
		x->deadline_ms = mono_ms() + (int64_t)f->house->conf.login_timeout_s * 1000;
		return;
	}
	f->done += m->verb == AUTH_OK;
	f->failed += m->verb == AUTH_FAILED;
	exchange_free(f, x);
}

static void
worker_message(struct worker *w, char *packed, size_t n, const int *fds, size_t nfds)
{
	struct auth_msg m;

	if (!auth_unpack((struct slice){packed, n}, &m)) {
		LOG("bug.auth.message", log_u64("bytes", n));
		return;
	}
	if (m.verb == AUTH_READY)
		worker_ready(w, m.exchange);
	else if (m.verb == AUTH_CHALLENGE || m.verb == AUTH_OK || m.verb == AUTH_FAILED)
		worker_answer(w, &m, packed, n, fds, nfds);
}

static void
exchange_send(struct worker *w, struct exchange *x)
{
	struct front *f = w->f;

	TAILQ_REMOVE(&f->queue, x, link);
	x->state = WORKING;
	x->worker = w;
	if (ipc_send(w->fd, buf_slice(&x->msg), NULL, 0) == -1) {
		exchange_fail(f, x, AUTH_TEMP);
		return;
	}
	buf_wipe(&x->msg);
	w->working = x;
	w->is_busy = true;
}

static struct worker *
worker_idle(struct front *f)
{
	for (size_t i = 0; i < f->house->conf.auth_workers; i++)
		if (f->workers[i].incarnation != 0 && !f->workers[i].is_busy)
			return &f->workers[i];
	return NULL;
}

/* Gives what is queued to idle workers, in order; one that has a worker waits for that one. */
static void
queue_run(struct front *f)
{
	for (struct exchange *x = TAILQ_FIRST(&f->queue), *next; x != NULL; x = next) {
		struct worker *w = x->worker != NULL ? x->worker : worker_idle(f);

		next = TAILQ_NEXT(x, link);
		if (w != NULL && !w->is_busy)
			exchange_send(w, x);
	}
}

static void
net_readable(evutil_socket_t fd, short what, void *arg)
{
	struct net_peer *net = arg;
	struct front *f = net->f;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = ipc_recv(fd, f->msg, sizeof(f->msg), fds, &nfds);

	(void)what;
	if (n == 0) {
		event_del(net->event);
		if (--f->nopen == 0)
			event_base_loopbreak(f->base);
		return;
	}
	if (n == -1)
		return;
	ipc_close_fds(fds, nfds);
	net_message(net, (struct slice){f->msg, (size_t)n});
	explicit_bzero(f->msg, (size_t)n);
	queue_run(f);
}

static void
worker_readable(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct front *f = w->f;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = ipc_recv(fd, f->msg, sizeof(f->msg), fds, &nfds);

	(void)what;
	if (n == 0)
		event_del(w->event);
	if (n <= 0)
		return;
	worker_message(w, f->msg, (size_t)n, fds, nfds);
	ipc_close_fds(fds, nfds);
	queue_run(f);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct front *f = arg;
	int64_t at_ms = mono_ms();

	(void)fd;
	(void)what;
	for (size_t i = 0; i < AUTH_EXCHANGES_MAX; i++) {
		struct exchange *x = &f->exchanges[i];

		if (x->state == FREE || x->deadline_ms > at_ms)
			continue;
		if (x->state != WORKING) {
			tell_worker_abort(x);
			exchange_fail(f, x, AUTH_TEMP);
		} else if (!x->is_aborted) {
			/* The slot stays until the worker, or the one after it, is heard of again. */
			say(f->nets[x->net].fd, AUTH_FAILED, x->net_id, AUTH_TEMP);
			x->is_aborted = true;
			LOG("warn.auth.slow", log_i64("ms", WORK_MAX_MS));
		}
	}
}

static void
on_term(evutil_socket_t signo, short what, void *arg)
{
	struct front *f = arg;

	(void)signo;
	(void)what;
	event_base_loopbreak(f->base);
}

static struct event *
event_make(struct front *f, int fd, short what, event_callback_fn fn, void *arg, const struct timeval *every)
{
	struct event *ev = event_new(f->base, fd, what | EV_PERSIST, fn, arg);

	if (ev == NULL || event_add(ev, every) == -1)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "add"));
	return ev;
}

static void
peers_open(struct front *f)
{
	uint64_t incarnation;

	if (RAND_bytes((unsigned char *)&incarnation, sizeof(incarnation)) != 1 ||
	    RAND_bytes((unsigned char *)&f->serial, sizeof(f->serial)) != 1)
		DIE(EXIT_TEMP, "fatal.random", log_str("what", "serial"));
	for (size_t i = 0; i < f->house->conf.processes; i++) {
		f->nets[i] = (struct net_peer){.f = f, .index = i, .fd = f->house->auth_net[i]};
		if (fd_nonblock(f->nets[i].fd) == -1)
			DIE(EXIT_TEMP, "fatal.event", log_str("what", "nonblock"));
		f->nets[i].event = event_make(f, f->nets[i].fd, EV_READ, net_readable, &f->nets[i], NULL);
		f->nopen++;
		say(f->nets[i].fd, AUTH_READY, incarnation | 1, 0);
	}
	for (size_t i = 0; i < f->house->conf.auth_workers; i++) {
		f->workers[i] = (struct worker){.f = f, .fd = f->house->auth_login[i]};
		if (fd_nonblock(f->workers[i].fd) == -1)
			DIE(EXIT_TEMP, "fatal.event", log_str("what", "nonblock"));
		f->workers[i].event = event_make(f, f->workers[i].fd, EV_READ, worker_readable, &f->workers[i], NULL);
		say(f->workers[i].fd, AUTH_RESET, 0, 0);
	}
}

void
front_main(void *arg, int chan)
{
	struct front *f = calloc(1, sizeof(*f));
	struct timeval tick = {.tv_sec = TICK_MS / 1000};

	close(chan);	/* draining is when the last net process ends */
	if (f == NULL || (f->base = event_base_new()) == NULL)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "base"));
	f->house = arg;
	TAILQ_INIT(&f->queue);
	for (size_t i = 0; i < AUTH_EXCHANGES_MAX; i++)
		f->exchanges[i].index = (uint32_t)i;
	event_make(f, SIGTERM, EV_SIGNAL, on_term, f, NULL);
	event_make(f, -1, EV_TIMEOUT, on_tick, f, &tick);
	sandbox_limits(PROCESSES_MAX + AUTH_WORKERS_MAX + 64, 0, true);
	sandbox_paths(NULL, 0);
	privileges_drop(&f->house->conf.auth_user, NULL, 0);
	sandbox_seccomp(SANDBOX_NET);
	peers_open(f);
	event_base_dispatch(f->base);
	LOG("auth.end", log_u64("done", f->done), log_u64("failed", f->failed));
	_exit(0);
}
