/*
 * For tests: a whole spoold (its own code, forked, not executed) in a temporary directory, a small
 * rotated beside it, and clients for its sockets. Every wait has a deadline.
 */
#ifndef TS_TEST_SPOOLD_RUN_H
#define TS_TEST_SPOOLD_RUN_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "children.h"
#include "delivery.h"
#include "ipc.h"
#include "log.h"
#include "parent.h"
#include "record.h"
#include "redundant.h"
#include "sessopen.h"
#include "site.h"

#define WAIT_MS		20000	/* longest any single step may take here */
#define DAYS_MAX	16

static char	dir[64];		/* of this test */
static pid_t	spoold_pid = -1, rotated_pid = -1;
static int	rotated_fd = -1;	/* commands to the small rotated */
static struct site_calls calls;		/* of the next spoold */

static inline void
nap(int ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L}, NULL);
}

static inline const char *
in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static int i;

	i = (i + 1) % 4;
	(void)snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

/* How often text stands in a file of dir. */
static inline size_t
count_in(const char *name, const char *text)
{
	int fd = open(in_dir(name), O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t n = 0;
	char *all, *at;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0) {
		close(fd);
		return 0;
	}
	all = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_true(all != MAP_FAILED);
	for (at = all; (at = memmem(at, (size_t)(all + st.st_size - at), text, strlen(text))) != NULL; at++)
		n++;
	munmap(all, (size_t)st.st_size);
	close(fd);
	return n;
}

/* Waits until text stands n times in the log. */
static inline void
wait_log(const char *text, size_t n)
{
	for (int ms = 0; count_in("log", text) < n; ms += 10) {
		if (ms > WAIT_MS)
			fail_msg("not in the log %zu times: %s", n, text);
		nap(10);
	}
}

/* ---- a small rotated: one partition after another on its connections ---- */

struct small_rotated {
	int	conns[8];
	char	partitions[8][REDUNDANT_PARTITION_MAX_BYTES + 1];
	size_t	n;
	int	day;
};

static inline void
rotated_give(struct small_rotated *r, size_t i)
{
	struct record seg = {.type = RECORD_SEGMENT, .uid = (uint32_t)(4711 + r->day), .next_uid = 1, .next_modseq = 1};
	struct buf b = buf_make(4096), extra = buf_make(1024);
	char day[16], path[PATH_MAX];
	struct stat st;
	int fd;

	(void)snprintf(day, sizeof(day), "2026-01-%02d", r->day);
	(void)snprintf(path, sizeof(path), "%s/redundant/%s.%s", dir, r->partitions[i], day);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) != 0)
		_exit(1);
	if (st.st_size == 0) {
		pack_u32(&extra, 1);
		pack_u32(&extra, 1);
		pack_str(&extra, SLICE("redundant"));
		pack_str(&extra, slice_of(r->partitions[i]));
		seg.extra = buf_slice(&extra);
		record_pack_head(&b, &seg, seg.uid);
		seg.body_crc = seg.uid;
		record_pack_trailer(&b, &seg, seg.uid);
		if (write(fd, b.p, b.n) != (ssize_t)b.n)
			_exit(1);
		buf_clear(&b);
	}
	redundant_pack_day(&b, slice_of(day), seg.uid, (uint64_t)st.st_size);
	(void)!ipc_send(r->conns[i], buf_slice(&b), &fd, 1);
	close(fd);
	buf_free(&b);
	buf_free(&extra);
}

static inline void
rotated_drop(struct small_rotated *r, size_t i)
{
	close(r->conns[i]);
	r->n--;
	r->conns[i] = r->conns[r->n];
	memcpy(r->partitions[i], r->partitions[r->n], sizeof(r->partitions[i]));
}

