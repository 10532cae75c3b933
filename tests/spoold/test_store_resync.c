/*
 * What a client that was away is told: changes and expunges after a modseq, beside a model that remembers all of
 * them; and flags set only where nothing changed. RFC 7162.
 */
#include <sys/wait.h>

#include "store_fixture.h"

#define UIDS	1200
#define EVERY	(&(struct uid_set){&(struct uid_range){1, UINT32_MAX}, 1})

static uint64_t		gone_at[UIDS];		/* by UID: the modseq that expunged it; 0: it is there or never was */
static uint64_t		changed_at[UIDS];	/* by UID: its modseq; 0: it is not there */
static uint32_t		seed;

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % below;
}

static bool
set_holds(const struct uid_set *set, uint32_t uid)
{
	for (size_t i = 0; i < set->n; i++)
		if (uid >= set->r[i].lo && uid <= set->r[i].hi)
			return true;
	return false;
}

static void
note_changes(struct store *s, const unsigned char *id)
{
	struct msg_info m[STORE_BATCH_MSGS];
	struct view v;
	uint32_t lo = 1;
	size_t n;

	memset(changed_at, 0, sizeof(changed_at));
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	do {
		assert_int_equal(view_range(s, &v, lo, UINT32_MAX, m, STORE_BATCH_MSGS, &n), STORE_OK);
		for (size_t i = 0; i < n; i++)
			changed_at[m[i].uid] = m[i].modseq;
		lo = n > 0 ? m[n - 1].uid + 1 : lo;
	} while (n == STORE_BATCH_MSGS);
}

static void
change(struct fixture *f, struct store *s, const unsigned char *id)
{
	struct uid_range r = {1 + rnd(f->serial + 1), 0};
	struct uid_set set = {&r, 1};
	struct flag_change c = {.op = (enum flag_op)rnd(3), .flags = rnd(32)};
	uint64_t was[UIDS], modseq;

	r.hi = r.lo + rnd(40);
	memcpy(was, changed_at, sizeof(was));
	switch (rnd(4)) {
	case 0:
		/* Every other one to another mailbox: the UIDs of one are not beside each other. */
		if (f->serial < UIDS - 100)
			for (uint32_t i = 0, n = 1 + rnd(60); i < n; i++)
				assert_int_equal(fx_deliver(f, rnd(2) ? SLICE("") : SLICE("user.alice.Other"), 40, NULL), STORE_OK);
		break;
	case 1:
		assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
		break;
	default:
		assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_OK);
		break;
	}
	note_changes(s, id);
	for (uint32_t uid = 1; uid < UIDS; uid++)
		if (was[uid] != 0 && changed_at[uid] == 0)
			gone_at[uid] = modseq;
}

/* What the view shows changed since, in batches of a few, with the numbers it has in the view. */
static void
check_changed(struct store *s, const struct view *v, uint64_t since, uint32_t lo, uint32_t hi)
{
	struct msg_info m[7];
	uint32_t uid = lo, seq, at = lo;
	size_t n;

	do {
		assert_int_equal(view_changed(s, v, since, at, hi, m, 7, &n), STORE_OK);
		for (size_t i = 0; i < n; i++, uid++) {
			while (uid < UIDS && (changed_at[uid] == 0 || changed_at[uid] <= since))
				uid++;
			assert_int_equal(m[i].uid, uid);
			assert_true(m[i].modseq == changed_at[uid] && !m[i].is_expunged);
			assert_int_equal(view_seq(s, v, uid, &seq), STORE_OK);
			assert_int_equal(m[i].seq, seq);
		}
		at = uid;
	} while (n == 7);
	for (; uid < UIDS && uid < v->uidnext && uid <= hi; uid++)
		assert_true(changed_at[uid] == 0 || changed_at[uid] <= since);
}

static void
check_vanished(struct store *s, const struct view *v, uint64_t since, uint64_t horizon, const struct uid_set *known)
{
	struct arena a = arena_make(1 << 20);
	struct uid_set got;

	assert_int_equal(view_vanished(s, v, since, known, &a, &got), STORE_OK);
	for (size_t i = 0; i < got.n; i++)
		assert_true(got.r[i].lo <= got.r[i].hi && (i == 0 || got.r[i].lo > got.r[i - 1].hi) && got.r[i].hi < v->uidnext);
	for (uint32_t uid = 1; uid < v->uidnext; uid++) {
		bool is_there = changed_at[uid] != 0 || gone_at[uid] > v->expunge_modseq, is_told = set_holds(&got, uid);

		/* Never what is there, never what was not asked for; what went since always. */
		assert_false(is_told && (is_there || !set_holds(known, uid)));
		if (!is_there && set_holds(known, uid) && (since < horizon || gone_at[uid] > since))
			assert_true(is_told);
	}
	arena_free(&a);
}

