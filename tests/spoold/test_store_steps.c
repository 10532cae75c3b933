/*
 * Each system call of an operation, one after another, is the last of its process, or fails, once or from then on. Whatever it was:
 * no acknowledged mail is lost or there twice, no UID is given out again, no lock is kept, the next process works, and a replay of
 * the log says the same. For deliveries that begin a segment, or go on behind a lost one, for giving up a loss, and for what sessions
 * and upkeep do. The calls are replaced by fail_calls.h.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "fail_calls.h"
#include "store_loss.h"

#define SEGMENT_BYTES	4096	/* a few messages: it is begun and full soon */
#define MESSAGE_BYTES	600
#define STEPS_MAX	400	/* calls of an operation; past it the test does not end */
#define OTHER_SECONDS	20	/* a process that waits so long waits for a lock that is kept */

static const struct mode {
	const char	*name;
	int		 with;
	bool		 on;
} modes[] = {
	{"dies", FAIL_DIE, false},
	{"dies in a write", FAIL_TEAR, false},
	{"EIO", EIO, false},
	{"ENOSPC", ENOSPC, false},
	{"EIO from then on", EIO, true},
	{"ENOSPC from then on", ENOSPC, true},
};
#define NMODES	(sizeof(modes) / sizeof(modes[0]))

static bool
is_deadly(const struct mode *m)
{
	return m->with == FAIL_DIE || m->with == FAIL_TEAR;
}

/* In memory where that can be had: a process that dies loses nothing of what it wrote, synced or not. */
static void
make(struct fixture *f)
{
	if (access("/dev/shm", W_OK) == 0)
		fx_make_in(f, "/dev/shm");
	else
		fx_make(f);
	f->host.segment_max_bytes = SEGMENT_BYTES;
}

/* All there is, and all can be read; UIDs ascend. */
static uint32_t
all_of(struct store *s, const unsigned char *id, uint32_t *last_uid_out)
{
	static struct msg_info m[STORE_BATCH_MSGS];
	uint32_t total = 0;
	struct view v;
	uint64_t at;
	size_t n;
	int fd;

	*last_uid_out = 0;
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	do {
		assert_int_equal(view_range(s, &v, *last_uid_out + 1, UINT32_MAX, m, STORE_BATCH_MSGS, &n), STORE_OK);
		for (size_t i = 0; i < n; i++) {
			assert_true(m[i].uid > *last_uid_out);
			*last_uid_out = m[i].uid;
			assert_int_equal(store_body_open(s, &m[i], &fd, &at), STORE_OK);
			close(fd);
		}
		total += (uint32_t)n;
	} while (n == STORE_BATCH_MSGS);
	return total;
}

static void
deliver(struct fixture *f)
{
	assert_int_equal(fx_deliver(f, SLICE(""), MESSAGE_BYTES, NULL), STORE_OK);
}

/* A process of its own: of the parent's logs and indexes it uses nothing (LMDB's environments do not survive a fork). */
static struct store *
open_in_child(struct fixture *f)
{
	static struct store_host host;
	struct store *s;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(OTHER_SECONDS);
	f->host.partition = strdup("default");
	host = f->host;
	if (store_open(&host, ALICE, &s) != FOUND)
		_exit(2);
	return s;
}

static int
status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- deliveries ---- */

enum start { IS_FULL, IS_LOST, IS_PREPARED, IS_BEGUN };

struct log {
	struct fixture	f;
	unsigned char	id[16];
	uint32_t	acked, highest;
	uint64_t	known;		/* the modseq that a client has come to */
};