static inline void
rotated_message(struct small_rotated *r, size_t i)
{
	char msg[256];
	int fds[IPC_FDS_MAX], fd;
	size_t nfds;
	ssize_t n = ipc_recv(r->conns[i], msg, sizeof(msg), fds, &nfds);
	struct unpack u = unpack_make(msg, n > 0 ? (size_t)n : 0);
	struct slice text;

	if (n <= 0) {
		rotated_drop(r, i);
		return;
	}
	switch (unpack_u8(&u)) {
	case REDUNDANT_HELLO:
		if (!redundant_unpack_hello(&u, &text))
			_exit(1);
		memcpy(r->partitions[i], text.p, text.n);
		r->partitions[i][text.n] = '\0';
		rotated_give(r, i);
		break;
	case REDUNDANT_CLOSED:
		if (!redundant_unpack_closed(&u, &text))
			_exit(1);
		fd = open(in_dir("closed"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		(void)!write(fd, text.p, text.n);
		(void)!write(fd, "\n", 1);
		close(fd);
		break;
	}
}

static inline _Noreturn void
rotated_main(int listen_fd, int command_fd)
{
	struct small_rotated r = {.day = 1};
	char command;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		struct pollfd p[10] = {{.fd = listen_fd, .events = POLLIN}, {.fd = command_fd, .events = POLLIN}};
		size_t n = r.n;

		for (size_t i = 0; i < n; i++)
			p[2 + i] = (struct pollfd){.fd = r.conns[i], .events = POLLIN};
		if (poll(p, (nfds_t)(2 + n), -1) < 0)
			continue;
		for (size_t i = n; i > 0; i--)
			if (p[2 + i - 1].revents != 0)
				rotated_message(&r, i - 1);
		if (p[0].revents != 0 && r.n < 8)
			r.conns[r.n++] = accept(listen_fd, NULL, NULL);
		if (p[1].revents == 0)
			continue;
		if (read(command_fd, &command, 1) != 1)
			_exit(0);
		r.day++;
		for (size_t i = 0; i < r.n; i++)
			rotated_give(&r, i);
	}
}

static inline void
rotated_start(void)
{
	int listen_fd = ipc_listen(in_dir("rotated"), SOCK_SEQPACKET, 0600, 16), pair[2];

	assert_true(listen_fd >= 0);
	assert_int_equal(ipc_pair(SOCK_STREAM, pair), 0);
	rotated_pid = fork();
	if (rotated_pid == 0)
		rotated_main(listen_fd, pair[1]);
	close(listen_fd);
	close(pair[1]);
	rotated_fd = pair[0];
}

static inline void
rotated_stop(void)
{
	kill(rotated_pid, SIGKILL);
	waitpid(rotated_pid, NULL, 0);
	rotated_pid = -1;
	close(rotated_fd);
}

static inline void
rotated_rotate(void)
{
	assert_int_equal(write(rotated_fd, "r", 1), 1);
}

/* ---- spoold ---- */

static inline _Noreturn void
spoold_main(const char *conf_path)
{
	static struct site site;
	static char *argv[] = {"spoold", NULL};
	int log_fd = open(in_dir("log"), O_WRONLY | O_APPEND | O_CREAT, 0600);
	struct parent *parent;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(log_fd, 2);
	close(log_fd);
	log_init("spoold");
	conf_load(spoold_keys, spoold_nkeys, conf_path, &site.conf);
	spoold_conf_finish(&site.conf);
	site.calls = calls;
	parent = parent_make(argv, 10000);
	site_prepare(&site, parent);
	children_start(parent, &site);
	(void)parent_run(parent);
	site_end(&site);
	_exit(0);
}

/* more: further lines of configuration. */
static inline void
spoold_start(const char *more)
{
	FILE *f = fopen(in_dir("conf"), "we");

	assert_non_null(f);
	fprintf(f,
	    "session_socket = %s/session\ndeliver_socket = %s/deliver\ncommit_socket = %s/commit\n"
	    "upkeep_socket = %s/upkeep\nredundant_socket = %s/rotated\nmupdate =\nhostname = host.example\nactive_dir = %s/active\nindex_dir = %s/index\n"
	    "reserve = 0\n%s",
	    dir, dir, dir, dir, dir, dir, dir, more);
	fclose(f);
	spoold_pid = fork();
	if (spoold_pid == 0)
		spoold_main(in_dir("conf"));
	for (int ms = 0; access(in_dir("commit"), F_OK) != 0; ms += 5) {
		if (ms > WAIT_MS)
			fail_msg("spoold did not start");
		nap(5);
	}
}

/* An orderly stop; it must be one. */
static inline void
spoold_stop(void)
{
	int status;

	kill(spoold_pid, SIGTERM);
	for (int ms = 0; waitpid(spoold_pid, &status, WNOHANG) == 0; ms += 10) {
		if (ms > WAIT_MS)
			fail_msg("spoold did not stop");
		nap(10);
	}
	spoold_pid = -1;
	unlink(in_dir("commit"));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("spoold ended with %x", (unsigned)status);
}

/* The pid of a child of spoold by its name in ps ("commit", "worker", "deliver", "lot"); 0: none (yet). */
static inline pid_t
child_named(const char *name)
{
	char path[64], line[256], want[64];
	pid_t found = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)spoold_pid, (int)spoold_pid);
	f = fopen(path, "re");
	assert_non_null(f);
	(void)snprintf(want, sizeof(want), "%s", name);
	for (int pid; fscanf(f, "%d", &pid) == 1;) {
		FILE *comm;

		(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		comm = fopen(path, "re");
		if (comm != NULL && fgets(line, sizeof(line), comm) != NULL && strstr(line, want) != NULL)
			found = pid;
		if (comm != NULL)
			fclose(comm);
	}
	fclose(f);
	return found;
}

