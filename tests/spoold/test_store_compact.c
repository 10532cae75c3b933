/*
 * Purge and compaction: what an index made from the compacted log holds is what it held before, every body
 * is read as it was sent, sessions go on, and a process that dies or fails at any call of it has done no harm.
 */
#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "store/checkpoint.h"
#include "store_fixture.h"

#define ARCHIVE	SLICE("user.alice.Archive")
#define HOUR_MS	3600000

/* ---- calls that fail, or end the process ---- */

static int	fail_at;	/* so many calls from now; 0: none */
static int	fail_with;	/* errno; 0: the process ends */
static int	ncalls;

static bool
is_due(void)
{
	ncalls++;
	if (fail_at == 0 || --fail_at > 0)
		return false;
	if (fail_with == 0)
		_exit(9);
	errno = fail_with;
	return true;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	/* A part of it first, as a disk does that fills up or a machine that dies. */
	if (fd > 2 && is_due()) {
		(void)!syscall(SYS_write, fd, p, n / 2);
		return -1;
	}
	return syscall(SYS_write, fd, p, n);
}

ssize_t
pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	return is_due() ? -1 : syscall(SYS_pwritev, fd, v, n, at & 0xffffffff, at >> 32);
}

int
fdatasync(int fd)
{
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
renameat(int a, const char *from, int b, const char *to)
{
	return is_due() ? -1 : (int)syscall(SYS_renameat, a, from, b, to);
}

/* ---- a history ---- */

static uint32_t seed;

static uint32_t
pick(uint32_t n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % n;
}

struct boxes {
	unsigned char	inbox[RECORD_ID_BYTES], archive[RECORD_ID_BYTES];
};

static void
one_change(struct fixture *f, struct store *s, const struct boxes *b)
{
	const unsigned char *from = pick(3) > 0 ? b->inbox : b->archive, *to = from == b->inbox ? b->archive : b->inbox;
	uint32_t lo = 1 + pick(f->serial + 10), uidvalidity;
	struct uid_range range = {lo, lo + pick(8)};
	struct uid_set uids = {&range, 1};
	struct slice keyword = SLICE("$Label1");
	struct flag_change flags = {.op = (enum flag_op)pick(3), .flags = pick(32), .keywords = &keyword, .nkeywords = pick(2)};
	struct append_msg append = {.body = {.mem = SLICE("Subject: appended\r\n\r\nx\r\n"), .fd = -1, .bytes = 24}, .date_ms = 1};
	struct arena a = arena_make(1 << 20);
	struct copied *pairs;
	uint64_t modseq;
	uint32_t uid;
	size_t n;

	append.body.bytes = append.body.mem.n;
	switch (pick(8)) {
	case 0:
		assert_int_equal(store_flags(s, from, &uids, &flags, &modseq), STORE_OK);
		break;
	case 1:
		assert_int_equal(store_expunge(s, from, &uids, false, &modseq), STORE_OK);
		break;
	case 2:
		assert_int_equal(store_copy(s, from, &uids, to, pick(2) == 0, &a, &pairs, &n, &uidvalidity), STORE_OK);
		break;
	case 3:
		assert_int_equal(store_append(s, from, &append, 1, &uid, &uidvalidity), STORE_OK);
		break;
	default:
		assert_int_equal(fx_deliver(f, pick(4) == 0 ? SLICE("user.alice.Archive") : SLICE(""), 40 + pick(2500), NULL),
		    STORE_OK);
		break;
	}
	arena_free(&a);
}

static struct store *
make_history(struct fixture *f, struct boxes *b, uint32_t changes)
{
	struct store *s;
	uint64_t n;

	fx_make(f);
	f->host.commit = fx_no_sync;
	f->host.segment_max_bytes = 32 * 1024;
	s = fx_alice(f, b->inbox);
	assert_int_equal(store_mbox_create(s, ARCHIVE, USE_ARCHIVE, b->archive), STORE_OK);
	for (uint32_t i = 0; i < changes; i++) {
		one_change(f, s, b);
		if (i == changes / 2)
			assert_int_equal(store_purge(s, now_ms() + HOUR_MS, &n), STORE_OK);
	}
	return s;
}

/* ---- what must be the same ---- */

/*
 * The index but for what compaction may change: places of bodiesand the hints of blocks (they tell of changes to
 * messages that are gone), and delivery keys of messages that are gone.
 */
static struct buf
dump(struct store *s, bool with_places)
{
	struct ix_key from = key_of(1);
	struct buf out = buf_make(1 << 30);
	struct slice k, v;
	struct iter it;

	assert_int_equal(store_current_begin(s), STORE_OK);
	iter_begin(&it, &s->ix, &from, 0);
	while (iter_next(&it, &k, &v)) {
		char value[1024];

		if (strchr("Axg", k.p[0]) != NULL)
			continue;
		assert_true(v.n <= sizeof(value));
		memcpy(value, v.p, v.n);
		if (k.p[0] == 'r' || k.p[0] == 'R')
			memset(value, 0, sizeof(uint64_t));
		if (k.p[0] == 'b') {
			struct ix_body b;

			memcpy(&b, value, sizeof(b));
			if (b.refs == 0)
				continue;
			if (!with_places)
				b.offset = b.generation = b.crc = 0;
			memcpy(value, &b, sizeof(b));
		}
		pack_str(&out, k);
		pack_str(&out, (struct slice){value, v.n});
	}
	iter_end(&it);
	assert_int_equal(index_end(&s->ix), STORE_OK);
	return out;
}

static void
assert_same(struct buf a, struct buf b, const char *what)
{
	if (a.n != b.n || memcmp(a.p, b.p, a.n) != 0)
		fail_msg("%s: another index (%zu and %zu bytes)", what, a.n, b.n);
	buf_free(&b);
}

static void
check_body(struct store *s, const struct msg_info *m)
{
	char text[4096], want[64];
	uint32_t serial;
	uint64_t at;
	int fd, n;

	assert_int_equal(store_body_open(s, m, &fd, &at), STORE_OK);
	assert_true(m->size <= sizeof(text));
	assert_int_equal(pread(fd, text, m->size, (off_t)at), m->size);
	close(fd);
	memcpy(&serial, m->guid + 4, sizeof(serial));
	n = m->guid[0] == 2 && m->guid[8] == 0 ? snprintf(want, sizeof(want), "Subject: number %u\r\n", serial) :
	    snprintf(want, sizeof(want), "Subject: appended\r\n");
	assert_memory_equal(text, want, (size_t)n);
}

static uint32_t
check_bodies(struct store *s, const unsigned char *mailbox)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	struct view v;
	uint32_t lo = 1, total = 0;
	size_t n;

	assert_int_equal(view_open(s, mailbox, false, &v), STORE_OK);
	do {
		assert_int_equal(view_range(s, &v, lo, UINT32_MAX, msgs, STORE_BATCH_MSGS, &n), STORE_OK);
		for (size_t i = 0; i < n; i++)
			check_body(s, &msgs[i]);
		if (n > 0)
			lo = msgs[n - 1].uid + 1;
		total += (uint32_t)n;
	} while (n == STORE_BATCH_MSGS);
	return total;
}

