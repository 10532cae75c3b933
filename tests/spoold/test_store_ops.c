/*
 * The store's operations one by one: mailboxes, subscriptions, flags, keywords, expunge, append, copy,
 * move, delivery by name, delivery keys and voids, bodies, cache, limits. After each test the index is
 * compared with a replay.
 */
#include "store_fixture.h"

static struct mbox_info
info(struct store *s, struct slice name)
{
	static struct arena a;
	struct mbox_info m;

	if (a.cap == 0)
		a = arena_make(1 << 20);
	arena_reset(&a);
	assert_int_equal(store_mbox_by_name(s, name, &a, &m), STORE_OK);
	return m;
}

static enum store_result
lookup(struct store *s, struct slice name)
{
	struct arena a = arena_make(1 << 16);
	struct mbox_info m;
	enum store_result r = store_mbox_by_name(s, name, &a, &m);

	arena_free(&a);
	return r;
}

static void
set_flags(struct store *s, const unsigned char *id, uint32_t lo, uint32_t hi, enum flag_op op, uint32_t flags)
{
	struct uid_range r;
	struct uid_set set = fx_one(&r, lo, hi);
	struct flag_change f = {.op = op, .flags = flags};
	uint64_t modseq;

	assert_int_equal(store_flags(s, id, &set, &f, &modseq), STORE_OK);
}

static bool
has_children(struct store *s, struct slice name)
{
	bool is;

	assert_int_equal(store_mbox_has_children(s, name, &is), STORE_OK);
	return is;
}

