/*
 * QRESYNC (RFC 7162 3.2) by transcripts, and a client that loses its connection at any moment and must know the mailbox
 * after it came back, whatever others did to it.
 */
#include "imap_modseq.h"

#define CLIENT_UIDS	3000
#define ROUNDS		30	/* each command lingers 20 ms */

static unsigned long long
uidvalidity_of(struct client *c)
{
	return number_after(c, "v STATUS INBOX (UIDVALIDITY)\r\n", "UIDVALIDITY ");
}

/* Purges what was expunged, as upkeep does after expunge_keep. */
static void
purge(const char *user)
{
	struct store	*s;
	uint64_t	 n;

	assert_int_equal(store_open(&test_host, slice_of(user), &s), FOUND);
	assert_int_equal(store_purge(s, INT64_MAX, &n), STORE_OK);
	store_close(s);
}

static void
test_enable(void **state)
{
	static const struct step	steps[] = {
		{"a CAPABILITY\r\n", "~ CONDSTORE ~ QRESYNC ~"},
		{"a SELECT INBOX (QRESYNC (1 1))\r\n", "a BAD ~"}, {"a ENABLE CONDSTORE\r\n", "* ENABLED CONDSTORE\r\na OK ~"},
		{"a EXAMINE INBOX (QRESYNC (1 1))\r\n", "a BAD ~"}, {"a SELECT INBOX\r\n", "~a OK ~"},
		{"a UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)\r\n", "a BAD ~"},
		{"a ENABLE QRESYNC X\r\n", "* ENABLED QRESYNC\r\na OK ~"}, {"a ENABLE CONDSTORE QRESYNC\r\n", "* ENABLED\r\na OK ~"},
		{"a UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)\r\n", "a OK ~"}, {"a UID FETCH 1:* FLAGS (VANISHED CHANGEDSINCE 1)\r\n", "a OK ~"},
		{"a FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)\r\n", "a BAD ~"}, {"a UID FETCH 1:* FLAGS (VANISHED)\r\n", "a BAD ~"},
		{"a UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED VANISHED)\r\n", "a BAD ~"},
		/* What is sent is looked at before the mailbox is closed. */
		{"a SELECT INBOX (QRESYNC)\r\n", "a BAD ~"}, {"a SELECT INBOX (QRESYNC ())\r\n", "a BAD ~"}, {"a SELECT INBOX (QRESYNC (1))\r\n", "a BAD ~"},
		{"a SELECT INBOX (QRESYNC (0 1))\r\n", "a BAD ~"}, {"a SELECT INBOX (QRESYNC (1 9223372036854775808))\r\n", "a BAD ~"},
		{"a SELECT INBOX (QRESYNC (1 1 1:*))\r\n", "a BAD ~"}, {"a SELECT INBOX (QRESYNC (1 1 *))\r\n", "a BAD ~"},
		{"a SELECT INBOX (QRESYNC (1 1 1 (1 *)))\r\n", "a BAD ~"}, {"a SELECT INBOX (QRESYNC (1 1 1 (* 1)))\r\n", "a BAD ~"},
		{"a NOOP\r\n", "a OK ~"}, {"a SELECT INBOX (QRESYNC (1 1 1 (2,1 1,2)))\r\n", "a BAD ~"}, {"a SELECT INBOX (QRESYNC (1 1 1 (1,2 2:1)))\r\n", "a BAD ~"},
		{"a SELECT INBOX (QRESYNC (1 1 1 (1:3,3 1:4)))\r\n", "a BAD ~"}, {"a SELECT INBOX (QRESYNC (1 1 1 ()))\r\n", "a BAD ~"},
		{"a SELECT INBOX (QRESYNC (1 1 1 (1)))\r\n", "a BAD ~"}, {"a SELECT INBOX (QRESYNC (1 1 1 (1 1) 1))\r\n", "a BAD ~"},
		{"a SELECT INBOX (QRESYNC (1 1 ))\r\n", "a BAD ~"}, {"a SELECT INBOX (QRESYNC (1 1)\r\n", "a BAD ~"},
		{"a SELECT INBOX (QRESYNC (1 1) QRESYNC (1 1))\r\n", "a BAD ~"}, {"a CHECK\r\n", "a OK ~"},
		{"a SELECT INBOX (QRESYNC (1 9223372036854775807 9:7,1 (1:3,5 2:4,6)) CONDSTORE)\r\n", "* OK [CLOSED] ~a OK ~"},
		{"a SELECT INBOX (CONDSTORE QRESYNC (4294967295 0 (1 1)))\r\n", "* OK [CLOSED] ~a OK ~"},
	};
	struct client			c, d;

	(void)state;
	assert_int_equal(client_begin(&c, "enable"), 0);
	STEPS(&c, steps);
	/* Packed: QRESYNC without CONDSTORE cannot be. */
	c.state.p[5] = 2;
	client_turn(&c, SESSION_INPUT);
	got_check("enable", "(forged)", &c, "* BYE ~");
	client_close(&c);
	/* Both at once, in any order; the first CONDSTORE enabling command tells HIGHESTMODSEQ. */
	assert_int_equal(client_begin(&d, "enable"), 0);
	DO(d, "a SELECT INBOX\r\n", "~a OK ~");
	DO(d, "a ENABLE QRESYNC CONDSTORE\r\n", "* ENABLED CONDSTORE QRESYNC\r\n* OK [HIGHESTMODSEQ ~] ~\r\na OK ~");
	client_close(&d);
}

