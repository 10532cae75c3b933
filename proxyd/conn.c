/*
 * One client connection. See conn.h for its states. conn_run drives it whatever happened; nothing of
 * a connection may be touched after a call that may have ended it.
 */
#include "conn.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"

#define HANDSHAKE_MS	15000	/* four packets */
#define FIRST_ANSWER_MS	120000	/* a backend may have an index to rebuild: 20,000 messages take seconds */
#define STUCK_MS	300000	/* a side that took no byte for so long is gone */
#define FLUSH_MS	10000
#define LINGER_MS	1000	/* so that the client reads our last words before the reset that unread input causes */
#define LINGER_BYTES	(1024 * 1024)
#define READ_BYTES	4096
#define KEEPALIVE_IDLE_S	600
#define KEEPALIVE_EVERY_S	60
#define KEEPALIVE_TRIES	5

static void	conn_run(struct conn *);

static const char *
proto_name(enum sess_proto p)
{
	return p == SESS_IMAP ? "imap" : "pop3";
}

static void
pre_free(struct conn *c)
{
	if (c->pre != NULL)
		prelogin_free(c->pre);
	free(c->pre);
	c->pre = NULL;
	buf_wipe(&c->in);
	buf_free(&c->out);
}

static void
relay_drop(struct conn *c)
{
	if (c->relay != NULL) {
		c->bytes_in += c->relay->bytes_in;
		c->bytes_out += c->relay->bytes_out;
		relay_free(c->relay);
	}
	free(c->relay);
	c->relay = NULL;
	event_del(&c->backend_event);
	c->backend_watched = 0;
	if (c->backend != -1)
		close(c->backend);
	c->backend = -1;
}

static void
conn_done(struct conn *c, const char *why)
{
	if (c->state == CONN_DONE)
		return;
	c->state = CONN_DONE;
	relay_drop(c);
	LOG("conn.end", log_str("sid", c->sid), log_str("addr", c->addr), log_u64("port", c->port),
	    log_str("proto", proto_name(c->proto)), log_str("tls", tls_version(&c->client)), log_str("user", c->user),
	    log_u64("bytes_in", c->bytes_in), log_u64("bytes_out", c->bytes_out), log_i64("ms", mono_ms() - c->began_ms),
	    log_str("why", why));
}

static void
exchange_end(struct conn *c)
{
	if (c->exchange != 0)
		TAILQ_REMOVE(&c->net->waiting, c, waiting);
	c->exchange = 0;
}

static void
exchange_drop(struct conn *c)
{
	if (c->exchange != 0)
		net_tell_auth(c->net, &(struct auth_msg){.verb = AUTH_ABORT, .exchange = c->exchange});
	exchange_end(c);
	c->failure_at_ms = 0;
}

static void
conn_free(struct conn *c)
{
	struct net *net = c->net;

	exchange_drop(c);
	relay_drop(c);
	pre_free(c);
	event_del(&c->client_event);
	event_del(&c->timer);
	tls_close(&c->client);
	peraddr_drop(&net->peraddr, c->address);
	TAILQ_REMOVE(&net->conns, c, link);
	free(c);
	net_conn_gone(net);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	conn_run(arg);
}

static void
watch(struct conn *c, struct event *ev, int fd, short *watched, short want)
{
	if (*watched == want)
		return;
	event_del(ev);
	*watched = want;
	event_assign(ev, c->net->base, fd, (short)(want | EV_PERSIST), on_event, c);
	if (want != 0 && event_add(ev, NULL) == -1)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "add"));
}

static void
watch_client(struct conn *c, short want)
{
	watch(c, &c->client_event, c->client.fd, &c->client_watched, want);
}

static void
set_timer(struct conn *c)
{
	int64_t at_ms = c->deadline_ms, left_ms;
	struct timeval tv;

	if (c->failure_at_ms != 0 && (at_ms == 0 || c->failure_at_ms < at_ms))
		at_ms = c->failure_at_ms;
	if (at_ms == 0) {
		event_del(&c->timer);
		return;
	}
	left_ms = at_ms - mono_ms();
	if (left_ms < 1)
		left_ms = 1;
	tv = (struct timeval){.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};
	if (event_add(&c->timer, &tv) == -1)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "timer"));
}

