/*
 * A POP3 maildrop over what may happen to it: UIDLs after the index was made anew and in a restored copy, a damaged
 * message among others, a QUIT that cannot remove, thousands of messages in one pipeline, and the delay between logins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fail_calls.h"
#include "pop3_client.h"
#include "store/path.h"

#define MANY	10000

static void
run(const char *verb, const char *a, const char *b)
{
	char command[2 * PATH_MAX];

	snprintf(command, sizeof(command), "%s %s %s", verb, a, b);
	assert_int_equal(system(command), 0);
}

static const char *
log_path(const struct spool *sp)
{
	static char path[PATH_MAX + 16];

	assert_int_equal(path_user(sp->active, "p1", "", sp->user, path), 0);
	strcat(path, "/log.000001");
	return path;
}

/* One session that says something and quits: all it was told, owned by the caller. */
static struct buf
ask(struct spool *sp, const char *what)
{
	struct lot1 l;

	assert_true(lot1_open(&l, sp));
	assert_true(lot1_say(&l, slice_of(what)));
	assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
	return l.said;
}

static void
index_remove(struct spool *sp)
{
	store_drop_cached();
	run("rm -rf", sp->index, "");
}

/* The index lost, the checkpoint too, and the whole spool copied to another place. */
static void
test_uidl(void **state)
{
	struct buf before, after;
	struct spool sp, copy;
	char path[PATH_MAX + 16];

	(void)state;
	spool_make(&sp);
	for (int i = 0; i < 5; i++)
		spool_add(&sp, SLICE("A: b\r\n\r\nx\r\n"));
	before = ask(&sp, "DELE 2\r\n");
	buf_free(&before);
	before = ask(&sp, "UIDL\r\nUIDL 4\r\n");
	assert_int_equal(strncmp(before.p, "+OK Logged in\r\n+OK unique-id listing follows\r\n1 ", 48), 0);
	index_remove(&sp);
	after = ask(&sp, "UIDL\r\nUIDL 4\r\n");
	assert_true(slice_is(buf_slice(&after), buf_slice(&before)));
	buf_free(&after);
	index_remove(&sp);
	assert_int_equal(path_user(sp.active, "p1", "", sp.user, path), 0);
	strcat(path, "/checkpoint");
	run("rm -f", path, "");
	after = ask(&sp, "UIDL\r\nUIDL 4\r\n");
	assert_true(slice_is(buf_slice(&after), buf_slice(&before)));
	buf_free(&after);
	spool_make(&copy);
	index_remove(&copy);
	run("rm -rf", copy.active, "");
	run("cp -a", sp.active, copy.active);
	memcpy(copy.inbox, sp.inbox, sizeof(copy.inbox));
	after = ask(&copy, "UIDL\r\nUIDL 4\r\n");
	assert_true(slice_is(buf_slice(&after), buf_slice(&before)));
	buf_free(&after);
	/* What comes to either from now on has an id that neither had. */
	spool_add(&copy, SLICE("new"));
	after = ask(&copy, "UIDL\r\n");
	assert_ptr_not_equal(memmem(after.p, after.n, ".00000006\r\n", 11), NULL);
	buf_free(&after);
	buf_free(&before);
	spool_free(&copy);
	spool_free(&sp);
}

/* It stands in every list, says for itself that it cannot be had, can be deleted, and hinders no other. */
static void
test_damaged(void **state)
{
	static const char want[] = "+OK Logged in\r\n+OK 3 50\r\n+OK scan listing follows\r\n1 17\r\n2 16\r\n3 17\r\n.\r\n"
	    "-ERR [SYS/PERM] message is damaged\r\n-ERR [SYS/PERM] message is damaged\r\n"
	    "+OK 17 octets\r\nA: b\r\n\r\nthree\r\n\r\n.\r\n+OK message 2 deleted\r\n+OK bye\r\n";
	struct spool sp;
	struct buf said, log = buf_make(1 << 20);
	char left[100], *at;
	int fd;

	(void)state;
	spool_make(&sp);
	spool_add(&sp, SLICE("A: b\r\n\r\none\r\n\r\n\r\n"));
	spool_add(&sp, SLICE("A: b\r\n\r\nsecond\r\n"));
	spool_add(&sp, SLICE("A: b\r\n\r\nthree\r\n\r\n"));
	store_drop_cached();
	fd = open(log_path(&sp), O_RDWR | O_CLOEXEC);
	log.n = (size_t)read(fd, buf_room(&log, 1 << 20), 1 << 20);
	at = memmem(log.p, log.n, "second", 6);
	assert_ptr_not_equal(at, NULL);
	assert_int_equal(pwrite(fd, "S", 1, at - log.p), 1);
	close(fd);
	buf_free(&log);
	said = ask(&sp, "STAT\r\nLIST\r\nRETR 2\r\nTOP 2 0\r\nRETR 3\r\nDELE 2\r\n");
	if (!slice_is(buf_slice(&said), slice_of(want)))
		fail_msg("%.*s", (int)said.n, said.p);
	buf_free(&said);
	spool_list(&sp, left, sizeof(left));
	assert_string_equal(left, "1 3+ ");
	spool_free(&sp);
}

