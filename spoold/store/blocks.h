/*
 * Changes of many messages at once, a block of 256 UIDs at a time. apply.c only.
 */
#ifndef TS_STORE_BLOCKS_H
#define TS_STORE_BLOCKS_H

#include "store/extra.h"
#include "store/state.h"

struct flag_bits {
	enum flag_op	op;
	uint32_t	flags;
	uint64_t	keywords[STORE_KEYWORDS_MAX / 64];
};

/* Of the live messages in ranges; keeps the mailbox's counters in m, the caller saves it. modseq: of the change. */
void	blocks_expunge(struct index *, struct mbox *m, struct extra_ranges *, uint64_t modseq, int64_t date_ms);
void	blocks_flag(struct index *, struct mbox *m, struct extra_ranges *, const struct flag_bits *, uint64_t modseq);

#endif
