/*
 * Purge and compaction where it is narrow: retried deliveries, voids, an INBOX made by a delivery, and damage at
 * either end of a segment.
 */
#include "store/checkpoint.h"
#include "store_fixture.h"

static enum store_result
deliver_key(struct fixture *f, uint32_t number, size_t bytes)
{
	f->serial = number - 1;
	return fx_deliver(f, SLICE(""), bytes, NULL);
}

/* A retried delivery was dropped as a duplicate; the first was expunged, purged and compacted. */
static void
dup_back(bool at_mark, bool without_checkpoint)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	struct store_compacted done;
	uint64_t n;
	uint32_t before, after;

	fx_small(&f, id, &s);
	assert_int_equal(deliver_key(&f, 1000, 2000), STORE_OK);	/* uid 1: the original */
	f.serial = 0;
	for (int i = 0; i < 20; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	if (at_mark)
		assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
	assert_int_equal(deliver_key(&f, 1000, 2000), STORE_OK);	/* the retry */
	f.serial = 500;
	before = fx_exists(s, id);
	assert_int_equal(before, 21);
	fx_expunge(s, id, 1, 1);
	assert_int_equal(fx_exists(s, id), 20);
	assert_int_equal(store_purge(s, now_ms() + FX_HOUR_MS, &n), STORE_OK);
	assert_int_equal(n, 1);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments > 0);
	before = fx_exists(s, id);
	store_close(s);
	if (without_checkpoint)
		unlink(fx_path(&f, f.active, "checkpoint"));
	fx_remove_index(&f);
	s = fx_open(&f);
	after = fx_exists(s, id);
	if (before != after)
		fail_msg("%u messages before the rebuild, %u after", before, after);
	store_close(s);
	fx_free(&f);
}

static void
test_dup_log(void **state)
{
	(void)state;
	dup_back(false, true);
}

static void
test_dup_checkpoint(void **state)
{
	(void)state;
	dup_back(true, false);
}

/* Damage at the end of a sealed segment. */
static void
tail_damage(uint64_t from_end, bool cut)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	struct store_compacted done;
	uint64_t n;
	struct stat st, after;
	char byte;
	int fd;

	fx_small(&f, id, &s);
	for (int i = 0; i < 40; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	fx_expunge(s, id, 3, 3);
	assert_int_equal(store_purge(s, now_ms() + FX_HOUR_MS, &n), STORE_OK);
	fd = open(fx_path(&f, f.active, "log.000001"), O_RDWR | O_CLOEXEC);
	fstat(fd, &st);
	if (cut)
		assert_int_equal(ftruncate(fd, st.st_size - (off_t)from_end), 0);
	else {
		assert_int_equal(pread(fd, &byte, 1, st.st_size - (off_t)from_end), 1);
		byte ^= 1;
		assert_int_equal(pwrite(fd, &byte, 1, st.st_size - (off_t)from_end), 1);
	}
	fstat(fd, &st);
	close(fd);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(stat(fx_path(&f, f.active, "log.000001"), &after), 0);
	if (after.st_ino != st.st_ino)
		fail_msg("rewritten: segments %u damaged %u, %llu -> %llu bytes", done.segments, done.damaged,
		    (unsigned long long)st.st_size, (unsigned long long)after.st_size);
	store_close(s);
	fx_free(&f);
}

static void
test_tail_trailer(void **state)
{
	(void)state;
	tail_damage(5, false);
}

static void
test_tail_header(void **state)
{
	(void)state;
	tail_damage(2000 + 200, false);
}

static void
test_tail_cut(void **state)
{
	(void)state;
	tail_damage(10, true);
}

