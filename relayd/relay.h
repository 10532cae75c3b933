/*
 * What relayd does at RCPT and after the message: the hooks of the LMTP session (lib/lmtps.h).
 */
#ifndef RELAYD_RELAY_H
#define RELAYD_RELAY_H

#include "lmtpc.h"
#include "lmtps.h"
#include "routec.h"

#define RELAY_RECEIVED_MAX	50	/* Received fields; as Postfix. RFC 5321 6.3 thinks of 100, which only makes a loop longer */

struct relay {
	struct event_base	*base;
	struct routec		*route;
	struct lmtpc		*client;
	const struct lmtpc_hop	*hosts;		/* as in relayd.conf */
	const struct lmtpc_hop	*next_hop;
	int64_t			 transaction_timeout_ms;
};

/* The hooks; the session's lmtpnet_arg is a struct relay. */
extern const struct lmtps_ops	relay_ops;

#endif
