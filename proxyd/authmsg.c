/*
 * Packing of the messages about logins. See authmsg.h. Pure functions; what is packed may hold
 * passwords, so callers wipe their buffers.
 */
#include "authmsg.h"

void
auth_pack(struct buf *b, const struct auth_msg *m)
{
	pack_u8(b, (uint8_t)m->verb);
	pack_u64(b, m->exchange);
	switch (m->verb) {
	case AUTH_START:
		pack_u8(b, (uint8_t)m->start.who.proto);
		pack_str(b, m->start.who.sid);
		pack_str(b, m->start.who.tag);
		pack_str(b, m->start.who.addr);
		pack_u16(b, m->start.who.port);
		pack_u8(b, m->start.who.is_tls);
		pack_str(b, m->start.who.client_id);
		pack_str(b, m->start.who.mechs);
		pack_u8(b, m->start.who.is_utf8);
		pack_str(b, m->start.mech);
		pack_u8(b, m->start.has_initial);
		pack_str(b, m->start.initial);
		break;
	case AUTH_STEP:
	case AUTH_CHALLENGE:
	case AUTH_OK:
		pack_str(b, m->data);
		break;
	case AUTH_FAILED:
		pack_u8(b, (uint8_t)m->fail);
		break;
	case AUTH_READY:
	case AUTH_RESET:
	case AUTH_ABORT:
		break;
	}
}

static bool
unpack_start(struct unpack *u, struct auth_start *s)
{
	uint8_t proto = unpack_u8(u), tls, utf8, initial;

	s->who.sid = unpack_str(u);
	s->who.tag = unpack_str(u);
	s->who.addr = unpack_str(u);
	s->who.port = unpack_u16(u);
	tls = unpack_u8(u);
	s->who.client_id = unpack_str(u);
	s->who.mechs = unpack_str(u);
	utf8 = unpack_u8(u);
	s->mech = unpack_str(u);
	initial = unpack_u8(u);
	s->initial = unpack_str(u);
	s->who.proto = proto == SESS_POP3 ? SESS_POP3 : SESS_IMAP;
	s->who.is_tls = tls == 1;
	s->who.is_utf8 = utf8 == 1;
	s->has_initial = initial == 1;
	return (proto == SESS_IMAP || proto == SESS_POP3) && tls <= 1 && utf8 <= 1 && initial <= 1 &&
	    s->who.sid.n <= SESSOPEN_SID_MAX_BYTES && s->who.tag.n <= SESSOPEN_TAG_MAX_BYTES &&
	    s->who.addr.n <= SESSOPEN_ADDR_MAX_BYTES && s->who.client_id.n <= SESSOPEN_CLIENT_ID_MAX_BYTES &&
	    s->who.mechs.n <= SESSOPEN_MECHS_MAX_BYTES &&
	    s->mech.n > 0 && s->mech.n <= AUTH_MECH_MAX_BYTES && s->initial.n <= AUTH_DATA_MAX_BYTES;
}

bool
auth_unpack(struct slice in, struct auth_msg *out)
{
	struct unpack u = unpack_make(in.p, in.n);
	uint8_t verb = unpack_u8(&u), fail;
	bool ok = verb >= AUTH_READY && verb <= AUTH_FAILED;

	*out = (struct auth_msg){.verb = ok ? (enum auth_verb)verb : AUTH_ABORT, .exchange = unpack_u64(&u)};
	switch (out->verb) {
	case AUTH_START:
		ok = ok && unpack_start(&u, &out->start);
		break;
	case AUTH_STEP:
	case AUTH_CHALLENGE:
		out->data = unpack_str(&u);
		ok = ok && out->data.n <= AUTH_DATA_MAX_BYTES;
		break;
	case AUTH_OK:
		out->data = unpack_str(&u);
		ok = ok && out->data.n > 0 && out->data.n <= USER_MAX_BYTES;
		break;
	case AUTH_FAILED:
		fail = unpack_u8(&u);
		ok = ok && fail >= AUTH_BAD && fail <= AUTH_FAIL_LAST;
		out->fail = ok ? (enum auth_fail)fail : AUTH_TEMP;
		break;
	case AUTH_READY:
	case AUTH_RESET:
	case AUTH_ABORT:
		break;
	}
	return ok && unpack_end(&u);
}

void
auth_rename(char *packed, uint64_t exchange)
{
	for (size_t i = 0; i < 8; i++)
		packed[1 + i] = (char)(exchange >> (8 * i) & 0xff);
}
