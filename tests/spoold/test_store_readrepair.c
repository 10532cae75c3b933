/*
 * Reads that fail while a log is repaired or compacted: nothing is cut, fenced, passed over or left out because of it, and what was
 * to be repaired is repaired by the next call as it would have been.
 */
#include "store_readfail.h"

/* ---- logs that have something to be repaired ---- */

/* Of the segment: one byte of the n-th message's header is another. */
static void
damage(const struct ready *r, uint32_t segment, int n)
{
	char name[SEGMENT_NAME_BYTES], *at;
	static char all[2 << 20];
	ssize_t got;
	int fd;

	segment_name(segment, name);
	fd = open(fx_path(&r->f, r->f.active, name), O_RDWR | O_CLOEXEC);
	got = read(fd, all, sizeof(all));
	assert_true(got > 0);
	at = all;
	for (int i = 0; i <= n; i++) {
		at = memmem(at + 1, (size_t)(all + got - at - 1), "TSR1 M ", 7);
		assert_non_null(at);
	}
	assert_int_equal(pwrite(fd, "!", 1, at - all + 30), 1);
	close(fd);
}

/* Half a message at the log's end, as a process leaves that dies in its write. */
static void
tear(struct ready *r)
{
	char name[SEGMENT_NAME_BYTES];
	struct stat st;
	int fd;

	assert_int_equal(fx_deliver(&r->f, SLICE(""), r->bytes, NULL), STORE_OK);
	segment_name((uint32_t)segments(&r->f), name);
	fd = open(fx_path(&r->f, r->f.active, name), O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size - 900), 0);
	close(fd);
}

static void
prepare_torn(struct ready *r)
{
	tear(r);
}

/* Whole records between damage and the torn end: they must not go with it. */
static void
prepare_damaged_and_torn(struct ready *r)
{
	one_more(r);
	one_more(r);
	one_more(r);
	tear(r);
	damage(r, (uint32_t)segments(&r->f), 0);
	r->exists--;
}

static void
prepare_damaged(struct ready *r)
{
	damage(r, 2, 3);
	r->exists--;
}

/* A damaged record at the end of a sealed segment. */
static void
prepare_damaged_end(struct ready *r)
{
	char name[SEGMENT_NAME_BYTES];
	struct stat st;
	int fd;

	segment_name(2, name);
	fd = open(fx_path(&r->f, r->f.active, name), O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	/* The trailer before the line that names the next segment. */
	assert_int_equal(pwrite(fd, "!", 1, st.st_size - RECORD_HEADER_BYTES - 2 * RECORD_TRAILER_BYTES + 20), 1);
	close(fd);
	r->exists--;
}

static void
prepare_epoch(struct ready *r)
{
	store_drop_cached();
	assert_int_equal(epoch_begin(r->f.active, "default", true, &r->f.host.epoch), 0);
}

static void
prepare_epoch_damaged(struct ready *r)
{
	prepare_damaged(r);
	prepare_epoch(r);
}

static void
prepare_epoch_torn(struct ready *r)
{
	tear(r);
	prepare_epoch(r);
}

/* The head of a segment is damaged: its salt comes from its end. */
static void
prepare_head(struct ready *r)
{
	char name[SEGMENT_NAME_BYTES];
	int fd;

	segment_name(2, name);
	fd = open(fx_path(&r->f, r->f.active, name), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "!", 1, 60), 1);
	close(fd);
}

/* A process died between naming the next segment and giving it its name. */
static void
prepare_named(struct ready *r)
{
	char from[PATH_MAX], name[SEGMENT_NAME_BYTES];
	int before = segments(&r->f);
	struct store *s = fx_open(&r->f);

	while (segments(&r->f) == before) {
		one_more(r);
		assert_int_equal(spool_lock(s->spool), STORE_OK);
		spool_unlock(s->spool);
	}
	store_close(s);
	segment_name((uint32_t)before + 1, name);
	strcpy(from, fx_path(&r->f, r->f.active, name));
	assert_int_equal(rename(from, fx_path(&r->f, r->f.active, "new")), 0);
}

