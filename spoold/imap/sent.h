/*
 * When a message was sent (RFC 5256 2.2), for SORT and THREAD, which compare whole seconds.
 */
#ifndef TS_IMAP_SENT_H
#define TS_IMAP_SENT_H

#include "imap/content.h"
#include "imap/envelope.h"

/* INTERNALDATE in seconds since 1970-01-01 UTC. */
int64_t	sent_arrival(const struct msg_info *);
/* The Date: field's time, or INTERNALDATE where that has none. */
int64_t	sent_of(const struct envelope *, const struct msg_info *);
/* The message's envelope, in its arena. False: it cannot be read; *out is all NIL then. */
bool	sent_envelope(struct content *, struct envelope *out);

#endif
