/*
 * One client connection of LMTP or SMTP: greeting, hello, envelope, message, replies. Called by lmtpc.c.
 * The envelope goes out in one piece where the server pipelines, else command by command; the message
 * after 354, or for LMTP servers with CHUNKING right behind the envelope. Whatever goes wrong, each recipient
 * gets exactly one reply, and what we do not know is 451. RFC 2033, 2920, 3030, 5321 4.2 and 4.5.3.
 */
#include "lmtpx.h"

#include <assert.h>
#include <stdio.h>

#include "lmtpcmd.h"
#include "lmtpreply.h"

struct lmtpx
lmtpx_make(bool is_smtp, const char *name, const char *helo)
{
	return (struct lmtpx){
		.is_smtp = is_smtp, .name = name, .helo = helo, .why = "",
		.in = buf_make(LMTPX_IN_MAX_BYTES), .out = buf_make(LMTPX_OUT_MAX_BYTES),
	};
}

void
lmtpx_free(struct lmtpx *x)
{
	assert(x->job == NULL);
	buf_free(&x->in);
	buf_free(&x->out);
}

static void
say(struct lmtpx *x, const char *text)
{
	int	failed = buf_add_str(&x->out, text);

	assert(failed == 0);
}

/* The reply of one recipient. With the last the job is not ours any more. */
static void
rcpt_done(struct lmtpx *x, size_t i, const struct reply *reply)
{
	const struct lmtpx_job	*job = x->job;

	assert(!x->is_known[i]);
	x->is_known[i] = true;
	if (--x->nleft == 0)
		x->job = NULL;
	job->done(job->arg, i, reply);
}

static void
rest_done(struct lmtpx *x, const struct reply *reply)
{
	size_t	n = x->job != NULL ? x->job->nrcpts : 0;

	for (size_t i = 0; i < n; i++)
		if (!x->is_known[i])
			rcpt_done(x, i, reply);
}

void
lmtpx_fail(struct lmtpx *x, int code, const char *text)
{
	struct reply	reply;
	char		whole[REPLY_TEXT_MAX_BYTES];

	if (x->state == LMTPX_OVER)
		return;
	x->state = LMTPX_OVER;
	x->why = text;
	snprintf(whole, sizeof(whole), "%s %s", text, x->name);
	reply_set(&reply, code, whole);
	rest_done(x, &reply);
}

/* The server is not one to go on with after this: every recipient has its reply. */
static void
quit(struct lmtpx *x)
{
	assert(x->job == NULL);
	if (!x->is_body || x->is_sent)
		say(x, "QUIT\r\n");
	x->state = LMTPX_OVER;
}

const struct lmtpx_job *
lmtpx_take_back(struct lmtpx *x)
{
	const struct lmtpx_job	*job = x->job;

	if (job == NULL || x->is_body || x->nreplies > 0)
		return NULL;
	x->job = NULL;
	return job;
}

/* ---- envelope ---- */

static void
add_mail(struct lmtpx *x)
{
	static const char	 hex[] = "0123456789abcdef";
	const struct lmtpx_job	*job = x->job;
	struct buf		*b = &x->out;
	char			 key[DELIVERY_KEY_BYTES * 2 + 1] = "";
	int			 failed = buf_addf(b, "MAIL FROM:<%s>", job->sender);

	if (x->has_size)
		failed += buf_addf(b, " SIZE=%llu", (unsigned long long)spoolfile_size(job->message));
	if (x->has_8bit && job->is_8bit)
		failed += buf_add_str(b, " BODY=8BITMIME");
	if (job->is_utf8)
		failed += buf_add_str(b, " SMTPUTF8");
	if (x->has_twinspool) {
		for (size_t i = 0; i < DELIVERY_KEY_BYTES; i++) {
			key[i * 2] = hex[job->key[i] >> 4];
			key[i * 2 + 1] = hex[job->key[i] & 15];
		}
		failed += buf_addf(b, " XKEY=%s XQID=%s", key, job->qid);
	}
	failed += buf_add_str(b, "\r\n");
	assert(failed == 0);
}

static void
add_rcpt(struct lmtpx *x, const struct lmtpx_rcpt *r)
{
	struct buf	*b = &x->out;
	char		 user[USER_MAX_BYTES * 3 + 1];
	int		 failed = buf_addf(b, "RCPT TO:<%s>", r->address);

	if (x->has_twinspool && r->user != NULL) {
		assert(strlen(r->user) <= USER_MAX_BYTES);
		xtext_encode(slice_of(r->user), user);
		failed += buf_addf(b, " XUSER=%s", user);
	}
	if (x->has_twinspool && r->place)
		failed += buf_add_str(b, " XPLACE");
	failed += buf_add_str(b, "\r\n");
	assert(failed == 0);
}

