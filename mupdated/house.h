/*
 * mupdated's parent side: starts net and map, and gives each pair of them a fresh link. Whenever one
 * of the two is new, both get new ends: what was in flight on the old link ends with it.
 */
#ifndef MUPDATED_HOUSE_H
#define MUPDATED_HOUSE_H

#include "settings.h"

struct child;
struct parent;

#define HOUSE_LISTENERS_MAX	17	/* 16 of `listen`, and the socket */
#define HOUSE_CLIENTS_MAX	16	/* of `map_clients` */

struct house {
	const struct config	*config;
	char			 hostname[256];
	int			 listeners[HOUSE_LISTENERS_MAX];
	size_t			 nlisteners;
	bool			 has_unix;	/* the last of them is the Unix socket */
	uid_t			 clients[HOUSE_CLIENTS_MAX];
	size_t			 nclients;
	struct child		*net, *map;
	bool			 net_is_ready, map_is_ready;
};

/* Directories, listeners, children. Kept by the process for its life. */
void	house_start(struct house *, struct parent *, const struct config *);

#endif
