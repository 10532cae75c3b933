/*
 * The arguments of GETMETADATA and SETMETADATA (RFC 5464 5). Pure: see parse.h for the contract of its functions.
 */
#ifndef TS_IMAP_METADATA_PARSE_H
#define TS_IMAP_METADATA_PARSE_H

#include "imap/parse.h"
#include "store/store.h"

#define META_NAMES_MAX	STORE_META_ENTRIES_MAX	/* entries one command may name: as many as there can be */

enum meta_depth { META_DEPTH_0, META_DEPTH_1, META_DEPTH_INFINITY };

struct getmeta_args {
	struct slice	 mailbox;	/* as the client wrote it; empty: server entries */
	bool		 has_maxsize;
	uint32_t	 maxsize;
	enum meta_depth	 depth;
	struct slice	*names;		/* in lower case, in the arena */
	size_t		 n;
};

struct setmeta_args {
	struct slice	 mailbox;
	struct meta_change *changes;	/* names in lower case; in the arena */
	size_t		 n;
	bool		 is_read_only;	/* one of them no client may set */
};

/* All after the command's name, to its end. */
enum parse	parse_getmetadata(struct slice *cur, struct arena *, struct getmeta_args *out);
enum parse	parse_setmetadata(struct slice *cur, struct arena *, struct setmeta_args *out);
/* A command up to a literal: is the literal a value of SETMETADATA? */
bool		setmetadata_is_head(struct slice text);
/* Does what was asked for, at that depth, name the entry? */
bool		metadata_is_asked(const struct getmeta_args *, struct slice name);

#endif
