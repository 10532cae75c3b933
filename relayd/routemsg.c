/*
 * Records between relayd's net and route processes, pack and unpack side by side. The route process
 * believes nothing of an ask; the net process checks an answer too, since addresses go into commands. Pure.
 */
#include "routemsg.h"

#include "lmtpreply.h"

void
routemsg_pack_ask(struct buf *b, uint32_t req, struct slice address)
{
	pack_u32(b, req);
	pack_str(b, address);
}

bool
routemsg_unpack_ask(struct slice msg, uint32_t *req_out, struct slice *address_out)
{
	struct unpack	u = unpack_make(msg.p, msg.n);

	*req_out = unpack_u32(&u);
	*address_out = unpack_str(&u);
	return unpack_end(&u) && address_out->n > 0 && address_out->n <= ADDRESS_MAX_BYTES;
}

void
routemsg_pack_answer(struct buf *b, uint32_t req, const struct route_answer *a)
{
	pack_u32(b, req);
	pack_u16(b, (uint16_t)a->reply.code);
	pack_str(b, slice_of(a->reply.text));
	pack_u16(b, (uint16_t)a->ntargets);
	for (size_t i = 0; i < a->ntargets; i++) {
		pack_u8(b, (uint8_t)a->targets[i].kind);
		pack_u8(b, a->targets[i].place);
		pack_u16(b, a->targets[i].host);
		pack_str(b, a->targets[i].user);
		pack_str(b, a->targets[i].address);
	}
}

static bool
unpack_target(struct unpack *u, size_t nhosts, struct route_target *out)
{
	uint8_t	kind = unpack_u8(u), place = unpack_u8(u);

	out->kind = kind == ROUTE_LOCAL ? ROUTE_LOCAL : ROUTE_FORWARD;
	out->place = place == 1;
	out->host = unpack_u16(u);
	out->user = unpack_str(u);
	out->address = unpack_str(u);
	if (u->bad || kind < ROUTE_LOCAL || kind > ROUTE_FORWARD || place > 1 || out->address.n == 0 ||
	    out->address.n > ADDRESS_MAX_BYTES)
		return false;
	for (size_t i = 0; i < out->address.n; i++)
		if ((unsigned char)out->address.p[i] < ' ' || out->address.p[i] == 127)
			return false;
	return kind == ROUTE_FORWARD || (out->host < nhosts && user_is_valid(out->user));
}

bool
routemsg_unpack_answer(struct slice msg, size_t nhosts, uint32_t *req_out, struct route_answer *out)
{
	struct unpack	u = unpack_make(msg.p, msg.n);
	int		code;
	struct slice	text;

	*req_out = unpack_u32(&u);
	code = unpack_u16(&u);
	text = unpack_str(&u);
	out->ntargets = unpack_u16(&u);
	if (u.bad || code < 200 || code > 599 || (code > 299 && code < 400) || out->ntargets > ROUTE_TARGETS_MAX)
		return false;
	reply_from_peer(&out->reply, code, text);
	for (size_t i = 0; i < out->ntargets; i++)
		if (!unpack_target(&u, nhosts, &out->targets[i]))
			return false;
	return unpack_end(&u) && (out->reply.result == DONE) == (out->ntargets > 0);
}
