/*
 * METADATA (RFC 5464) by transcripts: the RFC's examples, MAXSIZE and DEPTH, values of all kinds, what is refused and how,
 * limits at and one past, and entries that follow their mailbox. Parked after each step.
 */
#include <stdlib.h>

#include "imap_transcript.h"
#include "imap/metadata_parse.h"

static void
test_examples(void **state)
{
	static const struct step	steps[] = {
		{"a CAPABILITY\r\n", "* CAPABILITY ~ METADATA ~\r\na OK ~\r\n"},
		/* Not there: the value is NIL. */
		{"a GETMETADATA \"\" /shared/comment\r\n", "* METADATA \"\" (/shared/comment NIL)\r\na OK GETMETADATA completed\r\n"},
		{"a GETMETADATA INBOX /private/comment\r\n", "* METADATA \"INBOX\" (/private/comment NIL)\r\na OK ~\r\n"},
		{"a SETMETADATA INBOX (/private/comment {33}\r\nMy new comment across\r\ntwo lines.)\r\n",
		    "+ ~\r\na OK SETMETADATA completed\r\n"},
		{"a GETMETADATA \"INBOX\" /private/comment\r\n",
		    "* METADATA \"INBOX\" (/private/comment {33}\r\nMy new comment across\r\ntwo lines.)\r\na OK ~\r\n"},
		{"a SETMETADATA INBOX (/private/comment NIL)\r\n", "a OK ~\r\n"},
		{"a GETMETADATA INBOX /private/comment\r\n", "* METADATA \"INBOX\" (/private/comment NIL)\r\na OK ~\r\n"},
		{"a SETMETADATA INBOX (/private/comment \"My new comment\" /shared/comment \"This one is for you!\")\r\n", "a OK ~\r\n"},
		{"a GETMETADATA \"INBOX\" (/shared/comment /private/comment)\r\n",
		    "* METADATA \"INBOX\" (/private/comment \"My new comment\" /shared/comment \"This one is for you!\")\r\na OK ~\r\n"},
		{"a GETMETADATA \"INBOX\" /private/comment /shared/comment\r\n",
		    "* METADATA \"INBOX\" (/private/comment \"My new comment\" /shared/comment \"This one is for you!\")\r\na OK ~\r\n"},
		{"a GETMETADATA \"INBOX\" (MAXSIZE 14) (/shared/comment /private/comment)\r\n",
		    "* METADATA \"INBOX\" (/private/comment \"My new comment\")\r\na OK [METADATA LONGENTRIES 20] GETMETADATA completed\r\n"},
		{"a GETMETADATA (MAXSIZE 13) INBOX /private/comment\r\n", "a OK [METADATA LONGENTRIES 14] GETMETADATA completed\r\n"},
		{"a GETMETADATA (MAXSIZE 20) INBOX (/shared/comment)\r\n", "* METADATA \"INBOX\" (/shared/comment \"This one is for you!\")\r\na OK GETMETADATA completed\r\n"},
		{"a SETMETADATA INBOX (/private/filters/values/small \"SMALLER 5000\" /private/filters/values/boss \"FROM \\\"boss@example.com\\\"\")\r\n",
		    "a OK ~\r\n"},
		{"a GETMETADATA \"INBOX\" (DEPTH 1) (/private/filters/values)\r\n", "* METADATA \"INBOX\" (/private/filters/values/boss "
		    "\"FROM \\\"boss@example.com\\\"\" /private/filters/values/small \"SMALLER 5000\")\r\na OK ~\r\n"},
	};
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "examples"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_depth(void **state)
{
	static const struct step	steps[] = {
		{"a SETMETADATA INBOX (/private/A \"0\" /private/a/b \"1\" /private/a/b/c \"2\" /private/ab \"x\" /shared/z \"s\")\r\n", "a OK ~\r\n"},
		{"a GETMETADATA INBOX /PRIVATE/a\r\n", "* METADATA \"INBOX\" (/private/a \"0\")\r\na OK ~\r\n"},
		{"a GETMETADATA (DEPTH 0) INBOX /private/a\r\n", "* METADATA \"INBOX\" (/private/a \"0\")\r\na OK ~\r\n"},
		{"a GETMETADATA (DEPTH 1) INBOX /private/a\r\n", "* METADATA \"INBOX\" (/private/a \"0\" /private/a/b \"1\")\r\na OK ~\r\n"},
		{"a GETMETADATA (DEPTH infinity) INBOX /private/a\r\n",
		    "* METADATA \"INBOX\" (/private/a \"0\" /private/a/b \"1\" /private/a/b/c \"2\")\r\na OK ~\r\n"},
		{"a GETMETADATA (DEPTH 1) INBOX /private\r\n", "* METADATA \"INBOX\" (/private/a \"0\" /private/ab \"x\")\r\na OK ~\r\n"},
		{"a GETMETADATA (MAXSIZE 9 DEPTH infinity) INBOX (/private /shared /private/a)\r\n", "* METADATA \"INBOX\" (/private/a \"0\" "
		    "/private/a/b \"1\" /private/a/b/c \"2\" /private/ab \"x\" /shared/z \"s\")\r\na OK GETMETADATA completed\r\n"},
		/* With a depth nothing is said of what is not there. */
		{"a GETMETADATA (DEPTH 1) INBOX /private/none\r\n", "a OK ~\r\n"},
		{"a GETMETADATA INBOX (/private/none /private/a)\r\n", "* METADATA \"INBOX\" (/private/a \"0\" /private/none NIL)\r\na OK ~\r\n"},
	};
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "depth"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_values(void **state)
{
	static const struct step	steps[] = {
		{"a SETMETADATA INBOX (/private/a \"\" /private/b {0+}\r\n /private/c {3+}\r\n\xc3\xa4x)\r\n", "a OK ~\r\n"},
		{"a GETMETADATA (DEPTH 1) INBOX /private\r\n",
		    "* METADATA \"INBOX\" (/private/a \"\" /private/b \"\" /private/c {3}\r\n\xc3\xa4x)\r\na OK ~\r\n"},
		{"a SETMETADATA {5+}\r\nINBOX ({10+}\r\n/private/d {4+}\r\nNIL\x20)\r\n", "a OK ~\r\n"},
		{"a GETMETADATA {5+}\r\nINBOX {10+}\r\n/private/d\r\n", "* METADATA \"INBOX\" (/private/d \"NIL \")\r\na OK ~\r\n"},
		{"a SETMETADATA INBOX (/private/a NIL /private/b nil /private/c NIL /private/d NIL /private/never NIL)\r\n", "a OK ~\r\n"},
		{"a GETMETADATA (DEPTH 1) INBOX /private\r\n", "a OK ~\r\n"},
	};
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "values"), 0);
	STEPS(&c, steps);
	/* A literal8 may hold NUL, a literal may not; other commands take none. */
	DO(c, "a SETMETADATA INBOX (/private/n ~{4+}\r\na\0b\r)\r\n", "a OK ~\r\n");
	{
		struct buf	got = buf_make(1 << 16);

		client_send(&c, SLICE("a GETMETADATA INBOX /private/n\r\n"), 0, 0);
		assert_true(slice_is(client_take(&c, &got), SLICE("* METADATA \"INBOX\" (/private/n ~{4}\r\na\0b\r)\r\na OK GETMETADATA completed\r\n")));
		buf_free(&got);
	}
	DO(c, "a SETMETADATA INBOX (/private/n {3+}\r\na\0b)\r\n", "a BAD ~NUL~\r\n");
	DO(c, "a GETMETADATA ~{5+}\r\nINBOX /private/n\r\n", "a BAD ~literal8~\r\n");
	client_close(&c);
}

