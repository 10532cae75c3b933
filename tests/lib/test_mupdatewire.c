/* lib/mupdatewire.c: framing with limits, the grammar, and strings as they are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mupdatewire.h"

#define STRING_MAX	100
#define WHOLE_MAX	300

struct frame_row {
	const char		*name, *in;
	enum mupdate_framing	 want;
	size_t			 at;		/* where that is what it says */
	size_t			 asked;		/* MUPDATE_GO_AHEAD before it */
};

static const struct frame_row frame_rows[] = {
	{"a line", "1 NOOP\r\n2", MUPDATE_WHOLE, 8, 0},
	{"half a line", "1 NOOP\r", MUPDATE_MORE, 0, 0},
	{"nothing", "", MUPDATE_MORE, 0, 0},
	{"literals", "1 F {1+}\r\na {0+}\r\n {2}\r\nbc\r\nx", MUPDATE_WHOLE, 28, 1},
	{"half a literal", "1 F {5+}\r\nab", MUPDATE_MORE, 0, 0},
	{"a literal of CRLF", "1 F {2+}\r\n\r\n\r\n", MUPDATE_WHOLE, 14, 0},
	{"asked and not there", "1 F {5}\r\n", MUPDATE_MORE, 0, 1},
	{"longest string", "1 F {100+}\r\n", MUPDATE_MORE, 0, 0},
	{"longer", "1 F {101+}\r\n", MUPDATE_LONG, 0, 0},
	{"longer, not asked for", "1 F {101}\r\n2", MUPDATE_REFUSED, 11, 0},
	{"of nothing but a number past 64 bits", "1 F {99999999999999999999}\r\n2", MUPDATE_SPOILT, 28, 0},
	{"binary", "1 F ~{3}\r\nabc\r\n", MUPDATE_LONG, 0, 0},
	{"bare line feed", "1 F\n2 NOOP\r\n", MUPDATE_SPOILT, 4, 0},
	{"bare carriage return", "1\rF\r\n2 NOOP\r\n", MUPDATE_SPOILT, 5, 0},
	{"bare carriage return, more to come", "1\rF", MUPDATE_MORE, 0, 0},
	{"after a literal", "1 F {1+}\r\na\n2", MUPDATE_SPOILT, 12, 0},
};

static void
frames(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(frame_rows) / sizeof(frame_rows[0]); i++) {
		const struct frame_row *r = &frame_rows[i];
		struct mupdate_frame f = {0};
		enum mupdate_framing got;
		size_t asked = 0;

		while ((got = mupdate_frame(&f, slice_of(r->in), STRING_MAX, WHOLE_MAX)) == MUPDATE_GO_AHEAD)
			asked++;
		if (got != r->want || asked != r->asked || (r->at != 0 && f.at != r->at))
			fail_msg("%s: %d at %zu, asked %zu", r->name, (int)got, f.at, asked);
	}
}

/* The whole line: at its limit and one past, as one line and as the sum of literals. */
static void
frame_limits(void **state)
{
	char in[WHOLE_MAX + 1];
	struct mupdate_frame f = {0};

	(void)state;
	memset(in, 'x', sizeof(in));
	memcpy(in + WHOLE_MAX - 2, "\r\n", 2);
	assert_int_equal(mupdate_frame(&f, (struct slice){in, WHOLE_MAX}, STRING_MAX, WHOLE_MAX), MUPDATE_WHOLE);
	memset(in, 'x', sizeof(in));
	memcpy(in + WHOLE_MAX - 1, "\r\n", 2);
	f.at = 0;
	assert_int_equal(mupdate_frame(&f, (struct slice){in, WHOLE_MAX + 1}, STRING_MAX, WHOLE_MAX), MUPDATE_LONG);
	/* 3 * (2 + 8 + 90) = 300 and no room for the CRLF; the third literal's own bytes still fit. */
	for (int i = 0; i < 3; i++) {
		memset(in + i * 100, 'x', 100);
		memcpy(in + i * 100, "x {90+}\r\n", 9);
		if (i == 2)
			memcpy(in + i * 100, "x {92+}\r\n", 9);
	}
	f.at = 0;
	assert_int_equal(mupdate_frame(&f, (struct slice){in, 209}, STRING_MAX, WHOLE_MAX), MUPDATE_LONG);
}

struct parse_row {
	const char		*name, *in;
	enum mupdate_fault	 want;
	const char		*show;	/* tag, word, arguments with | between them */
};

