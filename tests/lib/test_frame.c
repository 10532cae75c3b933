/*
 * Framing: every case at every split of its input into two pieces, and byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "frame.h"

#define S(lit)	{(lit), sizeof(lit) - 1}
#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

/* ---- the dot ---- */

static const struct dot_row {
	const char	*name;
	struct slice	 in, want, rest;
	bool		 has_end;
	uint64_t	 bare, nuls;
} dot_rows[] = {
	{"empty message", S(".\r\n"), S(""), S(""), true, 0, 0},
	{"one line", S("a\r\n.\r\n"), S("a\r\n"), S(""), true, 0, 0},
	{"rest is the next command", S("a\r\n.\r\nQUIT\r\n"), S("a\r\n"), S("QUIT\r\n"), true, 0, 0},
	{"stuffed dot", S("..a\r\n.\r\n"), S(".a\r\n"), S(""), true, 0, 0},
	{"two dots alone", S("..\r\n.\r\n"), S(".\r\n"), S(""), true, 0, 0},
	{"dot with text", S(".a\r\n.\r\n"), S("a\r\n"), S(""), true, 0, 0},
	{"dot inside", S("a.\r\nb.c\r\n.\r\n"), S("a.\r\nb.c\r\n"), S(""), true, 0, 0},
	{"empty lines", S("\r\n\r\n.\r\n"), S("\r\n\r\n"), S(""), true, 0, 0},
	{"LF dot LF", S("a\n.\nb\r\n.\r\n"), S("a\r\n.\r\nb\r\n"), S(""), true, 2, 0},
	{"LF dot CRLF", S("a\n.\r\nb\r\n.\r\n"), S("a\r\n.\r\nb\r\n"), S(""), true, 1, 0},
	{"CRLF dot LF", S("a\r\n.\nb\r\n.\r\n"), S("a\r\n\r\nb\r\n"), S(""), true, 1, 0},
	{"CR dot CR", S("a\r.\rb\r\n.\r\n"), S("a\r\n.\r\nb\r\n"), S(""), true, 2, 0},
	{"CRLF dot CR", S("a\r\n.\rb\r\n.\r\n"), S("a\r\n\r\nb\r\n"), S(""), true, 1, 0},
	{"CR dot CRLF", S("a\r.\r\nb\r\n.\r\n"), S("a\r\n.\r\nb\r\n"), S(""), true, 1, 0},
	{"CRLF dot CR CR LF", S("a\r\n.\r\r\nb\r\n.\r\n"), S("a\r\n\r\n\r\nb\r\n"), S(""), true, 1, 0},
	{"CR CRLF dot CRLF", S("a\r\r\n.\r\n"), S("a\r\n\r\n"), S(""), true, 1, 0},
	{"LF CR dot", S("a\n\r.\r\n.\r\n"), S("a\r\n\r\n.\r\n"), S(""), true, 2, 0},
	{"LF at the start", S("\n.\r\n.\r\n"), S("\r\n.\r\n"), S(""), true, 1, 0},
	{"CR at the start", S("\r.\r\n.\r\n"), S("\r\n.\r\n"), S(""), true, 1, 0},
	{"dot NUL CRLF", S("a\r\n.\0\r\n.\r\n"), S("a\r\n\r\n"), S(""), true, 0, 1},
	{"CR NUL LF dot", S("a\r\0\n.\r\n.\r\n"), S("a\r\n\r\n.\r\n"), S(""), true, 2, 1},
	{"NUL before the end", S("\0.\r\n.\r\n"), S(".\r\n"), S(""), true, 0, 1},
	{"no end yet", S("a\r\n."), S("a\r\n"), S(""), false, 0, 0},
	{"no end after dot CR", S("a\r\n.\r"), S("a\r\n"), S(""), false, 0, 0},
	{"held CR", S("a\r"), S("a"), S(""), false, 0, 0},
	{"many CRs", S("\r\r\r\r\n.\r\n"), S("\r\n\r\n\r\n\r\n"), S(""), true, 3, 0},
};

/* Feeds in as pieces of at most step bytes after a first one of first bytes. */
static bool
dot_is_right(const struct dot_row *r, size_t first, size_t step)
{
	struct frame_dot d = {0};
	struct buf out = buf_make(4096);
	enum parse got = PARSE_MORE;
	size_t at = 0;
	bool good;

	while (at < r->in.n && got == PARSE_MORE) {
		size_t n = at == 0 && first > 0 ? first : step, used;

		if (n > r->in.n - at)
			n = r->in.n - at;
		got = frame_dot(&d, (struct slice){r->in.p + at, n}, &used, &out);
		if (got == PARSE_MORE && used != n)
			got = PARSE_BAD;
		at += used;
	}
	good = (got == PARSE_OK) == r->has_end && got != PARSE_BAD && slice_is(buf_slice(&out), r->want) &&
	    at == r->in.n - r->rest.n && d.bare == r->bare && d.nuls == r->nuls;
	if (!good)
		print_error("%s, split at %zu and every %zu: got %d, %.*s\n", r->name, first, step, (int)got, (int)out.n, out.p);
	buf_free(&out);
	return good;
}