/* By whole components; what is below INBOX is below "INBOX" for clients. Names that the index cuts are told apart. */
static void
test_children(void **state)
{
	struct fixture f;
	unsigned char id[16];
	char a[700], b[700];
	uint32_t deleted;
	struct store *s;
	bool is;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.ab"), USE_NONE, id), STORE_OK);
	assert_false(has_children(s, SLICE("user.alice.ab")));
	assert_false(has_children(s, SLICE("user.alice.a")));
	assert_false(has_children(s, INBOX));
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.a.b.c"), USE_NONE, id), STORE_OK);
	assert_true(has_children(s, SLICE("user.alice.a")));
	assert_true(has_children(s, SLICE("user.alice.a.b")));
	assert_false(has_children(s, SLICE("user.alice.a.b.c")));
	assert_false(has_children(s, INBOX));
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.INBOX.x"), USE_NONE, id), STORE_OK);
	assert_true(has_children(s, INBOX));
	assert_int_equal(store_mbox_delete(s, SLICE("user.alice.a.b.c")), STORE_OK);
	assert_false(has_children(s, SLICE("user.alice.a")));
	assert_int_equal(store_mbox_deleted(s, id, &deleted), STORE_OK);
	assert_int_equal(store_mbox_delete(s, SLICE("user.alice.INBOX.x")), STORE_OK);
	assert_int_equal(store_mbox_deleted(s, id, &deleted), STORE_NOMBOX);
	/* The first 440 bytes of a key are the name's own; lengths around that. */
	memset(a, 'x', sizeof(a));
	memcpy(a, "user.alice.", 11);
	memcpy(b, a, sizeof(a));
	for (size_t n = 436; n <= 484; n++) {
		a[n] = b[n] = '.';
		a[n - 1] = 'y';
		assert_int_equal(store_mbox_create(s, (struct slice){b, n + 2}, USE_NONE, id), STORE_OK);
		if (!has_children(s, (struct slice){b, n}) || has_children(s, (struct slice){a, n}) ||
		    has_children(s, (struct slice){b, n - 1}) || has_children(s, (struct slice){b, n + 2}))
			fail_msg("name of %zu bytes", n);
		assert_int_equal(store_mbox_delete(s, (struct slice){b, n + 2}), STORE_OK);
		a[n] = b[n] = a[n - 1] = 'x';
	}
	assert_int_equal(store_mbox_has_children(s, (struct slice){a, 0}, &is), STORE_NOMBOX);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_create_delete(void **state)
{
	static const struct {
		const char *name, *op, *mailbox, *to;
		enum store_result want;
	} rows[] = {
		{"a new one", "create", "user.alice.Sent", "", STORE_OK},
		{"again", "create", "user.alice.Sent", "", STORE_EXISTS},
		{"INBOX is there", "create", "user.alice", "", STORE_EXISTS},
		{"a child without a parent", "create", "user.alice.a.b.c", "", STORE_OK},
		{"no name", "create", "", "", STORE_LIMIT},
		{"rename one", "rename", "user.alice.Sent", "user.alice.Out", STORE_OK},
		{"the old name is gone", "delete", "user.alice.Sent", "", STORE_NOMBOX},
		{"rename what is not there", "rename", "user.alice.no", "user.alice.x", STORE_NOMBOX},
		{"onto another", "rename", "user.alice.Out", "user.alice.a.b.c", STORE_EXISTS},
		{"below itself", "rename", "user.alice.Out", "user.alice.Out.x", STORE_EXISTS},
		{"a name without a mailbox but with children", "rename", "user.alice.a", "user.alice.z", STORE_OK},
		{"the child moved along", "delete", "user.alice.z.b.c", "", STORE_OK},
		{"deleted", "delete", "user.alice.z.b.c", "", STORE_NOMBOX},
		{"made anew", "create", "user.alice.z.b.c", "", STORE_OK},
		{"INBOX cannot go", "delete", "user.alice", "", STORE_LIMIT},
	};
	struct fixture f;
	unsigned char id[16];
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum store_result got;

		if (rows[i].op[0] == 'c')
			got = store_mbox_create(s, slice_of(rows[i].mailbox), USE_NONE, id);
		else if (rows[i].op[0] == 'r')
			got = store_mbox_rename(s, slice_of(rows[i].mailbox), slice_of(rows[i].to));
		else
			got = store_mbox_delete(s, slice_of(rows[i].mailbox));
		if (got != rows[i].want)
			fail_msg("%s: got %d", rows[i].name, got);
	}
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_uidvalidity(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	uint32_t last = 0;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	for (int i = 0; i < 5; i++) {
		uint32_t v;

		assert_int_equal(store_mbox_create(s, SLICE("user.alice.x"), USE_TRASH, id), STORE_OK);
		assert_int_equal(info(s, SLICE("user.alice.x")).use, USE_TRASH);
		v = info(s, SLICE("user.alice.x")).uidvalidity;
		assert_true(v > last && v < 0x80000000U && v >= (uint32_t)(now_ms() / 1000 - 60));
		last = v;
		assert_int_equal(store_mbox_delete(s, SLICE("user.alice.x")), STORE_OK);
	}
	store_close(s);
	fx_free(&f);
}

static void
test_long_names(void **state)
{
	struct fixture f;
	unsigned char id[16], id2[16];
	char a[MBOXNAME_MAX_BYTES + 2], b[sizeof(a)];
	struct arena mem = arena_make(1 << 20);
	struct mbox_info *list;
	struct slice *subs;
	struct store *s;
	size_t n;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	memset(a, 'x', sizeof(a));
	memcpy(a, "user.alice.", 11);
	memcpy(b, a, sizeof(a));
	b[MBOXNAME_MAX_BYTES - 1] = 'y';
	assert_int_equal(store_mbox_create(s, (struct slice){a, MBOXNAME_MAX_BYTES + 1}, USE_NONE, id), STORE_LIMIT);
	assert_int_equal(store_mbox_create(s, (struct slice){a, MBOXNAME_MAX_BYTES}, USE_NONE, id), STORE_OK);
	assert_int_equal(store_mbox_create(s, (struct slice){b, MBOXNAME_MAX_BYTES}, USE_NONE, id2), STORE_OK);
	assert_int_equal(store_mbox_create(s, (struct slice){b, MBOXNAME_MAX_BYTES}, USE_NONE, id2), STORE_EXISTS);
	assert_int_equal(store_subscribe(s, (struct slice){b, MBOXNAME_MAX_BYTES}, true), STORE_OK);
	assert_int_equal(store_mbox_list(s, &mem, &list, &n), STORE_OK);
	assert_int_equal(n, 3);
	assert_memory_equal(list[1].id, id, 16);
	assert_false(list[1].is_subscribed);
	assert_memory_equal(list[2].id, id2, 16);
	assert_true(list[2].is_subscribed);
	assert_int_equal(store_subscriptions(s, &mem, &subs, &n), STORE_OK);
	assert_int_equal(n, 1);
	assert_int_equal(subs[0].n, MBOXNAME_MAX_BYTES);
	/* One more byte than fits. */
	assert_int_equal(store_mbox_rename(s, (struct slice){a, 600}, SLICE("user.alice.q")), STORE_NOMBOX);
	assert_int_equal(store_mbox_rename(s, (struct slice){a, MBOXNAME_MAX_BYTES}, SLICE("user.alice.q")), STORE_OK);
	assert_int_equal(lookup(s, SLICE("user.alice.q")), STORE_OK);
	arena_free(&mem);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_subscriptions(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct arena mem = arena_make(1 << 20);
	struct slice *subs;
	struct store *s;
	size_t n;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	assert_int_equal(store_subscribe(s, SLICE("user.alice.not.there"), true), STORE_OK);
	assert_int_equal(store_subscribe(s, SLICE("user.alice"), true), STORE_OK);
	assert_int_equal(store_subscribe(s, SLICE("user.alice"), true), STORE_OK);
	assert_int_equal(store_subscriptions(s, &mem, &subs, &n), STORE_OK);
	assert_int_equal(n, 2);
	assert_true(slice_is(subs[0], INBOX));
	assert_true(info(s, INBOX).is_subscribed);
	assert_int_equal(store_subscribe(s, SLICE("user.alice"), false), STORE_OK);
	assert_int_equal(store_subscribe(s, SLICE("user.alice"), false), STORE_OK);
	assert_int_equal(store_subscriptions(s, &mem, &subs, &n), STORE_OK);
	assert_int_equal(n, 1);
	arena_free(&mem);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_mailbox_limit(void **state)
{
	struct fixture f;
	unsigned char id[16];
	char name[64];
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	/* Not 10,000 syncs: the count is what is looked at. */
	assert_int_equal(index_begin(&s->ix, true), STORE_OK);
	s->ix.meta.nmailboxes = STORE_MAILBOXES_MAX - 1;
	assert_int_equal(index_commit(&s->ix), STORE_OK);
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "user.alice.m%d", i);
		assert_int_equal(store_mbox_create(s, slice_of(name), USE_NONE, id), i == 0 ? STORE_OK : STORE_LIMIT);
	}
	assert_int_equal(store_mbox_rename(s, INBOX, SLICE("user.alice.old")), STORE_LIMIT);
	store_close(s);
	fx_free(&f);
}

static void
test_flags(void **state)
{
	static const struct {
		const char	*name;
		enum flag_op	 op;
		uint32_t	 flags, lo, hi;
		bool		 changes;
		uint32_t	 unseen, deleted;
	} rows[] = {
		{"add seen to one", FLAGS_ADD, MSG_SEEN, 2, 2, true, 9, 0},
		{"again: nothing to change", FLAGS_ADD, MSG_SEEN, 2, 2, false, 9, 0},
		{"add to all", FLAGS_ADD, MSG_SEEN | MSG_FLAGGED, 1, UINT32_MAX, true, 0, 0},
		{"remove", FLAGS_REMOVE, MSG_SEEN, 3, 5, true, 3, 0},
		{"set", FLAGS_SET, MSG_DELETED, 1, 4, true, 5, 4},
		{"set the same", FLAGS_SET, MSG_DELETED, 1, 4, false, 5, 4},
		{"nothing there", FLAGS_ADD, MSG_DRAFT, 100, 200, false, 5, 4},
		{"remove what none has", FLAGS_REMOVE, MSG_DRAFT, 1, 10, false, 5, 4},
		{"remove \\Deleted", FLAGS_REMOVE, MSG_DELETED, 2, 3, true, 5, 2},
	};
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	uint64_t highest;
	uint32_t deleted;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 10);
	highest = info(s, INBOX).highestmodseq;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct uid_range r;
		struct uid_set set = fx_one(&r, rows[i].lo, rows[i].hi);
		struct flag_change c = {.op = rows[i].op, .flags = rows[i].flags};
		uint64_t modseq;

		assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_OK);
		if ((modseq != 0) != rows[i].changes || info(s, INBOX).unseen != rows[i].unseen ||
		    (modseq != 0 && (modseq <= highest || info(s, INBOX).highestmodseq != modseq)))
			fail_msg("%s: modseq %llu unseen %u", rows[i].name, (unsigned long long)modseq, info(s, INBOX).unseen);
		assert_int_equal(store_mbox_deleted(s, id, &deleted), STORE_OK);
		assert_int_equal(deleted, rows[i].deleted);
		highest = info(s, INBOX).highestmodseq;
	}
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_keywords(void **state)
{
	struct fixture f;
	unsigned char id[16];
	char text[STORE_KEYWORDS_MAX + 1][16], longer[STORE_KEYWORD_MAX_BYTES + 1];
	struct slice names[STORE_KEYWORDS_MAX + 1], *list, one;
	struct flag_change c = {.op = FLAGS_ADD, .keywords = names};
	struct arena mem = arena_make(1 << 20);
	struct uid_range r;
	struct uid_set set = fx_one(&r, 1, 1);
	struct msg_info m[2];
	struct view v;
	struct store *s;
	uint64_t modseq;
	size_t n;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 2);
	for (int i = 0; i <= STORE_KEYWORDS_MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "Kw%d", i);
		names[i] = slice_of(text[i]);
	}
	c.nkeywords = STORE_KEYWORDS_MAX;
	assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_OK);
	assert_int_equal(store_keywords(s, &mem, &list, &n), STORE_OK);
	assert_int_equal(n, STORE_KEYWORDS_MAX);
	assert_true(slice_is(list[127], SLICE("Kw127")));
	/* One more than there may be; and one longer than it may be. */
	c = (struct flag_change){.op = FLAGS_ADD, .keywords = names + STORE_KEYWORDS_MAX, .nkeywords = 1};
	assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_LIMIT);
	memset(longer, 'k', sizeof(longer));
	one = (struct slice){longer, sizeof(longer)};
	c.keywords = &one;
	assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_LIMIT);
	/* Removing an unknown one is nothing; case does not matter. */
	c = (struct flag_change){.op = FLAGS_REMOVE, .keywords = names + STORE_KEYWORDS_MAX, .nkeywords = 1};
	assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_OK);
	assert_int_equal(modseq, 0);
	one = SLICE("kW100");
	c.keywords = &one;
	assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_OK);
	assert_true(modseq > 0);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_range(s, &v, 1, 2, m, 2, &n), STORE_OK);
	assert_int_equal(n, 2);
	assert_int_equal(m[0].keywords[0], UINT64_MAX);
	assert_int_equal(m[0].keywords[1], UINT64_MAX & ~(1ULL << 36));
	assert_int_equal(m[1].keywords[0] | m[1].keywords[1], 0);
	arena_free(&mem);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_expunge(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct arena mem = arena_make(1 << 20);
	struct uid_range r;
	struct uid_set set = fx_one(&r, 3, 6);
	struct store *s;
	uint64_t modseq, first;
	struct uid_range whole;
	struct uid_set all = fx_one(&whole, 1, UINT32_MAX), gone;
	struct view v;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 10);
	assert_int_equal(store_expunge(s, id, NULL, true, &modseq), STORE_OK);
	assert_int_equal(modseq, 0);
	set_flags(s, id, 2, 4, FLAGS_ADD, MSG_DELETED);
	assert_int_equal(store_expunge(s, id, &set, true, &first), STORE_OK);
	assert_int_equal(info(s, INBOX).exists, 8);
	assert_int_equal(store_expunge(s, id, NULL, true, &modseq), STORE_OK);
	assert_true(modseq > first);
	assert_int_equal(info(s, INBOX).exists, 7);
	assert_int_equal(info(s, INBOX).uidnext, 11);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_vanished(s, &v, 0, &all, &mem, &gone), STORE_OK);
	assert_true(gone.n == 1 && gone.r[0].lo == 2 && gone.r[0].hi == 4);
	assert_int_equal(view_vanished(s, &v, first, &all, &mem, &gone), STORE_OK);
	assert_true(gone.n == 1 && gone.r[0].lo == 2 && gone.r[0].hi == 2);
	assert_int_equal(store_expunge(s, id, NULL, false, &modseq), STORE_OK);
	assert_int_equal(info(s, INBOX).exists, 0);
	assert_int_equal(info(s, INBOX).bytes, 0);
	assert_int_equal(info(s, INBOX).unseen, 0);
	assert_int_equal(info(s, INBOX).uidnext, 11);
	arena_free(&mem);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* Which UIDs of 1 to 16 there are, as bits. */
