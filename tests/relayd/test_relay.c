/*
 * A message through relayd's network process, over socketpairs: the test is the MTA, the route process,
 * the host's lmtpd and the next hop. Mixed outcomes, dead hosts in every state, aliases, loops, time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"
#include "lmtpnet.h"
#include "log.h"
#include "relay.h"

#define HELLO		"LHLO c\r\n"
#define MAIL		"MAIL FROM:<s@x>\r\n"
#define HOST_HELLO	"220 h\r\n250-h\r\n250 PIPELINING\r\n"
#define ASKS_MAX	8

static struct event_base	*base;
static struct inflight		 inflight;
static struct conf_list		 nobody;
static struct lmtpc_hop		 hosts[2] = {{.name = "h1", .path = "/h1"}, {.name = "h2", .path = "/h2"}};
static struct lmtpc_hop		 next_hop = {.name = "next", .path = "/next", .is_smtp = true};
static struct relay		 relay;
static struct lmtpnet_conf	 conf;
static int			 mta, route;	/* our ends */
static struct {
	const struct lmtpc_hop	*hop;
	uint32_t		 ticket;
} asks[ASKS_MAX];
static size_t			 nasks;
static char			 heard[65536];
static void			*kept[4 * 100];	/* what a process has for its life, so that it is no leak */
static size_t			 nkept;

static void
on_ask(void *arg, const struct lmtpc_hop *hop, uint32_t ticket)
{
	(void)arg;
	assert_true(nasks < ASKS_MAX);
	asks[nasks].hop = hop;
	asks[nasks++].ticket = ticket;
}

static void
work(int64_t ms)
{
	int64_t	until = mono_ms() + ms;

	do {
		for (int i = 0; i < 20; i++)
			event_base_loop(base, EVLOOP_NONBLOCK);
		if (ms > 0)
			usleep(2000);
	} while (mono_ms() < until);
}

static void
start(int64_t hop_ms, int64_t transaction_ms)
{
	const struct lmtpc_conf	cc = {
		.helo = "me", .connect_timeout_ms = hop_ms, .hop_timeout_ms = hop_ms, .idle_ms = 10000, .ask = on_ask,
	};
	struct lmtpnet	*net;
	int		 pair[2];

	base = event_base_new();
	nasks = 0;
	inflight = (struct inflight){.max = 1 << 20, .dir_fd = -1};
	assert_int_equal(ipc_pair(SOCK_SEQPACKET | SOCK_NONBLOCK, pair), 0);
	route = pair[1];
	relay = (struct relay){
		.base = base, .route = routec_make(base, pair[0], 2, 400), .client = lmtpc_make(base, &cc), .hosts = hosts,
		.next_hop = &next_hop, .transaction_timeout_ms = transaction_ms,
	};
	conf = (struct lmtpnet_conf){
		.connections_max = 5, .command_timeout_ms = 10000, .trusted = &nobody,
		.session = {.hostname = "h", .size_max = 100000, .inflight = &inflight}, .ops = relay_ops, .arg = &relay,
	};
	assert_int_equal(ipc_pair(SOCK_STREAM | SOCK_NONBLOCK, pair), 0);
	mta = pair[1];
	net = lmtpnet_make(base, &conf);
	lmtpnet_add(net, pair[0], "unix", false);
	assert_true(nkept + 4 <= sizeof(kept) / sizeof(kept[0]));
	kept[nkept++] = base;
	kept[nkept++] = net;
	kept[nkept++] = relay.route;
	kept[nkept++] = relay.client;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	work(0);
}

/* What came over a stream since last time, as text. */
static const char *
hear(int fd)
{
	ssize_t	n;

	work(0);
	n = read(fd, heard, sizeof(heard) - 1);
	heard[n > 0 ? n : 0] = '\0';
	return heard;
}

/*
 * Answers look-ups until there are none: "alice", "bob" on h1, "carol" on h2, "away" forwarded, "list" is alice
 * and away, "slow" gets no answer, all else unknown.
 */
