/*
 * The ASCII form of a header (RFC 6858 2). Called by POP3 for clients that did not say UTF8 (RFC 6856 2.1).
 * Fields that are ASCII already are not touched. Of the others: addresses (2.1) and MIME parameters (2.2) are taken
 * apart, structured fields that mean nothing when changed are left out (2.4), and all else is text whose words
 * become encoded words (2.3, RFC 2047). Bytes that are no UTF-8 are called unknown-8bit (RFC 1428 3). Never
 * makes more than SURROGATE_GROWTH bytes of one.
 */
#include "mime/surrogate.h"

#include <stdio.h>
#include <utf8proc.h>

#include "mime/header.h"

#define WORD_MAX_BYTES		75	/* RFC 2047 2 */
#define FOLD_COLUMN		40	/* an encoded word that begins past it goes to the next line */
#define PARAM_MAX_BYTES		250	/* a value of so many bytes, three each, stays below the 998 of a line (RFC 5322 2.1.1) */
#define NOBODY			"<invalid@internationalized-address.invalid>"	/* RFC 6858 2.1 */

/* Output that counts its column and fails once. */
struct sink {
	struct buf	*out;
	size_t		 column;
	bool		 is_full;
};

static void
put(struct sink *k, struct slice s)
{
	const char *lf = s.n > 0 ? memrchr(s.p, '\n', s.n) : NULL;

	if (buf_add_slice(k->out, s) == -1)
		k->is_full = true;
	k->column = lf != NULL ? (size_t)(s.p + s.n - lf) - 1 : k->column + s.n;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool
surrogate_is_due(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80 || s.p[i] == '\0')
			return true;
	return false;
}

/* Bytes of the UTF-8 character at the start of s; 0: it is none. */
static size_t
utf8_bytes(struct slice s)
{
	utf8proc_int32_t c;
	utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s.p, (utf8proc_ssize_t)(s.n < 4 ? s.n : 4), &c);

	return n > 0 && c != 0 ? (size_t)n : 0;
}

static bool
is_utf8(struct slice s)
{
	while (s.n > 0) {
		size_t n = utf8_bytes(s);

		if (n == 0)
			return false;
		s.p += n, s.n -= n;
	}
	return true;
}

/* What may stand for itself wherever an encoded word may (RFC 2047 5 (3)). */
static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("!*+-/", c) != NULL);
}

/* A NUL is not said even in disguise: what decodes the word hangs on it as well. */
static void
put_hex(struct sink *k, char mark, char c)
{
	char hex[4];

	snprintf(hex, sizeof(hex), "%c%02X", mark, c == '\0' ? 0x80 : (unsigned)(unsigned char)c);
	put(k, slice_of(hex));
}

/* The text as encoded words (RFC 2047 2, 4.2), line ends left out, no character cut in two. gap: the white space before it. */
static void
put_encoded(struct sink *k, struct slice gap, struct slice text)
{
	bool utf8 = is_utf8(text);
	struct slice head = utf8 ? SLICE("=?utf-8?Q?") : SLICE("=?unknown-8bit?Q?");
	size_t i, unit, used = head.n + 2;

	if (gap.n > 0 && k->column > FOLD_COLUMN && memchr(gap.p, '\n', gap.n) == NULL)
		put(k, SLICE("\r\n"));
	put(k, gap);
	put(k, head);
	for (i = 0; i < text.n; i += unit) {
		size_t cost, j;

		unit = utf8 ? utf8_bytes((struct slice){text.p + i, text.n - i}) : 1;
		if (text.p[i] == '\r' || text.p[i] == '\n')
			continue;
		cost = is_plain(text.p[i]) || text.p[i] == ' ' ? 1 : 3 * unit;
		if (used + cost > WORD_MAX_BYTES) {
			put(k, SLICE("?=\r\n "));
			put(k, head);
			used = head.n + 2;
		}
		used += cost;
		for (j = i; j < i + unit; j++) {
			if (is_plain(text.p[j]))
				put(k, (struct slice){text.p + j, 1});
			else if (text.p[j] == ' ')
				put(k, SLICE("_"));
			else
				put_hex(k, '=', text.p[j]);
		}
	}
	put(k, SLICE("?="));
}

/* White space at the start of s, and the word after it; in a comment a parenthesis is a word. */
static struct slice
word_next(struct slice s, bool is_comment, struct slice *gap_out)
{
	size_t i = 0, from;

	while (i < s.n && is_space(s.p[i]))
		i++;
	*gap_out = (struct slice){s.p, i};
	from = i;
	while (i < s.n && !is_space(s.p[i]) && !(is_comment && (s.p[i] == '(' || s.p[i] == ')')))
		i++;
	if (is_comment && i == from && i < s.n)
		i++;
	return (struct slice){s.p + from, i - from};
}

