/*
 * A session worker with the test as its lot: sessions of different users one after the other, and
 * states that no lot ever had.
 */
#include "spoold_run.h"

#include "work.h"
#include "worker.h"

static struct site site;
static struct worker_arg worker_arg;
static pid_t worker_pid;
static int lot_fd = -1;

static void
worker_begin(void)
{
	static char active[PATH_MAX], index[PATH_MAX], commit[PATH_MAX];
	int pair[2];

	(void)snprintf(active, sizeof(active), "%s", in_dir("active"));
	(void)snprintf(index, sizeof(index), "%s", in_dir("index"));
	(void)snprintf(commit, sizeof(commit), "%s", in_dir("commit"));
	site.partitions[0] = "default";
	site.npartitions = 1;
	site.conf = (struct spoold_conf){.active_dir = active, .index_dir = index,
	    .commit_socket = commit, .mupdate = "", .hostname = "host.example",
	    .segment_max_bytes = 1 << 20, .map_bytes = 1 << 26};
	notify_make(&site.notify, 1);
	site.due_send_fd = -1;
	assert_int_equal(dir_make(in_dir("index/default"), (uid_t)-1, (gid_t)-1, 0700), 0);
	assert_int_equal(ipc_pair(SOCK_SEQPACKET, pair), 0);
	worker_arg = (struct worker_arg){.site = &site, .fd = pair[1]};
	worker_pid = fork();
	if (worker_pid == 0) {
		int log_fd = open(in_dir("log"), O_WRONLY | O_APPEND | O_CREAT, 0600);

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(log_fd, 2);
		close(pair[0]);
		log_init("spoold/worker");
		worker_run(&worker_arg, -1);
	}
	close(pair[1]);
	lot_fd = pair[0];
}

/* The worker ends when its lot closes the channel. */
static void
worker_end(void)
{
	int status;

	close(lot_fd);
	lot_fd = -1;
	assert_int_equal(waitpid(worker_pid, &status, 0), worker_pid);
	worker_pid = 0;
	assert_int_equal(status, 0);
}

/* Users with a message each, made by a whole spoold that is gone again; its epoch is kept for the worker. */
static void
spools_make(void)
{
	rotated_start();
	spoold_start("");
	assert_int_equal(deliver_one("alice", SLICE("Subject: for alice\r\n\r\nsecret of alice\r\n")), 250);
	assert_int_equal(deliver_one("bob", SLICE("Subject: for bob\r\n\r\nsecret of bob\r\n")), 250);
	spoold_stop();
	assert_int_equal(epoch_begin(in_dir("active"), "default", false, &site.epoch), 0);
}

static void
work_send(enum session_why why, enum sess_proto proto, const char *user, struct slice state, struct slice unread, int fd)
{
	struct sessopen who = {.proto = proto, .user = slice_of(user), .sid = SLICE("s1"), .tag = SLICE("a0"),
	    .addr = SLICE("192.0.2.1"), .port = 1};
	struct buf b = buf_make(IPC_MSG_MAX_BYTES), open = buf_make(4096);
	struct work w = {.id = 7, .why = why, .state = state, .unread = unread};

	sessopen_pack(&open, &who);
	w.open = buf_slice(&open);
	work_pack(&b, &w);
	assert_int_equal(ipc_send(lot_fd, buf_slice(&b), &fd, 1), 0);
	buf_free(&b);
	buf_free(&open);
}

static void
result_next(struct work_result *out, int fds[IPC_FDS_MAX])
{
	static char msg[IPC_MSG_MAX_BYTES];
	struct pollfd p = {.fd = lot_fd, .events = POLLIN};
	struct unpack u;
	size_t nfds;
	ssize_t n;

	if (poll(&p, 1, WAIT_MS) != 1)
		fail_msg("the worker does not give the session back");
	n = ipc_recv(lot_fd, msg, sizeof(msg), fds, &nfds);
	assert_true(n > 0);
	u = unpack_make(msg, (size_t)n);
	assert_int_equal(unpack_u8(&u), WORK_RESULT);
	assert_true(work_unpack_result(&u, out));
	assert_int_equal(out->id, 7);
	assert_int_equal(nfds, out->has_lock ? 1 : 0);
}

/* The client's end; the worker's is given with the first work and kept open here like a lot does. */
static void
session_pair(int pair[2])
{
	assert_int_equal(ipc_pair(SOCK_STREAM, pair), 0);
	assert_int_equal(fd_nonblock(pair[0]), 0);
}

/* A new IMAP session up to the point where it is parked; its state as packed. */
static void
login(const char *user, char *state, size_t *n_out)
{
	struct work_result r;
	int pair[2], fds[IPC_FDS_MAX];

	session_pair(pair);
	work_send(SESSION_NEW, SESS_IMAP, user, SLICE(""), SLICE(""), pair[0]);
	result_next(&r, fds);
	assert_true(r.is_parked);
	assert_true(session_expect(pair[1], "a0 OK", WAIT_MS));
	memcpy(state, r.state.p, r.state.n);
	*n_out = r.state.n;
	close(pair[0]);
	close(pair[1]);
}

