/*
 * NOTIFY (RFC 5465) by transcripts, two sessions of a user: what one does or is delivered reaches the other, once, parked
 * after each step. WOKEN is what the lot does with a parked session when its user's spool changed.
 */
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/file.h>

#include "imap_delivery.h"
#include "imap/imap.h"

/* Woken as the lot wakes it: only who asked for it. */
static void
woken_check(const char *test, struct client *c, const char *want)
{
	assert_true(c->is_open);
	assert_true(c->wants_changes);
	client_turn(c, SESSION_CHANGED);
	got_check(test, "(woken)", c, want);
}
#define WOKEN(c, want) do { woken_check(#c, &(c), want); woken_check(#c " once more", &(c), ""); } while (0)

static void
both_begin(struct client *c, struct client *o, const char *user)
{
	assert_int_equal(client_begin(c, user), 0);
	assert_int_equal(client_begin(o, user), 0);
}

static void
both_end(struct client *c, struct client *o)
{
	client_close(c);
	client_close(o);
}

/* The example of RFC 5465 3.1, with the parentheses and the event that its own grammar asks for. */
static void
test_example(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "example");
	DO(o, "a CREATE Lists/Lemonade\r\n", "a OK ~");
	DO(o, "a CREATE Lists/Im2000\r\n", "a OK ~");
	DO(o, "a CREATE misc\r\n", "a OK ~");
	append(&o, "Lists/Lemonade", "", PLAIN);
	DO(c, "a CAPABILITY\r\n", "* CAPABILITY ~ NAMESPACE NOTIFY ~\r\na OK ~");
	DO(c, "b notify set status (selected (MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge)) "
	    "(subtree Lists (MessageNew MessageExpunge))\r\n",
	    "* STATUS \"Lists/Im2000\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ~)\r\n"
	    "* STATUS \"Lists/Lemonade\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ~)\r\nb OK NOTIFY completed\r\n");
	DO(c, "c select inbox\r\n", "~c OK ~");
	append(&o, "Lists/Lemonade", "", PLAIN);
	WOKEN(c, "* STATUS \"Lists/Lemonade\" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY ~)\r\n");
	deliver("example", "");
	WOKEN(c, "* 1 EXISTS\r\n* 1 RECENT\r\n* 1 FETCH (UID 3 BODY[HEADER.FIELDS (from to subject)] {~}\r\n"
	    "From: Ann <ann@a.example>\r\nTo: bob@b.example\r\nSubject: ~\r\n\r\n)\r\n");
	append(&o, "misc", "", PLAIN);
	WOKEN(c, "");
	DO(c, "d STATUS misc (UIDVALIDITY UIDNEXT MESSAGES)\r\n", "* STATUS \"misc\" (~)\r\nd OK ~");
	DO(c, "e notify set (selected (MessageNew (uid) MessageExpunge)) (subtree Lists (MessageNew MessageExpunge)) "
	    "(mailboxes misc (MessageNew MessageExpunge))\r\n", "e OK ~");
	append(&o, "misc", "", PLAIN);
	append(&o, "misc", "", PLAIN);
	append(&o, "Lists/Im2000", "", PLAIN);
	WOKEN(c, "* STATUS ~ (MESSAGES ~)\r\n* STATUS ~ (MESSAGES ~)\r\n");
	DO(c, "f NOTIFY NONE\r\n", "f OK ~");
	assert_false(c.wants_changes);
	append(&o, "misc", "", PLAIN);
	append(&o, "INBOX", "", PLAIN);
	DO(c, "g NOOP\r\n", "g OK ~");
	both_end(&c, &o);
}

/* What is not of the grammar, or must not stand together: BAD. Nothing of it is kept. */
static void
test_bad(void **state)
{
	static const char *const	bad[] = {
		"", " ", " SOME", " NONE ", " NONE x", " SET", " SET ", " SET STATUS", " SET STATUS ", " SET()", " SET ()",
		" SET (personal)", " SET (personal )", " SET (personal ())", " SET (personal NONE", " SET (personal NONE) ",
		" SET (personal MessageNew MessageExpunge)", " SET  (personal NONE)", " SET (nowhere NONE)",
		" SET (personal (MessageNew))", " SET (personal (MessageExpunge))", " SET (personal (FlagChange))",
		" SET (personal (MessageNew FlagChange))", " SET (personal (MessageExpunge FlagChange))",
		" SET (personal (MessageNew (UID) MessageExpunge))",
		" SET (selected (MessageNew () MessageExpunge))", " SET (selected (MessageNew (NOTHING) MessageExpunge))",
		" SET (selected (MessageNew (UID MessageExpunge)))", " SET (selected (MessageNew(UID) MessageExpunge))",
		" SET (selected (MailboxName))", " SET (selected (MessageNew MessageExpunge ServerMetadataChange))",
		" SET (selected-delayed (SubscriptionChange))", " SET (selected (MessageNew (UID) MessageNew (FLAGS) MessageExpunge))",
		" SET (selected NONE) (selected NONE)", " SET (selected NONE) (selected-delayed NONE)",
		" SET (mailboxes NONE)", " SET (mailboxes () NONE)", " SET (mailboxes (a) NONE) (subtree NONE)", " SET (subtree (a NONE)",
		" SET (mailboxes a b NONE)", " SET (mailboxes (a  b) NONE)", " SET (personal a NONE)",
		" SET (personal NONE)(personal NONE)",
	};
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "bad"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char	line[256];

		(void)snprintf(line, sizeof(line), "a NOTIFY%s\r\n", bad[i]);
		client_send(&c, slice_of(line), 0, 0);
		got_check(bad[i], line, &c, "a BAD ~\r\n");
		client_send(&c, SLICE("a NOOP\r\n"), 0, 0);
		got_check(bad[i], line, &c, "a OK ~\r\n");
		assert_false(c.wants_changes);
	}
	client_close(&c);
}

