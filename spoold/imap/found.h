/*
 * What a search found: a message's numbers each, in the order of the mailbox, or as SORT puts them.
 */
#ifndef TS_IMAP_FOUND_H
#define TS_IMAP_FOUND_H

#include "imap/imap.h"

struct found_msg { uint32_t uid, seq; uint64_t modseq; };

struct found {
	struct found_msg *msgs;		/* in the command's arena */
	size_t		  n, cap;
	size_t		  most;		/* so many are enough: the search may stop */
	bool		  has_modseq;	/* a key asked for it: it is told (RFC 7162 3.1.5) */
};

struct found	found_make(size_t most);
/* The highest modseq of messages from..to (not included). */
uint64_t	found_modseq(const struct found *, size_t from, size_t to);
/* " (MODSEQ 5)", at the end of SEARCH and SORT, where it is asked for and something was found (RFC 7162 3.1.5, 3.1.9). */
void		found_modseq_put(struct session *, const struct found *);
/* False when the arena is full. */
bool		found_add(struct found *, struct arena *, const struct msg_info *);
static inline uint32_t
found_number(const struct found_msg *m, bool is_uid)
{
	return is_uid ? m->uid : m->seq;
}
/*
 * Writes messages from..to (not included) as a sequence set (RFC 3501 9) in their order, neighbours that ascend by one as a
 * range: no number stands for a message that is not among them. from < to.
 */
void		found_set_put(struct session *, const struct found *, size_t from, size_t to, bool is_uid);

#endif
