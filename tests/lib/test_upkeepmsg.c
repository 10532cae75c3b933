/*
 * Orders of upkeep and their answers: what is packed comes back, what is not exactly right is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc.h"
#include "upkeepmsg.h"

#define X8	"xxxxxxxx"
#define X32	X8 X8 X8 X8
#define X64	X32 X32

static const struct upkeep_order order = {.what = UPKEEP_PURGE | UPKEEP_COMPACT, .is_forced = true, .user = {"alice", 5}};
static const struct upkeep_progress progress = {.done = 3, .total = 1ULL << 40, .user = {"bob.b", 5}};
static const struct upkeep_end end = {.users = 5, .failed = UINT32_MAX, .purged = UINT64_MAX, .segments = 7, .damaged = 8,
    .before_bytes = 1ULL << 50, .after_bytes = 9, .is_cut = true};

/* One kind of message: how it is packed, and whether it is taken. */
static void
pack_order(struct buf *b)
{
	upkeep_pack_order(b, &order);
}

static void
pack_progress(struct buf *b)
{
	upkeep_pack_progress(b, &progress);
}

static void
pack_end(struct buf *b)
{
	upkeep_pack_end(b, &end);
}

static bool
takes_order(struct unpack *u)
{
	struct upkeep_order o;

	return upkeep_unpack_order(u, &o);
}

static bool
takes_progress(struct unpack *u)
{
	struct upkeep_progress p;

	return upkeep_unpack_progress(u, &p);
}

static bool
takes_end(struct unpack *u)
{
	struct upkeep_end e;

	return upkeep_unpack_end(u, &e);
}

static const struct kind {
	const char	*name;
	uint8_t		 verb;
	void		(*pack)(struct buf *);
	bool		(*takes)(struct unpack *);
} kinds[] = {
	{"order", UPKEEP_ORDER, pack_order, takes_order},
	{"progress", UPKEEP_PROGRESS, pack_progress, takes_progress},
	{"end", UPKEEP_END, pack_end, takes_end},
};

/* With the verb before it, as it stands in the message. */
static bool
is_taken(const struct kind *k, struct slice msg)
{
	struct unpack u = unpack_make(msg.p, msg.n);

	return unpack_u8(&u) == k->verb && k->takes(&u);
}

static void
test_comes_back(void **state)
{
	struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);
	struct upkeep_order o;
	struct upkeep_progress p;
	struct upkeep_end e;
	struct unpack u;

	(void)state;
	upkeep_pack_order(&b, &order);
	u = unpack_make(b.p, b.n);
	assert_int_equal(unpack_u8(&u), UPKEEP_ORDER);
	assert_true(upkeep_unpack_order(&u, &o));
	assert_int_equal(o.what, order.what);
	assert_true(o.is_forced);
	assert_true(slice_is(o.user, order.user));

	buf_clear(&b);
	upkeep_pack_progress(&b, &progress);
	u = unpack_make(b.p, b.n);
	assert_int_equal(unpack_u8(&u), UPKEEP_PROGRESS);
	assert_true(upkeep_unpack_progress(&u, &p));
	assert_int_equal(p.done, 3);
	assert_int_equal(p.total, progress.total);
	assert_true(slice_is(p.user, progress.user));

	buf_clear(&b);
	upkeep_pack_end(&b, &end);
	u = unpack_make(b.p, b.n);
	assert_int_equal(unpack_u8(&u), UPKEEP_END);
	assert_true(upkeep_unpack_end(&u, &e));
	assert_int_equal(e.users, 5);
	assert_int_equal(e.failed, UINT32_MAX);
	assert_true(e.purged == UINT64_MAX);
	assert_int_equal(e.segments, 7);
	assert_int_equal(e.damaged, 8);
	assert_int_equal(e.before_bytes, end.before_bytes);
	assert_int_equal(e.after_bytes, 9);
	assert_true(e.is_cut);
	assert_true(pack_ok(&b));
	buf_free(&b);
}

/*
 * Every shorter message, and a longer one, is refused. The memory is as long as the message: a read past its end is
 * one that the sanitizers see.
 */