/* Command number n of the envelope: MAIL, each RCPT, then DATA or BDAT. */
static void
add_command(struct lmtpx *x, size_t n)
{
	int	failed = 0;

	if (n == 0) {
		add_mail(x);
	} else if (n <= x->job->nrcpts) {
		add_rcpt(x, &x->job->rcpts[n - 1]);
	} else if (x->is_chunk) {
		failed = buf_addf(&x->out, "BDAT %llu LAST\r\n",
		    (unsigned long long)spoolfile_size(x->job->message));
		x->is_body = true;
	} else {
		say(x, "DATA\r\n");
	}
	assert(failed == 0);
}

static void
send_envelope(struct lmtpx *x)
{
	size_t	end = x->job->nrcpts + 2;

	while (x->nsent < end && (x->has_pipelining || x->nsent == x->nreplies))
		add_command(x, x->nsent++);
}

/* The next piece of the message. */
static void
send_body(struct lmtpx *x)
{
	char	piece[LMTPX_STEP_BYTES];
	ssize_t	n = spoolfile_read(x->job->message, x->offset, piece, sizeof(piece));
	int	failed;

	if (n < 0 || (n == 0 && x->offset < spoolfile_size(x->job->message))) {
		lmtpx_fail(x, 451, "4.3.0 temporary file cannot be read for");
		return;
	}
	x->offset += (uint64_t)n;
	if (x->is_chunk)
		failed = buf_add(&x->out, piece, (size_t)n);
	else
		failed = frame_stuff(&x->stuff, (struct slice){piece, (size_t)n}, &x->out);
	if (x->offset == spoolfile_size(x->job->message)) {
		x->is_sent = true;
		if (!x->is_chunk)
			failed += frame_stuff_end(&x->stuff, &x->out);
	}
	assert(failed == 0);
}

static void
job_start(struct lmtpx *x)
{
	struct reply	reply;

	if (x->job->is_utf8 && !x->has_utf8) {
		reply_set(&reply, 550, "5.6.7 the next hop does not take SMTPUTF8");
		rest_done(x, &reply);
		return;
	}
	x->state = LMTPX_BUSY;
	/* To an MTA DATA, which everyone speaks; to an LMTP server that offers it BDAT, which saves waiting for 354. */
	x->is_chunk = x->has_chunking && x->has_pipelining && !x->is_smtp;
	send_envelope(x);
}

void
lmtpx_begin(struct lmtpx *x, const struct lmtpx_job *job)
{
	assert(x->job == NULL && job->nrcpts >= 1 && job->nrcpts <= DELIVERY_RCPTS_MAX);
	x->job = job;
	x->nsent = x->nreplies = x->naccepted = x->nfinal = 0;
	x->nleft = job->nrcpts;
	memset(x->is_known, 0, sizeof(x->is_known));
	x->is_chunk = x->is_body = x->is_sent = false;
	x->offset = 0;
	x->stuff = (struct frame_stuff){0};
	if (x->state == LMTPX_READY)
		job_start(x);
}

/* ---- replies ---- */

static void
hello_done(struct lmtpx *x)
{
	x->state = LMTPX_READY;
	if (x->job != NULL)
		job_start(x);
}

static void
say_hello(struct lmtpx *x, const char *verb)
{
	int	failed = buf_addf(&x->out, "%s %s\r\n", verb, x->helo);

	assert(failed == 0);
}

/* One line of the reply to LHLO or EHLO: ehlo-keyword *( SP ehlo-param ). */
static void
hello_keyword(struct lmtpx *x, struct slice text)
{
	const struct {
		struct slice	 word;
		bool		*flag;
	} words[] = {
		{SLICE("PIPELINING"), &x->has_pipelining}, {SLICE("8BITMIME"), &x->has_8bit},
		{SLICE("SMTPUTF8"), &x->has_utf8}, {SLICE("SIZE"), &x->has_size},
		{SLICE("CHUNKING"), &x->has_chunking}, {SLICE("XTWINSPOOL"), &x->has_twinspool},
	};
	const char	*space = text.n > 0 ? memchr(text.p, ' ', text.n) : NULL;

	if (space != NULL)
		text.n = (size_t)(space - text.p);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_is_nocase(text, words[i].word))
			*words[i].flag = true;
}

