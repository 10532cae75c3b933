/*
 * Step 5 of REFERENCES: heads of threads with the same base subject come together. Called by thread_tree.c after step 4 has put
 * heads and children in order. Changes parents only. RFC 5256 3.
 */
#include "imap/thread_tree.h"

/* (B)(i): a dummy's is its first child's. */
static uint32_t
subject_of(const struct thread_tree *t, uint32_t head)
{
	uint32_t	node = is_thread_dummy(t, head) ? t->first[head] : head;

	return t->in->messages[t->message[node]].subject;
}

static bool
is_reply(const struct thread_tree *t, uint32_t head)
{
	return !is_thread_dummy(t, head) && t->in->messages[t->message[head]].is_reply;
}

/* (B)(iv): is the head a better one for its subject than what the table has? */
static bool
is_better(const struct thread_tree *t, uint32_t head, uint32_t than)
{
	return !is_thread_dummy(t, than) && (is_thread_dummy(t, head) || (is_reply(t, than) && !is_reply(t, head)));
}

/* (C): merges a head with the table's; what the table has then. */
static uint32_t
head_merge(struct thread_tree *t, uint32_t head, uint32_t with)
{
	uint32_t	dummy;

	if (is_thread_dummy(t, head)) {		/* then both are: a dummy is better than a message */
		for (uint32_t child = t->first[head]; child != THREAD_NONE; child = t->next[child])
			t->parent[child] = with;
		return with;
	}
	if (is_thread_dummy(t, with) || (is_reply(t, head) && !is_reply(t, with))) {
		t->parent[head] = with;
		return with;
	}
	dummy = t->nnodes++;
	t->parent[head] = t->parent[with] = dummy;
	return dummy;
}

bool
thread_merge(struct thread_tree *t, struct arena *arena)
{
	uint32_t	*table = ARENA_NEW(arena, uint32_t, (size_t)t->in->nsubjects + 1);

	if (table == NULL)
		return false;
	memset(table, 0xff, t->in->nsubjects * sizeof(*table));
	for (uint32_t head = t->root_first; head != THREAD_NONE; head = t->next[head]) {
		uint32_t	subject = subject_of(t, head);

		if (subject != THREAD_NONE && (table[subject] == THREAD_NONE || is_better(t, head, table[subject])))
			table[subject] = head;
	}
	for (uint32_t head = t->root_first; head != THREAD_NONE; head = t->next[head]) {
		uint32_t	subject = subject_of(t, head);

		if (subject != THREAD_NONE && table[subject] != head)
			table[subject] = head_merge(t, head, table[subject]);
	}
	return true;
}
