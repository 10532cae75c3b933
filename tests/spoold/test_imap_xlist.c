/*
 * XLIST by transcripts: what Outlook 2013 and older Apple clients look for. See imap_transcript.h.
 */
#include "imap/command.h"
#include "imap_transcript.h"

static void
test_xlist(void **state)
{
	static const struct step	steps[] = {
		{"a CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 ~ XLIST~\r\na OK ~\r\n"},
		{"a XLIST \"\" \"*\"\r\n", "* XLIST (\\HasNoChildren \\Archive) \"/\" \"Archive\"\r\n"
		    "* XLIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"\r\n* XLIST (\\HasNoChildren \\Inbox) \"/\" \"INBOX\"\r\n"
		    "* XLIST (\\HasNoChildren \\Spam \\Junk) \"/\" \"Junk\"\r\n* XLIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"\r\n"
		    "* XLIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"\r\na OK XLIST completed\r\n"},
		{"a XLIST \"\" \"\"\r\n", "* XLIST (\\Noselect) \"/\" \"\"\r\na OK XLIST completed\r\n"},
		{"a xlist \"\" inbox\r\n", "* XLIST (\\HasNoChildren \\Inbox) \"/\" \"INBOX\"\r\na OK ~\r\n"},
		{"a CREATE work/B&APY-se\r\n", "a OK ~\r\n"},
		{"a XLIST \"\" w%\r\n", "* XLIST (\\Noselect \\HasChildren) \"/\" \"work\"\r\na OK ~\r\n"},
		{"a XLIST work/ %\r\n", "* XLIST (\\HasNoChildren) \"/\" \"work/B&APY-se\"\r\na OK ~\r\n"},
		{"a UNSUBSCRIBE Sent\r\n", "a OK ~\r\n"}, {"a XLIST \"\" S%\r\n", "* XLIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"\r\na OK ~\r\n"},
		{"a XLIST \"\" nope\r\n", "a OK ~\r\n"}, {"a XLIST\r\n", "a BAD ~\r\n"}, {"a XLIST \"\"\r\n", "a BAD ~\r\n"},
		{"a XLIST (SUBSCRIBED) \"\" *\r\n", "a BAD ~\r\n"}, {"a XLIST \"\" (a b)\r\n", "a BAD ~\r\n"},
		{"a XLIST \"\" * RETURN (CHILDREN)\r\n", "a BAD ~\r\n"}, {"a UID XLIST \"\" *\r\n", "a BAD ~\r\n"},
		/* LIST has nothing of it. */
		{"a LIST \"\" (INBOX Junk)\r\n", "* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\n* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"\r\na OK LIST completed\r\n"},
		{"e ENABLE UTF8=ACCEPT\r\n", "~e OK ~\r\n"},
		{"a XLIST work/ %\r\n", "* XLIST (\\HasNoChildren) \"/\" \"work/B\xc3\xb6se\"\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "xlist"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {cmocka_unit_test(test_xlist)};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
