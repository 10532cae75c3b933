/*
 * A message's way on: each recipient's targets are looked up at RCPT; after the message each host gets one
 * LMTP transaction for its users, all hosts at once, and when those have ended the next hop gets one SMTP
 * transaction for all forwards. A recipient's reply is the worst of its targets'. Called by the LMTP session;
 * keeps nothing once the replies are given: the queue is the MTA's.
 */
#include "relay.h"

#include "lmtpnet.h"
#include "lmtpreply.h"
#include "lmtptrace.h"
#include "log.h"

/* Where the message goes, once, whoever asked for it. */
struct target {
	struct part	*part;
	struct lmtpx_rcpt rcpt;
	bool		 is_known;
	struct reply	 reply;
};

/* One transaction of ours: a host, or the next hop. */
struct part {
	struct txn		*txn;
	const struct lmtpc_hop	*hop;
	struct lmtpc_txn	*out;		/* NULL: not begun, or over */
	size_t			 n, nleft;
	size_t			 targets[DELIVERY_RCPTS_MAX];	/* indexes into txn->targets */
	struct lmtpx_rcpt	 rcpts[DELIVERY_RCPTS_MAX];
};

/* Of the session's transaction; in its arena. */
struct txn {
	struct relay	*relay;
	struct lmtps	*session;
	struct target	*targets[DELIVERY_RCPTS_MAX];
	size_t		 ntargets;
	struct part	*parts[DELIVERY_RCPTS_MAX + 1];	/* hosts in use, the next hop */
	size_t		 nparts, nlocal;		/* nlocal: hosts that are not through */
	struct part	*forward;			/* of parts; NULL: none */
	struct event	*deadline;			/* owned; NULL before the message is there */
};

/* What hangs on a recipient. */
struct route {
	struct lmtps	  *session;
	struct lmtps_rcpt *rcpt;
	size_t		   n;
	struct target	  **targets;
};

/* ---- RCPT ---- */

static struct txn *
txn_get(struct lmtps *s)
{
	struct txn	*t = s->txn;

	if (t != NULL)
		return t;
	if ((t = ARENA_NEW(&s->arena, struct txn, 1)) == NULL)
		return NULL;
	t->relay = lmtpnet_arg(s);
	t->session = s;
	return s->txn = t;
}

static struct part *
part_get(struct txn *t, const struct lmtpc_hop *hop)
{
	struct part	*p;

	for (size_t i = 0; i < t->nparts; i++)
		if (t->parts[i]->hop == hop)
			return t->parts[i];
	if ((p = ARENA_NEW(&t->session->arena, struct part, 1)) == NULL)
		return NULL;
	p->txn = t;
	p->hop = hop;
	t->parts[t->nparts++] = p;
	if (hop->is_smtp)
		t->forward = p;
	return p;
}

static bool
is_same(const struct target *t, const struct lmtpc_hop *hop, const struct route_target *r)
{
	return t->part->hop == hop && slice_is_nocase(slice_of(t->rcpt.address), r->address) &&
	    slice_is(slice_of(t->rcpt.user != NULL ? t->rcpt.user : ""), r->user);
}

/* The transaction's target for this; a new one where there is none. NULL: no room. */
static struct target *
target_get(struct txn *t, const struct route_target *r)
{
	const struct lmtpc_hop	*hop = r->kind == ROUTE_LOCAL ? &t->relay->hosts[r->host] : t->relay->next_hop;
	struct arena		*arena = &t->session->arena;
	struct target		*target;
	struct part		*part;

	for (size_t i = 0; i < t->ntargets; i++)
		if (is_same(t->targets[i], hop, r))
			return t->targets[i];
	if (t->ntargets == DELIVERY_RCPTS_MAX || (part = part_get(t, hop)) == NULL ||
	    (target = ARENA_NEW(arena, struct target, 1)) == NULL)
		return NULL;
	target->part = part;
	target->rcpt.address = arena_copy(arena, r->address);
	target->rcpt.user = r->kind == ROUTE_LOCAL ? arena_copy(arena, r->user) : NULL;
	target->rcpt.place = r->place;
	if (target->rcpt.address == NULL || (r->kind == ROUTE_LOCAL && target->rcpt.user == NULL))
		return NULL;
	part->rcpts[part->n] = target->rcpt;
	part->targets[part->n++] = t->ntargets;
	t->targets[t->ntargets++] = target;
	return target;
}

/* Targets that an accepted recipient did not get after all: nobody else asked for them. */
static void
targets_drop(struct txn *t, size_t before)
{
	while (t->ntargets > before)
		t->targets[--t->ntargets]->part->n--;
}

/* Takes the targets of an accepted recipient into the transaction. False: they do not fit; nothing was taken. */
static bool
rcpt_take(struct route *route, const struct route_answer *answer)
{
	struct txn	*t = txn_get(route->session);
	size_t		 before;

	if (t == NULL || (route->targets = ARENA_NEW(&route->session->arena, struct target *, answer->ntargets)) == NULL)
		return false;
	before = t->ntargets;
	for (route->n = 0; route->n < answer->ntargets; route->n++) {
		if ((route->targets[route->n] = target_get(t, &answer->targets[route->n])) == NULL) {
			targets_drop(t, before);
			return false;
		}
	}
	return true;
}

static void
rcpt_answered(void *arg, const struct route_answer *answer)
{
	struct route	*route = arg;
	struct reply	 reply = answer->reply;

	if (reply.result == DONE && !rcpt_take(route, answer))
		reply_set(&reply, 452, "4.5.3 too many recipients");
	lmtps_rcpt_reply(route->session, route->rcpt, &reply);
}