/* The log takes no more: QUIT says so, nothing is gone, and the maildrop is free for the next try. */
static void
test_quit_fails(void **state)
{
	struct spool sp;
	struct stat st;
	struct lot1 l;
	struct buf said;
	char left[100];

	(void)state;
	spool_make(&sp);
	for (int i = 0; i < 3; i++)
		spool_add(&sp, SLICE("A: b\r\n\r\nx\r\n"));
	assert_int_equal(stat(log_path(&sp), &st), 0);
	assert_true(lot1_open(&l, &sp));
	assert_true(lot1_say(&l, SLICE("DELE 1\r\nDELE 3\r\n")));
	buf_clear(&l.said);
	fail_ino = st.st_ino;
	fail_ino_with = EIO;
	assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
	fail_ino = 0;
	assert_true(slice_is(buf_slice(&l.said), SLICE("-ERR [SYS/TEMP] some messages not removed\r\n")));
	buf_free(&l.said);
	spool_list(&sp, left, sizeof(left));
	assert_string_equal(left, "1 2 3 ");
	said = ask(&sp, "DELE 1\r\n");
	buf_free(&said);
	spool_list(&sp, left, sizeof(left));
	assert_string_equal(left, "2 3 ");
	spool_free(&sp);
}

/* Only QUIT removes: not RSET before it, not a lost client, not the timer, not a daemon that stops. */
static void
test_no_quit(void **state)
{
	static const enum session_why ends[] = {SESSION_INPUT, SESSION_TIMER, SESSION_DRAIN};
	struct spool sp;
	struct lot1 l;
	struct buf said;
	char left[100];

	(void)state;
	spool_make(&sp);
	spool_add(&sp, SLICE("x"));
	spool_add(&sp, SLICE("y"));
	for (size_t i = 0; i < 3; i++) {
		assert_true(lot1_open(&l, &sp));
		assert_true(lot1_say(&l, SLICE("DELE 1\r\nDELE 2\r\n")));
		if (ends[i] == SESSION_INPUT)
			shutdown(l.client, SHUT_RDWR);
		assert_false(lot1_run(&l, ends[i]));
		lot1_close(&l);
		buf_free(&l.said);
	}
	said = ask(&sp, "DELE 1\r\nRSET\r\nSTAT\r\n");
	assert_ptr_not_equal(memmem(said.p, said.n, "+OK 2 2\r\n+OK bye\r\n", 18), NULL);
	buf_free(&said);
	spool_list(&sp, left, sizeof(left));
	assert_string_equal(left, "1 2 ");
	spool_free(&sp);
}

/* In pieces that end anywhere, less than the socket holds: nobody waits for the other. */
static void
say_all(struct lot1 *l, const struct buf *in)
{
	for (size_t i = 0; i < in->n; i += 50000)
		assert_true(lot1_say(l, (struct slice){in->p + i, in->n - i < 50000 ? in->n - i : 50000}));
}

