/*
 * Segments lost, one after another, and put back; damage; what the operator gives up. No number is given out twice, nothing that
 * can be put back is compacted away, and a loss that was accepted hides no other.
 */
#include "ck/ck.h"
#include "store_loss.h"

#define WORK	SLICE("user.alice.work")

static void
copy_to(struct store *s, const unsigned char *from, uint32_t lo, uint32_t hi, const unsigned char *to, uint32_t *last_uid_out)
{
	struct arena a = arena_make(4 << 20);
	struct uid_range range;
	struct uid_set set = fx_one(&range, lo, hi);
	struct copied *pairs;
	uint32_t uidvalidity;
	size_t n;

	assert_int_equal(store_copy(s, from, &set, to, false, &a, &pairs, &n, &uidvalidity), STORE_OK);
	assert_true(n > 0);
	*last_uid_out = pairs[n - 1].to;
	arena_free(&a);
}

/* ---- numbers ---- */

/* A client's modseq from the lost segment is forgotten also where no fence is due: this epoch's is in the checkpoint. */
static void
test_checkpoint_of_this_epoch(void **state)
{
	struct fixture f;
	unsigned char id[16];
	uint32_t live, last;
	struct view v;
	struct store *s = segments(&f, id, 3);

	(void)state;
	close_all(s);
	f.host.epoch++;
	f.host.segment_max_bytes = 1 << 20;
	fx_deliver_n(&f, 3);
	s = fx_open(&f);
	assert_int_equal(s->spool->head.number, 3);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
	close_all(s);
	move_file(&f, "log.000003", "kept", false);
	fx_deliver_n(&f, 1);
	s = fx_open(&f);
	assert_int_equal(s->spool->head.number, 4);
	readable(s, id, &live, &last);
	assert_int_equal(changed_since(s, id, v.modseq), live);
	store_close(s);
	fx_free(&f);
}

/* Who went on behind the lost segment died at once: it is forgotten all the same. */
static void
test_died_behind(void **state)
{
	struct fixture f;
	unsigned char id[16];
	uint32_t live, last;
	struct spool *spool;
	struct view v;
	struct store *s = segments(&f, id, 3);

	(void)state;
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	close_all(s);
	move_file(&f, "log.000003", "kept", false);
	assert_int_equal(spool_get(&f.host, ALICE, &spool), FOUND);
	assert_int_equal(spool_lock(spool), STORE_OK);
	assert_true(spool->head.number == 4 && spool->at == spool->head.bytes);
	spool_unlock(spool);
	spool_put(spool);
	store_drop_cached();
	fx_deliver_n(&f, 1);
	s = fx_open(&f);
	readable(s, id, &live, &last);
	assert_int_equal(changed_since(s, id, v.modseq), live);
	store_close(s);
	fx_free(&f);
}

/* The one behind the lost one is lost, too. */
static void
test_lost_twice(void **state)
{
	struct store_placed a, b;
	struct fixture f;
	unsigned char id[16];

	(void)state;
	close_all(segments(&f, id, 3));
	move_file(&f, "log.000003", "kept3", false);
	assert_int_equal(fx_deliver(&f, SLICE(""), 100, &a), STORE_OK);
	store_drop_cached();
	move_file(&f, "log.000004", "kept4", false);
	assert_int_equal(fx_deliver(&f, SLICE(""), 100, &b), STORE_OK);
	assert_true(b.uid > a.uid && b.modseq > a.modseq);
	fx_free(&f);
}

/* Behind the record that names the lost one stands the beginning of another, or one that was whole once and cannot be read. */
static void
behind_next(bool is_whole, bool in_new_epoch)
{
	char bytes[RECORD_TRAILER_BYTES] = "TST1 ";
	struct store_placed p;
	uint32_t live, last, all, highest;
	struct fixture f;
	unsigned char id[16];
	struct store *s = segments(&f, id, 3);
	int fd;

	all = readable(s, id, &live, &highest);
	close_all(s);
	move_file(&f, "log.000003", "kept", false);
	fd = open(fx_path(&f, f.active, "log.000002"), O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(write(fd, bytes, sizeof(bytes) - !is_whole) > 0);
	close(fd);
	f.host.epoch += in_new_epoch;
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, &p), STORE_OK);
	assert_true(p.uid > highest + (1U << 19));
	s = open_anew(&f);
	assert_int_equal(s->spool->head.number, 4);
	assert_true(s->ix.meta.has_holes);
	close_all(s);
	move_file(&f, "log.000003", "kept", true);
	s = open_anew(&f);
	assert_int_equal(readable(s, id, &live, &last), all + 1);
	assert_int_equal(!!s->ix.meta.has_holes, is_whole);
	store_close(s);
	fx_free(&f);
}