/* A mailbox of twenty messages, of which 4, 5, 8, 11 to 14 and 20 are expunged after `since`, and 2, 9 and 16 flagged. */
static unsigned long long
sample(struct client *a, const char *user)
{
	unsigned long long	since;

	assert_int_equal(client_begin(a, user), 0);
	for (int i = 0; i < 20; i++)
		append(a, "INBOX", "", PLAIN);
	DO(*a, "a ENABLE QRESYNC\r\na SELECT INBOX\r\n", "* ENABLED CONDSTORE QRESYNC\r\n~a OK ~");
	DO(*a, "b UID STORE 3 +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\n", "~* VANISHED 3\r\nc OK [HIGHESTMODSEQ ~");
	since = highest(a);
	DO(*a, "b UID STORE 4,5,8,11:14,20 +FLAGS.SILENT (\\Deleted)\r\nc UID EXPUNGE 1:13\r\n", "~* VANISHED 4:5,8,11:13\r\nc OK [HIGHESTMODSEQ ~] UID EXPUNGE completed\r\n");
	DO(*a, "c EXPUNGE\r\n", "* VANISHED 14,20\r\nc OK [HIGHESTMODSEQ ~] EXPUNGE completed\r\n");
	DO(*a, "d UID STORE 2,9,16 +FLAGS.SILENT (\\Flagged)\r\n", "* 2 FETCH (UID 2 MODSEQ (~))\r\n* 5 FETCH (UID 9 MODSEQ (~))\r\n* 8 FETCH (UID 16 MODSEQ (~))\r\nd OK ~");
	return since;
}

