/*
 * Views: clients that do what the protocol tells them are played against random changes, and what a
 * client believes after each sync must be what the view says, number by number. And the cost of
 * opening a large mailbox.
 */
#include <time.h>

#include "store_fixture.h"

#define CLIENTS	3
#define MAX	4000

/* What a client knows: the UID at each sequence number, and the flags it was told. */
struct client {
	struct view	v;
	uint32_t	uid[MAX];
	uint32_t	flags[MAX];
	uint32_t	n;
};

static uint32_t seed;

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % below;
}

/* Reads the numbers from first on, as a client does after EXISTS. */
static void
fetch_from(struct store *s, struct client *c, uint32_t first, uint32_t exists)
{
	struct msg_info m[STORE_BATCH_MSGS];
	uint32_t lo;
	size_t n;

	assert_true(exists < MAX);
	c->n = first;
	if (exists == first)
		return;
	assert_int_equal(view_uid(s, &c->v, first + 1, &lo), STORE_OK);
	assert_true(lo > 0);
	do {
		assert_int_equal(view_range(s, &c->v, lo, UINT32_MAX, m, 7, &n), STORE_OK);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(m[i].seq, c->n + 1);
			c->uid[c->n] = m[i].uid;
			c->flags[c->n++] = m[i].flags;
			lo = m[i].uid + 1;
		}
	} while (n == 7);
	assert_int_equal(c->n, exists);
}

static void
select_mailbox(struct store *s, struct client *c, const unsigned char *id)
{
	uint32_t n;

	assert_int_equal(view_open(s, id, rnd(2), &c->v), STORE_OK);
	assert_int_equal(view_count(s, &c->v, &n), STORE_OK);
	fetch_from(s, c, 0, n);
}

/* One piece of what is new. */
static bool
sync_piece(struct store *s, struct client *c, bool may_expunge)
{
	struct arena a = arena_make(1 << 20);
	struct view_delta d;
	uint32_t before;

	assert_int_equal(view_sync(s, &c->v, may_expunge, &a, &d), STORE_OK);
	assert_false(d.is_gone);
	assert_true(d.nchanges <= STORE_SYNC_MAX);
	if (!may_expunge)
		assert_int_equal(d.nexpunges, 0);
	for (size_t i = 0; i < d.nexpunges; i++) {
		uint32_t seq = d.expunges[i].seq;

		assert_in_range(seq, 1, c->n);
		assert_int_equal(c->uid[seq - 1], d.expunges[i].uid);
		memmove(&c->uid[seq - 1], &c->uid[seq], (c->n - seq) * sizeof(c->uid[0]));
		memmove(&c->flags[seq - 1], &c->flags[seq], (c->n - seq) * sizeof(c->flags[0]));
		c->n--;
	}
	before = c->n;
	if (d.is_grown)
		fetch_from(s, c, before, d.exists);
	for (size_t i = 0; i < d.nchanges; i++) {
		assert_in_range(d.changes[i].seq, 1, before);
		assert_int_equal(c->uid[d.changes[i].seq - 1], d.changes[i].uid);
		c->flags[d.changes[i].seq - 1] = d.changes[i].flags;
	}
	arena_free(&a);
	return d.has_more;
}

static void
sync_client(struct store *s, struct client *c, bool may_expunge)
{
	while (sync_piece(s, c, may_expunge))
		continue;
	assert_int_equal(c->v.sync_uid, 0);
}

/* Everything a view can be asked, against what the client knows. */
static void
check_client(struct store *s, const struct client *c)
{
	struct msg_info m[STORE_BATCH_MSGS];
	uint32_t n, uid, seq, last = 0;
	size_t got;

	assert_int_equal(view_count(s, &c->v, &n), STORE_OK);
	assert_int_equal(n, c->n);
	for (uint32_t i = 0; i <= c->n + 1; i++) {
		assert_int_equal(view_uid(s, &c->v, i, &uid), STORE_OK);
		assert_int_equal(uid, i == 0 || i > c->n ? 0 : c->uid[i - 1]);
		if (uid == 0)
			continue;
		assert_int_equal(view_seq(s, &c->v, uid, &seq), STORE_OK);
		assert_int_equal(seq, i);
		if (uid > last + 1) {
			assert_int_equal(view_seq(s, &c->v, uid - 1, &seq), STORE_OK);
			assert_int_equal(seq, 0);
		}
		last = uid;
	}
	assert_int_equal(view_last_uid(s, &c->v, &uid), STORE_OK);
	assert_int_equal(uid, last);
	assert_int_equal(view_seq(s, &c->v, last + 1, &seq), STORE_OK);
	assert_int_equal(seq, 0);
	if (c->n > 0) {
		uint32_t at = rnd(c->n);

		assert_int_equal(view_range(s, &c->v, c->uid[at], UINT32_MAX, m, 3, &got), STORE_OK);
		assert_int_equal(got, c->n - at < 3 ? c->n - at : 3);
		for (size_t i = 0; i < got; i++) {
			assert_true(m[i].uid == c->uid[at + i] && m[i].seq == at + i + 1);
			fx_check_body(s, &m[i], m[i].uid);
		}
	}
}

