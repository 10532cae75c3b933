/*
 * A change whose commit fails is answered NO and repeated by its client: what it left in the log is taken back, but
 * nothing that others made use of. A change that is in both copies has happened, also where the index cannot be written.
 */
#include "store_fixture.h"

#define WORK	SLICE("user.alice.work")
#define OTHER	SLICE("user.alice.other")

static int	answer;			/* of the committer */
static struct fixture *delivers;	/* to WORK while the commit fails */

static int
commit(void *arg, const struct store_commit *c)
{
	struct fixture *f = delivers;

	(void)arg;
	delivers = NULL;
	if (f != NULL && c->wait)
		assert_int_equal(fx_deliver(f, WORK, 100, NULL), STORE_OK);
	return c->wait ? answer : 0;
}

static struct store *
make(struct fixture *f, unsigned char *inbox)
{
	struct store *s;

	fx_make(f);
	s = fx_alice(f, inbox);
	f->host.commit = commit;
	answer = 0;
	delivers = NULL;
	return s;
}

static uint32_t
count(struct store *s, const unsigned char *mailbox)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	uint32_t lo = 1, all = 0;
	struct view v;
	size_t n;

	assert_int_equal(view_open(s, mailbox, false, &v), STORE_OK);
	do {
		assert_int_equal(view_range(s, &v, lo, UINT32_MAX, msgs, STORE_BATCH_MSGS, &n), STORE_OK);
		all += (uint32_t)n;
		lo = n > 0 ? msgs[n - 1].uid + 1 : lo;
	} while (n == STORE_BATCH_MSGS);
	return all;
}

static enum store_result
append_two(struct store *s, const unsigned char *mailbox)
{
	struct slice text = SLICE("Subject: appended\r\n\r\nx\r\n");
	struct append_msg one = {.body = {.mem = text, .fd = -1, .bytes = text.n}, .date_ms = 1};
	struct append_msg m[2] = {one, one};
	uint32_t uids[2], uidvalidity;

	return store_append(s, mailbox, m, 2, uids, &uidvalidity);
}

static void
test_append(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s = make(&f, id);

	(void)state;
	assert_int_equal(append_two(s, id), STORE_OK);
	answer = -1;
	assert_int_equal(append_two(s, id), STORE_TEMP);
	assert_int_equal(count(s, id), 2);
	answer = 0;
	assert_int_equal(append_two(s, id), STORE_OK);
	assert_int_equal(count(s, id), 4);
	s = fx_reopen(&f, s, true);
	assert_int_equal(count(s, id), 4);
	store_close(s);
	fx_free(&f);
}

static enum store_result
replace_one(struct store *s, const unsigned char *from, uint32_t uid, const unsigned char *to, uint32_t *uid_out)
{
	struct slice text = SLICE("Subject: new\r\n\r\nx\r\n");
	struct append_msg m = {.body = {.mem = text, .fd = -1, .bytes = text.n}, .date_ms = 1};
	uint32_t uidvalidity;

	return store_replace(s, from, uid, to, &m, uid_out, &uidvalidity);
}

/* The old one is gone when the commit fails: the new one stays, or the draft would be lost. */
static void
test_replace(void **state)
{
	struct fixture f;
	unsigned char id[16], work[16];
	struct store *s = make(&f, id);
	uint32_t uid;

	(void)state;
	assert_int_equal(store_mbox_create(s, WORK, USE_NONE, work), STORE_OK);
	assert_int_equal(append_two(s, id), STORE_OK);
	assert_int_equal(replace_one(s, id, 1, work, &uid), STORE_OK);
	assert_int_equal(uid, 3);
	assert_true(count(s, id) == 1 && count(s, work) == 1);
	/* Not there any more: nothing is changed. */
	assert_int_equal(replace_one(s, id, 1, work, &uid), STORE_OK);
	assert_int_equal(uid, 0);
	assert_int_equal(replace_one(s, id, 3, id, &uid), STORE_OK);
	assert_int_equal(uid, 0);
	assert_true(count(s, id) == 1 && count(s, work) == 1);
	answer = -1;
	assert_int_equal(replace_one(s, id, 2, id, &uid), STORE_TEMP);
	assert_true(count(s, id) == 1 && count(s, work) == 1);
	answer = 0;
	assert_int_equal(replace_one(s, id, 2, id, &uid), STORE_OK);
	assert_int_equal(uid, 0);
	assert_int_equal(replace_one(s, id, 4, id, &uid), STORE_OK);
	assert_int_equal(uid, 5);
	assert_int_equal(replace_one(s, work, 3, (const unsigned char *)"no such mailbox.", &uid), STORE_NOMBOX);
	assert_int_equal(replace_one(s, (const unsigned char *)"no such mailbox.", 3, work, &uid), STORE_NOMBOX);
	s = fx_reopen(&f, s, true);
	assert_true(count(s, id) == 1 && count(s, work) == 1);
	store_close(s);
	fx_free(&f);
}

static enum store_result
copy_all(struct store *s, const unsigned char *from, const unsigned char *to, bool move)
{
	struct uid_range every = {1, UID_LAST};
	struct arena a = arena_make(1 << 16);
	struct copied *pairs;
	uint32_t uidvalidity;
	size_t n;
	enum store_result r = store_copy(s, from, &(struct uid_set){&every, 1}, to, move, &a, &pairs, &n, &uidvalidity);

	arena_free(&a);
	return r;
}

