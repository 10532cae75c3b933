/*
 * The commands, one table: name, arguments, states, handler. What a client says is checked here as far
 * as net knows it; whether a change is allowed is the map's to say. Texts are as Cyrus 3.6 has them where
 * its clients show them. Outcomes: OK and NO of the command; BAD, not understood; BYE, no answer can be
 * given, so that a client never takes a failing map for a refusal. RFC 3656 3, 4.
 */
#include "command.h"

#include <sasl/sasl.h>
#include <sasl/saslutil.h>
#include <stdio.h>

#include "log.h"
#include "net.h"
#include "stream.h"

#define BANNER_BYTES	1024

/* ---- the banner ---- */

void
command_banner(struct conn *c, const char *hostname, const char *mechs)
{
	struct buf b = buf_make(BANNER_BYTES);

	if (mechs != NULL) {
		(void)buf_add_str(&b, "* AUTH");
		for (const char *p = mechs; *p != '\0';) {
			size_t n = strcspn(p, " ");

			(void)mupdate_string_add(&b, 0, (struct slice){p, n});
			p += n + (p[n] == ' ');
		}
		(void)buf_add_str(&b, "\r\n");
	}
	(void)buf_add_str(&b, "* OK MUPDATE");
	(void)mupdate_string_add(&b, 0, slice_of(hostname));
	(void)buf_add_str(&b, " \"twinspool\" \"" TS_VERSION "\" \"(master)\"\r\n");
	(void)conn_append(c, &c->out, buf_slice(&b));
	buf_free(&b);
}

/* ---- arguments ---- */

/* A mailbox's name from the wire into inside form. False: refused, and said so. */
static bool
name_take(struct conn *c, struct slice arg, struct mboxname *out)
{
	long n = mutf7_decode(arg, out->s, MBOXNAME_MAX_BYTES);

	for (long i = 0; i < n; i++)
		if ((unsigned char)out->s[i] < 0x20 || out->s[i] == 0x7f)
			n = -1;
	if (n <= 0) {
		conn_reply(c, c->tag, "NO", "not a mailbox name in modified UTF-7");
		return false;
	}
	out->n = (size_t)n;
	out->s[n] = '\0';
	return true;
}

/* Opaque but for what its readers need: no two '!', no control bytes. A partition may be missing, or empty. */
static bool
location_take(struct conn *c, struct slice arg)
{
	size_t bangs = 0;
	bool ok = arg.n > 0 && arg.n <= LOCATION_MAX_BYTES;

	for (size_t i = 0; ok && i < arg.n; i++) {
		bangs += arg.p[i] == '!';
		ok = (unsigned char)arg.p[i] > ' ' && arg.p[i] != 0x7f && bangs < 2;
	}
	if (!ok)
		conn_reply(c, c->tag, "NO", "not a location");
	return ok;
}

static bool
acl_take(struct conn *c, struct slice arg)
{
	if (arg.n <= ACL_MAX_BYTES)
		return true;
	conn_reply(c, c->tag, "NO", "acl too long");
	return false;
}

/* ---- handlers ---- */

static void
set_send(struct conn *c, enum set_op op, const struct slice *args, size_t nargs)
{
	struct verb_set v = {.conn = c->id, .sid = slice_of(c->sid), .op = op};
	struct mboxname name;

	if (!name_take(c, args[0], &name) || (nargs > 1 && !location_take(c, args[1])) ||
	    (nargs > 2 && !acl_take(c, args[2])))
		return;
	v.name = (struct slice){name.s, name.n};
	if (nargs > 1)
		v.location = args[1];
	if (nargs > 2)
		v.acl = args[2];
	c->is_busy = true;
	verb_pack_set(&c->net->out, &v);
	net_send(c->net);
}

static void
do_reserve(struct conn *c, const struct slice *args, size_t nargs)
{
	set_send(c, SET_RESERVE, args, nargs);
}

static void
do_activate(struct conn *c, const struct slice *args, size_t nargs)
{
	set_send(c, SET_ACTIVATE, args, nargs);
}

static void
do_deactivate(struct conn *c, const struct slice *args, size_t nargs)
{
	set_send(c, SET_DEACTIVATE, args, nargs);
}

static void
do_delete(struct conn *c, const struct slice *args, size_t nargs)
{
	set_send(c, SET_DELETE, args, nargs);
}

static void
do_find(struct conn *c, const struct slice *args, size_t nargs)
{
	struct mboxname name;

	(void)nargs;
	if (!name_take(c, args[0], &name))
		return;
	c->is_busy = true;
	verb_pack_find(&c->net->out, &(struct verb_find){c->id, {name.s, name.n}});
	net_send(c->net);
}

static void
do_list(struct conn *c, const struct slice *args, size_t nargs)
{
	struct slice prefix = nargs > 0 ? args[0] : SLICE("");

	if (prefix.n > LOCATION_MAX_BYTES)
		conn_reply(c, c->tag, "OK", "list complete");	/* no location is that long */
	else
		stream_dump(c, false, prefix, NULL, 0);
}

