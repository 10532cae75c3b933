/*
 * A lot between a parent, workers and clients that the test plays itself: who is woken when, who
 * waits, what a worker cannot change, and that no change is missed. And 1,000 real parked sessions.
 */
#include "spoold_run.h"

#include "lot.h"

static struct site site;
static struct lot_arg lot_arg;
static pid_t lot_pid;
static int parent_fd = -1;		/* our end of the lot's channel */
static struct buf work_msg;

static void
lot_start(uint64_t workers_max)
{
	int pair[2], log_fd;

	site = (struct site){.conf = {.workers_min = 1, .workers_max = workers_max, .workers_per_user = 2,
	    .sessions_per_user = 4, .drain_max_s = 1}};
	notify_make(&site.notify, 1);
	site.session_fd = ipc_listen(in_dir("session"), SOCK_SEQPACKET, 0600, 16);
	assert_true(site.session_fd >= 0);
	assert_int_equal(fd_nonblock(site.session_fd), 0);
	assert_int_equal(ipc_pair(SOCK_SEQPACKET, pair), 0);
	lot_arg = (struct lot_arg){.site = &site};
	lot_pid = fork();
	if (lot_pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		log_fd = open(in_dir("log"), O_WRONLY | O_APPEND | O_CREAT, 0600);
		dup2(log_fd, 2);
		close(pair[0]);
		log_init("spoold/lot");
		lot_run(&lot_arg, pair[1]);
	}
	close(pair[1]);
	close(site.session_fd);
	parent_fd = pair[0];
	work_msg = buf_make(IPC_MSG_MAX_BYTES);
}

static int
lot_teardown(void **state)
{
	if (lot_pid > 0) {
		kill(lot_pid, SIGKILL);
		waitpid(lot_pid, NULL, 0);
	}
	lot_pid = 0;
	if (parent_fd >= 0)
		close(parent_fd);
	parent_fd = -1;
	buf_free(&work_msg);
	return dir_teardown(state);
}

/* How a lot ended. */
static int
lot_wait(void)
{
	int status;

	assert_int_equal(waitpid(lot_pid, &status, 0), lot_pid);
	lot_pid = 0;
	return status;
}

static bool
is_readable(int fd, int wait_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, wait_ms) == 1;
}

/* The parent's part: the lot asks for a worker and gets one. Our end of it. */
static int
worker_give(void)
{
	unsigned char verb = LOT_WORKER, msg[16];
	int pair[2];

	if (!is_readable(parent_fd, WAIT_MS))
		fail_msg("the lot does not ask for a worker");
	assert_int_equal(recv(parent_fd, msg, sizeof(msg), 0), 1);
	assert_int_equal(msg[0], LOT_WANT_WORKER);
	assert_int_equal(ipc_pair(SOCK_SEQPACKET, pair), 0);
	assert_int_equal(ipc_send(parent_fd, (struct slice){(char *)&verb, 1}, &pair[1], 1), 0);
	close(pair[1]);
	return pair[0];
}

/* The worker's part: the next session it is given; its descriptors are closed. False: none in wait_ms. */
static bool
worker_next(int fd, struct work *out, int wait_ms)
{
	static char msg[IPC_MSG_MAX_BYTES];
	int fds[IPC_FDS_MAX];
	size_t nfds;

	for (;;) {
		struct unpack u;
		ssize_t n;

		if (!is_readable(fd, wait_ms))
			return false;
		n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);
		if (n <= 0)
			fail_msg("the lot closed the worker");
		ipc_close_fds(fds, nfds);
		u = unpack_make(msg, (size_t)n);
		if (unpack_u8(&u) == WORK_HURRY)
			continue;
		assert_true(work_unpack(&u, out));
		assert_int_equal(nfds, out->has_lock ? 2 : 1);
		buf_clear(&work_msg);
		(void)buf_add(&work_msg, msg, (size_t)n);
		return true;
	}
}

static void
worker_result(int fd, const struct work_result *r, int lock_fd)
{
	struct buf b = buf_make(IPC_MSG_MAX_BYTES);

	work_pack_result(&b, r);
	assert_int_equal(ipc_send(fd, buf_slice(&b), &lock_fd, lock_fd >= 0 ? 1 : 0), 0);
	buf_free(&b);
}

