/*
 * What a net process asks its route process, and the answer: SEQPACKET, any order, by request number.
 */
#ifndef RELAYD_ROUTEMSG_H
#define RELAYD_ROUTEMSG_H

#include "delivery.h"
#include "pack.h"

#define ROUTE_TARGETS_MAX	DELIVERY_RCPTS_MAX

enum route_kind { ROUTE_LOCAL = 1, ROUTE_FORWARD = 2 };

struct route_target {
	enum route_kind	kind;
	bool		place;		/* LOCAL: the map does not know the user */
	uint16_t	host;		/* LOCAL: index into relayd.conf's hosts */
	struct slice	user;		/* LOCAL */
	struct slice	address;	/* for RCPT, without <> */
};

struct route_answer {
	struct reply		reply;		/* DONE: there are targets; else what to say */
	size_t			ntargets;
	struct route_target	targets[ROUTE_TARGETS_MAX];
};

void	routemsg_pack_ask(struct buf *, uint32_t req, struct slice address);
void	routemsg_pack_answer(struct buf *, uint32_t req, const struct route_answer *);
/* The whole message. False on anything not exactly right. Slices point into it. */
bool	routemsg_unpack_ask(struct slice, uint32_t *req_out, struct slice *address_out);
bool	routemsg_unpack_answer(struct slice, size_t nhosts, uint32_t *req_out, struct route_answer *out);

#endif
