/*
 * An arena: memory given out in pieces and taken back all at once. One for a command, one for a
 * session; handlers contain no free. Out of memory, or past the cap, ends the process only where
 * said: arena_alloc returns NULL past the cap (the caller answers with an error), and exits 111
 * when the system has none.
 */
#ifndef TS_ARENA_H
#define TS_ARENA_H

#include "slice.h"

struct arena_block;
struct arena {
	struct arena_block	*head;	/* owned */
	size_t			 used;	/* bytes given out */
	size_t			 cap;	/* most bytes it gives out */
};

struct arena	 arena_make(size_t cap);
/* Everything given out is gone; keeps one block for the next use. */
void		 arena_reset(struct arena *);
void		 arena_free(struct arena *);
/* n bytes, zeroed, aligned for any type; NULL past the cap (errno ENOBUFS). n * each is checked for overflow. */
void		*arena_alloc(struct arena *, size_t n, size_t each);
#define ARENA_NEW(a, type, n)	((type *)arena_alloc((a), (n), sizeof(type)))
/* A copy with a NUL after it (not counted in the slice); NULL past the cap (the slice's p). */
char		*arena_copy(struct arena *, struct slice);
struct slice	 arena_slice(struct arena *, struct slice);

#endif
