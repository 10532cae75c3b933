/*
 * The net process. See net.h. Several share the listeners; each counts its own connections, so limits
 * are per process. When the parent re-executes itself our channel ends, and we drain.
 */
#include "net.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conn.h"
#include "ipc.h"
#include "keyhook.h"
#include "log.h"
#include "sandbox.h"

#define NOFILE_OTHER	128	/* descriptors that are no connections */
#define ACCEPTS		16	/* connections of one listener before the others have their turn */
#define AUTH_MSGS	32
#define RETRY_MS	1000	/* after accept found no descriptor or memory */
#define LEAVE_MS	2000	/* for last words to go out */

static void
timer_add(struct event *ev, int64_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	if (event_add(ev, &tv) == -1)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "timer"));
}

/* ---- accepting ---- */

static void
accepting(struct net *net, bool on)
{
	if (on == net->is_accepting || (on && net->is_draining))
		return;
	net->is_accepting = on;
	for (size_t i = 0; i < net->nlisteners; i++)
		if ((on ? event_add(&net->accepts[i], NULL) : event_del(&net->accepts[i])) == -1)
			DIE(EXIT_TEMP, "fatal.event", log_str("what", "listener"));
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct net *net = arg;
	const struct listener *l = NULL;

	(void)what;
	for (size_t i = 0; i < net->nlisteners; i++)
		if (net->listeners[i].fd == fd)
			l = &net->listeners[i];
	for (int i = 0; i < ACCEPTS && net->is_accepting; i++) {
		struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
		socklen_t n = sizeof(sa);
		int s = accept4(fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (s == -1) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
				LOG("warn.net.accept", log_str("why", strerrordesc_np(errno)));
				accepting(net, false);
				timer_add(&net->retry, RETRY_MS);
			}
			return;
		}
		conn_begin(net, s, l, (const struct sockaddr *)&sa);
		if (net->nconns >= net->conns_max) {
			LOG("net.full", log_u64("connections", net->nconns));
			accepting(net, false);
		}
	}
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct net *net = arg;

	(void)fd;
	(void)what;
	accepting(net, net->nconns < net->conns_max);
}

void
net_conn_gone(struct net *net)
{
	net->nconns--;
	if (net->is_draining && net->nconns == 0)
		event_base_loopbreak(net->base);
	else if (!event_pending(&net->retry, EV_TIMEOUT, NULL))
		accepting(net, net->nconns < net->conns_max);
}

/* ---- leaving ---- */

static void
on_leave(evutil_socket_t fd, short what, void *arg)
{
	struct net *net = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(net->base);
}

static void
goodbye_all(struct net *net)
{
	for (struct conn *c = TAILQ_FIRST(&net->conns), *next; c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		conn_goodbye(c);
	}
	timer_add(&net->leave, LEAVE_MS);
}

static void
drain(struct net *net)
{
	accepting(net, false);
	net->is_draining = true;
	for (size_t i = 0; i < net->nlisteners; i++)
		close(net->listeners[i].fd);
	net->nlisteners = 0;
	if (net->nconns == 0)
		event_base_loopbreak(net->base);
}

/* The parent's image has changed, or it says something: nothing is expected. */
static void
on_chan(evutil_socket_t fd, short what, void *arg)
{
	struct net *net = arg;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	char msg[64];
	ssize_t n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);

	(void)what;
	if (n > 0)
		ipc_close_fds(fds, nfds);
	if (n != 0 || net->is_draining)
		return;
	event_del(&net->drained);
	LOG("net.drain", log_u64("connections", net->nconns));
	drain(net);
	evtimer_assign(&net->retry, net->base, on_leave, net);
	if (net->nconns > 0)
		timer_add(&net->retry, (int64_t)net->house->conf.drain_max_s * 1000);
}

static void
on_term(evutil_socket_t signo, short what, void *arg)
{
	struct net *net = arg;

	(void)signo;
	(void)what;
	if (!net->is_draining)
		drain(net);
	goodbye_all(net);
}

/* ---- auth ---- */

bool
net_tell_auth(struct net *net, const struct auth_msg *m)
{
	struct buf b = buf_make(AUTH_MSG_MAX_BYTES);
	bool ok;

	auth_pack(&b, m);
	ok = pack_ok(&b) && ipc_send(net->auth, buf_slice(&b), NULL, 0) == 0;
	buf_wipe(&b);
	return ok;
}

/* A new front knows nothing of what the old one was told. */
static void
front_ready(struct net *net, uint64_t front)
{
	uint64_t before = net->front;

	net->front = front;
	if (before == 0 || before == front)
		return;
	for (struct conn *c = TAILQ_FIRST(&net->waiting), *next; c != NULL; c = next) {
		next = TAILQ_NEXT(c, waiting);
		conn_auth(c, &(struct auth_msg){.verb = AUTH_FAILED, .fail = AUTH_TEMP}, -1);
	}
}

