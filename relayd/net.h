/*
 * relayd's network process, and the verb its parent serves it.
 */
#ifndef RELAYD_NET_H
#define RELAYD_NET_H

#include "settings.h"
#include "lmtpc.h"

struct child;

struct net {
	const struct config	*config;
	int			*listeners;
	size_t			 nlisteners;
	const struct lmtpc_hop	*hosts;		/* as in the configuration */
	const struct lmtpc_hop	*next_hop;
	int			 route_fd;	/* our end of the socketpair with route */
};

/* The child's body (child_fn of parent.h); arg is a struct net. */
void	net_main(void *arg, int chan);
/* The parent's side (child_spec.verb): a connection to a host's Unix socket. */
void	net_verb(struct child *, void *arg, struct slice msg, int *fds, size_t nfds);
/* In the parent: tells it that route was started anew. */
void	net_route_again(struct child *);

#endif
