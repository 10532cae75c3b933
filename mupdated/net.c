/*
 * The net process: listeners, connections, the link to the map. Without a link nothing is accepted, and
 * when it breaks every connection ends with BYE: nobody is left waiting for an answer that died, and a
 * stream never misses a change. It must never block, and opens nothing. RFC 3656.
 */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command.h"
#include "ipc.h"
#include "log.h"
#include "sandbox.h"
#include "stream.h"

#define ACCEPTS_MAX	16	/* of one listener before the others have their turn */
#define SWEEP_MS	1000	/* deadlines are minutes */
#define DRAIN_MS	5000
#define SLOT_BITS	16
#define FRESH_SHARE	4	/* at most connections_max / FRESH_SHARE without a login */

static void	drain(struct net *);

/* ---- the link ---- */

static void
ready_say(struct net *net)
{
	const char verb = VERB_READY;

	if (net->chan >= 0 && !net->is_draining && ipc_send(net->chan, (struct slice){&verb, 1}, NULL, 0) < 0)
		DIE(EXIT_TEMP, "fatal.parent", log_str("what", "ready"));
}

static void
listeners_set(struct net *net, bool on)
{
	for (size_t i = 0; i < net->nlisteners; i++) {
		if (on && event_add(net->listeners[i], NULL) < 0)
			DIE(EXIT_TEMP, "fatal.event", log_str("what", "listener"));
		if (!on)
			(void)event_del(net->listeners[i]);
	}
}

static void
msg_free(struct link_msg *m)
{
	explicit_bzero(m->bytes, m->n);
	free(m);
}

static void
link_drop(struct net *net)
{
	if (net->link < 0)
		return;
	event_free(net->on_link);
	event_free(net->on_link_room);
	close(net->link);
	net->link = -1;
	net->mechs_known = false;
	while (net->first != NULL) {
		struct link_msg *m = net->first;

		net->first = m->next;
		msg_free(m);
	}
	net->last = &net->first;
	listeners_set(net, false);
	for (size_t i = 0; i < net->config->connections_max; i++) {
		struct conn *c = &net->conns[i];

		if (c->id == 0)
			continue;
		conn_bye(c, c->is_busy && c->state != CONN_LOGIN ? c->tag : "*", "the location map restarts", "map");
		conn_work(c);
	}
}

static void
msg_keep(struct net *net)
{
	struct link_msg *m = malloc(sizeof(*m) + net->out.n);

	if (m == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("where", "link"));
	m->next = NULL;
	m->n = net->out.n;
	memcpy(m->bytes, net->out.p, m->n);
	*net->last = m;
	net->last = &m->next;
	if (event_add(net->on_link_room, NULL) < 0)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "link"));
}

/* Each connection has one request under way at most, which bounds what can wait here. */
void
net_send(struct net *net)
{
	if (!pack_ok(&net->out))
		DIE(EXIT_TEMP, "bug.verb", log_u64("verb", net->out.n > 0 ? (unsigned char)net->out.p[0] : 0));
	/* A link that broke is noticed where it is read: not from within a handler. */
	if (net->link >= 0 && (net->first != NULL || (ipc_send(net->link, buf_slice(&net->out), NULL, 0) < 0 &&
	    (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))))
		msg_keep(net);
	explicit_bzero(net->out.p, net->out.n);
	buf_clear(&net->out);
}

static void
link_has_room(int fd, short what, void *arg)
{
	struct net *net = arg;

	(void)what;
	while (net->first != NULL) {
		struct link_msg *m = net->first;

		if (ipc_send(fd, (struct slice){m->bytes, m->n}, NULL, 0) < 0 &&
		    (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)) {
			if (event_add(net->on_link_room, NULL) < 0)
				DIE(EXIT_TEMP, "fatal.event", log_str("what", "link"));
			return;
		}
		net->first = m->next;
		if (net->first == NULL)
			net->last = &net->first;
		msg_free(m);
	}
}

static struct conn *
conn_of(struct net *net, uint64_t id)
{
	size_t slot = id & ((1U << SLOT_BITS) - 1);

	return id != 0 && slot < net->config->connections_max && net->conns[slot].id == id ? &net->conns[slot] : NULL;
}

static bool
on_change(struct net *net, struct unpack *u)
{
	struct verb_change v;

	if (!verb_unpack_change(u, &v))
		return false;
	for (size_t i = 0; i < net->config->connections_max; i++) {
		struct conn *c = &net->conns[i];

		if (c->id == 0 || (c->state != CONN_STREAMING && c->state != CONN_DUMPING))
			continue;
		stream_change(c, &v);
		conn_work(c);
	}
	return true;
}

static bool
on_mechs(struct net *net, struct unpack *u)
{
	struct slice mechs;

	if (!verb_unpack_mechs(u, &mechs) || mechs.n >= sizeof(net->mechs))
		return false;
	memcpy(net->mechs, mechs.p, mechs.n);
	net->mechs[mechs.n] = '\0';
	net->mechs_known = true;
	if (!net->is_draining)
		listeners_set(net, true);
	return true;
}

