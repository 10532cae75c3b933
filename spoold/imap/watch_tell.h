/* Telling of other mailboxes, for watch.c (RFC 5465 5). */
#ifndef TS_IMAP_WATCH_TELL_H
#define TS_IMAP_WATCH_TELL_H

#include "imap/watch.h"

/* Both turn the names of the groups, as written, into UTF-8. */

/* What others did since im->place. STORE_LIMIT, STORE_PURGED: it cannot be told, NOTIFICATIONOVERFLOW is due. */
enum store_result	watch_others_tell(struct imap *, struct watch_groups *);
/* STATUS of each mailbox with message events, but the selected one (RFC 5465 3.1). */
enum store_result	watch_status_tell(struct imap *, struct watch_groups *);

#endif
