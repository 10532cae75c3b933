/*
 * lib/locmap.c: what is written is read by another process at once; the order of Cyrus; names past
 * LMDB's limit of a key; damaged entries and missing maps are never taken for absent ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "locmap.h"
#include "log.h"
#include "mboxname.h"

#define MAP_BYTES	(16 * 1024 * 1024)

static char dir[] = "/tmp/locmap.XXXXXX";
static struct locmap *map;

static void
files_remove(void)
{
	static const char *const files[] = {"data.mdb", "lock.mdb"};

	for (size_t i = 0; i < 2; i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
}

static int
set_up(void **state)
{
	(void)state;
	files_remove();
	map = locmap_open(dir, true, MAP_BYTES);
	return map != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	locmap_close(map);
	map = NULL;
	return 0;
}

static void
put(const char *name, enum loc_state state, const char *location, const char *acl)
{
	struct loc_entry e = {slice_of(name), state, slice_of(location), slice_of(acl)};

	assert_int_equal(locmap_put(map, &e), 0);
}

static void
put_find_delete(void **state)
{
	struct arena a = arena_make(65536);
	struct loc_entry got;

	(void)state;
	assert_int_equal(locmap_find(map, SLICE("user.alice"), &a, &got), ABSENT);
	put("user.alice", LOC_RESERVED, "host1!default", "");
	assert_int_equal(locmap_find(map, SLICE("user.alice"), &a, &got), FOUND);
	assert_int_equal(got.state, LOC_RESERVED);
	put("user.alice", LOC_ACTIVE, "host2!p", "alice\tlrs\t");
	assert_int_equal(locmap_find(map, SLICE("user.alice"), &a, &got), FOUND);
	assert_int_equal(got.state, LOC_ACTIVE);
	assert_true(slice_is(got.name, SLICE("user.alice")));
	assert_true(slice_is(got.location, SLICE("host2!p")));
	assert_true(slice_is(got.acl, SLICE("alice\tlrs\t")));
	assert_int_equal(locmap_find(map, SLICE("user.alic"), &a, &got), ABSENT);
	assert_int_equal(locmap_find(map, SLICE("user.alice.x"), &a, &got), ABSENT);
	assert_int_equal(locmap_delete(map, SLICE("user.alice")), 0);
	assert_int_equal(locmap_delete(map, SLICE("user.alice")), 0);
	assert_int_equal(locmap_find(map, SLICE("user.alice"), &a, &got), ABSENT);
	/* An arena too small is no answer. */
	put("user.alice", LOC_ACTIVE, "host2!p", "acl");
	arena_free(&a);
	a = arena_make(8);
	assert_int_equal(locmap_find(map, SLICE("user.alice"), &a, &got), LOOKUP_TEMP);
	arena_free(&a);
}

struct put_row {
	const char	*name;
	size_t		 mailbox, location, acl;	/* bytes */
	enum loc_state	 state;
	bool		 want;
};

static const struct put_row put_rows[] = {
	{"smallest", 1, 1, 0, LOC_ACTIVE, true},
	{"no name", 0, 1, 0, LOC_ACTIVE, false},
	{"no location", 1, 0, 0, LOC_ACTIVE, false},
	{"longest name", MBOXNAME_MAX_BYTES, 1, 0, LOC_ACTIVE, true},
	{"name too long", MBOXNAME_MAX_BYTES + 1, 1, 0, LOC_ACTIVE, false},
	{"longest location", 1, LOCATION_MAX_BYTES, 0, LOC_ACTIVE, true},
	{"location too long", 1, LOCATION_MAX_BYTES + 1, 0, LOC_ACTIVE, false},
	{"longest acl", 1, 1, ACL_MAX_BYTES, LOC_ACTIVE, true},
	{"acl too long", 1, 1, ACL_MAX_BYTES + 1, LOC_ACTIVE, false},
	{"all longest", MBOXNAME_MAX_BYTES, LOCATION_MAX_BYTES, ACL_MAX_BYTES, LOC_ACTIVE, true},
	{"reserved with an acl", 1, 1, 1, LOC_RESERVED, false},
};

