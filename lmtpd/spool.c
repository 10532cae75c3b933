/*
 * Requests to spoold and their answers. A request goes to the connection with the fewest open; where
 * none can take it, it waits for one. A check may be asked again when its connection dies; a delivery
 * that was sent is never sent again: its recipients get 451, and the MTA's repeat finds the delivery key.
 * Called by deliver.c. Never blocks.
 */
#include "spool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "ipc.h"
#include "lmtpreply.h"
#include "log.h"

#define REQS_MAX	8192	/* open at once; 500 sessions with a window of 16 */
#define BUSY_TEXT	"4.3.0 too many deliveries at once"
#define TICK_MS		250	/* how exact the timeouts are, and how often a missing connection is asked for */
#define RECV_BURST	64

struct req {
	TAILQ_ENTRY(req)	 all, queue;
	uint32_t		 number;
	struct conn		*conn;		/* sent there; NULL: waits */
	int64_t			 sent_ms, deadline_ms, wait_until_ms;
	struct buf		 packed;	/* while it waits; of a check always */
	int			 fd;		/* not owned */
	size_t			 nrcpts, nleft;	/* of a delivery; a check has 0, 1 */
	bool			 is_known[DELIVERY_RCPTS_MAX];
	void			(*checked)(void *, const struct reply *);
	void			(*done)(void *, size_t, const struct reply *);
	void			*arg;
};
TAILQ_HEAD(req_list, req);

struct conn {
	struct spool		*spool;
	int			 fd;		/* owned; -1: none */
	struct event		*read, *write;	/* owned */
	size_t			 open;		/* requests sent and not answered */
	int64_t			 heard_ms;	/* when it last said anything */
	bool			 is_full;
};

struct spool {
	struct event_base	*base;
	struct spool_conf	 conf;
	struct conn		*conns;		/* owned */
	struct event		*tick;
	struct req_list		 all, waiting;
	size_t			 nreqs;
	struct req		*reqs[REQS_MAX];	/* by number */
	uint32_t		 last;
	struct buf		 scratch;
	char			 in[IPC_MSG_MAX_BYTES];
};

static void
event_on(struct event *e, const struct timeval *timeout)
{
	if (event_add(e, timeout) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
}

static void
req_free(struct spool *p, struct req *r)
{
	if (r->conn != NULL)
		r->conn->open--;
	else
		TAILQ_REMOVE(&p->waiting, r, queue);
	TAILQ_REMOVE(&p->all, r, all);
	p->nreqs--;
	p->reqs[r->number % REQS_MAX] = NULL;
	buf_free(&r->packed);
	free(r);
}

/* Answers what is left of a request with one reply, and ends it. */
static void
req_fail(struct spool *p, struct req *r, int code, const char *text)
{
	struct reply	reply;
	size_t		n = r->nrcpts;

	reply_set(&reply, code, text);
	if (r->checked != NULL)
		r->checked(r->arg, &reply);
	for (size_t i = 0; i < n; i++)
		if (!r->is_known[i])
			r->done(r->arg, i, &reply);
	req_free(p, r);
}

/* NULL: too many are open. */
static struct req *
req_make(struct spool *p, int64_t timeout_ms)
{
	struct req	*r = NULL;
	int64_t		 now = mono_ms();

	if (p->nreqs == REQS_MAX)
		return NULL;
	if ((r = calloc(1, sizeof(*r))) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*r)));
	/* Answers come roughly in order, so the next number is nearly always free. */
	do {
		r->number = ++p->last;
	} while (p->reqs[r->number % REQS_MAX] != NULL);
	p->reqs[r->number % REQS_MAX] = r;
	p->nreqs++;
	r->fd = -1;
	r->deadline_ms = now + timeout_ms;
	r->wait_until_ms = now + p->conf.wait_ms;
	r->packed = buf_make(IPC_MSG_MAX_BYTES);
	TAILQ_INSERT_TAIL(&p->all, r, all);
	TAILQ_INSERT_TAIL(&p->waiting, r, queue);
	return r;
}

/* The connection with the fewest open requests that takes more. */
static struct conn *
conn_choose(struct spool *p)
{
	struct conn	*best = NULL;

	for (size_t i = 0; i < p->conf.nconns; i++) {
		struct conn	*c = &p->conns[i];

		if (c->fd >= 0 && !c->is_full && (best == NULL || c->open < best->open))
			best = c;
	}
	return best;
}