static void
test_select(void **state)
{
	unsigned long long	since, now, v;
	struct client		a, b;

	(void)state;
	since = sample(&a, "select");
	now = highest(&a);
	assert_int_equal(client_begin(&b, "select"), 0);
	DO(b, "a ENABLE QRESYNC\r\n", "* ENABLED CONDSTORE QRESYNC\r\na OK ~");
	v = uidvalidity_of(&b);
	/* All that SELECT tells, then what is gone, then what changed. */
	DOF(b, "A03 SELECT INBOX (QRESYNC (@1 @2))\r\n", "* FLAGS ~\r\n* 11 EXISTS\r\n* 0 RECENT\r\n* OK [UNSEEN 1] ~\r\n* OK [PERMANENTFLAGS ~\r\n* OK [UIDVALIDITY @1] ~\r\n"
	    "* OK [UIDNEXT 21] ~\r\n* OK [HIGHESTMODSEQ @3] ~\r\n* VANISHED (EARLIER) 4:5,8,11:14,20\r\n* 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ (~))\r\n"
	    "* 5 FETCH (UID 9 FLAGS (\\Flagged) MODSEQ (~))\r\n* 8 FETCH (UID 16 FLAGS (\\Flagged) MODSEQ (@3))\r\nA03 OK [READ-WRITE] SELECT completed\r\n", v, since, now);
	/* Of what it knows only. */
	DOF(b, "A03 EXAMINE INBOX (QRESYNC (@1 @2 15:16,7:12,1000))\r\n", "* OK [CLOSED] ~* OK [HIGHESTMODSEQ @3] ~\r\n* VANISHED (EARLIER) 8,11:12\r\n"
	    "* 5 FETCH (UID 9 ~\r\n* 8 FETCH (UID 16 ~\r\nA03 OK [READ-ONLY] ~", v, since, now);
	/* In step: nothing. Another UIDVALIDITY: nothing either. */
	DOF(b, "A03 SELECT INBOX (QRESYNC (@1 @2))\r\n", "~* OK [HIGHESTMODSEQ @2] ~\r\nA03 OK ~", v, now);
	DOF(b, "A03 SELECT INBOX (QRESYNC (@3 @2))\r\n", "~* OK [HIGHESTMODSEQ ~] Highest\r\nA03 OK ~", v, since, v + 1);
	/* What went before `since` is told where it does not cost a range (3.2.10.1 lets any UID be there that is not). */
	DOF(b, "A03 SELECT INBOX (QRESYNC (@1 1))\r\n", "~* VANISHED (EARLIER) 3:5,8,11:14,20\r\n* 1 FETCH ~* 11 FETCH (UID 19 ~\r\nA03 OK ~", v);
	/* UID FETCH says the same. "*" is the last that was. */
	DOF(b, "A04 UID FETCH 1:* (FLAGS) (CHANGEDSINCE @1 VANISHED)\r\n", "* VANISHED (EARLIER) 4:5,8,11:14,20\r\n* 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ (~))\r\n"
	    "* 5 FETCH (UID 9 ~* 8 FETCH (UID 16 FLAGS (\\Flagged) MODSEQ (~))\r\nA04 OK ~", since);
	DOF(b, "A04 UID FETCH 9:12,300:500 (FLAGS) (CHANGEDSINCE @1 VANISHED)\r\n", "* VANISHED (EARLIER) 11:12\r\n* 5 FETCH (UID 9 ~\r\nA04 OK ~", since);
	DOF(b, "A04 UID FETCH 15:18 UID (CHANGEDSINCE @1 VANISHED)\r\nA05 UID FETCH 1:* UID (CHANGEDSINCE @2 VANISHED)\r\n", "* 8 FETCH ~\r\nA04 OK ~A05 OK ~", since, now);
	/* Numbers are those of the mailbox: nothing shifts. */
	DO(b, "A06 FETCH 11 UID\r\n", "* 11 FETCH (UID 19)\r\nA06 OK ~");
	client_close(&a);
	client_close(&b);
}

/* 3.2.5.2: what the client shows that it knows is not told again. */
static void
test_match(void **state)
{
	unsigned long long	since, v;
	struct client		a, b;

	(void)state;
	since = sample(&a, "match");
	assert_int_equal(client_begin(&b, "match"), 0);
	DO(b, "a ENABLE QRESYNC\r\n", "~a OK ~");
	v = uidvalidity_of(&b);
#define MATCH(data, want)	DOF(b, "m SELECT INBOX (QRESYNC (@1 @2" data "))\r\n", "~* OK [HIGHESTMODSEQ ~] Highest\r\n" want "m OK ~", v, since)
	/* There are 1 2 6 7 9 10 15 16 17 18 19. */
	MATCH(" 1:20 (2 2)", "* VANISHED (EARLIER) 4:5,8,11:14,20\r\n* 2 FETCH ~* 5 FETCH ~* 8 FETCH ~\r\n");
	MATCH(" 1:20 (3 6)", "* VANISHED (EARLIER) 8,11:14,20\r\n* 2 FETCH ~");
	MATCH(" (3 6)", "* VANISHED (EARLIER) 8,11:14,20\r\n* 2 FETCH ~");
	MATCH(" 1:20 (5 8)", "* VANISHED (EARLIER) 4:5,8,11:14,20\r\n* 2 FETCH ~");
	MATCH(" 1:20 (3,5,7 6,8,15)", "* VANISHED (EARLIER) 8,11:14,20\r\n* 2 FETCH ~");
	MATCH(" 1:20 (1,3,5:6,8 1,6,9,10,17)", "* VANISHED (EARLIER) 11:14,20\r\n* 2 FETCH ~");
	MATCH(" 1:20 (1:2,11 1:2,19)", "* VANISHED (EARLIER) 20\r\n* 2 FETCH ~");
	MATCH(" 1:13 (1:2,11 1:2,19)", "* 2 FETCH ~* 5 FETCH ~\r\n");
	/* Runs of which a part matches: 1 and 2 do, 3 does not. */
	MATCH(" 1:20 (1:20 1:20)", "* VANISHED (EARLIER) 4:5,8,11:14,20\r\n* 2 FETCH ~");
	MATCH(" 1:20 (7:11 15:19)", "* VANISHED (EARLIER) 20\r\n* 2 FETCH ~");
	MATCH(" 1:20 (7:4294967295 15:4294967295)", "* VANISHED (EARLIER) 20\r\n* 2 FETCH ~");
	/* One set shorter than the other: as far as there are pairs. */
	MATCH(" 1:20 (1:3 1)", "* VANISHED (EARLIER) 4:5,8,11:14,20\r\n* 2 FETCH ~");
	MATCH(" 1:20 (3 6:9)", "* VANISHED (EARLIER) 8,11:14,20\r\n* 2 FETCH ~");
	client_close(&a);
	client_close(&b);
}