static void
limits(void **state)
{
	static char bytes[ACL_MAX_BYTES + 1];

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	for (size_t i = 0; i < sizeof(put_rows) / sizeof(put_rows[0]); i++) {
		const struct put_row *r = &put_rows[i];
		struct loc_entry e = {{bytes, r->mailbox}, r->state, {bytes, r->location}, {bytes, r->acl}}, got;
		struct arena a = arena_make(65536);

		errno = 0;
		if ((locmap_put(map, &e) == 0) != r->want || (!r->want && errno != EINVAL))
			fail_msg("%s: put", r->name);
		if (r->want && (locmap_find(map, e.name, &a, &got) != FOUND || !slice_is(got.name, e.name) ||
		    !slice_is(got.location, e.location) || !slice_is(got.acl, e.acl)))
			fail_msg("%s: find", r->name);
		arena_free(&a);
	}
	errno = 0;
	assert_int_equal(locmap_put(map, &(struct loc_entry){SLICE("user.\xff"), LOC_ACTIVE, SLICE("h!p"), SLICE("")}), -1);
	assert_int_equal(errno, EINVAL);
}

/* Names that differ only past LMDB's limit of a key. */
static void
long_names(void **state)
{
	struct arena a = arena_make(1 << 20);
	char name[MBOXNAME_MAX_BYTES];
	struct loc_entry got;

	(void)state;
	memset(name, 'x', sizeof(name));
	for (size_t n = 480; n <= sizeof(name); n += 8) {
		char location[32];

		(void)snprintf(location, sizeof(location), "host%zu!p", n);
		assert_int_equal(locmap_put(map, &(struct loc_entry){{name, n}, LOC_ACTIVE, slice_of(location), SLICE("")}), 0);
	}
	for (size_t n = 480; n <= sizeof(name); n += 8) {
		char location[32];

		(void)snprintf(location, sizeof(location), "host%zu!p", n);
		assert_int_equal(locmap_find(map, (struct slice){name, n}, &a, &got), FOUND);
		assert_true(slice_is(got.location, slice_of(location)));
		assert_int_equal(locmap_find(map, (struct slice){name, n - 1}, &a, &got), ABSENT);
	}
	assert_int_equal(locmap_delete(map, (struct slice){name, sizeof(name)}), 0);
	assert_int_equal(locmap_find(map, (struct slice){name, sizeof(name)}, &a, &got), ABSENT);
	assert_int_equal(locmap_find(map, (struct slice){name, sizeof(name) - 8}, &a, &got), FOUND);
	arena_free(&a);
}

struct names {
	char	*v[4096];
	size_t	 n, stop;
};

static bool
name_collect(void *arg, const struct loc_entry *e)
{
	struct names *names = arg;

	names->v[names->n++] = strndup(e->name.p, e->name.n);
	return names->n != names->stop;
}

static void
names_free(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	*names = (struct names){.n = 0};
}

/* As Cyrus 3.6 keeps them: '.' lowest, the domain first. */
static const char *const ordered[] = {
	"DELETED.user.a.62A", "example.org!user.b", "example.org.x!user.a", "shared.a", "shared.a!b", "shared.a.b", "user.a",
	"user.a.2023.65", "user.a.2023-09", "user.a b", "user.a!", "user.a\xc3\xbc", "user.a-b", "user.a0", "user.ab",
};

static void
order(void **state)
{
	static const char *const want[] = {
		"DELETED.user.a.62A", "example.org!user.b", "example.org.x!user.a", "shared.a", "shared.a.b", "shared.a!b",
		"user.a", "user.a.2023.65", "user.a.2023-09", "user.a b", "user.a!", "user.a\xc3\xbc", "user.a-b", "user.a0",
		"user.ab",
	};
	struct names got = {.n = 0};

	(void)state;
	for (size_t i = sizeof(ordered) / sizeof(ordered[0]); i-- > 0;)
		put(ordered[i], LOC_ACTIVE, i % 2 ? "h1!p" : "h2!p", "");
	assert_int_equal(locmap_each(map, SLICE(""), name_collect, &got), 0);
	assert_int_equal(got.n, sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < got.n; i++)
		assert_string_equal(got.v[i], want[i]);
	names_free(&got);
	/* A location's prefix, whole or not. */
	assert_int_equal(locmap_each(map, SLICE("h1!"), name_collect, &got), 0);
	assert_int_equal(got.n, 7);
	names_free(&got);
	assert_int_equal(locmap_each(map, SLICE("h1!p!"), name_collect, &got), 0);
	assert_int_equal(got.n, 0);
	/* In pieces: each begins after the last name of the one before, be it there or not. */
	got.stop = 4;
	assert_int_equal(locmap_each_after(map, SLICE("user.a.2023.65"), name_collect, &got), 0);
	assert_int_equal(got.n, 4);
	assert_string_equal(got.v[0], "user.a.2023-09");
	names_free(&got);
	assert_int_equal(locmap_delete(map, SLICE("user.a.2023.65")), 0);
	assert_int_equal(locmap_each_after(map, SLICE("user.a.2023.65"), name_collect, &got), 0);
	assert_string_equal(got.v[0], "user.a.2023-09");
	names_free(&got);
	assert_int_equal(locmap_each_after(map, SLICE("user.zz"), name_collect, &got), 0);
	assert_int_equal(got.n, 0);
}

