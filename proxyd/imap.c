/*
 * IMAP before login: CAPABILITY, NOOP, LOGOUT, ID, STARTTLS, LOGIN, AUTHENTICATE. See prelogin.h.
 * Nothing a client says is echoed but its tag. RFC 3501 6.1, 6.2; RFC 2971 (ID), RFC 4959 (SASL-IR),
 * RFC 7888 (LITERAL+), RFC 5530 (response codes).
 */
#include <ctype.h>

#include "frame.h"
#include "prelogin.h"

struct cursor {
	const char	*p, *end;
};

struct command {
	char		 tag[SESSOPEN_TAG_MAX_BYTES + 1];	/* "*" while not known */
	struct slice	 verb;
	struct cursor	 args;		/* from the blank after the verb, or the end */
	bool		 has_rest;	/* more input follows the command */
};

struct verb {
	const char	*name;
	bool		 takes_literals;
	enum pre_act	(*run)(struct prelogin *, struct command *, struct buf *out);
};

static enum pre_act
answer(const struct command *c, const char *text, struct buf *out)
{
	buf_addf(out, "%s %s\r\n", c->tag, text);
	return PRE_MORE;
}

static enum pre_act
answer_bad(struct prelogin *p, const struct command *c, const char *text, struct buf *out)
{
	buf_addf(out, "%s BAD %s\r\n", c->tag, text);
	return pre_bad(p, out);
}

/* ATOM-CHAR = any CHAR except "(" ")" "{" SP CTL "%" "*" DQUOTE "\" "]" (RFC 3501 9) */
static bool
is_atom_char(char c)
{
	return c > 0x20 && c < 0x7f && strchr("(){%*\"\\]", c) == NULL;
}

/* ASTRING-CHAR = ATOM-CHAR / "]" */
static struct slice
parse_astring_chars(struct cursor *c)
{
	const char *from = c->p;

	while (c->p < c->end && (is_atom_char(*c->p) || *c->p == ']'))
		c->p++;
	return (struct slice){from, (size_t)(c->p - from)};
}

static bool
parse_byte(struct cursor *c, char want)
{
	if (c->p == c->end || *c->p != want)
		return false;
	c->p++;
	return true;
}

/* literal = "{" number ["+"] "}" CRLF *CHAR8 (RFC 3501 9, RFC 7888 8); NUL is no CHAR8 */
static enum parse
parse_literal(struct cursor *c, struct slice *out)
{
	struct cursor at = *c;
	size_t n = 0;

	if (!parse_byte(&at, '{'))
		return PARSE_BAD;
	for (; at.p < at.end && isdigit((unsigned char)*at.p) && n <= PRE_LITERAL_MAX_BYTES; at.p++)
		n = n * 10 + (size_t)(*at.p - '0');
	if (at.p < at.end && *at.p == '+')
		at.p++;
	if (!parse_byte(&at, '}') || !parse_byte(&at, '\r') || !parse_byte(&at, '\n') || n > (size_t)(at.end - at.p) ||
	    memchr(at.p, '\0', n) != NULL)
		return PARSE_BAD;
	*out = (struct slice){at.p, n};
	c->p = at.p + n;
	return PARSE_OK;
}

/* quoted = DQUOTE *QUOTED-CHAR DQUOTE; unquoted into out */
static enum parse
parse_quoted(struct cursor *c, struct buf *out)
{
	struct cursor at = *c;

	if (!parse_byte(&at, '"'))
		return PARSE_BAD;
	for (; at.p < at.end && *at.p != '"'; at.p++) {
		if (*at.p == '\\' && (++at.p == at.end || (*at.p != '"' && *at.p != '\\')))
			return PARSE_BAD;
		if (*at.p == '\r' || *at.p == '\n' || buf_add(out, at.p, 1) != 0)
			return PARSE_BAD;
	}
	if (!parse_byte(&at, '"'))
		return PARSE_BAD;
	c->p = at.p;
	return PARSE_OK;
}

/* string = quoted / literal, appended to out */
static enum parse
parse_string(struct cursor *c, struct buf *out)
{
	struct slice s;

	if (c->p < c->end && *c->p == '"')
		return parse_quoted(c, out);
	if (parse_literal(c, &s) != PARSE_OK)
		return PARSE_BAD;
	return buf_add_slice(out, s) == 0 ? PARSE_OK : PARSE_BAD;
}

/* astring = 1*ASTRING-CHAR / string */
static enum parse
parse_astring(struct cursor *c, struct buf *out)
{
	struct slice s;

	if (c->p < c->end && (*c->p == '"' || *c->p == '{'))
		return parse_string(c, out);
	s = parse_astring_chars(c);
	return s.n > 0 && buf_add_slice(out, s) == 0 ? PARSE_OK : PARSE_BAD;
}

