/*
 * A slice: bytes that somebody else owns, a pointer and a length. Not NUL-terminated.
 * Parsers take and give slices; what must outlive the input is copied into an arena.
 */
#ifndef TS_SLICE_H
#define TS_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
	const char	*p;
	size_t		 n;
};

/* A slice of a string literal. */
#define SLICE(lit)	((struct slice){(lit), sizeof(lit) - 1})

static inline struct slice
slice_of(const char *s)
{
	return (struct slice){s, strlen(s)};
}

static inline bool
slice_is(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case-insensitive equality, whatever the locale says is "C" here: daemons never call setlocale. */
static inline bool
slice_is_nocase(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

#endif
