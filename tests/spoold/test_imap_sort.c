/*
 * SORT by transcripts: the criteria of RFC 5256 and RFC 5957, the returns of RFC 5267, limits, and "$"; and
 * the merge sort under it.
 */
#include "imap/order.h"
#include "imap/sort_parse.h"
#include "imap_transcript.h"

/* Four messages that every criterion orders in its own way. */
static void
fruit_make(struct client *c)
{
	append(c, "INBOX", "(\\Seen) \"5-Jan-2020 00:00:00 +0000\" ", "From: Zoe <adam@x.example>\r\nTo: bob@b.example\r\n"
	    "Subject: Re: apple\r\nDate: 2 Jan 2020 00:00:00 +0000\r\n\r\n1\r\n");
	append(c, "INBOX", "\"3-Jan-2020 00:00:00 +0000\" ", "From: =?utf-8?q?=C3=84nne?= <carl@y.example>\r\nTo: Anna <zz@z.example>\r\n"
	    "Cc: x@x.example, y@y.example\r\nSubject: banana\r\nDate: 1 Jan 2020 00:00:00 -0800\r\n\r\n12345678901234567890\r\n");
	append(c, "INBOX", "(\\Flagged) \"4-Jan-2020 00:00:00 +0000\" ", "From: bert@q.example\r\nTo: a group: c@c.example;\r\nCc: \"b\"@x.example\r\n"
	    "Subject: [list]  =?iso-8859-1?q?APPLE?= (fwd)\r\nDate: 1 Jan 2020 00:30:00\r\n\r\n3\r\n");
	append(c, "INBOX", "\"2-Jan-2020 12:00:00 +0000\" ", "X-Other: x\r\n\r\n4\r\n");
	DO(*c, "s SELECT INBOX\r\n", "~* 4 EXISTS\r\n~s OK ~\r\n");
}

static void
test_criteria(void **state)
{
	static const struct { const char *criteria, *want; } rows[] = {
		{"SUBJECT", " 4 1 3 2"}, {"REVERSE SUBJECT", " 2 1 3 4"}, {"SUBJECT DATE", " 4 3 1 2"}, {"SUBJECT REVERSE DATE", " 4 1 3 2"},
		{"DATE", " 3 2 1 4"}, {"REVERSE DATE", " 4 1 2 3"}, {"ARRIVAL", " 4 2 3 1"}, {"REVERSE ARRIVAL", " 1 3 2 4"},
		{"FROM", " 4 1 3 2"}, {"TO", " 4 3 1 2"}, {"CC", " 1 4 3 2"}, {"REVERSE CC", " 2 3 1 4"}, {"SIZE", " 4 1 3 2"}, {"REVERSE SIZE", " 2 3 1 4"},
		{"DISPLAYFROM", " 4 2 3 1"}, {"DISPLAYTO", " 4 3 2 1"}, {"REVERSE DISPLAYFROM", " 1 3 2 4"},
		{"REVERSE SUBJECT DATE", " 2 3 1 4"}, {"CC FROM", " 4 1 3 2"}, {"CC REVERSE FROM", " 1 4 3 2"}, {"SUBJECT REVERSE SUBJECT DATE", " 4 3 1 2"}, {"reverse subject reverse date", " 2 1 3 4"},
	};
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "criteria"), 0);
	fruit_make(&c);
	/* Twice: the second time from the cache. */
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		size_t	row = i % (sizeof(rows) / sizeof(rows[0]));
		char	send[128], want[128];

		(void)snprintf(send, sizeof(send), "a SORT (%s) UTF-8 ALL\r\n", rows[row].criteria);
		(void)snprintf(want, sizeof(want), "* SORT%s\r\na OK SORT completed\r\n", rows[row].want);
		client_send(&c, slice_of(send), 0, 0);
		got_check("criteria", send, &c, want);
	}
	client_close(&c);
}

