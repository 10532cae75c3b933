/*
 * Ranks of UIDs. apply.c keeps them, the views ask them. Blocks and counts that became empty are
 * removed, so that two replays of a log give the same bytes.
 */
#include "store/rank.h"

void
bits_clip(uint64_t *bits, uint32_t block, uint32_t lo, uint32_t hi)
{
	uint64_t first = (uint64_t)block * BLOCK_UIDS;

	for (uint32_t i = 0; i < BLOCK_WORDS; i++) {
		uint64_t from = first + i * 64, to = from + 63;

		if (to < lo || from > hi)
			bits[i] = 0;
		else {
			if (from < lo)
				bits[i] &= UINT64_MAX << (lo - from);
			if (to > hi)
				bits[i] &= UINT64_MAX >> (to - hi);
		}
	}
}

uint32_t
bits_nth(const uint64_t *bits, uint32_t n)
{
	for (uint32_t i = 0; i < BLOCK_WORDS; i++) {
		uint32_t here = (uint32_t)__builtin_popcountll(bits[i]);
		uint64_t left = bits[i];

		if (n >= here) {
			n -= here;
			continue;
		}
		while (n-- > 0)
			left &= left - 1;
		return i * 64 + (uint32_t)__builtin_ctzll(left);
	}
	return 0;
}

bool
rank_load(struct index *ix, uint32_t num, uint32_t block, struct ix_block *out)
{
	struct ix_key k = key_uid('r', num, block);

	*out = (struct ix_block){0};
	return index_get_fixed(ix, &k, out, sizeof(*out));
}

void
rank_store(struct index *ix, uint32_t num, uint32_t block, const struct ix_block *was, struct ix_block *now)
{
	struct ix_key kb = key_uid('r', num, block), ks = key_uid('R', num, block / SUPER_BLOCKS);
	struct ix_super s = {0};

	if (now->modseq < was->modseq)
		now->modseq = was->modseq;
	if (memcmp(was, now, sizeof(*now)) == 0)
		return;
	if (bits_count(now->live) == 0)
		index_delete(ix, &kb);
	else
		index_put(ix, &kb, now, sizeof(*now));
	index_get_fixed(ix, &ks, &s, sizeof(s));
	s.live += bits_count(now->live) - bits_count(was->live);
	s.unseen += bits_count(now->unseen) - bits_count(was->unseen);
	s.deleted += bits_count(now->deleted) - bits_count(was->deleted);
	if (s.modseq < now->modseq)
		s.modseq = now->modseq;
	if (s.live == 0)
		index_delete(ix, &ks);
	else
		index_put(ix, &ks, &s, sizeof(s));
}

bool
rank_is_live(struct index *ix, uint32_t num, uint32_t uid)
{
	struct ix_block b;

	return rank_load(ix, num, uid / BLOCK_UIDS, &b) && bits_has(b.live, uid);
}

/* Sums what stands on one level in [from, to). */
static uint32_t
sum_level(struct index *ix, char level, uint32_t num, uint32_t from, uint32_t to)
{
	struct ix_key k = key_uid(level, num, from);
	struct slice key, v;
	struct iter it;
	uint32_t n = 0;

	if (from == to)
		return 0;
	iter_begin_steady(&it, ix, &k, 5);
	while (iter_next(&it, &key, &v) && key_get_u32((const unsigned char *)key.p + 5) < to) {
		struct ix_block b;
		struct ix_super s;

		if (level == 'r') {
			memcpy(&b, v.p, sizeof(b));
			n += bits_count(b.live);
		} else {
			memcpy(&s, v.p, sizeof(s));
			n += s.live;
		}
	}
	iter_end(&it);
	return n;
}

uint32_t
rank_below(struct index *ix, uint32_t num, uint32_t uid)
{
	uint32_t super = uid / SUPER_UIDS, block = uid / BLOCK_UIDS;
	struct ix_block b;
	uint32_t n = sum_level(ix, 'R', num, 0, super);

	n += sum_level(ix, 'r', num, super * SUPER_BLOCKS, block);
	if (rank_load(ix, num, block, &b))
		n += bits_below(b.live, uid);
	return n;
}

uint32_t
rank_find(struct index *ix, uint32_t num, uint32_t n)
{
	struct ix_key k = key_uid('R', num, 0);
	struct slice key, v;
	struct iter it;
	struct ix_super s;
	struct ix_block b;
	uint32_t super = UINT32_MAX, uid = 0;

	iter_begin_steady(&it, ix, &k, 5);
	while (super == UINT32_MAX && iter_next(&it, &key, &v)) {
		memcpy(&s, v.p, sizeof(s));
		if (n < s.live)
			super = key_get_u32((const unsigned char *)key.p + 5);
		else
			n -= s.live;
	}
	iter_end(&it);
	if (super == UINT32_MAX)
		return 0;
	k = key_uid('r', num, super * SUPER_BLOCKS);
	iter_begin_steady(&it, ix, &k, 5);
	while (uid == 0 && iter_next(&it, &key, &v)) {
		uint32_t here;

		memcpy(&b, v.p, sizeof(b));
		here = bits_count(b.live);
		if (n < here)
			uid = key_get_u32((const unsigned char *)key.p + 5) * BLOCK_UIDS + bits_nth(b.live, n);
		else
			n -= here;
	}
	iter_end(&it);
	return uid;
}

