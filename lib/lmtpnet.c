/*
 * The sockets of LMTP sessions. One event to read and one to write each; output is sent at once where
 * the socket takes it and otherwise when it is ready. Answers that come from elsewhere are collected in a list
 * and sent once the other events of the round were handled, so that a burst of replies is one write.
 * Never blocks; nothing here without a timeout.
 */
#include "lmtpnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "parent.h"

#define ACCEPT_BURST	16	/* connections taken before other events have their turn */
#define CLOSE_READS_MAX	16	/* a pipelined burst after the command that ended the session */

struct conn {
	struct conn		*prev, *next;
	struct conn		*dirty_next;
	struct lmtpnet		*net;
	struct lmtps		*session;	/* owned */
	int			 fd;		/* owned; -1 once the peer is gone */
	struct event		*read, *write;	/* owned */
	bool			 is_eof, is_dirty;
};

struct lmtpnet {
	struct event_base	*base;
	struct lmtpnet_conf	*conf;
	struct event		**accepts;	/* owned */
	struct event		*flush;		/* owned: handles dirty */
	struct conn		*conns, *dirty;
	size_t			 nconns;
	struct timeval		 timeout;
	bool			 is_draining;
};

static void	conn_pump(struct conn *);

void *
lmtpnet_arg(const struct lmtps *s)
{
	return ((const struct conn *)s->arg)->net->conf->arg;
}

size_t
lmtpnet_count(const struct lmtpnet *n)
{
	return n->nconns;
}