static void
test_same_after(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 6; round++) {
		struct store_compacted done;
		struct fixture f;
		struct boxes b;
		struct store *s;
		struct buf before, places;
		uint64_t n;
		uint32_t live;

		seed = 77 + round;
		s = make_history(&f, &b, 400);
		assert_int_equal(store_purge(s, now_ms() + HOUR_MS, &n), STORE_OK);
		assert_true(n > 0);
		s = fx_reopen(&f, s, true);
		before = dump(s, false);
		live = check_bodies(s, b.inbox) + check_bodies(s, b.archive);
		assert_true(live > 20);
		assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
		assert_true(done.segments > 3);
		assert_int_equal(done.damaged, 0);
		assert_true(done.after_bytes < done.before_bytes);
		assert_same(before, dump(s, false), "compacted");
		places = dump(s, true);
		assert_int_equal(check_bodies(s, b.inbox) + check_bodies(s, b.archive), live);
		/* The checkpoint is of before: its places are found wrong and set right as they are met. */
		s = fx_reopen(&f, s, false);
		assert_same(before, dump(s, false), "from the checkpoint");
		assert_int_equal(check_bodies(s, b.inbox) + check_bodies(s, b.archive), live);
		s = fx_reopen(&f, s, true);
		assert_same(before, dump(s, false), "from the log alone");
		assert_same(places, dump(s, true), "places from the log alone");
		/* There is nothing more to be had, and that is found out without writing. */
		assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
		assert_int_equal(done.segments, 0);
		/* And it all goes on. */
		for (uint32_t i = 0; i < 50; i++)
			one_change(&f, s, &b);
		buf_free(&before);
		before = dump(s, true);
		s = fx_reopen(&f, s, true);
		assert_same(before, dump(s, true), "after more changes");
		buf_free(&before);
		buf_free(&places);
		store_close(s);
		fx_free(&f);
	}
}

