/*
 * ENABLE (RFC 5161): what a client must ask for before it is told of it.
 */
#ifndef TS_IMAP_ENABLE_H
#define TS_IMAP_ENABLE_H

#include "imap/imap.h"

void	enable_run(struct imap *, struct slice args);

#endif
