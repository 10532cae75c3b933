/*
 * The logs this process has open, their locks and their ends. Called by delivery and by every
 * change. Nothing is appended but under the directory's lock and by the numbers of the last trailer
 * read under it; whoever holds the lock never waits for another user's.
 */
#include "store/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "log.h"
#include "store/checkpoint.h"
#include "store/path.h"

#define ROOM_FRESH_MS		20	/* how long a look at the free space holds */
#define ROOMS			16	/* partitions whose free space is remembered; there are no more */
#define REOPEN_TRIES		3	/* the directory was replaced under us */
/* What is lost with the last segment cannot be counted: numbers go on further than a segment may take. */
#define LOST_UIDS		(1U << 20)
#define LOST_MODSEQS		(1ULL << 40)
/* A record without extra and body is as long as this: so a SEALED or NEXT is seen with the read of the trailer. */
#define BARE_BYTES		(RECORD_HEADER_BYTES + RECORD_TRAILER_BYTES)

#define BUCKETS			1024

/* The logs kept open: by name, and by age. */
static LIST_HEAD(, spool) buckets[BUCKETS];
static TAILQ_HEAD(, spool) ages = TAILQ_HEAD_INITIALIZER(ages);
static size_t nkept, kept_max = SPOOLS_KEPT;

static void
close_fds(struct spool *s)
{
	int *fds[] = {&s->dir_fd, &s->read_fd, &s->write_fd};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static enum store_result
fail(const struct spool *s, const char *what)
{
	LOG("warn.store.log", log_str("user", s->user), log_u64("segment", s->head.number), log_str("step", what),
	    log_str("why", strerror(errno)));
	return STORE_TEMP;
}

static int
open_segment(struct spool *s, uint32_t number)
{
	char name[SEGMENT_NAME_BYTES];
	struct segment_head head;
	struct stat st;
	int r, w;

	segment_name(number, name);
	if ((r = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return -1;
	/* What is mounted read-only can be read. */
	w = openat(s->dir_fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if ((w < 0 && errno != EROFS) || fstat(r, &st) != 0 || segment_read(r, slice_of(s->user), number, &head) != 0) {
		int saved = errno;

		close(r);
		if (w >= 0)
			close(w);
		errno = saved;
		return -1;
	}
	if (s->read_fd >= 0)
		close(s->read_fd);
	if (s->write_fd >= 0)
		close(s->write_fd);
	s->read_fd = r;
	s->write_fd = w;
	s->inode = st.st_ino;
	s->head = head;
	return 0;
}

/* Opens the directory and its highest segment. 0, or -1 with errno (ENOENT: no spool). */
static int
open_dir(struct spool *s)
{
	char path[PATH_MAX];
	int64_t highest;

	if (path_user(s->host->active_dir, s->partition, "", slice_of(s->user), path) != 0 ||
	    (s->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return -1;
	if ((highest = segment_highest(s->dir_fd)) <= 0) {
		if (highest == 0)
			errno = EBADMSG;	/* a spool without a log is not an empty spool */
		return -1;
	}
	return open_segment(s, (uint32_t)highest);
}

/* Chains stay short whatever the names are: there are never many more logs kept than buckets. */
static size_t
bucket_of(struct slice user)
{
	return record_crc(UINT32_MAX, user) % BUCKETS;
}

static struct spool *
find_kept(const struct store_host *host, struct slice user)
{
	struct spool *s;

	LIST_FOREACH(s, &buckets[bucket_of(user)], bucket)
		if (s->host == host && slice_is(slice_of(s->user), user))
			return s;
	return NULL;
}

static void
forget(struct spool *s)
{
	LIST_REMOVE(s, bucket);
	TAILQ_REMOVE(&ages, s, age);
	nkept--;
	close_fds(s);
	free(s);
}

/* Keeps it, in place of the one nobody holds and used longest ago; not when all are held. */
static void
keep(struct spool *s)
{
	struct spool *old;

	if (nkept >= kept_max) {
		TAILQ_FOREACH(old, &ages, age)
			if (old->refs == 0)
				break;
		if (old == NULL)
			return;
		forget(old);
	}
	s->is_kept = true;
	LIST_INSERT_HEAD(&buckets[bucket_of(slice_of(s->user))], s, bucket);
	TAILQ_INSERT_TAIL(&ages, s, age);
	nkept++;
}

void
store_keep_logs(size_t n)
{
	kept_max = n;
}

bool
store_is_open(const struct store_host *host, struct slice user, const char **partition_out)
{
	const struct spool *s = find_kept(host, user);

	/* Closed: it was found removed or could not be read; who asks had better look. */
	if (s == NULL || s->dir_fd < 0)
		return false;
	*partition_out = s->partition;
	return true;
}

enum lookup
spool_get(const struct store_host *host, struct slice user, struct spool **out)
{
	struct spool *s = find_kept(host, user);
	const char *partition;
	enum lookup found;

	if (s == NULL) {
		if ((found = store_exists(host, user, &partition)) != FOUND)
			return found;
		if ((s = calloc(1, sizeof(*s))) == NULL)
			DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*s)));
		s->host = host;
		s->partition = partition;
		memcpy(s->user, user.p, user.n);
		s->dir_fd = s->read_fd = s->write_fd = -1;
		if (open_dir(s) != 0) {
			fail(s, "open");
			close_fds(s);
			free(s);
			return LOOKUP_TEMP;
		}
		keep(s);
	} else {
		TAILQ_REMOVE(&ages, s, age);
		TAILQ_INSERT_TAIL(&ages, s, age);
	}
	s->refs++;
	*out = s;
	return FOUND;
}

void
spool_put(struct spool *s)
{
	if (--s->refs > 0 || s->is_kept)
		return;
	close_fds(s);
	free(s);
}

void
spool_drop_cached(void)
{
	struct spool *s, *next;

	for (s = TAILQ_FIRST(&ages); s != NULL; s = next) {
		next = TAILQ_NEXT(s, age);
		if (s->refs == 0)
			forget(s);
	}
}

int
spool_reopen(struct spool *s)
{
	struct spool new = *s;

	assert(!s->is_locked);
	new.dir_fd = new.read_fd = new.write_fd = -1;
	if (open_dir(&new) != 0) {
		fail(s, "open");
		close_fds(&new);
		return -1;
	}
	close_fds(s);
	s->dir_fd = new.dir_fd;
	s->read_fd = new.read_fd;
	s->write_fd = new.write_fd;
	s->inode = new.inode;
	s->head = new.head;
	return 0;
}

/* The segment by its name. 1: it is the one that is open; 0: it is not, or is not there; -1 with errno. */
static int
is_in_place(const struct spool *s, struct stat *st)
{
	char name[SEGMENT_NAME_BYTES];

	segment_name(s->head.number, name);
	if (fstatat(s->dir_fd, name, st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -1;
	return st->st_ino == s->inode;
}

int
spool_end(struct spool *s, uint64_t *size_out)
{
	struct stat st;
	int there;

	if (s->dir_fd < 0 && (s->is_locked || spool_reopen(s) != 0))
		return -1;
	if (spool_follow(s) != 0 || (there = is_in_place(s, &st)) < 0)
		return -1;
	if (there == 0 && (s->is_locked || spool_reopen(s) != 0 || fstat(s->read_fd, &st) != 0))
		return -1;
	*size_out = (uint64_t)st.st_size;
	return 0;
}

int
spool_follow(struct spool *s)
{
	char name[SEGMENT_NAME_BYTES];

	for (;;) {
		segment_name(s->head.number + 1, name);
		if (faccessat(s->dir_fd, name, F_OK, 0) != 0)
			return errno == ENOENT ? 0 : -1;
		if (open_segment(s, s->head.number + 1) != 0)
			return -1;
	}
}

/* Reads the end of the segment. PARSE_OK: the numbers and *out are set. PARSE_BAD: torn. PARSE_MORE: an error. */
static enum parse
read_tail(struct spool *s, uint64_t size, struct tail *out)
{
	char end[BARE_BYTES];
	struct record t = {0}, h;
	size_t need;

	if (size < BARE_BYTES)
		return PARSE_BAD;
	if (pread(s->read_fd, end, sizeof(end), (off_t)(size - sizeof(end))) != (ssize_t)sizeof(end))
		return PARSE_MORE;
	if (record_parse_trailer((struct slice){end + RECORD_HEADER_BYTES, RECORD_TRAILER_BYTES}, s->head.salt, &t) != PARSE_OK)
		return PARSE_BAD;
	s->next_modseq = t.next_modseq;
	s->next_uid = t.next_uid;
	*out = (struct tail){.epoch = t.epoch};
	if (t.start == size - BARE_BYTES &&
	    record_parse_head((struct slice){end, RECORD_HEADER_BYTES}, s->head.salt, &h, &need) == PARSE_OK) {
		out->is_sealed = h.type == RECORD_SEALED;
		out->next = h.type == RECORD_NEXT ? h.uid : 0;
	}
	return PARSE_OK;
}

static enum store_result
new_failed(const struct spool *s, const char *step)
{
	bool is_full = errno == ENOSPC || errno == EDQUOT;

	fail(s, step);
	return is_full ? STORE_FULL : STORE_TEMP;
}

/* The prepared segment of that number gets its name, and is the one appended to. */
static enum store_result
enter_next(struct spool *s, uint32_t number)
{
	if (segment_place(s->dir_fd, number) != 0)
		return new_failed(s, "roll");
	if (open_segment(s, number) != 0)
		return fail(s, "open");
	s->at = s->head.bytes;
	s->allocated = 0;
	return STORE_OK;
}

/*
 * Goes on in segment `number`: what this one holds is synced first, and gives back what was preallocated. Not
 * by write_fd: the committer has that open file too, and Linux tells each only once that a write failed. The new one is
 * prepared before this one names it: so whoever finds it named and neither there nor prepared knows that it was lost.
 * The numbers it begins with are these, or raised; of an epoch passed where the fence is still to come.
 */
static enum store_result
go_on(struct spool *s, uint32_t number, uint32_t epoch, uint32_t next_uid, uint64_t next_modseq)
{
	struct record next = {.type = RECORD_NEXT, .date_ms = now_ms(), .uid = number, .epoch = epoch, .next_uid = next_uid,
	    .next_modseq = next_modseq};
	struct numbers n = {epoch, next_uid, next_modseq};
	enum store_result r;

	if (fdatasync(s->read_fd) != 0)
		return fail(s, "sync");
	if (segment_prepare(s->dir_fd, slice_of(s->user), number, &n) != 0)
		return new_failed(s, "prepare");
	if ((r = spool_append(s, &next, 1, NULL)) != STORE_OK) {
		segment_unprepare(s->dir_fd);
		return r;
	}
	if (fdatasync(s->read_fd) != 0)
		return fail(s, "sync");
	if (ftruncate(s->write_fd, (off_t)s->at) != 0)
		return fail(s, "truncate");
	return enter_next(s, number);
}

static enum store_result
roll(struct spool *s)
{
	return go_on(s, s->head.number + 1, s->host->epoch, s->next_uid, s->next_modseq + 1);
}

/* What a segment holds is bounded by bytes, and by numbers: those of a lost one are never more than LOST_UIDS and LOST_MODSEQS. */
static bool
is_full(const struct spool *s)
{
	return s->at >= s->host->segment_max_bytes || s->next_uid - s->head.numbers.next_uid > LOST_UIDS / 2 ||
	    s->next_modseq - s->head.numbers.next_modseq > LOST_MODSEQS / 2;
}

/*
 * This segment says that the log goes on in another, which is not there. Prepared: whoever did it died before it had
 * its name. Else it was lost, with numbers that clients may have seen. The log goes on behind it, so that it can be put back,
 * and this segment says so, with the numbers raised: should that one be lost, too, they are raised from there.
 */
static enum store_result
find_next(struct spool *s, const struct tail *t)
{
	int64_t highest = segment_highest(s->dir_fd);
	uint64_t modseq = s->next_modseq;
	uint32_t uid = s->next_uid, number = t->next, epoch = t->epoch;
	struct checkpoint_mark mark;
	enum lookup found;

	if (highest < 0)
		return fail(s, "open");
	if (highest > s->head.number)
		return open_segment(s, (uint32_t)highest) == 0 ? STORE_OK : fail(s, "open");
	switch (segment_is_prepared(s->dir_fd, slice_of(s->user), number)) {
	case FOUND:
		return fdatasync(s->read_fd) == 0 ? enter_next(s, number) : fail(s, "sync");
	case LOOKUP_TEMP:
		return new_failed(s, "prepare");
	case ABSENT:
		break;
	}
	/* It says how far the numbers went, unless it cannot be read just now. */
	if ((found = checkpoint_read(s->dir_fd, s->user, &mark)) == LOOKUP_TEMP)
		return fail(s, "checkpoint");
	LOG("warn.store.missing", log_str("user", s->user), log_u64("segment", number), log_str("why", "the last one is not there"));
	if (found == FOUND) {
		if (mark.segment > number)
			number = mark.segment;
		/* The fence of its epoch may have been in what is lost; that numbers are left out stands here. */
		if (mark.numbers.epoch > epoch)
			epoch = mark.numbers.epoch;
		if (mark.numbers.next_uid > uid)
			uid = mark.numbers.next_uid;
		if (mark.numbers.next_modseq > modseq)
			modseq = mark.numbers.next_modseq;
	}
	uid = uid > UID_LAST - LOST_UIDS ? UID_LAST : uid + LOST_UIDS;
	return go_on(s, number + 1, epoch, uid, modseq + LOST_MODSEQS);
}

/* With the lock held: the state of the log's end. */
static enum store_result
make_ready(struct spool *s, const struct stat *st, bool appends)
{
	uint64_t size = (uint64_t)st->st_size;
	enum store_result r = STORE_OK;
	struct tail t = {0};
	struct stat now;

	s->at = size;
	s->allocated = (uint64_t)st->st_blocks * 512;
	/* Who began it may have died before its name was synced: nothing is written in it before. */
	if (size == s->head.bytes && s->head.number > 1 && s->write_fd >= 0 && fsync(s->dir_fd) != 0)
		return fail(s, "sync");
	switch (read_tail(s, size, &t)) {
	case PARSE_MORE:
		return fail(s, "read");
	case PARSE_BAD:
		r = tail_repair(s, size, &t);
		break;
	case PARSE_OK:
		if (t.is_sealed) {
			errno = EROFS;
			return fail(s, "sealed");
		}
		if (t.epoch > s->host->epoch) {
			errno = ESTALE;
			return fail(s, "epoch");
		}
		if (t.next <= s->head.number && t.epoch < s->host->epoch)
			r = tail_fence(s, size);
		break;
	}
	if (r == STORE_OK && t.next > s->head.number) {
		if ((r = find_next(s, &t)) != STORE_OK)
			return r;
		/* Each time further on. */
		return fstat(s->read_fd, &now) == 0 ? make_ready(s, &now, appends) : fail(s, "open");
	}
	if (r == STORE_OK && appends && is_full(s))
		r = roll(s);
	return r;
}

static enum store_result
lock(struct spool *s, bool appends)
{
	enum store_result r;
	struct stat st;
	int there;

	for (int i = 0; i < REOPEN_TRIES; i++) {
		if (s->dir_fd < 0 && open_dir(s) != 0) {
			r = fail(s, "open");
			close_fds(s);
			return r;
		}
		while (flock(s->dir_fd, LOCK_EX) != 0)
			if (errno != EINTR)
				return fail(s, "lock");
		if (spool_follow(s) != 0 || (there = is_in_place(s, &st)) < 0) {
			r = fail(s, "open");
			flock(s->dir_fd, LOCK_UN);
			return r;
		}
		if (there == 0) {
			close_fds(s);	/* removed or replaced, and perhaps made again: look by name */
			continue;
		}
		/* Opened while it could not be written. */
		if (s->write_fd < 0 && open_segment(s, s->head.number) != 0) {
			r = fail(s, "open");
			flock(s->dir_fd, LOCK_UN);
			return r;
		}
		s->is_locked = true;
		if ((r = make_ready(s, &st, appends)) != STORE_OK)
			spool_unlock(s);
		return r;
	}
	errno = ESTALE;
	return fail(s, "open");
}

enum store_result
spool_lock(struct spool *s)
{
	return lock(s, true);
}

enum store_result
spool_lock_to_read(struct spool *s)
{
	return lock(s, false);
}

void
spool_unlock(struct spool *s)
{
	if (s->is_locked)
		flock(s->dir_fd, LOCK_UN);
	s->is_locked = false;
}

/* The free space of a partition, looked at by its directory; what was promised since is taken off. NULL with errno. */
static uint64_t *
room_of(const struct store_host *host, const char *partition, uint64_t least)
{
	static struct room {
		const char	*partition;
		int64_t		 looked_ms;
		uint64_t	 free_bytes;
	} rooms[ROOMS], *r;
	int64_t now = mono_ms();
	char path[PATH_MAX];
	struct statvfs v;
	size_t i = 0;

	while (i < ROOMS - 1 && rooms[i].partition != NULL && rooms[i].partition != partition)
		i++;
	r = &rooms[i];
	if (r->partition == partition && now - r->looked_ms <= ROOM_FRESH_MS && r->free_bytes >= least)
		return &r->free_bytes;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", host->active_dir, partition) >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	if (statvfs(path, &v) != 0)
		return NULL;
	*r = (struct room){partition, now, (uint64_t)v.f_bavail * v.f_frsize};
	return &r->free_bytes;
}

enum store_result
spool_has_room(struct spool *s, uint64_t bytes)
{
	uint64_t least = s->host->reserve_bytes + bytes, *free_bytes = room_of(s->host, s->partition, least);

	if (free_bytes == NULL)
		return fail(s, "statvfs");
	if (*free_bytes < least)
		return STORE_FULL;
	*free_bytes -= bytes;
	return STORE_OK;
}

bool
store_is_full(const struct store_host *host, const char *partition)
{
	const uint64_t *free_bytes = room_of(host, partition, host->reserve_bytes);

	return free_bytes != NULL && *free_bytes < host->reserve_bytes;
}