static void
worker_park(int fd, uint64_t id, const char *state, bool wants_changes, int64_t timer_ms)
{
	struct work_result r = {.id = id, .is_parked = true, .wants_changes = wants_changes, .timer_ms = timer_ms,
	    .state = slice_of(state), .commands = 1};

	worker_result(fd, &r, -1);
}

static void
worker_close(int fd, uint64_t id)
{
	struct work_result r = {.id = id, .end_why = SLICE("logout"), .commands = 1, .bytes_in = 2, .bytes_out = 3};

	worker_result(fd, &r, -1);
}

static int
session_open(const char *user)
{
	int fd;

	assert_int_equal(session_try(SESS_IMAP, user, "s1", &fd), SESSOPEN_OK);
	return fd;
}

/* The next session the worker gets, and why. */
static struct work
expect_work(int fd, enum session_why why)
{
	struct work w;

	if (!worker_next(fd, &w, WAIT_MS))
		fail_msg("no session for the worker, expected why=%d", why);
	if (w.why != why)
		fail_msg("why=%d, expected %d", w.why, why);
	return w;
}

static void
test_turns(void **state)
{
	struct sessopen who;
	struct work w;
	uint64_t id;
	int worker, fd;

	(void)state;
	lot_start(1);
	worker = worker_give();
	fd = session_open("alice");
	w = expect_work(worker, SESSION_NEW);
	id = w.id;
	assert_true(sessopen_unpack(w.open, &who));
	assert_true(slice_is(who.user, SLICE("alice")));
	assert_int_equal(w.state.n, 0);
	worker_park(worker, id, "state one", true, 0);
	assert_false(worker_next(worker, &w, 50));

	session_say(fd, "x");
	w = expect_work(worker, SESSION_INPUT);
	assert_int_equal(w.id, id);
	assert_true(slice_is(w.state, SLICE("state one")));
	worker_park(worker, id, "state two", true, 0);

	w = expect_work(worker, SESSION_INPUT);		/* nobody read it */
	assert_true(slice_is(w.state, SLICE("state two")));
	worker_close(worker, id);
	assert_false(session_expect(fd, "anything", 100));
	close(fd);
	wait_log("session.end sid=s1 user=alice proto=imap why=logout", 1);
	assert_int_equal(count_in("log", "commands=3 bytes_in=2 bytes_out=3"), 1);
}

/* Wakes for a change, not for another user's, not where it does not want to know, not for its own. */
static void
test_changes(void **state)
{
	struct work w;
	uint64_t id;
	int worker, fd;

	(void)state;
	lot_start(1);
	worker = worker_give();
	fd = session_open("alice");
	id = expect_work(worker, SESSION_NEW).id;
	worker_park(worker, id, "s", true, 0);
	notify_user(&site.notify, SLICE("bob"), 0);
	assert_false(worker_next(worker, &w, 50));
	notify_user(&site.notify, SLICE("alice"), 0);
	(void)expect_work(worker, SESSION_CHANGED);
	worker_park(worker, id, "s", false, 0);
	notify_user(&site.notify, SLICE("alice"), 0);
	assert_false(worker_next(worker, &w, 50));
	session_say(fd, "x");
	(void)expect_work(worker, SESSION_INPUT);
	(void)id;
	/* Its own change while it is served: it knows. */
	notify_user(&site.notify, SLICE("alice"), id);
	nap(50);
	worker_park(worker, id, "s", true, 0);
	(void)expect_work(worker, SESSION_INPUT);	/* nobody read the x */
	/* Another's change while it is served: it may have looked before. */
	notify_user(&site.notify, SLICE("alice"), 0);
	nap(50);
	worker_park(worker, id, "s", true, 0);
	(void)expect_work(worker, SESSION_CHANGED);
	close(fd);
}

