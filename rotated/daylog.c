/*
 * Files of the redundant spool. The days process opens logs here, its helpers list and remove them.
 * A log's bytes are never changed here: only its header is written, into an empty file.
 */
#include "daylog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "scan.h"

#define DAYLOG_DAYS_MAX		(100 * 1000)	/* 30 years of 9 rotations a day */
#define DAYLOG_HEADER_MAX_BYTES	(RECORD_HEADER_BYTES + RECORD_TRAILER_BYTES + 256)

bool
daylog_is_partition(struct slice s)
{
	if (s.n == 0 || s.n > REDUNDANT_PARTITION_MAX_BYTES || s.p[0] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    strchr("-_.", c) == NULL)
			return false;
	}
	return true;
}

bool
daylog_name(const char *partition, const char *suffix, char out[DAYLOG_NAME_BYTES])
{
	int n = snprintf(out, DAYLOG_NAME_BYTES, "%s%s", partition, suffix);

	return n > 0 && n < DAYLOG_NAME_BYTES;
}

int
daylog_set_append(int fd, bool on)
{
	int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return -1;
	if (((flags & FS_APPEND_FL) != 0) == on)
		return 0;
	flags = on ? flags | FS_APPEND_FL : flags & ~FS_APPEND_FL;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -1 : 0;
}

/* Without the privilege, or on a file system without the flag, the descriptor's O_APPEND is all there is. */
static void
daylog_protect(int fd)
{
	static bool is_told;

	if (daylog_set_append(fd, true) == 0 || is_told)
		return;
	is_told = true;
	LOG("redundant.unprotected", log_str("why", strerrordesc_np(errno)));
}

static int
write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		s.p += n;
		s.n -= (size_t)n;
	}
	return 0;
}

/* A segment record whose salt nobody can guess. */
static int
header_write(int fd, const char *partition, uint32_t *salt_out, uint64_t *size_out)
{
	struct buf out = buf_make(DAYLOG_HEADER_MAX_BYTES), extra = buf_make(DAYLOG_HEADER_MAX_BYTES);
	struct record r = {.type = RECORD_SEGMENT, .date_ms = now_ms()};
	int failed = -1;

	if (getrandom(&r.uid, sizeof(r.uid), 0) != sizeof(r.uid))
		goto out;
	pack_u32(&extra, 1);
	pack_u32(&extra, 0);
	pack_str(&extra, SLICE("redundant"));
	pack_str(&extra, slice_of(partition));
	r.extra = buf_slice(&extra);
	record_pack_head(&out, &r, r.uid);
	r.body_crc = record_crc(r.uid, SLICE(""));
	record_pack_trailer(&out, &r, r.uid);
	*salt_out = r.uid;
	*size_out = out.n;
	failed = write_all(fd, buf_slice(&out)) < 0 || fsync(fd) < 0 ? -1 : 0;
out:
	buf_free(&extra);
	buf_free(&out);
	return failed;
}

static int
header_read(int fd, uint32_t *salt_out, uint64_t *size_out)
{
	struct scan s;
	enum scan_result got = scan_begin(fd, &s);

	*salt_out = s.salt;
	*size_out = s.size;
	scan_free(&s);
	return got == SCAN_RECORD ? 0 : -1;
}

/* The log's header is good or is made good; the file is locked. */
static int
log_prepare(int day_dir, const char *name, int fd, const char *partition, uint32_t *salt_out, uint64_t *size_out)
{
	struct stat st;
	int saved;

	if (fstat(fd, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EBADMSG;
		return -1;
	}
	if (st.st_size > 0) {
		/* Who made it may have died before it was synced, or its name. */
		if (header_read(fd, salt_out, size_out) < 0 || fsync(fd) < 0 || fsync(day_dir) < 0)
			return -1;
	} else if (header_write(fd, partition, salt_out, size_out) < 0 || fsync(day_dir) < 0) {
		/* A part of a header would make every later try begin another day. */
		saved = errno;
		(void)unlinkat(day_dir, name, 0);
		errno = saved;
		return -1;
	}
	daylog_protect(fd);
	return 0;
}

static int
day_open(int dir, const struct day *day)
{
	return openat(dir, day->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int
daylog_make_day(int dir, const struct day *day)
{
	if (mkdirat(dir, day->name, 0700) < 0 && errno != EEXIST)
		return -1;
	return fsync(dir);	/* also where it is there: who made it may have died before this */
}

int
daylog_open(int dir, const struct day *day, const char *partition, uint32_t *salt_out, uint64_t *size_out)
{
	char name[DAYLOG_NAME_BYTES];
	int day_dir, made = -1, fd = -1, saved;

	if (!daylog_name(partition, ".log", name)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (daylog_make_day(dir, day) < 0 || (day_dir = day_open(dir, day)) < 0)
		return -1;
	made = openat(day_dir, name, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* Locked, so that the generation before us does not write its header at the same time. */
	if (made >= 0 && flock(made, LOCK_EX) == 0 &&
	    log_prepare(day_dir, name, made, partition, salt_out, size_out) == 0)
		fd = openat(day_dir, name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	saved = errno;
	if (made >= 0)
		close(made);
	close(day_dir);
	errno = saved;
	return fd;
}

static int
day_order(const void *a, const void *b)
{
	return day_compare(a, b);
}

/* Takes the descriptor over. NULL with errno. */
static DIR *
dir_read(int fd)
{
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int saved = errno;

	if (d == NULL && fd >= 0)
		close(fd);
	errno = saved;
	return d;
}

int
daylog_list(int dir, struct day **out, size_t *n_out)
{
	DIR *d = dir_read(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct day *days = NULL, day;
	size_t n = 0, size = 0;
	struct dirent *e;

	if (d == NULL)
		return -1;
	while (errno = 0, (e = readdir(d)) != NULL) {
		if (!day_parse(slice_of(e->d_name), &day))
			continue;
		if (n == size) {
			size = size == 0 ? 64 : size * 2;
			if (n >= DAYLOG_DAYS_MAX || (days = reallocarray(days, size, sizeof(*days))) == NULL)
				DIE(EXIT_TEMP, "fatal.memory", log_u64("days", n));
		}
		days[n++] = day;
	}
	if (errno != 0) {
		int saved = errno;

		closedir(d);
		free(days);
		errno = saved;
		return -1;
	}
	closedir(d);
	if (n > 0)
		qsort(days, n, sizeof(*days), day_order);
	*out = days;
	*n_out = n;
	return 0;
}

int
daylog_newest(int dir, int64_t number, struct day *out)
{
	struct day *days;
	size_t n;

	if (daylog_list(dir, &days, &n) < 0)
		return -1;
	day_make(number, 1, out);
	for (size_t i = 0; i < n; i++) {
		if (days[i].number == number)
			*out = days[i];
	}
	free(days);
	return 0;
}

int
daylog_each(int dir, const struct day *day, const char *suffix, void (*fn)(void *, int, const char *), void *arg)
{
	DIR *d = dir_read(day_open(dir, day));
	size_t nsuffix = strlen(suffix);
	struct dirent *e;
	int failed;

	if (d == NULL)
		return -1;
	while (errno = 0, (e = readdir(d)) != NULL) {
		size_t n = strlen(e->d_name);

		if (n <= nsuffix || strcmp(e->d_name + n - nsuffix, suffix) != 0)
			continue;
		e->d_name[n - nsuffix] = '\0';
		if (daylog_is_partition(slice_of(e->d_name)))
			fn(arg, dirfd(d), e->d_name);
	}
	failed = errno;
	closedir(d);
	errno = failed;
	return failed == 0 ? 0 : -1;
}