/* Past the purge horizon: all of the client's UIDs that are not there (DESIGN, "Expunge"; 3.2.6). */
static void
test_purged(void **state)
{
	unsigned long long	since, now, v;
	struct client		a, b;

	(void)state;
	since = sample(&a, "purged");
	now = highest(&a);
	client_close(&a);
	purge("purged");
	assert_int_equal(client_begin(&b, "purged"), 0);
	DO(b, "a ENABLE QRESYNC\r\n", "~a OK ~");
	v = uidvalidity_of(&b);
	DOF(b, "m SELECT INBOX (QRESYNC (@1 @2))\r\n", "~\r\n* VANISHED (EARLIER) 3:5,8,11:14,20\r\n* 2 FETCH ~m OK ~", v, since);
	DOF(b, "m SELECT INBOX (QRESYNC (@1 @2 1:3,13:30))\r\n", "~\r\n* VANISHED (EARLIER) 3,13:14,20\r\n* 2 FETCH ~m OK ~", v, since);
	DOF(b, "m SELECT INBOX (QRESYNC (@1 @2 1:30 (6 10)))\r\n", "~\r\n* VANISHED (EARLIER) 11:14,20\r\n* 2 FETCH ~m OK ~", v, since);
	DOF(b, "m UID FETCH 1:* UID (CHANGEDSINCE @1 VANISHED)\r\n", "* VANISHED (EARLIER) 3:5,8,11:14,20\r\n* 2 FETCH ~m OK ~", since);
	/* Who knows of the last expunge misses nothing. */
	DOF(b, "m SELECT INBOX (QRESYNC (@1 @2))\r\n", "~* OK [HIGHESTMODSEQ ~] Highest\r\nm OK ~", v, now);
	/* An empty mailbox: everything. One that never had any: nothing. */
	DO(b, "n STORE 1:* +FLAGS.SILENT (\\Deleted)\r\nn CLOSE\r\n", "~n OK CLOSE completed\r\n");
	purge("purged");
	DOF(b, "m SELECT INBOX (QRESYNC (@1 @2))\r\n", "* FLAGS ~* VANISHED (EARLIER) 1:20\r\nm OK ~", v, since);
	v = number_after(&b, "v STATUS Sent (UIDVALIDITY)\r\n", "UIDVALIDITY ");
	DOF(b, "m SELECT Sent (QRESYNC (@1 1))\r\n", "~* OK [HIGHESTMODSEQ ~] Highest\r\nm OK ~", v);
	client_close(&b);
}

