/*
 * The LMTP server session (RFC 2033): commands in order, replies in order. Called by lmtpnet.c with
 * bytes, by lmtpd and relayd with answers. Replies to RCPT wait in a list until each is known, so look-ups
 * run side by side; any other command waits for them. After the message replies go out per recipient, in
 * the order of the RCPTs, each as soon as it and all before it are known. Never touches a socket.
 */
#include "lmtps.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "lmtpreply.h"
#include "lmtpsdata.h"
#include "log.h"

#define SID_MASK	0xffffffffffULL		/* ten digits */

static uint64_t	sid_next;

void
lmtps_setup(void)
{
	if (getrandom(&sid_next, sizeof(sid_next), 0) != sizeof(sid_next))
		DIE(EXIT_TEMP, "fatal.random", log_str("what", "session ids"));
	lmtpsdata_setup();
}

static void
say(struct lmtps *s, const char *line)
{
	int	failed = buf_addf(&s->out, "%s\r\n", line);

	assert(failed == 0);
}

static void
session_end(struct lmtps *s, const char *why)
{
	if (s->state != LMTPS_CLOSING)
		s->why = why;
	s->state = LMTPS_CLOSING;
}

void
lmtps_hang_up(struct lmtps *s, const char *text, const char *why)
{
	if (s->state == LMTPS_CLOSING)
		return;
	say(s, text);
	session_end(s, why);
}

/* A protocol error of the peer. */
static void
say_error(struct lmtps *s, const char *line)
{
	say(s, line);
	if (++s->errors >= LMTPS_ERRORS_MAX)
		lmtps_hang_up(s, "421 4.7.0 too many errors", "errors");
}

struct lmtps *
lmtps_make(const struct lmtps_conf *conf, const struct lmtps_ops *ops, const char *peer, bool trusted)
{
	struct lmtps	*s = calloc(1, sizeof(*s));

	if (s == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*s)));
	s->conf = conf;
	s->ops = ops;
	s->is_trusted = trusted;
	s->arena = arena_make(LMTPS_ARENA_BYTES);
	s->in = buf_make(LMTPS_IN_MAX_BYTES);
	s->out = buf_make(LMTPS_OUT_MAX_BYTES);
	s->message = spoolfile_make(conf->inflight);
	s->asked_end = &s->asked;
	s->start_ms = mono_ms();
	s->why = "";
	snprintf(s->peer, sizeof(s->peer), "%s", peer);
	snprintf(s->sid, sizeof(s->sid), "%010llx", (unsigned long long)(sid_next++ & SID_MASK));
	buf_addf(&s->out, "220 %s LMTP twinspool ready\r\n", conf->hostname);
	return s;
}

/* Forgets the transaction. Nothing of it is asked or owed any more. */
static void
txn_reset(struct lmtps *s)
{
	assert(s->nasking == 0);
	if (s->ops->reset != NULL)
		s->ops->reset(s);
	s->txn = NULL;
	lmtpsdata_reset(s);
	s->nrcpts = s->nanswered = s->nreplied = s->nasked = 0;
	s->asked = s->spare = NULL;
	s->asked_end = &s->asked;
	arena_reset(&s->arena);
	if (s->state != LMTPS_CLOSING)
		s->state = s->state == LMTPS_START ? LMTPS_START : LMTPS_IDLE;
}

void
lmtps_free(struct lmtps *s)
{
	assert(!lmtps_is_busy(s));
	txn_reset(s);
	LOG("lmtp.session.end", log_str("sid", s->sid), log_str("peer", s->peer), log_str("helo", s->helo),
	    log_str("why", s->why), log_u64("txns", s->ntxns), log_u64("messages", s->nmessages),
	    log_u64("delivered", s->ndelivered), log_u64("errors", s->errors + s->bares),
	    log_i64("ms", mono_ms() - s->start_ms));
	spoolfile_free(&s->message);
	EVP_MD_CTX_free(s->md);
	arena_free(&s->arena);
	buf_free(&s->in);
	buf_free(&s->out);
	free(s);
}

bool
lmtps_is_busy(const struct lmtps *s)
{
	return s->nasking > 0 || s->nanswered < s->nrcpts;
}

