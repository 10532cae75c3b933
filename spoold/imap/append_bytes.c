/*
 * Keeps an APPEND's messages until they are appended: line ends become CRLF, few bytes stay in memory, more go to an unlinked
 * file in the user's partition. Called by append.c, and by read.c with a literal's bytes as they come. Never holds a message in
 * memory that is larger than IMAP_APPEND_MEM_BYTES.
 */
#include "imap/append_bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define APPEND_PIECE_BYTES	(16 * 1024)	/* converted and written at a time */

/*
 * An unlinked file in the user's partition: a worker may write nowhere else, and the space it takes is
 * the one the message needs. No hash folder begins with '~'. -1 with errno.
 */
static int
file_make(const struct imap *im)
{
	const char	*dir = im->s->host->active_dir, *partition = store_partition(im->store);
	char		 path[PATH_MAX];
	int		 fd, n;

	n = snprintf(path, sizeof(path), "%s/%s", dir, partition);
	if (n < 0 || (size_t)n + sizeof("/~append.XXXXXX") > sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if ((fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) != -1 || errno != EOPNOTSUPP)
		return fd;
	(void)strcpy(path + n, "/~append.XXXXXX");	/* a file system without O_TMPFILE */
	if ((fd = mkostemp(path, O_CLOEXEC)) != -1)
		(void)unlink(path);
	return fd;
}

static void
file_fail(struct imap *im)
{
	LOG("warn.append.file", log_slice("sid", im->s->who.sid), log_i64("errno", errno));
	im->append.is_failed = true;
	if (im->append.fd != -1)
		(void)close(im->append.fd);
	im->append.fd = -1;
}

static void
file_write(struct imap *im, struct slice s)
{
	struct append	*a = &im->append;

	while (s.n > 0) {
		ssize_t	n = write(a->fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			file_fail(im);
			return;
		}
		s = (struct slice){s.p + n, s.n - (size_t)n};
	}
}

/* Converted bytes: to memory while they fit, else to the file. */
static void
bytes_keep(struct imap *im, struct slice s)
{
	struct append	*a = &im->append;

	a->bytes += s.n;
	if (a->is_failed || (a->fd == -1 && buf_add_slice(&a->mem, s) == 0))
		return;
	if (a->fd == -1) {
		if ((a->fd = file_make(im)) == -1) {
			file_fail(im);
			return;
		}
		file_write(im, buf_slice(&a->mem));
		buf_free(&a->mem);
		if (a->is_failed)
			return;
	}
	file_write(im, s);
}

static void
bytes_convert(struct imap *im, struct slice in, bool last)
{
	struct buf	piece = buf_make(2 * APPEND_PIECE_BYTES + 8);	/* frame_chunk's most */

	if (frame_chunk(&im->append.frame, in, last, &piece) != 0)
		im->append.is_failed = true;
	bytes_keep(im, buf_slice(&piece));
	buf_free(&piece);
}

void
append_take(struct imap *im, struct slice in)
{
	while (in.n > 0) {
		size_t	n = in.n < APPEND_PIECE_BYTES ? in.n : APPEND_PIECE_BYTES;

		bytes_convert(im, (struct slice){in.p, n}, false);
		in = (struct slice){in.p + n, in.n - n};
	}
}

void
append_flush(struct imap *im)
{
	if (im->append.frame.state == DOT_CR)
		bytes_convert(im, SLICE(""), true);
}

struct body_src
append_source(const struct imap *im, uint64_t at, uint64_t n)
{
	const struct append	*a = &im->append;

	if (a->fd != -1)
		return (struct body_src){.fd = a->fd, .offset = at, .bytes = n};
	return (struct body_src){.mem = {a->mem.p + at, (size_t)n}, .fd = -1, .bytes = n};
}

void
append_drop(struct imap *im)
{
	buf_free(&im->append.mem);
	if (im->append.fd != -1)
		(void)close(im->append.fd);
	im->append = (struct append){.fd = -1, .mem = buf_make(IMAP_APPEND_MEM_BYTES)};
}