/* More changes than the queue holds, while the lot does not run: nobody who waits is forgotten. */
static void
test_overflow(void **state)
{
	struct work w;
	uint64_t ids[3];
	int worker, fds[3];

	(void)state;
	lot_start(1);
	worker = worker_give();
	for (int i = 0; i < 3; i++) {
		fds[i] = session_open(i == 0 ? "alice" : i == 1 ? "bob" : "carol");
		ids[i] = expect_work(worker, SESSION_NEW).id;
		worker_park(worker, ids[i], "s", i != 2, 0);
	}
	nap(50);
	kill(lot_pid, SIGSTOP);
	for (int i = 0; i < 20000; i++)
		notify_user(&site.notify, SLICE("alice"), 0);
	notify_user(&site.notify, SLICE("bob"), 0);	/* this one does not fit */
	assert_int_equal(atomic_load(&site.notify.shared->overflow[0]), 1);
	kill(lot_pid, SIGCONT);
	for (int i = 0; i < 2; i++) {
		uint64_t id = expect_work(worker, SESSION_CHANGED).id;

		assert_true(id == ids[0] || id == ids[1]);
		worker_park(worker, id, "s", false, 0);
	}
	assert_false(worker_next(worker, &w, 50));
	assert_int_equal(atomic_load(&site.notify.shared->overflow[0]), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void
test_timer(void **state)
{
	uint64_t id;
	int worker, fd;

	(void)state;
	lot_start(1);
	worker = worker_give();
	fd = session_open("alice");
	id = expect_work(worker, SESSION_NEW).id;
	worker_park(worker, id, "s", false, 50);
	(void)expect_work(worker, SESSION_TIMER);
	worker_park(worker, id, "s", false, 60000);
	close(fd);
	wait_log("session.end sid=s1 user=alice proto=imap why=eof", 1);
	assert_int_equal(count_in("log", "commands=2"), 1);
}

/* A user's third session waits although a worker is idle; other users do not wait for it. */
static void
test_queue(void **state)
{
	struct work w;
	int workers[4], fds[4];
	uint64_t first;

	(void)state;
	lot_start(4);
	workers[0] = worker_give();
	fds[0] = session_open("alice");
	first = expect_work(workers[0], SESSION_NEW).id;
	fds[1] = session_open("alice");
	workers[1] = worker_give();
	(void)expect_work(workers[1], SESSION_NEW);
	fds[2] = session_open("alice");
	fds[3] = session_open("bob");
	workers[2] = worker_give();
	w = expect_work(workers[2], SESSION_NEW);
	assert_non_null(memmem(w.open.p, w.open.n, "bob", 3));
	worker_close(workers[2], w.id);
	assert_false(worker_next(workers[2], &w, 50));
	worker_close(workers[0], first);
	/* Now it is alice's third; either idle worker may have it. */
	if (!worker_next(workers[0], &w, 200))
		(void)worker_next(workers[2], &w, WAIT_MS);
	assert_non_null(memmem(w.open.p, w.open.n, "alice", 5));
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

static void
test_limits(void **state)
{
	int worker, fds[5];

	(void)state;
	lot_start(1);
	worker = worker_give();
	for (int i = 0; i < 4; i++)
		fds[i] = session_open("alice");
	assert_int_equal(session_try(SESS_IMAP, "alice", "s5", &fds[4]), SESSOPEN_BUSY);
	fds[4] = session_open("bob");
	assert_int_equal(count_in("log", "session.refused sid=s5"), 1);
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	close(worker);
}

static void
test_opening_nonsense(void **state)
{
	unsigned char answer;
	int fd;

	(void)state;
	lot_start(1);
	for (int ms = 0; (fd = ipc_connect(in_dir("session"), SOCK_SEQPACKET)) < 0 && ms < 1000; ms++)
		nap(1);
	assert_int_equal(send(fd, "nonsense", 8, 0), 8);
	assert_int_equal(recv(fd, &answer, 1, 0), 1);
	assert_int_equal(answer, SESSOPEN_BAD);
	close(fd);
	close(worker_give());
}

/* A worker goes back to the user it had last. */
static void
test_affinity(void **state)
{
	uint64_t ids[2];
	struct work w;
	int workers[2], fds[2];

	(void)state;
	lot_start(2);
	workers[0] = worker_give();
	fds[0] = session_open("alice");
	ids[0] = expect_work(workers[0], SESSION_NEW).id;
	fds[1] = session_open("bob");
	workers[1] = worker_give();
	ids[1] = expect_work(workers[1], SESSION_NEW).id;
	worker_park(workers[0], ids[0], "s", true, 0);
	worker_park(workers[1], ids[1], "s", true, 0);
	for (int i = 0; i < 10; i++) {
		notify_user(&site.notify, SLICE("bob"), 0);
		w = expect_work(workers[1], SESSION_CHANGED);
		assert_int_equal(w.id, ids[1]);
		worker_park(workers[1], ids[1], "s", true, 0);
	}
	close(fds[0]);
	close(fds[1]);
}

/* What a worker hands back is state and nothing else; one that lies is cut off and its session lost. */
static void
test_forged(void **state)
{
	static char large[SESSION_STATE_MAX_BYTES + 1], unread[SESSION_UNREAD_MAX_BYTES + 1];
	struct work_result rows[] = {
		{.id = 4711, .is_parked = true},					/* another session's id */
		{.is_parked = true, .state = {large, sizeof(large)}},
		{.is_parked = true, .unread = {unread, sizeof(unread)}},
		{.is_parked = true, .timer_ms = -1},
		{.is_parked = true, .timer_ms = (int64_t)WORK_TIMER_MAX_MS + 1},
		{.is_parked = true, .has_lock = true},					/* IMAP has none */
		{.is_parked = false, .state = SLICE("x")},
		{.is_parked = false, .end_why = {large, WORK_WHY_MAX_BYTES + 1}},
	};
	size_t nrows = sizeof(rows) / sizeof(rows[0]);

	(void)state;
	memset(large, 's', sizeof(large));
	memset(unread, 'u', sizeof(unread));
	lot_start(1);
	for (size_t i = 0; i < nrows; i++) {
		int worker = worker_give(), fd = session_open("alice");
		struct work w = expect_work(worker, SESSION_NEW);

		if (rows[i].id == 0)
			rows[i].id = w.id;
		worker_result(worker, &rows[i], rows[i].has_lock ? 2 : -1);
		if (!session_expect(fd, "* BYE internal error\r\n", WAIT_MS))
			fail_msg("row %zu: no BYE", i);
		wait_log("warn.session.lost", i + 1);
		wait_log("why=lost", i + 1);
		/* Cut off: the lot closed it. */
		while (recv(worker, large, 1, 0) > 0)
			continue;
		close(worker);
		close(fd);
	}
}

/* At the limits it is taken, and comes back as it was. */
static void
test_largest_state(void **state)
{
	static char large[SESSION_STATE_MAX_BYTES], unread[SESSION_UNREAD_MAX_BYTES];
	struct work_result r = {.is_parked = true, .state = {large, sizeof(large)}, .unread = {unread, sizeof(unread)},
	    .timer_ms = WORK_TIMER_MAX_MS};
	struct work w;
	int worker, fd;

	(void)state;
	memset(large, 's', sizeof(large));
	memset(unread, 'u', sizeof(unread));
	lot_start(1);
	worker = worker_give();
	fd = session_open("alice");
	w = expect_work(worker, SESSION_NEW);
	r.id = w.id;
	worker_result(worker, &r, -1);
	session_say(fd, "x");
	w = expect_work(worker, SESSION_INPUT);
	assert_true(slice_is(w.state, r.state));
	assert_true(slice_is(w.unread, r.unread));
	close(fd);
}

static void
test_dead_worker(void **state)
{
	int worker, fd;

	(void)state;
	lot_start(1);
	worker = worker_give();
	fd = session_open("alice");
	(void)expect_work(worker, SESSION_NEW);
	close(worker);
	assert_true(session_expect(fd, "* BYE internal error\r\n", WAIT_MS));
	wait_log("session.end", 1);
	assert_int_equal(count_in("log", "warn.session.lost"), 1);
	close(fd);
	close(worker_give());		/* it asks for another */
}

/* The next worker that this user's session goes to hears of it, once, and no other user's. */
static void
test_suspect(void **state)
{
	static const struct { const char *user; bool is_suspect; } rows[] =
	    {{"bob", false}, {"alicex", false}, {"alice", true}, {"alice", false}};
	struct work w;
	int worker, fd;

	(void)state;
	lot_start(1);
	worker = worker_give();
	fd = session_open("alice");
	assert_false(expect_work(worker, SESSION_NEW).is_suspect);
	close(worker);
	wait_log("session.end", 1);
	close(fd);
	worker = worker_give();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fd = session_open(rows[i].user);
		w = expect_work(worker, SESSION_NEW);
		if (w.is_suspect != rows[i].is_suspect)
			fail_msg("row %zu: %s: %d", i, rows[i].user, w.is_suspect);
		worker_close(worker, w.id);
		close(fd);
	}
	close(worker);
}

/* A POP3 session's lock descriptor is kept while it is parked, and closed with it. */
static void
test_lock(void **state)
{
	struct work_result r = {.is_parked = true, .has_lock = true};
	struct work w;
	int worker, fd, pair[2];

	(void)state;
	lot_start(1);
	worker = worker_give();
	assert_int_equal(session_try(SESS_POP3, "alice", "s1", &fd), SESSOPEN_OK);
	w = expect_work(worker, SESSION_NEW);
	assert_false(w.has_lock);
	assert_int_equal(ipc_pair(SOCK_STREAM, pair), 0);
	r.id = w.id;
	worker_result(worker, &r, pair[1]);
	close(pair[1]);
	session_say(fd, "x");
	w = expect_work(worker, SESSION_INPUT);
	assert_true(w.has_lock);
	assert_false(is_readable(pair[0], 50));
	worker_close(worker, w.id);
	assert_true(is_readable(pair[0], WAIT_MS));	/* its other end is gone */
	close(pair[0]);
	close(fd);
}

static void
test_stop(void **state)
{
	uint64_t id;
	int worker, fd;

	(void)state;
	lot_start(1);
	worker = worker_give();
	fd = session_open("alice");
	id = expect_work(worker, SESSION_NEW).id;
	worker_park(worker, id, "s", true, 0);
	nap(50);
	kill(lot_pid, SIGTERM);
	(void)expect_work(worker, SESSION_DRAIN);
	worker_close(worker, id);
	assert_int_equal(lot_wait(), 0);
	assert_int_equal(count_in("log", "session.end"), 1);
	close(fd);
}

/* The parent is another generation's: the session stays, is looked at from time to time, then BYE. */
static void
test_drain(void **state)
{
	uint64_t id;
	int worker, fd, refused;

	(void)state;
	lot_start(1);
	worker = worker_give();
	fd = session_open("alice");
	id = expect_work(worker, SESSION_NEW).id;
	worker_park(worker, id, "s", true, 0);
	nap(50);
	close(parent_fd);
	parent_fd = -1;
	nap(50);
	refused = ipc_connect(in_dir("session"), SOCK_SEQPACKET);
	if (refused >= 0) {
		assert_false(is_readable(refused, 100));	/* nobody accepts it here */
		close(refused);
	}
	session_say(fd, "x");
	assert_int_equal(expect_work(worker, SESSION_INPUT).id, id);
	nap(1100);
	worker_park(worker, id, "s", true, 0);
	(void)expect_work(worker, SESSION_DRAIN);
	worker_close(worker, id);
	assert_int_equal(lot_wait(), 0);
	close(fd);
}

/* After the epoch was raised a worker has its last session. */
static void
test_renew(void **state)
{
	unsigned char verb = LOT_RENEW;
	uint64_t id;
	char byte;
	int worker, fd;

	(void)state;
	lot_start(1);
	worker = worker_give();
	fd = session_open("alice");
	id = expect_work(worker, SESSION_NEW).id;
	assert_int_equal(ipc_send(parent_fd, (struct slice){(char *)&verb, 1}, NULL, 0), 0);
	nap(50);
	worker_park(worker, id, "kept", true, 0);
	while (recv(worker, &byte, 1, 0) > 0)
		continue;
	close(worker);
	worker = worker_give();
	session_say(fd, "x");
	assert_true(slice_is(expect_work(worker, SESSION_INPUT).state, SLICE("kept")));
	close(fd);
}

/* ---- real ones ---- */

enum { PARKED = 1000 };

/* Proportional memory of a process, in KiB. */
static long
pss_kib(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		(void)sscanf(line, "Pss: %ld", &kib);
	if (f != NULL)
		fclose(f);
	return kib;
}

static long
pss_all(void)
{
	char path[64];
	long kib = pss_kib(spoold_pid);
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)spoold_pid, (int)spoold_pid);
	f = fopen(path, "re");
	for (int pid; fscanf(f, "%d", &pid) == 1;)
		kib += pss_kib(pid);
	fclose(f);
	return kib;
}