static void
test_refused(void **state)
{
	static const struct step	steps[] = {
		{"a GETMETADATA Nope /private/a\r\n", "a NO [NONEXISTENT] ~\r\n"},
		{"a SETMETADATA Nope (/private/a \"x\")\r\n", "a NO [NONEXISTENT] ~\r\n"},
		{"a SETMETADATA \"\" (/private/vendor/v/x \"mine\")\r\n", "a OK ~\r\n"},
		{"a GETMETADATA \"\" (/private/vendor/v/x /shared/admin)\r\n", "* METADATA \"\" (/private/vendor/v/x \"mine\" /shared/admin NIL)\r\na OK ~\r\n"},
		/* None of a command that fails. */
		{"a SETMETADATA \"\" (/private/vendor/v/x \"other\" /shared/admin \"me\")\r\n", "a NO [NOPERM] ~\r\n"},
		{"a SETMETADATA \"\" (/shared/comment NIL)\r\n", "a NO [NOPERM] ~\r\n"},
		{"a GETMETADATA \"\" /private/vendor/v/x\r\n", "* METADATA \"\" (/private/vendor/v/x \"mine\")\r\na OK ~\r\n"},
		{"a GETMETADATA INBOX\r\n", "a BAD ~\r\n"},
		{"a GETMETADATA INBOX ()\r\n", "a BAD ~\r\n"},
		{"a GETMETADATA INBOX (/private/a\r\n", "a BAD ~\r\n"},
		{"a NOOP\r\n", "a OK ~\r\n"},
		{"a GETMETADATA () INBOX /private/a\r\n", "a BAD ~\r\n"},
		{"a GETMETADATA (DEPTH 2) INBOX /private/a\r\n", "a BAD ~\r\n"},
		{"a GETMETADATA (MAXSIZE 4294967296) INBOX /private/a\r\n", "a BAD ~\r\n"},
		{"a GETMETADATA (SIZE 1) INBOX /private/a\r\n", "a BAD ~\r\n"},
		{"a GETMETADATA INBOX (DEPTH 1)\r\n", "a BAD ~\r\n"},
		{"a SETMETADATA INBOX /private/a \"x\"\r\n", "a BAD ~\r\n"},
		{"a NOOP\r\n", "a OK ~\r\n"},
		{"a SETMETADATA INBOX (/private/a)\r\n", "a BAD ~\r\n"},
		{"a SETMETADATA INBOX (/private/a atom)\r\n", "a BAD ~\r\n"},
		{"a SETMETADATA INBOX (/private \"x\")\r\n", "a BAD ~\r\n"},
		{"a SETMETADATA INBOX (/private/ \"x\")\r\n", "a BAD ~\r\n"},
		{"a NOOP\r\n", "a OK ~\r\n"},
		{"a SETMETADATA INBOX (/private//a \"x\")\r\n", "a BAD ~\r\n"},
		{"a SETMETADATA INBOX (/other/a \"x\")\r\n", "a BAD ~\r\n"},
		{"a SETMETADATA INBOX (\"/private/a*\" \"x\")\r\n", "a BAD ~\r\n"},
		{"a SETMETADATA INBOX (\"/private/a%\" \"x\")\r\n", "a BAD ~\r\n"},
		{"a SETMETADATA INBOX (\"/private/\xc3\xa4\" \"x\")\r\n", "a BAD ~\r\n"},
		{"a SETMETADATA INBOX (\"/private/\t\" \"x\")\r\n", "a BAD ~\r\n"},
		{"a GETMETADATA (DEPTH 1) INBOX (/private /shared)\r\n", "a OK ~\r\n"},
		{"a LOGOUT\r\n", "* BYE ~\r\na OK ~\r\n"},
	};
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "refused"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

/* The largest value and one past it, asked for and sent at once; entries to the limit and one past. */
static void
test_limits(void **state)
{
	struct buf	line = buf_make(1 << 20);
	static char	v[STORE_META_VALUE_MAX_BYTES + 1];
	struct client	c;
	size_t		i;

	(void)state;
	memset(v, 'v', sizeof(v));
	assert_int_equal(client_begin(&c, "limits"), 0);
	buf_addf(&line, "a SETMETADATA INBOX (/private/big {%d+}\r\n%.*s)\r\n", STORE_META_VALUE_MAX_BYTES, STORE_META_VALUE_MAX_BYTES, v);
	client_send(&c, buf_slice(&line), 0, 0);
	got_check("most", "", &c, "a OK ~\r\n");
	DO(c, "a SETMETADATA INBOX (/private/big {65537}\r\n", "a NO [METADATA MAXSIZE 65536] ~\r\n");
	buf_clear(&line);
	buf_addf(&line, "a SETMETADATA INBOX (/private/small \"x\" /private/big ~{%zu+}\r\n%.*s)\r\n", sizeof(v), (int)sizeof(v), v);
	client_send(&c, buf_slice(&line), 0, 0);
	got_check("one past", "", &c, "a NO [METADATA MAXSIZE 65536] ~\r\n");
	DO(c, "a GETMETADATA INBOX /private/small\r\n", "* METADATA \"INBOX\" (/private/small NIL)\r\na OK ~\r\n");
	DO(c, "a SETMETADATA INBOX (/private/big NIL)\r\n", "a OK ~\r\n");
	buf_clear(&line);
	buf_add_str(&line, "a SETMETADATA INBOX (");
	for (i = 0; i < STORE_META_ENTRIES_MAX; i++)
		buf_addf(&line, "%s/private/%zu \"x\"", i > 0 ? " " : "", i);
	buf_add_str(&line, ")\r\n");
	client_send(&c, buf_slice(&line), 0, 0);
	got_check("all", "", &c, "a OK ~\r\n");
	line.n -= 3;
	buf_add_str(&line, " /private/0 \"x\")\r\n");
	client_send(&c, buf_slice(&line), 0, 0);
	got_check("too many named", "", &c, "a BAD ~\r\n");
	DO(c, "a SETMETADATA INBOX (/private/0 \"new\" /private/more \"x\")\r\n", "a NO [METADATA TOOMANY] ~\r\n");
	DO(c, "a GETMETADATA INBOX (/private/0 /private/more)\r\n", "* METADATA \"INBOX\" (/private/0 \"x\" /private/more NIL)\r\na OK ~\r\n");
	DO(c, "a SETMETADATA INBOX (/private/0 NIL /private/more \"x\")\r\n", "a OK ~\r\n");
	buf_clear(&line);
	buf_addf(&line, "a SETMETADATA \"\" (/private/%.*s \"x\")\r\n", STORE_META_NAME_MAX_BYTES - 9, v);
	client_send(&c, buf_slice(&line), 0, 0);
	got_check("longest name", "", &c, "a OK ~\r\n");
	buf_clear(&line);
	buf_addf(&line, "a SETMETADATA \"\" (/private/%.*s \"x\")\r\n", STORE_META_NAME_MAX_BYTES - 8, v);
	client_send(&c, buf_slice(&line), 0, 0);
	got_check("one past it", "", &c, "a BAD ~\r\n");
	buf_free(&line);
	client_close(&c);
}

/* Every entry as large as it can be: one answer holds them. */
static void
test_large(void **state)
{
	struct buf	line = buf_make(1 << 20), got = buf_make(64 << 20);
	static char	v[STORE_META_VALUE_MAX_BYTES];
	struct client	c;

	(void)state;
	memset(v, '\n', sizeof(v));
	assert_int_equal(client_begin(&c, "large"), 0);
	for (int i = 0; i < STORE_META_ENTRIES_MAX; i++) {
		buf_clear(&line);
		buf_addf(&line, "a SETMETADATA INBOX (/shared/%03d {%zu+}\r\n%.*s)\r\n", i, sizeof(v), (int)sizeof(v), v);
		client_send(&c, buf_slice(&line), 0, 0);
		got_check("set", "", &c, "a OK ~\r\n");
	}
	client_send(&c, SLICE("a GETMETADATA (DEPTH 1) INBOX /shared\r\n"), 0, 0);
	assert_true(client_take(&c, &got).n > STORE_META_ENTRIES_MAX * sizeof(v));
	assert_ptr_not_equal(memmem(got.p + got.n - 40, 40, "a OK GETMETADATA completed\r\n", 28), NULL);
	buf_free(&got);
	buf_free(&line);
	client_close(&c);
}

/* RFC 5464 4.1: rename, INBOX's rename, delete; and what one session sets another sees. */
static void
test_mailboxes(void **state)
{
	static const struct step	steps[] = {
		{"a CREATE one/two\r\n", "a OK ~\r\n"},
		{"a SETMETADATA one/two (/private/comment \"c\")\r\n", "a OK ~\r\n"},
		{"a SETMETADATA INBOX (/private/comment \"i\")\r\n", "a OK ~\r\n"},
		{"a RENAME one/two three\r\n", "a OK ~\r\n"},
		{"a GETMETADATA three /private/comment\r\n", "* METADATA \"three\" (/private/comment \"c\")\r\na OK ~\r\n"},
	};
	struct client	c, d;

	(void)state;
	assert_int_equal(client_begin(&c, "boxes"), 0);
	assert_int_equal(client_begin(&d, "boxes"), 0);
	STEPS(&c, steps);
	DO(c, "a CREATE plain\r\n", "a OK ~\r\n");
	DO(c, "a SETMETADATA plain (/private/comment \"p\")\r\n", "a OK ~\r\n");
	DO(d, "a GETMETADATA plain /private/comment\r\n", "* METADATA \"plain\" (/private/comment \"p\")\r\na OK ~\r\n");
	DO(c, "a RENAME plain &AOQ-\r\n", "a OK ~\r\n");
	DO(d, "a GETMETADATA &AOQ- /private/comment\r\n", "* METADATA \"&AOQ-\" (/private/comment \"p\")\r\na OK ~\r\n");
	DO(c, "a DELETE &AOQ-\r\n", "a OK ~\r\n");
	DO(c, "a CREATE &AOQ-\r\n", "a OK ~\r\n");
	DO(d, "a GETMETADATA &AOQ- /private/comment\r\n", "* METADATA \"&AOQ-\" (/private/comment NIL)\r\na OK ~\r\n");
	DO(c, "a RENAME INBOX old\r\n", "a OK ~\r\n");
	DO(d, "a GETMETADATA old /private/comment\r\n", "* METADATA \"old\" (/private/comment \"i\")\r\na OK ~\r\n");
	DO(d, "a GETMETADATA INBOX /private/comment\r\n", "* METADATA \"INBOX\" (/private/comment \"i\")\r\na OK ~\r\n");
	client_close(&c);
	client_close(&d);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_examples), cmocka_unit_test(test_depth), cmocka_unit_test(test_values), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_large), cmocka_unit_test(test_mailboxes),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
