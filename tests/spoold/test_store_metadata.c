/*
 * Metadata entries in the store: set, removed and listed; a replay gives the same; they follow a rename, go with their
 * mailbox, are copied from a renamed INBOX; limits at and one past; compaction; a full disk; forged extras.
 */
#include "store_fixture.h"
#include "store/metadata.h"

#define WORK	SLICE("user.alice.work")

static struct meta_change
to_set(const char *name, const char *value)
{
	return (struct meta_change){.name = slice_of(name), .value = value != NULL ? slice_of(value) : SLICE(""), .is_removed = value == NULL};
}

static enum store_result
set(struct store *s, const unsigned char *id, const char *name, const char *value)
{
	struct meta_change c = to_set(name, value);

	return store_metadata_set(s, id, &c, 1);
}

/* "name=value name=value " */
static void
check(struct store *s, const unsigned char *id, const char *want)
{
	struct arena mem = arena_make(32 << 20);
	struct buf got = buf_make(32 << 20);
	struct meta_entry *e;
	size_t n;

	assert_int_equal(store_metadata_list(s, id, &mem, &e, &n), STORE_OK);
	for (size_t i = 0; i < n; i++)
		buf_addf(&got, "%.*s=%.*s ", (int)e[i].name.n, e[i].name.p, (int)e[i].value.n, e[i].value.p);
	buf_add(&got, "", 1);
	assert_string_equal(got.p, want);
	buf_free(&got);
	arena_free(&mem);
}

static void
id_of(struct store *s, struct slice name, unsigned char *out)
{
	struct arena mem = arena_make(1 << 16);
	struct mbox_info info;

	assert_int_equal(store_mbox_by_name(s, name, &mem, &info), STORE_OK);
	memcpy(out, info.id, RECORD_ID_BYTES);
	arena_free(&mem);
}

static void
test_life(void **state)
{
	struct fixture f;
	unsigned char inbox[16], work[16], other[16];
	struct store *s;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, inbox);
	assert_int_equal(store_mbox_create(s, WORK, USE_NONE, work), STORE_OK);
	check(s, NULL, "");
	assert_int_equal(set(s, NULL, "/private/x", "server"), STORE_OK);
	assert_int_equal(set(s, inbox, "/shared/comment", "b"), STORE_OK);
	assert_int_equal(set(s, inbox, "/private/comment", "a"), STORE_OK);
	assert_int_equal(set(s, inbox, "/private/empty", ""), STORE_OK);
	assert_int_equal(set(s, work, "/private/comment", "w"), STORE_OK);
	assert_int_equal(set(s, work, "/private/none", NULL), STORE_OK);
	check(s, inbox, "/private/comment=a /private/empty= /shared/comment=b ");
	assert_int_equal(set(s, inbox, "/private/comment", "longer"), STORE_OK);
	assert_int_equal(set(s, inbox, "/private/empty", NULL), STORE_OK);
	check(s, inbox, "/private/comment=longer /shared/comment=b ");
	check(s, NULL, "/private/x=server ");
	store_close(s);
	fx_check_replay(&f, true);
	fx_check_replay(&f, false);
	s = fx_open(&f);
	/* A rename takes them along, INBOX's leaves them too. */
	assert_int_equal(store_mbox_rename(s, WORK, SLICE("user.alice.play")), STORE_OK);
	id_of(s, SLICE("user.alice.play"), other);
	check(s, other, "/private/comment=w ");
	assert_int_equal(store_mbox_rename(s, INBOX, SLICE("user.alice.old")), STORE_OK);
	id_of(s, SLICE("user.alice.old"), other);
	check(s, other, "/private/comment=longer /shared/comment=b ");
	check(s, inbox, "/private/comment=longer /shared/comment=b ");
	assert_int_equal(set(s, other, "/private/comment", "mine"), STORE_OK);
	check(s, inbox, "/private/comment=longer /shared/comment=b ");
	/* They go with the mailbox; one made anew of the name has none. */
	assert_int_equal(store_mbox_delete(s, SLICE("user.alice.old")), STORE_OK);
	check(s, other, "");
	assert_int_equal(set(s, other, "/private/comment", "gone"), STORE_NOMBOX);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.old"), USE_NONE, other), STORE_OK);
	check(s, other, "");
	/* What is counted is what is there: names and values of three entries. */
	assert_int_equal(store_current_begin(s), STORE_OK);
	assert_int_equal(s->ix.meta.metadata_bytes, 10 + 6 + 16 + 6 + 15 + 1 + 16 + 1);
	assert_int_equal(index_end(&s->ix), STORE_OK);
	store_close(s);
	fx_check_replay(&f, true);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* As many entries as may be and one more; the refused command changes nothing; names that come twice count once. */
