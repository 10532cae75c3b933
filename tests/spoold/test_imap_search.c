/*
 * Extended SEARCH by transcripts: what is returned (RFC 4731, RFC 9394), "$" (RFC 5182) in every command that
 * takes a set, and OLDER and YOUNGER (RFC 5032); parked after each step.
 */
#include "imap/saved.h"
#include "imap_transcript.h"
#include "log.h"

#define SMALL	"Subject: x\r\n\r\nx\r\n"

/* INBOX has the UIDs 1 2 3 5 6 9, which are the numbers 1 to 6; what lies between is in Drafts. */
static void
gaps_make(struct client *c)
{
	append(c, "INBOX", "(\\Seen) ", PLAIN);
	append(c, "INBOX", "", MIXED);
	append(c, "INBOX", "(\\Flagged) ", SMALL);
	append(c, "Drafts", "", SMALL);
	append(c, "INBOX", "(\\Flagged) ", SMALL);
	append(c, "INBOX", "", SMALL);
	append(c, "Drafts", "", SMALL);
	append(c, "Drafts", "", SMALL);
	append(c, "INBOX", "(\\Flagged) ", SMALL);
	DO(*c, "s SELECT INBOX\r\n", "~* 6 EXISTS\r\n~s OK ~\r\n");
}

static void
test_return(void **state)
{
	static const struct step	steps[] = {
		{"A282 SEARCH RETURN (MIN COUNT) FLAGGED\r\n", "* ESEARCH (TAG \"A282\") MIN 3 COUNT 3\r\nA282 OK SEARCH completed\r\n"},
		{"A283 SEARCH RETURN () FLAGGED\r\n", "* ESEARCH (TAG \"A283\") ALL 3:4,6\r\nA283 OK ~\r\n"},
		{"A284 SEARCH RETURN (MIN) UNSEEN\r\n", "* ESEARCH (TAG \"A284\") MIN 2\r\nA284 OK ~\r\n"},
		{"A285 UID SEARCH RETURN (MIN MAX) 1:5\r\n", "* ESEARCH (TAG \"A285\") UID MIN 1 MAX 6\r\nA285 OK UID SEARCH completed\r\n"},
		{"A286 SEARCH RETURN (COUNT) DELETED\r\n", "* ESEARCH (TAG \"A286\") COUNT 0\r\nA286 OK ~\r\n"},
		/* A range holds only what was found: UID 4 is no message of INBOX. */
		{"a UID SEARCH RETURN (ALL) ALL\r\n", "* ESEARCH (TAG \"a\") UID ALL 1:3,5:6,9\r\na OK ~\r\n"},
		{"a UID SEARCH RETURN (ALL) 3:4\r\n", "* ESEARCH (TAG \"a\") UID ALL 3,5\r\na OK ~\r\n"},
		{"a search return (count all max min) all\r\n", "* ESEARCH (TAG \"a\") MIN 1 MAX 6 COUNT 6 ALL 1:6\r\na OK ~\r\n"},
		/* Nothing found: still an ESEARCH, without MIN, MAX and ALL. */
		{"a SEARCH RETURN (MIN MAX ALL) DELETED\r\n", "* ESEARCH (TAG \"a\")\r\na OK ~\r\n"},
		{"a UID SEARCH RETURN () DELETED\r\n", "* ESEARCH (TAG \"a\") UID\r\na OK ~\r\n"},
		{"a SEARCH RETURN (COUNT) CHARSET UTF-8 SUBJECT {6+}\r\nW\xc3\x96RLD\r\n", "* ESEARCH (TAG \"a\") COUNT 1\r\na OK ~\r\n"},
		{"a SEARCH RETURN (MAX) UID 2:4,6\r\n", "* ESEARCH (TAG \"a\") MAX 5\r\na OK ~\r\n"},
		{"a SEARCH FLAGGED\r\n", "* SEARCH 3 4 6\r\na OK ~\r\n"}, {"a UID SEARCH FLAGGED\r\n", "* SEARCH 3 5 9\r\na OK ~\r\n"},
		{"a SEARCH RETURN (FOO) ALL\r\n", "a BAD ~\r\n"}, {"a SEARCH RETURN ALL\r\n", "a BAD ~\r\n"}, {"a SEARCH RETURN (ALL ) ALL\r\n", "a BAD ~\r\n"},
		{"a SEARCH RETURN (MIN) \r\n", "a BAD ~\r\n"}, {"a SEARCH RETURN (MIN\r\n", "a BAD ~\r\n"}, {"a SEARCH RETURN(MIN) ALL\r\n", "a BAD ~\r\n"},
		{"a SEARCH RETURN (MIN) CHARSET x-unknown ALL\r\n", "a NO [BADCHARSET ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "return"), 0);
	gaps_make(&c);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_saved(void **state)
{
	static const struct step	steps[] = {
		/* Empty after SELECT; empty is no error (example 6). */
		{"a FETCH $ UID\r\n", "a OK ~\r\n"}, {"a COPY $ Sent\r\n", "a OK ~\r\n"}, {"a SEARCH $\r\n", "* SEARCH\r\na OK ~\r\n"},
		{"A282 SEARCH RETURN (SAVE) FLAGGED\r\n", "A282 OK SEARCH completed\r\n"},
		{"A283 FETCH $ UID\r\n", "* 3 FETCH (UID 3)\r\n* 4 FETCH (UID 5)\r\n* 6 FETCH (UID 9)\r\nA283 OK ~\r\n"},
		{"a UID FETCH $ UID\r\n", "* 3 FETCH (UID 3)\r\n* 4 FETCH (UID 5)\r\n* 6 FETCH (UID 9)\r\na OK ~\r\n"},
		{"A301 UID SEARCH UID $ SMALLER 4096\r\n", "* SEARCH 3 5 9\r\nA301 OK ~\r\n"}, {"a SEARCH $ 4:*\r\n", "* SEARCH 4 6\r\na OK ~\r\n"},
		{"P283 SEARCH CHARSET UTF-8 (OR $ 1,2:3) TEXT {1+}\r\nx\r\n", "* SEARCH 1 2 3 4 6\r\nP283 OK ~\r\n"},
		{"a SEARCH NOT $\r\n", "* SEARCH 1 2 5\r\na OK ~\r\n"},
		/* Neither BAD nor a search without SAVE changes it, a NO without SAVE neither. */
		{"a SEARCH RETURN (SAVE) FOO\r\n", "a BAD ~\r\n"}, {"a SEARCH RETURN (ALL) SEEN\r\n", "* ESEARCH ~ ALL 1\r\na OK ~\r\n"},
		{"a SEARCH CHARSET x-unknown ALL\r\n", "a NO ~\r\n"}, {"a SEARCH $\r\n", "* SEARCH 3 4 6\r\na OK ~\r\n"},
		/* A search of what was saved by the one before. */
		{"a UID SEARCH RETURN (SAVE COUNT) $ 1:4\r\n", "* ESEARCH (TAG \"a\") UID COUNT 2\r\na OK ~\r\n"}, {"a SEARCH $\r\n", "* SEARCH 3 4\r\na OK ~\r\n"},
		/* NO with SAVE empties it (example 5). */
		{"B283 SEARCH RETURN (SAVE) CHARSET x-unknown ALL\r\n", "B283 NO [BADCHARSET ~\r\n"}, {"a SEARCH $\r\n", "* SEARCH\r\na OK ~\r\n"},
		{"a SEARCH RETURN (SAVE) ALL\r\n", "a OK ~\r\n"},
		{"a SEARCH RETURN (SAVE) CHARSET UTF-8 SUBJECT {1+}\r\n\xff\r\n", "a NO ~\r\n"}, {"a SEARCH $\r\n", "* SEARCH\r\na OK ~\r\n"},
		/* Pipelined, in the order given. */
		{"a SEARCH RETURN (SAVE) SEEN\r\nb FETCH $ UID\r\nc SEARCH RETURN (SAVE) ALL\r\nd SEARCH $\r\n",
		    "a OK ~\r\n* 1 FETCH (UID 1)\r\nb OK ~\r\nc OK ~\r\n* SEARCH 1 2 3 4 5 6\r\nd OK ~\r\n"},
		{"a SEARCH RETURN (SAVE) DELETED\r\n", "a OK ~\r\n"}, {"a SEARCH $\r\n", "* SEARCH\r\na OK ~\r\n"},
		{"a SEARCH RETURN (SAVE) ALL\r\n", "a OK ~\r\n"}, {"a SELECT Drafts\r\n", "~a OK ~\r\n"}, {"a SEARCH $\r\n", "* SEARCH\r\na OK ~\r\n"},
		{"a FETCH $,1 UID\r\n", "a BAD ~\r\n"}, {"a FETCH $:1 UID\r\n", "a BAD ~\r\n"}, {"a FETCH 1,$ UID\r\n", "a BAD ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "saved"), 0);
	gaps_make(&c);
	STEPS(&c, steps);
	client_close(&c);
}

/* The table of RFC 5182 2.4 and example 10, and that of RFC 9394 3.2; 3, 4 and 6 are found. */
static void
test_saved_options(void **state)
{
	static const struct { const char *options, *told, *saved; } rows[] = {
		{"ALL SAVE", " ALL 3:4,6", " 3 4 6"}, {"SAVE MIN", " MIN 3", " 3"}, {"MAX SAVE", " MAX 6", " 6"},
		{"MAX SAVE MIN", " MIN 3 MAX 6", " 3 6"}, {"MAX SAVE MIN COUNT", " MIN 3 MAX 6 COUNT 3", " 3 4 6"},
		{"ALL SAVE MIN", " MIN 3 ALL 3:4,6", " 3 4 6"}, {"SAVE COUNT", " COUNT 3", " 3 4 6"},
		{"SAVE PARTIAL 2:2", " PARTIAL (2:2 4)", " 4"}, {"SAVE PARTIAL 9:5", " PARTIAL (9:5 NIL)", ""},
		{"SAVE PARTIAL 2:3 MIN", " MIN 3 PARTIAL (2:3 4,6)", " 3 4 6"}, {"MAX SAVE PARTIAL 1:1", " MAX 6 PARTIAL (1:1 3)", " 3 6"},
		{"MIN MAX SAVE PARTIAL 2:2", " MIN 3 MAX 6 PARTIAL (2:2 4)", " 3 4 6"},
		{"MIN MAX SAVE PARTIAL -1:-1", " MIN 3 MAX 6 PARTIAL (-1:-1 6)", " 3 6"},
		{"COUNT SAVE PARTIAL 1:1", " COUNT 3 PARTIAL (1:1 3)", " 3 4 6"},
	};
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "options"), 0);
	gaps_make(&c);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char	send[128], want[256];

		(void)snprintf(send, sizeof(send), "a SEARCH RETURN (%s) FLAGGED\r\nb SEARCH $\r\n", rows[i].options);
		(void)snprintf(want, sizeof(want), "* ESEARCH (TAG \"a\")%s\r\na OK SEARCH completed\r\n* SEARCH%s\r\nb OK ~\r\n",
		    rows[i].told, rows[i].saved);
		client_send(&c, slice_of(send), 0, 0);
		got_check("options", send, &c, want);
	}
	client_close(&c);
}

static void
test_partial(void **state)
{
	static const struct step	steps[] = {
		{"a SEARCH RETURN (PARTIAL 1:2) ALL\r\n", "* ESEARCH (TAG \"a\") PARTIAL (1:2 1:2)\r\na OK ~\r\n"},
		{"a UID SEARCH RETURN (PARTIAL 2:5) ALL\r\n", "* ESEARCH (TAG \"a\") UID PARTIAL (2:5 2:3,5:6)\r\na OK ~\r\n"},
		/* Either end may come first, and is told as it was sent. */
		{"a UID SEARCH RETURN (PARTIAL 5:2) ALL\r\n", "* ESEARCH (TAG \"a\") UID PARTIAL (5:2 2:3,5:6)\r\na OK ~\r\n"},
		{"a UID SEARCH RETURN (PARTIAL -1:-2) ALL\r\n", "* ESEARCH (TAG \"a\") UID PARTIAL (-1:-2 6,9)\r\na OK ~\r\n"},
		{"a UID SEARCH RETURN (PARTIAL -2:-1) ALL\r\n", "* ESEARCH (TAG \"a\") UID PARTIAL (-2:-1 6,9)\r\na OK ~\r\n"},
		{"a SEARCH RETURN (PARTIAL 6:500) ALL\r\n", "* ESEARCH (TAG \"a\") PARTIAL (6:500 6)\r\na OK ~\r\n"},
		{"a SEARCH RETURN (PARTIAL -6:-500) ALL\r\n", "* ESEARCH (TAG \"a\") PARTIAL (-6:-500 1)\r\na OK ~\r\n"},
		{"a SEARCH RETURN (PARTIAL 7:500) ALL\r\n", "* ESEARCH (TAG \"a\") PARTIAL (7:500 NIL)\r\na OK ~\r\n"},
		{"a SEARCH RETURN (PARTIAL -7:-500) ALL\r\n", "* ESEARCH (TAG \"a\") PARTIAL (-7:-500 NIL)\r\na OK ~\r\n"},
		{"a SEARCH RETURN (PARTIAL 1:4294967295) DELETED\r\n", "* ESEARCH (TAG \"a\") PARTIAL (1:4294967295 NIL)\r\na OK ~\r\n"},
		{"a SEARCH RETURN (COUNT PARTIAL 1:1 MAX) FLAGGED\r\n", "* ESEARCH (TAG \"a\") MAX 6 COUNT 3 PARTIAL (1:1 3)\r\na OK ~\r\n"},
		{"a SEARCH RETURN (PARTIAL 1:2 ALL) ALL\r\n", "a BAD ~\r\n"}, {"a SEARCH RETURN (PARTIAL 1:2 PARTIAL 1:2) ALL\r\n", "a BAD ~\r\n"},
		{"a SEARCH RETURN (PARTIAL 0:2) ALL\r\n", "a BAD ~\r\n"}, {"a SEARCH RETURN (PARTIAL 1:-2) ALL\r\n", "a BAD ~\r\n"},
		{"a SEARCH RETURN (PARTIAL -1:2) ALL\r\n", "a BAD ~\r\n"}, {"a SEARCH RETURN (PARTIAL 1:*) ALL\r\n", "a BAD ~\r\n"},
		{"a SEARCH RETURN (PARTIAL 1) ALL\r\n", "a BAD ~\r\n"}, {"a SEARCH RETURN (PARTIAL) ALL\r\n", "a BAD ~\r\n"},
		{"a SEARCH RETURN (PARTIAL 1:4294967296) ALL\r\n", "a BAD ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "partial"), 0);
	gaps_make(&c);
	STEPS(&c, steps);
	client_close(&c);
}

/* UID FETCH's modifier (RFC 9394 3.3): counted are the messages of the set, not its numbers. */
static void
test_partial_fetch(void **state)
{
	static const struct step	steps[] = {
		{"10 UID FETCH 2:6 (UID) (PARTIAL -1:-3)\r\n", "* 3 FETCH (UID 3)\r\n* 4 FETCH (UID 5)\r\n* 5 FETCH (UID 6)\r\n10 OK ~\r\n"},
		{"11 UID FETCH 2:6 UID (PARTIAL 1:2)\r\n", "* 2 FETCH (UID 2)\r\n* 3 FETCH (UID 3)\r\n11 OK ~\r\n"},
		{"a UID FETCH 1:* (FLAGS) (partial 4:3)\r\n", "* 3 FETCH (UID 3 FLAGS ~)\r\n* 4 FETCH (UID 5 FLAGS ~)\r\na OK ~\r\n"},
		{"a UID FETCH 9,1,4,8,5 UID (PARTIAL 2:9)\r\n", "* 4 FETCH (UID 5)\r\n* 6 FETCH (UID 9)\r\na OK ~\r\n"},
		{"a UID FETCH 1:2,5:8 UID (PARTIAL -2:-3)\r\n", "* 2 FETCH (UID 2)\r\n* 4 FETCH (UID 5)\r\na OK ~\r\n"},
		{"a UID FETCH 1:* UID (PARTIAL 7:9)\r\n", "a OK ~\r\n"}, {"a UID FETCH 4,7:8 UID (PARTIAL 1:1)\r\n", "a OK ~\r\n"},
		{"a SEARCH RETURN (SAVE) FLAGGED\r\nb UID FETCH $ UID (PARTIAL -2:-2)\r\n", "a OK ~\r\n* 4 FETCH (UID 5)\r\nb OK ~\r\n"},
		{"a FETCH 1:* UID (PARTIAL 1:1)\r\n", "a BAD ~\r\n"}, {"a UID FETCH 1:* UID (PARTIAL 1:1 PARTIAL 1:1)\r\n", "a BAD ~\r\n"},
		{"a UID FETCH 1:* UID ()\r\n", "a BAD ~\r\n"}, {"a UID FETCH 1:* UID (PARTIAL 0:1)\r\n", "a BAD ~\r\n"},
		{"a UID FETCH 1:* UID (FOO)\r\n", "a BAD ~\r\n"}, {"a UID FETCH 1:* UID (PARTIAL 1:1\r\n", "a BAD ~\r\n"},
		{"a UID FETCH 1:* UID (PARTIAL 1:1) x\r\n", "a BAD ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "partialfetch"), 0);
	gaps_make(&c);
	STEPS(&c, steps);
	client_close(&c);
}

/* What is saved follows expunges, by this session and another's, and every command takes it. */
static void
test_saved_expunge(void **state)
{
	struct client	a, b;

	(void)state;
	assert_int_equal(client_begin(&a, "expunge"), 0);
	assert_int_equal(client_begin(&b, "expunge"), 0);
	gaps_make(&a);
	DO(b, "b SELECT INBOX\r\n", "~b OK ~\r\n");
	DO(a, "a SEARCH RETURN (SAVE) FLAGGED\r\n", "a OK ~\r\n");
	DO(b, "b STORE 1,4 +FLAGS.SILENT (\\Deleted)\r\n", "b OK ~\r\n");
	DO(b, "b EXPUNGE\r\n", "* 1 EXPUNGE\r\n* 3 EXPUNGE\r\nb OK ~\r\n");
	/* Not told yet, so the numbers are the old ones; a search no longer finds what is gone. */
	DO(a, "a SEARCH $\r\n", "* SEARCH 3 6\r\na OK ~\r\n");
	DO(a, "a NOOP\r\n", "* 1 EXPUNGE\r\n* 3 EXPUNGE\r\na OK ~\r\n");
	DO(a, "a SEARCH $\r\n", "* SEARCH 2 4\r\na OK ~\r\n");
	DO(a, "a FETCH $ UID\r\n", "* 2 FETCH (UID 3)\r\n* 4 FETCH (UID 9)\r\na OK ~\r\n");
	/* What comes in later is not in it. */
	append(&b, "INBOX", "(\\Flagged) ", SMALL);
	DO(a, "a NOOP\r\n", "* 5 EXISTS\r\n~a OK ~\r\n");
	DO(a, "a SEARCH $\r\n", "* SEARCH 2 4\r\na OK ~\r\n");
	DO(a, "a STORE $ +FLAGS (\\Answered)\r\n", "* 2 FETCH (FLAGS ~)\r\n* 4 FETCH (FLAGS ~)\r\na OK ~\r\n");
	DO(a, "a COPY $ Sent\r\n", "a OK [COPYUID ~ 3,9 ~] ~\r\n");
	DO(a, "a UID COPY $ Sent\r\n", "a OK [COPYUID ~ 3,9 ~] ~\r\n");
	DO(a, "a UID STORE 3 +FLAGS.SILENT (\\Deleted)\r\n", "a OK ~\r\n");
	DO(a, "a UID EXPUNGE $\r\n", "* 2 EXPUNGE\r\na OK ~\r\n");
	DO(a, "a SEARCH $\r\n", "* SEARCH 3\r\na OK ~\r\n");
	DO(a, "a MOVE $ Sent\r\n", "* OK [COPYUID ~ 9 ~] ~\r\n* 3 EXPUNGE\r\na OK ~\r\n");
	DO(a, "a SEARCH $\r\n", "* SEARCH\r\na OK ~\r\n");
	client_close(&a);
	client_close(&b);
}

/* Found between what another session expunged: the range does not reach over it. */
static void
test_saved_untold(void **state)
{
	struct client	a, b;

	(void)state;
	assert_int_equal(client_begin(&a, "untold"), 0);
	assert_int_equal(client_begin(&b, "untold"), 0);
	gaps_make(&a);
	DO(b, "b SELECT INBOX\r\n", "~b OK ~\r\n");
	DO(b, "b STORE 3 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n", "~* 3 EXPUNGE\r\nb OK ~\r\n");
	DO(a, "a SEARCH RETURN (SAVE) ALL\r\na FETCH $ UID\r\n",
	    "a OK ~\r\n* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2)\r\n* 4 FETCH (UID 5)\r\n* 5 FETCH (UID 6)\r\n* 6 FETCH (UID 9)\r\na OK ~\r\n");
	client_close(&a);
	client_close(&b);
}

/* As many single messages as fit, and one more. */
static void
test_saved_limit(void **state)
{
	const unsigned	most = IMAP_SAVED_MAX_BYTES / 2;	/* two bytes each */
	struct buf	store = buf_make(64 * 1024);
	struct client	c;
	char		send[64];

	(void)state;
	assert_int_equal(client_begin(&c, "limit"), 0);
	append(&c, "INBOX", "", SMALL);
	client_send(&c, SLICE("a SELECT INBOX\r\n"), 0, 0);
	for (unsigned n = 1; n < 2 * (most + 1); n *= 2)
		client_send(&c, SLICE("a COPY 1:* INBOX\r\na NOOP\r\n"), 0, 0);
	got_check("limit", "COPY", &c, "~* 4096 EXISTS\r\n~");
	for (unsigned n = 0; n <= most; n++) {
		if (n % 512 == 0)
			(void)buf_addf(&store, "%sa STORE 1", n == 0 ? "" : " +FLAGS.SILENT (\\Flagged)\r\n");
		(void)buf_addf(&store, ",%u", 2 * n + 1);
	}
	(void)buf_add_str(&store, " +FLAGS.SILENT (\\Flagged)\r\n");
	client_send(&c, buf_slice(&store), 0, 0);
	got_check("limit", "STORE", &c, "~a OK ~");
	(void)snprintf(send, sizeof(send), "a SEARCH RETURN (SAVE) FLAGGED 1:%u\r\n", 2 * most - 1);
	client_send(&c, slice_of(send), 0, 0);
	got_check("limit", send, &c, "a OK SEARCH completed\r\n");
	(void)snprintf(send, sizeof(send), "* ESEARCH (TAG \"a\") MAX %u COUNT %u\r\na OK ~\r\n", 2 * most - 1, most);
	client_send(&c, SLICE("a SEARCH RETURN (COUNT MAX) $\r\n"), 0, 0);
	got_check("limit", "SEARCH $", &c, send);
	(void)snprintf(send, sizeof(send), "a SEARCH RETURN (SAVE) FLAGGED 1:%u\r\n", 2 * most + 1);
	client_send(&c, slice_of(send), 0, 0);
	got_check("limit", send, &c, "a NO [NOTSAVED] ~\r\n");
	DO(c, "a SEARCH $\r\n", "* SEARCH\r\na OK ~\r\n");
	/* One range, whatever its length. */
	DO(c, "a SEARCH RETURN (SAVE) ALL\r\na SEARCH RETURN (COUNT) $\r\n", "a OK ~\r\n* ESEARCH ~ COUNT 4096\r\na OK ~\r\n");
	buf_free(&store);
	client_close(&c);
}

/* What a captured worker could hand over instead. */
static void
test_saved_forged(void **state)
{
	static const struct { const char *name, *bytes; size_t n; uint32_t uidnext; bool is_good; } rows[] = {
		{"none", "", 0, 1, true}, {"one", "\x01\x00", 2, 2, true}, {"not in the view", "\x01\x00", 2, 1, false},
		{"reaches out", "\x01\x01", 2, 2, false}, {"reaches to the end", "\x01\x01", 2, 3, true}, {"UID 0", "\x00\x00", 2, 9, false},
		{"half a range", "\x01", 1, 9, false}, {"two", "\x01\x00\x02\x01", 4, 5, true}, {"touching", "\x01\x00\x01\x01", 4, 5, true},
		{"no gap", "\x01\x00\x00\x01", 4, 9, false}, {"not the shortest", "\x81\x00\x00", 3, 9, false}, {"unfinished", "\x81", 1, 9, false},
		{"largest", "\xff\xff\xff\xff\x0f\x00", 6, UINT32_MAX, false}, {"33 bits", "\xff\xff\xff\xff\x1f\x00", 6, UINT32_MAX, false},
		{"six bytes", "\xff\xff\xff\xff\xff\x01\x00", 7, UINT32_MAX, false}, {"wraps", "\x02\xff\xff\xff\xff\x0f", 6, UINT32_MAX, false},
		{"gap wraps", "\x02\x00\xff\xff\xff\xff\x0f\x00", 8, UINT32_MAX, false},
		{"last UID there can be", "\xfe\xff\xff\xff\x0f\x00", 6, UINT32_MAX, true},
	};
	struct client	c;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (saved_is_valid((struct slice){rows[i].bytes, rows[i].n}, rows[i].uidnext) != rows[i].is_good)
			fail_msg("%s", rows[i].name);
	assert_int_equal(client_begin(&c, "forged"), 0);
	gaps_make(&c);
	DO(c, "a SEARCH RETURN (SAVE) 6\r\n", "a OK ~\r\n");
	assert_int_equal(c.state.p[c.state.n - 2], 9);
	c.state.p[c.state.n - 2] = 10;
	client_turn(&c, SESSION_CHANGED);
	got_check("forged", "(state)", &c, "* BYE ~\r\n");
	assert_string_equal(c.end_why, "state");
	client_close(&c);
}

static void
test_within(void **state)
{
	static const struct step	steps[] = {
		{"a SEARCH OLDER 3600\r\n", "* SEARCH 1 2\r\na OK ~\r\n"}, {"a SEARCH YOUNGER 3600\r\n", "* SEARCH 3\r\na OK ~\r\n"},
		{"a SEARCH OLDER 259200\r\n", "* SEARCH 1\r\na OK ~\r\n"}, {"a SEARCH NOT OLDER 259200\r\n", "* SEARCH 2 3\r\na OK ~\r\n"},
		{"a SEARCH OLDER 4294967295\r\n", "* SEARCH\r\na OK ~\r\n"}, {"a SEARCH YOUNGER 4294967295\r\n", "* SEARCH 1 2 3\r\na OK ~\r\n"},
		{"a1 SEARCH UNSEEN YOUNGER 259200\r\n", "* SEARCH 2 3\r\na1 OK ~\r\n"},
		{"a SEARCH OLDER 0\r\n", "a BAD ~\r\n"}, {"a SEARCH YOUNGER -1\r\n", "a BAD ~\r\n"}, {"a SEARCH OLDER\r\n", "a BAD ~\r\n"},
	};
	time_t				yesterday = (time_t)(now_ms() / 1000) - 100000;
	struct tm			tm;
	struct client			c;
	char				date[64], send[128];

	(void)state;
	assert_int_equal(client_begin(&c, "within"), 0);
	append(&c, "INBOX", "(\\Seen) \"17-Jul-1996 02:44:25 -0700\" ", SMALL);
	assert_true(strftime(date, sizeof(date), "\"%e-%b-%Y %H:%M:%S +0000\" ", gmtime_r(&yesterday, &tm)) > 0);
	append(&c, "INBOX", date, SMALL);
	append(&c, "INBOX", "", SMALL);
	DO(c, "s SELECT INBOX\r\n", "~s OK ~\r\n");
	STEPS(&c, steps);
	/* At the very second both match; the clock may go on one between, so it is tried again. */
	for (int tries = 0;; tries++) {
		struct buf	got = buf_make(4096);
		int64_t		age = now_ms() / 1000 - (int64_t)yesterday;
		bool		is_both;

		(void)snprintf(send, sizeof(send), "a SEARCH OLDER %d YOUNGER %d\r\n", (int)age, (int)age);
		client_send(&c, slice_of(send), 0, 0);
		is_both = slice_is(client_take(&c, &got), SLICE("* SEARCH 2\r\na OK SEARCH completed\r\n"));
		buf_free(&got);
		if (is_both)
			break;
		assert_true(tries < 5);
	}
	client_close(&c);
}

int
main(void)
{
	static const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_return), cmocka_unit_test(test_saved), cmocka_unit_test(test_saved_options),
		cmocka_unit_test(test_partial), cmocka_unit_test(test_partial_fetch), cmocka_unit_test(test_saved_expunge), cmocka_unit_test(test_saved_untold),
		cmocka_unit_test(test_saved_limit), cmocka_unit_test(test_saved_forged), cmocka_unit_test(test_within),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