static void
route_all(void)
{
	struct route_answer	*a = calloc(1, sizeof(*a));
	char			 msg[1024];
	int			 fds[IPC_FDS_MAX];
	size_t			 nfds;
	ssize_t			 n;

	assert_non_null(a);
	while ((n = ipc_recv(route, msg, sizeof(msg), fds, &nfds)) > 0) {
		static const struct route_target	away = {ROUTE_FORWARD, false, 0, {"", 0}, {"x@y", 3}};
		struct slice				address, name;
		struct buf				b = buf_make(4096);
		uint32_t				req;

		assert_true(routemsg_unpack_ask((struct slice){msg, (size_t)n}, &req, &address));
		name = (struct slice){address.p, strcspn(address.p, "@")};
		a->ntargets = 0;
		a->reply = (struct reply){DONE, 250, "2.1.5 ok"};
		if (slice_is(name, SLICE("alice")) || slice_is(name, SLICE("bob")) || slice_is(name, SLICE("list")))
			a->targets[a->ntargets++] = (struct route_target){ROUTE_LOCAL, false, 0,
			    slice_is(name, SLICE("bob")) ? SLICE("bob") : SLICE("alice"),
			    slice_is(name, SLICE("bob")) ? SLICE("bob@b") : SLICE("alice@b")};
		if (slice_is(name, SLICE("carol")))
			a->targets[a->ntargets++] = (struct route_target){ROUTE_LOCAL, true, 1, SLICE("carol"), SLICE("carol@b")};
		if (slice_is(name, SLICE("away")) || slice_is(name, SLICE("list")))
			a->targets[a->ntargets++] = away;
		if (a->ntargets == 0)
			a->reply = (struct reply){PERM, 550, "5.1.1 user unknown"};
		routemsg_pack_answer(&b, req, a);
		if (!slice_is(name, SLICE("slow")))
			assert_int_equal(ipc_send(route, buf_slice(&b), NULL, 0), 0);
		buf_free(&b);
		work(0);
	}
	free(a);
	work(0);
}

/* Takes the oldest wish for a connection, which must be for hop; our end of it, or -1 where down. */
static int
give(const struct lmtpc_hop *hop, bool down)
{
	uint32_t	ticket;
	int		pair[2];

	work(0);
	assert_true(nasks > 0);
	assert_ptr_equal(asks[0].hop, hop);
	ticket = asks[0].ticket;
	memmove(asks, asks + 1, --nasks * sizeof(asks[0]));
	if (down) {
		lmtpc_take(relay.client, ticket, -1);
		work(0);
		return -1;
	}
	assert_int_equal(ipc_pair(SOCK_STREAM | SOCK_NONBLOCK, pair), 0);
	lmtpc_take(relay.client, ticket, pair[0]);
	work(0);
	return pair[1];
}

/* Up to the end of a message for the recipients named, which are all accepted but unknown ones. */
static void
send_message(const char *rcpts)
{
	char	command[256];
	size_t	n = 0;

	say(mta, HELLO MAIL);
	for (const char *p = rcpts; *p != '\0'; p += strcspn(p, " "), p += *p == ' ') {
		snprintf(command, sizeof(command), "RCPT TO:<%.*s@b>\r\n", (int)strcspn(p, " "), p);
		say(mta, command);
		n++;
	}
	say(mta, "DATA\r\n");
	route_all();
	assert_non_null(strstr(hear(mta), "354 "));
	assert_true(n > 0);
	say(mta, "Subject: x\r\n\r\n..a\r\n.\r\n");
}

static void
finish(void)
{
	close(mta);
	work(0);
	assert_int_equal(inflight.used, 0);
	routec_stop(relay.route);
	close(route);
}

static void
is_heard(int fd, const char *want)
{
	assert_string_equal(hear(fd), want);
}

static void
test_mixed(void **state)
{
	int	h1, h2, next;

	(void)state;
	start(5000, 5000);
	say(mta, HELLO MAIL "RCPT TO:<nobody@b>\r\n");
	route_all();
	assert_non_null(strstr(hear(mta), "550 5.1.1 user unknown\r\n"));
	say(mta, "RSET\r\n");
	hear(mta);
	send_message("alice away bob carol");
	h1 = give(&hosts[0], false);
	h2 = give(&hosts[1], false);
	assert_int_equal(nasks, 0);	/* forwards wait for the local copies */
	say(h1, HOST_HELLO);
	say(h2, HOST_HELLO);
	is_heard(h1, "LHLO me\r\nMAIL FROM:<s@x>\r\nRCPT TO:<alice@b>\r\nRCPT TO:<bob@b>\r\nDATA\r\n");
	is_heard(h2, "LHLO me\r\nMAIL FROM:<s@x>\r\nRCPT TO:<carol@b>\r\nDATA\r\n");
	say(h2, "250 ok\r\n250 ok\r\n354 go\r\n");
	assert_non_null(strstr(hear(h2), "Subject: x\r\n\r\n..a\r\n.\r\n"));
	say(h2, "250 2.0.0 carol\r\n");
	say(h1, "250 ok\r\n250 ok\r\n452 4.2.2 full\r\n354 go\r\n");
	is_heard(mta, "");
	say(h1, "250 2.0.0 alice\r\n");
	is_heard(mta, "250 2.0.0 alice\r\n");	/* at once: it is the first */
	next = give(&next_hop, false);
	say(next, HOST_HELLO);
	is_heard(next, "EHLO me\r\nMAIL FROM:<s@x>\r\nRCPT TO:<x@y>\r\nDATA\r\n");
	say(next, "250 ok\r\n250 ok\r\n354 go\r\n");
	assert_non_null(strstr(hear(next), "Received: from c\r\n"));
	say(next, "250 2.0.0 queued\r\n");
	is_heard(mta, "250 2.0.0 queued\r\n452 4.2.2 full\r\n250 2.0.0 carol\r\n");
	finish();
	close(h1);
	close(h2);
	close(next);
}

