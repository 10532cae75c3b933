/*
 * One message: appended to the log of each recipient, then one redundant record for all of them (a
 * partition) goes to the committer. Every recipient has exactly one answer and one line in the log,
 * written by whoever answers. Doubt is 451.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deliver.h"
#include "log.h"
#include "mboxname.h"
#include "place.h"

/* What happened to one recipient. */
struct placed {
	struct store_placed	at;	/* log_fd -1: it was answered already */
	struct mboxname		mailbox;
	size_t			partition;
};

struct submit {
	struct deliver_conn	*conn;
	const struct delivery	*d;
	struct body_src		 body;
	unsigned char		 guid[RECORD_ID_BYTES];
	int64_t			 start_ms;
	struct placed		 placed[DELIVERY_RCPTS_MAX];
};

static struct reply
reply_of(int code, const char *text)
{
	struct reply r = {.result = code < 400 ? DONE : code < 500 ? TEMP : PERM, .code = code};

	(void)snprintf(r.text, sizeof(r.text), "%s", text);
	return r;
}

static void
log_refusal(struct slice sid, struct slice qid, struct slice user, const struct reply *r, int64_t start_ms)
{
	LOG(r->result == PERM ? "deliver.perm" : "deliver.temp", log_slice("sid", sid), log_slice("qid", qid),
	    log_slice("user", user), log_i64("code", r->code), log_str("why", r->text), log_i64("ms", mono_ms() - start_ms));
}

static void
refuse(const struct submit *s, size_t i, int code, const char *text)
{
	struct reply r = reply_of(code, text);

	log_refusal(s->d->sid, s->d->qid, s->d->rcpts[i].user, &r, s->start_ms);
	deliver_answer(s->conn, s->d->req, (uint32_t)i, &r);
}

/* ---- is the user here ---- */

static enum store_result
user_place(const struct store_host *host, struct slice user)
{
	enum store_result r = place_user(host, user);

	/* Half made, its log may be open: it must be looked at again. */
	if (r != STORE_OK)
		store_drop_cached();
	return r;
}

/* STORE_OK; STORE_NOMBOX: no such user; STORE_EXISTS: another host has the user. */
static enum store_result
user_find(const struct store_host *host, struct slice user, bool place)
{
	const char *partition;

	/* One whose log we have open was looked at when it was opened. */
	if (store_is_open(host, user, &partition))
		return STORE_OK;
	switch (store_exists(host, user, &partition)) {
	case LOOKUP_TEMP:
		return STORE_TEMP;
	case FOUND:
		return place_is_half(host, user) ? user_place(host, user) : STORE_OK;
	case ABSENT:
		break;
	}
	return place ? user_place(host, user) : STORE_NOMBOX;
}

static void
refuse_for(const struct submit *s, size_t i, enum store_result r)
{
	switch (r) {
	case STORE_NOMBOX:
		refuse(s, i, 550, "5.1.1 no such user here");
		break;
	case STORE_EXISTS:
		refuse(s, i, 451, "4.3.5 user is on another host");
		break;
	case STORE_FULL:
		refuse(s, i, 452, "4.3.1 spool is full");
		break;
	default:
		/* Placing a user writes too: then the committer knows why not. */
		refuse(s, i, 451, s->conn->deliver->place_commit.last != COMMIT_OK ?
		    commit_text(s->conn->deliver->place_commit.last) : "4.3.0 mailbox temporarily unavailable");
		break;
	}
}

/* ---- active copies ---- */

/* A mailbox that cannot be one is INBOX, like one that is not there. */
static struct slice
rcpt_mailbox(const struct delivery_rcpt *rcpt, struct mboxname *out)
{
	if (rcpt->mailbox.n == 0 || mboxname_from_client(rcpt->user, rcpt->mailbox, false, false, out) != PARSE_OK)
		out->n = 0;
	return (struct slice){out->s, out->n};
}

/* No partition has a redundant log: whatever is appended would have to be voided. */
static bool
has_no_redundant(const struct site *site)
{
	return atomic_load(&site->notify.shared->absent) == (1u << site->npartitions) - 1;
}

