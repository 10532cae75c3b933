/*
 * CATENATE's URLs (RFC 4469): bytes of messages that are here already, taken into the message in the making.
 */
#ifndef TS_IMAP_CATENATE_H
#define TS_IMAP_CATENATE_H

#include "imap/imap.h"

/* Takes what the URL names. NULL, or the NO's text (BADURL, TOOBIG, UNAVAILABLE), in the command's arena. */
const char	*catenate_url(struct imap *, struct slice url);
/* Would n bytes more make the message in the making, or all of the command's, too large? NULL or the NO's text. */
const char	*catenate_fault(const struct imap *, uint64_t n);

#endif
