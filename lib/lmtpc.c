/*
 * The sockets of LMTP and SMTP clients. A connection belongs to one transaction at a time and is kept
 * idle for a while after it. Each has one timer: connecting, transaction or idle. Called by relayd's
 * network process; addresses come resolved, Unix sockets connected, because that process cannot do either.
 */
#include "lmtpc.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "lmtpcmd.h"
#include "log.h"

#define READ_BYTES	4096	/* replies are short */

struct lmtpc_txn {
	struct lmtpc		*client;
	const struct lmtpc_hop	*hop;
	struct lmtpx_job	 job;		/* the caller's, with our done */
	void			(*done)(void *, size_t, const struct reply *);
	void			*arg;
	struct conn		*conn;
	size_t			 nleft;
	int64_t			 deadline_ms;
};

struct conn {
	TAILQ_ENTRY(conn)	 entry;		/* of idle, or of busy */
	struct lmtpc		*client;
	const struct lmtpc_hop	*hop;
	struct lmtpc_txn	*txn;		/* NULL: idle, or finishing */
	struct lmtpx		 x;
	int			 fd;		/* owned; -1: asked for */
	struct event		*read, *write, *timer;	/* owned */
	size_t			 addr;		/* which is being tried */
	uint32_t		 ticket;	/* of ask */
	char			 qid[LMTP_QID_MAX_BYTES + 1];	/* last, for the log */
	bool			 is_connected, is_idle, is_reused;
};
TAILQ_HEAD(conn_list, conn);

struct lmtpc {
	struct event_base	*base;
	struct lmtpc_conf	 conf;
	struct conn_list	 idle, busy;
	size_t			 nidle;
	uint32_t		 last_ticket;
};

static void	conn_next_address(struct conn *);
static void	conn_on_timer(evutil_socket_t, short, void *);

bool
lmtpc_resolve(const char *where, struct lmtpc_hop *out, const char **why_out)
{
	static const struct addrinfo	 hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo			*list;
	const char			*colon = strrchr(where, ':');
	char				 host[256];
	size_t				 n;

	if (strncmp(where, "unix:", 5) == 0) {
		out->path = where + 5;
		*why_out = "not an absolute path of at most 107 bytes";
		return out->path[0] == '/' && strlen(out->path) < 108;
	}
	*why_out = "not ADDR:PORT";
	if (colon == NULL || colon == where || colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return false;
	n = (size_t)(colon - where);
	if (where[0] == '[' && colon[-1] == ']') {
		where++;
		n -= 2;
	}
	if (n == 0 || n >= sizeof(host))
		return false;
	memcpy(host, where, n);
	host[n] = '\0';
	*why_out = "the name has no address";
	if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
		return false;
	for (struct addrinfo *a = list; a != NULL && out->naddrs < LMTPC_ADDRS_MAX; a = a->ai_next) {
		memcpy(&out->addrs[out->naddrs], a->ai_addr, a->ai_addrlen);
		out->lens[out->naddrs++] = a->ai_addrlen;
	}
	freeaddrinfo(list);
	return out->naddrs > 0;
}

struct lmtpc *
lmtpc_make(struct event_base *base, const struct lmtpc_conf *conf)
{
	struct lmtpc	*p = calloc(1, sizeof(*p));

	if (p == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*p)));
	p->base = base;
	p->conf = *conf;
	TAILQ_INIT(&p->idle);
	TAILQ_INIT(&p->busy);
	return p;
}

