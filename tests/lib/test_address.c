/*
 * Addresses of MAIL and RCPT, and user names: rows at and past every limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "address.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
enum { UTF8 = 1, RCPT = 2 };

static const struct row {
	const char	*name, *in;
	int		 flags;
	const char	*want;		/* NULL: PARSE_BAD */
	const char	*rest;
} rows[] = {
	{"plain", "<a@b.example>", RCPT, "a@b.example", ""},
	{"parameters follow", "<a@b.example> SIZE=1", 0, "a@b.example", " SIZE=1"},
	{"null sender", "<>", 0, "", ""},
	{"null recipient", "<>", RCPT, NULL, NULL},
	{"postmaster alone", "<PostMaster>", RCPT, "PostMaster", ""},
	{"postmaster as sender", "<postmaster>", 0, NULL, NULL},
	{"somebody alone", "<alice>", RCPT, NULL, NULL},
	{"source route", "<@x.example,@y.example:a@b.example>", 0, "a@b.example", ""},
	{"source route without colon", "<@x.example a@b.example>", 0, NULL, NULL},
	{"source route alone", "<@x.example:>", 0, NULL, NULL},
	{"atext", "<!#$%&'*+-/=?^_`{|}~@b.example>", 0, "!#$%&'*+-/=?^_`{|}~@b.example", ""},
	{"dots", "<a.b.c@b.example>", 0, "a.b.c@b.example", ""},
	{"two dots", "<a..b@b.example>", 0, NULL, NULL},
	{"dot first", "<.a@b.example>", 0, NULL, NULL},
	{"dot last", "<a.@b.example>", 0, NULL, NULL},
	{"needless quotes", "<\"a.b\"@b.example>", 0, "a.b@b.example", ""},
	{"needless backslash", "<\"a\\.\\b\"@b.example>", 0, "a.b@b.example", ""},
	{"quotes needed", "<\"a b\"@b.example>", 0, "\"a b\"@b.example", ""},
	{"quoted quote", "<\"a\\\"\\\\b\"@b.example>", 0, "\"a\\\"\\\\b\"@b.example", ""},
	{"quoted at", "<\"a@b\"@c.example>", 0, "\"a@b\"@c.example", ""},
	{"quoted closing bracket", "<\"a>\"@c.example>", 0, "\"a>\"@c.example", ""},
	{"empty quotes", "<\"\"@c.example>", 0, "\"\"@c.example", ""},
	{"open quote", "<\"a@c.example>", 0, NULL, NULL},
	{"control in quotes", "<\"a\tb\"@c.example>", 0, NULL, NULL},
	{"backslash at the end", "<\"a\\", 0, NULL, NULL},
	{"literal", "<a@[127.0.0.1]>", 0, "a@[127.0.0.1]", ""},
	{"IPv6 literal", "<a@[IPv6:::1]>", 0, "a@[IPv6:::1]", ""},
	{"empty literal", "<a@[]>", 0, NULL, NULL},
	{"open literal", "<a@[127.0.0.1>", 0, NULL, NULL},
	{"at in a literal", "<a@[x:b@c]>", 0, NULL, NULL},
	{"underscore in a domain", "<a@_b.example>", 0, "a@_b.example", ""},
	{"hyphen first", "<a@-b.example>", 0, NULL, NULL},
	{"hyphen last", "<a@b-.example>", 0, NULL, NULL},
	{"dot at the end", "<a@b.>", 0, NULL, NULL},
	{"no domain", "<a@>", 0, NULL, NULL},
	{"no local part", "<@b.example>", 0, NULL, NULL},
	{"two ats", "<a@b@c>", 0, NULL, NULL},
	{"space", "<a b@c>", 0, NULL, NULL},
	{"space before bracket", " <a@b>", 0, NULL, NULL},
	{"no brackets", "a@b", 0, NULL, NULL},
	{"no end", "<a@b", 0, NULL, NULL},
	{"nothing", "", 0, NULL, NULL},
	{"UTF-8", "<\xc3\xa4@b\xc3\xbc.example>", UTF8, "\xc3\xa4@b\xc3\xbc.example", ""},
	{"UTF-8 quoted", "<\"\xe2\x82\xac\"@b>", UTF8, "\xe2\x82\xac@b", ""},
	{"UTF-8 of four", "<\xf0\x9f\x93\xa7@b>", UTF8, "\xf0\x9f\x93\xa7@b", ""},
	{"UTF-8 not agreed", "<\xc3\xa4@b>", 0, NULL, NULL},
	{"Latin-1", "<\xe4@b>", UTF8, NULL, NULL},
	{"overlong of two", "<\xc0\xaf@b>", UTF8, NULL, NULL},
	{"overlong of three", "<\xe0\x80\xaf@b>", UTF8, NULL, NULL},
	{"overlong of four", "<\xf0\x80\x80\xaf@b>", UTF8, NULL, NULL},
	{"surrogate", "<\xed\xa0\x80@b>", UTF8, NULL, NULL},
	{"past the last", "<\xf4\x90\x80\x80@b>", UTF8, NULL, NULL},
	{"cut UTF-8", "<\xe2\x82@b>", UTF8, NULL, NULL},
};

