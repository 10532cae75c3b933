/*
 * APPEND (RFC 3501 6.3.11, RFC 4315 3): the message literal is taken in while the command is read,
 * before its end is known, so that it never lies in memory as a whole.
 */
#ifndef TS_IMAP_APPEND_H
#define TS_IMAP_APPEND_H

#include "imap/imap.h"

/* append-head = tag SP "APPEND" SP mailbox [SP flag-list] [SP date-time] SP, and nothing after it: a message follows. */
bool	append_is_head(struct slice text, struct arena *);
/* May a message of n bytes come? NULL: yes, it is begun. Else the NO's text. */
const char *append_begin(struct imap *, uint64_t n);
/* The next bytes of it. */
void	append_take(struct imap *, struct slice);
/* The last was taken. */
void	append_end(struct imap *);
/* Forgets a message, if one was taken: memory and file. */
void	append_drop(struct imap *);

void	append_run(struct imap *, struct slice args);

#endif
