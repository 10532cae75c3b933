/*
 * spoold/mime: what SORT and THREAD compare. Base subjects (RFC 5256 2.1), collation (RFC 5051, RFC 5255 4.6), header
 * values as text, sent dates; and that none of it takes longer than its input is long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "mime/mime.h"

#define LONG_BYTES	(4 * 1024 * 1024)	/* of a hostile subject */
#define LONG_MAX_MS	2000			/* a quadratic one would take hours */

static struct arena	arena;

static void
test_base_subject(void **state)
{
	static const struct { const char *in, *want; bool is_reply; } rows[] = {
		{"hello", "hello", false}, {"", "", false}, {"   ", "", false}, {" hello  world ", "hello world", false},
		{"a\tb\r\n  c", "a b c", false}, {"Re: hello", "hello", true}, {"RE: hello", "hello", true}, {"re:hello", "hello", true},
		{"Re:\thello", "hello", true}, {"Re  : hello", "hello", true}, {"Re: re: RE: hello", "hello", true},
		{"Fw: hello", "hello", true}, {"Fwd: hello", "hello", true}, {"FWD : hello", "hello", true}, {"Fwdd: hello", "Fwdd: hello", false},
		{"Rex: hello", "Rex: hello", false}, {"Re hello", "Re hello", false}, {"Re[2]: hello", "hello", true}, {"Re [2] : hello", "hello", true},
		{"Re[2][3]: hello", "Re[2][3]: hello", false}, {"Aw: hello", "Aw: hello", false}, {"Re:", "", true}, {"Re: ", "", true}, {"Re: Re:", "", true},
		{"hello (fwd)", "hello", true}, {"hello (FWD)(fwd) (Fwd)  ", "hello", true}, {"(fwd)", "", true}, {"hello (fwd) x", "hello (fwd) x", false},
		{"[list] hello", "hello", false}, {"[list]hello", "hello", false}, {"[a][b] [c]  hello", "hello", false},
		{"[list]", "[list]", false}, {"[a] [b]", "[b]", false}, {"[a][b]  ", "[b]", false}, {"Re: [a] [b]", "[b]", true},
		{"[list] Re: hello", "hello", true}, {"[a][b] Re: [c] hello", "hello", true}, {"Re: [list] Re: [x] hello", "hello", true},
		{"[list] Re:", "", true}, {"[list] Re: [x]", "[x]", true}, {"[unclosed hello", "[unclosed hello", false}, {"[a[b] hello", "[a[b] hello", false},
		{"[a]] hello", "] hello", false}, {"[] hello", "hello", false}, {"hello [x]", "hello [x]", false},
		{"[fwd: hello]", "hello", true}, {"[Fwd: Re: hello]", "hello", true}, {"[FWD:hello (fwd)]", "hello", true}, {"[fwd:]", "", true},
		{"[fwd: [fwd: hello]]", "hello", true}, {"Re: [fwd: [list] Re: hello] (fwd)", "hello", true}, {"[list] [fwd: hello]", "hello", true},
		{"[fwd: hello] x", "x", false}, {"[fwd: [list] hello]", "hello", true}, {"[fwd: hello", "[fwd: hello", false}, {"[fwd hello]", "[fwd hello]", false},
		{"[fwd: [a]]", "[a]", true}, {"[fwd", "[fwd", false}, {"[fwd:", "[fwd:", false}, {"re", "re", false}, {"f", "f", false}, {"[", "[", false}, {"]", "]", false},
		{"Re: \xc3\xa4", "\xc3\xa4", true}, {"\xff[x]", "\xff[x]", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool		is_reply;
		struct slice	got = mime_base_subject(slice_of(rows[i].in), &arena, &is_reply);

		if (got.p == NULL || !slice_is(got, slice_of(rows[i].want)) || is_reply != rows[i].is_reply)
			fail_msg("\"%s\": got \"%.*s\" (%d)", rows[i].in, (int)got.n, got.p, is_reply);
	}
	arena_reset(&arena);
}

static int
collated(const char *a, const char *b)
{
	struct slice	x = mime_collate(slice_of(a), &arena), y = mime_collate(slice_of(b), &arena);
	int		r = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);

	return r != 0 ? r : (x.n > y.n) - (x.n < y.n);
}

