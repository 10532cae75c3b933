/*
 * Writing strings of IMAP's grammar (RFC 3501 9): what goes out is always a quoted string, a literal
 * or an atom that needs no quoting, whatever the bytes are. Each adds all and returns 0, or -1 when
 * the buffer's cap is reached.
 */
#ifndef TS_IMAP_QUOTE_H
#define TS_IMAP_QUOTE_H

#include "buf.h"

/* string: quoted where it is short 7-bit text, else a literal. NUL may not be in it. */
int	quote_string(struct buf *, struct slice);
/* The same for who has enabled UTF-8: quoted where it is short text in UTF-8 (RFC 6855 3, RFC 9051 4.3). */
int	quote_utf8(struct buf *, struct slice);
/* astring: as it is where that is an atom. */
int	quote_astring(struct buf *, struct slice);
/* An INTERNALDATE with its quotes, in UTC. */
int	quote_date_time(struct buf *, int64_t ms);

#endif