/* The last segment is gone; the checkpoint knows how far its numbers went. */
static void
prepare_lost(struct ready *r)
{
	int before = segments(&r->f);
	char name[SEGMENT_NAME_BYTES];
	struct store *s;

	while (segments(&r->f) == before)
		one_more(r);
	r->exists--;
	s = fx_open(&r->f);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
	store_close(s);
	segment_name((uint32_t)before + 1, name);
	assert_int_equal(unlink(fx_path(&r->f, r->f.active, name)), 0);
	/* With the checkpoint alone it would still be known that there was a message. */
	r->f.host.no_checkpoint = true;
}

/* What may be there after a repair that was begun or not: each segment as it was, or as long as after one in peace. */
static void
check_pieces(const struct fixture *f, struct piece *was, size_t nwas, struct piece *want, size_t nwant, const char *name, int at)
{
	struct piece now[PIECES_MAX];
	size_t n = read_pieces(f, now);

	if (n != nwas && n != nwant)
		fail_msg("%s, read %d: %zu segments", name, at, n);
	for (size_t i = 0; i < n; i++) {
		size_t same = now[i].n;

		if ((i >= nwas || now[i].n != was[i].n) && (i >= nwant || now[i].n != want[i].n))
			fail_msg("%s, read %d: segment %zu has %zu bytes", name, at, i + 1, now[i].n);
		if (i < nwas && same > was[i].n)
			same = was[i].n;
		if (i < nwant && same > want[i].n)
			same = want[i].n;
		if (i < nwas && memcmp(now[i].p, was[i].p, same) != 0)
			fail_msg("%s, read %d: segment %zu was changed", name, at, i + 1);
		free(now[i].p);
	}
}

/* Of a log that is to be repaired: its segments are larger than what is read at once; something in it is lost; a new segment is begun. */
enum { WITH_CHECKPOINT = 1, LARGE = 2, LOSSY = 4, NEW_SALT = 8 };

static void
put_back(struct ready *r)
{
	store_drop_cached();
	fx_remove_index(&r->f);
	copy_dir(r->keep, r->spool);
}

/* Each time from the same log: an error changes neither what is repaired, nor how. */
static void
repairing(const struct row *row, unsigned is, struct ready *r)
{
	struct piece was[PIECES_MAX], want[PIECES_MAX];
	size_t nwas, nwant;
	uint64_t next_modseq;
	uint32_t next_uid;
	struct store *s;
	int total = 0;

	row->prepare(r);
	store_drop_cached();
	copy_dir(r->spool, r->keep);
	nwas = read_pieces(&r->f, was);
	put_back(r);
	assert_int_equal(row->op(r, NULL), STORE_OK);
	s = fx_open(&r->f);
	r->has_holes = is & LOSSY;
	check_whole(r, s, row->name, 0);
	if (!(is & NEW_SALT))
		r->dump = fx_dump(s);
	next_uid = s->ix.meta.next_uid;
	next_modseq = s->ix.meta.next_modseq;
	store_close(s);
	nwant = read_pieces(&r->f, want);
	for (int i = 0; i < 2; i++) {
		bool came = true;

		for (int at = 1; came; at++, total++) {
			enum store_result got;

			put_back(r);
			begin(at, i == 1);
			got = row->op(r, NULL);
			came = end();
			check_said(got, came, row->op, row->name, at);
			check_pieces(&r->f, was, nwas, want, nwant, row->name, at);
			s = NULL;
			if (row->op(r, NULL) != STORE_OK)
				fail_msg("%s, read %d: not the next time either", row->name, at);
			check_pieces(&r->f, was, nwas, want, nwant, row->name, at);
			s = fx_open(&r->f);
			check_whole(r, s, row->name, at);
			if (s->ix.meta.next_uid != next_uid || s->ix.meta.next_modseq != next_modseq)
				fail_msg("%s, read %d: the numbers go on elsewhere", row->name, at);
			store_close(s);
		}
	}
	free_pieces(was, nwas);
	free_pieces(want, nwant);
	print_message("# %s: %d reads\n", row->name, total - 2);
}

