/*
 * The redundant spool's directory: DIR/<day>/<partition>.log and .index. Blocking, short calls.
 * Every path is a name below a directory's descriptor; symbolic links are not followed.
 */
#ifndef ROTATED_DAYLOG_H
#define ROTATED_DAYLOG_H

#include "day.h"

#define DAYLOG_NAME_BYTES	(REDUNDANT_PARTITION_MAX_BYTES + 16)	/* partition, ".index.tmp", NUL */

/*
 * Opens a partition's log of a day for a committer: a descriptor of its own, O_WRONLY|O_APPEND. Makes the
 * day's directory and the log (header, inode flag, synced) where they are missing. -1 with errno; EBADMSG: what
 * is there has no good header, nothing was changed, another day has to be begun.
 */
int	daylog_open(int dir, const struct day *, const char *partition, uint32_t *salt_out, uint64_t *size_out);
/* Makes the day's directory, synced. 0 or -1. */
int	daylog_make_day(int dir, const struct day *);
/* All days, oldest first, into a heap array the caller frees. 0 or -1: never a part of them. */
int	daylog_list(int dir, struct day **out, size_t *n_out);
/* The newest day of that date; part 1 where there is none. 0 or -1. */
int	daylog_newest(int dir, int64_t number, struct day *out);
/* Calls fn for each name in the day's directory that is a partition and this suffix. 0 or -1. */
int	daylog_each(int dir, const struct day *, const char *suffix, void (*fn)(void *arg, int day_dir, const char *partition),
	    void *arg);
/* partition + suffix; false when too long. */
bool	daylog_name(const char *partition, const char *suffix, char out[DAYLOG_NAME_BYTES]);
/* Letters, digits, '-', '_' and '.', not first. */
bool	daylog_is_partition(struct slice);
/* Sets or clears the append-only inode flag. 0 or -1. */
int	daylog_set_append(int fd, bool on);

#endif