static void
test_good(void **state)
{
	static const struct step	steps[] = {
		{"a notify Set (SELECTED-delayed None)\r\n", "a OK ~"},
		{"a NOTIFY SET STATUS (selected (MessageExpunge messagenew))\r\n", "a OK ~"},
		{"a NOTIFY SET (selected (MessageNew (FLAGS BODY[] BINARY.SIZE[1]) MessageExpunge FlagChange)) (inboxes NONE)\r\n", "a OK ~"},
		{"a NOTIFY SET (subscribed (MailboxName)) (mailboxes {5+}\r\nINBOX (SubscriptionChange)) (subtree ({1}\r\n"
		    "a \"b \\\" c\") (MailboxMetadataChange ServerMetadataChange))\r\n", "+ ~\r\na OK ~"},
		{"a NOTIFY SET (mailboxes (\"\" \"*\" /x &bad) (MailboxName))\r\n", "a OK ~"},
		/* An event nobody supports: NO, and all there are (RFC 5465 3.1). */
		{"a NOTIFY SET (selected (MessageNew MessageExpunge AnnotationChange))\r\n",
		    "a NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange "
		    "ServerMetadataChange)] ~\r\n"},
		{"a NOTIFY SET (personal (X-Weather))\r\n", "a NO [BADEVENT (~)] ~\r\n"},
	};
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "good"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

/* SELECTED: everything at once, EXPUNGE too; FlagChange with UID and FLAGS (RFC 5465 5.1). */
static void
test_selected(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "selected");
	for (int i = 0; i < 3; i++)
		append(&o, "INBOX", "", PLAIN);
	DO(o, "a SELECT INBOX\r\n", "~a OK ~");
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	append(&o, "INBOX", "", PLAIN);
	DO(c, "a NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))\r\n", "* 4 EXISTS\r\n* ~ RECENT\r\na OK ~");
	DO(o, "a STORE 2 +FLAGS (\\Seen $x)\r\n", "~a OK ~");
	WOKEN(c, "* FLAGS (\\Answered ~ $x)\r\n* 2 FETCH (UID 2 FLAGS (\\Seen $x~))\r\n");
	DO(o, "a STORE 1,3 +FLAGS (\\Deleted)\r\n", "~a OK ~");
	DO(o, "a EXPUNGE\r\n", "~a OK ~");
	WOKEN(c, "* 1 EXPUNGE\r\n* 2 EXPUNGE\r\n");
	/* Its own changes are told by its own answers alone. */
	DO(c, "a STORE 1 +FLAGS.SILENT (\\Flagged)\r\n", "a OK ~");
	DO(c, "a STORE 1 +FLAGS (\\Deleted)\r\n", "* 1 FETCH (UID 2 FLAGS (~))\r\na OK ~");
	DO(c, "a UID EXPUNGE 2\r\n", "* 1 EXPUNGE\r\na OK ~");
	WOKEN(c, "");
	/* In the middle of a FETCH none is told, right after it they are. */
	DO(o, "a NOOP\r\n", "* 1 EXPUNGE\r\na OK ~");
	DO(o, "a STORE 1 +FLAGS.SILENT (\\Deleted)\r\n", "a OK ~");
	DO(o, "a EXPUNGE\r\n", "* 1 EXPUNGE\r\na OK ~");
	DO(c, "a FETCH 1 (UID)\r\nb NOOP\r\n", "* 1 FETCH (UID 4)\r\na OK ~\r\n* 1 EXPUNGE\r\nb OK ~");
	append(&o, "INBOX", "", PLAIN);
	WOKEN(c, "* 1 EXISTS\r\n* ~ RECENT\r\n");
	/* Without FlagChange. */
	DO(c, "a NOTIFY SET (selected (MessageNew MessageExpunge))\r\n", "a OK ~");
	DO(o, "a STORE 1 +FLAGS.SILENT (\\Answered)\r\n", "~a OK ~");
	WOKEN(c, "");
	DO(c, "a NOOP\r\n", "a OK ~");
	DO(c, "a FETCH 1 (FLAGS)\r\n", "* 1 FETCH (FLAGS (\\Answered~))\r\na OK ~");
	/* Asked for again: what there was is told (RFC 5465 3.1). */
	DO(c, "a NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))\r\n", "* 1 FETCH (FLAGS (\\Answered~))\r\na OK ~");
	both_end(&c, &o);
}

