/*
 * The ESEARCH command: one search through many mailboxes (RFC 7377).
 */
#ifndef TS_IMAP_MULTISEARCH_H
#define TS_IMAP_MULTISEARCH_H

#include "imap/imap.h"

void	multisearch_run(struct imap *, struct slice args);

#endif
