/*
 * The whole of rotated (but main) against committers made here: rotation in the middle of writes loses nothing and
 * puts every record into exactly one day; restarts, damage, orders, strangers.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "fixture.h"

#include "children.h"
#include "control.h"
#include "daylog.h"
#include "index.h"
#include "ipc.h"
#include "log.h"
#include "redundant.h"
#include "scan.h"

#define WAIT_MS	10000

static struct settings	settings;
static int		dir;
static pid_t		parent;
static char		redundant_path[80], control_path[80];

/* ---- rotated ---- */

static void
start(void)
{
	static char name[] = "rotated", *argv[] = {name, NULL};

	parent = fork();
	assert_true(parent >= 0);
	if (parent == 0) {
		log_init("rotated");
		_exit(children_run(argv, &settings));
	}
}

static void
stop(void)
{
	int status;

	assert_int_equal(kill(parent, SIGTERM), 0);
	assert_int_equal(waitpid(parent, &status, 0), parent);
	assert_int_equal(status, 0);
}

static int
setup(void **state)
{
	(void)state;
	log_init("test");
	signal(SIGPIPE, SIG_IGN);
	dir = fixture_make();
	snprintf(redundant_path, sizeof(redundant_path), "%s/redundant.sock", fixture_dir);
	snprintf(control_path, sizeof(control_path), "%s/control.sock", fixture_dir);
	settings = (struct settings){
		.redundant_dir = fixture_dir, .redundant_socket = redundant_path, .control_socket = control_path, .upkeep_socket = "",
		.rotate_at = "00:00", .retention_days = 30, .index_memory = 65536,
	};
	start();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	stop();
	fixture_remove(dir);
	return 0;
}

static int
connect_to(const char *path)
{
	static const struct timeval limit = {.tv_sec = WAIT_MS / 1000};
	int fd = -1;

	for (int i = 0; i < WAIT_MS / 10 && fd < 0; i++) {
		if ((fd = ipc_connect(path, SOCK_SEQPACKET)) < 0)
			usleep(10000);
	}
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	return fd;
}

/* An order of rotatectl; its last text in text (may be NULL). True when it was carried out. */
static bool
order(enum control_order what, char *text, size_t cap)
{
	static char msg[CONTROL_MSG_MAX_BYTES];
	struct buf out = buf_make(16);
	int fd = connect_to(control_path), fds[IPC_FDS_MAX];
	bool is_done = false;
	size_t nfds;

	control_pack_order(&out, what);
	assert_int_equal(ipc_send(fd, buf_slice(&out), NULL, 0), 0);
	buf_free(&out);
	for (;;) {
		ssize_t n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);
		struct unpack u = unpack_make(msg, n > 0 ? (size_t)n : 0);
		struct slice s;

		assert_true(n > 0);
		if (unpack_u8(&u) == CONTROL_END) {
			assert_true(control_unpack_end(&u, &is_done, &s));
			if (text != NULL && s.n > 0)
				snprintf(text, cap, "%.*s", (int)s.n, s.p);
			break;
		}
		assert_true(control_unpack_text(&u, &s));
		if (text != NULL)
			snprintf(text, cap, "%.*s", (int)s.n, s.p);
	}
	close(fd);
	return is_done;
}

/* ---- a committer ---- */

struct fake {
	int		fd, log;
	uint32_t	salt;
	char		day[REDUNDANT_DAY_MAX_BYTES + 1];
	size_t		ndays;
};

static void
fake_hello(struct fake *f, const char *partition)
{
	struct buf out = buf_make(256);

	*f = (struct fake){.fd = connect_to(redundant_path), .log = -1};
	redundant_pack_hello(&out, slice_of(partition));
	assert_int_equal(ipc_send(f->fd, buf_slice(&out), NULL, 0), 0);
	buf_free(&out);
}

