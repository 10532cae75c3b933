/*
 * spoold/mime: header fields, ENVELOPE, dates and encoded words against tables; every envelope also against the
 * grammar; the hostile ones against the clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "mime_grammar.h"

struct row {
	const char	*name, *in, *want;
};

static void
check(const char *name, struct slice got, const char *want)
{
	if (slice_is(got, slice_of(want)))
		return;
	fail_msg("%s:\n got  %.*s\n want %s", name, (int)got.n, got.p, want);
}

/* in: one field; want: what ENVELOPE says of it */
static const struct row address_rows[] = {
	{"plain", "a@b", "(NIL NIL \"a\" \"b\")"},
	{"angle", "<a@b>", "(NIL NIL \"a\" \"b\")"},
	{"phrase", "Mary  Smith <mary@x.test>", "(\"Mary Smith\" NIL \"mary\" \"x.test\")"},
	{"folded phrase", "Mary\r\n Smith\r\n\t<mary@x.test>", "(\"Mary Smith\" NIL \"mary\" \"x.test\")"},
	{"quoted phrase", "\"Joe \\\"X\\\" Q.\" <j@e>", "(\"Joe \\\"X\\\" Q.\" NIL \"j\" \"e\")"},
	{"backslash kept", "\"a\\\\b\" <j@e>", "(\"a\\\\b\" NIL \"j\" \"e\")"},
	{"dots in phrase", "J. Q. Public <j@e>", "(\"J. Q. Public\" NIL \"j\" \"e\")"},
	{"encoded word untouched", "=?utf-8?Q?=C3=A4?= x <j@e>", "(\"=?utf-8?Q?=C3=A4?= x\" NIL \"j\" \"e\")"},
	{"comment for a name", "jdoe@example.org (Who (are) you?)", "(\"Who (are) you?\" NIL \"jdoe\" \"example.org\")"},
	{"comments gone", "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "(\"Pete\" NIL \"pete\" \"silly.test\")"},
	{"two", "a@b, c@d", "(NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")"},
	{"empty members", ",,a@b,,", "(NIL NIL \"a\" \"b\")"},
	{"route", "<@a.example,@b.example:c@d>", "(NIL \"@a.example,@b.example\" \"c\" \"d\")"},
	{"spaces around dots", "a . b @ c . d", "(NIL NIL \"a.b\" \"c.d\")"},
	{"quoted local part", "\"a b\"@c", "(NIL NIL \"a b\" \"c\")"},
	{"empty local part", "<\"\"@x>", "(NIL NIL \"\" \"x\")"},
	{"domain literal", "a@[1.2.3.4]", "(NIL NIL \"a\" \"[1.2.3.4]\")"},
	{"literal with quoted pair", "a@[1\\]2]", "(NIL NIL \"a\" \"[1]2]\")"},
	{"no domain", "root", "(NIL NIL \"root\" \"MISSING_DOMAIN\")"},
	{"no domain, words", "John Smith", "(NIL NIL \"John Smith\" \"MISSING_DOMAIN\")"},
	{"no mailbox", "@x", "(NIL NIL \"MISSING_MAILBOX\" \"x\")"},
	{"no mailbox in angle", "<@x>", "(NIL NIL \"MISSING_MAILBOX\" \"x\")"},
	{"nothing in angle", "Name <>", "(\"Name\" NIL \"MISSING_MAILBOX\" \"MISSING_DOMAIN\")"},
	{"angle not closed", "A <a@b, c@d", "(\"A\" NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")"},
	{"quote not closed", "\"A <a@b>", "(NIL NIL \"A <a@b>\" \"MISSING_DOMAIN\")"},
	{"comment ends in backslash", "a@b (c\\", "(\"c\\\\\" NIL \"a\" \"b\")"},
	{"quote ends in backslash", "\"a\\", "(NIL NIL \"a\\\\\" \"MISSING_DOMAIN\")"},
	{"junk after angle", "A <a@b> junk, c@d", "(\"A\" NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")"},
	{"two ats", "a@b@c", "(NIL NIL \"a\" \"b@c\")"},
	{"8-bit is a literal", "\xc3\xa4 <a@b>", "({2}\r\n\xc3\xa4 NIL \"a\" \"b\")"},
	{"group", "A: b@c, d@e;", "(NIL NIL \"A\" NIL)(NIL NIL \"b\" \"c\")(NIL NIL \"d\" \"e\")(NIL NIL NIL NIL)"},
	{"empty group", "undisclosed recipients:;", "(NIL NIL \"undisclosed recipients\" NIL)(NIL NIL NIL NIL)"},
	{"group not closed", "A: b@c", "(NIL NIL \"A\" NIL)(NIL NIL \"b\" \"c\")(NIL NIL NIL NIL)"},
	{"group without a name", ":a@b;", "(NIL NIL \"\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL NIL NIL)"},
	{"two groups", "A:;,B:x@y;", "(NIL NIL \"A\" NIL)(NIL NIL NIL NIL)(NIL NIL \"B\" NIL)(NIL NIL \"x\" \"y\")(NIL NIL NIL NIL)"},
	{"stray semicolon", "a@b;c@d", "(NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")"},
};

static void
test_addresses(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(address_rows) / sizeof(address_rows[0]); i++) {
		const struct row *r = &address_rows[i];
		struct arena arena = arena_make(1 << 20);
		struct buf header = buf_make(1 << 20), out = buf_make(1 << 20), want = buf_make(1 << 20);

		buf_addf(&header, "To: %s\r\n\r\n", r->in);
		buf_addf(&want, "(NIL NIL NIL NIL NIL (%s) NIL NIL NIL NIL)", r->want);
		buf_add(&want, "", 1);
		assert_int_equal(mime_envelope(buf_slice(&header), &arena, &out), 0);
		check(r->name, buf_slice(&out), want.p);
		assert_true(grammar_is_envelope(buf_slice(&out)));
		buf_free(&header);
		buf_free(&out);
		buf_free(&want);
		arena_free(&arena);
	}
}

