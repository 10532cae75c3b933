/*
 * LMTP and SMTP to other hosts: connections of one process, opened, reused, timed out. The protocol is in
 * lmtpx.c. Called by relayd's network processes. Never blocks.
 */
#ifndef TS_LMTPC_H
#define TS_LMTPC_H

#include <event2/event.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lmtpx.h"

#define LMTPC_ADDRS_MAX		4	/* addresses of one name tried in turn */
#define LMTPC_IDLE_MAX		64	/* idle connections of a process */

struct lmtpc_hop {
	const char		*name;		/* for logs and replies */
	bool			 is_smtp;
	const char		*path;		/* of a Unix socket; NULL: addrs */
	size_t			 naddrs;
	struct sockaddr_storage	 addrs[LMTPC_ADDRS_MAX];
	socklen_t		 lens[LMTPC_ADDRS_MAX];
};

struct lmtpc_conf {
	const char	*helo;
	int64_t		 connect_timeout_ms;	/* each address */
	int64_t		 hop_timeout_ms;	/* a transaction, connecting included */
	int64_t		 idle_ms;		/* how long an idle connection is kept */
	/* Wants a connected, non-blocking stream to a Unix socket; the answer comes as lmtpc_take. */
	void		(*ask)(void *arg, const struct lmtpc_hop *, uint32_t ticket);
	void		*arg;
};

struct lmtpc;
struct lmtpc_txn;

/*
 * In the parent, before privileges go: "ADDR:PORT", "[ADDR6]:PORT", "NAME:PORT" (asks the name service) or
 * "unix:/PATH". where is kept. False: not that, or the name is not known; why_out says what, a literal.
 */
bool		 lmtpc_resolve(const char *where, struct lmtpc_hop *out, const char **why_out);
struct lmtpc	*lmtpc_make(struct event_base *, const struct lmtpc_conf *);
/* The answer to ask; -1: no connection. */
void		 lmtpc_take(struct lmtpc *, uint32_t ticket, int fd);
/*
 * Starts a transaction. job->done is called once for each recipient, never from within; with the last
 * call the pointer is dead. A connection that dies is replaced only while nothing of the message was sent.
 */
struct lmtpc_txn *lmtpc_send(struct lmtpc *, const struct lmtpc_hop *, const struct lmtpx_job *);
/* No more done calls: what has no reply is the caller's. Not after the last one. */
void		 lmtpc_cancel(struct lmtpc_txn *);

#endif
