/*
 * The LMTP server session: transcripts, each with its input whole, at every split in two, and byte by
 * byte, with look-ups and deliveries that answer at once or later and out of order. No sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "lmtpreply.h"
#include "lmtps.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define S(lit)		{(lit), sizeof(lit) - 1}
#define HELLO		"LHLO c\r\n"
#define HELLO_OUT	"250-h\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n" \
			"250-CHUNKING\r\n250 SIZE 1000\r\n"
#define MAIL		"MAIL FROM:<s@x>\r\n"
#define MAIL_OUT	"250 2.1.0 sender ok\r\n"
#define RCPT		"RCPT TO:<ok@x>\r\n"
#define RCPT_OUT	"250 2.1.5 ok\r\n"
#define DONE_OUT	"250 2.0.0 ok\r\n"
#define GO		"354 go ahead\r\n"
#define BEGIN		HELLO MAIL RCPT
#define BEGIN_OUT	HELLO_OUT MAIL_OUT RCPT_OUT
#define BARE_OUT	"501 5.5.2 bare CR or LF in a command\r\n"
#define SIZE_MAX_BYTES	1000

/* What the fake daemon saw and owes. */
struct fake {
	struct lmtps		*session;
	bool			 is_late;	/* answers wait for fake_release */
	struct lmtps_rcpt	*asked[DELIVERY_RCPTS_MAX];
	size_t			 nasked;
	bool			 is_owing;	/* a message */
	unsigned		 resets;
	char			 got[8192];	/* messages, one after another */
	size_t			 ngot;
};
static struct fake	fake;
static struct inflight	inflight;
static int		stderr_fd, null_fd;

/* The log of the sessions is not what is looked at. */
static void
log_off(void)
{
	assert_int_equal(dup2(null_fd, 2), 2);
}

static void
log_on(void)
{
	assert_int_equal(dup2(stderr_fd, 2), 2);
}

/* "ok@..." 250, "perm@..." 550, "temp@..." 451 at RCPT; what follows a '-' the same at the end. */
static void
reply_for(const char *word, bool is_end, struct reply *out)
{
	if (strncmp(word, "perm", 4) == 0)
		reply_set(out, 550, "5.1.1 no");
	else if (strncmp(word, "temp", 4) == 0)
		reply_set(out, 451, "4.2.0 later");
	else
		reply_set(out, 250, is_end ? "2.0.0 ok" : "2.1.5 ok");
}

static void
answer_rcpt(struct lmtps_rcpt *r)
{
	struct reply	reply;

	reply_for(r->cmd.to.text, false, &reply);
	lmtps_rcpt_reply(fake.session, r, &reply);
}

static void
answer_done(size_t i)
{
	const char	*dash = strchr(fake.session->rcpts[i]->cmd.to.text, '-');
	struct reply	 reply;

	reply_for(dash != NULL ? dash + 1 : "ok", true, &reply);
	lmtps_done(fake.session, i, &reply);
}

static void
fake_rcpt(struct lmtps *s, struct lmtps_rcpt *r)
{
	(void)s;
	if (fake.is_late)
		fake.asked[fake.nasked++] = r;
	else
		answer_rcpt(r);
}

static void
fake_trace(struct lmtps *s, struct buf *b)
{
	(void)s;
	assert_int_equal(buf_add_str(b, "T\r\n"), 0);
}

static void
fake_message(struct lmtps *s)
{
	ssize_t	n = spoolfile_read(&s->message, 0, fake.got + fake.ngot, sizeof(fake.got) - fake.ngot);

	assert_true(n >= 0);
	fake.ngot += (size_t)n;
	fake.is_owing = fake.is_late;
	for (size_t i = 0; i < s->nrcpts && !fake.is_late; i++)
		answer_done(i);
}

static void
fake_reset(struct lmtps *s)
{
	(void)s;
	fake.resets++;
}

static void
fake_ready(struct lmtps *s)
{
	(void)s;
}

