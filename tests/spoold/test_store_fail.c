/*
 * System calls that fail: the first, the second, and so on of each operation, until it needs no more.
 * An operation that did not say OK has left nothing that can be shown; the next one works; a replay
 * says the same. The calls are replaced by definitions here, which the linker prefers to libc's.
 */
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "store_fixture.h"

static int	fail_at;	/* this many calls from now; 0: none */
static int	fail_with;
static bool	failed;

static bool
is_due(void)
{
	if (fail_at == 0 || --fail_at > 0)
		return false;
	failed = true;
	errno = fail_with;
	return true;
}

ssize_t
pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	static bool is_full;

	if (is_full || is_due()) {
		size_t part = v[0].iov_len / 2;

		/* A disk that fills up takes a part first. */
		is_full = !is_full && fail_with == ENOSPC;
		if (is_full && syscall(SYS_pwrite64, fd, v[0].iov_base, part, at) == (long)part)
			return (ssize_t)part;
		is_full = false;
		errno = fail_with;
		return -1;
	}
	return syscall(SYS_pwritev, fd, v, n, at & 0xffffffff, at >> 32);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	if (fd > 2 && is_due())
		return -1;
	return syscall(SYS_write, fd, p, n);
}

static ino_t	watched;	/* a log */
static int	synced_by[4];	/* how often it was, by access mode of the descriptor */

int
fdatasync(int fd)
{
	struct stat st;

	if (watched != 0 && fstat(fd, &st) == 0 && st.st_ino == watched)
		synced_by[fcntl(fd, F_GETFL) & O_ACCMODE]++;
	return is_due() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
	return is_due() ? -1 : (int)syscall(SYS_fsync, fd);
}

int
ftruncate(int fd, off_t n)
{
	return is_due() ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int
rename(const char *from, const char *to)
{
	return is_due() ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int
renameat(int a, const char *from, int b, const char *to)
{
	return is_due() ? -1 : (int)syscall(SYS_renameat, a, from, b, to);
}

int
openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return is_due() ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

static uint32_t
exists(struct store *s)
{
	struct arena a = arena_make(1 << 16);
	struct mbox_info m;

	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &m), STORE_OK);
	arena_free(&a);
	return m.exists;
}

