/*
 * proxyd/relay.c over socketpairs: bytes arrive untouched whatever the sizes and however slow a side
 * is, memory stays one block a direction, the answer to a login is found, both ends are told of an end.
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
#include "relay.h"

struct bench {
	struct relay		r;
	struct tls_stream	client;		/* the relay's side */
	int			backend;
	int			user, spool;	/* the far ends */
};

static void
bench_open(struct bench *b, const char *tag)
{
	int pair[2];

	*b = (struct bench){.client = {.fd = -1}};
	assert_int_equal(ipc_pair(SOCK_STREAM, pair), 0);
	b->client.fd = pair[0];
	b->user = pair[1];
	assert_int_equal(ipc_pair(SOCK_STREAM, pair), 0);
	b->backend = pair[0];
	b->spool = pair[1];
	assert_int_equal(fd_nonblock(b->client.fd) | fd_nonblock(b->backend) | fd_nonblock(b->user) | fd_nonblock(b->spool), 0);
	relay_init(&b->r, tag);
}

static void
bench_close(struct bench *b)
{
	relay_free(&b->r);
	tls_close(&b->client);
	close(b->backend);
	if (b->user != -1)
		close(b->user);
	if (b->spool != -1)
		close(b->spool);
}

static enum relay_state
pump(struct bench *b)
{
	enum relay_state s;

	do
		s = relay_pump(&b->r, &b->client, b->backend);
	while (s == RELAY_AGAIN);
	return s;
}

static void
put(int fd, const char *s)
{
	assert_int_equal(send(fd, s, strlen(s), MSG_NOSIGNAL), (ssize_t)strlen(s));
}

static void
got(int fd, const char *want)
{
	char in[4096];
	ssize_t n = read(fd, in, sizeof(in) - 1);

	in[n < 0 ? 0 : n] = '\0';
	assert_string_equal(in, want);
}

struct watch_row {
	const char		*name, *tag, *said;
	enum relay_login	 want;
};

static const struct watch_row watch_rows[] = {
	{"nothing yet", "a1", "", RELAY_WAITING},
	{"ok", "a1", "a1 OK [CAPABILITY IMAP4rev1] hello\r\n", RELAY_ACCEPTED},
	{"no", "a1", "a1 NO [UNAVAILABLE] x\r\n", RELAY_REFUSED},
	{"bad", "a1", "a1 BAD x\r\n", RELAY_REFUSED},
	{"untagged first", "a1", "* CAPABILITY a1 OK\r\n* x\r\na1 OK x\r\n", RELAY_ACCEPTED},
	{"untagged only", "a1", "* a1 OK x\r\n", RELAY_WAITING},
	{"a longer tag", "a", "a1 OK x\r\n", RELAY_WAITING},
	{"a shorter tag", "a1", "a OK x\r\n", RELAY_WAITING},
	{"tag in the middle", "a1", "x a1 OK\r\n", RELAY_WAITING},
	{"another case", "a1", "A1 OK x\r\n", RELAY_WAITING},
	{"bye", "a1", "* BYE x\r\n", RELAY_WAITING},
	{"pop3 ok", NULL, "+OK x\r\n", RELAY_ACCEPTED},
	{"pop3 err", NULL, "-ERR x\r\n", RELAY_REFUSED},
	{"pop3 nothing", NULL, "", RELAY_WAITING},
};

static void
answers_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(watch_rows) / sizeof(watch_rows[0]); i++) {
		const struct watch_row *r = &watch_rows[i];

		for (size_t cut = 0; cut <= strlen(r->said); cut++) {
			struct bench b;
			char first[128];

			bench_open(&b, r->tag);
			snprintf(first, sizeof(first), "%.*s", (int)cut, r->said);
			put(b.spool, first);
			pump(&b);
			put(b.spool, r->said + cut);
			assert_int_equal(pump(&b), RELAY_GOING);
			if (b.r.login != r->want)
				fail_msg("%s, cut at %zu: %d", r->name, cut, (int)b.r.login);
			got(b.user, r->said);
			bench_close(&b);
		}
	}
}

static void
client_waits_for_the_answer(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, "a");
	put(b.user, "b NOOP\r\n");
	pump(&b);
	got(b.spool, "");
	put(b.spool, "a OK x\r\n");
	pump(&b);
	got(b.spool, "b NOOP\r\n");
	got(b.user, "a OK x\r\n");
	assert_int_equal(b.r.bytes_in, 8);
	assert_int_equal(b.r.bytes_out, 8);
	bench_close(&b);
}