static void
begin_flush(struct conn *c, const char *why)
{
	exchange_drop(c);
	relay_drop(c);
	c->why = why;
	c->state = CONN_FLUSH;
	c->deadline_ms = mono_ms() + FLUSH_MS;
}

/* Writes what is pending. False: the client is gone, or it takes no more before *want_out. */
static bool
flush_out(struct conn *c, short *want_out)
{
	size_t put;

	while (c->out.n > 0) {
		enum tls_io io = tls_write(&c->client, c->out.p, c->out.n, &put);

		if (io == TLS_WANT_READ || io == TLS_WANT_WRITE) {
			*want_out |= io == TLS_WANT_READ ? EV_READ : EV_WRITE;
			return false;
		}
		if (io != TLS_DONE) {
			conn_done(c, "client_lost");
			return false;
		}
		c->bytes_out += put;
		buf_drop(&c->out, put);
	}
	buf_free(&c->out);
	return true;
}

/* ---- TLS ---- */

static void
tls_begin(struct conn *c)
{
	int64_t at_ms = mono_ms() + HANDSHAKE_MS;

	c->wants_tls = false;
	c->state = CONN_TLS;
	if (c->deadline_ms > at_ms)
		c->deadline_ms = at_ms;
	if (tls_serve(&c->client, c->net->tls, proto_name(c->proto)) == -1)
		conn_done(c, "tls");
}

static int64_t
pre_deadline(const struct conn *c, int64_t from_ms)
{
	return from_ms + (int64_t)c->net->house->conf.login_timeout_s * 1000;
}

static void
run_tls(struct conn *c)
{
	char reason[TLS_REASON_MAX_BYTES];

	switch (tls_handshake(&c->client)) {
	case TLS_DONE:
		c->is_tls = true;
		c->state = CONN_PRE;
		c->deadline_ms = pre_deadline(c, c->began_ms);
		prelogin_secured(c->pre);
		if (!c->is_greeted)
			prelogin_greet(c->pre, &c->out);
		c->is_greeted = true;
		break;
	case TLS_WANT_READ:
		watch_client(c, EV_READ);
		break;
	case TLS_WANT_WRITE:
		watch_client(c, EV_WRITE);
		break;
	case TLS_END:
	case TLS_FAIL:
		tls_reason(reason);
		LOG("tls.bad", log_str("sid", c->sid), log_str("addr", c->addr), log_str("why", reason));
		conn_done(c, "tls");
		break;
	}
}

/* ---- pre-login ---- */

static void
auth_failed(struct conn *c, enum auth_fail fail)
{
	c->failure_at_ms = 0;
	if (prelogin_failed(c->pre, fail, &c->out) == PRE_CLOSE)
		begin_flush(c, c->pre->end_why);
}

/* Gives PRE_START or PRE_STEP to auth. */
static void
auth_ask(struct conn *c, enum auth_verb verb)
{
	struct prelogin *p = c->pre;
	struct auth_msg m = {.verb = verb, .data = buf_slice(&p->data)};
	bool sent;

	if (verb == AUTH_START) {
		c->exchange = ++c->net->exchange;
		TAILQ_INSERT_TAIL(&c->net->waiting, c, waiting);
		m.start = (struct auth_start){
		    .who = {.proto = c->proto, .sid = {c->sid, CONN_SID_BYTES}, .tag = slice_of(p->tag),
			.addr = slice_of(c->addr), .port = c->port, .is_tls = c->is_tls, .client_id = buf_slice(&p->client_id),
			.mechs = slice_of(c->proto == SESS_POP3 ? p->policy->pop3_sasl[c->is_tls] : ""), .is_utf8 = p->is_utf8},
		    .mech = slice_of(p->mech), .has_initial = p->has_initial, .initial = m.data};
	}
	m.exchange = c->exchange;
	sent = net_tell_auth(c->net, &m);
	prelogin_sent(p);
	if (!sent) {
		exchange_end(c);
		auth_failed(c, AUTH_BUSY);
	}
}

