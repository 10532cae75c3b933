/*
 * What BODY[section] of a message is: a range of it, bytes made for it (HEADER.FIELDS), or nothing
 * (RFC 3501 6.4.5).
 */
#ifndef TS_IMAP_SECTION_H
#define TS_IMAP_SECTION_H

#include "imap/content.h"
#include "imap/fetch_parse.h"

struct section_found {
	enum { SECTION_IS_NIL, SECTION_IS_RANGE, SECTION_IS_BYTES } kind;
	uint64_t	at, n;		/* range of the message */
	struct slice	bytes;		/* in made, or the body's own until content_end */
};

/* made: where HEADER.FIELDS is written (cleared first). */
enum store_result	section_find(struct content *, const struct section *, struct buf *made, struct section_found *out);
/* "1.2.HEADER.FIELDS (From To)", as it stands between the brackets. 0, or -1 when the buffer is full. */
int			section_name_add(struct buf *, const struct section *);

#endif