static void
reply_opening(struct lmtpx *x, int code)
{
	switch (x->state) {
	case LMTPX_GREETING:
		if (code != 220) {
			lmtpx_fail(x, 451, "4.4.1 refused by");
			break;
		}
		x->state = LMTPX_HELLO;
		say_hello(x, x->is_smtp ? "EHLO" : "LHLO");
		break;
	case LMTPX_HELLO:
		if (code == 250) {
			hello_done(x);
		} else if (x->is_smtp && code >= 500) {
			x->state = LMTPX_HELO;
			say_hello(x, "HELO");
		} else {
			lmtpx_fail(x, 451, "4.4.1 greeting refused by");
		}
		break;
	default:
		if (code == 250)
			hello_done(x);
		else
			lmtpx_fail(x, 451, "4.4.1 greeting refused by");
		break;
	}
}

/* A reply after the message: of one recipient with LMTP, of all with SMTP. */
static void
reply_final(struct lmtpx *x, const struct reply *reply)
{
	if (!x->is_sent) {
		/* Answered before it was all sent: what is under way cannot be told from commands any more. */
		rest_done(x, reply->result == DONE ? &(struct reply){TEMP, 451, "4.3.0 answer came too early"} : reply);
		quit(x);
		return;
	}
	if (x->is_smtp)
		rest_done(x, reply);
	else
		rcpt_done(x, x->accepted[x->nfinal++], reply);
	if (x->nleft == 0)
		x->state = LMTPX_READY;
}

static void
reply_data(struct lmtpx *x, const struct reply *reply, int code)
{
	struct reply	odd;

	if (code == 354 && x->naccepted > 0) {
		x->is_body = true;
		return;
	}
	reply_set(&odd, 451, "4.5.0 odd answer to DATA");
	if (x->job != NULL)
		rest_done(x, reply->result == DONE || code == 354 ? &odd : reply);
	quit(x);
}

/* A reply to the envelope, in the order of its commands. */
static void
reply_envelope(struct lmtpx *x, const struct reply *reply, int code)
{
	size_t	i = x->nreplies++;

	if (i == 0) {
		if (reply->result != DONE) {
			rest_done(x, reply);
			quit(x);
		}
	} else if (i <= x->job->nrcpts) {
		if (reply->result == DONE)
			x->accepted[x->naccepted++] = i - 1;
		else
			rcpt_done(x, i - 1, reply);
		if (x->nleft == 0)
			quit(x);	/* nobody is left: whether DATA or BDAT is answered, servers disagree */
	} else if (x->is_chunk) {
		reply_final(x, reply);
	} else if (!x->is_body) {
		reply_data(x, reply, code);
	} else {
		reply_final(x, reply);
	}
	if (x->state == LMTPX_BUSY && x->job != NULL)
		send_envelope(x);
}

/* One line of a reply. */
static void
line_in(struct lmtpx *x, struct slice line)
{
	struct slice	text;
	struct reply	reply;
	int		code;
	bool		more;

	if (!reply_parse(line, &code, &more, &text) || (x->lines > 0 && code != x->code) ||
	    x->lines >= LMTPX_LINES_MAX) {
		lmtpx_fail(x, 451, "4.5.0 reply not understood from");
		return;
	}
	if (x->state == LMTPX_HELLO && code == 250 && x->lines > 0)
		hello_keyword(x, text);
	x->code = code;
	x->lines = more ? x->lines + 1 : 0;
	if (more)
		return;
	reply_from_peer(&reply, code, text);
	if (x->state == LMTPX_BUSY)
		reply_envelope(x, &reply, code);
	else if (x->state == LMTPX_READY)
		x->state = LMTPX_OVER;	/* 421 before it closes, or nothing we asked for */
	else
		reply_opening(x, code);
}

void
lmtpx_run(struct lmtpx *x)
{
	struct frame_line	line;
	enum frame_fault	fault;
	size_t			at = 0;
	enum parse		r = PARSE_OK;

	while (x->state != LMTPX_OVER && at < x->in.n) {
		r = frame_line((struct slice){x->in.p + at, x->in.n - at}, LMTP_LINE_MAX_BYTES, false, &line, &fault);
		if (r != PARSE_OK)
			break;
		at += line.used;
		line_in(x, line.text);
	}
	if (r == PARSE_BAD)
		lmtpx_fail(x, 451, "4.5.0 reply not understood from");
	buf_drop(&x->in, at);
	while (x->state == LMTPX_BUSY && x->is_body && !x->is_sent && x->out.n < LMTPX_STEP_BYTES)
		send_body(x);
}
