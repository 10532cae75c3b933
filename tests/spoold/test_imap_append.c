/*
 * APPEND of several messages (RFC 3502): all of them or none, in order, with the limits on their number and bytes.
 */
#include "imap_transcript.h"
#include "imap/imap.h"

#define TWO	"Subject: two\r\n\r\n2\r\n"
#define TWO_N	"19"

static void
test_several(void **state)
{
	static const struct step	steps[] = {
		/* RFC 3502's example: flags and date of each their own. */
		{"A003 APPEND INBOX (\\Seen) {" PLAIN_N "}\r\n" PLAIN " (\\Flagged $x) \" 7-Feb-1994 22:43:04 -0800\" {" TWO_N "}\r\n" TWO "\r\n",
		    "+ Go on\r\n+ Go on\r\nA003 OK [APPENDUID ~ 1:2] APPEND completed\r\n"},
		{"a APPEND INBOX {3+}\r\nabc {3+}\r\ndef () {3}\r\nghi\r\n", "+ Go on\r\na OK [APPENDUID ~ 3:5] ~\r\n"},
		{"a APPEND {5}\r\nINBOX {3+}\r\njkl \"17-Jul-1996 02:44:25 -0700\" {3+}\r\nmno\r\n", "+ Go on\r\na OK [APPENDUID ~ 6:7] ~\r\n"},
		{"a EXAMINE INBOX\r\n", "~* 7 EXISTS\r\n~a OK ~\r\n"},
		{"a FETCH 1:2 (FLAGS INTERNALDATE RFC822.SIZE)\r\n",
		    "* 1 FETCH (FLAGS (\\Seen \\Recent) INTERNALDATE ~ RFC822.SIZE " PLAIN_N ")\r\n"
		    "* 2 FETCH (FLAGS (\\Flagged $x \\Recent) INTERNALDATE \" 8-Feb-1994 06:43:04 +0000\" RFC822.SIZE " TWO_N ")\r\na OK ~\r\n"},
		{"a FETCH 2:7 BODY[]\r\n", "* 2 FETCH (BODY[] {" TWO_N "}\r\n" TWO ")\r\n* 3 FETCH (BODY[] {3}\r\nabc)\r\n* 4 FETCH (BODY[] {3}\r\ndef)\r\n"
		    "* 5 FETCH (BODY[] {3}\r\nghi)\r\n* 6 FETCH (BODY[] {3}\r\njkl)\r\n* 7 FETCH (BODY[] {3}\r\nmno)\r\na OK ~\r\n"},
		{"a FETCH 6:7 INTERNALDATE\r\n", "* 6 FETCH (INTERNALDATE \"~-~-20~\")\r\n* 7 FETCH (INTERNALDATE \"17-Jul-1996 09:44:25 +0000\")\r\na OK ~\r\n"},
		/* Line ends are put right in each for itself: the CR of the first does not take the LF of the second. */
		{"a APPEND INBOX {2+}\r\na\r {2+}\r\n\nb\r\n", "* 9 EXISTS\r\n~a OK ~\r\n"},
		{"a FETCH 8:9 BODY[]\r\n", "* 8 FETCH (BODY[] {3}\r\na\r\n)\r\n* 9 FETCH (BODY[] {3}\r\n\r\nb)\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "several"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

/* Whatever is wrong with one of them, none is there. */
static void
test_none(void **state)
{
	static const struct step	steps[] = {
		/* An empty message cancels (RFC 3502). */
		{"a APPEND INBOX {3+}\r\nabc {0}\r\n", "a NO [CANNOT] ~\r\n"}, {"a APPEND INBOX {3+}\r\nabc {0+}\r\n {3+}\r\ndef\r\nb NOOP\r\n", "a NO [CANNOT] ~\r\nb OK ~\r\n"},
		{"a APPEND INBOX {3}\r\nabc {0}\r\n", "+ Go on\r\na NO [CANNOT] ~\r\n"},
		{"a APPEND INBOX {3+}\r\nabc {104857601}\r\n", "a NO [TOOBIG] ~\r\n"},
		{"a APPEND INBOX {3+}\r\nabc (\\Recent) {3+}\r\ndef\r\n", "a BAD ~\r\n"}, {"a APPEND INBOX {3+}\r\nabc {3+}\r\ndef x\r\n", "a BAD ~\r\n"},
		{"a APPEND INBOX {3+}\r\nabc {3+}\r\ndef \r\n", "a BAD ~\r\n"}, {"a APPEND INBOX {3+}\r\nabc{3+}\r\ndef\r\n", "a BAD ~\r\n"},
		{"a APPEND INBOX {3+}\r\nabc \"yesterday\" {3+}\r\ndef\r\n", "a BAD ~\r\n"}, {"a APPEND INBOX {3+}\r\nabc \"text\"\r\n", "a BAD ~\r\n"},
		{"a APPEND INBOX {3+}\r\nabc INBOX {3+}\r\ndef\r\n", "a BAD ~\r\n"},
		{"a APPEND nope {3+}\r\nabc {3+}\r\ndef\r\nb NOOP\r\n", "a NO [TRYCREATE] ~\r\nb OK ~\r\n"}, {"a APPEND nope {3}\r\n", "a NO [TRYCREATE] ~\r\n"},
		{"a STATUS INBOX (MESSAGES UIDNEXT)\r\n", "* STATUS \"INBOX\" (MESSAGES 0 UIDNEXT 1)\r\na OK ~\r\n"},
	};
	static const char		nul[] = "a APPEND INBOX {3+}\r\na\0b {3+}\r\ndef\r\nb NOOP\r\n", late[] = "a APPEND INBOX {3+}\r\nabc {3+}\r\nd\0f\r\n";
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "none"), 0);
	STEPS(&c, steps);
	client_send(&c, (struct slice){nul, sizeof(nul) - 1}, 0, 0);
	got_check("none", "NUL", &c, "a BAD ~\r\nb OK ~\r\n");
	client_send(&c, (struct slice){late, sizeof(late) - 1}, 0, 0);
	got_check("none", "late NUL", &c, "a BAD ~\r\n");
	DO(c, "a STATUS INBOX (MESSAGES)\r\n", "* STATUS \"INBOX\" (MESSAGES 0)\r\na OK ~\r\n");
	client_close(&c);
}

/* n small messages in one command. */
static void
small_send(struct client *c, int n)
{
	struct buf	command = buf_make(1024 * 1024);

	(void)buf_add_str(&command, "a APPEND INBOX");
	for (int i = 0; i < n; i++)
		(void)buf_addf(&command, " (\\Seen) {4+}\r\n%04d", i);
	(void)buf_add_str(&command, "\r\nb NOOP\r\n");
	client_send(c, buf_slice(&command), 0, 0);
	buf_free(&command);
}

static void
test_count_limit(void **state)
{
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "count"), 0);
	small_send(&c, IMAP_APPEND_MSGS_MAX + 1);
	got_check("count", "one past", &c, "a NO [LIMIT] ~\r\nb OK ~\r\n");
	small_send(&c, IMAP_APPEND_MSGS_MAX);
	got_check("count", "the limit", &c, "a OK [APPENDUID ~ 1:250] ~\r\nb OK ~\r\n");
	DO(c, "a EXAMINE INBOX\r\n", "~* 250 EXISTS\r\n~a OK ~");
	DO(c, "a FETCH 250 BODY[]\r\n", "* 250 FETCH (BODY[] {4}\r\n0249)\r\na OK ~");
	client_close(&c);
}