static const struct row envelope_rows[] = {
	{"nothing", "", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"},
	{"all", "Message-ID: <m@x>\r\nin-reply-to: <r@x>\r\nBcc: g@x\r\nCc: f@x\r\nTo: e@x\r\nReply-To: d@x\r\nSender: c@x\r\n"
	    "From: b@x\r\nSubject: s\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200\r\n\r\n",
	    "(\"Tue, 1 Jul 2003 10:52:37 +0200\" \"s\" ((NIL NIL \"b\" \"x\")) ((NIL NIL \"c\" \"x\")) ((NIL NIL \"d\" \"x\")) "
	    "((NIL NIL \"e\" \"x\")) ((NIL NIL \"f\" \"x\")) ((NIL NIL \"g\" \"x\")) \"<r@x>\" \"<m@x>\")"},
	{"sender and reply-to default to from", "From: b@x\r\nSender:\r\n\r\n",
	    "(NIL NIL ((NIL NIL \"b\" \"x\")) ((NIL NIL \"b\" \"x\")) ((NIL NIL \"b\" \"x\")) NIL NIL NIL NIL NIL)"},
	{"empty from and to", "From:\r\nTo: ,\r\n\r\n", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"},
	{"empty strings", "Date:\r\nSubject: \r\nMessage-ID:\r\n\r\n", "(\"\" \"\" NIL NIL NIL NIL NIL NIL NIL \"\")"},
	{"unfolded", "Subject: a\r\n\tb\r\n  c\r\n\r\n", "(NIL \"a\tb  c\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
	{"quoted specials", "Subject: a\"b\\c\r\n\r\n", "(NIL \"a\\\"b\\\\c\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
	{"control byte", "Subject: a\x01\r\n\r\n", "(NIL {2}\r\na\x01 NIL NIL NIL NIL NIL NIL NIL NIL)"},
	{"the first counts", "Subject: a\r\nSubject: b\r\nFrom: a@b\r\nFrom: c@d\r\n\r\n",
	    "(NIL \"a\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL)"},
	{"recipients add up", "To: a@b\r\nX: y\r\nTo: c@d\r\n\r\n",
	    "(NIL NIL NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")) NIL NIL NIL NIL)"},
	{"space before the colon", "Subject : a\r\n\r\n", "(NIL \"a\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
	{"no end of header", "Subject: a", "(NIL \"a\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
	{"not after the end", "X: y\r\n\r\nSubject: a\r\n", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"},
	{"a line that is no field", "junk\r\nSubject: a\r\n\r\n", "(NIL \"a\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
};

static void
test_envelope(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(envelope_rows) / sizeof(envelope_rows[0]); i++) {
		const struct row *r = &envelope_rows[i];
		struct arena arena = arena_make(1 << 20);
		struct buf out = buf_make(1 << 20);

		assert_int_equal(mime_envelope(slice_of(r->in), &arena, &out), 0);
		check(r->name, buf_slice(&out), r->want);
		assert_true(grammar_is_envelope(buf_slice(&out)));
		buf_free(&out);
		arena_free(&arena);
	}
}

/* A full buffer or arena is an error at every byte, never a cut envelope that says it is whole. */
static void
test_envelope_full(void **state)
{
	const char *in = envelope_rows[1].in;
	size_t whole = strlen(envelope_rows[1].want), cap;

	(void)state;
	for (cap = 0; cap < whole; cap++) {
		struct arena arena = arena_make(1 << 20);
		struct buf out = buf_make(cap);

		assert_int_equal(mime_envelope(slice_of(in), &arena, &out), -1);
		assert_true(out.n <= cap);
		buf_free(&out);
		arena_free(&arena);
	}
}

static const struct row fields_rows[] = {	/* name: asked for, "!" in front for HEADER.FIELDS.NOT */
	{"subject", "From: a\r\nSUBJECT : b\r\n c\r\nTo: d\r\n\r\nbody", "SUBJECT : b\r\n c\r\n\r\n"},
	{"!subject", "From: a\r\nSubject: b\r\n c\r\nTo: d\r\n\r\nbody", "From: a\r\nTo: d\r\n\r\n"},
	{"to", "To: a\r\nX: y\r\nto: b", "To: a\r\nto: b\r\n\r\n"},
	{"none", "To: a\r\n\r\n", "\r\n"},
	{"!none", "junk\r\nTo: a\r\n", "junk\r\nTo: a\r\n\r\n"},
	{"t", "To: a\r\n\r\n", "\r\n"},
};

static void
test_fields(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(fields_rows) / sizeof(fields_rows[0]); i++) {
		const struct row *r = &fields_rows[i];
		bool is_not = r->name[0] == '!';
		struct slice names[] = {SLICE("X-Other"), slice_of(r->name + is_not)};
		struct buf out = buf_make(1000);

		if (strcmp(r->name, "to") == 0)
			names[0] = SLICE("Cc");
		assert_int_equal(mime_header_fields(slice_of(r->in), names, 2, is_not, &out), 0);
		check(r->name, buf_slice(&out), r->want);
		buf_free(&out);
	}
}

static void
test_get(void **state)
{
	struct slice v, header = SLICE("A: \r\n x\r\n y \r\nB:\r\n\r\nC: z\r\n");

	(void)state;
	assert_true(mime_header_get(header, "a", &v));
	check("folded", v, "x\r\n y");
	assert_true(mime_header_get(header, "b", &v));
	check("empty", v, "");
	assert_false(mime_header_get(header, "c", &v));
	assert_int_equal(mime_header_bytes(header), header.n - 6);
	assert_int_equal(mime_header_bytes(SLICE("")), 0);
	assert_int_equal(mime_header_bytes(SLICE("\r\nbody")), 2);
	assert_int_equal(mime_header_bytes(SLICE("A: b\n\nbody")), 6);
	assert_int_equal(mime_header_bytes(SLICE("A: b")), 4);
}

struct date_row {
	const char	*in;
	bool		 ok;
	int64_t		 utc, day;
};

static const struct date_row date_rows[] = {
	{"Thu, 1 Jan 1970 00:00:00 +0000", true, 0, 0},
	{"Tue, 1 Jul 2003 10:52:37 +0200", true, 1057049557, 12234},
	{"Tue, 1 Jul 2003 01:00:00 +0200", true, 1057014000, 12234},	/* its day is the writer's, not UTC's */
	{"1 Jul 2003 10:52 -0000 (comment (nested))", true, 1057056720, 12234},
	{"Tue ,  1\r\n Jul 03 10 : 52 : 37 GMT", true, 1057056757, 12234},
	{"31 Dec 1999 23:59:60 EST", true, 946702800, 10956},
	{"29 Feb 2000 00:00:00 Z", true, 951782400, 11016},
	{"29 Feb 1900 00:00:00 Z", false, 0, 0},
	{"29 Feb 2001 00:00:00 Z", false, 0, 0},
	{"1 Jan 99 00:00 PDT", true, 915174000, 10592},
	{"1 Jan 102 00:00", true, 1009843200, 11688},
	{"01-Jan-2020 00:00:00 +0000", true, 1577836800, 18262},
	{"1 Jan 2020", true, 1577836800, 18262},
	{"Mon, 32 Jan 2020 00:00:00 +0000", false, 0, 0},
	{"1 Foo 2020 00:00:00 +0000", false, 0, 0},
	{"1 Jan 2020 24:00:00 +0000", false, 0, 0},
	{"1 Jan 1899 00:00:00 +0000", false, 0, 0},
	{"", false, 0, 0},
	{"garbage", false, 0, 0},
	{"1 Jan 2020 00:00:00 +9999", true, 1577836800, 18262},		/* no zone there is */
};

static void
test_dates(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(date_rows) / sizeof(date_rows[0]); i++) {
		const struct date_row *r = &date_rows[i];
		int64_t utc = 0, day = 0;
		bool ok = mime_date(slice_of(r->in), &utc, &day);

		if (ok != r->ok || (ok && (utc != r->utc || day != r->day)))
			fail_msg("%s: %d %lld %lld", r->in, ok, (long long)utc, (long long)day);
	}
}

struct contains_row {
	const char	*in, *needle;
	bool		 want;
};

static const struct contains_row contains_rows[] = {
	{"Hello World", "lo wo", true},
	{"Hello World", "low", false},
	{"anything", "", true},
	{"", "x", false},
	{"", "", true},
	{"folded\r\n text", "folded text", true},
	{"=?utf-8?Q?caf=C3=A9?=", "CAF\xc3\x89", true},
	{"=?iso-8859-1?Q?caf=E9_au?= lait", "caf\xc3\xa9 au lait", true},
	{"=?UTF-8?B?w6TDtsO8?=", "\xc3\x84\xc3\x96\xc3\x9c", true},
	{"=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab", true},
	{"=?utf-8?Q?a?=\r\n =?iso-8859-1?Q?b?=", "ab", true},
	{"=?utf-8?Q?a?= \t=?utf-8?Q?b?=c", "abc", true},
	{"=?utf-8?Q?a?= b", "a b", true},
	{"a =?utf-8?Q?b?=", "a b", true},
	{"=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", "\xc3\xa9", true},	/* a character cut in two words */
	{"=?iso-2022-jp?B?GyRCJDMbKEI=?=", "\xe3\x81\x93", true},
	{"=?utf-8*en?Q?x?=", "x", true},
	{"=?nonsense?Q?abc?=", "abc", true},	/* charset unknown: ASCII still matches */
	{"=?utf-8?X?abc?=", "utf-8?x?abc", true},
	{"=?utf-8?Q?abc", "=?utf-8?q?abc", true},
	{"=?=?=?utf-8?Q?abc?=", "abc", true},
	{"\xef\xac\x81le", "\xef\xac\x81LE", true},
	{"\xef\xac\x81le", "FILE", false},		/* the ligature fi has no titlecase (RFC 5051 2) */
	{"\xc4\xb1", "I", true},			/* dotless i has */
	{"\xc7\x84", "\xc7\x86", true},		/* the example of RFC 5051 2: U+01C4, U+01C6 */
	{"e\xcc\x81", "\xc3\xa9", true},		/* decomposed and composed are the same */
	{"\xe9", "\xc3\xa9", false},		/* 8-bit without a charset is no text */
	{"aab", "ab", true},
	{"ababac", "abac", true},
	{"Stra\xc3\x9f""e", "STRASSE", false}, {"Stra\xc3\x9f""e", "STRA\xc3\x9f""E", true},
};

static void
test_contains(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(contains_rows) / sizeof(contains_rows[0]); i++) {
		const struct contains_row *r = &contains_rows[i];
		struct arena arena = arena_make(1 << 20);
		struct slice needle = mime_fold(slice_of(r->needle), NULL, &arena);

		assert_non_null(needle.p);
		if (mime_header_contains(slice_of(r->in), needle) != r->want)
			fail_msg("%s in %s", r->needle, r->in);
		arena_free(&arena);
	}
}

static void
test_fold(void **state)
{
	struct arena arena = arena_make(1 << 16), small = arena_make(4);

	(void)state;
	check("upper", mime_fold(SLICE("ABC xyz"), "US-ASCII", &arena), "ABC XYZ");
	check("latin", mime_fold(SLICE("\xc4"), "iso-8859-1", &arena), "A\xcc\x88");
	check("marks in order", mime_fold(SLICE("a\xcc\x81\xcc\xa3"), "utf-8", &arena), "A\xcc\xa3\xcc\x81");
	check("empty", mime_fold(SLICE(""), NULL, &arena), "");
	assert_non_null(mime_fold(SLICE(""), NULL, &arena).p);
	assert_null(mime_fold(SLICE("x"), "nonsense", &arena).p);
	assert_null(mime_fold(SLICE("x"), "utf-8//IGNORE", &arena).p);
	assert_null(mime_fold(SLICE("\xff"), "utf-8", &arena).p);
	assert_null(mime_fold(SLICE("\xc3"), "utf-8", &arena).p);
	assert_null(mime_fold(SLICE("\xc3\xa9"), "us-ascii", &arena).p);
	assert_null(mime_fold(SLICE("too long"), NULL, &small).p);
	assert_true(mime_charset_is_known("ISO-8859-15"));
	assert_true(mime_charset_is_known("UTF-8"));
	assert_false(mime_charset_is_known(""));
	assert_false(mime_charset_is_known("../../x"));
	mime_charset_preload();
	arena_free(&arena);
	arena_free(&small);
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#ifdef __SANITIZE_ADDRESS__
#define SLOWER	20	/* the sanitizers' cost, and a busy machine's */
#else
#define SLOWER	2
#endif

/* Half a million addresses; one line of a megabyte of each thing that opens and never closes. */
static void
test_time(void **state)
{
	static const char *const hostile[] = {"(", "((\\", "\"", "<", "[", "=?", "=?a?q?", ":", "@", "a:", "<@", "\\", ",", "a,b <", "=?utf-8?q?a?= "};
	struct buf in = buf_make(64 << 20), out = buf_make(64 << 20);
	struct arena arena = arena_make(64 << 20);
	double begin;
	int64_t utc, day;
	size_t i;

	(void)state;
	buf_add_str(&in, "To: ");
	for (i = 0; i < 500000; i++)
		buf_addf(&in, "User %zu <u%zu@example.com>,\r\n ", i, i);
	begin = seconds();
	assert_int_equal(mime_envelope(buf_slice(&in), &arena, &out), 0);
	assert_true(seconds() - begin < 0.5 * SLOWER);
	assert_true(grammar_is_envelope(buf_slice(&out)));
	for (i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		buf_clear(&in);
		buf_clear(&out);
		buf_add_str(&in, "To: ");
		while (in.n < 1 << 20)
			buf_add_str(&in, hostile[i]);
		begin = seconds();
		assert_int_equal(mime_envelope(buf_slice(&in), &arena, &out), 0);
		assert_true(grammar_is_envelope(buf_slice(&out)));
		(void)mime_header_contains(buf_slice(&in), SLICE("never there"));
		(void)mime_date(buf_slice(&in), &utc, &day);
		if (seconds() - begin > 0.5 * SLOWER)
			fail_msg("%s: %.3f s", hostile[i], seconds() - begin);
	}
	buf_free(&in);
	buf_free(&out);
	arena_free(&arena);
}

/* MIME_ADDRESSES_MAX are told, the next is not; a group cut there is closed. */
static void
test_address_limit(void **state)
{
	struct buf in = buf_make(64 << 20), out = buf_make(64 << 20);
	struct arena arena = arena_make(1 << 20);
	size_t extra, i, told;

	(void)state;
	for (extra = 0; extra < 2; extra++) {
		buf_clear(&in);
		buf_clear(&out);
		buf_add_str(&in, "To: g:");
		for (i = 0; i < MIME_ADDRESSES_MAX - 1 + extra; i++)
			buf_add_str(&in, "a@b,");
		assert_int_equal(mime_envelope(buf_slice(&in), &arena, &out), 0);
		assert_true(grammar_is_envelope(buf_slice(&out)));
		for (told = 0, i = 0; i + 9 < out.n; i++)
			told += memcmp(out.p + i, "\"a\" \"b\")", 8) == 0;
		assert_int_equal(told, MIME_ADDRESSES_MAX - 1);
	}
	buf_free(&in);
	buf_free(&out);
	arena_free(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_envelope_full),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_contains),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_address_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