/* Takes the next day; says that the one before is closed when it is. */
static void
fake_take(struct fake *f, bool says_closed)
{
	int fds[IPC_FDS_MAX], before = f->log;
	struct buf out = buf_make(256);
	struct slice day;
	uint64_t size;
	size_t nfds;
	char msg[256];
	ssize_t n = ipc_recv(f->fd, msg, sizeof(msg), fds, &nfds);
	struct unpack u = unpack_make(msg, n > 0 ? (size_t)n : 0);

	assert_true(n > 0);
	assert_int_equal(unpack_u8(&u), REDUNDANT_DAY);
	assert_int_equal(nfds, 1);
	redundant_pack_closed(&out, slice_of(f->day));
	assert_true(redundant_unpack_day(&u, &day, &f->salt, &size));
	snprintf(f->day, sizeof(f->day), "%.*s", (int)day.n, day.p);
	f->log = fds[0];
	f->ndays++;
	if (before >= 0) {
		assert_int_equal(fdatasync(before), 0);
		close(before);
		if (says_closed)
			assert_int_equal(ipc_send(f->fd, buf_slice(&out), NULL, 0), 0);
	}
	buf_free(&out);
}

static bool
fake_is_called(const struct fake *f, int wait_ms)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};

	return poll(&p, 1, wait_ms) == 1;
}

static void
fake_end(struct fake *f)
{
	close(f->fd);
	if (f->log >= 0)
		close(f->log);
}

/* ---- what is on disk ---- */

/* Counts in how many records each modseq below n stands over all days of a partition. Days used. */
static size_t
count_records(const char *partition, unsigned char *counts, size_t n)
{
	struct day *days;
	size_t ndays, used = 0;

	assert_int_equal(daylog_list(dir, &days, &ndays), 0);
	for (size_t i = 0; i < ndays; i++) {
		char path[200];
		struct record r;
		uint64_t body_at;
		struct scan s;
		int fd;

		snprintf(path, sizeof(path), "%s/%s/%s.log", fixture_dir, days[i].name, partition);
		if ((fd = open(path, O_RDONLY)) < 0)
			continue;
		used++;
		assert_int_equal(scan_begin(fd, &s), SCAN_RECORD);
		while (scan_next(&s, &r, &body_at) == SCAN_RECORD) {
			if (r.type != RECORD_SEGMENT && r.modseq < n)
				counts[r.modseq]++;
		}
		assert_int_equal(s.ndamaged, 0);
		scan_free(&s);
		close(fd);
	}
	free(days);
	return used;
}

static bool
wait_for_index(const char *day, const char *partition)
{
	for (int i = 0; i < WAIT_MS / 10; i++) {
		int fd = openat(dir, day, O_RDONLY | O_DIRECTORY);
		bool is_there = fd >= 0 && index_is_current(fd, partition);

		if (fd >= 0)
			close(fd);
		if (is_there)
			return true;
		usleep(10000);
	}
	return false;
}

/* ---- tests ---- */

static void
test_rotation_while_writing(void **state)
{
	enum { RECORDS = 3000, ROTATIONS = 7 };
	static unsigned char counts[RECORDS];
	char days[ROTATIONS + 2][40];
	size_t ordered = 0;
	struct fake f;

	(void)state;
	memset(counts, 0, sizeof(counts));
	fake_hello(&f, "main");
	fake_take(&f, true);
	for (uint64_t i = 0; i < RECORDS; i++) {
		bool is_due = i % (RECORDS / (ROTATIONS + 1)) == 5 && ordered < ROTATIONS;

		/* Normally it comes in the middle of writes; only when the next is due we wait for it. */
		if (f.ndays <= ordered && fake_is_called(&f, is_due ? WAIT_MS : 0)) {
			memcpy(days[f.ndays - 1], f.day, sizeof(f.day));
			fake_take(&f, true);
		}
		if (is_due && ordered++ % 2 == 0)
			assert_int_equal(kill(parent, SIGUSR1), 0);
		else if (is_due)
			assert_true(order(CONTROL_ROTATE, NULL, 0));
		fixture_message(f.log, f.salt, i, (uint32_t)i + 1, SLICE("From: x\r\n\r\nbody\r\n"), i % 3 + 1);
	}
	if (f.ndays <= ordered && fake_is_called(&f, WAIT_MS)) {
		memcpy(days[f.ndays - 1], f.day, sizeof(f.day));
		fake_take(&f, true);
	}
	assert_int_equal(f.ndays, ROTATIONS + 1);
	assert_int_equal(count_records("main", counts, RECORDS), f.ndays);
	for (size_t i = 0; i < RECORDS; i++) {
		if (counts[i] != 1)
			fail_msg("record %zu stands %d times", i, counts[i]);
	}
	for (size_t i = 0; i + 1 < f.ndays; i++)
		assert_true(wait_for_index(days[i], "main"));
	fake_end(&f);
}

