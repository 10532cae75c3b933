/*
 * Delivery keys: an MTA's repeat of a message it got no answer for is not a second copy. apply.c only.
 */
#ifndef TS_STORE_DUP_H
#define TS_STORE_DUP_H

#include "store/index.h"

/*
 * True when a record with this key is in that mailbox already, within dup_window_ms by the records'
 * dates, not voided and its body good: the new one is not to be indexed. Else the new one is remembered.
 */
bool	dup_check(struct index *, const unsigned char *key, uint32_t num, int64_t date_ms, uint64_t modseq);
/*
 * The record of that modseq is voided. False: a later delivery was dropped because of it, so it has
 * to stay. True: forget it.
 */
bool	dup_void(struct index *, uint64_t modseq);

#endif