/* Appends for recipient i; answers a failure. */
static bool
append_rcpt(struct submit *s, size_t i)
{
	struct deliver *d = s->conn->deliver;
	const struct delivery_rcpt *rcpt = &s->d->rcpts[i];
	struct store_delivery sd = {.user = rcpt->user, .sender = s->d->sender, .qid = s->d->qid, .key = s->d->key,
	    .date_ms = s->d->received_ms, .body = s->body, .guid = s->guid};
	enum store_result r;

	s->placed[i].at.log_fd = -1;
	if (has_no_redundant(d->site)) {
		refuse(s, i, 451, commit_text(COMMIT_ABSENT));
		return false;
	}
	d->place_commit.last = COMMIT_OK;
	r = user_find(&d->host, rcpt->user, rcpt->place);
	sd.mailbox = rcpt_mailbox(rcpt, &s->placed[i].mailbox);
	if (r == STORE_OK)
		r = store_deliver(&d->host, &sd, &s->placed[i].at);
	if (r != STORE_OK) {
		s->placed[i].at.log_fd = -1;
		refuse_for(s, i, r);
		return false;
	}
	s->placed[i].partition = site_partition(d->site, s->placed[i].at.partition);
	return true;
}

/* ---- to the committer ---- */

static bool
is_in(const struct submit *s, size_t i, size_t partition)
{
	return s->placed[i].at.log_fd >= 0 && s->placed[i].partition == partition;
}

/* The redundant record: one for all recipients of the partition. */
static void
record_make(const struct submit *s, size_t partition, struct buf *extra, struct record *out)
{
	static struct record_message m;

	memcpy(m.key, s->d->key, sizeof(m.key));
	m.sender = s->d->sender;
	m.qid = s->d->qid;
	m.naddressees = 0;
	for (size_t i = 0; i < s->d->nrcpts; i++) {
		const struct placed *p = &s->placed[i];

		if (is_in(s, i, partition))
			m.addressees[m.naddressees++] = (struct record_addressee){.user = s->d->rcpts[i].user,
			    .mailbox = {p->mailbox.s, p->mailbox.n}, .modseq = p->at.modseq, .uid = p->at.uid};
	}
	record_message_pack(extra, &m);
	*out = (struct record){.type = RECORD_MESSAGE, .date_ms = s->d->received_ms, .extra = buf_slice(extra),
	    .body_bytes = s->body.bytes};
	memcpy(out->guid, s->guid, sizeof(out->guid));
}

static struct deliver_pending *
pending_make(const struct submit *s, size_t partition)
{
	struct deliver_pending *p = calloc(1, sizeof(*p) + s->d->nrcpts * sizeof(p->rcpts[0]));

	if (p == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("rcpts", s->d->nrcpts));
	p->conn = s->conn;
	p->req = s->d->req;
	p->start_ms = s->start_ms;
	memcpy(p->sid, s->d->sid.p, s->d->sid.n);
	memcpy(p->qid, s->d->qid.p, s->d->qid.n);
	for (size_t i = 0; i < s->d->nrcpts; i++) {
		struct deliver_rcpt *rcpt = &p->rcpts[p->nrcpts];

		if (!is_in(s, i, partition))
			continue;
		p->nrcpts++;
		memcpy(rcpt->user, s->d->rcpts[i].user.p, s->d->rcpts[i].user.n);
		rcpt->index = (uint32_t)i;
		rcpt->modseq = s->placed[i].at.modseq;
	}
	return p;
}

static size_t
head_make(const struct submit *s, size_t partition, struct commit_head *h, int *fds)
{
	struct commit_answer *a = &h->answer;

	*h = (struct commit_head){.wait = true, .partition = (uint16_t)partition, .epoch = s->conn->deliver->site->epoch,
	    .nrecords = 1};
	a->conn = s->conn->id;
	a->req = s->d->req;
	a->sid = s->d->sid;
	a->qid = s->d->qid;
	a->bytes = s->body.bytes;
	a->start_ms = s->start_ms;
	for (size_t i = 0; i < s->d->nrcpts; i++) {
		if (!is_in(s, i, partition))
			continue;
		a->rcpts[a->nrcpts++] = (struct commit_rcpt){.index = (uint32_t)i, .uid = s->placed[i].at.uid,
		    .user = s->d->rcpts[i].user};
		fds[h->nlogs++] = s->placed[i].at.log_fd;
	}
	return h->nlogs;
}

/* Nothing of it reached a committer: it did not happen. */
static void
undo(const struct submit *s, size_t partition)
{
	for (size_t i = 0; i < s->d->nrcpts; i++) {
		if (!is_in(s, i, partition))
			continue;
		store_void(&s->conn->deliver->host, s->d->rcpts[i].user, s->placed[i].at.modseq);
		refuse(s, i, 451, "4.3.0 committer unavailable");
	}
}