static void
event_on(struct event *e, const struct timeval *timeout)
{
	if (event_add(e, timeout) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
}

static void
timer_set(struct conn *c, int64_t ms)
{
	struct timeval	tv = {0};

	if (ms > 0)
		tv = (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	event_on(c->timer, &tv);
}

static struct event *
event_make(struct conn *c, int fd, short what, event_callback_fn fn)
{
	struct event	*e = event_new(c->client->base, fd, what, fn, c);

	if (e == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	return e;
}

/* ---- ends ---- */

static void
conn_close_fd(struct conn *c)
{
	if (c->read != NULL)
		event_free(c->read);
	if (c->write != NULL)
		event_free(c->write);
	c->read = c->write = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void
conn_free(struct conn *c)
{
	struct lmtpc	*p = c->client;

	conn_close_fd(c);
	event_free(c->timer);
	TAILQ_REMOVE(c->is_idle ? &p->idle : &p->busy, c, entry);
	if (c->is_idle)
		p->nidle--;
	lmtpx_free(&c->x);
	free(c);
}

static void
txn_done(void *arg, size_t i, const struct reply *reply)
{
	struct lmtpc_txn	*t = arg;
	bool			 is_last = --t->nleft == 0;
	void			(*done)(void *, size_t, const struct reply *) = t->done;
	void			*done_arg = t->arg;

	if (is_last) {
		t->conn->txn = NULL;
		free(t);
	}
	done(done_arg, i, reply);
}

/* The connection is useless: recipients without a reply get code and text. */
static void
conn_fail(struct conn *c, int code, const char *text, const char *why)
{
	LOG("hop.failed", log_str("qid", c->qid), log_str("hop", c->hop->name), log_str("why", why));
	lmtpx_fail(&c->x, code, text);
	conn_free(c);
}

static struct conn *
conn_make(struct lmtpc *p, const struct lmtpc_hop *hop)
{
	struct conn	*c = calloc(1, sizeof(*c));

	if (c == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*c)));
	c->client = p;
	c->hop = hop;
	c->fd = -1;
	c->x = lmtpx_make(hop->is_smtp, hop->name, p->conf.helo);
	c->timer = event_make(c, -1, 0, conn_on_timer);
	TAILQ_INSERT_TAIL(&p->busy, c, entry);
	return c;
}

/* Lost to the peer. A kept connection may have died of age: then another gets the job, if nothing of the message was sent. */
static void
conn_lost(struct conn *c, const char *why)
{
	struct lmtpc_txn	*t = c->txn;
	struct conn		*fresh;

	if (t == NULL) {
		lmtpx_fail(&c->x, 451, "");
		conn_free(c);
		return;
	}
	if (!c->is_reused || lmtpx_take_back(&c->x) == NULL) {
		conn_fail(c, 451, "4.4.2 connection lost to", why);
		return;
	}
	fresh = conn_make(c->client, c->hop);
	c->txn = NULL;
	conn_free(c);
	fresh->txn = t;
	t->conn = fresh;
	snprintf(fresh->qid, sizeof(fresh->qid), "%s", t->job.qid);
	lmtpx_begin(&fresh->x, &t->job);
	conn_next_address(fresh);
}

/* ---- work ---- */

static void
conn_idle(struct conn *c)
{
	struct lmtpc	*p = c->client;

	if (p->nidle == LMTPC_IDLE_MAX)
		conn_free(TAILQ_LAST(&p->idle, conn_list));
	TAILQ_REMOVE(&p->busy, c, entry);
	TAILQ_INSERT_HEAD(&p->idle, c, entry);	/* the last used is used first: the others may grow old */
	p->nidle++;
	c->is_idle = true;
	timer_set(c, p->conf.idle_ms);
}

/* Sends what there is. False: the connection is gone. */
static bool
conn_send(struct conn *c)
{
	struct buf	*out = &c->x.out;

	while (out->n > 0) {
		ssize_t	n = send(c->fd, out->p, out->n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_on(c->write, NULL);
			return true;
		}
		if (n < 0) {
			/* An early refusal may be waiting to be read: it says more than EPIPE does. */
			if (errno == EPIPE && c->txn != NULL && c->x.is_body) {
				buf_clear(out);
				return true;
			}
			conn_lost(c, strerror(errno));
			return false;
		}
		buf_drop(out, (size_t)n);
		if (out->n == 0)
			lmtpx_run(&c->x);
	}
	return true;
}

/* Lets the protocol work and sends, as far as both go. May free c. */
static void
conn_pump(struct conn *c)
{
	lmtpx_run(&c->x);
	if (!conn_send(c))
		return;
	if (c->x.state == LMTPX_OVER) {
		if (c->x.why[0] != '\0')
			LOG("hop.failed", log_str("qid", c->qid), log_str("hop", c->hop->name), log_str("why", c->x.why));
		conn_free(c);
	} else if (c->txn == NULL && c->x.state == LMTPX_READY && !c->is_idle) {
		conn_idle(c);
	}
}

static void
conn_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct conn	*c = arg;
	char		*room = buf_room(&c->x.in, READ_BYTES);
	ssize_t		 n;

	(void)what;
	if (room == NULL) {
		conn_fail(c, 451, "4.5.0 reply not understood from", "too long");
		return;
	}
	n = recv(fd, room, READ_BYTES, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_lost(c, n == 0 ? "closed" : strerror(errno));
		return;
	}
	c->x.in.n += (size_t)n;
	conn_pump(c);
}

static void
conn_connected(struct conn *c)
{
	int	one = 1;

	c->is_connected = true;
	if (c->hop->path == NULL)
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	event_on(c->read, NULL);
	if (c->txn != NULL)
		timer_set(c, c->txn->deadline_ms - mono_ms());
	conn_pump(c);
}

static void
conn_on_write(evutil_socket_t fd, short what, void *arg)
{
	struct conn	*c = arg;
	int		 error = 0;
	socklen_t	 len = sizeof(error);

	(void)what;
	if (c->is_connected) {
		conn_pump(c);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
		conn_next_address(c);
		return;
	}
	conn_connected(c);
}

static void
conn_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn	*c = arg;

	(void)fd;
	(void)what;
	if (c->is_idle) {
		/* Politely, but nobody waits for the answer. */
		(void)!send(c->fd, "QUIT\r\n", 6, MSG_NOSIGNAL | MSG_DONTWAIT);
		conn_free(c);
	} else if (!c->is_connected && c->txn != NULL && mono_ms() < c->txn->deadline_ms) {
		conn_next_address(c);
	} else {
		conn_fail(c, 451, c->is_connected ? "4.4.2 timeout at" : "4.4.1 cannot be reached:", "timeout");
	}
}