static void
test_repairing(void **state)
{
	static const struct {
		struct row	row;
		unsigned	is;
	} rows[] = {
		{{"torn end", do_open, false, true, prepare_torn}, 0},
		{{"damage, records, torn end", do_open, false, true, prepare_damaged_and_torn}, LOSSY},
		{{"damage", do_open, false, true, prepare_damaged}, LOSSY},
		{{"damage among large ones", do_open, false, true, prepare_damaged}, LOSSY | LARGE},
		{{"damage at the end, large ones", do_open, false, true, prepare_damaged_end}, LOSSY | LARGE},
		{{"damage, large records, torn end", do_open, false, true, prepare_damaged_and_torn}, LOSSY | LARGE},
		{{"new epoch, damage among large ones", do_open, false, true, prepare_epoch_damaged}, LOSSY | LARGE},
		{{"damage at a segment's end", do_open, false, true, prepare_damaged_end}, LOSSY},
		{{"damaged head", do_open, false, true, prepare_head}, LOSSY},
		{{"new epoch", do_open, false, true, prepare_epoch}, 0},
		{{"new epoch, from the checkpoint", do_open, false, true, prepare_epoch}, WITH_CHECKPOINT},
		{{"new epoch, torn end", do_open, false, true, prepare_epoch_torn}, WITH_CHECKPOINT},
		{{"named segment", do_open, false, true, prepare_named}, WITH_CHECKPOINT},
		{{"lost segment", do_open, false, true, prepare_lost}, LOSSY | NEW_SALT},
	};
	const char *only = getenv("ROW");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ready r;

		if (only != NULL && strcmp(only, rows[i].row.name) != 0)
			continue;
		make(&r, rows[i].is & WITH_CHECKPOINT, rows[i].is & LARGE);
		repairing(&rows[i].row, rows[i].is, &r);
		drop(&r);
	}
}

/* What compaction cannot read it leaves, and says that it failed: damage is told of what was read. */
static void
test_compact(void **state)
{
	struct piece was[PIECES_MAX];
	struct uid_range range;
	struct uid_set set;
	struct store *s;
	struct ready r;
	struct view v;
	size_t nwas;
	uint64_t n;

	(void)state;
	make(&r, false, false);
	/* A torn end before a fence too, which is read to be dropped. */
	prepare_epoch_torn(&r);
	one_more(&r);
	s = fx_open(&r.f);
	assert_int_equal(view_open(s, r.id, false, &v), STORE_OK);
	set = fx_one(&range, v.uidnext - 1, v.uidnext - 1);
	assert_int_equal(store_expunge(s, r.id, &set, false, &n), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + 3600000, &n), STORE_OK);
	r.exists--;
	store_close(s);
	one_more_segment(&r);
	store_drop_cached();
	copy_dir(r.spool, r.keep);
	nwas = read_pieces(&r.f, was);
	for (int i = 0; i < 2; i++) {
		bool came = true;

		for (int at = 1; came; at++) {
			struct store_compacted done;
			enum store_result got;

			put_back(&r);
			s = fx_open(&r.f);
			assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
			begin(at, i == 1);
			got = store_compact(s, NULL, 0, &done);
			came = end();
			check_said(got, came, do_open, "compaction", at);
			if (done.damaged != 0 || (!came && done.segments == 0))
				fail_msg("compaction, read %d: %u segments, %u damaged", at, done.segments, done.damaged);
			/* One after the other: those it did are done. */
			if (done.segments == 0)
				check_bytes(&r, was, nwas, false, "compaction", at);
			got = store_compact(s, NULL, 0, &done);
			if (got != STORE_OK || done.damaged != 0)
				fail_msg("compaction, read %d: said %d, %u damaged", at, got, done.damaged);
			check_whole(&r, s, "compaction", at);
			store_close(s);
		}
	}
	free_pieces(was, nwas);
	fx_check_replay(&r.f, false);
	drop(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_repairing),
		cmocka_unit_test(test_compact),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