/* The order by definition: bytes of the wire name, '.' as 0x1F. */
static int
by_wire(const void *a, const void *b)
{
	const char *names[2] = {*(char *const *)a, *(char *const *)b};
	char wire[2][256];

	for (int i = 0; i < 2; i++) {
		long n = mutf7_encode(slice_of(names[i]), wire[i], sizeof(wire[i]) - 1);

		assert_true(n > 0);
		wire[i][n] = '\0';
		for (char *p = wire[i]; *p != '\0'; p++)
			if (*p == '.')
				*p = 0x1f;
	}
	return strcmp(wire[0], wire[1]);
}

static void
order_of_random_names(void **state)
{
	static const char *const pieces[] = {"a", ".b", "-", " ", "!", "\xc3\xbc", "&", "0", "\xe6\x97\xa5", "~", "Z", "'"};
	struct names want = {.n = 0}, got = {.n = 0};

	(void)state;
	srand(3);
	for (int i = 0; i < 400; i++) {
		char name[64] = "user.x";

		for (int k = 1 + rand() % 5; k > 0; k--)
			(void)strcat(name, pieces[(size_t)rand() % (sizeof(pieces) / sizeof(pieces[0]))]);
		put(name, LOC_ACTIVE, "h!p", "");
		want.v[want.n++] = strdup(name);
	}
	qsort(want.v, want.n, sizeof(want.v[0]), by_wire);
	assert_int_equal(locmap_each(map, SLICE(""), name_collect, &got), 0);
	for (size_t i = 0, k = 0; i < want.n; i++) {
		if (i > 0 && strcmp(want.v[i], want.v[i - 1]) == 0)
			continue;
		assert_true(k < got.n);
		assert_string_equal(got.v[k++], want.v[i]);
	}
	names_free(&want);
	names_free(&got);
}