/* A client that was told everything knows the mailbox as it is. */
static void
check_truth(struct store *s, const struct client *c, const unsigned char *id)
{
	struct arena a = arena_make(1 << 16);
	struct msg_info m;
	struct mbox_info info;
	uint32_t unseen = 0, first = 0, seq;
	size_t n;

	assert_int_equal(store_mbox_by_id(s, id, &a, &info), STORE_OK);
	assert_int_equal(info.exists, c->n);
	for (uint32_t i = 0; i < c->n; i++) {
		assert_int_equal(view_range(s, &c->v, c->uid[i], c->uid[i], &m, 1, &n), STORE_OK);
		assert_true(n == 1 && !m.is_expunged);
		assert_int_equal(m.flags, c->flags[i]);
		if (!(m.flags & MSG_SEEN) && unseen++ == 0)
			first = i + 1;
	}
	assert_int_equal(info.unseen, unseen);
	assert_int_equal(view_first_unseen(s, &c->v, &seq), STORE_OK);
	assert_int_equal(seq, first);
	arena_free(&a);
}

static void
change(struct fixture *f, struct store *s, const unsigned char *id)
{
	uint32_t n = f->serial + 1, lo = 1 + rnd(n), what = rnd(10);
	struct uid_range r[2] = {{lo, lo + rnd(6)}, {lo + 10, lo + 10 + rnd(300)}};
	struct uid_set set = {r, 1 + rnd(2)};
	struct flag_change c = {.op = (enum flag_op)rnd(3), .flags = rnd(32)};
	uint64_t modseq;

	if (what < 4 && f->serial < MAX / 2)
		fx_deliver_n(f, 1 + rnd(8));
	else if (what < 7)
		assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_OK);
	else
		assert_int_equal(store_expunge(s, id, &set, rnd(2), &modseq), STORE_OK);
}

static void
play(uint32_t from)
{
	static struct client clients[CLIENTS];
	struct fixture f;
	unsigned char id[16];
	struct store *s;

	seed = from;
	fx_make(&f);
	s = fx_alice(&f, id);
	/* UIDs far apart too, over blocks and their counts. */
	for (int i = 0; i < CLIENTS; i++)
		select_mailbox(s, &clients[i], id);
	for (int step = 0; step < 400; step++) {
		struct client *c = &clients[rnd(CLIENTS)];

		switch (rnd(8)) {
		case 0:
			sync_client(s, c, false);
			break;
		case 1:
		case 2:
			sync_client(s, c, true);
			assert_false(view_is_stale(s, &c->v));
			check_truth(s, c, id);
			break;
		case 3:
			if (rnd(10) == 0)
				select_mailbox(s, c, id);
			break;
		default:
			change(&f, s, id);
			break;
		}
		if (step % 8 == 0)
			check_client(s, c);
	}
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_clients(void **state)
{
	const char *given = getenv("SEED");
	uint32_t first = given != NULL ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)now_ms();

	(void)state;
	for (uint32_t i = 0; i < 12; i++) {
		print_message("seed %u\n", first + i);
		play(first + i);
		if (given != NULL)
			break;
	}
}

static void
rank_set(struct store *s, uint32_t num, uint32_t uid, bool is_live, bool is_unseen)
{
	struct ix_block was, now;

	rank_load(&s->ix, num, uid / BLOCK_UIDS, &was);
	now = was;
	bits_set(now.live, uid, is_live);
	bits_set(now.unseen, uid, is_unseen);
	rank_store(&s->ix, num, uid / BLOCK_UIDS, &was, &now);
}