static void
test_limits(void **state)
{
	static char value[STORE_META_VALUE_MAX_BYTES + 1];
	struct meta_change many[STORE_META_ENTRIES_MAX + 1], two[3];
	char names[STORE_META_ENTRIES_MAX + 1][32], longest[STORE_META_NAME_MAX_BYTES + 2], mailbox[40];
	struct fixture f;
	unsigned char inbox[16], id[16];
	struct arena mem = arena_make(64 << 20);
	struct meta_entry *e;
	struct store *s;
	enum store_result r = STORE_OK;
	size_t n;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, inbox);
	memset(value, 'v', sizeof(value));
	for (size_t i = 0; i <= STORE_META_ENTRIES_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "/private/%03zu", i);
		many[i] = to_set(names[i], "v");
	}
	assert_int_equal(store_metadata_set(s, inbox, many, STORE_META_ENTRIES_MAX + 1), STORE_LIMIT);
	check(s, inbox, "");
	assert_int_equal(store_metadata_set(s, inbox, many, STORE_META_ENTRIES_MAX), STORE_OK);
	two[0] = to_set(names[0], "changed");
	two[1] = to_set(names[STORE_META_ENTRIES_MAX], "new");
	assert_int_equal(store_metadata_set(s, inbox, two, 2), STORE_LIMIT);
	two[2] = to_set(names[1], NULL);
	assert_int_equal(store_metadata_set(s, inbox, two, 3), STORE_OK);
	two[0] = to_set(names[1], "x");
	two[1] = to_set(names[1], NULL);
	two[2] = to_set(names[1], NULL);
	assert_int_equal(store_metadata_set(s, inbox, two, 3), STORE_OK);
	assert_int_equal(store_metadata_list(s, inbox, &mem, &e, &n), STORE_OK);
	assert_int_equal(n, STORE_META_ENTRIES_MAX);
	assert_true(slice_is(e[0].value, SLICE("changed")) && slice_is(e[n - 1].value, SLICE("new")));
	/* The longest name and value, and one past each. */
	memset(longest, 'n', sizeof(longest));
	longest[STORE_META_NAME_MAX_BYTES + 1] = '\0';
	value[STORE_META_VALUE_MAX_BYTES] = '\0';
	assert_int_equal(set(s, NULL, longest, value), STORE_LIMIT);
	longest[STORE_META_NAME_MAX_BYTES] = '\0';
	assert_int_equal(set(s, NULL, longest, value), STORE_OK);
	value[STORE_META_VALUE_MAX_BYTES] = 'v';
	many[0] = (struct meta_change){.name = SLICE("/private/x"), .value = {value, sizeof(value)}};
	assert_int_equal(store_metadata_set(s, NULL, many, 1), STORE_LIMIT);
	/* All a user may have, over mailboxes. */
	for (int box = 0; box < 3; box++) {
		snprintf(mailbox, sizeof(mailbox), "user.alice.%d", box);
		assert_int_equal(store_mbox_create(s, slice_of(mailbox), USE_NONE, id), STORE_OK);
		for (size_t i = 0; i < STORE_META_ENTRIES_MAX && r == STORE_OK; i++) {
			many[0] = (struct meta_change){.name = slice_of(names[i]), .value = {value, STORE_META_VALUE_MAX_BYTES}};
			r = store_metadata_set(s, id, many, 1);
		}
	}
	assert_int_equal(r, STORE_LIMIT);
	assert_int_equal(store_current_begin(s), STORE_OK);
	n = STORE_META_TOTAL_MAX_BYTES - s->ix.meta.metadata_bytes;
	assert_int_equal(index_end(&s->ix), STORE_OK);
	assert_true(n < STORE_META_VALUE_MAX_BYTES);
	many[0] = (struct meta_change){.name = SLICE("/private/t"), .value = {value, n - 9}};
	assert_int_equal(store_metadata_set(s, NULL, many, 1), STORE_LIMIT);
	many[0].value.n--;
	assert_int_equal(store_metadata_set(s, NULL, many, 1), STORE_OK);
	assert_int_equal(set(s, NULL, "/private/t", NULL), STORE_OK);
	arena_free(&mem);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* What a renamed INBOX's entries would be twice counts: as much as may be, and a byte more, which changes nothing. */
