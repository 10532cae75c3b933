/*
 * Opening a user's index: used as it is when it names this epoch, this log and its own file, else
 * made anew from checkpoint and log under another name and renamed in. Called when a store is
 * opened. A bad one is renamed away first and then removed; at most one rebuild a core runs on a host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "store/checkpoint.h"
#include "store/index.h"
#include "store/path.h"

#define OPEN_TRIES	10	/* others make and remove the same index */
#define LOCK_BYTES	(32 * 1024)	/* more than LMDB's lock file takes with READERS_MAX */

static enum store_result
fail(const struct spool *s, const char *step, const char *why)
{
	LOG("warn.index.open", log_str("user", s->user), log_str("step", step), log_str("why", why));
	return STORE_TEMP;
}

static uint64_t
inode_of(const char *dir)
{
	char path[PATH_MAX];
	struct stat st;

	if ((size_t)snprintf(path, sizeof(path), "%s/data.mdb", dir) >= sizeof(path) || stat(path, &st) != 0)
		return 0;
	return (uint64_t)st.st_ino;
}

/* What names the log stands in its first segment. 0, or -1 with errno. */
static int
read_log_id(const struct spool *s, uint32_t *id_out)
{
	char name[SEGMENT_NAME_BYTES];
	struct segment_head head = s->head;
	int fd, r = 0;

	if (s->head.number != 1) {
		segment_name(1, name);
		if ((fd = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
			return -1;
		r = segment_read(fd, slice_of(s->user), 1, &head);
		close(fd);
	}
	*id_out = head.log_id;
	return r;
}

/* Is there that place in the log, in the file that the index was made from? LOOKUP_TEMP, with errno: it cannot be looked at. */
static enum lookup
find_in_log(const struct spool *s, const struct ix_meta *m)
{
	char name[SEGMENT_NAME_BYTES];
	struct segment_head head = s->head;
	struct stat st;
	int fd = s->read_fd, saved;
	bool is_read;

	segment_name(m->segment, name);
	if (m->segment == s->head.number)
		is_read = fstat(fd, &st) == 0;
	else {
		if ((fd = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
			return errno == ENOENT ? ABSENT : LOOKUP_TEMP;
		is_read = fstat(fd, &st) == 0 && segment_read(fd, slice_of(s->user), m->segment, &head) == 0;
		saved = errno;
		close(fd);
		errno = saved;
	}
	if (!is_read)
		return errno == EBADMSG ? ABSENT : LOOKUP_TEMP;
	return m->offset <= (uint64_t)st.st_size && (m->salt == 0 || m->salt == head.salt) ? FOUND : ABSENT;
}

/* Is path still the directory that fd holds, with both files in it? */
static bool
is_same_dir(int fd, const char *path)
{
	struct stat held, there;

	return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino &&
	    held.st_dev == there.st_dev && faccessat(fd, "data.mdb", F_OK, 0) == 0 &&
	    faccessat(fd, "lock.mdb", F_OK, 0) == 0;
}

/* With the environment open: does it name what it is of? LOOKUP_TEMP (logged): that cannot be told, and it stays as it is. */
static enum lookup
find_trust(struct index *ix, const char *path, uint32_t log_id)
{
	const struct ix_meta *m = &ix->meta;
	enum lookup found = ABSENT;

	if (index_begin(ix, false) != STORE_OK)
		return ABSENT;
	if (m->version == SCHEMA_VERSION && m->epoch == ix->spool->host->epoch && m->log_id == log_id && m->inode == inode_of(path) &&
	    (found = find_in_log(ix->spool, m)) == LOOKUP_TEMP)
		fail(ix->spool, "log", strerror(errno));
	return index_end(ix) == STORE_OK ? found : ABSENT;
}

/* FOUND: open and to be trusted. ABSENT: there is none, or not one to be trusted. */
static enum lookup
try_existing(struct index *ix, const char *path, uint32_t log_id, uint64_t bad_inode)
{
	uint64_t inode = inode_of(path);
	enum lookup found = ABSENT;
	int rc, fd;

	if (inode == 0 || inode == bad_inode || (fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return ABSENT;
	/*
	 * Lock file and data file have to be of one index: the directory is looked at before and after, and held
	 * in between so that its number cannot come back. Two locks for one file would be none.
	 */
	if (is_same_dir(fd, path)) {
		rc = index_open_env(ix, path);
		if (rc == EMFILE || rc == ENFILE || rc == ENOMEM || rc == EAGAIN || rc == ENOSPC || rc == MDB_READERS_FULL) {
			fail(ix->spool, "open", mdb_strerror(rc));
			found = LOOKUP_TEMP;
		} else if (rc == 0 && is_same_dir(fd, path))
			found = find_trust(ix, path, log_id);
		if (found != FOUND)
			index_close_env(ix);
	}
	close(fd);
	return found;
}

/* Holds one of as many slots as there are cores until closed. -1: cannot; the rebuild goes on without. */
static int
slot_take(const struct store_host *host)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	int fd = -1;

	for (long i = 0; i < n; i++) {
		char path[PATH_MAX];

		if (fd >= 0)
			close(fd);
		if ((size_t)snprintf(path, sizeof(path), "%s/rebuild.%ld", host->index_dir, i) >= sizeof(path) ||
		    (fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)) < 0)
			return -1;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
	}
	if (fd >= 0)
		flock(fd, LOCK_EX);
	return fd;
}

/* LMDB writes its lock file through a map: where the disk is full that would be a SIGBUS, here it is an error. */
static int
reserve_lock_file(const char *dir)
{
	char path[PATH_MAX];
	int fd, rc;

	if ((size_t)snprintf(path, sizeof(path), "%s/lock.mdb", dir) >= sizeof(path))
		return ENAMETOOLONG;
	if ((fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)) < 0)
		return errno;
	rc = posix_fallocate(fd, 0, LOCK_BYTES);
	close(fd);
	return rc;
}

/* Opens the environment at path and begins to write. An LMDB or errno code. */
static int
open_to_write(struct index *ix, const char *path)
{
	int rc = reserve_lock_file(path);

	if (rc == 0)
		rc = index_open_env(ix, path);
	if (rc == 0 && index_begin(ix, true) != STORE_OK) {
		rc = ix->rc;
		index_close_env(ix);
	}
	return rc;
}

/* The environment at path, empty or from the checkpoint, with the meta of this log and epoch. */
static int
start_env(struct index *ix, const char *path, uint32_t log_id)
{
	struct spool *s = ix->spool;
	struct checkpoint_mark mark;
	char data[PATH_MAX];
	enum lookup found = ABSENT;
	int rc;

	if ((size_t)snprintf(data, sizeof(data), "%s/data.mdb", path) >= sizeof(data))
		return ENAMETOOLONG;
	if (!s->host->no_checkpoint && checkpoint_restore(s->dir_fd, s->user, data, &mark) == 0 &&
	    (mark.version != SCHEMA_VERSION || mark.log_id != log_id))
		unlink(data);
	if ((rc = open_to_write(ix, path)) != 0)
		return rc;
	if (ix->meta.version == SCHEMA_VERSION && ix->meta.log_id == log_id)
		found = find_in_log(s, &ix->meta);
	if (found == LOOKUP_TEMP) {
		rc = errno;
		(void)index_end(ix);
		index_close_env(ix);
		return rc;
	}
	if (ix->meta.version != 0 && found == ABSENT) {
		fail(s, "checkpoint", "not of this log");
		(void)index_end(ix);
		index_close_env(ix);
		unlink(data);
		if ((rc = open_to_write(ix, path)) != 0)
			return rc;
	}
	if (ix->meta.version == 0)
		ix->meta = (struct ix_meta){.segment = 1, .next_modseq = 1, .next_uid = 1};
	ix->meta.version = SCHEMA_VERSION;
	ix->meta.epoch = s->host->epoch;
	ix->meta.log_id = log_id;
	ix->meta.inode = inode_of(path);
	ix->meta.replay_records = ix->meta.replay_bytes = 0;
	if (index_commit(ix) == STORE_OK)
		return 0;
	index_close_env(ix);
	return EIO;
}

static enum store_result
build(struct index *ix, const char *path, uint32_t log_id)
{
	int slot = slot_take(ix->spool->host), rc = start_env(ix, path, log_id);
	enum store_result r = STORE_OK;
	int64_t began = mono_ms();
	uint64_t before;
	bool more = true;

	if (rc != 0)
		r = fail(ix->spool, "create", mdb_strerror(rc));
	before = ix->meta.replay_records;
	while (r == STORE_OK && more) {
		if ((r = index_begin(ix, true)) != STORE_OK)
			break;
		if ((r = index_catch_up(ix, &more)) == STORE_OK)
			r = index_commit(ix);
		else
			(void)index_end(ix);
	}
	if (r != STORE_OK && ix->env != NULL)
		index_close_env(ix);
	if (slot >= 0)
		close(slot);
	if (r == STORE_OK && !ix->is_private)
		LOG("index.rebuilt", log_str("user", ix->spool->user), log_u64("records", ix->meta.replay_records - before),
		    log_i64("ms", mono_ms() - began));
	return r;
}

/* One try. ABSENT: something was in the way and was put aside, or came in between: again. */
static enum lookup
open_or_build(struct index *ix, const char *path, const char *tmp, uint32_t log_id, uint64_t bad_inode)
{
	enum lookup found = try_existing(ix, path, log_id, bad_inode);
	int fd;

	if (found != ABSENT)
		return found;
	if ((fd = path_claim(tmp)) < 0) {
		fail(ix->spool, "claim", strerror(errno));
		return LOOKUP_TEMP;
	}
	/* Another process may have made it while we waited. */
	if ((found = try_existing(ix, path, log_id, bad_inode)) != ABSENT)
		rmdir(tmp);
	else if (access(path, F_OK) == 0) {
		/* Onto the empty directory we hold: who claims it next empties it. */
		if (rename(path, tmp) != 0) {
			fail(ix->spool, "remove", strerror(errno));
			found = LOOKUP_TEMP;
		}
	} else if (build(ix, tmp, log_id) != STORE_OK)
		found = LOOKUP_TEMP;
	else if (rename(tmp, path) == 0)
		found = FOUND;
	else {
		fail(ix->spool, "rename", strerror(errno));
		index_close_env(ix);
		found = LOOKUP_TEMP;
	}
	close(fd);
	return found;
}

enum store_result
index_open(struct index *ix, struct spool *s, uint64_t bad_inode)
{
	char path[PATH_MAX], tmp[PATH_MAX];
	struct slice user = slice_of(s->user);
	enum store_result r;
	uint32_t log_id;

	*ix = (struct index){.spool = s};
	if (path_user(s->host->index_dir, s->partition, "", user, path) != 0 ||
	    path_user(s->host->index_dir, s->partition, "~", user, tmp) != 0 ||
	    path_make_parents(s->host->index_dir, s->partition, user) != 0)
		return fail(s, "path", strerror(errno));
	/* The fence, where one is due, goes before anything is read. */
	if ((r = spool_lock_to_read(s)) != STORE_OK)
		return r == STORE_FULL ? STORE_TEMP : r;
	spool_unlock(s);
	if (read_log_id(s, &log_id) != 0)
		return fail(s, "first segment", strerror(errno));
	for (int i = 0; i < OPEN_TRIES; i++) {
		enum lookup found = open_or_build(ix, path, tmp, log_id, bad_inode);

		if (found != ABSENT)
			return found == FOUND ? STORE_OK : STORE_TEMP;
	}
	return fail(s, "open", "others make and remove it");
}

void
store_discard_index(const struct store_host *host, struct slice user)
{
	char path[PATH_MAX], tmp[PATH_MAX], aside[PATH_MAX];
	const char *partition;
	int fd;

	if (store_exists(host, user, &partition) != FOUND || path_user(host->index_dir, partition, "", user, path) != 0 ||
	    path_user(host->index_dir, partition, "~", user, tmp) != 0 || access(path, F_OK) != 0 ||
	    (fd = path_claim(tmp)) < 0)
		return;
	/* Into the directory that we hold, not in its place: nobody else holds that one, and what is removed must be ours. */
	if ((size_t)snprintf(aside, sizeof(aside), "%s/" PATH_ASIDE, tmp) < sizeof(aside) && rename(path, aside) == 0)
		LOG("index.discarded", log_slice("user", user));
	path_remove(tmp);
	close(fd);
}

bool
index_is_in_place(const struct index *ix)
{
	const struct spool *s = ix->spool;
	char path[PATH_MAX];
	uint64_t inode;

	errno = 0;
	if (path_user(s->host->index_dir, s->partition, "", slice_of(s->user), path) != 0)
		return true;
	inode = inode_of(path);
	return inode != 0 ? inode == ix->meta.inode : errno != ENOENT;
}

enum store_result
index_make_private(struct index *ix, struct spool *s, const char *dir, uint32_t segment, uint64_t offset)
{
	uint32_t log_id;

	*ix = (struct index){.spool = s, .is_private = true, .stop_segment = segment, .stop_offset = offset};
	if (read_log_id(s, &log_id) != 0)
		return fail(s, "first segment", strerror(errno));
	return build(ix, dir, log_id);
}

enum lookup
index_open_live(struct index *ix, struct spool *s)
{
	char path[PATH_MAX];
	uint32_t log_id;

	*ix = (struct index){.spool = s};
	if (path_user(s->host->index_dir, s->partition, "", slice_of(s->user), path) != 0 || read_log_id(s, &log_id) != 0)
		return LOOKUP_TEMP;
	return try_existing(ix, path, log_id, 0);
}