/* IDLE: parked, cheap, and each of them hears of a new message. */
static void
test_parked(void **state)
{
	static int fds[PARKED];
	long before, lot_before;
	pid_t lot;

	(void)state;
	rotated_start();
	spoold_start("lots = 1\nsessions_per_user = 1000\n");
	assert_int_equal(deliver_one("alice", SLICE("Subject: first\r\n\r\n")), 250);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(session_try(SESS_IMAP, "alice", "warm", &fds[0]), SESSOPEN_OK);
		assert_true(session_expect(fds[0], "a0 OK", WAIT_MS));
		close(fds[0]);
	}
	nap(200);
	before = pss_all();
	lot = child_named("lot");
	lot_before = pss_kib(lot);
	for (int i = 0; i < PARKED; i++) {
		assert_int_equal(session_try(SESS_IMAP, "alice", "s", &fds[i]), SESSOPEN_OK);
		session_say(fds[i], "a1 SELECT INBOX\r\na2 IDLE\r\n");
		assert_true(session_expect(fds[i], "\r\n+ ", WAIT_MS));
	}
	nap(500);
	print_message("%d parked sessions: %.2f KiB PSS each in the lot, %.2f in all of spoold\n", PARKED,
	    (double)(pss_kib(lot) - lot_before) / PARKED, (double)(pss_all() - before) / PARKED);
