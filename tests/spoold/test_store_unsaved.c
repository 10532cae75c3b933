/*
 * The index cannot be written: the disk is full, fails, or is read-only. The log goes on, and everybody sees all of it; when the
 * index can be written again it is. LMDB's writes are replaced by definitions here, which the linker prefers to libc's.
 */
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "store_fixture.h"

static const char *failing;	/* the data file whose writes fail; NULL: none do */
static int	fail_with;
static bool	only_meta;	/* only those of the first two pages */
static unsigned	nfailed;

static bool
is_due(int fd, off_t at)
{
	struct stat st, there;

	if (failing == NULL || (only_meta && at >= 8192) || fstat(fd, &st) != 0 || stat(failing, &there) != 0 ||
	    st.st_ino != there.st_ino)
		return false;
	nfailed++;
	errno = fail_with;
	return true;
}

ssize_t	pwrite64(int, const void *, size_t, off_t);
ssize_t	pwritev64(int, const struct iovec *, int, off_t);

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return is_due(fd, at) ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return pwrite(fd, p, n, at);
}

ssize_t
pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	return is_due(fd, at) ? -1 : syscall(SYS_pwritev, fd, v, n, at & 0xffffffff, at >> 32);
}

ssize_t
pwritev64(int fd, const struct iovec *v, int n, off_t at)
{
	return pwritev(fd, v, n, at);
}

ssize_t
writev(int fd, const struct iovec *v, int n)
{
	return is_due(fd, lseek(fd, 0, SEEK_CUR)) ? -1 : syscall(SYS_writev, fd, v, n);
}

static unsigned	nscans;		/* how often a segment was opened to be read */

int
openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	nscans += strncmp(path, "log.", 4) == 0;
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

/* Each message of a view is in order, has a body that can be read, and the flags asked for; how many there are. */
static uint32_t
count(struct store *s, const struct view *v, uint32_t flags)
{
	static struct msg_info m[STORE_BATCH_MSGS];
	uint32_t exists, uid;
	size_t n;

	assert_int_equal(view_count(s, v, &exists), STORE_OK);
	assert_int_equal(view_range(s, v, 1, UINT32_MAX, m, STORE_BATCH_MSGS, &n), STORE_OK);
	assert_int_equal(n, exists);
	for (size_t i = 0; i < n; i++) {
		uint64_t at;
		int fd;

		assert_int_equal(m[i].seq, i + 1);
		assert_int_equal(m[i].flags & flags, flags);
		assert_int_equal(view_uid(s, v, m[i].seq, &uid), STORE_OK);
		assert_int_equal(uid, m[i].uid);
		assert_int_equal(store_body_open(s, &m[i], &fd, &at), STORE_OK);
		close(fd);
	}
	return exists;
}

/* Without catching up: what is in the index itself. */
static uint64_t
saved_modseq(struct store *s)
{
	uint64_t modseq;

	assert_int_equal(store_read_begin(s), STORE_OK);
	modseq = s->ix.meta.next_modseq;
	assert_int_equal(index_end(&s->ix), STORE_OK);
	return modseq;
}

/* Another process, in the same trouble, is handed the session: it sees no less. */
static void
go_on_elsewhere(struct fixture *f, const struct view *v, uint32_t want, uint32_t flags)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *s;

		/* Of the parent's nothing is used: LMDB's environments do not survive a fork. */
		f->host.partition = strdup("default");
		struct store_host host = f->host;

		if (store_open(&host, ALICE, &s) != FOUND)
			_exit(2);
		_exit(count(s, v, flags) == want ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A process that has the turn for a while, from now on. */
static void
hold_turn(const char *data)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		int fd = open(data, O_RDONLY | O_CLOEXEC);

		if (flock(fd, LOCK_EX) != 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		usleep(100000);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
}

static void
unsaved(int with, bool meta)
{
	struct arena a = arena_make(1 << 20);
	char data[PATH_MAX];
	struct flag_change seen = {.op = FLAGS_ADD, .flags = MSG_SEEN};
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, 8);
	struct view_delta d;
	uint64_t modseq, before;
	struct fixture f;
	unsigned char id[16], made[16];
	struct view v;
	struct store *s;

	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 5);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	before = saved_modseq(s);
	snprintf(data, sizeof(data), "%s/data.mdb", fx_path(&f, f.index, ""));
	failing = data;
	fail_with = with;
	only_meta = meta;
	nfailed = 0;

	fx_deliver_n(&f, 3);
	assert_true(view_is_stale(s, &v));
	assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	assert_true(d.is_grown && d.exists == 8);
	assert_int_equal(count(s, &v, 0), 8);
	assert_true(nfailed > 0);
	assert_int_equal(saved_modseq(s), before);
	go_on_elsewhere(&f, &v, 8, 0);

	/* Changes are made, and seen. */
	assert_int_equal(store_flags(s, id, &set, &seen, &modseq), STORE_OK);
	assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	assert_int_equal(d.nchanges, 8);
	assert_int_equal(count(s, &v, MSG_SEEN), 8);
	set = fx_one(&range, 2, 3);
	assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
	assert_int_equal(count(s, &v, MSG_SEEN), 8);
	assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	assert_int_equal(d.nexpunges, 2);
	assert_int_equal(count(s, &v, MSG_SEEN), 6);
	go_on_elsewhere(&f, &v, 6, MSG_SEEN);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.work"), USE_NONE, made), STORE_OK);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.work"), USE_NONE, made), STORE_EXISTS);
	/* Another process has the turn for longer than a reader waits otherwise: what was told is not untold. */
	go_on_elsewhere(&f, &v, 6, MSG_SEEN);
	hold_turn(data);
	assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	assert_int_equal(d.nexpunges + d.nchanges, 0);
	assert_int_equal(d.exists, 6);
	assert_int_equal(count(s, &v, MSG_SEEN), 6);
	assert_int_equal(waitpid(-1, NULL, 0) > 0, 1);
	assert_int_equal(saved_modseq(s), before);
	/* Not at each step: once in a while it is tried. */
	assert_in_range(nfailed, 1, 12);

	failing = NULL;
	usleep((INDEX_SAVE_MS + 100) * 1000);
	fx_deliver_n(&f, 1);
	assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	assert_int_equal(count(s, &v, 0), 7);
	assert_true(saved_modseq(s) > before);
	assert_false(s->ix.is_unsaved);
	store_close(s);
	fx_check_replay(&f, false);
	arena_free(&a);
	fx_free(&f);
}