/* With QRESYNC; where flags are not told HIGHESTMODSEQ must not say that they were (RFC 7162 6). */
static void
test_qresync(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "qresync");
	for (int i = 0; i < 4; i++)
		append(&o, "INBOX", "", PLAIN);
	DO(o, "a SELECT INBOX\r\n", "~a OK ~");
	DO(c, "a ENABLE QRESYNC\r\n", "~a OK ~");
	DO(c, "a SELECT INBOX\r\n", "~* OK [HIGHESTMODSEQ 20] Highest\r\na OK ~");
	DO(c, "a NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MessageNew MessageExpunge))\r\n", "a OK ~");
	DO(o, "a STORE 1 +FLAGS.SILENT (\\Flagged)\r\n", "a OK ~");
	DO(o, "a STORE 2 +FLAGS.SILENT (\\Deleted)\r\n", "a OK ~");
	DO(o, "a EXPUNGE\r\n", "~a OK ~");
	WOKEN(c, "* VANISHED 2\r\n* OK [HIGHESTMODSEQ 21] So far\r\n");
	DO(c, "a UID STORE 3 +FLAGS.SILENT (\\Seen)\r\n", "* 2 FETCH (UID 3 MODSEQ (25))\r\na OK [HIGHESTMODSEQ 21] UID STORE completed\r\n");
	append(&o, "Sent", "", PLAIN);
	WOKEN(c, "* STATUS \"Sent\" (MESSAGES 1 UIDNEXT ~ UIDVALIDITY ~ HIGHESTMODSEQ ~)\r\n");
	/* What was left out is told to who asks for it then, and what it did itself once more. */
	DO(c, "a NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))\r\n",
	    "* 1 FETCH (UID 1 FLAGS (\\Flagged~) MODSEQ (22))\r\n* 2 FETCH (UID 3 FLAGS (\\Seen~) MODSEQ (25))\r\na OK ~");
	DO(o, "a STORE 1 +FLAGS.SILENT (\\Deleted)\r\n", "~a OK ~");
	DO(o, "a EXPUNGE\r\n", "~a OK ~");
	WOKEN(c, "");
	DO(c, "a NOOP\r\n", "* VANISHED 1\r\na OK [HIGHESTMODSEQ ~] Completed\r\n");
	both_end(&c, &o);
}

/* SELECTED-DELAYED: EXPUNGE waits for a command that allows it, also IDLE; numbers stay (RFC 5465 6.1.2, 4). */
static void
test_delayed(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "delayed");
	for (int i = 0; i < 3; i++)
		append(&o, "INBOX", "", PLAIN);
	DO(o, "a SELECT INBOX\r\n", "~a OK ~");
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	DO(c, "a NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))\r\n", "a OK ~");
	DO(o, "a STORE 1 +FLAGS.SILENT (\\Deleted)\r\n", "a OK ~");
	WOKEN(c, "* 1 FETCH (UID 1 FLAGS (\\Deleted~))\r\n");
	DO(o, "a EXPUNGE\r\n", "* 1 EXPUNGE\r\na OK ~");
	WOKEN(c, "");
	append(&o, "INBOX", "", PLAIN);
	WOKEN(c, "* 4 EXISTS\r\n* ~ RECENT\r\n");
	DO(c, "a FETCH 2 (UID)\r\n", "* 2 FETCH (UID 2)\r\na OK ~");
	DO(c, "a NOOP\r\n", "* 1 EXPUNGE\r\na OK ~");
	DO(o, "a NOOP\r\n", "~a OK ~");
	DO(c, "a IDLE\r\n", "+ idling\r\n");
	DO(o, "a STORE 1 +FLAGS.SILENT (\\Deleted)\r\n", "a OK ~");
	DO(o, "a EXPUNGE\r\n", "* 1 EXPUNGE\r\na OK ~");
	WOKEN(c, "* 1 EXPUNGE\r\n");
	DO(c, "DONE\r\n", "a OK ~");
	both_end(&c, &o);
}

/* The selected mailbox is not among what is asked for: a snapshot, in IDLE too (RFC 5465 3.1, 5). Own expunges are answered. */
static void
test_snapshot(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "snapshot");
	for (int i = 0; i < 3; i++)
		append(&o, "INBOX", "", PLAIN);
	DO(o, "a SELECT INBOX\r\n", "~a OK ~");
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	DO(c, "a NOTIFY SET (selected NONE) (personal (MessageNew MessageExpunge FlagChange MailboxName))\r\n", "a OK ~");
	DO(o, "a STORE 1 +FLAGS.SILENT (\\Deleted)\r\n", "a OK ~");
	DO(o, "a EXPUNGE\r\n", "* 1 EXPUNGE\r\na OK ~");
	append(&o, "INBOX", "", PLAIN);
	WOKEN(c, "");
	DO(c, "a NOOP\r\n", "a OK ~");
	DO(c, "a IDLE\r\n", "+ idling\r\n");
	append(&o, "INBOX", "", PLAIN);
	WOKEN(c, "");
	DO(o, "a CREATE new\r\n", "~a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren) \"/\" \"new\"\r\n* STATUS \"new\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ~)\r\n");
	DO(c, "DONE\r\n", "a OK ~");
	DO(c, "a UID SEARCH ALL\r\n", "* SEARCH 2 3\r\na OK ~");
	DO(c, "a STORE 2 +FLAGS (\\Deleted)\r\n", "* 2 FETCH (UID 2 FLAGS (\\Deleted~))\r\na OK ~");
	DO(c, "a EXPUNGE\r\n", "* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n* 3 EXISTS\r\n* ~ RECENT\r\na OK ~");
	/* And asked for again: what there is, is told at once. */
	append(&o, "INBOX", "", PLAIN);
	DO(c, "a NOTIFY SET (selected (MessageNew MessageExpunge))\r\n", "* 4 EXISTS\r\n* ~ RECENT\r\na OK ~");
	both_end(&c, &o);
}

