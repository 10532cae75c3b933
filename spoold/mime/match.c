/*
 * Folding and searching of text that comes in pieces, exactly as i;unicode-casemap prepares it (RFC 5051 2): titlecase by
 * UnicodeData.txt, then compatibility decomposition. Called by word.c, charset.c, contains.c and collate.c. State is a few
 * hundred bytes, whatever the text; a match may lie across any border of pieces. Linear: each byte is compared at most twice.
 */
#include "mime/match.h"

#include <utf8proc.h>

#define REPLACEMENT	0xfffd		/* U+FFFD: never in a needle that was folded strictly */
#define SHARP_S		0x00df	/* utf8proc makes it U+1E9E; UnicodeData.txt gives it no titlecase */
#define FOLD_BLOCK	64		/* bytes changed in one go: a loop of known length becomes vector instructions */
#define SIMPLE_MOST	0x10000		/* code points of the table below */
#define DECOMPOSED_MAX	32		/* code points of one; U+FDFA has 18, the most */

/* What a code point folds to where that is one that is no mark; 0: not looked up yet; -1: it is not so simple. */
static int32_t simple[SIMPLE_MOST];

static void
out_flush(struct fold *f)
{
	if (f->nout > 0)
		f->put(f, (struct slice){f->out, f->nout});
	f->nout = 0;
}

static void
put_char(struct fold *f, int32_t c)
{
	if (sizeof(f->out) - f->nout < 4)
		out_flush(f);
	f->nout += (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)f->out + f->nout);
}

/* As it is, and by itself. */
static void
put_plain(struct fold *f, int32_t c)
{
	out_flush(f);
	put_char(f, c);
	out_flush(f);
}

static void
marks_flush(struct fold *f)
{
	unsigned i;

	for (i = 0; i < f->nmarks; i++)
		put_char(f, f->marks[i]);
	f->nmarks = 0;
}

static int
mark_class(int32_t c)
{
	return utf8proc_get_property(c)->combining_class;
}

/* Canonical ordering: marks after a base stand in the order of their classes, equals as they came. */
static void
mark_add(struct fold *f, int32_t c)
{
	unsigned i;

	if (f->nmarks == FOLD_MARKS_MAX)
		marks_flush(f);
	for (i = f->nmarks++; i > 0 && mark_class(f->marks[i - 1]) > mark_class(c); i--)
		f->marks[i] = f->marks[i - 1];
	f->marks[i] = c;
}

static void
fold_char(struct fold *f, int32_t c)
{
	utf8proc_int32_t to[DECOMPOSED_MAX], title = c == SHARP_S ? c : utf8proc_totitle(c);
	utf8proc_ssize_t n, i;
	int boundary = 0;

	n = utf8proc_decompose_char(title, to, DECOMPOSED_MAX, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &boundary);
	if (n < 0 || n > DECOMPOSED_MAX) {
		to[0] = title;
		n = 1;
	}
	if (c < SIMPLE_MOST)
		simple[c] = n == 1 && mark_class(to[0]) == 0 ? to[0] : -1;
	for (i = 0; i < n; i++) {
		if (mark_class(to[i]) > 0) {
			mark_add(f, to[i]);
		} else {
			marks_flush(f);
			put_char(f, to[i]);
		}
	}
}

static void
fold_bad(struct fold *f)
{
	f->nheld = 0;
	f->is_bad = true;
	if (f->is_plain) {
		put_plain(f, REPLACEMENT);
		return;
	}
	marks_flush(f);
	put_char(f, REPLACEMENT);
}

/* A byte of a character of several. */
static void
fold_long(struct fold *f, unsigned char b)
{
	utf8proc_int32_t c;

	if (f->nheld == 0) {
		f->need = b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : 2;
		if (b < 0xc2 || b > 0xf4) {
			fold_bad(f);
			return;
		}
	}
	f->held[f->nheld++] = b;
	if (f->nheld < f->need)
		return;
	if (utf8proc_iterate(f->held, (utf8proc_ssize_t)f->need, &c) != (utf8proc_ssize_t)f->need) {
		fold_bad(f);
		return;
	}
	f->nheld = 0;
	if (f->is_plain) {
		put_plain(f, c);
	} else if (c < SIMPLE_MOST && simple[c] > 0) {
		marks_flush(f);
		put_char(f, simple[c]);
	} else {
		fold_char(f, c);
	}
}