/* A reader in another process: sees each commit at once, and may start before there is a map. */
static void
other_process(void **state)
{
	int to[2], from[2], status;
	char c;
	pid_t pid;

	(void)state;
	locmap_close(map);
	map = NULL;
	files_remove();
	errno = 0;
	assert_null(locmap_open(dir, false, 0));
	assert_int_equal(errno, ENOENT);
	{
		/* It must not have made the lock file: that would belong to the wrong user. */
		char path[128];

		(void)snprintf(path, sizeof(path), "%s/lock.mdb", dir);
		assert_int_equal(access(path, F_OK), -1);
	}
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	pid = fork();
	if (pid == 0) {
		struct arena a = arena_make(65536);
		struct loc_entry e;
		struct locmap *reader = NULL;

		close(to[1]);
		while (read(to[0], &c, 1) == 1) {
			if (reader == NULL)
				reader = locmap_open(dir, false, 0);
			c = reader == NULL ? 'x' : (char)('0' + (int)locmap_find(reader, SLICE("user.a"), &a, &e));
			if (write(from[1], &c, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	map = locmap_open(dir, true, MAP_BYTES);
	assert_non_null(map);
	for (int i = 0; i < 50; i++) {
		if (i % 2)
			put("user.a", LOC_ACTIVE, "h!p", "");
		else
			assert_int_equal(locmap_delete(map, SLICE("user.a")), 0);
		assert_int_equal(write(to[1], "?", 1), 1);
		assert_int_equal(read(from[0], &c, 1), 1);
		assert_int_equal(c, '0' + (i % 2 ? FOUND : ABSENT));
	}
	{
		struct stat st;
		char path[128];

		(void)snprintf(path, sizeof(path), "%s/lock.mdb", dir);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0660);
	}
	close(to[1]);
	close(to[0]);
	close(from[0]);
	close(from[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Writes an entry's value as it is not; the writer is closed meanwhile. */
static void
value_spoil(const char *key, const void *p, size_t n)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val k = {strlen(key), (void *)(uintptr_t)key}, v = {n, (void *)(uintptr_t)p};

	locmap_close(map);
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_open(env, dir, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	map = locmap_open(dir, true, MAP_BYTES);
	assert_non_null(map);
}

static void
damaged(void **state)
{
	struct arena a = arena_make(65536);
	struct names got = {.n = 0};
	struct loc_entry e;
	struct buf b = buf_make(1024);

	(void)state;
	put("user.a", LOC_ACTIVE, "h!p", "");
	put("user.c", LOC_ACTIVE, "h!p", "");
	value_spoil("user\x1f" "b", "garbage", 7);
	assert_int_equal(locmap_find(map, SLICE("user.b"), &a, &e), LOOKUP_TEMP);
	assert_int_equal(locmap_find(map, SLICE("user.a"), &a, &e), FOUND);
	errno = 0;
	assert_int_equal(locmap_each(map, SLICE(""), name_collect, &got), -1);
	assert_int_equal(errno, EIO);
	names_free(&got);
	value_spoil("user\x1f" "b", "", 0);
	assert_int_equal(locmap_find(map, SLICE("user.b"), &a, &e), LOOKUP_TEMP);
	/* An entry that names another mailbox. */
	loc_entry_pack(&b, &(struct loc_entry){SLICE("user.z"), LOC_ACTIVE, SLICE("h!p"), SLICE("")});
	value_spoil("user\x1f" "b", b.p, b.n);
	assert_int_equal(locmap_find(map, SLICE("user.b"), &a, &e), LOOKUP_TEMP);
	/* It can be written anew. */
	put("user.b", LOC_ACTIVE, "h!p", "");
	assert_int_equal(locmap_find(map, SLICE("user.b"), &a, &e), FOUND);
	buf_free(&b);
	arena_free(&a);
}

/* Every shortening and every changed byte of a value is either refused or a different well-formed entry. */
static void
values(void **state)
{
	const struct loc_entry e = {SLICE("user.a"), LOC_ACTIVE, SLICE("h!p"), SLICE("a\tlrs\t")};
	struct buf b = buf_make(1024);
	struct loc_entry got;

	(void)state;
	loc_entry_pack(&b, &e);
	assert_true(loc_entry_unpack(buf_slice(&b), &got));
	for (size_t n = 0; n < b.n; n++)
		assert_false(loc_entry_unpack((struct slice){b.p, n}, &got));
	assert_int_equal(buf_add(&b, "x", 1), 0);
	assert_false(loc_entry_unpack(buf_slice(&b), &got));
	b.n--;
	b.p[0] = 2;
	assert_false(loc_entry_unpack(buf_slice(&b), &got));
	b.p[0] = 1;
	b.p[1] = 2;
	assert_false(loc_entry_unpack(buf_slice(&b), &got));
	b.p[1] = 0;
	assert_false(loc_entry_unpack(buf_slice(&b), &got));
	buf_free(&b);
}

struct location_row {
	const char	*in;
	const char	*host, *partition;	/* NULL: false */
};

static const struct location_row location_rows[] = {
	{"h!p", "h", "p"}, {"h!", "h", ""}, {"!p", "", "p"}, {"127.0.0.1!default", "127.0.0.1", "default"},
	{"h", NULL, NULL}, {"", NULL, NULL}, {"h!p!q", NULL, NULL}, {"h!!", NULL, NULL},
};

static void
locations(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(location_rows) / sizeof(location_rows[0]); i++) {
		const struct location_row *r = &location_rows[i];
		struct slice host, partition;
		bool got = location_split(slice_of(r->in), &host, &partition);

		if (got != (r->host != NULL) ||
		    (got && (!slice_is(host, slice_of(r->host)) || !slice_is(partition, slice_of(r->partition)))))
			fail_msg("%s", r->in);
	}
}

/* A full map refuses and keeps what it has. */
static void
full(void **state)
{
	static char acl[ACL_MAX_BYTES];
	struct arena a = arena_make(65536);
	struct loc_entry got;
	size_t n = 0;

	(void)state;
	locmap_close(map);
	files_remove();
	map = locmap_open(dir, true, 1024 * 1024);
	memset(acl, 'a', sizeof(acl));
	for (;; n++) {
		char name[32];
		struct loc_entry e = {.state = LOC_ACTIVE, .location = SLICE("h!p"), .acl = {acl, sizeof(acl)}};

		(void)snprintf(name, sizeof(name), "user.u%zu", n);
		e.name = slice_of(name);
		if (locmap_put(map, &e) == -1)
			break;
		assert_true(n < 1000);
	}
	assert_int_equal(errno, ENOSPC);
	assert_true(n > 10);
	assert_int_equal(locmap_find(map, SLICE("user.u0"), &a, &got), FOUND);
	assert_int_equal(locmap_delete(map, SLICE("user.u0")), 0);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(put_find_delete, set_up, tear_down),
		cmocka_unit_test_setup_teardown(limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(long_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(order_of_random_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_process, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damaged, set_up, tear_down),
		cmocka_unit_test(values),
		cmocka_unit_test(locations),
		cmocka_unit_test_setup_teardown(full, set_up, tear_down),
	};
	int failed;

	log_init("test_locmap");
	if (mkdtemp(dir) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	files_remove();
	(void)rmdir(dir);
	return failed;
}
