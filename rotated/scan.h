/*
 * Reads a day's log from front to back: every good record, over whatever is damaged or torn between
 * them. Used by the index maker and redundantcat. Reads with pread only; a record whose checksums fail is
 * never given out.
 */
#ifndef ROTATED_SCAN_H
#define ROTATED_SCAN_H

#include "record.h"

struct scan {
	int		 fd;		/* borrowed */
	uint64_t	 size;		/* of the file when the scan began */
	uint64_t	 next;		/* offset to go on from */
	uint32_t	 salt;
	uint64_t	 ndamaged;	/* stretches that held no good record */
	uint64_t	 damaged_bytes;
	uint64_t	 damaged_at;	/* offset of the last of them */
	bool		 is_torn;	/* the last stretch reaches to the end: a write that did not end */
	/* a window of the file */
	struct buf	 window;	/* owned */
	uint64_t	 window_at;
	struct buf	 extra;		/* owned; of the record given out */
};

enum scan_result { SCAN_RECORD, SCAN_END, SCAN_ERROR /* errno; EBADMSG: no header at its start */ };

/* Reads the file's first record for the salt. SCAN_RECORD or SCAN_ERROR; free it in either case. */
enum scan_result	scan_begin(int fd, struct scan *out);
/* The next good record; its extra is good until the next call, its body begins at *body_at_out. */
enum scan_result	scan_next(struct scan *, struct record *out, uint64_t *body_at_out);
void			scan_free(struct scan *);

#endif
