/*
 * Segment files: names, heads, making one. Called by the log (under its lock) and by scans. A new
 * segment is durable under its name before anything is appended to it, so a log never has a segment
 * whose head was torn by a crash.
 */
#include "store/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "pack.h"

#define HEAD_READ_BYTES		512	/* header, two numbers, kind and a user of USER_MAX_BYTES fit */
#define NEW_NAME		"new"	/* one at a time: made under the directory's lock */

void
segment_name(uint32_t number, char out[SEGMENT_NAME_BYTES])
{
	snprintf(out, SEGMENT_NAME_BYTES, "log.%06u", number);
}

int64_t
segment_highest(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int64_t highest = 0;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((e = readdir(d)) != NULL) {
		char *end, name[SEGMENT_NAME_BYTES];
		unsigned long n;

		if (strncmp(e->d_name, "log.", 4) != 0)
			continue;
		n = strtoul(e->d_name + 4, &end, 10);
		if (*end != '\0' || n == 0 || n > UINT32_MAX)
			continue;
		segment_name((uint32_t)n, name);
		if (strcmp(name, e->d_name) == 0 && (int64_t)n > highest)
			highest = (int64_t)n;
	}
	closedir(d);
	return highest;
}

/* The head as it was written, and whose it is (in the input). False with errno EBADMSG: it is damaged. */
static bool
parse_first(struct slice in, struct segment_head *out, struct slice *user_out)
{
	struct record r;
	struct unpack u;
	size_t need;

	errno = EBADMSG;
	if (record_parse_salt(in, &out->salt, &need) != PARSE_OK ||
	    record_parse_head(in, out->salt, &r, &need) != PARSE_OK)
		return false;
	u = unpack_make(r.extra.p, r.extra.n);
	memcpy(&out->log_id, r.guid, sizeof(out->log_id));
	if (out->log_id == 0)
		out->log_id = out->salt;	/* made before there were others than salts */
	out->number = unpack_u32(&u);
	out->generation = unpack_u32(&u);
	(void)unpack_str(&u);
	*user_out = unpack_str(&u);
	out->bytes = record_bytes(&r);
	if (u.bad || out->bytes > in.n)
		return false;
	in = (struct slice){in.p + out->bytes - RECORD_TRAILER_BYTES, RECORD_TRAILER_BYTES};
	if (record_parse_trailer(in, out->salt, &r) != PARSE_OK || r.start != 0)
		return false;
	out->numbers = (struct numbers){r.epoch, r.next_uid, r.next_modseq};
	return true;
}

/*
 * A damaged head must not take the segment's records along: the salt comes out of the last trailer, and
 * the header that this trailer names must hold with it. Numbers are then those of the records alone.
 */
static int
recover(int fd, uint32_t number, struct segment_head *out)
{
	char line[RECORD_TRAILER_BYTES], head[RECORD_HEADER_BYTES + HEAD_READ_BYTES];
	struct record t = {0}, r;
	struct stat st;
	uint32_t salt;
	size_t need;
	ssize_t got;

	if (fstat(fd, &st) != 0)
		return -1;
	errno = EBADMSG;
	if (st.st_size < (off_t)sizeof(line) ||
	    pread(fd, line, sizeof(line), st.st_size - (off_t)sizeof(line)) != (ssize_t)sizeof(line) ||
	    !record_trailer_salt((struct slice){line, sizeof(line)}, &salt) ||
	    record_parse_trailer((struct slice){line, sizeof(line)}, salt, &t) != PARSE_OK ||
	    (got = pread(fd, head, sizeof(head), (off_t)t.start)) <= 0 ||
	    record_parse_head((struct slice){head, (size_t)got}, salt, &r, &need) != PARSE_OK)
		return -1;
	*out = (struct segment_head){.number = number, .salt = salt, .log_id = salt, .bytes = RECORD_HEADER_BYTES};
	return 0;
}

