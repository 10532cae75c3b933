/*
 * The messages of a mailbox in the order of their UIDs: the live ones and, where a view is looked at,
 * those it was not told are gone. Blocks say which; entries are read only for them. Inside an index
 * transaction, in which nothing is changed meanwhile.
 */
#ifndef TS_STORE_MSGS_H
#define TS_STORE_MSGS_H

#include "store/rank.h"
#include "store/untold.h"

struct msgs {
	struct index	*ix;
	uint32_t	 num, lo, hi;
	const struct untold *gone;	/* borrowed; NULL: live ones only */
	size_t		 gone_at;
	struct rank_scan blocks;
	struct ix_block	 live;		/* the next block with live ones */
	uint32_t	 live_block;	/* its number, NO_BLOCK: there is none */
	uint32_t	 block;		/* the one at hand */
	uint64_t	 left[BLOCK_WORDS], is_gone[BLOCK_WORDS];
	struct iter	 entries;
	bool		 has_entries;
};

/* UIDs in [lo, hi]. since: only live ones changed after that modseq, as far as blocks tell; 0: all. */
void	msgs_begin(struct msgs *, struct index *, uint32_t num, uint32_t lo, uint32_t hi, uint64_t since,
	    const struct untold *gone);
/* False at the end, or where the index fails (rc). */
bool	msgs_next(struct msgs *, uint32_t *uid_out, struct ix_msg *out, bool *is_gone_out);
void	msgs_end(struct msgs *);

#endif
