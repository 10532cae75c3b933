/*
 * Replies of SMTP and LMTP (RFC 5321 4.2): made by the server, read by the client. Pure.
 */
#ifndef TS_LMTPREPLY_H
#define TS_LMTPREPLY_H

#include "buf.h"
#include "result.h"

/* Fills in a reply; its result follows from the code. Text that is too long is cut. */
void		reply_set(struct reply *out, int code, const char *text);
/* As above from what a peer said: control and 8-bit bytes become '?', a missing or contradicting enhanced code is put in front. */
void		reply_from_peer(struct reply *out, int code, struct slice text);
/* One line "250 2.1.5 ok" CRLF. The buffer has room for REPLY_TEXT_MAX_BYTES + 6. */
void		reply_write(struct buf *, const struct reply *);
/*
 * Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF, one line of it
 * without the CRLF. False: not that.
 */
bool		reply_parse(struct slice line, int *code_out, bool *more_out, struct slice *text_out);

#endif