bool
lmtps_is_holding(const struct lmtps *s)
{
	if (s->state == LMTPS_MAIL)
		return s->nasking > 0;
	return s->state == LMTPS_DELIVER && s->is_trusted && s->nreplied == 0;
}

bool
lmtps_wants_input(const struct lmtps *s)
{
	return s->state != LMTPS_CLOSING && s->in.n <= LMTPS_IN_MAX_BYTES - LMTPS_READ_BYTES;
}

bool
lmtps_is_quiet(const struct lmtps *s)
{
	return (s->state == LMTPS_START || s->state == LMTPS_IDLE) && s->in.n == 0 && s->out.n == 0;
}

void
lmtps_gone(struct lmtps *s, const char *why)
{
	session_end(s, why);
	buf_clear(&s->in);
	buf_clear(&s->out);
}

/* One line a recipient: what became of it. */
static void
rcpt_log(const struct lmtps *s, const struct lmtps_rcpt *r, uint64_t bytes, int64_t ms)
{
	static const char *const events[] = {
		[DONE] = "lmtp.delivered", [TEMP] = "lmtp.deferred", [PERM] = "lmtp.refused",
	};

	LOG(events[r->reply.result], log_str("sid", s->sid), log_str("qid", s->qid), log_str("from", s->mail.from.text),
	    log_str("to", r->cmd.to.text), log_u64("code", (uint64_t)r->reply.code), log_str("why", r->reply.text),
	    log_i64("ms", ms), log_u64("bytes", bytes));
}

static void
ready(struct lmtps *s)
{
	if (!s->is_running)
		s->ops->ready(s);
}

void
lmtps_rcpt_reply(struct lmtps *s, struct lmtps_rcpt *r, const struct reply *reply)
{
	assert(!r->is_known && s->nasking > 0);
	r->reply = *reply;
	r->is_known = true;
	s->nasking--;
	ready(s);
}

void
lmtps_done(struct lmtps *s, size_t i, const struct reply *reply)
{
	struct lmtps_rcpt	*r;

	assert(i < s->nrcpts && !s->rcpts[i]->is_known);
	r = s->rcpts[i];
	r->reply = *reply;
	r->is_known = true;
	s->nanswered++;
	if (reply->result == DONE)
		s->ndelivered++;
	rcpt_log(s, r, spoolfile_size(&s->message), mono_ms() - s->data_ms);
	ready(s);
}

/* Replies to RCPT that are known, up to the first that is not. True when there was one. */
static bool
flush_asked(struct lmtps *s)
{
	struct lmtps_rcpt	*r;
	bool			 did = false;

	while ((r = s->asked) != NULL && r->is_known) {
		if ((s->asked = r->next) == NULL)
			s->asked_end = &s->asked;
		s->nasked--;
		reply_write(&s->out, &r->reply);
		if (r->reply.result == DONE) {
			s->rcpts[s->nrcpts++] = r;
			s->nanswered++;		/* nothing is owed for it until the message is there */
		} else {
			rcpt_log(s, r, 0, 0);
			r->next = s->spare;
			s->spare = r;
		}
		did = true;
	}
	return did;
}

/* Replies to the message, in the order of the RCPTs. True when there was one. */
static bool
flush_done(struct lmtps *s)
{
	bool	did = false;

	for (; s->nreplied < s->nrcpts && s->rcpts[s->nreplied]->is_known; s->nreplied++, did = true)
		reply_write(&s->out, &s->rcpts[s->nreplied]->reply);
	if (s->nreplied == s->nrcpts) {
		txn_reset(s);
		did = true;
	}
	return did;
}

static void
cmd_lhlo(struct lmtps *s, struct slice args)
{
	struct slice	name;
	int		failed;

	if (lmtpcmd_lhlo(args, &name) != LMTP_OK) {
		say_error(s, "501 5.5.4 LHLO takes a domain");
		return;
	}
	txn_reset(s);
	s->state = LMTPS_IDLE;
	memcpy(s->helo, name.p, name.n);
	s->helo[name.n] = '\0';
	failed = buf_addf(&s->out, "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
	    "250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n%s250 SIZE %llu\r\n", s->conf->hostname,
	    s->is_trusted ? "250-XTWINSPOOL\r\n" : "", (unsigned long long)s->conf->size_max);
	assert(failed == 0);
}