/* A log at whose end a delivery begins a segment, or finds the next one lost, or prepared without its name, or there and empty. */
static void
log_make(struct log *l, enum start how)
{
	struct store *s;
	struct view v;

	make(&l->f);
	s = fx_alice(&l->f, l->id);
	while (s->spool->head.number < 2 || s->spool->at < SEGMENT_BYTES)
		deliver(&l->f);
	for (int i = 0; i < 2 && how == IS_LOST; i++)
		deliver(&l->f);
	if (how == IS_PREPARED || how == IS_BEGUN) {
		assert_int_equal(spool_lock(s->spool), STORE_OK);
		spool_unlock(s->spool);
	}
	assert_int_equal(s->spool->head.number, how == IS_FULL ? 2 : 3);
	l->acked = all_of(s, l->id, &l->highest);
	assert_int_equal(view_open(s, l->id, false, &v), STORE_OK);
	l->known = v.modseq;
	close_all(s);
	if (how == IS_LOST) {
		move_file(&l->f, "log.000003", "kept", false);
		l->acked -= 2;
	}
	if (how == IS_PREPARED)
		unname(&l->f, "log.000003");
}

/* A delivery whose call `at` does not go well. True: that call came; *acked_out: it was acknowledged all the same. */
static bool
deliver_badly(struct log *l, const struct mode *m, int at, bool *acked_out)
{
	bool came;
	pid_t pid;

	if (!is_deadly(m)) {
		fail_begin(at, m->with, m->on);
		*acked_out = fx_deliver(&l->f, SLICE(""), MESSAGE_BYTES, NULL) == STORE_OK;
		return fail_end();
	}
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		fail_begin(at, m->with, m->on);
		_exit(fx_deliver(&l->f, SLICE(""), MESSAGE_BYTES, NULL) == STORE_OK ? 0 : 1);
	}
	l->f.serial++;
	came = status_of(pid);
	*acked_out = came == 0;
	return came;
}

static bool
delivery_step(enum start how, bool is_new_epoch, const struct mode *m, int at)
{
	struct store *s;
	struct log l;
	uint32_t n, last;
	bool came, acked;

	log_make(&l, how);
	l.f.host.epoch += is_new_epoch;
	came = deliver_badly(&l, m, at, &acked);
	l.acked += acked;
	for (int i = 0; i < 3; i++)
		if (fx_deliver(&l.f, SLICE(""), MESSAGE_BYTES, NULL) != STORE_OK)
			fail_msg("%s, call %d: the next delivery", m->name, at);
	l.acked += 3;
	store_drop_cached();
	if (how != IS_LOST)
		fx_check_replay(&l.f, false);
	s = open_anew(&l.f);
	n = all_of(s, l.id, &last);
	/* Who died may have written it before. */
	if (n != l.acked && (acked || !is_deadly(m) || n != l.acked + 1))
		fail_msg("%s, call %d: %u messages, of which %u acknowledged", m->name, at, n, l.acked);
	if (!!s->ix.meta.has_holes != (how == IS_LOST))
		fail_msg("%s, call %d: %u holes", m->name, at, s->ix.meta.has_holes);
	if (last <= l.highest)
		fail_msg("%s, call %d: UID %u was given out again", m->name, at, last);
	if (how == IS_LOST && changed_since(s, l.id, l.known) != n)
		fail_msg("%s, call %d: a client is not told of all", m->name, at);
	store_close(s);
	fx_free(&l.f);
	return came;
}

static void
test_delivery(void **state)
{
	static const char *const names[] = {"begins a segment", "goes on behind a lost segment", "places a prepared segment"};
	int total = 0;

	(void)state;
	for (size_t how = 0; how < 3; how++)
		for (int epoch = 0; epoch < 2; epoch++)
			for (size_t m = 0; m < NMODES; m++) {
				int at = 1;

				while (delivery_step((enum start)how, epoch, &modes[m], at) && at < STEPS_MAX)
					at++;
				assert_in_range(at, 2, STEPS_MAX - 1);
				total += at - 1;
				if (m == 0)
					print_message("%s%s: %d calls\n", names[how], epoch ? ", after a crash" : "", at - 1);
			}
	print_message("%d steps\n", total);
}

