/*
 * The location map: mailbox name -> state, location ("host!partition"), ACL; an LMDB environment
 * owned by mupdated, read directly by proxyd's auth, relayd's route. No process that
 * parses the network opens it. MDB_NOLOCK is never used.
 */
#ifndef TS_LOCMAP_H
#define TS_LOCMAP_H

#include <stdint.h>

#include "arena.h"
#include "result.h"

#define LOCATION_MAX_BYTES	320	/* host name 255, '!', partition 64 */
#define ACL_MAX_BYTES		8192

enum loc_state { LOC_RESERVED, LOC_ACTIVE };

struct loc_entry {
	struct slice	name;
	enum loc_state	state;
	struct slice	location;	/* "host!partition"; the partition may be empty */
	struct slice	acl;		/* opaque; empty while reserved */
};

struct locmap;

/* Opens (writer: creates) the environment in dir. NULL with errno; LMDB's errors are logged and become EIO. */
struct locmap	*locmap_open(const char *dir, bool writer, uint64_t map_bytes);
void		 locmap_close(struct locmap *);
/* FOUND fills out (copied into the arena); ABSENT; LOOKUP_TEMP: could not be read: never taken for ABSENT. */
enum lookup	 locmap_find(struct locmap *, struct slice name, struct arena *, struct loc_entry *out);
/*
 * Calls fn for each entry whose location begins with prefix (all where empty), in the order that
 * Cyrus 3.6 expects (CYRUS-INTEROP 3.6: '.' sorts lowest among name bytes). Stops when fn returns false. 0 or -1.
 */
int		 locmap_each(struct locmap *, struct slice location_prefix,
		    bool (*fn)(void *arg, const struct loc_entry *), void *arg);
/* Writer only; durable (synced) when they return 0. -1: nothing changed. */
int		 locmap_put(struct locmap *, const struct loc_entry *);
int		 locmap_delete(struct locmap *, struct slice name);	/* 0 also when absent */

/* Splits "host!partition"; false when it has no or two '!'. */
bool		 location_split(struct slice location, struct slice *host_out, struct slice *partition_out);

#endif
