/*
 * A mailbox of 100,000 messages: ranges, flags, expunges and numbers against a naive model, by views
 * that are told at random moments; that a great change is several records and whole after a kill; that
 * other processes are served meanwhile; and that memory stays bounded.
 */
#include <signal.h>
#include <sys/file.h>

#include "store_fixture.h"

#define N		100000
#define FIRST		1000	/* delivered; the others are copies */
#define UIDS		(2 * N + 3 * FIRST)
#define VIEWS		3
#define CHANGE_MSGS	20000	/* of one record: flags.c */

#ifdef __SANITIZE_ADDRESS__
#define COUNTS_MEMORY	false	/* the sanitizer's own is counted too */
#else
#define COUNTS_MEMORY	true
#endif

/* The mailbox as it is, and as each view was told it is. */
static struct naive {
	bool		 is_live[UIDS];
	uint8_t		 flags[UIDS];
	uint32_t	 uidnext;
} naive;

static struct told {
	struct view	 v;
	uint32_t	 uid[UIDS];	/* by sequence number */
	uint8_t		 flags[UIDS];	/* by UID */
	uint32_t	 n;
} told[VIEWS];

static uint32_t seed;

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % below;
}

/* INBOX with N messages of FIRST bodies. */
static struct store *
make(struct fixture *f, unsigned char *id)
{
	struct arena a = arena_make(16 << 20);
	struct uid_range r = {1, FIRST};
	struct uid_set set = {&r, 1};
	struct copied *pairs;
	struct store *s;
	uint32_t validity;
	size_t got;

	fx_make(f);
	s = fx_alice(f, id);
	fx_deliver_n(f, FIRST);
	for (uint32_t n = FIRST; n < N; n += (uint32_t)got) {
		r.hi = N - n < n ? N - n : n;
		arena_reset(&a);
		assert_int_equal(store_copy(s, id, &set, id, false, &a, &pairs, &got, &validity), STORE_OK);
		assert_int_equal(got, r.hi);
	}
	arena_free(&a);
	return s;
}

static uint8_t
changed(uint8_t was, enum flag_op op, uint32_t flags)
{
	return (uint8_t)(op == FLAGS_SET ? flags : op == FLAGS_ADD ? was | flags : was & ~flags);
}

/* Sets of one range, of all, or of very many. */
static size_t
make_set(struct uid_range *r)
{
	uint32_t lo = 1 + rnd(naive.uidnext), step = 2 + rnd(5);
	size_t n = 0;

	switch (rnd(4)) {
	case 0:
		r[0] = (struct uid_range){1, UID_LAST};
		return 1;
	case 1:
		r[0] = (struct uid_range){lo, lo + rnd(40000)};
		return 1;
	case 2:
		r[0] = (struct uid_range){lo, lo + rnd(300)};
		r[1] = (struct uid_range){r[0].hi + 1 + rnd(300), r[0].hi + 301 + rnd(3000)};
		return 2;
	default:
		for (; n < 5000 && lo < naive.uidnext; lo += step)
			r[n++] = (struct uid_range){lo, lo + rnd(2)};
		return n;
	}
}

static void
change(struct fixture *f, struct store *s, const unsigned char *id)
{
	static struct uid_range r[5000];
	struct uid_set set = {r, make_set(r)};
	struct flag_change c = {.op = (enum flag_op)rnd(3), .flags = rnd(32)};
	bool only_deleted = rnd(2);
	uint32_t what = rnd(8);
	uint64_t modseq;

	if (what == 0 && naive.uidnext + 500 < UIDS) {
		fx_deliver_n(f, 200);
		for (int i = 0; i < 200; i++)
			naive.is_live[naive.uidnext++] = true;
		return;
	}
	/* An expunge of all would end the test early. */
	if (what < 3 && !only_deleted && r[0].hi == UID_LAST)
		r[0].hi = 1000 + rnd(20000);
	if (what < 3)
		assert_int_equal(store_expunge(s, id, &set, only_deleted, &modseq), STORE_OK);
	else
		assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_OK);
	for (size_t i = 0; i < set.n; i++)
		for (uint32_t uid = r[i].lo; uid <= r[i].hi && uid < naive.uidnext; uid++) {
			if (!naive.is_live[uid])
				continue;
			if (what >= 3)
				naive.flags[uid] = changed(naive.flags[uid], c.op, c.flags);
			else if (!only_deleted || (naive.flags[uid] & MSG_DELETED))
				naive.is_live[uid] = false;
		}
}

