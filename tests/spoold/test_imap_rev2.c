/*
 * IMAP4rev2 (RFC 9051) by transcripts: what ENABLE IMAP4rev2 changes, and that nothing changes before. See imap_transcript.h.
 */
#include "imap/command.h"
#include "imap_transcript.h"

#define ENABLE		{"e ENABLE IMAP4rev2\r\n", "* ENABLED IMAP4rev2\r\ne OK ~\r\n"}
#define O_UMLAUT	"\xc3\xb6"
#define O_APART		"o\xcc\x88"	/* the same, not in NFC */

static void
test_enable(void **state)
{
	static const struct step	steps[] = {
		{"a CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 ~ IMAP4rev2 ~\r\na OK ~\r\n"},
		{"a ENABLE X-NONE IMAP4rev1\r\n", "* ENABLED\r\na OK ~\r\n"},
		{"a ENABLE imap4REV2 CONDSTORE\r\n", "* ENABLED CONDSTORE IMAP4rev2\r\na OK ~\r\n"},
		{"a ENABLE IMAP4rev2\r\n", "* ENABLED\r\na OK ~\r\n"},
		{"a CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 ~ IMAP4rev2 ~\r\na OK ~\r\n"},
		{"a NAMESPACE\r\n", "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "enable"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

/* RFC 9051 6.3.2, 6.3.3 and appendix E, 9 to 12 */
static void
test_select(void **state)
{
	static const struct step	rev1[] = {
		{"a SELECT INBOX\r\n", "* FLAGS ~\r\n* 2 EXISTS\r\n* 2 RECENT\r\n* OK [UNSEEN 2] ~\r\n* OK [PERMANENTFLAGS ~\r\n* OK [MAILBOXID ~\r\n"
		    "* OK [UIDVALIDITY ~\r\n* OK [UIDNEXT ~\r\n* OK [HIGHESTMODSEQ ~\r\na OK [READ-WRITE] ~\r\n"},
		{"a FETCH 1 FLAGS\r\n", "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\na OK ~\r\n"}, {"a UNSELECT\r\n", "a OK ~\r\n"},
	};
	static const struct step	rev2[] = {
		ENABLE,
		{"a SELECT INBOX\r\n", "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n* 3 EXISTS\r\n* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"\r\n"
		    "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Flags are kept\r\n* OK [MAILBOXID (~)] Its id\r\n"
		    "* OK [UIDVALIDITY ~] UIDs are valid\r\n* OK [UIDNEXT ~] Predicted next UID\r\na OK [READ-WRITE] ~\r\n"},
		{"a FETCH 1:3 FLAGS\r\n", "* 1 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (FLAGS ())\r\n* 3 FETCH (FLAGS ())\r\na OK ~\r\n"},
		{"a EXAMINE inbox\r\n", "* OK [CLOSED] ~\r\n* FLAGS ~\r\n* 3 EXISTS\r\n* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"\r\n"
		    "* OK [PERMANENTFLAGS ()] ~\r\n* OK [MAILBOXID ~\r\na OK [READ-ONLY] ~\r\n"},
		{"a CREATE INBOX/below\r\n", "a OK ~\r\n"}, {"a CREATE Sent/2026/11\r\n", "a OK ~\r\n"},
		{"a SELECT INBOX\r\n", "~* LIST (\\HasChildren \\Subscribed) \"/\" \"INBOX\"\r\n~a OK ~\r\n"},
		{"a SELECT Sent\r\n", "~* LIST (\\HasChildren \\Subscribed \\Sent) \"/\" \"Sent\"\r\n~a OK ~\r\n"},
		{"a SELECT Sent/2026/11\r\n", "~* LIST (\\HasNoChildren) \"/\" \"Sent/2026/11\"\r\n~a OK ~\r\n"},
		{"a DELETE Sent/2026/11\r\n", "* OK [CLOSED] ~\r\na OK ~\r\n"}, {"a CREATE Sents\r\n", "a OK ~\r\n"},
		{"a SELECT Sent\r\n", "~* LIST (\\HasNoChildren \\Subscribed \\Sent) \"/\" \"Sent\"\r\n~a OK ~\r\n"},
		{"a SELECT nope\r\n", "* OK [CLOSED] ~\r\na NO [NONEXISTENT] ~\r\n"}, {"a FETCH 1 FLAGS\r\n", "a BAD No mailbox is selected\r\n"},
		/* What it is asked for it still tells. */
		{"a SELECT INBOX (CONDSTORE)\r\n", "* FLAGS ~* OK [HIGHESTMODSEQ ~\r\na OK ~\r\n"},
		{"a UNSELECT\r\n", "a OK ~\r\n"}, {"a SELECT Sent\r\n", "~* OK [HIGHESTMODSEQ ~\r\na OK ~\r\n"},
		{"a STATUS INBOX (MESSAGES RECENT)\r\n", "* STATUS \"INBOX\" (MESSAGES 3 RECENT 0)\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "select2"), 0);
	append(&c, "INBOX", "(\\Seen) ", PLAIN);
	append(&c, "INBOX", "", PLAIN);
	STEPS(&c, rev1);
	append(&c, "INBOX", "", PLAIN);
	STEPS(&c, rev2);
	client_close(&c);
}

/* A rev2 session tells no \Recent, and a rev1 session beside it goes on as ever. */
static void
test_recent(void **state)
{
	struct client	one, two;

	(void)state;
	assert_int_equal(client_begin(&two, "recent"), 0);
	assert_int_equal(client_begin(&one, "recent"), 0);
	DO(two, "e ENABLE IMAP4rev2\r\n", "~e OK ~\r\n");
	DO(two, "a SELECT INBOX\r\n", "~* 0 EXISTS\r\n* LIST ~a OK ~\r\n");
	DO(one, "a EXAMINE INBOX\r\n", "~* 0 EXISTS\r\n* 0 RECENT\r\n~a OK ~\r\n");
	append(&one, "INBOX", "", PLAIN);
	DO(two, "a NOOP\r\n", "* 1 EXISTS\r\na OK ~\r\n");
	DO(two, "a FETCH 1 FLAGS\r\n", "* 1 FETCH (FLAGS ())\r\na OK ~\r\n");
	DO(two, "a SEARCH NEW\r\n", "* ESEARCH (TAG \"a\") ~\r\na OK ~\r\n");
	DO(one, "a SELECT INBOX\r\n", "~* 1 EXISTS\r\n* 0 RECENT\r\n~a OK ~\r\n");
	DO(two, "a UNSELECT\r\n", "a OK ~\r\n");
	append(&two, "INBOX", "", PLAIN);
	DO(one, "a NOOP\r\n", "* 2 EXISTS\r\n* 1 RECENT\r\na OK ~\r\n");
	DO(one, "a FETCH 2 FLAGS\r\n", "* 2 FETCH (FLAGS (\\Recent))\r\na OK ~\r\n");
	client_close(&one);
	client_close(&two);
}

/* Flags that others change are told with the UID (RFC 9051 7.5.2), also in IDLE; in a rev1 session without. */
static void
test_unasked(void **state)
{
	struct client	one, two, idling;

	(void)state;
	assert_int_equal(client_begin(&one, "unasked"), 0);
	append(&one, "INBOX", "", PLAIN);
	DO(one, "a SELECT INBOX\r\n", "~a OK ~\r\n");
	assert_int_equal(client_begin(&two, "unasked"), 0);
	DO(two, "e ENABLE IMAP4rev2\r\na SELECT INBOX\r\n", "~a OK ~\r\n");
	assert_int_equal(client_begin(&idling, "unasked"), 0);
	DO(idling, "e ENABLE IMAP4rev2\r\na SELECT INBOX\r\ni IDLE\r\n", "~+ ~\r\n");
	DO(one, "a STORE 1 +FLAGS (\\Seen)\r\n", "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\na OK ~\r\n");
	DO(two, "a NOOP\r\n", "* 1 FETCH (UID ~ FLAGS (\\Seen))\r\na OK ~\r\n");
	client_turn(&idling, SESSION_CHANGED);
	got_check("unasked", "(changed)", &idling, "* 1 FETCH (UID ~ FLAGS (\\Seen))\r\n");
	DO(two, "a STORE 1 -FLAGS (\\Seen)\r\n", "* 1 FETCH (UID ~ FLAGS ())\r\na OK ~\r\n");
	DO(two, "a STORE 1 +FLAGS.SILENT (\\Deleted)\r\n", "a OK ~\r\n");
	DO(two, "a EXPUNGE\r\n", "* 1 EXPUNGE\r\na OK ~\r\n");
	DO(one, "a NOOP\r\n", "* 1 EXPUNGE\r\na OK ~\r\n");
	client_close(&one);
	client_close(&two);
	client_close(&idling);
}

/* RFC 9051 6.4.4: ESEARCH always, COUNT and the rest where it is asked for, the charset is UTF-8 */
static void
test_search(void **state)
{
	static const struct step	rev1[] = {
		{"a SELECT INBOX\r\n", "~a OK ~\r\n"}, {"a SEARCH FLAGGED\r\n", "* SEARCH 1 3\r\na OK ~\r\n"}, {"a UNSELECT\r\n", "a OK ~\r\n"},
	};
	static const struct step	rev2[] = {
		ENABLE, {"a SELECT INBOX\r\n", "~a OK ~\r\n"},
		{"A282 SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"\r\n", "* ESEARCH (TAG \"A282\") MIN 1 COUNT 2\r\nA282 OK ~\r\n"},
		{"A283 SEARCH RETURN () FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"\r\n", "* ESEARCH (TAG \"A283\") ALL 1,3\r\nA283 OK ~\r\n"},
		{"A284 SEARCH TEXT \"string not in mailbox\"\r\n", "* ESEARCH (TAG \"A284\")\r\nA284 OK ~\r\n"},
		{"a SEARCH FLAGGED\r\n", "* ESEARCH (TAG \"a\") ALL 1,3\r\na OK ~\r\n"}, {"a SEARCH ALL\r\n", "* ESEARCH (TAG \"a\") ALL 1:3\r\na OK ~\r\n"},
		{"a UID SEARCH 2\r\n", "* ESEARCH (TAG \"a\") UID ALL ~\r\na OK ~\r\n"}, {"a UID SEARCH UID 4294967295\r\n", "* ESEARCH (TAG \"a\") UID\r\na OK ~\r\n"},
		{"a SEARCH SUBJECT \"w" O_UMLAUT "rld\"\r\n", "* ESEARCH (TAG \"a\") ALL 1:3\r\na OK ~\r\n"},
		{"a SEARCH CHARSET UTF-8 SUBJECT {6+}\r\nw" O_UMLAUT "rld\r\n", "* ESEARCH (TAG \"a\") ALL 1:3\r\na OK ~\r\n"},
		{"a SEARCH SUBJECT \"w\xf6rld\"\r\n", "a BAD ~\r\n"}, {"a SEARCH CHARSET x-unknown ALL\r\n", "a NO [BADCHARSET ~\r\n"},
		{"a SEARCH SMALLER 4294967296\r\n", "* ESEARCH (TAG \"a\") ALL 1:3\r\na OK ~\r\n"}, {"a SEARCH LARGER 9223372036854775807\r\n", "* ESEARCH (TAG \"a\")\r\na OK ~\r\n"},
		{"a SEARCH RETURN (SAVE) FLAGGED\r\n", "a OK ~\r\n"}, {"a FETCH $ FLAGS\r\n", "* 1 FETCH ~\r\n* 3 FETCH ~\r\na OK ~\r\n"},
		{"a SEARCH MODSEQ 1\r\n", "* OK [HIGHESTMODSEQ ~] Highest\r\n* ESEARCH (TAG \"a\") ALL 1:3 MODSEQ ~\r\na OK ~\r\n"},
		/* SORT's own answer stays what it is (RFC 5256). */
		{"a SORT (ARRIVAL) UTF-8 ALL\r\n", "* SORT 1 2 3\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "search2"), 0);
	append(&c, "INBOX", "(\\Flagged) ", PLAIN);
	append(&c, "INBOX", "", PLAIN);
	append(&c, "INBOX", "(\\Flagged) ", PLAIN);
	STEPS(&c, rev1);
	STEPS(&c, rev2);
	client_close(&c);
}

/* RFC 9051 6.3.11 */
static void
test_status(void **state)
{
	static const struct step	steps[] = {
		{"a STATUS INBOX (MESSAGES DELETED SIZE)\r\n", "* STATUS \"INBOX\" (MESSAGES 3 SIZE 495 DELETED 0)\r\na OK ~\r\n"},
		{"a SELECT INBOX\r\n", "~a OK ~\r\n"}, {"a STORE 1,3 +FLAGS.SILENT (\\Deleted)\r\n", "a OK ~\r\n"},
		{"a STATUS INBOX (DELETED UNSEEN)\r\n", "* STATUS \"INBOX\" (UNSEEN 3 DELETED 2)\r\na OK ~\r\n"},
		{"a STORE 1 -FLAGS.SILENT (\\Deleted)\r\n", "a OK ~\r\n"},
		{"a STATUS INBOX (DELETED)\r\n", "* STATUS \"INBOX\" (DELETED 1)\r\na OK ~\r\n"},
		{"a EXPUNGE\r\n", "* 3 EXPUNGE\r\na OK ~\r\n"},
		{"a STATUS INBOX (DELETED)\r\n", "* STATUS \"INBOX\" (DELETED 0)\r\na OK ~\r\n"},
		{"a LIST \"\" (INBOX Sent) RETURN (STATUS (DELETED))\r\n", "* LIST ~ \"INBOX\"\r\n* STATUS \"INBOX\" (DELETED 0)\r\n"
		    "* LIST ~ \"Sent\"\r\n* STATUS \"Sent\" (DELETED 0)\r\na OK ~\r\n"},
		{"a STATUS nope (DELETED)\r\n", "a NO [NONEXISTENT] ~\r\n"}, {"a STATUS INBOX (DELETEDX)\r\n", "a BAD ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "status2"), 0);
	for (int i = 0; i < 3; i++)
		append(&c, "INBOX", "", PLAIN);
	STEPS(&c, steps);
	client_close(&c);
}

/* Names are modified UTF-7 until IMAP4rev2 is enabled, UTF-8 in quoted strings from then on (RFC 9051 5.1, appendix A). */
static void
test_names(void **state)
{
	static const struct step	rev1[] = {
		{"a CREATE B&APY-se\r\n", "a OK ~\r\n"}, {"a CREATE \"R&-D\"\r\n", "a OK ~\r\n"},
		{"a LIST \"\" B*\r\n", "* LIST (\\HasNoChildren) \"/\" \"B&APY-se\"\r\na OK ~\r\n"},
		{"a CREATE &Jjo!\r\n", "a NO [CANNOT] ~\r\n"}, {"a CREATE \"&U,BTFw-&ZeVnLIqe-\"\r\n", "a NO [CANNOT] ~\r\n"},
		{"a CREATE \"~~peter/mail/&U,BTFw-/&ZeVnLIqe-\"\r\n", "a OK ~\r\n"},
		/* UTF-8 is understood also from who did not enable it, and answered as it can read it. */
		{"a STATUS \"B" O_UMLAUT "se\" (MESSAGES)\r\n", "* STATUS \"B&APY-se\" (MESSAGES 0)\r\na OK ~\r\n"},
		{"a LIST \"\" \"B" O_APART "*\"\r\n", "* LIST (\\HasNoChildren) \"/\" \"B&APY-se\"\r\na OK ~\r\n"},
		{"a SELECT \"B" O_APART "se\"\r\n", "* FLAGS ~\r\n* 0 EXISTS\r\n* 0 RECENT\r\n* OK [PERM~a OK ~\r\n"}, {"a UNSELECT\r\n", "a OK ~\r\n"},
	};
	static const struct step	rev2[] = {
		ENABLE,
		{"a LIST \"\" B*\r\n", "* LIST (\\HasNoChildren) \"/\" \"B" O_UMLAUT "se\"\r\na OK ~\r\n"},
		{"a LIST \"\" \"B" O_UMLAUT "%\"\r\n", "* LIST (\\HasNoChildren) \"/\" \"B" O_UMLAUT "se\"\r\na OK ~\r\n"},
		{"a LIST \"\" \"B" O_APART "%\"\r\n", "* LIST (\\HasNoChildren) \"/\" \"B" O_UMLAUT "se\"\r\na OK ~\r\n"},
		{"a LIST \"\" {4}\r\n*" O_UMLAUT "*\r\n", "+ ~\r\n* LIST (\\HasNoChildren) \"/\" \"B" O_UMLAUT "se\"\r\na OK ~\r\n"},
		{"a LIST \"\" \"*\xf6*\"\r\n", "a BAD ~\r\n"}, {"a LIST \"\" {3+}\r\n*\xf6*\r\n", "a OK ~\r\n"}, {"a LIST \"\" B&APY-se\r\n", "a OK ~\r\n"},
		{"a LIST \"\" R*\r\n", "* LIST (\\HasNoChildren) \"/\" \"R&D\"\r\na OK ~\r\n"},
		{"a LSUB \"\" S*\r\n", "* LSUB () \"/\" \"Sent\"\r\na OK ~\r\n"},
		{"a SUBSCRIBE \"B" O_UMLAUT "se\"\r\n", "a OK ~\r\n"}, {"a LSUB \"\" B*\r\n", "* LSUB () \"/\" \"B" O_UMLAUT "se\"\r\na OK ~\r\n"},
		{"a STATUS \"B" O_UMLAUT "se\" (MESSAGES)\r\n", "* STATUS \"B" O_UMLAUT "se\" (MESSAGES 0)\r\na OK ~\r\n"},
		{"a STATUS R&D (MESSAGES)\r\n", "* STATUS \"R&D\" (MESSAGES 0)\r\na OK ~\r\n"}, {"a STATUS R&-D (MESSAGES)\r\n", "a NO [NONEXISTENT] ~\r\n"},
		{"a STATUS \"B\xf6se\" (MESSAGES)\r\n", "a BAD ~\r\n"}, {"a STATUS {4+}\r\nB\xf6se (MESSAGES)\r\n", "a NO [CANNOT] ~\r\n"},
		{"a CREATE \"\xe2\x80\xa8\"\r\n", "a NO [CANNOT] ~\r\n"}, {"a CREATE \"a\xc2\x85\"\r\n", "a NO [CANNOT] ~\r\n"},
		{"a SETMETADATA \"B" O_UMLAUT "se\" (/private/comment \"x\")\r\n", "a OK ~\r\n"},
		{"a GETMETADATA \"B" O_UMLAUT "se\" /private/comment\r\n", "* METADATA \"B" O_UMLAUT "se\" (/private/comment \"x\")\r\na OK ~\r\n"},
		{"a APPEND \"B" O_UMLAUT "se\" {6+}\r\na: b\r\n\r\n", "a OK ~\r\n"},
		{"a ESEARCH IN (mailboxes \"B" O_UMLAUT "se\") ALL\r\n", "* ESEARCH (TAG \"a\" MAILBOX \"B" O_UMLAUT "se\" UIDVALIDITY ~) UID ALL ~\r\na OK ~\r\n"},
		{"a LIST (SUBSCRIBED) \"\" B* RETURN (STATUS (MESSAGES))\r\n",
		    "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"B" O_UMLAUT "se\"\r\n* STATUS \"B" O_UMLAUT "se\" (MESSAGES 1)\r\na OK ~\r\n"},
		{"a CREATE \"\xe6\x97\xa5\xe6\x9c\xac/a\\\\b\"\r\n", "a OK ~\r\n"},
		{"a LIST \"\" \"\xe6\x97\xa5%/%\"\r\n", "* LIST (\\HasNoChildren) \"/\" \"\xe6\x97\xa5\xe6\x9c\xac/a\\\\b\"\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "names2"), 0);
	STEPS(&c, rev1);
	STEPS(&c, rev2);
	client_close(&c);
	/* What one session enabled is nothing to another. */
	assert_int_equal(client_begin(&c, "names2"), 0);
	DO(c, "a LIST \"\" B*\r\n", "* LIST (\\HasNoChildren) \"/\" \"B&APY-se\"\r\na OK ~\r\n");
	DO(c, "a ESEARCH IN (mailboxes B&APY-se) ALL\r\n", "* ESEARCH (TAG \"a\" MAILBOX \"B&APY-se\" UIDVALIDITY ~) UID ALL ~\r\na OK ~\r\n");
	DO(c, "a GETMETADATA B&APY-se /private/comment\r\n", "* METADATA \"B&APY-se\" (/private/comment \"x\")\r\na OK ~\r\n");
	client_close(&c);
}

/* RFC 9051 6.3.9.7 and the commands that name it: who writes a name otherwise is told what it is. */
static void
test_oldname(void **state)
{
#define MADE	"\"b" O_UMLAUT "\" (\"OLDNAME\" (\"b" O_APART "\"))\r\n"
	static const struct step	steps[] = {
		ENABLE,
		{"a CREATE \"b" O_APART "\"\r\n", "* LIST (\\HasNoChildren) \"/\" " MADE "a OK ~\r\n"},
		{"a SELECT \"b" O_APART "\"\r\n", "* FLAGS ~\r\n* 0 EXISTS\r\n* LIST (\\HasNoChildren) \"/\" " MADE "~a OK ~\r\n"},
		{"a EXAMINE \"b" O_APART "\"\r\n", "~* LIST (\\HasNoChildren) \"/\" " MADE "~a OK ~\r\n"},
		{"a SELECT \"b" O_UMLAUT "\"\r\n", "~* LIST (\\HasNoChildren) \"/\" \"b" O_UMLAUT "\"\r\n~a OK ~\r\n"}, {"a UNSELECT\r\n", "a OK ~\r\n"},
		{"a APPEND \"b" O_APART "\" {6+}\r\na: b\r\n\r\n", "* LIST (\\HasNoChildren) \"/\" " MADE "a OK [APPENDUID ~\r\n"},
		{"a APPEND \"b" O_UMLAUT "\" {6+}\r\na: b\r\n\r\n", "a OK [APPENDUID ~\r\n"},
		{"a RENAME \"b" O_APART "\" \"c" O_APART "\"\r\n", "* LIST (\\HasNoChildren) \"/\" \"c" O_UMLAUT "\" (\"OLDNAME\" (\"b" O_APART "\"))\r\na OK ~\r\n"},
		{"a RENAME \"c" O_UMLAUT "\" \"d" O_APART "\"\r\n", "* LIST (\\HasNoChildren) \"/\" \"d" O_UMLAUT "\" (\"OLDNAME\" (\"c" O_UMLAUT "\"))\r\na OK ~\r\n"},
		{"a RENAME \"d" O_UMLAUT "\" \"b" O_UMLAUT "\"\r\n", "a OK ~\r\n"},
		{"a DELETE \"b" O_APART "\"\r\n", "* LIST (\\NonExistent) \"/\" " MADE "a OK ~\r\n"},
		{"a CREATE \"b" O_UMLAUT "/\"\r\n", "a OK ~\r\n"}, {"a DELETE \"b" O_UMLAUT "\"\r\n", "a OK ~\r\n"},
		/* The first component alone is INBOX in any case. */
		{"a SELECT iNbOx\r\n", "~* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"\r\n~a OK ~\r\n"},
		{"a CREATE inbox/x\r\n", "* LIST (\\HasNoChildren) \"/\" \"INBOX/x\" (\"OLDNAME\" (\"inbox/x\"))\r\na OK ~\r\n"},
	};
	static const struct step	rev1[] = {
		{"a CREATE \"b" O_APART "\"\r\n", "a OK ~\r\n"}, {"a SELECT \"b" O_APART "\"\r\n", "* FLAGS ~\r\n* 0 EXISTS\r\n* 0 RECENT\r\n* OK ~a OK ~\r\n"},
		{"a APPEND \"b" O_APART "\" {6+}\r\na: b\r\n\r\n", "* 1 EXISTS\r\n* 1 RECENT\r\na OK ~\r\n"},
		{"a RENAME \"b" O_APART "\" \"c" O_APART "\"\r\n", "a OK ~\r\n"}, {"a UNSELECT\r\n", "a OK ~\r\n"}, {"a DELETE \"c" O_APART "\"\r\n", "a OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "oldname"), 0);
	STEPS(&c, steps);
	client_close(&c);
	assert_int_equal(client_begin(&c, "oldname1"), 0);
	STEPS(&c, rev1);
	client_close(&c);
}

/* Sizes and offsets of 63 bits (appendix D and E, 1), TRYCREATE and COPYUID (E, 7 and 8), keywords (E, 15). */
static void
test_rest(void **state)
{
	static const struct step	steps[] = {
		ENABLE, {"a SELECT INBOX\r\n", "~a OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[]<4294967296.1>\r\n", "* 1 FETCH (BODY[]<4294967296> {0}\r\n)\r\na OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[]<154.9223372036854775807>\r\n", "* 1 FETCH (BODY[]<154> {11}\r\nello Bob.\r\n)\r\na OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[]<9223372036854775808.1>\r\n", "a BAD ~\r\n"},
		{"a FETCH 1 (BINARY.PEEK[1]<9223372036854775807.9223372036854775807> BINARY.SIZE[1])\r\n", "* 1 FETCH (BINARY[1]<9223372036854775807> {0}\r\n BINARY.SIZE[1] 12)\r\na OK ~\r\n"},
		{"a COPY 1 nope\r\n", "a NO [TRYCREATE] ~\r\n"}, {"a MOVE 1 nope\r\n", "a NO [TRYCREATE] ~\r\n"},
		{"a STORE 1 +FLAGS ($Forwarded $MDNSent $Junk $NotJunk $Phishing)\r\n",
		    "* FLAGS ~\r\n* 1 FETCH (UID ~ FLAGS ($Forwarded $MDNSent $Junk $NotJunk $Phishing))\r\na OK ~\r\n"},
		{"a SEARCH KEYWORD $Phishing\r\n", "* ESEARCH (TAG \"a\") ALL 1\r\na OK ~\r\n"},
		{"a MOVE 1 Sent\r\n", "* OK [COPYUID ~] Moved\r\n* 1 EXPUNGE\r\na OK ~\r\n"},
		{"a UNSELECT\r\n", "a OK ~\r\n"}, {"a UNSELECT\r\n", "a BAD ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "rest"), 0);
	append(&c, "INBOX", "", PLAIN);
	STEPS(&c, steps);
	client_close(&c);
}

/* A pattern as long as a name can be on the wire, and one byte more, which matches nothing. */
static void
test_pattern_limit(void **state)
{
	struct buf	b = buf_make(2 * 4096);
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "pattern"), 0);
	for (int rev2 = 0; rev2 < 2; rev2++) {
		for (int n = 4096; n <= 4097; n++) {
			buf_clear(&b);
			(void)buf_add_str(&b, "a LIST \"\" I");
			for (int i = 1; i < n; i++)
				(void)buf_add_str(&b, "*");
			(void)buf_add_str(&b, "\r\n");
			client_send(&c, buf_slice(&b), 0, 0);
			got_check("pattern", "LIST", &c, n == 4096 ? "* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\na OK ~\r\n" : "a OK ~\r\n");
		}
		DO(c, "e ENABLE IMAP4rev2\r\n", "* ENABLED~e OK ~\r\n");
	}
	buf_free(&b);
	client_close(&c);
}

/* RFC 9051 7.5.2 and 9, media-message: from the cache and not, whoever asked first. */
static void
test_global(void **state)
{
#define GLOBAL	"Content-Type: message/global\r\n\r\nSubject: K\xc3\xa4se\r\n\r\nx\r\n"
	static const struct step	rev1[] = {
		{"a SELECT INBOX\r\n", "~a OK ~\r\n"},
		{"a FETCH 1 BODY\r\n", "* 1 FETCH (BODY (\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 21))\r\na OK ~\r\n"},
		{"a FETCH 1:2 BODYSTRUCTURE\r\n", "* 1 FETCH (BODYSTRUCTURE (\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 21 NIL NIL NIL NIL))\r\n* 2 ~\r\na OK ~\r\n"},
		{"a UNSELECT\r\n", "a OK ~\r\n"},
	};
	static const struct step	rev2[] = {
		ENABLE, {"a SELECT INBOX\r\n", "~a OK ~\r\n"},
		{"a FETCH 1 BODY\r\n", "* 1 FETCH (BODY (\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 21 (NIL {5}\r\nK\xc3\xa4se NIL NIL NIL NIL NIL NIL NIL NIL) "
		    "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3 1) 3))\r\na OK ~\r\n"},
		{"a FETCH 1:2 BODYSTRUCTURE\r\n", "* 1 FETCH (BODYSTRUCTURE (\"MESSAGE\" \"GLOBAL\" ~ (NIL {5}~)\r\n* 2 FETCH (BODYSTRUCTURE (\"TEXT\" ~\r\na OK ~\r\n"},
		{"a FETCH 1 (BODY.PEEK[1.1] BODY.PEEK[1.HEADER] BINARY.SIZE[1])\r\n",
		    "* 1 FETCH (BODY[1.1] {3}\r\nx\r\n BODY[1.HEADER] {18}\r\nSubject: K\xc3\xa4se\r\n\r\n BINARY.SIZE[1] 21)\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	for (int first = 1; first <= 2; first++) {
		assert_int_equal(client_begin(&c, first == 1 ? "global1" : "global2"), 0);
		append(&c, "INBOX", "", GLOBAL);
		append(&c, "INBOX", "", PLAIN);
		if (first == 1)
			STEPS(&c, rev1);
		STEPS(&c, rev2);
		client_close(&c);
		assert_int_equal(client_begin(&c, first == 1 ? "global1" : "global2"), 0);
		STEPS(&c, rev1);
		client_close(&c);
	}
}

/* The tree of names tells whether something is below, also where names are longer than what the index keeps of them. */
static void
test_children(void **state)
{
	char		name[4][520], send[600], want[600];
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "children"), 0);
	DO(c, "e ENABLE IMAP4rev2\r\n", "~e OK ~\r\n");
	/* Both beyond the first 440 bytes alike; one of them gets a child. */
	for (int i = 0; i < 3; i++) {
		memset(name[i], 'x', 499);
		name[i][249] = '/';
		name[i][499] = '\0';
		name[i][498] = (char)('a' + i);
	}
	(void)snprintf(name[3], sizeof(name[3]), "%.499s/y", name[1]);
	for (int i = 0; i < 4; i++) {
		(void)snprintf(send, sizeof(send), "a CREATE %.510s\r\n", name[i]);
		client_send(&c, slice_of(send), 0, 0);
		got_check("children", send, &c, "a OK ~\r\n");
	}
	for (int i = 0; i < 4; i++) {
		(void)snprintf(send, sizeof(send), "a SELECT %.510s\r\n", name[i]);
		(void)snprintf(want, sizeof(want), "~* LIST (%s) \"/\" \"%.510s\"\r\n~a OK ~\r\n", i == 1 ? "\\HasChildren" : "\\HasNoChildren", name[i]);
		client_send(&c, slice_of(send), 0, 0);
		got_check("children", send, &c, want);
	}
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_enable), cmocka_unit_test(test_select), cmocka_unit_test(test_recent), cmocka_unit_test(test_unasked),
		cmocka_unit_test(test_search), cmocka_unit_test(test_status), cmocka_unit_test(test_names), cmocka_unit_test(test_oldname),
		cmocka_unit_test(test_rest), cmocka_unit_test(test_pattern_limit), cmocka_unit_test(test_global), cmocka_unit_test(test_children),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
