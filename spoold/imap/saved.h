/*
 * "$", the saved result of a search (RFC 5182): UIDs of the selected mailbox as ranges, held packed, as they
 * are parked.
 */
#ifndef TS_IMAP_SAVED_H
#define TS_IMAP_SAVED_H

#include "imap/found.h"

/* f's messages, which ascend, are what "$" stands for. False: more ranges than are kept, and "$" is empty. */
bool	saved_set(struct imap *, const struct found *);
void	saved_clear(struct imap *);
/* The ranges, in the command's arena. STORE_LIMIT when that is full. */
enum store_result saved_get(struct imap *, struct uid_set *out);
/* True for bytes that saved_set could have written for a view that ends before uidnext. */
bool	saved_is_valid(struct slice packed, uint32_t uidnext);

#endif
