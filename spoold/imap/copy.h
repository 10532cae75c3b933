/*
 * COPY and MOVE, by sequence number and by UID (RFC 3501 6.4.7, RFC 6851, RFC 4315 3).
 */
#ifndef TS_IMAP_COPY_H
#define TS_IMAP_COPY_H

#include "imap/imap.h"

void	copy_run(struct imap *, struct slice args);
void	move_run(struct imap *, struct slice args);

#endif