/* How many bytes at the start of s are ASCII; eight at a time. */
static size_t
ascii_span(struct slice s)
{
	size_t n = 0;
	uint64_t eight;

	while (n + sizeof(eight) <= s.n) {
		memcpy(&eight, s.p + n, sizeof(eight));
		if ((eight & 0x8080808080808080) != 0)
			break;
		n += sizeof(eight);
	}
	while (n < s.n && (unsigned char)s.p[n] < 0x80)
		n++;
	return n;
}

static char
ascii_upper(char c)
{
	return (char)(c >= 'a' && c <= 'z' ? c ^ 0x20 : c);
}

/* ASCII goes through in pieces, its small letters made capitals. */
static void
fold_ascii(struct fold *f, struct slice s)
{
	marks_flush(f);
	while (s.n > 0) {
		size_t room = sizeof(f->out) - f->nout, n = s.n < room ? s.n : room, i = 0;
		char *out = f->out + f->nout;

		for (; i + FOLD_BLOCK <= n; i += FOLD_BLOCK)
			for (size_t j = 0; j < FOLD_BLOCK; j++)
				out[i + j] = ascii_upper(s.p[i + j]);
		for (; i < n; i++)
			out[i] = ascii_upper(s.p[i]);
		f->nout += n;
		if (n == room)
			out_flush(f);
		s = (struct slice){s.p + n, s.n - n};
	}
}

void
fold_feed(struct fold *f, struct slice s)
{
	if (f->is_raw) {
		f->put(f, s);
		return;
	}
	while (s.n > 0) {
		unsigned char b = (unsigned char)s.p[0];
		size_t n = 1;

		if (f->nheld > 0 && (b & 0xc0) != 0x80)
			fold_bad(f);
		if (b >= 0x80) {
			fold_long(f, b);
		} else {
			n = ascii_span(s);
			if (f->is_plain)
				f->put(f, (struct slice){s.p, n});
			else
				fold_ascii(f, (struct slice){s.p, n});
		}
		s = (struct slice){s.p + n, s.n - n};
	}
	out_flush(f);
}

void
fold_end(struct fold *f)
{
	if (f->nheld > 0)
		fold_bad(f);
	marks_flush(f);
	out_flush(f);
}

static uint32_t
fallback(const struct match *m, size_t i)
{
	uint32_t v;

	memcpy(&v, m->table.p + i * sizeof(v), sizeof(v));
	return v;
}

/* One byte further: how much of the needle matches then. */
static size_t
match_step(const struct match *m, size_t at, char c)
{
	while (at > 0 && m->needle.p[at] != c)
		at = fallback(m, at);
	return m->needle.p[at] == c ? at + 1 : 0;
}

static void
match_put(struct fold *f, struct slice s)
{
	struct match *m = (struct match *)f;
	size_t i;

	for (i = 0; i < s.n && !m->is_found; i++) {
		if (m->at == 0) {
			const char *p = memchr(s.p + i, m->needle.p[0], s.n - i);

			if (p == NULL)
				return;
			i = (size_t)(p - s.p);
		}
		m->at = match_step(m, m->at, s.p[i]);
		m->is_found = m->at == m->needle.n;
	}
}

struct match
match_make(struct slice needle)
{
	struct match m = {.fold = {.put = match_put}, .needle = needle};
	size_t i;

	m.table = buf_make(needle.n * sizeof(uint32_t) + sizeof(uint32_t));
	m.is_found = needle.n == 0;
	for (i = 0; i < needle.n; i++) {	/* entry i: where i matching bytes fall back to */
		uint32_t v = i < 2 ? 0 : (uint32_t)match_step(&m, fallback(&m, i - 1), needle.p[i - 1]);

		(void)buf_add(&m.table, &v, sizeof(v));
	}
	return m;
}

void
match_free(struct match *m)
{
	buf_free(&m->table);
}

void
match_restart(struct match *m)
{
	fold_end(&m->fold);
	m->at = 0;
}
