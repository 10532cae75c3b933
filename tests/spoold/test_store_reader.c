/*
 * Readers: they follow a log wherever its appenders went, get over what hindered them as soon as it is gone, never spin, and a log
 * that could only be read can be written again. System calls are replaced by fail_calls.h.
 */
#include <sys/mount.h>
#include <time.h>

#include "fail_calls.h"
#include "store_loss.h"

#define HELD_MS	1000

/* Another process: with its own logs and indexes, and other keys. */
static struct fixture
elsewhere(const struct fixture *f)
{
	struct fixture other = *f;

	other.serial += 1000;
	return other;
}

/* ---- to follow ---- */

/* It stood at the end of a segment; the next was begun, and lost, and a third is written to. */
static void
test_before_lost(void **state)
{
	struct arena a = arena_make(1 << 20);
	struct view_delta d;
	struct fixture f, other;
	unsigned char id[16];
	struct view v;
	uint32_t before;
	struct store *s = segments(&f, id, 2);

	(void)state;
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	other = elsewhere(&f);
	while (access(fx_path(&f, f.active, "log.000003"), F_OK) != 0)
		assert_int_equal(fx_deliver(&other, SLICE(""), 2000, NULL), STORE_OK);
	move_file(&f, "log.000003", "kept", false);
	assert_int_equal(fx_deliver(&other, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(access(fx_path(&f, f.active, "log.000004"), F_OK), 0);
	assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	before = d.exists;
	for (int i = 0; i < 3; i++)
		assert_int_equal(fx_deliver(&other, SLICE(""), 2000, NULL), STORE_OK);
	assert_true(view_is_stale(s, &v));
	assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	assert_int_equal(s->spool->head.number, 4);
	assert_true(d.exists >= before + 3);
	store_close(s);
	arena_free(&a);
	fx_free(&f);
}

/* Its index has all of the lost segment: what was seen of it stays, and what comes behind is seen. */
static void
test_in_lost(void **state)
{
	struct arena a = arena_make(1 << 20);
	struct view_delta d;
	struct fixture f, other;
	unsigned char id[16];
	uint32_t before, after;
	struct view v;
	struct store *s = segments(&f, id, 3);

	(void)state;
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_count(s, &v, &before), STORE_OK);
	other = elsewhere(&f);
	move_file(&f, "log.000003", "kept", false);
	assert_int_equal(fx_deliver(&other, SLICE(""), 100, NULL), STORE_OK);
	assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	assert_int_equal(view_count(s, &v, &after), STORE_OK);
	assert_int_equal(after, before + 1);
	store_close(s);
	arena_free(&a);
	fx_free(&f);
}

/* The operator moved the segment away and a copy of it back: that is the one which grows. */
static void
test_copied_back(void **state)
{
	struct fixture f, other;
	unsigned char id[16];
	struct view v;
	struct store *s = segments(&f, id, 2);

	(void)state;
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	other = elsewhere(&f);
	move_file(&f, "log.000002", "kept", false);
	copy_file(&f, "log.000002", "kept", true);
	assert_int_equal(fx_deliver(&other, SLICE(""), 100, NULL), STORE_OK);
	assert_true(view_is_stale(s, &v));
	store_close(s);
	fx_free(&f);
}

/* ---- to recover ---- */

/* The only segment is gone for a while: as soon as it is back the session reads and changes as before. */
static void
test_gone_and_back(void **state)
{
	struct arena a = arena_make(1 << 20);
	struct flag_change seen = {.op = FLAGS_ADD, .flags = MSG_SEEN};
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, 1);
	struct view_delta d;
	struct fixture f;
	unsigned char id[16];
	uint64_t modseq;
	struct view v;
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 3);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	copy_file(&f, "log.000001", "copy", false);
	assert_int_equal(unlink(fx_path(&f, f.active, "log.000001")), 0);
	(void)view_sync(s, &v, true, &a, &d);
	assert_int_equal(store_flags(s, id, &set, &seen, &modseq), STORE_TEMP);
	move_file(&f, "log.000001", "copy", true);
	assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	assert_int_equal(d.exists, 3);
	assert_int_equal(store_flags(s, id, &set, &seen, &modseq), STORE_OK);
	store_close(s);
	arena_free(&a);
	fx_free(&f);
}

/* A log opened while it could not be written: nobody has to close it before it is written again. */
static void
test_writable_again(void **state)
{
	struct fixture f, other;
	unsigned char id[16];
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 3);
	other = elsewhere(&f);
	fail_opens_to_write = true;
	assert_int_equal(fx_deliver(&other, SLICE(""), 100, NULL), STORE_TEMP);
	fail_opens_to_write = false;
	assert_int_equal(fx_deliver(&f, SLICE(""), 100, NULL), STORE_OK);
	assert_int_equal(fx_deliver(&other, SLICE(""), 100, NULL), STORE_OK);
	store_close(s);
	fx_free(&f);
}

