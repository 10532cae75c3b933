/*
 * The end of delayed expunge: expunged messages are forgotten, and bodies that nobody refers to any more.
 */
#ifndef TS_STORE_PURGE_H
#define TS_STORE_PURGE_H

#include "store/index.h"

/* apply.c only: a RECORD_PURGE's effect. In a write transaction. */
void	purge_apply(struct index *, const struct record *);

#endif