/* A day that a committer has not closed is not finished: it gets no index. */
static void
test_unclosed(void **state)
{
	struct fake f, other;
	char text[4096], day[40];
	int fd;

	(void)state;
	fake_hello(&f, "main");
	fake_take(&f, true);
	fake_hello(&other, "other");
	fake_take(&other, true);
	assert_string_equal(f.day, other.day);
	memcpy(day, f.day, sizeof(f.day));
	assert_true(order(CONTROL_ROTATE, text, sizeof(text)));
	fake_take(&f, true);
	fake_take(&other, false);
	assert_string_equal(f.day, text);
	assert_string_equal(other.day, text);
	assert_true(order(CONTROL_STATUS, text, sizeof(text)));
	assert_non_null(strstr(text, " closing\n"));
	assert_non_null(strstr(text, " current connected\n"));
	usleep(200000);
	fd = openat(dir, day, O_RDONLY | O_DIRECTORY);
	assert_false(index_is_current(fd, "main"));
	close(fd);
	/* Its end closes what it had open. */
	fake_end(&other);
	assert_true(wait_for_index(day, "main"));
	assert_true(wait_for_index(day, "other"));
	fake_end(&f);
}

/* The day goes on over a restart of rotated, and over the death of the days process. */
static void
test_restart(void **state)
{
	static unsigned char counts[30];
	char day[40];
	uint32_t salt;
	struct fake f;

	(void)state;
	fake_hello(&f, "main");
	fake_take(&f, true);
	memcpy(day, f.day, sizeof(f.day));
	salt = f.salt;
	for (uint64_t i = 0; i < 10; i++)
		fixture_message(f.log, f.salt, i, 1, SLICE("x\r\n"), 1);
	stop();
	/* Our descriptor outlives it: what is in flight still arrives. */
	for (uint64_t i = 10; i < 20; i++)
		fixture_message(f.log, f.salt, i, 1, SLICE("x\r\n"), 1);
	fake_end(&f);
	start();
	fake_hello(&f, "main");
	fake_take(&f, true);
	assert_string_equal(f.day, day);
	assert_int_equal(f.salt, salt);
	for (uint64_t i = 20; i < 30; i++)
		fixture_message(f.log, f.salt, i, 1, SLICE("x\r\n"), 1);
	memset(counts, 0, sizeof(counts));
	assert_int_equal(count_records("main", counts, 30), 1);
	for (size_t i = 0; i < 30; i++)
		assert_int_equal(counts[i], 1);
	fake_end(&f);
}

static void
test_killed_child(void **state)
{
	char command[80], line[32];
	char msg[64];
	int fds[IPC_FDS_MAX];
	size_t nfds;
	struct fake f;
	FILE *p;

	(void)state;
	fake_hello(&f, "main");
	fake_take(&f, true);
	snprintf(command, sizeof(command), "pgrep -P %d", (int)parent);
	assert_non_null(p = popen(command, "r"));
	assert_non_null(fgets(line, sizeof(line), p));
	pclose(p);
	assert_int_equal(kill((pid_t)atoi(line), SIGKILL), 0);
	assert_true(ipc_recv(f.fd, msg, sizeof(msg), fds, &nfds) <= 0);
	fake_end(&f);
	fake_hello(&f, "main");
	fake_take(&f, true);
	fixture_message(f.log, f.salt, 1, 1, SLICE("x\r\n"), 1);
	fake_end(&f);
}