static uint32_t
live_bits(struct store *s, const unsigned char *id, uint32_t flag)
{
	struct msg_info m[16];
	struct view v;
	uint32_t bits = 0;
	size_t n;

	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_range(s, &v, 1, 16, m, 16, &n), STORE_OK);
	for (size_t i = 0; i < n; i++)
		if (flag == 0 || (m[i].flags & flag))
			bits |= 1U << (m[i].uid - 1);
	return bits;
}

/* Exactly the messages asked for, over sets with gaps and messages in between that are not meant. */
static void
test_exactly_these(void **state)
{
	struct fixture f;
	unsigned char id[16];
	uint32_t seed = 1, gone = 0;
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 16);
	for (int i = 0; i < 200 && gone != 0xffff; i++) {
		struct uid_range r[16];
		struct uid_set set = {r, 0};
		uint32_t marked, asked, flagged;
		uint64_t modseq, highest;

		seed = seed * 1103515245 + 12345;
		marked = seed >> 16 & (seed >> 3) & 0xffff;
		asked = (seed >> 8 | 1U << i % 16) & 0xffff;
		for (uint32_t uid = 1; uid <= 16; uid++) {
			struct uid_range one = {uid, uid};
			struct uid_set only = {&one, 1};
			struct flag_change c = {.op = marked >> (uid - 1) & 1 ? FLAGS_ADD : FLAGS_REMOVE, .flags = MSG_DELETED};

			if (asked >> (uid - 1) & 1) {
				if (set.n > 0 && r[set.n - 1].hi == uid - 1)
					r[set.n - 1].hi = uid;
				else
					r[set.n++] = one;
			}
			assert_int_equal(store_flags(s, id, &only, &c, &modseq), STORE_OK);
		}
		flagged = live_bits(s, id, MSG_FLAGGED);
		highest = info(s, INBOX).highestmodseq;
		assert_int_equal(store_flags(s, id, &set, &(struct flag_change){.op = FLAGS_ADD, .flags = MSG_FLAGGED}, &modseq), STORE_OK);
		assert_int_equal(live_bits(s, id, MSG_FLAGGED), (flagged | asked) & ~gone);
		assert_true(modseq == 0 || modseq > highest);
		assert_int_equal(modseq != 0, (asked & ~flagged & ~gone) != 0);
		if (i % 8 == 0) {
			assert_int_equal(store_flags(s, id, &set, &(struct flag_change){.op = FLAGS_REMOVE, .flags = MSG_FLAGGED},
			    &modseq), STORE_OK);
			assert_int_equal(live_bits(s, id, MSG_FLAGGED), flagged & ~asked & ~gone);
			assert_int_equal(store_expunge(s, id, &set, true, &modseq), STORE_OK);
			gone |= asked & marked;
			assert_int_equal(live_bits(s, id, 0), 0xffff & ~gone);
		}
	}
	assert_true(gone != 0);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_append(void **state)
{
	struct fixture f;
	unsigned char id[16], nobody[16] = {9};
	char text[3][64];
	struct slice kw[] = {SLICE("$Label1"), SLICE("Junk"), SLICE("junk")};
	struct append_msg msgs[3] = {{.flags = MSG_SEEN, .keywords = kw, .nkeywords = 3}, {.flags = 0}, {.flags = MSG_DRAFT}};
	char path[] = "/tmp/ts-append.XXXXXX", byte;
	struct msg_info m[3];
	struct view v;
	struct store *s;
	uint32_t uid[3], validity;
	size_t n;
	int fd;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 1);
	for (int i = 0; i < 3; i++) {
		struct slice body = fx_body(text[i], sizeof(text[i]), (uint32_t)i + 100, 30);

		msgs[i].body = (struct body_src){.mem = body, .fd = -1, .bytes = body.n};
		msgs[i].date_ms = 1000000 + i;
	}
	/* The second comes from a file, from an offset; the third is empty. */
	fd = mkstemp(path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pwrite(fd, text[1], msgs[1].body.bytes, 7), msgs[1].body.bytes);
	msgs[1].body = (struct body_src){.fd = fd, .offset = 7, .bytes = msgs[1].body.bytes};
	msgs[2].body = (struct body_src){.mem = SLICE(""), .fd = -1};
	assert_int_equal(store_append(s, nobody, msgs, 3, uid, &validity), STORE_NOMBOX);
	assert_int_equal(store_append(s, id, msgs, 0, uid, &validity), STORE_LIMIT);
	assert_int_equal(store_append(s, id, msgs, 3, uid, &validity), STORE_OK);
	assert_true(uid[0] == 2 && uid[1] == 3 && uid[2] == 4);
	assert_int_equal(validity, info(s, INBOX).uidvalidity);
	/* A file that is shorter than was said appends nothing. */
	msgs[1].body.bytes++;
	assert_int_equal(store_append(s, id, msgs, 2, uid, &validity), STORE_TEMP);
	assert_int_equal(info(s, INBOX).exists, 4);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_range(s, &v, 2, 4, m, 3, &n), STORE_OK);
	assert_int_equal(n, 3);
	assert_int_equal(m[0].modseq, m[2].modseq);
	assert_int_equal(m[0].keywords[0], 3);
	assert_int_equal(m[0].flags, MSG_SEEN);
	assert_int_equal(m[1].date_ms, 1000001);
	assert_memory_not_equal(m[0].guid, m[1].guid, 16);
	fx_check_body(s, &m[0], 100);
	fx_check_body(s, &m[1], 101);
	assert_int_equal(m[2].size, 0);
	close(fd);
	assert_int_equal(store_body_open(s, &m[2], &fd, &(uint64_t){0}), STORE_OK);
	assert_true(pread(fd, &byte, 1, 0) == 1);
	close(fd);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* As many messages in descriptors as the committer takes, and one more; in memory there may be more. */
