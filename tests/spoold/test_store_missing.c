/*
 * A segment of the log that is lost, or damaged at both ends: what it held cannot be read, all else can, keeps its UIDs and
 * order, takes deliveries, and is there again in full when the segment is put back.
 */
#include "store_loss.h"

#define MESSAGES	40

static void
lost_segment(enum way way)
{
	uint32_t live, good, last, highest;
	struct fixture f;
	unsigned char id[16];
	struct store *s;

	fx_make(&f);
	f.host.segment_max_bytes = 16 * 1024;
	s = fx_alice(&f, id);
	for (int i = 0; i < MESSAGES; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(readable(s, id, &live, &highest), MESSAGES);
	assert_true(s->spool->head.number > 4);
	store_close(s);
	store_drop_cached();
	lose(&f, way);

	/* The index knows them all. */
	s = fx_open(&f);
	good = readable(s, id, &live, &last);
	assert_true(live == MESSAGES && good < MESSAGES && good > MESSAGES / 2);
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(readable(s, id, &live, &last), good + 1);
	assert_true(live == MESSAGES + 1 && last == highest + 1);

	/* From the log alone: what can be read is all there is, under its UIDs. */
	s = fx_reopen(&f, s, true);
	assert_int_equal(readable(s, id, &live, &last), good + 1);
	assert_true(live == good + 1 && last == highest + 1);
	/* Nothing names what is missing, and yet it may have named what is there (a COPY): nothing is to be compacted. */
	assert_true(s->ix.meta.has_holes);

	/* After a crash too: the fence passes over the hole. */
	store_close(s);
	store_drop_cached();
	f.host.epoch++;
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	s = fx_open(&f);
	assert_int_equal(readable(s, id, &live, &last), good + 2);
	assert_true(last > highest + 65536);

	/* Put back and made anew, it is whole. */
	store_close(s);
	store_drop_cached();
	put_back(&f);
	s = fx_open(&f);
	s = fx_reopen(&f, s, true);
	assert_int_equal(readable(s, id, &live, &last), MESSAGES + 2);
	assert_int_equal(live, MESSAGES + 2);
	assert_false(s->ix.meta.has_holes);
	store_close(s);
	fx_free(&f);
}

static void
test_lost(void **state)
{
	(void)state;
	lost_segment(GONE);
}

static void
test_damaged_at_both_ends(void **state)
{
	(void)state;
	lost_segment(DAMAGED);
}

static void
test_another_in_its_place(void **state)
{
	(void)state;
	lost_segment(COPIED);
}

/* Nothing can be appended to a log whose end says nothing of its numbers. */
static void
test_last(void **state)
{
	static const char garbage[8192];
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	int fd;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	store_close(s);
	store_drop_cached();
	fd = open(fx_path(&f, f.active, "log.000001"), O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
	close(fd);
	s = NULL;
	assert_int_equal(store_open(&f.host, ALICE, &s), LOOKUP_TEMP);
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_TEMP);
	fx_free(&f);
}

/* What names the log is in the first: without it reading is refused, mail is still taken. */
static void
test_first(void **state)
{
	char from[PATH_MAX], to[PATH_MAX];
	uint32_t live, last;
	struct fixture f;
	unsigned char id[16];
	struct store *s;

	(void)state;
	fx_make(&f);
	f.host.segment_max_bytes = 16 * 1024;
	s = fx_alice(&f, id);
	for (int i = 0; i < MESSAGES; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	store_close(s);
	store_drop_cached();
	snprintf(from, sizeof(from), "%s", fx_path(&f, f.active, "log.000001"));
	snprintf(to, sizeof(to), "%s/kept", f.dir);
	assert_int_equal(rename(from, to), 0);
	s = NULL;
	assert_int_equal(store_open(&f.host, ALICE, &s), LOOKUP_TEMP);
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	store_drop_cached();
	assert_int_equal(rename(to, from), 0);
	s = fx_open(&f);
	assert_int_equal(readable(s, id, &live, &last), MESSAGES + 1);
	store_close(s);
	fx_free(&f);
}

/*
 * The mailbox was made in the lost segment, its messages are in another: without the first they are of nobody, and must not
 * be compacted away, neither now nor when the segment is back and the index is still the one made without it.
 */
static void
test_not_compacted(void **state)
{
	struct slice text = SLICE("Subject: appended\r\n\r\nx\r\n");
	struct append_msg one = {.body = {.mem = text, .fd = -1, .bytes = text.n}, .date_ms = 1};
	struct store_compacted done;
	uint32_t live, last, uid, uidvalidity, n;
	struct fixture f;
	unsigned char id[16], work[16];
	struct store *s;

	(void)state;
	fx_make(&f);
	f.host.segment_max_bytes = 16 * 1024;
	s = fx_alice(&f, id);
	while (s->spool->head.number < 2)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.work"), USE_NONE, work), STORE_OK);
	assert_int_equal(s->spool->head.number, 2);
	while (s->spool->head.number < 3)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	for (n = 0; n < 5; n++)
		assert_int_equal(store_append(s, work, &one, 1, &uid, &uidvalidity), STORE_OK);
	while (s->spool->head.number < 5)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	store_close(s);
	store_drop_cached();
	lose(&f, GONE);
	s = fx_open(&f);
	s = fx_reopen(&f, s, true);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments == 0 && done.damaged == 1);
	store_close(s);
	store_drop_cached();
	put_back(&f);
	s = fx_open(&f);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments == 0 && done.damaged == 1);
	/* No checkpoint was made of that index: made anew by any means it is whole. */
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_TEMP);
	s = fx_reopen(&f, s, false);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(done.damaged, 0);
	assert_int_equal(readable(s, work, &live, &last), n);
	store_close(s);
	fx_free(&f);
}

