/*
 * Recipients are checked with spoold at RCPT, messages handed to it after their end, its answers passed
 * on one by one. Called by the LMTP session; never decides itself that a message is delivered.
 */
#include "deliver.h"

#include "lmtpnet.h"
#include "lmtptrace.h"
#include "log.h"

/* What hangs on a recipient of the session. */
struct target {
	struct lmtps	*session;
	struct lmtps_rcpt *rcpt;
	struct rcptuser	 user;
};

static void
rcpt_checked(void *arg, const struct reply *reply)
{
	struct target	*t = arg;

	lmtps_rcpt_reply(t->session, t->rcpt, reply);
}

static void
deliver_rcpt(struct lmtps *s, struct lmtps_rcpt *r)
{
	struct deliver	*d = lmtpnet_arg(s);
	struct target	*t = r->app;
	struct reply	 reply;

	t->session = s;
	t->rcpt = r;
	if (rcptuser_find(&d->users, &r->cmd, &t->user, &reply) != DONE)
		lmtps_rcpt_reply(s, r, &reply);
	else
		spool_check(d->spool, r->cmd.place, slice_of(t->user.user), rcpt_checked, t);
}

static void
deliver_trace(struct lmtps *s, struct buf *out)
{
	lmtptrace_return_path(s, out);
	lmtptrace_received(s, "lmtpd", now_ms(), out);
}

static void
rcpt_done(void *arg, size_t i, const struct reply *reply)
{
	lmtps_done(arg, i, reply);
}

static void
deliver_message(struct lmtps *s)
{
	struct deliver	*d = lmtpnet_arg(s);
	struct delivery	 out = {
		.sid = slice_of(s->sid), .qid = slice_of(s->qid), .sender = slice_of(s->mail.from.text),
		.received_ms = now_ms(), .size = spoolfile_size(&s->message), .nrcpts = s->nrcpts,
	};

	memcpy(out.key, s->key, sizeof(out.key));
	if (s->message.fd < 0)
		out.message = buf_slice(&s->message.mem);
	for (size_t i = 0; i < s->nrcpts; i++) {
		const struct target	*t = s->rcpts[i]->app;

		out.rcpts[i] = (struct delivery_rcpt){
			.user = slice_of(t->user.user), .mailbox = t->user.mailbox, .place = s->rcpts[i]->cmd.place,
		};
	}
	spool_submit(d->spool, &out, s->message.fd, rcpt_done, s);
}

const struct lmtps_ops deliver_ops = {
	.rcpt_bytes = sizeof(struct target),
	.rcpt = deliver_rcpt,
	.trace = deliver_trace,
	.message = deliver_message,
};
