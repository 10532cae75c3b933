/*
 * IMAP by transcripts: what a client sends and what it must get, through imap_run on a real spool in a
 * temporary directory, parked after each step. In what is wanted, '~' stands for any run of bytes.
 */
#include <fcntl.h>
#include <glob.h>
#include <sys/file.h>

#include "imap/command.h"
#include "imap/told.h"
#include "imap_transcript.h"

static void
test_any_state(void **state)
{
	static const struct step	steps[] = {
		{"a CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 LITERAL+ ~\r\na OK CAPABILITY completed\r\n"},
		{"a NOOP\r\n", "a OK Completed\r\n"}, {"a noop x\r\n", "a BAD ~\r\n"},
		{"a NAMESPACE\r\n", "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\na OK ~\r\n"},
		{"a ID NIL\r\n", "* ID (\"name\" \"twinspool\" ~)\r\na OK ~\r\n"},
		{"a ID (\"name\" \"x\" \"version\" NIL)\r\n", "* ID ~\r\na OK ~\r\n"}, {"a ID (\"name\")\r\n", "a BAD ~\r\n"},
		{"a ENABLE X-NONE\r\n", "* ENABLED\r\na OK ~\r\n"}, {"a ENABLE\r\n", "a BAD ~\r\n"},
		{"a LOGIN x y\r\n", "a BAD ~\r\n"}, {"a STARTTLS\r\n", "a BAD ~\r\n"}, {"a AUTHENTICATE PLAIN\r\n", "a BAD ~\r\n"},
		{"a FOO\r\n", "a BAD Unknown command\r\n"}, {"a UID NOOP\r\n", "a BAD Unknown command\r\n"},
		{"\r\n", "* BAD ~\r\n"}, {" NOOP\r\n", "* BAD ~\r\n"}, {"+ NOOP\r\n", "* BAD ~\r\n"}, {"a\r\n", "* BAD ~\r\n"},
		{"a FETCH 1 FLAGS\r\n", "a BAD No mailbox is selected\r\n"}, {"a CLOSE\r\n", "a BAD No mailbox is selected\r\n"},
		{"a NOOP\r\nb NOOP\r\nc NOOP\r\n", "a OK Completed\r\nb OK Completed\r\nc OK Completed\r\n"},
		{"a LOGOUT\r\n", "* BYE Logging out\r\na OK LOGOUT completed\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "any"), 0);
	STEPS(&c, steps);
	assert_false(c.is_open);
	assert_string_equal(c.end_why, "logout");
	client_close(&c);
}

static void
test_capability_number(void **state)
{
	char	want[64];

	(void)state;
	(void)snprintf(want, sizeof(want), " APPENDLIMIT=%llu", (unsigned long long)IMAP_APPEND_MAX_BYTES);
	assert_non_null(strstr(imap_capabilities, want));
}

static void
test_mailboxes(void **state)
{
	static const struct step	steps[] = {
		{"a LIST \"\" \"\"\r\n", "* LIST (\\Noselect) \"/\" \"\"\r\na OK ~\r\n"},
		{"a LIST \"\" *\r\n", "* LIST (\\HasNoChildren \\Archive) \"/\" \"Archive\"\r\n"
		    "* LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"\r\n* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\n"
		    "* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"\r\n* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"\r\n"
		    "* LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"\r\na OK ~\r\n"},
		{"a LIST \"\" inb%\r\n", "* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\na OK ~\r\n"},
		{"a CREATE work/2026/\r\n", "a OK ~\r\n"}, {"a CREATE work/2026\r\n", "a NO [ALREADYEXISTS] ~\r\n"},
		{"a CREATE INBOX\r\n", "a NO [ALREADYEXISTS] ~\r\n"}, {"a CREATE inbox/sub\r\n", "a OK ~\r\n"},
		{"a CREATE ../../etc\r\n", "a NO [CANNOT] ~\r\n"}, {"a CREATE \"/etc/passwd\"\r\n", "a NO [CANNOT] ~\r\n"},
		{"a CREATE \"a//b\"\r\n", "a NO [CANNOT] ~\r\n"}, {"a CREATE \"a*\"\r\n", "a NO [CANNOT] ~\r\n"},
		{"a CREATE \"a&AC8-b\"\r\n", "a NO [CANNOT] ~\r\n"}, {"a CREATE {3}\r\na\tb\r\n", "+ Go on\r\na NO [CANNOT] ~\r\n"},
		{"a CREATE\r\n", "a BAD ~\r\n"}, {"a CREATE x y\r\n", "a BAD ~\r\n"},
		{"a CREATE &ZeVnLIqe-\r\n", "a OK ~\r\n"}, {"a LIST \"\" &ZeVnLIqe-\r\n", "* LIST (\\HasNoChildren) \"/\" \"&ZeVnLIqe-\"\r\na OK ~\r\n"},
		{"a DELETE &ZeVnLIqe-\r\n", "a OK ~\r\n"},
		{"a CREATE Post (USE (\\Sent))\r\n", "a OK ~\r\n"}, {"a CREATE All (USE (\\All))\r\n", "a NO [USEATTR] ~\r\n"},
		{"a CREATE Two (USE (\\Sent \\Junk))\r\n", "a NO [USEATTR] ~\r\n"}, {"a CREATE N (USE ())\r\n", "a OK ~\r\n"},
		{"a CREATE M (FOO x)\r\n", "a BAD ~\r\n"}, {"a LIST (SPECIAL-USE) \"\" P%\r\n", "* LIST (\\HasNoChildren \\Sent) \"/\" \"Post\"\r\na OK ~\r\n"},
		{"a LIST \"\" w%\r\n", "* LIST (\\Noselect \\HasChildren) \"/\" \"work\"\r\na OK ~\r\n"},
		{"a LIST \"\" w*\r\n", "* LIST (\\Noselect \\HasChildren) \"/\" \"work\"\r\n* LIST (\\HasNoChildren) \"/\" \"work/2026\"\r\na OK ~\r\n"},
		{"a LIST work/ %\r\n", "* LIST (\\HasNoChildren) \"/\" \"work/2026\"\r\na OK ~\r\n"},
		{"a LIST \"\" iNbOx/%\r\n", "* LIST (\\HasNoChildren) \"/\" \"INBOX/sub\"\r\na OK ~\r\n"},
		{"a LIST \"\" INBOX\r\n", "* LIST (\\HasChildren) \"/\" \"INBOX\"\r\na OK ~\r\n"},
		{"a SELECT work\r\n", "a NO [NONEXISTENT] ~\r\n"},
		{"a DELETE INBOX\r\n", "a NO [CANNOT] ~\r\n"}, {"a DELETE nope\r\n", "a NO [NONEXISTENT] ~\r\n"},
		{"a CREATE work\r\n", "a OK ~\r\n"}, {"a DELETE work\r\n", "a OK ~\r\n"},
		{"a LIST \"\" work\r\n", "* LIST (\\Noselect \\HasChildren) \"/\" \"work\"\r\na OK ~\r\n"},
		{"a RENAME work/2026 old/2026\r\n", "a OK ~\r\n"}, {"a LIST \"\" w*\r\n", "a OK ~\r\n"},
		{"a RENAME old/2026 Sent\r\n", "a NO [ALREADYEXISTS] ~\r\n"}, {"a RENAME nope nope2\r\n", "a NO [NONEXISTENT] ~\r\n"},
		{"a RENAME old/2026 INBOX\r\n", "a NO [ALREADYEXISTS] ~\r\n"}, {"a RENAME Post Post/below\r\n", "a NO [CANNOT] ~\r\n"},
		{"a CREATE old\r\n", "a OK ~\r\n"}, {"a RENAME old new\r\n", "a OK ~\r\n"},
		{"a LIST \"\" new*\r\n", "* LIST (\\HasChildren) \"/\" \"new\"\r\n* LIST (\\HasNoChildren) \"/\" \"new/2026\"\r\na OK ~\r\n"},
		{"a LOGOUT\r\n", "* BYE ~a OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "mailboxes"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_subscriptions(void **state)
{
	static const struct step	steps[] = {
		{"a LSUB \"\" *\r\n", "* LSUB () \"/\" \"Archive\"\r\n* LSUB () \"/\" \"Drafts\"\r\n* LSUB () \"/\" \"INBOX\"\r\n"
		    "* LSUB () \"/\" \"Junk\"\r\n* LSUB () \"/\" \"Sent\"\r\n* LSUB () \"/\" \"Trash\"\r\na OK ~\r\n"},
		{"a UNSUBSCRIBE Archive\r\n", "a OK ~\r\n"}, {"a UNSUBSCRIBE Drafts\r\n", "a OK ~\r\n"}, {"a UNSUBSCRIBE Junk\r\n", "a OK ~\r\n"},
		{"a UNSUBSCRIBE Sent\r\n", "a OK ~\r\n"}, {"a UNSUBSCRIBE Trash\r\n", "a OK ~\r\n"}, {"a UNSUBSCRIBE INBOX\r\n", "a OK ~\r\n"},
		{"a LSUB \"\" *\r\n", "a OK ~\r\n"}, {"a SUBSCRIBE ../x\r\n", "a NO [CANNOT] ~\r\n"}, {"a SUBSCRIBE\r\n", "a BAD ~\r\n"},
		/* The hierarchy of RFC 5258 5, example 9. */
		{"a CREATE foo2\r\n", "a OK ~\r\n"}, {"a CREATE foo2/bar1\r\n", "a OK ~\r\n"}, {"a CREATE foo2/bar2\r\n", "a OK ~\r\n"},
		{"a CREATE baz2\r\n", "a OK ~\r\n"}, {"a CREATE baz2/bar2\r\n", "a OK ~\r\n"}, {"a CREATE baz2/bar22\r\n", "a OK ~\r\n"},
		{"a CREATE baz2/bar222\r\n", "a OK ~\r\n"}, {"a CREATE eps2\r\n", "a OK ~\r\n"}, {"a CREATE eps2/mamba\r\n", "a OK ~\r\n"},
		{"a CREATE qux2/bar2\r\n", "a OK ~\r\n"},
		{"a SUBSCRIBE foo2/bar1\r\na SUBSCRIBE foo2/bar2\r\na SUBSCRIBE baz2/bar2\r\na SUBSCRIBE baz2/bar22\r\n"
		    "a SUBSCRIBE baz2/bar222\r\na SUBSCRIBE eps2\r\na SUBSCRIBE eps2/mamba\r\na SUBSCRIBE qux2/bar2\r\n", "a OK ~\r\n"},
		{"D03 LIST (RECURSIVEMATCH SUBSCRIBED) \"\" \"*2\"\r\n",
		    "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"baz2/bar2\"\r\n* LIST (\\HasNoChildren \\Subscribed) \"/\" \"baz2/bar22\"\r\n"
		    "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"baz2/bar222\"\r\n"
		    "* LIST (\\HasChildren \\Subscribed) \"/\" \"eps2\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
		    "* LIST (\\HasChildren) \"/\" \"foo2\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
		    "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"foo2/bar2\"\r\n* LIST (\\HasNoChildren \\Subscribed) \"/\" \"qux2/bar2\"\r\nD03 OK ~\r\n"},
		{"a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" q%\r\n",
		    "* LIST (\\NonExistent \\HasChildren) \"/\" \"qux2\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\na OK ~\r\n"},
		{"a LIST (SUBSCRIBED) \"\" %\r\n", "* LIST (\\HasChildren \\Subscribed) \"/\" \"eps2\"\r\na OK ~\r\n"},
		{"a LSUB \"\" %\r\n", "* LSUB (\\Noselect) \"/\" \"baz2\"\r\n* LSUB () \"/\" \"eps2\"\r\n"
		    "* LSUB (\\Noselect) \"/\" \"foo2\"\r\n* LSUB (\\Noselect) \"/\" \"qux2\"\r\na OK ~\r\n"},
		{"a LSUB foo2/ %\r\n", "* LSUB () \"/\" \"foo2/bar1\"\r\n* LSUB () \"/\" \"foo2/bar2\"\r\na OK ~\r\n"},
		/* A name may be subscribed to that no mailbox has. */
		{"a SUBSCRIBE Fruit/Peach\r\n", "a OK ~\r\n"},
		{"a LIST (SUBSCRIBED) \"\" F*\r\n", "* LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"Fruit/Peach\"\r\na OK ~\r\n"},
		{"a LIST \"\" F* RETURN (SUBSCRIBED)\r\n", "a OK ~\r\n"},
		{"a LIST \"\" eps2 RETURN (SUBSCRIBED CHILDREN STATUS (MESSAGES UIDNEXT))\r\n",
		    "* LIST (\\HasChildren \\Subscribed) \"/\" \"eps2\"\r\n* STATUS \"eps2\" (MESSAGES 0 UIDNEXT ~)\r\na OK ~\r\n"},
		{"a LIST \"\" (eps2 \"\" foo2) RETURN ()\r\n", "* LIST (\\HasChildren) \"/\" \"eps2\"\r\n* LIST (\\HasChildren) \"/\" \"foo2\"\r\na OK ~\r\n"},
		{"a LIST () \"\" \"\"\r\n", "a OK ~\r\n"}, {"a LIST (FOO) \"\" *\r\n", "a BAD ~\r\n"},
		{"a LIST (RECURSIVEMATCH) \"\" *\r\n", "a BAD ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "subscriptions"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_select(void **state)
{
	static const struct step	empty[] = {
		{"a SELECT INBOX\r\n", "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n* 0 EXISTS\r\n* 0 RECENT\r\n"
		    "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] ~\r\n* OK [UIDVALIDITY ~] ~\r\n"
		    "* OK [UIDNEXT ~] ~\r\na OK [READ-WRITE] ~\r\n"},
		{"a FETCH 1 FLAGS\r\n", "a BAD ~\r\n"}, {"a FETCH 1:* FLAGS\r\na FETCH * FLAGS\r\n", "a OK ~a OK ~\r\n"}, {"a UID FETCH 1:* FLAGS\r\n", "a OK ~\r\n"},
		{"a SEARCH ALL\r\n", "* SEARCH\r\na OK ~\r\n"}, {"a SEARCH 1:*\r\n", "* SEARCH\r\na OK ~\r\n"},
		{"a UID SEARCH UID 1:*\r\n", "* SEARCH\r\na OK ~\r\n"}, {"a EXPUNGE\r\n", "a OK ~\r\n"},
		{"a UID COPY 1:* Sent\r\n", "a OK ~no message~\r\n"}, {"a UID MOVE 1 Sent\r\n", "a OK ~no message~\r\n"}, {"a CHECK\r\n", "a OK ~\r\n"},
		{"a SELECT INBOX (FOO)\r\n", "a BAD ~\r\n"}, {"a CLOSE\r\n", "a OK ~\r\n"}, {"a CLOSE\r\n", "a BAD ~\r\n"},
	};
	static const struct step	full[] = {
		{"a EXAMINE \"inbox\"\r\n", "* FLAGS ~\r\n* 2 EXISTS\r\n* 2 RECENT\r\n* OK [UNSEEN 2] ~\r\n* OK [PERMANENTFLAGS ()] ~\r\n~a OK [READ-ONLY] ~\r\n"},
		{"a STORE 1 +FLAGS (\\Deleted)\r\n", "a NO ~\r\n"}, {"a EXPUNGE\r\n", "a NO ~\r\n"}, {"a MOVE 1 Sent\r\n", "a NO ~\r\n"},
		{"a FETCH 2 BODY[TEXT]\r\n", "* 2 FETCH (BODY[TEXT] {12}\r\nHello Bob.\r\n)\r\na OK ~\r\n"},
		{"a FETCH 1:2 FLAGS\r\n", "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\n* 2 FETCH (FLAGS (\\Recent))\r\na OK ~\r\n"},
		{"a STATUS INBOX (MESSAGES RECENT UNSEEN)\r\n", "* STATUS \"INBOX\" (MESSAGES 2 RECENT 2 UNSEEN 1)\r\na OK ~\r\n"},
		{"a SELECT INBOX\r\n", "~* 2 EXISTS\r\n* 2 RECENT\r\n~a OK [READ-WRITE] ~\r\n"},
		{"a SELECT INBOX\r\n", "~* 2 EXISTS\r\n* 0 RECENT\r\n~a OK [READ-WRITE] ~\r\n"},
		{"a SELECT nope\r\n", "* OK [CLOSED] ~a NO [NONEXISTENT] ~\r\n"}, {"a FETCH 1 FLAGS\r\n", "a BAD No mailbox is selected\r\n"},
		{"a STATUS INBOX (SIZE APPENDLIMIT)\r\n", "* STATUS \"INBOX\" (SIZE 330 APPENDLIMIT 104857600)\r\na OK ~\r\n"},
		{"a STATUS nope (MESSAGES)\r\n", "a NO [NONEXISTENT] ~\r\n"}, {"a STATUS INBOX ()\r\n", "a BAD ~\r\n"}, {"a STATUS INBOX (FOO)\r\n", "a BAD ~\r\n"},
		{"a SELECT INBOX\r\na UNSELECT\r\n", "~a OK [READ-WRITE] ~\r\na OK UNSELECT completed\r\n"},
		{"a CREATE gone\r\na SELECT gone\r\na DELETE gone\r\na FETCH 1 FLAGS\r\na NOOP\r\n",
		    "a OK ~a OK [READ-WRITE] ~* OK [CLOSED] ~\r\na OK DELETE completed\r\na BAD ~\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "select"), 0);
	STEPS(&c, empty);
	append(&c, "INBOX", "(\\Seen) ", PLAIN);
	append(&c, "INBOX", "", PLAIN);
	STEPS(&c, full);
	client_close(&c);
}

static void
test_fetch(void **state)
{
	static const struct step	steps[] = {
		{"a SELECT INBOX\r\n", "~a OK [READ-WRITE] ~\r\n"},
		{"a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE UID)\r\n",
		    "* 1 FETCH (FLAGS (\\Flagged \\Recent) INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE " PLAIN_N " UID ~)\r\na OK ~\r\n"},
		{"a FETCH 1 ENVELOPE\r\n", "* 1 FETCH (ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700\" \"hello =?utf-8?q?w=C3=B6rld?=\" "
		    "((\"Ann\" NIL \"ann\" \"a.example\")) ((\"Ann\" NIL \"ann\" \"a.example\")) ((\"Ann\" NIL \"ann\" \"a.example\")) "
		    "((NIL NIL \"bob\" \"b.example\")) NIL NIL NIL \"<1@a.example>\"))\r\na OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[]\r\n", "* 1 FETCH (BODY[] {" PLAIN_N "}\r\n" PLAIN ")\r\na OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[]<0.10>\r\n", "* 1 FETCH (BODY[]<0> {10}\r\nFrom: Ann )\r\na OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[]<154.4294967295>\r\n", "* 1 FETCH (BODY[]<154> {11}\r\nello Bob.\r\n)\r\na OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[]<4294967295.1>\r\n", "* 1 FETCH (BODY[]<4294967295> {0}\r\n)\r\na OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[HEADER.FIELDS (subject \"X-None\")]\r\n",
		    "* 1 FETCH (BODY[HEADER.FIELDS (subject X-None)] {~}\r\nSubject: hello =?utf-8?q?w=C3=B6rld?=\r\n\r\n)\r\na OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (From To Subject Date)]\r\n",
		    "* 1 FETCH (BODY[HEADER.FIELDS.NOT (From To Subject Date)] {~}\r\nMessage-Id: <1@a.example>\r\n\r\n)\r\na OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[1]\r\n", "* 1 FETCH (BODY[1] {12}\r\nHello Bob.\r\n)\r\na OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[2]\r\n", "* 1 FETCH (BODY[2] NIL)\r\na OK ~\r\n"},
		{"a FETCH 1 RFC822.HEADER\r\n", "* 1 FETCH (RFC822.HEADER {153}\r\nFrom: Ann ~\r\n\r\n)\r\na OK ~\r\n"},
		{"a FETCH 1 FLAGS\r\n", "* 1 FETCH (FLAGS (\\Flagged \\Recent))\r\na OK ~\r\n"},
		{"a FETCH 1 RFC822.TEXT\r\n", "* 1 FETCH (RFC822.TEXT {12}\r\nHello Bob.\r\n FLAGS (\\Flagged \\Seen \\Recent))\r\na OK ~\r\n"},
		{"a FETCH 1 (BODY[1] FLAGS)\r\n", "* 1 FETCH (BODY[1] {12}\r\nHello Bob.\r\n FLAGS (\\Flagged \\Seen \\Recent))\r\na OK ~\r\n"},
		{"a FETCH 2 BODYSTRUCTURE\r\n", "* 2 FETCH (BODYSTRUCTURE ((\"TEXT\" \"PLAIN\" ~)(\"MESSAGE\" \"RFC822\" ~) \"MIXED\" (\"BOUNDARY\" \"XX\") ~))\r\na OK ~\r\n"},
		{"a FETCH 2 BODY\r\n", "* 2 FETCH (BODY (~ \"MIXED\"))\r\na OK ~\r\n"},
		{"a FETCH 2 (BODY.PEEK[1] BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT] BODY.PEEK[2.MIME] BODY.PEEK[2.1] BODY.PEEK[1.HEADER] BODY.PEEK[3])\r\n",
		    "* 2 FETCH (BODY[1] {10}\r\nfirst part BODY[2.HEADER] {18}\r\nSubject: inner\r\n\r\n BODY[2.TEXT] {10}\r\ninner body "
		    "BODY[2.MIME] {32}\r\nContent-Type: message/rfc822\r\n\r\n BODY[2.1] {10}\r\ninner body BODY[1.HEADER] NIL BODY[3] NIL)\r\na OK ~\r\n"},
		{"a FETCH 2 BODY.PEEK[2.HEADER.FIELDS (Subject)]<0.7>\r\n", "* 2 FETCH (BODY[2.HEADER.FIELDS (Subject)]<0> {7}\r\nSubject)\r\na OK ~\r\n"},
		{"a UID FETCH 1:* FLAGS\r\n", "* 1 FETCH (UID ~ FLAGS (\\Flagged \\Seen \\Recent))\r\n* 2 FETCH (UID ~ FLAGS (\\Recent))\r\na OK ~\r\n"},
		{"a UID FETCH 4294967295:* (FLAGS)\r\n", "* 2 FETCH (UID ~ FLAGS ~)\r\na OK ~\r\n"},
		{"a UID FETCH 4294967295 FLAGS\r\n", "a OK ~\r\n"}, {"a FETCH 3 FLAGS\r\n", "a BAD ~\r\n"}, {"a FETCH 1:3 FLAGS\r\n", "a BAD ~\r\n"},
		{"a FETCH 2,1 RFC822.SIZE\r\n", "* 1 FETCH (RFC822.SIZE ~)\r\n* 2 FETCH (RFC822.SIZE ~)\r\na OK ~\r\n"},
		{"a FETCH *:1 RFC822.SIZE\r\n", "* 1 FETCH (RFC822.SIZE ~)\r\n* 2 FETCH (RFC822.SIZE ~)\r\na OK ~\r\n"},
		{"a FETCH 1 FAST\r\n", "* 1 FETCH (FLAGS ~ INTERNALDATE ~ RFC822.SIZE ~)\r\na OK ~\r\n"},
		{"a FETCH 1 FULL\r\n", "* 1 FETCH (FLAGS ~ INTERNALDATE ~ RFC822.SIZE ~ ENVELOPE ~ BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 12 1))\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "fetch"), 0);
	append(&c, "INBOX", "(\\Flagged) \"17-Jul-1996 02:44:25 -0700\" ", PLAIN);
	append(&c, "INBOX", "", MIXED);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_search(void **state)
{
	static const struct { const char *keys, *want; } rows[] = {
		{"ALL", " 1 2 3"}, {"1:2", " 1 2"}, {"*", " 3"}, {"7", ""}, {"SEEN", " 1"}, {"UNSEEN", " 2 3"}, {"NOT SEEN", " 2 3"},
		{"DELETED", " 3"}, {"FLAGGED ANSWERED", ""}, {"DRAFT", " 2"}, {"KEYWORD $Junk", " 2"}, {"UNKEYWORD $junk", " 1 3"},
		{"KEYWORD nobody", ""}, {"UNKEYWORD nobody", " 1 2 3"}, {"NEW", " 2 3"}, {"OLD", ""}, {"RECENT", " 1 2 3"},
		{"FROM ann", " 1 2"}, {"FROM \"ANN@A\"", " 1 2"}, {"TO bob", " 1"}, {"CC x", ""}, {"BCC x", ""}, {"SUBJECT \"two parts\"", " 2"},
		{"CHARSET UTF-8 SUBJECT {6+}\r\nW\xc3\x96RLD", " 1"}, {"SUBJECT \"w\xc3\xb6rld\"", " 1"},
		{"CHARSET ISO-8859-1 SUBJECT {5+}\r\nw\xf6rld", " 1"}, {"BODY \"inner BODY\"", " 2"}, {"BODY subject", " 2"}, {"TEXT inner", " 2"},
		{"TEXT \"two parts\"", " 2"}, {"HEADER Message-Id \"\"", " 1"}, {"HEADER message-id 1@A", " 1"}, {"HEADER X-Twice second", " 3"},
		{"LARGER 164", " 1 2"}, {"SMALLER 165", " 3"}, {"LARGER 4294967295", ""},
		{"BEFORE 18-Jul-1996", " 1"}, {"ON 17-Jul-1996", " 1"}, {"SINCE 18-Jul-1996", " 2 3"},
		{"SENTON 17-Jul-1996", " 1"}, {"SENTBEFORE 17-Jul-1996", ""}, {"SENTSINCE 17-Jul-1996", " 1"},
		{"OR SEEN DELETED", " 1 3"}, {"OR (SEEN FROM zz) (NOT FROM ann)", " 3"}, {"NOT (NOT SEEN)", " 1"}, {"UID 4294967295", ""},
		{"UNDELETED TEXT parts 1:*", " 2"},
	};
	static const struct step	bad[] = {
		{"a SEARCH CHARSET x-unknown ALL\r\n", "a NO [BADCHARSET (~)] ~\r\n"}, {"a SEARCH\r\n", "a BAD ~\r\n"},
		{"a SEARCH FOO\r\n", "a BAD ~\r\n"}, {"a SEARCH CHARSET UTF-8 SUBJECT {1+}\r\n\xff\r\n", "a NO [BADCHARSET ~\r\n"},
		{"a UID SEARCH UID 4294967295:*\r\n", "* SEARCH ~\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "search"), 0);
	append(&c, "INBOX", "(\\Seen) \"17-Jul-1996 02:44:25 -0700\" ", PLAIN);
	append(&c, "INBOX", "(\\Draft $Junk) ", MIXED);
	append(&c, "INBOX", "(\\Deleted) ", "X-Twice: first\r\nX-Twice: second\r\n\r\nx\r\n");
	client_send(&c, SLICE("s SELECT INBOX\r\n"), 0, 0);
	got_check("search", "SELECT", &c, "~s OK ~\r\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char	send[256], want[256];

		(void)snprintf(send, sizeof(send), "a SEARCH %s\r\n", rows[i].keys);
		(void)snprintf(want, sizeof(want), "* SEARCH%s\r\na OK SEARCH completed\r\n", rows[i].want);
		client_send(&c, slice_of(send), 0, 0);
		got_check("search", send, &c, want);
	}
	STEPS(&c, bad);
	client_close(&c);
}

static void
test_store(void **state)
{
	static const struct step	steps[] = {
		{"a SELECT INBOX\r\n", "~a OK ~\r\n"},
		{"a STORE 1 +FLAGS (\\Seen)\r\n", "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\na OK ~\r\n"},
		{"a STORE 1 +FLAGS (\\Seen)\r\n", "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\na OK ~\r\n"},
		{"a STORE 1:2 FLAGS.SILENT (\\Flagged $Junk)\r\n", "a OK ~\r\n"},
		{"a FETCH 1:2 FLAGS\r\n", "* FLAGS (~ $Junk)\r\n* 1 FETCH (FLAGS (\\Flagged $Junk \\Recent))\r\n* 2 FETCH (FLAGS (\\Flagged $Junk \\Recent))\r\na OK ~\r\n"},
		{"a STORE 2 -FLAGS $Junk\r\n", "* 2 FETCH (FLAGS (\\Flagged \\Recent))\r\na OK ~\r\n"},
		{"a UID STORE 1:* FLAGS ()\r\n", "* 1 FETCH (UID ~ FLAGS (\\Recent))\r\n* 2 FETCH (UID ~ FLAGS (\\Recent))\r\n* 3 FETCH (UID ~ FLAGS (\\Recent))\r\na OK ~\r\n"},
		{"a STORE 4 FLAGS ()\r\n", "a BAD ~\r\n"}, {"a UID STORE 4294967295 FLAGS ()\r\n", "a OK ~\r\n"}, {"a STORE 1 FLAGS (\\Recent)\r\n", "a BAD ~\r\n"},
		{"a STORE 1,3 +FLAGS.SILENT (\\Deleted)\r\n", "a OK ~\r\n"},
		{"a UID EXPUNGE 4294967295\r\n", "a OK ~\r\n"},
		{"a EXPUNGE\r\n", "* 1 EXPUNGE\r\n* 2 EXPUNGE\r\na OK ~\r\n"},
		{"a NOOP\r\n", "a OK Completed\r\n"}, {"a FETCH 1 RFC822.SIZE\r\n", "* 1 FETCH (RFC822.SIZE ~)\r\na OK ~\r\n"},
		{"a STORE 1 +FLAGS (\\Deleted)\r\n", "* 1 FETCH (FLAGS (\\Deleted \\Recent))\r\na OK ~\r\n"},
		{"a CLOSE\r\n", "a OK CLOSE completed\r\n"}, {"a STATUS INBOX (MESSAGES)\r\n", "* STATUS \"INBOX\" (MESSAGES 0)\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "store"), 0);
	for (int i = 0; i < 3; i++)
		append(&c, "INBOX", "", PLAIN);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_append(void **state)
{
	static const struct step	steps[] = {
		{"a APPEND nope {5}\r\n", "a NO [TRYCREATE] ~\r\n"}, {"a APPEND nope {5+}\r\nabcde\r\nb NOOP\r\n", "a NO [TRYCREATE] ~\r\nb OK ~\r\n"},
		{"a APPEND ../x {5}\r\n", "a NO [CANNOT] ~\r\n"}, {"a APPEND INBOX {104857601}\r\n", "a NO [TOOBIG] ~\r\n"},
		{"a APPEND INBOX {0}\r\n", "a NO ~\r\n"}, {"a APPEND INBOX \"text\"\r\n", "a BAD ~\r\n"}, {"a APPEND INBOX\r\n", "a BAD ~\r\n"},
		{"a APPEND INBOX (\\Recent) {3+}\r\nabc\r\n", "a BAD ~\r\n"}, {"a APPEND INBOX {3+}\r\nabc x\r\n", "a BAD ~\r\n"},
		{"a APPEND INBOX ~{3+}\r\na\nb\r\nb NOOP\r\n", "a NO [UNKNOWN-CTE] ~\r\nb OK ~\r\n"},
		{"a APPEND INBOX {7}\r\na: b\n\nc\r\n", "+ Go on\r\na OK [APPENDUID ~] APPEND completed\r\n"},
		{"a APPEND {5}\r\nINBOX (\\Seen $x) {9+}\r\na: b\r\n\r\nc\r\n", "+ Go on\r\na OK [APPENDUID ~] ~\r\n"},
		{"a APPEND INBOX {6+}\r\na: b\r\r\r\n", "a OK ~\r\n"},
		{"a EXAMINE INBOX\r\n", "~* 3 EXISTS\r\n~a OK ~\r\n"},
		{"a FETCH 1:3 BODY[]\r\n", "* 1 FETCH (BODY[] {9}\r\na: b\r\n\r\nc)\r\n* 2 FETCH (BODY[] {9}\r\na: b\r\n\r\nc)\r\n"
		    "* 3 FETCH (BODY[] {8}\r\na: b\r\n\r\n)\r\na OK ~\r\n"},
		{"a APPEND INBOX {3+}\r\nabc\r\n", "* 4 EXISTS\r\n* 4 RECENT\r\na OK ~\r\n"},
	};
	static const char		nul[] = "a APPEND INBOX {3+}\r\na\0b\r\nb NOOP\r\n";
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "append"), 0);
	STEPS(&c, steps);
	client_send(&c, (struct slice){nul, sizeof(nul) - 1}, 0, 0);
	got_check("append", "NUL", &c, "a BAD ~\r\nb OK ~\r\n");
	client_close(&c);
}

/* A message above what is kept in memory comes back byte for byte. */
static void
test_append_large(void **state)
{
	struct buf	command = buf_make(8 * 1024 * 1024), want = buf_make(8 * 1024 * 1024);
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "large"), 0);
	(void)buf_add_str(&want, "Subject: large\r\n\r\n");
	for (size_t i = 0; want.n < 3 * 1024 * 1024; i++)
		(void)buf_addf(&want, "line %zu of a large message\r\n", i);
	(void)buf_addf(&command, "a APPEND INBOX {%zu+}\r\n", want.n);
	(void)buf_add_slice(&command, buf_slice(&want));
	(void)buf_add_str(&command, "\r\nb EXAMINE INBOX\r\nc FETCH 1 BODY[]\r\n");
	client_send(&c, buf_slice(&command), 0, 0);
	buf_clear(&command);
	(void)buf_addf(&command, "a OK ~b OK ~\r\n* 1 FETCH (BODY[] {%zu}\r\n%.*s)\r\nc OK FETCH completed\r\n", want.n, (int)want.n, want.p);
	(void)buf_add(&command, "", 1);
	got_check("large", "APPEND", &c, command.p);
	client_close(&c);
	buf_free(&command);
	buf_free(&want);
}

static void
test_copy(void **state)
{
	static const struct step	steps[] = {
		{"a SELECT INBOX\r\n", "~a OK ~\r\n"}, {"a COPY 1:2 Sent\r\n", "a OK [COPYUID ~ ~:~ ~:~] COPY completed\r\n"},
		{"a COPY 1 nope\r\n", "a NO [TRYCREATE] ~\r\n"}, {"a COPY 9 Sent\r\n", "a BAD ~\r\n"}, {"a UID COPY 4294967295 Sent\r\n", "a OK ~no message~\r\n"},
		{"a STATUS Sent (MESSAGES UNSEEN)\r\n", "* STATUS \"Sent\" (MESSAGES 2 UNSEEN 1)\r\na OK ~\r\n"},
		{"a COPY 3 INBOX\r\n", "* 4 EXISTS\r\n* 4 RECENT\r\na OK [COPYUID ~] ~\r\n"},
		{"a MOVE 2,4 Trash\r\n", "* OK [COPYUID ~ ~,~ ~:~] Moved\r\n* 2 EXPUNGE\r\n* 3 EXPUNGE\r\na OK MOVE completed\r\n"},
		{"a UID MOVE 1:* nope\r\n", "a NO [TRYCREATE] ~\r\n"}, {"a MOVE 1 INBOX\r\n", "* OK [COPYUID ~] Moved\r\n* 1 EXPUNGE\r\n* 2 EXISTS\r\n~a OK MOVE completed\r\n"},
		{"a STATUS Trash (MESSAGES)\r\n", "* STATUS \"Trash\" (MESSAGES 2)\r\na OK ~\r\n"}, {"a MOVE 1:* ../x\r\n", "a NO [CANNOT] ~\r\n"},
		{"a COPY 1\r\n", "a BAD ~\r\n"},
		{"a RENAME INBOX saved\r\n", "* 1 EXPUNGE\r\n* 1 EXPUNGE\r\na OK ~\r\n"}, {"a STATUS saved (MESSAGES)\r\n", "* STATUS \"saved\" (MESSAGES 2)\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "copy"), 0);
	append(&c, "INBOX", "(\\Seen) ", PLAIN);
	append(&c, "INBOX", "", MIXED);
	append(&c, "INBOX", "", PLAIN);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_idle(void **state)
{
	static const struct step	steps[] = {
		{"a IDLE\r\n", "+ idling\r\n"}, {"DONE\r\nb NOOP\r\nc NOOP\r\n", "a OK IDLE completed\r\nb OK ~c OK ~"},
		{"a IDLE\r\ndone\r\n", "+ idling\r\na OK IDLE completed\r\n"}, {"a IDLE\r\n", "+ idling\r\n"},
		{"b NOOP\r\n", "a BAD ~\r\n"}, {"b NOOP\r\n", "b OK ~\r\n"}, {"a IDLE x\r\n", "a BAD ~\r\n"},
		{"a SELECT INBOX\r\n", "~a OK ~\r\n"}, {"a IDLE\r\n", "+ idling\r\n"},
	};
	struct client			c, other;

	(void)state;
	assert_int_equal(client_begin(&c, "idle"), 0);
	assert_int_equal(client_begin(&other, "idle"), 0);
	STEPS(&c, steps);
	assert_true(c.wants_changes);
	assert_int_equal(c.timer_ms, IMAP_IDLE_TELL_MS);
	client_turn(&c, SESSION_TIMER);
	got_check("idle", "(timer)", &c, "* OK Still here\r\n");
	append(&other, "INBOX", "", PLAIN);
	client_turn(&c, SESSION_CHANGED);
	got_check("idle", "(changed)", &c, "* 1 EXISTS\r\n* 1 RECENT\r\n");
	client_turn(&c, SESSION_CHANGED);
	got_check("idle", "(changed)", &c, "");
	client_send(&c, SLICE("DONE\r\nx FETCH 1 FLAGS\r\n"), 0, 0);
	got_check("idle", "DONE", &c, "a OK ~\r\n* 1 FETCH (FLAGS (\\Recent))\r\nx OK ~\r\n");
	assert_false(c.wants_changes);
	client_turn(&c, SESSION_TIMER);
	got_check("idle", "(autologout)", &c, "* BYE Autologout~\r\n");
	assert_false(c.is_open);
	client_turn(&other, SESSION_DRAIN);
	got_check("idle", "(drain)", &other, "* BYE ~\r\n");
	client_close(&c);
	client_close(&other);
}

static void
deliver(const char *user)
{
	static unsigned char	serial;
	unsigned char		key[16] = {1}, guid[16] = {2};
	struct store_placed	placed;
	struct store_delivery	d = {.user = slice_of(user), .mailbox = SLICE(""), .sender = SLICE("a@b.example"),
	    .qid = SLICE("q"), .key = key, .guid = guid, .date_ms = 1000,
	    .body = {.mem = SLICE(PLAIN), .fd = -1, .bytes = sizeof(PLAIN) - 1}};

	key[1] = ++serial;	/* no repeat of the one before */
	assert_int_equal(store_deliver(&test_host, &d, &placed), STORE_OK);
	close(placed.log_fd);
}

/* Takes the turn to write to a user's index, as a process in a long change has it. */
static int
index_hold(const char *user)
{
	char	pattern[160];
	glob_t	found;
	int	fd;

	(void)snprintf(pattern, sizeof(pattern), "%s/p1/*/%s/data.mdb", test_index, user);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	fd = open(found.gl_pathv[0], O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && flock(fd, LOCK_EX) == 0);
	globfree(&found);
	return fd;
}

/* While another process is in a long change nobody waits; who idles is told when it is over, unasked. */
static void
test_busy(void **state)
{
	struct client	c;
	int		fd;

	(void)state;
	assert_int_equal(client_begin(&c, "busy"), 0);
	append(&c, "INBOX", "", PLAIN);
	client_send(&c, SLICE("a SELECT INBOX\r\nb IDLE\r\n"), 0, 0);
	got_check("busy", "IDLE", &c, "~* 1 EXISTS\r\n* 1 RECENT\r\n~+ idling\r\n");
	deliver("busy");
	fd = index_hold("busy");
	client_turn(&c, SESSION_CHANGED);
	got_check("busy", "(changed)", &c, "");
	assert_int_equal(c.timer_ms, IMAP_BEHIND_MS);
	client_turn(&c, SESSION_TIMER);
	got_check("busy", "(timer, busy)", &c, "");
	assert_int_equal(c.timer_ms, IMAP_BEHIND_MS);
	close(fd);
	client_turn(&c, SESSION_TIMER);
	got_check("busy", "(timer)", &c, "* 2 EXISTS\r\n* ~ RECENT\r\n");
	assert_int_equal(c.timer_ms, IMAP_IDLE_TELL_MS);
	client_turn(&c, SESSION_TIMER);
	got_check("busy", "(timer)", &c, "* OK Still here\r\n");
	client_send(&c, SLICE("DONE\r\n"), 0, 0);
	got_check("busy", "DONE", &c, "b OK ~");
	/* Commands are answered from what is committed: SELECT, STATUS, FETCH, NOOP. */
	deliver("busy");
	fd = index_hold("busy");
	client_send(&c, SLICE("c NOOP\r\nd FETCH 1:* UID\r\ne STATUS INBOX (MESSAGES)\r\nf SELECT INBOX\r\n"), 0, 0);
	got_check("busy", "busy", &c, "c OK ~* 2 FETCH ~d OK ~* STATUS \"INBOX\" (MESSAGES 2)\r\ne OK ~* 2 EXISTS\r\n~f OK ~");
	close(fd);
	client_send(&c, SLICE("g NOOP\r\n"), 0, 0);
	got_check("busy", "over", &c, "* 3 EXISTS\r\n* ~ RECENT\r\ng OK ~");
	client_close(&c);
}

/* More than is told at once: every change once, in order, with the number it has then. */
static void
test_many_changes(void **state)
{
	enum { N = 5 << 9, GONE = 2000 };	/* 2560 */
	struct buf	want = buf_make(1024 * 1024);
	struct client	a, b;

	(void)state;
	assert_true(N > 2 * STORE_SYNC_MAX && GONE > STORE_SYNC_MAX);
	assert_int_equal(client_begin(&a, "many"), 0);
	assert_int_equal(client_begin(&b, "many"), 0);
	for (int i = 0; i < 5; i++)
		append(&a, "INBOX", "", PLAIN);
	DO(a, "a SELECT INBOX\r\n", "~* 5 EXISTS\r\n~a OK ~");
	for (int i = 0; i < 9; i++)
		DO(a, "b COPY 1:* INBOX\r\n", "~b OK [COPYUID ~");
	DO(b, "a SELECT INBOX\r\n", "~* 2560 EXISTS\r\n~a OK ~");
	DO(b, "b STORE 1:* +FLAGS.SILENT (\\Flagged)\r\n", "b OK STORE completed\r\n");
	for (int i = 1; i <= N; i++)
		(void)buf_addf(&want, "* %d FETCH (FLAGS (\\Flagged \\Recent))\r\n", i);
	(void)buf_add_str(&want, "b OK Completed\r\n");
	(void)buf_add(&want, "", 1);
	client_send(&a, SLICE("b NOOP\r\n"), 0, 0);
	got_check("many", "flags", &a, want.p);
	DO(a, "b NOOP\r\n", "b OK Completed\r\n");
	DO(b, "c STORE 3:2002 +FLAGS.SILENT (\\Deleted)\r\nd EXPUNGE\r\n", "c OK ~* 3 EXPUNGE\r\nd OK ~");
	buf_clear(&want);
	for (int i = 0; i < GONE; i++)
		(void)buf_add_str(&want, "* 3 EXPUNGE\r\n");
	(void)buf_add_str(&want, "c OK Completed\r\n");
	(void)buf_add(&want, "", 1);
	client_send(&a, SLICE("c NOOP\r\n"), 0, 0);
	got_check("many", "expunges", &a, want.p);
	DO(a, "d UID SEARCH ALL\r\n", "* SEARCH 1 2 2003 ~ 2560\r\nd OK ~");
	client_close(&a);
	client_close(&b);
	buf_free(&want);
}

/* What a command told is kept by neighbours in the view: never more than was told. */
static void
test_told(void **state)
{
	static const struct { uint32_t uid, seq, flags; } told[] = {
		{10, 1, 0}, {11, 2, 0}, {15, 3, 0}, {20, 5, 0}, {21, 6, MSG_SEEN}, {22, 7, MSG_SEEN},
	};
	struct session	s = {.command = arena_make(1 << 20)};
	struct imap	im = {.s = &s};

	(void)state;
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		told_add(&im, &(struct msg_info){.uid = told[i].uid, .seq = told[i].seq, .flags = told[i].flags});
	assert_int_equal(im.ntold, 3);
	for (uint32_t uid = 9; uid <= 23; uid++) {
		bool	is_told = false;

		for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
			is_told = is_told || told[i].uid == uid;
		/* 12 to 14 are in no view: nobody asks. 16 to 19 hold the message that was left out. */
		if (uid >= 12 && uid <= 14)
			continue;
		assert_int_equal(told_has(&im, &(struct msg_info){.uid = uid, .flags = uid > 20 ? MSG_SEEN : 0}), is_told);
		assert_false(told_has(&im, &(struct msg_info){.uid = uid, .flags = MSG_DRAFT}));
		assert_false(told_has(&im, &(struct msg_info){.uid = uid, .flags = uid > 20 ? MSG_SEEN : 0, .keywords = {1}}));
	}
	arena_free(&s.command);
}

static void
test_bad_input(void **state)
{
	static const struct step	steps[] = {
		{"a NOOP {3+}\r\nabc\r\nb NOOP\r\n", "a BAD ~\r\nb OK ~\r\n"}, {"a CREATE {999999}\r\n", "a NO [TOOBIG] ~\r\n"},
		{"a CREATE {9999999999999999999}\r\nb NOOP\r\n", "a BAD [TOOBIG] ~\r\nb OK ~\r\n"}, {"a CREATE {-1}\r\n", "a BAD ~\r\n"},
		{"a CREATE {}\r\n", "a BAD ~\r\n"}, {"a NOOP\rb\r\n", "a BAD A bare ~\r\n"}, {"a NOOP\r\n", "a OK ~\r\n"},
		{"b NOOP\nc NOOP\r\n", "b BAD A bare ~\r\nc OK ~\r\n"},
		{"a NOOP\n", "a BAD A bare ~\r\n"},
	};
	static const char		nul[] = "a NO\0OP\r\nb NOOP\r\n", nul_literal[] = "a CREATE {3+}\r\na\0b\r\nb NOOP\r\n";
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "badinput"), 0);
	client_send(&c, (struct slice){nul, sizeof(nul) - 1}, 0, 0);
	got_check("bad input", "NUL", &c, "a BAD A NUL~\r\nb OK ~\r\n");
	client_send(&c, (struct slice){nul_literal, sizeof(nul_literal) - 1}, 0, 0);
	got_check("bad input", "NUL in a literal", &c, "a BAD A NUL~\r\nb OK ~\r\n");
	/* The third bare line end closes. */
	steps_run(__func__, &c, steps, sizeof(steps) / sizeof(steps[0]) - 1);
	client_send(&c, SLICE("a NOOP\n"), 0, 0);
	got_check("bad input", "third bare LF", &c, "* BYE ~\r\n");
	assert_false(c.is_open);
	client_close(&c);
}

/* "a NOOP" and spaces up to n bytes, then what follows. */
static void
long_line(struct client *c, size_t n, const char *end, const char *want)
{
	struct buf	b = buf_make(4 * 1024 * 1024);

	(void)buf_add_str(&b, "a NOOP");
	while (b.n < n)
		(void)buf_add(&b, " ", 1);
	(void)buf_add_str(&b, end);
	client_send(c, buf_slice(&b), 0, 0);
	buf_free(&b);
	got_check("line limit", end, c, want);
}

static void
test_line_limit(void **state)
{
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "lines"), 0);
	long_line(&c, IMAP_LINE_MAX_BYTES, "\r\nb NOOP\r\n", "a BAD It takes ~\r\nb OK ~\r\n");
	long_line(&c, IMAP_LINE_MAX_BYTES + 1, "\r\nb NOOP\r\n", "a BAD [TOOBIG] ~\r\nb OK ~\r\n");
	long_line(&c, 3 * 1024 * 1024, "\r\nb NOOP\r\n", "a BAD [TOOBIG] ~\r\nb OK ~\r\n");
	/* What may be a literal must not be taken for commands. */
	long_line(&c, 2 * IMAP_LINE_MAX_BYTES, "{8+}\r\nb NOOP\r\n", "* BYE ~\r\n");
	assert_false(c.is_open);
	client_close(&c);
}

static void
test_literal_limits(void **state)
{
	struct buf	b = buf_make(4 * 1024 * 1024);
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "literals"), 0);
	for (size_t more = 0; more <= 1; more++) {
		(void)buf_add_str(&b, "a LOGOUTX");
		for (size_t i = 0; i < IMAP_LITERALS_MAX + more; i++)
			(void)buf_add_str(&b, " {1+}\r\nx");
		(void)buf_add_str(&b, "\r\nb NOOP\r\n");
		client_send(&c, buf_slice(&b), 0, 0);
		got_check("literals", "count", &c, more == 0 ? "a BAD Unknown command\r\nb OK ~\r\n" : "a BAD [TOOBIG] ~\r\nb OK ~\r\n");
		buf_clear(&b);
	}
	for (size_t more = 0; more <= 1; more++) {
		(void)buf_addf(&b, "a LOGOUTX {%zu+}\r\n", IMAP_LITERALS_MAX_BYTES + more);
		for (size_t i = 0; i < IMAP_LITERALS_MAX_BYTES + more; i++)
			(void)buf_add(&b, "x", 1);
		(void)buf_add_str(&b, "\r\nb NOOP\r\n");
		client_send(&c, buf_slice(&b), 0, 0);
		got_check("literals", "bytes", &c, more == 0 ? "a BAD Unknown command\r\nb OK ~\r\n" : "a NO [TOOBIG] ~\r\nb OK ~\r\n");
		buf_clear(&b);
	}
	client_send(&c, SLICE("a APPEND INBOX {104857601+}\r\nabc"), 0, 0);
	got_check("literals", "too large to drop", &c, "* BYE [TOOBIG] ~\r\n");
	assert_false(c.is_open);
	client_close(&c);
	buf_free(&b);
}

static void
test_bad_limit(void **state)
{
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "bads"), 0);
	for (int i = 0; i < IMAP_BAD_MAX - 1; i++) {
		client_send(&c, SLICE("a FOO\r\n"), 0, 0);
		got_check("bads", "FOO", &c, "a BAD ~\r\n");
	}
	client_send(&c, SLICE("a NOOP\r\n"), 0, 0);
	got_check("bads", "NOOP", &c, "a OK ~\r\n");
	for (int i = 0; i < IMAP_BAD_MAX; i++)
		client_send(&c, SLICE("a FOO\r\n"), 0, 0);
	got_check("bads", "FOO", &c, "~* BYE Too many errors\r\n");
	assert_false(c.is_open);
	client_close(&c);
}

/* What a lot hands over is not believed. */
static void
test_state(void **state)
{
	struct buf	good = buf_make(SESSION_STATE_MAX_BYTES);
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "state"), 0);
	client_send(&c, SLICE("a SELECT INBOX\r\nb IDLE\r\n"), 0, 0);
	got_check("state", "IDLE", &c, "~+ idling\r\n");
	(void)buf_add_slice(&good, buf_slice(&c.state));
	client_turn(&c, SESSION_CHANGED);
	assert_true(c.is_open);
	/* Cut short anywhere, or longer. */
	for (size_t n = 0; n <= good.n + 1; n++) {
		if (n == good.n)
			continue;
		buf_clear(&c.state);
		(void)buf_add(&c.state, good.p, n < good.n ? n : good.n);
		if (n > good.n)
			(void)buf_add(&c.state, "", 1);
		client_turn(&c, SESSION_CHANGED);
		got_check("state", "(cut)", &c, "* BYE ~\r\n");
		assert_string_equal(c.end_why, "state");
	}
	/* Version, bits, counts, what is enabled. */
	for (size_t i = 0; i < 9; i++) {
		buf_clear(&c.state);
		(void)buf_add_slice(&c.state, buf_slice(&good));
		c.state.p[i] = (char)0xff;
		client_turn(&c, SESSION_CHANGED);
		got_check("state", "(byte)", &c, "* BYE ~\r\n");
	}
	buf_clear(&c.state);
	(void)buf_add_slice(&c.state, buf_slice(&good));
	c.state.p[c.state.n - 1] = ' ';
	client_turn(&c, SESSION_CHANGED);
	got_check("state", "(tag)", &c, "* BYE ~\r\n");
	/* Another mailbox's id is a mailbox that is gone. */
	buf_clear(&c.state);
	(void)buf_add_slice(&c.state, buf_slice(&good));
	c.state.p[6] = (char)(c.state.p[6] ^ 1);
	client_turn(&c, SESSION_CHANGED);
	got_check("state", "(mailbox)", &c, "* BYE ~\r\n");
	client_close(&c);
	buf_free(&good);
}

static void
test_two_sessions(void **state)
{
	struct client	a, b;

	(void)state;
	assert_int_equal(client_begin(&a, "two"), 0);
	assert_int_equal(client_begin(&b, "two"), 0);
	for (int i = 0; i < 4; i++)
		append(&a, "INBOX", "", PLAIN);
	DO(a, "a SELECT INBOX\r\n", "~* 4 EXISTS\r\n~a OK ~\r\n");
	DO(b, "a SELECT INBOX\r\n", "~* 4 EXISTS\r\n* 0 RECENT\r\n~a OK ~\r\n");
	DO(b, "a STORE 1,3 +FLAGS.SILENT (\\Deleted)\r\n", "a OK ~\r\n");
	/* Flags are told at the next command, before its answer; never twice. */
	DO(a, "a NOOP\r\n", "* 1 FETCH (FLAGS (\\Deleted \\Recent))\r\n* 3 FETCH (FLAGS (\\Deleted \\Recent))\r\na OK ~\r\n");
	DO(a, "a NOOP\r\n", "a OK ~\r\n");
	DO(b, "a EXPUNGE\r\n", "* 1 EXPUNGE\r\n* 2 EXPUNGE\r\na OK ~\r\n");
	/* Numbers stay what they were during FETCH, STORE and SEARCH; what is gone can be read. */
	DO(a, "a FETCH 1:4 BODY.PEEK[TEXT]\r\n", "* 1 FETCH ~Hello~\r\n* 2 FETCH ~Hello~\r\n* 3 FETCH ~Hello~\r\n* 4 FETCH ~Hello~\r\na OK ~\r\n");
	DO(a, "a STORE 2 +FLAGS (\\Flagged)\r\n", "* 2 FETCH (FLAGS (\\Flagged \\Recent))\r\na OK ~\r\n");
	DO(a, "a STORE 1 +FLAGS (\\Flagged)\r\n", "a OK ~\r\n");
	DO(a, "a SEARCH ALL\r\n", "* SEARCH 2 4\r\na OK ~\r\n");
	DO(b, "a NOOP\r\n", "* 1 FETCH (FLAGS (\\Flagged))\r\na OK ~\r\n");
	append(&b, "INBOX", "", PLAIN);
	/* Growth is told before the answer even where EXPUNGE may not be. */
	DO(a, "a FETCH 4 FLAGS\r\n", "* 5 EXISTS\r\n* ~ RECENT\r\n* 4 FETCH (FLAGS (\\Recent))\r\na OK ~\r\n");
	DO(a, "a UID SEARCH ALL\r\n", "* SEARCH ~ ~ ~\r\n* 1 EXPUNGE\r\n* 2 EXPUNGE\r\na OK ~\r\n");
	DO(a, "a SEARCH ALL\r\n", "* SEARCH 1 2 3\r\na OK ~\r\n");
	DO(a, "a IDLE\r\n", "+ idling\r\n");
	DO(b, "a STORE 3 +FLAGS (\\Answered)\r\na MOVE 1 Trash\r\n", "* 3 FETCH ~\r\na OK ~\r\n* OK [COPYUID ~\r\n* 1 EXPUNGE\r\na OK ~\r\n");
	client_turn(&a, SESSION_CHANGED);
	got_check("a", "(changed)", &a, "* 1 EXPUNGE\r\n* 2 FETCH (FLAGS (\\Answered~))\r\n");
	DO(a, "DONE\r\n", "a OK ~\r\n");
	DO(a, "a CREATE temp\r\na SELECT temp\r\n", "~a OK [READ-WRITE]~");
	DO(b, "a DELETE temp\r\n", "a OK ~\r\n");
	DO(a, "a NOOP\r\n", "* BYE ~\r\n");
	assert_false(a.is_open);
	client_close(&a);
	client_close(&b);
}

/* The same input, however it comes in, gives the same output. */
static void
test_split(void **state)
{
	static const char	script[] = "a EXAMINE INBOX\r\nb FETCH 1 (FLAGS BODY[HEADER.FIELDS ({7}\r\nSubject)])\r\nc IDLE\r\nDONE\r\n"
	    "d SEARCH FROM {3+}\r\nann UNSEEN\r\ne APPEND nope {4+}\r\nab\r\n\r\nf LIST \"\" {5+}\r\nINBOX\r\ng FETCH 1 BODY[]\r\nh STATUS {5}\r\nINBOX (MESSAGES)\r\ni FOO\r\n";
	struct buf		want = buf_make(1024 * 1024), got = buf_make(1024 * 1024);
	struct client		c;
	size_t			n = sizeof(script) - 1;

	(void)state;
	assert_int_equal(client_begin(&c, "split"), 0);
	append(&c, "INBOX", "", PLAIN);
	DO(c, "0 EXAMINE INBOX\r\n", "~0 OK ~");
	client_send(&c, (struct slice){script, n}, 0, 0);
	(void)client_take(&c, &want);
	assert_true(want.n > 400);
	assert_true(text_matches(buf_slice(&want), "~a OK ~b OK ~+ idling\r\nc OK ~d OK ~e NO ~f OK ~g OK ~h OK ~i BAD Unknown command\r\n"));
	for (size_t cut = 1; cut <= n; cut++) {
		client_send(&c, (struct slice){script, n}, cut == n ? 1 : 0, cut == n ? 0 : cut);
		(void)client_take(&c, &got);
		if (!slice_is(buf_slice(&want), buf_slice(&got)))
			fail_msg("cut after %zu bytes: got\n%.*s", cut, (int)got.n, got.p);
	}
	client_close(&c);
	buf_free(&want);
	buf_free(&got);
}

/* Sets larger than a batch: every message once, in order, with the right number. */
static void
test_batches(void **state)
{
	enum { N = 5 << 7 };	/* 640, more than two batches */
	struct buf	want = buf_make(1024 * 1024);
	struct client	c;

	(void)state;
	assert_true(N > 2 * STORE_BATCH_MSGS);
	assert_int_equal(client_begin(&c, "batches"), 0);
	for (int i = 0; i < 5; i++)
		append(&c, "INBOX", "", PLAIN);
	client_send(&c, SLICE("a SELECT INBOX\r\n"), 0, 0);
	for (int i = 0; i < 7; i++)
		client_send(&c, SLICE("b COPY 1:* INBOX\r\n"), 0, 0);
	got_check("batches", "COPY", &c, "~* 640 EXISTS\r\n~b OK [COPYUID ~");
	for (int i = 1; i <= N; i++)
		(void)buf_addf(&want, "* %d FETCH (RFC822.SIZE " PLAIN_N ")\r\n", i);
	(void)buf_add_str(&want, "c OK FETCH completed\r\n");
	(void)buf_add(&want, "", 1);
	client_send(&c, SLICE("c FETCH 1:* RFC822.SIZE\r\n"), 0, 0);
	got_check("batches", "FETCH", &c, want.p);
	client_send(&c, SLICE("d STORE 1:* +FLAGS.SILENT (\\Deleted new)\r\n"), 0, 0);
	got_check("batches", "STORE", &c, "d OK STORE completed\r\n");
	client_send(&c, SLICE("d FETCH 1:* BODY[TEXT]<0.1>\r\ne SEARCH UNSEEN\r\n"), 0, 0);
	got_check("batches", "FETCH", &c, "* FLAGS ~* 640 FETCH (BODY[TEXT]<0> {1}\r\nH FLAGS (\\Deleted \\Seen new \\Recent))\r\nd OK ~* SEARCH\r\ne OK ~");
	buf_clear(&want);
	for (int i = 0; i < N; i++)
		(void)buf_add_str(&want, "* 1 EXPUNGE\r\n");
	(void)buf_add_str(&want, "f OK EXPUNGE completed\r\n");
	(void)buf_add(&want, "", 1);
	client_send(&c, SLICE("f EXPUNGE\r\n"), 0, 0);
	got_check("batches", "EXPUNGE", &c, want.p);
	client_close(&c);
	buf_free(&want);
}

static const char	*damage_text;	/* turned over where it stands in a log */

static int
path_damage(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char	*bytes, *at;
	FILE	*f;

	(void)ftw;
	if (type != FTW_F || strstr(path, "/log.") == NULL || (f = fopen(path, "r+e")) == NULL)
		return 0;
	bytes = malloc((size_t)st->st_size);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, (size_t)st->st_size, f), (size_t)st->st_size);
	if ((at = memmem(bytes, (size_t)st->st_size, damage_text, strlen(damage_text))) != NULL) {
		assert_int_equal(fseek(f, at - bytes, SEEK_SET), 0);
		(void)fputc('#', f);
	}
	fclose(f);
	free(bytes);
	return 0;
}

/* A damaged message costs its own response and the OK; all others are served. */
static void
test_damaged(void **state)
{
	static const struct step	steps[] = {
		{"a SELECT INBOX\r\n", "~a OK ~\r\n"},
		{"a FETCH 1:3 BODY.PEEK[]\r\n", "* 1 FETCH ~\r\n* 3 FETCH (BODY[] {" PLAIN_N "}\r\n" PLAIN ")\r\na NO [UNAVAILABLE] ~\r\n"},
		{"a FETCH 2 BODYSTRUCTURE\r\n", "a NO [UNAVAILABLE] ~\r\n"},
		/* What could not be sent told no flags. */
		{"a FETCH 2 BODY[]\r\n", "* 2 FETCH (FLAGS (\\Seen \\Recent))\r\na NO [UNAVAILABLE] ~\r\n"},
		{"a FETCH 1:3 FLAGS\r\n", "* 1 FETCH ~* 2 FETCH ~* 3 FETCH ~a OK ~\r\n"},
		{"a SEARCH TEXT hello\r\n", "* SEARCH 1 3\r\na OK ~could not be read\r\n"},
		{"a NOOP\r\n", "a OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "damaged"), 0);
	append(&c, "INBOX", "", PLAIN);
	append(&c, "INBOX", "", "Subject: to be damaged\r\n\r\nHELLO-damage-me\r\n");
	append(&c, "INBOX", "", PLAIN);
	damage_text = "HELLO-damage-me";
	(void)nftw(test_active, path_damage, 16, FTW_PHYS);
	STEPS(&c, steps);
	client_close(&c);
}

/* Commands that come with the login are answered after it. */
static void
test_pipelined_login(void **state)
{
	struct client	c;

	(void)state;
	client_open(&c, "pipelined", SLICE("a SELECT INBOX\r\nb LOGOUT\r\n"));
	got_check("pipelined", "", &c, "L1 OK [CAPABILITY ~] Logged in\r\n* FLAGS ~a OK [READ-WRITE] ~* BYE ~b OK ~\r\n");
	assert_false(c.is_open);
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_any_state), cmocka_unit_test(test_capability_number), cmocka_unit_test(test_mailboxes),
		cmocka_unit_test(test_subscriptions), cmocka_unit_test(test_select), cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_search), cmocka_unit_test(test_store), cmocka_unit_test(test_append),
		cmocka_unit_test(test_append_large), cmocka_unit_test(test_copy), cmocka_unit_test(test_idle),
		cmocka_unit_test(test_busy), cmocka_unit_test(test_many_changes), cmocka_unit_test(test_told),
		cmocka_unit_test(test_bad_input), cmocka_unit_test(test_line_limit), cmocka_unit_test(test_literal_limits),
		cmocka_unit_test(test_bad_limit), cmocka_unit_test(test_state), cmocka_unit_test(test_two_sessions),
		cmocka_unit_test(test_batches), cmocka_unit_test(test_damaged), cmocka_unit_test(test_split), cmocka_unit_test(test_pipelined_login),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
