/*
 * The index of a finished day's log: which records belong to which user, sorted by user. Derived: it
 * can be made again at any time. Made in a helper process, in bounded memory. The format is in rotated(8).
 */
#ifndef ROTATED_INDEX_H
#define ROTATED_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "day.h"

#define INDEX_HEADER_BYTES	(4 + 1 + 16 + 1 + 16 + 1 + 16 + 1)	/* TSI1 log-bytes entries damaged LF */

struct index_stats {
	uint64_t	records, entries;
	uint64_t	damaged, damaged_bytes;
	uint64_t	unusable;	/* good records that name no possible user */
};

/*
 * Makes DIR/day/partition.index out of the log, under another name, synced, renamed. memory: bytes for sorting.
 * 0, or -1 with errno: nothing was replaced; EWOULDBLOCK: another process is making it.
 */
int	index_make(int day_dir, const char *partition, size_t memory, struct index_stats *out);
/* Is there an index that covers the whole log as it is now? */
bool	index_is_current(int day_dir, const char *partition);

#endif