static void
test_dot(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(dot_rows); i++) {
		const struct dot_row *r = &dot_rows[i];

		for (size_t first = 1; first <= r->in.n; first++) {
			bad += !dot_is_right(r, first, r->in.n);
			bad += !dot_is_right(r, first, 1);
			bad += !dot_is_right(r, first, 2);
		}
	}
	assert_int_equal(bad, 0);
}

static void
test_dot_room(void **state)
{
	struct frame_dot d = {0};
	struct buf out = buf_make(2 * 3 + 4);
	size_t used;

	(void)state;
	assert_int_equal(frame_dot(&d, SLICE("abcd"), &used, &out), PARSE_BAD);
	assert_int_equal(used, 0);
	assert_int_equal(out.n, 0);
	assert_int_equal(frame_dot(&d, SLICE("abc"), &used, &out), PARSE_MORE);
	assert_int_equal(out.n, 3);
	buf_free(&out);
}

/* What another server might take for an end: no sequence of these bytes ends but CRLF.CRLF. */
static void
test_dot_smuggling(void **state)
{
	static const char alphabet[] = {'\r', '\n', '.', 'x'};
	unsigned long all = 1;

	(void)state;
	for (int i = 0; i < 7; i++)
		all *= sizeof(alphabet);
	for (unsigned long n = 0; n < all; n++) {
		char in[7 + 2 + 1] = "\r\n";
		struct frame_dot d = {0};
		struct buf out = buf_make(64);
		unsigned long v = n;
		size_t used;
		const char *end;
		enum parse got;

		for (size_t i = 2; i < 9; i++, v /= sizeof(alphabet))
			in[i] = alphabet[v % sizeof(alphabet)];
		got = frame_dot(&d, (struct slice){in, 9}, &used, &out);
		end = memmem(in, 9, "\r\n.\r\n", 5);
		if ((end != NULL) != (got == PARSE_OK) || (end != NULL && used != (size_t)(end - in) + 5))
			fail_msg("case %lu: got %d, used %zu", n, (int)got, used);
		/* And what is stored has no lone CR or LF, whatever came. */
		for (size_t i = 0; i < out.n; i++) {
			if (out.p[i] == '\r')
				assert_true(i + 1 < out.n && out.p[i + 1] == '\n');
			if (out.p[i] == '\n')
				assert_true(i > 0 && out.p[i - 1] == '\r');
		}
		buf_free(&out);
	}
}

/* ---- stuffing ---- */

static const struct {
	const char	*name;
	struct slice	 in, want;
} stuff_rows[] = {
	{"nothing", S(""), S(".\r\n")},
	{"line", S("a\r\n"), S("a\r\n.\r\n")},
	{"dot", S(".\r\n"), S("..\r\n.\r\n")},
	{"dots", S("..a\r\n.b\r\nc.\r\n"), S("...a\r\n..b\r\nc.\r\n.\r\n")},
	{"no end of line", S("a"), S("a\r\n.\r\n")},
	{"CR at the end", S("a\r"), S("a\r\n.\r\n")},
	{"LF dot LF", S("a\n.\nQUIT\r\n"), S("a\r\n..\r\nQUIT\r\n.\r\n")},
	{"CR dot CR", S("a\r.\rQUIT\r\n"), S("a\r\n..\r\nQUIT\r\n.\r\n")},
	{"CR CR LF", S("a\r\r\nb\r\n"), S("a\r\n\r\nb\r\n.\r\n")},
};

static void
test_stuff(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(stuff_rows); i++) {
		struct slice in = stuff_rows[i].in;

		for (size_t split = 0; split <= in.n; split++) {
			struct frame_stuff s = {0};
			struct frame_dot d = {0};
			struct buf out = buf_make(256), back = buf_make(256);
			size_t used;

			assert_int_equal(frame_stuff(&s, (struct slice){in.p, split}, &out), 0);
			assert_int_equal(frame_stuff(&s, (struct slice){in.p + split, in.n - split}, &out), 0);
			assert_int_equal(frame_stuff_end(&s, &out), 0);
			/* What is sent is one message to any reader. */
			if (!slice_is(buf_slice(&out), stuff_rows[i].want) ||
			    frame_dot(&d, buf_slice(&out), &used, &back) != PARSE_OK || used != out.n || d.bare != 0) {
				print_error("%s split at %zu: %.*s\n", stuff_rows[i].name, split, (int)out.n, out.p);
				bad++;
			}
			buf_free(&out);
			buf_free(&back);
		}
	}
	assert_int_equal(bad, 0);
}