static void
open_view(struct store *s, struct told *t, const unsigned char *id)
{
	struct msg_info m[STORE_BATCH_MSGS];
	uint32_t lo = 1;
	size_t n;

	assert_int_equal(view_open(s, id, false, &t->v), STORE_OK);
	t->n = 0;
	do {
		assert_int_equal(view_range(s, &t->v, lo, UINT32_MAX, m, STORE_BATCH_MSGS, &n), STORE_OK);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(m[i].seq, t->n + 1);
			t->uid[t->n++] = m[i].uid;
			t->flags[m[i].uid] = (uint8_t)m[i].flags;
			lo = m[i].uid + 1;
		}
	} while (n == STORE_BATCH_MSGS);
}

static uint32_t
place(const struct told *t, uint32_t uid)
{
	uint32_t lo = 0, hi = t->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (t->uid[mid] < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	assert_true(lo < t->n && t->uid[lo] == uid);
	return lo;
}

/* Takes in the expunges of a piece: ascending, each number one less for every one before. */
static void
take_expunges(struct told *t, const struct view_delta *d)
{
	uint32_t kept = 0, at = 0;

	for (size_t i = 0; i < d->nexpunges; i++) {
		uint32_t is = place(t, d->expunges[i].uid);

		assert_int_equal(d->expunges[i].seq, is + 1 - i);
		while (at < is)
			t->uid[kept++] = t->uid[at++];
		at++;
	}
	while (at < t->n)
		t->uid[kept++] = t->uid[at++];
	t->n = kept;
}

/* One piece; true when there is more. The arena is as small as a piece needs. */
static bool
sync_piece(struct store *s, struct told *t, bool may_expunge)
{
	struct arena a = arena_make(1 << 20);
	struct msg_info m[STORE_BATCH_MSGS];
	struct view_delta d;
	uint32_t lo;
	size_t n;

	assert_int_equal(view_sync(s, &t->v, may_expunge, &a, &d), STORE_OK);
	assert_false(d.is_gone);
	assert_true(d.nexpunges <= STORE_SYNC_MAX + CHANGE_MSGS && d.nchanges <= STORE_SYNC_MAX);
	assert_true(may_expunge || d.nexpunges == 0);
	take_expunges(t, &d);
	lo = t->n > 0 ? t->uid[t->n - 1] + 1 : 1;
	while (d.is_grown && t->n < d.exists) {
		assert_int_equal(view_range(s, &t->v, lo, UINT32_MAX, m, STORE_BATCH_MSGS, &n), STORE_OK);
		assert_true(n > 0);
		for (size_t i = 0; i < n; i++) {
			t->uid[t->n++] = m[i].uid;
			t->flags[m[i].uid] = (uint8_t)m[i].flags;
			lo = m[i].uid + 1;
		}
	}
	for (size_t i = 0; i < d.nchanges; i++) {
		assert_int_equal(place(t, d.changes[i].uid) + 1, d.changes[i].seq);
		t->flags[d.changes[i].uid] = (uint8_t)d.changes[i].flags;
	}
	arena_free(&a);
	return d.has_more;
}

/* What a view that was told all believes is so. */
static void
check_truth(struct store *s, const struct told *t)
{
	uint32_t n = 0, first = 0, ndeleted = 0, seq, last;

	for (uint32_t uid = 1; uid < naive.uidnext; uid++) {
		if (!naive.is_live[uid])
			continue;
		ndeleted += (naive.flags[uid] & MSG_DELETED) != 0;
		assert_true(n < t->n && t->uid[n] == uid);
		assert_int_equal(t->flags[uid], naive.flags[uid]);
		n++;
		if (first == 0 && !(naive.flags[uid] & MSG_SEEN))
			first = n;
	}
	assert_int_equal(n, t->n);
	assert_int_equal(view_first_unseen(s, &t->v, &seq), STORE_OK);
	assert_int_equal(seq, first);
	assert_int_equal(store_mbox_deleted(s, t->v.mailbox, &seq), STORE_OK);
	assert_int_equal(seq, ndeleted);
	assert_int_equal(view_last_uid(s, &t->v, &last), STORE_OK);
	assert_int_equal(last, n > 0 ? t->uid[n - 1] : 0);
}

/* Numbers of a view, told or not, are those it was told. */
static void
check_numbers(struct store *s, const struct told *t)
{
	struct msg_info m[STORE_BATCH_MSGS];
	uint32_t n, uid, seq;
	size_t got;

	assert_int_equal(view_count(s, &t->v, &n), STORE_OK);
	assert_int_equal(n, t->n);
	for (int i = 0; i < 200 && t->n > 0; i++) {
		uint32_t at = i == 0 ? 0 : i == 1 ? t->n - 1 : rnd(t->n);

		assert_int_equal(view_uid(s, &t->v, at + 1, &uid), STORE_OK);
		assert_int_equal(uid, t->uid[at]);
		assert_int_equal(view_seq(s, &t->v, uid, &seq), STORE_OK);
		assert_int_equal(seq, at + 1);
	}
	if (t->n > 0) {
		uint32_t at = rnd(t->n);

		assert_int_equal(view_range(s, &t->v, t->uid[at], UINT32_MAX, m, STORE_BATCH_MSGS, &got), STORE_OK);
		assert_true(got == STORE_BATCH_MSGS || got == t->n - at);
		for (size_t i = 0; i < got; i++) {
			assert_true(m[i].uid == t->uid[at + i] && m[i].seq == at + i + 1);
			assert_int_equal(m[i].is_expunged, !naive.is_live[m[i].uid]);
		}
	}
	assert_int_equal(view_uid(s, &t->v, t->n + 1, &uid), STORE_OK);
	assert_int_equal(uid, 0);
}

static void
test_model(void **state)
{
	const char *given = getenv("SEED");
	struct fixture f;
	unsigned char id[16];
	struct store *s;

	(void)state;
	seed = given != NULL ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)now_ms();
	print_message("seed %u\n", seed);
	s = make(&f, id);
	naive = (struct naive){.uidnext = N + 1};
	for (uint32_t uid = 1; uid <= N; uid++)
		naive.is_live[uid] = true;
	for (int i = 0; i < VIEWS; i++)
		open_view(s, &told[i], id);
	for (int step = 0; step < 60; step++) {
		struct told *t = &told[rnd(VIEWS)];
		bool may_expunge = rnd(3) > 0;

		change(&f, s, id);
		/* Now and then something changes between two pieces. */
		while (sync_piece(s, t, may_expunge))
			if (rnd(20) == 0)
				change(&f, s, id);
		check_numbers(s, &told[rnd(VIEWS)]);
		if (step % 10 == 9) {
			while (sync_piece(s, t, true) || view_is_stale(s, &t->v))
				continue;
			check_truth(s, t);
		}
	}
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* At the limit one record, past it two; 100,000 are five. */
static void
test_records(void **state)
{
	static const struct { uint32_t lo, hi, records; } rows[] = {
		{1, CHANGE_MSGS, 1}, {1, CHANGE_MSGS + 1, 2}, {1, N, N / CHANGE_MSGS}, {N / 2, N / 2, 1}, {UID_LAST, UID_LAST, 0},
	};
	struct fixture f;
	unsigned char id[16];
	struct uid_range r;
	struct store *s;
	uint64_t modseq;

	(void)state;
	s = make(&f, id);
	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct flag_change c = {.op = FLAGS_SET, .flags = 1U << i};
		struct uid_set set = fx_one(&r, rows[i].lo, rows[i].hi);
		uint64_t before = s->ix.meta.next_modseq;

		assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_OK);
		assert_int_equal(s->ix.meta.next_modseq - before, rows[i].records);
		assert_int_equal(modseq, rows[i].records == 0 ? 0 : s->ix.meta.next_modseq - 1);
	}
	store_close(s);
	fx_free(&f);
}