/* FETCH of new messages: not of its own, with UID and MODSEQ once CONDSTORE is on; sets no \Seen (RFC 5465 5.2, RFC 7162 3.2.4). */
static void
test_new(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "new");
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	DO(c, "a NOTIFY SET (selected (MessageNew (FLAGS BODY[TEXT]) MessageExpunge))\r\n", "a OK ~");
	append(&c, "INBOX", "(\\Draft) ", PLAIN);
	WOKEN(c, "");
	deliver("new", "");
	deliver("new", "user.new.nowhere");
	append(&o, "INBOX", "(\\Flagged) ", PLAIN);
	WOKEN(c, "* 4 EXISTS\r\n* ~ RECENT\r\n* 2 FETCH (FLAGS (\\Recent) BODY[TEXT] {12}\r\nHello Bob.\r\n)\r\n"
	    "* 3 FETCH (FLAGS (\\Recent) BODY[TEXT] {12}\r\nHello Bob.\r\n)\r\n"
	    "* 4 FETCH (FLAGS (\\Flagged \\Recent) BODY[TEXT] {12}\r\nHello Bob.\r\n)\r\n");
	DO(c, "a FETCH 2:4 (FLAGS)\r\n", "* 2 FETCH (FLAGS (\\Recent))\r\n* 3 FETCH (FLAGS (\\Recent))\r\n"
	    "* 4 FETCH (FLAGS (\\Flagged \\Recent))\r\na OK ~");
	/* While a command runs, too, before its end. */
	deliver("new", "");
	DO(c, "a NOOP\r\n", "* 5 EXISTS\r\n* ~ RECENT\r\n* 5 FETCH (FLAGS (\\Recent) BODY[TEXT] {12}\r\nHello Bob.\r\n)\r\na OK ~");
	DO(c, "a COPY 1 INBOX\r\n", "* 6 EXISTS\r\n* ~ RECENT\r\na OK [COPYUID ~] ~");
	DO(c, "a ENABLE CONDSTORE\r\n", "* ENABLED CONDSTORE\r\n~a OK ~");
	deliver("new", "");
	WOKEN(c, "* 7 EXISTS\r\n* ~ RECENT\r\n* 7 FETCH (UID ~ FLAGS (\\Recent) BODY[TEXT] {12}\r\nHello Bob.\r\n MODSEQ (~))\r\n");
	DO(c, "a NOTIFY SET (selected (MessageNew (MODSEQ UID) MessageExpunge))\r\n", "a OK ~");
	deliver("new", "");
	WOKEN(c, "* 8 EXISTS\r\n* ~ RECENT\r\n* 8 FETCH (MODSEQ (~) UID ~)\r\n");
	both_end(&c, &o);
}

/* Messages of other mailboxes: what each kind of change says, with CONDSTORE and without (RFC 5465 5.1 to 5.3). */
static void
test_others(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "others");
	DO(o, "a CREATE a\r\n", "a OK ~");
	DO(o, "a CREATE b\r\n", "a OK ~");
	append(&o, "a", "", PLAIN);
	append(&o, "a", "", PLAIN);
	DO(o, "a SELECT a\r\n", "~a OK ~");
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	DO(c, "a NOTIFY SET STATUS (mailboxes a (MessageNew MessageExpunge)) (mailboxes (b INBOX) (MessageNew MessageExpunge FlagChange))\r\n",
	    "* STATUS \"a\" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY ~)\r\n* STATUS \"b\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ~ HIGHESTMODSEQ ~)\r\na OK ~");
	DO(o, "a STORE 1 +FLAGS.SILENT (\\Seen)\r\n", "a OK ~");
	WOKEN(c, "");
	DO(o, "a COPY 1:2 b\r\n", "a OK ~");
	WOKEN(c, "* STATUS \"b\" (MESSAGES 2 UIDNEXT 5 UIDVALIDITY ~ UNSEEN 1)\r\n");
	DO(o, "a MOVE 1 b\r\n", "~a OK ~");
	WOKEN(c, "* STATUS \"~\" (MESSAGES ~)\r\n* STATUS \"~\" (MESSAGES ~)\r\n");
	DO(o, "a SELECT b\r\n", "~a OK ~");
	DO(o, "a STORE 1 -FLAGS.SILENT (\\Seen)\r\n", "a OK ~");
	WOKEN(c, "* STATUS \"b\" (UIDVALIDITY ~ UNSEEN 2)\r\n");
	/* No flag but \Seen shows without CONDSTORE. */
	DO(o, "a STORE 1 +FLAGS.SILENT (\\Deleted)\r\n", "a OK ~");
	WOKEN(c, "");
	DO(o, "a EXPUNGE\r\n", "* 1 EXPUNGE\r\na OK ~");
	WOKEN(c, "* STATUS \"b\" (MESSAGES 2 UIDNEXT 6 UIDVALIDITY ~ UNSEEN 1)\r\n");
	deliver("others", "user.others.b");
	WOKEN(c, "* STATUS \"b\" (MESSAGES 3 UIDNEXT 7 UIDVALIDITY ~ UNSEEN 2)\r\n");
	/* The selected mailbox is told of as such or not at all. */
	deliver("others", "");
	WOKEN(c, "");
	DO(c, "a UNSELECT\r\n", "a OK ~");
	deliver("others", "");
	WOKEN(c, "* STATUS \"INBOX\" (MESSAGES 2 UIDNEXT 9 UIDVALIDITY ~ UNSEEN 2)\r\n");
	DO(c, "a ENABLE CONDSTORE\r\n", "* ENABLED CONDSTORE\r\na OK ~");
	DO(o, "a STORE 1 +FLAGS.SILENT (\\Flagged)\r\n", "~a OK ~");
	WOKEN(c, "* STATUS \"b\" (UIDVALIDITY ~ HIGHESTMODSEQ ~)\r\n");
	deliver("others", "user.others.a");
	WOKEN(c, "* STATUS \"a\" (MESSAGES 2 UIDNEXT 10 UIDVALIDITY ~ HIGHESTMODSEQ ~)\r\n");
	/* Many at once: one response. */
	for (int i = 0; i < 5; i++)
		deliver("others", "user.others.a");
	WOKEN(c, "* STATUS \"a\" (MESSAGES 7 UIDNEXT 15 UIDVALIDITY ~ HIGHESTMODSEQ ~)\r\n");
	/* Its own are not told. */
	append(&c, "a", "", PLAIN);
	deliver("others", "user.others.b");
	WOKEN(c, "* STATUS \"b\" (MESSAGES 4 UIDNEXT ~ UIDVALIDITY ~ UNSEEN 3 HIGHESTMODSEQ ~)\r\n");
	both_end(&c, &o);
}