/* ---- chunks ---- */

static const struct {
	const char	*name;
	struct slice	 in, want;
	uint64_t	 bare, nuls;
} chunk_rows[] = {
	{"nothing", S(""), S(""), 0, 0},
	{"line", S("a\r\n"), S("a\r\n"), 0, 0},
	{"dot line stays", S("a\r\n.\r\nb\r\n"), S("a\r\n.\r\nb\r\n"), 0, 0},
	{"missing CRLF", S("a\r\nb"), S("a\r\nb\r\n"), 0, 0},
	{"CR at the end", S("a\r"), S("a\r\n"), 1, 0},
	{"LF at the end", S("a\n"), S("a\r\n"), 1, 0},
	{"lone", S("a\rb\nc\r\n"), S("a\r\nb\r\nc\r\n"), 2, 0},
	{"CR CR LF", S("a\r\r\n"), S("a\r\n\r\n"), 1, 0},
	{"NUL", S("a\0b\r\n"), S("ab\r\n"), 0, 1},
};

static void
test_chunk(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(chunk_rows); i++) {
		struct slice in = chunk_rows[i].in;

		for (size_t split = 0; split <= in.n; split++) {
			struct frame_dot d = {0};
			struct buf out = buf_make(256);

			assert_int_equal(frame_chunk(&d, (struct slice){in.p, split}, false, &out), 0);
			assert_int_equal(frame_chunk(&d, (struct slice){in.p + split, in.n - split}, true, &out), 0);
			if (!slice_is(buf_slice(&out), chunk_rows[i].want) || d.bare != chunk_rows[i].bare ||
			    d.nuls != chunk_rows[i].nuls) {
				print_error("%s split at %zu: %.*s\n", chunk_rows[i].name, split, (int)out.n, out.p);
				bad++;
			}
			buf_free(&out);
		}
	}
	assert_int_equal(bad, 0);
}

/* ---- lines ---- */

enum { NONE = -1 };
#define LINE_MAX_TEST	16

static const struct line_row {
	const char	*name;
	struct slice	 in;
	enum parse	 want;
	int		 fault;		/* enum frame_fault or NONE */
	size_t		 used;
	struct slice	 text;		/* before the literal's mark */
	int64_t		 literal;	/* -1: none */
	bool		 nonsync, binary;
} line_rows[] = {
	{"empty", S("\r\n"), PARSE_OK, NONE, 2, S(""), -1, 0, 0},
	{"line", S("a b\r\nrest"), PARSE_OK, NONE, 5, S("a b"), -1, 0, 0},
	{"nothing", S(""), PARSE_MORE, NONE, 0, S(""), -1, 0, 0},
	{"half", S("abc"), PARSE_MORE, NONE, 0, S(""), -1, 0, 0},
	{"half with CR", S("abc\r"), PARSE_MORE, NONE, 0, S(""), -1, 0, 0},
	{"at the limit", S("0123456789abcdef\r\n"), PARSE_OK, NONE, 18, S("0123456789abcdef"), -1, 0, 0},
	{"at the limit, half", S("0123456789abcdef\r"), PARSE_MORE, NONE, 0, S(""), -1, 0, 0},
	{"one past", S("0123456789abcdefg\r\n"), PARSE_BAD, FRAME_LONG, 19, S(""), -1, 0, 0},
	{"one past, no end", S("0123456789abcdefg"), PARSE_BAD, FRAME_LONG, 0, S(""), -1, 0, 0},
	{"lone LF", S("ab\ncd\r\n"), PARSE_BAD, FRAME_BARE, 3, S(""), -1, 0, 0},
	{"lone CR", S("ab\rcd\r\n"), PARSE_BAD, FRAME_BARE, 7, S(""), -1, 0, 0},
	{"lone CR, no end", S("ab\rcd"), PARSE_BAD, FRAME_BARE, 0, S(""), -1, 0, 0},
	{"CR CR LF", S("ab\r\r\n"), PARSE_BAD, FRAME_BARE, 5, S(""), -1, 0, 0},
	{"NUL", S("a\0b\r\n"), PARSE_BAD, FRAME_NUL, 5, S(""), -1, 0, 0},
	{"literal", S("a {5}\r\nhello"), PARSE_OK, NONE, 7, S("a "), 5, 0, 0},
	{"literal of nothing", S("a {0}\r\n"), PARSE_OK, NONE, 7, S("a "), 0, 0, 0},
	{"non-synchronising", S("a {5+}\r\n"), PARSE_OK, NONE, 8, S("a "), 5, 1, 0},
	{"binary", S("a ~{5}\r\n"), PARSE_OK, NONE, 8, S("a "), 5, 0, 1},
	{"binary non-sync", S("a ~{5+}\r\n"), PARSE_OK, NONE, 9, S("a "), 5, 1, 1},
	{"not at the end", S("a {5} b\r\n"), PARSE_OK, NONE, 9, S("a {5} b"), -1, 0, 0},
	{"no number", S("a {}\r\n"), PARSE_OK, NONE, 6, S("a {}"), -1, 0, 0},
	{"plus alone", S("a {+}\r\n"), PARSE_OK, NONE, 7, S("a {+}"), -1, 0, 0},
	{"minus", S("a {-1}\r\n"), PARSE_OK, NONE, 8, S("a {-1}"), -1, 0, 0},
	{"words", S("a {x}\r\n"), PARSE_OK, NONE, 7, S("a {x}"), -1, 0, 0},
	{"brace alone", S("}\r\n"), PARSE_OK, NONE, 3, S("}"), -1, 0, 0},
	{"digits and brace", S("5}\r\n"), PARSE_OK, NONE, 4, S("5}"), -1, 0, 0},
	{"leading zeros", S("{0005}\r\n"), PARSE_OK, NONE, 8, S(""), 5, 0, 0},
};