static void
test_renamed_inbox(void **state)
{
	static char value[STORE_META_VALUE_MAX_BYTES];
	char name[32];
	struct meta_change c;
	struct arena mem = arena_make(1 << 16);
	struct mbox_info info;
	struct fixture f;
	unsigned char inbox[16];
	struct store *s;
	uint64_t left, bytes = 0;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, inbox);
	memset(value, 'v', sizeof(value));
	for (size_t i = 0; i < STORE_META_ENTRIES_MAX - 1; i++) {
		snprintf(name, sizeof(name), "/private/%02zu", i);
		c = (struct meta_change){.name = slice_of(name), .value = {value, sizeof(value)}};
		assert_int_equal(store_metadata_set(s, inbox, &c, 1), STORE_OK);
		bytes += c.name.n + c.value.n;
	}
	/* The user's own, so that there is just room for INBOX's a second time, and for /private/r, empty, of 10 bytes. */
	left = STORE_META_TOTAL_MAX_BYTES - 2 * bytes - 10;
	for (size_t i = 0; left > 0; i++) {
		size_t n = left > sizeof(value) + 11 ? sizeof(value) : (size_t)left - 11;

		/* What is left for the next one is at least a name. */
		if (left > n + 11 && left - n - 11 < 12)
			n -= 12;
		snprintf(name, sizeof(name), "/private/%02zu", i);
		c = (struct meta_change){.name = slice_of(name), .value = {value, n}};
		assert_int_equal(store_metadata_set(s, NULL, &c, 1), STORE_OK);
		left -= c.name.n + n;
	}
	assert_int_equal(set(s, NULL, "/private/r", "x"), STORE_OK);
	assert_int_equal(store_mbox_rename(s, INBOX, SLICE("user.alice.old")), STORE_LIMIT);
	assert_int_equal(store_mbox_by_name(s, SLICE("user.alice.old"), &mem, &info), STORE_NOMBOX);
	assert_int_equal(store_current_begin(s), STORE_OK);
	assert_int_equal(s->ix.meta.metadata_bytes, STORE_META_TOTAL_MAX_BYTES - bytes + 1);
	assert_int_equal(index_end(&s->ix), STORE_OK);
	assert_int_equal(set(s, NULL, "/private/r", ""), STORE_OK);
	assert_int_equal(store_mbox_rename(s, INBOX, SLICE("user.alice.old")), STORE_OK);
	assert_int_equal(store_current_begin(s), STORE_OK);
	assert_int_equal(s->ix.meta.metadata_bytes, STORE_META_TOTAL_MAX_BYTES);
	assert_int_equal(index_end(&s->ix), STORE_OK);
	assert_int_equal(set(s, NULL, "/private/r", "y"), STORE_LIMIT);
	arena_free(&mem);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* Below the reserve nothing is set, but removed; compaction and a purge take nothing of it. */
static void
test_upkeep(void **state)
{
	struct fixture f;
	unsigned char inbox[16];
	struct uid_range range = {1, 3};
	struct uid_set uids = {&range, 1};
	struct store_compacted done;
	struct store *s;
	uint64_t modseq, nmsgs;

	(void)state;
	fx_make(&f);
	f.host.segment_max_bytes = 4096;
	s = fx_alice(&f, inbox);
	fx_deliver_n(&f, 3);
	assert_int_equal(set(s, inbox, "/private/a", "1"), STORE_OK);
	assert_int_equal(set(s, NULL, "/private/b", "2"), STORE_OK);
	fx_deliver_n(&f, 60);
	assert_int_equal(store_expunge(s, inbox, &uids, false, &modseq), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + 1000, &nmsgs), STORE_OK);
	assert_int_equal(nmsgs, 3);
	assert_int_equal(store_compact(s, NULL, 0, &done), STORE_OK);
	assert_true(done.segments > 0);
	check(s, inbox, "/private/a=1 ");
	f.host.reserve_bytes = UINT64_MAX / 2;
	assert_int_equal(set(s, inbox, "/private/a", "3"), STORE_FULL);
	assert_int_equal(set(s, NULL, "/private/b", NULL), STORE_OK);
	f.host.reserve_bytes = 0;
	for (int without_checkpoint = 0; without_checkpoint < 3; without_checkpoint++) {
		check(s, inbox, "/private/a=1 ");
		check(s, NULL, "");
		s = fx_reopen(&f, s, without_checkpoint > 0);
	}
	store_close(s);
	fx_free(&f);
}

/* What is not exactly as it is packed is refused at every length. */
static void
test_extra(void **state)
{
	struct meta_change c[2] = {to_set("/private/a", "value"), to_set("/shared/b", NULL)}, out;
	struct extra_metadata e;
	struct buf b = buf_make(1 << 20), bad = buf_make(1 << 20);

	(void)state;
	extra_pack_metadata(&b, c, 2);
	assert_true(extra_unpack_metadata(buf_slice(&b), &e));
	assert_true(extra_meta(&e, &out) && slice_is(out.name, c[0].name) && slice_is(out.value, c[0].value) && !out.is_removed);
	assert_true(extra_meta(&e, &out) && slice_is(out.name, c[1].name) && out.is_removed && !extra_meta(&e, &out));
	for (size_t n = 0; n < b.n; n++)
		assert_false(extra_unpack_metadata((struct slice){b.p, n}, &e));
	buf_add(&b, "", 1);
	assert_false(extra_unpack_metadata(buf_slice(&b), &e));
	c[0].name.n = 0;
	extra_pack_metadata(&bad, c, 1);
	assert_false(extra_unpack_metadata(buf_slice(&bad), &e));
	buf_free(&bad);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_renamed_inbox),
		cmocka_unit_test(test_upkeep),
		cmocka_unit_test(test_extra),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
