/*
 * A login worker's loop. See login.h. An exchange lives here from START to its answer; what the
 * front forgets it says with ABORT or RESET. A step that hangs ends the process by SIGALRM, which the
 * parent reports; the front then fails what was here.
 */
#include "login.h"

#include <errno.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "authmsg.h"
#include "backend.h"
#include "house.h"
#include "ipc.h"
#include "log.h"
#include "sandbox.h"
#include "saslauth.h"

#define STEP_MAX_S	20	/* a password service, the map and spoold together */
#define WAIT_MS		200	/* between looks for the map's directory at a start */

struct exchange {
	uint64_t		 id;
	struct saslauth		*sasl;		/* owned; NULL: free */
	struct buf		 packed;	/* owned: what start points into */
	struct auth_start	 start;
	int64_t			 began_ms;
};

struct worker {
	const struct settings	*conf;
	int			 fd;		/* to the front */
	struct backend		*backend;
	uint64_t		 incarnation;
	struct exchange		 exchanges[AUTH_EXCHANGES_MAX];
};

static void
answer(struct worker *w, const struct auth_msg *m, int fd)
{
	struct buf b = buf_make(AUTH_MSG_MAX_BYTES);

	auth_pack(&b, m);
	if (!pack_ok(&b) || ipc_send(w->fd, buf_slice(&b), &fd, fd != -1) == -1)
		LOG("warn.auth.unsent", log_u64("verb", m->verb));
	buf_wipe(&b);
}

static void
answer_ready(struct worker *w)
{
	answer(w, &(struct auth_msg){.verb = AUTH_READY, .exchange = w->incarnation}, -1);
}

static void
exchange_free(struct exchange *x)
{
	saslauth_free(x->sasl);
	buf_wipe(&x->packed);
	*x = (struct exchange){.sasl = NULL};
}

static struct exchange *
exchange_slot(struct worker *w, uint64_t id)
{
	return &w->exchanges[(uint32_t)id % AUTH_EXCHANGES_MAX];
}

static void
exchange_failed(struct worker *w, struct exchange *x, enum auth_fail fail, const char *why)
{
	const struct sessopen *who = &x->start.who;

	LOG("login.bad", log_slice("sid", who->sid), log_str("user", saslauth_user(x->sasl)),
	    log_str("proto", who->proto == SESS_IMAP ? "imap" : "pop3"), log_slice("mech", x->start.mech),
	    log_slice("addr", who->addr), log_str("tls", who->is_tls ? "yes" : "no"), log_str("why", why),
	    log_i64("ms", mono_ms() - x->began_ms));
	answer(w, &(struct auth_msg){.verb = AUTH_FAILED, .exchange = x->id, .fail = fail}, -1);
	exchange_free(x);
}

static void
exchange_proved(struct worker *w, struct exchange *x)
{
	static const char *const why[] = {[AUTH_TEMP] = "no session", [AUTH_ELSEWHERE] = "elsewhere", [AUTH_BUSY] = "busy"};
	struct sessopen who = x->start.who;
	int fd = -1, fail;

	who.user = slice_of(saslauth_user(x->sasl));
	fail = backend_open(w->backend, &who, &fd);
	if (fail != 0) {
		exchange_failed(w, x, (enum auth_fail)fail, why[fail]);
		return;
	}
	LOG("login.ok", log_slice("sid", who.sid), log_slice("user", who.user),
	    log_str("proto", who.proto == SESS_IMAP ? "imap" : "pop3"), log_slice("mech", x->start.mech),
	    log_slice("addr", who.addr), log_str("tls", who.is_tls ? "yes" : "no"), log_slice("client", who.client_id),
	    log_i64("ms", mono_ms() - x->began_ms));
	answer(w, &(struct auth_msg){.verb = AUTH_OK, .exchange = x->id, .data = who.user}, fd);
	close(fd);
	exchange_free(x);
}

static void
exchange_went(struct worker *w, struct exchange *x, enum saslauth_outcome outcome, struct slice data)
{
	switch (outcome) {
	case SASLAUTH_MORE:
		answer(w, &(struct auth_msg){.verb = AUTH_CHALLENGE, .exchange = x->id, .data = data}, -1);
		break;
	case SASLAUTH_OK:
		exchange_proved(w, x);
		break;
	case SASLAUTH_BAD:
		exchange_failed(w, x, AUTH_BAD, saslauth_why(x->sasl));
		break;
	case SASLAUTH_TEMP:
		exchange_failed(w, x, AUTH_TEMP, saslauth_why(x->sasl));
		break;
	}
}

