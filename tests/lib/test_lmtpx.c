/*
 * The client side of LMTP and SMTP: what it sends for what a server says, at every split of the
 * server's words, and each recipient's reply. A server that dies is tried at every byte. No sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lmtpx.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define MESSAGE		"a\r\n.b\r\n"
#define HELLO_FULL	"220 h\r\n250-h\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 1000\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n250 XTWINSPOOL\r\n"
#define HELLO_PIPE	"220 h\r\n250-h\r\n250 PIPELINING\r\n"
#define KEY		"000102030405060708090a0b0c0d0e0f"
#define ENVELOPE	"MAIL FROM:<s@x>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\n"

static struct reply	replies[3];
static unsigned		nreplies[3];

static void
on_done(void *arg, size_t i, const struct reply *r)
{
	(void)arg;
	replies[i] = *r;
	nreplies[i]++;
}

static const struct row {
	const char	*name;
	bool		 is_smtp, is_utf8;
	const char	*says;		/* the server; at a | it waits until it has heard everything */
	const char	*sent;		/* we */
	int		 codes[2];
	enum lmtpx_state state;
} rows[] = {
	{"all extensions", false, false, HELLO_FULL "|250 ok\r\n250 ok\r\n250 ok\r\n250 2.0.0 one\r\n250 2.0.0 two\r\n",
	    "LHLO me\r\nMAIL FROM:<s@x> SIZE=7 BODY=8BITMIME XKEY=" KEY " XQID=q\r\n"
	    "RCPT TO:<a@x> XUSER=a+2Ba XPLACE\r\nRCPT TO:<b@x>\r\nBDAT 7 LAST\r\n" MESSAGE, {250, 250}, LMTPX_READY},
	{"SMTPUTF8", false, true, HELLO_FULL "|250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n",
	    "LHLO me\r\nMAIL FROM:<s@x> SIZE=7 BODY=8BITMIME SMTPUTF8 XKEY=" KEY " XQID=q\r\n"
	    "RCPT TO:<a@x> XUSER=a+2Ba XPLACE\r\nRCPT TO:<b@x>\r\nBDAT 7 LAST\r\n" MESSAGE, {250, 250}, LMTPX_READY},
	{"SMTPUTF8 not offered", false, true, HELLO_PIPE, "LHLO me\r\n", {550, 550}, LMTPX_READY},
	{"LMTP by DATA", false, false, HELLO_PIPE "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n|250 ok\r\n451 4.2.0 later\r\n",
	    "LHLO me\r\n" ENVELOPE "DATA\r\na\r\n..b\r\n.\r\n", {250, 451}, LMTPX_READY},
	{"SMTP, one reply for all", true, false, HELLO_PIPE "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n|550 5.7.1 spam\r\n",
	    "EHLO me\r\n" ENVELOPE "DATA\r\na\r\n..b\r\n.\r\n", {550, 550}, LMTPX_READY},
	{"SMTP does not get BDAT", true, false,
	    "220 h\r\n250-h\r\n250-CHUNKING\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n|250 ok\r\n",
	    "EHLO me\r\n" ENVELOPE "DATA\r\na\r\n..b\r\n.\r\n", {250, 250}, LMTPX_READY},
	{"no EHLO", true, false, "220 h\r\n502 what?\r\n250 h\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n|250 ok\r\n",
	    "EHLO me\r\nHELO me\r\n" ENVELOPE "DATA\r\na\r\n..b\r\n.\r\n", {250, 250}, LMTPX_READY},
	{"no LHLO", false, false, "220 h\r\n500 what?\r\n", "LHLO me\r\n", {451, 451}, LMTPX_OVER},
	{"no HELO either", true, false, "220 h\r\n502 what?\r\n550 go\r\n", "EHLO me\r\nHELO me\r\n", {451, 451}, LMTPX_OVER},
	{"refused greeting is not for ever", true, false, "554 no\r\n", "", {451, 451}, LMTPX_OVER},
	{"one refused", false, false, HELLO_PIPE "250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n|250 ok\r\n",
	    "LHLO me\r\n" ENVELOPE "DATA\r\na\r\n..b\r\n.\r\n", {550, 250}, LMTPX_READY},
	{"both refused", false, false, HELLO_PIPE "250 ok\r\n550 5.1.1 no\r\n452 4.2.2 full\r\n354 go\r\n",
	    "LHLO me\r\n" ENVELOPE "DATA\r\nQUIT\r\n", {550, 452}, LMTPX_OVER},
	{"both refused, chunk", false, false, HELLO_FULL "|250 ok\r\n550 no\r\n550 no\r\n",
	    "LHLO me\r\nMAIL FROM:<s@x> SIZE=7 BODY=8BITMIME XKEY=" KEY " XQID=q\r\n"
	    "RCPT TO:<a@x> XUSER=a+2Ba XPLACE\r\nRCPT TO:<b@x>\r\nBDAT 7 LAST\r\n" MESSAGE "QUIT\r\n", {550, 550}, LMTPX_OVER},
	{"sender refused", false, false, HELLO_PIPE "550 5.7.1 no\r\n503 no\r\n503 no\r\n503 no\r\n",
	    "LHLO me\r\n" ENVELOPE "DATA\r\nQUIT\r\n", {550, 550}, LMTPX_OVER},
	{"sender refused, one by one", true, false, "220 h\r\n250 h\r\n451 4.7.1 grey\r\n",
	    "EHLO me\r\nMAIL FROM:<s@x>\r\nQUIT\r\n", {451, 451}, LMTPX_OVER},
	{"both refused, one by one", true, false, "220 h\r\n250 h\r\n250 ok\r\n550 no\r\n550 no\r\n",
	    "EHLO me\r\n" ENVELOPE "QUIT\r\n", {550, 550}, LMTPX_OVER},
	{"DATA refused", true, false, HELLO_PIPE "250 ok\r\n250 ok\r\n250 ok\r\n451 4.3.0 no\r\n",
	    "EHLO me\r\n" ENVELOPE "DATA\r\nQUIT\r\n", {451, 451}, LMTPX_OVER},
	{"DATA answered with 250", true, false, HELLO_PIPE "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n",
	    "EHLO me\r\n" ENVELOPE "DATA\r\nQUIT\r\n", {451, 451}, LMTPX_OVER},
	{"354 to RCPT", true, false, HELLO_PIPE "250 ok\r\n354 go\r\n354 go\r\n", "EHLO me\r\n" ENVELOPE "DATA\r\nQUIT\r\n",
	    {451, 451}, LMTPX_OVER},
	{"several lines", true, false, HELLO_PIPE "250-o\r\n250 k\r\n250 ok\r\n550-no\r\n550 5.1.1 really\r\n354 go\r\n|250 ok\r\n",
	    "EHLO me\r\n" ENVELOPE "DATA\r\na\r\n..b\r\n.\r\n", {250, 550}, LMTPX_READY},
	{"lines that differ", true, false, HELLO_PIPE "250-o\r\n251 k\r\n", "EHLO me\r\n" ENVELOPE "DATA\r\n", {451, 451}, LMTPX_OVER},
	{"no reply at all", true, false, "220 h\r\nhello\r\n", "EHLO me\r\n", {451, 451}, LMTPX_OVER},
	{"bare LF", true, false, "220 h\n250 h\r\n", "", {451, 451}, LMTPX_OVER},
	{"more than asked for", true, false, HELLO_PIPE "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n|250 ok\r\n250 again\r\n",
	    "EHLO me\r\n" ENVELOPE "DATA\r\na\r\n..b\r\n.\r\n", {250, 250}, LMTPX_OVER},
	{"421 in the envelope", true, false, HELLO_PIPE "250 ok\r\n421 4.3.2 bye\r\n421 4.3.2 bye\r\n",
	    "EHLO me\r\n" ENVELOPE "DATA\r\nQUIT\r\n", {421, 421}, LMTPX_OVER},
};

