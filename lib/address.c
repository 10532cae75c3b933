/*
 * Mail addresses of MAIL and RCPT (RFC 5321 4.1.2, with the additions of RFC 6531 3.3), and user
 * names. Called by the LMTP server, relayd's routing table and whoever checks a user's name. Pure.
 * Looser than the RFC in one place: '_' is taken in domains, because the MTA before us took it and a
 * refusal here would only bounce to it. Source routes are read and dropped (RFC 5321 appendix C).
 */
#include "address.h"

#include <stdint.h>

/* The input and how far it was read; every rule below moves at and says whether it matched. */
struct scan {
	struct slice	in;
	size_t		at;
	bool		utf8;
};

/* An output of bounded size; full once something did not fit. */
struct text {
	char	*p;
	size_t	 n, cap;
	bool	 is_full;
};

static int
scan_peek(const struct scan *s)
{
	return s->at < s->in.n ? (unsigned char)s->in.p[s->at] : -1;
}

static bool
scan_byte(struct scan *s, int c)
{
	if (scan_peek(s) != c)
		return false;
	s->at++;
	return true;
}

static void
text_add(struct text *t, const char *p, size_t n)
{
	if (t->is_full || n > t->cap - t->n) {
		t->is_full = true;
		return;
	}
	memcpy(t->p + t->n, p, n);
	t->n += n;
}

