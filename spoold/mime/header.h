/* The fields of a header block, one after the other. Contract of header.c; used inside mime/ only. */
#ifndef TS_MIME_HEADER_H
#define TS_MIME_HEADER_H

#include <stdint.h>

#include "slice.h"

struct header_field {
	struct slice	raw;	/* all its lines with their line ends */
	struct slice	name;	/* empty for a line that is no field */
	struct slice	value;	/* after the colon, outer white space and line end gone; still folded */
};

/* The next field of a header block; false at the empty line or the end. Moves *rest. */
bool		header_next(struct slice *rest, struct header_field *out);
/* Length of the line at the start of in, its line end (LF) included. 0 only for empty input. */
size_t		header_line(struct slice in);
/* CRLF, or LF alone? */
bool		header_line_is_empty(struct slice line);
/* A range of a message; never a NULL pointer, also of an empty message. */
struct slice	header_range(struct slice message, uint64_t at, uint64_t n);
/* Without white space and line ends at both ends. */
struct slice	header_trim(struct slice);

#endif
