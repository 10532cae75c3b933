/*
 * Deliveries end to end: lmtpd's socket in, both spools, IMAP out; rotation in the middle of a run;
 * and what happens when a part of spoold dies, cannot sync, or has no redundant spool.
 */
#include <glob.h>

#include "spoold_run.h"

#define MESSAGE		SLICE("Subject: one\r\n\r\nbody\r\n")
#define IN_FLIGHT	64
#define RUN_USERS	16

static void
assert_quiet(void)
{
	assert_int_equal(count_in("log", " warn."), 0);
	assert_int_equal(count_in("log", " bug."), 0);
	assert_int_equal(count_in("log", " fatal."), 0);
}

/* Logs in, selects INBOX. */
static int
inbox_open(const char *user)
{
	int fd;

	assert_int_equal(session_try(SESS_IMAP, user, "s1", &fd), SESSOPEN_OK);
	assert_true(session_expect(fd, "a0 OK", WAIT_MS));
	session_say(fd, "a1 SELECT INBOX\r\n");
	return fd;
}

/* The EXISTS of a user's INBOX. */
static size_t
inbox_count(const char *user)
{
	char got[16384], *at;
	size_t n = 0;
	int fd = inbox_open(user);

	for (at = NULL; at == NULL && n < sizeof(got) - 1;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t k;

		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		k = recv(fd, got + n, sizeof(got) - 1 - n, 0);
		assert_true(k > 0);
		n += (size_t)k;
		got[n] = '\0';
		at = strstr(got, "a1 OK");
	}
	close(fd);
	at = strstr(got, " EXISTS");
	assert_non_null(at);
	while (at > got && at[-1] >= '0' && at[-1] <= '9')
		at--;
	return strtoul(at, NULL, 10);
}

static void
test_delivered(void **state)
{
	int fd;

	(void)state;
	rotated_start();
	spoold_start("");
	assert_int_equal(deliver_one("alice", MESSAGE), 250);
	assert_int_equal(count_in("redundant/default.2026-01-01", "Subject: one"), 1);
	fd = inbox_open("alice");
	session_say(fd, "a2 FETCH 1 BODY[]\r\n");
	assert_true(session_expect(fd, "Subject: one\r\n\r\nbody\r\n", WAIT_MS));
	session_say(fd, "a3 LOGOUT\r\n");
	assert_true(session_expect(fd, "a3 OK", WAIT_MS));
	close(fd);
	wait_log("session.end sid=s1", 1);
	spoold_stop();
	assert_int_equal(count_in("log", "deliver.done"), 1);
	assert_quiet();
	/* The stop was an orderly one: the epoch is not raised. */
	spoold_start("");
	assert_int_equal(inbox_count("alice"), 1);
	spoold_stop();
	assert_int_equal(count_in("log", "store.epoch partition=default epoch=2"), 0);
}

/* A message that comes as a descriptor, in both spools byte for byte. */
static void
test_large(void **state)
{
	enum { LINES = 20000 };	/* more than is read at once */
	const char *user = "alice";
	char line[64];
	uint32_t req, index;
	int body = memfd_create("body", MFD_CLOEXEC), conn;

	(void)state;
	for (int i = 0; i < LINES; i++)
		assert_true(write(body, line, (size_t)snprintf(line, sizeof(line), "line %05d of a larger message\r\n", i)) > 0);
	rotated_start();
	spoold_start("");
	conn = deliver_connect();
	assert_int_equal(deliver_send(conn, 5, &user, 1, SLICE(""), body), 0);
	assert_int_equal(deliver_answer_next(conn, &req, &index), 250);
	close(conn);
	for (int i = 0; i < LINES; i += 1000) {
		(void)snprintf(line, sizeof(line), "line %05d of a larger message\r\n", i);
		assert_int_equal(count_in("redundant/default.2026-01-01", line), 1);
	}
	close(body);
	conn = inbox_open("alice");
	session_say(conn, "a2 FETCH 1 BODY[]\r\n");
	assert_true(session_expect(conn, "line 19999 of a larger message\r\n", WAIT_MS));
	close(conn);
	spoold_stop();
	assert_quiet();
}

