/*
 * The text of a header value, byte by byte, and how IMAP writes it (RFC 5322 3.2, RFC 3501 4.3).
 * Called by all of mime/ that prints. Pure: no copy is made, so the longest value costs nothing but
 * its time. Every byte is looked at once; comments may nest as deep as they like.
 */
#include "mime/text.h"

#include <ctype.h>

struct text
text_make(enum text_mode mode, struct slice s)
{
	return (struct text){.rest = s, .mode = mode};
}

/* comment = "(" *([FWS] ccontent) [FWS] ")" (RFC 5322 3.2.2), counted, not recursed. */
static size_t
skip_comment(struct slice in)
{
	size_t i, depth = 0;

	for (i = 0; i < in.n; i++) {
		if (in.p[i] == '\\')
			i++;
		else if (in.p[i] == '(')
			depth++;
		else if (in.p[i] == ')' && --depth == 0)
			return i + 1;
	}
	return in.n;
}

size_t
text_skip(struct slice in)
{
	char end;
	size_t i;

	if (in.n == 0)
		return 0;
	if (in.p[0] == '(')
		return skip_comment(in);
	end = in.p[0] == '[' ? ']' : '"';
	for (i = 1; i < in.n; i++) {
		if (in.p[i] == '\\')
			i++;
		else if (in.p[i] == end)
			return i + 1;
	}
	return in.n;
}

static void
text_drop(struct text *t, size_t n)
{
	t->rest.p += n;
	t->rest.n -= n;
}

/* A byte to give, after the space that is due before it: then the byte stays for the next call. */
static int
text_give(struct text *t, size_t used, char c)
{
	bool space = t->is_spaced && t->has_byte && t->mode != TEXT_TIGHT;

	t->is_spaced = false;
	t->has_byte = true;
	if (space)
		return ' ';
	text_drop(t, used);
	return (unsigned char)c;
}

/* Inside quotes, a domain literal or a comment: -1 when the byte was only a mark. */
static int
text_quoted(struct text *t)
{
	char c = t->rest.p[0];

	if (c == '\\' && t->rest.n > 1) {
		char q = t->rest.p[1];

		if (q == '\0' || q == '\r' || q == '\n') {
			text_drop(t, 1);
			return -1;
		}
		return text_give(t, 2, q);
	}
	if (t->in_quote && c == '"') {
		t->in_quote = false;
		text_drop(t, 1);
		return -1;
	}
	if (t->in_literal && c == ']')
		t->in_literal = false;
	return text_give(t, 1, c);
}

/* Outside of them: -1 when nothing is to be given yet. */
static int
text_plain(struct text *t)
{
	char c = t->rest.p[0];

	if (c == ' ' || c == '\t') {
		t->is_spaced = true;
		text_drop(t, 1);
		return -1;
	}
	if (c == '(' && (t->mode != TEXT_TOKEN || t->is_spaced)) {
		t->is_spaced = true;
		text_drop(t, skip_comment(t->rest));
		return -1;
	}
	if (c == '"' && t->mode != TEXT_TOKEN) {
		t->in_quote = true;
		text_drop(t, 1);
		return -1;
	}
	if (c == '[' && t->mode == TEXT_TIGHT)
		t->in_literal = true;
	return text_give(t, 1, c);
}

int
text_next(struct text *t)
{
	while (t->rest.n > 0) {
		char c = t->rest.p[0];
		int r;

		if (c == '\r' || c == '\n' || c == '\0') {
			text_drop(t, 1);
			continue;
		}
		if (t->mode == TEXT_UNFOLD)
			r = text_give(t, 1, c);
		else if (t->in_quote || t->in_literal || t->mode == TEXT_COMMENT)
			r = text_quoted(t);
		else
			r = text_plain(t);
		if (r != -1)
			return r;
	}
	return -1;
}

bool
text_is_empty(struct text t)
{
	return text_next(&t) == -1;
}

/* quoted-specials (RFC 3501 9) */
static bool
is_special(int c)
{
	return c == '"' || c == '\\';
}

int
text_put(struct buf *out, struct text t)
{
	struct text look = t;
	size_t n = 0, specials = 0, before = out->n;
	bool literal = false;
	char *to;
	int c;

	while ((c = text_next(&look)) != -1) {
		n++;
		specials += is_special(c);
		literal |= c > 0x7e || (c < ' ' && c != '\t');
	}
	if (n > TEXT_QUOTED_MAX_BYTES)
		literal = true;
	if ((literal ? buf_addf(out, "{%zu}\r\n", n) : buf_add_str(out, "\"")) == -1)
		return -1;
	if ((to = buf_room(out, n + specials + 1)) == NULL) {
		out->n = before;
		return -1;
	}
	while ((c = text_next(&t)) != -1) {
		if (!literal && is_special(c))
			*to++ = '\\';
		*to++ = (char)c;
	}
	out->n += literal ? n : n + specials;
	return literal ? 0 : buf_add_str(out, "\"");
}

int
text_put_nil(struct buf *out, struct text t)
{
	return text_is_empty(t) ? buf_add_str(out, "NIL") : text_put(out, t);
}

int
text_put_upper(struct buf *out, struct slice s)
{
	size_t before = out->n, i;

	if (text_put(out, text_make(TEXT_UNFOLD, s)) == -1)
		return -1;
	for (i = before; i < out->n; i++)
		out->p[i] = (char)toupper((unsigned char)out->p[i]);
	return 0;
}