static void
say_fault(struct lmtps *s, enum lmtp_fault fault, bool is_rcpt)
{
	switch (fault) {
	case LMTP_OK:
	case LMTP_SYNTAX:
		say_error(s, "501 5.5.4 syntax error in arguments");
		break;
	case LMTP_ADDRESS:
		/* An address the MTA let pass is not a protocol error: others of the same transaction may be fine. */
		say(s, is_rcpt ? "501 5.1.3 bad recipient address" : "501 5.1.7 bad sender address");
		break;
	case LMTP_PARAM:
		say_error(s, "555 5.5.4 parameter not supported");
		break;
	case LMTP_UTF8:
		say(s, is_rcpt ? "553 5.6.7 address needs SMTPUTF8" : "550 5.6.7 address needs SMTPUTF8");
		break;
	}
}

static void
cmd_mail(struct lmtps *s, struct slice args)
{
	enum lmtp_fault	fault;

	if (s->state != LMTPS_IDLE) {
		say_error(s, s->state == LMTPS_START ? "503 5.5.1 LHLO first" : "503 5.5.1 nested MAIL");
		return;
	}
	if ((fault = lmtpcmd_mail(args, s->is_trusted, &s->mail)) != LMTP_OK) {
		say_fault(s, fault, false);
		return;
	}
	if (s->mail.size > s->conf->size_max) {
		say(s, "552 5.3.4 message too big");
		return;
	}
	s->ntxns++;
	if (s->mail.qid[0] != '\0')
		memcpy(s->qid, s->mail.qid, sizeof(s->qid));
	else
		snprintf(s->qid, sizeof(s->qid), "%s.%llu", s->sid, (unsigned long long)s->ntxns);
	s->state = LMTPS_MAIL;
	say(s, "250 2.1.0 sender ok");
}

/* A recipient record, used before or new; NULL when the transaction has no memory left. */
static struct lmtps_rcpt *
rcpt_make(struct lmtps *s)
{
	struct lmtps_rcpt	*r = s->spare;
	void			*app;

	if (r != NULL) {
		app = r->app;
		s->spare = r->next;
		memset(r, 0, sizeof(*r));
		memset(app, 0, s->ops->rcpt_bytes);
		r->app = app;
		return r;
	}
	if ((r = ARENA_NEW(&s->arena, struct lmtps_rcpt, 1)) != NULL)
		r->app = arena_alloc(&s->arena, s->ops->rcpt_bytes, 1);
	return r == NULL || r->app == NULL ? NULL : r;
}

/* False: its reply is known at once, but those before it are not. Nothing was done; try again then. */
static bool
cmd_rcpt(struct lmtps *s, struct slice args)
{
	struct lmtps_rcpt	*r;
	enum lmtp_fault		 fault;
	struct lmtp_rcpt	 cmd;

	if (s->state != LMTPS_MAIL) {
		say_error(s, s->state == LMTPS_BDAT ? "503 5.5.1 RCPT after BDAT" : "503 5.5.1 MAIL first");
		return true;
	}
	if ((fault = lmtpcmd_rcpt(args, s->mail.is_utf8, s->is_trusted, &cmd)) != LMTP_OK) {
		if (s->nasked > 0)
			return false;
		say_fault(s, fault, true);
		return true;
	}
	if (s->nrcpts == DELIVERY_RCPTS_MAX || (r = rcpt_make(s)) == NULL) {
		if (s->nasked > 0)
			return false;
		say(s, "452 4.5.3 too many recipients");
		return true;
	}
	r->cmd = cmd;
	*s->asked_end = r;
	s->asked_end = &r->next;
	s->nasked++;
	s->nasking++;
	s->ops->rcpt(s, r);
	return true;
}