/* All commands that name a message, for each of ten thousand, in one go; quadratic work would take minutes. */
static void
test_many(void **state)
{
	static struct append_msg m[100];
	static uint32_t uids[100];
	struct buf in = buf_make(8 << 20);
	struct spool sp;
	struct lot1 l;
	struct store *st;
	uint32_t validity;
	size_t i, lines = 0;
	char left[100], want[20];

	(void)state;
	spool_make(&sp);
	for (i = 0; i < 100; i++)
		m[i] = (struct append_msg){.body = {.mem = SLICE("A: b\r\n\r\nx\r\n"), .fd = -1, .bytes = 11}, .date_ms = 1};
	assert_int_equal(store_open(&sp.host, sp.user, &st), FOUND);
	for (i = 0; i < MANY / 100; i++)
		assert_int_equal(store_append(st, sp.inbox, m, 100, uids, &validity), STORE_OK);
	store_close(st);
	for (i = 1; i <= MANY; i++)
		buf_addf(&in, "LIST %zu\r\nUIDL %zu\r\nDELE %zu\r\n", i, i, i);
	buf_add_str(&in, "STAT\r\nRSET\r\nLIST\r\nUIDL\r\n");
	assert_true(lot1_open(&l, &sp));
	say_all(&l, &in);
	buf_clear(&in);
	for (i = 2; i <= MANY; i += 2)	/* parked as bits */
		buf_addf(&in, "DELE %zu\r\n", i);
	for (i = 1; i < MANY - 1; i += 2)
		buf_addf(&in, "DELE %zu\r\n", i);
	say_all(&l, &in);
	assert_false(lot1_say(&l, SLICE("STAT\r\nQUIT\r\n")));
	for (i = 0; i < l.said.n; i++)
		lines += l.said.p[i] == '\n';
	assert_int_equal(lines, 1 + 3 * MANY + 2 + 2 * (MANY + 2) + MANY - 1 + 2);
	assert_ptr_not_equal(memmem(l.said.p, l.said.n, "+OK 1 11\r\n+OK bye\r\n", 19), NULL);
	buf_free(&l.said);
	buf_free(&in);
	spool_list(&sp, left, sizeof(left));
	snprintf(want, sizeof(want), "%d ", MANY - 1);
	assert_string_equal(left, want);
	spool_free(&sp);
}

/* Sets back the time of the last login. */
static void
stamp_age(struct spool *sp, int64_t ms)
{
	char path[PATH_MAX], bytes[8];
	uint64_t at = (uint64_t)(now_ms() - ms);
	int fd;

	assert_int_equal(path_user(sp->index, "p1", "~pop3-", sp->user, path), 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (int i = 0; i < 8; i++)
		bytes[i] = (char)(at >> (8 * i));
	assert_int_equal(pwrite(fd, bytes, 8, 0), 8);
	close(fd);
}

static void
stamp_fill(struct spool *sp, const char *bytes)
{
	char path[PATH_MAX];
	int fd;

	assert_int_equal(path_user(sp->index, "p1", "~pop3-", sp->user, path), 0);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
	close(fd);
}

static bool
is_too_soon(struct spool *sp)
{
	struct lot1 l;
	bool r = !lot1_open(&l, sp);

	if (r) {
		assert_true(slice_is(buf_slice(&l.said), SLICE("-ERR [LOGIN-DELAY] too soon after the last login\r\n")));
		assert_string_equal(l.why, "login delay");
	} else {
		assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
	}
	buf_free(&l.said);
	return r;
}

/*
 * Counted from a login that succeeded, whatever process it had and however it ended; kept when the daemon starts anew (the
 * file is all there is); a clock set back or a spoiled file locks nobody out; without a delay the file goes.
 */
static void
test_login_delay(void **state)
{
	struct spool sp;
	struct buf said;
	char path[PATH_MAX];
	struct lot1 a;

	(void)state;
	spool_make(&sp);
	pop3_init(900);
	said = ask(&sp, "CAPA\r\n");
	assert_ptr_not_equal(memmem(said.p, said.n, "\r\nLOGIN-DELAY 900\r\n", 19), NULL);
	buf_free(&said);
	assert_true(is_too_soon(&sp));
	stamp_age(&sp, 899000);
	assert_true(is_too_soon(&sp));
	stamp_age(&sp, 900001);
	assert_false(is_too_soon(&sp));
	assert_true(is_too_soon(&sp));
	stamp_age(&sp, 900001);
	assert_true(lot1_open(&a, &sp));	/* in use comes first */
	{
		struct lot1 b;

		assert_false(lot1_open(&b, &sp));
		assert_int_equal(strncmp(b.said.p, "-ERR [IN-USE] ", 14), 0);
		buf_free(&b.said);
	}
	assert_false(lot1_run(&a, SESSION_TIMER));
	lot1_close(&a);
	buf_free(&a.said);
	assert_true(is_too_soon(&sp));
	stamp_age(&sp, -60000);		/* the clock was set back */
	assert_false(is_too_soon(&sp));
	stamp_fill(&sp, "1234567");
	assert_false(is_too_soon(&sp));
	stamp_fill(&sp, "123456789");
	assert_false(is_too_soon(&sp));
	assert_true(is_too_soon(&sp));
	pop3_init(0);
	assert_false(is_too_soon(&sp));
	assert_int_equal(path_user(sp.index, "p1", "~pop3-", sp.user, path), 0);
	assert_int_equal(access(path, F_OK), -1);
	spool_free(&sp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uidl),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_quit_fails),
		cmocka_unit_test(test_no_quit),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_login_delay),
	};

	log_init("test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
