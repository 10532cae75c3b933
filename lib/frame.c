/*
 * Framing: where a line ends (CRLF and nothing else), where a literal stands (RFC 3501 4.3, RFC 7888,
 * RFC 3516), where DATA ends (RFC 5321 4.5.2: CRLF.CRLF and nothing else). Pure. What another server may
 * take for a line's end (a lone CR, a lone LF) never starts or ends a line here, so nothing can be smuggled past.
 */
#include "frame.h"

#include <errno.h>

#define FRAME_LITERAL_MAX	INT64_MAX	/* RFC 9051: number64 has 63 bits */

static enum parse
frame_bad(struct slice in, size_t at, enum frame_fault fault, struct frame_line *out, enum frame_fault *fault_out)
{
	const char *lf = memchr(in.p + at, '\n', in.n - at);

	out->used = lf == NULL ? 0 : (size_t)(lf - in.p) + 1;
	*fault_out = fault;
	return PARSE_BAD;
}

/* literal = ["~"] "{" number64 ["+"] "}" at the end of a line. False when the number has more than 63 bits. */
static bool
frame_mark(struct slice text, struct frame_line *out)
{
	size_t i = text.n, end;
	uint64_t v = 0;

	out->before = text;
	if (i == 0 || text.p[--i] != '}')
		return true;
	if (i > 0 && text.p[i - 1] == '+') {
		out->is_nonsync = true;
		i--;
	}
	for (end = i; i > 0 && text.p[i - 1] >= '0' && text.p[i - 1] <= '9'; i--)
		continue;
	if (i == end || i == 0 || text.p[i - 1] != '{') {
		out->is_nonsync = false;
		return true;	/* no mark: text that happens to end in a brace */
	}
	for (size_t j = i; j < end; j++) {
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(text.p[j] - '0'), &v) ||
		    v > FRAME_LITERAL_MAX)
			return false;
	}
	i--;
	if (i > 0 && text.p[i - 1] == '~') {
		out->is_binary = true;
		i--;
	}
	out->has_literal = true;
	out->literal_bytes = v;
	out->before.n = i;
	return true;
}

enum parse
frame_line(struct slice in, size_t line_max, bool literals, struct frame_line *out, enum frame_fault *fault_out)
{
	size_t i;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < in.n && in.p[i] != '\r'; i++) {
		if (i == line_max)
			return frame_bad(in, i, FRAME_LONG, out, fault_out);
		if (in.p[i] == '\n')
			return frame_bad(in, i, FRAME_BARE, out, fault_out);
		if (in.p[i] == '\0')
			return frame_bad(in, i, FRAME_NUL, out, fault_out);
	}
	if (i + 1 >= in.n)
		return PARSE_MORE;
	if (in.p[i + 1] != '\n')
		return frame_bad(in, i, FRAME_BARE, out, fault_out);
	out->text = (struct slice){in.p, i};
	out->before = out->text;
	out->used = i + 2;
	if (literals && !frame_mark(out->text, out)) {
		*out = (struct frame_line){.used = i + 2};
		*fault_out = FRAME_LITERAL;
		return PARSE_BAD;
	}
	return PARSE_OK;
}

static void
frame_crlf(struct buf *out)
{
	out->p[out->n++] = '\r';
	out->p[out->n++] = '\n';
}

/*
 * A byte inside a line. A lone LF becomes CRLF but is no end of line: the next dot is no first byte.
 */
static void
frame_text(struct frame_dot *d, char c, struct buf *out)
{
	d->state = DOT_TEXT;
	if (c == '\r') {
		d->state = DOT_CR;
	} else if (c == '\n') {
		d->bare++;
		frame_crlf(out);
	} else if (c == '\0') {
		d->nuls++;
	} else {
		out->p[out->n++] = c;
	}
}

static void
frame_lone_cr(struct frame_dot *d, char c, struct buf *out)
{
	d->bare++;
	frame_crlf(out);
	frame_text(d, c, out);
}

