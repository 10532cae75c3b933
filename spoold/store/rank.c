/*
 * Ranks of UIDs. apply.c keeps them, the views ask them. Blocks and counts that became empty are
 * removed, so that two replays of a log give the same bytes.
 */
#include "store/rank.h"

#define BLOCK_UIDS	256
#define SUPER_UIDS	65536

static bool
bit_is(const uint64_t *bits, uint32_t uid)
{
	return bits[uid % BLOCK_UIDS / 64] >> (uid % 64) & 1;
}

static void
bit_set(uint64_t *bits, uint32_t uid, bool on)
{
	uint64_t bit = 1ULL << (uid % 64);

	if (on)
		bits[uid % BLOCK_UIDS / 64] |= bit;
	else
		bits[uid % BLOCK_UIDS / 64] &= ~bit;
}

static uint32_t
count(const uint64_t *bits)
{
	uint32_t n = 0;

	for (int i = 0; i < 4; i++)
		n += (uint32_t)__builtin_popcountll(bits[i]);
	return n;
}

/* Bits set below uid's own. */
static uint32_t
count_below(const uint64_t *bits, uint32_t uid)
{
	uint32_t n = 0, word = uid % BLOCK_UIDS / 64;

	for (uint32_t i = 0; i < word; i++)
		n += (uint32_t)__builtin_popcountll(bits[i]);
	return n + (uint32_t)__builtin_popcountll(bits[word] & ((1ULL << (uid % 64)) - 1));
}

/* Sets a UID's two bits and adds the difference to the counts above. */
static void
change(struct index *ix, uint32_t num, uint32_t uid, bool is_live, bool is_unseen)
{
	struct ix_key kb = key_uid('r', num, uid / BLOCK_UIDS), ks = key_uid('R', num, uid / SUPER_UIDS);
	struct ix_block b = {0};
	struct ix_super s = {0};
	bool was_live, was_unseen;

	index_get_fixed(ix, &kb, &b, sizeof(b));
	was_live = bit_is(b.live, uid);
	was_unseen = bit_is(b.unseen, uid);
	if (was_live == is_live && was_unseen == is_unseen)
		return;
	bit_set(b.live, uid, is_live);
	bit_set(b.unseen, uid, is_unseen);
	if (count(b.live) == 0)
		index_delete(ix, &kb);
	else
		index_put(ix, &kb, &b, sizeof(b));
	index_get_fixed(ix, &ks, &s, sizeof(s));
	s.live = s.live - was_live + is_live;
	s.unseen = s.unseen - was_unseen + is_unseen;
	if (s.live == 0)
		index_delete(ix, &ks);
	else
		index_put(ix, &ks, &s, sizeof(s));
}

void
rank_add(struct index *ix, uint32_t num, uint32_t uid, bool is_unseen)
{
	change(ix, num, uid, true, is_unseen);
}

void
rank_remove(struct index *ix, uint32_t num, uint32_t uid)
{
	change(ix, num, uid, false, false);
}

void
rank_set_unseen(struct index *ix, uint32_t num, uint32_t uid, bool is_unseen)
{
	change(ix, num, uid, true, is_unseen);
}

/* Sums what stands before uid's unit on one level, from the unit that holds first_uid on. */
static uint32_t
sum_level(struct index *ix, char level, uint32_t num, uint32_t from, uint32_t to)
{
	struct ix_key k = key_uid(level, num, from);
	struct slice key, v;
	struct iter it;
	uint32_t n = 0;

	iter_begin(&it, ix, &k, 5);
	while (iter_next(&it, &key, &v) && key_get_u32((const unsigned char *)key.p + 5) < to) {
		struct ix_block b;
		struct ix_super s;

		if (level == 'r') {
			memcpy(&b, v.p, sizeof(b));
			n += count(b.live);
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
	struct ix_key k = key_uid('r', num, block);
	struct ix_block b;
	uint32_t n = sum_level(ix, 'R', num, 0, super);

	n += sum_level(ix, 'r', num, super * (SUPER_UIDS / BLOCK_UIDS), block);
	if (index_get_fixed(ix, &k, &b, sizeof(b)))
		n += count_below(b.live, uid);
	return n;
}

/* The bit with *n set ones below it, as a UID of that block. */
static uint32_t
find_in_block(const uint64_t *bits, uint32_t block, uint32_t n)
{
	for (uint32_t i = 0; i < BLOCK_UIDS; i++)
		if (bit_is(bits, i) && n-- == 0)
			return block * BLOCK_UIDS + i;
	return 0;
}

/* The n-th (from 0) UID whose bit is set: live ones, or unseen ones. */
static uint32_t
find(struct index *ix, uint32_t num, uint32_t n, bool unseen)
{
	struct ix_key k = key_uid('R', num, 0);
	struct slice key, v;
	struct iter it;
	struct ix_super s;
	struct ix_block b;
	uint32_t super = UINT32_MAX, uid = 0;

	iter_begin(&it, ix, &k, 5);
	while (super == UINT32_MAX && iter_next(&it, &key, &v)) {
		uint32_t here;

		memcpy(&s, v.p, sizeof(s));
		here = unseen ? s.unseen : s.live;
		if (n < here)
			super = key_get_u32((const unsigned char *)key.p + 5);
		else
			n -= here;
	}
	iter_end(&it);
	if (super == UINT32_MAX)
		return 0;
	k = key_uid('r', num, super * (SUPER_UIDS / BLOCK_UIDS));
	iter_begin(&it, ix, &k, 5);
	while (uid == 0 && iter_next(&it, &key, &v)) {
		const uint64_t *bits = unseen ? b.unseen : b.live;
		uint32_t here;

		memcpy(&b, v.p, sizeof(b));
		here = count(bits);
		if (n < here)
			uid = find_in_block(bits, key_get_u32((const unsigned char *)key.p + 5), n);
		else
			n -= here;
	}
	iter_end(&it);
	return uid;
}

uint32_t
rank_find(struct index *ix, uint32_t num, uint32_t n)
{
	return find(ix, num, n, false);
}

uint32_t
rank_first_unseen(struct index *ix, uint32_t num)
{
	return find(ix, num, 0, true);
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
		w->below += count(w->bits.live);
		w->block = key_get_u32((const unsigned char *)key.p + 5);
		memcpy(&w->bits, v.p, sizeof(w->bits));
	}
	if (w->block > block)
		return w->below;
	return w->below + (w->block == block ? count_below(w->bits.live, uid) : count(w->bits.live));
}

void
rank_walk_end(struct rank_walk *w)
{
	if (w->is_begun)
		iter_end(&w->it);
}