static void
conn_events(struct conn *c)
{
	c->read = event_make(c, c->fd, EV_READ | EV_PERSIST, conn_on_read);
	c->write = event_make(c, c->fd, EV_WRITE, conn_on_write);
}

/* Connects to the next address of the hop, or gives up. */
static void
conn_next_address(struct conn *c)
{
	struct lmtpc		*p = c->client;
	const struct lmtpc_hop	*hop = c->hop;

	conn_close_fd(c);
	if (hop->path != NULL && c->ticket == 0) {
		c->ticket = ++p->last_ticket != 0 ? p->last_ticket : ++p->last_ticket;
		timer_set(c, p->conf.connect_timeout_ms);
		p->conf.ask(p->conf.arg, hop, c->ticket);
		return;
	}
	while (c->addr < hop->naddrs) {
		size_t	i = c->addr++;

		c->fd = socket(hop->addrs[i].ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (c->fd < 0)
			continue;
		if (connect(c->fd, (const struct sockaddr *)&hop->addrs[i], hop->lens[i]) == 0 || errno == EINPROGRESS) {
			conn_events(c);
			event_on(c->write, NULL);
			timer_set(c, p->conf.connect_timeout_ms);
			return;
		}
		conn_close_fd(c);
	}
	conn_fail(c, 451, "4.4.1 cannot be reached:", "connect");
}

void
lmtpc_take(struct lmtpc *p, uint32_t ticket, int fd)
{
	struct conn	*c;

	TAILQ_FOREACH(c, &p->busy, entry)
		if (c->ticket == ticket && c->fd < 0 && !c->is_connected)
			break;
	if (c == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (fd < 0) {
		conn_fail(c, 451, "4.4.1 cannot be reached:", "connect");
		return;
	}
	c->fd = fd;
	conn_events(c);
	conn_connected(c);
}

/* An idle connection of the hop that is still open. */
static struct conn *
idle_take(struct lmtpc *p, const struct lmtpc_hop *hop)
{
	struct conn	*c, *next;
	char		 byte;

	for (c = TAILQ_FIRST(&p->idle); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->hop != hop)
			continue;
		if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) {
			TAILQ_REMOVE(&p->idle, c, entry);
			TAILQ_INSERT_TAIL(&p->busy, c, entry);
			p->nidle--;
			c->is_idle = false;
			c->is_reused = true;
			return c;
		}
		conn_free(c);	/* closed, or said something nobody asked for */
	}
	return NULL;
}

struct lmtpc_txn *
lmtpc_send(struct lmtpc *p, const struct lmtpc_hop *hop, const struct lmtpx_job *job)
{
	struct lmtpc_txn	*t = calloc(1, sizeof(*t));
	struct conn		*c = idle_take(p, hop);

	if (t == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*t)));
	if (c == NULL)
		c = conn_make(p, hop);
	*t = (struct lmtpc_txn){
		.client = p, .hop = hop, .job = *job, .done = job->done, .arg = job->arg, .conn = c,
		.nleft = job->nrcpts, .deadline_ms = mono_ms() + p->conf.hop_timeout_ms,
	};
	t->job.done = txn_done;
	t->job.arg = t;
	c->txn = t;
	snprintf(c->qid, sizeof(c->qid), "%s", job->qid);
	lmtpx_begin(&c->x, &t->job);
	timer_set(c, p->conf.hop_timeout_ms);
	/* From the loop, so that nothing is answered before the caller has the pointer. */
	event_active(c->is_reused ? c->write : c->timer, c->is_reused ? EV_WRITE : EV_TIMEOUT, 0);
	return t;
}

void
lmtpc_cancel(struct lmtpc_txn *t)
{
	struct conn	*c = t->conn;

	c->txn = NULL;
	c->x.job = NULL;
	c->x.state = LMTPX_OVER;
	free(t);
	conn_free(c);
}
