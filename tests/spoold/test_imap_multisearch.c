/*
 * The ESEARCH command by transcripts (RFC 7377): sources, what is told of each mailbox, states, SAVE, and its limit.
 */
#include "imap/multisearch_parse.h"
#include "imap_transcript.h"

#define MAIL(subject)	"Subject: " subject "\r\n\r\nx\r\n"

/* UIDs are one row for all mailboxes: INBOX 1 8, INBOX/sub 2, work 3 9, work/a 4, work/a/deep 5, workshop 6, Sent 7. */
static void
tree_make(struct client *c)
{
	DO(*c, "c CREATE INBOX/sub\r\nc CREATE work\r\nc CREATE work/a\r\nc CREATE work/a/deep\r\nc CREATE workshop\r\n", "c OK ~c OK ~c OK ~c OK ~c OK ~");
	append(c, "INBOX", "(\\Flagged) ", MAIL("chad"));
	append(c, "INBOX/sub", "(\\Flagged) ", MAIL("two"));
	append(c, "work", "(\\Flagged) ", MAIL("chad"));
	append(c, "work/a", "(\\Flagged) ", MAIL("four"));
	append(c, "work/a/deep", "(\\Flagged \\Seen) ", MAIL("five"));
	append(c, "workshop", "(\\Flagged) ", MAIL("six"));
	append(c, "Sent", "(\\Flagged $x) ", MAIL("seven"));
	append(c, "INBOX", "", MAIL("eight"));
	append(c, "work", "(\\Flagged) ", MAIL("nine"));
}

#define ONE(tag, mailbox, items)	"* ESEARCH (TAG \"" tag "\" MAILBOX \"" mailbox "\" UIDVALIDITY ~) UID " items "\r\n"

