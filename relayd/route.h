/*
 * relayd's route process: look-ups in the table and the location map.
 */
#ifndef RELAYD_ROUTE_H
#define RELAYD_ROUTE_H

#include "settings.h"
#include "resolve.h"

struct route {
	const struct config	*config;
	struct resolve_conf	 resolve;	/* but find and map */
	const int		*nets;		/* our end of each net process's socketpair */
	size_t			 nnets;
};

/* The child's body (child_fn of parent.h); arg is a struct route. */
void	route_main(void *arg, int chan);

#endif
