/*
 * Mailbox names as clients write them, and the commands on whole mailboxes: CREATE, DELETE, RENAME,
 * SUBSCRIBE, UNSUBSCRIBE (RFC 3501 6.3.3 to 6.3.7, RFC 6154 3).
 */
#ifndef TS_IMAP_MAILBOX_H
#define TS_IMAP_MAILBOX_H

#include "imap/imap.h"

/* A name argument -> inside form. On PARSE_BAD the command was not answered. */
enum parse	mailbox_name(struct imap *, struct slice client, struct mboxname *out);
/* The mailbox of a name argument; answers NO itself ([missing_code] where there is none) and returns false. */
bool		mailbox_find(struct imap *, struct slice client, const char *missing_code, struct mbox_info *out);
/* SP mailbox, and the end of the command; answers BAD itself and returns false. */
bool		mailbox_arg(struct imap *, struct slice *args, struct slice *out);
/* "\Sent" for USE_SENT; NULL for USE_NONE. */
const char	*special_use_name(enum special_use);

void	create_run(struct imap *, struct slice args);
void	delete_run(struct imap *, struct slice args);
void	rename_run(struct imap *, struct slice args);
void	subscribe_run(struct imap *, struct slice args);
void	unsubscribe_run(struct imap *, struct slice args);

#endif
