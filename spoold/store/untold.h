/*
 * Expunged messages that a view still shows, because its session was not told.
 */
#ifndef TS_STORE_UNTOLD_H
#define TS_STORE_UNTOLD_H

#include "store/store_impl.h"

/*
 * In a transaction: those of the mailbox that the view still has, ascending by uid, all below
 * uidnext. The array is the store's, until the next call.
 */
const struct untold_msg *untold_of(struct store *, const struct mbox *, const struct view *, size_t *n_out);
/* How many of them are below uid. */
size_t		untold_below(const struct untold_msg *, size_t n, uint32_t uid);

#endif
