/*
 * Threads of messages, as arrays of numbers: what THREAD's algorithms take and make (RFC 5256 3). Pure, but for the caller's arena.
 *
 * A node is a message, or a dummy: an id that no message has, or what step 5 puts over two threads.
 */
#ifndef TS_IMAP_THREAD_TREE_H
#define TS_IMAP_THREAD_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"

#define THREAD_NONE	UINT32_MAX

/* In the mailbox's order. */
struct thread_message {
	int64_t		sent_s;
	uint32_t	node;		/* each message has its own */
	uint32_t	subject;	/* number of the base subject; REFERENCES: THREAD_NONE where that is empty */
	uint32_t	refs_end;	/* in refs; they begin where the message before ends */
	bool		is_reply;	/* or forward */
};

struct thread_input {
	struct thread_message	*messages;
	uint32_t		 n;
	uint32_t		*refs;		/* nodes, the oldest first */
	uint32_t		 nnodes;
	uint32_t		 nsubjects;
};

struct thread_tree {
	const struct thread_input *in;
	uint32_t	 nnodes;	/* of in, and those of step 5 */
	uint32_t	*order;		/* messages by sent date, then by their place in the mailbox */
	/* by node; THREAD_NONE: none */
	uint32_t	*message;	/* of a dummy: none */
	uint32_t	*parent;	/* of a thread's head: none */
	uint32_t	*first, *last, *next;	/* children in order, siblings */
	uint32_t	 root_first, root_last;	/* heads; a dummy among them has children, messages all */
};

/* Each false when the arena is full. */
bool	thread_references(struct thread_tree *, const struct thread_input *, struct arena *);
bool	thread_ordered_subject(struct thread_tree *, const struct thread_input *, struct arena *);

/* Step 1: parents by references (thread_link.c). */
bool	thread_link(struct thread_tree *, struct arena *);
/* Step 5: heads with one subject become one thread; the order of children is to be made anew (thread_subject.c). */
bool	thread_merge(struct thread_tree *, struct arena *);

static inline bool
is_thread_dummy(const struct thread_tree *t, uint32_t node)
{
	return t->message[node] == THREAD_NONE;
}

#endif