/* Who began the segment may have died before its name was on the disk: nothing is acknowledged in it before that. */
static void
test_name_is_synced(void **state)
{
	struct log l;

	(void)state;
	log_make(&l, IS_BEGUN);
	fail_fsyncs = true;
	assert_int_equal(fx_deliver(&l.f, SLICE(""), MESSAGE_BYTES, NULL), STORE_TEMP);
	fail_fsyncs = false;
	deliver(&l.f);
	store_drop_cached();
	fx_check_replay(&l.f, false);
	fx_free(&l.f);
}

/* ---- giving up a loss ---- */

/* As fx_accept, but it may fail. */
static enum store_result
give_up(struct fixture *f, struct store *s, struct store_host *host)
{
	struct buf losses = buf_make(1 << 20);
	char dir[96], command[256];
	enum store_result r;
	int at = fail_at;

	fail_at = 0;
	snprintf(dir, sizeof(dir), "%s/private", f->dir);
	snprintf(command, sizeof(command), "rm -rf %s; mkdir -m 700 %s", dir, dir);
	assert_int_equal(system(command), 0);
	fail_at = at;
	host->no_checkpoint = true;
	r = store_losses(s, dir, &losses);
	host->no_checkpoint = false;
	if (r == STORE_OK && losses.n > 0)
		r = store_accept_losses(s, (const struct loss *)(const void *)losses.p, losses.n / sizeof(struct loss));
	buf_free(&losses);
	return r;
}

static bool
give_up_badly(struct fixture *f, struct store *s, const struct mode *m, int at, bool *is_accepted_out)
{
	pid_t pid;
	int status;

	if (!is_deadly(m)) {
		fail_begin(at, m->with, m->on);
		*is_accepted_out = give_up(f, s, &f->host) == STORE_OK;
		return fail_end();
	}
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		s = open_in_child(f);
		fail_begin(at, m->with, m->on);
		_exit(give_up(f, s, (struct store_host *)(uintptr_t)s->spool->host) == STORE_OK ? 0 : 1);
	}
	status = status_of(pid);
	*is_accepted_out = status == 0;
	return status != 0;
}

static bool
give_up_step(const struct mode *m, int at)
{
	uint32_t good, live, last;
	bool came, is_accepted;
	struct fixture f;
	unsigned char id[16];
	struct store *s;

	make(&f);
	s = fx_alice(&f, id);
	while (s->spool->head.number < 4)
		deliver(&f);
	close_all(s);
	lose(&f, GONE);
	s = open_anew(&f);
	good = readable(s, id, &live, &last);
	came = give_up_badly(&f, s, m, at, &is_accepted);
	s->ix.save_again_ms = 0;
	deliver(&f);
	assert_int_equal(readable(s, id, &live, &last), good + 1);
	if (is_accepted && s->ix.meta.has_holes)
		fail_msg("%s, call %d: said OK, %u holes", m->name, at, s->ix.meta.has_holes);
	s = fx_reopen(&f, s, true);
	if (is_accepted && s->ix.meta.has_holes)
		fail_msg("%s, call %d: said OK, %u holes in a replay", m->name, at, s->ix.meta.has_holes);
	if (give_up(&f, s, &f.host) != STORE_OK || s->ix.meta.has_holes)
		fail_msg("%s, call %d: to accept again", m->name, at);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
	assert_int_equal(readable(s, id, &live, &last), good + 1);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
	return came;
}

static void
test_accept(void **state)
{
	(void)state;
	for (size_t m = 0; m < NMODES; m++) {
		int at = 1;

		while (give_up_step(&modes[m], at) && at < STEPS_MAX)
			at++;
		assert_in_range(at, 2, STEPS_MAX - 1);
		print_message("accepting, %s: %d calls\n", modes[m].name, at - 1);
	}
}

/* ---- sessions and upkeep ---- */

