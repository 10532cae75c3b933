/*
 * Which UIDs of a mailbox are live, and which of those are unseen or \Deleted, as bits in blocks of 256
 * UIDs with counts over 65,536: so sequence numbers are ranks, and the first unseen message, those to
 * expunge and those changed since a modseq are found without a scan of messages. Inside an index
 * transaction.
 */
#ifndef TS_STORE_RANK_H
#define TS_STORE_RANK_H

#include "store/index.h"

/* ---- bits of a block ---- */

static inline uint32_t
bits_count(const uint64_t *bits)
{
	uint32_t n = 0;

	for (int i = 0; i < BLOCK_WORDS; i++)
		n += (uint32_t)__builtin_popcountll(bits[i]);
	return n;
}

static inline bool
bits_has(const uint64_t *bits, uint32_t uid)
{
	return bits[uid % BLOCK_UIDS / 64] >> (uid % 64) & 1;
}

static inline void
bits_set(uint64_t *bits, uint32_t uid, bool on)
{
	uint64_t bit = 1ULL << (uid % 64);

	if (on)
		bits[uid % BLOCK_UIDS / 64] |= bit;
	else
		bits[uid % BLOCK_UIDS / 64] &= ~bit;
}

/* Bits set below uid's own. */
static inline uint32_t
bits_below(const uint64_t *bits, uint32_t uid)
{
	uint32_t n = 0, word = uid % BLOCK_UIDS / 64;

	for (uint32_t i = 0; i < word; i++)
		n += (uint32_t)__builtin_popcountll(bits[i]);
	return n + (uint32_t)__builtin_popcountll(bits[word] & ((1ULL << (uid % 64)) - 1));
}

/* The lowest one set, which is cleared; -1 when there is none. */
static inline int
bits_take(uint64_t *bits)
{
	for (int i = 0; i < BLOCK_WORDS; i++)
		if (bits[i] != 0) {
			int bit = __builtin_ctzll(bits[i]);

			bits[i] &= bits[i] - 1;
			return i * 64 + bit;
		}
	return -1;
}

/* Clears all but those of the UIDs in [lo, hi] of a block. */
void		bits_clip(uint64_t *bits, uint32_t block, uint32_t lo, uint32_t hi);
/* The place of the bit that has n set ones below it; n is less than their count. */
uint32_t	bits_nth(const uint64_t *bits, uint32_t n);

/* ---- the mailbox ---- */

/* False, and all zero, where none of the block is live. */
bool		rank_load(struct index *, uint32_t num, uint32_t block, struct ix_block *out);
/* What rank_load gave becomes now. apply.c and what it calls only. */
void		rank_store(struct index *, uint32_t num, uint32_t block, const struct ix_block *was, struct ix_block *now);
bool		rank_is_live(struct index *, uint32_t num, uint32_t uid);
/* Live UIDs below uid. */
uint32_t	rank_below(struct index *, uint32_t num, uint32_t uid);
/* The live UID with n live ones below it; 0 when there is none. */
uint32_t	rank_find(struct index *, uint32_t num, uint32_t n);
/* The lowest live and unseen UID; 0 when there is none. */
uint32_t	rank_first_unseen(struct index *, uint32_t num);
/* How many live UIDs are \Deleted. */
uint32_t	rank_deleted(struct index *, uint32_t num);

/* The blocks, ascending, that have something wanted; their counts are asked first, so that others cost nothing. */
enum rank_want { RANK_LIVE, RANK_UNSEEN, RANK_DELETED, RANK_CHANGED };
struct rank_scan {
	struct index	*ix;
	uint32_t	 num, next, last;	/* blocks still to look at */
	enum rank_want	 want;
	uint64_t	 since;		/* RANK_CHANGED: after this modseq */
	uint32_t	 super;
	bool		 in_super;
	struct iter	 it;
};
/* Of the UIDs [lo, hi]. Blocks given may be changed meanwhile. */
void		rank_scan_begin(struct rank_scan *, struct index *, uint32_t num, uint32_t lo, uint32_t hi, enum rank_want,
		    uint64_t since);
bool		rank_scan_next(struct rank_scan *, uint32_t *block_out, struct ix_block *out);
void		rank_scan_end(struct rank_scan *);

/* Many rank_below with ascending uids, at the price of one pass over the blocks. */
struct rank_walk {
	struct iter	it;
	uint32_t	num;
	bool		is_begun, is_over;
	int64_t		block;		/* number of the block held, -1: none yet */
	struct ix_block	bits;
	uint32_t	below;		/* live UIDs before that block */
};
void		rank_walk_begin(struct rank_walk *, struct index *, uint32_t num);
uint32_t	rank_walk_below(struct rank_walk *, uint32_t uid);
void		rank_walk_end(struct rank_walk *);

#endif
