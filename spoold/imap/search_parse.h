/*
 * SEARCH's arguments as a tree (RFC 3501 6.4.4, 9: search, search-key; RFC 7162 7). Pure; see parse.h.
 */
#ifndef TS_IMAP_SEARCH_PARSE_H
#define TS_IMAP_SEARCH_PARSE_H

#include "imap/parse.h"
#include "imap/search_return.h"
#include "store/store.h"

#define IMAP_SEARCH_DEPTH_MAX	50	/* NOT, OR and parentheses inside each other: the evaluator recurses */
#define IMAP_SEARCH_KEYS_MAX	2000	/* keys of a search: each is looked at for each message */

enum search_op {
	SEARCH_AND,		/* of the list at a */
	SEARCH_OR,		/* a, a->next */
	SEARCH_NOT,		/* a */
	SEARCH_ALL, SEARCH_SEQ, SEARCH_UID,
	SEARCH_FLAG,		/* flag */
	SEARCH_RECENT,
	SEARCH_KEYWORD,		/* text */
	SEARCH_LARGER, SEARCH_SMALLER,
	SEARCH_MODSEQ,		/* modseq */
	SEARCH_BEFORE, SEARCH_ON, SEARCH_SINCE,
	SEARCH_SENTBEFORE, SEARCH_SENTON, SEARCH_SENTSINCE,
	SEARCH_HEADER,		/* field, text */
	SEARCH_BODY, SEARCH_TEXT,
	SEARCH_SAVEDBEFORE, SEARCH_SAVEDON, SEARCH_SAVEDSINCE,
	SEARCH_EMAILID,		/* text */
	SEARCH_THREADID,
	SEARCH_OLDER, SEARCH_YOUNGER,	/* number: seconds (RFC 5032) */
};

struct search_key {
	enum search_op		 op;
	struct search_key	*a;
	struct search_key	*next;		/* in the list it is in */
	struct seq_set		 seq;
	uint32_t		 flag;
	uint64_t		 number, modseq;
	int64_t			 day;
	struct slice		 field, text;
	/* filled by search.c before it runs */
	struct uid_set		 uids;
	int			 keyword_bit;	/* -1: no message has it */
};

struct search_args {
	struct search_return	 ret;
	struct slice		 charset;	/* p NULL: none was named */
	struct search_key	*root;		/* SEARCH_AND, its list cheapest first */
	bool			 has_modseq;	/* a key asks for it: the answer has it (RFC 7162 3.1.5) */
};

/* SP ["RETURN" SP "(" ... ")" SP] ["CHARSET" SP astring SP] search-key *(SP search-key), to the end. RFC 4731 4 with RFC 4466 4. */
enum parse	parse_search_args(struct slice *cur, struct arena *, struct search_args *out);
/* search-criteria = charset SP search-key *(SP search-key), to the end; nothing to return. RFC 5256 5 */
enum parse	parse_search_criteria(struct slice *cur, struct arena *, struct search_args *out);

#endif
