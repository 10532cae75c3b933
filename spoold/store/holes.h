/*
 * Holes of a log: what a replay had to pass over and could have named what is there. The index keeps one entry for each, so
 * that nothing is thrown away while one is open, and the operator can give up exactly those that there are.
 */
#ifndef TS_STORE_HOLES_H
#define TS_STORE_HOLES_H

#include "store/index.h"

/* In a write transaction, by replay; one that is known stays as it is. */
void	hole_found(struct index *, const struct loss *);
/* RECORD_ACCEPT's extra: each of its holes is given up. False: the extra is not right. */
bool	holes_accept(struct index *, struct slice extra);
/* The i-th hole of such an extra; false: there are not so many. */
bool	loss_unpack(struct slice extra, size_t i, struct loss *out);
/* Is exactly that given up? In any transaction. */
bool	hole_is_accepted(struct index *, uint32_t segment, uint64_t from, uint64_t to, uint64_t modseq_from);
/* May a record of that modseq have stood in one, open or given up? In any transaction. */
bool	hole_may_hold(struct index *, uint64_t modseq);
/* Adds those that are open to an array of struct loss. In a read transaction. */
void	holes_list(struct index *, struct buf *losses);

#endif
