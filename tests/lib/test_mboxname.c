/*
 * lib/mboxname.c: tables of names in both forms, modified UTF-7 in its one spelling, LIST's match
 * against a plain recursive one, round trips of random names, and its time on hostile patterns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "address.h"
#include "mboxname.h"

static const struct slice alice = {"alice", 5};

struct from_row {
	const char	*name;
	const char	*in;
	bool		 mutf7, trailing;
	const char	*want;		/* NULL: PARSE_BAD */
};

static const struct from_row from_rows[] = {
	{"inbox", "INBOX", true, false, "user.alice"},
	{"inbox in any case", "iNbOx", false, false, "user.alice"},
	{"below inbox", "inbox/x", true, false, "user.alice.INBOX.x"},
	{"inbox below", "x/inbox", true, false, "user.alice.x.inbox"},
	{"plain", "Sent", true, false, "user.alice.Sent"},
	{"dots are carets inside", "Sent.2024/x.y", false, false, "user.alice.Sent^2024.x^y"},
	{"trailing dropped", "a/b/", false, true, "user.alice.a.b"},
	{"trailing kept", "a/b/", false, false, NULL},
	{"two trailing", "a//", false, true, NULL},
	{"inbox with trailing", "INBOX/", true, true, "user.alice"},
	{"only a slash", "/", false, true, NULL},
	{"empty", "", false, false, NULL},
	{"leading slash", "/a", false, false, NULL},
	{"empty component", "a//b", false, false, NULL},
	{"dot", ".", false, false, NULL},
	{"dot dot", "a/..", false, false, NULL},
	{"dot dot first", "../../etc/passwd", false, false, NULL},
	{"dot component", "a/./b", false, false, NULL},
	{"three dots are a name", "...", false, false, "user.alice.^^^"},
	{"dot and letter", ".a", false, false, "user.alice.^a"},
	{"tilde", "~x", false, false, "user.alice.~x"},
	{"caret", "a^b", false, false, NULL},
	{"percent", "a%", false, false, NULL},
	{"star", "*", false, false, NULL},
	{"percent in utf-7", "a%b", true, false, NULL},
	{"backslash and quote", "a\\\"b", false, false, "user.alice.a\\\"b"},
	{"control", "a\tb", false, false, NULL},
	{"del", "a\x7f", false, false, NULL},
	{"c1 control", "a\xc2\x85", false, false, NULL},
	{"line separator", "a\xe2\x80\xa8", false, false, NULL},
	{"crlf", "a\r\nb", false, false, NULL},
	{"ampersand utf-8", "R&D", false, false, "user.alice.R&D"},
	{"ampersand utf-7", "R&-D", true, false, "user.alice.R&D"},
	{"bare ampersand utf-7", "R&D", true, false, NULL},
	{"utf-7", "Entw&APw-rfe", true, false, "user.alice.Entw\xc3\xbcrfe"},
	{"utf-8 in utf-7", "Entw\xc3\xbcrfe", true, false, NULL},
	{"nfd becomes nfc", "Entwu\xcc\x88rfe", false, false, "user.alice.Entw\xc3\xbcrfe"},
	{"nfd in utf-7", "u&Awg-", true, false, "user.alice.\xc3\xbc"},
	{"kelvin sign is K", "\xe2\x84\xaa", false, false, "user.alice.K"},
	{"slash in utf-7", "a&AC8-b", true, false, NULL},
	{"control in utf-7", "a&AAA-", true, false, NULL},
	{"look-alike slash", "a\xe2\x88\x95" "b", false, false, "user.alice.a\xe2\x88\x95" "b"},
	{"look-alike full stops", "\xe2\x80\xa4\xe2\x80\xa4", false, false, "user.alice.\xe2\x80\xa4\xe2\x80\xa4"},
	{"truncated utf-8", "a\xc3", false, false, NULL},
	{"overlong slash", "a\xc0\xaf" "b", false, false, NULL},
	{"surrogate in utf-8", "a\xed\xa0\x80", false, false, NULL},
	{"past unicode", "\xf4\x90\x80\x80", false, false, NULL},
};

