/*
 * The checkpoint: a synced copy of the index in the log's directory, from which a replay starts. Its
 * end is a mark that names what it covers and holds the checksum of all before.
 */
#ifndef TS_STORE_CHECKPOINT_H
#define TS_STORE_CHECKPOINT_H

#include "store/segment.h"

/*
 * Renewed when a replay would pass so many records or bytes of log, and more where the index is large: a
 * record is replayed in about the time in which CHECKPOINT_RECORD_BYTES of an index are copied.
 */
#define CHECKPOINT_RECORDS	2000
#define CHECKPOINT_BYTES	(16ULL * 1024 * 1024)
#define CHECKPOINT_RECORD_BYTES	(16 * 1024)
#define CHECKPOINT_TIMES	8	/* so much later a worker makes it itself, when nobody else has */

struct checkpoint_mark {
	uint32_t	version;	/* schema of the index */
	uint32_t	log_id;		/* segment_head's, of the first segment */
	uint32_t	segment;	/* replay begins here */
	uint64_t	offset;
	struct numbers	numbers;	/* as of there */
	uint64_t	bytes;		/* of the index copied */
	uint32_t	crc;		/* of those */
};

/* The mark of the checkpoint in a directory. ABSENT also where it is not one (logged). */
enum lookup	checkpoint_read(int dir_fd, const char *user, struct checkpoint_mark *out);
/* Copies the checkpoint's index to path. 0, or -1: not usable (logged). */
int		checkpoint_restore(int dir_fd, const char *user, const char *path, struct checkpoint_mark *out);
/*
 * Writes a new checkpoint: fill(arg, fd) writes the index's copy to fd and names it in the mark.
 * Under another name, synced, renamed in. 0 (also when another process writes one just now), or -1
 * with errno: the old one stays.
 */
int		checkpoint_write(int dir_fd, int (*fill)(void *arg, int fd, struct checkpoint_mark *), void *arg);

#endif