/* Killed in the middle of a great expunge: what is gone is whole records, and a replay says the same. */
static void
test_killed(void **state)
{
	uint32_t left = N, was;
	struct fixture f;
	unsigned char id[16];
	struct arena a = arena_make(1 << 16);
	struct mbox_info info;
	struct store *s;
	uint64_t modseq;

	(void)state;
	s = make(&f, id);
	store_close(s);
	store_drop_cached();
	for (unsigned i = 0; i < 8 && left > 0; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			s = fx_open(&f);
			_exit(store_expunge(s, id, NULL, false, &modseq) != STORE_OK);
		}
		usleep(200 + i * i * 400);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		was = left;
		s = fx_open(&f);
		assert_int_equal(store_mbox_by_id(s, id, &a, &info), STORE_OK);
		left = info.exists;
		assert_true(left <= was && left % CHANGE_MSGS == 0);
		store_close(s);
		fx_check_replay(&f, false);
		store_drop_cached();
	}
	print_message("%u of %u left\n", left, N);
	arena_free(&a);
	fx_free(&f);
}

/* Another process has the turn to write, in a change without end: who reads or delivers does not wait for it. */
static void
test_busy(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct arena a = arena_make(1 << 16);
	struct mbox_info info;
	struct view_delta d;
	struct view v, w;
	struct store *s;
	uint32_t n;
	int fd;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 3);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	fd = open(fx_path(&f, f.index, "data.mdb"), O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && flock(fd, LOCK_EX) == 0);
	assert_false(view_is_stale(s, &v));
	assert_false(store_is_behind(s));	/* there is nothing to catch up with */
	fx_deliver_n(&f, 2);
	assert_false(view_is_stale(s, &v));
	assert_true(store_is_behind(s));
	assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	assert_false(d.is_grown || d.is_gone);
	assert_int_equal(store_mbox_by_id(s, id, &a, &info), STORE_OK);
	assert_int_equal(info.exists, 3);
	/* A SELECT has no turn to take what is recent; it shows it all the same. */
	assert_int_equal(view_open(s, id, true, &w), STORE_OK);
	assert_true(store_is_behind(s));
	assert_int_equal(w.recent_uid, 1);
	assert_int_equal(view_count(s, &w, &n), STORE_OK);
	assert_int_equal(n, 3);
	close(fd);
	s->busy_until_ms = 0;
	assert_true(view_is_stale(s, &v));
	assert_false(store_is_behind(s));
	assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
	assert_true(d.is_grown);
	assert_int_equal(d.exists, 5);
	assert_int_equal(view_open(s, id, true, &w), STORE_OK);
	assert_int_equal(w.recent_uid, 1);
	assert_int_equal(view_open(s, id, true, &w), STORE_OK);
	assert_int_equal(w.recent_uid, 6);
	arena_free(&a);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* Changes all flags to and fro until killed. */