static void
test_append_files(void **state)
{
	struct fixture f;
	unsigned char id[16];
	static struct append_msg msgs[STORE_APPEND_MSGS_MAX + 1];
	static uint32_t uid[STORE_APPEND_MSGS_MAX + 1];
	char path[] = "/tmp/ts-append.XXXXXX";
	int fd = mkstemp(path);
	struct store *s;
	uint32_t validity;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pwrite(fd, "abcdef", 6, 0), 6);
	for (size_t i = 0; i <= STORE_APPEND_MSGS_MAX; i++)
		msgs[i].body = (struct body_src){.fd = fd, .offset = 1, .bytes = 3};
	assert_int_equal(store_append(s, id, msgs, STORE_APPEND_FILES_MAX + 1, uid, &validity), STORE_LIMIT);
	assert_int_equal(store_append(s, id, msgs, STORE_APPEND_FILES_MAX, uid, &validity), STORE_OK);
	for (size_t i = 0; i <= STORE_APPEND_MSGS_MAX; i++)
		msgs[i].body = (struct body_src){.mem = SLICE("abc"), .fd = -1, .bytes = 3};
	assert_int_equal(store_append(s, id, msgs, STORE_APPEND_MSGS_MAX + 1, uid, &validity), STORE_LIMIT);
	assert_int_equal(store_append(s, id, msgs, STORE_APPEND_MSGS_MAX, uid, &validity), STORE_OK);
	assert_int_equal(info(s, INBOX).exists, STORE_APPEND_FILES_MAX + STORE_APPEND_MSGS_MAX);
	close(fd);
	store_close(s);
	fx_free(&f);
}