static void
relay_rcpt(struct lmtps *s, struct lmtps_rcpt *r)
{
	struct relay	*relay = lmtpnet_arg(s);
	struct route	*route = r->app;

	route->session = s;
	route->rcpt = r;
	routec_ask(relay->route, slice_of(r->cmd.to.text), rcpt_answered, route);
}

/* ---- after the message ---- */

/* Gives the recipient its reply if every target of it has one: a TEMP if there is one, else a PERM, else DONE. */
static void
rcpt_check(struct txn *t, size_t i)
{
	const struct route	*route = t->session->rcpts[i]->app;
	const struct reply	*worst = NULL;

	if (t->session->rcpts[i]->is_known)
		return;
	for (size_t j = 0; j < route->n; j++) {
		const struct target	*target = route->targets[j];

		if (!target->is_known)
			return;
		if (worst == NULL || worst->result == DONE || (worst->result == PERM && target->reply.result == TEMP))
			worst = &target->reply;
	}
	lmtps_done(t->session, i, worst);
}

static void
forward_log(const struct txn *t, const struct target *target)
{
	static const char *const events[] = {
		[DONE] = "forward.delivered", [TEMP] = "forward.deferred", [PERM] = "forward.refused",
	};

	LOG(events[target->reply.result], log_str("sid", t->session->sid), log_str("qid", t->session->qid),
	    log_str("to", target->rcpt.address), log_str("hop", target->part->hop->name),
	    log_u64("code", (uint64_t)target->reply.code), log_str("why", target->reply.text),
	    log_i64("ms", mono_ms() - t->session->data_ms));
}

static void
target_done(struct txn *t, size_t i, const struct reply *reply)
{
	struct target	*target = t->targets[i];

	target->is_known = true;
	target->reply = *reply;
	if (target->part->hop->is_smtp)
		forward_log(t, target);
	for (size_t j = 0; j < t->session->nrcpts; j++)
		rcpt_check(t, j);
}

static void	part_done(void *, size_t, const struct reply *);

static void
part_start(struct part *p)
{
	const struct lmtps	*s = p->txn->session;
	struct lmtpx_job	 job = {
		.qid = s->qid, .sender = s->mail.from.text, .is_8bit = s->mail.is_8bit, .is_utf8 = s->mail.is_utf8,
		.key = s->key, .message = &s->message, .rcpts = p->rcpts, .nrcpts = p->n, .done = part_done, .arg = p,
	};

	p->nleft = p->n;
	p->out = lmtpc_send(p->txn->relay->client, p->hop, &job);
}

/* A reply of a target. It may be the last of the whole transaction: nothing of it is touched after. */
static void
part_done(void *arg, size_t i, const struct reply *reply)
{
	struct part	*p = arg;
	struct txn	*t = p->txn;

	if (--p->nleft == 0) {
		p->out = NULL;
		if (!p->hop->is_smtp && --t->nlocal == 0 && t->forward != NULL && t->forward->n > 0)
			part_start(t->forward);
	}
	target_done(t, p->targets[i], reply);
}

/* The time for all of it is over: who has no reply is deferred. */
static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct txn	*t = arg;
	struct reply	 late;
	size_t		 n = t->ntargets;

	(void)fd;
	(void)what;
	reply_set(&late, 451, "4.4.2 delivery takes too long");
	for (size_t i = 0; i < t->nparts; i++) {
		if (t->parts[i]->out != NULL)
			lmtpc_cancel(t->parts[i]->out);
		t->parts[i]->out = NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (!t->targets[i]->is_known)
			target_done(t, i, &late);
}

/* Received fields in the message, ours not counted. The header of a message in a loop begins with them. */
static size_t
received_count(const struct lmtps *s)
{
	static char	head[SPOOLFILE_MEMORY_BYTES];
	ssize_t		n;

	if (s->message.fd < 0)
		return lmtptrace_count(buf_slice(&s->message.mem)) - 1;
	n = spoolfile_read(&s->message, 0, head, sizeof(head));
	return n <= 0 ? 0 : lmtptrace_count((struct slice){head, (size_t)n}) - 1;
}

static void
relay_message(struct lmtps *s)
{
	struct txn	*t = s->txn;
	struct timeval	 limit;
	struct reply	 loop;

	if (received_count(s) > RELAY_RECEIVED_MAX) {
		reply_set(&loop, 554, "5.4.6 mail loop");
		for (size_t i = 0; i < s->nrcpts; i++)
			lmtps_done(s, i, &loop);
		return;
	}
	limit = (struct timeval){
		.tv_sec = t->relay->transaction_timeout_ms / 1000,
		.tv_usec = t->relay->transaction_timeout_ms % 1000 * 1000,
	};
	if ((t->deadline = evtimer_new(t->relay->base, on_deadline, t)) == NULL || evtimer_add(t->deadline, &limit) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	for (size_t i = 0; i < t->nparts; i++) {
		if (t->parts[i]->n > 0 && !t->parts[i]->hop->is_smtp) {
			t->nlocal++;
			part_start(t->parts[i]);
		}
	}
	if (t->nlocal == 0)
		part_start(t->forward);
}

static void
relay_trace(struct lmtps *s, struct buf *out)
{
	lmtptrace_received(s, "relayd", now_ms(), out);
}

static void
relay_reset(struct lmtps *s)
{
	struct txn	*t = s->txn;

	if (t != NULL && t->deadline != NULL)
		event_free(t->deadline);
}

const struct lmtps_ops relay_ops = {
	.rcpt_bytes = sizeof(struct route),
	.rcpt = relay_rcpt,
	.trace = relay_trace,
	.message = relay_message,
	.reset = relay_reset,
};
