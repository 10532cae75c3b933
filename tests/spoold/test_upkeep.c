/*
 * The upkeep process with the test as its parent: who may order, orders one behind the other, a due checkpoint while an
 * order for all users runs, and how a slow one is ended.
 */
#include "spoold_run.h"

#include "store/checkpoint.h"
#include "store/store_impl.h"
#include "upkeep.h"
#include "upkeepmsg.h"

#define MIB		(1024 * 1024)
#define SEGMENT_BYTES	(6 * MIB)	/* more than upkeep writes between two looks at the clock */
#define STRANGER	64999
#define SLOW_RATE	(64 * 1024)	/* the least that upkeep_rate may be: a segment takes more than a minute */
#define FAST_RATE	(1ULL << 34)
#define END_MS		3000		/* so long it may take to end in the middle of anything */

static struct site site;
static struct store_host host;
static pid_t upkeep_pid;
static int chan_fd = -1;

/* ---- users ---- */

static int
no_commit(void *arg, const struct store_commit *c)
{
	(void)arg;
	(void)c;
	return 0;
}

static void
deliver(const char *user, uint32_t n, size_t bytes)
{
	static char text[MIB];
	static uint32_t serial;

	memset(text, 'x', sizeof(text));
	for (uint32_t i = 0; i < n; i++) {
		unsigned char key[16] = {1}, guid[16] = {2};
		struct store_delivery d = {.user = slice_of(user), .sender = SLICE("ann@b.example"), .qid = SLICE("q"), .key = key,
		    .guid = guid, .date_ms = now_ms(), .body = {.mem = {text, bytes}, .fd = -1, .bytes = bytes}};
		struct store_placed placed;

		serial++;
		memcpy(key + 4, &serial, sizeof(serial));
		memcpy(guid + 4, &serial, sizeof(serial));
		assert_int_equal(store_deliver(&host, &d, &placed), STORE_OK);
		close(placed.log_fd);
	}
}

/* A user with a sealed segment of which a sixth is of a purged message. */
static void
make_big(const char *user)
{
	char name[USER_MAX_BYTES + 8];
	unsigned char id[16];
	struct uid_range one = {1, 1};
	struct store *s;
	uint64_t n;

	assert_int_equal(store_create(&host, slice_of(user)), STORE_OK);
	assert_int_equal(store_open(&host, slice_of(user), &s), FOUND);
	(void)snprintf(name, sizeof(name), "user.%s", user);
	assert_int_equal(store_mbox_create(s, slice_of(name), USE_NONE, id), STORE_OK);
	deliver(user, 8, MIB);
	assert_int_equal(store_expunge(s, id, &(struct uid_set){&one, 1}, false, &n), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + 1000, &n), STORE_OK);
	assert_int_equal(n, 1);
	store_close(s);
}

/* A user with nothing to compact, and so much since the start of the log that a checkpoint is due. */
static void
make_due(const char *user)
{
	assert_int_equal(store_create(&host, slice_of(user)), STORE_OK);
	deliver(user, CHECKPOINT_RECORDS + 1, 100);
}

static const char *
user_file(const char *user, const char *name)
{
	static char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/active/default/%02x/%s/%s", dir, ~record_crc(UINT32_MAX, slice_of(user)) & 0xff,
	    user, name);
	return path;
}

static bool
has_file(const char *user, const char *name)
{
	return access(user_file(user, name), F_OK) == 0;
}

static struct stat
stat_of(const char *user, const char *name)
{
	struct stat st;

	assert_int_equal(stat(user_file(user, name), &st), 0);
	return st;
}

/* ---- the process ---- */

static void
on_term(int signo)
{
	(void)signo;
	child_term = 1;
}