static const struct parse_row parse_rows[] = {
	{"plain", "A1 NOOP\r\n", MUPDATE_OK, "A1|NOOP"},
	{"quoted", "A1 FIND \"user.a\"\r\n", MUPDATE_OK, "A1|FIND|user.a"},
	{"empty strings", "A1 X \"\" {0+}\r\n {0}\r\n\r\n", MUPDATE_OK, "A1|X|||"},
	{"escapes", "A1 X \"\\\"\\\\\"\r\n", MUPDATE_OK, "A1|X|\"\\"},
	{"literals", "A1 X {3+}\r\na\"b {2}\r\n\r\n \"c\"\r\n", MUPDATE_OK, "A1|X|a\"b|\r\n|c"},
	{"a tab", "A1 X \"a\tb\"\r\n", MUPDATE_OK, "A1|X|a\tb"},
	{"untagged", "* OK \"x\"\r\n", MUPDATE_OK, "*|OK|x"},
	{"nothing", "\r\n", MUPDATE_NO_TAG, NULL},
	{"a quote as tag", "\"a\" X\r\n", MUPDATE_BAD_TAG, NULL},
	{"a space first", " A1 X\r\n", MUPDATE_BAD_TAG, NULL},
	{"eight bit tag", "\xc3\xbc X\r\n", MUPDATE_BAD_TAG, NULL},
	{"tag alone", "A1\r\n", MUPDATE_NO_WORD, NULL},
	{"tag and space", "A1 \r\n", MUPDATE_NO_WORD, NULL},
	{"word of 16", "A1 ABCDEFGHIJKLMNOP\r\n", MUPDATE_NO_WORD, NULL},
	{"word of 15", "A1 ABCDEFGHIJKLMNO\r\n", MUPDATE_OK, "A1|ABCDEFGHIJKLMNO"},
	{"odd word", "A1 NO-OP\r\n", MUPDATE_NO_WORD, NULL},
	{"atom", "A1 X y\r\n", MUPDATE_BAD_ARGS, NULL},
	{"space at the end", "A1 X \r\n", MUPDATE_BAD_ARGS, NULL},
	{"two spaces", "A1 X  \"a\"\r\n", MUPDATE_BAD_ARGS, NULL},
	{"not ended", "A1 X \"a\r\n", MUPDATE_BAD_ARGS, NULL},
	{"escape at the end", "A1 X \"a\\\r\n", MUPDATE_BAD_ARGS, NULL},
	{"something after", "A1 X \"a\"b\r\n", MUPDATE_BAD_ARGS, NULL},
	{"eight bit", "A1 X \"\xc3\xbc\"\r\n", MUPDATE_BAD_ARGS, NULL},
	{"unknown escape", "A1 X \"\\n\"\r\n", MUPDATE_BAD_ARGS, NULL},
	{"literal past the end", "A1 X {9+}\r\nab\r\n", MUPDATE_BAD_ARGS, NULL},
	{"literal without a number", "A1 X {+}\r\n\r\n", MUPDATE_BAD_ARGS, NULL},
};

static void
parses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(parse_rows) / sizeof(parse_rows[0]); i++) {
		const struct parse_row *r = &parse_rows[i];
		size_t n = strlen(r->in);
		char *copy = malloc(n), shown[256] = "";
		struct mupdate_line line;
		enum mupdate_fault got;

		memcpy(copy, r->in, n);
		got = mupdate_parse(copy, n, &line);
		if (got == MUPDATE_OK) {
			(void)snprintf(shown, sizeof(shown), "%.*s|%.*s", (int)line.tag.n, line.tag.p, (int)line.word.n, line.word.p);
			for (size_t k = 0; k < line.nargs; k++) {
				(void)strcat(shown, "|");
				(void)strncat(shown, line.args[k].p, line.args[k].n);
			}
		}
		if (got != r->want || (r->show != NULL && strcmp(shown, r->show) != 0))
			fail_msg("%s: %d %s", r->name, (int)got, shown);
		free(copy);
	}
}

static void
parse_limits(void **state)
{
	char in[1024] = "";
	struct mupdate_line line;

	(void)state;
	for (size_t n = MUPDATE_TAG_MAX_BYTES; n <= MUPDATE_TAG_MAX_BYTES + 1; n++) {
		memset(in, 't', n);
		memcpy(in + n, " NOOP\r\n", 7);
		assert_int_equal(mupdate_parse(in, n + 7, &line), n == MUPDATE_TAG_MAX_BYTES ? MUPDATE_OK : MUPDATE_BAD_TAG);
	}
	for (size_t n = MUPDATE_ARGS_MAX; n <= MUPDATE_ARGS_MAX + 1; n++) {
		(void)strcpy(in, "t w");
		for (size_t i = 0; i < n; i++)
			(void)strcat(in, " \"a\"");
		(void)strcat(in, "\r\n");
		assert_int_equal(mupdate_parse(in, strlen(in), &line), n == MUPDATE_ARGS_MAX ? MUPDATE_OK : MUPDATE_MANY_ARGS);
	}
	/* A NUL in a literal. */
	memcpy(in, "t w {1+}\r\n\0\r\n", 13);
	assert_int_equal(mupdate_parse(in, 13, &line), MUPDATE_BAD_ARGS);
}

/* Quoted where that is possible and the line stays short, else a literal; nothing where there is no room. */
static void
strings(void **state)
{
	static char text[4096];
	struct buf b = buf_make(8192), small = buf_make(8);

	(void)state;
	assert_int_equal(mupdate_string_add(&b, 0, SLICE("a\tb c")), 0);
	assert_int_equal(mupdate_string_add(&b, 0, SLICE("")), 0);
	assert_int_equal(mupdate_string_add(&b, 0, SLICE("\"")), 0);
	assert_int_equal(mupdate_string_add(&b, 0, SLICE("\\")), 0);
	assert_int_equal(mupdate_string_add(&b, 0, SLICE("\xc3\xbc")), 0);
	assert_true(slice_is(buf_slice(&b), SLICE(" \"a\tb c\" \"\" {1+}\r\n\" {1+}\r\n\\ {2+}\r\n\xc3\xbc")));
	memset(text, 'x', sizeof(text));
	for (size_t n = 0; n < sizeof(text); n++) {
		buf_clear(&b);
		assert_int_equal(mupdate_string_add(&b, 0, (struct slice){text, n}), 0);
		/* No line of more than RFC 3656's 1,024 bytes with its CRLF. */
		assert_true(b.p[1] == '{' || b.n <= MUPDATE_OUT_LINE_BYTES);
	}
	assert_int_equal(b.p[1], '{');
	assert_int_equal(mupdate_string_add(&small, 0, SLICE("12345")), 0);
	assert_int_equal(mupdate_string_add(&small, 0, SLICE("")), -1);
	assert_int_equal(small.n, 8);
	buf_free(&b);
	buf_free(&small);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames), cmocka_unit_test(frame_limits), cmocka_unit_test(parses),
		cmocka_unit_test(parse_limits), cmocka_unit_test(strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
