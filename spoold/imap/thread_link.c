/*
 * Step 1 of REFERENCES: parents, from the ids that messages refer to. Called by thread_tree.c. A child that is to be linked has no
 * parent, so that a link makes a loop exactly where the child is the root over its new parent: one question to
 * the forest, whatever chains a sender made up. RFC 5256 3.
 */
#include "imap/forest.h"
#include "imap/thread_tree.h"

static void
link_try(struct thread_tree *t, struct forest *f, uint32_t parent, uint32_t child)
{
	if (forest_root(f, parent) == child)
		return;
	forest_link(f, child, parent);
	t->parent[child] = parent;
}

bool
thread_link(struct thread_tree *t, struct arena *arena)
{
	const struct thread_input	*in = t->in;
	struct forest			 f;
	uint32_t			 from = 0;

	if (!forest_make(&f, in->nnodes, arena))
		return false;
	for (uint32_t i = 0; i < in->n; i++) {
		uint32_t	node = in->messages[i].node, end = in->messages[i].refs_end;

		/* (A): an existing link stays. */
		for (uint32_t k = from; k + 1 < end; k++)
			if (t->parent[in->refs[k + 1]] == THREAD_NONE)
				link_try(t, &f, in->refs[k], in->refs[k + 1]);
		/* (B): the message itself knows better than who referred to it. */
		if (t->parent[node] != THREAD_NONE) {
			forest_cut(&f, node);
			t->parent[node] = THREAD_NONE;
		}
		if (end > from)
			link_try(t, &f, in->refs[end - 1], node);
		from = end;
	}
	return true;
}
