/*
 * Which UIDs of a mailbox are live, and which of those are unseen, as bits in blocks of 256 UIDs with
 * counts over 65,536: so sequence numbers are ranks and the first unseen message is found without a
 * scan of messages. Inside an index transaction.
 */
#ifndef TS_STORE_RANK_H
#define TS_STORE_RANK_H

#include "store/index.h"

void		rank_add(struct index *, uint32_t num, uint32_t uid, bool is_unseen);
void		rank_remove(struct index *, uint32_t num, uint32_t uid);
void		rank_set_unseen(struct index *, uint32_t num, uint32_t uid, bool is_unseen);
/* Live UIDs below uid. */
uint32_t	rank_below(struct index *, uint32_t num, uint32_t uid);
/* The live UID with n live ones below it; 0 when there is none. */
uint32_t	rank_find(struct index *, uint32_t num, uint32_t n);
/* The lowest live and unseen UID; 0 when there is none. */
uint32_t	rank_first_unseen(struct index *, uint32_t num);

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
