/*
 * Iterates the records of a log from a place in it, over its segments. Readers need no lock: an
 * incomplete last record is taken as not yet written.
 */
#ifndef TS_STORE_SCAN_H
#define TS_STORE_SCAN_H

#include "store/segment.h"

struct scan {
	int		 dir_fd;	/* borrowed */
	const char	*user;		/* for the log; borrowed */
	uint32_t	 last;		/* a segment known to be there */
	struct buf	 passed;	/* struct scan_gap: what was passed over, until the caller clears it */
	bool		 is_single;	/* set by the caller: no further than this segment's end */
	bool		 with_bodies;	/* checks bodies too: scan_next says body_is_bad */
	int		 fd;		/* of the segment; owned */
	struct segment_head head;
	uint64_t	 at;		/* where the next record is looked for */
	uint64_t	 size;		/* of the segment, as last seen */
	/* of the record last given */
	uint64_t	 body_at;
	bool		 body_is_bad;
	/* a window of the file */
	struct buf	 win;
	uint64_t	 win_at;
	struct buf	 extra;		/* of the last record, where it is not in the window */
};

/* Bytes of a segment; from 0 to UINT64_MAX: all of it. */
struct scan_gap {
	uint32_t	segment;
	uint64_t	from, to;
};
#define SCAN_GAPS_MAX_BYTES	(1024 * 1024)	/* between two records; past it the rest counts to the last */

enum scan_got { SCAN_RECORD, SCAN_END, SCAN_ERROR };

/*
 * at 0: the segment's first record. Heads are never given. Segments before last that are not there, or whose numbers and salt
 * cannot be read any more, are passed over (warn.store.missing), the first too; last 0: none is. SCAN_RECORD, or SCAN_ERROR
 * with errno: ENOENT, no such segment.
 */
enum scan_got	scan_begin(struct scan *, int dir_fd, const char *user, uint32_t segment, uint64_t at, uint32_t last,
		    bool with_bodies);
/*
 * The next good record; its extra is valid until the next call. Damaged ones are passed over (and
 * logged: warn.store.damaged). SCAN_END: nothing more yet; may be called again. SCAN_ERROR: errno.
 */
enum scan_got	scan_next(struct scan *, struct record *out);
void		scan_end(struct scan *);

/*
 * Are bytes [from, to) of a segment the beginning of a record that was never written to its end? 1: they are; 0: not; -1 with
 * errno: they cannot be read, so that nothing may be done about them.
 */
int		scan_is_torn(int fd, uint32_t salt, uint64_t from, uint64_t to);
/*
 * The same of what stands before the record r, the first of an epoch after `epoch`; there also of one with sectors that never came
 * to the disk (zeros: no record of mail has so many). What was torn by a crash was acknowledged to nobody.
 */
int		scan_is_crashed(const struct scan *, uint32_t epoch, const struct record *r, uint64_t from, uint64_t to);

#endif
