/*
 * LIST's arguments with the extensions of RFC 5258, 5819 and 6154, and LSUB's. Pure; see parse.h.
 */
#ifndef TS_IMAP_LIST_PARSE_H
#define TS_IMAP_LIST_PARSE_H

#include "imap/parse.h"

#define IMAP_LIST_PATTERNS_MAX	50	/* each is matched against each name */

/* Selection and return options. REMOTE changes nothing: every mailbox a session sees is its host's. */
enum list_option {
	LIST_SUBSCRIBED = 1, LIST_REMOTE = 2, LIST_RECURSIVEMATCH = 4, LIST_SPECIAL_USE = 8, LIST_CHILDREN = 16,
	LIST_STATUS = 32,
};

struct list_args {
	struct slice	reference;
	struct slice	patterns[IMAP_LIST_PATTERNS_MAX];	/* as written, without the reference */
	size_t		npatterns;
	unsigned	select, give;		/* LIST_* */
	unsigned	status_items;		/* of LIST_STATUS */
	bool		is_extended;		/* options or more than one pattern were given */
};

/* [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts], to the end. */
enum parse	parse_list_args(struct slice *cur, struct arena *, struct list_args *out);
/* SP mailbox SP list-mailbox, to the end. */
enum parse	parse_lsub_args(struct slice *cur, struct arena *, struct list_args *out);

#endif
