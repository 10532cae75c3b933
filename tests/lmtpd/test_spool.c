/*
 * Requests to spoold over socketpairs: the test is spoold. Answers out of order, dead connections, no
 * connection, no answer, full sockets; each recipient has exactly one answer whatever happens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "spool.h"

#define RCPTS	3

static struct event_base	*base;
static struct spool		*spool;
static unsigned			 asked;
static unsigned			 answers[8];	/* by recipient; of a check the first */
static int			 codes[8];

/* What the test, as spoold, received. */
struct got {
	uint8_t		verb;
	uint32_t	req;
	bool		has_fd;
};

static void
on_ask(void *arg)
{
	(void)arg;
	asked++;
}

static void
on_checked(void *arg, const struct reply *r)
{
	size_t	i = (size_t)(uintptr_t)arg;

	answers[i]++;
	codes[i] = r->code;
}

static void
on_done(void *arg, size_t i, const struct reply *r)
{
	(void)arg;
	answers[i]++;
	codes[i] = r->code;
}

static void
start(int64_t wait_ms, int64_t timeout_ms)
{
	const struct spool_conf	conf = {
		.nconns = 2, .wait_ms = wait_ms, .check_timeout_ms = timeout_ms, .submit_timeout_ms = timeout_ms, .ask = on_ask,
	};

	base = event_base_new();
	asked = 0;
	memset(answers, 0, sizeof(answers));
	spool = spool_make(base, &conf);
	assert_int_equal(asked, 2);
}

static void
finish(void)
{
	spool_free(spool);
	event_base_free(base);
}

static int
connect_one(void)
{
	int	pair[2];

	assert_int_equal(ipc_pair(SOCK_SEQPACKET, pair), 0);
	spool_take(spool, pair[0]);
	return pair[1];
}

static void
work(int64_t ms)
{
	int64_t	until = mono_ms() + ms;

	do {
		event_base_loop(base, EVLOOP_NONBLOCK);
		if (ms > 0)
			usleep(5000);
	} while (mono_ms() < until);
}

static struct got
hear(int fd)
{
	static char	msg[IPC_MSG_MAX_BYTES];
	int		fds[IPC_FDS_MAX];
	size_t		nfds;
	ssize_t		n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);
	struct unpack	u = unpack_make(msg, n > 0 ? (size_t)n : 0);
	struct got	got = {.verb = unpack_u8(&u), .has_fd = nfds == 1};

	got.req = unpack_u32(&u);
	ipc_close_fds(fds, nfds);
	return got;
}

static void
say_checked(int fd, uint32_t req, int code)
{
	struct buf		b = buf_make(1024);
	const struct reply	r = {code < 300 ? DONE : code < 500 ? TEMP : PERM, code, "2.1.5 x"};

	delivery_pack_checked(&b, req, &r);
	assert_int_equal(ipc_send(fd, buf_slice(&b), NULL, 0), 0);
	buf_free(&b);
	work(0);
}

static void
say_done(int fd, uint32_t req, uint32_t i, int code)
{
	struct buf		b = buf_make(1024);
	const struct reply	r = {code < 300 ? DONE : code < 500 ? TEMP : PERM, code, "2.0.0 x"};

	delivery_pack_done(&b, req, i, &r);
	assert_int_equal(ipc_send(fd, buf_slice(&b), NULL, 0), 0);
	buf_free(&b);
	work(0);
}

static void
submit(int fd, size_t inline_bytes)
{
	static char	text[DELIVERY_INLINE_BYTES];
	struct delivery	d = {.sid = SLICE("s"), .qid = SLICE("q"), .sender = SLICE("a@b"), .nrcpts = RCPTS};

	d.message = (struct slice){text, inline_bytes};
	d.size = inline_bytes;
	for (size_t i = 0; i < RCPTS; i++)
		d.rcpts[i].user = SLICE("alice");
	spool_submit(spool, &d, fd, on_done, NULL);
}

static void
expect(size_t i, unsigned n, int code)
{
	assert_int_equal(answers[i], n);
	if (n > 0)
		assert_int_equal(codes[i], code);
}

static void
test_order(void **state)
{
	int		fd;
	struct got	a, b;

	(void)state;
	start(10000, 10000);
	fd = connect_one();
	spool_check(spool, false, SLICE("alice"), on_checked, (void *)0);
	spool_check(spool, true, SLICE("bob"), on_checked, (void *)1);
	a = hear(fd);
	b = hear(fd);
	assert_true(a.verb == DELIVERY_CHECK && b.verb == DELIVERY_CHECK && a.req != b.req);
	say_checked(fd, b.req, 550);
	expect(0, 0, 0);
	expect(1, 1, 550);
	say_checked(fd, b.req, 250);	/* twice is once */
	say_checked(fd, a.req + 77, 250);
	say_checked(fd, a.req, 250);
	expect(0, 1, 250);
	expect(1, 1, 550);
	memset(answers, 0, sizeof(answers));
	submit(2, 0);
	a = hear(fd);
	assert_true(a.verb == DELIVERY_SUBMIT && a.has_fd);
	say_done(fd, a.req, 2, 451);
	say_done(fd, a.req, 0, 250);
	say_done(fd, a.req, 2, 250);
	say_done(fd, a.req, RCPTS, 250);
	say_done(fd, a.req, 1, 250);
	expect(0, 1, 250);
	expect(1, 1, 250);
	expect(2, 1, 451);
	finish();
	close(fd);
}