static void
test_command(void **state)
{
	static const struct step	steps[] = {
		{"A282 SORT (SUBJECT) UTF-8 SINCE 1-Feb-1994\r\n", "* SORT 4 1 3 2\r\nA282 OK SORT completed\r\n"},
		{"A284 SORT (SUBJECT) US-ASCII TEXT \"not in mailbox\"\r\n", "* SORT\r\nA284 OK ~\r\n"},
		{"a UID SORT (REVERSE DATE) \"utf-8\" 2:4\r\n", "* SORT 4 2 3\r\na OK UID SORT completed\r\n"},
		{"a SORT (DATE) UTF-8 OR SEEN FLAGGED\r\n", "* SORT 3 1\r\na OK ~\r\n"},
		{"a SORT (SUBJECT) ISO-8859-1 SUBJECT {5+}\r\napple\r\n", "* SORT 1 3\r\na OK ~\r\n"},
		{"a SORT (DATE) x-unknown ALL\r\n", "a NO [BADCHARSET (~)] ~\r\n"}, {"a SORT (DATE) UTF-8\r\n", "a BAD ~\r\n"},
		{"a SORT (DATE) ALL\r\n", "a BAD ~\r\n"}, {"a SORT () UTF-8 ALL\r\n", "a BAD ~\r\n"}, {"a SORT DATE UTF-8 ALL\r\n", "a BAD ~\r\n"},
		{"a SORT (REVERSE) UTF-8 ALL\r\n", "a BAD ~\r\n"}, {"a SORT (REVERSE REVERSE DATE) UTF-8 ALL\r\n", "a BAD ~\r\n"},
		{"a SORT (FOO) UTF-8 ALL\r\n", "a BAD ~\r\n"}, {"a SORT (DATE  FROM) UTF-8 ALL\r\n", "a BAD ~\r\n"}, {"a SORT (DATE) UTF-8 FOO\r\n", "a BAD ~\r\n"},
		/* ESORT: in the order asked for; a range only where it ascends (RFC 5267 3.2, 3.3). */
		{"E01 UID SORT RETURN () (REVERSE DATE) UTF-8 UNDELETED\r\n", "* ESEARCH (TAG \"E01\") UID ALL 4,1:3\r\nE01 OK ~\r\n"},
		{"a SORT RETURN (ALL) (DATE) UTF-8 ALL\r\n", "* ESEARCH (TAG \"a\") ALL 3,2,1,4\r\na OK ~\r\n"},
		{"a SORT RETURN (MIN MAX COUNT) (DATE) UTF-8 ALL\r\n", "* ESEARCH (TAG \"a\") MIN 3 MAX 4 COUNT 4\r\na OK ~\r\n"},
		{"a SORT RETURN (MIN) (REVERSE SIZE) UTF-8 ALL\r\n", "* ESEARCH (TAG \"a\") MIN 2\r\na OK ~\r\n"},
		{"a SORT RETURN (MIN ALL COUNT) (DATE) UTF-8 DELETED\r\n", "* ESEARCH (TAG \"a\") COUNT 0\r\na OK ~\r\n"},
		{"a SORT RETURN (PARTIAL 2:3) (DATE) UTF-8 ALL\r\n", "* ESEARCH (TAG \"a\") PARTIAL (2:3 2,1)\r\na OK ~\r\n"},
		{"a SORT RETURN (PARTIAL -1:-1) (DATE) UTF-8 ALL\r\n", "* ESEARCH (TAG \"a\") PARTIAL (-1:-1 4)\r\na OK ~\r\n"},
		{"a SORT RETURN (SAVE PARTIAL 1:2) (DATE) UTF-8 ALL\r\nb SEARCH $\r\n", "* ESEARCH (TAG \"a\") PARTIAL (1:2 3,2)\r\na OK ~\r\n* SEARCH 2 3\r\nb OK ~\r\n"},
		{"a SORT RETURN (SAVE MAX MIN) (DATE) UTF-8 ALL\r\nb SORT (DATE) UTF-8 $\r\n", "* ESEARCH (TAG \"a\") MIN 3 MAX 4\r\na OK ~\r\n* SORT 3 4\r\nb OK ~\r\n"},
		{"a SORT RETURN (SAVE) (DATE) UTF-8 1:2\r\nb SEARCH $\r\n", "a OK ~\r\n* SEARCH 1 2\r\nb OK ~\r\n"},
		{"a SORT RETURN (SAVE) (DATE) x-unknown ALL\r\nb SEARCH $\r\n", "a NO ~\r\n* SEARCH\r\nb OK ~\r\n"},
		{"a SORT RETURN (FOO) (DATE) UTF-8 ALL\r\n", "a BAD ~\r\n"}, {"a SORT (DATE) RETURN () UTF-8 ALL\r\n", "a BAD ~\r\n"},
		{"a UNSELECT\r\n", "a OK ~\r\n"}, {"a SORT (DATE) UTF-8 ALL\r\n", "a BAD No mailbox is selected\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "command"), 0);
	fruit_make(&c);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_criteria_limit(void **state)
{
	struct arena	arena = arena_make(1024 * 1024);

	(void)state;
	for (unsigned more = 0; more <= 1; more++) {
		struct buf		b = buf_make(4096);
		struct sort_args	args;
		struct slice		cur;

		(void)buf_add_str(&b, " (DATE");
		for (unsigned i = 1; i < IMAP_SORT_CRITERIA_MAX + more; i++)
			(void)buf_add_str(&b, i % 2 == 0 ? " DATE" : " REVERSE SIZE");
		(void)buf_add_str(&b, ") UTF-8 ALL");
		cur = buf_slice(&b);
		assert_int_equal(parse_sort_args(&cur, &arena, &args), more == 0 ? PARSE_OK : PARSE_BAD);
		buf_free(&b);
	}
	arena_free(&arena);
}

/* While another session expunges: the numbers are the old ones, and what is gone is not found. */
static void
test_expunged(void **state)
{
	struct client	a, b;

	(void)state;
	assert_int_equal(client_begin(&a, "sortgone"), 0);
	assert_int_equal(client_begin(&b, "sortgone"), 0);
	fruit_make(&a);
	DO(b, "b SELECT INBOX\r\nb STORE 2 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n", "~* 2 EXPUNGE\r\nb OK ~\r\n");
	DO(a, "a SORT (DATE) UTF-8 ALL\r\n", "* SORT 3 1 4\r\na OK ~\r\n");
	DO(a, "a UID SORT (DATE) UTF-8 ALL\r\n", "* SORT 3 1 4\r\n* 2 EXPUNGE\r\na OK ~\r\n");
	DO(a, "a SORT (DATE) UTF-8 ALL\r\n", "* SORT 2 1 3\r\na OK ~\r\n");
	client_close(&a);
	client_close(&b);
}

/* Over batches, and with gaps that are jumped over. */
static void
test_many(void **state)
{
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "sortmany"), 0);
	append(&c, "Drafts", "", "Subject: x\r\n\r\n");
	client_send(&c, SLICE("a SELECT Drafts\r\n"), 0, 0);
	for (int i = 0; i < 11; i++)
		client_send(&c, SLICE("a COPY 1:* Drafts\r\na NOOP\r\n"), 0, 0);
	got_check("many", "COPY", &c, "~* 2048 EXISTS\r\n~");
	append(&c, "INBOX", "", "Subject: b\r\n\r\n");
	DO(c, "a COPY 1:* Drafts\r\n", "~a OK ~\r\n");
	append(&c, "INBOX", "", "Subject: a\r\n\r\n");
	DO(c, "a COPY 1:300 INBOX\r\n", "a OK ~\r\n");
	DO(c, "a SELECT INBOX\r\n", "~* 302 EXISTS\r\n~a OK ~\r\n");
	DO(c, "a SORT RETURN (ALL) (SUBJECT) UTF-8 ALL\r\n", "* ESEARCH (TAG \"a\") ALL 2,1,3:302\r\na OK ~\r\n");
	DO(c, "a SORT RETURN (ALL) (REVERSE SUBJECT) UTF-8 ALL\r\n", "* ESEARCH (TAG \"a\") ALL 3:302,1:2\r\na OK ~\r\n");
	DO(c, "a SORT RETURN (PARTIAL -1:-2) (REVERSE SUBJECT) UTF-8 1:2,300:*\r\n", "* ESEARCH (TAG \"a\") PARTIAL (-1:-2 1:2)\r\na OK ~\r\n");
	client_close(&c);
}

/* More to compare than a command may hold. */
static void
test_keys_limit(void **state)
{
	const size_t	subject_bytes = 1024 * 1024;
	const char	before[] = "Subject: ", after[] = "\r\n\r\nx\r\n";
	struct buf	command = buf_make(2 * subject_bytes);
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "sortlimit"), 0);
	(void)buf_addf(&command, "a APPEND INBOX {%zu+}\r\n%s", subject_bytes + sizeof(before) + sizeof(after) - 2, before);
	memset(buf_room(&command, subject_bytes), 'x', subject_bytes);
	command.n += subject_bytes;
	(void)buf_addf(&command, "%s\r\n", after);
	client_send(&c, buf_slice(&command), 0, 0);
	got_check("limit", "APPEND", &c, "a OK ~\r\n");
	DO(c, "a SELECT INBOX\r\n", "~a OK ~\r\n");
	for (size_t n = subject_bytes; n < SESSION_COMMAND_MAX_BYTES; n *= 2)
		client_send(&c, SLICE("a COPY 1:* INBOX\r\na NOOP\r\n"), 0, 0);
	got_check("limit", "COPY", &c, "~* 256 EXISTS\r\n~");
	DO(c, "a SORT (SUBJECT) UTF-8 ALL\r\n", "a NO [LIMIT] ~\r\n");
	DO(c, "a SORT RETURN (COUNT) (SUBJECT) UTF-8 1:240\r\n", "* ESEARCH (TAG \"a\") COUNT 240\r\na OK ~\r\n");
	DO(c, "a SORT RETURN (COUNT) (DATE) UTF-8 ALL\r\n", "* ESEARCH (TAG \"a\") COUNT 256\r\na OK ~\r\n");
	buf_free(&command);
	client_close(&c);
}

