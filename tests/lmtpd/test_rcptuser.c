/*
 * From an address to a user: domains, details, postmaster, XUSER.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "rcptuser.h"

static void
test_rows(void **state)
{
	static const struct {
		const char	*in;		/* arguments of RCPT from a trusted peer */
		bool		 detail_mailbox;
		char		 delimiter;
		const char	*user;		/* NULL: refused */
		const char	*mailbox;
		const char	*text;		/* of the refusal */
	} rows[] = {
		{"TO:<alice@a.example>", false, '+', "alice", "", NULL},
		{"TO:<Alice@B.Example>", false, '+', "alice", "", NULL},
		{"TO:<alice@c.example>", false, '+', NULL, "", "5.7.1 not a domain of this host"},
		{"TO:<alice+Box@a.example>", false, '+', "alice", "", NULL},
		{"TO:<alice+Box/x+y@a.example>", true, '+', "alice", "Box/x+y", NULL},
		{"TO:<alice+Box@a.example>", true, '-', "alice+box", "", NULL},
		{"TO:<alice+Box@a.example>", true, '\0', "alice+box", "", NULL},
		{"TO:<alice+@a.example>", true, '+', "alice", "", NULL},
		{"TO:<+x@a.example>", true, '+', NULL, "", "5.1.1 user unknown"},
		{"TO:<postmaster>", false, '+', "admin", "", NULL},
		{"TO:<PostMaster@a.example>", false, '+', "admin", "", NULL},
		{"TO:<postmaster@c.example>", false, '+', NULL, "", "5.7.1 not a domain of this host"},
		{"TO:<\"a b\"@a.example>", false, '+', NULL, "", "5.1.1 user unknown"},
		{"TO:<a!b@a.example>", false, '+', NULL, "", "5.1.1 user unknown"},
		{"TO:<other+Box@c.example> XUSER=alice", true, '+', "alice", "Box", NULL},
		{"TO:<postmaster> XUSER=bob", true, '+', "bob", "", NULL},
	};
	char			*names[] = {"a.example", "b.example"};
	const struct conf_list	 domains = {.v = names, .n = 2};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct rcptuser_conf	conf = {&domains, rows[i].delimiter, rows[i].detail_mailbox, "admin"};
		struct lmtp_rcpt		rcpt;
		struct rcptuser			got;
		struct reply			reply;
		enum result			r;

		assert_int_equal(lmtpcmd_rcpt(slice_of(rows[i].in), true, true, &rcpt), LMTP_OK);
		r = rcptuser_find(&conf, &rcpt, &got, &reply);
		if ((r == DONE) != (rows[i].user != NULL) || (r == DONE && (strcmp(got.user, rows[i].user) != 0 ||
		    !slice_is(got.mailbox, slice_of(rows[i].mailbox)))) || (r != DONE && strcmp(reply.text, rows[i].text) != 0))
			fail_msg("row failed: %s", rows[i].in);
	}
}

static void
test_detail_limit(void **state)
{
	char				*names[] = {"a"};
	const struct conf_list		 domains = {.v = names, .n = 1};
	const struct rcptuser_conf	 conf = {&domains, '+', true, "admin"};
	char				 args[512];

	(void)state;
	for (int n = 200; n <= 201; n++) {
		struct lmtp_rcpt	rcpt;
		struct rcptuser		got;
		struct reply		reply;

		sprintf(args, "TO:<alice+%0*d@a>", n, 0);
		assert_int_equal(lmtpcmd_rcpt(slice_of(args), false, false, &rcpt), LMTP_OK);
		assert_int_equal(rcptuser_find(&conf, &rcpt, &got, &reply), DONE);
		assert_int_equal(got.mailbox.n, n == 200 ? 200 : 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_detail_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