/* Messages that a session looked at before can be read after, and those it was not told are gone too. */
static void
test_open_view(void **state)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	struct store_compacted done;
	struct fixture f;
	struct boxes b;
	struct view_delta d;
	struct arena a = arena_make(1 << 24);
	struct view v, old;
	uint64_t n, modseq;
	struct uid_set gone;
	size_t nmsgs;
	struct store *s;

	(void)state;
	seed = 5;
	s = make_history(&f, &b, 300);
	assert_int_equal(view_open(s, b.inbox, false, &old), STORE_OK);
	assert_int_equal(store_expunge(s, b.inbox, &(struct uid_set){&(struct uid_range){1, 60}, 1}, false, &modseq), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + HOUR_MS, &n), STORE_OK);
	/* Older than the horizon: what it shows is not there any more. */
	assert_int_equal(view_range(s, &old, 1, UINT32_MAX, msgs, STORE_BATCH_MSGS, &nmsgs), STORE_NOMBOX);
	assert_int_equal(view_sync(s, &old, true, &a, &d), STORE_OK);
	assert_true(d.is_gone);
	assert_int_equal(view_open(s, b.inbox, false, &v), STORE_OK);
	/* What went is not known one by one any more, but that all of it did. */
	assert_int_equal(view_vanished(s, &v, modseq - 1, &(struct uid_set){&(struct uid_range){1, 60}, 1}, &a, &gone), STORE_OK);
	assert_true(gone.n == 1 && gone.r[0].lo == 1 && gone.r[0].hi == 60);
	assert_int_equal(view_vanished(s, &v, modseq, &(struct uid_set){&(struct uid_range){1, 60}, 1}, &a, &gone), STORE_OK);
	assert_int_equal(gone.n, 0);
	assert_int_equal(store_expunge(s, b.inbox, &(struct uid_set){&(struct uid_range){61, 90}, 1}, false, &modseq), STORE_OK);
	assert_int_equal(view_range(s, &v, 1, UINT32_MAX, msgs, STORE_BATCH_MSGS, &nmsgs), STORE_OK);
	assert_true(nmsgs > 30 && msgs[0].is_expunged);
	/* What was expunged a moment ago is kept. */
	assert_int_equal(store_purge(s, now_ms() - HOUR_MS, &n), STORE_OK);
	assert_int_equal(n, 0);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments > 0);
	for (size_t i = 0; i < nmsgs; i++)
		check_body(s, &msgs[i]);
	arena_free(&a);
	store_close(s);
	fx_free(&f);
}

/* Little waste is left alone, much is not. */
static void
test_waste(void **state)
{
	struct store_compacted done;
	struct fixture f;
	unsigned char id[RECORD_ID_BYTES];
	uint64_t n, modseq;
	struct store *s;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	f.host.segment_max_bytes = 64 * 1024;
	s = fx_alice(&f, id);
	for (int i = 0; i < 40; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 4000, NULL), STORE_OK);
	assert_int_equal(store_expunge(s, id, &(struct uid_set){&(struct uid_range){1, 3}, 1}, false, &modseq), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + HOUR_MS, &n), STORE_OK);
	assert_int_equal(n, 3);
	assert_int_equal(store_compact(s, NULL, 25, &done), STORE_OK);
	assert_int_equal(done.segments, 0);
	assert_int_equal(store_expunge(s, id, &(struct uid_set){&(struct uid_range){1, 6}, 1}, false, &modseq), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + HOUR_MS, &n), STORE_OK);
	assert_int_equal(store_compact(s, NULL, 25, &done), STORE_OK);
	assert_int_equal(done.segments, 1);
	assert_true(done.before_bytes - done.after_bytes >= 6 * 4000);
	store_close(s);
	fx_free(&f);
}

/* Segments that this process has open and that have no name any more. */
static unsigned
nameless_segments(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		char path[PATH_MAX];
		ssize_t len = readlinkat(dirfd(d), e->d_name, path, sizeof(path) - 1);

		path[len < 0 ? 0 : len] = '\0';
		n += strstr(path, "/log.") != NULL && strstr(path, " (deleted)") != NULL;
	}
	closedir(d);
	return n;
}