int
segment_read(int fd, struct slice user, uint32_t number, struct segment_head *out)
{
	char first[HEAD_READ_BYTES];
	ssize_t got = pread(fd, first, sizeof(first), 0);
	struct slice owner;

	if (got < 0)
		return -1;
	if (!parse_first((struct slice){first, (size_t)got}, out, &owner))
		return recover(fd, number, out);
	/* A file copied to another's name. */
	errno = EBADMSG;
	return out->number == number && (user.n == 0 || slice_is(owner, user)) ? 0 : -1;
}

int
segment_write_head(int fd, struct slice user, struct segment_head *h)
{
	struct record r = {.type = RECORD_SEGMENT, .date_ms = now_ms(), .epoch = h->numbers.epoch,
	    .next_modseq = h->numbers.next_modseq, .next_uid = h->numbers.next_uid};
	struct buf extra = buf_make(HEAD_READ_BYTES), whole = buf_make(2 * HEAD_READ_BYTES);
	int bad;

	/* Salt 0 would be the plain checksum of anybody. */
	do {
		if (getrandom(&r.uid, sizeof(r.uid), 0) != sizeof(r.uid))
			DIE(EXIT_TEMP, "fatal.store.random", log_slice("user", user));
	} while (r.uid == 0);
	h->salt = r.uid;
	if (h->log_id == 0)
		h->log_id = h->salt;
	memcpy(r.guid, &h->log_id, sizeof(h->log_id));
	pack_u32(&extra, h->number);
	pack_u32(&extra, h->generation);
	pack_str(&extra, SLICE("active"));
	pack_str(&extra, user);
	r.extra = buf_slice(&extra);
	record_pack_head(&whole, &r, r.uid);
	r.body_crc = record_crc(r.uid, SLICE(""));
	record_pack_trailer(&whole, &r, r.uid);
	h->bytes = whole.n;
	errno = EIO;
	bad = write(fd, whole.p, whole.n) != (ssize_t)whole.n || fdatasync(fd) != 0;
	buf_free(&extra);
	buf_free(&whole);
	return bad ? -1 : 0;
}

int
segment_prepare(int dir_fd, struct slice user, uint32_t number, const struct numbers *n)
{
	struct segment_head head = {.number = number, .numbers = *n};
	int saved, fd = openat(dir_fd, NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	if (segment_write_head(fd, user, &head) == 0 && fsync(dir_fd) == 0) {
		close(fd);
		return 0;
	}
	saved = errno;
	segment_unprepare(dir_fd);
	close(fd);
	errno = saved;
	return -1;
}

void
segment_unprepare(int dir_fd)
{
	unlinkat(dir_fd, NEW_NAME, 0);
}

enum lookup
segment_find_prepared(int dir_fd, struct slice user, uint32_t number)
{
	struct segment_head head;
	struct stat st;
	int fd = openat(dir_fd, NEW_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), saved;
	enum lookup found = ABSENT;

	if (fd < 0)
		return errno == ENOENT ? ABSENT : LOOKUP_TEMP;
	if (segment_read(fd, user, number, &head) != 0)
		found = errno == EBADMSG ? ABSENT : LOOKUP_TEMP;
	else if (fstat(fd, &st) != 0)
		found = LOOKUP_TEMP;
	else if ((uint64_t)st.st_size == head.bytes)
		found = FOUND;
	saved = errno;
	close(fd);
	errno = saved;
	return found;
}

int
segment_place(int dir_fd, uint32_t number)
{
	char name[SEGMENT_NAME_BYTES];
	int saved;

	segment_name(number, name);
	if (renameat(dir_fd, NEW_NAME, dir_fd, name) != 0)
		return -1;
	if (fsync(dir_fd) == 0)
		return 0;
	/* Not known to be there after a crash. Who has it open sees that it has no name any more. */
	saved = errno;
	unlinkat(dir_fd, name, 0);
	errno = saved;
	return -1;
}

int
segment_make(int dir_fd, struct slice user, uint32_t number, const struct numbers *n)
{
	int saved;

	if (segment_prepare(dir_fd, user, number, n) != 0)
		return -1;
	if (segment_place(dir_fd, number) == 0)
		return 0;
	saved = errno;
	segment_unprepare(dir_fd);
	errno = saved;
	return -1;
}