static bool
verb_run(struct net *net, struct slice msg)
{
	struct unpack u = unpack_make(msg.p + 1, msg.n - 1);
	struct verb_entries entries;
	struct verb_answer answer;
	struct verb_bytes bytes;
	struct conn *c = NULL;

	switch ((unsigned char)msg.p[0]) {
	case VERB_MECHS:
		return on_mechs(net, &u);
	case VERB_CHANGE:
		return on_change(net, &u);
	case VERB_ANSWER:
		if (!verb_unpack_answer(&u, &answer))
			return false;
		if ((c = conn_of(net, answer.conn)) != NULL)
			command_answer(c, &answer);
		break;
	case VERB_ENTRIES:
		if (!verb_unpack_entries(&u, &entries))
			return false;
		if ((c = conn_of(net, entries.conn)) != NULL)
			stream_entries(c, &entries);
		break;
	case VERB_CHALLENGE:
		if (!verb_unpack_challenge(&u, &bytes))
			return false;
		if ((c = conn_of(net, bytes.conn)) != NULL)
			command_challenge(c, bytes.bytes);
		break;
	default:
		return false;
	}
	if (c != NULL)	/* else it went away meanwhile */
		conn_work(c);
	return true;
}

static void
link_readable(int fd, short what, void *arg)
{
	struct net *net = arg;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = ipc_recv(fd, net->msg, sizeof(net->msg), fds, &nfds);

	(void)what;
	ipc_close_fds(fds, nfds);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && verb_run(net, (struct slice){net->msg, (size_t)n}))
		return;
	if (n > 0)
		LOG("warn.link.verb", log_u64("verb", (unsigned char)net->msg[0]), log_i64("bytes", n));
	link_drop(net);
	ready_say(net);
}

static struct event *
event_make(struct net *net, int fd, short what, event_callback_fn fn)
{
	struct event *e = event_new(net->base, fd, what, fn, net);

	if (e == NULL)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "new"));
	return e;
}

static void
link_take(struct net *net, int fd)
{
	link_drop(net);
	if (fd_nonblock(fd) < 0)
		DIE(EXIT_TEMP, "fatal.link", log_str("what", "nonblock"));
	net->link = fd;
	net->on_link = event_make(net, fd, EV_READ | EV_PERSIST, link_readable);
	net->on_link_room = event_make(net, fd, EV_WRITE, link_has_room);
	if (event_add(net->on_link, NULL) < 0)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "link"));
	/* Listening begins when the map has spoken: VERB_MECHS. */
}

static void
chan_readable(int fd, short what, void *arg)
{
	struct net *net = arg;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = ipc_recv(fd, net->msg, sizeof(net->msg), fds, &nfds);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 1 && net->msg[0] == VERB_LINK && nfds == 1 && !net->is_draining) {
		link_take(net, fds[0]);
		return;
	}
	ipc_close_fds(fds, nfds);
	if (n > 0)
		return;
	event_free(net->on_chan);
	net->on_chan = NULL;
	close(net->chan);
	net->chan = -1;
	drain(net);
}

/* ---- connections ---- */

/* A place for one more. NULL: all are taken. */
static struct conn *
slot_find(struct net *net)
{
	for (size_t i = 0; i < net->config->connections_max; i++)
		if (net->conns[i].id == 0)
			return &net->conns[i];
	return NULL;
}

/* Who came first and has not logged in goes first: a crowd of silent connections locks nobody out for long. */
static void
oldest_fresh_evict(struct net *net)
{
	struct conn *oldest = NULL;

	for (size_t i = 0; i < net->config->connections_max; i++) {
		struct conn *c = &net->conns[i];

		if (c->id != 0 && c->user[0] == '\0' && (oldest == NULL || c->id < oldest->id))
			oldest = c;
	}
	if (oldest != NULL)
		conn_close(oldest, "evicted");
}

static void
addr_text(const struct sockaddr_storage *ss, int fd, char *out, size_t cap)
{
	char host[INET6_ADDRSTRLEN] = "?";
	struct ucred cred = {.uid = (uid_t)-1};
	socklen_t n = sizeof(cred);

	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		(void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		(void)snprintf(out, cap, "%s:%u", host, ntohs(in->sin_port));
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

		(void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		(void)snprintf(out, cap, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n);
		(void)snprintf(out, cap, "uid:%u", (unsigned)cred.uid);
	}
}

static void
fd_refuse(int fd, const char *addr, const char *text, const char *why)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "* BYE \"%s\"\r\n", text);

	LOG("connection.refused", log_str("addr", addr), log_str("why", why));
	(void)!send(fd, line, (size_t)n, MSG_NOSIGNAL);
	close(fd);
}