/* Three recipients and one that is not to be made: an answer for each, one redundant record for the three. */
static void
test_recipients(void **state)
{
	static struct delivery d;
	struct buf b = buf_make(IPC_MSG_MAX_BYTES);
	int codes[4] = {0}, fd;
	uint32_t req, index;

	(void)state;
	rotated_start();
	spoold_start("");
	d = (struct delivery){.req = 9, .sid = SLICE("s"), .qid = SLICE("q"), .sender = SLICE(""), .received_ms = now_ms(),
	    .size = MESSAGE.n, .message = MESSAGE, .nrcpts = 4};
	d.rcpts[0] = (struct delivery_rcpt){.user = SLICE("alice"), .mailbox = SLICE(""), .place = true};
	d.rcpts[1] = (struct delivery_rcpt){.user = SLICE("nobody"), .mailbox = SLICE(""), .place = false};
	d.rcpts[2] = (struct delivery_rcpt){.user = SLICE("bob"), .mailbox = SLICE("Junk"), .place = true};
	d.rcpts[3] = (struct delivery_rcpt){.user = SLICE("carol"), .mailbox = SLICE("a//b"), .place = true};
	delivery_pack_submit(&b, &d);
	fd = deliver_connect();
	assert_int_equal(ipc_send(fd, buf_slice(&b), NULL, 0), 0);
	for (int i = 0; i < 4; i++) {
		int code = deliver_answer_next(fd, &req, &index);

		assert_int_equal(req, 9);
		assert_true(index < 4 && codes[index] == 0);
		codes[index] = code;
	}
	assert_int_equal(codes[0], 250);
	assert_int_equal(codes[1], 550);
	assert_int_equal(codes[2], 250);
	assert_int_equal(codes[3], 250);
	close(fd);
	assert_int_equal(count_in("redundant/default.2026-01-01", "Subject: one"), 1);
	assert_int_equal(inbox_count("alice"), 1);
	assert_int_equal(inbox_count("bob"), 0);
	assert_int_equal(inbox_count("carol"), 1);
	spoold_stop();
	assert_int_equal(count_in("log", "deliver.done"), 3);
	assert_int_equal(count_in("log", "deliver.perm"), 1);
	buf_free(&b);
}

static void
test_check(void **state)
{
	static const struct {
		const char *name, *user;
		bool	    place;
		int	    want;
	} rows[] = {
		{"known", "alice", false, 250},
		{"unknown, to be made", "bob", true, 250},
		{"unknown", "bob", false, 550},
	};
	struct buf b = buf_make(4096);
	char msg[1024];
	int fd;

	(void)state;
	rotated_start();
	spoold_start("");
	assert_int_equal(deliver_one("alice", MESSAGE), 250);
	fd = deliver_connect();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct unpack u;
		struct reply r;
		uint32_t req;

		buf_clear(&b);
		delivery_pack_check(&b, (uint32_t)i, rows[i].place, slice_of(rows[i].user));
		assert_int_equal(ipc_send(fd, buf_slice(&b), NULL, 0), 0);
		u = unpack_make(msg, (size_t)recv(fd, msg, sizeof(msg), 0));
		assert_int_equal(unpack_u8(&u), DELIVERY_CHECKED);
		assert_true(delivery_unpack_checked(&u, &req, &r));
		if (req != i || r.code != rows[i].want)
			fail_msg("%s: %d", rows[i].name, r.code);
	}
	/* Nonsense ends the connection and nothing else. */
	assert_int_equal(send(fd, "\3garbage", 8, 0), 8);
	assert_int_equal(recv(fd, msg, sizeof(msg), 0), 0);
	close(fd);
	assert_int_equal(deliver_one("alice", MESSAGE), 250);
	buf_free(&b);
	spoold_stop();
}

/* Size of a user's only segment. */
static off_t
log_bytes(const char *user)
{
	char pattern[PATH_MAX];
	struct stat st;
	glob_t g;

	(void)snprintf(pattern, sizeof(pattern), "%s/*/*/%s/log.000001", in_dir("active"), user);
	assert_int_equal(glob(pattern, 0, NULL, &g), 0);
	assert_int_equal(stat(g.gl_pathv[0], &st), 0);
	globfree(&g);
	return st.st_size;
}

static void
test_without_rotated(void **state)
{
	off_t before;

	(void)state;
	spoold_start("");
	assert_int_equal(deliver_one("alice", MESSAGE), 451);
	wait_log("warn.redundant.absent", 1);
	assert_int_equal(count_in("log", "deliver.temp"), 1);
	assert_int_equal(count_in("log", "4.3.0 redundant spool unavailable"), 1);
	rotated_start();
	wait_log("redundant.present", 1);
	assert_int_equal(deliver_one("alice", SLICE("Subject: two\r\n\r\n")), 250);
	assert_int_equal(inbox_count("alice"), 1);
	rotated_stop();
	wait_log("warn.redundant.absent", 2);
	before = log_bytes("alice");
	for (int i = 0; i < 10; i++)
		assert_int_equal(deliver_one("alice", SLICE("Subject: three\r\n\r\n")), 451);
	/* Deferred before anything was appended: an MTA's retries do not fill the disk. */
	assert_int_equal(log_bytes("alice"), before);
	spoold_stop();
}