/*
 * The segment read from last stays open: not for a message that is in another generation of it, and not longer than somebody
 * holds the store, because the disk does not get back what is open.
 */
static void
test_open_segment(void **state)
{
	struct store_compacted done;
	struct fixture f;
	unsigned char id[RECORD_ID_BYTES];
	struct msg_info before[2], after[2];
	uint64_t n, modseq;
	struct view v;
	struct store *s;
	size_t got;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	f.host.segment_max_bytes = 64 * 1024;
	s = fx_alice(&f, id);
	for (int i = 0; i < 40; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 4000, NULL), STORE_OK);
	assert_int_equal(store_expunge(s, id, &(struct uid_set){&(struct uid_range){1, 6}, 1}, false, &modseq), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + HOUR_MS, &n), STORE_OK);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_range(s, &v, 8, 9, before, 2, &got), STORE_OK);
	assert_int_equal(got, 2);
	check_body(s, &before[0]);
	assert_int_equal(store_compact(s, NULL, 25, &done), STORE_OK);
	assert_int_equal(done.segments, 1);
	assert_int_equal(nameless_segments(), 1);
	check_body(s, &before[1]);
	assert_int_equal(view_range(s, &v, 8, 9, after, 2, &got), STORE_OK);
	assert_true(got == 2 && after[0].body.generation == before[0].body.generation + 1);
	for (int i = 0; i < 2; i++)
		check_body(s, &after[i]);
	assert_int_equal(nameless_segments(), 0);
	/* As it was before once more, and from a second holder of the store. */
	assert_int_equal(store_expunge(s, id, &(struct uid_set){&(struct uid_range){7, 12}, 1}, false, &modseq), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + HOUR_MS, &n), STORE_OK);
	assert_ptr_equal(fx_open(&f), s);
	assert_int_equal(store_compact(s, NULL, 25, &done), STORE_OK);
	assert_int_equal(done.segments, 1);
	assert_int_equal(nameless_segments(), 1);
	store_close(s);
	assert_int_equal(nameless_segments(), 1);
	store_close(s);
	assert_int_equal(nameless_segments(), 0);
	fx_free(&f);
}

