/*
 * See holes.h. Called by catch-up and apply.c for each hole, by compaction before it leaves bytes out, by accept.c. A log has
 * none, or very few: they are gone through one by one.
 */
#include "store/holes.h"

#include "log.h"
#include "pack.h"

static struct ix_key
key_hole(uint32_t segment, uint64_t from)
{
	struct ix_key k = key_of('h');

	key_u32(&k, segment);
	key_u64(&k, from);
	return k;
}

/* The same hole, and not another that stands there since compaction moved what followed. */
static bool
is_same(const struct ix_hole *h, const struct loss *l)
{
	return h->to == l->to && h->modseq_from == l->modseq_from && h->modseq_to == l->modseq_to;
}

void
hole_found(struct index *ix, const struct loss *l)
{
	struct ix_key k = key_hole(l->segment, l->from);
	struct ix_hole h = {.to = l->to, .modseq_from = l->modseq_from, .modseq_to = l->modseq_to}, was;
	bool is_known = index_get_fixed(ix, &k, &was, sizeof(was));

	if (is_known && is_same(&was, l))
		return;
	index_put(ix, &k, &h, sizeof(h));
	if (!is_known || was.is_accepted)
		ix->meta.has_holes++;
}

/*
 * With a hole is given up what names what it held: once compaction has left the hole out, a replay meets that first. A mailbox
 * that is not there has no number.
 */
static void
accept_echoes(struct index *ix, const struct loss *l)
{
	struct ix_key from = key_of('h');
	struct slice k, v;
	struct ix_hole h;
	struct iter it;

	iter_begin(&it, ix, &from, 1);
	while (iter_next(&it, &k, &v)) {
		struct ix_key at = {.n = k.n};

		memcpy(at.p, k.p, k.n);
		if (v.n != sizeof(h))
			continue;
		memcpy(&h, v.p, sizeof(h));
		if (h.to != 0 || h.is_accepted ||
		    (h.modseq_from != 0 && (h.modseq_from < l->modseq_from || h.modseq_from >= l->modseq_to)))
			continue;
		h.is_accepted = 1;
		index_put(ix, &at, &h, sizeof(h));
		ix->meta.has_holes--;
	}
	iter_end(&it);
}

static void
accept_one(struct index *ix, const struct loss *l)
{
	struct ix_key k = key_hole(l->segment, l->from);
	struct ix_hole h = {.to = l->to, .modseq_from = l->modseq_from, .modseq_to = l->modseq_to, .is_accepted = 1}, was;

	accept_echoes(ix, l);
	if (index_get_fixed(ix, &k, &was, sizeof(was)) && !was.is_accepted) {
		if (!is_same(&was, l))
			return;
		ix->meta.has_holes--;
	}
	index_put(ix, &k, &h, sizeof(h));
}

bool
loss_unpack(struct slice extra, size_t i, struct loss *out)
{
	struct unpack u = unpack_make(extra.p, extra.n);
	uint32_t n = unpack_u32(&u);

	if (extra.n != sizeof(n) + (uint64_t)n * LOSS_PACKED_BYTES || i >= n)
		return false;
	u = unpack_make(extra.p + sizeof(n) + i * LOSS_PACKED_BYTES, LOSS_PACKED_BYTES);
	out->segment = unpack_u32(&u);
	out->from = unpack_u64(&u);
	out->to = unpack_u64(&u);
	out->modseq_from = unpack_u64(&u);
	out->modseq_to = unpack_u64(&u);
	return unpack_end(&u);
}

bool
holes_accept(struct index *ix, struct slice extra)
{
	struct loss l;
	size_t n = 0;

	for (; loss_unpack(extra, n, &l); n++)
		accept_one(ix, &l);
	return n > 0;
}

bool
hole_is_accepted(struct index *ix, uint32_t segment, uint64_t from, uint64_t to, uint64_t modseq_from)
{
	struct ix_key k = key_hole(segment, from);
	struct ix_hole h;

	return index_get_fixed(ix, &k, &h, sizeof(h)) && h.is_accepted && h.to == to && h.modseq_from == modseq_from;
}

bool
hole_may_hold(struct index *ix, uint64_t modseq)
{
	struct ix_key from = key_of('h');
	bool found = false;
	struct slice k, v;
	struct ix_hole h;
	struct iter it;

	iter_begin(&it, ix, &from, 1);
	while (!found && iter_next(&it, &k, &v)) {
		if (v.n != sizeof(h))
			continue;
		memcpy(&h, v.p, sizeof(h));
		found = modseq >= h.modseq_from && modseq < h.modseq_to;
	}
	iter_end(&it);
	return found;
}

void
holes_list(struct index *ix, struct buf *losses)
{
	struct ix_key from = key_of('h');
	struct slice k, v;
	struct iter it;

	iter_begin(&it, ix, &from, 1);
	while (iter_next(&it, &k, &v)) {
		const unsigned char *p = (const unsigned char *)k.p;
		struct ix_hole h;
		struct loss l;

		if (v.n != sizeof(h) || k.n != 1 + sizeof(uint32_t) + sizeof(uint64_t))
			continue;
		memcpy(&h, v.p, sizeof(h));
		l = (struct loss){key_get_u32(p + 1), key_get_u64(p + 5), h.to, h.modseq_from, h.modseq_to};
		if (!h.is_accepted && buf_add(losses, &l, sizeof(l)) != 0)
			DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", losses->n));
	}
	iter_end(&it);
}
