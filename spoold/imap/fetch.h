/*
 * FETCH and UID FETCH (RFC 3501 6.4.5, 7.4.2).
 */
#ifndef TS_IMAP_FETCH_H
#define TS_IMAP_FETCH_H

#include "imap/imap.h"

struct fetch_args;

/* FETCH responses for the view's messages from that UID on, but what this session added; sets no \Seen (RFC 5465 5.2). */
void	fetch_new(struct imap *, struct fetch_args *, uint32_t first_uid);

void	fetch_run(struct imap *, struct slice args);

#endif
