/*
 * REPLACE and UID REPLACE (RFC 8508): the new message is there and the old one gone, or neither.
 */
#include "imap_transcript.h"

#define NEW	"Subject: happy new year !!\r\n\r\nJust saw the best fireworks show.\r\n"
#define NEW_N	"65"
#define LATER	"Subject: later\r\n\r\nLater.\r\n"
#define LATER_N	"26"

/* The RFC's examples, their sessions one after the other. */
static void
test_examples(void **state)
{
	static const struct step	steps[] = {
		{"a SELECT Drafts\r\n", "~* 4 EXISTS\r\n~a OK ~"},
		{"A003 REPLACE 4 Drafts (\\Seen \\Draft) {" NEW_N "}\r\n" NEW "\r\n",
		    "+ Go on\r\n* OK [APPENDUID ~ 5] Replacement Message ready\r\n* 4 EXPUNGE\r\n* 4 EXISTS\r\n* ~ RECENT\r\nA003 OK REPLACE completed\r\n"},
		{"A004 UID REPLACE 5 Drafts (\\Seen \\Draft) \" 1-Jan-2015 00:06:00 -0500\" {" LATER_N "}\r\n" LATER "\r\n",
		    "+ Go on\r\n* OK [APPENDUID ~ 6] Replacement Message ready\r\n* 4 EXPUNGE\r\n* 4 EXISTS\r\n* ~ RECENT\r\nA004 OK UID REPLACE completed\r\n"},
		{"a FETCH 4 (UID FLAGS INTERNALDATE BODY.PEEK[])\r\n",
		    "* 4 FETCH (UID 6 FLAGS (\\Seen \\Draft \\Recent) INTERNALDATE \" 1-Jan-2015 05:06:00 +0000\" BODY[] {" LATER_N "}\r\n" LATER ")\r\na OK ~"},
		/* 4.2: the old message is a part of what replaces it. */
		{"A011 UID REPLACE 6 Drafts CATENATE (TEXT {11}\r\nTo: Mitzy\r\n URL \"/Drafts/;UID=6\")\r\n",
		    "+ Go on\r\n* OK [APPENDUID ~ 7] Replacement Message ready\r\n* 4 EXPUNGE\r\n* 4 EXISTS\r\n* ~ RECENT\r\nA011 OK UID REPLACE completed\r\n"},
		{"a FETCH 4 (FLAGS BODY.PEEK[])\r\n", "* 4 FETCH (FLAGS (\\Recent) BODY[] {37}\r\nTo: Mitzy\r\n" LATER ")\r\na OK ~"},
		/* Into another mailbox: sent now. Nothing is inherited, no flag. */
		{"a STORE 4 +FLAGS.SILENT (\\Flagged $x)\r\n", "a OK ~"},
		{"b REPLACE * Sent {" NEW_N "+}\r\n" NEW "\r\n", "* OK [APPENDUID ~ 8] ~\r\n* 4 EXPUNGE\r\nb OK REPLACE completed\r\n"},
		{"c EXAMINE Sent\r\n", "~* 1 EXISTS\r\n~c OK ~"}, {"c FETCH 1 (FLAGS)\r\n", "* 1 FETCH (FLAGS (\\Recent))\r\nc OK ~"},
		{"c STATUS Drafts (MESSAGES UIDNEXT)\r\n", "* STATUS \"Drafts\" (MESSAGES 3 UIDNEXT 8)\r\nc OK ~"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "replace"), 0);
	for (int i = 0; i < 4; i++)
		append(&c, "Drafts", "", PLAIN);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_bad(void **state)
{
	static const struct step	steps[] = {
		{"a REPLACE 1 Drafts {3+}\r\nabc\r\n", "a BAD No mailbox is selected\r\n"}, {"a REPLACE 1 Drafts {3}\r\n", "a BAD No mailbox is selected\r\n"},
		{"a EXAMINE Drafts\r\n", "~a OK ~"}, {"a REPLACE 1 Drafts {3}\r\n", "a NO ~"}, {"a REPLACE 1 Drafts {3+}\r\nabc\r\n", "a NO ~"},
		{"a SELECT Drafts\r\n", "~a OK ~"},
		{"a REPLACE 3 Drafts {3}\r\n", "a BAD No message has that number\r\n"}, {"a UID REPLACE 3 Drafts {3}\r\n", "a NO ~"},
		{"a UID REPLACE 4294967295 Drafts {3+}\r\nabc\r\n", "a NO ~"}, {"a REPLACE 1:2 Drafts {3+}\r\nabc\r\n", "a BAD ~"}, {"a REPLACE 0 Drafts {3+}\r\nabc\r\n", "a BAD ~"},
		{"a REPLACE Drafts {3+}\r\nabc\r\n", "a BAD ~"}, {"a REPLACE 1 {3+}\r\nabc\r\n", "a BAD ~"}, {"a REPLACE 1 Drafts\r\n", "a BAD ~"}, {"a REPLACE 1 Drafts \"x\"\r\n", "a BAD ~"},
		{"a REPLACE 1 nope {3}\r\n", "a NO [TRYCREATE] ~"}, {"a REPLACE 1 ../x {3}\r\n", "a NO [CANNOT] ~"}, {"a REPLACE 1 Drafts {0}\r\n", "a NO ~"},
		{"a REPLACE 1 Drafts {104857601}\r\n", "a NO [TOOBIG] ~"}, {"a REPLACE 1 Drafts ~{3+}\r\na\nb\r\n", "a NO [UNKNOWN-CTE] ~"},
		{"a REPLACE 1 Drafts CATENATE (URL /Drafts/;UID=9)\r\n", "a NO [BADURL ~"}, {"a REPLACE 1 Drafts (\\Recent) {3+}\r\nabc\r\n", "a BAD ~"},
		/* One message (RFC 8508 4.7). */
		{"a REPLACE 1 Drafts {3+}\r\nabc {3}\r\n", "a BAD ~"}, {"a REPLACE 1 Drafts {3+}\r\nabc {3+}\r\ndef\r\nb NOOP\r\n", "a BAD ~\r\nb OK ~"},
		{"a FETCH 1:2 UID\r\n", "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2)\r\na OK ~"},
		{"a STATUS Drafts (MESSAGES UIDNEXT)\r\n", "* STATUS \"Drafts\" (MESSAGES 2 UIDNEXT 3)\r\na OK ~"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "replacebad"), 0);
	append(&c, "Drafts", "", PLAIN);
	append(&c, "Drafts", "", PLAIN);
	STEPS(&c, steps);
	client_close(&c);
}

/* The number is the one that the client knows; a message that another session expunged is not replaced. */
static void
test_others(void **state)
{
	struct client	c, other;

	(void)state;
	assert_int_equal(client_begin(&c, "replaceothers"), 0);
	assert_int_equal(client_begin(&other, "replaceothers"), 0);
	for (int i = 0; i < 3; i++)
		append(&c, "Drafts", "", PLAIN);
	DO(c, "a SELECT Drafts\r\n", "~a OK ~");
	DO(other, "a SELECT Drafts\r\nb UID STORE 1 +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\n", "~c OK ~");
	DO(c, "a REPLACE 1 Drafts {3+}\r\nabc\r\n", "* 1 EXPUNGE\r\na NO [EXPUNGEISSUED] ~");
	DO(other, "a UID STORE 2 +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\n", "~c OK ~");
	DO(c, "a REPLACE 2 Drafts {3+}\r\nabc\r\n", "* OK [APPENDUID ~ 4] ~\r\n* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n* 1 EXISTS\r\n~a OK ~");
	DO(c, "a FETCH 1:* (UID BODY[])\r\n", "* 1 FETCH (UID 4 BODY[] {3}\r\nabc ~)\r\na OK ~");
	DO(other, "a NOOP\r\n", "* 1 EXPUNGE\r\n* 1 EXISTS\r\n~a OK ~");
	client_close(&c);
	client_close(&other);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_examples), cmocka_unit_test(test_bad), cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