/* The last segment is gone: no UID in it is given out again, whoever had the log open; put back, it counts again. */
static void
lost_last(bool is_open, bool with_checkpoint, bool in_new_epoch)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	uint32_t live, last, highest, all, before;
	uint64_t known;
	struct view v;
	size_t n;
	struct fixture f;
	unsigned char id[16];
	struct store *s = segments(&f, id, 3);

	all = readable(s, id, &live, &highest);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	known = v.modseq;
	if (with_checkpoint)
		assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
	if (!is_open) {
		store_close(s);
		store_drop_cached();
	}
	move_file(&f, "log.000003", "kept", false);
	if (in_new_epoch) {
		f.host.epoch++;
		if (is_open)
			store_close(s);
		store_drop_cached();
		is_open = false;
	}
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	if (!is_open)
		s = fx_open(&f);
	assert_int_equal(s->spool->head.number, 4);
	before = readable(s, id, &live, &last);
	assert_true(before < all + 1 && before > all / 2);
	assert_true(last > highest + (1U << 19));
	assert_true(s->ix.meta.has_holes);
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(readable(s, id, &live, &last), before + 1);
	s = fx_reopen(&f, s, true);
	assert_int_equal(readable(s, id, &live, &last), before + 1);
	assert_int_equal(live, before + 1);
	/* What a client saw in it is forgotten: it is told of all there is. */
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_changed(s, &v, known, 1, UINT32_MAX, msgs, STORE_BATCH_MSGS, &n), STORE_OK);
	assert_int_equal(n, live);
	store_close(s);
	store_drop_cached();
	move_file(&f, "log.000003", "kept", true);
	s = fx_open(&f);
	s = fx_reopen(&f, s, true);
	assert_int_equal(readable(s, id, &live, &last), all + 2);
	assert_false(s->ix.meta.has_holes);
	store_close(s);
	fx_free(&f);
}

static void
test_lost_last(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++)
		lost_last(i & 1, i & 2, i & 4);
}

