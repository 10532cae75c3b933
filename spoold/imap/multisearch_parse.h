/*
 * The arguments of the ESEARCH command (RFC 7377 4, RFC 5465 8: filter-mailboxes). Pure; see parse.h.
 */
#ifndef TS_IMAP_MULTISEARCH_PARSE_H
#define TS_IMAP_MULTISEARCH_PARSE_H

#include "imap/search_parse.h"

#define IMAP_SOURCE_NAMES_MAX	100	/* each is compared with each of the user's mailboxes */

enum { SOURCE_SELECTED = 1, SOURCE_PERSONAL = 2, SOURCE_SUBSCRIBED = 4 };
enum source_reach { SOURCE_MAILBOX, SOURCE_SUBTREE, SOURCE_SUBTREE_ONE };

struct multisearch_args {
	unsigned		sources;	/* SOURCE_*; SOURCE_SELECTED where none is given */
	struct source_name {
		struct slice		name;	/* as the client wrote it */
		enum source_reach	reach;
	} names[IMAP_SOURCE_NAMES_MAX];
	size_t			nnames;
	struct search_args	search;
};

/* [SP esearch-source-opts] [SP search-return-opts] SP search-program, to the end. */
enum parse	parse_multisearch_args(struct slice *cur, struct arena *, struct multisearch_args *out);

#endif