/* " {n+}" and n bytes. */
static void
large_add(struct buf *command, size_t n)
{
	(void)buf_addf(command, " {%zu+}\r\n", n);
	memset(buf_room(command, n), 'x', n);
	command->n += n;
}

/* Many bytes lie in one file; past the limit on all of them together nothing is kept. */
static void
test_bytes_limit(void **state)
{
	const size_t	half = IMAP_APPEND_ALL_MAX_BYTES / 2;
	struct buf	command = buf_make(3 * half);
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "bytes"), 0);
	(void)buf_add_str(&command, "a APPEND INBOX");
	large_add(&command, half);
	large_add(&command, half - 1);
	(void)buf_add_str(&command, " {1}\r\ny {1}\r\n");	/* the last octet there is room for, and one more */
	client_send(&c, buf_slice(&command), 0, 0);
	got_check("bytes", "one past", &c, "+ Go on\r\na NO [TOOBIG] ~\r\n");
	DO(c, "a STATUS INBOX (MESSAGES)\r\n", "* STATUS \"INBOX\" (MESSAGES 0)\r\na OK ~\r\n");
	buf_free(&command);
	client_close(&c);
}

/* Small ones, one that goes to the file, and small ones after it: each has its own bytes. */
static void
test_mixed_sizes(void **state)
{
	static const size_t	sizes[] = {10, IMAP_APPEND_MEM_BYTES - 20, 11, 3 * IMAP_APPEND_MEM_BYTES, 5};
	struct buf		command = buf_make(1024 * 1024);
	struct client		c;

	(void)state;
	assert_int_equal(client_begin(&c, "sizes"), 0);
	(void)buf_add_str(&command, "a APPEND INBOX");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		large_add(&command, sizes[i]);
		command.p[command.n - sizes[i]] = (char)('0' + i);
		command.p[command.n - 1] = (char)('A' + i);
	}
	(void)buf_add_str(&command, "\r\nb EXAMINE INBOX\r\n");
	client_send(&c, buf_slice(&command), 1000, 0);
	got_check("sizes", "APPEND", &c, "a OK [APPENDUID ~ 1:5] ~* 5 EXISTS~b OK ~");
	DO(c, "a FETCH 1:5 RFC822.SIZE\r\n", "* 1 FETCH (RFC822.SIZE 10)\r\n* 2 FETCH (RFC822.SIZE 65516)\r\n* 3 FETCH (RFC822.SIZE 11)\r\n"
	    "* 4 FETCH (RFC822.SIZE 196608)\r\n* 5 FETCH (RFC822.SIZE 5)\r\na OK ~");
	DO(c, "a FETCH 1,3,5 BODY[]\r\n", "* 1 FETCH (BODY[] {10}\r\n0xxxxxxxxA)\r\n* 3 FETCH (BODY[] {11}\r\n2xxxxxxxxxC)\r\n* 5 FETCH (BODY[] {5}\r\n4xxxE)\r\na OK ~");
	DO(c, "a FETCH 2,4 BODY[]<0.2>\r\n", "* 2 FETCH (BODY[]<0> {2}\r\n1x)\r\n* 4 FETCH (BODY[]<0> {2}\r\n3x)\r\na OK ~");
	DO(c, "a FETCH 4 BODY[]<196606.9>\r\n", "* 4 FETCH (BODY[]<196606> {2}\r\nxD)\r\na OK ~");
	client_close(&c);
	buf_free(&command);
}

/* Below the reserve a message is refused before it is sent. */
static void
test_full(void **state)
{
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "full"), 0);
	test_host.reserve_bytes = UINT64_MAX;
	(void)usleep(600 * 1000);	/* the disk is looked at twice a second */
	DO(c, "a APPEND INBOX {3}\r\n", "a NO [UNAVAILABLE] ~\r\n");
	DO(c, "a APPEND INBOX {3+}\r\nabc\r\nb NOOP\r\n", "a NO [UNAVAILABLE] ~\r\nb OK ~\r\n");
	test_host.reserve_bytes = 0;
	(void)usleep(600 * 1000);
	DO(c, "a APPEND INBOX {3+}\r\nabc\r\n", "a OK ~\r\n");
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_several), cmocka_unit_test(test_none), cmocka_unit_test(test_count_limit),
		cmocka_unit_test(test_bytes_limit), cmocka_unit_test(test_mixed_sizes), cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