static void
test_single_copy(void **state)
{
	(void)state;
	spoold_start("single_copy = yes\n");
	assert_int_equal(deliver_one("alice", MESSAGE), 250);
	assert_int_equal(inbox_count("alice"), 1);
	spoold_stop();
	assert_int_equal(count_in("log", "warn.single.copy"), 1);
}

/* ---- runs of many ---- */

/* What became of a run: answered[i] is the code of message i, 0 while it is not known. */
struct run {
	int	answered[2100];
	int	fd;
	uint32_t sent, got, total;
};

static bool
run_send(struct run *r)
{
	char user[16], text[4200];
	const char *users[1] = {user};
	int n = snprintf(text, sizeof(text), "Message-ID: <%u@run>\r\nSubject: run\r\n\r\n", r->sent);

	(void)snprintf(user, sizeof(user), "user%02u", r->sent % RUN_USERS);
	while (n < 4094)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s", "0123456789 0123456789 0123456789\r\n");
	if (deliver_send(r->fd, r->sent, users, 1, (struct slice){text, (size_t)n}, -1) != 0)
		return false;
	r->sent++;
	return true;
}

/* Keeps IN_FLIGHT messages under way until all are answered; after an end of the connection what was not is sent again. */
static void
run_all(struct run *r, void (*at)(uint32_t got))
{
	uint32_t req, index;

	r->fd = deliver_connect();
	while (r->got < r->total) {
		int code;

		if (r->sent < r->total && r->sent - r->got < IN_FLIGHT && run_send(r))
			continue;
		code = deliver_answer_next(r->fd, &req, &index);
		if (code < 0) {
			/* Ended: unanswered ones count as 451, as lmtpd takes it. */
			for (uint32_t i = 0; i < r->sent; i++)
				if (r->answered[i] == 0) {
					r->answered[i] = 451;
					r->got++;
				}
			close(r->fd);
			r->fd = deliver_connect();
			continue;
		}
		assert_true(req < r->sent && r->answered[req] == 0);
		r->answered[req] = code;
		if (at != NULL)
			at(r->got);
		r->got++;
	}
	close(r->fd);
}

static size_t
run_done(const struct run *r)
{
	size_t n = 0;

	for (uint32_t i = 0; i < r->total; i++)
		n += r->answered[i] == 250;
	return n;
}

/* Every acknowledged message is in a redundant file and in the active spool. */
static void
run_verify(const struct run *r)
{
	size_t active = 0;
	char text[64];

	for (uint32_t i = 0; i < r->total; i++) {
		if (r->answered[i] != 250)
			continue;
		(void)snprintf(text, sizeof(text), "Message-ID: <%u@run>\r\n", i);
		if (count_in("redundant/default.2026-01-01", text) + count_in("redundant/default.2026-01-02", text) +
		    count_in("redundant/default.2026-01-03", text) < 1)
			fail_msg("message %u is not in the redundant spool", i);
	}
	for (int i = 0; i < RUN_USERS; i++) {
		(void)snprintf(text, sizeof(text), "user%02d", i);
		active += inbox_count(text);
	}
	if (active < run_done(r))
		fail_msg("%zu acknowledged, %zu there", run_done(r), active);
}

static struct run run;

static void
test_rate(void **state)
{
	int64_t begin;

	(void)state;
	rotated_start();
	spoold_start("");
	run = (struct run){.total = RUN_USERS};
	run_all(&run, NULL);		/* places the users */
	run = (struct run){.total = 2000};
	begin = mono_ms();
	run_all(&run, NULL);
	print_message("2000 deliveries of 4 KiB, %d in flight: %.0f a second\n", IN_FLIGHT,
	    2000.0 * 1000 / (double)(mono_ms() - begin));
	assert_int_equal(run_done(&run), 2000);
	spoold_stop();
	assert_quiet();
}

static void
rotate_at(uint32_t got)
{
	if (got == 200 || got == 400)
		rotated_rotate();
}

