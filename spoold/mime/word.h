/* Encoded words of header values. Contract of word.c; used inside mime/ only. */
#ifndef TS_MIME_WORD_H
#define TS_MIME_WORD_H

#include "mime/match.h"

/* Feeds a header value, unfolded, its encoded words decoded (RFC 2047, RFC 2231 5); all else stands for itself. */
void	word_feed(struct slice value, struct fold *);

#endif
