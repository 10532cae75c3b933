/*
 * The frame of THREAD's algorithms: pruning of dummies, and the order of siblings. Called by thread.c. Never recurses; the one
 * sort is over all messages, and putting them into their parents' lists in that order sorts every set of siblings.
 * RFC 5256 3: ORDEREDSUBJECT, REFERENCES steps 2, 3, 4 and 6.
 */
#include "imap/thread_tree.h"

#include "imap/order.h"

static int
sent_compare(const void *arg, uint32_t x, uint32_t y)
{
	const struct thread_message	*messages = arg;

	return (messages[x].sent_s > messages[y].sent_s) - (messages[x].sent_s < messages[y].sent_s);
}

static bool
tree_make(struct thread_tree *t, const struct thread_input *in, struct arena *arena)
{
	uint32_t	**arrays[] = {&t->message, &t->parent, &t->first, &t->last, &t->next};
	uint32_t	*tmp = ARENA_NEW(arena, uint32_t, (size_t)in->n + 1);

	/* Step 5 makes at most one dummy for two messages. */
	*t = (struct thread_tree){.in = in, .nnodes = in->nnodes, .order = ARENA_NEW(arena, uint32_t, (size_t)in->n + 1)};
	if (tmp == NULL || t->order == NULL)
		return false;
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
		if ((*arrays[i] = ARENA_NEW(arena, uint32_t, (size_t)in->nnodes + in->n / 2 + 1)) == NULL)
			return false;
		memset(*arrays[i], 0xff, ((size_t)in->nnodes + in->n / 2 + 1) * sizeof(uint32_t));
	}
	for (uint32_t i = 0; i < in->n; i++) {
		t->message[in->messages[i].node] = i;
		t->order[i] = i;
	}
	order_sort(t->order, tmp, in->n, sent_compare, in->messages);
	return true;
}

/* Appends to the children of a node, or to the heads. */
static void
child_append(struct thread_tree *t, uint32_t parent, uint32_t node)
{
	uint32_t	*first = parent == THREAD_NONE ? &t->root_first : &t->first[parent];
	uint32_t	*last = parent == THREAD_NONE ? &t->root_last : &t->last[parent];

	t->next[node] = THREAD_NONE;
	if (*first == THREAD_NONE)
		*first = node;
	else
		t->next[*last] = node;
	*last = node;
}

static void
lists_clear(struct thread_tree *t)
{
	memset(t->first, 0xff, t->nnodes * sizeof(*t->first));
	memset(t->last, 0xff, t->nnodes * sizeof(*t->last));
	memset(t->next, 0xff, t->nnodes * sizeof(*t->next));
	t->root_first = t->root_last = THREAD_NONE;
}

/* Steps 4 and 6: a dummy goes by its first child, so it is put in its place together with that. */
static void
lists_make(struct thread_tree *t)
{
	lists_clear(t);
	for (uint32_t i = 0; i < t->in->n; i++) {
		uint32_t	node = t->in->messages[t->order[i]].node, parent = t->parent[node];

		if (parent != THREAD_NONE && is_thread_dummy(t, parent) && t->first[parent] == THREAD_NONE)
			child_append(t, THREAD_NONE, parent);
		child_append(t, parent, node);
	}
}

/*
 * Step 3. Parents come before their children in the queue; a node under a dummy that is no head goes to that dummy's parent. A dummy
 * without children is in no list and so is gone.
 */
static bool
dummies_prune(struct thread_tree *t, struct arena *arena)
{
	uint32_t	*queue = ARENA_NEW(arena, uint32_t, (size_t)t->nnodes + 1), n = 0;
	uint32_t	*nchildren = ARENA_NEW(arena, uint32_t, (size_t)t->nnodes + 1);

	if (queue == NULL || nchildren == NULL)
		return false;
	lists_clear(t);
	for (uint32_t node = 0; node < t->nnodes; node++)
		child_append(t, t->parent[node], node);
	for (uint32_t node = t->root_first; node != THREAD_NONE; node = t->next[node])
		queue[n++] = node;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t	parent = t->parent[queue[i]];

		if (parent != THREAD_NONE && is_thread_dummy(t, parent) && t->parent[parent] != THREAD_NONE)
			t->parent[queue[i]] = t->parent[parent];
		for (uint32_t child = t->first[queue[i]]; child != THREAD_NONE; child = t->next[child])
			queue[n++] = child;
	}
	for (uint32_t i = 0; i < t->in->n; i++) {
		uint32_t	parent = t->parent[t->in->messages[i].node];

		if (parent != THREAD_NONE)
			nchildren[parent]++;
	}
	/* A dummy stays at the head of two or more. */
	for (uint32_t i = 0; i < t->in->n; i++) {
		uint32_t	node = t->in->messages[i].node, parent = t->parent[node];

		if (parent != THREAD_NONE && is_thread_dummy(t, parent) && nchildren[parent] == 1)
			t->parent[node] = THREAD_NONE;
	}
	return true;
}

bool
thread_references(struct thread_tree *t, const struct thread_input *in, struct arena *arena)
{
	if (!tree_make(t, in, arena) || !thread_link(t, arena) || !dummies_prune(t, arena))
		return false;
	lists_make(t);
	if (!thread_merge(t, arena))
		return false;
	lists_make(t);
	return true;
}

/* The first of a subject by its date is the parent of the others. */
bool
thread_ordered_subject(struct thread_tree *t, const struct thread_input *in, struct arena *arena)
{
	uint32_t	*heads = ARENA_NEW(arena, uint32_t, (size_t)in->nsubjects + 1);

	if (heads == NULL || !tree_make(t, in, arena))
		return false;
	memset(heads, 0xff, in->nsubjects * sizeof(*heads));
	for (uint32_t i = 0; i < in->n; i++) {
		const struct thread_message	*m = &in->messages[t->order[i]];

		t->parent[m->node] = heads[m->subject];
		if (heads[m->subject] == THREAD_NONE)
			heads[m->subject] = m->node;
	}
	lists_make(t);
	return true;
}
