/*
 * POP3 before login: CAPA, USER, PASS, AUTH, STLS, UTF8, LANG, QUIT. See prelogin.h. No APOP: it needs passwords
 * that can be read. Nothing a client says is echoed. RFC 1939 4, 7; RFC 2449 (CAPA), RFC 2595 4
 * (STLS), RFC 3206 (AUTH-RESP-CODE), RFC 5034 (AUTH), RFC 6856 (UTF8, LANG).
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "frame.h"
#include "log.h"
#include "pop3capa.h"
#include "prelogin.h"

struct command {
	struct slice	verb;
	bool		has_arg;
	struct slice	arg;		/* all after the first space */
	bool		has_rest;	/* more input follows the line */
};

struct verb {
	const char	*name;
	enum { ARG_NONE, ARG_MAY, ARG_MUST } arg;
	enum pre_act	(*run)(struct prelogin *, const struct command *, struct buf *out);
};

static enum pre_act
answer_bad(struct prelogin *p, const char *text, struct buf *out)
{
	buf_addf(out, "-ERR %s\r\n", text);
	return pre_bad(p, out);
}

static enum pre_act
refuse_plaintext(struct prelogin *p, struct buf *out)
{
	return answer_bad(p, "no passwords without TLS: use STLS or the TLS port", out);
}

static void
user_forget(struct prelogin *p)
{
	free(p->pop3_user);
	p->pop3_user = NULL;
}

static enum pre_act
run_capa(struct prelogin *p, const struct command *c, struct buf *out)
{
	const struct pop3capa capa = {.mechs = slice_of(p->policy->pop3_sasl[p->is_tls]),
	    .login_delay_s = p->policy->pop3_login_delay_s, .is_before_login = true, .has_stls = !p->is_tls};

	(void)c;
	pop3capa_put(out, &capa);
	return PRE_MORE;
}

/* A language we lack is no bad command: clients ask for their user's own. */
static enum pre_act
run_lang(struct prelogin *p, const struct command *c, struct buf *out)
{
	(void)p;
	pop3capa_lang(out, c->arg);
	return PRE_MORE;
}

/* RFC 6856 2.1: what it means is seen after login. */
static enum pre_act
run_utf8(struct prelogin *p, const struct command *c, struct buf *out)
{
	(void)c;
	p->is_utf8 = true;
	buf_add_str(out, "+OK UTF-8 from now on\r\n");
	return PRE_MORE;
}

static enum pre_act
run_user(struct prelogin *p, const struct command *c, struct buf *out)
{
	user_forget(p);
	if (!pre_policy_allows(p->policy, SLICE("PLAIN"), p->is_tls))
		return refuse_plaintext(p, out);
	if (c->arg.n == 0)
		return answer_bad(p, "USER needs a name", out);
	p->pop3_user = strndup(c->arg.p, c->arg.n);
	if (p->pop3_user == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", c->arg.n));
	buf_add_str(out, "+OK and the password\r\n");
	return PRE_MORE;
}

static enum pre_act
run_pass(struct prelogin *p, const struct command *c, struct buf *out)
{
	enum pre_act act;

	if (p->pop3_user == NULL)
		return answer_bad(p, "USER comes first", out);
	act = pre_start_plain(p, slice_of(p->pop3_user), c->arg);
	user_forget(p);
	return act == PRE_START ? act : answer_bad(p, "the name or password is too long", out);
}

/* AUTH alone, from before there was CAPA: Outlook asks so what there is. */
static enum pre_act
auth_list(struct prelogin *p, struct buf *out)
{
	buf_add_str(out, "+OK mechanisms follow\r\n");
	for (size_t i = 0; i < p->policy->nmechs; i++)
		if (pre_policy_allows(p->policy, slice_of(p->policy->mechs[i]), p->is_tls))
			buf_addf(out, "%s\r\n", p->policy->mechs[i]);
	buf_add_str(out, ".\r\n");
	return PRE_MORE;
}

/* AUTH mechanism [initial-response] (RFC 5034 4) */
static enum pre_act
run_auth(struct prelogin *p, const struct command *c, struct buf *out)
{
	char name[AUTH_MECH_MAX_BYTES + 1];
	const char *blank = memchr(c->arg.p, ' ', c->arg.n);
	struct slice mech = {c->arg.p, blank != NULL ? (size_t)(blank - c->arg.p) : c->arg.n}, initial = {NULL, 0};

	if (c->arg.n == 0)
		return auth_list(p, out);
	if (blank != NULL)
		initial = (struct slice){blank + 1, c->arg.n - mech.n - 1};
	if (mech.n == 0 || (blank != NULL && initial.n == 0))
		return answer_bad(p, "AUTH needs a mechanism", out);
	if (mech.n > AUTH_MECH_MAX_BYTES)
		return answer_bad(p, "no such mechanism", out);
	for (size_t i = 0; i < mech.n; i++)
		name[i] = (char)toupper((unsigned char)mech.p[i]);
	mech.p = name;
	if (!pre_policy_allows(p->policy, mech, p->is_tls))
		return pre_policy_allows(p->policy, mech, true) ? refuse_plaintext(p, out) :
		    answer_bad(p, "no such mechanism", out);
	if (pre_start_sasl(p, mech, blank != NULL, initial) != PRE_START)
		return answer_bad(p, "this is not base64", out);
	return PRE_START;
}

static enum pre_act
run_stls(struct prelogin *p, const struct command *c, struct buf *out)
{
	if (p->is_tls)
		return answer_bad(p, "TLS is up already", out);
	if (c->has_rest) {
		buf_add_str(out, "-ERR nothing may follow STLS before TLS is up\r\n");
		return pre_close(p, "starttls_injection");
	}
	buf_add_str(out, "+OK begin TLS\r\n");
	return PRE_TLS;
}

static enum pre_act
run_quit(struct prelogin *p, const struct command *c, struct buf *out)
{
	(void)c;
	buf_add_str(out, "+OK goodbye\r\n");
	return pre_close(p, "logout");
}

static const struct verb verbs[] = {
	{"CAPA", ARG_NONE, run_capa},
	{"USER", ARG_MUST, run_user},
	{"PASS", ARG_MUST, run_pass},
	{"AUTH", ARG_MAY, run_auth},
	{"STLS", ARG_NONE, run_stls},
	{"UTF8", ARG_NONE, run_utf8},
	{"LANG", ARG_MAY, run_lang},
	{"QUIT", ARG_NONE, run_quit},
};

static enum pre_act
command_run(struct prelogin *p, struct slice line, bool has_rest, struct buf *out)
{
	const char *blank = memchr(line.p, ' ', line.n);
	struct command c = {
	    .verb = {line.p, blank != NULL ? (size_t)(blank - line.p) : line.n},
	    .has_arg = blank != NULL,
	    .arg = {"", 0},
	    .has_rest = has_rest,
	};

	if (blank != NULL)
		c.arg = (struct slice){blank + 1, line.n - c.verb.n - 1};
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (!slice_is_nocase(c.verb, slice_of(verbs[i].name)))
			continue;
		if (c.has_arg ? verbs[i].arg == ARG_NONE : verbs[i].arg == ARG_MUST)
			return answer_bad(p, c.has_arg ? "no argument is allowed" : "an argument is needed", out);
		return verbs[i].run(p, &c, out);
	}
	return answer_bad(p, "no such command before login", out);
}