/* Who only reads begins no segment: a full one on a disk that is read-only is opened. */
static void
test_read_only_full(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct view v;
	enum lookup found;
	struct store *s = segments(&f, id, 2);

	(void)state;
	deliver_full(&f, s, 2);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	close_all(s);
	fail_opens_to_write = true;
	found = store_open(&f.host, ALICE, &s);
	fail_opens_to_write = false;
	assert_int_equal(found, FOUND);
	store_close(s);
	fx_free(&f);
}

/* Opened on a file system that was read-only: index and log are written as soon as it is not, in the same process. */
static void
test_remounted(void **state)
{
	char dir[] = "/tmp/ts-again.XXXXXX";
	struct flag_change seen = {.op = FLAGS_ADD, .flags = MSG_SEEN};
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, 1);
	struct fixture f;
	unsigned char id[16];
	uint64_t modseq;
	struct view v;
	struct store *s;

	(void)state;
	assert_non_null(mkdtemp(dir));
	if (geteuid() != 0 || mount("tmpfs", dir, "tmpfs", 0, "size=16m") != 0) {
		rmdir(dir);
		skip();
	}
	fx_make_in(&f, dir);
	f.host.map_bytes = 8 << 20;
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 5);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	close_all(s);
	assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	s = fx_open(&f);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(store_flags(s, id, &set, &seen, &modseq), STORE_TEMP);
	assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT, NULL), 0);
	usleep((INDEX_SAVE_MS + 100) * 1000);
	(void)store_flags(s, id, &set, &seen, &modseq);
	assert_int_equal(fx_deliver(&f, SLICE(""), 100, NULL), STORE_OK);
	usleep((INDEX_SAVE_MS + 100) * 1000);
	assert_int_equal(store_flags(s, id, &set, &seen, &modseq), STORE_OK);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_false(s->ix.is_unsaved);
	close_all(s);
	assert_int_equal(umount(dir), 0);
	rmdir(dir);
}

/* A disk that fails while the scan looks for the next record behind a damaged one: it is not the end of the segment. */
static void
test_error_behind_damage(void **state)
{
	uint32_t live, last, all;
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	struct stat st;
	uint64_t at;

	(void)state;
	fx_make(&f);
	f.host.segment_max_bytes = 500 * 1024;
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 2);
	assert_int_equal(fx_deliver(&f, SLICE(""), 300000, NULL), STORE_OK);
	fx_deliver_n(&f, 5);
	assert_int_equal(fx_deliver(&f, SLICE(""), 300000, NULL), STORE_OK);
	fx_deliver_n(&f, 2);
	assert_int_equal(s->spool->head.number, 2);
	all = readable(s, id, &live, &last);
	at = message_at(s, 3);
	set_byte(&f, "log.000001", at + 30, '!');
	store_close(s);
	fx_remove_index(&f);
	assert_int_equal(stat(fx_path(&f, f.active, "log.000001"), &st), 0);
	fail_read_ino = st.st_ino;
	fail_read_from = at + 200000;
	assert_int_equal(store_open(&f.host, ALICE, &s), LOOKUP_TEMP);
	fail_read_ino = 0;
	s = fx_open(&f);
	assert_int_equal(readable(s, id, &live, &last), all - 1);
	store_close(s);
	fx_free(&f);
}

/* ---- not to spin ---- */

/* Another process has the turn for a second, from now on. */
static pid_t
hold_turn(struct fixture *f)
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		struct store *s;

		f->host.partition = strdup("default");
		struct store_host host = f->host;

		if (store_open(&host, ALICE, &s) != FOUND || index_begin(&s->ix, true) != STORE_OK ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		usleep(HELD_MS * 1000);
		(void)index_end(&s->ix);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

/* A reader that must have what it was told elsewhere waits for the turn, and sleeps meanwhile. */
static void
test_waits(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct view v;
	struct store *s;
	uint32_t n;
	int status;
	pid_t pid;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 3);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	pid = hold_turn(&f);
	fx_deliver_n(&f, 1);
	/* Of the delivery, as another process that could not write the index told it. */
	v.modseq = v.expunge_modseq = s->ix.meta.next_modseq;
	locks = 0;
	assert_int_equal(view_count(s, &v, &n), STORE_OK);
	/* A try each BUSY_STEP_US at most. */
	assert_in_range(locks, 1, HELD_MS * 5 + 100);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	store_close(s);
	fx_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_lost),
		cmocka_unit_test(test_in_lost),
		cmocka_unit_test(test_copied_back),
		cmocka_unit_test(test_gone_and_back),
		cmocka_unit_test(test_writable_again),
		cmocka_unit_test(test_read_only_full),
		cmocka_unit_test(test_remounted),
		cmocka_unit_test(test_error_behind_damage),
		cmocka_unit_test(test_waits),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