static struct event *
event_make(struct lmtpnet *n, int fd, short what, event_callback_fn fn, void *arg)
{
	struct event	*e = event_new(n->base, fd, what, fn, arg);

	if (e == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	return e;
}

static void
event_on(struct event *e, const struct timeval *timeout)
{
	if (event_add(e, timeout) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
}

/*
 * Nothing goes over the socket any more; the session stays until it is owed no answer. What the peer had
 * already sent is read away: closing over it would reset the connection and could take our last reply with it.
 */
static void
conn_hang_up(struct conn *c)
{
	char	waste[4096];
	int	tries = CLOSE_READS_MAX;

	if (c->fd < 0)
		return;
	event_free(c->read);
	event_free(c->write);
	if (shutdown(c->fd, SHUT_WR) == 0)
		while (tries-- > 0 && recv(c->fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
			continue;
	close(c->fd);
	c->fd = -1;
}

static void
conn_lost(struct conn *c, const char *why)
{
	conn_hang_up(c);
	lmtps_gone(c->session, why);
}

static void
conn_free(struct conn *c)
{
	struct lmtpnet	*n = c->net;

	conn_hang_up(c);
	lmtps_free(c->session);
	if (c->is_dirty) {
		struct conn	**at = &n->dirty;

		while (*at != c)
			at = &(*at)->dirty_next;
		*at = c->dirty_next;
	}
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		n->conns = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	free(c);
	n->nconns--;
	if (n->is_draining && n->nconns == 0 && n->conf->drained != NULL)
		n->conf->drained(n->conf->drained_arg);
}

/* Sends what there is. False when some is left. */
static bool
conn_send(struct conn *c)
{
	struct buf	*out = &c->session->out;

	while (out->n > 0) {
		ssize_t	n = send(c->fd, out->p, out->n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_on(c->write, &c->net->timeout);
			return false;
		}
		if (n < 0) {
			conn_lost(c, "write");
			return true;
		}
		buf_drop(out, (size_t)n);
	}
	return true;
}

/* The session is at its end, or nothing can come any more and nothing is owed. */
static bool
conn_is_over(const struct conn *c)
{
	const struct lmtps	*s = c->session;

	if (lmtps_is_busy(s))
		return false;
	return c->fd < 0 || (s->out.n == 0 && (c->is_eof || s->state == LMTPS_CLOSING));
}

/* Lets the session work and sends its output, as far as both go. Frees the connection at its end. */
static void
conn_pump(struct conn *c)
{
	struct lmtps	*s = c->session;

	do {
		lmtps_run(s);
	} while (c->fd >= 0 && !lmtps_is_holding(s) && conn_send(c) && s->is_full);
	if (c->net->is_draining && lmtps_is_quiet(s)) {
		lmtps_hang_up(s, "421 4.3.2 going down", "drain");
		if (c->fd >= 0)
			conn_send(c);
	}
	if (conn_is_over(c)) {
		if (c->is_eof && s->state != LMTPS_CLOSING)
			lmtps_gone(s, "eof");
		conn_free(c);
		return;
	}
	if (c->fd < 0 || c->is_eof)
		return;
	if (!lmtps_wants_input(s))
		event_del(c->read);
	else if (!event_pending(c->read, EV_READ, NULL))
		event_on(c->read, &c->net->timeout);
}

static void
conn_on_timeout(struct conn *c)
{
	if (lmtps_is_busy(c->session))
		return;		/* it waits for us */
	if (c->session->out.n == 0)
		lmtps_hang_up(c->session, "421 4.4.2 timeout", "timeout");
	else
		conn_lost(c, "timeout");
	conn_pump(c);
}

static void
conn_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct conn	*c = arg;
	struct buf	*in = &c->session->in;
	char		*room;
	ssize_t		 n;

	if ((what & EV_TIMEOUT) != 0) {
		conn_on_timeout(c);
		return;
	}
	if ((room = buf_room(in, LMTPS_READ_BYTES)) == NULL)
		return;
	n = recv(fd, room, LMTPS_READ_BYTES, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		conn_lost(c, "read");
	} else if (n == 0) {
		c->is_eof = true;
		event_del(c->read);
	} else {
		in->n += (size_t)n;
	}
	conn_pump(c);
}

static void
conn_on_write(evutil_socket_t fd, short what, void *arg)
{
	struct conn	*c = arg;

	(void)fd;
	if ((what & EV_TIMEOUT) != 0)
		conn_lost(c, "timeout");
	conn_pump(c);
}

/* lmtps_ops.ready: later, so that what comes together goes out together. */
static void
conn_ready(struct lmtps *s)
{
	struct conn	*c = s->arg;

	if (c->is_dirty)
		return;
	c->is_dirty = true;
	c->dirty_next = c->net->dirty;
	c->net->dirty = c;
	if (c->dirty_next == NULL)
		event_active(c->net->flush, EV_TIMEOUT, 0);
}

static void
net_on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct lmtpnet	*n = arg;
	struct conn	*c;

	(void)fd;
	(void)what;
	while ((c = n->dirty) != NULL) {
		n->dirty = c->dirty_next;
		c->is_dirty = false;
		conn_pump(c);
	}
}

void
lmtpnet_add(struct lmtpnet *n, int fd, const char *peer, bool trusted)
{
	struct conn	*c = calloc(1, sizeof(*c));

	if (c == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*c)));
	c->net = n;
	c->fd = fd;
	c->read = event_make(n, fd, EV_READ | EV_PERSIST, conn_on_read, c);
	c->write = event_make(n, fd, EV_WRITE, conn_on_write, c);
	c->session = lmtps_make(&n->conf->session, &n->conf->ops, peer, trusted);
	c->session->arg = c;
	if ((c->next = n->conns) != NULL)
		c->next->prev = c;
	n->conns = c;
	n->nconns++;
	if (n->nconns > n->conf->connections_max) {
		buf_clear(&c->session->out);	/* 421 in place of the greeting */
		lmtps_hang_up(c->session, "421 4.3.2 too many connections", "full");
	}
	conn_pump(c);
}

/* The peer's address as text. False: a peer of a Unix socket that may not talk to us. */
static bool
peer_name(const struct lmtpnet *n, int fd, const struct sockaddr_storage *sa, char *out)
{
	int	one = 1;

	if (sa->ss_family == AF_UNIX) {
		memcpy(out, "unix", sizeof("unix"));
		return ipc_peer_is(fd, n->conf->uids, n->conf->nuids);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	out[0] = '\0';
	if (sa->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)sa)->sin_addr, out, LMTPS_PEER_MAX_BYTES);
	else if (sa->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)sa)->sin6_addr, out, LMTPS_PEER_MAX_BYTES);
	return true;
}

static bool
peer_is_trusted(const struct lmtpnet *n, const char *peer)
{
	for (size_t i = 0; i < n->conf->trusted->n; i++)
		if (strcmp(n->conf->trusted->v[i], peer) == 0)
			return true;
	return false;
}