/* VANISHED wherever EXPUNGE was, and nowhere else (3.2.10). */
static void
test_vanished(void **state)
{
	struct client	a, b;

	(void)state;
	two_clients(&a, &b, "vanished", 12);
	DO(a, "a ENABLE QRESYNC\r\na SELECT INBOX\r\n", "~a OK ~a OK ~");
	/* The other one never enabled it: EXPUNGE. */
	DO(b, "a SELECT INBOX\r\n", "~a OK ~");
	DO(b, "b STORE 2,3,5 +FLAGS.SILENT (\\Deleted)\r\n", "b OK ~");
	DO(b, "b EXPUNGE\r\n", "* 2 EXPUNGE\r\n* 2 EXPUNGE\r\n* 3 EXPUNGE\r\nb OK EXPUNGE completed\r\n");
	DO(a, "b FETCH 12 UID\r\nb SEARCH UID 2,12\r\nb STORE 12 +FLAGS.SILENT (\\Flagged)\r\n",
	    "* 12 FETCH (UID 12)\r\nb OK FETCH completed\r\n* SEARCH 12\r\nb OK SEARCH completed\r\n* 12 FETCH (UID 12 MODSEQ (~))\r\nb OK [HIGHESTMODSEQ ~] STORE completed\r\n");
	/* Numbers in a UID SEARCH: not even there. */
	DO(a, "b UID SEARCH OR 12 NOT UID 1:11\r\n", "* SEARCH 12\r\nb OK UID SEARCH completed\r\n");
	DO(a, "b UID SEARCH UID 12\r\n", "* SEARCH 12\r\n* VANISHED 2:3,5\r\nb OK [HIGHESTMODSEQ ~] UID SEARCH completed\r\n");
	DO(a, "b FETCH 9 UID\r\n", "* 9 FETCH (UID 12)\r\nb OK ~");
	DO(b, "c STORE 1 +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\n", "~c OK ~");
	DO(a, "c UID FETCH 12 UID\r\n", "* 9 FETCH (UID 12)\r\n* VANISHED 1\r\nc OK ~");
	DO(b, "c STORE 1 +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\n", "~c OK ~");
	DO(a, "c NOOP\r\n", "* VANISHED 4\r\nc OK [HIGHESTMODSEQ ~] Completed\r\n");
	DO(a, "c UID MOVE 6:7 Sent\r\n", "* OK [COPYUID ~] ~\r\n* VANISHED 6:7\r\nc OK [HIGHESTMODSEQ ~] UID MOVE completed\r\n");
	DO(b, "c NOOP\r\n", "~* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n~c OK ~");
	/* In IDLE, also after it was parked. */
	DO(a, "d IDLE\r\n", "+ idling\r\n");
	DO(b, "d STORE 1 +FLAGS.SILENT (\\Deleted)\r\nd EXPUNGE\r\n", "~d OK ~");
	client_turn(&a, SESSION_CHANGED);
	got_check("vanished", "(changed)", &a, "* VANISHED 8\r\n* OK [HIGHESTMODSEQ ~] ~\r\n");
	DO(a, "DONE\r\n", "d OK ~");
	/* What it was not told of by EXISTS it is not told the end of. */
	append(&b, "INBOX", "", PLAIN);
	DO(b, "e NOOP\r\ne STORE 5 +FLAGS.SILENT (\\Deleted)\r\ne STORE 1 +FLAGS.SILENT (\\Deleted)\r\ne EXPUNGE\r\n", "~e OK ~e OK ~e OK ~");
	DO(a, "e NOOP\r\n", "* VANISHED 9\r\ne OK ~");
	/* A CLOSE: nothing is told, and no HIGHESTMODSEQ. */
	DO(a, "f STORE 1 +FLAGS.SILENT (\\Deleted)\r\n", "~f OK ~");
	DO(a, "f CLOSE\r\n", "f OK CLOSE completed\r\n");
	client_close(&a);
	client_close(&b);
}

/* What is gone but not told of still counts: it is not told as if it had been EARLIER. */
static void
test_earlier(void **state)
{
	unsigned long long	since;
	struct client		a, b;

	(void)state;
	two_clients(&a, &b, "earlier", 6);
	DO(a, "a ENABLE QRESYNC\r\na SELECT INBOX\r\n", "~a OK ~a OK ~");
	since = highest(&a);
	DO(b, "a SELECT INBOX\r\nb STORE 2,4 +FLAGS.SILENT (\\Deleted)\r\nc STORE 5 +FLAGS.SILENT (\\Flagged)\r\n", "~c OK ~");
	DO(b, "d EXPUNGE\r\n", "~d OK ~");
	DO(a, "b FETCH 6 UID\r\n", "* 5 FETCH (UID 5 FLAGS ~* 6 FETCH (UID 6)\r\n~b OK ~");
	/* EARLIER, when there is any, before all FETCH responses; the rest after them. */
	DOF(a, "c UID FETCH 1:* UID (CHANGEDSINCE @1 VANISHED)\r\n", "* 5 FETCH (UID 5 MODSEQ (~))\r\n* VANISHED 2,4\r\nc OK [HIGHESTMODSEQ ~] UID FETCH completed\r\n", since);
	DO(b, "e STORE 1 +FLAGS.SILENT (\\Seen)\r\n", "~e OK ~");
	DOF(a, "c UID FETCH 1:* UID (CHANGEDSINCE @1 VANISHED)\r\n", "* VANISHED (EARLIER) 2,4\r\n* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent) MODSEQ (~))\r\n"
	    "* 1 FETCH (UID 1 MODSEQ (~))\r\n* 3 FETCH (UID 5 MODSEQ (~))\r\nc OK ~", since);
	client_close(&a);
	client_close(&b);
}