/* A line of base64, or "*" to cancel (RFC 5034 4). */
static enum pre_act
sasl_line(struct prelogin *p, struct slice line)
{
	buf_clear(&p->data);
	if (!slice_is(line, SLICE("*")) && pre_base64_decode(line, &p->data))
		return PRE_STEP;
	p->state = PRE_IN_COMMAND;
	return PRE_ABORT;
}

static enum pre_act
line_fault(struct prelogin *p, enum frame_fault fault, const struct frame_line *l, struct buf *in, struct buf *out)
{
	bool was_sasl = p->state == PRE_IN_SASL;
	enum pre_act act;

	if (l->used == 0) {
		buf_add_str(out, "-ERR the line is broken or too long\r\n");
		return pre_close(p, "framing");
	}
	p->state = PRE_IN_COMMAND;
	act = answer_bad(p, fault == FRAME_NUL ? "NUL is not allowed" : fault == FRAME_BARE ? "a CR or LF stands alone" :
	    "the line is too long", out);
	pre_drop(in, l->used);
	return act == PRE_CLOSE ? act : was_sasl ? PRE_ABORT : PRE_MORE;
}

enum pre_act
pre_pop3_input(struct prelogin *p, struct buf *in, struct buf *out)
{
	struct frame_line l;
	enum frame_fault fault;
	enum pre_act act;
	bool cancelled;

	if (p->state != PRE_IN_SASL && pre_is_http(buf_slice(in)))
		return pre_close(p, "http");
	switch (frame_line(buf_slice(in), PRE_LINE_MAX_BYTES, false, &l, &fault)) {
	case PARSE_MORE:
		return PRE_MORE;
	case PARSE_BAD:
		return line_fault(p, fault, &l, in, out);
	case PARSE_OK:
		break;
	}
	if (p->state == PRE_IN_SASL) {
		cancelled = slice_is(l.text, SLICE("*"));
		act = sasl_line(p, l.text);
		if (act == PRE_ABORT && cancelled)
			buf_add_str(out, "-ERR cancelled\r\n");
		else if (act == PRE_ABORT && answer_bad(p, "this is not base64", out) == PRE_CLOSE)
			act = PRE_CLOSE;
	} else if (++p->commands > PRE_COMMANDS_MAX) {
		buf_add_str(out, "-ERR too many commands before login\r\n");
		return pre_close(p, "commands");
	} else {
		act = command_run(p, l.text, in->n > l.used, out);
	}
	pre_drop(in, l.used);
	return act;
}