static void
from_client(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(from_rows) / sizeof(from_rows[0]); i++) {
		const struct from_row *r = &from_rows[i];
		struct mboxname got;
		enum parse p = mboxname_from_client(alice, slice_of(r->in), r->mutf7, r->trailing, &got);

		if ((p == PARSE_OK) != (r->want != NULL) || (p == PARSE_OK && strcmp(got.s, r->want) != 0))
			fail_msg("%s: got %s", r->name, p == PARSE_OK ? got.s : "BAD");
		if (p != PARSE_OK)
			continue;
		if (got.n != strlen(got.s) || !mboxname_is_valid((struct slice){got.s, got.n}))
			fail_msg("%s: %s is not valid inside", r->name, got.s);
	}
}

struct utf7_row {
	const char	*name;
	const char	*in;
	const char	*want;		/* NULL: -1 */
};

static const struct utf7_row utf7_rows[] = {
	{"empty", "", ""},
	{"rfc example", "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
	{"ampersand", "&-", "&"},
	{"two ampersands", "&-&-", "&&"},
	{"run then ampersand", "&AOk-&-", "\xc3\xa9&"},
	{"surrogate pair", "&2D3eAA-", "\xf0\x9f\x98\x80"},
	{"null shift", "&U,BTFw-&ZeVnLIqe-", NULL},
	{"printable in a run", "&AGE-", NULL},
	{"slash in a run", "&AC8-", NULL},
	{"printable after others in a run", "&AOkAYQ-", NULL},
	{"run not ended", "&AOk", NULL},
	{"lone ampersand", "&", NULL},
	{"ampersand at the end", "a&", NULL},
	{"high surrogate alone", "&2D0-", NULL},
	{"low surrogate alone", "&3gA-", NULL},
	{"two high surrogates", "&2D3YPQ-", NULL},
	{"high surrogate and a letter", "&2D0A6Q-", NULL},
	{"bits left over not zero", "&AOl-", NULL},
	{"a letter too many", "&AOkA-", NULL},
	{"half a unit", "&AO-", NULL},
	{"one letter", "&A-", NULL},
	{"padding", "&AOk=-", NULL},
	{"slash of plain base64", "&U/BTFw-", NULL},
	{"eight bit", "\xc3\xa9", NULL},
	{"control", "a\x01", NULL},
	{"del", "\x7f", NULL},
};

static void
utf7(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(utf7_rows) / sizeof(utf7_rows[0]); i++) {
		const struct utf7_row *r = &utf7_rows[i];
		char out[256], back[256];
		long n = mutf7_decode(slice_of(r->in), out, sizeof(out)), m;

		if ((n >= 0) != (r->want != NULL))
			fail_msg("%s: %ld", r->name, n);
		if (n < 0)
			continue;
		if ((size_t)n != strlen(r->want) || memcmp(out, r->want, (size_t)n) != 0)
			fail_msg("%s: %.*s", r->name, (int)n, out);
		m = mutf7_encode((struct slice){out, (size_t)n}, back, sizeof(back));
		if (m < 0 || !slice_is((struct slice){back, (size_t)m}, slice_of(r->in)))
			fail_msg("%s: back to %.*s", r->name, (int)m, back);
		/* A buffer one too small is an error, an exact one is not. */
		if (n > 0 && (mutf7_decode(slice_of(r->in), out, (size_t)n) != n ||
		    mutf7_decode(slice_of(r->in), out, (size_t)n - 1) != -1 ||
		    mutf7_encode((struct slice){r->want, (size_t)n}, back, (size_t)m) != m ||
		    mutf7_encode((struct slice){r->want, (size_t)n}, back, (size_t)m - 1) != -1))
			fail_msg("%s: capacity", r->name);
	}
	assert_int_equal(mutf7_encode(SLICE("\xc3"), (char[8]){0}, 8), -1);
	assert_int_equal(mutf7_encode(SLICE("\xed\xa0\x80"), (char[8]){0}, 8), -1);
}

