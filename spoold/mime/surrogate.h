/*
 * A header in ASCII for clients that know nothing else, made of one that is not (RFC 6858). Pure and linear. What can be
 * kept is: text as encoded words, parameters as RFC 2231 writes them; addresses that are not ASCII become ones
 * that reach nobody, what they were stands before them.
 */
#ifndef TS_MIME_SURROGATE_H
#define TS_MIME_SURROGATE_H

#include "buf.h"

#define SURROGATE_GROWTH	40	/* bytes one byte becomes at most: the worst are addresses of one byte each */

/* A byte past ASCII, or a NUL, which no header has and clients hang on. */
bool	surrogate_is_due(struct slice);
/* Appends the header block in ASCII (its empty line included, if it has one). 0, or -1 when out is full. */
int	surrogate_header(struct slice header, struct buf *out);

#endif