static void
test_behind_next(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		behind_next(i & 1, i & 2);
}

/* The lost one had a fence in it, of this epoch: its numbers went on far from there. */
static void
test_fence_in_it(void **state)
{
	struct store_placed a, b;
	struct fixture f;
	unsigned char id[16];

	(void)state;
	close_all(segments(&f, id, 3));
	f.host.segment_max_bytes = 1 << 20;
	set_byte(&f, "log.000003", fx_log_bytes(&f, "log.000003") - 3, '!');
	assert_int_equal(fx_deliver(&f, SLICE(""), 100, &a), STORE_OK);
	store_drop_cached();
	move_file(&f, "log.000003", "kept3", false);
	assert_int_equal(fx_deliver(&f, SLICE(""), 100, &b), STORE_OK);
	assert_true(b.uid > a.uid && b.modseq > a.modseq);
	fx_free(&f);
}

/* Copies take UIDs by the million and few bytes: a segment ends before it has more than are left out behind a lost one. */
static void
test_many_uids(void **state)
{
	char name[SEGMENT_NAME_BYTES];
	uint32_t highest = 0;
	struct store_placed p;
	struct fixture f;
	unsigned char id[16], work[16];
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	assert_int_equal(store_mbox_create(s, WORK, USE_NONE, work), STORE_OK);
	fx_deliver_n(&f, 20000);
	f.host.segment_max_bytes = 1 << 20;
	fx_deliver_n(&f, 1);
	f.host.segment_max_bytes = 64 << 20;
	assert_int_equal(s->spool->head.number, 2);
	for (int i = 0; i < 53; i++)
		copy_to(s, id, 1, UINT32_MAX, work, &highest);
	segment_name(s->spool->head.number, name);
	close_all(s);
	unlink(fx_path(&f, f.active, "checkpoint"));
	move_file(&f, name, "kept", false);
	assert_int_equal(fx_deliver(&f, SLICE(""), 100, &p), STORE_OK);
	assert_true(p.uid > highest);
	fx_free(&f);
}

/* The checkpoint knows of a segment behind the lost one that is lost as well: its name is not given to another. */
static void
test_name_of_lost(void **state)
{
	struct fixture f;
	unsigned char id[16];
	uint32_t live, last, all;
	struct store *s = segments(&f, id, 4);

	(void)state;
	all = readable(s, id, &live, &last);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
	close_all(s);
	move_file(&f, "log.000003", "kept3", false);
	move_file(&f, "log.000004", "kept4", false);
	fx_deliver_n(&f, 1);
	assert_int_not_equal(access(fx_path(&f, f.active, "log.000004"), F_OK), 0);
	store_drop_cached();
	move_file(&f, "log.000003", "kept3", true);
	move_file(&f, "log.000004", "kept4", true);
	s = open_anew(&f);
	assert_int_equal(readable(s, id, &live, &last), all + 1);
	assert_int_equal(live, all + 1);
	store_close(s);
	fx_free(&f);
}

/* The segment was placed, and records acknowledged in it, and then the directory forgot its name: it is the same one. */
static void
test_new_with_records(void **state)
{
	struct fixture f;
	unsigned char id[16];
	uint32_t live, last, all;
	struct store *s = segments(&f, id, 3);

	(void)state;
	all = readable(s, id, &live, &last);
	close_all(s);
	unname(&f, "log.000003");
	fx_deliver_n(&f, 1);
	s = open_anew(&f);
	assert_int_equal(readable(s, id, &live, &last), all + 1);
	assert_false(s->ix.meta.has_holes);
	store_close(s);
	fx_free(&f);
}

/* ---- what is lost, and what is accepted ---- */

/* Nothing is missing between two records of what is there: only the last one's name of the next says so. */
static void
test_verify_sees_lost_last(void **state)
{
	static struct ck ck;
	struct fixture f;
	unsigned char id[16];
	struct spool *spool;
	uint32_t epoch = 0;

	(void)state;
	close_all(segments(&f, id, 3));
	move_file(&f, "log.000003", "kept", false);
	ck = (struct ck){.host = f.host};
	snprintf(ck.dir, sizeof(ck.dir), "%s/ck", f.dir);
	assert_int_equal(mkdir(ck.dir, 0700), 0);
	progress_begin(&ck.progress, "bytes", 1, true);
	assert_int_equal(spool_get(&f.host, ALICE, &spool), FOUND);
	assert_true(ck_walk(&ck, spool, &epoch));
	assert_true(ck.findings > 0);
	spool_put(spool);
	fx_free(&f);
}