/* A damaged head. */
static void
test_head(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	struct store_compacted done;
	uint64_t n;
	struct stat st, after;
	char byte;
	int fd;

	(void)state;
	fx_small(&f, id, &s);
	for (int i = 0; i < 40; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	fx_expunge(s, id, 3, 3);
	assert_int_equal(store_purge(s, now_ms() + FX_HOUR_MS, &n), STORE_OK);
	fd = open(fx_path(&f, f.active, "log.000001"), O_RDWR | O_CLOEXEC);
	fstat(fd, &st);
	assert_int_equal(pread(fd, &byte, 1, 60), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 60), 1);
	close(fd);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(stat(fx_path(&f, f.active, "log.000001"), &after), 0);
	if (after.st_ino != st.st_ino)
		fail_msg("rewritten: segments %u damaged %u", done.segments, done.damaged);
	store_close(s);
	fx_free(&f);
}

/* A void of a delivery, then purged, and the same mail delivered again: all must hold after a rebuild. */
static void
test_void(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	struct store_compacted done;
	struct store_placed p;
	uint64_t n;
	uint32_t before, after;

	(void)state;
	fx_small(&f, id, &s);
	f.serial = 999;
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, &p), STORE_OK);
	store_void(&f.host, ALICE, p.modseq);
	assert_int_equal(deliver_key(&f, 1000, 2000), STORE_OK);
	f.serial = 0;
	for (int i = 0; i < 40; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	before = fx_exists(s, id);
	assert_int_equal(before, 41);
	assert_int_equal(store_purge(s, now_ms() + FX_HOUR_MS, &n), STORE_OK);
	assert_int_equal(n, 1);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	store_close(s);
	unlink(fx_path(&f, f.active, "checkpoint"));
	fx_remove_index(&f);
	s = fx_open(&f);
	after = fx_exists(s, id);
	assert_int_equal(after, before);
	store_close(s);
	fx_free(&f);
}

/* An INBOX that a delivery made, all its mail purged: the same numbers after a rebuild from the log. */
static void
test_made_inbox(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	struct store_compacted done;
	struct arena a = arena_make(1 << 20);
	struct mbox_info before, after;
	uint64_t n;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	f.host.segment_max_bytes = 32 * 1024;
	assert_int_equal(store_create(&f.host, ALICE), STORE_OK);
	for (int i = 0; i < 40; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	s = fx_open(&f);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &before), STORE_OK);
	memcpy(id, before.id, 16);
	fx_expunge(s, id, 1, 40);
	assert_int_equal(store_purge(s, now_ms() + FX_HOUR_MS, &n), STORE_OK);
	assert_int_equal(n, 40);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &before), STORE_OK);
	store_close(s);
	unlink(fx_path(&f, f.active, "checkpoint"));
	fx_remove_index(&f);
	s = fx_open(&f);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &after), STORE_OK);
	assert_int_equal(before.uidvalidity, after.uidvalidity);
	assert_int_equal(before.uidnext, after.uidnext);
	assert_int_equal(before.highestmodseq, after.highestmodseq);
	assert_int_equal(fx_exists(s, id), 0);
	store_close(s);
	arena_free(&a);
	fx_free(&f);
}

/* Purged sooner than the window of delivery keys: a retry of what was acknowledged. */
static void
test_dup_purged(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	uint64_t n;

	(void)state;
	fx_small(&f, id, &s);
	assert_int_equal(deliver_key(&f, 7, 200), STORE_OK);
	assert_int_equal(fx_exists(s, id), 1);
	fx_expunge(s, id, 1, 1);
	assert_int_equal(deliver_key(&f, 7, 200), STORE_OK);
	assert_int_equal(fx_exists(s, id), 0);	/* expunged: the key still holds */
	assert_int_equal(store_purge(s, now_ms() + FX_HOUR_MS, &n), STORE_OK);
	assert_int_equal(deliver_key(&f, 7, 200), STORE_OK);
	if (fx_exists(s, id) != 0)
		fail_msg("purged within the window: the retry is delivered");
	store_close(s);
	fx_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dup_log),
		cmocka_unit_test(test_dup_checkpoint),
		cmocka_unit_test(test_tail_trailer),
		cmocka_unit_test(test_tail_header),
		cmocka_unit_test(test_tail_cut),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_void),
		cmocka_unit_test(test_made_inbox),
		cmocka_unit_test(test_dup_purged),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