static bool
at_end(const struct cursor *c)
{
	return c->p == c->end;
}

static enum pre_act
run_capability(struct prelogin *p, struct command *c, struct buf *out)
{
	if (!at_end(&c->args))
		return answer_bad(p, c, "CAPABILITY has no arguments", out);
	buf_addf(out, "* CAPABILITY %s\r\n", p->policy->imap_caps[p->is_tls]);
	return answer(c, "OK done", out);
}

static enum pre_act
run_noop(struct prelogin *p, struct command *c, struct buf *out)
{
	if (!at_end(&c->args))
		return answer_bad(p, c, "NOOP has no arguments", out);
	return answer(c, "OK done", out);
}

static enum pre_act
run_logout(struct prelogin *p, struct command *c, struct buf *out)
{
	if (!at_end(&c->args))
		return answer_bad(p, c, "LOGOUT has no arguments", out);
	buf_add_str(out, "* BYE logging out\r\n");
	answer(c, "OK done", out);
	return pre_close(p, "logout");
}

/* One field of ID into the log's form, name=value; what does not fit is left out. */
static void
id_note(struct buf *id, struct slice name, struct slice value)
{
	char line[SESSOPEN_CLIENT_ID_MAX_BYTES];
	size_t n = name.n + value.n + 2;

	if (n > sizeof(line) || id->n + n > SESSOPEN_CLIENT_ID_MAX_BYTES)
		return;
	buf_addf(id, "%s%.*s=%.*s", id->n > 0 ? " " : "", (int)name.n, name.p, (int)value.n, value.p);
}

/* id = "ID" SP ("(" [string SP nstring *(SP string SP nstring)] ")" / nil) (RFC 2971 4) */
static bool
parse_id(struct cursor *c, struct buf *id)
{
	struct buf name = buf_make(PRE_LITERAL_MAX_BYTES), value = buf_make(PRE_LITERAL_MAX_BYTES + PRE_LINE_MAX_BYTES);
	bool ok = true;

	if ((size_t)(c->end - c->p) == 3 && strncasecmp(c->p, "NIL", 3) == 0)
		return true;
	if (!parse_byte(c, '('))
		return false;
	while (ok && c->p < c->end && *c->p != ')') {
		buf_clear(&name);
		buf_clear(&value);
		ok = parse_string(c, &name) == PARSE_OK && parse_byte(c, ' ');
		if (ok && (size_t)(c->end - c->p) >= 3 && strncasecmp(c->p, "NIL", 3) == 0)
			c->p += 3;
		else if (ok)
			ok = parse_string(c, &value) == PARSE_OK;
		if (ok && value.n > 0)
			id_note(id, buf_slice(&name), buf_slice(&value));
		if (ok && c->p < c->end && *c->p != ')')
			ok = parse_byte(c, ' ') && c->p < c->end && *c->p != ')';
	}
	ok = ok && parse_byte(c, ')') && at_end(c);
	buf_free(&name);
	buf_free(&value);
	return ok;
}

static enum pre_act
run_id(struct prelogin *p, struct command *c, struct buf *out)
{
	buf_clear(&p->client_id);
	if (!parse_byte(&c->args, ' ') || !parse_id(&c->args, &p->client_id)) {
		buf_clear(&p->client_id);
		return answer_bad(p, c, "ID needs NIL or a list of pairs", out);
	}
	buf_add_str(out, "* ID (\"name\" \"twinspool\")\r\n");
	return answer(c, "OK done", out);
}

static enum pre_act
run_starttls(struct prelogin *p, struct command *c, struct buf *out)
{
	if (!at_end(&c->args))
		return answer_bad(p, c, "STARTTLS has no arguments", out);
	if (p->is_tls)
		return answer_bad(p, c, "TLS is up already", out);
	if (c->has_rest) {
		answer(c, "BAD nothing may follow STARTTLS before TLS is up", out);
		return pre_close(p, "starttls_injection");
	}
	answer(c, "OK begin TLS", out);
	return PRE_TLS;
}

static enum pre_act
refuse_plaintext(struct prelogin *p, const struct command *c, struct buf *out)
{
	answer(c, "NO [PRIVACYREQUIRED] no passwords without TLS: use STARTTLS or the TLS port", out);
	return pre_bad(p, out);
}