static void
limits(void **state)
{
	char name[MBOXNAME_MAX_BYTES * 5];
	struct mboxname got;

	(void)state;
	memset(name, 'a', sizeof(name));
	/* A component of 255 bytes and one of 256. */
	assert_int_equal(mboxname_from_client(alice, (struct slice){name, MBOXNAME_PART_MAX_BYTES}, false, false, &got),
	    PARSE_OK);
	assert_int_equal(mboxname_from_client(alice, (struct slice){name, MBOXNAME_PART_MAX_BYTES + 1}, false, false,
	    &got), PARSE_BAD);
	/* "user.alice." and 1013 bytes; one more. */
	for (size_t i = 200; i < sizeof(name); i += 200)
		name[i] = '/';
	assert_int_equal(mboxname_from_client(alice, (struct slice){name, MBOXNAME_MAX_BYTES - 11}, true, false, &got),
	    PARSE_OK);
	assert_int_equal(got.n, MBOXNAME_MAX_BYTES);
	assert_int_equal(mboxname_from_client(alice, (struct slice){name, MBOXNAME_MAX_BYTES - 10}, true, false, &got),
	    PARSE_BAD);
	assert_int_equal(mboxname_from_client(alice, (struct slice){name, sizeof(name)}, false, false, &got), PARSE_BAD);
	/* 32 components in all, two of them "user.alice"; 33. */
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 2 ? '/' : 'a';
	assert_int_equal(mboxname_from_client(alice, (struct slice){name, 2 * (MBOXNAME_DEPTH_MAX - 2) - 1}, false,
	    false, &got), PARSE_OK);
	assert_int_equal(mboxname_from_client(alice, (struct slice){name, 2 * (MBOXNAME_DEPTH_MAX - 1) - 1}, false,
	    false, &got), PARSE_BAD);
}

static void
normal_form(void **state)
{
	static const struct { const char *name, *in, *want; } normal[] = {
		{"as it is", "a/b", "a/b"}, {"composed", "u\xcc\x88", "\xc3\xbc"}, {"Kelvin", "\xe2\x84\xaa", "K"}, {"wildcards stay", "*%", "*%"},
		{"empty", "", ""}, {"not UTF-8", "\xff", NULL}, {"cut", "\xc3", NULL}, {"surrogate", "\xed\xa0\x80", NULL},
	};
	char long_name[4 * MBOXNAME_MAX_BYTES + 1], out[sizeof(long_name)];

	(void)state;
	for (size_t i = 0; i < sizeof(normal) / sizeof(normal[0]); i++) {
		long n = mboxname_nfc(slice_of(normal[i].in), out, sizeof(out));

		if (normal[i].want == NULL ? n != -1 : n < 0 || !slice_is((struct slice){out, (size_t)n}, slice_of(normal[i].want)))
			fail_msg("%s: %ld", normal[i].name, n);
	}
	assert_int_equal(mboxname_nfc(SLICE("u\xcc\x88"), out, 2), 2);
	assert_int_equal(mboxname_nfc(SLICE("u\xcc\x88"), out, 1), -1);
	memset(long_name, 'x', sizeof(long_name));
	assert_int_equal(mboxname_nfc((struct slice){long_name, sizeof(long_name) - 1}, out, sizeof(out)), sizeof(long_name) - 1);
	assert_int_equal(mboxname_nfc((struct slice){long_name, sizeof(long_name)}, out, sizeof(out)), -1);
}

struct inside_row {
	const char	*name;
	const char	*in;
	bool		 want;
	const char	*client;	/* what alice sees in modified UTF-7; "" for nothing */
};

static const struct inside_row inside_rows[] = {
	{"inbox", "user.alice", true, "INBOX"},
	{"below", "user.alice.a.b", true, "a/b"},
	{"dots", "user.alice.Sent^2024.x", true, "Sent.2024/x"},
	{"umlaut", "user.alice.\xc3\xbc&", true, "&APw-&-"},
	{"another user", "user.alicex.a", true, ""},
	{"a prefix of another user", "user.ali", true, ""},
	{"shared", "shared.list.dev", true, ""},
	{"cannot be named", "user.alice.INBOX", false, ""},
	{"another inbox", "user.alice.Inbox.x", false, ""},
	{"below inbox", "user.alice.INBOX.x", true, "INBOX/x"},
	{"not nfc", "user.alice.u\xcc\x88", false, ""},
	{"slash", "user.alice.a/b", false, ""},
	{"dot", "user.alice.^", false, ""},
	{"dot dot", "user.alice.^^.a", false, ""},
	{"empty component", "user.alice..a", false, ""},
	{"trailing", "user.alice.", false, ""},
	{"leading", ".user", false, ""},
	{"empty", "", false, ""},
	{"control", "user.alice.a\x1f", false, ""},
	{"star", "user.alice.*", false, ""},
	{"not utf-8", "user.alice.\xff", false, ""},
};

