/*
 * From an address to where its mail goes: the table, then the location map for local users.
 */
#ifndef RELAYD_RESOLVE_H
#define RELAYD_RESOLVE_H

#include "arena.h"
#include "conf.h"
#include "locmap.h"
#include "routemsg.h"
#include "table.h"

#define RESOLVE_DEPTH_MAX	10	/* aliases of aliases; more is a loop */
#define RESOLVE_STEPS_MAX	1000	/* addresses of one look-up: ten times the targets there may be */
#define RESOLVE_ARENA_BYTES	(256 * 1024)	/* 100 targets of 600 bytes, and the map's entries */

struct resolve_conf {
	const struct table	*table;
	const struct conf_list	*hosts;		/* "NAME=WHERE" */
	size_t			 placement;	/* index of the host for users the map does not know */
	const char		*hostname;	/* domain of addresses that have none */
	/* The map (locmap_find). */
	enum lookup		(*find)(void *map, struct slice name, struct arena *, struct loc_entry *out);
	void			*map;
};

/* The answer's strings are in the arena. */
void	resolve(const struct resolve_conf *, struct slice address, struct arena *, struct route_answer *out);
/* Index of a name in hosts; hosts->n where it is not there. */
size_t	resolve_host(const struct conf_list *hosts, struct slice name);

#endif