/* alice selects, reads and leaves half a command; bob, who has the worker next, sees nothing of it. */
static void
test_next_user(void **state)
{
	char fresh[SESSION_STATE_MAX_BYTES], after[SESSION_STATE_MAX_BYTES], alice[SESSION_STATE_MAX_BYTES];
	size_t nfresh, nafter, nalice;
	struct work_result r;
	int pair[2], fds[IPC_FDS_MAX];

	(void)state;
	spools_make();
	worker_begin();
	login("bob", fresh, &nfresh);
	login("alice", alice, &nalice);
	session_pair(pair);
	session_say(pair[1], "a1 SELECT INBOX\r\na2 FETCH 1 BODY[]\r\n");
	work_send(SESSION_INPUT, SESS_IMAP, "alice", (struct slice){alice, nalice}, SLICE(""), pair[0]);
	result_next(&r, fds);
	assert_true(r.is_parked);
	assert_true(session_expect(pair[1], "secret of alice", WAIT_MS));
	memcpy(alice, r.state.p, r.state.n);
	nalice = r.state.n;
	close(pair[0]);
	close(pair[1]);

	login("bob", after, &nafter);
	assert_int_equal(nafter, nfresh);
	assert_memory_equal(after, fresh, nfresh);
	session_pair(pair);
	session_say(pair[1], "b1 FETCH 1 BODY[]\r\nb2 SELECT INBOX\r\nb3 FETCH 1 BODY[]\r\n");
	work_send(SESSION_INPUT, SESS_IMAP, "bob", (struct slice){after, nafter}, SLICE(""), pair[0]);
	result_next(&r, fds);
	assert_true(r.is_parked);
	assert_true(session_expect(pair[1], "secret of bob", WAIT_MS));
	close(pair[0]);
	close(pair[1]);

	/* And alice's state under bob's name shows bob nothing of hers. */
	session_pair(pair);
	session_say(pair[1], "c1 FETCH 1 BODY[]\r\nc2 LOGOUT\r\n");
	work_send(SESSION_INPUT, SESS_IMAP, "bob", (struct slice){alice, nalice}, SLICE(""), pair[0]);
	result_next(&r, fds);
	close(pair[0]);
	assert_false(session_expect(pair[1], "secret of alice", 500));
	close(pair[1]);
	worker_end();
}

/* States made up: the session ends or goes on, the worker lives. */
static void
test_forged_state(void **state)
{
	char good[SESSION_STATE_MAX_BYTES], bad[SESSION_STATE_MAX_BYTES];
	size_t n;
	struct work_result r;
	int pair[2], fds[IPC_FDS_MAX];
	unsigned seed = 1;

	(void)state;
	spools_make();
	worker_begin();
	login("alice", good, &n);
	session_pair(pair);
	session_say(pair[1], "a1 SELECT INBOX\r\na2 IDLE\r\n");
	work_send(SESSION_INPUT, SESS_IMAP, "alice", (struct slice){good, n}, SLICE(""), pair[0]);
	result_next(&r, fds);
	assert_true(r.is_parked);
	memcpy(good, r.state.p, r.state.n);
	n = r.state.n;
	close(pair[0]);
	close(pair[1]);
	for (int i = 0; i < 300; i++) {
		size_t len = i < (int)n ? (size_t)i : n;	/* cut, then whole with bytes changed */
		enum session_why why = i % 2 == 0 ? SESSION_INPUT : SESSION_CHANGED;

		memcpy(bad, good, n);
		if (i >= (int)n)
			for (int k = 0; k < 4; k++)
				bad[(size_t)rand_r(&seed) % n] = (char)rand_r(&seed);
		session_pair(pair);
		session_say(pair[1], "DONE\r\na3 FETCH 1:* (FLAGS UID)\r\na4 LOGOUT\r\n");
		work_send(why, i % 5 == 4 ? SESS_POP3 : SESS_IMAP, "alice", (struct slice){bad, len}, SLICE(""), pair[0]);
		result_next(&r, fds);
		if (r.has_lock)
			close(fds[0]);
		close(pair[0]);
		close(pair[1]);
	}
	login("bob", bad, &n);
	worker_end();
}

static int
worker_teardown(void **state)
{
	if (lot_fd >= 0)
		close(lot_fd);
	lot_fd = -1;
	if (worker_pid > 0) {
		kill(worker_pid, SIGKILL);
		waitpid(worker_pid, NULL, 0);
		worker_pid = 0;
	}
	return dir_teardown(state);
}

int
main(void)
{
#define ROW(t)	cmocka_unit_test_setup_teardown(t, dir_setup, worker_teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_next_user),
		ROW(test_forged_state),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
