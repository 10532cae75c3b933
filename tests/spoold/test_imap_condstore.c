/*
 * ENABLE (RFC 5161) and CONDSTORE (RFC 7162) by transcripts: who is told modseqs and when, conditional STORE also
 * where two sessions race, and that no client is let to believe that it knows more than it was told.
 */
#include "imap/told.h"
#include "imap_modseq.h"

static void
test_enable(void **state)
{
	static const struct step	steps[] = {
		{"a CAPABILITY\r\n", "~ CONDSTORE ~ ENABLE ~"},
		{"a ENABLE\r\n", "a BAD ~"}, {"a ENABLE \r\n", "a BAD ~"}, {"a ENABLE CONDSTORE \r\n", "a BAD ~"},
		{"a ENABLE CONDSTORE (x)\r\n", "a BAD ~"}, {"a ENABLE X-NONE IDLE\r\n", "* ENABLED\r\na OK ~"},
		/* Nothing of a refused one stays: now it is new. */
		{"a ENABLE X-GOOD-IDEA condstore CONDSTORE\r\n", "* ENABLED CONDSTORE\r\na OK ~"},
		{"a ENABLE CONDSTORE\r\n", "* ENABLED\r\na OK ~"},
		{"a SELECT INBOX\r\n", "~a OK ~"}, {"a STORE 1 +FLAGS (\\Seen)\r\n", "* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent) MODSEQ (~))\r\na OK ~"},
		{"a ENABLE CONDSTORE\r\n", "* ENABLED\r\na OK ~"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "enable"), 0);
	append(&c, "INBOX", "", PLAIN);
	STEPS(&c, steps);
	client_close(&c);
}

/* Each CONDSTORE enabling command of 3.1, as a session's first: HIGHESTMODSEQ is told where a mailbox is selected, once. */
static void
test_enabling(void **state)
{
	static const struct { const char *send; bool is_on; } commands[] = {
		{"x ENABLE CONDSTORE\r\n", true}, {"x STATUS Sent (HIGHESTMODSEQ)\r\n", true}, {"x STATUS Sent (MESSAGES)\r\n", false},
		{"x LIST \"\" Sent RETURN (STATUS (HIGHESTMODSEQ))\r\n", true}, {"x LIST \"\" Sent RETURN (STATUS (UIDNEXT))\r\n", false},
		{"x FETCH 1 MODSEQ\r\n", true}, {"x FETCH 1 (FLAGS) (CHANGEDSINCE 1)\r\n", true}, {"x FETCH 1 FLAGS\r\n", false},
		{"x UID SEARCH OR NOT MODSEQ 720162338 LARGER 50000\r\n", true}, {"x SEARCH ALL\r\n", false},
		{"x STORE 1 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen)\r\n", true}, {"x STORE 1 +FLAGS.SILENT (\\Draft)\r\n", false},
		/* Not understood, not enabling. */
		{"x FETCH 1 MODSEQ FLAGS\r\n", false}, {"x STATUS Sent (HIGHESTMODSEQ FOO)\r\n", false},
	};
	struct client	b, c;

	(void)state;
	assert_int_equal(client_begin(&b, "enabling"), 0);
	append(&b, "INBOX", "", PLAIN);
	DO(b, "a SELECT INBOX\r\n", "~* OK [HIGHESTMODSEQ ~] ~\r\na OK ~");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		print_message("%s", commands[i].send);
		assert_int_equal(client_begin(&c, "enabling"), 0);
		/* It is told also to who does not ask. */
		DO(c, "a EXAMINE INBOX\r\n", "~* OK [HIGHESTMODSEQ ~] ~\r\na OK ~");
		if (commands[i].send[2] == 'S' && commands[i].send[3] == 'T' && commands[i].send[4] == 'O')
			DO(c, "a SELECT INBOX\r\n", "* OK [CLOSED] ~a OK ~");
		client_send(&c, slice_of(commands[i].send), 0, 0);
		got_check("enabling", commands[i].send, &c, commands[i].is_on ? "~* OK [HIGHESTMODSEQ ~] Highest\r\n~x OK ~" : "~x ~");
		client_send(&c, slice_of("y STATUS Sent (HIGHESTMODSEQ)\r\n"), 0, 0);
		got_check("enabling", "(again)", &c, commands[i].is_on ? "* STATUS ~y OK ~" : "* OK [HIGHESTMODSEQ ~* STATUS ~y OK ~");
		client_close(&c);
	}
	/* SELECT and EXAMINE enable; the flags another session changes come with modseqs. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(client_begin(&c, "enabling"), 0);
		if (i == 0)
			DO(c, "a SELECT INBOX (CONDSTORE)\r\n", "~* OK [HIGHESTMODSEQ ~a OK ~");
		else
			DO(c, "a EXAMINE INBOX (condstore)\r\n", "~* OK [HIGHESTMODSEQ ~a OK ~");
		DO(b, "b STORE 1 -FLAGS (\\Flagged)\r\nb STORE 1 +FLAGS (\\Flagged)\r\n", "~b OK ~b OK ~");
		DO(c, "b NOOP\r\n", "* 1 FETCH (UID 1 FLAGS (~\\Flagged~) MODSEQ (~))\r\nb OK ~");
		client_close(&c);
	}
	/* Who did not enable it is not told of it. */
	DO(b, "c STORE 1 -FLAGS (\\Flagged)\r\n", "* 1 FETCH (FLAGS (~))\r\nc OK ~");
	client_close(&b);
}