/* MailboxName and SubscriptionChange (RFC 5465 5.4, 5.5). */
static void
test_names(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "names");
	DO(c, "a NOTIFY SET (personal (MailboxName SubscriptionChange))\r\n", "a OK ~");
	DO(o, "a CREATE NewMailbox\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren) \"/\" \"NewMailbox\"\r\n");
	/* The one above it is affected, there or not. */
	DO(o, "a CREATE NewMailbox/x\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren) \"/\" \"NewMailbox/x\"\r\n* LIST (\\HasChildren) \"/\" \"NewMailbox\"\r\n");
	DO(o, "a CREATE up/down (USE (\\Archive))\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren \\Archive) \"/\" \"up/down\"\r\n* LIST (\\NonExistent \\HasChildren) \"/\" \"up\"\r\n");
	DO(o, "a RENAME NewMailbox \"Old & t&AOk-l&AOk-\"\r\n", "a ~");
	DO(o, "a RENAME NewMailbox t&AOk-l&AOk-\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasChildren) \"/\" \"t&AOk-l&AOk-\" (\"OLDNAME\" (\"NewMailbox\"))\r\n");
	/* A name that only its children imply is renamed like any other. */
	DO(o, "a RENAME up higher\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\NonExistent \\HasChildren) \"/\" \"higher\" (\"OLDNAME\" (\"up\"))\r\n");
	DO(o, "a SUBSCRIBE higher/down\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren \\Subscribed \\Archive) \"/\" \"higher/down\"\r\n");
	DO(o, "a SUBSCRIBE nowhere\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"nowhere\"\r\n");
	DO(o, "a UNSUBSCRIBE higher/down\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren \\Archive) \"/\" \"higher/down\"\r\n");
	DO(o, "a DELETE higher/down\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\NonExistent \\HasNoChildren) \"/\" \"higher/down\"\r\n* LIST (\\NonExistent \\HasNoChildren) \"/\" \"higher\"\r\n");
	append(&o, "INBOX", "", PLAIN);
	WOKEN(c, "");
	DO(o, "a RENAME INBOX past\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren) \"/\" \"past\" (\"OLDNAME\" (\"INBOX\"))\r\n");
	/* Several at once, in their order; what is said of each is true now. */
	DO(o, "a CREATE one\r\nb RENAME one two\r\nc DELETE two\r\n", "~c OK ~");
	WOKEN(c, "* LIST (\\NonExistent \\HasNoChildren) \"/\" \"one\"\r\n"
	    "* LIST (\\NonExistent \\HasNoChildren) \"/\" \"two\" (\"OLDNAME\" (\"one\"))\r\n"
	    "* LIST (\\NonExistent \\HasNoChildren) \"/\" \"two\"\r\n");
	/* Its own are not told. */
	DO(c, "a CREATE mine\r\nb SUBSCRIBE mine\r\nc RENAME mine yours\r\nd DELETE yours\r\n", "~d OK ~");
	WOKEN(c, "");
	/* One of the two kinds alone. */
	DO(c, "a NOTIFY SET (personal (SubscriptionChange))\r\n", "a OK ~");
	DO(o, "a CREATE one\r\nb SUBSCRIBE one\r\n", "~b OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"one\"\r\n");
	/* A name that comes again has another UIDVALIDITY (RFC 5465 5.1). */
	DO(c, "a NOTIFY SET (mailboxes one (MessageNew MessageExpunge FlagChange))\r\n", "a OK ~");
	DO(o, "a DELETE one\r\n", "a OK ~");
	WOKEN(c, "");
	DO(o, "a CREATE one\r\n", "a OK ~");
	WOKEN(c, "* STATUS \"one\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ~)\r\n");
	both_end(&c, &o);
}

