/*
 * The records between lmtpd and spoold's delivery workers, pack and unpack side by side. Called by
 * lmtpd and spoold/deliver. Unpacking believes nothing: lengths, user names, counts and reply texts
 * are checked, so that what passes can be logged and used as it stands. Pure.
 */
#include "delivery.h"

#include <assert.h>

#include "mboxname.h"
#include "sessopen.h"

static bool
is_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

static void
pack_reply(struct buf *b, const struct reply *r)
{
	pack_u8(b, (uint8_t)r->result);
	pack_u16(b, (uint16_t)r->code);
	pack_str(b, slice_of(r->text));
}

/* The class of the code and the result say the same thing (RFC 5321 4.2.1). */
static bool
unpack_reply(struct unpack *u, struct reply *out)
{
	uint8_t result = unpack_u8(u);
	int code = unpack_u16(u);
	struct slice text = unpack_str(u);

	if (!unpack_end(u) || text.n >= REPLY_TEXT_MAX_BYTES || !is_text(text))
		return false;
	if (!(result == DONE && code >= 200 && code <= 299) && !(result == TEMP && code >= 400 && code <= 499) &&
	    !(result == PERM && code >= 500 && code <= 599))
		return false;
	out->result = (enum result)result;
	out->code = code;
	if (text.n > 0)
		memcpy(out->text, text.p, text.n);
	out->text[text.n] = '\0';
	return true;
}

static bool
unpack_flag(struct unpack *u, bool *out)
{
	uint8_t v = unpack_u8(u);

	*out = v == 1;
	return v <= 1;
}

void
delivery_pack_check(struct buf *b, uint32_t req, bool place, struct slice user)
{
	pack_u8(b, DELIVERY_CHECK);
	pack_u32(b, req);
	pack_u8(b, place);
	pack_str(b, user);
}

bool
delivery_unpack_check(struct unpack *u, uint32_t *req_out, bool *place_out, struct slice *user_out)
{
	*req_out = unpack_u32(u);
	if (!unpack_flag(u, place_out))
		return false;
	*user_out = unpack_str(u);
	return unpack_end(u) && user_is_valid(*user_out);
}

void
delivery_pack_submit(struct buf *b, const struct delivery *d)
{
	assert(d->nrcpts >= 1 && d->nrcpts <= DELIVERY_RCPTS_MAX);
	pack_u8(b, DELIVERY_SUBMIT);
	pack_u32(b, d->req);
	pack_str(b, d->sid);
	pack_str(b, d->qid);
	pack_str(b, d->sender);
	pack_bytes(b, d->key, sizeof(d->key));
	pack_i64(b, d->received_ms);
	pack_u64(b, d->size);
	pack_str(b, d->message);
	pack_u16(b, (uint16_t)d->nrcpts);
	for (size_t i = 0; i < d->nrcpts; i++) {
		pack_str(b, d->rcpts[i].user);
		pack_str(b, d->rcpts[i].mailbox);
		pack_u8(b, d->rcpts[i].place);
	}
}

bool
delivery_unpack_submit(struct unpack *u, struct delivery *out)
{
	out->req = unpack_u32(u);
	out->sid = unpack_str(u);
	out->qid = unpack_str(u);
	out->sender = unpack_str(u);
	unpack_bytes(u, out->key, sizeof(out->key));
	out->received_ms = unpack_i64(u);
	out->size = unpack_u64(u);
	out->message = unpack_str(u);
	out->nrcpts = unpack_u16(u);
	if (u->bad || out->nrcpts < 1 || out->nrcpts > DELIVERY_RCPTS_MAX)
		return false;
	if (out->sid.n > SESSOPEN_SID_MAX_BYTES || out->qid.n > DELIVERY_QID_MAX_BYTES || out->sender.n > ADDRESS_MAX_BYTES ||
	    !is_text(out->sid) || !is_text(out->qid) || !is_text(out->sender))
		return false;
	if (out->received_ms < 0 || out->size > INT64_MAX || out->message.n > DELIVERY_INLINE_BYTES ||
	    (out->message.n > 0 && out->message.n != out->size))
		return false;
	for (size_t i = 0; i < out->nrcpts; i++) {
		struct delivery_rcpt *r = &out->rcpts[i];

		r->user = unpack_str(u);
		r->mailbox = unpack_str(u);
		if (!unpack_flag(u, &r->place) || u->bad || !user_is_valid(r->user) || r->mailbox.n > MBOXNAME_MAX_BYTES ||
		    !is_text(r->mailbox))
			return false;
	}
	return unpack_end(u);
}

void
delivery_pack_checked(struct buf *b, uint32_t req, const struct reply *r)
{
	pack_u8(b, DELIVERY_CHECKED);
	pack_u32(b, req);
	pack_reply(b, r);
}

bool
delivery_unpack_checked(struct unpack *u, uint32_t *req_out, struct reply *out)
{
	*req_out = unpack_u32(u);
	return unpack_reply(u, out);
}

void
delivery_pack_done(struct buf *b, uint32_t req, uint32_t index, const struct reply *r)
{
	pack_u8(b, DELIVERY_DONE);
	pack_u32(b, req);
	pack_u32(b, index);
	pack_reply(b, r);
}

bool
delivery_unpack_done(struct unpack *u, uint32_t *req_out, uint32_t *index_out, struct reply *out)
{
	*req_out = unpack_u32(u);
	*index_out = unpack_u32(u);
	return unpack_reply(u, out) && *index_out < DELIVERY_RCPTS_MAX;
}
