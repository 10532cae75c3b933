/*
 * The open record of a session, packed by proxyd's auth and unpacked by spoold's lot (and again by
 * a worker, from the lot's copy). What passes can be logged and, the tag, sent to a client as it
 * stands: no byte of it is a control byte or a space where none belongs. Pure.
 */
#include "sessopen.h"

/* Printable ASCII without the space: what tags, session ids and addresses are made of. */
static bool
is_graph(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f)
			return false;
	return true;
}

/* *(SP sasl-mech) (RFC 4422 3.1): what CAPA's line holds after "SASL". */
static bool
is_mechs(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == ' ' ? i + 1 == s.n || s.p[i + 1] == ' ' : (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_')
			return false;
	}
	return s.n == 0 || s.p[0] == ' ';
}

void
sessopen_pack(struct buf *b, const struct sessopen *o)
{
	pack_u8(b, (uint8_t)o->proto);
	pack_str(b, o->user);
	pack_str(b, o->sid);
	pack_str(b, o->tag);
	pack_str(b, o->addr);
	pack_u16(b, o->port);
	pack_u8(b, o->is_tls);
	pack_str(b, o->client_id);
	pack_str(b, o->mechs);
	pack_u8(b, o->is_utf8);
}

bool
sessopen_unpack(struct slice in, struct sessopen *out)
{
	struct unpack u = unpack_make(in.p, in.n);
	uint8_t proto = unpack_u8(&u), is_tls, is_utf8;

	out->user = unpack_str(&u);
	out->sid = unpack_str(&u);
	out->tag = unpack_str(&u);
	out->addr = unpack_str(&u);
	out->port = unpack_u16(&u);
	is_tls = unpack_u8(&u);
	out->client_id = unpack_str(&u);
	out->mechs = unpack_str(&u);
	is_utf8 = unpack_u8(&u);
	if (!unpack_end(&u) || (proto != SESS_IMAP && proto != SESS_POP3) || is_tls > 1 || is_utf8 > 1)
		return false;
	out->proto = (enum sess_proto)proto;
	out->is_tls = is_tls == 1;
	out->is_utf8 = is_utf8 == 1;
	return user_is_valid(out->user) && out->sid.n >= 1 && out->sid.n <= SESSOPEN_SID_MAX_BYTES && is_graph(out->sid) &&
	    out->tag.n <= SESSOPEN_TAG_MAX_BYTES && is_graph(out->tag) && (proto != SESS_IMAP || out->tag.n > 0) &&
	    out->addr.n <= SESSOPEN_ADDR_MAX_BYTES && is_graph(out->addr) &&
	    out->client_id.n <= SESSOPEN_CLIENT_ID_MAX_BYTES && out->mechs.n <= SESSOPEN_MECHS_MAX_BYTES && is_mechs(out->mechs);
}