static void
test_random(void **state)
{
	static struct uid_range r[3];
	struct uid_set known = {r, 3};
	struct fixture f;
	unsigned char id[16], other[16];
	uint64_t horizon = 0, n, modseqs[64] = {0};
	struct view v, old;
	struct store *s;

	(void)state;
	seed = 1;
	fx_make(&f);
	s = fx_alice(&f, id);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.Other"), USE_NONE, other), STORE_OK);
	fx_deliver_n(&f, 100);
	assert_int_equal(view_open(s, id, false, &old), STORE_OK);
	note_changes(s, id);
	for (int step = 0; step < 600; step++) {
		change(&f, s, id);
		assert_int_equal(view_open(s, id, false, &v), STORE_OK);
		modseqs[rnd(64)] = v.modseq;
		if (rnd(10) == 0)
			old = v;
		if (rnd(100) == 0) {
			assert_int_equal(store_purge(s, INT64_MAX, &n), STORE_OK);
			for (uint32_t uid = 1; uid < UIDS; uid++)
				horizon = gone_at[uid] > horizon ? gone_at[uid] : horizon;
			old = v;
		}
		if (rnd(4) != 0)
			continue;
		r[0] = (struct uid_range){1 + rnd(50), 50 + rnd(50)};
		r[1] = (struct uid_range){101 + rnd(100), 201 + rnd(200)};
		r[2] = (struct uid_range){402 + rnd(100), 502 + rnd(2000)};
		/* To a view that was not told of the last ones, too. */
		for (int i = 0; i < 2; i++) {
			uint64_t since = modseqs[rnd(64)];

			check_changed(s, i == 0 ? &v : &old, since, r[0].lo, rnd(2) ? UINT32_MAX : r[1].hi);
			check_vanished(s, i == 0 ? &v : &old, since, horizon, &known);
			check_vanished(s, i == 0 ? &v : &old, since, horizon, EVERY);
		}
	}
	assert_true(horizon > 0);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* As few ranges as can be: UIDs of other mailboxes between are no reason for another one. */
static void
test_ranges(void **state)
{
	struct arena a = arena_make(1 << 20);
	struct uid_range r;
	struct uid_set set, got;
	struct fixture f;
	unsigned char id[16], other[16];
	uint64_t modseq, first;
	struct view v;
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.Other"), USE_NONE, other), STORE_OK);
	for (int i = 0; i < 300; i++)
		assert_int_equal(fx_deliver(&f, i % 3 != 0 ? SLICE("user.alice.Other") : SLICE(""), 40, NULL), STORE_OK);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	first = v.modseq;
	/* 1, 4, 7 ... 298 but for 151. */
	set = fx_one(&r, 1, 150);
	assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
	set = fx_one(&r, 152, 300);
	assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
	/* The view was not told: to it nothing is gone. */
	assert_int_equal(view_vanished(s, &v, first, EVERY, &a, &got), STORE_OK);
	assert_int_equal(got.n, 0);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_vanished(s, &v, first, EVERY, &a, &got), STORE_OK);
	assert_int_equal(got.n, 2);
	assert_true(got.r[0].lo == 1 && got.r[0].hi == 148 && got.r[1].lo == 154 && got.r[1].hi == 298);
	assert_int_equal(view_vanished(s, &v, v.modseq, EVERY, &a, &got), STORE_OK);
	assert_int_equal(got.n, 0);
	/* No room: said, not cut short. */
	arena_free(&a);
	a = arena_make(16);
	assert_int_equal(view_vanished(s, &v, first, EVERY, &a, &got), STORE_LIMIT);
	arena_free(&a);
	store_close(s);
	fx_free(&f);
}

