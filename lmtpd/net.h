/*
 * lmtpd's network process, and the verb its parent serves it.
 */
#ifndef LMTPD_NET_H
#define LMTPD_NET_H

#include "settings.h"

struct child;

struct net {
	const struct config	*config;
	int			*listeners;
	size_t			 nlisteners;
};

/* The child's body (child_fn of parent.h); arg is a struct net. */
void	net_main(void *arg, int chan);
/* The parent's side (child_spec.verb): a connection to spoold. */
void	net_verb(struct child *, void *arg, struct slice msg, int *fds, size_t nfds);

#endif
