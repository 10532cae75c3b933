/*
 * A segment file of a log: log.000001 and up, each beginning with a RECORD_SEGMENT that holds its
 * salt and carries the numbers on.
 */
#ifndef TS_STORE_SEGMENT_H
#define TS_STORE_SEGMENT_H

#include "store/store.h"

#define SEGMENT_NAME_BYTES	24
#define UID_LAST		0x7fffffffU	/* clients keep UIDs in signed 32 bits */

/* Numbers that go into a trailer. */
struct numbers {
	uint32_t	epoch;
	uint32_t	next_uid;
	uint64_t	next_modseq;
};

struct segment_head {
	uint32_t	number, generation, salt;
	uint32_t	log_id;		/* of the first segment: names the log; compaction, which changes the salt, keeps it */
	uint64_t	bytes;		/* of the RECORD_SEGMENT: where the first record after it stands */
	struct numbers	numbers;	/* as of its beginning */
};

void	segment_name(uint32_t number, char out[SEGMENT_NAME_BYTES]);
/* The highest segment in a directory; 0 where there is none, -1 with errno. */
int64_t	segment_highest(int dir_fd);
/*
 * Reads the head from an open segment of that user (empty: whose is not asked) and number; out of its last record where
 * the head itself is damaged. 0, or -1 with errno (EBADMSG: both are, or it is another's).
 */
int	segment_read(int fd, struct slice user, uint32_t number, struct segment_head *out);
/* Writes a head with a new salt, and a new log_id where that is 0, at the start of an empty file, and syncs it. 0, or -1 with errno. */
int	segment_write_head(int fd, struct slice user, struct segment_head *);
/*
 * A new segment with a salt of its own, in two steps: prepare writes it under another name, place gives it its own; each
 * is synced with the directory. make is both. 0, or -1 with errno: prepared then it still is, if it was. The caller
 * holds the directory's lock.
 */
int	segment_prepare(int dir_fd, struct slice user, uint32_t number, const struct numbers *);
int	segment_place(int dir_fd, uint32_t number);
void	segment_unprepare(int dir_fd);
/* Was a segment of that number prepared? LOOKUP_TEMP with errno. There may be records in it: its name was lost after that. */
enum lookup segment_is_prepared(int dir_fd, struct slice user, uint32_t number);
int	segment_make(int dir_fd, struct slice user, uint32_t number, const struct numbers *);

#endif
