/*
 * Look-ups of a net process. They go to the route process in the order asked and come back in that
 * order; one that gets no answer in time is 451. A look-up changes nothing, so it may be asked twice. Called
 * by relay.c at RCPT. Never blocks.
 */
#include "routec.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "ipc.h"
#include "lmtpreply.h"
#include "log.h"

#define TICK_MS		250
#define BURST		64
#define ASKS_MAX	50000	/* open at once: 500 sessions with 100 recipients */

struct ask {
	TAILQ_ENTRY(ask)	 entry;
	uint32_t		 req;
	int64_t			 deadline_ms;
	void			(*fn)(void *, const struct route_answer *);
	void			*arg;
	size_t			 n;
	char			 address[];	/* not NUL-terminated */
};
TAILQ_HEAD(ask_list, ask);

struct routec {
	int			 fd;
	struct event		*read, *write, *tick;
	struct ask_list		 asks;
	struct ask		*unsent;	/* the first; all behind it are unsent too */
	size_t			 nasks;
	uint32_t		 last;
	size_t			 nhosts;
	int64_t			 timeout_ms;
	bool			 is_full, is_stopped;
	struct buf		 out;
	struct route_answer	 answer;
	char			 in[IPC_MSG_MAX_BYTES];
};

static void
event_on(struct event *e, const struct timeval *timeout)
{
	if (event_add(e, timeout) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
}

static void
ask_end(struct routec *r, struct ask *a, const struct route_answer *answer)
{
	if (r->unsent == a)
		r->unsent = TAILQ_NEXT(a, entry);
	TAILQ_REMOVE(&r->asks, a, entry);
	r->nasks--;
	a->fn(a->arg, answer);
	free(a);
}

static void
ask_fail(struct routec *r, struct ask *a, const char *text)
{
	reply_set(&r->answer.reply, 451, text);
	r->answer.ntargets = 0;
	ask_end(r, a, &r->answer);
}

/* Sends what is not sent, as far as the socket takes it. */
static void
flush(struct routec *r)
{
	struct ask	*a;

	for (; (a = r->unsent) != NULL; r->unsent = TAILQ_NEXT(a, entry)) {
		buf_clear(&r->out);
		routemsg_pack_ask(&r->out, a->req, (struct slice){a->address, a->n});
		if (ipc_send(r->fd, buf_slice(&r->out), NULL, 0) < 0) {
			r->is_full = true;
			if (errno == EAGAIN || errno == ENOBUFS)
				event_on(r->write, NULL);
			return;		/* else the next tick tries again, or the time is over */
		}
	}
}

static void
on_write(evutil_socket_t fd, short what, void *arg)
{
	struct routec	*r = arg;

	(void)fd;
	(void)what;
	r->is_full = false;
	flush(r);
}

/* The look-up of that number: nearly always the first. */
static struct ask *
ask_find(struct routec *r, uint32_t req)
{
	struct ask	*a;

	TAILQ_FOREACH(a, &r->asks, entry)
		if (a->req == req)
			break;
	return a;
}

static void
on_read(evutil_socket_t fd, short what, void *arg)
{
	struct routec	*r = arg;
	int		 fds[IPC_FDS_MAX];
	size_t		 nfds;

	(void)what;
	for (int i = 0; i < BURST; i++) {
		ssize_t		n = ipc_recv(fd, r->in, sizeof(r->in), fds, &nfds);
		struct ask	*a;
		uint32_t	req;

		if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == EMSGSIZE))
			return;
		if (n <= 0) {
			routec_stop(r);
			return;
		}
		ipc_close_fds(fds, nfds);
		if (!routemsg_unpack_answer((struct slice){r->in, (size_t)n}, r->nhosts, &req, &r->answer))
			LOG("bug.route.answer", log_u64("bytes", (uint64_t)n));
		else if ((a = ask_find(r, req)) != NULL)
			ask_end(r, a, &r->answer);
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct routec	*r = arg;
	struct ask	*a;
	int64_t		 now = mono_ms();

	(void)fd;
	(void)what;
	/* The oldest are first. */
	while ((a = TAILQ_FIRST(&r->asks)) != NULL && now >= a->deadline_ms)
		ask_fail(r, a, "4.3.0 routing does not answer");
	r->is_full = false;
	flush(r);
}

struct routec *
routec_make(struct event_base *base, int fd, size_t nhosts, int64_t timeout_ms)
{
	static const struct timeval	 tick = {.tv_usec = TICK_MS * 1000};
	struct routec			*r = calloc(1, sizeof(*r));

	if (r == NULL || (r->read = event_new(base, fd, EV_READ | EV_PERSIST, on_read, r)) == NULL ||
	    (r->write = event_new(base, fd, EV_WRITE, on_write, r)) == NULL ||
	    (r->tick = event_new(base, -1, EV_PERSIST, on_tick, r)) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*r)));
	r->fd = fd;
	r->nhosts = nhosts;
	r->timeout_ms = timeout_ms;
	r->out = buf_make(IPC_MSG_MAX_BYTES);
	/* A process before us may have left answers to its own questions in the socket. */
	r->last = (uint32_t)mono_ms() << 8;
	TAILQ_INIT(&r->asks);
	event_on(r->read, NULL);
	event_on(r->tick, &tick);
	return r;
}

void
routec_ask(struct routec *r, struct slice address, void (*fn)(void *, const struct route_answer *), void *arg)
{
	struct ask	*a;

	if (r->is_stopped || r->nasks == ASKS_MAX) {
		reply_set(&r->answer.reply, 451, "4.3.2 routing is not available");
		r->answer.ntargets = 0;
		fn(arg, &r->answer);
		return;
	}
	if ((a = malloc(sizeof(*a) + address.n)) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "ask"));
	*a = (struct ask){
		.req = ++r->last, .deadline_ms = mono_ms() + r->timeout_ms, .fn = fn, .arg = arg, .n = address.n,
	};
	memcpy(a->address, address.p, address.n);
	TAILQ_INSERT_TAIL(&r->asks, a, entry);
	r->nasks++;
	if (r->unsent == NULL)
		r->unsent = a;
	if (!r->is_full)
		flush(r);
}

void
routec_again(struct routec *r)
{
	r->unsent = TAILQ_FIRST(&r->asks);
	r->is_full = false;
	flush(r);
}

void
routec_stop(struct routec *r)
{
	struct ask	*a;

	if (r->is_stopped)
		return;
	r->is_stopped = true;
	event_del(r->read);
	event_del(r->tick);
	while ((a = TAILQ_FIRST(&r->asks)) != NULL)
		ask_fail(r, a, "4.3.2 routing is not available");
}
