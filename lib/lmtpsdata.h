/*
 * The message part of an LMTP session: DATA and BDAT. Called by lmtps.c alone.
 */
#ifndef TS_LMTPSDATA_H
#define TS_LMTPSDATA_H

#include "lmtps.h"

/* Once a process. */
void	lmtpsdata_setup(void);
/* Bytes of the process's limit are left for a message of the declared size. */
bool	lmtpsdata_is_room(const struct lmtps *);
/* Before the first byte of a message: key, trace lines. */
void	lmtpsdata_begin(struct lmtps *);
/* Takes content from in, at most LMTPS_READ_BYTES. DATA: true at CRLF.CRLF. BDAT: true at the end of the chunk. */
bool	lmtpsdata_dot(struct lmtps *, struct slice in, size_t *used_out);
bool	lmtpsdata_chunk(struct lmtps *, struct slice in, size_t *used_out);
/* After the last byte: the message is finished, or trouble is set. */
void	lmtpsdata_end(struct lmtps *);
/* The reply for a trouble. */
void	lmtpsdata_trouble(const struct lmtps *, struct reply *out);
/* Frees a message, whole or not. */
void	lmtpsdata_reset(struct lmtps *);

#endif
