/*
 * An IMAP session's memory while it is parked: a few hundred bytes. What a worker packed is checked as
 * strictly as a stranger's input: who parks is not always who takes up (a captured worker).
 */
#ifndef TS_IMAP_STATE_H
#define TS_IMAP_STATE_H

#include "imap/imap.h"

/* Into s->state. False when it does not fit (SESSION_STATE_MAX_BYTES). */
bool	imap_state_pack(const struct imap *, struct buf *out);
/* False on anything not exactly as imap_state_pack writes it; im is unchanged then. */
bool	imap_state_unpack(struct slice, struct imap *);

#endif