static bool
is_alnum(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* atext of RFC 5322 3.2.3. */
static bool
is_atext(int c)
{
	return is_alnum(c) || (c > 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Length of the UTF8-non-ascii (RFC 6532 3.1, RFC 3629 4) that stands here, 0 if none does. */
static size_t
scan_utf8(const struct scan *s)
{
	const unsigned char	*p = (const unsigned char *)s->in.p + s->at;
	size_t			 left = s->in.n - s->at, n;
	unsigned		 low = 0x80, high = 0xbf;

	if (!s->utf8 || left < 2)
		return 0;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;	/* overlong */
	else if (p[0] == 0xed)
		high = 0x9f;	/* surrogates */
	else if (p[0] == 0xf0)
		low = 0x90;	/* overlong */
	else if (p[0] == 0xf4)
		high = 0x8f;	/* past U+10FFFF */
	if (left < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

/* Atom = 1*atext; atext =/ UTF8-non-ascii */
static bool
scan_atom(struct scan *s)
{
	size_t	start = s->at, n;

	for (;;) {
		if (is_atext(scan_peek(s)))
			s->at++;
		else if ((n = scan_utf8(s)) > 0)
			s->at += n;
		else
			return s->at > start;
	}
}

/* Dot-string = Atom *("." Atom) */
static bool
scan_dot_string(struct scan *s)
{
	do {
		if (!scan_atom(s))
			return false;
	} while (scan_byte(s, '.'));
	return true;
}

/*
 * Quoted-string = DQUOTE *QcontentSMTP DQUOTE; qtextSMTP =/ UTF8-non-ascii. Its content, without quotes
 * and backslashes, goes to out.
 */
static bool
scan_quoted_string(struct scan *s, struct text *out)
{
	size_t	n;

	if (!scan_byte(s, '"'))
		return false;
	for (;;) {
		int	c = scan_peek(s);

		if (c == '"') {
			s->at++;
			return true;
		}
		if (c == '\\') {
			s->at++;
			c = scan_peek(s);
			if (c < 32 || c > 126)
				return false;
			n = 1;
		} else if (c >= 32 && c <= 126) {
			n = 1;
		} else if (c < 128 || (n = scan_utf8(s)) == 0) {
			return false;
		}
		text_add(out, s->in.p + s->at, n);
		s->at += n;
	}
}

/* sub-domain = Let-dig [Ldh-str]; sub-domain =/ U-label. '_' counts as a letter here. */
static bool
scan_sub_domain(struct scan *s)
{
	size_t	start = s->at, n;

	for (;;) {
		int	c = scan_peek(s);

		if (is_alnum(c) || c == '_' || (c == '-' && s->at > start))
			s->at++;
		else if ((n = scan_utf8(s)) > 0)
			s->at += n;
		else
			break;
	}
	return s->at > start && s->in.p[s->at - 1] != '-';
}

/* Domain = sub-domain *("." sub-domain) */
static bool
scan_domain(struct scan *s)
{
	do {
		if (!scan_sub_domain(s))
			return false;
	} while (scan_byte(s, '.'));
	return true;
}

/*
 * address-literal = "[" ... "]" (4.1.3), taken as 1*dcontent: it is only passed on, never resolved. No '@',
 * so that the last one is always the border.
 */
static bool
scan_literal(struct scan *s)
{
	size_t	start;

	if (!scan_byte(s, '['))
		return false;
	for (start = s->at;; s->at++) {
		int	c = scan_peek(s);

		if (c < 33 || c > 126 || c == '@' || (c >= '[' && c <= ']'))
			break;
	}
	return s->at > start && scan_byte(s, ']');
}

/* [ A-d-l ":" ], A-d-l = At-domain *( "," At-domain ), At-domain = "@" Domain. Read and dropped. */
static bool
scan_route(struct scan *s)
{
	if (scan_peek(s) != '@')
		return true;
	do {
		if (!scan_byte(s, '@') || !scan_domain(s))
			return false;
	} while (scan_byte(s, ','));
	return scan_byte(s, ':');
}

static void
text_add_quoted(struct text *t, const char *p, size_t n)
{
	text_add(t, "\"", 1);
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '"' || p[i] == '\\')
			text_add(t, "\\", 1);
		text_add(t, p + i, 1);
	}
	text_add(t, "\"", 1);
}

/* Local-part = Dot-string / Quoted-string, in its shortest form to out. */
static bool
scan_local_part(struct scan *s, struct text *out)
{
	char		bytes[ADDRESS_LOCAL_MAX_BYTES];
	struct text	content = {.p = bytes, .cap = sizeof(bytes)};
	struct scan	again;
	size_t		start = s->at;

	if (scan_peek(s) != '"') {
		if (!scan_dot_string(s))
			return false;
		text_add(out, s->in.p + start, s->at - start);
		return out->n <= ADDRESS_LOCAL_MAX_BYTES;
	}
	if (!scan_quoted_string(s, &content) || content.is_full)
		return false;
	again = (struct scan){.in = {bytes, content.n}, .utf8 = s->utf8};
	if (scan_dot_string(&again) && again.at == content.n)
		text_add(out, bytes, content.n);
	else
		text_add_quoted(out, bytes, content.n);
	return out->n <= ADDRESS_LOCAL_MAX_BYTES;
}

/* Mailbox = Local-part "@" ( Domain / address-literal ) */
static bool
scan_mailbox(struct scan *s, bool is_rcpt, struct text *out, size_t *at_out)
{
	size_t	start;

	if (!scan_local_part(s, out))
		return false;
	*at_out = out->n;
	start = s->at;
	if (!scan_byte(s, '@'))
		return is_rcpt && slice_is_nocase((struct slice){out->p, out->n}, SLICE("postmaster"));
	if (scan_peek(s) == '[' ? !scan_literal(s) : !scan_domain(s))
		return false;
	text_add(out, s->in.p + start, s->at - start);
	return true;
}

enum parse
address_parse(struct slice in, bool utf8, bool is_rcpt, struct address *out, size_t *used_out)
{
	struct scan	s = {.in = in, .utf8 = utf8};
	struct text	text = {.p = out->text, .cap = ADDRESS_MAX_BYTES};

	out->at = 0;
	out->text[0] = '\0';
	*used_out = 0;
	if (!scan_byte(&s, '<'))
		return PARSE_BAD;
	if (scan_byte(&s, '>')) {
		if (is_rcpt)
			return PARSE_BAD;
		*used_out = s.at;
		return PARSE_OK;
	}
	if (!scan_route(&s) || !scan_mailbox(&s, is_rcpt, &text, &out->at) || text.is_full || !scan_byte(&s, '>')) {
		out->at = 0;
		out->text[0] = '\0';
		return PARSE_BAD;
	}
	out->text[text.n] = '\0';
	*used_out = s.at;
	return PARSE_OK;
}

struct slice
address_local(const struct address *a)
{
	return (struct slice){a->text, a->at};
}

struct slice
address_domain(const struct address *a)
{
	return a->text[a->at] == '@' ? slice_of(a->text + a->at + 1) : SLICE("");
}

bool
user_is_valid(struct slice user)
{
	if (user.n == 0 || user.n > USER_MAX_BYTES)
		return false;
	for (size_t i = 0; i < user.n; i++) {
		char	c = user.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			continue;
		if (i == 0 || c == '\0' || strchr("._+-=@", c) == NULL)
			return false;
		if (c == '.' && user.p[i - 1] == '.')
			return false;
	}
	return true;
}

bool
user_fold(struct slice user, char *out)
{
	out[0] = '\0';
	if (user.n == 0 || user.n > USER_MAX_BYTES)
		return false;
	for (size_t i = 0; i < user.n; i++)
		out[i] = user.p[i] >= 'A' && user.p[i] <= 'Z' ? (char)(user.p[i] + ('a' - 'A')) : user.p[i];
	out[user.n] = '\0';
	return user_is_valid((struct slice){out, user.n});
}
