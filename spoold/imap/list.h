/*
 * LIST, LSUB, XLIST (RFC 3501 6.3.8, 6.3.9; RFC 5258, 5819, 6154, 3348) and NAMESPACE (RFC 2342).
 */
#ifndef TS_IMAP_LIST_H
#define TS_IMAP_LIST_H

#include "imap/imap.h"

/* All names there are now, of mailboxes and subscribed ones; in the command's arena. */
struct listing;
enum store_result listing_make(struct imap *, struct listing **out);
/* Of names in UTF-8, as the client knows them. */
bool	listing_is_subscribed(const struct listing *, struct slice name);
/* A LIST response with all attributes, \NonExistent where there is no such mailbox; old_name empty: none (RFC 5465 5.4). */
void	listing_tell(const struct listing *, struct slice name, struct slice old_name);

void	list_run(struct imap *, struct slice args);
void	lsub_run(struct imap *, struct slice args);
void	xlist_run(struct imap *, struct slice args);
void	namespace_run(struct imap *, struct slice args);

#endif
