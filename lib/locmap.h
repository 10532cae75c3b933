/*
 * The location map: mailbox name -> state, location ("host!partition"), ACL; an LMDB environment
 * owned by mupdated, read directly by proxyd's auth, relayd's route. No process that
 * parses the network opens it. MDB_NOLOCK is never used. Open it after the last fork, once a process.
 */
#ifndef TS_LOCMAP_H
#define TS_LOCMAP_H

#include <stdint.h>

#include "arena.h"
#include "buf.h"
#include "result.h"

#define LOCATION_MAX_BYTES	320	/* host name 255, '!', partition 64 */
#define ACL_MAX_BYTES		8192

enum loc_state { LOC_RESERVED, LOC_ACTIVE };

/* Names are in inside form (UTF-8); on the wire of MUPDATE they are in modified UTF-7. */
struct loc_entry {
	struct slice	name;
	enum loc_state	state;
	struct slice	location;	/* "host!partition"; the partition may be empty */
	struct slice	acl;		/* opaque; empty while reserved */
};

struct locmap;

/*
 * Opens (writer: creates) the environment in dir. NULL with errno; LMDB's errors are logged and become EIO.
 * A reader finds ENOENT where there is none yet, and needs to write the lock file (mode 0660, the group of
 * dir). map_bytes: the most it can grow to; a reader may say 0.
 */
struct locmap	*locmap_open(const char *dir, bool writer, uint64_t map_bytes);
void		 locmap_close(struct locmap *);
/*
 * FOUND fills out (copied into the arena); ABSENT; LOOKUP_TEMP: could not be read, or is damaged: never taken
 * for ABSENT. Sees what any process committed before the call.
 */
enum lookup	 locmap_find(struct locmap *, struct slice name, struct arena *, struct loc_entry *out);
/*
 * Calls fn for each entry whose location begins with prefix (all where empty), in the order that
 * Cyrus 3.6 expects ('.' sorts lowest among name bytes). Stops when fn returns false. 0 or -1 (also at a
 * damaged entry: a list with a hole is not a list). The entry's slices are valid during the call only.
 */
int		 locmap_each(struct locmap *, struct slice location_prefix,
		    bool (*fn)(void *arg, const struct loc_entry *), void *arg);
/* As locmap_each, but only what comes after the name `after` in that order (which need not exist), of any location. */
int		 locmap_each_after(struct locmap *, struct slice after,
		    bool (*fn)(void *arg, const struct loc_entry *), void *arg);
/*
 * Writer only; durable (synced) when they return 0. -1 with errno: nothing changed; EINVAL: the name is not
 * UTF-8 or too long, or something else is; ENOSPC: the map or the disk is full; else the process should end.
 */
int		 locmap_put(struct locmap *, const struct loc_entry *);
int		 locmap_delete(struct locmap *, struct slice name);	/* 0 also when absent */

/* Splits "host!partition"; false when it has no or two '!'. */
bool		 location_split(struct slice location, struct slice *host_out, struct slice *partition_out);

/* An entry as it is kept and as it passes between processes. The slices of an unpacked one point into the input. */
void		 loc_entry_pack(struct buf *, const struct loc_entry *);
/* False on anything not exactly right. */
bool		 loc_entry_unpack(struct slice, struct loc_entry *out);

#endif
