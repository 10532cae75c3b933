/*
 * SORT's arguments (RFC 5256 5, RFC 5957 5, RFC 5267 6). Pure; see parse.h.
 */
#ifndef TS_IMAP_SORT_PARSE_H
#define TS_IMAP_SORT_PARSE_H

#include "imap/search_parse.h"

enum sort_key {
	SORT_ARRIVAL, SORT_DATE, SORT_SIZE,						/* numbers */
	SORT_CC, SORT_DISPLAYFROM, SORT_DISPLAYTO, SORT_FROM, SORT_SUBJECT, SORT_TO,	/* texts */
	SORT_KEYS
};

struct sort_criterion {
	enum sort_key	key;
	bool		is_reverse;
};

struct sort_args {
	struct search_args	search;		/* RETURN's options are in it too */
	/* Each key once: a key behind itself never decides. */
	struct sort_criterion	criteria[SORT_KEYS];
	size_t			ncriteria;
};

/* Criteria in one command, each key as often as the client likes. A line of 64 KiB would hold thousands. */
#define IMAP_SORT_CRITERIA_MAX	64

/* SP ["RETURN" SP "(" ... ")" SP] sort-criteria SP search-criteria, to the end. */
enum parse	parse_sort_args(struct slice *cur, struct arena *, struct sort_args *out);

#endif