/* Gives the owed answers, the last asked first. False: nothing is owed. */
static bool
fake_release(void)
{
	bool	owed = fake.nasked > 0 || fake.is_owing;

	while (fake.nasked > 0)
		answer_rcpt(fake.asked[--fake.nasked]);
	if (fake.is_owing) {
		fake.is_owing = false;
		for (size_t i = fake.session->nrcpts; i-- > 0;)
			answer_done(i);
	}
	return owed;
}

static const struct lmtps_ops ops = {
	.rcpt_bytes = 16, .rcpt = fake_rcpt, .trace = fake_trace, .message = fake_message, .reset = fake_reset,
	.ready = fake_ready,
};
static const struct lmtps_conf conf = {.hostname = "h", .size_max = SIZE_MAX_BYTES, .inflight = &inflight};

/* Everything the session says to in, given in pieces: first bytes, then step at a time. */
static size_t
talk(struct slice in, size_t first, size_t step, bool late, bool trusted, char *out, size_t cap)
{
	size_t	n = 0, at = 0;

	memset(&fake, 0, sizeof(fake));
	fake.is_late = late;
	fake.session = lmtps_make(&conf, &ops, "unix", trusted);
	log_off();
	do {
		size_t	piece = at == 0 ? first : step;

		if (piece > in.n - at)
			piece = in.n - at;
		assert_int_equal(buf_add(&fake.session->in, in.p + at, piece), 0);
		at += piece;
		do {
			lmtps_run(fake.session);
			assert_true(n + fake.session->out.n < cap);
			if (fake.session->out.n > 0)
				memcpy(out + n, fake.session->out.p, fake.session->out.n);
			n += fake.session->out.n;
			buf_clear(&fake.session->out);
		} while (fake.session->is_full || fake_release());
	} while (at < in.n);
	out[n] = '\0';
	log_on();
	return n;
}

static void
hang_up(void)
{
	log_off();
	lmtps_gone(fake.session, "test");
	lmtps_free(fake.session);
	log_on();
	assert_int_equal(inflight.used, 0);
}

