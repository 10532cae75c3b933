/*
 * Upkeep writes much and is never in a hurry: it writes at a rate, and syncs as it goes, so that a
 * delivery's sync finds little of it to wait for.
 */
#ifndef TS_STORE_PACE_H
#define TS_STORE_PACE_H

#include "store/store.h"

struct pace {
	const struct store_pace	*by;		/* borrowed; NULL: no limit */
	int64_t			 began_ms;
	uint64_t		 done, total;	/* bytes */
	uint64_t		 unsynced;
};

void	pace_begin(struct pace *, const struct store_pace *, uint64_t total_bytes);
/* So many bytes were written to fd: syncs and waits where due. False: a sync failed, or told to stop (errno EINTR). */
bool	pace_step(struct pace *, int fd, uint64_t bytes);

#endif
