/*
 * Out of memory, at the first allocation, the second and so on of each operation, once or from then on: the process ends, or says that it
 * could not (LMDB's own). Each runs in a process of its own that is new to the spool; then it is looked at what another
 * process finds: what was acknowledged is there, what was not is there whole or not at all, the next operation works,
 * and a replay says the same.
 */
#include "store_fixture.h"

#include "fail_calls.h"

#define MESSAGES	6
#define CALLS_MAX	2000	/* of one operation; more is a loop without end */
#define SAID		16	/* a child's exit status: SAID + result */

struct spool_state {
	uint32_t	exists;		/* of INBOX */
	uint32_t	flagged;
	size_t		mailboxes;
};

static unsigned char	id[16];		/* INBOX */

/* ---- operations, in the child: nothing here may end in cmocka ---- */

static enum store_result
do_deliver(struct fixture *f, struct store *s)
{
	(void)s;
	return fx_deliver(f, SLICE(""), 100, NULL);
}

static enum store_result
do_expunge(struct fixture *f, struct store *s)
{
	struct uid_range r;
	struct uid_set set = fx_one(&r, 2, 4);
	uint64_t modseq;

	(void)f;
	return store_expunge(s, id, &set, false, &modseq);
}

static enum store_result
do_append(struct fixture *f, struct store *s)
{
	struct slice body = SLICE("Subject: number 1\r\n\r\nx\r\n"), work = SLICE("$Work");
	struct append_msg msgs[2] = {{.body = {.mem = body, .fd = -1, .bytes = body.n}, .keywords = &work, .nkeywords = 1},
	    {.body = {.mem = body, .fd = -1, .bytes = body.n}}};
	uint32_t uid[2], validity;

	(void)f;
	return store_append(s, id, msgs, 2, uid, &validity);
}

static enum store_result
do_move(struct fixture *f, struct store *s)
{
	struct arena a = arena_make(1 << 16);
	struct uid_range r;
	struct uid_set set = fx_one(&r, 1, 3);
	struct copied *pairs;
	enum store_result got;
	uint32_t validity;
	size_t n;

	(void)f;
	got = store_copy(s, id, &set, id, true, &a, &pairs, &n, &validity);
	arena_free(&a);
	return got;
}

static enum store_result
do_flag(struct fixture *f, struct store *s)
{
	struct flag_change c = {.op = FLAGS_ADD, .flags = MSG_FLAGGED};
	struct uid_range r;
	struct uid_set set = fx_one(&r, 1, UINT32_MAX);
	uint64_t modseq;

	(void)f;
	return store_flags(s, id, &set, &c, &modseq);
}

static enum store_result
do_create(struct fixture *f, struct store *s)
{
	unsigned char made[16];

	(void)f;
	return store_mbox_create(s, SLICE("user.alice.new"), USE_NONE, made);
}

static enum store_result
do_checkpoint(struct fixture *f, struct store *s)
{
	(void)f;
	return store_checkpoint(s, NULL, true);
}

/* What was expunged before goes, and its room. */
static enum store_result
do_compact(struct fixture *f, struct store *s)
{
	struct store_compacted done;
	enum store_result r;
	uint64_t n;

	(void)f;
	if ((r = store_purge(s, now_ms() + 3600000, &n)) != STORE_OK)
		return r;
	return store_compact(s, NULL, 0, &done);
}

static const struct row {
	const char	*name;
	enum store_result (*fn)(struct fixture *, struct store *);
	bool		 needs_index;	/* delivery does not */
	bool		 makes_index;	/* it is not there before */
	int		 exists, flagged, mailboxes;	/* how the state differs when it was done; flagged: all that are there */
} rows[] = {
	{"delivery", do_deliver, false, false, 1, 0, 0},
	{"expunge", do_expunge, true, false, -3, 0, 0},
	{"expunge, index made anew", do_expunge, true, true, -3, 0, 0},
	{"append of two", do_append, true, false, 2, 0, 0},
	{"move", do_move, true, false, 0, 0, 0},
	{"flags", do_flag, true, false, 0, 1, 0},
	{"create", do_create, true, false, 0, 0, 1},
	{"checkpoint", do_checkpoint, true, false, 0, 0, 0},
	{"purge and compaction", do_compact, true, false, 0, 0, 0},
};

static _Noreturn void
child(struct fixture *f, const struct row *row, int at, bool on, int tell_fd)
{
	enum store_result got = STORE_TEMP;
	struct store *s = NULL;
	bool came;

	fail_begin(at, ENOMEM, on);
	fail_kind = FAIL_MALLOC;
	if (!row->needs_index || store_open(&f->host, ALICE, &s) == FOUND)
		got = row->fn(f, s);
	came = fail_end();
	(void)!write(tell_fd, &came, 1);
	_exit(SAID + (int)got);
}

