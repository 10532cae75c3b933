/*
 * Reading by lines in bounded memory. Used by the readers of mbox and mbx files.
 */
#include "import/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void
lines_begin(struct lines *l, int fd, uint64_t offset)
{
	l->fd = fd;
	l->offset = offset;
	l->n = l->at = l->last = 0;
	l->is_inside = l->was_inside = false;
}

/* More at the end of what is there; false at the end of the file or where it cannot be read. */
static bool
fill(struct lines *l)
{
	ssize_t got;

	if (l->at > 0) {
		memmove(l->p, l->p + l->at, l->n - l->at);
		l->n -= l->at;
		l->at = 0;
	}
	errno = 0;
	if (l->n == sizeof(l->p))
		return false;
	while ((got = pread(l->fd, l->p + l->n, sizeof(l->p) - l->n, (off_t)(l->offset + l->n))) < 0 && errno == EINTR)
		continue;
	if (got <= 0) {
		errno = got < 0 ? errno : 0;
		return false;
	}
	l->n += (size_t)got;
	return true;
}

static void
take(struct lines *l, size_t n, bool ends, struct slice *out)
{
	*out = (struct slice){l->p + l->at, n};
	l->at += n;
	l->offset += n;
	l->last = n;
	l->was_inside = l->is_inside;
	l->is_inside = !ends;
}

bool
lines_next(struct lines *l, struct slice *out, bool *begins_out)
{
	const char *end;

	*begins_out = !l->is_inside;
	while ((end = memchr(l->p + l->at, '\n', l->n - l->at)) == NULL) {
		if (fill(l))
			continue;
		if (errno != 0 || l->n == l->at)
			return false;
		/* A line longer than there is room for, or the last one without an end. */
		take(l, l->n - l->at, l->n < sizeof(l->p), out);
		return true;
	}
	take(l, (size_t)(end + 1 - (l->p + l->at)), true, out);
	return true;
}

void
lines_back(struct lines *l)
{
	l->at -= l->last;
	l->offset -= l->last;
	l->is_inside = l->was_inside;
	l->last = 0;
}

bool
lines_raw(struct lines *l, size_t n, struct slice *out)
{
	if (l->n == l->at && !fill(l))
		return false;
	take(l, n < l->n - l->at ? n : l->n - l->at, true, out);
	return true;
}