static enum pre_act
run_login(struct prelogin *p, struct command *c, struct buf *out)
{
	struct buf user = buf_make(PRE_LINE_MAX_BYTES), password = buf_make(PRE_LINE_MAX_BYTES);
	enum pre_act act = PRE_MORE;
	bool ok;

	if (!pre_policy_allows(p->policy, SLICE("PLAIN"), p->is_tls))
		return refuse_plaintext(p, c, out);
	ok = parse_byte(&c->args, ' ') && parse_astring(&c->args, &user) == PARSE_OK && parse_byte(&c->args, ' ') &&
	    parse_astring(&c->args, &password) == PARSE_OK && at_end(&c->args);
	if (ok)
		act = pre_start_plain(p, buf_slice(&user), buf_slice(&password));
	buf_free(&user);
	buf_wipe(&password);
	if (act != PRE_START)
		return answer_bad(p, c, "LOGIN needs a user name and a password", out);
	strcpy(p->tag, c->tag);
	return act;
}

/* authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp] (RFC 4959 7) */
static enum pre_act
run_authenticate(struct prelogin *p, struct command *c, struct buf *out)
{
	char name[AUTH_MECH_MAX_BYTES + 1];
	struct slice mech, initial = {NULL, 0};
	bool has_initial = false, ok = parse_byte(&c->args, ' ');

	mech = parse_astring_chars(&c->args);
	if (ok && parse_byte(&c->args, ' ')) {
		has_initial = true;
		initial = (struct slice){c->args.p, (size_t)(c->args.end - c->args.p)};
		ok = initial.n > 0;
		c->args.p = c->args.end;
	}
	if (!ok || mech.n == 0 || !at_end(&c->args))
		return answer_bad(p, c, "AUTHENTICATE needs a mechanism", out);
	if (mech.n > AUTH_MECH_MAX_BYTES)
		return answer(c, "NO no such mechanism", out);
	for (size_t i = 0; i < mech.n; i++)
		name[i] = (char)toupper((unsigned char)mech.p[i]);
	mech.p = name;
	if (!pre_policy_allows(p->policy, mech, p->is_tls))
		return pre_policy_allows(p->policy, mech, true) ? refuse_plaintext(p, c, out) :
		    answer(c, "NO no such mechanism", out);
	strcpy(p->tag, c->tag);
	if (pre_start_sasl(p, mech, has_initial, initial) != PRE_START)
		return answer_bad(p, c, "this is not base64", out);
	return PRE_START;
}

static const struct verb verbs[] = {
	{"CAPABILITY", false, run_capability},
	{"NOOP", false, run_noop},
	{"LOGOUT", false, run_logout},
	{"ID", true, run_id},
	{"STARTTLS", false, run_starttls},
	{"LOGIN", true, run_login},
	{"AUTHENTICATE", false, run_authenticate},
};

static const struct verb *
verb_find(struct slice name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (slice_is_nocase(name, slice_of(verbs[i].name)))
			return &verbs[i];
	return NULL;
}

/* tag = 1*<any ASTRING-CHAR except "+">; then SP and the command's name. False: c->tag is "*" if that is wrong. */
static bool
parse_head(struct slice line, struct command *c)
{
	struct cursor at = {line.p, line.p + line.n};
	struct slice tag = parse_astring_chars(&at);

	strcpy(c->tag, "*");
	c->verb = (struct slice){NULL, 0};
	if (tag.n == 0 || tag.n > SESSOPEN_TAG_MAX_BYTES || memchr(tag.p, '+', tag.n) != NULL || !parse_byte(&at, ' '))
		return false;
	memcpy(c->tag, tag.p, tag.n);
	c->tag[tag.n] = '\0';
	c->verb = parse_astring_chars(&at);
	c->args = at;
	return c->verb.n > 0;
}

/* May the literal of this line be sent? Answers and ends the command (PRE_CLOSE: the connection) where not. */
static bool
literal_refused(struct prelogin *p, struct slice head, const struct frame_line *l, size_t sum, size_t count,
    struct buf *out, enum pre_act *act_out)
{
	struct command c;
	const struct verb *v = parse_head(head, &c) ? verb_find(c.verb) : NULL;
	const char *text = NULL;

	*act_out = PRE_MORE;
	if (v == NULL || !v->takes_literals || l->is_binary)
		text = "no literal is allowed here";
	else if (l->literal_bytes > PRE_LITERAL_MAX_BYTES - sum || count >= PRE_LITERALS_MAX)
		text = "literals are too large";
	else if (v->run != run_login || pre_policy_allows(p->policy, SLICE("PLAIN"), p->is_tls))
		return false;
	if (l->is_nonsync) {
		/* Its bytes are coming and are not commands (RFC 7888 4, the second way). */
		prelogin_bye(SESS_IMAP, "", text != NULL ? text : "no passwords without TLS", out);
		*act_out = pre_close(p, "literal");
	} else {
		*act_out = text == NULL ? refuse_plaintext(p, &c, out) : answer_bad(p, &c, text, out);
	}
	return true;
}