static void
inside(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(inside_rows) / sizeof(inside_rows[0]); i++) {
		const struct inside_row *r = &inside_rows[i];
		char out[4 * MBOXNAME_MAX_BYTES];
		size_t n;

		if (mboxname_is_valid(slice_of(r->in)) != r->want)
			fail_msg("%s: valid", r->name);
		n = mboxname_to_client(alice, slice_of(r->in), true, out);
		if (!slice_is((struct slice){out, n}, slice_of(r->client)))
			fail_msg("%s: alice sees %.*s", r->name, (int)n, out);
	}
}

struct user_row {
	const char	*in;
	const char	*want;	/* NULL: no user's */
};

static const struct user_row user_rows[] = {
	{"user.alice", "alice"}, {"user.alice.x.y", "alice"}, {"user.a^b", "a.b"}, {"user.a^b.c^d", "a.b"},
	{"user.", NULL}, {"user", NULL}, {"user..x", NULL}, {"user.a^^b", NULL}, {"user.^a", NULL},
	{"shared.alice", NULL}, {"users.alice", NULL}, {"user.a/b", NULL}, {"user.Alice", NULL},
	{"user.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	{"user.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL},
};

static void
users(void **state)
{
	struct mboxname name;

	(void)state;
	for (size_t i = 0; i < sizeof(user_rows) / sizeof(user_rows[0]); i++) {
		const struct user_row *r = &user_rows[i];
		char out[USER_MAX_BYTES + 1];
		bool got = mboxname_user(slice_of(r->in), out);

		if (got != (r->want != NULL) || (got && strcmp(out, r->want) != 0))
			fail_msg("%s: %s", r->in, got ? out : "no user");
	}
	mboxname_inbox(SLICE("a.b"), &name);
	assert_string_equal(name.s, "user.a^b");
}

/* The definition, at its slowest. */
static bool
match_plainly(const char *p, size_t np, const char *s, size_t ns)
{
	if (np == 0)
		return ns == 0;
	if (*p != '*' && *p != '%')
		return ns > 0 && *p == *s && match_plainly(p + 1, np - 1, s + 1, ns - 1);
	for (size_t i = 0;; i++) {
		if (match_plainly(p + 1, np - 1, s + i, ns - i))
			return true;
		if (i == ns || (*p == '%' && s[i] == '/'))
			return false;
	}
}

struct match_row {
	const char	*pattern, *in;
	bool		 want;
};

static const struct match_row match_rows[] = {
	{"*", "a/b", true}, {"%", "a/b", false}, {"%", "a", true}, {"%/%", "a/b", true}, {"%/%", "a/b/c", false},
	{"", "", true}, {"", "a", false}, {"*", "", true}, {"%", "", true}, {"a%", "a", true}, {"a*", "ab/c", true},
	{"*b", "a/b", true}, {"%b", "a/b", false}, {"a%*", "ab/c", true}, {"%%%", "abc", true}, {"a", "A", false},
	{"INBOX%", "INBOX/x", false}, {"*%c", "a/bc", true}, {"a*/c", "a/b/c", true}, {"%a%b", "xaxb", true},
	{"*x%", "x/x", true}, {"%x%/y", "axb/y", true},
};

static void
match(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(match_rows) / sizeof(match_rows[0]); i++)
		if (mboxname_match(slice_of(match_rows[i].pattern), slice_of(match_rows[i].in), '/') != match_rows[i].want)
			fail_msg("%s against %s", match_rows[i].pattern, match_rows[i].in);
	srand(1);
	for (int i = 0; i < 200000; i++) {
		char p[10], s[10];
		size_t np = (size_t)rand() % sizeof(p), ns = (size_t)rand() % sizeof(s);

		for (size_t k = 0; k < np; k++)
			p[k] = "ab/*%"[rand() % 5];
		for (size_t k = 0; k < ns; k++)
			s[k] = "ab/"[rand() % 3];
		if (mboxname_match((struct slice){p, np}, (struct slice){s, ns}, '/') != match_plainly(p, np, s, ns))
			fail_msg("%.*s against %.*s", (int)np, p, (int)ns, s);
	}
}