static void
test_sources(void **state)
{
	static const struct step	steps[] = {
		/* With nothing selected. */
		{"t1 ESEARCH IN (mailboxes \"work\" subtree \"INBOX\") unseen\r\n",
		    ONE("t1", "INBOX", "ALL 1,8") ONE("t1", "INBOX/sub", "ALL 2") ONE("t1", "work", "ALL 3,9") "t1 OK ESEARCH completed\r\n"},
		{"t2 ESEARCH IN (mailboxes work subtree-one INBOX) subject \"chad\"\r\n", ONE("t2", "INBOX", "ALL 1") ONE("t2", "work", "ALL 3") "t2 OK ~\r\n"},
		{"a ESEARCH IN (personal) FLAGGED\r\n", ONE("a", "INBOX", "ALL 1") ONE("a", "INBOX/sub", "ALL 2") ONE("a", "Sent", "ALL 7")
		    ONE("a", "work", "ALL 3,9") ONE("a", "work/a", "ALL 4") ONE("a", "work/a/deep", "ALL 5") ONE("a", "workshop", "ALL 6") "a OK ~\r\n"},
		{"a esearch in (INBOXES) return (count) text chad\r\n", ONE("a", "INBOX", "COUNT 1") ONE("a", "work", "COUNT 1") "a OK ~\r\n"},
		{"a ESEARCH IN (subscribed) FLAGGED\r\n", ONE("a", "INBOX", "ALL 1") ONE("a", "Sent", "ALL 7") "a OK ~\r\n"},
		{"a ESEARCH IN (subtree work) ALL\r\n", ONE("a", "work", "ALL 3,9") ONE("a", "work/a", "ALL 4") ONE("a", "work/a/deep", "ALL 5") "a OK ~\r\n"},
		{"a ESEARCH IN (subtree-one work) ALL\r\n", ONE("a", "work", "ALL 3,9") ONE("a", "work/a", "ALL 4") "a OK ~\r\n"},
		{"a ESEARCH IN (mailboxes (work inbox work) mailboxes work) FLAGGED\r\n", ONE("a", "INBOX", "ALL 1") ONE("a", "work", "ALL 3,9") "a OK ~\r\n"},
		/* No such mailbox, a name none can have: nothing is found there. */
		{"a ESEARCH IN (mailboxes (nope \"a//b\" ../x) subtree nope) ALL\r\n", "a OK ~\r\n"},
		{"a ESEARCH IN (mailboxes work) RETURN () ALL\r\n", ONE("a", "work", "ALL 3,9") "a OK ~\r\n"},
		{"a ESEARCH IN (mailboxes work) RETURN (MIN MAX COUNT ALL) ALL\r\n", ONE("a", "work", "MIN 3 MAX 9 COUNT 2 ALL 3,9") "a OK ~\r\n"},
		{"a ESEARCH IN (personal) RETURN (PARTIAL -1:-1) UNFLAGGED\r\n", ONE("a", "INBOX", "PARTIAL (-1:-1 8)") "a OK ~\r\n"},
		/* Nothing found: nothing said, also of COUNT. */
		{"a ESEARCH IN (personal) RETURN (COUNT MIN) DELETED\r\n", "a OK ~\r\n"},
		/* Numbers are each mailbox's own, and may name none. */
		{"a ESEARCH IN (subtree INBOX mailboxes work) 2:5\r\n", ONE("a", "INBOX", "ALL 8") ONE("a", "work", "ALL 9") "a OK ~\r\n"},
		{"a ESEARCH IN (subtree INBOX) *\r\n", ONE("a", "INBOX", "ALL 8") ONE("a", "INBOX/sub", "ALL 2") "a OK ~\r\n"},
		{"a ESEARCH IN (personal) UID 7:8\r\n", ONE("a", "INBOX", "ALL 8") ONE("a", "Sent", "ALL 7") "a OK ~\r\n"},
		{"a ESEARCH IN (personal) RETURN (COUNT) CHARSET UTF-8 OR KEYWORD $x SUBJECT {4+}\r\nfive\r\n",
		    ONE("a", "Sent", "COUNT 1") ONE("a", "work/a/deep", "COUNT 1") "a OK ~\r\n"},
		/* A text is prepared once, however many mailboxes there are. */
		{"a ESEARCH IN (personal) CHARSET ISO-8859-1 SUBJECT {1+}\r\n\xe4\r\n", "a OK ~\r\n"},
		{"a ESEARCH IN (personal) CHARSET x-unknown ALL\r\n", "a NO [BADCHARSET ~\r\n"},
		{"a ESEARCH ALL\r\n", "a BAD No mailbox is selected\r\n"}, {"a ESEARCH IN (selected) ALL\r\n", "a BAD No mailbox is selected\r\n"},
		{"a ESEARCH IN (selected personal) ALL\r\n", "a BAD ~\r\n"}, {"a ESEARCH IN (selected-delayed) ALL\r\n", "a BAD ~\r\n"},
		{"a ESEARCH IN () ALL\r\n", "a BAD ~\r\n"}, {"a ESEARCH IN personal ALL\r\n", "a BAD ~\r\n"}, {"a ESEARCH IN (mailboxes) ALL\r\n", "a BAD ~\r\n"},
		{"a ESEARCH IN (mailboxes ()) ALL\r\n", "a BAD ~\r\n"}, {"a ESEARCH IN (personal)\r\n", "a BAD ~\r\n"}, {"a ESEARCH IN (personal (x)) ALL\r\n", "a BAD ~\r\n"},
		{"a ESEARCH IN (personal) RETURN (SAVE) ALL\r\n", "a BAD ~\r\n"}, {"a ESEARCH\r\n", "a BAD ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "sources"), 0);
	tree_make(&c);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_selected(void **state)
{
	static const struct step	steps[] = {
		{"a ESEARCH FLAGGED\r\n", ONE("a", "work", "ALL 3,9") "a OK ~\r\n"}, {"a ESEARCH IN (selected) 2\r\n", ONE("a", "work", "ALL 9") "a OK ~\r\n"},
		{"a UID ESEARCH RETURN (COUNT) ALL\r\n", ONE("a", "work", "COUNT 2") "a OK ~\r\n"}, {"a ESEARCH DELETED\r\n", "a OK ~\r\n"},
		{"a ESEARCH IN (selected mailboxes (work INBOX)) FLAGGED\r\n", ONE("a", "INBOX", "ALL 1") ONE("a", "work", "ALL 3,9") "a OK ~\r\n"},
		/* It stays selected. */
		{"a FETCH 1 UID\r\n", "* 1 FETCH (UID 3)\r\na OK ~\r\n"},
		{"a ESEARCH RETURN (SAVE) 1\r\nb FETCH $ UID\r\n", "a OK ~\r\n* 1 FETCH (UID 3)\r\nb OK ~\r\n"},
		{"a ESEARCH IN (selected) RETURN (SAVE MAX) ALL\r\nb SEARCH $\r\n", ONE("a", "work", "MAX 9") "a OK ~\r\n* SEARCH 2\r\nb OK ~\r\n"},
		/* "$" is of the selected mailbox. */
		{"a ESEARCH IN (personal) $\r\n", ONE("a", "work", "ALL 9") "a OK ~\r\n"}, {"a ESEARCH IN (mailboxes INBOX) NOT $\r\n", ONE("a", "INBOX", "ALL 1,8") "a OK ~\r\n"},
		{"a SEARCH RETURN (SAVE) ALL\r\nb ESEARCH IN (personal) $\r\n", "a OK ~\r\n" ONE("b", "work", "ALL 3,9") "b OK ~\r\n"},
		{"a SEARCH RETURN (SAVE) 2\r\n", "a OK ~\r\n"},
		{"a ESEARCH IN (selected personal) RETURN (SAVE) ALL\r\n", "a BAD ~\r\n"}, {"a ESEARCH IN (mailboxes work) RETURN (SAVE) ALL\r\n", "a BAD ~\r\n"},
		{"a SEARCH $\r\n", "* SEARCH 2\r\na OK ~\r\n"},
		{"a ESEARCH RETURN (SAVE) CHARSET x-unknown ALL\r\nb SEARCH $\r\n", "a NO ~\r\n* SEARCH\r\nb OK ~\r\n"},
		{"a ESEARCH RETURN (SAVE COUNT) DELETED\r\nb SEARCH $\r\n", "a OK ~\r\n* SEARCH\r\nb OK ~\r\n"},
	};
	struct client			a, b;

	(void)state;
	assert_int_equal(client_begin(&a, "selected"), 0);
	tree_make(&a);
	DO(a, "s SELECT work\r\n", "~s OK ~\r\n");
	STEPS(&a, steps);
	/* What another session changed is told before, and no number is used after. */
	assert_int_equal(client_begin(&b, "selected"), 0);
	DO(b, "b SELECT work\r\nb STORE 1 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n", "~* 1 EXPUNGE\r\nb OK ~\r\n");
	append(&b, "work", "(\\Flagged) ", MAIL("ten"));
	DO(a, "a ESEARCH IN (subtree-one work) FLAGGED\r\n", "* 3 EXISTS~" ONE("a", "work", "ALL 9:10") ONE("a", "work/a", "ALL 4") "* 1 EXPUNGE\r\n~a OK ~\r\n");
	client_close(&a);
	client_close(&b);
}

static void
test_names_limit(void **state)
{
	struct arena		arena = arena_make(1024 * 1024);
	struct multisearch_args	*args = calloc(1, sizeof(*args));

	(void)state;
	assert_non_null(args);
	for (unsigned more = 0; more <= 1; more++) {
		struct buf	b = buf_make(4096);
		struct slice	cur;

		(void)buf_add_str(&b, " IN (mailboxes (x");
		for (unsigned i = 1; i < IMAP_SOURCE_NAMES_MAX + more; i++)
			(void)buf_add_str(&b, " x");
		(void)buf_add_str(&b, ")) ALL");
		cur = buf_slice(&b);
		assert_int_equal(parse_multisearch_args(&cur, &arena, args), more == 0 ? PARSE_OK : PARSE_BAD);
		buf_free(&b);
	}
	arena_free(&arena);
	free(args);
}

int
main(void)
{
	static const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_sources), cmocka_unit_test(test_selected), cmocka_unit_test(test_names_limit),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
