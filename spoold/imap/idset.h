/*
 * Texts numbered in the order they first come: Message-IDs and subjects, of which THREAD only asks whether they are the same.
 * Kept is a keyed hash of 128 bits (siphash.h), so that a text takes 16 bytes and nobody can forge a collision.
 */
#ifndef TS_IMAP_IDSET_H
#define TS_IMAP_IDSET_H

#include <stdint.h>

#include "arena.h"
#include "siphash.h"

#define IDSET_FULL	UINT32_MAX

struct idset {
	struct arena		*arena;		/* borrowed */
	struct siphash		 secret;
	struct siphash		*keys;		/* by number */
	uint32_t		 n, cap;
	uint32_t		*slots;		/* number + 1; 0: free */
	uint32_t		 nslots;	/* a power of two, at least twice n; 0: none yet */
	uint32_t		 first;		/* how many slots at first */
};

/* Made for about so many; it grows past that. */
struct idset		idset_make(struct arena *, size_t about);
/* The text's number; a new one when it was not there. IDSET_FULL: the arena is. */
uint32_t		idset_add(struct idset *, struct slice text);

#endif