/* A segment in which something cannot be read is not touched. */
static void
test_damaged(void **state)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	struct store_compacted done;
	struct fixture f;
	struct boxes b;
	struct store *s;
	struct stat before, after;
	struct view v;
	uint64_t n;
	size_t nmsgs, i = 0;
	char byte;
	int fd;

	(void)state;
	seed = 9;
	s = make_history(&f, &b, 300);
	assert_int_equal(store_purge(s, now_ms() + HOUR_MS, &n), STORE_OK);
	assert_int_equal(view_open(s, b.inbox, false, &v), STORE_OK);
	assert_int_equal(view_range(s, &v, 1, UINT32_MAX, msgs, STORE_BATCH_MSGS, &nmsgs), STORE_OK);
	while (i < nmsgs && msgs[i].body.segment != 2)
		i++;
	assert_true(i < nmsgs);
	fd = open(fx_path(&f, f.active, "log.000002"), O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, (off_t)msgs[i].body.offset), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)msgs[i].body.offset), 1);
	assert_int_equal(fstat(fd, &before), 0);
	close(fd);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(done.damaged, 1);
	assert_true(done.segments > 1);
	assert_int_equal(stat(fx_path(&f, f.active, "log.000002"), &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(access(fx_path(&f, f.active, "compact.new"), F_OK), -1);
	store_close(s);
	fx_free(&f);
}

/* Flips one byte of the log's second segment, or flips it back. */
static void
flip(struct fixture *f, uint64_t at)
{
	int fd = open(fx_path(f, f->active, "log.000002"), O_RDWR | O_CLOEXEC);
	char byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

/* Writes n bytes behind the last record, as a crash leaves them: zeros, or the beginning of a record, or all of it but one byte. */
static void
tear(struct fixture *f, const char *name, const char *bytes, size_t n)
{
	int fd = open(fx_path(f, f->active, name), O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

/*
 * The end that a crash tore off stands before a fence. Where it was never whole it goes with the next compaction; where it was,
 * and is damaged, the segment stays as it is until that is accepted.
 */
static void
test_torn(void **state)
{
	static char log[65536];
	struct { const char *name; size_t from, n; bool flip, goes; } rows[] = {
		{"zeros", 0, 700, false, true},
		{"half of a header", 1, 90, false, true},
		{"all but a byte", 1, 0, false, true},
		{"whole, but a byte", 1, 0, true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_compacted done;
		struct uid_range range;
		struct uid_set set = fx_one(&range, 1, 3);
		uint64_t modseq, n, at, all;
		struct fixture f;
		unsigned char id[16];
		struct store *s;
		int fd;

		fx_make(&f);
		f.host.segment_max_bytes = 16 * 1024;
		s = fx_alice(&f, id);
		for (int m = 0; m < 4; m++)
			assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
		at = fx_log_bytes(&f, "log.000001");
		assert_int_equal(fx_deliver(&f, SLICE(""), 500, NULL), STORE_OK);
		all = fx_log_bytes(&f, "log.000001");
		/* The fifth record is the one torn. */
		fd = open(fx_path(&f, f.active, "log.000001"), O_RDWR | O_CLOEXEC);
		assert_int_equal(pread(fd, log, all - at, (off_t)at), all - at);
		assert_int_equal(ftruncate(fd, (off_t)at), 0);
		close(fd);
		if (rows[i].flip)
			log[300] ^= 1, log[20] ^= 1;
		if (rows[i].from == 0)
			memset(log, 0, sizeof(log));
		store_close(s);
		store_drop_cached();
		tear(&f, "log.000001", log, rows[i].n > 0 ? rows[i].n : all - at - !rows[i].flip);
		f.host.epoch++;
		s = fx_open(&f);
		while (s->spool->head.number < 3)
			assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
		assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
		assert_int_equal(store_purge(s, now_ms() + HOUR_MS, &n), STORE_OK);
		assert_int_equal(s->ix.meta.has_holes, rows[i].goes ? 0 : 1);
		assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
		if (done.segments != rows[i].goes || done.damaged == rows[i].goes)
			fail_msg("%s: %u compacted, %u damaged", rows[i].name, (unsigned)done.segments, (unsigned)done.damaged);
		if (!rows[i].goes) {
			assert_true(fx_accept(&f, s) > 0);
			assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
			assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
			assert_true(done.segments > 0 && done.damaged == 0);
		}
		(void)check_bodies(s, id);
		store_close(s);
		fx_check_replay(&f, false);
		fx_free(&f);
	}
}

/* A header that could not be read when the index was made can be read again, on a disk put back: its message is not purged. */
static void
test_readable_again(void **state)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	struct store_compacted done;
	struct fixture f;
	struct boxes b;
	struct store *s;
	struct view v;
	uint32_t live;
	uint64_t n, at;
	size_t nmsgs, i = 0;

	(void)state;
	seed = 9;
	s = make_history(&f, &b, 300);
	assert_int_equal(store_purge(s, now_ms() + HOUR_MS, &n), STORE_OK);
	live = check_bodies(s, b.inbox) + check_bodies(s, b.archive);
	assert_int_equal(view_open(s, b.inbox, false, &v), STORE_OK);
	assert_int_equal(view_range(s, &v, 1, UINT32_MAX, msgs, STORE_BATCH_MSGS, &nmsgs), STORE_OK);
	while (i < nmsgs && (msgs[i].body.segment != 2 || msgs[i].guid[0] != 2))
		i++;
	assert_true(i < nmsgs);
	at = msgs[i].body.offset - 1;
	flip(&f, at);
	s = fx_reopen(&f, s, true);
	/* It may have been a LINK that names others: nothing is compacted until somebody says that it is lost. */
	assert_true(s->ix.meta.has_holes);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments == 0 && done.damaged == 1);
	assert_true(fx_accept(&f, s) > 0);
	assert_false(s->ix.meta.has_holes);
	assert_true(check_bodies(s, b.inbox) + check_bodies(s, b.archive) < live);
	flip(&f, at);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments > 1 && done.damaged == 0);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(done.segments, 0);
	s = fx_reopen(&f, s, true);
	assert_int_equal(check_bodies(s, b.inbox) + check_bodies(s, b.archive), live);
	store_close(s);
	fx_free(&f);
}

static bool
stop_at_once(void *arg, uint64_t done, uint64_t total)
{
	(void)done;
	(void)total;
	++*(int *)arg;
	return false;
}

/* A checkpoint that is cut short leaves the old one, is no fault, and is due as before. */
static void
test_checkpoint_cut(void **state)
{
	struct checkpoint_mark mark;
	int asked = 0;
	struct store_pace pace = {.step = stop_at_once, .arg = &asked};
	uint64_t records;
	struct fixture f;
	unsigned char id[RECORD_ID_BYTES];
	struct store *s;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 20000);
	assert_int_equal(store_current_begin(s), STORE_OK);
	assert_int_equal(index_end(&s->ix), STORE_OK);
	fx_deliver_n(&f, 100);
	assert_int_equal(store_current_begin(s), STORE_OK);
	records = s->ix.meta.replay_records;
	assert_int_equal(index_end(&s->ix), STORE_OK);
	assert_true(records > 0);
	unlink(fx_path(&f, f.active, "checkpoint"));
	assert_int_equal(store_checkpoint(s, &pace, true), STORE_TEMP);
	assert_true(asked > 0);
	assert_int_equal(s->ix.meta.replay_records, records);
	assert_int_not_equal(checkpoint_read(s->spool->dir_fd, s->spool->user, &mark), FOUND);
	pace.step = NULL;
	assert_int_equal(store_checkpoint(s, &pace, true), STORE_OK);
	assert_int_equal(s->ix.meta.replay_records, 0);
	assert_int_equal(checkpoint_read(s->spool->dir_fd, s->spool->user, &mark), FOUND);
	store_close(s);
	fx_free(&f);
}

/* ---- death and failure at every call ---- */

static void
copy_dirs(const struct fixture *f, const char *suffix_from, const char *suffix_to)
{
	char command[1024];

	snprintf(command, sizeof(command), "rm -rf %s%s %s%s && cp -a %s%s %s%s && cp -a %s%s %s%s", f->active, suffix_to,
	    f->index, suffix_to, f->active, suffix_from, f->active, suffix_to, f->index, suffix_from, f->index, suffix_to);
	assert_int_equal(system(command), 0);
}

static enum store_result
purge_and_compact(struct fixture *f)
{
	struct store_compacted done;
	struct store *s = fx_open(f);
	uint64_t n;
	enum store_result r = store_purge(s, now_ms() + HOUR_MS, &n);

	if (r == STORE_OK)
		r = store_compact(s, NULL, 0, &done);
	store_close(s);
	return r;
}

/* with: 0: dies. How many places there were. */
static int
at_every_call(int with)
{
	struct fixture f;
	struct boxes b;
	struct store *s;
	uint32_t live;
	int at;

	seed = 31;
	s = make_history(&f, &b, 200);
	live = check_bodies(s, b.inbox) + check_bodies(s, b.archive);
	store_close(s);
	store_drop_cached();
	copy_dirs(&f, "", ".saved");
	for (at = 1;; at++) {
		struct store_compacted done;
		int status;
		pid_t pid;

		copy_dirs(&f, ".saved", "");
		if ((pid = fork()) == 0) {
			fail_with = with;
			fail_at = at;
			(void)purge_and_compact(&f);
			_exit(fail_at > 0 ? 8 : 7);	/* 8: there were not so many calls */
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		s = fx_open(&f);
		if (check_bodies(s, b.inbox) + check_bodies(s, b.archive) != live)
			fail_msg("call %d, errno %d: not all messages", at, with);
		assert_int_equal(fx_deliver(&f, SLICE(""), 100, NULL), STORE_OK);
		/* The next run finishes it. */
		store_close(s);
		assert_int_equal(purge_and_compact(&f), STORE_OK);
		s = fx_reopen(&f, fx_open(&f), true);
		if (check_bodies(s, b.inbox) + check_bodies(s, b.archive) != live + 1)
			fail_msg("call %d, errno %d: not all messages after a rebuild", at, with);
		assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
		assert_int_equal(done.segments, 0);
		store_close(s);
		store_drop_cached();
		if (WEXITSTATUS(status) == 8)
			break;
	}
	fx_free(&f);
	return at - 1;
}

static void
test_killed(void **state)
{
	int n = at_every_call(0);

	(void)state;
	assert_true(n > 20);
	print_message("# died at each of %d calls\n", n);
}

static void
test_failing(void **state)
{
	int n = at_every_call(ENOSPC);

	(void)state;
	assert_true(n > 20);
	n += at_every_call(EIO);
	print_message("# %d calls failed\n", n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_after),
		cmocka_unit_test(test_open_view),
		cmocka_unit_test(test_waste),
		cmocka_unit_test(test_open_segment),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_readable_again),
		cmocka_unit_test(test_checkpoint_cut),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_failing),
	};

	(void)signal(SIGPIPE, SIG_IGN);	/* as every daemon does */
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
