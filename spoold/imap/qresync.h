/*
 * QRESYNC (RFC 7162 3.2): a client that comes back is told what is gone and what changed; and VANISHED, which
 * names UIDs, instead of EXPUNGE.
 */
#ifndef TS_IMAP_QRESYNC_H
#define TS_IMAP_QRESYNC_H

#include "imap/imap.h"
#include "imap/select_parse.h"

static inline bool
qresync_is_on(const struct imap *im)
{
	return (im->enabled & ENABLED_QRESYNC) != 0;
}
/* "* VANISHED 405,407:410", in lines of a length that clients can read: exactly those UIDs, all of them in the client's view. */
void	qresync_expunges_tell(struct imap *, const struct view_expunge *, size_t n);
/* UID FETCH's VANISHED: "* VANISHED (EARLIER) ...". False: it was answered with BAD or NO. */
bool	qresync_fetch(struct imap *, const struct seq_set *, uint64_t since);
/* SELECT's: what is gone, then FETCH responses of what changed since. Nothing where the UIDVALIDITY is another one. */
enum store_result	qresync_select(struct imap *, const struct select_args *);

#endif