static void
test_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);

		kinds[i].pack(&b);
		for (size_t n = 0; n <= b.n; n++) {
			char *p = malloc(n > 0 ? n : 1);

			assert_non_null(p);
			memcpy(p, b.p, n);
			if (is_taken(&kinds[i], (struct slice){p, n}) != (n == b.n))
				fail_msg("%s: %zu of %zu bytes", kinds[i].name, n, b.n);
			free(p);
		}
		pack_u8(&b, 0);
		if (is_taken(&kinds[i], buf_slice(&b)))
			fail_msg("%s with a byte behind it", kinds[i].name);
		buf_free(&b);
	}
}

/* None of them is taken for another. */
static void
test_verbs(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);

		kinds[i].pack(&b);
		for (size_t k = 0; k < 3; k++)
			assert_int_equal(is_taken(&kinds[k], buf_slice(&b)), i == k);
		buf_free(&b);
	}
}

static void
test_order(void **state)
{
	static const struct {
		const char	*name;
		uint8_t		 what, forced;
		const char	*user;
		bool		 want;
	} rows[] = {
		{"nothing", 0, 0, "alice", false},
		{"the least", UPKEEP_CHECKPOINT, 0, "alice", true},
		{"all", UPKEEP_ALL, 1, "alice", true},
		{"one past all", UPKEEP_ALL + 1, 0, "alice", false},
		{"a bit too high", UPKEEP_PURGE | 128, 0, "alice", false},
		{"forced neither yes nor no", UPKEEP_ALL, 2, "alice", false},
		{"all users", UPKEEP_ALL, 0, "", true},
		{"user 64", UPKEEP_ALL, 0, X64, true},
		{"user 65", UPKEEP_ALL, 0, X64 "x", false},
		{"user a path", UPKEEP_ALL, 0, "../alice", false},
		{"user upper case", UPKEEP_ALL, 0, "Alice", false},
		{"user with LF", UPKEEP_ALL, 0, "alice\nx", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);

		pack_u8(&b, UPKEEP_ORDER);
		pack_u8(&b, rows[i].what);
		pack_u8(&b, rows[i].forced);
		pack_str(&b, slice_of(rows[i].user));
		assert_true(pack_ok(&b));
		if (is_taken(&kinds[0], buf_slice(&b)) != rows[i].want)
			fail_msg("%s", rows[i].name);
		buf_free(&b);
	}
}

static void
test_progress(void **state)
{
	static const struct {
		const char	*name;
		uint64_t	 done, total;
		const char	*user;
		bool		 want;
	} rows[] = {
		{"none of none", 0, 0, "alice", true},
		{"all of the most", UINT64_MAX, UINT64_MAX, "alice", true},
		{"one more than there are", 6, 5, "alice", false},
		{"of nobody", 1, 5, "", false},
		{"user 64", 1, 5, X64, true},
		{"user 65", 1, 5, X64 "x", false},
		/* It is shown on a terminal. */
		{"an escape", 1, 5, "\033[2J", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);
		struct upkeep_progress p = {rows[i].done, rows[i].total, slice_of(rows[i].user)};

		upkeep_pack_progress(&b, &p);
		assert_true(pack_ok(&b));
		if (is_taken(&kinds[1], buf_slice(&b)) != rows[i].want)
			fail_msg("%s", rows[i].name);
		buf_free(&b);
	}
}

static void
test_end(void **state)
{
	struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);
	struct upkeep_end none = {0};

	(void)state;
	upkeep_pack_end(&b, &none);
	assert_true(is_taken(&kinds[2], buf_slice(&b)));
	b.p[b.n - 1] = 1;
	assert_true(is_taken(&kinds[2], buf_slice(&b)));
	b.p[b.n - 1] = 2;
	assert_false(is_taken(&kinds[2], buf_slice(&b)));
	buf_free(&b);
}

/* A whole order arrives as one message, and who asks does not wait; where nobody listens it is told. */
static void
test_ask(void **state)
{
	char dir[] = "/tmp/test_upkeepmsg.XXXXXX", path[64], msg[UPKEEP_MSG_MAX_BYTES];
	int listener, fd, fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/upkeep", dir);
	assert_int_equal(upkeep_ask(path, &order), -1);
	listener = ipc_listen(path, SOCK_SEQPACKET, 0600, 4);
	assert_true(listener >= 0);
	assert_int_equal(upkeep_ask(path, &order), 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);
	assert_true(n > 0 && nfds == 0);
	assert_true(is_taken(&kinds[0], (struct slice){msg, (size_t)n}));
	assert_int_equal(ipc_recv(fd, msg, sizeof(msg), fds, &nfds), 0);
	close(fd);
	close(listener);
	unlink(path);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
