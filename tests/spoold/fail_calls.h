/*
 * System calls and allocations that fail: the Nth of those made after fail_begin. They are replaced by
 * definitions here, which the linker prefers to libc's, for the program and for LMDB under it.
 */
#ifndef TS_FAIL_CALLS_H
#define TS_FAIL_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FAIL_SHORT	(-1)	/* half of what was asked for, and no error */
#define FAIL_DIE	(-2)	/* the process ends before the call */
#define FAIL_TEAR	(-3)	/* it ends in the middle of a pwritev: only those are counted */
#define FAIL_DIED	99	/* with this status */

enum fail_kind { FAIL_CALLS, FAIL_MALLOC };

static enum fail_kind fail_kind;
static int	fail_at;	/* this many calls from now; 0: none */
static int	fail_with;	/* an errno, or FAIL_SHORT */
static bool	fail_on;	/* and every one after */
static bool	fail_came;
static ino_t	watched;	/* a log */
static int	synced_by[4];	/* how often it was, by access mode of the descriptor */
static __attribute__((unused)) unsigned locks;	/* how often one was asked for */

static bool
fail_due(enum fail_kind kind, bool takes_short)
{
	if (fail_at == 0 || kind != fail_kind || (fail_with == FAIL_SHORT && !takes_short) || fail_with == FAIL_TEAR ||
	    (fail_at > 1 && fail_at-- > 0))
		return false;
	if (!fail_on)
		fail_at = 0;
	fail_came = true;
	if (fail_with == FAIL_DIE)
		_exit(FAIL_DIED);
	errno = fail_with == FAIL_SHORT ? 0 : fail_with;
	return true;
}

static ino_t	fail_ino;	/* every write to this file fails; 0: none */
static int	fail_ino_with;

static ino_t	fail_read_ino;	/* every read of this file beyond a place is EIO */
static uint64_t	fail_read_from;
static __attribute__((unused)) bool fail_fsyncs;	/* in the store: of directories */
static bool	fail_opens_to_write;	/* of logs and indexes: EROFS */

static bool
fail_file(int fd)
{
	struct stat st;

	if (fail_ino == 0 || fstat(fd, &st) != 0 || st.st_ino != fail_ino)
		return false;
	errno = fail_ino_with;
	return true;
}

static __attribute__((unused)) void
fail_begin(int at, int with, bool on)
{
	fail_kind = FAIL_CALLS;
	fail_at = at;
	fail_with = with;
	fail_on = on;
	fail_came = false;
}

/* True when the call that was to fail came. */
static __attribute__((unused)) bool
fail_end(void)
{
	fail_at = 0;
	return fail_came;
}

ssize_t
pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	static bool is_full;

	if (fail_file(fd))
		return -1;
	if (fail_with == FAIL_TEAR && fail_at > 0 && --fail_at == 0)
		_exit(syscall(SYS_pwrite64, fd, v[0].iov_base, v[0].iov_len / 2, at) < 0 ? 1 : FAIL_DIED);
	if (is_full || fail_due(FAIL_CALLS, true)) {
		size_t part = v[0].iov_len / 2;
		bool takes_part = !is_full && part > 0 && (fail_with == ENOSPC || fail_with == FAIL_SHORT);

		/* A disk that fills up takes a part first. */
		is_full = takes_part && fail_with == ENOSPC;
		if (takes_part && syscall(SYS_pwrite64, fd, v[0].iov_base, part, at) == (long)part)
			return (ssize_t)part;
		is_full = false;
		errno = fail_with == FAIL_SHORT ? EIO : fail_with;
		return -1;
	}
	return syscall(SYS_pwritev, fd, v, n, at & 0xffffffff, at >> 32);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (fail_file(fd))
		return -1;
	if (fail_due(FAIL_CALLS, true)) {
		if (fail_with != FAIL_SHORT)
			return -1;
		n /= 2;
	}
	return syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	if (fd > 2 && fail_due(FAIL_CALLS, true)) {
		if (fail_with != FAIL_SHORT)
			return -1;
		n /= 2;
	}
	return syscall(SYS_write, fd, p, n);
}

ssize_t
pread(int fd, void *p, size_t n, off_t at)
{
	struct stat st;

	if (fail_read_ino != 0 && fstat(fd, &st) == 0 && st.st_ino == fail_read_ino && (uint64_t)at + n > fail_read_from) {
		errno = EIO;
		return -1;
	}
	if (fail_due(FAIL_CALLS, true)) {
		if (fail_with != FAIL_SHORT)
			return -1;
		n = n > 1 ? n / 2 : n;
	}
	return syscall(SYS_pread64, fd, p, n, at);
}

int
fdatasync(int fd)
{
	struct stat st;

	if (watched != 0 && fstat(fd, &st) == 0 && st.st_ino == watched)
		synced_by[fcntl(fd, F_GETFL) & O_ACCMODE]++;
	return fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
	if (fail_fsyncs) {
		errno = EIO;
		return -1;
	}
	return fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_fsync, fd);
}

int
ftruncate(int fd, off_t n)
{
	return fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int
fallocate(int fd, int mode, off_t at, off_t n)
{
	return fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, n);
}

int
posix_fallocate(int fd, off_t at, off_t n)
{
	if (fail_due(FAIL_CALLS, false))
		return errno;
	return syscall(SYS_fallocate, fd, 0, at, n) == 0 ? 0 : errno;
}

int
rename(const char *from, const char *to)
{
	return fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int
renameat(int a, const char *from, int b, const char *to)
{
	return fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_renameat, a, from, b, to);
}

int
unlinkat(int dir, const char *path, int flags)
{
	return fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}

int
faccessat(int dir, const char *path, int mode, int flags)
{
	(void)flags;
	return fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_faccessat, dir, path, mode);
}

/* Giving a lock back does not fail. */
int
flock(int fd, int how)
{
	locks++;
	return how != LOCK_UN && fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_flock, fd, how);
}

int
mkdir(const char *path, mode_t mode)
{
	return fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

#define OPEN_MODE(flags, mode)						\
	do {								\
		va_list ap;						\
		va_start(ap, flags);					\
		if ((flags) & O_CREAT)					\
			(mode) = va_arg(ap, mode_t);			\
		va_end(ap);						\
	} while (0)

int
openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;

	OPEN_MODE(flags, mode);
	if (fail_opens_to_write && (flags & O_ACCMODE) != O_RDONLY && strncmp(path, "log.", 4) == 0) {
		errno = EROFS;
		return -1;
	}
	return fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

int
open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	OPEN_MODE(flags, mode);
	if (fail_opens_to_write && (flags & O_ACCMODE) != O_RDONLY && strstr(path, ".mdb") != NULL) {
		errno = EROFS;
		return -1;
	}
	return fail_due(FAIL_CALLS, false) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

void *
mmap(void *p, size_t n, int prot, int flags, int fd, off_t at)
{
	if (fd >= 0 && fail_due(FAIL_CALLS, false))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, p, n, prot, flags, fd, at);
}

/* The sanitizers have an allocator of their own. */
#ifndef __SANITIZE_ADDRESS__
#define CAN_FAIL_MALLOC 1
void	*__libc_malloc(size_t);
void	*__libc_calloc(size_t, size_t);
void	*__libc_realloc(void *, size_t);

void *
malloc(size_t n)
{
	if (fail_due(FAIL_MALLOC, false)) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(n);
}

void *
calloc(size_t n, size_t m)
{
	if (fail_due(FAIL_MALLOC, false)) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_calloc(n, m);
}

void *
realloc(void *p, size_t n)
{
	if (fail_due(FAIL_MALLOC, false)) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(p, n);
}
#endif

#endif
