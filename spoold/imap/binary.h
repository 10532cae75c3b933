/*
 * FETCH BINARY and BINARY.SIZE (RFC 3516): sections without their transfer encoding.
 */
#ifndef TS_IMAP_BINARY_H
#define TS_IMAP_BINARY_H

#include "imap/content.h"
#include "imap/fetch_parse.h"

/* Bytes of a decoded section, to be sent; of a section that is not encoded, a range of the message. */
struct binary {
	enum { BINARY_IS_NIL, BINARY_IS_RANGE, BINARY_IS_DECODED, BINARY_IS_UNKNOWN } kind;
	struct mime_binary from;	/* DECODED: its beginning */
	uint64_t	 at;		/* of the message; DECODED: of what is decoded */
	uint64_t	 n;		/* bytes from there */
	bool		 has_nul;	/* among them */
};

/* What the item asks for. UNKNOWN: its encoding cannot be undone (NO [UNKNOWN-CTE]). */
enum store_result	binary_find(struct content *, const struct fetch_item *, struct binary *out);
/* Gives the bytes of a decoded section to put, in pieces, until it says -1. */
void			binary_put(struct content *, const struct binary *, int (*put)(void *arg, const void *, size_t), void *arg);

#endif