/* Reads what there is room for. False: nothing more for now. */
static bool
read_in(struct conn *c, short *want_out)
{
	size_t room = c->in.cap - c->in.n, got;
	char *p;

	if (room == 0 || c->wants_tls || c->out.n > PRE_OUT_HIGH_BYTES)
		return false;
	if (room > READ_BYTES)
		room = READ_BYTES;
	p = buf_room(&c->in, room);
	switch (tls_read(&c->client, p, room, &got)) {
	case TLS_DONE:
		c->in.n += got;
		c->bytes_in += got;
		return true;
	case TLS_WANT_READ:
		*want_out |= EV_READ;
		return false;
	case TLS_WANT_WRITE:
		*want_out |= EV_WRITE;
		return false;
	case TLS_END:
		/* It may only have closed its half: while a login is being answered, the relay or the next look here sees to it. */
		if (c->exchange == 0 && c->failure_at_ms == 0)
			conn_done(c, "client_end");
		return false;
	case TLS_FAIL:
		conn_done(c, "client_lost");
		return false;
	}
	return false;
}

static void
run_machine(struct conn *c)
{
	while (c->state == CONN_PRE && !c->wants_tls && c->out.n <= PRE_OUT_HIGH_BYTES) {
		switch (prelogin_input(c->pre, &c->in, &c->out)) {
		case PRE_MORE:
			if (c->in.n == 0)
				buf_free(&c->in);
			return;
		case PRE_START:
			auth_ask(c, AUTH_START);
			break;
		case PRE_STEP:
			auth_ask(c, AUTH_STEP);
			break;
		case PRE_ABORT:
			exchange_drop(c);
			break;
		case PRE_TLS:
			c->wants_tls = true;
			break;
		case PRE_CLOSE:
			begin_flush(c, c->pre->end_why);
			break;
		}
	}
}

static void
run_pre(struct conn *c)
{
	short want = 0;
	bool more;

	if (c->failure_at_ms != 0 && mono_ms() >= c->failure_at_ms)
		auth_failed(c, c->failure);
	do {
		want = 0;
		run_machine(c);
		if (c->state != CONN_PRE)
			return;
		if (!flush_out(c, &want)) {
			if (c->state == CONN_PRE)
				watch_client(c, want);
			return;
		}
		if (c->wants_tls) {
			tls_begin(c);
			return;
		}
		more = read_in(c, &want);
	} while (more && c->state == CONN_PRE);
	if (c->state == CONN_PRE)
		watch_client(c, want);
}

/* ---- relay ---- */

static void
relay_begin(struct conn *c, int fd)
{
	c->backend = fd;
	if (fd_nonblock(fd) == -1)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "nonblock"));
	c->relay = malloc(sizeof(*c->relay));
	if (c->relay == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "relay"));
	relay_init(c->relay, c->proto == SESS_IMAP ? c->pre->tag : NULL);
	/* Pipelined commands wait in the relay for a good answer; after a bad one they are pre-login's again. */
	relay_preload(c->relay, buf_slice(&c->in));
	c->state = CONN_RELAY;
	c->deadline_ms = mono_ms() + FIRST_ANSWER_MS;
}

/* The backend did not take the login: the client may try again, unless it was left within a line. */
static void
relay_refused(struct conn *c)
{
	enum relay_login login = c->relay->login;
	bool at_line = c->relay->last == '\n';

	if (!at_line) {
		begin_flush(c, "backend_end");
		return;
	}
	relay_drop(c);
	c->user[0] = '\0';
	c->state = CONN_PRE;
	c->deadline_ms = pre_deadline(c, mono_ms());
	if (login == RELAY_REFUSED)
		prelogin_refused(c->pre);
	else
		auth_failed(c, AUTH_TEMP);
}

