/*
 * A net process: accepts, holds connections, speaks to auth. The only process that reads from the
 * network; it opens no file and connects to nothing.
 */
#ifndef PROXYD_NET_H
#define PROXYD_NET_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "house.h"
#include "peraddr.h"

struct conn;
TAILQ_HEAD(conn_list, conn);

struct net {
	struct event_base	*base;
	const struct house	*house;
	SSL_CTX			*tls;
	int			 auth;			/* to the front */
	uint64_t		 front;			/* the front's incarnation; 0: not heard of */
	uint64_t		 exchange;		/* last one used */
	struct conn_list	 conns, waiting;	/* all; those with an exchange at auth */
	size_t			 nconns, conns_max;
	struct peraddr		 peraddr;
	bool			 is_accepting;
	bool			 is_draining;		/* no new connections; ends with the last one */
	struct listener		 listeners[4 * LISTEN_MAX];
	size_t			 nlisteners;
	struct event		 accepts[4 * LISTEN_MAX];
	struct event		 readable, drained, retry, leave, term;
};

/* child_fn of "proxyd/net"; arg is a struct house_child. */
void	net_main(void *arg, int chan);

/* For conn.c: a message to auth; false when the socket is full: it will not be answered. */
bool	net_tell_auth(struct net *, const struct auth_msg *);
/* For conn.c: a connection is gone: there is room for another. */
void	net_conn_gone(struct net *);

#endif