static void
cmd_data(struct lmtps *s, struct slice args)
{
	if (args.n > 0) {
		say_error(s, "501 5.5.4 DATA takes no arguments");
	} else if (s->state != LMTPS_MAIL) {
		say_error(s, s->state == LMTPS_BDAT ? "503 5.5.1 DATA after BDAT" : "503 5.5.1 MAIL first");
	} else if (s->nrcpts == 0) {
		say(s, "503 5.5.1 no valid recipients");	/* RFC 2033 4.2; a pipelining client cannot know */
	} else if (!lmtpsdata_is_room(s)) {
		say(s, "452 4.3.1 too much mail in flight");
	} else {
		lmtpsdata_begin(s);
		s->state = LMTPS_DATA;
		say(s, "354 go ahead");
	}
}

/*
 * bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF (RFC 3030 2). Its bytes follow whatever we think
 * of it, so only a size that cannot be read ends the session: we would take content for commands.
 */
static void
cmd_bdat(struct lmtps *s, struct slice args)
{
	if (lmtpcmd_bdat(args, &s->chunk_left, &s->is_last_chunk) != LMTP_OK) {
		s->chunk_left = 0;
		say(s, "501 5.5.4 BDAT takes a size");
		lmtps_hang_up(s, "421 4.7.0 chunk border unknown", "bdat");
		return;
	}
	s->is_void_chunk = s->state != LMTPS_BDAT && (s->state != LMTPS_MAIL || s->nrcpts == 0);
	if (s->is_void_chunk)
		return;
	if (s->state == LMTPS_MAIL) {
		bool	is_room = lmtpsdata_is_room(s);

		lmtpsdata_begin(s);
		if (!is_room)
			s->trouble = LMTPS_FULL;
	}
	s->state = LMTPS_CHUNK;
}

/* The message is there, or never will be: every recipient is owed a reply now. */
static void
message_end(struct lmtps *s)
{
	struct reply	reply;

	s->state = LMTPS_DELIVER;
	s->data_ms = mono_ms();
	s->nmessages++;
	s->nanswered = 0;
	for (size_t i = 0; i < s->nrcpts; i++)
		s->rcpts[i]->is_known = false;
	lmtpsdata_end(s);
	if (s->trouble == LMTPS_FINE) {
		s->ops->message(s);
		return;
	}
	lmtpsdata_trouble(s, &reply);
	for (size_t i = 0; i < s->nrcpts; i++)
		lmtps_done(s, i, &reply);
}

/* A chunk without a transaction it could belong to was read away. */
static void
void_chunk_end(struct lmtps *s)
{
	s->is_void_chunk = false;
	if (s->state != LMTPS_MAIL)
		say_error(s, "503 5.5.1 MAIL first");
	else if (s->is_last_chunk)
		txn_reset(s);	/* RFC 2033 4.3: no successful RCPT, no reply */
	else
		say(s, "503 5.5.1 no valid recipients");
}

static void
chunk_end(struct lmtps *s)
{
	struct reply	reply;

	if (s->is_void_chunk) {
		void_chunk_end(s);
		return;
	}
	s->state = LMTPS_BDAT;
	if (s->is_last_chunk) {
		message_end(s);
	} else if (s->trouble != LMTPS_FINE) {
		lmtpsdata_trouble(s, &reply);
		reply_write(&s->out, &reply);
	} else {
		say(s, "250 2.0.0 chunk ok");
	}
}

static void
cmd_other(struct lmtps *s, enum lmtp_verb verb, struct slice args)
{
	switch (verb) {
	case LMTP_RSET:
		if (args.n > 0) {
			say_error(s, "501 5.5.4 RSET takes no arguments");
			break;
		}
		txn_reset(s);
		say(s, "250 2.0.0 ok");
		break;
	case LMTP_NOOP:
		say(s, "250 2.0.0 ok");
		break;
	case LMTP_QUIT:
		say(s, "221 2.0.0 bye");
		session_end(s, "quit");
		break;
	case LMTP_VRFY:
		say(s, "252 2.5.0 send some mail, it may be accepted");
		break;
	case LMTP_HELP:
		say(s, "214 2.0.0 LHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP: RFC 2033");
		break;
	case LMTP_HTTP:
		lmtps_hang_up(s, "421 4.7.0 this is LMTP", "http");
		break;
	case LMTP_HELO:
	case LMTP_EHLO:
		say_error(s, "500 5.5.1 this is LMTP: use LHLO");
		break;
	default:
		say_error(s, "500 5.5.2 command not known");
		break;
	}
}