/* Two processes die, each between two steps of beginning a segment: it is begun by the next, and nothing is missing. */
static void
test_begun(void **state)
{
	uint32_t live, last, highest, all;
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	char from[PATH_MAX], to[PATH_MAX];

	(void)state;
	s = segments(&f, id, 2);
	while (s->spool->at < f.host.segment_max_bytes || s->spool->head.number != 2)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	all = readable(s, id, &live, &highest);
	/* Begins the third, empty; then as if it had not got its name yet. */
	assert_int_equal(spool_lock(s->spool), STORE_OK);
	spool_unlock(s->spool);
	assert_int_equal(s->spool->head.number, 3);
	store_close(s);
	store_drop_cached();
	snprintf(from, sizeof(from), "%s", fx_path(&f, f.active, "log.000003"));
	snprintf(to, sizeof(to), "%s", fx_path(&f, f.active, "new"));
	assert_int_equal(rename(from, to), 0);
	s = fx_open(&f);
	assert_int_equal(s->spool->head.number, 3);
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(readable(s, id, &live, &last), all + 1);
	assert_int_equal(last, highest + 1);
	s = fx_reopen(&f, s, true);
	assert_false(s->ix.meta.has_holes);
	assert_int_equal(readable(s, id, &live, &last), all + 1);
	store_close(s);
	/* A prepared one of which the old segment says nothing yet is made again. */
	snprintf(from, sizeof(from), "cp %s %s", fx_path(&f, f.active, "log.000001"), f.dir);
	assert_int_equal(system(from), 0);
	move_file(&f, "new", "log.000001", true);
	s = fx_open(&f);
	while (s->spool->head.number < 4)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	s = fx_reopen(&f, s, true);
	assert_false(s->ix.meta.has_holes);
	store_close(s);
	fx_free(&f);
}

/* A process that was away since before the lost segment was begun finds what is behind it, too. */
static void
test_lost_unseen(void **state)
{
	uint32_t live, last, all, got;
	int ask[2], answer[2];
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	pid_t pid;
	char c;

	(void)state;
	s = segments(&f, id, 2);
	all = readable(s, id, &live, &last);
	store_close(s);
	store_drop_cached();
	assert_true(pipe(ask) == 0 && pipe(answer) == 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ask[1]);
		s = fx_open(&f);
		while (write(answer[1], &all, sizeof(all)) == sizeof(all) && read(ask[0], &c, 1) == 1)
			all = readable(s, id, &live, &last);
		_exit(0);
	}
	assert_int_equal(read(answer[0], &got, sizeof(got)), sizeof(got));
	while (access(fx_path(&f, f.active, "log.000003"), F_OK) != 0)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	move_file(&f, "log.000003", "kept", false);
	store_drop_cached();
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(access(fx_path(&f, f.active, "log.000004"), F_OK), 0);
	/* Once to come to the end of the old one, once behind it. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(write(ask[1], "x", 1), 1);
		assert_int_equal(read(answer[0], &got, sizeof(got)), sizeof(got));
	}
	close(ask[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	s = fx_open(&f);
	assert_int_equal(got, readable(s, id, &live, &last));
	assert_true(got > all);
	store_close(s);
	fx_free(&f);
}

/* A file of somebody else's log under the right name is nobody's here. */
static void
test_another_user(void **state)
{
	char from[PATH_MAX], bobs[PATH_MAX], command[2 * PATH_MAX + 8];
	uint32_t live, last, all;
	struct fixture f;
	unsigned char id[16];
	struct store *s = segments(&f, id, 3), *bob = NULL;

	(void)state;
	all = readable(s, id, &live, &last);
	store_close(s);
	assert_int_equal(store_create(&f.host, SLICE("bob")), STORE_OK);
	store_drop_cached();
	snprintf(bobs, sizeof(bobs), "%s/default/%02x/bob/log.000001", f.active, ~record_crc(UINT32_MAX, SLICE("bob")) & 0xff);
	snprintf(from, sizeof(from), "%s", fx_path(&f, f.active, "log.000001"));
	snprintf(command, sizeof(command), "cp %s %s", from, bobs);
	assert_int_equal(system(command), 0);
	assert_int_equal(store_open(&f.host, SLICE("bob"), &bob), LOOKUP_TEMP);
	s = fx_open(&f);
	assert_int_equal(readable(s, id, &live, &last), all);
	store_close(s);
	fx_free(&f);
}