/*
 * A copy's record is in the third segment, its message in the first; the second is lost and accepted. Then the third is lost: that is
 * another loss, for which the message is kept until it is put back.
 */
static void
test_lost_after_accept(void **state)
{
	struct store_compacted done;
	uint32_t live, last, uid;
	struct fixture f;
	unsigned char id[16], work[16];
	struct store *s;

	(void)state;
	fx_make(&f);
	f.host.segment_max_bytes = 16 * 1024;
	s = fx_alice(&f, id);
	assert_int_equal(store_mbox_create(s, WORK, USE_NONE, work), STORE_OK);
	deliver_to_segment(&f, s, 3);
	copy_to(s, id, 1, 1, work, &uid);
	assert_int_equal(s->spool->head.number, 3);
	deliver_to_segment(&f, s, 4);
	purge(s, id, 1, 1);
	deliver_to_segment(&f, s, 5);
	close_all(s);
	move_file(&f, "log.000002", "kept2", false);
	s = open_anew(&f);
	assert_true(s->ix.meta.has_holes);
	assert_true(fx_accept(&f, s) > 0);
	assert_false(s->ix.meta.has_holes);
	assert_int_equal(readable(s, work, &live, &last), 1);
	deliver_to_segment(&f, s, 8);
	close_all(s);
	move_file(&f, "log.000003", "kept3", false);
	s = open_anew(&f);
	assert_true(s->ix.meta.has_holes);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(done.segments, 0);
	close_all(s);
	move_file(&f, "log.000003", "kept3", true);
	s = open_anew(&f);
	assert_int_equal(readable(s, work, &live, &last), 1);
	store_close(s);
	fx_free(&f);
}

/* A byte of an acknowledged copy's record is wrong, and the next record is a fence: no crash tore it off, it is a hole. */
static void
test_damaged_before_fence(void **state)
{
	struct store_compacted done;
	uint32_t live, last, uid;
	struct fixture f;
	unsigned char id[16], work[16];
	struct store *s;
	uint64_t at;
	char was;

	(void)state;
	fx_make(&f);
	f.host.segment_max_bytes = 16 * 1024;
	s = fx_alice(&f, id);
	assert_int_equal(store_mbox_create(s, WORK, USE_NONE, work), STORE_OK);
	deliver_to_segment(&f, s, 2);
	at = s->spool->at;
	copy_to(s, id, 1, 1, work, &uid);
	assert_int_equal(s->spool->head.number, 2);
	close_all(s);
	was = set_byte(&f, "log.000002", at + 30, '!');
	f.host.epoch++;
	fx_deliver_n(&f, 1);
	s = open_anew(&f);
	assert_true(s->ix.meta.has_holes);
	purge(s, id, 1, 1);
	deliver_to_segment(&f, s, 4);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(done.segments, 0);
	close_all(s);
	set_byte(&f, "log.000002", at + 30, was);
	s = open_anew(&f);
	assert_int_equal(readable(s, work, &live, &last), 1);
	store_close(s);
	fx_free(&f);
}

/* Bit rot after the acceptance, in a segment before it: what it hit is not compacted away. */
static void
test_damaged_after_accept(void **state)
{
	struct store_compacted done;
	struct fixture f;
	unsigned char id[16];
	struct store *s = segments(&f, id, 4);

	(void)state;
	close_all(s);
	lose(&f, GONE);
	s = open_anew(&f);
	assert_true(fx_accept(&f, s) > 0);
	purge(s, id, 1, 1);
	deliver_to_segment(&f, s, 7);
	set_byte(&f, "log.000001", message_at(s, 3) + 30, '!');
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.damaged > 0);
	store_close(s);
	fx_free(&f);
}

/* While a segment is rewritten: two deliveries of another process, the first of which is damaged at once. */
static bool
damage_meanwhile(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct fixture *other = arg;
	uint64_t at;

	(void)done_bytes;
	(void)total_bytes;
	if (access(fx_path(other, other->active, "compact.new"), F_OK) != 0 || other->serial > 2000)
		return true;
	at = fx_log_bytes(other, LOST);
	other->serial += 2000;	/* once */
	fx_deliver_n(other, 2);
	set_byte(other, LOST, at + 30, '!');
	return true;
}