struct run {
	struct fixture	f;
	unsigned char	id[16];
	struct view	v;
	bool		adds;	/* the flag that is next to be set or taken off */
};

static enum store_result
do_flags(struct run *run, struct store *s)
{
	struct flag_change c = {.op = run->adds ? FLAGS_ADD : FLAGS_REMOVE, .flags = MSG_FLAGGED};
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, UINT32_MAX);
	uint64_t modseq;

	run->adds = !run->adds;
	return store_flags(s, run->id, &set, &c, &modseq);
}

static enum store_result
do_sync(struct run *run, struct store *s)
{
	struct arena a = arena_make(1 << 20);
	struct view_delta d;
	enum store_result r = view_sync(s, &run->v, true, &a, &d);

	arena_free(&a);
	return r;
}

static enum store_result
do_append(struct run *run, struct store *s)
{
	struct slice text = SLICE("Subject: appended\r\n\r\nx\r\n");
	struct append_msg m = {.body = {.mem = text, .fd = -1, .bytes = text.n}, .date_ms = 1};
	uint32_t uid, uidvalidity;

	return store_append(s, run->id, &m, 1, &uid, &uidvalidity);
}

/* The last message. */
static enum store_result
do_copy(struct run *run, struct store *s)
{
	struct arena a = arena_make(1 << 20);
	struct uid_range range;
	struct uid_set set;
	struct copied *pairs;
	uint32_t uid, uidvalidity;
	enum store_result r;
	size_t n;

	if ((r = view_last_uid(s, &run->v, &uid)) == STORE_OK) {
		set = fx_one(&range, uid, uid);
		r = store_copy(s, run->id, &set, run->id, false, &a, &pairs, &n, &uidvalidity);
	}
	arena_free(&a);
	return r;
}

static enum store_result
do_checkpoint(struct run *run, struct store *s)
{
	(void)run;
	return store_checkpoint(s, NULL, true);
}

/* A body that the disk does not give is damaged; for another reason it is not to be had now. */
static enum store_result
do_read(struct run *run, struct store *s)
{
	static struct msg_info m[STORE_BATCH_MSGS];
	enum store_result r;
	uint64_t at;
	size_t n;
	int fd;

	if ((r = view_range(s, &run->v, 1, UINT32_MAX, m, 3, &n)) != STORE_OK)
		return r;
	for (size_t i = 0; i < n && r == STORE_OK; i++)
		if ((r = store_body_open(s, &m[i], &fd, &at)) == STORE_OK)
			close(fd);
	assert_true(r != STORE_DAMAGED || fail_with == EIO);
	return r;
}

static enum store_result
do_open(struct run *run, struct store *s)
{
	return view_open(s, run->id, true, &run->v);
}

static enum store_result
do_compact(struct run *run, struct store *s)
{
	struct store_compacted done;

	(void)run;
	return store_compact(s, NULL, 0, &done);
}

static const struct op {
	const char	*name;
	enum store_result (*fn)(struct run *, struct store *);
	uint32_t	 grows;		/* messages more */
	bool		 purges;	/* one message is, before; each time in a new log, for what it does grows with the log */
} ops[] = {
	{"flags", do_flags, 0, false},
	{"a look for what is new", do_sync, 0, false},
	{"append", do_append, 1, false},
	{"copy", do_copy, 1, false},
	{"checkpoint", do_checkpoint, 0, false},
	{"reading", do_read, 0, false},
	{"opening", do_open, 0, false},
	{"compaction", do_compact, 0, true},
};

/* Something to read, and where it is asked for the first message is purged. */
static void
op_prepare(struct run *run, struct store *s, const struct op *op)
{
	struct msg_info m;
	size_t n;

	deliver(&run->f);
	assert_int_equal(view_open(s, run->id, false, &run->v), STORE_OK);
	if (!op->purges)
		return;
	assert_int_equal(view_range(s, &run->v, 1, UINT32_MAX, &m, 1, &n), STORE_OK);
	assert_int_equal(n, 1);
	purge(s, run->id, m.uid, m.uid);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
}