static void
test_copy_and_move(void **state)
{
	struct fixture f;
	unsigned char id[16], work[16];
	struct store *s = make(&f, id);

	(void)state;
	assert_int_equal(store_mbox_create(s, WORK, USE_NONE, work), STORE_OK);
	assert_int_equal(append_two(s, id), STORE_OK);
	answer = -1;
	assert_int_equal(copy_all(s, id, work, false), STORE_TEMP);
	assert_true(count(s, id) == 2 && count(s, work) == 0);
	/* The only copies there are: they stay where they are now. */
	assert_int_equal(copy_all(s, id, work, true), STORE_TEMP);
	assert_true(count(s, id) == 0 && count(s, work) == 2);
	s = fx_reopen(&f, s, true);
	assert_true(count(s, id) == 0 && count(s, work) == 2);
	store_close(s);
	fx_free(&f);
}

static void
test_create(void **state)
{
	struct fixture f;
	unsigned char id[16], work[16];
	struct arena a = arena_make(1 << 16);
	struct mbox_info info;
	struct store *s = make(&f, id);

	(void)state;
	answer = -1;
	assert_int_equal(store_mbox_create(s, WORK, USE_NONE, work), STORE_TEMP);
	assert_int_equal(store_mbox_by_name(s, WORK, &a, &info), STORE_NOMBOX);
	/* Mail came into it before it could be removed again. */
	delivers = &f;
	assert_int_equal(store_mbox_create(s, WORK, USE_NONE, work), STORE_TEMP);
	assert_int_equal(store_mbox_by_name(s, WORK, &a, &info), STORE_OK);
	assert_int_equal(count(s, info.id), 1);
	s = fx_reopen(&f, s, true);
	assert_int_equal(store_mbox_by_name(s, WORK, &a, &info), STORE_OK);
	assert_int_equal(count(s, info.id), 1);
	arena_free(&a);
	store_close(s);
	fx_free(&f);
}

static void
test_rename(void **state)
{
	struct fixture f;
	unsigned char id[16], work[16], below[16];
	struct arena a = arena_make(1 << 16);
	struct mbox_info info;
	struct store *s = make(&f, id);

	(void)state;
	assert_int_equal(store_mbox_create(s, WORK, USE_NONE, work), STORE_OK);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.work.below"), USE_NONE, below), STORE_OK);
	answer = -1;
	assert_int_equal(store_mbox_rename(s, WORK, OTHER), STORE_TEMP);
	assert_int_equal(store_mbox_by_name(s, OTHER, &a, &info), STORE_NOMBOX);
	assert_int_equal(store_mbox_by_name(s, WORK, &a, &info), STORE_OK);
	assert_memory_equal(info.id, work, 16);
	assert_int_equal(store_mbox_by_name(s, SLICE("user.alice.work.below"), &a, &info), STORE_OK);
	/* Below the new name there is another already: it must not be taken along, so all of it stays. */
	answer = 0;
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.other.mine"), USE_NONE, below), STORE_OK);
	answer = -1;
	assert_int_equal(store_mbox_rename(s, WORK, OTHER), STORE_TEMP);
	assert_int_equal(store_mbox_by_name(s, SLICE("user.alice.other.mine"), &a, &info), STORE_OK);
	assert_memory_equal(info.id, below, 16);
	answer = 0;
	assert_int_equal(store_mbox_delete(s, SLICE("user.alice.other.mine")), STORE_OK);
	assert_int_equal(store_mbox_rename(s, OTHER, WORK), STORE_OK);
	/* What was refused before anything was written undoes nothing. */
	assert_int_equal(store_mbox_rename(s, OTHER, WORK), STORE_NOMBOX);
	assert_int_equal(store_mbox_by_name(s, WORK, &a, &info), STORE_OK);
	arena_free(&a);
	store_close(s);
	fx_free(&f);
}

/* What is in both copies was done; what was refused is not there. */
static void
test_index_cannot_be_written(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s = make(&f, id);
	enum store_result r = STORE_OK;
	uint32_t acknowledged = 0;

	(void)state;
	store_close(s);
	store_drop_cached();
	fx_remove_index(&f);
	/* A map that is full soon; then one with room again. */
	f.host.map_bytes = 192 * 1024;
	s = fx_open(&f);
	for (int i = 0; i < 2000 && r == STORE_OK; i++)
		if ((r = append_two(s, id)) == STORE_OK)
			acknowledged += 2;
	assert_int_not_equal(r, STORE_OK);
	assert_true(acknowledged > 20);
	/* What is refused is so before it is in the log. */
	assert_false(s->is_in_log);
	store_close(s);
	store_drop_cached();
	f.host.map_bytes = 1ULL << 30;
	s = fx_reopen(&f, fx_open(&f), true);
	/* Neither lost nor there although refused. */
	assert_int_equal(count(s, id), acknowledged);
	store_close(s);
	fx_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append), cmocka_unit_test(test_replace),
		cmocka_unit_test(test_copy_and_move),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_rename),
		cmocka_unit_test(test_index_cannot_be_written),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