static inline void
kill_child(const char *name)
{
	pid_t pid = 0;

	for (int ms = 0; (pid = child_named(name)) == 0; ms += 10) {
		if (ms > WAIT_MS)
			fail_msg("no child %s", name);
		nap(10);
	}
	kill(pid, SIGKILL);
}

static inline int
dir_setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/spoold-test-XXXXXX");
	if (mkdtemp(dir) == NULL || mkdir(in_dir("redundant"), 0700) != 0)
		return -1;
	calls = (struct site_calls){0};
	return 0;
}

/* Whatever a failed test left running is ended by its pid. KEEP in the environment leaves the directory. */
static inline int
dir_teardown(void **state)
{
	char command[128];

	(void)state;
	if (spoold_pid > 0) {
		kill(spoold_pid, SIGKILL);
		waitpid(spoold_pid, NULL, 0);
		spoold_pid = -1;
	}
	if (rotated_pid > 0)
		rotated_stop();
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (getenv("KEEP") != NULL)
		print_message("left: %s\n", dir);
	return getenv("KEEP") != NULL ? 0 : system(command);
}

/* ---- lmtpd's side ---- */

static inline int
deliver_connect(void)
{
	int fd = -1;

	for (int ms = 0; (fd = ipc_connect(in_dir("deliver"), SOCK_SEQPACKET)) < 0; ms += 10) {
		if (ms > WAIT_MS)
			fail_msg("no deliver socket");
		nap(10);
	}
	return fd;
}