static void
preload_goes_first(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, "a");
	put(b.user, "third\r\n");
	relay_preload(&b.r, SLICE("first second "));
	pump(&b);
	assert_true(relay_is_stuck(&b.r));
	got(b.spool, "");
	put(b.spool, "a OK x\r\n");
	pump(&b);
	assert_false(relay_is_stuck(&b.r));
	got(b.spool, "first second third\r\n");
	bench_close(&b);
}

/* A side that does not read: the other is stopped after one block and what the sockets hold, and nothing is lost. */
static void
full_side_stops_the_other(void **state)
{
	static unsigned char out[256 * 1024], in[sizeof(out)];
	size_t sent, taken;

	(void)state;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char)((i * 7 + i / 251) & 0xff);
	for (int dir = 0; dir < 2; dir++) {
		struct bench b;
		int from, to, small = 4096;
		ssize_t n;
		size_t before;

		bench_open(&b, NULL);
		b.r.login = RELAY_ACCEPTED;
		from = dir == 0 ? b.spool : b.user;
		to = dir == 0 ? b.user : b.spool;
		assert_int_equal(setsockopt(dir == 0 ? b.client.fd : b.backend, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
		assert_int_equal(setsockopt(from, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
		sent = taken = 0;
		do {
			before = sent;
			n = send(from, out + sent, sizeof(out) - sent, MSG_NOSIGNAL);
			sent += n > 0 ? (size_t)n : 0;
			assert_int_equal(pump(&b), RELAY_GOING);
		} while (sent > before && sent < sizeof(out));
		assert_true(sent < 96 * 1024);
		assert_true(relay_is_stuck(&b.r));
		if (dir == 0) {
			assert_true(b.r.want_client & RELAY_WRITE);
			assert_false(b.r.want_backend & RELAY_READ);
		} else {
			assert_true(b.r.want_backend & RELAY_WRITE);
			assert_false(b.r.want_client & RELAY_READ);
		}
		while (taken < sizeof(out)) {
			n = read(to, in + taken, 1 + (size_t)rand() % 3000);
			taken += n > 0 ? (size_t)n : 0;
			n = send(from, out + sent, sizeof(out) - sent, MSG_NOSIGNAL);
			sent += n > 0 ? (size_t)n : 0;
			assert_int_equal(pump(&b), RELAY_GOING);
		}
		assert_memory_equal(in, out, sizeof(out));
		assert_false(relay_is_stuck(&b.r));
		assert_int_equal(dir == 0 ? b.r.bytes_out : b.r.bytes_in, sizeof(out));
		bench_close(&b);
	}
}

static void
backend_end_comes_after_its_words(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, NULL);
	put(b.spool, "+OK x\r\n-ERR bye\r\n");
	close(b.spool);
	b.spool = -1;
	assert_int_equal(pump(&b), RELAY_OVER);
	assert_string_equal(b.r.why, "backend_end");
	assert_true(b.r.backend_ended);
	got(b.user, "+OK x\r\n-ERR bye\r\n");
	bench_close(&b);
}

/* A client that shuts its writing half still gets the answers. */
static void
client_half_close(void **state)
{
	struct bench b;
	char c;

	(void)state;
	bench_open(&b, NULL);
	b.r.login = RELAY_ACCEPTED;
	put(b.user, "QUIT\r\n");
	shutdown(b.user, SHUT_WR);
	assert_int_equal(pump(&b), RELAY_GOING);
	assert_true(b.r.client_ended);
	got(b.spool, "QUIT\r\n");
	assert_int_equal(read(b.spool, &c, 1), 0);
	put(b.spool, "+OK bye\r\n");
	assert_int_equal(pump(&b), RELAY_GOING);
	got(b.user, "+OK bye\r\n");
	close(b.spool);
	b.spool = -1;
	assert_int_equal(pump(&b), RELAY_OVER);
	assert_string_equal(b.r.why, "client_end");
	bench_close(&b);
}

static void
client_gone(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, NULL);
	b.r.login = RELAY_ACCEPTED;
	close(b.user);
	b.user = -1;
	put(b.spool, "* 1 EXISTS\r\n");
	assert_int_equal(pump(&b), RELAY_OVER);
	assert_string_equal(b.r.why, "client_lost");
	assert_false(b.r.backend_ended);
	bench_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers_are_found), cmocka_unit_test(client_waits_for_the_answer),
	    cmocka_unit_test(preload_goes_first), cmocka_unit_test(full_side_stops_the_other),
	    cmocka_unit_test(backend_end_comes_after_its_words), cmocka_unit_test(client_half_close),
	    cmocka_unit_test(client_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