static void
test_full(void **state)
{
	(void)state;
	unsaved(ENOSPC, false);
}

static void
test_error(void **state)
{
	(void)state;
	unsaved(EIO, false);
}

static void
test_read_only(void **state)
{
	(void)state;
	unsaved(EROFS, false);
}

/* LMDB goes on only in a new environment. */
static void
test_meta_page(void **state)
{
	(void)state;
	unsaved(EIO, true);
}

/* What is applied in memory for each reader has an end; past it the user is told to wait, deliveries go on, nothing is lost. */
static void
test_too_much(void **state)
{
	char data[PATH_MAX];
	struct fixture f;
	unsigned char id[16];
	struct flag_change seen = {.op = FLAGS_ADD, .flags = MSG_SEEN};
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, UINT32_MAX);
	uint64_t modseq;
	struct mbox_info info;
	struct arena a = arena_make(1 << 20);
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 1);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &info), STORE_OK);
	snprintf(data, sizeof(data), "%s/data.mdb", fx_path(&f, f.index, ""));
	failing = data;
	fail_with = ENOSPC;
	only_meta = false;
	fx_deliver_n(&f, INDEX_MEMORY_RECORDS - 1);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &info), STORE_OK);
	assert_int_equal(info.exists, INDEX_MEMORY_RECORDS);
	/* One record that changes as many messages as a transaction does at most otherwise. */
	assert_int_equal(store_flags(s, id, &set, &seen, &modseq), STORE_OK);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &info), STORE_OK);
	assert_int_equal(info.unseen, 0);
	fx_deliver_n(&f, 2);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &info), STORE_TEMP);
	fx_deliver_n(&f, 1);
	failing = NULL;
	usleep((INDEX_SAVE_MS + 100) * 1000);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &info), STORE_OK);
	assert_int_equal(info.exists, INDEX_MEMORY_RECORDS + 3);
	store_close(s);
	arena_free(&a);
	fx_free(&f);
}

/* While it is known that it cannot be written each reader goes through what is not in it once, not again to find that out. */
static void
test_read_once(void **state)
{
	char data[PATH_MAX];
	struct fixture f;
	unsigned char id[16];
	uint32_t exists;
	struct view v;
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 5);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	snprintf(data, sizeof(data), "%s/data.mdb", fx_path(&f, f.index, ""));
	failing = data;
	fail_with = ENOSPC;
	only_meta = false;
	fx_deliver_n(&f, 3);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	s->ix.save_again_ms = mono_ms() + 3600000;
	nscans = 0;
	assert_int_equal(view_count(s, &v, &exists), STORE_OK);
	assert_int_equal(exists, 8);
	assert_int_equal(nscans, 1);
	failing = NULL;
	store_close(s);
	fx_free(&f);
}