static void
auth_message(struct net *net, struct slice msg, int *fds, size_t nfds)
{
	struct auth_msg m;
	struct conn *c;
	int fd = -1;

	if (!auth_unpack(msg, &m)) {
		LOG("bug.auth.message", log_u64("bytes", msg.n));
	} else if (m.verb == AUTH_READY) {
		front_ready(net, m.exchange);
	} else if (m.verb == AUTH_CHALLENGE || m.verb == AUTH_OK || m.verb == AUTH_FAILED) {
		TAILQ_FOREACH(c, &net->waiting, waiting)
			if (c->exchange == m.exchange)
				break;
		if (c != NULL && nfds == 1) {
			fd = fds[0];
			nfds = 0;
		}
		if (c != NULL)
			conn_auth(c, &m, fd);
	}
	ipc_close_fds(fds, nfds);
}

static void
on_auth(evutil_socket_t fd, short what, void *arg)
{
	static char msg[AUTH_MSG_MAX_BYTES];
	struct net *net = arg;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n;

	(void)what;
	for (int i = 0; i < AUTH_MSGS; i++) {
		n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);
		if (n == 0)
			event_del(&net->readable);
		if (n <= 0)
			return;
		auth_message(net, (struct slice){msg, (size_t)n}, fds, nfds);
	}
}

/* ---- the start ---- */

static void
tls_open(struct net *net, int key_fd)
{
	struct slice pem = net->house->chain_pem;
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = cert != NULL ? keyhook_make(cert, key_fd) : NULL;
	char reason[TLS_REASON_MAX_BYTES] = "neither RSA nor EC";

	net->tls = key != NULL ? tls_server_ctx(pem, key, net->house->tickets, reason) : NULL;
	if (net->tls == NULL)
		DIE(EXIT_CONF, "fatal.conf", log_str("at", net->house->conf.tls_certificate), log_str("why", reason));
	EVP_PKEY_free(key);
	X509_free(cert);
	BIO_free(bio);
}

static void
limits_set(struct net *net)
{
	uint64_t want = net->house->conf.connections_max;
	struct rlimit have;

	sandbox_limits(2 * want + NOFILE_OTHER, 0, true);
	if (getrlimit(RLIMIT_NOFILE, &have) == -1)
		DIE(EXIT_TEMP, "fatal.sandbox", log_str("what", "limit of descriptors"));
	/* Two descriptors a session; where the system gives fewer than asked for, fewer sessions. */
	net->conns_max = (have.rlim_cur - NOFILE_OTHER) / 2 < want ? (have.rlim_cur - NOFILE_OTHER) / 2 : want;
}

static void
event_begin(struct net *net, struct event *ev, int fd, short what, event_callback_fn fn)
{
	if (event_assign(ev, net->base, fd, what, fn, net) == -1 || (fd != -1 && event_add(ev, NULL) == -1))
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "add"));
}

static void
events_begin(struct net *net, int chan)
{
	event_begin(net, &net->readable, net->auth, EV_READ | EV_PERSIST, on_auth);
	event_begin(net, &net->drained, chan, EV_READ | EV_PERSIST, on_chan);
	event_begin(net, &net->term, SIGTERM, EV_SIGNAL | EV_PERSIST, on_term);
	event_begin(net, &net->retry, -1, 0, on_retry);
	event_begin(net, &net->leave, -1, 0, on_leave);
	for (size_t i = 0; i < net->nlisteners; i++)
		if (event_assign(&net->accepts[i], net->base, net->listeners[i].fd, EV_READ | EV_PERSIST, on_accept, net) == -1)
			DIE(EXIT_TEMP, "fatal.event", log_str("what", "listener"));
}

void
net_main(void *arg, int chan)
{
	const struct house_child *c = arg;
	struct net *net = calloc(1, sizeof(*net));
	uint32_t first;

	if (net == NULL || (net->base = event_base_new()) == NULL)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "base"));
	net->house = c->house;
	net->auth = c->house->net_auth[c->index];
	TAILQ_INIT(&net->conns);
	TAILQ_INIT(&net->waiting);
	net->nlisteners = c->house->nlisteners;
	memcpy(net->listeners, c->house->listeners, sizeof(net->listeners));
	/* No exchange of ours may be called as one of the process before us. */
	if (RAND_bytes((unsigned char *)&first, sizeof(first)) != 1)
		DIE(EXIT_TEMP, "fatal.random", log_str("what", "exchange"));
	net->exchange = (uint64_t)first << 32;
	if (fd_nonblock(net->auth) == -1 || fd_nonblock(chan) == -1 || fd_nonblock(c->house->net_key[c->index]) == -1)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "nonblock"));
	tls_open(net, c->house->net_key[c->index]);
	events_begin(net, chan);
	limits_set(net);
	sandbox_paths(NULL, 0);
	privileges_drop(&net->house->conf.net_user, net->house->conf.chroot_dir, 0);
	sandbox_seccomp(SANDBOX_NET);
	accepting(net, true);
	event_base_dispatch(net->base);
	_exit(0);
}