static const struct row {
	const char	*name;
	struct slice	 in;
	const char	*want;		/* after the greeting */
	const char	*got;		/* messages delivered */
} rows[] = {
	{"a message", S(BEGIN "DATA\r\na\r\n..b\r\n.\r\nQUIT\r\n"), BEGIN_OUT GO DONE_OUT "221 2.0.0 bye\r\n", "T\r\na\r\n.b\r\n"},
	{"two messages", S(BEGIN "DATA\r\na\r\n.\r\n" MAIL RCPT "DATA\r\nb\r\n.\r\n"),
	    BEGIN_OUT GO DONE_OUT MAIL_OUT RCPT_OUT GO DONE_OUT, "T\r\na\r\nT\r\nb\r\n"},
	{"an empty message", S(BEGIN "DATA\r\n.\r\n"), BEGIN_OUT GO DONE_OUT, "T\r\n"},
	{"mixed recipients", S(HELLO MAIL "RCPT TO:<ok-temp@x>\r\nRCPT TO:<perm@x>\r\nRCPT TO:<ok-perm@x>\r\n"
	    "RCPT TO:<temp@x>\r\nRCPT TO:<ok@x>\r\nDATA\r\n.\r\n"),
	    HELLO_OUT MAIL_OUT RCPT_OUT "550 5.1.1 no\r\n" RCPT_OUT "451 4.2.0 later\r\n" RCPT_OUT GO
	    "451 4.2.0 later\r\n550 5.1.1 no\r\n" DONE_OUT, "T\r\n"},
	{"the same twice", S(BEGIN RCPT "DATA\r\n.\r\n"), BEGIN_OUT RCPT_OUT GO DONE_OUT DONE_OUT, "T\r\n"},
	{"a fault between RCPTs", S(HELLO MAIL RCPT "RCPT TO:<bad\r\n" RCPT "RCPT TO:<a@b> X=1\r\n" RCPT),
	    HELLO_OUT MAIL_OUT RCPT_OUT "501 5.1.3 bad recipient address\r\n" RCPT_OUT
	    "555 5.5.4 parameter not supported\r\n" RCPT_OUT, ""},
	{"no LHLO", S(MAIL RCPT "DATA\r\n"), "503 5.5.1 LHLO first\r\n503 5.5.1 MAIL first\r\n503 5.5.1 MAIL first\r\n", ""},
	{"HELO and EHLO", S("HELO a\r\nEHLO a\r\n"),
	    "500 5.5.1 this is LMTP: use LHLO\r\n500 5.5.1 this is LMTP: use LHLO\r\n", ""},
	{"LHLO without a name", S("LHLO\r\n"), "501 5.5.4 LHLO takes a domain\r\n", ""},
	{"LHLO resets", S(BEGIN HELLO "DATA\r\n"), BEGIN_OUT HELLO_OUT "503 5.5.1 MAIL first\r\n", ""},
	{"RSET", S(BEGIN "RSET\r\nDATA\r\n" MAIL), BEGIN_OUT "250 2.0.0 ok\r\n503 5.5.1 MAIL first\r\n" MAIL_OUT, ""},
	{"RSET before LHLO", S("RSET\r\n" MAIL), "250 2.0.0 ok\r\n503 5.5.1 LHLO first\r\n", ""},
	{"nested MAIL", S(HELLO MAIL MAIL), HELLO_OUT MAIL_OUT "503 5.5.1 nested MAIL\r\n", ""},
	{"DATA without recipients", S(HELLO MAIL "RCPT TO:<perm@x>\r\nDATA\r\nNOOP\r\n"),
	    HELLO_OUT MAIL_OUT "550 5.1.1 no\r\n503 5.5.1 no valid recipients\r\n250 2.0.0 ok\r\n", ""},
	{"DATA with arguments", S(BEGIN "DATA x\r\n"), BEGIN_OUT "501 5.5.4 DATA takes no arguments\r\n", ""},
	{"others", S("NOOP x\r\nVRFY a\r\nHELP\r\nFOO\r\nSTARTTLS\r\n"),
	    "250 2.0.0 ok\r\n252 2.5.0 send some mail, it may be accepted\r\n"
	    "214 2.0.0 LHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP: RFC 2033\r\n"
	    "500 5.5.2 command not known\r\n500 5.5.2 command not known\r\n", ""},
	{"a web client", S("GET / HTTP/1.1\r\nHost: a\r\n\r\n" HELLO), "421 4.7.0 this is LMTP\r\n", ""},
	{"a web client posts", S("POST / HTTP/1.1\r\n\r\n" BEGIN), "421 4.7.0 this is LMTP\r\n", ""},
	{"after QUIT", S("QUIT\r\nNOOP\r\n"), "221 2.0.0 bye\r\n", ""},
	{"SIZE at the limit", S(HELLO "MAIL FROM:<> SIZE=1000\r\n"), HELLO_OUT MAIL_OUT, ""},
	{"SIZE past it", S(HELLO "MAIL FROM:<> SIZE=1001\r\n"), HELLO_OUT "552 5.3.4 message too big\r\n", ""},
	{"needs SMTPUTF8", S(HELLO "MAIL FROM:<\xc3\xa4@x>\r\n" MAIL "RCPT TO:<\xc3\xa4@x>\r\n"),
	    HELLO_OUT "550 5.6.7 address needs SMTPUTF8\r\n" MAIL_OUT "553 5.6.7 address needs SMTPUTF8\r\n", ""},
	{"SMTPUTF8", S(HELLO "MAIL FROM:<\xc3\xa4@x> SMTPUTF8\r\nRCPT TO:<\xc3\xa4@x>\r\n"), HELLO_OUT MAIL_OUT RCPT_OUT, ""},
	{"XKEY of a stranger", S(HELLO "MAIL FROM:<> XQID=a\r\n"), HELLO_OUT "555 5.5.4 parameter not supported\r\n", ""},
	/* line ends of commands */
	{"bare LF", S("NOOP\nNOOP\r\n"), BARE_OUT "250 2.0.0 ok\r\n", ""},
	{"bare CR", S("NOOP\rRSET\r\nNOOP\r\n"), BARE_OUT "250 2.0.0 ok\r\n", ""},
	{"NUL", S("NO\0OP\r\nNOOP\r\n"), "501 5.5.2 NUL in a command\r\n250 2.0.0 ok\r\n", ""},
	{"the third closes", S("NOOP\nNOOP\nNOOP\nNOOP\r\n"), BARE_OUT BARE_OUT BARE_OUT "421 4.7.0 too many bad line ends\r\n", ""},
	/* smuggling: nothing but CRLF.CRLF ends the message */
	{"LF dot LF", S(BEGIN "DATA\r\na\n.\nMAIL FROM:<e@x>\r\n.\r\n"), BEGIN_OUT GO DONE_OUT, "T\r\na\r\n.\r\nMAIL FROM:<e@x>\r\n"},
	{"LF dot CRLF", S(BEGIN "DATA\r\na\n.\r\nRSET\r\n.\r\n"), BEGIN_OUT GO DONE_OUT, "T\r\na\r\n.\r\nRSET\r\n"},
	{"CRLF dot LF", S(BEGIN "DATA\r\na\r\n.\nRSET\r\n.\r\n"), BEGIN_OUT GO DONE_OUT, "T\r\na\r\n\r\nRSET\r\n"},
	{"CR dot CR", S(BEGIN "DATA\r\na\r.\rRSET\r\n.\r\n"), BEGIN_OUT GO DONE_OUT, "T\r\na\r\n.\r\nRSET\r\n"},
	{"CRLF dot CR", S(BEGIN "DATA\r\na\r\n.\rRSET\r\n.\r\n"), BEGIN_OUT GO DONE_OUT, "T\r\na\r\n\r\nRSET\r\n"},
	{"NUL in the message", S(BEGIN "DATA\r\na\0b\r\n.\r\nNOOP\r\n"),
	    BEGIN_OUT GO "554 5.6.0 message contains a NUL\r\n250 2.0.0 ok\r\n", ""},
	{"NUL for both", S(BEGIN RCPT "DATA\r\n\0\r\n.\r\n"),
	    BEGIN_OUT RCPT_OUT GO "554 5.6.0 message contains a NUL\r\n554 5.6.0 message contains a NUL\r\n", ""},
	/* BDAT */
	{"one chunk", S(BEGIN "BDAT 3 LAST\r\na\r\nNOOP\r\n"), BEGIN_OUT DONE_OUT "250 2.0.0 ok\r\n", "T\r\na\r\n"},
	{"chunks", S(BEGIN "BDAT 1\r\naBDAT 4\r\n\r\n.\rBDAT 2\r\n\nbBDAT 0 LAST\r\nNOOP\r\n"),
	    BEGIN_OUT "250 2.0.0 chunk ok\r\n250 2.0.0 chunk ok\r\n250 2.0.0 chunk ok\r\n" DONE_OUT "250 2.0.0 ok\r\n",
	    "T\r\na\r\n.\r\nb\r\n"},
	{"a dot is nothing in a chunk", S(BEGIN "BDAT 9 LAST\r\na\r\n.\r\nb\r\nNOOP\r\n"), BEGIN_OUT DONE_OUT "250 2.0.0 ok\r\n",
	    "T\r\na\r\n.\r\nb\r\n"},
	{"commands in a chunk", S(BEGIN "BDAT 12 LAST\r\nRSET\r\nQUIT\r\nNOOP\r\n"), BEGIN_OUT DONE_OUT "250 2.0.0 ok\r\n",
	    "T\r\nRSET\r\nQUIT\r\n"},
	{"chunks and RSET", S(BEGIN "BDAT 3\r\na\r\nRSET\r\nBDAT 3 LAST\r\nb\r\n" MAIL RCPT "BDAT 3 LAST\r\nc\r\n"),
	    BEGIN_OUT "250 2.0.0 chunk ok\r\n250 2.0.0 ok\r\n503 5.5.1 MAIL first\r\n" MAIL_OUT RCPT_OUT DONE_OUT, "T\r\nc\r\n"},
	{"chunks and LHLO", S(BEGIN "BDAT 3\r\na\r\n" HELLO "BDAT 1 LAST\r\nb"),
	    BEGIN_OUT "250 2.0.0 chunk ok\r\n" HELLO_OUT "503 5.5.1 MAIL first\r\n", ""},
	{"BDAT after LAST", S(BEGIN "BDAT 0 LAST\r\nBDAT 2\r\nab"), BEGIN_OUT DONE_OUT "503 5.5.1 MAIL first\r\n", "T\r\n"},
	{"DATA after BDAT", S(BEGIN "BDAT 2\r\nabDATA\r\n"), BEGIN_OUT "250 2.0.0 chunk ok\r\n503 5.5.1 DATA after BDAT\r\n", ""},
	{"RCPT after BDAT", S(BEGIN "BDAT 2\r\nab" RCPT MAIL),
	    BEGIN_OUT "250 2.0.0 chunk ok\r\n503 5.5.1 RCPT after BDAT\r\n503 5.5.1 nested MAIL\r\n", ""},
	{"BDAT without recipients", S(HELLO MAIL "RCPT TO:<perm@x>\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"),
	    HELLO_OUT MAIL_OUT "550 5.1.1 no\r\n503 5.5.1 no valid recipients\r\n250 2.0.0 ok\r\n", ""},
	{"BDAT without MAIL", S(HELLO "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), HELLO_OUT "503 5.5.1 MAIL first\r\n250 2.0.0 ok\r\n", ""},
	{"BDAT of no size", S(BEGIN "BDAT x\r\nRSET\r\n"),
	    BEGIN_OUT "501 5.5.4 BDAT takes a size\r\n421 4.7.0 chunk border unknown\r\n", ""},
	{"BDAT too large for a number", S(BEGIN "BDAT 9223372036854775808 LAST\r\n"),
	    BEGIN_OUT "501 5.5.4 BDAT takes a size\r\n421 4.7.0 chunk border unknown\r\n", ""},
	{"a chunk that stops short", S(BEGIN "BDAT 100 LAST\r\nabc"), BEGIN_OUT, ""},
	{"NUL in a chunk", S(BEGIN "BDAT 1\r\n\0BDAT 0 LAST\r\n"),
	    BEGIN_OUT "250 2.0.0 chunk ok\r\n554 5.6.0 message contains a NUL\r\n", ""},
	{"lone CR at the end", S(BEGIN "BDAT 2 LAST\r\na\r"), BEGIN_OUT DONE_OUT, "T\r\na\r\n"},
};

static bool
is_right(const struct row *r, size_t first, size_t step, bool late)
{
	static const char	greeting[] = "220 h LMTP twinspool ready\r\n";
	static char		out[16384];
	bool			good;

	talk(r->in, first, step, late, false, out, sizeof(out));
	good = strncmp(out, greeting, sizeof(greeting) - 1) == 0 && strcmp(out + sizeof(greeting) - 1, r->want) == 0 &&
	    slice_is((struct slice){fake.got, fake.ngot}, slice_of(r->got));
	if (!good)
		print_error("row failed: %s (split %zu, step %zu, %s)\n--- said\n%s--- delivered\n%.*s", r->name, first, step,
		    late ? "late" : "at once", out, (int)fake.ngot, fake.got);
	hang_up();
	return good;
}

static void
test_transcripts(void **state)
{
	size_t	failed = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool	good = is_right(&rows[i], rows[i].in.n, 1, false) && is_right(&rows[i], rows[i].in.n, 1, true) &&
			    is_right(&rows[i], 1, 1, false) && is_right(&rows[i], 1, 1, true);

		for (size_t first = 1; good && first < rows[i].in.n; first++)
			good = is_right(&rows[i], first, rows[i].in.n, first % 2 == 0);
		failed += !good;
	}
	assert_int_equal(failed, 0);
}

/* As many as text times n says, then what follows. Owned by the caller. */
static struct slice
repeat(const char *before, const char *text, size_t n, const char *after)
{
	size_t	one = strlen(text), at = strlen(before);
	char	*p = malloc(at + one * n + strlen(after) + 1);

	assert_non_null(p);
	memcpy(p, before, at);
	for (size_t i = 0; i < n; i++, at += one)
		memcpy(p + at, text, one);
	strcpy(p + at, after);
	return (struct slice){p, at + strlen(after)};
}

static size_t
count(const char *in, const char *what)
{
	size_t	n = 0;

	for (const char *p = in; (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

/* Replies to in that begin with each of the two texts. */
static void
check_counts(struct slice in, bool late, const char *a, size_t na, const char *b, size_t nb)
{
	static char	out[256 * 1024];

	talk(in, in.n, 1, late, false, out, sizeof(out));
	assert_int_equal(count(out, a), na);
	assert_int_equal(count(out, b), nb);
	hang_up();
}

static void
test_rcpt_limit(void **state)
{
	struct slice	at = repeat(HELLO MAIL, RCPT, DELIVERY_RCPTS_MAX, "DATA\r\n.\r\n");
	struct slice	past = repeat(HELLO MAIL, RCPT, DELIVERY_RCPTS_MAX + 1, "DATA\r\n.\r\n");

	(void)state;
	for (int late = 0; late <= 1; late++) {
		check_counts(at, late, DONE_OUT, DELIVERY_RCPTS_MAX, "452 4.5.3", 0);
		check_counts(past, late, DONE_OUT, DELIVERY_RCPTS_MAX, "452 4.5.3 too many recipients\r\n", 1);
	}
	free((char *)(uintptr_t)at.p);
	free((char *)(uintptr_t)past.p);
}

/* Refused recipients are no protocol errors, and take no memory that grows. */
static void
test_many_refused(void **state)
{
	struct slice	in = repeat(HELLO MAIL, "RCPT TO:<perm@x>\r\n", 2000, RCPT "DATA\r\n.\r\n");

	(void)state;
	check_counts(in, false, "550 5.1.1", 2000, DONE_OUT, 1);
	check_counts(in, true, "550 5.1.1", 2000, DONE_OUT, 1);
	free((char *)(uintptr_t)in.p);
}

static void
test_errors_limit(void **state)
{
	struct slice	at = repeat("", "FOO\r\n", LMTPS_ERRORS_MAX - 1, "NOOP\r\n");
	struct slice	past = repeat("", "FOO\r\n", LMTPS_ERRORS_MAX, "NOOP\r\n");

	(void)state;
	check_counts(at, false, "500 ", LMTPS_ERRORS_MAX - 1, "250 2.0.0 ok", 1);
	check_counts(past, false, "421 4.7.0 too many errors\r\n", 1, "250 2.0.0 ok", 0);
	free((char *)(uintptr_t)at.p);
	free((char *)(uintptr_t)past.p);
}

static void
test_line_limit(void **state)
{
	struct slice	at = repeat("NOOP ", "x", LMTP_LINE_MAX_BYTES - 5, "\r\nNOOP\r\n");
	struct slice	past = repeat("NOOP ", "x", LMTP_LINE_MAX_BYTES - 4, "\r\nNOOP\r\n");
	struct slice	far = repeat("NOOP ", "x", 70000, "\r\nNOOP\r\n");

	(void)state;
	check_counts(at, false, "250 2.0.0 ok", 2, "500 ", 0);
	check_counts(past, false, "250 2.0.0 ok", 1, "500 5.5.2 line too long\r\n", 1);
	check_counts(far, false, "250 2.0.0 ok", 1, "500 5.5.2 line too long\r\n", 1);
	free((char *)(uintptr_t)at.p);
	free((char *)(uintptr_t)past.p);
	free((char *)(uintptr_t)far.p);
}

static void
test_size_limit(void **state)
{
	struct slice	at = repeat(BEGIN "DATA\r\n", "x", SIZE_MAX_BYTES - 2, "\r\n.\r\nNOOP\r\n");
	struct slice	past = repeat(BEGIN "DATA\r\n", "x", SIZE_MAX_BYTES - 1, "\r\n.\r\nNOOP\r\n");
	struct slice	chunk = repeat(BEGIN "BDAT 60000\r\n", "x", 60000, "BDAT 1\r\naBDAT 1 LAST\r\naNOOP\r\n");

	(void)state;
	check_counts(at, false, DONE_OUT, 2, "552 ", 0);
	check_counts(past, false, DONE_OUT, 1, "552 5.3.4 message too big\r\n", 1);
	check_counts(chunk, false, DONE_OUT, 1, "552 5.3.4 message too big\r\n", 3);
	free((char *)(uintptr_t)at.p);
	free((char *)(uintptr_t)past.p);
	free((char *)(uintptr_t)chunk.p);
}

static void
test_inflight(void **state)
{
	struct slice	in = S(BEGIN "DATA\r\naaaa\r\n.\r\nNOOP\r\n");
	uint64_t	max = inflight.max;

	(void)state;
	inflight.max = 3 + 6;		/* the trace line and the message */
	check_counts(in, false, GO DONE_OUT, 1, "452 ", 0);
	inflight.max = 3 + 5;
	check_counts(in, false, GO "452 4.3.1 no room for the message now\r\n", 1, "250 2.0.0 ok", 1);
	inflight.max = 3;
	check_counts((struct slice)S(HELLO "MAIL FROM:<> SIZE=4\r\n" RCPT "DATA\r\nNOOP\r\n"), false,
	    "452 4.3.1 too much mail in flight\r\n", 1, "250 2.0.0 ok", 1);
	inflight.max = 0;
	check_counts((struct slice)S(BEGIN "BDAT 1\r\naBDAT 1 LAST\r\nbNOOP\r\n"), false,
	    "452 4.3.1 no room for the message now\r\n", 2, "250 2.0.0 ok", 1);
	inflight.max = max;
}

/* A client that sends commands and reads nothing: input waits instead of output growing. */
static void
test_output_waits(void **state)
{
	struct slice	in = repeat("", "HELP\r\n", 5000, "");
	struct lmtps	*s = lmtps_make(&conf, &ops, "unix", false);

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.session = s;
	assert_int_equal(buf_add(&s->in, in.p, in.n), 0);
	lmtps_run(s);
	assert_true(s->is_full && s->in.n > 0);
	assert_in_range(s->out.n, LMTPS_OUT_HIGH_BYTES, LMTPS_OUT_HIGH_BYTES + 1000);
	hang_up();
	free((char *)(uintptr_t)in.p);
}

/* A message that does not stay in memory is the same, and its file has no name. */
static void
test_large(void **state)
{
	static const char	 line[] = "0123456789abcdef0123456789abcdef\r\n";
	struct lmtps_conf	 big = {.hostname = "h", .size_max = 1 << 20, .inflight = &inflight};
	struct slice		 in = repeat(BEGIN "DATA\r\n", line, 6000, ".\r\n");
	char			 read[sizeof(line) - 1];
	struct lmtps		*s;
	size_t			 n;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.is_late = true;
	s = fake.session = lmtps_make(&big, &ops, "unix", false);
	for (size_t at = 0; at < in.n; at += n) {
		n = in.n - at > LMTPS_READ_BYTES ? LMTPS_READ_BYTES : in.n - at;
		assert_int_equal(buf_add(&s->in, in.p + at, n), 0);
		lmtps_run(s);
		if (fake.nasked > 0)
			fake_release();
		lmtps_run(s);
	}
	assert_int_equal(s->state, LMTPS_DELIVER);
	assert_true(s->message.fd >= 0 && s->message.mem.n == 0);
	assert_int_equal(spoolfile_size(&s->message), 3 + 6000 * sizeof(read));
	assert_int_equal(inflight.used, spoolfile_size(&s->message));
	for (size_t i = 0; i < 6000; i++) {
		assert_int_equal(spoolfile_read(&s->message, 3 + i * sizeof(read), read, sizeof(read)), sizeof(read));
		assert_memory_equal(read, line, sizeof(read));
	}
	log_off();
	fake_release();
	log_on();
	lmtps_run(s);
	assert_true(s->state == LMTPS_IDLE && s->message.fd == -1);
	hang_up();
	free((char *)(uintptr_t)in.p);
}

static void
test_keys(void **state)
{
	static char	out[8192];
	unsigned char	key[DELIVERY_KEY_BYTES];

	(void)state;
	/* The same by DATA and BDAT, whatever the recipients; another sender or content is another. */
	talk((struct slice)S(BEGIN "DATA\r\na\r\n.\r\n"), 1, 1, true, false, out, sizeof(out));
	memcpy(key, fake.session->key, sizeof(key));
	hang_up();
	talk((struct slice)S(BEGIN RCPT "BDAT 3 LAST\r\na\r\n"), 999, 1, false, false, out, sizeof(out));
	assert_memory_equal(key, fake.session->key, sizeof(key));
	hang_up();
	talk((struct slice)S(HELLO "MAIL FROM:<t@x>\r\n" RCPT "DATA\r\na\r\n.\r\n"), 999, 1, false, false, out, sizeof(out));
	assert_memory_not_equal(key, fake.session->key, sizeof(key));
	hang_up();
	talk((struct slice)S(HELLO "MAIL FROM:<> XKEY=000102030405060708090a0b0c0d0e0f XQID=q7\r\n" RCPT "DATA\r\na\r\n.\r\n"),
	    999, 1, false, true, out, sizeof(out));
	assert_memory_equal(fake.session->key, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", sizeof(key));
	assert_string_equal(fake.session->qid, "q7");
	assert_non_null(strstr(out, "250-XTWINSPOOL\r\n"));
	hang_up();
}

/* The peer goes away while answers are owed. */
static void
test_gone(void **state)
{
	(void)state;
	for (int stage = 0; stage < 2; stage++) {
		memset(&fake, 0, sizeof(fake));
		fake.is_late = true;
		fake.session = lmtps_make(&conf, &ops, "unix", false);
		assert_int_equal(buf_add_str(&fake.session->in, BEGIN "DATA\r\na\r\n.\r\n"), 0);
		lmtps_run(fake.session);
		if (stage == 1) {
			fake_release();
			lmtps_run(fake.session);
			assert_int_equal(fake.session->state, LMTPS_DELIVER);
		}
		assert_true(lmtps_is_busy(fake.session));
		lmtps_gone(fake.session, "test");
		log_off();
		fake_release();
		log_on();
		lmtps_run(fake.session);
		assert_false(lmtps_is_busy(fake.session));
		hang_up();
		assert_int_equal(inflight.used, 0);
	}
}

static int
set_up(void **state)
{
	(void)state;
	inflight = (struct inflight){.max = 1 << 20, .dir_fd = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC)};
	lmtps_setup();
	stderr_fd = fcntl(2, F_DUPFD_CLOEXEC, 3);
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return inflight.dir_fd < 0 || stderr_fd < 0 || null_fd < 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transcripts),
		cmocka_unit_test(test_rcpt_limit),
		cmocka_unit_test(test_many_refused),
		cmocka_unit_test(test_errors_limit),
		cmocka_unit_test(test_line_limit),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test(test_inflight),
		cmocka_unit_test(test_output_waits),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
