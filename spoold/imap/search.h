/*
 * SEARCH and UID SEARCH (RFC 3501 6.4.4).
 */
#ifndef TS_IMAP_SEARCH_H
#define TS_IMAP_SEARCH_H

#include "imap/imap.h"

void	search_run(struct imap *, struct slice args);

#endif
