/*
 * LIST responses that nobody asked LIST for: IMAP4rev2's SELECT has one, and who names a mailbox otherwise than it is
 * called is told its name (RFC 9051 6.3.2, 6.3.9.7). Nothing is said in sessions that did not enable IMAP4rev2.
 */
#ifndef TS_IMAP_ANNOUNCE_H
#define TS_IMAP_ANNOUNCE_H

#include "imap/imap.h"

/* SELECT and EXAMINE: always. STORE_OK, or why the mailbox cannot be told of. */
enum store_result	announce_selected(struct imap *, struct slice client, const struct mbox_info *);
/* Of the mailbox just made, deleted or renamed, or appended to, where the client did not write its name as it is. */
void			announce_created(struct imap *, struct slice client, struct slice inside);
void			announce_deleted(struct imap *, struct slice client, struct slice inside);
void			announce_renamed(struct imap *, struct slice from, struct slice inside_from, struct slice to, struct slice inside_to);
void			announce_named(struct imap *, struct slice client, const unsigned char *mailbox);

#endif