/* A hundred thousand at once: a few lines of ranges. Two thousand alone: lines that are not too long. */
static void
test_large(void **state)
{
	enum { N = 25 << 12, ALONE = 2000 };	/* 102,400 */
	struct buf		got = buf_make(16 * 1024 * 1024), set = buf_make(64 * 1024);
	unsigned long long	since, v;
	struct client		a, b;
	size_t			line = 0, nlines = 0, nuids = 0;
	struct slice		text;

	(void)state;
	two_clients(&a, &b, "large", 25);
	DO(a, "a ENABLE QRESYNC\r\na SELECT INBOX\r\n", "~a OK ~a OK ~");
	for (int i = 0; i < 12; i++)
		DO(a, "b COPY 1:* INBOX\r\n", "~b OK [COPYUID ~");
	DO(b, "a ENABLE QRESYNC\r\na SELECT INBOX\r\n", "~* 102400 EXISTS\r\n~a OK ~");
	since = highest(&a);
	v = uidvalidity_of(&a);
	/* Every other one of the first. */
	(void)buf_add_str(&set, "c STORE 1");
	for (int i = 1; i < ALONE; i++)
		(void)buf_addf(&set, ",%d", 2 * i + 1);
	(void)buf_add_str(&set, " +FLAGS.SILENT (\\Deleted)\r\n");
	client_send(&a, buf_slice(&set), 0, 0);
	got_check("large", "STORE", &a, "~c OK ~");
	client_send(&a, SLICE("c EXPUNGE\r\n"), 0, 0);
	text = client_take(&a, &got);
	for (size_t i = 0; i < text.n; i++) {
		nuids += text.p[i] == ',';
		if (text.p[i] != '\n')
			continue;
		assert_true(i - line < 8192 + 32);
		nlines++;
		line = i + 1;
	}
	assert_int_equal(nlines, 2 + 1);
	assert_int_equal(nuids, ALONE - 2);	/* no comma before the first of a line */
	DO(b, "c NOOP\r\n", "* VANISHED 1,3,~\r\n* VANISHED ~,3997,3999\r\nc OK ~");
	/* The rest; told as records are: 20,000 messages each. */
	DO(a, "d STORE 1:* +FLAGS.SILENT (\\Deleted)\r\n", "~d OK ~");
	client_send(&a, SLICE("d EXPUNGE\r\n"), 0, 0);
	text = client_take(&a, &got);
	assert_true(text.n < 32 * 1024);
	assert_true(text_matches(text, "* VANISHED 2,4,~,4000:~\r\n* VANISHED ~:102400\r\nd OK [HIGHESTMODSEQ ~"));
	client_send(&b, SLICE("d NOOP\r\n"), 0, 0);
	text = client_take(&b, &got);
	assert_true(text_matches(text, "~* VANISHED ~:102400\r\nd OK [HIGHESTMODSEQ ~"));
	/* To who comes back it is one range. */
	DOF(b, "e SELECT INBOX (QRESYNC (@1 @2))\r\n", "~* 0 EXISTS\r\n~* VANISHED (EARLIER) 1:102400\r\ne OK ~", v, since);
	client_close(&a);
	client_close(&b);
	buf_free(&got);
	buf_free(&set);
}

/* ---- a client with a cache ---- */

static struct cache {
	bool			is_there[CLIENT_UIDS];
	unsigned		flags[CLIENT_UIDS];
	unsigned long long	uidvalidity, modseq;
	unsigned long long	seen, told;	/* of the command at hand: highest MODSEQ, last HIGHESTMODSEQ; 0: none */
	unsigned		last;		/* up to it all UIDs were asked for */
} cache, truth;

static unsigned	seed;

static unsigned
rnd(unsigned below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % below;
}

static unsigned
flags_of(const char *p)
{
	static const char	*names[] = {"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"};
	const char		*end = strchr(p, ')');
	unsigned		 flags = 0;

	for (unsigned i = 0; i < 5; i++) {
		const char	*at = strstr(p, names[i]);

		if (at != NULL && at < end)
			flags |= 1u << i;
	}
	return flags;
}

static void
forget_set(struct cache *k, const char *p)
{
	for (;;) {
		unsigned long	lo = strtoul(p, (char **)&p, 10), hi = *p == ':' ? strtoul(p + 1, (char **)&p, 10) : lo;

		assert_true(lo > 0 && lo <= hi && hi < CLIENT_UIDS);
		for (unsigned long uid = lo; uid <= hi; uid++)
			k->is_there[uid] = false;
		if (*p++ != ',')
			return;
	}
}

