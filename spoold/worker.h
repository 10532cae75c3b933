/*
 * The process that serves sessions (worker.c), and what it shares with the delivery worker: how a
 * process that opens spools is set up.
 */
#ifndef TS_SPOOLD_WORKER_H
#define TS_SPOOLD_WORKER_H

#include "commitc.h"
#include "site.h"

#define WORKER_MUPDATE_MS	10000	/* a step of the talk with mupdated, which asks a master over the network */
#define DELIVER_MUPDATE_MS	3000	/* the same where other people's deliveries wait behind it */
#define DELIVER_PAUSE_MS	5000	/* and so long nothing is asked of one that hung */

/* The child's body (lib/parent.h); arg: struct worker_arg. */
struct worker_arg {
	const struct site	*site;
	int			 fd;	/* to the lot */
};
void	worker_run(void *arg, int chan);

/* Limits, Landlock to the spools, the user, the system-call filter. threads: it starts some. */
void	worker_confine(const struct site *, bool threads);
/* The store's view of this host, with the committer behind it; and place_init. Both live as long as the process. */
void	worker_host(const struct site *, bool is_deliver, struct commitc *, struct store_host *host_out);

#endif
