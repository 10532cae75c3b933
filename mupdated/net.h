/*
 * The net process: every MUPDATE connection, and the only process that reads from the network. It
 * parses, frames and writes; the map answers over the link. It opens no file.
 */
#ifndef MUPDATED_NET_H
#define MUPDATED_NET_H

#include "conn.h"
#include "house.h"
#include "ipc.h"

struct event_base;

/* A message that did not fit into the link. */
struct link_msg {
	struct link_msg	*next;
	size_t		 n;
	char		 bytes[];
};

struct net {
	const struct config	*config;
	const char		*hostname;
	struct event_base	*base;
	struct event		*listeners[HOUSE_LISTENERS_MAX];	/* owned */
	size_t			 nlisteners;
	bool			 has_unix;
	const uid_t		*clients;	/* who may use the Unix socket; the house's */
	size_t			 nclients;
	int			 chan, link;	/* -1: none */
	struct event		*on_chan, *on_link, *on_link_room, *on_sweep;	/* owned */
	struct link_msg		*first, **last;	/* owned; waiting for room in the link */
	struct buf		 out;		/* a verb being packed */
	char			 mechs[64];	/* of the map; empty: no logins */
	bool			 mechs_known;	/* the map of this link has said them: now we listen */
	struct conn		*conns;		/* owned; connections_max slots */
	size_t			 nconns, nfresh;
	uint32_t		 serial;
	uint32_t		 sid_salt;
	bool			 is_draining;
	int64_t			 drain_ms;	/* when to be gone */
	char			 msg[IPC_MSG_MAX_BYTES];
};

/* A child_fn; arg is a struct house. */
void	net_main(void *arg, int chan);
/* Sends the verb packed into net->out to the map, now or when there is room. */
void	net_send(struct net *);

#endif
