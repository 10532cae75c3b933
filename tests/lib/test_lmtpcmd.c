/*
 * Command lines and replies of LMTP: tables of rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lmtpcmd.h"
#include "lmtpreply.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define KEY		"00112233445566778899aabbccddeeff"
#define QID64		"0123456789012345678901234567890123456789012345678901234567890123"

static void
test_verbs(void **state)
{
	static const struct {
		const char	*in;
		enum lmtp_verb	 verb;
		const char	*args;
	} rows[] = {
		{"LHLO a", LMTP_LHLO, "a"}, {"lhlo a", LMTP_LHLO, "a"}, {"NOOP", LMTP_NOOP, ""}, {"NOOP \t ", LMTP_NOOP, ""},
		{"DATA x", LMTP_DATA, "x"}, {"MAIL FROM:<>", LMTP_MAIL, "FROM:<>"}, {"HELO", LMTP_HELO, ""},
		{"EHLO x", LMTP_EHLO, "x"}, {"GET / HTTP/1.1", LMTP_HTTP, "/ HTTP/1.1"}, {"POST / HTTP/1.0", LMTP_HTTP, "/ HTTP/1.0"},
		{"OPTIONS *", LMTP_HTTP, "*"}, {"", LMTP_UNKNOWN, ""}, {" NOOP", LMTP_UNKNOWN, "NOOP"},
		{"DATAX", LMTP_UNKNOWN, ""}, {"BDAT 1 LAST", LMTP_BDAT, "1 LAST"}, {"STARTTLS", LMTP_UNKNOWN, ""},
		{"RSET", LMTP_RSET, ""}, {"QUIT", LMTP_QUIT, ""}, {"VRFY a", LMTP_VRFY, "a"}, {"HELP", LMTP_HELP, ""},
	};
	struct slice	args;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (lmtpcmd_verb(slice_of(rows[i].in), &args) != rows[i].verb || !slice_is(args, slice_of(rows[i].args)))
			fail_msg("row failed: %s", rows[i].in);
}

static void
test_mail(void **state)
{
	static const struct {
		const char	*in;
		bool		 trusted;
		enum lmtp_fault	 want;
	} rows[] = {
		{"FROM:<a@b>", false, LMTP_OK}, {"from:<a@b>", false, LMTP_OK}, {"FROM:<>", false, LMTP_OK},
		{"FROM: <a@b>", false, LMTP_ADDRESS}, {"FROM <a@b>", false, LMTP_SYNTAX}, {"", false, LMTP_SYNTAX},
		{"FROM:a@b", false, LMTP_ADDRESS}, {"FROM:<a@b>x", false, LMTP_SYNTAX}, {"FROM:<a@b>  SIZE=1", false, LMTP_SYNTAX},
		{"FROM:<a@b> SIZE=1 BODY=8BITMIME SMTPUTF8", false, LMTP_OK}, {"FROM:<a@b> size=1 body=7bit", false, LMTP_OK},
		{"FROM:<a@b> SIZE", false, LMTP_SYNTAX}, {"FROM:<a@b> SIZE=", false, LMTP_SYNTAX},
		{"FROM:<a@b> SIZE=-1", false, LMTP_SYNTAX}, {"FROM:<a@b> SIZE=1 SIZE=1", false, LMTP_SYNTAX},
		{"FROM:<a@b> SIZE=9223372036854775807", false, LMTP_OK},
		{"FROM:<a@b> SIZE=9223372036854775808", false, LMTP_SYNTAX},
		{"FROM:<a@b> SIZE=99999999999999999999", false, LMTP_SYNTAX},
		{"FROM:<a@b> SIZE=000000000000000000001", false, LMTP_SYNTAX},
		{"FROM:<a@b> BODY=BINARYMIME", false, LMTP_PARAM}, {"FROM:<a@b> BODY", false, LMTP_SYNTAX},
		{"FROM:<a@b> SMTPUTF8=1", false, LMTP_SYNTAX}, {"FROM:<a@b> AUTH=<>", false, LMTP_PARAM},
		{"FROM:<a@b> -X=1", false, LMTP_SYNTAX}, {"FROM:<a@b> SIZE=1=2", false, LMTP_SYNTAX},
		{"FROM:<a@b> XKEY=" KEY, false, LMTP_PARAM}, {"FROM:<a@b> XKEY=" KEY, true, LMTP_OK},
		{"FROM:<a@b> XKEY=" KEY "0", true, LMTP_SYNTAX}, {"FROM:<a@b> XKEY=x0112233445566778899aabbccddeeff", true, LMTP_SYNTAX},
		{"FROM:<a@b> XQID=q-1.x_Y", true, LMTP_OK}, {"FROM:<a@b> XQID=a/b", true, LMTP_SYNTAX},
		{"FROM:<a@b> XQID=" QID64, true, LMTP_OK}, {"FROM:<a@b> XQID=" QID64 "4", true, LMTP_SYNTAX},
		{"FROM:<\xc3\xa4@b>", false, LMTP_UTF8}, {"FROM:<\xc3\xa4@b> SMTPUTF8", false, LMTP_OK},
		{"FROM:<\xff@b> SMTPUTF8", false, LMTP_ADDRESS},
	};
	struct lmtp_mail	m;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (lmtpcmd_mail(slice_of(rows[i].in), rows[i].trusted, &m) != rows[i].want)
			fail_msg("row failed: %s", rows[i].in);
	assert_int_equal(lmtpcmd_mail(SLICE("FROM:<a@b> SIZE=77 BODY=8BITMIME XKEY=" KEY " XQID=q"), true, &m), LMTP_OK);
	assert_int_equal(m.size, 77);
	assert_true(m.is_8bit && m.has_key && !m.is_utf8);
	assert_memory_equal(m.key, "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", LMTP_KEY_BYTES);
	assert_string_equal(m.qid, "q");
}

static void
test_rcpt(void **state)
{
	static const struct {
		const char	*in;
		bool		 utf8, trusted;
		enum lmtp_fault	 want;
	} rows[] = {
		{"TO:<a@b>", false, false, LMTP_OK}, {"TO:<postmaster>", false, false, LMTP_OK}, {"TO:<>", false, false, LMTP_ADDRESS},
		{"TO:<a@b> NOTIFY=NEVER", false, false, LMTP_PARAM}, {"FROM:<a@b>", false, false, LMTP_SYNTAX},
		{"TO:<a@b> XPLACE", false, false, LMTP_PARAM}, {"TO:<a@b> XPLACE", false, true, LMTP_OK},
		{"TO:<a@b> XPLACE=1", false, true, LMTP_SYNTAX}, {"TO:<a@b> XPLACE XPLACE", false, true, LMTP_SYNTAX},
		{"TO:<a@b> XUSER=ann", false, true, LMTP_OK}, {"TO:<a@b> XUSER=a+2Bb+3Dc@d", false, true, LMTP_OK},
		{"TO:<a@b> XUSER=a+b", false, true, LMTP_SYNTAX}, {"TO:<a@b> XUSER=..", false, true, LMTP_SYNTAX},
		{"TO:<a@b> XUSER=a+00", false, true, LMTP_SYNTAX}, {"TO:<a@b> XUSER=a+2Fb", false, true, LMTP_SYNTAX},
		{"TO:<a@b> XUSER=" QID64, false, true, LMTP_OK}, {"TO:<a@b> XUSER=" QID64 "4", false, true, LMTP_SYNTAX},
		{"TO:<\xc3\xa4@b>", false, false, LMTP_UTF8}, {"TO:<\xc3\xa4@b>", true, false, LMTP_OK},
	};
	struct lmtp_rcpt	r;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (lmtpcmd_rcpt(slice_of(rows[i].in), rows[i].utf8, rows[i].trusted, &r) != rows[i].want)
			fail_msg("row failed: %s", rows[i].in);
	assert_int_equal(lmtpcmd_rcpt(SLICE("TO:<a@b> XUSER=A+2Bb XPLACE"), false, true, &r), LMTP_OK);
	assert_string_equal(r.user, "a+b");
	assert_true(r.place);
}

static void
test_others(void **state)
{
	char		name[LMTP_NAME_MAX_BYTES + 2], text[16];
	struct slice	out;
	uint64_t	n;
	bool		last;

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_int_equal(lmtpcmd_lhlo((struct slice){name, LMTP_NAME_MAX_BYTES}, &out), LMTP_OK);
	assert_int_equal(lmtpcmd_lhlo((struct slice){name, LMTP_NAME_MAX_BYTES + 1}, &out), LMTP_SYNTAX);
	assert_int_equal(lmtpcmd_lhlo(SLICE(""), &out), LMTP_SYNTAX);
	assert_int_equal(lmtpcmd_lhlo(SLICE("a b"), &out), LMTP_SYNTAX);
	assert_int_equal(lmtpcmd_lhlo(SLICE("a(b"), &out), LMTP_SYNTAX);
	assert_int_equal(lmtpcmd_lhlo(SLICE("[IPv6:::1]"), &out), LMTP_OK);
	assert_int_equal(lmtpcmd_bdat(SLICE("0"), &n, &last), LMTP_OK);
	assert_true(n == 0 && !last);
	assert_int_equal(lmtpcmd_bdat(SLICE("12 last"), &n, &last), LMTP_OK);
	assert_true(n == 12 && last);
	assert_int_equal(lmtpcmd_bdat(SLICE("9223372036854775808"), &n, &last), LMTP_SYNTAX);
	assert_int_equal(lmtpcmd_bdat(SLICE("18446744073709551617"), &n, &last), LMTP_SYNTAX);
	assert_int_equal(lmtpcmd_bdat(SLICE("-1"), &n, &last), LMTP_SYNTAX);
	assert_int_equal(lmtpcmd_bdat(SLICE("1 LAS"), &n, &last), LMTP_SYNTAX);
	assert_int_equal(lmtpcmd_bdat(SLICE(""), &n, &last), LMTP_SYNTAX);
	xtext_encode(SLICE("a+=\xc3"), text);
	assert_string_equal(text, "a+2B+3D+C3");
	assert_true(xtext_decode(SLICE("a+2B"), text, 3));
	assert_string_equal(text, "a+");
	assert_false(xtext_decode(SLICE("a+2B"), text, 2));
	assert_false(xtext_decode(SLICE("+2"), text, sizeof(text)));
	assert_false(xtext_decode(SLICE("+zz"), text, sizeof(text)));
}

static void
test_replies(void **state)
{
	static const struct {
		const char	*in;
		int		 code;
		bool		 more;
		const char	*want;		/* text of reply_from_peer; NULL: no reply */
		int		 want_code;
	} rows[] = {
		{"250 2.1.5 ok", 250, false, "2.1.5 ok", 250}, {"250-2.1.5 ok", 250, true, "2.1.5 ok", 250},
		{"250", 250, false, "2.0.0 ", 250}, {"550 no such user", 550, false, "5.0.0 no such user", 550},
		{"550 2.1.5 odd", 550, false, "5.0.0 2.1.5 odd", 550}, {"451 4.3.0", 451, false, "4.3.0", 451},
		{"451 4.3.0000 x", 451, false, "4.0.0 4.3.0000 x", 451}, {"354 go", 354, false, "4.0.0 go", 451},
		{"550 5.1.1 a\tb\xe4", 550, false, "5.1.1 a?b?", 550},
		{"", 0, false, NULL, 0}, {"25", 0, false, NULL, 0}, {"2x0 a", 0, false, NULL, 0}, {"150 a", 0, false, NULL, 0},
		{"650 a", 0, false, NULL, 0}, {"250_a", 0, false, NULL, 0}, {"2500 a", 0, false, NULL, 0},
	};
	struct reply	r;
	struct slice	text;
	char		big[600];
	int		code;
	bool		more;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool	got = reply_parse(slice_of(rows[i].in), &code, &more, &text);

		if (got)
			reply_from_peer(&r, code, text);
		if (got != (rows[i].want != NULL) || (got && (code != rows[i].code || more != rows[i].more ||
		    strcmp(r.text, rows[i].want) != 0 || r.code != rows[i].want_code)))
			fail_msg("row failed: \"%s\"", rows[i].in);
	}
	memset(big, 'x', sizeof(big));
	reply_from_peer(&r, 550, (struct slice){big, sizeof(big)});
	assert_int_equal(strlen(r.text), REPLY_TEXT_MAX_BYTES - 1);
	reply_set(&r, 251, "a");
	assert_int_equal(r.result, DONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_mail),
		cmocka_unit_test(test_rcpt),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
