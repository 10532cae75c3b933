/*
 * The committer's client: how a worker says "I appended this; make it durable". Session workers use
 * it through store_host.commit (blocking); delivery workers pack their own requests and only send.
 */
#ifndef TS_SPOOLD_COMMITC_H
#define TS_SPOOLD_COMMITC_H

#include "commitreq.h"
#include "site.h"

#define COMMITC_CONNECT_MS	5000	/* a committer that died is back after 100 ms */
#define COMMITC_SEND_MS		30000	/* it takes requests while it syncs; this is a hung one */
#define COMMITC_WAIT_MS		60000	/* a sync that takes longer is answered TEMP */

struct commitc {
	const struct site	*site;
	int			 fd;		/* -1: not connected */
	uint64_t		 next_req;
	enum commit_outcome	 last;		/* of the last request waited for: why the store said TEMP */
};

void	commitc_init(struct commitc *, const struct site *);
/* Connects where not connected, trying for at most wait_ms. 0 or -1. */
int	commitc_connect(struct commitc *, int wait_ms) __attribute__((warn_unused_result));
void	commitc_close(struct commitc *);
/* Sends a packed request with its descriptors, in pieces. 0, or -1: the connection is of no more use. */
int	commitc_send(struct commitc *, struct slice request, const int *fds, size_t nfds) __attribute__((warn_unused_result));
/* store_host.commit; arg is the struct commitc. */
int	commitc_commit(void *arg, const struct store_commit *);

#endif