static void
line_heed(struct cache *k, const char *p)
{
	const char	*at;

	if (strncmp(p, "* VANISHED (EARLIER) ", 21) == 0)
		forget_set(k, p + 21);
	else if (strncmp(p, "* VANISHED ", 11) == 0)
		forget_set(k, p + 11);
	else if ((at = strstr(p, " FETCH (UID ")) != NULL || strncmp(p, " UID ", 5) == 0) {
		/* Or the rest of a response, after a literal. */
		unsigned long	uid = strtoul(at != NULL ? at + 12 : p + 5, NULL, 10);

		assert_true(uid > 0 && uid < CLIENT_UIDS);
		if ((at = strstr(p, "FLAGS (")) != NULL) {
			k->is_there[uid] = true;
			k->flags[uid] = flags_of(at);
		}
		if ((at = strstr(p, "MODSEQ (")) != NULL && strtoull(at + 8, NULL, 10) > k->seen)
			k->seen = strtoull(at + 8, NULL, 10);
	}
	if ((at = strstr(p, "[HIGHESTMODSEQ ")) != NULL)
		k->told = strtoull(at + 15, NULL, 10);
	if ((at = strstr(p, "[UIDVALIDITY ")) != NULL)
		k->uidvalidity = strtoull(at + 13, NULL, 10);
}

/* Sends a command and heeds what comes, line by line; then what it knows (RFC 7162 6). */
static void
cached_do(struct client *c, struct cache *k, const char *send)
{
	struct buf	got = buf_make(4 * 1024 * 1024);
	char		*p, *end;

	client_send(c, slice_of(send), 0, 0);
	(void)client_take(c, &got);
	(void)buf_add(&got, "", 1);
	k->seen = k->told = 0;
	for (p = got.p; (end = strstr(p, "\r\n")) != NULL; p = end + 2) {
		*end = '\0';
		line_heed(k, p);
	}
	if (k->told != 0)
		k->modseq = k->told;
	else if (k->seen > k->modseq)
		k->modseq = k->seen;
	buf_free(&got);
}

static void
cached_open(struct client *c, const char *user)
{
	char	send[256];

	assert_int_equal(client_begin(c, user), 0);
	DO(*c, "a ENABLE QRESYNC\r\n", "~a OK ~");
	if (cache.uidvalidity == 0)
		(void)snprintf(send, sizeof(send), "b SELECT INBOX\r\n");
	else
		(void)snprintf(send, sizeof(send), "b SELECT INBOX (QRESYNC (%llu %llu%s))\r\n", cache.uidvalidity, cache.modseq,
		    rnd(2) ? " 1:2999" : "");
	cached_do(c, &cache, send);
	(void)snprintf(send, sizeof(send), "b UID FETCH %u:* FLAGS\r\n", cache.last + 1);
	cached_do(c, &cache, send);
	for (unsigned uid = cache.last + 1; uid < CLIENT_UIDS; uid++)
		if (cache.is_there[uid])
			cache.last = uid;
}

static void
other_change(struct client *b)
{
	static const char	*flags[] = {"\\Seen", "\\Flagged", "\\Answered", "\\Deleted"};
	char			 send[256];
	unsigned		 lo = 1 + rnd(cache.last + 1);

	switch (rnd(8)) {
	case 0:
	case 3:
		if (cache.last < CLIENT_UIDS - 500)
			append(b, "INBOX", "", "x\r\n");
		return;
	case 1:
		(void)snprintf(send, sizeof(send), "x UID STORE %u:%u +FLAGS.SILENT (\\Deleted)\r\nx EXPUNGE\r\n", lo, lo + rnd(3));
		break;
	case 2:
		(void)snprintf(send, sizeof(send), "x EXPUNGE\r\n");
		break;
	default:
		(void)snprintf(send, sizeof(send), "x UID STORE %u:%u %cFLAGS.SILENT (%s)\r\n", lo, lo + rnd(10), rnd(2) ? '+' : '-', flags[rnd(4)]);
		break;
	}
	cached_do(b, &truth, send);
}