static short
wanted(int relay_want)
{
	return (short)((relay_want & RELAY_READ ? EV_READ : 0) | (relay_want & RELAY_WRITE ? EV_WRITE : 0));
}

static void
run_relay(struct conn *c)
{
	struct relay *r = c->relay;
	enum relay_state state = relay_pump(r, &c->client, c->backend);

	if (r->login == RELAY_ACCEPTED && c->pre != NULL) {
		pre_free(c);
		c->deadline_ms = 0;
	}
	if (state == RELAY_OVER && r->login != RELAY_ACCEPTED && r->backend_ended) {
		relay_refused(c);
		return;
	}
	if (state == RELAY_OVER && !r->backend_ended) {
		conn_done(c, r->why);
		return;
	}
	if (state == RELAY_OVER) {
		begin_flush(c, r->why);
		return;
	}
	if (r->login == RELAY_ACCEPTED && !relay_is_stuck(r) && !r->client_ended)
		c->deadline_ms = 0;
	else if (r->login == RELAY_ACCEPTED && (r->moved || c->deadline_ms == 0))
		c->deadline_ms = mono_ms() + STUCK_MS;
	watch_client(c, wanted(r->want_client));
	watch(c, &c->backend_event, c->backend, &c->backend_watched, wanted(r->want_backend));
	if (state == RELAY_AGAIN)
		event_active(&c->client_event, EV_READ, 0);
}

/* ---- the end ---- */

static void
run_flush(struct conn *c)
{
	short want = 0;

	if (flush_out(c, &want)) {
		tls_shut(&c->client);
		c->state = CONN_LINGER;
		c->deadline_ms = mono_ms() + LINGER_MS;
	} else if (c->state == CONN_FLUSH) {
		watch_client(c, want);
	}
}

/* Reads and forgets below TLS: nothing that comes now counts. */
static void
run_linger(struct conn *c)
{
	char junk[READ_BYTES];
	ssize_t n = 0;

	while (c->lingered < LINGER_BYTES && (n = read(c->client.fd, junk, sizeof(junk))) > 0)
		c->lingered += (size_t)n;
	if (c->lingered < LINGER_BYTES && n == -1 && errno == EAGAIN)
		watch_client(c, EV_READ);
	else
		conn_done(c, c->why);
}

static void
run_timeout(struct conn *c)
{
	bool was_silent;

	c->deadline_ms = 0;
	switch (c->state) {
	case CONN_TLS:
		conn_done(c, "tls_timeout");
		break;
	case CONN_PRE:
		prelogin_bye(c->proto, c->proto == SESS_POP3 ? "[SYS/TEMP] " : "", "the login took too long", &c->out);
		begin_flush(c, "login_timeout");
		break;
	case CONN_RELAY:
		if (c->relay->login == RELAY_ACCEPTED) {
			conn_done(c, "stuck");
			break;
		}
		was_silent = c->relay->bytes_out == 0;
		if (was_silent)
			prelogin_failed(c->pre, AUTH_TEMP, &c->out);
		begin_flush(c, "backend_timeout");
		break;
	case CONN_FLUSH:
	case CONN_LINGER:
		conn_done(c, c->why);
		break;
	case CONN_DONE:
		break;
	}
}

static void
conn_run(struct conn *c)
{
	enum conn_state before;

	if (c->deadline_ms != 0 && mono_ms() >= c->deadline_ms)
		run_timeout(c);
	do {
		before = c->state;
		switch (c->state) {
		case CONN_TLS:
			run_tls(c);
			break;
		case CONN_PRE:
			run_pre(c);
			break;
		case CONN_RELAY:
			run_relay(c);
			break;
		case CONN_FLUSH:
			run_flush(c);
			break;
		case CONN_LINGER:
			run_linger(c);
			break;
		case CONN_DONE:
			break;
		}
	} while (c->state != before);
	if (c->state == CONN_DONE)
		conn_free(c);
	else
		set_timer(c);
}