static void
test_copy_move(void **state)
{
	struct fixture f;
	unsigned char id[16], to[16];
	struct arena mem = arena_make(1 << 20);
	struct uid_range r[2] = {{1, 2}, {5, 9}};
	struct uid_set set = {r, 2};
	struct slice kw = SLICE("Work");
	struct flag_change c = {.op = FLAGS_ADD, .flags = MSG_ANSWERED, .keywords = &kw, .nkeywords = 1};
	struct copied *pairs;
	struct msg_info a[8], b[8];
	struct view v, w;
	struct store *s;
	uint32_t validity;
	uint64_t modseq;
	size_t n, na, nb;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 6);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.t"), USE_NONE, to), STORE_OK);
	assert_int_equal(store_flags(s, id, &set, &c, &modseq), STORE_OK);
	assert_int_equal(store_copy(s, id, &set, to, false, &mem, &pairs, &n, &validity), STORE_OK);
	assert_int_equal(n, 4);
	assert_true(pairs[0].from == 1 && pairs[0].to == 7 && pairs[3].from == 6 && pairs[3].to == 10);
	assert_int_equal(validity, info(s, SLICE("user.alice.t")).uidvalidity);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_open(s, to, false, &w), STORE_OK);
	assert_int_equal(view_range(s, &v, 1, 100, a, 8, &na), STORE_OK);
	assert_int_equal(view_range(s, &w, 1, 100, b, 8, &nb), STORE_OK);
	assert_true(na == 6 && nb == 4);
	assert_memory_equal(a[5].guid, b[3].guid, 16);
	assert_true(b[3].flags == MSG_ANSWERED && b[3].keywords[0] == 1 && b[3].date_ms == a[5].date_ms);
	fx_check_body(s, &b[3], 6);
	/* Move, to another and within the same mailbox. */
	assert_int_equal(store_copy(s, id, &set, to, true, &mem, &pairs, &n, &validity), STORE_OK);
	assert_true(n == 4 && info(s, INBOX).exists == 2 && info(s, SLICE("user.alice.t")).exists == 8);
	set = fx_one(r, 1, 100);
	assert_int_equal(store_copy(s, id, &set, id, true, &mem, &pairs, &n, &validity), STORE_OK);
	assert_true(n == 2 && info(s, INBOX).exists == 2 && info(s, INBOX).uidnext == 17);
	/* Nothing to copy is not an error and not a record. */
	modseq = info(s, INBOX).highestmodseq;
	set = fx_one(r, 1, 2);
	assert_int_equal(store_copy(s, id, &set, to, true, &mem, &pairs, &n, &validity), STORE_OK);
	assert_true(n == 0 && info(s, INBOX).highestmodseq == modseq);
	arena_free(&mem);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_rename_inbox(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 5);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.kid"), USE_NONE, id), STORE_OK);
	assert_int_equal(store_mbox_rename(s, INBOX, SLICE("user.alice.kid")), STORE_EXISTS);
	assert_int_equal(store_mbox_rename(s, INBOX, SLICE("user.alice.old")), STORE_OK);
	assert_true(info(s, INBOX).exists == 0 && info(s, SLICE("user.alice.old")).exists == 5);
	assert_true(info(s, SLICE("user.alice.old")).uidvalidity > info(s, SLICE("user.alice.kid")).uidvalidity);
	assert_int_equal(store_mbox_rename(s, INBOX, SLICE("user.alice.empty")), STORE_OK);
	assert_int_equal(info(s, SLICE("user.alice.empty")).exists, 0);
	assert_int_equal(lookup(s, SLICE("user.alice.kid")), STORE_OK);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_delete_keeps_bodies(void **state)
{
	struct fixture f;
	unsigned char inbox[16], id[16];
	struct view_delta d;
	struct arena mem = arena_make(1 << 20);
	struct msg_info m[4];
	struct view v;
	struct store *s;
	uint32_t count;
	size_t n;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, inbox);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.x"), USE_NONE, id), STORE_OK);
	assert_int_equal(fx_deliver(&f, SLICE("user.alice.x"), 40, NULL), STORE_OK);
	assert_int_equal(fx_deliver(&f, SLICE("user.alice.nothere"), 40, NULL), STORE_OK);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(store_mbox_delete(s, SLICE("user.alice.x")), STORE_OK);
	/* A session that has it selected can still read until it is told. */
	assert_int_equal(view_count(s, &v, &count), STORE_OK);
	assert_int_equal(count, 1);
	assert_int_equal(view_range(s, &v, 1, 10, m, 4, &n), STORE_OK);
	assert_true(n == 1 && m[0].is_expunged);
	fx_check_body(s, &m[0], 1);
	assert_true(view_is_stale(s, &v));
	assert_int_equal(view_sync(s, &v, true, &mem, &d), STORE_OK);
	assert_true(d.is_gone);
	/* Mail for it goes to INBOX from now on; so did mail for a name that never was. */
	assert_int_equal(fx_deliver(&f, SLICE("user.alice.x"), 40, NULL), STORE_OK);
	assert_int_equal(info(s, INBOX).exists, 2);
	arena_free(&mem);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_inbox_made_by_delivery(void **state)
{
	struct fixture f;
	struct store *s;

	(void)state;
	fx_make(&f);
	assert_int_equal(store_create(&f.host, ALICE), STORE_OK);
	fx_deliver_n(&f, 2);
	s = fx_open(&f);
	assert_int_equal(info(s, INBOX).exists, 2);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* One delivery of a key, at a time, to a mailbox. */
static uint64_t
deliver_key(struct fixture *f, unsigned char k, int64_t date_ms, struct slice mailbox)
{
	unsigned char key[16] = {k}, guid[16] = {k};
	struct slice body = SLICE("Subject: number 1\r\n\r\nsame\r\n");
	struct store_delivery d = {.user = ALICE, .mailbox = mailbox, .sender = SLICE(""), .qid = SLICE("q"), .key = key,
	    .guid = guid, .date_ms = date_ms, .body = {.mem = body, .fd = -1, .bytes = body.n}};
	struct store_placed p;

	assert_int_equal(store_deliver(&f->host, &d, &p), STORE_OK);
	close(p.log_fd);
	return p.modseq;
}

static void
test_delivery_keys(void **state)
{
	/* Each letter delivers with that key; 'v' voids the delivery whose number follows, '+' lets the window pass. */
	static const struct {
		const char	*name, *script;
		uint32_t	 want;
	} rows[] = {
		{"two keys", "ab", 2},
		{"an MTA's repeat", "aa", 1},
		{"and again", "aaa", 1},
		{"no key is never a repeat", "00", 2},
		{"another mailbox", "aA", 2},
		{"after the window", "a+a", 2},
		{"a voided one does not count", "av0a", 1},
		{"voided, and voided again", "av0v0a", 1},
		{"voided alone", "av0", 0},
		{"voided after its repeat was dropped: the repeat was acknowledged", "aav0", 1},
		{"the repeat voided", "aav1", 1},
		{"voided out of the blue", "v7a", 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fixture f;
		unsigned char id[16], other[16];
		uint64_t modseqs[16] = {0};
		int64_t now = 1700000000000;
		struct store *s;
		size_t n = 0;
		uint32_t got;

		fx_make(&f);
		s = fx_alice(&f, id);
		assert_int_equal(store_mbox_create(s, SLICE("user.alice.A"), USE_NONE, other), STORE_OK);
		for (const char *p = rows[i].script; *p; p++) {
			if (*p == 'v')
				store_void(&f.host, ALICE, modseqs[*++p - '0']);
			else if (*p == '+')
				now += f.host.dup_window_ms + 1;
			else if (*p == '0')
				modseqs[n++] = deliver_key(&f, 0, now, SLICE(""));
			else
				modseqs[n++] = deliver_key(&f, (unsigned char)(*p | 32), now,
				    *p == 'A' ? SLICE("user.alice.A") : SLICE(""));
			/* Half of them see each record as it comes, half all at once. */
			if (i % 2 == 0)
				(void)info(s, INBOX);
		}
		got = info(s, INBOX).exists + info(s, SLICE("user.alice.A")).exists;
		if (got != rows[i].want)
			fail_msg("%s: %u messages", rows[i].name, got);
		store_close(s);
		fx_check_replay(&f, false);
		fx_free(&f);
	}
}

static void
test_cache(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct arena mem = arena_make(1 << 20);
	struct cache_put puts[] = {{7, 1, 1, SLICE("one")}, {7, 2, 1, SLICE("")}, {8, 1, 1, SLICE("two")}};
	struct slice out;
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	assert_int_equal(store_cache_get(s, 7, 1, 1, &mem, &out), ABSENT);
	store_cache_put(s, puts, 3);
	assert_int_equal(store_cache_get(s, 7, 1, 1, &mem, &out), FOUND);
	assert_true(slice_is(out, SLICE("one")));
	assert_int_equal(store_cache_get(s, 7, 2, 1, &mem, &out), FOUND);
	assert_int_equal(out.n, 0);
	assert_int_equal(store_cache_get(s, 7, 1, 2, &mem, &out), ABSENT);
	puts[0].version = 2;
	store_cache_put(s, puts, 1);
	assert_int_equal(store_cache_get(s, 7, 1, 2, &mem, &out), FOUND);
	arena_free(&mem);
	store_close(s);
	fx_free(&f);
}

static void
test_reserve(void **state)
{
	struct fixture f;
	unsigned char id[16];
	char text[64];
	struct slice body = fx_body(text, sizeof(text), 1, 40);
	struct append_msg msg = {.body = {.mem = body, .fd = -1, .bytes = body.n}};
	struct arena mem = arena_make(1 << 20);
	struct uid_range r;
	struct uid_set set = fx_one(&r, 1, 1);
	struct copied *pairs;
	struct store *s;
	uint32_t uid, validity;
	uint64_t modseq;
	size_t n;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 2);
	f.host.reserve_bytes = UINT64_MAX / 2;
	assert_int_equal(fx_deliver(&f, SLICE(""), 40, NULL), STORE_FULL);
	assert_int_equal(store_append(s, id, &msg, 1, &uid, &validity), STORE_FULL);
	/* What makes room, or takes none to speak of, goes on. */
	set_flags(s, id, 1, 2, FLAGS_ADD, MSG_SEEN);
	assert_int_equal(store_copy(s, id, &set, id, false, &mem, &pairs, &n, &validity), STORE_OK);
	assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
	assert_int_equal(info(s, INBOX).exists, 2);
	f.host.reserve_bytes = 0;
	assert_int_equal(fx_deliver(&f, SLICE(""), 40, NULL), STORE_OK);
	arena_free(&mem);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_map_full(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct mbox_info m;
	struct arena mem = arena_make(1 << 20);
	struct store *s;

	(void)state;
	fx_make(&f);
	f.host.map_bytes = 128 * 1024;
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 2000);
	assert_int_equal(store_mbox_by_id(s, id, &mem, &m), STORE_TEMP);
	store_close(s);
	store_drop_cached();
	/* Nothing is lost: with a larger map all of it is there. */
	f.host.map_bytes = 64 << 20;
	s = fx_open(&f);
	assert_int_equal(info(s, INBOX).exists, 2000);
	arena_free(&mem);
	store_close(s);
	fx_free(&f);
}

/* What a committer hook is given, and what its refusal does. */
struct hook {
	int	calls, waits, answer;
	size_t	records;
	bool	index_has_it;
	struct store *s;
};

static int
hook_commit(void *arg, const struct store_commit *c)
{
	struct hook *h = arg;
	struct stat st;

	h->calls++;
	h->waits += c->wait;
	h->records = c->nrecords;
	assert_true(slice_is(c->user, ALICE));
	assert_int_equal(fstat(c->log_fd, &st), 0);
	assert_int_equal(fcntl(c->log_fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	for (size_t i = 0; i < c->nrecords; i++)
		assert_true(c->records[i].modseq > 0 && c->records[i].start > 0);
	/* The index was committed before: another read of it works. */
	h->index_has_it = h->s == NULL || h->s->ix.txn == NULL;
	return h->answer;
}

static void
test_hook(void **state)
{
	struct hook h = {.answer = 0};
	struct fixture f;
	unsigned char id[16], id2[16];
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 1);
	f.host.commit = hook_commit;
	f.host.commit_arg = &h;
	h.s = s;
	set_flags(s, id, 1, 1, FLAGS_ADD, MSG_SEEN);
	assert_true(h.calls == 1 && h.waits == 0 && h.records == 1 && h.index_has_it);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.x"), USE_NONE, id2), STORE_OK);
	assert_true(h.calls == 2 && h.waits == 1);
	h.answer = -1;
	set_flags(s, id, 1, 1, FLAGS_REMOVE, MSG_SEEN);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.y"), USE_NONE, id2), STORE_TEMP);
	store_close(s);
	fx_free(&f);
}

static void
test_segments_roll(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct msg_info m[STORE_BATCH_MSGS];
	struct view v;
	struct store *s;
	size_t n;

	(void)state;
	fx_make(&f);
	f.host.segment_max_bytes = 2000;
	s = fx_alice(&f, id);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(fx_deliver(&f, SLICE(""), 40 + (size_t)i * 20, NULL), STORE_OK);
		if (i % 10 == 0)
			set_flags(s, id, 1, UINT32_MAX, i % 20 ? FLAGS_REMOVE : FLAGS_ADD, MSG_FLAGGED);
	}
	assert_true(fx_log_bytes(&f, "log.000020") > 0);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_range(s, &v, 1, UINT32_MAX, m, STORE_BATCH_MSGS, &n), STORE_OK);
	assert_int_equal(n, 100);
	for (uint32_t i = 0; i < 100; i++) {
		assert_true(m[i].uid == i + 1 && m[i].seq == i + 1);
		fx_check_body(s, &m[i], i + 1);
	}
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_open(void **state)
{
	struct fixture f;
	const char *partition;
	struct store *s, *t;

	(void)state;
	fx_make(&f);
	assert_int_equal(store_exists(&f.host, ALICE, &partition), ABSENT);
	assert_int_equal(store_exists(&f.host, SLICE("../alice"), &partition), ABSENT);
	assert_int_equal(store_create(&f.host, SLICE("../alice")), STORE_LIMIT);
	assert_int_equal(store_open(&f.host, ALICE, &s), ABSENT);
	assert_int_equal(fx_deliver(&f, SLICE(""), 10, NULL), STORE_TEMP);
	assert_int_equal(store_create(&f.host, ALICE), STORE_OK);
	assert_int_equal(store_create(&f.host, ALICE), STORE_OK);
	assert_int_equal(store_exists(&f.host, ALICE, &partition), FOUND);
	assert_string_equal(partition, "default");
	s = fx_open(&f);
	t = fx_open(&f);
	assert_ptr_equal(s, t);
	assert_true(slice_is(store_user(s), ALICE));
	assert_string_equal(store_partition(s), "default");
	store_close(s);
	store_close(t);
	fx_free(&f);
}

/* More users than a process keeps open: every one is right when its turn comes again. */
static void
test_many_users(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct mbox_info m;
	struct arena mem = arena_make(1 << 20);
	char user[16], inbox[32];

	(void)state;
	fx_make(&f);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 80; i++) {
			struct store *s;

			snprintf(user, sizeof(user), "u%d", i);
			snprintf(inbox, sizeof(inbox), "user.u%d", i);
			if (round == 0)
				assert_int_equal(store_create(&f.host, slice_of(user)), STORE_OK);
			assert_int_equal(store_open(&f.host, slice_of(user), &s), FOUND);
			if (round == 0)
				assert_int_equal(store_mbox_create(s, slice_of(inbox), USE_NONE, id), STORE_OK);
			assert_int_equal(store_mbox_by_name(s, slice_of(inbox), &mem, &m), STORE_OK);
			store_close(s);
		}
	arena_free(&mem);
	fx_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_children), cmocka_unit_test(test_create_delete),
		cmocka_unit_test(test_uidvalidity),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_subscriptions),
		cmocka_unit_test(test_mailbox_limit),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_keywords),
		cmocka_unit_test(test_expunge),
		cmocka_unit_test(test_exactly_these),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_append_files),
		cmocka_unit_test(test_copy_move),
		cmocka_unit_test(test_rename_inbox),
		cmocka_unit_test(test_delete_keeps_bodies),
		cmocka_unit_test(test_inbox_made_by_delivery),
		cmocka_unit_test(test_delivery_keys),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_map_full),
		cmocka_unit_test(test_hook),
		cmocka_unit_test(test_segments_roll),
		cmocka_unit_test(test_many_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
