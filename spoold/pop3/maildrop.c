/*
 * The maildrop as a whole: its lock, and what a session changes in it (\Seen as messages are read, expunges at QUIT).
 * Called by pop3.c, command.c and retr.c. The lock is flock(2) on a file beside the user's index, held by a
 * descriptor that the lot keeps while the session is parked; whoever takes the lock makes sure that the file still has
 * its name, so that the one who ends may remove it.
 *
 * Where a site wants a delay between logins (RFC 2449 6.5) the file is kept and holds the time of the last one: there
 * every process of the host sees it, and only who has the lock reads or writes it. Where the indexes are lost the
 * delay begins anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "pack.h"
#include "pop3/pop3.h"
#include "store/path.h"

#define STAMP_BYTES		8	/* milliseconds since the epoch */
#define LOCK_TRIES_MAX		10	/* each lost to a session that ended at that moment */
#define EXPUNGE_RANGES_MAX	1000	/* of one record */

static bool
lock_path(struct store *st, const struct store_host *host, char *path)
{
	return path_user(host->index_dir, store_partition(st), "~pop3-", store_user(st), path) == 0;
}

/* Does the descriptor's file have that name? */
static bool
is_named(int fd, const char *path)
{
	struct stat by_fd, by_name;

	if (fstat(fd, &by_fd) == -1 || lstat(path, &by_name) == -1)
		return false;
	return by_fd.st_ino == by_name.st_ino && by_fd.st_dev == by_name.st_dev;
}

static enum lock_result
lock_trouble(struct store *st, const char *what)
{
	LOG("warn.pop3.lock", log_slice("user", store_user(st)), log_str("call", what), log_str("why", strerror(errno)));
	return LOCK_TROUBLE;
}

enum lock_result
maildrop_lock(struct store *st, const struct store_host *host, int *fd_out)
{
	char path[PATH_MAX];
	int fd, tries;

	if (!lock_path(st, host, path))
		return lock_trouble(st, "path");
	for (tries = 0; tries < LOCK_TRIES_MAX; tries++) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd == -1 && errno == ENOENT && path_make_parents(host->index_dir, store_partition(st), store_user(st)) == 0)
			fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd == -1)
			return lock_trouble(st, "open");
		if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
			enum lock_result r = errno == EWOULDBLOCK ? LOCK_IN_USE : lock_trouble(st, "flock");

			close(fd);
			return r;
		}
		if (is_named(fd, path)) {
			*fd_out = fd;
			return LOCK_HELD;
		}
		close(fd);
	}
	return LOCK_IN_USE;
}

/* Of a file that holds anything else, or of a clock that was set back since: no login is known. */
bool
maildrop_is_too_soon(int fd, uint64_t delay_s)
{
	char bytes[STAMP_BYTES + 1];
	int64_t wall_ms = now_ms();
	struct unpack u;
	uint64_t at_ms;

	if (delay_s == 0 || pread(fd, bytes, sizeof(bytes), 0) != STAMP_BYTES)
		return false;
	u = unpack_make(bytes, STAMP_BYTES);
	at_ms = unpack_u64(&u);
	return at_ms <= (uint64_t)wall_ms && (uint64_t)wall_ms - at_ms < delay_s * 1000;
}

void
maildrop_stamp(struct store *st, int fd)
{
	struct buf b = buf_make(STAMP_BYTES);

	pack_u64(&b, (uint64_t)now_ms());
	if (pwrite(fd, b.p, b.n, 0) != STAMP_BYTES || ftruncate(fd, STAMP_BYTES) == -1)
		(void)lock_trouble(st, "write");
	buf_free(&b);
}

/* The name goes first, while nobody else can hold the lock; then the lock, whoever else has the descriptor. */
void
maildrop_unlock(struct store *st, const struct store_host *host, int fd, bool is_kept)
{
	char path[PATH_MAX];

	if (!is_kept && lock_path(st, host, path) && is_named(fd, path))
		unlink(path);
	flock(fd, LOCK_UN);
	close(fd);
}

static int
uid_compare(const void *va, const void *vb)
{
	uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

	return a < b ? -1 : a > b;
}

void
maildrop_flush_seen(struct pop3 *p)
{
	const struct flag_change change = {.op = FLAGS_ADD, .flags = MSG_SEEN};
	struct uid_range ranges[POP3_SEEN_MAX];
	struct uid_set set = {ranges, 0};
	uint64_t modseq = 0;
	size_t i;

	if (p->nseen == 0)
		return;
	qsort(p->seen, p->nseen, sizeof(p->seen[0]), uid_compare);
	for (i = 0; i < p->nseen; i++) {
		if (set.n > 0 && p->seen[i] <= ranges[set.n - 1].hi + 1)
			ranges[set.n - 1].hi = p->seen[i];
		else
			ranges[set.n++] = (struct uid_range){p->seen[i], p->seen[i]};
	}
	p->nseen = 0;
	if (store_flags(p->store, p->view.mailbox, &set, &change, &modseq) == STORE_OK && modseq > 0)
		session_spool_changed(p->s, p->s->who.user);
}

void
maildrop_seen(struct pop3 *p, const struct msg_info *m)
{
	if ((m->flags & MSG_SEEN) != 0 || m->is_expunged)
		return;
	if (p->nseen == POP3_SEEN_MAX)
		maildrop_flush_seen(p);
	p->seen[p->nseen++] = m->uid;
}

static enum store_result
expunge_set(struct pop3 *p, struct uid_set *set)
{
	uint64_t modseq = 0;
	enum store_result r;

	if (set->n == 0)
		return STORE_OK;
	r = store_expunge(p->store, p->view.mailbox, set, false, &modseq);
	if (r == STORE_OK && modseq > 0)
		session_spool_changed(p->s, p->s->who.user);
	set->n = 0;
	return r;
}

/* Message numbers become uids a batch at a time; neighbours in the view are one range, whatever uids lie between. */
enum store_result
maildrop_expunge(struct pop3 *p)
{
	struct uid_range ranges[EXPUNGE_RANGES_MAX];
	struct uid_set set = {ranges, 0};
	uint32_t first, last = 0;
	enum store_result r;

	while (marks_run(p, last + 1, &first, &last)) {
		struct uid_range *range = &ranges[set.n];

		if ((r = view_uid(p->store, &p->view, first, &range->lo)) != STORE_OK ||
		    (r = view_uid(p->store, &p->view, last, &range->hi)) != STORE_OK)
			return r;
		if (range->lo == 0 || range->hi == 0)
			return STORE_TEMP;
		if (++set.n == EXPUNGE_RANGES_MAX && (r = expunge_set(p, &set)) != STORE_OK)
			return r;
	}
	return expunge_set(p, &set);
}
