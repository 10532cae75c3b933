/*
 * Reads of the log that fail, the first, the second and so on of each operation, once or from then on. An error is no end of the
 * log, no damage, and no loss: who asks is told to come again, the log stays byte for byte what it was, and the next call
 * finds all of it.
 */
#include "store_readfail.h"

/* With an index that lacks what was delivered since. */
static enum store_result
do_select(struct ready *r, struct store *s)
{
	struct arena a = arena_make(1 << 16);
	enum store_result got;
	struct mbox_info m;
	struct view v;
	uint32_t n;

	got = store_mbox_by_name(s, INBOX, &a, &m);
	if (got == STORE_OK)
		got = view_open(s, r->id, false, &v);
	if (got == STORE_OK && (got = view_count(s, &v, &n)) == STORE_OK && n != r->exists)
		fail_msg("SELECT says %u messages of %u", n, r->exists);
	arena_free(&a);
	return got;
}

/* 0: there is none. */
static uint64_t
index_inode(const struct ready *r)
{
	struct stat st;

	return stat(fx_path(&r->f, r->f.index, "data.mdb"), &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* Where an operation is not refused it does the same whatever failed on the way; and what is only read changes no byte. */
static void
reading(const struct row *row, struct ready *r)
{
	int total = 0;

	for (int i = 0; i < 2; i++) {
		bool came = true;

		for (int at = 1; came; at++, total++) {
			enum store_result got;
			struct store *s = NULL;
			struct piece before[PIECES_MAX];
			uint64_t inode;
			size_t n;

			if (row->is_open)
				s = fx_open(&r->f);
			if (row->prepare != NULL)
				row->prepare(r);
			inode = index_inode(r);
			if (!row->is_open)
				store_drop_cached();
			n = read_pieces(&r->f, before);
			begin(at, i == 1);
			got = row->op(r, s);
			came = end();
			check_said(got, came, row->op, row->name, at);
			check_bytes(r, before, n, row->writes, row->name, at);
			free_pieces(before, n);
			if (s != NULL)
				store_close(s);
			/* The same process goes on, with what it has open. */
			s = fx_open(&r->f);
			if (row->op(r, s) != STORE_OK)
				fail_msg("%s, read %d: not the next time either", row->name, at);
			check_whole(r, s, row->name, at);
			/* Nor is an index put aside because what it is compared with could not be read. */
			if (inode != 0 && s->ix.meta.inode != inode)
				fail_msg("%s, read %d: the index was made anew", row->name, at);
			store_close(s);
			store_drop_cached();
		}
	}
	print_message("# %s: %d reads\n", row->name, total - 2);
}

static void
without_index(struct ready *r)
{
	fx_remove_index(&r->f);
}

static void
one_more_and_away(struct ready *r)
{
	one_more(r);
	store_drop_cached();	/* only the log: a store that is open stays so */
}

static enum store_result
do_deliver(struct ready *r, struct store *s)
{
	enum store_result got = fx_deliver(&r->f, SLICE(""), r->bytes, NULL);

	(void)s;
	if (got == STORE_OK)
		r->exists++;
	else
		r->f.serial--;	/* bodies are numbered as their UIDs are */
	return got;
}

static enum store_result
do_flag(struct ready *r, struct store *s)
{
	struct flag_change c = {.op = FLAGS_ADD, .flags = MSG_ANSWERED};
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, UINT32_MAX);
	uint64_t modseq;

	return store_flags(s, r->id, &set, &c, &modseq);
}

static void
test_reading(void **state)
{
	static const struct row rows[] = {
		{"open", do_open, false, false, NULL},
		{"open, index from the checkpoint", do_open, false, false, without_index},
		{"FETCH", do_fetch, true, false, NULL},
	};
	struct row from_log = {"open, index from the log", do_open, false, false, without_index};
	struct ready r;
	struct store *s;

	(void)state;
	make(&r, true, false);
	s = fx_reopen(&r.f, fx_open(&r.f), false);
	r.dump = fx_dump(s);
	check_whole(&r, s, "at first", 0);
	store_close(s);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		reading(&rows[i], &r);
	unlink(fx_path(&r.f, r.f.active, "checkpoint"));
	reading(&from_log, &r);
	drop(&r);
}

/* With an index that is behind the log, and those that change it. */
static void
test_behind(void **state)
{
	static const struct row rows[] = {
		{"SELECT", do_select, true, false, one_more},
		{"SELECT, in a process that was idle", do_select, true, false, one_more_and_away},
		{"open, the log went on in another segment", do_open, false, false, one_more_segment},
		{"delivery", do_deliver, true, true, NULL},
		{"delivery, first of a process", do_deliver, false, true, NULL},
		{"STORE", do_flag, true, true, one_more},
	};
	struct ready r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make(&r, false, false);
		reading(&rows[i], &r);
		fx_check_replay(&r.f, false);
		drop(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_behind),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