/* Text: each run of words that are not ASCII is encoded, the rest stays. */
static void
put_text(struct sink *k, struct slice s, bool is_comment)
{
	const char *end = s.p + s.n;
	struct slice gap, next_gap;

	while (s.n > 0) {
		struct slice run = word_next(s, is_comment, &gap), next;

		if (!surrogate_is_due(run)) {
			put(k, gap);
			put(k, run);
		} else {
			for (;;) {
				next = word_next((struct slice){run.p + run.n, (size_t)(end - run.p) - run.n}, is_comment, &next_gap);
				if (next_gap.n == 0 || !surrogate_is_due(next))
					break;
				run.n += next_gap.n + next.n;
			}
			put_encoded(k, gap, run);
		}
		s = (struct slice){run.p + run.n, (size_t)(end - run.p) - run.n};
	}
}

/* Where the thing that begins at i ends: a quoted string, a comment, what is in brackets; one byte of anything else. */
static size_t
token_end(struct slice s, size_t i)
{
	char open = s.p[i], close = open == '(' ? ')' : open == '<' ? '>' : open == '[' ? ']' : '"';
	size_t depth = 1;

	if (open != '"' && open != '(' && open != '<' && open != '[')
		return i + 1;
	for (i++; i < s.n; i++) {
		if (s.p[i] == '\\' && open != '<')
			i++;
		else if (s.p[i] == close && --depth == 0)
			return i + 1;
		else if (open == '(' && s.p[i] == '(')
			depth++;
	}
	return s.n;
}

/* Quotation marks and backslashes gone; into a buffer as large as the input. */
static struct slice
unquote(struct slice s, struct buf *into)
{
	bool in_quotes = false;
	size_t i;

	buf_clear(into);
	for (i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			in_quotes = !in_quotes;
		else if (s.p[i] != '\\' || !in_quotes)
			(void)buf_add(into, s.p + i, 1);
		else if (++i < s.n)
			(void)buf_add(into, s.p + i, 1);
	}
	return header_trim(buf_slice(into));
}

/* One address, or the name of a group: what stands between the commas. */
static void
put_address(struct sink *k, struct slice s, bool is_group, struct buf *scratch)
{
	size_t i, end, angle = s.n, angle_end = s.n, lead = 0;
	bool is_bare_ascii = true;
	struct slice gap, plain;

	for (i = 0; i < s.n; i = end) {
		end = token_end(s, i);
		if (s.p[i] == '<' && angle == s.n && !is_group)
			angle = i, angle_end = end;
		else if (s.p[i] != '(' && surrogate_is_due((struct slice){s.p + i, end - i}))
			is_bare_ascii = false;
	}
	while (lead < s.n && is_space(s.p[lead]))
		lead++;
	gap = (struct slice){s.p, lead};
	if (!surrogate_is_due(s) || (angle == s.n && is_bare_ascii)) {
		put_text(k, s, true);	/* at most its comments are not ASCII */
		return;
	}
	if (!is_group && (angle == s.n || surrogate_is_due((struct slice){s.p + angle, angle_end - angle}))) {
		put_encoded(k, gap, unquote(s, scratch));
		put(k, SLICE("\r\n " NOBODY));
		return;
	}
	plain = (struct slice){s.p, angle};
	if (surrogate_is_due(plain)) {
		put_encoded(k, gap, unquote(plain, scratch));
		if (angle < s.n)
			put(k, SLICE(" "));
	} else {
		put(k, plain);
	}
	put(k, (struct slice){s.p + angle, angle_end - angle});
	put_text(k, (struct slice){s.p + angle_end, s.n - angle_end}, true);
}

/* address-list (RFC 5322 3.4) */
static void
put_addresses(struct sink *k, struct slice s, struct buf *scratch)
{
	size_t i, from = 0, end;

	for (i = 0; i < s.n; i = end) {
		end = token_end(s, i);
		if (s.p[i] != ',' && s.p[i] != ';' && s.p[i] != ':')
			continue;
		put_address(k, (struct slice){s.p + from, i - from}, s.p[i] == ':', scratch);
		put(k, (struct slice){s.p + i, 1});
		from = end;
	}
	put_address(k, (struct slice){s.p + from, s.n - from}, false, scratch);
}