/* Gives up a connection. What was sent on it and can be asked again waits for another. */
static void
conn_lost(struct conn *c, const char *why)
{
	struct spool	*p = c->spool;
	struct req	*r, *next;

	LOG("spool.connection.lost", log_str("why", why), log_u64("open", c->open));
	event_free(c->read);
	event_free(c->write);
	close(c->fd);
	c->fd = -1;
	for (r = TAILQ_FIRST(&p->all); r != NULL; r = next) {
		next = TAILQ_NEXT(r, all);
		if (r->conn != c)
			continue;
		if (r->checked == NULL) {
			req_fail(p, r, 451, "4.3.0 the spool service went away");
			continue;
		}
		c->open--;
		r->conn = NULL;
		TAILQ_INSERT_TAIL(&p->waiting, r, queue);
	}
	p->conf.ask(p->conf.arg);
}

/* Sends a request that waits. False: no connection takes it now. */
static bool
req_send(struct spool *p, struct req *r, struct slice msg)
{
	struct conn	*c;

	while ((c = conn_choose(p)) != NULL) {
		if (ipc_send(c->fd, msg, &r->fd, r->fd >= 0 ? 1 : 0) == 0) {
			TAILQ_REMOVE(&p->waiting, r, queue);
			r->conn = c;
			r->sent_ms = mono_ms();
			c->open++;
			return true;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != ENOBUFS) {
			conn_lost(c, strerror(errno));
			continue;
		}
		c->is_full = true;
		event_on(c->write, NULL);
	}
	return false;
}

static void
spool_flush(struct spool *p)
{
	struct req	*r;

	while ((r = TAILQ_FIRST(&p->waiting)) != NULL && req_send(p, r, buf_slice(&r->packed)))
		if (r->checked == NULL)
			buf_free(&r->packed);
}

static void
answer_checked(struct spool *p, struct conn *c, struct unpack *u)
{
	struct reply	 reply;
	uint32_t	 number;
	struct req	*r;

	if (!delivery_unpack_checked(u, &number, &reply)) {
		conn_lost(c, "bad answer");
		return;
	}
	r = p->reqs[number % REQS_MAX];
	if (r == NULL || r->number != number || r->conn != c || r->checked == NULL)
		return;		/* too late */
	r->checked(r->arg, &reply);
	req_free(p, r);
}

static void
answer_done(struct spool *p, struct conn *c, struct unpack *u)
{
	struct reply	 reply;
	uint32_t	 number, i;
	struct req	*r;

	if (!delivery_unpack_done(u, &number, &i, &reply)) {
		conn_lost(c, "bad answer");
		return;
	}
	r = p->reqs[number % REQS_MAX];
	if (r == NULL || r->number != number || r->conn != c || i >= r->nrcpts || r->is_known[i])
		return;
	r->is_known[i] = true;
	r->done(r->arg, i, &reply);
	if (--r->nleft == 0)
		req_free(p, r);
}

static void
conn_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct conn	*c = arg;
	struct spool	*p = c->spool;
	int		 fds[IPC_FDS_MAX];
	size_t		 nfds;

	(void)what;
	for (int i = 0; i < RECV_BURST && c->fd == fd; i++) {
		ssize_t		n = ipc_recv(fd, p->in, sizeof(p->in), fds, &nfds);
		struct unpack	u;
		uint8_t		verb;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			conn_lost(c, n == 0 ? "closed" : strerror(errno));
			return;
		}
		ipc_close_fds(fds, nfds);
		c->heard_ms = mono_ms();
		u = unpack_make(p->in, (size_t)n);
		verb = unpack_u8(&u);
		if (verb == DELIVERY_CHECKED)
			answer_checked(p, c, &u);
		else if (verb == DELIVERY_DONE)
			answer_done(p, c, &u);
		else
			conn_lost(c, "bad answer");
	}
}

static void
conn_on_write(evutil_socket_t fd, short what, void *arg)
{
	struct conn	*c = arg;

	(void)fd;
	(void)what;
	c->is_full = false;
	spool_flush(c->spool);
}

/*
 * A request is too late. Where nothing at all was heard as long as it was open, the process at the other end hangs:
 * another connection may reach one that does not.
 */
static void
req_late(struct spool *p, struct req *r)
{
	struct conn	*c = r->conn;
	bool		 is_silent = c != NULL && c->heard_ms < r->sent_ms;

	req_fail(p, r, 451, "4.4.2 the spool service did not answer in time");
	if (is_silent)
		conn_lost(c, "silent");
}