/* What is to take its place was written while the log had no hole. Now it has one, which may name what was left out. */
static void
test_damaged_meanwhile(void **state)
{
	struct store_pace pace = {.step = damage_meanwhile};
	struct store_compacted done;
	struct fixture f, other;
	unsigned char id[16];
	struct store *s;

	(void)state;
	fx_make(&f);
	/* The pace is kept each four megabytes. */
	f.host.segment_max_bytes = 6 << 20;
	s = fx_alice(&f, id);
	while (s->spool->head.number < 2)
		assert_int_equal(fx_deliver(&f, SLICE(""), 1000000, NULL), STORE_OK);
	purge(s, id, 1, 1);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
	other = f;
	pace.arg = &other;
	assert_int_equal(store_compact(s, &pace, 0, &done), STORE_TEMP);
	assert_true(other.serial > 2000);
	assert_int_equal(done.segments, 0);
	assert_int_equal(s->ix.meta.has_holes, 1);
	store_close(s);
	fx_free(&f);
}

/* Put back before the operator accepted: nothing is given up, and the index made without it is compacted by no one. */
static void
test_put_back_before_accept(void **state)
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
	deliver_to_segment(&f, s, 2);
	assert_int_equal(store_mbox_create(s, WORK, USE_NONE, work), STORE_OK);
	deliver_to_segment(&f, s, 3);
	for (n = 0; n < 5; n++)
		assert_int_equal(store_append(s, work, &one, 1, &uid, &uidvalidity), STORE_OK);
	deliver_to_segment(&f, s, 5);
	close_all(s);
	lose(&f, GONE);
	s = open_anew(&f);
	close_all(s);
	put_back(&f);
	s = fx_open(&f);
	assert_int_equal(fx_accept(&f, s), 0);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(done.segments, 0);
	s = fx_reopen(&f, s, true);
	assert_false(s->ix.meta.has_holes);
	assert_int_equal(readable(s, work, &live, &last), n);
	store_close(s);
	fx_free(&f);
}

/* Where nothing is missing there is nothing to accept: the first loss after it is one. */
static void
test_nothing_to_accept(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s = segments(&f, id, 4);

	(void)state;
	assert_false(s->ix.meta.has_holes);
	assert_int_equal(fx_accept(&f, s), 0);
	fx_deliver_n(&f, 2);
	close_all(s);
	lose(&f, GONE);
	s = open_anew(&f);
	assert_true(s->ix.meta.has_holes);
	store_close(s);
	fx_free(&f);
}

/* The index of before still knows the lost messages, and the user moves them: their record names what was accepted, no new hole. */
static void
test_moved_after_accept(void **state)
{
	struct arena a = arena_make(1 << 20);
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, UINT32_MAX);
	struct copied *pairs;
	uint32_t uidvalidity;
	size_t n;
	struct fixture f;
	unsigned char id[16], trash[16];
	struct store *s = segments(&f, id, 4);

	(void)state;
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.trash"), USE_NONE, trash), STORE_OK);
	close_all(s);
	lose(&f, GONE);
	s = fx_open(&f);
	assert_true(fx_accept(&f, s) > 0);
	assert_int_equal(store_copy(s, id, &set, trash, true, &a, &pairs, &n, &uidvalidity), STORE_OK);
	assert_false(s->ix.meta.has_holes);
	s = fx_reopen(&f, s, true);
	assert_false(s->ix.meta.has_holes);
	store_close(s);
	arena_free(&a);
	fx_free(&f);
}

/* Once compaction has left an accepted hole out, what named its body is no new one, however often the log is replayed. */
static void
test_link_after_accept(void **state)
{
	struct arena a = arena_make(1 << 20);
	struct store_compacted done;
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, 1);
	struct copied *pairs;
	struct fixture f;
	unsigned char id[16], work[16];
	struct store *s;
	uint32_t uidvalidity;
	size_t n;

	(void)state;
	fx_make(&f);
	f.host.segment_max_bytes = 16 * 1024;
	s = fx_alice(&f, id);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.work"), USE_NONE, work), STORE_OK);
	assert_int_equal(fx_deliver(&f, SLICE(""), 2000, NULL), STORE_OK);
	assert_int_equal(store_copy(s, id, &set, work, false, &a, &pairs, &n, &uidvalidity), STORE_OK);
	deliver_to_segment(&f, s, 2);
	set_byte(&f, "log.000001", message_at(s, 1) + 30, '!');
	s = fx_reopen(&f, s, true);
	assert_true(s->ix.meta.has_holes);
	assert_true(fx_accept(&f, s) > 0);
	assert_false(s->ix.meta.has_holes);
	purge(s, id, 4, 5);
	deliver_to_segment(&f, s, 4);
	s = fx_reopen(&f, s, true);
	assert_false(s->ix.meta.has_holes);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments >= 1 && done.damaged == 0);
	s = fx_reopen(&f, s, true);
	assert_false(s->ix.meta.has_holes);
	store_close(s);
	arena_free(&a);
	fx_free(&f);
}

