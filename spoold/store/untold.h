/*
 * Expunged messages that a view still shows, because its session was not told: as bits in blocks of 256
 * UIDs, so that a million of them are 160 KiB where they lie together.
 */
#ifndef TS_STORE_UNTOLD_H
#define TS_STORE_UNTOLD_H

#include "store/store_impl.h"

/*
 * In a transaction: those of the mailbox that the view was not told of; with uids of uidnext and above
 * too, which it never had. The store's, until the next call.
 */
const struct untold *untold_of(struct store *, const struct mbox *, const struct view *);
/*
 * Those expunged by modseqs in (since, upto], into an empty one that the caller frees. Stops between two
 * modseqs once there are most; upto of the result says where.
 */
void		untold_load(struct index *, uint32_t num, uint64_t since, uint64_t upto, size_t most, struct untold *out);
/* The view asked last was told of these. */
void		untold_forget(struct store *, const struct untold *told);
void		untold_free(struct untold *);

/* How many there are below uid. */
uint32_t	untold_below(const struct untold *, uint32_t uid);
bool		untold_has(const struct untold *, uint32_t uid);
/* Place of the first block that is not below this one. */
size_t		untold_place(const struct untold *, uint32_t block);

#endif