/* Which mailboxes each filter means, and how groups go together (RFC 5465 6). */
static void
test_filters(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "filters");
	DO(o, "a CREATE top/a\r\nb CREATE top/ab\r\nc CREATE topper\r\nd CREATE INBOX/x\r\n", "~d OK ~");
	DO(c, "a NOTIFY SET STATUS (subtree top/a (MessageNew MessageExpunge))\r\n", "* STATUS \"top/a\" (~)\r\na OK ~");
	DO(c, "a NOTIFY SET STATUS (subtree (top inbox) (MessageNew MessageExpunge))\r\n",
	    "* STATUS \"INBOX\" (~)\r\n* STATUS \"INBOX/x\" (~)\r\n* STATUS \"top/a\" (~)\r\n* STATUS \"top/ab\" (~)\r\na OK ~");
	DO(c, "a NOTIFY SET STATUS (mailboxes (Inbox top topper \"t*\") (MessageNew MessageExpunge))\r\n",
	    "* STATUS \"INBOX\" (~)\r\n* STATUS \"topper\" (~)\r\na OK ~");
	DO(o, "a SUBSCRIBE top/ab\r\n", "a OK ~");
	DO(c, "a NOTIFY SET STATUS (subscribed (MessageNew MessageExpunge SubscriptionChange))\r\n", "~* STATUS \"top/ab\" (~)\r\na OK ~");
	append(&o, "top/a", "", PLAIN);
	WOKEN(c, "");
	/* The list is the one of now (RFC 5465 6.4). */
	DO(o, "a SUBSCRIBE top/a\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"top/a\"\r\n");
	append(&o, "top/a", "", PLAIN);
	WOKEN(c, "* STATUS \"top/a\" (MESSAGES 2 ~)\r\n");
	DO(o, "a UNSUBSCRIBE top/a\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren) \"/\" \"top/a\"\r\n");
	append(&o, "top/a", "", PLAIN);
	WOKEN(c, "");
	/* All groups that name a mailbox count; a NONE takes back what stands before it. */
	DO(c, "a NOTIFY SET (mailboxes top/a (MessageNew MessageExpunge)) (personal (MailboxName)) (subtree top/ab NONE)\r\n", "a OK ~");
	append(&o, "top/a", "", PLAIN);
	WOKEN(c, "* STATUS \"top/a\" (~)\r\n");
	DO(o, "a RENAME top/a top/b\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren) \"/\" \"top/b\" (\"OLDNAME\" (\"top/a\"))\r\n");
	DO(o, "a CREATE top/ab/c\r\n", "a OK ~");
	WOKEN(c, "");
	/* Renamed away from what is watched is told too. */
	DO(c, "a NOTIFY SET (mailboxes top/b (MailboxName))\r\n", "a OK ~");
	DO(o, "a RENAME top/b elsewhere\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren) \"/\" \"elsewhere\" (\"OLDNAME\" (\"top/b\"))\r\n");
	both_end(&c, &o);
}

/* MailboxMetadataChange and ServerMetadataChange (RFC 5465 5.6, 5.7). */
static void
test_metadata(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "metadata");
	DO(o, "a CREATE x\r\n", "a OK ~");
	DO(c, "a NOTIFY SET (mailboxes INBOX (MailboxMetadataChange)) (personal (ServerMetadataChange))\r\n", "a OK ~");
	DO(o, "a SETMETADATA INBOX (/shared/comment \"x\")\r\n", "a OK ~");
	WOKEN(c, "* METADATA \"INBOX\" /shared/comment\r\n");
	DO(o, "a SETMETADATA INBOX (/shared/comment NIL /private/a \"b\")\r\n", "a OK ~");
	WOKEN(c, "* METADATA \"INBOX\" /shared/comment /private/a\r\n");
	DO(o, "a SETMETADATA x (/shared/comment \"x\")\r\n", "a OK ~");
	WOKEN(c, "");
	DO(o, "a SETMETADATA \"\" (/private/comment \"x\")\r\n", "a OK ~");
	WOKEN(c, "* METADATA \"\" /private/comment\r\n");
	DO(c, "a SETMETADATA INBOX (/private/mine \"x\")\r\n", "a OK ~");
	WOKEN(c, "");
	DO(c, "a NOTIFY SET (personal (MailboxName))\r\n", "a OK ~");
	DO(o, "a SETMETADATA \"\" (/private/comment NIL)\r\nb SETMETADATA INBOX (/private/a NIL)\r\n", "~b OK ~");
	WOKEN(c, "");
	both_end(&c, &o);
}

/* The groups are remembered up to a limit. */
static void
test_text_limit(void **state)
{
	char		line[IMAP_WATCH_MAX_BYTES + 64];
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "limit");
	for (size_t more = 0; more <= 1; more++) {
		int	n = snprintf(line, sizeof(line), "a NOTIFY SET STATUS ");
		size_t	names = IMAP_WATCH_MAX_BYTES + more - strlen("(mailboxes (INBOX ) (MailboxName))");

		n += snprintf(line + n, sizeof(line) - (size_t)n, "(mailboxes (INBOX ");
		memset(line + n, 'x', names);
		n += (int)names;
		(void)snprintf(line + n, sizeof(line) - (size_t)n, ") (MailboxName))\r\n");
		client_send(&c, slice_of(line), 0, 0);
		got_check("limit", line, &c, more == 0 ? "a OK ~\r\n" : "a NO [NOTIFICATIONOVERFLOW] ~\r\n");
		assert_true(c.wants_changes);
	}
	DO(o, "a CREATE INBOX/x\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasChildren~) \"/\" \"INBOX\"\r\n");
	/* Beside everything else that a session remembers: the longest tag, and "$" with many ranges. */
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	memset(line, 't', IMAP_TAG_MAX_BYTES);
	(void)snprintf(line + IMAP_TAG_MAX_BYTES, 64, " IDLE\r\n");
	client_send(&c, slice_of(line), 0, 0);
	got_check("limit", line, &c, "+ idling\r\n");
	assert_true(c.is_open && c.state.n <= SESSION_STATE_MAX_BYTES - IMAP_SAVED_MAX_BYTES);
	both_end(&c, &o);
}