/* ---- what another process finds ---- */

static struct spool_state
look(struct fixture *f)
{
	static struct msg_info m[STORE_BATCH_MSGS];
	struct arena a = arena_make(1 << 20);
	struct spool_state st = {0};
	struct mbox_info *boxes;
	struct store *s = fx_open(f);
	struct view v;
	size_t n;

	assert_int_equal(store_mbox_list(s, &a, &boxes, &st.mailboxes), STORE_OK);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_range(s, &v, 1, UINT32_MAX, m, STORE_BATCH_MSGS, &n), STORE_OK);
	for (size_t i = 0; i < n; i++) {
		uint64_t at;
		int fd;

		assert_int_equal(store_body_open(s, &m[i], &fd, &at), STORE_OK);
		close(fd);
		st.flagged += !!(m[i].flags & MSG_FLAGGED);
	}
	st.exists = (uint32_t)n;
	assert_false(s->ix.meta.has_holes);
	store_close(s);
	store_drop_cached();
	arena_free(&a);
	return st;
}

static struct spool_state
after(struct spool_state st, const struct row *row)
{
	st.exists = (uint32_t)((int)st.exists + row->exists);
	st.mailboxes += (size_t)row->mailboxes;
	if (row->flagged)
		st.flagged = st.exists;
	return st;
}

static bool
is_same(struct spool_state a, struct spool_state b)
{
	return a.exists == b.exists && a.flagged == b.flagged && a.mailboxes == b.mailboxes;
}

/* A spool of two segments with something in it to be taken away. */
static void
make(struct fixture *f, const struct row *row)
{
	struct uid_range r;
	struct uid_set set;
	struct store *s;
	uint64_t modseq;

	fx_make_in(f, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	f->host.commit = fx_no_sync;
	f->host.segment_max_bytes = 8192;
	s = fx_alice(f, id);
	fx_deliver_n(f, MESSAGES);
	for (int i = 0; i < 4; i++)
		assert_int_equal(fx_deliver(f, SLICE(""), 3000, NULL), STORE_OK);
	set = fx_one(&r, MESSAGES + 1, MESSAGES + 1);
	assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
	assert_true(s->spool->head.number > 1);
	store_close(s);
	if (row->makes_index)
		fx_remove_index(f);
	store_drop_cached();
}

/* One run; true when the allocation that was to fail came. */
static bool
one(const struct row *row, int at, bool on, unsigned *ended)
{
	struct spool_state before, found, done;
	struct fixture f;
	bool came = true;
	int pair[2], status;
	pid_t pid;

	make(&f, row);
	before = look(&f);
	if (row->makes_index)
		fx_remove_index(&f);
	assert_int_equal(pipe(pair), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(&f, row, at, on, pair[1]);
	close(pair[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)!read(pair[0], &came, 1);
	close(pair[0]);
	if (!WIFEXITED(status) || (WEXITSTATUS(status) != EXIT_TEMP && (WEXITSTATUS(status) < SAID || WEXITSTATUS(status) > SAID + STORE_TEMP)))
		fail_msg("%s, allocation %d: ended with %x", row->name, at, (unsigned)status);
	if (!came && WEXITSTATUS(status) != SAID + STORE_OK)
		fail_msg("%s: %x without a failure", row->name, (unsigned)status);
	*ended += WEXITSTATUS(status) == EXIT_TEMP;
	found = look(&f);
	done = after(before, row);
	if (WEXITSTATUS(status) == SAID + STORE_OK ? !is_same(found, done) : !is_same(found, done) && !is_same(found, before))
		fail_msg("%s, allocation %d, ended with %x: %u messages, %u flagged, %zu mailboxes", row->name, at, (unsigned)status,
		    found.exists, found.flagged, found.mailboxes);
	/* The next one works, and a replay says the same. */
	f.serial += 1000;
	if (fx_deliver(&f, SLICE(""), 50, NULL) != STORE_OK || look(&f).exists != found.exists + 1)
		fail_msg("%s, allocation %d: the next delivery", row->name, at);
	fx_check_replay(&f, false);
	fx_free(&f);
	return came;
}

static void
test_nth_allocation(void **state)
{
	(void)state;
#ifndef CAN_FAIL_MALLOC
	skip();
#endif
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned ended = 0;
		int at = 1;

		while (one(&rows[i], at, false, &ended) && one(&rows[i], at, true, &ended)) {
			at++;
			assert_true(at < CALLS_MAX);
		}
		print_message("# %s: %d allocations, the process ended %u times\n", rows[i].name, at - 1, ended);
		/* There is something to fail in each, and somebody noticed. */
		assert_true(at > 1 && ended > 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nth_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