/* A log that cannot be gone on with is left alone; the day goes on under its next name. */
static void
test_damaged_header(void **state)
{
	char path[200], day[40];
	struct fake f, other;
	int fd;

	(void)state;
	fake_hello(&f, "main");
	fake_take(&f, true);
	memcpy(day, f.day, sizeof(f.day));
	snprintf(path, sizeof(path), "%s/%s/other.log", fixture_dir, f.day);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "not a log", 9), 9);
	close(fd);
	fake_hello(&other, "other");
	fake_take(&other, true);
	assert_string_not_equal(other.day, day);
	fake_take(&f, true);
	assert_string_equal(f.day, other.day);
	fake_end(&f);
	fake_end(&other);
}

static void
test_purge_order(void **state)
{
	struct stat st;
	char text[256];

	(void)state;
	assert_int_equal(mkdirat(dir, "2001-01-01", 0700), 0);
	assert_int_equal(mkdirat(dir, "not-a-day", 0700), 0);
	assert_true(order(CONTROL_PURGE, text, sizeof(text)));
	assert_int_equal(fstatat(dir, "2001-01-01", &st, 0), -1);
	assert_int_equal(fstatat(dir, "not-a-day", &st, 0), 0);
}

/* Nonsense closes the connection it came on, and no other. */
static void
test_nonsense(void **state)
{
	static const struct {
		const char	*name;
		struct slice	 msg;
		bool		 to_control;
	} rows[] = {
		{"unknown verb", {"\x09", 1}, false},
		{"hello, empty name", {"\x01\0\0\0\0", 5}, false},
		{"hello, a path", {"\x01\x04\0\0\0../x", 9}, false},
		{"hello, hidden", {"\x01\x02\0\0\0.x", 7}, false},
		{"hello, control bytes", {"\x01\x02\0\0\0a\n", 7}, false},
		{"hello and more", {"\x01\x01\0\0\0ab", 7}, false},
		{"closed before hello", {"\x03\x0a\0\0\0002026-11-22", 15}, false},
		{"our own verb", {"\x02\x01\0\0\0a\0\0\0\0\0\0\0\0\0\0\0\0", 18}, false},
		{"unknown order", {"\x07", 1}, true},
		{"order and more", {"\x03x", 2}, true},
	};
	struct fake f;

	(void)state;
	fake_hello(&f, "main");
	fake_take(&f, true);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = connect_to(rows[i].to_control ? control_path : redundant_path), fds[IPC_FDS_MAX];
		char msg[256];
		size_t nfds;

		assert_int_equal(ipc_send(fd, rows[i].msg, &f.log, 1), 0);
		if (ipc_recv(fd, msg, sizeof(msg), fds, &nfds) > 0)
			fail_msg("%s: answered", rows[i].name);
		close(fd);
	}
	assert_true(order(CONTROL_ROTATE, NULL, 0));
	fake_take(&f, true);
	fake_end(&f);
}

/* A stranger's uid is turned away from both doors. */
static void
test_stranger(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(fixture_dir, 0755), 0);
	close(connect_to(control_path));	/* both sockets are there */
	if ((pid = fork()) == 0) {
		const char *paths[] = {redundant_path, control_path};

		if (setuid(65534) < 0)
			_exit(10);
		for (int i = 0; i < 2; i++) {
			int fd = ipc_connect(paths[i], SOCK_SEQPACKET), fds[IPC_FDS_MAX];
			struct buf out = buf_make(64);
			char msg[64];
			size_t nfds;

			if (fd < 0)
				_exit(11);
			redundant_pack_hello(&out, SLICE("main"));
			(void)!ipc_send(fd, buf_slice(&out), NULL, 0);
			if (ipc_recv(fd, msg, sizeof(msg), fds, &nfds) > 0)
				_exit(12 + i);
			buf_free(&out);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rotation_while_writing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unclosed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_child, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_purge_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stranger, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
