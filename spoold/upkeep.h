/*
 * The upkeep process: checkpoints that sessions ask for, and on order purge and compaction, one user after
 * the other, at a pace. It is confined as a session worker is and may be killed at any moment.
 */
#ifndef TS_SPOOLD_UPKEEP_H
#define TS_SPOOLD_UPKEEP_H

#include "site.h"

#define UPKEEP_DUE_MAX	512	/* users that wait for a checkpoint; who does not fit asks again with the next change */

/* The child's body (lib/parent.h); arg: the struct site. */
void	upkeep_run(void *arg, int chan);

/* store_host.due of every process that opens spools; arg: the struct site. Never blocks. */
void	upkeep_due(void *arg, struct slice user);

#endif