static const unsigned char	key[DELIVERY_KEY_BYTES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static struct inflight		inflight = {.max = 1 << 20, .dir_fd = -1};
static struct spoolfile		message;
static const struct lmtpx_rcpt	rcpts[] = {{"a@x", "a+a", true}, {"b@x", NULL, false}};

static struct lmtpx_job
job_of(const struct row *r)
{
	return (struct lmtpx_job){
		.qid = "q", .sender = "s@x", .is_8bit = true, .is_utf8 = r->is_utf8, .key = key, .message = &message,
		.rcpts = rcpts, .nrcpts = 2, .done = on_done,
	};
}

/* Lets the server say n bytes of its words, in pieces of at most step; what we sent is in sent. */
static void
converse(struct lmtpx *x, const struct row *r, size_t n, size_t step, struct buf *sent)
{
	memset(nreplies, 0, sizeof(nreplies));
	for (size_t at = 0, piece; at < n; at += piece) {
		if (r->says[at] == '|')
			at++;
		piece = strcspn(r->says + at, "|");
		piece = piece > n - at ? n - at : piece;
		piece = piece > step ? step : piece;
		assert_int_equal(buf_add(&x->in, r->says + at, piece), 0);
		for (;;) {
			lmtpx_run(x);
			if (x->out.n == 0)
				break;
			assert_int_equal(buf_add_slice(sent, buf_slice(&x->out)), 0);
			buf_clear(&x->out);
		}
	}
}

static bool
is_right(const struct row *r, size_t step)
{
	struct lmtpx		x = lmtpx_make(r->is_smtp, "hop", "me");
	struct lmtpx_job	job = job_of(r);
	struct buf		sent = buf_make(65536);
	bool			good;

	lmtpx_begin(&x, &job);
	converse(&x, r, strlen(r->says), step, &sent);
	good = slice_is(buf_slice(&sent), slice_of(r->sent)) && x.state == r->state && nreplies[0] == 1 && nreplies[1] == 1 &&
	    replies[0].code == r->codes[0] && replies[1].code == r->codes[1];
	if (!good)
		print_error("row failed: %s (step %zu): state %d, codes %d %d, replies %u %u\n--- sent\n%.*s\n", r->name, step,
		    (int)x.state, replies[0].code, replies[1].code, nreplies[0], nreplies[1], (int)sent.n, sent.p);
	lmtpx_fail(&x, 451, "");
	lmtpx_free(&x);
	buf_free(&sent);
	return good;
}

static void
test_transcripts(void **state)
{
	size_t	failed = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		for (size_t step = 1, all = strlen(rows[i].says); step <= all; step++)
			if (!is_right(&rows[i], step)) {
				failed++;
				break;
			}
	assert_int_equal(failed, 0);
}

/* The server dies after every byte it could say: one reply each, and 2xx only if it was said. */
static void
test_dies(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row	*r = &rows[i];

		for (size_t n = 0; n < strlen(r->says); n++) {
			struct lmtpx		x = lmtpx_make(r->is_smtp, "hop", "me");
			struct lmtpx_job	job = job_of(r);
			struct buf		sent = buf_make(65536);

			lmtpx_begin(&x, &job);
			converse(&x, r, n, n, &sent);
			lmtpx_fail(&x, 451, "4.4.2 connection lost to");
			if (nreplies[0] != 1 || nreplies[1] != 1)
				fail_msg("row failed: %s at %zu", r->name, n);
			for (size_t j = 0; j < 2; j++)
				if (replies[j].code != r->codes[j] && replies[j].result != TEMP)
					fail_msg("row failed: %s at %zu: %d", r->name, n, replies[j].code);
			lmtpx_free(&x);
			buf_free(&sent);
		}
	}
}