/* Copies bytes that mean nothing to framing; how many. */
static size_t
frame_run(struct slice in, size_t at, struct buf *out)
{
	size_t i = at;

	while (i < in.n && in.p[i] != '\r' && in.p[i] != '\n' && in.p[i] != '\0')
		i++;
	memcpy(out->p + out->n, in.p + at, i - at);
	out->n += i - at;
	return i - at;
}

/*
 *	BOL --.--> DOT --CR--> DOT_CR --LF--> end
 *	 |          |            |
 *	 other      other        other: the dot was stuffing
 *	 v          v            v
 *	TEXT <-------------------+
 *	TEXT --CR--> CR --LF--> BOL
 */
enum parse
frame_dot(struct frame_dot *d, struct slice in, size_t *used_out, struct buf *out)
{
	*used_out = 0;
	if (in.n > (SIZE_MAX - 4) / 2 || buf_room(out, in.n * 2 + 4) == NULL) {
		errno = ENOBUFS;
		return PARSE_BAD;
	}
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		switch (d->state) {
		case DOT_BOL:
			if (c == '.')
				d->state = DOT_DOT;
			else
				frame_text(d, c, out);
			break;
		case DOT_TEXT:
			i += frame_run(in, i, out);
			if (i < in.n)
				frame_text(d, in.p[i], out);
			break;
		case DOT_CR:
			if (c == '\n') {
				frame_crlf(out);
				d->state = DOT_BOL;
			} else {
				frame_lone_cr(d, c, out);
			}
			break;
		case DOT_DOT:
			if (c == '\r')
				d->state = DOT_DOT_CR;
			else
				frame_text(d, c, out);
			break;
		case DOT_DOT_CR:
			if (c == '\n') {
				d->state = DOT_BOL;
				*used_out = i + 1;
				return PARSE_OK;
			}
			frame_lone_cr(d, c, out);
			break;
		}
	}
	*used_out = in.n;
	return PARSE_MORE;
}

/* DOT_BOL: out ends a line (or is empty); DOT_TEXT: inside a line; DOT_CR: a CR waits for its LF. */
int
frame_chunk(struct frame_dot *d, struct slice in, bool last, struct buf *out)
{
	if (in.n > (SIZE_MAX - 4) / 2 || buf_room(out, in.n * 2 + 4) == NULL) {
		errno = ENOBUFS;
		return -1;
	}
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (d->state == DOT_CR && c == '\n')
			frame_crlf(out);
		else if (d->state == DOT_CR)
			frame_lone_cr(d, c, out);
		else
			frame_text(d, c, out);
		if (c == '\n')
			d->state = DOT_BOL;
	}
	if (last && d->state == DOT_CR)
		d->bare++;
	if (last && d->state != DOT_BOL) {
		frame_crlf(out);
		d->state = DOT_BOL;
	}
	return 0;
}

/*
 * Sending never depends on what it is given: a lone CR or LF goes out as CRLF, and a dot after any of
 * them is stuffed, so the peer sees exactly one end.
 */
int
frame_stuff(struct frame_stuff *s, struct slice in, struct buf *out)
{
	if (in.n > (SIZE_MAX - 4) / 2 || buf_room(out, in.n * 2 + 4) == NULL) {
		errno = ENOBUFS;
		return -1;
	}
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (s->had_cr || c == '\n') {
			frame_crlf(out);
			s->is_mid_line = false;
		}
		if (c == '\n') {
			s->had_cr = false;
			continue;
		}
		s->had_cr = c == '\r';
		if (s->had_cr)
			continue;
		if (c == '.' && !s->is_mid_line)
			out->p[out->n++] = '.';
		out->p[out->n++] = c;
		s->is_mid_line = true;
	}
	return 0;
}

int
frame_stuff_end(struct frame_stuff *s, struct buf *out)
{
	bool is_open = s->is_mid_line || s->had_cr;

	if (buf_add_str(out, is_open ? "\r\n.\r\n" : ".\r\n") < 0)
		return -1;
	*s = (struct frame_stuff){0};
	return 0;
}