static inline int
deliver_send(int fd, uint32_t req, const char *const *users, size_t nusers, struct slice message, int body_fd)
{
	static struct delivery d;
	static uint64_t nkeys;
	struct buf b = buf_make(IPC_MSG_MAX_BYTES);
	int sent;

	d = (struct delivery){.req = req, .sid = SLICE("test"), .qid = SLICE("q1"), .sender = SLICE("ann@b.example"),
	    .received_ms = now_ms(), .size = message.n, .message = message, .nrcpts = nusers};
	if (body_fd >= 0) {
		d.message = SLICE("");
		d.size = (uint64_t)lseek(body_fd, 0, SEEK_END);
	}
	memcpy(d.key, &(uint64_t){++nkeys}, sizeof(nkeys));	/* no two are each other's repeat */
	for (size_t i = 0; i < nusers; i++)
		d.rcpts[i] = (struct delivery_rcpt){.user = slice_of(users[i]), .mailbox = SLICE(""), .place = true};
	delivery_pack_submit(&b, &d);
	assert_true(pack_ok(&b));
	sent = ipc_send(fd, buf_slice(&b), &body_fd, body_fd >= 0 ? 1 : 0);
	buf_free(&b);
	return sent;
}

/* One answer; code, or -1 when the connection ended. */
static inline int
deliver_answer_next(int fd, uint32_t *req_out, uint32_t *index_out)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char msg[1024];
	int fds[IPC_FDS_MAX];
	size_t nfds;
	struct reply r;
	struct unpack u;
	ssize_t n;

	if (poll(&p, 1, WAIT_MS) != 1)
		fail_msg("no answer of the delivery worker");
	n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);
	if (n <= 0)
		return -1;
	u = unpack_make(msg, (size_t)n);
	assert_int_equal(unpack_u8(&u), DELIVERY_DONE);
	assert_true(delivery_unpack_done(&u, req_out, index_out, &r));
	return r.code;
}

/* Delivers one message to one user on a connection of its own; the code. */
static inline int
deliver_one(const char *user, struct slice message)
{
	int fd = deliver_connect(), code;
	uint32_t req, index;

	assert_int_equal(deliver_send(fd, 1, &user, 1, message, -1), 0);
	code = deliver_answer_next(fd, &req, &index);
	close(fd);
	return code;
}

/* ---- proxyd's side ---- */

/* Opens a session; the answer, and the client's end (-1 where it was refused). */
static inline int
session_try(enum sess_proto proto, const char *user, const char *sid, int *fd_out)
{
	struct sessopen o = {.proto = proto, .user = slice_of(user), .sid = slice_of(sid), .tag = SLICE("a0"),
	    .addr = SLICE("192.0.2.1"), .port = 1};
	struct buf b = buf_make(4096);
	struct pollfd p = {.events = POLLIN};
	unsigned char answer = 0;
	int pair[2], fd = -1;

	for (int ms = 0; (fd = ipc_connect(in_dir("session"), SOCK_SEQPACKET)) < 0; ms += 10) {
		if (ms > WAIT_MS)
			fail_msg("no session socket");
		nap(10);
	}
	assert_int_equal(ipc_pair(SOCK_STREAM, pair), 0);
	sessopen_pack(&b, &o);
	assert_int_equal(ipc_send(fd, buf_slice(&b), &pair[1], 1), 0);
	close(pair[1]);
	p.fd = fd;
	if (poll(&p, 1, WAIT_MS) != 1 || recv(fd, &answer, 1, 0) != 1)
		fail_msg("no answer of the lot");
	close(fd);
	buf_free(&b);
	*fd_out = pair[0];
	if (answer != SESSOPEN_OK) {
		close(pair[0]);
		*fd_out = -1;
	}
	return answer;
}

/* Reads until text was seen; false at the end or when it did not come in time. */
static inline bool
session_expect(int fd, const char *text, int wait_ms)
{
	static char got[1024 * 1024];
	int64_t end = mono_ms() + wait_ms, left;
	size_t n = 0;

	while ((left = end - mono_ms()) > 0 && n < sizeof(got) - 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t k;

		if (poll(&p, 1, (int)left) != 1)
			return false;
		k = recv(fd, got + n, sizeof(got) - 1 - n, MSG_DONTWAIT);
		if (k <= 0)
			return false;
		n += (size_t)k;
		got[n] = '\0';
		if (strstr(got, text) != NULL)
			return true;
	}
	return false;
}

static inline void
session_say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

#endif