/* As many items as FETCH takes, each with room for its own names: the state's copy is understood again. */
static void
test_items_limit(void **state)
{
	char		line[IMAP_WATCH_MAX_BYTES + 64];
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "items"), 0);
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	for (size_t more = 0; more <= 1; more++) {
		int	n = snprintf(line, sizeof(line), "a NOTIFY SET (selected (MessageNew (UID");

		for (size_t i = 1; i < 50; i++)
			n += snprintf(line + n, sizeof(line) - (size_t)n, " BODY[1.HEADER.FIELDS (A)]");
		for (size_t i = 50; i < IMAP_FETCH_ITEMS_MAX + more; i++)
			n += snprintf(line + n, sizeof(line) - (size_t)n, " UID");
		(void)snprintf(line + n, sizeof(line) - (size_t)n, ") MessageExpunge))\r\n");
		client_send(&c, slice_of(line), 0, 0);
		got_check("items", line, &c, more == 0 ? "a OK ~\r\n" : "a BAD ~\r\n");
	}
	deliver("items", "");
	WOKEN(c, "* 1 EXISTS\r\n* 1 RECENT\r\n* 1 FETCH (UID 1 BODY[1.HEADER.FIELDS (A)] NIL ~)\r\n");
	client_close(&c);
}

/* More events than are told at once: none, and the client is told so (RFC 5465 5.8). Changes of messages may be any number. */
static void
test_overflow(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "overflow");
	for (int more = 0; more <= 1; more++) {
		DO(o, "a UNSUBSCRIBE INBOX\r\n", "~a OK ~");
		DO(c, "a NOTIFY SET (mailboxes INBOX (MessageNew MessageExpunge SubscriptionChange))\r\n", "a OK ~");
		for (int i = 0; i < STORE_EVENTS_MAX; i += 50) {
			char	lines[50 * 32] = "";
			size_t	n = 0;

			for (int k = 0; k < 50; k++)
				n += (size_t)snprintf(lines + n, sizeof(lines) - n, "a %sSUBSCRIBE INBOX\r\n", k % 2 == 0 ? "" : "UN");
			client_send(&o, (struct slice){lines, n}, 0, 0);
			got_check("overflow", lines, &o, "~a OK ~");
			deliver("overflow", "");
		}
		if (more == 1)
			DO(o, "a SUBSCRIBE INBOX\r\n", "~a OK ~");
		if (more == 0)
			WOKEN(c, "* LIST ~\r\n* STATUS \"INBOX\" (MESSAGES 20 ~)\r\n");
	}
	woken_check("c", &c, "* OK [NOTIFICATIONOVERFLOW] ~\r\n");
	assert_false(c.wants_changes);
	DO(c, "a NOTIFY SET (mailboxes INBOX (SubscriptionChange))\r\n", "a OK ~");
	DO(o, "a UNSUBSCRIBE INBOX\r\n", "a OK ~");
	DO(o, "a SUBSCRIBE INBOX\r\n", "a OK ~");
	WOKEN(c, "* LIST (\\HasNoChildren~) \"/\" \"INBOX\"\r\n~");
	both_end(&c, &o);
}

/* A state that no command made is refused, wherever it was changed, or does no harm. */
static void
test_forged(void **state)
{
	struct client	c, o;
	struct buf	good = buf_make(SESSION_STATE_MAX_BYTES);
	size_t		nrefused = 0;

	(void)state;
	both_begin(&c, &o, "forged");
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	DO(c, "a NOTIFY SET (selected (MessageNew (UID) MessageExpunge)) (mailboxes x (MailboxName))\r\n", "a OK ~");
	(void)buf_add_slice(&good, buf_slice(&c.state));
	for (size_t i = 0; i < good.n; i++) {
		for (int bit = 0; bit < 8; bit += 3) {
			struct client	forged;

			client_connect(&forged, "forged", SLICE(""));
			(void)buf_add_slice(&forged.state, buf_slice(&good));
			forged.state.p[i] = (char)(forged.state.p[i] ^ 1 << bit);
			forged.is_open = true;
			client_turn(&forged, SESSION_CHANGED);
			nrefused += !forged.is_open;
			client_close(&forged);
		}
	}
	assert_true(nrefused > 50);
	buf_free(&good);
	both_end(&c, &o);
}

/* The log goes on in another segment, and an older one is written anew by compaction, while a session is parked. */
static void
test_segments(void **state)
{
	struct store_compacted	done;
	struct store		*s;
	struct client		c, o;
	uint64_t		n;

	(void)state;
	test_host.segment_max_bytes = 16 * 1024;
	both_begin(&c, &o, "segments");
	DO(o, "a SELECT INBOX\r\n", "~a OK ~");
	for (int i = 0; i < 20; i++)
		append(&o, "INBOX", "(\\Deleted) ", PLAIN);
	DO(o, "a CREATE before\r\n", "a OK ~");
	DO(c, "a NOTIFY SET (personal (MailboxName)) (mailboxes x (MessageNew MessageExpunge))\r\n", "a OK ~");
	DO(o, "a CREATE x\r\nb SUBSCRIBE x\r\n", "~b OK ~");
	for (int i = 0; i < 100; i++)
		append(&o, i % 10 == 0 ? "x" : "INBOX", "(\\Deleted) ", PLAIN);
	DO(o, "a EXPUNGE\r\n", "~a OK ~");
	assert_int_equal(store_open(&test_host, SLICE("segments"), &s), FOUND);
	assert_int_equal(store_purge(s, INT64_MAX, &n), STORE_OK);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments >= 2);
	store_close(s);
	WOKEN(c, "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"x\"\r\n* STATUS \"x\" (MESSAGES 10 UIDNEXT ~)\r\n");
	deliver("segments", "user.segments.x");
	WOKEN(c, "* STATUS \"x\" (MESSAGES 11 UIDNEXT ~)\r\n");
	test_host.segment_max_bytes = 64 * 1024 * 1024;
	both_end(&c, &o);
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

