/*
 * The extras of change records. Packed by the changes, unpacked by apply.c, and later by whoever
 * restores a spool. Pure. Unpacking walks every list once to its end, so that the iterators cannot fail.
 */
#include "store/extra.h"

static void
pack_keywords(struct buf *b, const struct extra_keywords *k)
{
	pack_u32(b, k->n);
	for (uint32_t i = 0; i < k->n; i++)
		pack_str(b, k->names[i]);
}

static bool
unpack_keywords(struct unpack *u, struct extra_keywords *out)
{
	*out = (struct extra_keywords){.n = unpack_u32(u)};
	out->in = *u;
	for (uint32_t i = 0; i < out->n && !u->bad; i++)
		unpack_str(u);
	return !u->bad;
}

bool
extra_keyword(struct extra_keywords *k, struct slice *out)
{
	if (k->n == 0)
		return false;
	k->n--;
	*out = unpack_str(&k->in);
	return true;
}

static void
pack_range_list(struct buf *b, const struct extra_ranges *r)
{
	pack_u32(b, r->n);
	for (uint32_t i = 0; i < r->n; i++) {
		pack_u32(b, r->r[i].lo);
		pack_u32(b, r->r[i].hi);
	}
}

static bool
unpack_range_list(struct unpack *u, struct extra_ranges *out)
{
	uint64_t bytes;

	*out = (struct extra_ranges){.n = unpack_u32(u)};
	bytes = 8 * (uint64_t)out->n;
	if (u->bad || bytes > u->n)
		return false;
	out->in = *u;
	u->p += bytes;
	u->n -= (size_t)bytes;
	return true;
}

bool
extra_range(struct extra_ranges *r, struct uid_range *out)
{
	if (r->n == 0)
		return false;
	r->n--;
	out->lo = unpack_u32(&r->in);
	out->hi = unpack_u32(&r->in);
	return true;
}

void
extra_pack_create(struct buf *b, const struct extra_create *c)
{
	pack_str(b, c->name);
	pack_u32(b, c->uidvalidity);
	pack_u32(b, c->use);
}

static bool
unpack_create(struct unpack *u, struct extra_create *out)
{
	out->name = unpack_str(u);
	out->uidvalidity = unpack_u32(u);
	out->use = unpack_u32(u);
	return !u->bad;
}

bool
extra_unpack_create(struct slice extra, struct extra_create *out)
{
	struct unpack u = unpack_make(extra.p, extra.n);

	return unpack_create(&u, out) && unpack_end(&u);
}

void
extra_pack_pair(struct buf *b, const unsigned char *id, struct slice name)
{
	pack_bytes(b, id, RECORD_ID_BYTES);
	pack_str(b, name);
}

bool
extra_unpack_rename(struct slice extra, struct extra_rename *out)
{
	struct unpack u = unpack_make(extra.p, extra.n);
	unsigned char id[RECORD_ID_BYTES];

	out->n = unpack_u32(&u);
	out->in = u;
	for (uint32_t i = 0; i < out->n && !u.bad; i++) {
		unpack_bytes(&u, id, sizeof(id));
		unpack_str(&u);
	}
	out->from = out->to = SLICE("");
	if (!u.bad && !unpack_end(&u)) {
		out->from = unpack_str(&u);
		out->to = unpack_str(&u);
	}
	return unpack_end(&u);
}

bool
extra_pair(struct extra_rename *r, unsigned char *id_out, struct slice *name_out)
{
	if (r->n == 0)
		return false;
	r->n--;
	unpack_bytes(&r->in, id_out, RECORD_ID_BYTES);
	*name_out = unpack_str(&r->in);
	return true;
}

void
extra_pack_flags(struct buf *b, const struct extra_flags *f)
{
	pack_u8(b, (uint8_t)f->op);
	pack_u32(b, f->flags);
	pack_keywords(b, &f->keywords);
	pack_range_list(b, &f->uids);
}

bool
extra_unpack_flags(struct slice extra, struct extra_flags *out)
{
	struct unpack u = unpack_make(extra.p, extra.n);
	uint8_t op = unpack_u8(&u);

	out->op = (enum flag_op)op;
	out->flags = unpack_u32(&u);
	return op <= FLAGS_REMOVE && unpack_keywords(&u, &out->keywords) && unpack_range_list(&u, &out->uids) &&
	    unpack_end(&u);
}

void
extra_pack_ranges(struct buf *b, const struct extra_ranges *r)
{
	pack_range_list(b, r);
}