/* Ranks against counting, at the borders of blocks (256) and of their sums (65,536). */
static void
test_ranks(void **state)
{
	static const uint32_t uids[] = {1, 2, 63, 64, 255, 256, 257, 511, 512, 65535, 65536, 65537, 131071, 131072, 200000,
	    16777215, 16777216, 0x7ffffffe};
	static const size_t n = sizeof(uids) / sizeof(uids[0]);
	struct fixture f;
	unsigned char id[16];
	struct rank_walk w;
	struct ix_super super;
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	assert_int_equal(index_begin(&s->ix, true), STORE_OK);
	for (size_t i = 0; i < n; i++)
		rank_set(s, 77, uids[(i * 7) % n], true, i % 3 == 0);
	rank_set(s, 76, 5, true, true);
	rank_set(s, 78, 5, true, true);
	rank_walk_begin(&w, &s->ix, 77);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(rank_below(&s->ix, 77, uids[i]), i);
		assert_int_equal(rank_below(&s->ix, 77, uids[i] + 1), i + 1);
		assert_int_equal(rank_find(&s->ix, 77, i), uids[i]);
		assert_int_equal(rank_walk_below(&w, uids[i]), i);
		assert_int_equal(rank_walk_below(&w, uids[i] + 1), i + 1);
	}
	rank_walk_end(&w);
	assert_int_equal(rank_find(&s->ix, 77, (uint32_t)n), 0);
	assert_int_equal(rank_first_unseen(&s->ix, 77), 1);
	for (size_t i = 0; i < n; i++)
		rank_set(s, 77, uids[i], true, uids[i] == 65537);
	assert_int_equal(rank_first_unseen(&s->ix, 77), 65537);
	for (uint32_t i = 0; i < 2; i++) {
		struct ix_key k = key_uid('R', 77, i);

		assert_true(index_get_fixed(&s->ix, &k, &super, sizeof(super)));
		assert_int_equal(super.unseen, i);
		assert_int_equal(super.live, i == 0 ? 10 : 3);
	}
	for (size_t i = 0; i < n; i++)
		rank_set(s, 77, uids[i], false, false);
	assert_int_equal(rank_find(&s->ix, 77, 0), 0);
	assert_int_equal(rank_first_unseen(&s->ix, 77), 0);
	assert_int_equal(index_end(&s->ix), STORE_OK);
	store_close(s);
	fx_free(&f);
}

static void
test_recent(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct arena a = arena_make(1 << 20);
	struct view_delta d;
	struct mbox_info info;
	struct view v, w;
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 3);
	/* EXAMINE sees them as recent and leaves them so. */
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(v.recent_uid, 1);
	assert_int_equal(store_mbox_by_id(s, id, &a, &info), STORE_OK);
	assert_int_equal(info.recent, 3);
	assert_int_equal(view_open(s, id, true, &v), STORE_OK);
	assert_int_equal(v.recent_uid, 1);
	assert_int_equal(view_open(s, id, true, &w), STORE_OK);
	assert_int_equal(w.recent_uid, 4);
	fx_deliver_n(&f, 2);
	assert_int_equal(store_mbox_by_id(s, id, &a, &info), STORE_OK);
	assert_int_equal(info.recent, 2);
	/* Who is told first has them. */
	assert_int_equal(view_sync(s, &w, true, &a, &d), STORE_OK);
	assert_int_equal(d.recent, 2);
	assert_int_equal(store_mbox_by_id(s, id, &a, &info), STORE_OK);
	assert_int_equal(info.recent, 0);
	arena_free(&a);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* 300,000 messages whose bodies nobody reads: linked from one body, 100,000 a record. */
static void
test_large(void **state)
{
	struct fixture f;
	unsigned char id[16], big[16];
	struct arena a = arena_make(16 << 20);
	struct uid_range r = {1, 50000};
	struct uid_set set = {&r, 1};
	struct copied *pairs;
	struct mbox_info info;
	struct view v;
	struct store *s;
	uint32_t n, seq, uid, validity;
	struct timespec t0, t1;
	uint64_t modseq;
	size_t got;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.big"), USE_NONE, big), STORE_OK);
	fx_deliver_n(&f, 50000);
	for (int i = 0; i < 6; i++) {
		arena_reset(&a);
		assert_int_equal(store_copy(s, id, &set, big, false, &a, &pairs, &got, &validity), STORE_OK);
		assert_int_equal(got, 50000);
	}
	assert_int_equal(view_open(s, big, true, &v), STORE_OK);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(view_open(s, big, true, &v), STORE_OK);
		assert_int_equal(view_count(s, &v, &n), STORE_OK);
		assert_int_equal(view_first_unseen(s, &v, &seq), STORE_OK);
		assert_int_equal(store_mbox_by_id(s, big, &a, &info), STORE_OK);
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	assert_int_equal(n, 300000);
	print_message("opening a mailbox of 300,000: %ld us\n",
	    ((t1.tv_sec - t0.tv_sec) * 1000000 + (t1.tv_nsec - t0.tv_nsec) / 1000) / 100);
	assert_int_equal(view_uid(s, &v, 300000, &uid), STORE_OK);
	assert_int_equal(uid, 350000);
	/* A view that was not told of very many expunges still answers by rank. */
	assert_int_equal(store_expunge(s, big, NULL, false, &modseq), STORE_OK);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (uint32_t i = 1; i <= 300000; i += 3000) {
		assert_int_equal(view_uid(s, &v, i, &uid), STORE_OK);
		assert_int_equal(uid, 50000 + i);
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	print_message("100 look-ups among 300,000 untold: %ld us\n",
	    (t1.tv_sec - t0.tv_sec) * 1000000 + (t1.tv_nsec - t0.tv_nsec) / 1000);
	arena_free(&a);
	store_close(s);
	fx_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranks),
		cmocka_unit_test(test_recent),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