static void
do_update(struct conn *c, const struct slice *args, size_t nargs)
{
	for (size_t i = 0; i < nargs; i++) {
		if (args[i].n > 0 && args[i].n <= LOCATION_MAX_BYTES)
			continue;
		conn_reply(c, c->tag, "NO", "not a host name");
		return;
	}
	stream_dump(c, true, SLICE(""), args, nargs);
}

/* Everything the map told before is in the output already. */
static void
do_noop(struct conn *c, const struct slice *args, size_t nargs)
{
	(void)args;
	(void)nargs;
	conn_reply(c, c->tag, "OK", "Noop done");
}

static void
do_logout(struct conn *c, const struct slice *args, size_t nargs)
{
	(void)args;
	(void)nargs;
	conn_bye(c, c->tag, "bye-bye", "logout");
}

/* ---- login ---- */

/* Sends a step to the map. bytes are wiped by net_send. */
static void
login_send(struct conn *c, enum verb verb, struct slice mech, bool has_bytes, struct slice bytes)
{
	c->state = CONN_LOGIN;
	c->is_busy = true;
	verb_pack_login(&c->net->out, verb, &(struct verb_login){c->id, mech, has_bytes, bytes});
	net_send(c->net);
}

/* Base64, as RFC 4648 4 has it and nothing else. False where it is not. */
static bool
base64_take(struct slice in, char *out, size_t cap, size_t *n_out)
{
	unsigned n = 0;

	if (in.n % 4 != 0 || in.n / 4 * 3 > cap)
		return false;
	if (in.n > 0 && sasl_decode64(in.p, (unsigned)in.n, out, (unsigned)cap, &n) != SASL_OK)
		return false;
	*n_out = n;
	return true;
}

static void
login_failed(struct conn *c, const char *text, const char *why)
{
	LOG("login.bad", log_str("sid", c->sid), log_str("mech", c->mech), log_str("addr", c->addr), log_str("why", why));
	c->state = CONN_FRESH;
	if (++c->logins < CONN_LOGINS_MAX)
		conn_reply(c, c->tag, "NO", text);
	else
		conn_bye(c, c->tag, "too many failed logins", "logins");
}

static void
do_authenticate(struct conn *c, const struct slice *args, size_t nargs)
{
	char bytes[SASL_MAX_BYTES + 4];
	size_t n = 0;

	if (args[0].n == 0 || args[0].n > MECH_MAX_BYTES || memchr(args[0].p, '\0', args[0].n) != NULL ||
	    c->net->mechs[0] == '\0') {
		c->mech[0] = '\0';
		login_failed(c, "no such mechanism", "no such mechanism");
		return;
	}
	for (size_t i = 0; i < args[0].n; i++)
		c->mech[i] = (char)(args[0].p[i] >= 'a' && args[0].p[i] <= 'z' ? args[0].p[i] - 32 : args[0].p[i]);
	c->mech[args[0].n] = '\0';
	/* "=" is how other protocols write an empty response. */
	if (nargs > 1 && !slice_is(args[1], SLICE("=")) && !base64_take(args[1], bytes, sizeof(bytes), &n)) {
		login_failed(c, "not base64", "malformed");
		return;
	}
	login_send(c, VERB_LOGIN, slice_of(c->mech), nargs > 1, (struct slice){bytes, n});
	explicit_bzero(bytes, sizeof(bytes));
}

void
command_sasl(struct conn *c, struct slice line)
{
	char bytes[SASL_MAX_BYTES + 4];
	size_t n;

	if (slice_is(line, SLICE("*")) || !base64_take(line, bytes, sizeof(bytes), &n)) {
		verb_pack_forget(&c->net->out, c->id);
		net_send(c->net);
		login_failed(c, line.n == 1 ? "login cancelled" : "not base64", line.n == 1 ? "cancelled" : "malformed");
		return;
	}
	login_send(c, VERB_STEP, SLICE(""), true, (struct slice){bytes, n});
	explicit_bzero(bytes, sizeof(bytes));
}

void
command_challenge(struct conn *c, struct slice bytes)
{
	char text[(SASL_MAX_BYTES + 2) / 3 * 4 + 3];
	unsigned n = 0;

	if (c->state != CONN_LOGIN || !c->is_busy)
		return;
	c->is_busy = false;
	if (bytes.n > 0 && sasl_encode64(bytes.p, (unsigned)bytes.n, text, sizeof(text), &n) != SASL_OK) {
		conn_bye(c, c->tag, "the challenge cannot be sent", "login");
		return;
	}
	/* RFC 3656 4.2: bare, without "+ "; an empty one is an empty line. */
	memcpy(text + n, "\r\n", 2);
	(void)conn_append(c, &c->out, (struct slice){text, n + 2});
}