static void
hand_over(struct submit *s, size_t partition)
{
	static struct commit_head head;
	struct deliver_link *link = deliver_link_get(s->conn->deliver, s->conn);
	struct buf extra = buf_make(RECORD_EXTRA_MAX_BYTES), request = buf_make(COMMIT_REQUEST_MAX_BYTES);
	struct commit_body body = {.is_fd = s->body.fd >= 0, .mem = s->body.mem};
	struct deliver_pending *p;
	struct record r;
	int fds[DELIVERY_RCPTS_MAX + 1];
	size_t nfds;

	if (link == NULL) {
		undo(s, partition);
		return;
	}
	record_make(s, partition, &extra, &r);
	nfds = head_make(s, partition, &head, fds);
	if (body.is_fd)
		fds[nfds++] = s->body.fd;
	head.req = ++link->commit.next_req;
	commit_pack_head(&request, &head);
	commit_pack_record(&request, &r, &body);
	p = pending_make(s, partition);
	p->commit_req = head.req;
	/* The link ended while it took the request: not known whether it did. The connection is cut. */
	if (deliver_link_send(link, buf_slice(&request), fds, nfds, p) != 0)
		deliver_conn_cut(s->conn);
	buf_free(&extra);
	buf_free(&request);
}

/* The message's bytes must be there: a file shorter than said is lmtpd's fault. */
static bool
body_is_whole(const struct delivery *d, int body_fd)
{
	struct stat st;

	if (body_fd < 0)
		return d->message.n == d->size;
	return fstat(body_fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size >= d->size;
}

void
deliver_submit(struct deliver_conn *cn, const struct delivery *d, int body_fd)
{
	static struct submit s;
	const struct site *site = cn->deliver->site;
	bool in_partition[PARTITIONS_MAX] = {false};
	bool is_whole = body_is_whole(d, body_fd);

	s.conn = cn;
	s.d = d;
	s.start_ms = mono_ms();
	s.body = (struct body_src){.mem = d->message, .fd = body_fd, .bytes = d->size};
	if (getrandom(s.guid, sizeof(s.guid), 0) != (ssize_t)sizeof(s.guid))
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "getrandom"));
	for (size_t i = 0; i < d->nrcpts; i++) {
		s.placed[i].at.log_fd = -1;
		if (!is_whole)
			refuse(&s, i, 451, "4.3.0 message is not whole");
		else if (append_rcpt(&s, i))
			in_partition[s.placed[i].partition] = true;
	}
	for (size_t i = 0; i < site->npartitions; i++)
		if (in_partition[i])
			hand_over(&s, i);
	for (size_t i = 0; i < d->nrcpts; i++)
		if (s.placed[i].at.log_fd >= 0)
			close(s.placed[i].at.log_fd);
}

/*
 * A failed message is voided before its sender hears of it: the repeat must not meet, as a duplicate,
 * the copy that is taken back.
 */
void
deliver_failed(struct deliver *d, const struct deliver_pending *p, enum commit_outcome outcome)
{
	struct reply r = reply_of(451, commit_text(outcome));

	for (size_t i = 0; i < p->nrcpts; i++)
		store_void(&d->host, slice_of(p->rcpts[i].user), p->rcpts[i].modseq);
	for (size_t i = 0; i < p->nrcpts; i++) {
		log_refusal(slice_of(p->sid), slice_of(p->qid), slice_of(p->rcpts[i].user), &r, p->start_ms);
		deliver_answer(p->conn, p->req, p->rcpts[i].index, &r);
	}
}

/* ---- RCPT ---- */

static bool
all_full(const struct deliver *d)
{
	for (size_t i = 0; i < d->site->npartitions; i++)
		if (!store_is_full(&d->host, d->site->partitions[i]))
			return false;
	return true;
}

void
deliver_check(struct deliver_conn *cn, uint32_t req, bool place, struct slice user)
{
	struct deliver *d = cn->deliver;
	struct buf b = buf_make(REPLY_TEXT_MAX_BYTES + 64);
	struct reply r = reply_of(250, "2.1.5 ok");
	const char *partition;

	switch (store_is_open(&d->host, user, &partition) ? FOUND : store_exists(&d->host, user, &partition)) {
	case LOOKUP_TEMP:
		r = reply_of(451, "4.3.0 mailbox temporarily unavailable");
		break;
	case FOUND:
		if (store_is_full(&d->host, partition))
			r = reply_of(452, "4.3.1 spool is full");
		break;
	case ABSENT:
		if (!place)
			r = reply_of(550, "5.1.1 no such user here");
		else if (all_full(d))
			r = reply_of(452, "4.3.1 spool is full");
		break;
	}
	delivery_pack_checked(&b, req, &r);
	outq_send(&cn->out, buf_slice(&b));
	buf_free(&b);
}
