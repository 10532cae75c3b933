/*
 * IDLE (RFC 2177): the session is parked with the command's tag in its state, and woken by changes, by
 * the client's DONE, and every two minutes to show that it lives.
 */
#ifndef TS_IMAP_IDLE_H
#define TS_IMAP_IDLE_H

#include "imap/imap.h"

void	idle_begin(struct imap *);
/* Tells what changed; false when the session is over. */
bool	idle_changed(struct imap *);
/* A line came while idling, whole in the input or not: ends the IDLE. False when the session is over. */
bool	idle_line(struct imap *);

#endif