static void
login_answer(struct conn *c, const struct verb_answer *v)
{
	if (v->outcome == ANSWER_NO) {
		char why[64];

		(void)snprintf(why, sizeof(why), "%.*s", (int)v->text.n, v->text.p);
		login_failed(c, "authentication failed", why);
		return;
	}
	(void)snprintf(c->user, sizeof(c->user), "%.*s", (int)v->text.n, v->text.p);
	LOG("login.ok", log_str("sid", c->sid), log_str("user", c->user), log_str("mech", c->mech), log_str("addr", c->addr));
	c->state = CONN_OPEN;
	c->net->nfresh--;
	conn_reply(c, c->tag, "OK", "Authenticated");
}

/* ---- the map's answers ---- */

void
command_answer(struct conn *c, const struct verb_answer *v)
{
	char text[REPLY_TEXT_MAX_BYTES];

	if (!c->is_busy || c->state == CONN_ENDING)
		return;
	c->is_busy = false;
	(void)snprintf(text, sizeof(text), "%.*s", (int)v->text.n, v->text.p);
	if (v->outcome == ANSWER_TEMP)
		conn_bye(c, c->tag, text, "temp");
	else if (c->state == CONN_LOGIN)
		login_answer(c, v);
	else
		conn_reply(c, c->tag, v->outcome == ANSWER_OK ? "OK" : "NO", text);
}

/* ---- the table ---- */

#define IN_FRESH	(1U << CONN_FRESH)
#define IN_OPEN		(1U << CONN_OPEN)
#define IN_STREAMING	(1U << CONN_STREAMING)

static const struct command {
	const char	*name;
	size_t		 least, most;	/* arguments */
	unsigned	 states;
	void		(*run)(struct conn *, const struct slice *args, size_t nargs);
} commands[] = {
	{"ACTIVATE", 3, 3, IN_OPEN, do_activate},
	{"AUTHENTICATE", 1, 2, IN_FRESH, do_authenticate},
	{"DEACTIVATE", 2, 2, IN_OPEN, do_deactivate},
	{"DELETE", 1, 1, IN_OPEN, do_delete},
	{"FIND", 1, 1, IN_OPEN, do_find},
	{"LIST", 0, 1, IN_OPEN, do_list},
	{"LOGOUT", 0, 0, IN_FRESH | IN_OPEN | IN_STREAMING, do_logout},
	{"NOOP", 0, 0, IN_OPEN | IN_STREAMING, do_noop},
	{"RESERVE", 2, 2, IN_OPEN, do_reserve},
	{"UPDATE", 0, CONN_HOSTS_MAX, IN_OPEN, do_update},
};

static void
bad(struct conn *c, const char *tag, const char *text)
{
	if (++c->bad < (c->user[0] == '\0' ? CONN_FRESH_BAD_MAX : CONN_BAD_MAX))
		conn_reply(c, tag, "BAD", text);
	else
		conn_bye(c, tag, "too many lines that are not understood", "bad");
}

void
command_spoilt(struct conn *c)
{
	bad(c, "*", "a line ends with CRLF and holds no NUL");
}

static const struct command *
command_of(struct slice word)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (slice_is_nocase(word, slice_of(commands[i].name)))
			return &commands[i];
	return NULL;
}

/* A command that exists, in a state it is not for. */
static void
refuse_state(struct conn *c, const struct command *cmd)
{
	if (c->state == CONN_FRESH) {
		/* Counted: before login nobody needs many of these. */
		if (++c->bad < CONN_FRESH_BAD_MAX)
			conn_reply(c, c->tag, "NO", "Please login first");
		else
			conn_bye(c, c->tag, "Please login first", "bad");
	} else if (c->state == CONN_STREAMING) {
		bad(c, c->tag, "not legal when streaming");
	} else {
		bad(c, c->tag, cmd->states == IN_FRESH ? "already authenticated" : "not legal now");
	}
}

void
command_run(struct conn *c, char *p, size_t n)
{
	struct mupdate_line line;
	enum mupdate_fault fault = mupdate_parse(p, n, &line);
	const struct command *cmd = command_of(line.word);

	c->commands++;
	if (fault == MUPDATE_NO_TAG || fault == MUPDATE_BAD_TAG || line.tag.p[0] == '*' || line.tag.p[0] == '+') {
		bad(c, "*", fault == MUPDATE_NO_TAG ? "Need command" : "Need a tag");
		return;
	}
	memcpy(c->tag, line.tag.p, line.tag.n);
	c->tag[line.tag.n] = '\0';
	if (fault == MUPDATE_NO_WORD)
		bad(c, c->tag, "Null command");
	else if (cmd == NULL)
		bad(c, c->tag, "Unrecognized command");
	else if ((cmd->states & (1U << c->state)) == 0)
		refuse_state(c, cmd);
	else if (fault == MUPDATE_BAD_ARGS)
		bad(c, c->tag, "Badly formed arguments");
	else if (line.nargs < cmd->least)
		bad(c, c->tag, "Missing arguments");
	else if (fault == MUPDATE_MANY_ARGS || line.nargs > cmd->most)
		bad(c, c->tag, "Extra arguments");
	else
		cmd->run(c, line.args, line.nargs);
}
