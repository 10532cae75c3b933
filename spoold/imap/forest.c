/*
 * Link-cut trees (Sleator and Tarjan, 1985): each path that was last walked is a splay tree in the order of its depths. Called by
 * thread_link.c. Never recurses: a chain of a million messages is a path like another.
 */
#include "imap/forest.h"

bool
forest_make(struct forest *f, uint32_t n, struct arena *arena)
{
	if ((f->nodes = ARENA_NEW(arena, struct forest_node, (size_t)n + 1)) == NULL)
		return false;
	for (uint32_t i = 0; i < n; i++)
		f->nodes[i] = (struct forest_node){FOREST_NONE, {FOREST_NONE, FOREST_NONE}};
	return true;
}

/* Which child of its splay tree's parent it is: 0, 1, or -1: it is that tree's root. */
static int
side_of(const struct forest *f, uint32_t x)
{
	uint32_t	up = f->nodes[x].up;

	if (up == FOREST_NONE)
		return -1;
	if (f->nodes[up].down[0] == x)
		return 0;
	return f->nodes[up].down[1] == x ? 1 : -1;
}

static void
rotate(struct forest *f, uint32_t x)
{
	uint32_t	p = f->nodes[x].up, g = f->nodes[p].up, inner;
	int		side = side_of(f, x), outer = side_of(f, p);

	inner = f->nodes[x].down[!side];
	f->nodes[p].down[side] = inner;
	if (inner != FOREST_NONE)
		f->nodes[inner].up = p;
	f->nodes[x].down[!side] = p;
	f->nodes[p].up = x;
	f->nodes[x].up = g;
	if (outer != -1)
		f->nodes[g].down[outer] = x;
}

static void
splay(struct forest *f, uint32_t x)
{
	int	side;

	while ((side = side_of(f, x)) != -1) {
		uint32_t	p = f->nodes[x].up;
		int		outer = side_of(f, p);

		if (outer != -1)
			rotate(f, outer == side ? p : x);
		rotate(f, x);
	}
}

/* Makes the path from x's root to x one splay tree, x at its root. */
static void
access_path(struct forest *f, uint32_t x)
{
	uint32_t	last = FOREST_NONE;

	for (uint32_t y = x; y != FOREST_NONE; y = f->nodes[y].up) {
		splay(f, y);
		f->nodes[y].down[1] = last;
		last = y;
	}
	splay(f, x);
}

uint32_t
forest_root(struct forest *f, uint32_t node)
{
	access_path(f, node);
	while (f->nodes[node].down[0] != FOREST_NONE)
		node = f->nodes[node].down[0];
	splay(f, node);
	return node;
}

void
forest_link(struct forest *f, uint32_t child, uint32_t parent)
{
	access_path(f, child);
	f->nodes[child].up = parent;
}

void
forest_cut(struct forest *f, uint32_t child)
{
	uint32_t	above;

	access_path(f, child);
	above = f->nodes[child].down[0];
	if (above == FOREST_NONE)
		return;
	f->nodes[above].up = FOREST_NONE;
	f->nodes[child].down[0] = FOREST_NONE;
}
