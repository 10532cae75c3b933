/*
 * FETCH PREVIEW (RFC 8970): made, kept in the index, and NIL where a lazy client would have to wait for it.
 */
#include "imap_transcript.h"

#define SAYS	"Content-Type: text/plain; charset=utf-8\r\n\r\n"

static void
test_preview(void **state)
{
	static const struct step	steps[] = {
		{"a SELECT INBOX\r\n", "~a OK ~\r\n"},
		{"A2 FETCH 1 (RFC822.SIZE PREVIEW)\r\n", "* 1 FETCH (RFC822.SIZE " PLAIN_N " PREVIEW \"Hello Bob.\")\r\nA2 OK ~\r\n"},
		/* Nothing is made for a lazy client; what was made before is there. */
		{"B1 FETCH 1:4 (UID PREVIEW (LAZY))\r\n", "* 1 FETCH (UID 1 PREVIEW \"Hello Bob.\")\r\n* 2 FETCH (UID 2 PREVIEW NIL)\r\n"
		    "* 3 FETCH (UID 3 PREVIEW NIL)\r\n* 4 FETCH (UID 4 PREVIEW NIL)\r\nB1 OK ~\r\n"},
		{"B2 UID FETCH 2:4 PREVIEW\r\n", "* 2 FETCH (UID 2 PREVIEW \"first part\")\r\n* 3 FETCH (UID 3 PREVIEW \"\")\r\n"
		    "* 4 FETCH (UID 4 PREVIEW {14}\r\na w\xc3\xb6rld \"b\\c\")\r\nB2 OK ~\r\n"},
		{"B3 FETCH 2:4 PREVIEW (LAZY LAZY)\r\n", "* 2 FETCH (PREVIEW \"first part\")\r\n* 3 FETCH (PREVIEW \"\")\r\n"
		    "* 4 FETCH (PREVIEW {14}\r\na w\xc3\xb6rld \"b\\c\")\r\nB3 OK ~\r\n"},
		/* \Seen is not set. */
		{"a FETCH 1:4 (PREVIEW (LAZY) FLAGS)\r\n", "* 1 FETCH (PREVIEW \"Hello Bob.\" FLAGS (\\Recent))\r\n~ FLAGS (\\Recent))\r\n~ FLAGS (\\Recent))\r\n~ FLAGS (\\Recent))\r\na OK ~\r\n"},
		{"a FETCH 4 (BODYSTRUCTURE PREVIEW)\r\n", "* 4 FETCH (BODYSTRUCTURE (~) PREVIEW {14}\r\n~)\r\na OK ~\r\n"},
		/* A copy has the same body: its preview is known. */
		{"a COPY 1 Sent\r\nb SELECT Sent\r\nc FETCH 1 PREVIEW (LAZY)\r\n", "a OK ~b OK ~* 1 FETCH (PREVIEW \"Hello Bob.\")\r\nc OK ~\r\n"},
		{"a FETCH 1 PREVIEW (\r\n", "a BAD ~\r\n"}, {"a FETCH 1 PREVIEW ()\r\n", "a BAD ~\r\n"}, {"a FETCH 1 PREVIEW (EAGER)\r\n", "a BAD ~\r\n"},
		{"a FETCH 1 PREVIEW (LAZY\r\n", "a BAD ~\r\n"}, {"a FETCH 1 (PREVIEW (LAZY)\r\n", "a BAD ~\r\n"}, {"a FETCH 1 PREVIEW(LAZY)\r\n", "a BAD ~\r\n"},
		{"a FETCH 1 PREVIEW LAZY\r\n", "a BAD ~\r\n"}, {"a FETCH 1 (PREVIEW (LAZY) UID PREVIEW)\r\n", "* 1 FETCH (PREVIEW ~ UID 5 PREVIEW \"Hello Bob.\")\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "preview"), 0);
	append(&c, "INBOX", "", PLAIN);
	append(&c, "INBOX", "", MIXED);
	append(&c, "INBOX", "", "Content-Type: image/png\r\n\r\nPNG");
	append(&c, "INBOX", "", SAYS "a\r\nw\xc3\xb6rld\r\n\"b\\c\"\r\n");
	STEPS(&c, steps);
	client_close(&c);
}

/* Of a message with a large attachment only its beginning is read; text after it is not looked for. */
static void
test_large(void **state)
{
	struct buf	command = buf_make(8 * 1024 * 1024), message = buf_make(8 * 1024 * 1024);
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "largepreview"), 0);
	(void)buf_add_str(&message, "Content-Type: multipart/mixed; boundary=X\r\n\r\n--X\r\nContent-Type: text/html\r\n\r\n<p>be<b>fore</b>\r\n"
	    "--X\r\nContent-Type: image/png\r\n\r\n");
	while (message.n < 2 * 1024 * 1024)
		(void)buf_add_str(&message, "abcdefghijklmnopqrstuvwxyz\r\n");
	(void)buf_add_str(&message, "--X\r\n\r\nafter\r\n--X--\r\n");
	(void)buf_addf(&command, "a APPEND INBOX {%zu+}\r\n", message.n);
	(void)buf_add_slice(&command, buf_slice(&message));
	(void)buf_add_str(&command, "\r\nb EXAMINE INBOX\r\nc FETCH 1 (BODY PREVIEW)\r\nd FETCH 1 PREVIEW\r\n");
	client_send(&c, buf_slice(&command), 0, 0);
	got_check("large", "PREVIEW", &c, "a OK ~b OK ~* 1 FETCH (BODY (~) PREVIEW \"before\")\r\nc OK ~* 1 FETCH (PREVIEW \"before\")\r\nd OK ~");
	client_close(&c);
	buf_free(&command);
	buf_free(&message);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_preview), cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
