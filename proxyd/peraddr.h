/*
 * How many connections each client address has in this process. IPv6 counts by /64, which is what one
 * customer has. A balanced tree: no address can be chosen to collide with another.
 */
#ifndef PROXYD_PERADDR_H
#define PROXYD_PERADDR_H

#include <stdint.h>
#include <sys/socket.h>

#include "slice.h"

#define PERADDR_TEXT_MAX_BYTES	64

struct peraddr_node;
struct peraddr {
	void	*root;	/* owned: struct peraddr_node by tsearch(3) */
};

/* Counts one more; its node, to be given to peraddr_drop, or NULL when the address has max already. */
struct peraddr_node	*peraddr_take(struct peraddr *, const struct sockaddr *, uint64_t max);
void			 peraddr_drop(struct peraddr *, struct peraddr_node *);
/* The numeric address (an IPv4 one in IPv6 clothes as IPv4) into out (PERADDR_TEXT_MAX_BYTES); its port. */
uint16_t		 peraddr_text(const struct sockaddr *, char *out);

#endif
