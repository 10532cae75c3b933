/*
 * The pace of upkeep. The descriptors synced here are those of files nobody else has open.
 */
#include "store/pace.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define SYNC_BYTES	(4 * 1024 * 1024)	/* written before they are synced: tens of milliseconds of a disk */
#define NAP_MOST_MS	1000

void
pace_begin(struct pace *p, const struct store_pace *by, uint64_t total_bytes)
{
	*p = (struct pace){.by = by, .began_ms = mono_ms(), .total = total_bytes};
}

bool
pace_step(struct pace *p, int fd, uint64_t bytes)
{
	int64_t ahead_ms, nap_ms;

	p->done += bytes;
	p->unsynced += bytes;
	if (p->unsynced < SYNC_BYTES)
		return true;
	p->unsynced = 0;
	if (fdatasync(fd) != 0)
		return false;
	if (p->by == NULL)
		return true;
	/* In naps, so that whoever wants it to stop does not wait for all of them. */
	do {
		if (p->by->step != NULL && !p->by->step(p->by->arg, p->done, p->total)) {
			errno = EINTR;
			return false;
		}
		if (p->by->rate_bytes == 0)
			return true;
		ahead_ms = (int64_t)(p->done * 1000 / p->by->rate_bytes) - (mono_ms() - p->began_ms);
		nap_ms = ahead_ms < NAP_MOST_MS ? ahead_ms : NAP_MOST_MS;
		if (nap_ms > 0)
			nanosleep(&(struct timespec){.tv_sec = nap_ms / 1000, .tv_nsec = nap_ms % 1000 * 1000000}, NULL);
	} while (ahead_ms > NAP_MOST_MS);
	return true;
}
