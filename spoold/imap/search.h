/*
 * SEARCH and UID SEARCH (RFC 3501 6.4.4, RFC 4731), and the searching that SORT and THREAD begin with.
 */
#ifndef TS_IMAP_SEARCH_H
#define TS_IMAP_SEARCH_H

#include "imap/found.h"
#include "imap/search_parse.h"

void	search_run(struct imap *, struct slice args);
/* SEARCH and ESEARCH: a charset is named where it must not be (RFC 6855 3), BAD was answered. */
bool	search_has_conflict(struct imap *, const struct search_args *);
/* Makes the keys ready, once; false: NO was answered. Then search_in looks through one mailbox, of whatever number. */
bool	search_prepare(struct imap *, const struct search_args *);
enum store_result search_in(struct imap *, const struct view *, const struct search_args *, struct found *out, size_t *nunread_out);
/*
 * Both, in the selected mailbox: adds what matches to *out, ascending, until out->most were found; *nunread_out: messages that could
 * not be looked at. False: NO was answered.
 */
bool	search_find(struct imap *, const struct search_args *, struct found *out, size_t *nunread_out);

#endif