static void
fd_take(struct net *net, int fd, bool is_unix, const char *addr)
{
	struct conn *c;

	if (is_unix && !ipc_peer_is(fd, net->clients, net->nclients)) {
		fd_refuse(fd, addr, "not permitted", "peer");
		return;
	}
	if (!is_unix && net->nfresh >= net->config->connections_max / FRESH_SHARE)
		oldest_fresh_evict(net);
	if (net->nconns == net->config->connections_max)
		oldest_fresh_evict(net);
	c = slot_find(net);
	if (c == NULL) {
		fd_refuse(fd, addr, "too many connections", "full");
		return;
	}
	net->serial++;
	if (net->serial == 0)
		net->serial = 1;
	conn_open(net, c, (uint64_t)net->serial << SLOT_BITS | (uint64_t)(c - net->conns), fd, is_unix, addr);
	conn_work(c);
}

static void
listener_readable(int fd, short what, void *arg)
{
	struct net *net = arg;
	bool is_unix = net->has_unix && fd == event_get_fd(net->listeners[net->nlisteners - 1]);

	(void)what;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
		socklen_t n = sizeof(ss);
		char addr[64];
		int got = accept4(fd, (struct sockaddr *)&ss, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (got < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
				LOG("warn.accept.failed", log_i64("errno", errno));
				listeners_set(net, false);	/* until the next sweep */
			}
			return;
		}
		addr_text(&ss, got, addr, sizeof(addr));
		fd_take(net, got, is_unix, addr);
	}
}

/* ---- time and the end ---- */

static void
sweep(int fd, short what, void *arg)
{
	struct net *net = arg;
	int64_t now = mono_ms();

	(void)fd;
	(void)what;
	for (size_t i = 0; i < net->config->connections_max; i++)
		if (net->conns[i].id != 0)
			conn_sweep(&net->conns[i], now);
	if (net->is_draining && now >= net->drain_ms)
		event_base_loopbreak(net->base);
	if (!net->is_draining && net->link >= 0 && net->mechs_known)
		listeners_set(net, true);
}

static void
drain(struct net *net)
{
	if (net->is_draining)
		return;
	net->is_draining = true;
	net->drain_ms = mono_ms() + DRAIN_MS;
	listeners_set(net, false);
	for (size_t i = 0; i < net->config->connections_max; i++)
		if (net->conns[i].id != 0) {
			if (net->conns[i].state == CONN_DUMPING || net->conns[i].is_dump)
				conn_bye(&net->conns[i], net->conns[i].tag, "server is going down", "drain");
			conn_work(&net->conns[i]);
		}
	if (net->nconns == 0)
		event_base_loopbreak(net->base);
}

static void
on_term(int signo, short what, void *arg)
{
	(void)signo;
	(void)what;
	drain(arg);
}

static void
confine(const struct net *net)
{
	/* Descriptors: the connections, the listeners, libevent's own. */
	sandbox_limits(net->config->connections_max + 64, 0, true);
	sandbox_paths(NULL, 0);
	privileges_drop(&net->config->net_user, net->config->chroot_dir, 0);
}

static void
events_start(struct net *net, const struct house *h)
{
	const struct timeval every = {.tv_sec = SWEEP_MS / 1000};
	struct event *term = event_make(net, SIGTERM, EV_SIGNAL | EV_PERSIST, on_term);

	for (size_t i = 0; i < h->nlisteners; i++)
		net->listeners[net->nlisteners++] = event_make(net, h->listeners[i], EV_READ | EV_PERSIST,
		    listener_readable);
	net->on_chan = event_make(net, net->chan, EV_READ | EV_PERSIST, chan_readable);
	net->on_sweep = event_make(net, -1, EV_PERSIST, sweep);
	if (event_add(term, NULL) < 0 || event_add(net->on_chan, NULL) < 0 || event_add(net->on_sweep, &every) < 0)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "start"));
}

void
net_main(void *arg, int chan)
{
	const struct house *h = arg;
	static struct net net;

	net.config = h->config;
	net.hostname = h->hostname;
	net.has_unix = h->has_unix;
	net.clients = h->clients;
	net.nclients = h->nclients;
	net.chan = chan;
	net.link = -1;
	net.last = &net.first;
	net.out = buf_make(IPC_MSG_MAX_BYTES);
	net.conns = calloc(net.config->connections_max, sizeof(*net.conns));
	net.base = event_base_new();
	if (net.base == NULL || net.conns == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("where", "net"));
	if (getrandom(&net.sid_salt, sizeof(net.sid_salt), 0) != (ssize_t)sizeof(net.sid_salt))
		DIE(EXIT_TEMP, "fatal.random", log_str("what", "getrandom"));
	events_start(&net, h);
	confine(&net);
	sandbox_seccomp(SANDBOX_NET);
	ready_say(&net);
	(void)event_base_dispatch(net.base);
}
