/*
 * Removing days whose time is over. Runs in the helper process.
 */
#ifndef ROTATED_PURGE_H
#define ROTATED_PURGE_H

#include "day.h"

/*
 * Removes every day more than retention_days older than current and before oldest (the oldest day a committer
 * still writes to); never current. What is not a day's name is not touched, nor is what in a day is none of ours. Each
 * removal and each failure is logged. 0, or -1 when something could not be removed; *count_out: days removed.
 */
int	purge_days(int dir, const struct day *current, const struct day *oldest, uint64_t retention_days, uint32_t *count_out);

#endif