/* Compaction moves the bodies, and the index cannot be told: they are found where they are. */
static void
test_compacted(void **state)
{
	char data[PATH_MAX];
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, 2);
	struct store_compacted done;
	struct fixture f;
	unsigned char id[16];
	uint32_t exists;
	uint64_t modseq, n;
	struct view v;
	struct store *s;

	(void)state;
	fx_make(&f);
	f.host.segment_max_bytes = 16 * 1024;
	s = fx_alice(&f, id);
	while (s->spool->head.number < 3)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + 3600000, &n), STORE_OK);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
	snprintf(data, sizeof(data), "%s/data.mdb", fx_path(&f, f.index, ""));
	failing = data;
	fail_with = ENOSPC;
	only_meta = false;
	assert_int_equal(fx_deliver(&f, SLICE(""), 100, NULL), STORE_OK);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_count(s, &v, &exists), STORE_OK);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(done.segments, 1);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(count(s, &v, 0), exists);
	failing = NULL;
	usleep((INDEX_SAVE_MS + 100) * 1000);
	assert_int_equal(count(s, &v, 0), exists);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* A change of very many messages is several records, each a transaction otherwise: as many as may be read in memory are. */
static void
test_large_changes(void **state)
{
	char data[PATH_MAX];
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, UINT32_MAX);
	struct arena a = arena_make(1 << 20);
	enum store_result r = STORE_OK;
	struct mbox_info info;
	struct fixture f;
	unsigned char id[16];
	uint32_t nchanged = 0, nmsgs = 20000;
	uint64_t modseq;
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, nmsgs);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &info), STORE_OK);
	snprintf(data, sizeof(data), "%s/data.mdb", fx_path(&f, f.index, ""));
	failing = data;
	fail_with = ENOSPC;
	only_meta = false;
	for (int i = 0; r == STORE_OK && i < 20; i++) {
		struct flag_change c = {.op = i & 1 ? FLAGS_REMOVE : FLAGS_ADD, .flags = MSG_SEEN};

		assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_OK);
		nchanged += nmsgs;
		if ((r = store_mbox_by_name(s, INBOX, &a, &info)) == STORE_OK)
			assert_int_equal(info.unseen, i & 1 ? nmsgs : 0);
	}
	assert_int_equal(r, STORE_TEMP);
	assert_in_range(nchanged, INDEX_MEMORY_MSGS, INDEX_MEMORY_MSGS + nmsgs);
	failing = NULL;
	usleep((INDEX_SAVE_MS + 100) * 1000);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &info), STORE_OK);
	assert_int_equal(info.exists, nmsgs);
	store_close(s);
	arena_free(&a);
	fx_free(&f);
}

/* A file system of its own that turns read-only, as ext4 does after an error. False: not to be had (not root). */
static bool
disk_make(char *dir)
{
	char command[256];

	assert_non_null(mkdtemp(dir));
	snprintf(command, sizeof(command), "truncate -s 16M %s.img && mkfs.ext4 -q %s.img && mount -o loop %s.img %s 2>/dev/null",
	    dir, dir, dir, dir);
	if (geteuid() == 0 && system(command) == 0)
		return true;
	rmdir(dir);
	return false;
}

static void
disk_free(const char *dir)
{
	char command[256];

	snprintf(command, sizeof(command), "umount %s && rm -f %s.img && rmdir %s", dir, dir, dir);
	assert_int_equal(system(command), 0);
}

/* Who has it open sees all of it. Who opens it sees all where the index says all; else it is unavailable, and not less. */
static void
read_only_disk(bool is_current)
{
	char dir[] = "/tmp/ts-disk.XXXXXX", command[128];
	struct arena a = arena_make(1 << 20);
	struct view_delta d;
	struct mbox_info info;
	struct fixture f;
	unsigned char id[16], made[16];
	struct view v;
	struct store *s;

	if (!disk_make(dir)) {
		skip();
		return;
	}
	fx_make_in(&f, dir);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 5);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	fx_deliver_n(&f, 3);
	if (is_current)
		assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	snprintf(command, sizeof(command), "mount -o remount,abort %s 2>/dev/null", dir);
	if (system(command) == 0) {
		assert_int_equal(fx_deliver(&f, SLICE(""), 100, NULL), STORE_TEMP);
		assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
		assert_int_equal(count(s, &v, 0), 8);
		assert_int_equal(store_mbox_create(s, SLICE("user.alice.work"), USE_NONE, made), STORE_TEMP);
		assert_int_equal(count(s, &v, 0), 8);
		store_close(s);
		store_drop_cached();
		s = fx_open(&f);
		assert_int_equal(store_mbox_by_name(s, INBOX, &a, &info), is_current ? STORE_OK : STORE_TEMP);
		if (is_current)
			assert_int_equal(count(s, &v, 0), 8);
		assert_int_equal(store_mbox_create(s, SLICE("user.alice.work"), USE_NONE, made), STORE_TEMP);
		assert_int_equal(fx_deliver(&f, SLICE(""), 100, NULL), STORE_TEMP);
	}
	store_close(s);
	store_drop_cached();
	arena_free(&a);
	disk_free(dir);
}

static void
test_disk_turns_read_only(void **state)
{
	(void)state;
	read_only_disk(true);
	read_only_disk(false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_meta_page),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_read_once),
		cmocka_unit_test(test_compacted),
		cmocka_unit_test(test_large_changes),
		cmocka_unit_test(test_disk_turns_read_only),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
