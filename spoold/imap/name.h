/*
 * Mailbox names as a session's client writes and reads them: modified UTF-7 (RFC 3501 5.1.3) until it says that it knows
 * UTF-8 (ENABLE UTF8=ACCEPT or IMAP4rev2), from then on UTF-8 (RFC 6855 3, RFC 9051 5.1).
 */
#ifndef TS_IMAP_NAME_H
#define TS_IMAP_NAME_H

#include "imap/imap.h"

/* Room for a name in UTF-8 or modified UTF-7. */
#define NAME_MAX_BYTES		(4 * MBOXNAME_MAX_BYTES)
/* ... and for what quoting makes of it. */
#define NAME_STRING_MAX_BYTES	(2 * NAME_MAX_BYTES + 16)

/* A client's name -> inside form. What is not ASCII is UTF-8, whatever is enabled. trailing: a '/' at its end is dropped. */
enum parse	name_read(struct imap *, struct slice client, bool trailing, struct mboxname *out);
/* The same as written by a client that had UTF-8 enabled, or had not. */
enum parse	name_read_as(struct imap *, struct slice client, bool utf8, struct mboxname *out);
/* Inside form -> the name in UTF-8, as all that tells of a mailbox is given it. out: NAME_MAX_BYTES. Empty: not this user's. */
struct slice	name_utf8(struct imap *, struct slice inside, char *out);
/* A name in UTF-8 as a string that this client can read. 0, or -1 when the buffer is full. */
int		name_quote(struct imap *, struct buf *, struct slice utf8);
/*
 * A pattern of LIST as the client wrote it, in UTF-8, as name_utf8 would give what it names. out: cap bytes. The length, -1
 * where no name can match it.
 */
long		name_pattern(struct imap *, struct slice client, char *out, size_t cap);
/*
 * Did the client write another name than the mailbox has? Then it is told of that where it can be (RFC 9051 6.3.9.7).
 * INBOX in any case is INBOX.
 */
bool		name_is_other(struct imap *, struct slice client, struct slice inside);

#endif
