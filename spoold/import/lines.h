/*
 * A file read by lines that may have any length: long ones come in pieces. What was read last can be put back.
 */
#ifndef TS_SPOOLD_IMPORT_LINES_H
#define TS_SPOOLD_IMPORT_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "slice.h"

#define LINES_PIECE_BYTES	(64 * 1024)

struct lines {
	int		 fd;		/* borrowed */
	uint64_t	 offset;	/* in the file, of the next piece */
	char		 p[LINES_PIECE_BYTES];
	size_t		 n, at;
	bool		 is_inside;	/* the next piece goes on with a line */
	bool		 was_inside;	/* the last one did */
	size_t		 last;		/* its bytes */
};

void	lines_begin(struct lines *, int fd, uint64_t offset);
/*
 * The next piece, with its line end; good until the next call. *begins_out: it begins a line. False: the end (errno 0), or
 * the file cannot be read.
 */
bool	lines_next(struct lines *, struct slice *out, bool *begins_out);
/* The last piece is the next once more. */
void	lines_back(struct lines *);
/* Up to n bytes, whatever lines they are of; then a line begins. */
bool	lines_raw(struct lines *, size_t n, struct slice *out);

#endif
