/*
 * Range changes. Called for every FLAGS, EXPUNGE, LINK and DELETE record. Which messages of a block a
 * record means is gathered over its ranges first, so that each block is read and written once, however
 * many ranges lie in it. An expunge leaves the messages' entries where they are: that is what a view not
 * told of it reads, and undelete.
 */
#include "store/blocks.h"

#include "store/rank.h"

struct change {
	struct index	*ix;
	struct mbox	*m;
	uint64_t	 modseq;
	int64_t		 date_ms;	/* of an expunge */
	const struct flag_bits *flags;	/* NULL: an expunge */
};

static void
change_flags(struct ix_msg *msg, const struct flag_bits *f)
{
	for (int w = 0; w < STORE_KEYWORDS_MAX / 64; w++) {
		if (f->op == FLAGS_SET)
			msg->keywords[w] = f->keywords[w];
		else
			msg->keywords[w] = f->op == FLAGS_ADD ? msg->keywords[w] | f->keywords[w] :
			    msg->keywords[w] & ~f->keywords[w];
	}
	if (f->op == FLAGS_SET)
		msg->flags = f->flags;
	else
		msg->flags = f->op == FLAGS_ADD ? msg->flags | f->flags : msg->flags & ~f->flags;
}

static void
flag_one(struct change *c, struct iter *it, uint32_t uid, struct ix_msg *msg, struct ix_block *b)
{
	change_flags(msg, c->flags);
	msg->modseq = c->modseq;
	iter_replace(it, msg, sizeof(*msg));
	bits_set(b->unseen, uid, !(msg->flags & MSG_SEEN));
	bits_set(b->deleted, uid, msg->flags & MSG_DELETED);
	b->modseq = c->modseq;
}

static void
expunge_one(struct change *c, uint32_t uid, const struct ix_msg *msg, struct ix_block *b, struct ix_gone *gone)
{
	bits_set(b->live, uid, false);
	bits_set(b->unseen, uid, false);
	bits_set(b->deleted, uid, false);
	bits_set(gone->uids, uid, true);
	c->m->v.bytes -= msg->size;
}

static void
save_gone(struct change *c, uint32_t block, struct ix_gone *gone)
{
	struct ix_key k = key_gone(c->m->v.num, c->modseq, block);
	struct ix_gone before;

	/* Ranges out of order come to a block twice. */
	if (index_get_fixed(c->ix, &k, &before, sizeof(before)))
		for (int w = 0; w < BLOCK_WORDS; w++)
			gone->uids[w] |= before.uids[w];
	index_put(c->ix, &k, gone, sizeof(*gone));
	c->m->v.expunge_modseq = c->modseq;
}

/* The entry of a live message, further on. */
static bool
find_entry(struct change *c, struct iter *it, uint32_t uid, struct ix_msg *out)
{
	struct slice k, v;
	uint32_t at = 0;

	while (at < uid && iter_next(it, &k, &v))
		at = key_get_u32((const unsigned char *)k.p + 5);
	if (at != uid || v.n != sizeof(*out)) {
		if (c->ix->rc == 0)
			c->ix->rc = MDB_CORRUPTED;	/* a bit is never set without its message */
		return false;
	}
	memcpy(out, v.p, sizeof(*out));
	return true;
}

/* Those of mask that are live. */
static void
change_block(struct change *c, uint32_t block, const struct ix_block *was, const uint64_t *mask)
{
	struct ix_key from = key_uid('e', c->m->v.num, block * BLOCK_UIDS);
	struct ix_block now = *was;
	struct ix_gone gone = {.date_ms = c->date_ms};
	uint64_t left[BLOCK_WORDS];
	struct iter it;
	int bit;

	for (int w = 0; w < BLOCK_WORDS; w++)
		left[w] = mask[w] & was->live[w];
	if (bits_count(left) == 0)
		return;
	c->ix->touched += bits_count(left);
	iter_begin_steady(&it, c->ix, &from, 5);
	while ((bit = bits_take(left)) >= 0) {
		uint32_t uid = block * BLOCK_UIDS + (uint32_t)bit;
		struct ix_msg msg;

		if (!find_entry(c, &it, uid, &msg))
			break;
		if (c->flags != NULL)
			flag_one(c, &it, uid, &msg, &now);
		else
			expunge_one(c, uid, &msg, &now, &gone);
	}
	iter_end(&it);
	c->m->v.exists += bits_count(now.live) - bits_count(was->live);
	c->m->v.unseen += bits_count(now.unseen) - bits_count(was->unseen);
	if (c->modseq > c->m->v.highestmodseq)
		c->m->v.highestmodseq = c->modseq;
	rank_store(c->ix, c->m->v.num, block, was, &now);
	if (c->flags == NULL)
		save_gone(c, block, &gone);
}

static void
change_pending(struct change *c, uint32_t block, uint64_t *mask)
{
	struct ix_block b;

	if (bits_count(mask) > 0 && rank_load(c->ix, c->m->v.num, block, &b))
		change_block(c, block, &b, mask);
	memset(mask, 0, BLOCK_WORDS * sizeof(*mask));
}

/* All of the blocks in [first, last]. */
static void
change_whole(struct change *c, uint32_t first, uint32_t last)
{
	static const uint64_t all[BLOCK_WORDS] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	struct rank_scan scan;
	struct ix_block b;
	uint32_t block;

	rank_scan_begin(&scan, c->ix, c->m->v.num, first * BLOCK_UIDS, last * BLOCK_UIDS, RANK_LIVE, 0);
	while (rank_scan_next(&scan, &block, &b))
		change_block(c, block, &b, all);
	rank_scan_end(&scan);
}

static void
add_to_mask(uint64_t *mask, uint32_t block, uint32_t lo, uint32_t hi)
{
	uint64_t bits[BLOCK_WORDS] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};

	bits_clip(bits, block, lo, hi);
	for (int w = 0; w < BLOCK_WORDS; w++)
		mask[w] |= bits[w];
}

static void
change_ranges(struct change *c, struct extra_ranges *ranges)
{
	uint64_t mask[BLOCK_WORDS] = {0};
	uint32_t block = 0;	/* that the mask is of */
	struct uid_range r;

	while (extra_range(ranges, &r)) {
		uint32_t first = r.lo / BLOCK_UIDS, last = r.hi / BLOCK_UIDS;

		if (r.lo > r.hi)
			continue;
		if (first != block)
			change_pending(c, block, mask);
		block = first;
		add_to_mask(mask, first, r.lo, r.hi);
		if (first == last)
			continue;
		change_pending(c, first, mask);
		if (first + 1 < last)
			change_whole(c, first + 1, last - 1);
		block = last;
		add_to_mask(mask, last, r.lo, r.hi);
	}
	change_pending(c, block, mask);
}

void
blocks_expunge(struct index *ix, struct mbox *m, struct extra_ranges *ranges, uint64_t modseq, int64_t date_ms)
{
	struct change c = {.ix = ix, .m = m, .modseq = modseq, .date_ms = date_ms};

	change_ranges(&c, ranges);
}

void
blocks_flag(struct index *ix, struct mbox *m, struct extra_ranges *ranges, const struct flag_bits *flags, uint64_t modseq)
{
	struct change c = {.ix = ix, .m = m, .modseq = modseq, .flags = flags};

	change_ranges(&c, ranges);
}
