/*
 * LIST, LSUB, XLIST (RFC 3501 6.3.8, 6.3.9; RFC 5258, 5819, 6154, 3348) and NAMESPACE (RFC 2342).
 */
#ifndef TS_IMAP_LIST_H
#define TS_IMAP_LIST_H

#include "imap/imap.h"

void	list_run(struct imap *, struct slice args);
void	lsub_run(struct imap *, struct slice args);
void	xlist_run(struct imap *, struct slice args);
void	namespace_run(struct imap *, struct slice args);

#endif
