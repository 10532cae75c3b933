/*
 * A LIST response, also as LSUB and XLIST answer (RFC 3501 7.2.2, RFC 5258 6, RFC 9051 7.3.1).
 */
#ifndef TS_IMAP_LIST_LINE_H
#define TS_IMAP_LIST_LINE_H

#include "imap/imap.h"

/* In the order in which they are told. */
enum list_attribute {
	LIST_IS_NONEXISTENT = 1, LIST_IS_NOSELECT = 2, LIST_HAS_CHILDREN = 4, LIST_HAS_NO_CHILDREN = 8, LIST_IS_SUBSCRIBED = 16,
	LIST_IS_INBOX = 32, LIST_IS_SPAM = 64,	/* of XLIST alone */
};

struct list_line {
	const char	*verb;		/* "LIST", "LSUB", "XLIST" */
	struct slice	 name;		/* UTF-8 */
	unsigned	 attributes;	/* enum list_attribute */
	enum special_use use;
	bool		 has_childinfo;	/* RECURSIVEMATCH: something below is subscribed to */
	struct slice	 oldname;	/* UTF-8; p NULL: none. Only for clients that enabled IMAP4rev2 */
};

void	list_line_tell(struct imap *, const struct list_line *);

#endif