static void
site_make(void)
{
	static char active[PATH_MAX], index[PATH_MAX], commit[PATH_MAX];
	int due[2];

	(void)snprintf(active, sizeof(active), "%s", in_dir("active"));
	(void)snprintf(index, sizeof(index), "%s", in_dir("index"));
	(void)snprintf(commit, sizeof(commit), "%s", in_dir("commit"));
	site = (struct site){.partitions = {"default"}, .npartitions = 1};
	site.conf = (struct spoold_conf){.active_dir = active, .index_dir = index, .commit_socket = commit, .mupdate = "",
	    .hostname = "host.example", .segment_max_bytes = SEGMENT_BYTES, .map_bytes = 1 << 27, .upkeep_rate = FAST_RATE};
	notify_make(&site.notify, 1);
	assert_int_equal(dir_make(in_dir("index/default"), (uid_t)-1, (gid_t)-1, 0700), 0);
	assert_int_equal(epoch_begin(active, "default", false, &site.epoch), 0);
	assert_int_equal(ipc_pair(SOCK_DGRAM, due), 0);
	site.due_recv_fd = due[0];
	site.due_send_fd = due[1];
	/* As in spoold: everybody may connect, and is then looked at. */
	assert_int_equal(chmod(dir, 0711), 0);
	site.upkeep_fd = ipc_listen(in_dir("upkeep"), SOCK_SEQPACKET, 0666, 16);
	assert_true(site.upkeep_fd >= 0);
	assert_int_equal(fd_nonblock(site.upkeep_fd), 0);
	host = site_host(&site);
	host.commit = no_commit;
}

static void
upkeep_begin(uint64_t rate_bytes)
{
	int pair[2];

	store_drop_cached();
	site.conf.upkeep_rate = rate_bytes;
	assert_int_equal(ipc_pair(SOCK_SEQPACKET, pair), 0);
	upkeep_pid = fork();
	if (upkeep_pid == 0) {
		int log_fd = open(in_dir("log"), O_WRONLY | O_APPEND | O_CREAT, 0600);
		struct sigaction sa = {.sa_handler = on_term};

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigaction(SIGTERM, &sa, NULL);
		dup2(log_fd, 2);
		close(pair[0]);
		log_init("spoold/upkeep");
		upkeep_run(&site, pair[1]);
	}
	close(pair[1]);
	chan_fd = pair[0];
}

/* It ends in time, and in good order. */
static void
upkeep_gone(void)
{
	int status;

	for (int ms = 0; waitpid(upkeep_pid, &status, WNOHANG) == 0; ms += 5) {
		if (ms > END_MS)
			fail_msg("upkeep does not end");
		nap(5);
	}
	upkeep_pid = 0;
	assert_int_equal(status, 0);
	if (chan_fd >= 0)
		close(chan_fd);
	chan_fd = -1;
}

static void
upkeep_end_orderly(void)
{
	kill(upkeep_pid, SIGTERM);
	upkeep_gone();
}

/* ---- who orders ---- */

static int
order(uint8_t what, bool is_forced, const char *user)
{
	struct upkeep_order o = {.what = what, .is_forced = is_forced, .user = slice_of(user)};
	struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);
	int fd = ipc_connect(in_dir("upkeep"), SOCK_SEQPACKET);

	assert_true(fd >= 0);
	upkeep_pack_order(&b, &o);
	assert_int_equal(ipc_send(fd, buf_slice(&b), NULL, 0), 0);
	buf_free(&b);
	return fd;
}

struct answer {
	uint8_t			verb;	/* 0: the connection is closed */
	struct upkeep_progress	progress;
	struct upkeep_end	end;
};

static struct answer
answer_next(int fd)
{
	static char msg[UPKEEP_MSG_MAX_BYTES];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct answer a = {0};
	struct unpack u;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n;

	if (poll(&p, 1, WAIT_MS) != 1)
		fail_msg("upkeep does not answer");
	if ((n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds)) <= 0)
		return a;
	u = unpack_make(msg, (size_t)n);
	a.verb = unpack_u8(&u);
	assert_true(a.verb == UPKEEP_PROGRESS ? upkeep_unpack_progress(&u, &a.progress) :
	    a.verb == UPKEEP_END && upkeep_unpack_end(&u, &a.end));
	return a;
}