static int
high_compare(const void *arg, uint32_t x, uint32_t y)
{
	unsigned	*ncompared = *(unsigned *const *)arg;

	(*ncompared)++;
	return (int)(x >> 16) - (int)(y >> 16);
}

/* Any length; equals stay; no input takes more than n log n. */
static void
test_order(void **state)
{
	enum { MOST = 3000 };
	static uint32_t	rows[MOST], tmp[MOST];

	(void)state;
	for (unsigned kind = 0; kind < 5; kind++) {
		for (uint32_t n = 0; n <= MOST; n += n < 70 ? 1 : 733) {
			unsigned	ncompared = 0, *at = &ncompared, log = 1;

			for (uint32_t i = 0; i < n; i++) {
				const uint32_t	keys[] = {i, n - i, i * 7919 % 13, 5, i % 2};

				rows[i] = keys[kind] << 16 | i;
			}
			order_sort(rows, tmp, n, high_compare, &at);
			for (uint32_t i = 1; i < n; i++)
				assert_true(rows[i - 1] < rows[i]);
			while (1U << log < n)
				log++;
			assert_true(ncompared <= n * (log + 1));
		}
	}
}

int
main(void)
{
	static const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_criteria), cmocka_unit_test(test_command), cmocka_unit_test(test_criteria_limit),
		cmocka_unit_test(test_expunged), cmocka_unit_test(test_many), cmocka_unit_test(test_keys_limit), cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