/* Across the words of the bit set: the pattern's only way is past every border. */
static void
match_long(void **state)
{
	char name[600], pattern[600];

	(void)state;
	memset(name, 'a', sizeof(name));
	for (size_t n = 1; n < sizeof(name); n++) {
		assert_true(mboxname_match(SLICE("%a"), (struct slice){name, n}, '/'));
		assert_true(mboxname_match((struct slice){name, n}, (struct slice){name, n}, '/'));
		name[n - 1] = 'b';
		assert_true(mboxname_match(SLICE("%b"), (struct slice){name, n}, '/'));
		assert_false(mboxname_match(SLICE("%a"), (struct slice){name, n}, '/'));
		name[n - 1] = '/';
		assert_true(mboxname_match(SLICE("%/"), (struct slice){name, n}, '/'));
		assert_int_equal(mboxname_match(SLICE("%b"), (struct slice){name, n + 1}, '/'), false);
		assert_true(mboxname_match(SLICE("%/%"), (struct slice){name, sizeof(name)}, '/'));
		assert_false(mboxname_match(SLICE("%"), (struct slice){name, sizeof(name)}, '/'));
		name[n - 1] = 'a';
	}
	memset(pattern, '%', sizeof(pattern));
	assert_true(mboxname_match((struct slice){pattern, sizeof(pattern)}, (struct slice){name, sizeof(name)}, '/'));
}

static int64_t
clock_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Hostile patterns of thousands of wildcards against the longest name: far below a millisecond each. */
static void
match_time(void **state)
{
	static const char *const units[] = {"*%", "%*", "%a", "*a", "*a%", "*aaaa%aaa", "%a%b", "*%a%*"};
	char name[MBOXNAME_MAX_BYTES], pattern[4096];

	(void)state;
	memset(name, 'a', sizeof(name));
	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
		int64_t start, us;

		for (size_t i = 0; i < sizeof(pattern); i++)
			pattern[i] = units[u][i % strlen(units[u])];
		pattern[sizeof(pattern) - 1] = 'b';
		start = clock_us();
		for (int i = 0; i < 10; i++)
			assert_false(mboxname_match((struct slice){pattern, sizeof(pattern)},
			    (struct slice){name, sizeof(name)}, '/'));
		us = (clock_us() - start) / 10;
		/* A backtracking matcher needs seconds. The slack is for sanitizers. */
		if (us > 5000)
			fail_msg("%s: %lld us", units[u], (long long)us);
	}
}

/* client -> inside -> client -> inside: names made of pieces that are easily broken. */
static void
round_trips(void **state)
{
	static const char *const pieces[] = {"a", "b", ".", "/", "&", "-", "&-", "\xc3\xbc", "u\xcc\x88", "~", " ", "INBOX",
	    "\xf0\x9f\x98\x80", "\xe6\x97\xa5", "+", ",", "\"", "\\", "{3}", "\xe2\x84\xaa", "^", "%", "..", "x"};
	size_t ok = 0;

	(void)state;
	srand(2);
	for (int i = 0; i < 100000; i++) {
		char in[128] = "", client[4 * MBOXNAME_MAX_BYTES];
		struct mboxname first, second;

		for (int k = 1 + rand() % 8; k > 0; k--)
			(void)strcat(in, pieces[(size_t)rand() % (sizeof(pieces) / sizeof(pieces[0]))]);
		if (mboxname_from_client(alice, slice_of(in), false, false, &first) != PARSE_OK)
			continue;
		ok++;
		for (int mutf7 = 0; mutf7 < 2; mutf7++) {
			size_t n = mboxname_to_client(alice, (struct slice){first.s, first.n}, mutf7, client);

			if (n == 0 || mboxname_from_client(alice, (struct slice){client, n}, mutf7, false, &second) !=
			    PARSE_OK || strcmp(first.s, second.s) != 0)
				fail_msg("%s -> %s -> %.*s", in, first.s, (int)n, client);
		}
	}
	assert_true(ok > 10000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_client), cmocka_unit_test(utf7), cmocka_unit_test(limits), cmocka_unit_test(normal_form),
		cmocka_unit_test(inside), cmocka_unit_test(users), cmocka_unit_test(match),
		cmocka_unit_test(match_long), cmocka_unit_test(match_time), cmocka_unit_test(round_trips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