static void
test_address(void **state)
{
	size_t	failed = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row	*r = &rows[i];
		struct address		 a;
		size_t			 used;
		enum parse		 got = address_parse(slice_of(r->in), r->flags & UTF8, r->flags & RCPT, &a, &used);
		bool			 good = r->want == NULL ? got == PARSE_BAD :
					    got == PARSE_OK && strcmp(a.text, r->want) == 0 &&
					    strcmp(r->in + used, r->rest) == 0;

		if (!good)
			print_error("row failed: %s (got \"%s\")\n", r->name, got == PARSE_OK ? a.text : "bad");
		failed += !good;
	}
	assert_int_equal(failed, 0);
}

/* "<" n times 'a' "@" m times 'b' ">" */
static bool
is_taken(size_t n, size_t m, bool quoted)
{
	char		s[2048], *p = s;
	struct address	a;
	size_t		used;

	p += sprintf(p, "<%s", quoted ? "\"" : "");
	for (size_t i = 0; i < n; i++)
		*p++ = quoted && i == 0 ? ' ' : 'a';
	p += sprintf(p, "%s@", quoted ? "\"" : "");
	memset(p, 'b', m);
	strcpy(p + m, ">");
	return address_parse(slice_of(s), false, true, &a, &used) == PARSE_OK && used == strlen(s);
}

static void
test_limits(void **state)
{
	(void)state;
	assert_true(is_taken(ADDRESS_LOCAL_MAX_BYTES, 10, false));
	assert_false(is_taken(ADDRESS_LOCAL_MAX_BYTES + 1, 10, false));
	assert_true(is_taken(ADDRESS_LOCAL_MAX_BYTES - 2, 10, true));
	assert_false(is_taken(ADDRESS_LOCAL_MAX_BYTES - 1, 10, true));
	assert_true(is_taken(10, ADDRESS_MAX_BYTES - 11, false));
	assert_false(is_taken(10, ADDRESS_MAX_BYTES - 10, false));
}

static void
test_parts(void **state)
{
	struct address	a;
	size_t		used;

	(void)state;
	assert_int_equal(address_parse(SLICE("<\"a@b\"@c>"), false, true, &a, &used), PARSE_OK);
	assert_true(slice_is(address_local(&a), SLICE("\"a@b\"")));
	assert_true(slice_is(address_domain(&a), SLICE("c")));
	assert_int_equal(address_parse(SLICE("<postmaster>"), false, true, &a, &used), PARSE_OK);
	assert_true(slice_is(address_local(&a), SLICE("postmaster")));
	assert_int_equal(address_domain(&a).n, 0);
	assert_int_equal(address_parse(SLICE("<>"), false, false, &a, &used), PARSE_OK);
	assert_int_equal(address_local(&a).n + address_domain(&a).n, 0);
}

static void
test_user(void **state)
{
	static const struct {
		const char	*in;
		const char	*want;	/* NULL: no user */
	} users[] = {
		{"alice", "alice"}, {"Alice", "alice"}, {"a", "a"}, {"9", "9"}, {"a.b_c+d-e=f@g", "a.b_c+d-e=f@g"},
		{"", NULL}, {".a", NULL}, {"-a", NULL}, {"@a", NULL}, {"a..b", NULL}, {"a/b", NULL}, {"..", NULL},
		{"a b", NULL}, {"a\n", NULL}, {"\xc3\xa4", NULL}, {"a.", "a."}, {"a^b", NULL}, {"a!b", NULL},
		{"0123456789012345678901234567890123456789012345678901234567890123",
		    "0123456789012345678901234567890123456789012345678901234567890123"},
		{"01234567890123456789012345678901234567890123456789012345678901234", NULL},
	};
	char	out[USER_MAX_BYTES + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(users); i++) {
		bool	got = user_fold(slice_of(users[i].in), out);

		if (got != (users[i].want != NULL) || (got && strcmp(out, users[i].want) != 0))
			fail_msg("row failed: \"%s\"", users[i].in);
	}
	assert_false(user_fold(SLICE("a\0b"), out));
	assert_false(user_is_valid(SLICE("Alice")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
