/*
 * SORT and UID SORT (RFC 5256, RFC 5957, RFC 5267 3).
 */
#ifndef TS_IMAP_SORT_H
#define TS_IMAP_SORT_H

#include "imap/imap.h"

void	sort_run(struct imap *, struct slice args);

#endif
