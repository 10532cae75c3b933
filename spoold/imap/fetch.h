/*
 * FETCH and UID FETCH (RFC 3501 6.4.5, 7.4.2).
 */
#ifndef TS_IMAP_FETCH_H
#define TS_IMAP_FETCH_H

#include "imap/imap.h"

void	fetch_run(struct imap *, struct slice args);

#endif