/* parameter = attribute "=" value (RFC 2045 5.1), written as RFC 2231 4 does; one that is too long is left out. */
static void
put_param(struct sink *k, struct slice s, struct buf *scratch)
{
	const char *eq = memchr(s.p, '=', s.n);
	struct slice attr, value;
	size_t i;

	if (!surrogate_is_due(s)) {
		put(k, SLICE(";"));
		put(k, s);
		return;
	}
	if (eq == NULL)
		return;
	attr = header_trim((struct slice){s.p, (size_t)(eq - s.p)});
	value = unquote((struct slice){eq + 1, (size_t)(s.p + s.n - eq) - 1}, scratch);
	for (i = 0; i < attr.n; i++)
		if (!is_plain(attr.p[i]) || attr.p[i] == '*' || attr.p[i] == '/')
			return;
	if (attr.n == 0 || attr.n > PARAM_MAX_BYTES || value.n > PARAM_MAX_BYTES)
		return;
	put(k, SLICE(";\r\n "));
	put(k, attr);
	put(k, is_utf8(value) ? SLICE("*=utf-8''") : SLICE("*=unknown-8bit''"));
	for (i = 0; i < value.n; i++) {
		if (is_plain(value.p[i]) && value.p[i] != '*' && value.p[i] != '/')
			put(k, (struct slice){value.p + i, 1});
		else
			put_hex(k, '%', value.p[i]);
	}
}

/* A type or disposition and its parameters. */
static void
put_params(struct sink *k, struct slice s, struct buf *scratch)
{
	size_t i, from = 0, end;
	bool is_first = true;

	for (i = 0; i <= s.n; i = end) {
		struct slice piece = {s.p + from, i - from};

		end = i < s.n ? token_end(s, i) : i + 1;
		if (i < s.n && s.p[i] != ';')
			continue;
		if (is_first)
			put_text(k, piece, true);
		else
			put_param(k, piece, scratch);
		is_first = false;
		from = end;
	}
}

enum kind { KIND_TEXT, KIND_ADDRESSES, KIND_PARAMS, KIND_LEFT_OUT };

static enum kind
field_kind(struct slice name)
{
	static const struct { const char *name; enum kind kind; } kinds[] = {
		{"From", KIND_ADDRESSES}, {"Sender", KIND_ADDRESSES}, {"Reply-To", KIND_ADDRESSES}, {"To", KIND_ADDRESSES},
		{"Cc", KIND_ADDRESSES}, {"Bcc", KIND_ADDRESSES}, {"Resent-From", KIND_ADDRESSES}, {"Resent-Sender", KIND_ADDRESSES},
		{"Resent-To", KIND_ADDRESSES}, {"Resent-Cc", KIND_ADDRESSES}, {"Resent-Bcc", KIND_ADDRESSES},
		{"Return-Path", KIND_ADDRESSES},
		{"Content-Type", KIND_PARAMS}, {"Content-Disposition", KIND_PARAMS},
		{"Content-Transfer-Encoding", KIND_LEFT_OUT}, {"Content-ID", KIND_LEFT_OUT}, {"MIME-Version", KIND_LEFT_OUT},
		{"Date", KIND_LEFT_OUT}, {"Message-ID", KIND_LEFT_OUT}, {"In-Reply-To", KIND_LEFT_OUT}, {"References", KIND_LEFT_OUT},
		{"Received", KIND_LEFT_OUT}, {"DKIM-Signature", KIND_LEFT_OUT}, {"", KIND_LEFT_OUT},
	};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (slice_is_nocase(name, slice_of(kinds[i].name)))
			return kinds[i].kind;
	return KIND_TEXT;
}

static void
put_field(struct sink *k, const struct header_field *f, struct buf *scratch)
{
	enum kind kind = field_kind(f->name);
	const char *colon = memchr(f->raw.p, ':', f->raw.n), *end = f->raw.p + f->raw.n, *eol = end;
	struct slice value;

	if (kind == KIND_LEFT_OUT || colon == NULL)
		return;
	while (eol > colon + 1 && (eol[-1] == '\r' || eol[-1] == '\n'))
		eol--;
	value = (struct slice){colon + 1, (size_t)(eol - colon) - 1};
	k->column = 0;
	put(k, (struct slice){f->raw.p, (size_t)(colon + 1 - f->raw.p)});
	if (kind == KIND_ADDRESSES)
		put_addresses(k, value, scratch);
	else if (kind == KIND_PARAMS)
		put_params(k, value, scratch);
	else
		put_text(k, value, false);
	put(k, (struct slice){eol, (size_t)(end - eol)});
}

int
surrogate_header(struct slice header, struct buf *out)
{
	struct sink k = {.out = out};
	struct buf scratch = buf_make(header.n + 1);
	struct slice rest = header;
	struct header_field f;

	while (!k.is_full && header_next(&rest, &f)) {
		if (surrogate_is_due(f.raw))
			put_field(&k, &f, &scratch);
		else
			put(&k, f.raw);
	}
	put(&k, rest);	/* the empty line */
	buf_free(&scratch);
	return k.is_full ? -1 : 0;
}