bool
extra_unpack_ranges(struct slice extra, struct extra_ranges *out)
{
	struct unpack u = unpack_make(extra.p, extra.n);

	return unpack_range_list(&u, out) && unpack_end(&u);
}

void
extra_pack_subscribe(struct buf *b, struct slice name, bool on)
{
	pack_u8(b, on ? 1 : 0);
	pack_str(b, name);
}

bool
extra_unpack_subscribe(struct slice extra, struct slice *name_out, bool *on_out)
{
	struct unpack u = unpack_make(extra.p, extra.n);

	*on_out = unpack_u8(&u) != 0;
	*name_out = unpack_str(&u);
	return unpack_end(&u);
}

void
extra_pack_link(struct buf *b, const struct extra_link *l)
{
	pack_bytes(b, l->source, RECORD_ID_BYTES);
	pack_range_list(b, &l->expunged);
	extra_pack_create(b, &l->create);
	pack_keywords(b, &l->keywords);
	pack_u32(b, l->n);
}

void
extra_pack_entry(struct buf *b, const struct extra_entry *e)
{
	pack_u64(b, e->body_modseq);
	pack_u32(b, e->uid);
	pack_u32(b, e->flags);
	pack_i64(b, e->date_ms);
	pack_u8(b, e->nkeywords);
	pack_bytes(b, e->keywords, e->nkeywords);
}

static bool
unpack_entry(struct unpack *u, struct extra_entry *out)
{
	out->body_modseq = unpack_u64(u);
	out->uid = unpack_u32(u);
	out->flags = unpack_u32(u);
	out->date_ms = unpack_i64(u);
	out->nkeywords = unpack_u8(u);
	if (u->bad || out->nkeywords > STORE_KEYWORDS_MAX)
		return false;
	unpack_bytes(u, out->keywords, out->nkeywords);
	return !u->bad;
}

bool
extra_unpack_link(struct slice extra, struct extra_link *out)
{
	struct unpack u = unpack_make(extra.p, extra.n);
	struct extra_entry e;

	unpack_bytes(&u, out->source, RECORD_ID_BYTES);
	if (!unpack_range_list(&u, &out->expunged) || !unpack_create(&u, &out->create) ||
	    !unpack_keywords(&u, &out->keywords))
		return false;
	out->n = unpack_u32(&u);
	out->in = u;
	for (uint32_t i = 0; i < out->n; i++)
		if (!unpack_entry(&u, &e))
			return false;
	return unpack_end(&u);
}

bool
extra_entry(struct extra_link *l, struct extra_entry *out)
{
	if (l->n == 0)
		return false;
	l->n--;
	return unpack_entry(&l->in, out);
}

void
extra_pack_purge(struct buf *b, const struct extra_purge *p)
{
	pack_u64(b, p->horizon);
	pack_u64(b, p->highestmodseq);
	pack_u64(b, p->expunge_modseq);
	pack_u32(b, p->uidnext);
}

bool
extra_unpack_purge(struct slice in, struct extra_purge *out)
{
	struct unpack u = unpack_make(in.p, in.n);

	out->horizon = unpack_u64(&u);
	out->highestmodseq = unpack_u64(&u);
	out->expunge_modseq = unpack_u64(&u);
	out->uidnext = unpack_u32(&u);
	return unpack_end(&u);
}

void
extra_pack_metadata(struct buf *b, const struct meta_change *c, size_t n)
{
	pack_u32(b, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		pack_str(b, c[i].name);
		pack_u8(b, c[i].is_removed);
		pack_str(b, c[i].is_removed ? SLICE("") : c[i].value);
	}
}

static bool
unpack_meta(struct unpack *u, struct meta_change *out)
{
	uint8_t removed;

	out->name = unpack_str(u);
	removed = unpack_u8(u);
	out->value = unpack_str(u);
	out->is_removed = removed == 1;
	return !u->bad && removed <= 1 && out->name.n > 0 && out->name.n <= STORE_META_NAME_MAX_BYTES &&
	    out->value.n <= STORE_META_VALUE_MAX_BYTES;
}

bool
extra_unpack_metadata(struct slice in, struct extra_metadata *out)
{
	struct unpack u = unpack_make(in.p, in.n);
	struct meta_change c;

	*out = (struct extra_metadata){.n = unpack_u32(&u)};
	out->in = u;
	for (uint32_t i = 0; i < out->n; i++)
		if (!unpack_meta(&u, &c))
			return false;
	return unpack_end(&u);
}

bool
extra_meta(struct extra_metadata *m, struct meta_change *out)
{
	if (m->n == 0)
		return false;
	m->n--;
	return unpack_meta(&m->in, out);
}