static void
test_rotation(void **state)
{
	char text[64];

	(void)state;
	rotated_start();
	spoold_start("");
	run = (struct run){.total = 600};
	run_all(&run, rotate_at);
	assert_int_equal(run_done(&run), 600);
	for (uint32_t i = 0; i < 600; i++) {
		(void)snprintf(text, sizeof(text), "Message-ID: <%u@run>\r\n", i);
		if (count_in("redundant/default.2026-01-01", text) + count_in("redundant/default.2026-01-02", text) +
		    count_in("redundant/default.2026-01-03", text) != 1)
			fail_msg("message %u is not in exactly one day", i);
	}
	assert_true(count_in("redundant/default.2026-01-03", "Message-ID") > 0);
	assert_int_equal(count_in("closed", "2026-01-01\n"), 1);
	assert_int_equal(count_in("closed", "2026-01-02\n"), 1);
	spoold_stop();
	assert_quiet();
}

static const char *victim;

static void
kill_at(uint32_t got)
{
	if (got == 150 || got == 300)
		kill_child(victim);
}

static void
run_killing(const char *name)
{
	rotated_start();
	spoold_start("");
	victim = name;
	run = (struct run){.total = 600};
	run_all(&run, kill_at);
	assert_true(run_done(&run) > 300);
	run_verify(&run);
	assert_int_equal(count_in("log", "warn.child.died"), 2);
	/* It is back. */
	assert_int_equal(deliver_one("user00", SLICE("Subject: after\r\n\r\n")), 250);
	spoold_stop();
}

static void
test_kill_commit(void **state)
{
	(void)state;
	run_killing("commit");
}

static void
test_kill_deliver(void **state)
{
	(void)state;
	run_killing("deliver");
}

static void
kill_all_at(uint32_t got)
{
	if (got != 150)
		return;
	kill(spoold_pid, SIGKILL);
	waitpid(spoold_pid, NULL, 0);
	unlink(in_dir("commit"));
	spoold_start("");
}

/* The parent itself: everything goes with it, and the next one begins a new epoch. */
static void
test_kill_parent(void **state)
{
	(void)state;
	rotated_start();
	spoold_start("");
	run = (struct run){.total = 300};
	run_all(&run, kill_all_at);
	assert_true(run_done(&run) > 150);
	run_verify(&run);
	spoold_stop();
	assert_int_equal(count_in("log", "store.epoch partition=default epoch=2"), 1);
}

/* ---- a sync that fails ---- */

static int *sync_fails;	/* shared with the committer */

static int
failing_syncfs(int fd)
{
	if (*sync_fails) {
		errno = EIO;
		return -1;
	}
	return syncfs(fd);
}

static int
failing_fdatasync(int fd)
{
	if (*sync_fails) {
		errno = EIO;
		return -1;
	}
	return fdatasync(fd);
}

static void
test_failed_sync(void **state)
{
	(void)state;
	sync_fails = mmap(NULL, sizeof(*sync_fails), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(sync_fails != MAP_FAILED);
	calls = (struct site_calls){.syncfs = failing_syncfs, .fdatasync = failing_fdatasync};
	rotated_start();
	spoold_start("");
	assert_int_equal(deliver_one("alice", MESSAGE), 250);
	*sync_fails = 1;
	assert_int_equal(deliver_one("alice", SLICE("Subject: lost\r\n\r\n")), 451);
	wait_log("epoch.raised epoch=2", 1);
	*sync_fails = 0;
	/* The committer and the delivery workers of the new epoch. */
	wait_log("redundant.present", 2);
	for (int ms = 0; deliver_one("alice", SLICE("Subject: again\r\n\r\n")) != 250; ms += 50) {
		if (ms > WAIT_MS)
			fail_msg("no delivery after the epoch was raised");
		nap(50);
	}
	/* The one that was refused was taken back. */
	assert_int_equal(inbox_count("alice"), 2);
	assert_int_equal(count_in("log", "warn.sync.failed"), 1);
	spoold_stop();
	munmap(sync_fails, sizeof(*sync_fails));
}

#define ROW(t)	cmocka_unit_test_setup_teardown(t, dir_setup, dir_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_delivered),
		ROW(test_large),
		ROW(test_recipients),
		ROW(test_check),
		ROW(test_without_rotated),
		ROW(test_single_copy),
		ROW(test_rate),
		ROW(test_rotation),
		ROW(test_kill_commit),
		ROW(test_kill_deliver),
		ROW(test_kill_parent),
		ROW(test_failed_sync),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
