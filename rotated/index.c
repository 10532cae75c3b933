/*
 * Makes a day's index from its log. Runs in the helper process; damage in the log is counted and
 * stepped over, never copied.
 */
#include "index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daylog.h"
#include "scan.h"
#include "sorter.h"

#define INDEX_OUT_BYTES		(64 * 1024)
#define INDEX_LINE_MAX_BYTES	(USER_MAX_BYTES + 128)

/* The file being written: lines are summed as they leave. */
struct writer {
	int		fd;		/* borrowed */
	struct buf	out;
	uint32_t	crc;
};

static int
writer_flush(struct writer *w)
{
	struct slice s = buf_slice(&w->out);

	w->crc = record_crc(w->crc, s);
	while (s.n > 0) {
		ssize_t n = write(w->fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		s.p += n;
		s.n -= (size_t)n;
	}
	buf_clear(&w->out);
	return 0;
}

static int
writer_entry(struct writer *w, const struct entry *e)
{
	if (w->out.n + INDEX_LINE_MAX_BYTES > INDEX_OUT_BYTES && writer_flush(w) < 0)
		return -1;
	if (buf_addf(&w->out, "%s %016llx %016llx %08x ", e->user, (unsigned long long)e->offset,
	    (unsigned long long)e->modseq, (unsigned)e->uid) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(e->guid); i++) {
		if (buf_addf(&w->out, "%02x", e->guid[i]) < 0)
			return -1;
	}
	return buf_addf(&w->out, " %c\n", e->type);
}

/* Adds a record's entry for a user; 0 or -1. */
static int
index_entry(struct sorter *sorter, const struct record *r, struct slice user, uint64_t modseq, uint32_t uid,
    struct index_stats *stats)
{
	struct entry e = {.type = (char)r->type, .offset = r->start, .modseq = modseq, .uid = uid};

	if (!user_is_valid(user)) {
		stats->unusable++;
		return 0;
	}
	memcpy(e.user, user.p, user.n);
	memcpy(e.guid, r->guid, sizeof(e.guid));
	stats->entries++;
	return sorter_add(sorter, &e);
}

static int
index_record(struct sorter *sorter, const struct record *r, struct index_stats *stats)
{
	struct unpack u = unpack_make(r->extra.p, r->extra.n);
	struct record_message m;
	int failed = 0;

	if (r->type == RECORD_SEGMENT)
		return 0;
	stats->records++;
	if (r->type != RECORD_MESSAGE)
		return index_entry(sorter, r, unpack_str(&u), r->modseq, r->uid, stats);
	if (!record_message_unpack(r->extra, &m)) {
		stats->unusable++;
		return 0;
	}
	for (size_t i = 0; i < m.naddressees && failed == 0; i++)
		failed = index_entry(sorter, r, m.addressees[i].user, m.addressees[i].modseq, m.addressees[i].uid, stats);
	return failed;
}

/* Reads the whole log into the sorter. */
static int
index_collect(int log, struct sorter *sorter, uint64_t *size_out, struct index_stats *stats)
{
	enum scan_result got;
	struct record r;
	uint64_t body_at;
	struct scan s;

	if ((got = scan_begin(log, &s)) == SCAN_RECORD) {
		while ((got = scan_next(&s, &r, &body_at)) == SCAN_RECORD && index_record(sorter, &r, stats) == 0)
			continue;
	}
	stats->damaged = s.ndamaged;
	stats->damaged_bytes = s.damaged_bytes;
	*size_out = s.size;
	scan_free(&s);
	return got == SCAN_END ? sorter_finish(sorter) : -1;
}

static int
index_write(int fd, struct sorter *sorter, uint64_t size, const struct index_stats *stats)
{
	struct writer w = {.fd = fd, .out = buf_make(INDEX_OUT_BYTES)};
	struct entry e;
	int got = buf_addf(&w.out, "TSI1 %016llx %016llx %016llx\n", (unsigned long long)size,
	    (unsigned long long)stats->entries, (unsigned long long)stats->damaged);

	while (got == 0 && (got = sorter_next(sorter, &e)) == 1)
		got = writer_entry(&w, &e);
	if (got == 0)
		got = writer_flush(&w);
	if (got == 0)
		got = buf_addf(&w.out, "TSE1 %08x\n", w.crc);
	if (got == 0)
		got = writer_flush(&w);
	buf_free(&w.out);
	return got == 0 && fsync(fd) == 0 ? 0 : -1;
}

/* Is that still the file of that name? The process before us may have renamed it meanwhile. */
static bool
is_named(int fd, int dir, const char *name)
{
	struct stat held, named;

	return fstat(fd, &held) == 0 && fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && held.st_ino == named.st_ino &&
	    held.st_dev == named.st_dev;
}

/* The temporary file, locked and empty. -1 with EWOULDBLOCK when somebody else has it. */
static int
index_temporary(int day_dir, const char *name)
{
	int fd = openat(day_dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), saved;

	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		if (!is_named(fd, day_dir, name))
			errno = EWOULDBLOCK;
		else if (ftruncate(fd, 0) == 0)
			return fd;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int
index_make(int day_dir, const char *partition, size_t memory, struct index_stats *out)
{
	char log_name[DAYLOG_NAME_BYTES], name[DAYLOG_NAME_BYTES], temporary[DAYLOG_NAME_BYTES];
	struct sorter *sorter;
	int log, fd, failed = -1, saved;
	uint64_t size;

	*out = (struct index_stats){0};
	if (!daylog_name(partition, ".log", log_name) || !daylog_name(partition, ".index", name) ||
	    !daylog_name(partition, ".index.tmp", temporary)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if ((log = openat(day_dir, log_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return -1;
	if ((fd = index_temporary(day_dir, temporary)) >= 0) {
		sorter = sorter_make(day_dir, memory);
		if (index_collect(log, sorter, &size, out) == 0 && index_write(fd, sorter, size, out) == 0 &&
		    renameat(day_dir, temporary, day_dir, name) == 0 && fsync(day_dir) == 0)
			failed = 0;
		saved = errno;
		if (failed != 0)
			(void)unlinkat(day_dir, temporary, 0);
		sorter_free(sorter);
		close(fd);
		errno = saved;
	}
	saved = errno;
	close(log);
	errno = saved;
	return failed;
}

bool
index_is_current(int day_dir, const char *partition)
{
	char name[DAYLOG_NAME_BYTES], line[INDEX_HEADER_BYTES + 1];
	unsigned long long covered = 0;
	struct stat st;
	ssize_t n;
	int fd;

	if (!daylog_name(partition, ".log", name) || fstatat(day_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !daylog_name(partition, ".index", name) || (fd = openat(day_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return false;
	n = pread(fd, line, INDEX_HEADER_BYTES, 0);
	close(fd);
	if (n != INDEX_HEADER_BYTES)
		return false;
	line[n] = '\0';
	return strncmp(line, "TSI1 ", 5) == 0 && sscanf(line + 5, "%16llx ", &covered) == 1 &&
	    covered == (unsigned long long)st.st_size;
}
