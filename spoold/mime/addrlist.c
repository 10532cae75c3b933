/*
 * Address lists of header fields (RFC 5322 3.4 with the obsolete forms of 4.4) written as ENVELOPE's
 * address structures (RFC 3501 7.4.2). Called by envelope.c. Must stay linear for any number of
 * addresses: one pass finds where the pieces of an address lie, one writes them, none is gone over again.
 * What follows no grammar still gives an address or nothing, never broken output.
 */
#include "mime/addrlist.h"

#include "mime/text.h"

struct addr {
	struct slice	phrase;		/* before "<", or all of it where there is no "<" */
	struct slice	route, local, domain;
	struct slice	comment;	/* the last one, without its parentheses */
	bool		has_angle, has_at;
};

enum ended { AT_COMMA, AT_SEMICOLON, AT_COLON, AT_END };

struct scan {
	struct slice	in;
	size_t		at;
};

/* Grows a piece to reach over in[from .. to). */
static void
piece_add(struct scan *s, struct slice *piece, size_t from, size_t to)
{
	if (piece->p == NULL)
		piece->p = s->in.p + from;
	piece->n = (size_t)(s->in.p + to - piece->p);
}

/* One token: a comment, quoted string, domain literal or single byte. Says its first byte, -1 at the end. */
static int
scan_token(struct scan *s, size_t *from_out)
{
	struct slice rest = {s->in.p + s->at, s->in.n - s->at};

	*from_out = s->at;
	if (rest.n == 0)
		return -1;
	if (rest.p[0] == '"' || rest.p[0] == '(' || rest.p[0] == '[')
		s->at += text_skip(rest);
	else
		s->at += rest.p[0] == '\\' && rest.n > 1 ? 2 : 1;
	return (unsigned char)rest.p[0];
}

static void
comment_set(struct scan *s, struct addr *a, size_t from)
{
	size_t n = s->at - from - 1;

	if (n > 0 && s->in.p[s->at - 1] == ')')
		n--;
	a->comment = (struct slice){s->in.p + from + 1, n};
}

static bool
is_space(int c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/*
 * angle-addr = "<" [obs-route] addr-spec ">" after its "<" (RFC 5322 3.4, 4.4). A missing ">" ends
 * at the next comma, semicolon or "<", so that the addresses after it are still seen.
 */
static void
scan_angle(struct scan *s, struct addr *a)
{
	bool in_route = false;
	size_t from;
	int c;

	a->has_angle = true;
	while ((c = scan_token(s, &from)) != -1 && c != '>') {
		if ((c == ',' && !in_route) || c == ';' || c == '<') {
			s->at = from;
			return;
		}
		if (c == '(') {
			comment_set(s, a, from);
		} else if (in_route && c == ':') {
			in_route = false;
			a->has_at = false;
		} else if (in_route) {
			piece_add(s, &a->route, from, s->at);
		} else if (c == '@' && a->local.p == NULL && a->route.p == NULL) {
			in_route = true;
			piece_add(s, &a->route, from, s->at);
		} else if (c == '@' && !a->has_at) {
			a->has_at = true;
		} else if (!is_space(c)) {
			piece_add(s, a->has_at ? &a->domain : &a->local, from, s->at);
		}
	}
	if (in_route) {		/* "<@x>": no route after all, an address without its first half */
		a->domain = (struct slice){a->route.p + 1, a->route.n - 1};
		a->route = (struct slice){NULL, 0};
		a->has_at = true;
	}
}

/* Up to the address's end. A colon ends one only where a group may begin. */
static enum ended
scan_address(struct scan *s, bool in_group, struct addr *a)
{
	size_t from;
	int c;

	*a = (struct addr){.has_angle = false};
	while ((c = scan_token(s, &from)) != -1) {
		if (c == ',')
			return AT_COMMA;
		if (c == ';')
			return AT_SEMICOLON;
		if (c == ':' && !in_group && !a->has_at && !a->has_angle)
			return AT_COLON;
		if (c == '(')
			comment_set(s, a, from);
		else if (a->has_angle)
			continue;
		else if (c == '<')
			scan_angle(s, a);
		else if (c == '@' && !a->has_at)
			a->has_at = true;
		else if (!is_space(c))
			piece_add(s, a->has_at ? &a->domain : &a->phrase, from, s->at);
	}
	return AT_END;
}

static int
half_put(struct slice s, enum text_mode mode, const char *missing, struct buf *out)
{
	return s.n > 0 ? text_put(out, text_make(mode, s)) : buf_addf(out, "\"%s\"", missing);
}

/* address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")" (RFC 3501 9) */
static int
address_put(const struct addr *a, struct buf *out)
{
	struct slice local = a->has_angle ? a->local : a->phrase;
	enum text_mode local_mode = a->has_angle || a->has_at ? TEXT_TIGHT : TEXT_PHRASE;
	struct text name = text_make(TEXT_PHRASE, a->phrase);

	if (!a->has_angle || text_is_empty(name))
		name = text_make(TEXT_COMMENT, a->comment);
	if (buf_add_str(out, "(") == -1 || text_put_nil(out, name) == -1 || buf_add_str(out, " ") == -1)
		return -1;
	if (text_put_nil(out, text_make(TEXT_TIGHT, a->route)) == -1 || buf_add_str(out, " ") == -1)
		return -1;
	if (half_put(local, local_mode, ADDRLIST_NO_MAILBOX, out) == -1 || buf_add_str(out, " ") == -1)
		return -1;
	if (half_put(a->domain, TEXT_TIGHT, ADDRLIST_NO_DOMAIN, out) == -1)
		return -1;
	return buf_add_str(out, ")");
}

static int
group_put(struct slice name, struct buf *out)
{
	if (buf_add_str(out, "(NIL NIL ") == -1 || text_put(out, text_make(TEXT_PHRASE, name)) == -1)
		return -1;
	return buf_add_str(out, " NIL)");
}

int
addrlist_put(struct slice value, size_t *left, struct buf *out)
{
	struct scan s = {value, 0};
	bool in_group = false;
	enum ended ended = AT_COMMA;

	while (ended != AT_END && *left > 0) {
		struct addr a;
		int r = 0;

		ended = scan_address(&s, in_group, &a);
		if (ended == AT_COLON) {
			in_group = true;
			r = group_put(a.phrase, out);
		} else if (a.has_angle || a.has_at || a.phrase.n > 0) {
			r = address_put(&a, out);
		} else if (ended != AT_SEMICOLON || !in_group) {
			continue;
		}
		if (r == -1)
			return -1;
		(*left)--;
		if (ended == AT_SEMICOLON && in_group) {
			in_group = false;
			if (buf_add_str(out, "(NIL NIL NIL NIL)") == -1)
				return -1;
		}
	}
	return in_group ? buf_add_str(out, "(NIL NIL NIL NIL)") : 0;
}