/* Timeouts, and a word to the parent where a connection is missing. */
static void
spool_on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct spool	*p = arg;
	struct req	*r, *next;
	int64_t		 now = mono_ms();

	(void)fd;
	(void)what;
	for (r = TAILQ_FIRST(&p->all); r != NULL; r = next) {
		next = TAILQ_NEXT(r, all);
		if (r->conn == NULL && now >= r->wait_until_ms) {
			req_fail(p, r, 451, "4.3.0 the spool service cannot be reached");
		} else if (now >= r->deadline_ms) {
			req_late(p, r);
			next = TAILQ_FIRST(&p->all);	/* the connection's others may have ended with it */
		}
	}
	spool_flush(p);
	for (size_t i = 0; i < p->conf.nconns; i++) {
		if (p->conns[i].fd < 0) {
			p->conf.ask(p->conf.arg);
			break;
		}
	}
}

struct spool *
spool_make(struct event_base *base, const struct spool_conf *conf)
{
	static const struct timeval	 tick = {.tv_usec = TICK_MS * 1000};
	struct spool			*p = calloc(1, sizeof(*p));

	if (p == NULL || (p->conns = calloc(conf->nconns, sizeof(*p->conns))) == NULL ||
	    (p->tick = event_new(base, -1, EV_PERSIST, spool_on_tick, p)) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*p)));
	p->base = base;
	p->conf = *conf;
	TAILQ_INIT(&p->all);
	TAILQ_INIT(&p->waiting);
	p->scratch = buf_make(IPC_MSG_MAX_BYTES);
	for (size_t i = 0; i < conf->nconns; i++) {
		p->conns[i] = (struct conn){.spool = p, .fd = -1};
		conf->ask(conf->arg);
	}
	event_on(p->tick, &tick);
	return p;
}

void
spool_take(struct spool *p, int fd)
{
	struct conn	*c = NULL;

	for (size_t i = 0; i < p->conf.nconns && c == NULL; i++)
		if (p->conns[i].fd < 0)
			c = &p->conns[i];
	if (fd < 0)
		return;
	if (c == NULL || fd_nonblock(fd) < 0) {
		close(fd);
		return;
	}
	c->fd = fd;
	c->is_full = false;
	c->open = 0;
	if ((c->read = event_new(p->base, fd, EV_READ | EV_PERSIST, conn_on_read, c)) == NULL ||
	    (c->write = event_new(p->base, fd, EV_WRITE, conn_on_write, c)) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	event_on(c->read, NULL);
	spool_flush(p);
}

void
spool_free(struct spool *p)
{
	struct req	*r;

	while ((r = TAILQ_FIRST(&p->all)) != NULL)
		req_fail(p, r, 451, "4.3.2 going down");
	for (size_t i = 0; i < p->conf.nconns; i++) {
		if (p->conns[i].fd < 0)
			continue;
		event_free(p->conns[i].read);
		event_free(p->conns[i].write);
		close(p->conns[i].fd);
	}
	event_free(p->tick);
	buf_free(&p->scratch);
	free(p->conns);
	free(p);
}

void
spool_check(struct spool *p, bool place, struct slice user, void (*fn)(void *, const struct reply *), void *arg)
{
	struct req	*r = req_make(p, p->conf.check_timeout_ms);
	struct reply	 busy;

	if (r == NULL) {
		reply_set(&busy, 451, BUSY_TEXT);
		fn(arg, &busy);
		return;
	}
	r->checked = fn;
	r->arg = arg;
	delivery_pack_check(&r->packed, r->number, place, user);
	assert(pack_ok(&r->packed));
	(void)req_send(p, r, buf_slice(&r->packed));
}

void
spool_submit(struct spool *p, struct delivery *d, int fd, void (*fn)(void *, size_t, const struct reply *), void *arg)
{
	struct req	*r = req_make(p, p->conf.submit_timeout_ms);
	struct reply	 busy;
	int		 failed;

	if (r == NULL) {
		reply_set(&busy, 451, BUSY_TEXT);
		for (size_t i = 0; i < d->nrcpts; i++)
			fn(arg, i, &busy);
		return;
	}
	r->done = fn;
	r->arg = arg;
	r->fd = fd;
	r->nrcpts = r->nleft = d->nrcpts;
	d->req = r->number;
	buf_clear(&p->scratch);
	delivery_pack_submit(&p->scratch, d);
	assert(pack_ok(&p->scratch));
	if (req_send(p, r, buf_slice(&p->scratch)))
		return;
	failed = buf_add_slice(&r->packed, buf_slice(&p->scratch));
	assert(failed == 0);
}
