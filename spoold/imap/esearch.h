/*
 * ESEARCH, the answer to an extended SEARCH, UID SEARCH or SORT (RFC 4731 3.1, RFC 9051 7.3.4, RFC 5267 3).
 */
#ifndef TS_IMAP_ESEARCH_H
#define TS_IMAP_ESEARCH_H

#include "imap/found.h"
#include "imap/search_return.h"

/* "* ESEARCH (TAG "a1") UID COUNT 3 ALL 1:3"; nothing where only SAVE was asked for. */
void	esearch_tell(struct imap *, const struct search_return *, const struct found *);
/* "* ESEARCH (TAG "a1" MAILBOX "Sent" UIDVALIDITY 7) UID ALL 1:3", for a mailbox, its name in UTF-8 (RFC 7377 2.1). */
void	esearch_tell_in(struct imap *, const struct search_return *, const struct found *, struct slice mailbox, uint32_t uidvalidity);
/* What "$" stands for after a search, in whatever order its results are (RFC 5182 2.4, RFC 9394 3.2). False: too much to be kept. */
bool	esearch_save(struct imap *, const struct search_return *, const struct found *);

#endif