static void
toggle(struct fixture *f, const unsigned char *id)
{
	struct store *s = fx_open(f);
	struct uid_range r;
	struct uid_set set = fx_one(&r, 1, UID_LAST);
	uint64_t modseq;

	for (uint32_t i = 0;; i++) {
		struct flag_change c = {.op = i % 2 ? FLAGS_REMOVE : FLAGS_ADD, .flags = MSG_FLAGGED};

		if (store_flags(s, id, &set, &c, &modseq) != STORE_OK)
			_exit(1);
	}
}

/* A session beside great changes sees whole records only, and in the end what is so. */
static void
test_beside(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	uint32_t serial;
	int rounds = 0, status;
	pid_t pid;

	(void)state;
	s = make(&f, id);
	open_view(s, &told[0], id);
	serial = f.serial;
	store_close(s);
	store_drop_cached();
	if ((pid = fork()) == 0)
		toggle(&f, id);
	s = fx_open(&f);
	f.serial = serial;
	for (int64_t end = mono_ms() + 1500; mono_ms() < end; rounds++) {
		uint32_t flagged = 0;

		fx_deliver_n(&f, 1);
		while (sync_piece(s, &told[0], true))
			continue;
		for (uint32_t uid = 1; uid <= N; uid++)
			flagged += told[0].flags[uid] == MSG_FLAGGED;
		/* Told in pieces, while it changes: not even whole records. But never what was in none. */
		assert_true(flagged <= N && told[0].n >= N);
		assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	while (sync_piece(s, &told[0], true) || view_is_stale(s, &told[0].v) || store_is_behind(s))
		continue;
	assert_int_equal(told[0].n, N + (uint32_t)rounds);
	print_message("%d rounds beside great changes\n", rounds);
	naive = (struct naive){.uidnext = told[0].uid[told[0].n - 1] + 1};
	for (uint32_t i = 0; i < told[0].n; i++) {
		struct msg_info m;
		size_t got;

		naive.is_live[told[0].uid[i]] = true;
		if (i % 7 != 0)
			continue;
		assert_int_equal(view_range(s, &told[0].v, told[0].uid[i], told[0].uid[i], &m, 1, &got), STORE_OK);
		assert_true(got == 1 && m.flags == told[0].flags[told[0].uid[i]]);
	}
	check_numbers(s, &told[0]);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static uint64_t
rss_anon_kib(void)
{
	unsigned long kib = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "RssAnon: %lu", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

/*
 * What a process has of its own after each: LMDB keeps what a transaction needed, so this is the most it
 * had. 20,000 messages are 1.3 MiB of entries; all of them at once were 20 MiB and more.
 */
static void
test_memory(void **state)
{
	struct flag_change c = {.op = FLAGS_ADD, .flags = MSG_SEEN | MSG_DELETED};
	struct fixture f;
	unsigned char id[16];
	struct uid_range r;
	struct uid_set set = fx_one(&r, 1, UID_LAST);
	struct arena a = arena_make(1 << 20);
	struct view_delta d;
	struct view v;
	uint64_t before, kib[4], modseq;
	size_t n = 0;
	struct store *s;

	(void)state;
	s = make(&f, id);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	store_close(s);
	fx_remove_index(&f);
	unlink(fx_path(&f, f.active, "checkpoint"));
	before = rss_anon_kib();
	s = fx_open(&f);
	kib[0] = rss_anon_kib() - before;
	assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_OK);
	kib[1] = rss_anon_kib() - before;
	assert_int_equal(store_expunge(s, id, NULL, true, &modseq), STORE_OK);
	kib[2] = rss_anon_kib() - before;
	do {
		arena_reset(&a);
		assert_int_equal(view_sync(s, &v, true, &a, &d), STORE_OK);
		n += d.nexpunges;
	} while (d.has_more);
	kib[3] = rss_anon_kib() - before;
	assert_int_equal(n, N);
	print_message("RssAnon above: rebuild %lu, flags %lu, expunge %lu, sync %lu KiB\n", (unsigned long)kib[0],
	    (unsigned long)kib[1], (unsigned long)kib[2], (unsigned long)kib[3]);
	/* The copies of make() are records of up to 50,000 messages. */
	if (COUNTS_MEMORY)
		assert_true(kib[0] < 24 << 10 && kib[3] < kib[0] + (8 << 10));
	arena_free(&a);
	store_close(s);
	fx_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_beside),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
