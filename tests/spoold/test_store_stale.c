/*
 * An index that others have replaced. One that stands inside a segment when that is compacted: put aside while a session has
 * it open, or being made from a checkpoint that was replaced since; neither may go on in the new file. And one that
 * nobody holds open is let go of, so that all processes say the same.
 */
#include "store/checkpoint.h"
#include "store_fixture.h"

/* A session whose index was put aside by another process; meanwhile the segment it stands in is compacted. */
static void
test_stale_env(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	struct store_compacted done;
	uint64_t n;
	int to[2], back[2], status;
	char c;
	uint32_t got;

	(void)state;
	fx_small(&f, id, &s);
	for (int i = 0; i < 5; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	store_close(s);
	store_drop_cached();
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(back), 0);
	if (fork() == 0) {
		s = fx_open(&f);
		(void)fx_exists(s, id);
		(void)!write(back[1], "x", 1);
		(void)!read(to[0], &c, 1);
		got = fx_exists(s, id);
		(void)!write(back[1], &got, sizeof(got));
		_exit(0);
	}
	assert_int_equal(read(back[0], &c, 1), 1);
	store_discard_index(&f.host, ALICE);
	for (int i = 0; i < 60; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	s = fx_open(&f);
	assert_int_equal(fx_exists(s, id), 65);
	fx_expunge(s, id, 1, 3);
	assert_int_equal(store_purge(s, now_ms() + FX_HOUR_MS, &n), STORE_OK);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments > 0);
	assert_int_equal(fx_exists(s, id), 62);
	(void)!write(to[1], "x", 1);
	assert_int_equal(read(back[0], &got, sizeof(got)), sizeof(got));
	wait(&status);
	if (got != 62)
		fail_msg("the other session sees %u of 62 messages", got);
	store_close(s);
	fx_free(&f);
}


static int pause_to = -1, pause_from = -1;

int
posix_fallocate(int fd, off_t at, off_t n)
{
	char c;

	if (pause_to >= 0) {
		(void)!write(pause_to, "x", 1);
		(void)!read(pause_from, &c, 1);
		pause_to = -1;
	}
	return fallocate(fd, 0, at, n) == 0 ? 0 : errno;
}

/*
 * The index is put aside (a worker crashed) while upkeep has it open; who opens it next has copied the checkpoint,
 * then upkeep makes a newer one and compacts.
 */
static void
test_rebuild_between(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	struct store_compacted done;
	uint64_t n;
	uint32_t got;
	int to[2], back[2], status;
	char c;

	(void)state;
	fx_small(&f, id, &s);
	for (int i = 0; i < 5; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);	/* inside segment 1 */
	for (int i = 0; i < 60; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	store_close(s);
	store_drop_cached();
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(back), 0);
	if (fork() == 0) {
		(void)!read(to[0], &c, 1);
		store_discard_index(&f.host, ALICE);
		pause_to = back[1];
		pause_from = to[0];
		while (store_open(&f.host, ALICE, &s) != FOUND)
			usleep(1000);
		got = fx_exists(s, id);
		(void)!write(back[1], &got, sizeof(got));
		_exit(0);
	}
	s = fx_open(&f);
	fx_expunge(s, id, 1, 3);
	assert_int_equal(store_purge(s, now_ms() + FX_HOUR_MS, &n), STORE_OK);
	(void)!write(to[1], "x", 1);
	assert_int_equal(read(back[0], &c, 1), 1);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	print_message("# %u segments compacted meanwhile\n", done.segments);
	(void)!write(to[1], "x", 1);
	assert_int_equal(read(back[0], &got, sizeof(got)), sizeof(got));
	wait(&status);
	store_close(s);
	store_drop_cached();
	s = fx_open(&f);
	if (got != 62 || fx_exists(s, id) != 62)
		fail_msg("of 62 messages the rebuilt index has %u, and %u for who opens it later", got, fx_exists(s, id));
	store_close(s);
	fx_free(&f);
}

/* Made anew by another process, because of what it lacked: whoever has it open for later takes the new one. */
static void
test_made_anew(void **state)
{
	char aside[600], there[600];
	struct fixture f;
	unsigned char id[16];
	struct store *s, *held;
	uint64_t before;
	int status;

	(void)state;
	fx_small(&f, id, &s);
	for (int i = 0; i < 40; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	snprintf(aside, sizeof(aside), "%s/aside", f.dir);
	strcpy(there, fx_path(&f, f.active, "log.000002"));
	s = fx_reopen(&f, s, true);
	assert_int_equal(rename(there, aside), 0);
	s = fx_reopen(&f, s, true);
	assert_true(s->ix.meta.has_holes);
	before = s->ix.meta.inode;
	assert_true(fx_exists(s, id) < 40);
	store_close(s);
	/* Nothing happened: it is the same one. */
	s = fx_open(&f);
	assert_int_equal(s->ix.meta.inode, before);
	assert_int_equal(rename(aside, there), 0);
	if (fork() == 0) {
		/* Of the parent's nothing is used: LMDB's environments do not survive a fork. */
		struct store_host host = f.host;

		store_discard_index(&host, ALICE);
		_exit(store_open(&host, ALICE, &held) == FOUND ? 0 : 1);
	}
	wait(&status);
	assert_int_equal(status, 0);
	/* Who is at work goes on with it; who comes then does not. */
	held = fx_open(&f);
	assert_ptr_equal(held, s);
	store_close(held);
	store_close(s);
	s = fx_open(&f);
	assert_int_not_equal(s->ix.meta.inode, before);
	assert_false(s->ix.meta.has_holes);
	assert_int_equal(fx_exists(s, id), 40);
	store_close(s);
	/* And one that is only put aside is made by who comes. */
	before = s->ix.meta.inode;
	store_discard_index(&f.host, ALICE);
	s = fx_open(&f);
	assert_int_not_equal(s->ix.meta.inode, 0);
	assert_int_equal(access(fx_path(&f, f.index, "data.mdb"), F_OK), 0);
	assert_int_equal(fx_exists(s, id), 40);
	store_close(s);
	fx_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stale_env),
		cmocka_unit_test(test_rebuild_between),
		cmocka_unit_test(test_made_anew),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