/* What the client itself does; UIDs and numbers that are not there are no matter. */
static void
own_command(struct client *a)
{
	char		send[256];
	unsigned	uid = 1 + rnd(cache.last + 1), n = 1 + rnd(5);

	switch (rnd(9)) {
	case 0:
		(void)snprintf(send, sizeof(send), "y FETCH %u (UID MODSEQ)\r\n", n);
		break;
	case 1:
		(void)snprintf(send, sizeof(send), "y STORE %u +FLAGS (\\Answered)\r\n", n);
		break;
	case 2:
		(void)snprintf(send, sizeof(send), "y STORE 1:%u (UNCHANGEDSINCE %llu) -FLAGS (\\Seen)\r\n", n, cache.modseq);
		break;
	case 3:
		(void)snprintf(send, sizeof(send), "y UID STORE %u +FLAGS.SILENT (\\Draft)\r\n", uid);
		cached_do(a, &cache, send);
		if (uid < CLIENT_UIDS && cache.is_there[uid])
			cache.flags[uid] |= 1u << 4;
		return;
	case 4:
		(void)snprintf(send, sizeof(send), "y UID FETCH 1:* FLAGS (CHANGEDSINCE %llu VANISHED)\r\n", cache.modseq);
		break;
	case 5:
		(void)snprintf(send, sizeof(send), "y NOOP\r\n");
		break;
	case 6:
		(void)snprintf(send, sizeof(send), "y FETCH %u (BODY[])\r\n", n);
		break;
	case 7:
		(void)snprintf(send, sizeof(send), "y EXPUNGE\r\n");
		break;
	default:
		(void)snprintf(send, sizeof(send), "y SEARCH MODSEQ %llu\r\n", cache.modseq);
		break;
	}
	cached_do(a, &cache, send);
}

/* An expunge that may not be told, a change after it that is: the last that the client gets to know. */
static void
late_expunge(struct client *a, struct client *b)
{
	char		send[256];
	unsigned	uid = 0;

	for (unsigned i = 1; i <= cache.last && (uid == 0 || rnd(4) != 0); i++)
		uid = cache.is_there[i] ? i : uid;
	(void)snprintf(send, sizeof(send), "x UID STORE %u +FLAGS.SILENT (\\Deleted)\r\nx UID EXPUNGE %u\r\nx STORE %d %cFLAGS.SILENT (\\Seen)\r\n",
	    uid, uid, 1 + (int)rnd(2), rnd(2) ? '+' : '-');
	cached_do(b, &truth, send);
	cached_do(a, &cache, "y FETCH 1:* (UID MODSEQ)\r\n");
}

static void
check_cache(const char *user)
{
	struct client	c;

	memset(&truth, 0, sizeof(truth));
	assert_int_equal(client_begin(&c, user), 0);
	cached_do(&c, &truth, "a EXAMINE INBOX\r\nb UID FETCH 1:* FLAGS\r\n");
	for (unsigned uid = 1; uid < CLIENT_UIDS; uid++)
		if (truth.is_there[uid] != cache.is_there[uid] || (truth.is_there[uid] && truth.flags[uid] != cache.flags[uid]))
			fail_msg("seed: UID %u there: %d, known: %d; flags %x, known %x", uid, truth.is_there[uid], cache.is_there[uid],
			    truth.flags[uid], cache.flags[uid]);
	client_close(&c);
}

static void
test_cache(void **state)
{
	struct client	a, b;

	(void)state;
	seed = 7;
	assert_int_equal(client_begin(&b, "cache"), 0);
	for (int i = 0; i < 30; i++)
		append(&b, "INBOX", "", "x\r\n");
	DO(b, "a SELECT INBOX\r\n", "~a OK ~");
	for (int round = 0; round < ROUNDS; round++) {
		cached_open(&a, "cache");
		check_cache("cache");
		for (unsigned i = rnd(12); i > 0; i--) {
			for (unsigned k = rnd(3); k > 0; k--)
				other_change(&b);
			own_command(&a);
		}
		if (rnd(2))
			late_expunge(&a, &b);
		/* No LOGOUT: it is told nothing more. */
		client_close(&a);
		for (unsigned k = rnd(4); k > 0; k--)
			other_change(&b);
		if (rnd(12) == 0) {
			cached_do(&b, &truth, "z NOOP\r\n");
			purge("cache");
		}
	}
	client_close(&b);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_enable), cmocka_unit_test(test_select), cmocka_unit_test(test_match), cmocka_unit_test(test_purged),
		cmocka_unit_test(test_vanished), cmocka_unit_test(test_earlier), cmocka_unit_test(test_large), cmocka_unit_test(test_cache),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
