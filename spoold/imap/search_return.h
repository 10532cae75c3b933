/*
 * What a search is to return (RFC 4731, RFC 5182, RFC 9394): search-return-opts of SEARCH and SORT. Pure; see
 * parse.h.
 */
#ifndef TS_IMAP_SEARCH_RETURN_H
#define TS_IMAP_SEARCH_RETURN_H

#include "imap/parse.h"

enum { RETURN_MIN = 1, RETURN_MAX = 2, RETURN_ALL = 4, RETURN_COUNT = 8, RETURN_SAVE = 16, RETURN_PARTIAL = 32 };

/* As written: lo may be above hi. Of the last: 1 is the last result, 2 the one before. */
struct partial_range {
	uint32_t	lo, hi;
	bool		is_last;
};

struct search_return {
	bool			is_extended;	/* RETURN was given: ESEARCH answers */
	unsigned		items;		/* RETURN_*; of "()": RETURN_ALL */
	struct partial_range	partial;
};

/* "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")" SP; nothing where the word is not there. */
enum parse	parse_search_return(struct slice *cur, struct search_return *out);
enum parse	parse_partial_range(struct slice *cur, struct partial_range *out);
/* The results of n that the range names: from..to (not included), from == to when none. */
void		partial_range_cut(const struct partial_range *, size_t n, size_t *from_out, size_t *to_out);
/* How many results are enough for what is returned; SIZE_MAX: all. Of a search in the mailbox's order. */
size_t		search_return_most(const struct search_return *);

#endif
