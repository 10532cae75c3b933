/*
 * A growing byte buffer with a cap. Who owns the struct owns the bytes until buf_free.
 * Adding past the cap fails and adds nothing: it never truncates. Out of memory ends the process
 * (log, exit 111). Not for secrets unless wiped with buf_wipe.
 */
#ifndef TS_BUF_H
#define TS_BUF_H

#include <stdarg.h>
#include <stdint.h>

#include "slice.h"

struct buf {
	char	*p;		/* owned; NULL while nothing was added */
	size_t	 n;		/* bytes held */
	size_t	 size;		/* bytes allocated */
	size_t	 cap;		/* bytes it may ever hold */
	bool	 is_short;	/* a pack_* did not fit (pack.h); buf_clear forgets it */
};

/* An empty buffer that may hold at most cap bytes. Allocates nothing. */
struct buf	 buf_make(size_t cap);
void		 buf_free(struct buf *);
/* Overwrites the bytes (explicit_bzero), then buf_free. */
void		 buf_wipe(struct buf *);
/* Forgets the bytes, keeps the memory. */
void		 buf_clear(struct buf *);
/* Each adds all of it and returns 0, or adds nothing and returns -1 with errno ENOBUFS. */
int		 buf_add(struct buf *, const void *, size_t);
int		 buf_add_slice(struct buf *, struct slice);
int		 buf_add_str(struct buf *, const char *);
int		 buf_addf(struct buf *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for n more bytes at p + n (to read into); NULL with ENOBUFS past the cap. Commit with b->n += used. */
char		*buf_room(struct buf *, size_t n);
/* Drops the first n bytes (n <= b->n). */
void		 buf_drop(struct buf *, size_t n);
struct slice	 buf_slice(const struct buf *);

#endif