static void
net_on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct lmtpnet		*n = arg;
	char			 peer[LMTPS_PEER_MAX_BYTES];

	(void)what;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		struct sockaddr_storage	sa = {0};
		socklen_t		len = sizeof(sa);
		int			conn = accept4(fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (conn < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				LOG("warn.lmtp.accept", log_str("why", strerror(errno)));
			return;
		}
		if (!peer_name(n, conn, &sa, peer)) {
			LOG("lmtp.peer.refused", log_str("peer", peer));
			close(conn);
			continue;
		}
		lmtpnet_add(n, conn, peer, peer_is_trusted(n, peer));
	}
}

int *
lmtpnet_listen(struct parent *parent, const struct conf_list *where)
{
	int	*fds = calloc(where->n + 1, sizeof(*fds));
	char	 dir[PATH_MAX];

	if (fds == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "listeners"));
	for (size_t i = 0; i < where->n; i++) {
		const char	*path = strncmp(where->v[i], "unix:", 5) == 0 ? where->v[i] + 5 : NULL;
		const char	*slash = path != NULL ? strrchr(path, '/') : NULL;

		if (slash != NULL && slash > path && (size_t)(slash - path) < sizeof(dir)) {
			memcpy(dir, path, (size_t)(slash - path));
			dir[slash - path] = '\0';
			if (dir_make(dir, (uid_t)-1, (gid_t)-1, 0755) < 0)
				DIE(EXIT_TEMP, "fatal.dir", log_str("path", dir));
		}
		fds[i] = parent_listen(parent, where->v[i], false, (uid_t)-1, (gid_t)-1, 0666);
	}
	return fds;
}

/* Peers are compared as text: an address written in another way would never be trusted. */
static bool
is_peer_text(const char *s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	struct in_addr in;

	if (strcmp(s, "unix") == 0)
		return true;
	if (inet_pton(AF_INET, s, &in) == 1)
		return inet_ntop(AF_INET, &in, text, sizeof(text)) != NULL && strcmp(s, text) == 0;
	return inet_pton(AF_INET6, s, &in6) == 1 && inet_ntop(AF_INET6, &in6, text, sizeof(text)) != NULL &&
	    strcmp(s, text) == 0;
}

bool
lmtpnet_check_trusted(const char *key, const struct conf_list *list, struct conf_wrong *out)
{
	for (size_t i = 0; i < list->n; i++) {
		if (is_peer_text(list->v[i]))
			continue;
		*out = (struct conf_wrong){key, list->v[i], "neither unix nor a numeric address in its short form"};
		return false;
	}
	return true;
}

struct lmtpnet *
lmtpnet_make(struct event_base *base, struct lmtpnet_conf *conf)
{
	struct lmtpnet	*n = calloc(1, sizeof(*n));

	if (n == NULL || (n->accepts = calloc(conf->nlisteners + 1, sizeof(*n->accepts))) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*n)));
	n->base = base;
	n->conf = conf;
	conf->ops.ready = conn_ready;
	n->timeout = (struct timeval){
		.tv_sec = conf->command_timeout_ms / 1000, .tv_usec = conf->command_timeout_ms % 1000 * 1000,
	};
	n->flush = event_make(n, -1, 0, net_on_flush, n);
	for (size_t i = 0; i < conf->nlisteners; i++) {
		n->accepts[i] = event_make(n, conf->listeners[i], EV_READ | EV_PERSIST, net_on_accept, n);
		event_on(n->accepts[i], NULL);
	}
	return n;
}

void
lmtpnet_drain(struct lmtpnet *n)
{
	struct conn	*c, *next;

	if (n->is_draining)
		return;
	n->is_draining = true;
	for (size_t i = 0; i < n->conf->nlisteners; i++) {
		event_free(n->accepts[i]);
		close(n->conf->listeners[i]);
	}
	n->nconns++;	/* so that the last one is told apart from none */
	for (c = n->conns; c != NULL; c = next) {
		next = c->next;
		conn_pump(c);
	}
	if (--n->nconns == 0 && n->conf->drained != NULL)
		n->conf->drained(n->conf->drained_arg);
}
