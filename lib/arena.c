/*
 * An arena: a list of blocks, each at least twice the one before, given out from front to back.
 * Only whole arenas are taken back.
 */
#include "arena.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>

#include "log.h"

#define ARENA_FIRST_BYTES	2048		/* a command's tokens */
#define ARENA_KEEP_BYTES	(64 * 1024)	/* a larger block is not kept over a reset: an idle session is to be small */
#define ARENA_BLOCK_MAX_BYTES	(1024 * 1024)	/* blocks stop doubling here */

struct arena_block {
	struct arena_block	*next;	/* owned */
	size_t			 size, used;
	alignas(max_align_t) char bytes[];
};

struct arena
arena_make(size_t cap)
{
	return (struct arena){.cap = cap};
}

static void
arena_free_from(struct arena_block *b)
{
	while (b != NULL) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
}

void
arena_reset(struct arena *a)
{
	a->used = 0;
	if (a->head == NULL)
		return;
	arena_free_from(a->head->next);
	a->head->next = NULL;
	a->head->used = 0;
	if (a->head->size > ARENA_KEEP_BYTES) {
		free(a->head);
		a->head = NULL;
	}
}

void
arena_free(struct arena *a)
{
	arena_free_from(a->head);
	a->head = NULL;
	a->used = 0;
}

static struct arena_block *
arena_block_make(size_t least, const struct arena_block *before)
{
	size_t size = before == NULL ? ARENA_FIRST_BYTES : before->size * 2;
	struct arena_block *b;

	if (size > ARENA_BLOCK_MAX_BYTES)
		size = ARENA_BLOCK_MAX_BYTES;
	if (size < least)
		size = least;
	if (size > SIZE_MAX - sizeof(*b) || (b = malloc(sizeof(*b) + size)) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", size));
	b->size = size;
	b->used = 0;
	return b;
}

void *
arena_alloc(struct arena *a, size_t n, size_t each)
{
	size_t bytes, rounded;
	struct arena_block *b;
	void *p;

	if (__builtin_mul_overflow(n, each, &bytes) ||
	    __builtin_add_overflow(bytes, alignof(max_align_t) - 1, &rounded) || a->used > a->cap ||
	    bytes > a->cap - a->used) {
		errno = ENOBUFS;
		return NULL;
	}
	rounded -= rounded % alignof(max_align_t);
	if (rounded == 0)
		rounded = alignof(max_align_t);	/* every piece has an address of its own */
	b = a->head;
	if (b == NULL || rounded > b->size - b->used) {
		b = arena_block_make(rounded, a->head);
		b->next = a->head;
		a->head = b;
	}
	p = b->bytes + b->used;
	b->used += rounded;
	a->used += bytes;
	memset(p, 0, bytes);
	return p;
}

char *
arena_copy(struct arena *a, struct slice s)
{
	char *p;

	if (s.n == SIZE_MAX) {
		errno = ENOBUFS;
		return NULL;
	}
	if ((p = arena_alloc(a, s.n + 1, 1)) == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

struct slice
arena_slice(struct arena *a, struct slice s)
{
	char *p = arena_copy(a, s);

	return p == NULL ? (struct slice){NULL, 0} : (struct slice){p, s.n};
}
