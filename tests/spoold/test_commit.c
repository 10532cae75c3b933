/*
 * The committer alone, with the test as its worker and as lmtpd: what it writes to the redundant
 * spool, what it refuses, and whom it answers.
 */
#include "spoold_run.h"

#include <sys/resource.h>
#include <sys/syscall.h>

#include "commit.h"
#include "commitc.h"

static struct site site;
static int meddle;		/* so many writes to the redundant file find another's bytes in front of them */

/* Instead of libc's: another committer that appends to the same file just before us. */
ssize_t
write(int fd, const void *p, size_t n)
{
	struct stat st;

	if (meddle > 0 && fd > 2 && (fcntl(fd, F_GETFL) & O_APPEND) != 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		meddle--;
		(void)!syscall(SYS_write, fd, "of another committer", 20);
	}
	return syscall(SYS_write, fd, p, n);
}

static pid_t commit_pid;
static int parent_fd = -1, worker_fd = -1, log_fd = -1;

/* file_max: RLIMIT_FSIZE of the committer, 0: none. */
static void
commit_begin(bool single_copy, uint64_t file_max)
{
	static char socket[PATH_MAX];
	struct stat st;
	int pair[2];

	(void)snprintf(socket, sizeof(socket), "%s", in_dir("rotated"));
	site = (struct site){.npartitions = 1, .partitions = {"default"}, .nvolumes = 1, .epoch = 3};
	site.conf = (struct spoold_conf){.redundant_socket = socket, .sync_interval_ms = 50,
	    .single_copy = single_copy, .drain_max_s = 1};
	site.calls = calls;
	site.volumes[0].fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fstat(site.volumes[0].fd, &st), 0);
	site.volumes[0].dev = st.st_dev;
	notify_make(&site.notify, 1);
	site.commit_fd = ipc_listen(in_dir("commit"), SOCK_SEQPACKET, 0600, 16);
	assert_true(site.commit_fd >= 0);
	assert_int_equal(fd_nonblock(site.commit_fd), 0);
	assert_int_equal(ipc_pair(SOCK_SEQPACKET, pair), 0);
	commit_pid = fork();
	if (commit_pid == 0) {
		int fd = open(in_dir("log"), O_WRONLY | O_APPEND | O_CREAT, 0600);

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, 2);
		close(pair[0]);
		if (file_max > 0)
			setrlimit(RLIMIT_FSIZE, &(struct rlimit){file_max, file_max});
		signal(SIGXFSZ, SIG_IGN);
		log_init("spoold/commit");
		commit_run(&site, pair[1]);
	}
	close(pair[1]);
	close(site.commit_fd);
	parent_fd = pair[0];
	worker_fd = ipc_connect(in_dir("commit"), SOCK_SEQPACKET);
	assert_true(worker_fd >= 0);
	log_fd = open(in_dir("segment"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int
commit_teardown(void **state)
{
	if (commit_pid > 0) {
		kill(commit_pid, SIGKILL);
		waitpid(commit_pid, NULL, 0);
	}
	commit_pid = 0;
	close(parent_fd);
	close(worker_fd);
	close(log_fd);
	close(site.volumes[0].fd);
	return dir_teardown(state);
}

struct request {
	struct commit_head	head;
	struct record		record;
	struct commit_body	body;
};

static struct request
message_request(uint64_t req, const char *text)
{
	static char extra[512];
	static struct record_message m;
	struct buf b = buf_make(sizeof(extra));
	struct request r = {.head = {.req = req, .wait = true, .epoch = 3, .nlogs = 1, .nrecords = 1}};

	m = (struct record_message){.sender = SLICE("ann@b.example"), .qid = SLICE("q"), .naddressees = 1};
	m.addressees[0] = (struct record_addressee){.user = SLICE("alice"), .uid = 1, .modseq = 1};
	record_message_pack(&b, &m);
	memcpy(extra, b.p, b.n);
	r.record = (struct record){.type = RECORD_MESSAGE, .extra = {extra, b.n}, .body_bytes = strlen(text)};
	r.body.mem = slice_of(text);
	buf_free(&b);
	return r;
}

static void
request_send(const struct request *r, const int *fds, size_t nfds)
{
	struct buf b = buf_make(IPC_MSG_MAX_BYTES);

	pack_u8(&b, COMMIT_PIECE);
	pack_u8(&b, 1);
	commit_pack_head(&b, &r->head);
	commit_pack_record(&b, &r->record, &r->body);
	assert_true(pack_ok(&b));
	assert_int_equal(ipc_send(worker_fd, buf_slice(&b), fds, nfds), 0);
	buf_free(&b);
}

/* The next result's outcome; -1 where the committer closed the connection. */
static int
result_next(uint64_t req)
{
	struct pollfd p = {.fd = worker_fd, .events = POLLIN};
	char msg[64];
	struct unpack u;
	ssize_t n;
	int outcome;

	if (poll(&p, 1, WAIT_MS) != 1)
		fail_msg("no result of the committer");
	n = recv(worker_fd, msg, sizeof(msg), 0);
	if (n <= 0)
		return -1;
	u = unpack_make(msg, (size_t)n);
	assert_int_equal(unpack_u8(&u), COMMIT_RESULT);
	assert_int_equal(unpack_u64(&u), req);
	outcome = unpack_u8(&u);
	assert_true(unpack_end(&u));
	return outcome;
}

/* Reads a redundant file as rotated does: every record must be whole and its checksums hold. How many after the first. */
static size_t
records_in(const char *name, char types[], size_t cap)
{
	static char all[1 << 20];
	int fd = open(in_dir(name), O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, all, sizeof(all));
	size_t n = 0, need;
	uint32_t salt;

	close(fd);
	assert_true(size > 0);
	assert_int_equal(record_parse_salt((struct slice){all, (size_t)size}, &salt, &need), PARSE_OK);
	for (size_t at = 0; at < (size_t)size;) {
		struct record r;
		size_t body;

		assert_int_equal(record_parse_head((struct slice){all + at, (size_t)size - at}, salt, &r, &need), PARSE_OK);
		body = at + RECORD_HEADER_BYTES + r.extra.n;
		assert_int_equal(record_parse_trailer((struct slice){all + body + r.body_bytes,
		    (size_t)size - body - r.body_bytes}, salt, &r), PARSE_OK);
		assert_int_equal(r.start, at);
		assert_int_equal(r.body_crc, record_crc(salt, (struct slice){all + body, r.body_bytes}));
		assert_true(n < cap);
		types[n++] = (char)r.type;
		at += record_bytes(&r);
	}
	return n - 1;
}

static void
test_records(void **state)
{
	char types[16];
	struct request r;
	int body = memfd_create("body", MFD_CLOEXEC), fds[2] = {log_fd, body};

	(void)state;
	rotated_start();
	commit_begin(false, 0);
	r = message_request(1, "inline body\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(1), COMMIT_OK);
	/* A body by descriptor, from an offset. */
	assert_int_equal(write(body, "xxxxbody by descriptor\r\n", 24), 24);
	r = message_request(2, "");
	r.record.body_bytes = 20;
	r.body = (struct commit_body){.is_fd = true, .offset = 4};
	fds[0] = log_fd;
	request_send(&r, fds, 2);
	assert_int_equal(result_next(2), COMMIT_OK);
	/* A change nobody waits for: written, not answered. */
	r = (struct request){.head = {.req = 3, .epoch = 3, .user = SLICE("alice"), .nrecords = 1},
	    .record = {.type = RECORD_FLAGS, .modseq = 9, .extra = SLICE("whatever")}};
	request_send(&r, NULL, 0);
	r = message_request(4, "last\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(4), COMMIT_OK);
	assert_int_equal(records_in("redundant/default.2026-01-01", types, sizeof(types)), 4);
	assert_memory_equal(types, "SMMFM", 5);
	assert_int_equal(count_in("redundant/default.2026-01-01", "body by descriptor\r\n"), 1);
	assert_int_equal(count_in("redundant/default.2026-01-01", "xxxxbody"), 0);
	assert_int_equal(count_in("redundant/default.2026-01-01", "alicewhatever"), 1);
	close(body);
}

/* In pieces, as a large request comes. */
static void
test_pieces(void **state)
{
	struct request r;
	struct buf b = buf_make(1 << 20);

	(void)state;
	rotated_start();
	commit_begin(false, 0);
	r = message_request(5, "in pieces\r\n");
	commit_pack_head(&b, &r.head);
	commit_pack_record(&b, &r.record, &r.body);
	for (size_t i = 0; i < b.n; i++) {
		char head[2] = {COMMIT_PIECE, i + 1 == b.n};
		struct slice parts[2] = {{head, 2}, {b.p + i, 1}};

		assert_int_equal(ipc_sendv(worker_fd, parts, 2, &log_fd, i == 0 ? 1 : 0), 0);
	}
	assert_int_equal(result_next(5), COMMIT_OK);
	buf_free(&b);
}

static void
test_refused(void **state)
{
	struct request r;

	(void)state;
	rotated_start();
	commit_begin(false, 0);
	r = message_request(1, "of another epoch\r\n");
	r.head.epoch = 2;
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(1), COMMIT_MOVED);
	/* The log was removed meanwhile. */
	unlink(in_dir("segment"));
	r = message_request(2, "into nowhere\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(2), COMMIT_MOVED);
}

/* A worker that lies loses its connection; the committer goes on. */
static void
test_nonsense(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t	    n;
	} rows[] = {
		{"unknown verb", "\11x", 2},
		{"a result", "\4\0\0\0\0\0\0\0\0\0", 10},
		{"empty piece", "\3\1", 2},
		{"short head", "\3\1abc", 5},
		{"a connection without a descriptor", "\1\1\0\0\0", 5},
		{"connection number 0", "\1\0\0\0\0", 5},
		{"neither last nor not", "\3\2abc", 5},
	};
	struct request r;

	(void)state;
	rotated_start();
	commit_begin(false, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(send(worker_fd, rows[i].bytes, rows[i].n, 0), (ssize_t)rows[i].n);
		if (result_next(0) != -1)
			fail_msg("%s", rows[i].name);
		close(worker_fd);
		worker_fd = ipc_connect(in_dir("commit"), SOCK_SEQPACKET);
	}
	/* A log fewer than said, and a body that is not there. */
	r = message_request(1, "x\r\n");
	request_send(&r, NULL, 0);
	assert_int_equal(result_next(1), -1);
	close(worker_fd);
	worker_fd = ipc_connect(in_dir("commit"), SOCK_SEQPACKET);
	r = message_request(2, "good\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(2), COMMIT_OK);
}

/* The file cannot grow: what does not fit fails, what was torn does not spoil the next day's file. */
static void
test_short_write(void **state)
{
	char types[16];
	struct request r;

	(void)state;
	rotated_start();
	commit_begin(false, 900);
	r = message_request(1, "fits\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(1), COMMIT_OK);
	r = message_request(2, "does not fit, whatever is tried, because it is far too long for what is left of the file: "
	    "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(2), COMMIT_FAILED);
	assert_int_equal(count_in("log", "warn.redundant.write"), 1);
	rotated_rotate();
	wait_log("redundant.present", 2);
	r = message_request(3, "next day\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(3), COMMIT_OK);
	assert_int_equal(records_in("redundant/default.2026-01-02", types, sizeof(types)), 1);
}

/* Two generations append to the same file: a record that is not where it says is written again. */
static void
test_two_committers(void **state)
{
	static char all[1 << 16];
	struct request r;
	struct record t = {0}, h;
	uint32_t salt;
	size_t need, size;
	int fd;

	(void)state;
	rotated_start();
	meddle = 2;
	commit_begin(false, 0);
	meddle = 0;
	r = message_request(1, "written between\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(1), COMMIT_OK);
	fd = open(in_dir("redundant/default.2026-01-01"), O_RDONLY | O_CLOEXEC);
	size = (size_t)read(fd, all, sizeof(all));
	close(fd);
	assert_int_equal(count_in("redundant/default.2026-01-01", "written between"), 3);
	assert_int_equal(record_parse_salt((struct slice){all, size}, &salt, &need), PARSE_OK);
	assert_int_equal(record_parse_trailer((struct slice){all + size - RECORD_TRAILER_BYTES, RECORD_TRAILER_BYTES}, salt, &t),
	    PARSE_OK);
	assert_int_equal(record_parse_head((struct slice){all + t.start, size - t.start}, salt, &h, &need), PARSE_OK);
	assert_int_equal(t.start + record_bytes(&h), size);
}

/* lmtpd is answered by the committer itself, also when the worker is gone. */
static void
test_answers(void **state)
{
	struct request r;
	char user[USER_MAX_BYTES + 1];
	uint64_t origin;
	uint32_t req, index;
	int pair[2];

	(void)state;
	rotated_start();
	commit_begin(false, 0);
	assert_int_equal(ipc_pair(SOCK_SEQPACKET, pair), 0);
	assert_int_equal(fd_nonblock(pair[1]), 0);
	notify_watch(&site.notify, 0, SLICE("bob"), true);	/* nobody has a session of alice */
	assert_int_equal(ipc_send(worker_fd, (struct slice){"\1\7\0\0\0", 5}, &pair[1], 1), 0);
	close(pair[1]);
	r = message_request(1, "answered\r\n");
	r.head.answer = (struct commit_answer){.conn = 7, .req = 99, .sid = SLICE("s"), .qid = SLICE("q"), .nrcpts = 2};
	r.head.answer.rcpts[0] = (struct commit_rcpt){.index = 4, .uid = 1, .user = SLICE("alice")};
	r.head.answer.rcpts[1] = (struct commit_rcpt){.index = 6, .uid = 1, .user = SLICE("bob")};
	request_send(&r, &log_fd, 1);
	close(worker_fd);
	worker_fd = -1;
	assert_int_equal(deliver_answer_next(pair[0], &req, &index), 250);
	assert_int_equal(req, 99);
	assert_int_equal(index, 4);
	assert_int_equal(deliver_answer_next(pair[0], &req, &index), 250);
	assert_int_equal(index, 6);
	/* And then the connection ends with its worker. */
	assert_int_equal(deliver_answer_next(pair[0], &req, &index), -1);
	close(pair[0]);
	wait_log("deliver.done", 2);
	assert_true(notify_read(&site.notify, 0, user, &origin));
	assert_string_equal(user, "bob");
	assert_false(notify_read(&site.notify, 0, user, &origin));
	notify_watch(&site.notify, 0, SLICE("bob"), false);
	notify_user(&site.notify, SLICE("bob"), 0);
	assert_false(notify_read(&site.notify, 0, user, &origin));
}

/* What the committer's syncs do and say, in memory shared with it. */
static struct held {
	atomic_int	is_held;	/* syncs wait */
	atomic_int	nwaiting;
	atomic_int	n;
	ino_t		inodes[64];
} *held;

static int
held_sync(int fd)
{
	struct stat st;
	int n;

	assert_int_equal(fstat(fd, &st), 0);
	if ((n = atomic_fetch_add(&held->n, 1)) < 64)
		held->inodes[n] = st.st_ino;
	atomic_fetch_add(&held->nwaiting, 1);
	for (int i = 0; i < WAIT_MS && atomic_load(&held->is_held); i++)
		nap(1);
	atomic_fetch_sub(&held->nwaiting, 1);
	return 0;
}

/* How often a file was synced. */
static int
syncs_of(const char *name)
{
	struct stat st;
	int n = 0;

	assert_int_equal(stat(in_dir(name), &st), 0);
	for (int i = 0; i < atomic_load(&held->n); i++)
		n += held->inodes[i] == st.st_ino;
	return n;
}

static void
wait_count(const char *name, const char *text, size_t want)
{
	for (int i = 0; i < WAIT_MS / 10 && count_in(name, text) != want; i++)
		nap(10);
	assert_int_equal(count_in(name, text), want);
}

/*
 * While a round of syncs is under way the next batch is written. The day it went to may retire meanwhile, or
 * rotated may die: it is synced all the same before anybody is told, and what comes later goes elsewhere.
 */
static void
ahead_of(bool is_lost)
{
	struct request r;

	held = mmap(NULL, sizeof(*held), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(held, MAP_FAILED);
	calls = (struct site_calls){.syncfs = held_sync, .fdatasync = held_sync};
	rotated_start();
	atomic_store(&held->is_held, 1);
	commit_begin(false, 0);
	r = message_request(1, "first of three\r\n");
	request_send(&r, &log_fd, 1);
	wait_count("redundant/default.2026-01-01", "first of three", 1);
	/* Both copies are synced at the same time. */
	for (int i = 0; i < WAIT_MS && atomic_load(&held->nwaiting) < 2; i++)
		nap(1);
	assert_int_equal(atomic_load(&held->nwaiting), 2);
	r = message_request(2, "second of three\r\n");
	request_send(&r, &log_fd, 1);
	wait_count("redundant/default.2026-01-01", "second of three", 1);
	assert_int_equal(syncs_of("redundant/default.2026-01-01"), 1);
	if (is_lost) {
		kill(rotated_pid, SIGKILL);
		waitpid(rotated_pid, NULL, 0);
		rotated_pid = -1;
		for (int i = 0; i < WAIT_MS && atomic_load(&site.notify.shared->absent) == 0; i++)
			nap(1);
		assert_int_equal(atomic_load(&site.notify.shared->absent), 1);
	} else {
		rotated_rotate();
		wait_log("redundant.present", 2);
		r = message_request(3, "third of three\r\n");
		request_send(&r, &log_fd, 1);
		nap(100);
		assert_int_equal(count_in("redundant/default.2026-01-02", "third of three"), 0);
	}
	atomic_store(&held->is_held, 0);
	assert_int_equal(result_next(1), COMMIT_OK);
	assert_int_equal(result_next(2), COMMIT_OK);
	assert_int_equal(syncs_of("redundant/default.2026-01-01"), 2);
	if (!is_lost) {
		assert_int_equal(result_next(3), COMMIT_OK);
		assert_int_equal(syncs_of("redundant/default.2026-01-02"), 1);
	}
	calls = (struct site_calls){0};
	munmap(held, sizeof(*held));
}

static void
test_ahead_rotated(void **state)
{
	(void)state;
	ahead_of(false);
}

static void
test_ahead_lost(void **state)
{
	(void)state;
	ahead_of(true);
}

static void
test_stop(void **state)
{
	struct request r;
	int status;

	(void)state;
	rotated_start();
	commit_begin(false, 0);
	r = message_request(1, "before the end\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(1), COMMIT_OK);
	kill(commit_pid, SIGTERM);
	/* It stays as long as a worker does. */
	r = message_request(2, "still\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(2), COMMIT_OK);
	assert_int_equal(waitpid(commit_pid, &status, WNOHANG), 0);
	close(worker_fd);
	worker_fd = -1;
	assert_int_equal(waitpid(commit_pid, &status, 0), commit_pid);
	commit_pid = 0;
	assert_int_equal(status, 0);
	assert_int_equal(atomic_load(&site.notify.shared->is_synced), 1);
}

/* Another generation took over: workers are told, and what they still send is done. */
static void
test_drain(void **state)
{
	struct request r;
	int status;
	char verb;

	(void)state;
	rotated_start();
	commit_begin(false, 0);
	r = message_request(1, "one\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(1), COMMIT_OK);
	close(parent_fd);
	parent_fd = -1;
	assert_int_equal(recv(worker_fd, &verb, 1, 0), 1);
	assert_int_equal(verb, COMMIT_DRAIN);
	r = message_request(2, "two\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(2), COMMIT_OK);
	close(worker_fd);
	worker_fd = -1;
	assert_int_equal(waitpid(commit_pid, &status, 0), commit_pid);
	commit_pid = 0;
	assert_int_equal(status, 0);
	assert_int_equal(atomic_load(&site.notify.shared->is_synced), 0);
}

static void
test_single_copy(void **state)
{
	struct request r;

	(void)state;
	commit_begin(true, 0);
	r = message_request(1, "once\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(1), COMMIT_OK);
}

static void
test_absent(void **state)
{
	struct request r;

	(void)state;
	commit_begin(false, 0);
	r = message_request(1, "never\r\n");
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(1), COMMIT_ABSENT);
	wait_log("warn.redundant.absent", 1);
	rotated_start();
	wait_log("redundant.present", 1);
	request_send(&r, &log_fd, 1);
	assert_int_equal(result_next(1), COMMIT_OK);
}

/* A committer that answers the first request so, and takes all others. */
static _Noreturn void
answer_one(int listen_fd, enum commit_outcome outcome)
{
	struct buf b = buf_make(64);
	int fd, fds[IPC_FDS_MAX];
	static char msg[IPC_MSG_MAX_BYTES];
	size_t nfds;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	pack_u8(&b, COMMIT_RESULT);
	pack_u64(&b, 1);
	pack_u8(&b, (uint8_t)outcome);
	if ((fd = accept(listen_fd, NULL, NULL)) < 0 || ipc_recv(fd, msg, sizeof(msg), fds, &nfds) <= 0 ||
	    ipc_send(fd, buf_slice(&b), NULL, 0) != 0)
		_exit(1);
	while (ipc_recv(fd, msg, sizeof(msg), fds, &nfds) > 0)
		ipc_close_fds(fds, nfds);
	_exit(0);
}

/* Why a request was refused is still known after what is undone because of it, which nobody waits for. */
static void
test_reason(void **state)
{
	static struct site here = {.partitions = {"default"}, .npartitions = 1};
	static char socket_path[PATH_MAX];
	struct record r = {.type = RECORD_EXPUNGE};
	struct store_commit sc = {.user = SLICE("alice"), .partition = "default", .records = &r, .nrecords = 1, .wait = true};
	struct commitc c;
	int listen_fd, status;
	pid_t pid;

	(void)state;
	(void)snprintf(socket_path, sizeof(socket_path), "%s", in_dir("commit"));
	here.conf.commit_socket = socket_path;
	listen_fd = ipc_listen(socket_path, SOCK_SEQPACKET, 0600, 4);
	assert_true(listen_fd >= 0);
	if ((pid = fork()) == 0)
		answer_one(listen_fd, COMMIT_ABSENT);
	close(listen_fd);
	commitc_init(&c, &here);
	sc.log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_int_equal(commitc_commit(&c, &sc), -1);
	assert_int_equal(c.last, COMMIT_ABSENT);
	sc.wait = false;
	assert_int_equal(commitc_commit(&c, &sc), 0);
	assert_int_equal(c.last, COMMIT_ABSENT);
	close(sc.log_fd);
	commitc_close(&c);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
#define ROW(t)	cmocka_unit_test_setup_teardown(t, dir_setup, commit_teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_records),
		ROW(test_pieces),
		ROW(test_refused),
		ROW(test_nonsense),
		ROW(test_short_write),
		ROW(test_two_committers),
		ROW(test_answers),
		ROW(test_ahead_rotated),
		ROW(test_ahead_lost),
		ROW(test_stop),
		ROW(test_drain),
		ROW(test_single_copy),
		ROW(test_absent),
		ROW(test_reason),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