/* A last segment that is lost can be given up before anything is appended behind it. */
static void
test_accept_lost_last(void **state)
{
	struct store_compacted done;
	struct fixture f;
	unsigned char id[16];
	struct store *s;

	(void)state;
	close_all(segments(&f, id, 3));
	move_file(&f, "log.000003", "kept", false);
	s = fx_open(&f);
	s = fx_reopen(&f, s, true);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(done.damaged, 1);
	assert_int_equal(fx_accept(&f, s), 1);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_int_equal(done.damaged, 0);
	store_close(s);
	fx_free(&f);
}

/* A segment whose bad copy was read is put back under its name: it is read from then on. */
static void
test_body_put_back(void **state)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	struct fixture f;
	unsigned char id[16];
	struct store *s = segments(&f, id, 3);
	char command[2 * PATH_MAX + 16];
	struct view v;
	uint64_t at;
	size_t n;
	int fd;

	(void)state;
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_range(s, &v, 1, UINT32_MAX, msgs, STORE_BATCH_MSGS, &n), STORE_OK);
	snprintf(command, sizeof(command), "cp %s %s/good", fx_path(&f, f.active, "log.000001"), f.dir);
	assert_int_equal(system(command), 0);
	set_byte(&f, "log.000001", msgs[1].body.offset + 30, '!');
	assert_int_equal(store_body_open(s, &msgs[1], &fd, &at), STORE_DAMAGED);
	move_file(&f, "log.000001", "bad", false);
	move_file(&f, "log.000001", "good", true);
	assert_int_equal(store_body_open(s, &msgs[1], &fd, &at), STORE_OK);
	close(fd);
	store_close(s);
	fx_free(&f);
}

/* Another loss, at the place and of the length of one that was given up and left out: it is another. */
static void
test_same_place(void **state)
{
	struct store_compacted done;
	struct fixture f;
	unsigned char id[16];
	struct store *s;

	(void)state;
	fx_make(&f);
	f.host.segment_max_bytes = 16 * 1024;
	s = fx_alice(&f, id);
	deliver_to_segment(&f, s, 2);
	set_byte(&f, "log.000001", message_at(s, 2) + 30, '!');
	s = fx_reopen(&f, s, true);
	assert_int_equal(fx_accept(&f, s), 1);
	purge(s, id, 5, 6);
	deliver_to_segment(&f, s, 4);
	s = fx_reopen(&f, s, true);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments > 0);
	s = fx_reopen(&f, s, true);
	assert_false(s->ix.meta.has_holes);
	set_byte(&f, "log.000001", message_at(s, 3) + 30, '!');
	s = fx_reopen(&f, s, true);
	assert_true(s->ix.meta.has_holes);
	purge(s, id, 4, 4);
	deliver_to_segment(&f, s, 6);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments == 0 && done.damaged > 0);
	store_close(s);
	fx_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint_of_this_epoch),
		cmocka_unit_test(test_died_behind),
		cmocka_unit_test(test_lost_twice),
		cmocka_unit_test(test_behind_next),
		cmocka_unit_test(test_fence_in_it),
		cmocka_unit_test(test_many_uids),
		cmocka_unit_test(test_name_of_lost),
		cmocka_unit_test(test_new_with_records),
		cmocka_unit_test(test_verify_sees_lost_last),
		cmocka_unit_test(test_lost_after_accept),
		cmocka_unit_test(test_damaged_before_fence),
		cmocka_unit_test(test_damaged_after_accept),
		cmocka_unit_test(test_damaged_meanwhile),
		cmocka_unit_test(test_put_back_before_accept),
		cmocka_unit_test(test_nothing_to_accept),
		cmocka_unit_test(test_moved_after_accept),
		cmocka_unit_test(test_link_after_accept),
		cmocka_unit_test(test_accept_lost_last),
		cmocka_unit_test(test_body_put_back),
		cmocka_unit_test(test_same_place),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
