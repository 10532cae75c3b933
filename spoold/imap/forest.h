/*
 * A forest that is linked and cut while its roots are asked for, each in time that grows with the logarithm of its size, however
 * deep its trees are. THREAD's loops are found by it (RFC 5256 3, step 1).
 */
#ifndef TS_IMAP_FOREST_H
#define TS_IMAP_FOREST_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"

#define FOREST_NONE	UINT32_MAX

struct forest {
	struct forest_node {
		uint32_t	up;		/* in its splay tree, or of that tree's path */
		uint32_t	down[2];	/* nearer to the root, further from it */
	} *nodes;				/* in the caller's arena */
};

/* n nodes, each a tree of its own. False when the arena is full. */
bool		forest_make(struct forest *, uint32_t n, struct arena *);
uint32_t	forest_root(struct forest *, uint32_t node);
/* Child, a root, goes under a node of another tree. */
void		forest_link(struct forest *, uint32_t child, uint32_t parent);
/* Child leaves its parent, with all that is under it. */
void		forest_cut(struct forest *, uint32_t child);

#endif