static void
test_flags_unless(void **state)
{
	static const struct slice junk[] = {{"$Junk", 5}};
	struct flag_change seen = {.op = FLAGS_ADD, .flags = MSG_SEEN}, flagged = {.op = FLAGS_ADD, .flags = MSG_FLAGGED};
	struct flag_change keyword = {.op = FLAGS_ADD, .keywords = junk, .nkeywords = 1};
	struct arena a = arena_make(1 << 20), tiny = arena_make(8);
	struct msg_info m[10];
	struct uid_range r;
	struct uid_set set, left;
	struct fixture f;
	unsigned char id[16];
	uint64_t modseq, before;
	struct view v;
	struct store *s;
	size_t n;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 10);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	before = v.modseq;
	set = fx_one(&r, 4, 5);
	assert_int_equal(store_flags(s, id, &set, &seen, &modseq), STORE_OK);
	set = fx_one(&r, 8, 8);
	assert_int_equal(store_flags(s, id, &set, &seen, &modseq), STORE_OK);
	/* Those three changed since: no room to name them, nothing happens. */
	set = fx_one(&r, 1, 10);
	assert_int_equal(store_flags_unless(s, id, &set, &flagged, before, &tiny, &left, &modseq), STORE_LIMIT);
	assert_int_equal(view_range(s, &v, 1, 10, m, 10, &n), STORE_OK);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(m[i].flags & MSG_FLAGGED, 0);
	assert_int_equal(store_flags_unless(s, id, &set, &flagged, before, &a, &left, &modseq), STORE_OK);
	assert_int_equal(left.n, 2);
	assert_true(left.r[0].lo == 4 && left.r[0].hi == 5 && left.r[1].lo == 8 && left.r[1].hi == 8 && modseq > before);
	assert_int_equal(view_range(s, &v, 1, 10, m, 10, &n), STORE_OK);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal((m[i].flags & MSG_FLAGGED) != 0, !set_holds(&left, m[i].uid));
		assert_int_equal(m[i].modseq == modseq, !set_holds(&left, m[i].uid));
	}
	/* At its own modseq a message is unchanged; one before, not. */
	set = fx_one(&r, 1, 1);
	assert_int_equal(store_flags_unless(s, id, &set, &seen, modseq - 1, &a, &left, &before), STORE_OK);
	assert_true(left.n == 1 && before == 0);
	assert_int_equal(store_flags_unless(s, id, &set, &seen, modseq, &a, &left, &before), STORE_OK);
	assert_true(left.n == 0 && before > modseq);
	/* 0: where the keyword is not. */
	set = fx_one(&r, 1, 3);
	assert_int_equal(store_flags_unless(s, id, &set, &keyword, 0, &a, &left, &modseq), STORE_OK);
	assert_int_equal(left.n, 0);
	set = fx_one(&r, 1, 10);
	assert_int_equal(store_flags_unless(s, id, &set, &keyword, 0, &a, &left, &modseq), STORE_OK);
	assert_true(left.n == 1 && left.r[0].lo == 1 && left.r[0].hi == 3);
	keyword.flags = MSG_DRAFT;
	assert_int_equal(store_flags_unless(s, id, &set, &keyword, 0, &a, &left, &modseq), STORE_OK);
	assert_true(left.n == 1 && left.r[0].lo == 1 && left.r[0].hi == 10 && modseq == 0);
	arena_free(&a);
	arena_free(&tiny);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static char *
slurp(struct fixture *f, size_t *n_out)
{
	FILE *in = fopen(fx_path(f, f->active, "log.000001"), "r");
	char *p = malloc(1 << 20);

	assert_true(in != NULL && p != NULL);
	*n_out = fread(p, 1, 1 << 20, in);
	fclose(in);
	return p;
}

/* What who saw that modseq is told: everything, where it was forgotten. */
static void
check_forgotten(struct store *s, const struct view *v, uint64_t since, bool is_lost, size_t nchanged)
{
	struct arena a = arena_make(1 << 20);
	struct uid_range r;
	struct uid_set known = fx_one(&r, 1, 12), got;
	struct msg_info m[20];
	size_t n;

	assert_int_equal(view_changed(s, v, since, 1, UINT32_MAX, m, 20, &n), STORE_OK);
	assert_int_equal(n, is_lost ? 9 : nchanged);
	assert_int_equal(view_vanished(s, v, since, &known, &a, &got), STORE_OK);
	if (is_lost)
		assert_true(got.n == 2 && got.r[0].lo == 2 && got.r[0].hi == 2 && got.r[1].lo == 11 && got.r[1].hi == 12);
	else
		assert_int_equal(got.n, 0);
	arena_free(&a);
}