/* The answer after all progress. */
static struct upkeep_end
answer_end(int fd)
{
	struct answer a;

	while ((a = answer_next(fd)).verb == UPKEEP_PROGRESS)
		continue;
	assert_int_equal(a.verb, UPKEEP_END);
	assert_int_equal(answer_next(fd).verb, 0);
	close(fd);
	return a.end;
}

/* ---- tests ---- */

/* Neither a stranger nor a line that is no order gets an answer, and both are told in the log. */
static void
test_refused(void **state)
{
	static const char bad[] = {UPKEEP_ORDER, UPKEEP_ALL + 1, 0, 0, 0, 0, 0};
	struct upkeep_end end;
	int fd, status;

	(void)state;
	site_make();
	make_big("alice");
	upkeep_begin(FAST_RATE);
	fd = ipc_connect(in_dir("upkeep"), SOCK_SEQPACKET);
	assert_int_equal(ipc_send(fd, (struct slice){bad, sizeof(bad)}, NULL, 0), 0);
	assert_int_equal(answer_next(fd).verb, 0);
	close(fd);
	wait_log("warn.upkeep.bad", 1);
	if (geteuid() == 0) {
		pid_t pid = fork();

		if (pid == 0) {
			if (setresuid(STRANGER, STRANGER, STRANGER) != 0)
				_exit(2);
			/* Nothing that fails here may run on as a second test program. */
			if ((fd = ipc_connect(in_dir("upkeep"), SOCK_SEQPACKET)) < 0)
				_exit(3);
			_exit(upkeep_ask(in_dir("upkeep"), &(struct upkeep_order){.what = UPKEEP_ALL}) == 0 || errno == EPIPE ? 0 : 4);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		wait_log("warn.peer.refused", 2);
		assert_int_equal(count_in("log", "upkeep.done"), 0);
		assert_false(has_file("alice", "checkpoint"));
		/* Named in the configuration he may. */
		upkeep_end_orderly();
		site.upkeep_uids[0] = STRANGER;
		site.nupkeep_uids = 1;
		upkeep_begin(FAST_RATE);
		if ((pid = fork()) == 0)
			_exit(setresuid(STRANGER, STRANGER, STRANGER) == 0 &&
			    upkeep_ask(in_dir("upkeep"), &(struct upkeep_order){.what = UPKEEP_CHECKPOINT, .is_forced = true}) == 0 ? 0 : 5);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		wait_log("upkeep.done", 1);
	}
	/* And it goes on serving who may. */
	end = answer_end(order(UPKEEP_COMPACT, true, "alice"));
	assert_int_equal(end.users, 1);
	assert_int_equal(end.segments, 1);
	end = answer_end(order(UPKEEP_COMPACT, true, "nobody"));
	assert_int_equal(end.users, 0);
	assert_int_equal(end.failed, 1);
	upkeep_end_orderly();
}

/* One order after the other: those that come meanwhile wait, also those of who does not. */
static void
test_one_by_one(void **state)
{
	struct pollfd p = {.events = POLLIN};
	struct upkeep_end end;
	int first, second;

	(void)state;
	site_make();
	make_big("alice");
	make_big("bob");
	make_big("carol");
	upkeep_begin(4 * MIB);
	first = order(UPKEEP_COMPACT, true, "alice");
	assert_int_equal(answer_next(first).verb, UPKEEP_PROGRESS);
	second = order(UPKEEP_COMPACT, true, "bob");
	assert_int_equal(upkeep_ask(in_dir("upkeep"),
	    &(struct upkeep_order){.what = UPKEEP_COMPACT, .is_forced = true, .user = SLICE("carol")}), 0);
	/* Nobody has looked at it before the first is done. */
	p.fd = second;
	assert_int_equal(poll(&p, 1, 200), 0);
	assert_int_equal(count_in("log", "upkeep.done"), 0);
	end = answer_end(first);
	assert_int_equal(end.segments, 1);
	assert_int_equal(end.failed, 0);
	end = answer_end(second);
	assert_int_equal(end.segments, 1);
	wait_log("upkeep.done", 3);
	assert_int_equal(count_in("log", "store.compacted"), 3);
	upkeep_end_orderly();
}

/* Whoever ordered is gone: the work is done all the same. */
static void
test_client_gone(void **state)
{
	int fd;

	(void)state;
	site_make();
	make_big("alice");
	upkeep_begin(8 * MIB);
	fd = order(UPKEEP_COMPACT, true, "");
	assert_int_equal(answer_next(fd).verb, UPKEEP_PROGRESS);
	close(fd);
	wait_log("upkeep.done", 1);
	wait_log("segments=1 damaged=0", 1);
	upkeep_end_orderly();
}

/* An order for all users takes long: a checkpoint that is due meanwhile is made between two of them. */
static void
test_due_between(void **state)
{
	struct upkeep_end end;
	struct answer a;
	char first[USER_MAX_BYTES + 1] = "", user[USER_MAX_BYTES + 1];
	int fd;

	(void)state;
	site_make();
	make_big("alice");
	make_big("bob");
	make_due("carol");
	upkeep_begin(4 * MIB);
	fd = order(UPKEEP_COMPACT, true, "");
	for (;;) {
		a = answer_next(fd);
		assert_int_equal(a.verb, UPKEEP_PROGRESS);
		(void)snprintf(user, sizeof(user), "%.*s", (int)a.progress.user.n, a.progress.user.p);
		if (strcmp(user, "carol") == 0)
			continue;
		if (first[0] != '\0')
			break;
		/* One of the two that take a second each; compaction itself makes none for carol. */
		strcpy(first, user);
		assert_false(has_file("carol", "checkpoint"));
		upkeep_due(&site, SLICE("carol"));
		upkeep_due(&site, SLICE("carol"));	/* told twice, made once */
		upkeep_due(&site, SLICE("../carol"));	/* is nobody */
	}
	/* The other one's turn: carol's is there, and the order still runs. */
	assert_string_not_equal(first, user);
	assert_true(has_file("carol", "checkpoint"));
	assert_int_equal(count_in("log", "upkeep.done"), 0);
	end = answer_end(fd);
	assert_int_equal(end.users, 3);
	assert_int_equal(end.segments, 2);
	assert_int_equal(end.failed, 0);
	assert_int_equal(count_in("log", "store.checkpoint user=carol"), 1);
	upkeep_end_orderly();
	assert_int_equal(count_in("log", "warn."), 0);
}

/* A due checkpoint alone, and one that is not due (any more) is not made. */
static void
test_due_alone(void **state)
{
	(void)state;
	site_make();
	make_due("carol");
	assert_int_equal(store_create(&host, SLICE("dave")), STORE_OK);
	upkeep_begin(FAST_RATE);
	upkeep_due(&site, SLICE("dave"));
	upkeep_due(&site, SLICE("carol"));
	wait_log("store.checkpoint user=carol", 1);
	upkeep_due(&site, SLICE("carol"));
	upkeep_due(&site, SLICE("nobody"));
	(void)answer_end(order(UPKEEP_COMPACT, false, "dave"));	/* comes after those */
	upkeep_end_orderly();
	assert_int_equal(count_in("log", "store.checkpoint"), 1);
	assert_false(has_file("dave", "checkpoint"));
}

/*
 * At the lowest rate a segment takes minutes. SIGTERM, or the end of the channel (the next generation has its own), ends it in
 * the middle: that is said to who waits, is no fault, leaves nothing behind, and the next one does it.
 */
static void
ended_slow(bool by_signal, bool is_checkpoint_first)
{
	uint8_t what = is_checkpoint_first ? UPKEEP_CHECKPOINT | UPKEEP_COMPACT : UPKEEP_COMPACT;
	struct stat before, after;
	struct upkeep_end end;
	int fd;

	site_make();
	make_big("alice");
	make_big("bob");
	before = stat_of("alice", "log.000001");
	upkeep_begin(SLOW_RATE);
	fd = order(what, true, "");
	assert_int_equal(answer_next(fd).verb, UPKEEP_PROGRESS);
	for (int ms = 0; !has_file("alice", "compact.new") && !has_file("bob", "compact.new"); ms += 5) {
		assert_true(ms < WAIT_MS);
		nap(5);
	}
	nap(500);
	if (by_signal)
		kill(upkeep_pid, SIGTERM);
	else {
		close(chan_fd);
		chan_fd = -1;
	}
	upkeep_gone();
	end = answer_end(fd);
	assert_true(end.is_cut);
	assert_int_equal(end.failed, 0);
	assert_int_equal(end.users, 1);
	assert_int_equal(end.segments, 0);
	assert_int_equal(count_in("log", "cut=1"), 1);
	assert_int_equal(count_in("log", "warn."), 0);
	assert_int_equal(count_in("log", "upkeep.failed"), 0);
	assert_false(has_file("alice", "compact.new") || has_file("bob", "compact.new"));
	after = stat_of("alice", "log.000001");
	assert_true(before.st_ino == after.st_ino && before.st_size == after.st_size);

	upkeep_begin(FAST_RATE);
	end = answer_end(order(what, true, ""));
	assert_false(end.is_cut);
	assert_int_equal(end.users, 2);
	assert_int_equal(end.segments, 2);
	assert_true(end.before_bytes > end.after_bytes + 2 * MIB - 65536);
	upkeep_end_orderly();
}

static void
test_term(void **state)
{
	(void)state;
	ended_slow(true, true);
}

static void
test_drain(void **state)
{
	(void)state;
	ended_slow(false, false);
}

/* Killed in the middle, what it wrote so far is in nobody's way. */
static void
test_killed(void **state)
{
	struct upkeep_end end;
	int fd, status;

	(void)state;
	site_make();
	make_big("alice");
	upkeep_begin(SLOW_RATE);
	fd = order(UPKEEP_COMPACT, true, "");
	for (int ms = 0; !has_file("alice", "compact.new"); ms += 5) {
		assert_true(ms < WAIT_MS);
		nap(5);
	}
	kill(upkeep_pid, SIGKILL);
	assert_int_equal(waitpid(upkeep_pid, &status, 0), upkeep_pid);
	while (answer_next(fd).verb == UPKEEP_PROGRESS)
		continue;
	close(fd);
	close(chan_fd);
	upkeep_begin(FAST_RATE);
	end = answer_end(order(UPKEEP_COMPACT, true, ""));
	assert_int_equal(end.segments, 1);
	assert_false(has_file("alice", "compact.new"));
	upkeep_end_orderly();
}

static int
upkeep_teardown(void **state)
{
	int *fds[] = {&chan_fd, &site.due_recv_fd, &site.due_send_fd, &site.upkeep_fd};

	if (upkeep_pid > 0) {
		kill(upkeep_pid, SIGKILL);
		waitpid(upkeep_pid, NULL, 0);
		upkeep_pid = 0;
	}
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] > 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	store_drop_cached();
	return dir_teardown(state);
}

int
main(void)
{
#define ROW(t)	cmocka_unit_test_setup_teardown(t, dir_setup, upkeep_teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_refused),
		ROW(test_one_by_one),
		ROW(test_client_gone),
		ROW(test_due_between),
		ROW(test_due_alone),
		ROW(test_term),
		ROW(test_drain),
		ROW(test_killed),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