/* Whether a literal follows a faulty line cannot be known: what comes next is not taken for commands. */
static enum pre_act
line_fault(struct prelogin *p, enum frame_fault fault, struct buf *out)
{
	static const char *const text[] = {
	    [FRAME_LONG] = "the line is too long",
	    [FRAME_BARE] = "a CR or LF stands alone",
	    [FRAME_NUL] = "NUL is not allowed",
	    [FRAME_LITERAL] = "the literal is too large",
	};

	prelogin_bye(SESS_IMAP, "", text[fault], out);
	return pre_close(p, "framing");
}

/*
 * How far the first command of the input reaches, its literals included: *len_out. Asks for
 * synchronising literals. 0 in *len_out: *act_out is to be returned (more input, or it was refused).
 */
static void
command_extent(struct prelogin *p, struct buf *in, struct buf *out, size_t *len_out, enum pre_act *act_out)
{
	struct frame_line l;
	enum frame_fault fault;
	struct slice head = {NULL, 0};
	size_t pos = 0, sum = 0, count = 0;

	*len_out = 0;
	*act_out = PRE_MORE;
	for (;;) {
		struct slice rest = {in->p + pos, in->n - pos};
		enum parse r = frame_line(rest, PRE_LINE_MAX_BYTES - (pos - sum), true, &l, &fault);

		if (r == PARSE_MORE)
			return;
		if (r == PARSE_BAD) {
			*act_out = line_fault(p, fault, out);
			return;
		}
		if (pos == 0)
			head = l.text;
		pos += l.used;
		if (!l.has_literal)
			break;
		if (literal_refused(p, head, &l, sum, count, out, act_out)) {
			pre_drop(in, pos);
			p->asked = 0;
			return;
		}
		if (!l.is_nonsync && count >= p->asked)
			buf_add_str(out, "+ go on\r\n");
		count++;
		p->asked = count > p->asked ? count : p->asked;
		if (in->n - pos < l.literal_bytes)
			return;
		pos += (size_t)l.literal_bytes;
		sum += (size_t)l.literal_bytes;
		if (pos - sum >= PRE_LINE_MAX_BYTES) {
			*act_out = line_fault(p, FRAME_LONG, out);
			return;
		}
	}
	*len_out = pos;
}

static enum pre_act
command_run(struct prelogin *p, struct slice whole, bool has_rest, struct buf *out)
{
	struct command c = {.has_rest = has_rest};
	const struct verb *v;

	if (!parse_head(whole, &c))
		return answer_bad(p, &c, "a command is a tag, a space and a name", out);
	v = verb_find(c.verb);
	if (v == NULL)
		return answer_bad(p, &c, "no such command before login", out);
	return v->run(p, &c, out);
}

/* RFC 3501 6.2.2: a line of base64, or "*" to cancel. */
static enum pre_act
sasl_line(struct prelogin *p, struct buf *in, struct buf *out)
{
	struct frame_line l;
	enum frame_fault fault;
	enum parse r = frame_line(buf_slice(in), PRE_LINE_MAX_BYTES, false, &l, &fault);
	bool cancelled, ok;

	if (r == PARSE_MORE)
		return PRE_MORE;
	if (r == PARSE_BAD)
		return line_fault(p, fault, out);
	cancelled = slice_is(l.text, SLICE("*"));
	buf_clear(&p->data);
	ok = !cancelled && pre_base64_decode(l.text, &p->data);
	pre_drop(in, l.used);
	if (ok)
		return PRE_STEP;
	p->state = PRE_IN_COMMAND;
	buf_addf(out, "%s BAD %s\r\n", p->tag, cancelled ? "cancelled" : "this is not base64");
	return !cancelled && pre_bad(p, out) == PRE_CLOSE ? PRE_CLOSE : PRE_ABORT;
}

enum pre_act
pre_imap_input(struct prelogin *p, struct buf *in, struct buf *out)
{
	enum pre_act act;
	size_t len;

	if (p->state == PRE_IN_SASL)
		return sasl_line(p, in, out);
	if (in->n >= 5 && pre_is_http((struct slice){in->p, in->n}))
		return pre_close(p, "http");
	command_extent(p, in, out, &len, &act);
	if (len == 0)
		return act;
	if (++p->commands > PRE_COMMANDS_MAX) {
		prelogin_bye(SESS_IMAP, "", "too many commands before login", out);
		return pre_close(p, "commands");
	}
	p->asked = 0;
	act = command_run(p, (struct slice){in->p, len - 2}, in->n > len, out);
	pre_drop(in, len);
	return act;
}