/* What the operator gives up: then there are checkpoints and compaction again, and what can be read stays. */
static void
test_accept(void **state)
{
	struct store_compacted done;
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, 5);
	uint32_t live, last, good;
	uint64_t modseq, n;
	struct fixture f;
	unsigned char id[16];
	struct store *s = segments(&f, id, 4);

	(void)state;
	store_close(s);
	store_drop_cached();
	lose(&f, GONE);
	s = fx_open(&f);
	s = fx_reopen(&f, s, true);
	good = readable(s, id, &live, &last);
	assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + 3600000, &n), STORE_OK);
	assert_int_equal(n, 5);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments == 0 && done.damaged == 1);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_TEMP);
	assert_true(fx_accept(&f, s) > 0);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments > 0 && done.damaged == 0);
	assert_int_equal(readable(s, id, &live, &last), good - 5);
	/* It stands in the log. */
	s = fx_reopen(&f, s, true);
	assert_false(s->ix.meta.has_holes);
	assert_int_equal(readable(s, id, &live, &last), good - 5);
	/* What is lost after that is another loss. */
	while (s->spool->head.number < 9)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	store_close(s);
	store_drop_cached();
	move_file(&f, "log.000007", "other", false);
	s = fx_open(&f);
	s = fx_reopen(&f, s, true);
	assert_true(s->ix.meta.has_holes);
	store_close(s);
	fx_free(&f);
}

/* The file under the segment's name is another one, of the same log: copied back by the operator while we have the old one open. */
static void
test_replaced(void **state)
{
	char command[2 * PATH_MAX + 32];
	uint32_t live, last, all;
	struct fixture f;
	unsigned char id[16];
	struct store *s = segments(&f, id, 2);

	(void)state;
	all = readable(s, id, &live, &last);
	snprintf(command, sizeof(command), "cp %s %s/copy", fx_path(&f, f.active, "log.000002"), f.dir);
	assert_int_equal(system(command), 0);
	move_file(&f, "log.000002", "copy", true);
	for (int i = 0; i < 20; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(readable(s, id, &live, &last), all + 20);
	store_close(s);
	store_drop_cached();
	s = fx_open(&f);
	s = fx_reopen(&f, s, true);
	assert_int_equal(readable(s, id, &live, &last), all + 20);
	store_close(s);
	fx_free(&f);
}

/* A segment that lost its name before anything was in it was made again: index and checkpoint of the first one are not used. */
static void
test_made_again(void **state)
{
	uint32_t live, last, all;
	struct fixture f;
	unsigned char id[16];
	struct numbers n;
	struct store *s = segments(&f, id, 2);

	(void)state;
	while (s->spool->at < f.host.segment_max_bytes || s->spool->head.number != 2)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(s->spool->head.number, 3);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
	all = readable(s, id, &live, &last);
	n = s->spool->head.numbers;
	assert_int_equal(unlinkat(s->spool->dir_fd, "log.000003", 0), 0);
	assert_int_equal(segment_make(s->spool->dir_fd, ALICE, 3, &n), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(readable(s, id, &live, &last), all + 3);
	assert_int_equal(live, all + 3);
	s = fx_reopen(&f, s, false);
	assert_int_equal(readable(s, id, &live, &last), all + 3);
	assert_int_equal(live, all + 3);
	store_close(s);
	fx_free(&f);
}

/* A record of which nothing is known may have named others. Also in the segment that is appended to the loss is accepted whole. */
static void
test_damaged_record(void **state)
{
	struct store_compacted done;
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, 5);
	uint32_t live, last, all;
	uint64_t modseq, n;
	struct fixture f;
	unsigned char id[16];
	struct store *s = segments(&f, id, 3);
	char byte = '!';
	int fd;

	(void)state;
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	all = readable(s, id, &live, &last);
	fd = open(fx_path(&f, f.active, "log.000003"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)s->spool->head.bytes + 30), 1);
	close(fd);
	s = fx_reopen(&f, s, true);
	assert_int_equal(readable(s, id, &live, &last), all - 1);
	assert_true(s->ix.meta.has_holes);
	assert_true(fx_accept(&f, s) > 0);
	assert_false(s->ix.meta.has_holes);
	assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
	set = fx_one(&range, last - 1, last - 1);
	assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
	while (s->spool->head.number < 6)
		assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + 3600000, &n), STORE_OK);
	s = fx_reopen(&f, s, true);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments > 1 && done.damaged == 0);
	s = fx_reopen(&f, s, true);
	assert_false(s->ix.meta.has_holes);
	store_close(s);
	fx_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_damaged_at_both_ends),
		cmocka_unit_test(test_another_in_its_place),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_last),
		cmocka_unit_test(test_not_compacted),
		cmocka_unit_test(test_lost_last),
		cmocka_unit_test(test_begun),
		cmocka_unit_test(test_lost_unseen),
		cmocka_unit_test(test_another_user),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_made_again),
		cmocka_unit_test(test_damaged_record),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