static bool
op_badly(struct run *run, struct store *s, const struct op *op, const struct mode *m, int at, bool *is_done_out)
{
	int status;
	pid_t pid;

	if (!is_deadly(m)) {
		fail_begin(at, m->with, m->on);
		*is_done_out = op->fn(run, s) == STORE_OK;
		return fail_end();
	}
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		s = open_in_child(&run->f);
		fail_begin(at, m->with, m->on);
		_exit(op->fn(run, s) == STORE_OK ? 0 : 1);
	}
	status = status_of(pid);
	*is_done_out = status == 0;
	return status != 0;
}

/* Another process can change and read: no lock is kept. */
static bool
other_works(struct run *run)
{
	pid_t pid = fork();
	struct store *s;
	struct view v;

	assert_true(pid >= 0);
	if (pid == 0) {
		s = open_in_child(&run->f);
		_exit(do_flags(run, s) == STORE_OK && view_open(s, run->id, false, &v) == STORE_OK ? 0 : 1);
	}
	run->adds = !run->adds;
	return status_of(pid) == 0;
}

static bool
op_step(struct run *run, struct store *s, const struct op *op, const struct mode *m, int at)
{
	uint32_t before, after, highest, last;
	bool came, is_done;

	op_prepare(run, s, op);
	/* And one that the index does not have yet. */
	before = all_of(s, run->id, &highest) + 1;
	deliver(&run->f);
	s->ix.save_again_ms = 0;
	came = op_badly(run, s, op, m, at, &is_done);
	if (!came && !is_done)
		fail_msg("%s: without a failure", op->name);
	if (s->ix.txn != NULL || s->ix.has_turn || s->ix.keeps_turn || s->spool->is_locked)
		fail_msg("%s, %s, call %d: a lock is kept", op->name, m->name, at);
	if (!other_works(run))
		fail_msg("%s, %s, call %d: another process", op->name, m->name, at);
	s->ix.save_again_ms = 0;
	if (do_flags(run, s) != STORE_OK)
		fail_msg("%s, %s, call %d: a change after it", op->name, m->name, at);
	after = all_of(s, run->id, &last);
	if (after != before + op->grows && (is_done || after != before))
		fail_msg("%s, %s, call %d: %u messages after %u", op->name, m->name, at, after, before);
	if (last <= highest)
		fail_msg("%s, %s, call %d: UID %u was given out again", op->name, m->name, at, last);
	if (s->ix.meta.has_holes)
		fail_msg("%s, %s, call %d: %u holes", op->name, m->name, at, s->ix.meta.has_holes);
	return came;
}

static struct store *
run_make(struct run *run)
{
	struct store *s;

	*run = (struct run){.adds = true};
	make(&run->f);
	s = fx_alice(&run->f, run->id);
	while (s->spool->head.number < 3)
		deliver(&run->f);
	return s;
}

static void
run_end(struct run *run, struct store *s)
{
	close_all(s);
	fx_check_replay(&run->f, false);
	fx_free(&run->f);
}

static void
test_ops(void **state)
{
	(void)state;
	for (size_t o = 0; o < sizeof(ops) / sizeof(ops[0]); o++) {
		int total = 0;

		for (size_t m = 0; m < NMODES; m++) {
			struct run run;
			struct store *s = run_make(&run);
			int at = 1;

			for (; op_step(&run, s, &ops[o], &modes[m], at) && at < STEPS_MAX; at++)
				if (ops[o].purges) {
					run_end(&run, s);
					s = run_make(&run);
				}
			assert_in_range(at, 1, STEPS_MAX - 1);
			total += at - 1;
			run_end(&run, s);
		}
		print_message("%s: %d steps\n", ops[o].name, total);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delivery),
		cmocka_unit_test(test_name_is_synced),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_ops),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