void
conn_auth(struct conn *c, const struct auth_msg *m, int fd)
{
	int64_t delay_ms;

	if (m->verb != AUTH_CHALLENGE)
		exchange_end(c);
	if (m->verb == AUTH_CHALLENGE) {
		prelogin_challenge(c->pre, m->data, &c->out);
	} else if (m->verb == AUTH_OK && fd != -1) {
		snprintf(c->user, sizeof(c->user), "%.*s", (int)m->data.n, m->data.p);
		relay_begin(c, fd);
		fd = -1;
	} else {
		c->failure = m->verb == AUTH_FAILED ? m->fail : AUTH_TEMP;
		delay_ms = prelogin_delay_ms(c->pre, c->failure);
		c->failure_at_ms = mono_ms() + delay_ms;
	}
	if (fd != -1)
		close(fd);
	conn_run(c);
}

void
conn_goodbye(struct conn *c)
{
	if (c->state == CONN_PRE && c->is_greeted)
		prelogin_bye(c->proto, c->proto == SESS_POP3 ? "[SYS/TEMP] " : "", "the server stops, come back in a moment",
		    &c->out);
	else if (c->state == CONN_RELAY && c->proto == SESS_IMAP && c->relay->down == NULL && c->relay->last == '\n')
		prelogin_bye(c->proto, "", "the server stops, come back in a moment", &c->out);
	if (c->state == CONN_TLS) {
		conn_done(c, "stopped");
	} else if (c->state == CONN_PRE || c->state == CONN_RELAY) {
		begin_flush(c, "stopped");
	}
	conn_run(c);
}

static void
socket_tune(int fd)
{
	static const struct {
		int	level, name, value;
	} options[] = {
	    {IPPROTO_TCP, TCP_NODELAY, 1}, {SOL_SOCKET, SO_KEEPALIVE, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
	    {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S}, {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TRIES},
	};

	/* Not vital: a failure only makes the connection slower to answer or to be missed. */
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

static void
sid_make(char *out)
{
	unsigned char r[CONN_SID_BYTES / 2];

	if (RAND_bytes(r, sizeof(r)) != 1)
		DIE(EXIT_TEMP, "fatal.random", log_str("what", "sid"));
	for (size_t i = 0; i < sizeof(r); i++)
		snprintf(out + 2 * i, 3, "%02x", r[i]);
}

void
conn_begin(struct net *net, int fd, const struct listener *l, const struct sockaddr *sa)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL || (c->pre = malloc(sizeof(*c->pre))) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "connection"));
	c->net = net;
	c->client.fd = fd;
	c->backend = -1;
	c->proto = l->proto;
	c->why = "";
	c->in = buf_make(PRE_IN_MAX_BYTES);
	c->out = buf_make(PRE_OUT_MAX_BYTES);
	c->began_ms = mono_ms();
	c->deadline_ms = pre_deadline(c, c->began_ms);
	c->port = peraddr_text(sa, c->addr);
	sid_make(c->sid);
	socket_tune(fd);
	prelogin_init(c->pre, &net->house->policy, l->proto, l->is_tls);
	event_assign(&c->client_event, net->base, fd, EV_READ | EV_PERSIST, on_event, c);
	event_assign(&c->backend_event, net->base, -1, EV_READ | EV_PERSIST, on_event, c);
	evtimer_assign(&c->timer, net->base, on_event, c);
	TAILQ_INSERT_TAIL(&net->conns, c, link);
	net->nconns++;
	c->address = peraddr_take(&net->peraddr, sa, net->house->conf.per_address_max);
	c->state = CONN_PRE;
	if (c->address == NULL) {
		if (!l->is_tls)
			prelogin_bye(l->proto, l->proto == SESS_POP3 ? "[SYS/TEMP] " : "",
			    "too many connections from your address", &c->out);
		begin_flush(c, "per_address");
	} else if (l->is_tls) {
		tls_begin(c);
	} else {
		prelogin_greet(c->pre, &c->out);
		c->is_greeted = true;
	}
	conn_run(c);
}
