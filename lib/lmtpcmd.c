/*
 * Command lines of LMTP: which verb, and the arguments of LHLO, MAIL, RCPT and BDAT. Called by the
 * server session (lmtps.c) with one framed line, so no CR, LF or NUL is in it. Pure: no I/O, no log,
 * no heap. RFC 5321 4.1, RFC 1870, 3030, 6152, 6531.
 */
#include "lmtpcmd.h"

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static struct slice
slice_from(struct slice s, size_t at)
{
	return (struct slice){s.p + at, s.n - at};
}

enum lmtp_verb
lmtpcmd_verb(struct slice line, struct slice *args_out)
{
	static const struct {
		struct slice	word;
		enum lmtp_verb	verb;
	} verbs[] = {
		{{"MAIL", 4}, LMTP_MAIL}, {{"RCPT", 4}, LMTP_RCPT}, {{"DATA", 4}, LMTP_DATA}, {{"BDAT", 4}, LMTP_BDAT},
		{{"LHLO", 4}, LMTP_LHLO}, {{"RSET", 4}, LMTP_RSET}, {{"NOOP", 4}, LMTP_NOOP}, {{"QUIT", 4}, LMTP_QUIT},
		{{"VRFY", 4}, LMTP_VRFY}, {{"HELP", 4}, LMTP_HELP}, {{"HELO", 4}, LMTP_HELO}, {{"EHLO", 4}, LMTP_EHLO},
		{{"GET", 3}, LMTP_HTTP}, {{"POST", 4}, LMTP_HTTP}, {{"HEAD", 4}, LMTP_HTTP}, {{"PUT", 3}, LMTP_HTTP},
		{{"OPTIONS", 7}, LMTP_HTTP}, {{"CONNECT", 7}, LMTP_HTTP}, {{"DELETE", 6}, LMTP_HTTP},
		{{"PATCH", 5}, LMTP_HTTP}, {{"TRACE", 5}, LMTP_HTTP},
	};
	struct slice	word;
	size_t		n;

	while (line.n > 0 && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	for (n = 0; n < line.n && line.p[n] != ' '; n++)
		;
	word = (struct slice){line.p, n};
	*args_out = n < line.n ? slice_from(line, n + 1) : (struct slice){line.p + line.n, 0};
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (slice_is_nocase(word, verbs[i].word))
			return verbs[i].verb;
	return LMTP_UNKNOWN;
}

enum lmtp_fault
lmtpcmd_lhlo(struct slice args, struct slice *name_out)
{
	if (args.n == 0 || args.n > LMTP_NAME_MAX_BYTES)
		return LMTP_SYNTAX;
	for (size_t i = 0; i < args.n; i++) {
		unsigned char	c = (unsigned char)args.p[i];

		/* It goes into a trace line: nothing that could end a comment or look like another field. */
		if (c <= 32 || c == 127 || c == '(' || c == ')' || c == '\\' || c == ';')
			return LMTP_SYNTAX;
	}
	*name_out = args;
	return LMTP_OK;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* 1*20DIGIT (RFC 1870 3, RFC 3030 2) that fits 63 bits. */
static bool
parse_number(struct slice s, uint64_t *out)
{
	uint64_t	v = 0;

	if (s.n == 0 || s.n > 20)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || v > (uint64_t)INT64_MAX / 10)
			return false;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	*out = v;
	return v <= (uint64_t)INT64_MAX;
}

static bool
parse_key(struct slice s, unsigned char *out)
{
	if (s.n != LMTP_KEY_BYTES * 2)
		return false;
	for (size_t i = 0; i < LMTP_KEY_BYTES; i++) {
		int	high = hex_digit(s.p[i * 2]), low = hex_digit(s.p[i * 2 + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

/* A queue id goes into logs and trace lines: letters, digits, '.', '_', '-'. */
static bool
parse_qid(struct slice s, char *out)
{
	if (s.n == 0 || s.n > LMTP_QID_MAX_BYTES)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '.' && s.p[i] != '_' && s.p[i] != '-')
			return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return true;
}

void
xtext_encode(struct slice s, char *out)
{
	static const char	hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char	c = (unsigned char)s.p[i];

		if (c < 33 || c > 126 || c == '+' || c == '=') {
			*out++ = '+';
			*out++ = hex[c >> 4];
			*out++ = hex[c & 15];
		} else {
			*out++ = (char)c;
		}
	}
	*out = '\0';
}

bool
xtext_decode(struct slice s, char *out, size_t cap)
{
	size_t	n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char	c = s.p[i];

		if (c < 33 || c > 126 || c == '=' || n + 1 >= cap)
			return false;
		if (c == '+') {
			int	high, low;

			if (s.n - i < 3 || (high = hex_digit(s.p[i + 1])) < 0 || (low = hex_digit(s.p[i + 2])) < 0 ||
			    high + low == 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

struct param {
	struct slice	keyword, value;
	bool		has_value;
};

/*
 * SP esmtp-keyword ["=" esmtp-value]; esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-");
 * esmtp-value = 1*(%d33-60 / %d62-126). Moves *in past it. False: not that.
 */
static bool
parse_param(struct slice *in, struct param *out)
{
	struct slice	s = slice_from(*in, 1);
	size_t		n, v;

	if (in->p[0] != ' ' || s.n == 0 || !is_alnum(s.p[0]))
		return false;
	for (n = 1; n < s.n && (is_alnum(s.p[n]) || s.p[n] == '-'); n++)
		;
	*out = (struct param){.keyword = {s.p, n}};
	if (n < s.n && s.p[n] == '=') {
		v = ++n;
		while (n < s.n && s.p[n] > ' ' && s.p[n] < 127 && s.p[n] != '=')
			n++;
		if (n == v)
			return false;
		out->value = (struct slice){s.p + v, n - v};
		out->has_value = true;
	}
	*in = slice_from(s, n);
	return true;
}

/* Marks bit as seen; true when it was before: a parameter given twice. */
static bool
is_again(unsigned *seen, unsigned bit)
{
	bool	again = (*seen & bit) != 0;

	*seen |= bit;
	return again;
}

static enum lmtp_fault
mail_param(const struct param *p, bool trusted, unsigned *seen, struct lmtp_mail *out)
{
	if (slice_is_nocase(p->keyword, SLICE("SIZE")))
		return is_again(seen, 1) || !parse_number(p->value, &out->size) ? LMTP_SYNTAX : LMTP_OK;
	if (slice_is_nocase(p->keyword, SLICE("BODY"))) {
		out->is_8bit = slice_is_nocase(p->value, SLICE("8BITMIME"));
		if (is_again(seen, 2) || !p->has_value)
			return LMTP_SYNTAX;
		return out->is_8bit || slice_is_nocase(p->value, SLICE("7BIT")) ? LMTP_OK : LMTP_PARAM;
	}
	if (slice_is_nocase(p->keyword, SLICE("SMTPUTF8"))) {
		out->is_utf8 = true;
		return is_again(seen, 4) || p->has_value ? LMTP_SYNTAX : LMTP_OK;
	}
	if (trusted && slice_is_nocase(p->keyword, SLICE("XKEY"))) {
		out->has_key = true;
		return is_again(seen, 8) || !parse_key(p->value, out->key) ? LMTP_SYNTAX : LMTP_OK;
	}
	if (trusted && slice_is_nocase(p->keyword, SLICE("XQID")))
		return is_again(seen, 16) || !parse_qid(p->value, out->qid) ? LMTP_SYNTAX : LMTP_OK;
	return LMTP_PARAM;
}

static enum lmtp_fault
rcpt_param(const struct param *p, bool trusted, unsigned *seen, struct lmtp_rcpt *out)
{
	char	user[USER_MAX_BYTES + 1];

	if (trusted && slice_is_nocase(p->keyword, SLICE("XPLACE"))) {
		out->place = true;
		return is_again(seen, 1) || p->has_value ? LMTP_SYNTAX : LMTP_OK;
	}
	if (trusted && slice_is_nocase(p->keyword, SLICE("XUSER"))) {
		if (is_again(seen, 2) || !xtext_decode(p->value, user, sizeof(user)) ||
		    !user_fold(slice_of(user), out->user))
			return LMTP_SYNTAX;
		return LMTP_OK;
	}
	return LMTP_PARAM;
}

static bool
has_8bit(const struct address *a)
{
	for (const char *p = a->text; *p != '\0'; p++)
		if ((unsigned char)*p > 126)
			return true;
	return false;
}

/* keyword ("FROM:" or "TO:") and the path; *args is then at the parameters. */
static enum lmtp_fault
parse_path(struct slice *args, struct slice keyword, bool is_rcpt, struct address *out)
{
	size_t	used;

	if (args->n < keyword.n || !slice_is_nocase((struct slice){args->p, keyword.n}, keyword))
		return LMTP_SYNTAX;
	*args = slice_from(*args, keyword.n);
	if (address_parse(*args, true, is_rcpt, out, &used) != PARSE_OK)
		return LMTP_ADDRESS;
	*args = slice_from(*args, used);
	return LMTP_OK;
}

enum lmtp_fault
lmtpcmd_mail(struct slice args, bool trusted, struct lmtp_mail *out)
{
	struct param	p;
	unsigned	seen = 0;
	enum lmtp_fault	fault;

	memset(out, 0, sizeof(*out));
	if ((fault = parse_path(&args, SLICE("FROM:"), false, &out->from)) != LMTP_OK)
		return fault;
	while (args.n > 0) {
		if (!parse_param(&args, &p))
			return LMTP_SYNTAX;
		if ((fault = mail_param(&p, trusted, &seen, out)) != LMTP_OK)
			return fault;
	}
	return has_8bit(&out->from) && !out->is_utf8 ? LMTP_UTF8 : LMTP_OK;
}

enum lmtp_fault
lmtpcmd_rcpt(struct slice args, bool utf8, bool trusted, struct lmtp_rcpt *out)
{
	struct param	p;
	unsigned	seen = 0;
	enum lmtp_fault	fault;

	memset(out, 0, sizeof(*out));
	if ((fault = parse_path(&args, SLICE("TO:"), true, &out->to)) != LMTP_OK)
		return fault;
	while (args.n > 0) {
		if (!parse_param(&args, &p))
			return LMTP_SYNTAX;
		if ((fault = rcpt_param(&p, trusted, &seen, out)) != LMTP_OK)
			return fault;
	}
	return has_8bit(&out->to) && !utf8 ? LMTP_UTF8 : LMTP_OK;
}

enum lmtp_fault
lmtpcmd_bdat(struct slice args, uint64_t *bytes_out, bool *last_out)
{
	size_t	n;

	for (n = 0; n < args.n && args.p[n] != ' '; n++)
		;
	*last_out = n < args.n;
	if (!parse_number((struct slice){args.p, n}, bytes_out))
		return LMTP_SYNTAX;
	if (*last_out && !slice_is_nocase(slice_from(args, n + 1), SLICE("LAST")))
		return LMTP_SYNTAX;
	return LMTP_OK;
}
