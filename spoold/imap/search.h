/*
 * SEARCH and UID SEARCH (RFC 3501 6.4.4, RFC 4731), and the searching that SORT and THREAD begin with.
 */
#ifndef TS_IMAP_SEARCH_H
#define TS_IMAP_SEARCH_H

#include "imap/found.h"
#include "imap/search_parse.h"

void	search_run(struct imap *, struct slice args);
/*
 * Adds what matches in the selected mailbox to *out, ascending, until out->most were found; *nunread_out: messages that could
 * not be looked at. False: NO was answered.
 */
bool	search_find(struct imap *, const struct search_args *, struct found *out, size_t *nunread_out);

#endif