uint32_t
rank_first_unseen(struct index *ix, uint32_t num)
{
	struct rank_scan scan;
	struct ix_block b;
	uint32_t block, uid = 0;

	rank_scan_begin(&scan, ix, num, 0, UINT32_MAX, RANK_UNSEEN, 0);
	if (rank_scan_next(&scan, &block, &b))
		uid = block * BLOCK_UIDS + bits_nth(b.unseen, 0);
	rank_scan_end(&scan);
	return uid;
}

uint32_t
rank_deleted(struct index *ix, uint32_t num)
{
	struct ix_key k = key_uid('R', num, 0);
	struct slice key, v;
	struct iter it;
	struct ix_super s;
	uint32_t n = 0;

	iter_begin_steady(&it, ix, &k, 5);
	while (iter_next(&it, &key, &v)) {
		memcpy(&s, v.p, sizeof(s));
		n += s.deleted;
	}
	iter_end(&it);
	return n;
}

void
rank_scan_begin(struct rank_scan *s, struct index *ix, uint32_t num, uint32_t lo, uint32_t hi, enum rank_want want,
    uint64_t since)
{
	*s = (struct rank_scan){.ix = ix, .num = num, .next = lo / BLOCK_UIDS, .last = hi / BLOCK_UIDS, .want = want,
	    .since = since};
}

/* The next super from s->next's on that has something wanted. */
static bool
enter_super(struct rank_scan *s)
{
	struct ix_key k = key_uid('R', s->num, s->next / SUPER_BLOCKS);
	struct slice key, v;
	struct iter it;
	bool found = false;

	iter_begin_steady(&it, s->ix, &k, 5);
	while (!found && iter_next(&it, &key, &v)) {
		struct ix_super x;

		memcpy(&x, v.p, sizeof(x));
		s->super = key_get_u32((const unsigned char *)key.p + 5);
		if (s->super > s->last / SUPER_BLOCKS)
			break;
		found = s->want == RANK_LIVE || (s->want == RANK_UNSEEN && x.unseen > 0) ||
		    (s->want == RANK_DELETED && x.deleted > 0) || (s->want == RANK_CHANGED && x.modseq > s->since);
	}
	iter_end(&it);
	if (!found)
		return false;
	if (s->next < s->super * SUPER_BLOCKS)
		s->next = s->super * SUPER_BLOCKS;
	k = key_uid('r', s->num, s->next);
	iter_begin(&s->it, s->ix, &k, 5);
	s->in_super = true;
	return true;
}

bool
rank_scan_next(struct rank_scan *s, uint32_t *block_out, struct ix_block *out)
{
	struct slice key, v;
	uint32_t block;

	for (;;) {
		if (!s->in_super && (s->next > s->last || !enter_super(s)))
			return false;
		block = UINT32_MAX;
		if (iter_next(&s->it, &key, &v) && v.n == sizeof(*out))
			block = key_get_u32((const unsigned char *)key.p + 5);
		if (block / SUPER_BLOCKS != s->super) {
			iter_end(&s->it);
			s->in_super = false;
			s->next = (s->super + 1) * SUPER_BLOCKS;
			continue;
		}
		if (block > s->last)
			return false;
		memcpy(out, v.p, sizeof(*out));
		*block_out = block;
		if (s->want == RANK_LIVE || (s->want == RANK_UNSEEN && bits_count(out->unseen) > 0) ||
		    (s->want == RANK_DELETED && bits_count(out->deleted) > 0) ||
		    (s->want == RANK_CHANGED && out->modseq > s->since))
			return true;
	}
}

void
rank_scan_end(struct rank_scan *s)
{
	if (s->in_super)
		iter_end(&s->it);
	s->in_super = false;
}

void
rank_walk_begin(struct rank_walk *w, struct index *ix, uint32_t num)
{
	*w = (struct rank_walk){.num = num, .block = -1};
	w->it.ix = ix;
}

uint32_t
rank_walk_below(struct rank_walk *w, uint32_t uid)
{
	uint32_t block = uid / BLOCK_UIDS;
	struct slice key, v;

	if (!w->is_begun) {
		struct ix_key k = key_uid('r', w->num, block);
		struct index *ix = w->it.ix;

		w->below = rank_below(ix, w->num, block * BLOCK_UIDS);
		iter_begin(&w->it, ix, &k, 5);
		w->is_begun = true;
	}
	while (!w->is_over && w->block < block) {
		if (!iter_next(&w->it, &key, &v)) {
			w->is_over = true;
			break;
		}
		w->below += bits_count(w->bits.live);
		w->block = key_get_u32((const unsigned char *)key.p + 5);
		memcpy(&w->bits, v.p, sizeof(w->bits));
	}
	if (w->block > block)
		return w->below;
	return w->below + (w->block == block ? bits_below(w->bits.live, uid) : bits_count(w->bits.live));
}

void
rank_walk_end(struct rank_walk *w)
{
	if (w->is_begun)
		iter_end(&w->it);
}
