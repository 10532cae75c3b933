/* Content-Transfer-Encodings undone as they stream (RFC 2045 6). Contract of decode.c; called inside mime/ only. */
#ifndef TS_MIME_DECODE_H
#define TS_MIME_DECODE_H

#include <stdint.h>

#include "slice.h"

enum decode_kind {
	DECODE_NONE,	/* 7bit, 8bit, binary, and what is not known */
	DECODE_BASE64,
	DECODE_QP,
	DECODE_Q,	/* RFC 2047 4.2: quoted-printable with "_" for a space */
};

struct decode {
	enum decode_kind kind;
	uint32_t	 bits;
	unsigned	 nbits;
	char		 held[2];	/* "=" or "=X" at a piece's end */
	unsigned	 nheld;
};

/* By the encoding's name. */
struct decode	decode_make(struct slice encoding);
/* Decodes a piece into out, which has room for in.n + sizeof(held) bytes; how many it gave. */
size_t		decode_feed(struct decode *, struct slice in, char *out);
/* What is still held at the end (sizeof(held) bytes of room). */
size_t		decode_end(struct decode *, char *out);

#endif
