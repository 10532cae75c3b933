/*
 * Modseqs as clients see them (RFC 7162): who is told of them, and how far a client may believe it knows a
 * mailbox.
 */
#ifndef TS_IMAP_CONDSTORE_H
#define TS_IMAP_CONDSTORE_H

#include "imap/imap.h"

/* A CONDSTORE enabling command (RFC 7162 3.1) begins: where it is the first one, the selected mailbox's HIGHESTMODSEQ is told. */
void	condstore_enable(struct imap *);
static inline bool
condstore_is_on(const struct imap *im)
{
	return (im->enabled & ENABLED_CONDSTORE) != 0;
}
/* "MODSEQ (n)". 0, or -1 when the buffer is full. */
int	condstore_modseq_add(struct imap *, struct buf *, const struct msg_info *);
/* Up to this the client was told of every change and every expunge of the selected mailbox. */
uint64_t condstore_highest(const struct imap *);
/* After all was told, before a tagged answer: must HIGHESTMODSEQ be told, and "* OK [HIGHESTMODSEQ n]" where it must. */
bool	condstore_is_due(const struct imap *);
void	condstore_tell(struct imap *);

#endif
