/*
 * A user's log, open in this process: the directory and the segment appended to. Delivery uses
 * nothing else. The last ones stay open between uses: SPOOLS_KEPT, or what store_keep_logs says.
 */
#ifndef TS_STORE_SPOOL_H
#define TS_STORE_SPOOL_H

#include <sys/queue.h>

#include "address.h"
#include "store/segment.h"

#define SPOOLS_KEPT	64

struct spool {
	const struct store_host	*host;
	const char	*partition;	/* string of the host */
	char		 user[USER_MAX_BYTES + 1];
	int		 dir_fd;
	struct segment_head head;	/* of the segment appended to */
	int		 read_fd, write_fd;	/* of it; -1 to write: its file system is read-only */
	ino_t		 inode;		/* likewise */
	unsigned	 refs;
	bool		 is_kept;	/* in the table: closed when its place is needed, not when it is put back */
	LIST_ENTRY(spool) bucket;
	TAILQ_ENTRY(spool) age;		/* got longest ago first */
	/* while locked */
	bool		 is_locked;
	uint64_t	 at;		/* where the next record goes */
	uint64_t	 allocated;	/* bytes of disk it has */
	uint64_t	 next_modseq;
	uint32_t	 next_uid;
};

/* FOUND: give it back with spool_put. */
enum lookup	spool_get(const struct store_host *, struct slice user, struct spool **out);
void		spool_put(struct spool *);
/* Closes what nobody holds. */
void		spool_drop_cached(void);
/*
 * Takes the directory's lock (waits) and makes the log ready to be appended to: highest segment,
 * torn tail cut, fence of this epoch written, new segment if this one is full. STORE_OK,
 * STORE_FULL or STORE_TEMP (logged); the lock is held only after STORE_OK.
 */
enum store_result spool_lock(struct spool *);
/* The same for who does not append: a segment that is full is good enough. */
enum store_result spool_lock_to_read(struct spool *);
void		spool_unlock(struct spool *);
/*
 * Appends records: sets their modseq (from next_modseq, ascending), epoch, start, checksums and
 * next_modseq. The caller sets next_uid where it takes UIDs (0: none), next_modseq where it leaves some
 * out, epoch where it is not this one. bodies: one for each record with body_bytes. All of them, or STORE_FULL or STORE_TEMP and nothing.
 */
enum store_result spool_append(struct spool *, struct record *, size_t n, const struct body_src *bodies)
		    __attribute__((warn_unused_result));
/* STORE_FULL where the partition has less free space than its reserve (looked at twice a second). */
enum store_result spool_has_room(struct spool *, uint64_t bytes);
/* Follows the log to its highest segment without the lock, one by one. 0, or -1 with errno. */
int		spool_follow(struct spool *);
/* Looks for the log by name again. Not while locked. 0, or -1 with errno and what was open stays so. */
int		spool_reopen(struct spool *);
/* Where the segment that is appended to ends, by its name: it may have been replaced. 0, or -1 with errno. */
int		spool_end(struct spool *, uint64_t *size_out);

/* The end of the segment that is appended to. */
struct tail {
	uint32_t	 epoch;
	bool		 is_sealed;
	uint32_t	 next;	/* the segment that the log goes on in; 0: this one */
};
/*
 * tail.c: the end of a log that is not as an appender of this epoch left it. Lock held; sets at and the numbers. Where what is
 * torn, or damaged, followed a record that names the next segment: epoch and next, and nothing is appended.
 */
enum store_result tail_repair(struct spool *, uint64_t size, struct tail *out);
enum store_result tail_fence(struct spool *, uint64_t size);

#endif
