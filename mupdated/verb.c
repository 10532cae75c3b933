/*
 * Packing and unpacking what mupdated's processes say to each other. Pure. The map process takes these
 * from the process that parses the network: nothing is read leniently.
 */
#include "verb.h"

#include "mboxname.h"

static bool
is_name(struct slice s)
{
	return s.n > 0 && s.n <= MBOXNAME_MAX_BYTES;
}

void
verb_pack_set(struct buf *b, const struct verb_set *v)
{
	pack_u8(b, VERB_SET);
	pack_u64(b, v->conn);
	pack_str(b, v->sid);
	pack_u8(b, (uint8_t)v->op);
	pack_str(b, v->name);
	pack_str(b, v->location);
	pack_str(b, v->acl);
}

bool
verb_unpack_set(struct unpack *u, struct verb_set *out)
{
	uint8_t op;

	out->conn = unpack_u64(u);
	out->sid = unpack_str(u);
	op = unpack_u8(u);
	out->op = (enum set_op)op;
	out->name = unpack_str(u);
	out->location = unpack_str(u);
	out->acl = unpack_str(u);
	return unpack_end(u) && op >= SET_RESERVE && op <= SET_DELETE && is_name(out->name) &&
	    out->sid.n <= SID_MAX_BYTES && out->location.n <= LOCATION_MAX_BYTES && out->acl.n <= ACL_MAX_BYTES &&
	    (op == SET_DELETE) == (out->location.n == 0) && (op == SET_ACTIVATE || out->acl.n == 0);
}

void
verb_pack_find(struct buf *b, const struct verb_find *v)
{
	pack_u8(b, VERB_FIND);
	pack_u64(b, v->conn);
	pack_str(b, v->name);
}

bool
verb_unpack_find(struct unpack *u, struct verb_find *out)
{
	out->conn = unpack_u64(u);
	out->name = unpack_str(u);
	return unpack_end(u) && is_name(out->name);
}

void
verb_pack_dump(struct buf *b, const struct verb_dump *v)
{
	pack_u8(b, VERB_DUMP);
	pack_u64(b, v->conn);
	pack_str(b, v->after);
	pack_str(b, v->prefix);
}

bool
verb_unpack_dump(struct unpack *u, struct verb_dump *out)
{
	out->conn = unpack_u64(u);
	out->after = unpack_str(u);
	out->prefix = unpack_str(u);
	return unpack_end(u) && out->after.n <= MBOXNAME_MAX_BYTES && out->prefix.n <= LOCATION_MAX_BYTES;
}

void
verb_pack_login(struct buf *b, enum verb verb, const struct verb_login *v)
{
	pack_u8(b, (uint8_t)verb);
	pack_u64(b, v->conn);
	pack_str(b, v->mech);
	pack_u8(b, v->has_bytes);
	pack_str(b, v->bytes);
}

bool
verb_unpack_login(struct unpack *u, struct verb_login *out)
{
	uint8_t has;

	out->conn = unpack_u64(u);
	out->mech = unpack_str(u);
	has = unpack_u8(u);
	out->has_bytes = has == 1;
	out->bytes = unpack_str(u);
	return unpack_end(u) && has <= 1 && out->mech.n <= MECH_MAX_BYTES && out->bytes.n <= SASL_MAX_BYTES;
}

void
verb_pack_forget(struct buf *b, uint64_t conn)
{
	pack_u8(b, VERB_FORGET);
	pack_u64(b, conn);
}

bool
verb_unpack_forget(struct unpack *u, uint64_t *conn_out)
{
	*conn_out = unpack_u64(u);
	return unpack_end(u);
}

void
verb_pack_mechs(struct buf *b, struct slice mechs)
{
	pack_u8(b, VERB_MECHS);
	pack_str(b, mechs);
}

bool
verb_unpack_mechs(struct unpack *u, struct slice *mechs_out)
{
	*mechs_out = unpack_str(u);
	return unpack_end(u);
}

void
verb_pack_answer(struct buf *b, const struct verb_answer *v)
{
	pack_u8(b, VERB_ANSWER);
	pack_u64(b, v->conn);
	pack_u8(b, (uint8_t)v->outcome);
	pack_str(b, v->text);
}

bool
verb_unpack_answer(struct unpack *u, struct verb_answer *out)
{
	uint8_t outcome;

	out->conn = unpack_u64(u);
	outcome = unpack_u8(u);
	out->outcome = (enum answer)outcome;
	out->text = unpack_str(u);
	return unpack_end(u) && outcome >= ANSWER_OK && outcome <= ANSWER_TEMP;
}

void
verb_pack_entries(struct buf *b, const struct verb_entries *v, struct slice entries)
{
	pack_u8(b, VERB_ENTRIES);
	pack_u64(b, v->conn);
	pack_u8(b, v->is_done);
	pack_str(b, v->last);
	pack_bytes(b, entries.p, entries.n);
}

bool
verb_unpack_entries(struct unpack *u, struct verb_entries *out)
{
	uint8_t done;

	out->conn = unpack_u64(u);
	done = unpack_u8(u);
	out->is_done = done == 1;
	out->last = unpack_str(u);
	out->rest = *u;
	return !u->bad && done <= 1 && out->last.n <= MBOXNAME_MAX_BYTES;
}

/* An entry inside another message: a string that holds it as it stands in the map. */
void
verb_pack_entry(struct buf *b, const struct loc_entry *e)
{
	size_t at = b->n;
	uint32_t n;

	pack_u32(b, 0);
	loc_entry_pack(b, e);
	if (!pack_ok(b))
		return;
	n = (uint32_t)(b->n - at - 4);
	for (size_t i = 0; i < 4; i++)
		b->p[at + i] = (char)(n >> (8 * i));
}

static bool
entry_unpack(struct unpack *u, struct loc_entry *out)
{
	return loc_entry_unpack(unpack_str(u), out);
}

enum lookup
verb_entry_next(struct verb_entries *v, struct loc_entry *out)
{
	if (unpack_end(&v->rest))
		return ABSENT;
	return entry_unpack(&v->rest, out) ? FOUND : LOOKUP_TEMP;
}

void
verb_pack_change(struct buf *b, const struct verb_change *v)
{
	pack_u8(b, VERB_CHANGE);
	pack_u8(b, v->is_deleted);
	verb_pack_entry(b, &v->entry);
	pack_str(b, v->old_location);
}

bool
verb_unpack_change(struct unpack *u, struct verb_change *out)
{
	uint8_t deleted = unpack_u8(u);
	bool has_entry = entry_unpack(u, &out->entry);

	out->is_deleted = deleted == 1;
	out->old_location = unpack_str(u);
	return has_entry && unpack_end(u) && deleted <= 1 && out->old_location.n <= LOCATION_MAX_BYTES;
}

void
verb_pack_challenge(struct buf *b, const struct verb_bytes *v)
{
	pack_u8(b, VERB_CHALLENGE);
	pack_u64(b, v->conn);
	pack_str(b, v->bytes);
}

bool
verb_unpack_challenge(struct unpack *u, struct verb_bytes *out)
{
	out->conn = unpack_u64(u);
	out->bytes = unpack_str(u);
	return unpack_end(u) && out->bytes.n <= SASL_MAX_BYTES;
}