/* Another process is in a long change: what came is told when that is over, soon, and once. */
static void
test_busy(void **state)
{
	struct client	c;
	int		fd;

	(void)state;
	assert_int_equal(client_begin(&c, "busy"), 0);
	DO(c, "a SELECT Sent\r\n", "~a OK ~");
	DO(c, "a NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MessageNew MessageExpunge))\r\n", "a OK ~");
	fd = index_hold("busy");
	deliver("busy", "");
	deliver("busy", "user.busy.Sent");
	woken_check("busy", &c, "");
	assert_int_equal(c.timer_ms, IMAP_BEHIND_MS);
	client_turn(&c, SESSION_TIMER);
	got_check("busy", "(timer, busy)", &c, "");
	assert_int_equal(c.timer_ms, IMAP_BEHIND_MS);
	close(fd);
	client_turn(&c, SESSION_TIMER);
	got_check("busy", "(timer)", &c, "* 1 EXISTS\r\n* 1 RECENT\r\n* STATUS \"INBOX\" (MESSAGES 1 ~)\r\n");
	assert_int_equal(c.timer_ms, IMAP_AUTOLOGOUT_MS);
	WOKEN(c, "");
	client_close(&c);
}

/* Not woken while nothing is asked for; a quiet one says BYE in the end, as without NOTIFY. */
static void
test_waiting(void **state)
{
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "waiting"), 0);
	DO(c, "a NOTIFY SET (selected (MessageNew MessageExpunge))\r\n", "a OK ~");
	assert_false(c.wants_changes);
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	assert_true(c.wants_changes);
	assert_int_equal(c.timer_ms, IMAP_AUTOLOGOUT_MS);
	DO(c, "a NOTIFY SET (selected NONE)\r\n", "a OK ~");
	assert_false(c.wants_changes);
	DO(c, "a IDLE\r\n", "+ idling\r\n");
	assert_false(c.wants_changes);
	DO(c, "DONE\r\n", "a OK ~");
	DO(c, "a NOTIFY SET (personal NONE)\r\n", "a OK ~");
	assert_false(c.wants_changes);
	DO(c, "a NOTIFY SET (personal (MailboxName))\r\n", "a OK ~");
	assert_true(c.wants_changes);
	client_turn(&c, SESSION_TIMER);
	got_check("waiting", "(timer)", &c, "* BYE Autologout, ~\r\n");
	assert_false(c.is_open);
	client_close(&c);
}

/* A NOTIFY SET that replaces another tells first what happened until then (RFC 5465 3.1). */
static void
test_replaced(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "rvreplaced");
	DO(o, "a CREATE L1\r\nb CREATE L2\r\n", "~b OK ~");
	DO(c, "a NOTIFY SET (mailboxes L1 (MessageNew MessageExpunge))\r\n", "a OK ~");
	append(&o, "L1", "", PLAIN);
	/* The client's command comes before the lot woke it. */
	DO(c, "b NOTIFY SET (mailboxes (L1 L2) (MessageNew MessageExpunge))\r\n", "* STATUS \"L1\" (MESSAGES 1 ~)\r\nb OK ~");
	both_end(&c, &o);
}

/* Names mean what they meant when they were written, whatever is enabled later. */
static void
test_enabled(void **state)
{
	struct client	c, o;

	(void)state;
	both_begin(&c, &o, "rvenabled");
	DO(o, "a CREATE Entw&APw-rfe\r\n", "a OK ~");
	DO(c, "a NOTIFY SET (mailboxes Entw&APw-rfe (MessageNew MessageExpunge))\r\n", "a OK ~");
	DO(c, "b ENABLE IMAP4rev2\r\n", "* ENABLED IMAP4rev2\r\nb OK ~");
	append(&o, "Entw&APw-rfe", "", PLAIN);
	WOKEN(c, "* STATUS \"Entw\xc3\xbcrfe\" (MESSAGES 1 ~)\r\n");
	both_end(&c, &o);
}

/* RFC 9051 7.5.2 */
static void
test_rev2_uid(void **state)
{
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "rvuid"), 0);
	DO(c, "a ENABLE IMAP4rev2\r\nb SELECT INBOX\r\n", "~b OK ~");
	DO(c, "c NOTIFY SET (selected (MessageNew (FLAGS) MessageExpunge))\r\n", "c OK ~");
	deliver("rvuid", "");
	WOKEN(c, "* 1 EXISTS\r\n* 1 FETCH (UID 1 FLAGS ())\r\n");
	client_close(&c);
}

int
main(void)
{
	static const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_selected),
		cmocka_unit_test(test_qresync),
		cmocka_unit_test(test_delayed),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_new),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_text_limit),
		cmocka_unit_test(test_items_limit),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_enabled),
		cmocka_unit_test(test_rev2_uid),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
