/*
 * The bytes of the messages that an APPEND brings, in the form they will be kept in: in memory while they are few, else in one
 * unlinked file beside the spools.
 */
#ifndef TS_IMAP_APPEND_BYTES_H
#define TS_IMAP_APPEND_BYTES_H

#include "imap/imap.h"

/* Bytes of the message in the making, as the client sent them: line ends become CRLF. */
void	append_take(struct imap *, struct slice);
/* They end here: a CR that waits for its LF is completed. A last line without CRLF is the client's own. */
void	append_flush(struct imap *);
/* Where n bytes from `at` on are. Valid until append_drop; nothing may be taken after. */
struct body_src	append_source(const struct imap *, uint64_t at, uint64_t n);
/* Forgets all that an APPEND brought: memory and file. */
void	append_drop(struct imap *);

#endif
