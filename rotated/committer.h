/*
 * The committers' connections: each names its partition and is handed the descriptors of days (redundant.h).
 */
#ifndef ROTATED_COMMITTER_H
#define ROTATED_COMMITTER_H

#include "days.h"

/* Serves a connection that was accepted and whose peer may speak. Takes fd over; non-blocking. */
void	committer_make(struct days *, int fd);
/*
 * Hands the current day to those who do not have it. False when one of them could not be given its log: it keeps the day
 * it has, and this is to be called again later; *headerless_out: a log has no good header, another day is to be begun.
 */
bool	committer_give_all(struct days *, bool *headerless_out);
/* Has any of them this day open still? */
bool	committer_has_open(const struct days *, const struct day *);
/* The oldest day one of them has open; the current day where there is none older. */
void	committer_oldest(const struct days *, struct day *out);
/* Is a committer of that partition connected? */
bool	committer_is_connected(const struct days *, const char *partition);
size_t	committer_count(const struct days *);
/* Logs those that are late with closing a day, once each. */
void	committer_check_late(struct days *);
void	committer_free_all(struct days *);

#endif
