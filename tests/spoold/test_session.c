/*
 * A session's bytes: reading, writing, files, deadlines short enough for a test, and when it is
 * given back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc.h"
#include "log.h"
#include "notify.h"
#include "session.h"

static struct session s;
static struct store_host host;
static struct notify notify;
static int peer = -1, lot[2];

static int
setup(void **state)
{
	int pair[2];

	(void)state;
	if (ipc_pair(SOCK_STREAM, pair) != 0 || fd_nonblock(pair[0]) != 0 || ipc_pair(SOCK_SEQPACKET, lot) != 0)
		return -1;
	peer = pair[1];
	session_init(lot[0], &notify);
	session_begin(&s, &host, 42, pair[0], -1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	session_free(&s);
	if (peer >= 0)
		close(peer);
	close(lot[0]);
	close(lot[1]);
	return 0;
}

static void
test_fill(void **state)
{
	(void)state;
	assert_int_equal(session_fill(&s, 10), 0);
	assert_int_equal(send(peer, "abc", 3, 0), 3);
	assert_int_equal(session_fill(&s, 1000), 1);
	assert_true(slice_is(buf_slice(&s.in), SLICE("abc")));
	assert_int_equal(s.bytes_in, 3);
	close(peer);
	peer = -1;
	assert_int_equal(session_fill(&s, 1000), -1);
	assert_true(s.is_dead);
	assert_string_equal(s.end_why, "eof");
	assert_int_equal(session_fill(&s, 1000), -1);
	assert_int_equal(session_puts(&s, "x"), -1);
}

/* Output that waits goes before input is waited for: the client may wait for it. */
static void
test_fill_flushes(void **state)
{
	char got[8];

	(void)state;
	assert_int_equal(session_puts(&s, "+ go\r\n"), 0);
	assert_int_equal(recv(peer, got, sizeof(got), MSG_DONTWAIT), -1);
	assert_int_equal(session_fill(&s, 0), 0);
	assert_int_equal(recv(peer, got, sizeof(got), MSG_DONTWAIT), 6);
}

static void
test_input_limit(void **state)
{
	static char piece[16 * 1024];
	size_t n = 0;

	(void)state;
	memset(piece, 'x', sizeof(piece));
	while (n < SESSION_IN_MAX_BYTES) {
		assert_int_equal(send(peer, piece, sizeof(piece), 0), (ssize_t)sizeof(piece));
		assert_int_equal(session_fill(&s, 1000), 1);
		n += sizeof(piece);
	}
	assert_int_equal(s.in.n, SESSION_IN_MAX_BYTES);
	assert_int_equal(send(peer, "x", 1, 0), 1);
	assert_int_equal(session_fill(&s, 1000), -1);
	assert_true(s.is_dead);
}

/* All of n bytes of output, read by a child while we write. */
static void
expect_output(size_t n, unsigned char first)
{
	static unsigned char got[3 * SESSION_OUT_BYTES];
	size_t have = 0;

	assert_true(n <= sizeof(got));
	while (have < n) {
		ssize_t k = recv(peer, got + have, sizeof(got) - have, MSG_DONTWAIT);

		assert_true(k > 0);
		have += (size_t)k;
	}
	assert_int_equal(have, n);
	assert_int_equal(got[0], first);
}

static void
test_write(void **state)
{
	static char large[2 * SESSION_OUT_BYTES];

	(void)state;
	memset(large, 'L', sizeof(large));
	assert_int_equal(session_putf(&s, "%s %d", "a", 7), 0);
	assert_int_equal(session_flush(&s), 0);
	expect_output(3, 'a');
	/* At the buffer's size it waits, one more flushes. */
	assert_int_equal(session_write(&s, large, SESSION_OUT_BYTES), 0);
	assert_int_equal(s.bytes_out, 3);
	assert_int_equal(session_puts(&s, "x"), 0);
	assert_int_equal(s.bytes_out, 3 + SESSION_OUT_BYTES);
	expect_output(SESSION_OUT_BYTES, 'L');
	/* Larger than the buffer: goes at once, after what waited. */
	assert_int_equal(session_write(&s, large, sizeof(large)), 0);
	expect_output(1 + sizeof(large), 'x');
}

static void
test_peer_gone(void **state)
{
	(void)state;
	close(peer);
	peer = -1;
	assert_int_equal(session_puts(&s, "x"), 0);
	assert_int_equal(session_flush(&s), -1);
	assert_true(s.is_dead);
	assert_int_equal(session_send_file(&s, lot[0], 0, 1), -1);
	assert_true(session_should_park(&s, SESSION_LINGER_MS));
}

static void
test_send_file(void **state)
{
	int fd = memfd_create("body", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(session_puts(&s, "{4}"), 0);
	assert_int_equal(session_send_file(&s, fd, 3, 4), 0);
	expect_output(7, '{');
	assert_int_equal(s.bytes_out, 7);
	/* Fewer bytes than were promised: the session cannot go on. */
	assert_int_equal(session_send_file(&s, fd, 8, 4), -1);
	assert_true(s.is_dead);
	assert_string_equal(s.end_why, "short file");
	close(fd);
}

static void
test_should_park(void **state)
{
	int64_t begin;

	(void)state;
	begin = mono_ms();
	assert_true(session_should_park(&s, SESSION_LINGER_MS));		/* quiet */
	assert_true(mono_ms() - begin >= SESSION_LINGER_MS);
	assert_int_equal(send(peer, "x", 1, 0), 1);
	assert_false(session_should_park(&s, SESSION_LINGER_MS));		/* input came */
	assert_int_equal(session_fill(&s, 0), 1);
	assert_false(session_should_park(&s, SESSION_LINGER_MS));		/* unread */
	assert_true(session_is_quiet(&s, SESSION_LINGER_MS));			/* and no more comes */
	buf_clear(&s.in);
	assert_int_equal(send(lot[1], "\2", 1, 0), 1);
	begin = mono_ms();
	assert_true(session_should_park(&s, SESSION_LINGER_MS));		/* somebody waits: no linger */
	assert_true(mono_ms() - begin < SESSION_LINGER_MS);
	assert_int_equal(send(peer, "x", 1, 0), 1);
	assert_false(session_should_park(&s, SESSION_LINGER_MS));		/* but input goes first */
}

static void
test_notify(void **state)
{
	char user[USER_MAX_BYTES + 1];
	uint64_t origin;

	(void)state;
	notify_watch(&notify, 0, SLICE("alice"), true);
	session_spool_changed(&s, SLICE("alice"));
	assert_true(notify_read(&notify, 0, user, &origin));
	assert_string_equal(user, "alice");
	assert_int_equal(origin, 42);
	assert_false(notify_read(&notify, 0, user, &origin));
	assert_false(notify_missed(&notify, 0));
	notify_watch_none(&notify, 0);
	session_spool_changed(&s, SLICE("alice"));
	assert_false(notify_read(&notify, 0, user, &origin));
}

int
main(void)
{
#define ROW(t)	cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_fill),
		ROW(test_fill_flushes),
		ROW(test_input_limit),
		ROW(test_write),
		ROW(test_peer_gone),
		ROW(test_send_file),
		ROW(test_should_park),
		ROW(test_notify),
	};

	log_init("test");
	notify_make(&notify, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