static bool
line_is_right(const struct line_row *r, size_t max)
{
	struct frame_line l;
	enum frame_fault fault = FRAME_LONG;
	enum parse got = frame_line(r->in, max, true, &l, &fault);
	bool good = got == r->want && (got != PARSE_BAD || fault == (enum frame_fault)r->fault) && l.used == r->used;

	if (got == PARSE_OK)
		good = good && slice_is(l.before, r->text) && l.has_literal == (r->literal >= 0) && l.is_nonsync == r->nonsync &&
		    l.is_binary == r->binary && (r->literal < 0 || l.literal_bytes == (uint64_t)r->literal) &&
		    l.text.p == r->in.p && l.text.n == l.used - 2;
	if (!good)
		print_error("%s: got %d, fault %d, used %zu\n", r->name, (int)got, (int)fault, l.used);
	return good;
}

static void
test_line(void **state)
{
	static const struct line_row big[] = {
		{"63 bits", S("{9223372036854775807}\r\n"), PARSE_OK, NONE, 23, S(""), INT64_MAX, 0, 0},
		{"64 bits", S("{9223372036854775808}\r\n"), PARSE_BAD, FRAME_LITERAL, 23, S(""), -1, 0, 0},
		{"past 64 bits", S("{18446744073709551616}\r\n"), PARSE_BAD, FRAME_LITERAL, 24, S(""), -1, 0, 0},
		{"far past", S("{99999999999999999999999999999+}\r\n"), PARSE_BAD, FRAME_LITERAL, 34, S(""), -1, 0, 0},
	};
	struct frame_line l;
	enum frame_fault fault;
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(line_rows); i++)
		bad += !line_is_right(&line_rows[i], LINE_MAX_TEST);
	for (size_t i = 0; i < COUNT(big); i++)
		bad += !line_is_right(&big[i], 100);
	assert_int_equal(bad, 0);
	/* Where nobody knows literals a brace is a brace. */
	assert_int_equal(frame_line(SLICE("a {5}\r\n"), LINE_MAX_TEST, false, &l, &fault), PARSE_OK);
	assert_false(l.has_literal);
	assert_true(slice_is(l.before, SLICE("a {5}")));
}

/* A line answers MORE at every shorter length, never something else. */
static void
test_line_splits(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(line_rows); i++) {
		const struct line_row *r = &line_rows[i];

		if (r->want != PARSE_OK)
			continue;
		for (size_t n = 0; n < r->used; n++) {
			struct frame_line l;
			enum frame_fault fault;

			assert_int_equal(frame_line((struct slice){r->in.p, n}, LINE_MAX_TEST, true, &l, &fault), PARSE_MORE);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dot),
		cmocka_unit_test(test_dot_room),
		cmocka_unit_test(test_dot_smuggling),
		cmocka_unit_test(test_stuff),
		cmocka_unit_test(test_chunk),
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_line_splits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
