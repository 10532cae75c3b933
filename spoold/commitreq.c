/*
 * Requests to the committer, pack and unpack side by side. The committer believes no worker: counts
 * and lengths are checked here, and its own limits on all of it together where it collects. Pure.
 */
#include "commitreq.h"

#include "sessopen.h"

static void
pack_answer(struct buf *b, const struct commit_answer *a)
{
	pack_u32(b, a->conn);
	if (a->conn == 0)
		return;
	pack_u32(b, a->req);
	pack_str(b, a->sid);
	pack_str(b, a->qid);
	pack_u64(b, a->bytes);
	pack_i64(b, a->start_ms);
	pack_u16(b, (uint16_t)a->nrcpts);
	for (size_t i = 0; i < a->nrcpts; i++) {
		pack_u32(b, a->rcpts[i].index);
		pack_u32(b, a->rcpts[i].uid);
		pack_str(b, a->rcpts[i].user);
	}
}

static bool
unpack_answer(struct unpack *u, struct commit_answer *a)
{
	a->conn = unpack_u32(u);
	a->nrcpts = 0;
	if (a->conn == 0)
		return !u->bad;
	a->req = unpack_u32(u);
	a->sid = unpack_str(u);
	a->qid = unpack_str(u);
	a->bytes = unpack_u64(u);
	a->start_ms = unpack_i64(u);
	a->nrcpts = unpack_u16(u);
	if (u->bad || a->nrcpts < 1 || a->nrcpts > DELIVERY_RCPTS_MAX || a->sid.n > SESSOPEN_SID_MAX_BYTES ||
	    a->qid.n > DELIVERY_QID_MAX_BYTES)
		return false;
	for (size_t i = 0; i < a->nrcpts; i++) {
		a->rcpts[i].index = unpack_u32(u);
		a->rcpts[i].uid = unpack_u32(u);
		a->rcpts[i].user = unpack_str(u);
		if (u->bad || a->rcpts[i].index >= DELIVERY_RCPTS_MAX || !user_is_valid(a->rcpts[i].user))
			return false;
	}
	return true;
}

void
commit_pack_head(struct buf *b, const struct commit_head *h)
{
	pack_u64(b, h->req);
	pack_u8(b, h->wait);
	pack_u16(b, h->partition);
	pack_u32(b, h->epoch);
	pack_str(b, h->user);
	pack_u16(b, h->nlogs);
	pack_answer(b, &h->answer);
	pack_u32(b, h->nrecords);
}

bool
commit_unpack_head(struct unpack *u, struct commit_head *out)
{
	uint8_t wait;

	out->req = unpack_u64(u);
	wait = unpack_u8(u);
	out->partition = unpack_u16(u);
	out->epoch = unpack_u32(u);
	out->user = unpack_str(u);
	out->nlogs = unpack_u16(u);
	if (u->bad || wait > 1 || !unpack_answer(u, &out->answer))
		return false;
	out->wait = wait == 1;
	out->nrecords = unpack_u32(u);
	return !u->bad && out->partition < PARTITIONS_MAX && (out->user.n == 0 || user_is_valid(out->user)) &&
	    out->nlogs <= COMMIT_LOGS_MAX && out->nrecords >= 1 && out->nrecords <= COMMIT_RECORDS_MAX;
}

void
commit_pack_record(struct buf *b, const struct record *r, const struct commit_body *body)
{
	pack_u8(b, (uint8_t)r->type);
	pack_u64(b, r->modseq);
	pack_bytes(b, r->mailbox, sizeof(r->mailbox));
	pack_u32(b, r->uid);
	pack_i64(b, r->date_ms);
	pack_u32(b, r->flags);
	pack_bytes(b, r->guid, sizeof(r->guid));
	pack_u64(b, r->next_modseq);
	pack_u32(b, r->next_uid);
	pack_str(b, r->extra);
	pack_u64(b, r->body_bytes);
	if (r->body_bytes == 0)
		return;
	pack_u8(b, body->is_fd);
	if (body->is_fd)
		pack_u64(b, body->offset);
	else
		pack_str(b, body->mem);
}

static bool
unpack_body(struct unpack *u, uint64_t bytes, struct commit_body *out)
{
	uint8_t is_fd;

	*out = (struct commit_body){0};
	if (bytes == 0)
		return !u->bad;
	is_fd = unpack_u8(u);
	out->is_fd = is_fd == 1;
	if (out->is_fd)
		out->offset = unpack_u64(u);
	else
		out->mem = unpack_str(u);
	return !u->bad && is_fd <= 1 && (out->is_fd ? out->offset <= INT64_MAX - bytes : out->mem.n == bytes);
}

bool
commit_unpack_record(struct unpack *u, struct record *out, struct commit_body *body_out)
{
	*out = (struct record){.type = (enum record_type)unpack_u8(u)};
	out->modseq = unpack_u64(u);
	unpack_bytes(u, out->mailbox, sizeof(out->mailbox));
	out->uid = unpack_u32(u);
	out->date_ms = unpack_i64(u);
	out->flags = unpack_u32(u);
	unpack_bytes(u, out->guid, sizeof(out->guid));
	out->next_modseq = unpack_u64(u);
	out->next_uid = unpack_u32(u);
	out->extra = unpack_str(u);
	out->body_bytes = unpack_u64(u);
	if (u->bad || out->extra.n > RECORD_EXTRA_MAX_BYTES || out->body_bytes > RECORD_BODY_MAX_BYTES)
		return false;
	/* Segment headers are rotated's, husks are made by compaction alone. */
	if (memchr("MBLFXCRDUANVEZP", (int)out->type, 15) == NULL)
		return false;
	return unpack_body(u, out->body_bytes, body_out);
}

const char *
commit_text(enum commit_outcome outcome)
{
	switch (outcome) {
	case COMMIT_OK:
		return "2.1.5 delivered";
	case COMMIT_ABSENT:
		return "4.3.0 redundant spool unavailable";
	case COMMIT_MOVED:
		return "4.2.1 mailbox is being moved";
	case COMMIT_FAILED:
		break;
	}
	return "4.3.0 spool not writable";
}
