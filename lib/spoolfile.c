/*
 * The holder of a message in flight. The LMTP server fills it, the daemon sends it on; it never
 * outlives the transaction. A file has no name, so nothing is left behind by a crash.
 */
#include "spoolfile.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SPOOLFILE_KEEP_BYTES	(16 * 1024)	/* a larger buffer is given back between messages */

struct spoolfile
spoolfile_make(struct inflight *inflight)
{
	return (struct spoolfile){
		.inflight = inflight,
		.mem = buf_make(SPOOLFILE_MEMORY_BYTES + SPOOLFILE_STEP_BYTES),
		.fd = -1,
	};
}

void
spoolfile_reset(struct spoolfile *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->inflight->used -= s->counted;
	s->counted = s->written = 0;
	if (s->mem.size > SPOOLFILE_KEEP_BYTES)
		buf_free(&s->mem);
	else
		buf_clear(&s->mem);
}

void
spoolfile_free(struct spoolfile *s)
{
	spoolfile_reset(s);
	buf_free(&s->mem);
}

uint64_t
spoolfile_size(const struct spoolfile *s)
{
	return s->written + s->mem.n;
}

static int
spoolfile_write(struct spoolfile *s)
{
	size_t	done = 0;

	while (done < s->mem.n) {
		ssize_t	n = write(s->fd, s->mem.p + done, s->mem.n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	s->written += s->mem.n;
	buf_clear(&s->mem);
	return 0;
}

int
spoolfile_commit(struct spoolfile *s)
{
	uint64_t	more = spoolfile_size(s) - s->counted;

	if (s->inflight->used >= s->inflight->max || more > s->inflight->max - s->inflight->used) {
		errno = ENOBUFS;
		return -1;
	}
	s->inflight->used += more;
	s->counted += more;
	if (s->mem.n <= SPOOLFILE_MEMORY_BYTES)
		return 0;
	if (s->fd < 0 && s->inflight->dir_fd < 0) {
		errno = EFBIG;
		return -1;
	}
	if (s->fd < 0 && (s->fd = openat(s->inflight->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) < 0)
		return -1;
	return spoolfile_write(s);
}

int
spoolfile_finish(struct spoolfile *s)
{
	return s->fd < 0 || s->mem.n == 0 ? 0 : spoolfile_write(s);
}

ssize_t
spoolfile_read(const struct spoolfile *s, uint64_t offset, char *out, size_t cap)
{
	if (s->fd >= 0)
		return pread(s->fd, out, cap, (off_t)offset);
	if (offset >= s->mem.n)
		return 0;
	if (cap > s->mem.n - offset)
		cap = s->mem.n - offset;
	memcpy(out, s->mem.p + offset, cap);
	return (ssize_t)cap;
}