#ifndef __SANITIZE_ADDRESS__
	assert_true(pss_all() - before < 20L * PARKED);
#endif
	assert_int_equal(deliver_one("alice", SLICE("Subject: second\r\n\r\n")), 250);
	for (int i = 0; i < PARKED; i++)
		if (!session_expect(fds[i], "* 2 EXISTS", WAIT_MS))
			fail_msg("session %d did not hear of the message", i);
	kill(spoold_pid, SIGTERM);
	for (int i = 0; i < PARKED; i++) {
		if (!session_expect(fds[i], "* BYE", WAIT_MS))
			fail_msg("session %d had no BYE", i);
		close(fds[i]);
	}
	spoold_stop();
	assert_int_equal(count_in("log", "session.open"), PARKED + 3);
	assert_int_equal(count_in("log", "session.end"), PARKED + 3);
}

/* A killed worker costs one session; the others go on. */
static void
test_kill_worker(void **state)
{
	int fd, other;

	(void)state;
	rotated_start();
	spoold_start("lots = 1\nworkers_min = 1\nworkers_max = 4\n");
	assert_int_equal(deliver_one("alice", SLICE("Subject: first\r\n\r\n")), 250);
	assert_int_equal(session_try(SESS_IMAP, "alice", "s1", &fd), SESSOPEN_OK);
	assert_true(session_expect(fd, "a0 OK", WAIT_MS));
	nap(100);			/* parked */
	kill_child("worker");
	wait_log("warn.child.died", 1);
	session_say(fd, "a1 NOOP\r\n");
	assert_true(session_expect(fd, "a1 OK", WAIT_MS));
	/* In the middle of a command: the line's end is still to come. */
	session_say(fd, "a2 NO");
	nap(100);
	kill_child("worker");
	assert_true(session_expect(fd, "* BYE", WAIT_MS));
	assert_int_equal(session_try(SESS_IMAP, "alice", "s2", &other), SESSOPEN_OK);
	assert_true(session_expect(other, "a0 OK", WAIT_MS));
	close(fd);
	close(other);
	wait_log("warn.session.lost sid=s1", 1);
	wait_log("index.discarded user=alice", 1);
	spoold_stop();
}

int
main(void)
{
#define ROW(t)	cmocka_unit_test_setup_teardown(t, dir_setup, lot_teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_turns),
		ROW(test_changes),
		ROW(test_overflow),
		ROW(test_timer),
		ROW(test_queue),
		ROW(test_limits),
		ROW(test_opening_nonsense),
		ROW(test_affinity),
		ROW(test_forged),
		ROW(test_largest_state),
		ROW(test_dead_worker),
		ROW(test_suspect),
		ROW(test_lock),
		ROW(test_stop),
		ROW(test_drain),
		ROW(test_renew),
		ROW(test_parked),
		ROW(test_kill_worker),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