static void
test_next_hop_down(void **state)
{
	int	h1;

	(void)state;
	start(5000, 5000);
	send_message("alice away bob");
	h1 = give(&hosts[0], false);
	say(h1, HOST_HELLO);
	say(h1, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
	say(h1, "250 2.0.0 a\r\n250 2.0.0 b\r\n");
	is_heard(mta, "250 2.0.0 a\r\n");
	give(&next_hop, true);
	is_heard(mta, "451 4.4.1 cannot be reached: next\r\n250 2.0.0 b\r\n");
	finish();
	close(h1);
}

/* The host goes away after each thing it could have said. */
static void
test_host_dies(void **state)
{
	static const char *const words[] = {"220 h\r\n", "250-h\r\n250 PIPELINING\r\n", "250 ok\r\n", "250 ok\r\n", "250 ok\r\n",
	    "354 go\r\n", "250 2.0.0 a\r\n"};

	(void)state;
	for (size_t n = 0; n <= sizeof(words) / sizeof(words[0]); n++) {
		int	h1, next;

		start(5000, 5000);
		send_message("alice bob away");
		h1 = give(&hosts[0], false);
		for (size_t i = 0; i < n; i++)
			say(h1, words[i]);
		close(h1);
		work(0);
		next = give(&next_hop, false);
		say(next, HOST_HELLO);
		say(next, "250 ok\r\n250 ok\r\n354 go\r\n");
		say(next, "250 2.0.0 q\r\n");
		is_heard(mta, n == 7 ? "250 2.0.0 a\r\n451 4.4.2 connection lost to h1\r\n250 2.0.0 q\r\n" :
		    "451 4.4.2 connection lost to h1\r\n451 4.4.2 connection lost to h1\r\n250 2.0.0 q\r\n");
		finish();
		close(next);
	}
}

/* A recipient with two targets gets the worse reply; a target named twice gets one copy. */
static void
test_list(void **state)
{
	static const struct {
		const char	*local, *forward, *want;
	} rows[] = {
		{"250 2.0.0 a", "250 2.0.0 q", "250 2.0.0 a\r\n250 2.0.0 q\r\n"},
		{"250 2.0.0 a", "550 5.7.1 q", "250 2.0.0 a\r\n550 5.7.1 q\r\n"},
		{"550 5.2.1 a", "250 2.0.0 q", "550 5.2.1 a\r\n550 5.2.1 a\r\n"},
		{"550 5.2.1 a", "451 4.3.0 q", "550 5.2.1 a\r\n451 4.3.0 q\r\n"},
		{"451 4.2.0 a", "550 5.7.1 q", "451 4.2.0 a\r\n451 4.2.0 a\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char	line[64];
		int	h1, next;

		start(5000, 5000);
		send_message("alice list");
		h1 = give(&hosts[0], false);
		say(h1, HOST_HELLO);
		is_heard(h1, "LHLO me\r\nMAIL FROM:<s@x>\r\nRCPT TO:<alice@b>\r\nDATA\r\n");
		say(h1, "250 ok\r\n250 ok\r\n354 go\r\n");
		snprintf(line, sizeof(line), "%s\r\n", rows[i].local);
		say(h1, line);
		next = give(&next_hop, false);
		say(next, HOST_HELLO);
		say(next, "250 ok\r\n250 ok\r\n354 go\r\n");
		snprintf(line, sizeof(line), "%s\r\n", rows[i].forward);
		say(next, line);
		if (strcmp(hear(mta), rows[i].want) != 0)
			fail_msg("row %zu: %s", i, heard);
		finish();
		close(h1);
		close(next);
	}
}

static void
test_time(void **state)
{
	int	h1;

	(void)state;
	/* One host. */
	start(200, 5000);
	send_message("alice");
	h1 = give(&hosts[0], false);
	say(h1, HOST_HELLO);
	work(400);
	is_heard(mta, "451 4.4.2 timeout at h1\r\n");
	finish();
	close(h1);
	/* All together. */
	start(5000, 200);
	send_message("alice away");
	h1 = give(&hosts[0], false);
	say(h1, HOST_HELLO "250 ok\r\n250 ok\r\n354 go\r\n");
	work(400);
	is_heard(mta, "451 4.4.2 delivery takes too long\r\n451 4.4.2 delivery takes too long\r\n");
	assert_int_equal(nasks, 0);
	finish();
	close(h1);
	/* A look-up. */
	start(5000, 5000);
	say(mta, HELLO MAIL "RCPT TO:<slow@b>\r\n");
	route_all();
	work(900);
	assert_non_null(strstr(hear(mta), "451 4.3.0 routing does not answer\r\n"));
	finish();
}

/* The route process dies with a question: it is asked again. */
static void
test_route_again(void **state)
{
	char	msg[1024];
	int	fds[IPC_FDS_MAX];
	size_t	nfds;

	(void)state;
	start(5000, 5000);
	say(mta, HELLO MAIL "RCPT TO:<alice@b>\r\n");
	assert_true(ipc_recv(route, msg, sizeof(msg), fds, &nfds) > 0);
	routec_again(relay.route);
	route_all();
	assert_non_null(strstr(hear(mta), "250 2.1.5 ok\r\n"));
	finish();
}

static void
test_loop(void **state)
{
	(void)state;
	for (int n = RELAY_RECEIVED_MAX; n <= RELAY_RECEIVED_MAX + 1; n++) {
		start(5000, 5000);
		say(mta, HELLO MAIL "RCPT TO:<alice@b>\r\nDATA\r\n");
		route_all();
		hear(mta);
		for (int i = 0; i < n; i++)
			say(mta, "received: from a by b\r\n");
		say(mta, "\r\nReceived: this is text\r\n.\r\n");
		is_heard(mta, n > RELAY_RECEIVED_MAX ? "554 5.4.6 mail loop\r\n" : "");
		if (n == RELAY_RECEIVED_MAX)
			give(&hosts[0], true);
		finish();
	}
}

/* A connection is used again; one that died idle is replaced, and nobody notices. */
static void
test_reuse(void **state)
{
	int	h1;

	(void)state;
	start(5000, 5000);
	send_message("alice");
	h1 = give(&hosts[0], false);
	say(h1, HOST_HELLO "250 ok\r\n250 ok\r\n354 go\r\n");
	say(h1, "250 2.0.0 a\r\n");
	is_heard(mta, "250 2.0.0 a\r\n");
	hear(h1);
	send_message("alice");
	assert_int_equal(nasks, 0);
	is_heard(h1, "MAIL FROM:<s@x>\r\nRCPT TO:<alice@b>\r\nDATA\r\n");
	close(h1);		/* nothing of the message was sent: another connection is made */
	h1 = give(&hosts[0], false);
	say(h1, HOST_HELLO "250 ok\r\n250 ok\r\n354 go\r\n");
	say(h1, "250 2.0.0 b\r\n");
	is_heard(mta, "250 2.0.0 b\r\n");
	close(h1);
	work(0);
	send_message("alice");
	h1 = give(&hosts[0], false);
	say(h1, "421 busy\r\n");
	is_heard(mta, "451 4.4.1 refused by h1\r\n");
	finish();
	close(h1);
}

/* The MTA goes away while its message is being delivered: that is finished, and everything freed. */
static void
test_mta_dies(void **state)
{
	int	h1;

	(void)state;
	start(5000, 5000);
	send_message("alice");
	h1 = give(&hosts[0], false);
	close(mta);
	say(h1, HOST_HELLO "250 ok\r\n250 ok\r\n354 go\r\n");
	say(h1, "250 2.0.0 a\r\n");
	mta = dup(h1);
	finish();
	close(h1);
}

static int
set_up(void **state)
{
	static int	null_fd;

	(void)state;
	lmtps_setup();
	/* The log is not what is looked at; cmocka has its verdicts on standard output. */
	cmocka_set_message_output(CM_OUTPUT_STDOUT);
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return getenv("TEST_LOG") != NULL ? 0 : dup2(null_fd, 2) < 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_next_hop_down),
		cmocka_unit_test(test_host_dies),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_route_again),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_mta_dies),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