/* A crash forgets the last changes. Who saw them is told all there is; who did not is told what changed. */
static void
test_forgotten(void **state)
{
	struct flag_change seen = {.op = FLAGS_ADD, .flags = MSG_SEEN}, draft = {.op = FLAGS_ADD, .flags = MSG_DRAFT};
	struct uid_range r;
	struct uid_set set;
	struct fixture f;
	unsigned char id[16];
	uint64_t modseq, kept, lost;
	struct view v;
	struct store *s;
	size_t bytes;
	char *log;
	FILE *out;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 10);
	set = fx_one(&r, 2, 2);
	assert_int_equal(store_expunge(s, id, &set, false, &kept), STORE_OK);
	log = slurp(&f, &bytes);
	/* A flag, an expunge, two messages. */
	set = fx_one(&r, 5, 5);
	assert_int_equal(store_flags(s, id, &set, &seen, &modseq), STORE_OK);
	set = fx_one(&r, 7, 7);
	assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
	fx_deliver_n(&f, 2);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	lost = v.modseq;
	assert_true(lost > kept + 3);
	store_close(s);
	store_drop_cached();
	out = fopen(fx_path(&f, f.active, "log.000001"), "w");
	assert_true(out != NULL && fwrite(log, 1, bytes, out) == bytes && fclose(out) == 0);
	free(log);
	f.host.epoch++;
	s = fx_open(&f);
	/* Before anybody changes anything: there is no fence. */
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	check_forgotten(s, &v, kept, false, 0);
	for (uint64_t since = kept + 1; since <= lost; since++)
		check_forgotten(s, &v, since, true, 0);
	set = fx_one(&r, 10, 10);
	assert_int_equal(store_flags(s, id, &set, &draft, &modseq), STORE_OK);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(view_open(s, id, false, &v), STORE_OK);
		assert_int_equal(v.uidnext, 11);
		check_forgotten(s, &v, kept, false, 1);
		for (uint64_t since = kept + 1; since <= lost; since++)
			check_forgotten(s, &v, since, true, 0);
		check_forgotten(s, &v, modseq, false, 0);
		check_forgotten(s, &v, INT64_MAX, true, 0);
		s = fx_reopen(&f, s, true);
	}
	store_close(s);
	fx_check_replay(&f, true);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* Turns \Flagged over, rounds times, each time as it was seen; how often somebody else came between. */
static int
turn_over(struct fixture *f, const unsigned char *id, int rounds)
{
	struct arena a = arena_make(1 << 20);
	struct uid_range r;
	struct uid_set set = fx_one(&r, 1, 1), left;
	struct msg_info m;
	struct view v;
	struct store *s = fx_open(f);
	int nlost = 0;
	size_t n;

	for (int done = 0; done < rounds; arena_reset(&a)) {
		struct flag_change c = {.op = FLAGS_SET};
		uint64_t modseq;

		if (view_open(s, id, false, &v) != STORE_OK || view_range(s, &v, 1, 1, &m, 1, &n) != STORE_OK || n != 1)
			return -1;
		c.flags = m.flags ^ MSG_FLAGGED;
		if (store_flags_unless(s, id, &set, &c, m.modseq, &a, &left, &modseq) != STORE_OK)
			return -1;
		/* Two that saw the same and both were let: to the second one there is nothing to change. */
		if (left.n == 0 && modseq == 0)
			return -1;
		if (left.n == 0)
			done++;
		else
			nlost++;
	}
	arena_free(&a);
	store_close(s);
	return nlost;
}

static void
test_two_processes(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	int status, nlost;
	pid_t child;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 1);
	store_close(s);
	store_drop_cached();
	if ((child = fork()) == 0)
		_exit(turn_over(&f, id, 2000) < 0);
	assert_true(child > 0);
	nlost = turn_over(&f, id, 2000);
	assert_true(nlost >= 0);
	print_message("%d times the other one was first\n", nlost);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	fx_check_replay(&f, false);
	fx_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random), cmocka_unit_test(test_ranges), cmocka_unit_test(test_flags_unless),
		cmocka_unit_test(test_two_processes), cmocka_unit_test(test_forgotten),
	};

	fx_quiet();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