/* Both connections are used, the one with less to do first. */
static void
test_spread(void **state)
{
	int	fds[2];

	(void)state;
	start(10000, 10000);
	fds[0] = connect_one();
	fds[1] = connect_one();
	for (uintptr_t i = 0; i < 4; i++)
		spool_check(spool, false, SLICE("alice"), on_checked, (void *)i);
	for (int i = 0; i < 4; i++)
		say_checked(fds[i % 2], hear(fds[i % 2]).req, 250);
	for (size_t i = 0; i < 4; i++)
		expect(i, 1, 250);
	finish();
	close(fds[0]);
	close(fds[1]);
}

static void
test_connection_dies(void **state)
{
	int		fd, again;
	struct got	a;

	(void)state;
	start(10000, 10000);
	fd = connect_one();
	submit(-1, 100);
	a = hear(fd);
	say_done(fd, a.req, 1, 250);
	spool_check(spool, false, SLICE("alice"), on_checked, (void *)7);
	close(fd);
	work(0);
	/* Sent deliveries are not sent again: 451 for who had no answer. */
	expect(0, 1, 451);
	expect(1, 1, 250);
	expect(2, 1, 451);
	expect(7, 0, 0);
	assert_int_equal(asked, 3);
	/* A check is asked again elsewhere. */
	again = connect_one();
	a = hear(again);
	assert_int_equal(a.verb, DELIVERY_CHECK);
	say_checked(again, a.req, 250);
	expect(7, 1, 250);
	finish();
	close(again);
}

static void
test_no_connection(void **state)
{
	int		fd;
	struct got	a;

	(void)state;
	start(300, 10000);
	submit(-1, 100);
	spool_check(spool, false, SLICE("alice"), on_checked, (void *)7);
	work(100);
	expect(0, 0, 0);
	fd = connect_one();
	a = hear(fd);
	assert_int_equal(a.verb, DELIVERY_SUBMIT);
	for (uint32_t i = 0; i < RCPTS; i++)
		say_done(fd, a.req, i, 250);
	expect(2, 1, 250);
	say_checked(fd, hear(fd).req, 250);
	expect(7, 1, 250);
	close(fd);
	work(0);
	memset(answers, 0, sizeof(answers));
	submit(-1, 100);
	work(1000);
	for (size_t i = 0; i < RCPTS; i++)
		expect(i, 1, 451);
	assert_true(asked > 3);
	finish();
}

static void
test_no_answer(void **state)
{
	int		fd;
	struct got	a;

	(void)state;
	start(10000, 200);
	fd = connect_one();
	submit(-1, 100);
	a = hear(fd);
	say_done(fd, a.req, 0, 250);
	work(800);
	expect(0, 1, 250);
	expect(1, 1, 451);
	expect(2, 1, 451);
	say_done(fd, a.req, 1, 250);	/* too late */
	expect(1, 1, 451);
	finish();
	close(fd);
}

/* A process that hangs: its connection is given up, but not one that answered somebody meanwhile. */
static void
test_silent(void **state)
{
	int		silent, other;
	struct got	a;

	(void)state;
	start(10000, 400);
	silent = connect_one();
	submit(-1, 100);
	(void)hear(silent);
	work(200);
	spool_check(spool, false, SLICE("alice"), on_checked, (void *)7);
	a = hear(silent);
	assert_int_equal(a.verb, DELIVERY_CHECK);
	assert_int_equal(asked, 2);
	other = connect_one();
	work(500);
	for (size_t i = 0; i < RCPTS; i++)
		expect(i, 1, 451);
	assert_true(asked > 2);
	a = hear(silent);
	assert_int_equal(a.verb, 0);	/* closed */
	/* What can be asked twice went on elsewhere; this one speaks, though not of everything. */
	a = hear(other);
	assert_int_equal(a.verb, DELIVERY_CHECK);
	finish();
	close(silent);
	close(other);
	start(10000, 400);
	other = connect_one();
	silent = connect_one();
	asked = 0;
	submit(-1, 100);
	a = hear(other);
	work(200);
	say_done(other, a.req, 0, 250);
	work(500);
	expect(0, 1, 250);
	expect(1, 1, 451);
	assert_int_equal(asked, 0);
	finish();
	close(silent);
	close(other);
}

static void
test_nonsense(void **state)
{
	static const struct slice words[] = {
		{"\x09", 1}, {"\x02", 1}, {"\x04\1\0\0\0", 5}, {"\x02\1\0\0\0\0\xfa\0\xff\xff\xff\xff", 12},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		int	fd;

		start(10000, 10000);
		fd = connect_one();
		submit(-1, 1);
		assert_int_equal(ipc_send(fd, words[i], NULL, 0), 0);
		work(0);
		expect(0, 1, 451);
		assert_int_equal(asked, 3);
		finish();
		close(fd);
	}
}

/* More than the socket takes waits, and all of it arrives. */
static void
test_full_socket(void **state)
{
	int	fd;

	(void)state;
	start(10000, 10000);
	fd = connect_one();
	for (int i = 0; i < 40; i++)
		submit(-1, DELIVERY_INLINE_BYTES);
	for (int i = 0; i < 40; i++) {
		struct got	a = hear(fd);

		assert_int_equal(a.verb, DELIVERY_SUBMIT);
		for (uint32_t j = 0; j < RCPTS; j++)
			say_done(fd, a.req, j, 250);
	}
	expect(0, 40, 250);
	finish();
	close(fd);
}

static void
test_end(void **state)
{
	(void)state;
	start(10000, 10000);
	submit(-1, 100);
	spool_check(spool, false, SLICE("alice"), on_checked, (void *)7);
	finish();
	for (size_t i = 0; i < RCPTS; i++)
		expect(i, 1, 451);
	expect(7, 1, 451);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_connection_dies),
		cmocka_unit_test(test_no_connection),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_full_socket),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