static void
test_collate(void **state)
{
	/* Ascending. The four of RFC 5255 4.6 among them, (4) already converted. */
	static const char *const	rows[] = {
		"", " ", "!", "0", "9", "a", "AB", "abc", "b", "Z", "[", "_", "\xc3\xb8",
		"\xd0\x90\xd0\xbb\xd0\xb5\xd0\xba\xd1\x81\xd0\xb5\xd0\xb9", "\xd1\x81\xd0\x95\xd0\xa0\xd0\x93\xd0\x95\xd0\x99",
		"\xd0\x92\xd0\xb0\xd1\x81\xd0\xb8\xd0\xbb\xd0\xb8\xff\xb9", "\xd0\xc0\xd0\xbd\xd0\xb4\xd1\x80\xd0\xb5\xd0\xb9",
	};
	static const char *const	equal[][2] = {
		{"abc", "ABC"}, {"\xc3\xa4", "\xc3\x84"}, {"\xc3\xa4", "a\xcc\x88"}, {"\xc7\x84", "\xc7\x86"}, {"\xcf\x82", "\xcf\x83"}, {"\xc4\xb1", "I"},
	};

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(rows) / sizeof(rows[0]); i++)
		if (collated(rows[i], rows[i + 1]) >= 0)
			fail_msg("\"%s\" is not before \"%s\"", rows[i], rows[i + 1]);
	for (size_t i = 0; i < sizeof(equal) / sizeof(equal[0]); i++)
		if (collated(equal[i][0], equal[i][1]) != 0)
			fail_msg("\"%s\" is not \"%s\"", equal[i][0], equal[i][1]);
	/* A sharp s has no titlecase in UnicodeData.txt, so that it is neither "ss" nor U+1E9E. */
	assert_int_not_equal(collated("\xc3\x9f", "ss"), 0);
	assert_int_not_equal(collated("\xc3\x9f", "\xe1\xba\x9e"), 0);
	/* U+01C4 as RFC 5051 2 writes it out: D z and a caron. */
	assert_true(slice_is(mime_collate(SLICE("\xc7\x84"), &arena), SLICE("Dz\xcc\x8c")));
	arena_reset(&arena);
}

/* Pieces of any length through the vector loop and what is left of it. */
static void
test_collate_lengths(void **state)
{
	char	in[1200], want[1200];

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++) {
		in[i] = (char)(i % 127 + 1);
		want[i] = (char)(in[i] >= 'a' && in[i] <= 'z' ? in[i] - 32 : in[i]);
	}
	for (size_t n = 0; n < sizeof(in); n++) {
		assert_true(slice_is(mime_collate((struct slice){in, n}, &arena), (struct slice){want, n}));
		arena_reset(&arena);
	}
}

static void
test_text(void **state)
{
	struct arena	small = arena_make(2);

	(void)state;
	assert_true(slice_is(mime_header_text(SLICE("Re: =?utf-8?q?h=C3=A4?=\r\n =?iso-8859-1?q?=F6?= X"), &arena), SLICE("Re: h\xc3\xa4\xc3\xb6 X")));
	assert_true(slice_is(mime_header_text(SLICE("raw \xe4"), &arena), SLICE("raw \xe4")));
	assert_null(mime_header_text(SLICE("long"), &small).p);
	assert_null(mime_collate(SLICE("long"), &small).p);
	assert_null(mime_collate(SLICE("\xfflong"), &small).p);
	arena_free(&small);
	arena_reset(&arena);
}

static void
test_sent_date(void **state)
{
	int64_t	s = 0, day;

	(void)state;
	assert_true(mime_sent_date(SLICE("31 Dec 2000 16:01:33 -0800"), &s));
	assert_int_equal(s, 978307293);
	assert_true(mime_sent_date(SLICE("1 Jan 2001 25:00:00 +0000"), &s));
	assert_int_equal(s, 978307200);
	assert_false(mime_date(SLICE("1 Jan 2001 25:00:00 +0000"), &s, &day));
	assert_true(mime_sent_date(SLICE("1 Jan 2001 00:00:10 FOO"), &s));
	assert_int_equal(s, 978307210);
	assert_false(mime_sent_date(SLICE("yesterday"), &s));
}

/* Whatever repeats, the time is that of its length. */
static void
test_time(void **state)
{
	static const char *const	units[] = {"[a]", "[a] ", "[", "Re: ", "[fwd:", "(fwd)", " (fwd)", "[a] Re[b]: ", "Re[", "]", "[a][", "=?utf-8?q?", "\xcc\x81"};
	char				*text = malloc(LONG_BYTES);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct timespec	from, to;
		bool		is_reply;

		for (size_t n = 0; n < LONG_BYTES; n++)
			text[n] = units[i][n % strlen(units[i])];
		(void)clock_gettime(CLOCK_MONOTONIC, &from);
		assert_non_null(mime_base_subject(mime_header_text((struct slice){text, LONG_BYTES}, &arena), &arena, &is_reply).p);
		memset(text + LONG_BYTES / 2, ']', LONG_BYTES / 2);
		assert_non_null(mime_base_subject((struct slice){text, LONG_BYTES}, &arena, &is_reply).p);
		assert_non_null(mime_collate((struct slice){text, LONG_BYTES}, &arena).p);
		(void)clock_gettime(CLOCK_MONOTONIC, &to);
		if ((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 > LONG_MAX_MS)
			fail_msg("\"%s\" repeated takes long", units[i]);
		arena_reset(&arena);
	}
	free(text);
}

int
main(void)
{
	static const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_base_subject), cmocka_unit_test(test_collate), cmocka_unit_test(test_collate_lengths),
		cmocka_unit_test(test_text), cmocka_unit_test(test_sent_date), cmocka_unit_test(test_time),
	};

	arena = arena_make(64 * 1024 * 1024);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
