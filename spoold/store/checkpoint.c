/*
 * Checkpoint files. Written after a change when the replay has become long, read by a rebuild, its
 * mark alone by the fence. LMDB has no checksums, so a checkpoint is only used when the one of the
 * whole file holds; without a usable one the replay starts at the log's start.
 */
#include "store/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "pack.h"

#define CHECKPOINT_NAME	"checkpoint"
#define NEW_NAME	"checkpoint.new"
#define MARK_MAGIC	"TSC1"
#define MARK_BYTES	(4 + 4 + 4 + 4 + 8 + 4 + 8 + 4 + 8 + 4 + 4)
#define PIECE_BYTES	(256 * 1024)

static char piece[PIECE_BYTES];

static void
pack_mark(struct buf *b, const struct checkpoint_mark *m)
{
	pack_bytes(b, MARK_MAGIC, 4);
	pack_u32(b, m->version);
	pack_u32(b, m->log_id);
	pack_u32(b, m->segment);
	pack_u64(b, m->offset);
	pack_u32(b, m->numbers.epoch);
	pack_u64(b, m->numbers.next_modseq);
	pack_u32(b, m->numbers.next_uid);
	pack_u64(b, m->bytes);
	pack_u32(b, m->crc);
	pack_u32(b, record_crc(UINT32_MAX, buf_slice(b)));
}

static bool
unpack_mark(struct slice in, struct checkpoint_mark *out)
{
	struct unpack u = unpack_make(in.p, in.n);
	char magic[4];

	unpack_bytes(&u, magic, sizeof(magic));
	out->version = unpack_u32(&u);
	out->log_id = unpack_u32(&u);
	out->segment = unpack_u32(&u);
	out->offset = unpack_u64(&u);
	out->numbers.epoch = unpack_u32(&u);
	out->numbers.next_modseq = unpack_u64(&u);
	out->numbers.next_uid = unpack_u32(&u);
	out->bytes = unpack_u64(&u);
	out->crc = unpack_u32(&u);
	return unpack_u32(&u) == record_crc(UINT32_MAX, (struct slice){in.p, MARK_BYTES - 4}) && unpack_end(&u) &&
	    memcmp(magic, MARK_MAGIC, 4) == 0;
}

static enum lookup
read_mark(int fd, struct checkpoint_mark *out)
{
	char mark[MARK_BYTES];
	struct stat st;

	if (fstat(fd, &st) != 0)
		return LOOKUP_TEMP;
	if (st.st_size < MARK_BYTES)
		return ABSENT;
	if (pread(fd, mark, sizeof(mark), st.st_size - MARK_BYTES) != MARK_BYTES)
		return LOOKUP_TEMP;
	if (!unpack_mark((struct slice){mark, sizeof(mark)}, out) || out->bytes != (uint64_t)st.st_size - MARK_BYTES)
		return ABSENT;
	return FOUND;
}

static int
complain(const char *user, const char *why)
{
	LOG("warn.store.checkpoint", log_str("user", user), log_str("why", why));
	return -1;
}

enum lookup
checkpoint_read(int dir_fd, const char *user, struct checkpoint_mark *out)
{
	int fd = openat(dir_fd, CHECKPOINT_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	enum lookup found;

	if (fd < 0)
		return errno == ENOENT ? ABSENT : LOOKUP_TEMP;
	found = read_mark(fd, out);
	close(fd);
	if (found != FOUND)
		complain(user, found == ABSENT ? "no mark" : strerror(errno));
	return found;
}

/* The checksum of n bytes from the start of a file; with to >= 0 they are copied there. 0 or -1. */
static int
sum_file(int fd, uint64_t n, int to, uint32_t *crc_out)
{
	uint64_t at = 0;

	*crc_out = UINT32_MAX;
	while (at < n) {
		ssize_t got = pread(fd, piece, n - at < PIECE_BYTES ? (size_t)(n - at) : PIECE_BYTES, (off_t)at);

		if (got <= 0) {
			if (got == 0)
				errno = EBADMSG;
			return -1;
		}
		*crc_out = record_crc(*crc_out, (struct slice){piece, (size_t)got});
		if (to >= 0 && pwrite(to, piece, (size_t)got, (off_t)at) != got)
			return -1;
		at += (uint64_t)got;
	}
	return 0;
}

int
checkpoint_restore(int dir_fd, const char *user, const char *path, struct checkpoint_mark *out)
{
	int to, r = -1, fd = openat(dir_fd, CHECKPOINT_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint32_t crc;

	if (fd < 0)
		return errno == ENOENT ? -1 : complain(user, strerror(errno));
	if (read_mark(fd, out) != FOUND) {
		close(fd);
		return complain(user, "no mark");
	}
	if ((to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600)) < 0)
		complain(user, strerror(errno));
	else if (sum_file(fd, out->bytes, to, &crc) != 0)
		complain(user, strerror(errno));
	else if (crc != out->crc)
		complain(user, "checksum");
	else
		r = 0;
	if (to >= 0)
		close(to);
	if (r != 0)
		unlink(path);
	close(fd);
	return r;
}

static int
finish(int fd, struct checkpoint_mark *m)
{
	struct buf b = buf_make(MARK_BYTES);
	struct stat st;
	int r = -1;

	if (fstat(fd, &st) != 0)
		return -1;
	m->bytes = (uint64_t)st.st_size;
	if (sum_file(fd, m->bytes, -1, &m->crc) == 0) {
		pack_mark(&b, m);
		errno = EIO;
		if (pwrite(fd, b.p, b.n, st.st_size) == (ssize_t)b.n)
			r = fsync(fd);
	}
	buf_free(&b);
	return r;
}

/* True when fd is locked by us alone and still has its name: else somebody writes one, or just has. */
static bool
is_ours(int dir_fd, int fd)
{
	struct stat ours, there;

	return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 &&
	    fstatat(dir_fd, NEW_NAME, &there, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_ino == there.st_ino;
}

int
checkpoint_write(int dir_fd, int (*fill)(void *arg, int fd, struct checkpoint_mark *), void *arg)
{
	struct checkpoint_mark m = {0};
	int saved, fd = openat(dir_fd, NEW_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	if (!is_ours(dir_fd, fd)) {
		close(fd);
		return 0;
	}
	if (ftruncate(fd, 0) == 0 && fill(arg, fd, &m) == 0 && finish(fd, &m) == 0 &&
	    renameat(dir_fd, NEW_NAME, dir_fd, CHECKPOINT_NAME) == 0) {
		close(fd);
		return fsync(dir_fd);
	}
	saved = errno;
	unlinkat(dir_fd, NEW_NAME, 0);
	close(fd);
	errno = saved;
	return -1;
}
