/*
 * MUPDATE lines: framing over lib/frame.c, the grammar, and writing strings. Called with whatever a
 * peer sent. Strings are quoted or literals, atoms never: as real Cyrus servers and clients have it.
 * RFC 3656 2, 5; RFC 2244 2.6.2, 2.6.3 (quoted strings, literals).
 */
#include "mupdatewire.h"

#include <string.h>

/* A literal's size against the limits; the line so far reaches to f->at. */
static bool
literal_fits(const struct mupdate_frame *f, const struct frame_line *l, size_t string_max, size_t whole_max)
{
	return l->literal_bytes <= string_max && f->at + l->used <= whole_max &&
	    l->literal_bytes <= whole_max - f->at - l->used;
}

static enum mupdate_framing
frame_fault(struct mupdate_frame *f, struct slice in, const struct frame_line *l, enum frame_fault fault)
{
	if (fault == FRAME_LONG || l->used == 0)
		return fault == FRAME_LONG || in.n - f->at > MUPDATE_LINE_MAX_BYTES ? MUPDATE_LONG : MUPDATE_MORE;
	f->at += l->used;
	return MUPDATE_SPOILT;
}

enum mupdate_framing
mupdate_frame(struct mupdate_frame *f, struct slice in, size_t string_max, size_t whole_max)
{
	for (;;) {
		struct frame_line l;
		enum frame_fault fault;
		enum parse p;

		if (f->at > in.n)
			return MUPDATE_MORE;	/* inside a literal */
		p = frame_line((struct slice){in.p + f->at, in.n - f->at}, MUPDATE_LINE_MAX_BYTES, true, &l, &fault);
		if (p == PARSE_MORE)
			return f->at + (in.n - f->at) > whole_max ? MUPDATE_LONG : MUPDATE_MORE;
		if (p == PARSE_BAD)
			return frame_fault(f, in, &l, fault);
		if (!l.has_literal) {
			f->at += l.used;
			return f->at > whole_max ? MUPDATE_LONG : MUPDATE_WHOLE;
		}
		if (l.is_binary)	/* IMAP's alone; it is no string here */
			return MUPDATE_LONG;
		if (!literal_fits(f, &l, string_max, whole_max)) {
			f->at += l.used;
			return l.is_nonsync ? MUPDATE_LONG : MUPDATE_REFUSED;
		}
		f->at += l.used + (size_t)l.literal_bytes;
		if (!l.is_nonsync)
			return MUPDATE_GO_AHEAD;
	}
}

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* tag = 1*ATOM-CHAR. Cyrus takes any word; a client's may hold punctuation, but nothing that opens a string. */
static size_t
tag_parse(struct slice in)
{
	size_t i = 0;

	while (i < in.n && in.p[i] > ' ' && in.p[i] < 0x7f && strchr("\"\\(){%*", in.p[i]) == NULL)
		i++;
	if (i == 0 && in.n > 0 && (in.p[0] == '*' || in.p[0] == '+'))
		i = 1;	/* a response without a tag */
	return i <= MUPDATE_TAG_MAX_BYTES ? i : 0;
}

/* quoted = DQUOTE *QUOTED-CHAR DQUOTE, 7-bit; unescaped in place. Moves *at past it. */
static bool
quoted_parse(char *p, size_t n, size_t *at, struct slice *out)
{
	size_t i = *at + 1, w = i;

	for (; i < n && p[i] != '"'; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c == '\r' || c == '\n' || c >= 0x80)
			return false;
		if (c == '\\') {
			if (i + 1 == n || (p[i + 1] != '"' && p[i + 1] != '\\'))
				return false;
			i++;
		}
		p[w++] = p[i];
	}
	if (i >= n)
		return false;
	*out = (struct slice){p + *at + 1, w - *at - 1};
	*at = i + 1;
	return true;
}

/* literal = "{" number ["+"] "}" CRLF *OCTET. The frame has seen to it that all of it is there. */
static bool
literal_parse(const char *p, size_t n, size_t *at, struct slice *out)
{
	size_t i = *at + 1, bytes = 0, digits = 0;

	for (; i < n && p[i] >= '0' && p[i] <= '9'; i++, digits++) {
		bytes = bytes * 10 + (size_t)(p[i] - '0');
		if (bytes > n)
			return false;
	}
	if (i < n && p[i] == '+')
		i++;
	if (digits == 0 || n - i < 3 || p[i] != '}' || p[i + 1] != '\r' || p[i + 2] != '\n' || bytes > n - i - 3)
		return false;
	*out = (struct slice){p + i + 3, bytes};
	*at = i + 3 + bytes;
	return memchr(out->p, '\0', bytes) == NULL;
}

/* *(SP string) CRLF */
static enum mupdate_fault
args_parse(char *p, size_t n, size_t at, struct mupdate_line *line)
{
	while (n - at != 2 || p[at] != '\r') {
		struct slice *arg = &line->args[line->nargs];
		bool is_string;

		if (p[at] != ' ' || at + 1 == n)
			return MUPDATE_BAD_ARGS;
		at++;
		if (line->nargs == MUPDATE_ARGS_MAX)
			return MUPDATE_MANY_ARGS;
		is_string = p[at] == '"' ? quoted_parse(p, n, &at, arg) : p[at] == '{' && literal_parse(p, n, &at, arg);
		if (!is_string || n - at < 2)
			return MUPDATE_BAD_ARGS;
		line->nargs++;
	}
	return MUPDATE_OK;
}

enum mupdate_fault
mupdate_parse(char *p, size_t n, struct mupdate_line *line)
{
	size_t at, word;

	*line = (struct mupdate_line){.nargs = 0};
	if (n <= 2)
		return MUPDATE_NO_TAG;
	at = tag_parse((struct slice){p, n - 2});
	if (at == 0 || (p[at] != ' ' && p[at] != '\r'))
		return MUPDATE_BAD_TAG;
	line->tag = (struct slice){p, at};
	if (p[at++] != ' ')
		return MUPDATE_NO_WORD;
	for (word = at; at < n && is_alnum(p[at]); at++)
		continue;
	if (at == word || at - word > MUPDATE_WORD_MAX_BYTES || (p[at] != ' ' && p[at] != '\r'))
		return MUPDATE_NO_WORD;
	line->word = (struct slice){p + word, at - word};
	return args_parse(p, n, at, line);
}

static bool
can_quote(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\' || c == '\r' || c == '\n' || c == '\0' || c >= 0x7f)
			return false;
	}
	return true;
}

int
mupdate_string_add(struct buf *b, size_t line_start, struct slice s)
{
	size_t before = b->n;

	/* The room left on the line is for the marks of two more literals, should they not fit. */
	if (b->n - line_start + s.n + 3 + 2 * sizeof(" {8192+}") <= MUPDATE_OUT_LINE_BYTES && can_quote(s)) {
		if (buf_add(b, " \"", 2) == 0 && buf_add_slice(b, s) == 0 && buf_add(b, "\"", 1) == 0)
			return 0;
	} else if (buf_addf(b, " {%zu+}\r\n", s.n) == 0 && buf_add_slice(b, s) == 0) {
		return 0;
	}
	b->n = before;
	return -1;
}
