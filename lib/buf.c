/*
 * A growing byte buffer with a cap, for everything that is put together before it is written.
 * Grows by copying and overwriting the old bytes, so that buf_wipe leaves no copy of a secret behind.
 */
#include "buf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"

#define BUF_FIRST_BYTES	256	/* first allocation: a line of a protocol */

struct buf
buf_make(size_t cap)
{
	return (struct buf){.cap = cap};
}

void
buf_free(struct buf *b)
{
	free(b->p);
	*b = buf_make(b->cap);
}

void
buf_wipe(struct buf *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->size);
	buf_free(b);
}

void
buf_clear(struct buf *b)
{
	b->n = 0;
	b->is_short = false;
}

/* Makes room for n bytes in all; n is within the cap. One byte more is there for the NUL of vsnprintf. */
static void
buf_grow(struct buf *b, size_t n)
{
	size_t size = b->size < BUF_FIRST_BYTES ? BUF_FIRST_BYTES : b->size;
	char *p;

	while (size < n)
		size = size > b->cap / 2 ? b->cap : size * 2;
	if (size > b->cap)
		size = b->cap;
	if (size == SIZE_MAX || (p = malloc(size + 1)) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", size));
	if (b->p != NULL) {
		memcpy(p, b->p, b->n);
		explicit_bzero(b->p, b->size);
		free(b->p);
	}
	b->p = p;
	b->size = size;
}

char *
buf_room(struct buf *b, size_t n)
{
	if (b->n > b->cap || n > b->cap - b->n) {
		errno = ENOBUFS;
		return NULL;
	}
	if (b->p == NULL || b->n + n > b->size)
		buf_grow(b, b->n + n);
	return b->p + b->n;
}

int
buf_add(struct buf *b, const void *bytes, size_t n)
{
	char *p;

	if (n == 0)
		return 0;
	if ((p = buf_room(b, n)) == NULL)
		return -1;
	memcpy(p, bytes, n);
	b->n += n;
	return 0;
}

int
buf_add_slice(struct buf *b, struct slice s)
{
	return buf_add(b, s.p, s.n);
}

int
buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	char *p;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	p = n < 0 ? NULL : buf_room(b, (size_t)n);
	if (p != NULL) {
		vsnprintf(p, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
	return p == NULL ? -1 : 0;
}

void
buf_drop(struct buf *b, size_t n)
{
	assert(n <= b->n);
	b->n -= n;
	if (b->n > 0 && n > 0)
		memmove(b->p, b->p + n, b->n);
}

struct slice
buf_slice(const struct buf *b)
{
	return (struct slice){b->p == NULL ? "" : b->p, b->n};
}