/* False: it has to wait. */
static bool
command(struct lmtps *s, enum lmtp_verb verb, struct slice args)
{
	size_t	used;

	switch (verb) {
	case LMTP_LHLO:
		cmd_lhlo(s, args);
		break;
	case LMTP_MAIL:
		cmd_mail(s, args);
		break;
	case LMTP_RCPT:
		return cmd_rcpt(s, args);
	case LMTP_DATA:
		cmd_data(s, args);
		break;
	case LMTP_BDAT:
		cmd_bdat(s, args);
		if (s->chunk_left == 0 && s->state != LMTPS_CLOSING && lmtpsdata_chunk(s, SLICE(""), &used))
			chunk_end(s);
		break;
	default:
		cmd_other(s, verb, args);
		break;
	}
	return true;
}

static void
line_fault(struct lmtps *s, enum frame_fault fault)
{
	if (fault == FRAME_LONG) {
		say_error(s, "500 5.5.2 line too long");
		return;
	}
	say(s, fault == FRAME_NUL ? "501 5.5.2 NUL in a command" : "501 5.5.2 bare CR or LF in a command");
	if (++s->bares >= LMTPS_BARES_MAX)
		lmtps_hang_up(s, "421 4.7.0 too many bad line ends", "bare");
}

/* A command that has to wait: all but RCPT for the replies to RCPT; RCPT while the limit may be reached. */
static bool
is_waiting(const struct lmtps *s, enum lmtp_verb verb)
{
	return s->nasked > 0 && (verb != LMTP_RCPT || s->nrcpts + s->nasked >= DELIVERY_RCPTS_MAX);
}

/* One command line from in. False: none yet, or it has to wait. */
static bool
step_command(struct lmtps *s, struct slice in, size_t *used_out)
{
	struct frame_line	 line;
	enum frame_fault	 fault;
	struct slice		 args;
	enum lmtp_verb		 verb;
	const char		*lf;

	if (s->is_skipping) {
		lf = memchr(in.p, '\n', in.n);
		s->is_skipping = lf == NULL;
		*used_out = lf == NULL ? in.n : (size_t)(lf - in.p) + 1;
		return lf != NULL;
	}
	switch (frame_line(in, LMTP_LINE_MAX_BYTES, false, &line, &fault)) {
	case PARSE_MORE:
		return false;
	case PARSE_BAD:
		if (s->nasked > 0)
			return false;	/* its reply has to wait too */
		line_fault(s, fault);
		s->is_skipping = line.used == 0;
		*used_out = s->is_skipping ? in.n : line.used;
		return true;
	case PARSE_OK:
		break;
	}
	verb = lmtpcmd_verb(line.text, &args);
	if (is_waiting(s, verb) || !command(s, verb, args))
		return false;
	*used_out = line.used;
	return true;
}

/* One thing done with the input at in. False: nothing can be done now. */
static bool
step(struct lmtps *s, struct slice in, size_t *used_out)
{
	*used_out = 0;
	if (flush_asked(s))
		return true;
	if (s->state == LMTPS_DELIVER)
		return flush_done(s);
	if (s->state == LMTPS_CLOSING) {
		*used_out = in.n;
		return false;
	}
	s->is_full = s->out.n >= LMTPS_OUT_HIGH_BYTES;
	if (s->is_full || in.n == 0)
		return false;
	if (s->chunk_left > 0) {
		if (lmtpsdata_chunk(s, in, used_out))
			chunk_end(s);
		return true;
	}
	if (s->state == LMTPS_DATA) {
		if (lmtpsdata_dot(s, in, used_out))
			message_end(s);
		return true;
	}
	return step_command(s, in, used_out);
}

void
lmtps_run(struct lmtps *s)
{
	size_t	at = 0, used;
	bool	did;

	if (s->is_running)
		return;
	s->is_running = true;
	do {
		did = step(s, (struct slice){s->in.p + at, s->in.n - at}, &used);
		at += used;
	} while (did);
	buf_drop(&s->in, at);
	s->is_running = false;
}