/* A job may change connections only before anything was answered or any of the message was sent. */
static void
test_take_back(void **state)
{
	struct lmtpx		x = lmtpx_make(true, "hop", "me");
	struct lmtpx_job	job = job_of(&rows[4]);
	struct buf		sent = buf_make(65536);

	(void)state;
	lmtpx_begin(&x, &job);
	assert_ptr_equal(lmtpx_take_back(&x), &job);
	lmtpx_begin(&x, &job);
	converse(&x, &rows[4], strlen(HELLO_PIPE), 99, &sent);
	assert_ptr_equal(lmtpx_take_back(&x), &job);
	assert_int_equal(nreplies[0], 0);
	lmtpx_begin(&x, &job);
	assert_int_equal(buf_add_str(&x.in, "250 ok\r\n"), 0);
	lmtpx_run(&x);
	assert_null(lmtpx_take_back(&x));
	lmtpx_fail(&x, 451, "lost");
	lmtpx_free(&x);
	buf_free(&sent);
	/* With CHUNKING the message is behind the envelope. */
	x = lmtpx_make(false, "hop", "me");
	sent = buf_make(65536);
	lmtpx_begin(&x, &job);
	converse(&x, &rows[0], strlen(HELLO_FULL), 999, &sent);
	assert_null(lmtpx_take_back(&x));
	lmtpx_fail(&x, 451, "lost");
	lmtpx_free(&x);
	buf_free(&sent);
}

/* Two jobs on one connection, and a reply of too many lines. */
static void
test_again(void **state)
{
	struct lmtpx		x = lmtpx_make(false, "hop", "me");
	struct lmtpx_job	job = job_of(&rows[3]);
	struct buf		sent = buf_make(65536);
	const struct row	rest = {.says = "250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n|250 ok\r\n"};

	(void)state;
	lmtpx_begin(&x, &job);
	converse(&x, &rows[3], strlen(rows[3].says), 1, &sent);
	assert_int_equal(x.state, LMTPX_READY);
	lmtpx_begin(&x, &job);
	converse(&x, &rest, strlen(rest.says), 5, &sent);
	assert_true(x.state == LMTPX_READY && nreplies[0] == 1 && nreplies[1] == 1 && replies[0].code == 550);
	lmtpx_fail(&x, 451, "");
	lmtpx_free(&x);
	buf_free(&sent);
	for (int lines = LMTPX_LINES_MAX; lines <= LMTPX_LINES_MAX + 1; lines++) {
		x = lmtpx_make(true, "hop", "me");
		for (int i = 1; i < lines; i++)
			assert_int_equal(buf_add_str(&x.in, "220-a\r\n"), 0);
		assert_int_equal(buf_add_str(&x.in, "220 a\r\n"), 0);
		lmtpx_run(&x);
		assert_int_equal(x.state, lines == LMTPX_LINES_MAX ? LMTPX_HELLO : LMTPX_OVER);
		lmtpx_free(&x);
	}
}

static int
set_up(void **state)
{
	(void)state;
	message = spoolfile_make(&inflight);
	return buf_add_str(&message.mem, MESSAGE);
}

static int
tear_down(void **state)
{
	(void)state;
	spoolfile_free(&message);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transcripts),
		cmocka_unit_test(test_dies),
		cmocka_unit_test(test_take_back),
		cmocka_unit_test(test_again),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