static void
test_select(void **state)
{
	static const struct step	steps[] = {
		{"a SELECT INBOX ()\r\n", "a BAD ~"}, {"a SELECT INBOX (CONDSTORE\r\n", "a BAD ~"}, {"a SELECT INBOX (CONDSTORE CONDSTORE)\r\n", "a BAD ~"},
		{"a SELECT INBOX CONDSTORE\r\n", "a BAD ~"}, {"a SELECT INBOX (CONDSTORE) x\r\n", "a BAD ~"}, {"a SELECT INBOX  (CONDSTORE)\r\n", "a BAD ~"},
		{"a SELECT INBOX (QRESYNCX)\r\n", "a BAD ~"},
		{"a SELECT INBOX (CONDSTORE)\r\n", "* FLAGS ~\r\n* 1 EXISTS\r\n* 1 RECENT\r\n* OK [UNSEEN 1] ~\r\n* OK [PERMANENTFLAGS ~\r\n"
		    "* OK [UIDVALIDITY ~\r\n* OK [UIDNEXT ~\r\n* OK [HIGHESTMODSEQ ~] ~\r\na OK [READ-WRITE] ~"},
		/* A refused SELECT leaves the mailbox selected, one that fails does not; CLOSED parts the two mailboxes. */
		{"a SELECT Sent (FOO)\r\n", "a BAD ~"}, {"a FETCH 1 UID\r\n", "* 1 FETCH (UID 1)\r\na OK ~"},
		{"a EXAMINE Sent\r\n", "* OK [CLOSED] ~\r\n* FLAGS ~a OK [READ-ONLY] ~"}, {"a SELECT nope\r\n", "* OK [CLOSED] ~\r\na NO [NONEXISTENT] ~"},
		{"a SELECT INBOX\r\n", "* FLAGS ~a OK ~"}, {"a CLOSE\r\n", "a OK CLOSE completed\r\n"}, {"a SELECT INBOX\r\n", "* FLAGS ~a OK ~"},
		{"a UNSELECT\r\n", "a OK UNSELECT completed\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "select"), 0);
	append(&c, "INBOX", "", PLAIN);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_fetch(void **state)
{
	unsigned long long	m1, m3;
	struct client		a, b;

	(void)state;
	two_clients(&a, &b, "fetch", 4);
	DO(a, "a SELECT INBOX (CONDSTORE)\r\n", "~a OK ~");
	DO(b, "a SELECT INBOX\r\n", "~a OK ~");
	DO(b, "b STORE 3 +FLAGS.SILENT (\\Seen)\r\nc STORE 1 +FLAGS.SILENT (\\Flagged)\r\n", "b OK ~c OK ~");
	/* Told at the command's beginning, with what a change needs. */
	DO(a, "b FETCH 1:4 MODSEQ\r\n", "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent) MODSEQ (~))\r\n* 3 FETCH (UID 3 FLAGS (\\Seen \\Recent) MODSEQ (~))\r\n"
	    "* 1 FETCH (MODSEQ (~))\r\n* 2 FETCH (MODSEQ (~))\r\n* 3 FETCH (MODSEQ (~))\r\n* 4 FETCH (MODSEQ (~))\r\nb OK ~");
	m1 = modseq_of(&a, 1);
	m3 = modseq_of(&a, 3);
	assert_true(m1 > m3 && m3 > modseq_of(&a, 4) && modseq_of(&a, 4) > modseq_of(&a, 2));
	assert_true(highest(&a) == m1);
	DOF(a, "c UID FETCH 1:* FLAGS (CHANGEDSINCE @1)\r\n", "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent) MODSEQ (@2))\r\nc OK ~", m3, m1);
	DOF(a, "c FETCH 1:* (FLAGS) (CHANGEDSINCE @1)\r\n", "* 1 FETCH (FLAGS (\\Flagged \\Recent) MODSEQ (@3))\r\n"
	    "* 3 FETCH (FLAGS (\\Seen \\Recent) MODSEQ (@2))\r\nc OK ~", m3 - 1, m3, m1);
	DOF(a, "c FETCH 2:4 (MODSEQ UID) (CHANGEDSINCE @1)\r\n", "* 3 FETCH (MODSEQ (@2) UID 3)\r\nc OK ~", m3 - 1, m3);
	DOF(a, "c FETCH 1:* FAST (changedsince @1)\r\n", "c OK ~", m1);
	/* Phones ask so: all of them. */
	DO(a, "c FETCH 1:4 UID (CHANGEDSINCE 0)\r\n", "* 1 FETCH (UID 1 MODSEQ ~* 2 ~* 3 ~* 4 FETCH (UID 4 MODSEQ (~))\r\nc OK ~");
	/* One that never was: whoever names it saw what a crash has undone. */
	DO(a, "c FETCH 1:4 UID (CHANGEDSINCE 9223372036854775807)\r\n", "* 1 FETCH (UID 1 MODSEQ ~* 4 FETCH (UID 4 MODSEQ (~))\r\nc OK ~");
	DO(a, "c FETCH 1:4 UID (CHANGEDSINCE 9223372036854775808)\r\n", "c BAD ~");
	DO(a, "c FETCH 1 UID (CHANGEDSINCE)\r\nc FETCH 1 UID (CHANGEDSINCE -1)\r\nc FETCH 1 UID (CHANGEDSINCE 1 CHANGEDSINCE 2)\r\n", "c BAD ~c BAD ~c BAD ~");
	DO(a, "c FETCH 1 UID ()\r\nc FETCH 1 UID (FOO)\r\nc FETCH 1 UID CHANGEDSINCE 1\r\nc FETCH 1 UID (CHANGEDSINCE 1) \r\n", "c BAD ~c BAD ~c BAD ~c BAD ~");
	/* A FETCH that does not ask for it is not told (3.2.4), one that sets \Seen is. */
	DO(a, "d FETCH 2 (FLAGS)\r\n", "* 2 FETCH (FLAGS (\\Recent))\r\nd OK ~");
	DO(a, "d FETCH 2 BODY[TEXT]\r\n", "* 2 FETCH (BODY[TEXT] {12}\r\nHello Bob.\r\n UID 2 FLAGS (\\Seen \\Recent) MODSEQ (~))\r\nd OK ~");
	assert_true(modseq_of(&a, 2) > m1 && modseq_of(&a, 2) == highest(&a));
	DO(a, "d UID FETCH 4 (MODSEQ BODY[TEXT])\r\n", "* 4 FETCH (UID 4 MODSEQ (~) BODY[TEXT] {12}\r\nHello Bob.\r\n FLAGS (\\Seen \\Recent))\r\nd OK ~");
	m1 = modseq_of(&a, 4);
	DOF(a, "d FETCH 4 BODY[TEXT]\r\ne FETCH 4 MODSEQ\r\n", "* 4 FETCH (BODY[TEXT] ~)\r\nd OK ~* 4 FETCH (MODSEQ (@1))\r\ne OK ~", m1);
	/* The one who did not enable it: FLAGS alone. */
	DO(b, "d NOOP\r\n", "* 2 FETCH (FLAGS (\\Seen))\r\n* 4 FETCH (FLAGS (\\Seen))\r\nd OK ~");
	client_close(&a);
	client_close(&b);
}

/* As many items as there may be, and the two that are added; one more is refused. */
static void
test_items_limit(void **state)
{
	struct buf	b = buf_make(8192);
	struct client	a;

	(void)state;
	assert_int_equal(client_begin(&a, "items"), 0);
	append(&a, "INBOX", "", PLAIN);
	DO(a, "a SELECT INBOX\r\n", "~a OK ~");
	for (int more = 0; more < 2; more++) {
		buf_clear(&b);
		(void)buf_add_str(&b, "b UID FETCH 1 (FLAGS");
		for (int i = 1; i < 64 + more; i++)
			(void)buf_add_str(&b, " RFC822.SIZE");
		(void)buf_add_str(&b, ") (CHANGEDSINCE 1)\r\n");
		client_send(&a, buf_slice(&b), 0, 0);
		got_check("items", "UID FETCH", &a, more == 0 ? "~* 1 FETCH (UID 1 FLAGS (~) RFC822.SIZE ~ MODSEQ (~))\r\nb OK ~" : "b BAD ~");
	}
	client_close(&a);
	buf_free(&b);
}

/* Changes far apart in a large mailbox: each once, in order, with its number; also where another session expunged some. */
static void
test_fetch_many(void **state)
{
	enum { N = 5 << 8 };	/* 1280: five batches */
	struct buf		want = buf_make(1024 * 1024);
	unsigned long long	since, now;
	char			send[64];
	struct client		a, b;

	(void)state;
	two_clients(&a, &b, "fetchmany", 5);
	DO(a, "a SELECT INBOX (CONDSTORE)\r\n", "~a OK ~");
	for (int i = 0; i < 8; i++)
		DO(a, "b COPY 1:* INBOX\r\n", "~b OK [COPYUID ~");
	DO(b, "a SELECT INBOX\r\n", "~* 1280 EXISTS\r\n~a OK ~");
	since = highest(&a);
	DO(b, "b STORE 7:600,1279 +FLAGS.SILENT (\\Flagged)\r\n", "b OK ~");
	DO(a, "c NOOP\r\n", "* 7 FETCH (UID 7 FLAGS (\\Flagged~* 1279 FETCH ~c OK ~");
	DO(b, "b STORE 3:5 +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\n", "b OK ~c OK ~");
	now = modseq_of(&a, 7);
	for (int i = 7; i <= 600; i++)
		(void)buf_addf(&want, "* %d FETCH (UID %d MODSEQ (%llu))\r\n", i, i, now);
	(void)buf_addf(&want, "* 1279 FETCH (UID 1279 MODSEQ (%llu))\r\n* 3 EXPUNGE\r\n* 3 EXPUNGE\r\n* 3 EXPUNGE\r\nd OK [HIGHESTMODSEQ ~", now);
	(void)buf_add(&want, "", 1);
	(void)snprintf(send, sizeof(send), "d UID FETCH 1:* UID (CHANGEDSINCE %llu)\r\n", since);
	client_send(&a, slice_of(send), 0, 0);
	got_check("fetchmany", send, &a, want.p);
	DO(a, "e NOOP\r\n", "e OK ~");
	assert_true(highest(&a) > now);
	/* The numbers after it. */
	DOF(a, "f FETCH 1276 UID (CHANGEDSINCE @1)\r\ng FETCH 597:* UID (CHANGEDSINCE @1)\r\n",
	    "* 1276 FETCH (UID 1279 MODSEQ (@2))\r\nf OK ~* 597 FETCH (UID 600 MODSEQ (@2))\r\n* 1276 FETCH (UID 1279 ~\r\ng OK ~", since, now);
	client_close(&a);
	client_close(&b);
	buf_free(&want);
}

/* The examples of 3.1.3, and what is told without asking. */
static void
test_store(void **state)
{
	unsigned long long	m;
	struct client		a, b;

	(void)state;
	two_clients(&a, &b, "store", 9);
	DO(a, "a SELECT INBOX\r\n", "~a OK ~");
	DO(b, "a SELECT INBOX\r\n", "~a OK ~");
	m = highest(&b);
	/* Examples 3 and 4: all pass; .SILENT or not, MODSEQ is told, FLAGS only where they are not known. */
	DOF(a, "a103 UID STORE 6,4,8 (UNCHANGEDSINCE @1) +FLAGS.SILENT (\\Deleted)\r\n", "* OK [HIGHESTMODSEQ @1] ~\r\n* 4 FETCH (UID 4 MODSEQ (~))\r\n"
	    "* 6 FETCH (UID 6 MODSEQ (~))\r\n* 8 FETCH (UID 8 MODSEQ (~))\r\na103 OK Conditional UID STORE completed\r\n", m);
	DOF(a, "a104 STORE * (UNCHANGEDSINCE @1) +FLAGS.SILENT (\\Deleted $Processed)\r\n", "* 9 FETCH (UID 9 MODSEQ (~))\r\na104 OK Conditional STORE completed\r\n", m);
	DOF(a, "a104 STORE 1 (UNCHANGEDSINCE @1) FLAGS (\\Answered)\r\n", "* 1 FETCH (UID 1 FLAGS (\\Answered \\Recent) MODSEQ (~))\r\na104 OK ~", m);
	/* Nothing to change is no failure, and no new modseq. */
	DOF(a, "a104 STORE 1 (UNCHANGEDSINCE @1) +FLAGS.SILENT (\\Answered)\r\n", "* 1 FETCH (UID 1 MODSEQ (@1))\r\na104 OK ~", modseq_of(&a, 1));
	/* Example 6 and 10: some fail; their flags are told, so that no client must ask. */
	m = highest(&a);
	DO(b, "b STORE 7,9 +FLAGS.SILENT (\\Flagged)\r\n", "~b OK ~");
	DOF(a, "d105 STORE 7,5,9 (UNCHANGEDSINCE @1) +FLAGS.SILENT (\\Deleted)\r\n",
	    "* 7 FETCH (UID 7 FLAGS (\\Flagged \\Recent) MODSEQ (~))\r\n~* 9 FETCH (UID 9 FLAGS (\\Flagged \\Deleted $Processed \\Recent) MODSEQ (~))\r\n"
	    "* 5 FETCH (UID 5 MODSEQ (~))\r\n* 7 FETCH (UID 7 FLAGS (\\Flagged \\Recent) MODSEQ (~))\r\n"
	    "* 9 FETCH (UID 9 FLAGS (\\Flagged \\Deleted $Processed \\Recent) MODSEQ (~))\r\nd105 OK [MODIFIED 7,9] ~", m);
	DOF(a, "d106 STORE 5:8 (UNCHANGEDSINCE @1) +FLAGS (\\Draft)\r\n", "~d106 OK [MODIFIED 5,7] ~", m);
	DOF(a, "d106 UID STORE 1:* (UNCHANGEDSINCE @1) +FLAGS (\\Draft)\r\n", "~d106 OK [MODIFIED 5:9] ~", m);
	DOF(a, "d106 FETCH 7 FLAGS\r\n", "* 7 FETCH (FLAGS (\\Flagged \\Recent))\r\nd106 OK ~", m);
	/* In a set twice is once. */
	m = highest(&a);
	DOF(a, "e105 STORE 7,3:9 (UNCHANGEDSINCE @1) +FLAGS.SILENT (\\Answered)\r\n", "* 3 FETCH (UID 3 MODSEQ (~* 9 FETCH (UID 9 MODSEQ (~))\r\ne105 OK Cond~", m);
	/* Example 7, 8: system flags are always there, a keyword may not be. */
	DO(a, "f STORE 1 (UNCHANGEDSINCE 0) +FLAGS (\\Seen)\r\n", "* 1 FETCH ~f OK [MODIFIED 1] ~");
	DO(a, "f STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)\r\n", "* 1 FETCH (UID 1 MODSEQ ~f OK Cond~");
	DO(a, "f STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)\r\n", "~* 1 FETCH (UID 1 FLAGS (~$MDNSent~) MODSEQ ~f OK [MODIFIED 1] ~");
	DO(a, "f STORE 1 (UNCHANGEDSINCE 0) FLAGS ($New)\r\n", "* 1 FETCH ~f OK [MODIFIED 1] ~");
	DO(a, "f STORE 1 (UNCHANGEDSINCE 0) -FLAGS ($MDNSent)\r\n", "* 1 FETCH ~f OK [MODIFIED 1] ~");
	DO(a, "f STORE 1 (UNCHANGEDSINCE 9223372036854775807) +FLAGS.SILENT ($Last)\r\n", "* 1 FETCH ~f OK Cond~");
	DO(a, "f STORE 1 (UNCHANGEDSINCE 9223372036854775808) +FLAGS.SILENT ($Last)\r\n", "f BAD ~");
	DO(a, "f STORE 1 (UNCHANGEDSINCE) +FLAGS (x)\r\nf STORE 1 () +FLAGS (x)\r\nf STORE 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 1) +FLAGS (x)\r\n", "f BAD ~f BAD ~f BAD ~");
	DO(a, "f STORE 1(UNCHANGEDSINCE 1) +FLAGS (x)\r\nf STORE 1 (UNCHANGEDSINCE 1)+FLAGS (x)\r\nf STORE 1 (FOO 1) +FLAGS (x)\r\n", "f BAD ~f BAD ~f BAD ~");
	/* Without the modifier: MODSEQ is told all the same (example 14). */
	DO(a, "A160 STORE 7 +FLAGS.SILENT (\\Seen)\r\n", "* 7 FETCH (UID 7 MODSEQ (~))\r\nA160 OK STORE completed\r\n");
	DO(a, "A160 STORE 7 +FLAGS.SILENT (\\Seen)\r\n", "A160 OK STORE completed\r\n");
	DO(b, "C180 NOOP\r\n", "~* 7 FETCH (UID 7 FLAGS (~\\Seen~) MODSEQ (~))\r\n~C180 OK ~");
	DO(a, "g UNSELECT\r\ng EXAMINE INBOX\r\ng STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)\r\n", "g OK ~g OK ~g NO ~");
	client_close(&a);
	client_close(&b);
}

/* Two sessions set the same flag where it was not set: one of them wins. */
static void
test_race(void **state)
{
	unsigned long long	m;
	struct client		a, b;

	(void)state;
	two_clients(&a, &b, "race", 3);
	DO(a, "a SELECT INBOX (CONDSTORE)\r\n", "~a OK ~");
	DO(b, "a SELECT INBOX (CONDSTORE)\r\n", "~a OK ~");
	m = highest(&a);
	assert_true(highest(&b) == m);
	DOF(a, "b STORE 2 (UNCHANGEDSINCE @1) +FLAGS.SILENT ($Processed)\r\n", "* 2 FETCH (UID 2 MODSEQ (~))\r\nb OK Cond~", m);
	DOF(b, "b STORE 1:3 (UNCHANGEDSINCE @1) +FLAGS.SILENT ($Processed)\r\n", "~* 2 FETCH (UID 2 FLAGS ($Processed) MODSEQ (~))\r\n"
	    "* 1 FETCH (UID 1 MODSEQ ~* 2 FETCH ~* 3 FETCH ~b OK [MODIFIED 2] ~", m);
	/* A message that another session expunged is neither changed nor MODIFIED (RFC 2180 4.2). */
	DO(b, "c STORE 1 +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\n", "~c OK ~* 1 EXPUNGE\r\nc OK [HIGHESTMODSEQ ~] EXPUNGE completed\r\n");
	DOF(a, "c STORE 1:3 (UNCHANGEDSINCE @1) +FLAGS.SILENT (\\Seen)\r\n",
	    "~* 3 FETCH (UID 3 FLAGS ~* OK [HIGHESTMODSEQ ~] ~\r\nc OK [MODIFIED 2:3] ~", m);
	client_close(&a);
	client_close(&b);
}

static void
test_search(void **state)
{
	unsigned long long	m2, m4;
	struct client		a;

	(void)state;
	assert_int_equal(client_begin(&a, "search"), 0);
	for (int i = 0; i < 5; i++)
		append(&a, "INBOX", "", PLAIN);
	DO(a, "a SELECT INBOX\r\n", "~a OK ~");
	DO(a, "a STORE 4 +FLAGS.SILENT (\\Draft)\r\na STORE 2 +FLAGS.SILENT (\\Draft)\r\n", "a OK ~a OK ~");
	m4 = modseq_of(&a, 4);
	m2 = modseq_of(&a, 2);
	DOF(a, "a SEARCH MODSEQ \"/flags/\\\\draft\" all @1\r\n", "* SEARCH 2 4 (MODSEQ @2)\r\na OK ~", m4, m2);
	DOF(a, "a UID SEARCH MODSEQ @1\r\n", "* SEARCH 2 (MODSEQ @2)\r\na OK ~", m4 + 1, m2);
	DOF(a, "a SEARCH 3:* MODSEQ @1\r\n", "* SEARCH 4 (MODSEQ @1)\r\na OK ~", m4);
	DOF(a, "a SEARCH NOT MODSEQ @1 DRAFT\r\n", "* SEARCH 4 (MODSEQ @2)\r\na OK ~", m2, m4);
	DOF(a, "a SEARCH MODSEQ @1 MODSEQ @2\r\n", "* SEARCH 2 (MODSEQ @2)\r\na OK ~", m4, m2);
	DOF(a, "a SEARCH MODSEQ @1\r\n", "* SEARCH\r\na OK ~", m2 + 1);
	DO(a, "t SEARCH OR NOT MODSEQ 9223372036854775807 LARGER 50000\r\n", "* SEARCH 1 2 3 4 5 (MODSEQ ~)\r\nt OK ~");
	DO(a, "t SEARCH MODSEQ 0\r\n", "* SEARCH 1 2 3 4 5 (MODSEQ ~)\r\nt OK ~");
	DO(a, "t SEARCH MODSEQ 1\r\n", "* SEARCH 1 2 3 4 5 (MODSEQ ~)\r\nt OK ~");
	DO(a, "t SEARCH MODSEQ \"/flags/$junk\" priv 1 ALL\r\n", "* SEARCH 1 2 3 4 5 (MODSEQ ~)\r\nt OK ~");
	DO(a, "t SEARCH ALL\r\n", "* SEARCH 1 2 3 4 5\r\nt OK ~");
	DO(a, "t SEARCH MODSEQ\r\nt SEARCH MODSEQ x\r\nt SEARCH MODSEQ 9223372036854775808\r\nt SEARCH MODSEQ \"/flags/x\" 1\r\n", "t BAD ~t BAD ~t BAD ~t BAD ~");
	DO(a, "t SEARCH MODSEQ \"/flags/\" all 1\r\nt SEARCH MODSEQ \"/flags/x\" every 1\r\nt SEARCH MODSEQ \"x\" all 1\r\n", "t BAD ~t BAD ~t BAD ~");
	client_close(&a);
}

/* With what else a search may return (RFC 4731 3.2, RFC 7162 3.1.9 and 3.1.10, RFC 9394 3.1). */
static void
test_search_return(void **state)
{
	unsigned long long	m2, m4, m5;
	struct client		a;

	(void)state;
	assert_int_equal(client_begin(&a, "search_return"), 0);
	for (int i = 0; i < 6; i++)
		append(&a, "INBOX", "", PLAIN);
	DO(a, "a SELECT INBOX\r\n", "~a OK ~");
	DO(a, "a STORE 4 +FLAGS.SILENT (\\Draft)\r\na STORE 2 +FLAGS.SILENT (\\Draft)\r\na STORE 5 +FLAGS.SILENT (\\Draft)\r\n",
	    "a OK ~a OK ~a OK ~");
	m4 = modseq_of(&a, 4);
	m2 = modseq_of(&a, 2);
	m5 = modseq_of(&a, 5);
	DOF(a, "a SEARCH RETURN (MIN) MODSEQ @1\r\n", "* ESEARCH (TAG \"a\") MIN 2 MODSEQ @2\r\na OK ~", m4, m2);
	DOF(a, "a SEARCH RETURN (MAX) MODSEQ @1 NOT 5\r\n", "* ESEARCH (TAG \"a\") MAX 4 MODSEQ @1\r\na OK ~", m4);
	DOF(a, "a SEARCH RETURN (MIN MAX) MODSEQ @1 NOT 5\r\n", "* ESEARCH (TAG \"a\") MIN 2 MAX 4 MODSEQ @2\r\na OK ~", m4, m2);
	DOF(a, "a SEARCH RETURN (MIN COUNT) MODSEQ @1\r\n", "* ESEARCH (TAG \"a\") MIN 2 COUNT 3 MODSEQ @2\r\na OK ~", m4, m5);
	DOF(a, "a SEARCH RETURN () MODSEQ @1\r\n", "* ESEARCH (TAG \"a\") ALL 2,4:5 MODSEQ @2\r\na OK ~", m4, m5);
	DOF(a, "a SEARCH RETURN (PARTIAL 1:2) MODSEQ @1\r\n", "* ESEARCH (TAG \"a\") PARTIAL (1:2 2,4) MODSEQ @2\r\na OK ~", m4, m2);
	DOF(a, "a SEARCH RETURN (ALL) MODSEQ @1\r\n", "* ESEARCH (TAG \"a\")\r\na OK ~", m5 + 1);
	DOF(a, "a SORT (REVERSE ARRIVAL) UTF-8 MODSEQ @1\r\n", "* SORT ~ (MODSEQ @2)\r\na OK ~", m4, m5);
	DOF(a, "a SORT (ARRIVAL) UTF-8 MODSEQ @1\r\n", "* SORT\r\na OK ~", m5 + 1);
	DOF(a, "a UID FETCH 1:* FLAGS (PARTIAL 3:4 CHANGEDSINCE @1)\r\n", "* 4 FETCH (UID ~ FLAGS (\\Draft ~) MODSEQ (@2))\r\na OK ~", m4 - 1, m4);
	/* "$" is a set of UIDs also where what is gone is asked for. */
	DO(a, "a ENABLE QRESYNC\r\na SEARCH RETURN (SAVE) 2:4\r\na UID FETCH $ FLAGS (CHANGEDSINCE 1 VANISHED)\r\n",
	    "* ENABLED QRESYNC\r\na OK ~a OK ~* 2 FETCH ~* 3 FETCH ~* 4 FETCH ~a OK ~");
	DO(a, "a UID STORE $ +FLAGS.SILENT (\\Deleted)\r\na UID EXPUNGE $\r\n", "~a OK ~* VANISHED ~\r\na OK ~");
	DO(a, "a UID FETCH $ FLAGS (CHANGEDSINCE 1 VANISHED)\r\n", "* VANISHED (EARLIER) ~\r\na OK ~");
	DO(a, "a SELECT INBOX (QRESYNC (1 1 $))\r\n", "a BAD ~");
	client_close(&a);
}

/* What HIGHESTMODSEQ may say (3.2, 6): never more than was told, whatever MODSEQs were. */
static void
test_highest(void **state)
{
	unsigned long long	before, expunged, m;
	struct client		a, b;

	(void)state;
	two_clients(&a, &b, "highest", 8);
	DO(a, "a SELECT INBOX (CONDSTORE)\r\n", "~a OK ~");
	DO(b, "a SELECT INBOX (CONDSTORE)\r\n", "~a OK ~");
	before = highest(&a);
	DO(b, "b STORE 8 +FLAGS.SILENT (\\Deleted)\r\n", "~b OK ~");
	DO(a, "b FETCH 8 UID\r\n", "* 8 FETCH (UID 8 FLAGS ~) MODSEQ (~))\r\n* 8 FETCH (UID 8)\r\nb OK ~");
	before = highest(&a);
	expunged = number_after(&b, "c EXPUNGE\r\n", "c OK [HIGHESTMODSEQ ");
	assert_true(expunged > before);
	/* The expunge may not be told: what is told of later changes does not count. */
	DOF(a, "A150 STORE 1:2 +FLAGS.SILENT (\\Seen)\r\n", "* 1 FETCH (UID 1 MODSEQ (~))\r\n* 2 FETCH (UID 2 MODSEQ (~))\r\nA150 OK [HIGHESTMODSEQ @1] ~", before);
	DOF(a, "A151 STORE 1 (UNCHANGEDSINCE 1) +FLAGS.SILENT \\Seen\r\n", "* 1 FETCH ~* OK [HIGHESTMODSEQ @1] ~\r\nA151 OK [MODIFIED 1] ~", before);
	DOF(a, "A151 FETCH 1 MODSEQ\r\n", "* 1 FETCH ~A151 OK [HIGHESTMODSEQ @1] ~", before);
	DOF(a, "A151 FETCH 1 FLAGS\r\n", "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\nA151 OK FETCH completed\r\n", before);
	DO(b, "d STORE 3 +FLAGS.SILENT (\\Flagged)\r\n", "~d OK ~");
	DOF(a, "A151 SEARCH (\r\n", "* 3 FETCH (UID 3 FLAGS ~) MODSEQ (~))\r\n* OK [HIGHESTMODSEQ @1] ~\r\nA151 BAD ~", before);
	DO(b, "d STORE 3 -FLAGS.SILENT (\\Flagged)\r\n", "~d OK ~");
	DOF(a, "A151 FETCH 77 UID\r\n", "* 3 FETCH (UID 3 FLAGS ~) MODSEQ (~))\r\n* OK [HIGHESTMODSEQ @1] ~\r\nA151 BAD ~", before);
	DO(a, "A152 NOOP\r\n", "* 8 EXPUNGE\r\nA152 OK [HIGHESTMODSEQ ~] Completed\r\n");
	DO(a, "A153 NOOP\r\n", "A153 OK Completed\r\n");
	/* Told: nothing is held back any more. */
	DO(a, "A154 STORE 1:2 -FLAGS.SILENT (\\Seen)\r\n", "* 1 ~* 2 ~A154 OK STORE completed\r\n");
	/* EXPUNGE, UID EXPUNGE, MOVE tell it; CLOSE must not (3.2.8). */
	DO(a, "e STORE 1,5 +FLAGS.SILENT (\\Deleted)\r\nf UID EXPUNGE 5\r\n", "~e OK ~* 5 EXPUNGE\r\nf OK [HIGHESTMODSEQ ~] UID EXPUNGE completed\r\n");
	DO(a, "e UID EXPUNGE 5\r\n", "e OK UID EXPUNGE completed\r\n");
	m = number_after(&a, "e EXPUNGE\r\n", "* 1 EXPUNGE\r\ne OK [HIGHESTMODSEQ ");
	assert_true(highest(&a) == m && m > expunged);
	DO(a, "e MOVE 1 Sent\r\n", "* OK [COPYUID ~* 1 EXPUNGE\r\ne OK [HIGHESTMODSEQ ~] MOVE completed\r\n");
	DO(a, "e COPY 1 Sent\r\n", "e OK [COPYUID ~] COPY completed\r\n");
	DO(b, "e NOOP\r\ne STORE 1 +FLAGS.SILENT (\\Deleted)\r\ne CLOSE\r\n", "~e OK CLOSE completed\r\n");
	/* COPY has a code of its own. */
	DO(a, "e COPY 1:* Sent\r\n", "~* 1 EXPUNGE\r\n* OK [HIGHESTMODSEQ ~] ~\r\ne OK [COPYUID ~");
	/* In IDLE at once. */
	DO(a, "f IDLE\r\n", "+ idling\r\n");
	DO(b, "f SELECT INBOX\r\nf STORE 1 +FLAGS.SILENT (\\Deleted)\r\nf EXPUNGE\r\n", "~f OK ~f OK ~f OK ~");
	client_turn(&a, SESSION_CHANGED);
	got_check("highest", "(changed)", &a, "* 1 EXPUNGE\r\n* OK [HIGHESTMODSEQ ~] ~\r\n");
	DO(a, "DONE\r\n", "f OK IDLE completed\r\n");
	client_close(&a);
	client_close(&b);
	/* Who did not ask is not told. */
	assert_int_equal(client_begin(&a, "highest"), 0);
	DO(a, "a SELECT INBOX\r\nb STORE 1 +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\n", "~b OK ~* 1 EXPUNGE\r\nc OK EXPUNGE completed\r\n");
	client_close(&a);
}

static void
test_status(void **state)
{
	unsigned long long	m;
	struct client		c;

	(void)state;
	assert_int_equal(client_begin(&c, "status"), 0);
	DO(c, "A042 STATUS INBOX (UIDNEXT MESSAGES HIGHESTMODSEQ)\r\n", "* STATUS \"INBOX\" (MESSAGES 0 UIDNEXT 1 HIGHESTMODSEQ ~)\r\nA042 OK ~");
	/* Never 0: that says that there are none. */
	m = highest(&c);
	assert_true(m >= 1);
	append(&c, "INBOX", "", PLAIN);
	assert_true(highest(&c) > m);
	DO(c, "a LIST \"\" INBOX RETURN (STATUS (HIGHESTMODSEQ))\r\n", "* LIST ~* STATUS \"INBOX\" (HIGHESTMODSEQ ~)\r\na OK ~");
	m = highest(&c);
	DOF(c, "a SELECT INBOX\r\n", "~* OK [HIGHESTMODSEQ @1] ~a OK ~", m);
	client_close(&c);
}

/* A message told with its modseq is told once; told without, its modseq is news. */
static void
test_told(void **state)
{
	struct session	s = {.command = arena_make(1 << 20)};
	struct imap	im = {.s = &s, .enabled = ENABLED_CONDSTORE};
	struct msg_info	m = {.uid = 5, .seq = 1, .flags = MSG_SEEN, .modseq = 7};
	struct told	*taken;
	size_t		 n;

	(void)state;
	told_add(&im, &m);
	assert_true(told_has(&im, &m) && told_has_modseq(&im, &m));
	m.modseq = 8;
	assert_true(told_has(&im, &m) && !told_has_modseq(&im, &m));
	/* Neighbours of another modseq are not one with it. */
	m = (struct msg_info){.uid = 6, .seq = 2, .flags = MSG_SEEN, .modseq = 8};
	told_add(&im, &m);
	assert_int_equal(im.ntold, 2);
	m.flags = 0;
	assert_true(!told_has(&im, &m) && !told_has_modseq(&im, &m));
	taken = told_take(&im, &n);
	m.flags = MSG_SEEN;
	assert_true(n == 2 && told_are(taken, n, &m) && !told_has(&im, &m) && im.told == NULL);
	arena_free(&s.command);
}

/* Packed states that say what cannot be. */
static void
test_forged(void **state)
{
	struct buf	good = buf_make(SESSION_STATE_MAX_BYTES);
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "forged"), 0);
	DO(c, "a SELECT INBOX (CONDSTORE)\r\n", "~a OK ~");
	(void)buf_add_slice(&good, buf_slice(&c.state));
	/* Version, bits, three counts; then what is enabled, the mailbox's id, two numbers and two modseqs, little-endian: their highest bit. */
	for (size_t i = 0; i < 2; i++) {
		buf_clear(&c.state);
		(void)buf_add_slice(&c.state, buf_slice(&good));
		c.state.p[5 + 4 + RECORD_ID_BYTES + 8 + i * 8 + 7] |= (char)0x80;
		client_turn(&c, SESSION_INPUT);
		got_check("forged", "(modseq)", &c, "* BYE ~");
		assert_string_equal(c.end_why, "state");
	}
	client_close(&c);
	buf_free(&good);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_enable), cmocka_unit_test(test_enabling), cmocka_unit_test(test_select), cmocka_unit_test(test_fetch), cmocka_unit_test(test_items_limit),
		cmocka_unit_test(test_fetch_many), cmocka_unit_test(test_store), cmocka_unit_test(test_race), cmocka_unit_test(test_search), cmocka_unit_test(test_search_return),
		cmocka_unit_test(test_highest), cmocka_unit_test(test_status), cmocka_unit_test(test_told), cmocka_unit_test(test_forged),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