static uint64_t
fd_bytes(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

static void
begin(int at, int with)
{
	fail_at = at;
	fail_with = with;
	failed = false;
}

/* True when the call that was to fail came. */
static bool
end(void)
{
	fail_at = 0;
	return failed;
}

static enum store_result
do_deliver(struct fixture *f, struct store *s, const unsigned char *id)
{
	(void)s;
	(void)id;
	return fx_deliver(f, SLICE(""), 100, NULL);
}

static enum store_result
do_append(struct fixture *f, struct store *s, const unsigned char *id)
{
	struct slice body = SLICE("Subject: number 1\r\n\r\nx\r\n");
	struct append_msg msgs[2] = {{.body = {.mem = body, .fd = -1, .bytes = body.n}},
	    {.body = {.mem = body, .fd = -1, .bytes = body.n}}};
	uint32_t uid[2], validity;

	(void)f;
	return store_append(s, id, msgs, 2, uid, &validity);
}

static enum store_result
do_replace(struct fixture *f, struct store *s, const unsigned char *id)
{
	struct slice body = SLICE("Subject: number 1\r\n\r\nx\r\n");
	struct append_msg msg = {.body = {.mem = body, .fd = -1, .bytes = body.n}};
	uint32_t uid, validity;
	struct view v;

	(void)f;
	/* Where this fails nothing is to be replaced: the message asked for is not there. */
	if (view_open(s, id, false, &v) != STORE_OK || view_last_uid(s, &v, &uid) != STORE_OK)
		return STORE_TEMP;
	return store_replace(s, id, uid, id, &msg, &uid, &validity);
}

static enum store_result
do_move(struct fixture *f, struct store *s, const unsigned char *id)
{
	struct arena a = arena_make(1 << 16);
	struct uid_range r = {1, 2};
	struct uid_set set = {&r, 1};
	struct copied *pairs;
	uint32_t validity;
	size_t n;
	enum store_result got;

	(void)f;
	got = store_copy(s, id, &set, id, true, &a, &pairs, &n, &validity);
	arena_free(&a);
	return got;
}

static enum store_result
do_create(struct fixture *f, struct store *s, const unsigned char *id)
{
	unsigned char made[16];
	char name[32];

	(void)id;
	snprintf(name, sizeof(name), "user.alice.m%u", ++f->serial);
	return store_mbox_create(s, slice_of(name), USE_NONE, made);
}

/* The open file that deliveries hand to the committer: nobody else may take its news of a failed write. */
static void
test_sync_takes_no_news(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	struct stat st;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	assert_int_equal(fx_deliver(&f, SLICE(""), 100, NULL), STORE_OK);
	assert_int_equal(stat(fx_path(&f, f.active, "log.000001"), &st), 0);
	watched = st.st_ino;
	f.host.segment_max_bytes = 1;
	assert_int_equal(fx_deliver(&f, SLICE(""), 100, NULL), STORE_OK);
	assert_int_equal(stat(fx_path(&f, f.active, "log.000002"), &st), 0);
	watched = 0;
	assert_int_equal(synced_by[O_RDONLY], 2);	/* before the last record, which names the next segment, and with it */
	assert_int_equal(synced_by[O_WRONLY], 0);
	store_close(s);
	fx_free(&f);
}

static void
test_nth_call(void **state)
{
	static const struct {
		const char	*name;
		enum store_result (*fn)(struct fixture *, struct store *, const unsigned char *);
		uint32_t	 segment_max;	/* 1: every append begins a new segment */
		int		 with;
		enum store_result want;
		uint32_t	 grows, keeps;	/* messages more when OK; when the sync alone failed */
	} rows[] = {
		{"deliver, EIO", do_deliver, 1 << 20, EIO, STORE_TEMP, 1, 0},
		{"deliver, ENOSPC", do_deliver, 1 << 20, ENOSPC, STORE_FULL, 1, 0},
		{"deliver into a new segment, EIO", do_deliver, 1, EIO, STORE_TEMP, 1, 0},
		{"deliver into a new segment, ENOSPC", do_deliver, 1, ENOSPC, STORE_FULL, 1, 0},
		{"append, EIO", do_append, 1 << 20, EIO, STORE_TEMP, 2, 2},
		{"append, ENOSPC", do_append, 1 << 20, ENOSPC, STORE_FULL, 2, 2},
		{"move, EIO", do_move, 1 << 20, EIO, STORE_TEMP, 0, 0},
		{"replace, EIO", do_replace, 1 << 20, EIO, STORE_TEMP, 0, 0},
		{"replace, ENOSPC", do_replace, 1 << 20, ENOSPC, STORE_FULL, 0, 0},
		{"create, EIO", do_create, 1 << 20, EIO, STORE_TEMP, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fixture f;
		unsigned char id[16];
		struct store *s;
		uint32_t before, after;
		bool came = true;

		fx_make(&f);
		s = fx_alice(&f, id);
		fx_deliver_n(&f, 4);
		f.host.segment_max_bytes = rows[i].segment_max;
		for (int at = 1; came; at++) {
			enum store_result got;

			before = exists(s);
			begin(at, rows[i].with);
			got = rows[i].fn(&f, s, id);
			came = end();
			after = exists(s);
			if (!came && got != STORE_OK)
				fail_msg("%s: %d without a failure", rows[i].name, got);
			/* Some calls are best effort (a segment's spare room, the checkpoint). */
			if (got == STORE_OK && after != before + rows[i].grows)
				fail_msg("%s, call %d: said OK, %u messages after %u", rows[i].name, at, after, before);
			if (got != STORE_OK && after != before && after != before + rows[i].keeps)
				fail_msg("%s, call %d: said %d, %u messages after %u", rows[i].name, at, got, after, before);
			if (got != STORE_OK && got != rows[i].want && got != STORE_TEMP)
				fail_msg("%s, call %d: said %d", rows[i].name, at, got);
			/* What was written of it is cut off at once, not by the next one who comes. */
			if (got != STORE_OK && after == before && rows[i].segment_max > 1)
				assert_int_equal(fd_bytes(s->spool->write_fd), s->spool->at);
			if (fx_deliver(&f, SLICE(""), 50, NULL) != STORE_OK || exists(s) != after + 1)
				fail_msg("%s, call %d: the next delivery", rows[i].name, at);
			assert_true(at < 60);
		}
		/* No segment that a record names was left out on the way. */
		assert_false(s->ix.meta.has_holes);
		store_close(s);
		f.host.segment_max_bytes = 1 << 20;
		fx_check_replay(&f, false);
		s = fx_open(&f);
		assert_false(s->ix.meta.has_holes);
		store_close(s);
		fx_free(&f);
	}
}

/* Making a spool, call by call: afterwards it is made or it is not, and can be made. */
static void
test_create_spool(void **state)
{
	bool came = true;

	(void)state;
	for (int at = 1; came; at++) {
		struct fixture f;
		const char *partition;
		enum store_result got;
		struct store *s;

		fx_make(&f);
		begin(at, EIO);
		got = store_create(&f.host, ALICE);
		came = end();
		if (!came)
			assert_int_equal(got, STORE_OK);
		if (got == STORE_OK)
			assert_int_equal(store_exists(&f.host, ALICE, &partition), FOUND);
		assert_int_equal(store_create(&f.host, ALICE), STORE_OK);
		fx_deliver_n(&f, 1);
		s = fx_open(&f);
		assert_int_equal(exists(s), 1);
		store_close(s);
		fx_free(&f);
		assert_true(at < 40);
	}
}

/* Opening an index that has to be made, and the epoch, call by call. */
static void
test_open_and_epoch(void **state)
{
	bool came = true;

	(void)state;
	for (int at = 1; came; at++) {
		struct fixture f;
		unsigned char id[16];
		struct store *s;
		enum lookup got;
		uint32_t epoch;
		int begun;

		fx_make(&f);
		store_close(fx_alice(&f, id));
		fx_deliver_n(&f, 3);
		fx_remove_index(&f);
		begin(at, EIO);
		begun = epoch_begin(f.active, "default", false, &epoch);
		if (begun == 0)
			f.host.epoch = epoch;
		got = store_open(&f.host, ALICE, &s);
		came = end();
		if (got == FOUND)
			store_close(s);
		assert_int_equal(epoch_begin(f.active, "default", false, &epoch), 0);
		assert_true(epoch > f.host.epoch);
		f.host.epoch = epoch;
		store_drop_cached();
		s = fx_open(&f);
		assert_int_equal(exists(s), 3);
		fx_deliver_n(&f, 1);
		assert_int_equal(exists(s), 4);
		store_close(s);
		fx_free(&f);
		assert_true(at < 60);
	}
}

/* A real small file system that fills up, for the log and then for the index. Only as root. */
static void
test_full_disk(void **state)
{
	char small[] = "/tmp/ts-small.XXXXXX";
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	enum store_result got = STORE_OK;
	uint32_t n = 0;

	(void)state;
	assert_non_null(mkdtemp(small));
	if (geteuid() != 0 || mount("tmpfs", small, "tmpfs", 0, "size=1m") != 0) {
		rmdir(small);
		skip();
	}
	fx_make_in(&f, small);
	snprintf(f.index, sizeof(f.index), "/tmp/%s.index", small + 5);
	s = fx_alice(&f, id);
	while (n < 1000 && (got = fx_deliver(&f, SLICE(""), 3000, NULL)) == STORE_OK)
		n++;
	assert_int_equal(got, STORE_FULL);
	assert_in_range(n, 50, 400);
	assert_int_equal(exists(s), n);
	store_close(s);
	fx_check_replay(&f, false);
	/* The index where there is no room: nothing is lost, it only cannot be served. */
	fx_remove_index(&f);
	snprintf(f.index, sizeof(f.index), "%s/index", f.dir);
	assert_int_equal(store_open(&f.host, ALICE, &s), LOOKUP_TEMP);
	snprintf(f.index, sizeof(f.index), "/tmp/%s.index", small + 5);
	s = fx_open(&f);
	assert_int_equal(exists(s), n);
	store_close(s);
	fx_free(&f);
	assert_int_equal(umount(small), 0);
	rmdir(small);
	snprintf(f.dir, sizeof(f.dir), "rm -rf /tmp/%s.index", small + 5);
	assert_int_equal(system(f.dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nth_call),
		cmocka_unit_test(test_sync_takes_no_news),
		cmocka_unit_test(test_create_spool),
		cmocka_unit_test(test_open_and_epoch),
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