static void
exchange_start(struct worker *w, const struct auth_msg *m, struct slice packed)
{
	struct exchange *x = exchange_slot(w, m->exchange);
	enum saslauth_outcome outcome;
	char mech[AUTH_MECH_MAX_BYTES + 1];
	struct slice data = {NULL, 0};
	struct auth_msg copy;

	exchange_free(x);	/* the front gave its number to another */
	x->id = m->exchange;
	x->began_ms = mono_ms();
	x->sasl = saslauth_make(m->start.who.proto, m->start.who.is_tls);
	if (x->sasl == NULL) {
		answer(w, &(struct auth_msg){.verb = AUTH_FAILED, .exchange = m->exchange, .fail = AUTH_TEMP}, -1);
		return;
	}
	x->packed = buf_make(AUTH_MSG_MAX_BYTES);
	buf_add_slice(&x->packed, packed);
	if (!auth_unpack(buf_slice(&x->packed), &copy))
		DIE(EXIT_TEMP, "bug.auth.message", log_u64("bytes", packed.n));
	x->start = copy.start;
	snprintf(mech, sizeof(mech), "%.*s", (int)x->start.mech.n, x->start.mech.p);
	outcome = saslauth_start(x->sasl, mech, x->start.has_initial, x->start.initial, &data);
	exchange_went(w, x, outcome, data);
}

static void
exchange_step(struct worker *w, const struct auth_msg *m)
{
	struct exchange *x = exchange_slot(w, m->exchange);
	enum saslauth_outcome outcome;
	struct slice data = {NULL, 0};

	if (x->sasl == NULL || x->id != m->exchange) {
		answer(w, &(struct auth_msg){.verb = AUTH_FAILED, .exchange = m->exchange, .fail = AUTH_TEMP}, -1);
		return;
	}
	outcome = saslauth_step(x->sasl, m->data, &data);
	exchange_went(w, x, outcome, data);
}

static void
message(struct worker *w, struct slice packed)
{
	struct auth_msg m;
	struct exchange *x;

	if (!auth_unpack(packed, &m)) {
		LOG("bug.auth.message", log_u64("bytes", packed.n));
		return;
	}
	x = exchange_slot(w, m.exchange);
	switch (m.verb) {
	case AUTH_RESET:
		for (size_t i = 0; i < AUTH_EXCHANGES_MAX; i++)
			exchange_free(&w->exchanges[i]);
		answer_ready(w);
		break;
	case AUTH_START:
		exchange_start(w, &m, packed);
		break;
	case AUTH_STEP:
		exchange_step(w, &m);
		break;
	case AUTH_ABORT:
		if (x->sasl != NULL && x->id == m.exchange)
			exchange_free(x);
		break;
	case AUTH_READY:
	case AUTH_CHALLENGE:
	case AUTH_OK:
	case AUTH_FAILED:
		break;
	}
}

/*
 * Landlock binds to directories that exist, and mupdated may be starting too: without a map
 * no login could be decided anyway.
 */
static void
wait_for_map(const struct settings *conf)
{
	bool said = false;

	while (conf->map_dir[0] != '\0' && access(conf->map_dir, F_OK) == -1 && !child_term) {
		if (!said)
			LOG("login.waiting", log_str("for", conf->map_dir));
		said = true;
		usleep(WAIT_MS * 1000);
	}
}

static void
confine(struct worker *w)
{
	char dir[4096 + 1];
	char *slash;
	struct sandbox_path paths[] = {{dir, false}, {"/dev/urandom", false}, {w->conf->map_dir, true}};

	/* The directory: saslpasswd2 may put another file in its place. */
	snprintf(dir, sizeof(dir), "%s", w->conf->sasldb_path);
	slash = strrchr(dir, '/');
	slash[slash == dir] = '\0';
	sandbox_limits(256, 0, true);
	sandbox_paths(paths, w->conf->map_dir[0] != '\0' ? 3 : 2);
	privileges_drop(&w->conf->auth_user, NULL, 0);
	sandbox_seccomp(SANDBOX_FILES);
}

/* What was sent to the worker before this one is nobody's any more. */
static void
discard_old(struct worker *w, char *msg, size_t cap)
{
	struct pollfd pfd = {.fd = w->fd, .events = POLLIN};
	int fds[IPC_FDS_MAX];
	size_t nfds;

	while (poll(&pfd, 1, 0) == 1 && ipc_recv(w->fd, msg, cap, fds, &nfds) > 0)
		ipc_close_fds(fds, nfds);
}

void
login_main(void *arg, int chan)
{
	static char msg[AUTH_MSG_MAX_BYTES];
	const struct house_child *c = arg;
	struct worker *w = calloc(1, sizeof(*w));
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = -1;

	close(chan);	/* draining is when the front ends */
	if (w == NULL || RAND_bytes((unsigned char *)&w->incarnation, sizeof(w->incarnation)) != 1)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "worker"));
	w->incarnation |= 1;	/* 0 is for "not heard of" */
	w->conf = &c->house->conf;
	w->fd = c->house->login_auth[c->index];
	w->backend = backend_make(w->conf);
	saslauth_init(w->conf);
	wait_for_map(w->conf);
	confine(w);
	discard_old(w, msg, sizeof(msg));
	answer_ready(w);
	while (!child_term) {
		n = ipc_recv(w->fd, msg, sizeof(msg), fds, &nfds);
		if (n == 0)
			break;
		if (n == -1 && errno != EINTR && errno != EMSGSIZE)
			DIE(EXIT_TEMP, "fatal.child", log_str("what", "recv"));
		if (n == -1)
			continue;
		ipc_close_fds(fds, nfds);
		alarm(STEP_MAX_S);
		message(w, (struct slice){msg, (size_t)n});
		alarm(0);
		explicit_bzero(msg, (size_t)n);
	}
	_exit(0);
}
