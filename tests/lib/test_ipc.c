/*
 * Messages with descriptors: whole or not at all, no descriptor left behind, dead sockets replaced and live ones not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc.h"

static size_t
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void
test_messages(void **state)
{
	static char big[IPC_MSG_MAX_BYTES];
	const struct slice parts[] = {SLICE("ab"), SLICE(""), SLICE("cde")};
	int pair[2], fds[IPC_FDS_MAX], mine[IPC_FDS_MAX];
	size_t nfds, before;
	char got[16];

	(void)state;
	assert_int_equal(ipc_pair(SOCK_SEQPACKET, pair), 0);
	before = open_fds();
	for (size_t i = 0; i < IPC_FDS_MAX; i++)
		mine[i] = pair[0];
	assert_int_equal(ipc_sendv(pair[0], parts, 3, mine, IPC_FDS_MAX), 0);
	assert_int_equal(ipc_recv(pair[1], got, sizeof(got), fds, &nfds), 5);
	assert_memory_equal(got, "abcde", 5);
	assert_int_equal(nfds, IPC_FDS_MAX);
	for (size_t i = 0; i < nfds; i++)
		assert_int_equal(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ipc_close_fds(fds, nfds);
	assert_int_equal(fds[0], -1);
	assert_int_equal(open_fds(), before);
	/* The largest message goes through. */
	assert_int_equal(ipc_send(pair[0], (struct slice){big, sizeof(big)}, NULL, 0), 0);
	assert_int_equal(ipc_recv(pair[1], big, sizeof(big), fds, &nfds), sizeof(big));
	/* What does not fit is gone, its descriptors closed. */
	assert_int_equal(ipc_send(pair[0], SLICE("0123456789abcdefg"), mine, 2), 0);
	assert_int_equal(ipc_recv(pair[1], got, sizeof(got), fds, &nfds), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(nfds, 0);
	assert_int_equal(open_fds(), before);
	assert_int_equal(ipc_send(pair[0], SLICE("x"), mine, IPC_FDS_MAX + 1), -1);
	/* Non-blocking: nothing there; then nobody there. */
	assert_int_equal(fd_nonblock(pair[1]), 0);
	assert_int_equal(fd_nonblock(pair[1]), 0);
	assert_int_equal(ipc_recv(pair[1], got, sizeof(got), fds, &nfds), -1);
	assert_int_equal(errno, EAGAIN);
	close(pair[0]);
	assert_int_equal(ipc_recv(pair[1], got, sizeof(got), fds, &nfds), 0);
	assert_int_equal(ipc_send(pair[1], SLICE("x"), NULL, 0), -1);	/* EPIPE, and no signal */
	assert_int_equal(errno, EPIPE);
	close(pair[1]);
}

/* More descriptors than a message may bring, sent by hand. */
static void
test_too_many_fds(void **state)
{
	char control[CMSG_SPACE(sizeof(int) * (IPC_FDS_MAX + 3))] = {0}, got[16], c = 'x';
	struct iovec iov = {&c, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
	int pair[2], fds[IPC_FDS_MAX];
	size_t nfds, before;

	(void)state;
	assert_int_equal(ipc_pair(SOCK_SEQPACKET, pair), 0);
	before = open_fds();
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int) * (IPC_FDS_MAX + 3));
	for (size_t i = 0; i < IPC_FDS_MAX + 3; i++)
		memcpy(CMSG_DATA(h) + i * sizeof(int), &pair[0], sizeof(int));
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
	assert_int_equal(ipc_recv(pair[1], got, sizeof(got), fds, &nfds), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(open_fds(), before);
	close(pair[0]);
	close(pair[1]);
}

static void
test_listen(void **state)
{
	char dir[] = "/tmp/test_ipc.XXXXXX", path[64], too_long[200];
	struct stat st;
	int listener, again, fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	listener = ipc_listen(path, SOCK_SEQPACKET, 0640, 4);
	assert_true(listener >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	/* Live: of the same type and of another. */
	assert_int_equal(ipc_listen(path, SOCK_SEQPACKET, 0600, 4), -1);
	assert_int_equal(errno, EADDRINUSE);
	assert_int_equal(ipc_listen(path, SOCK_STREAM, 0600, 4), -1);
	assert_int_equal(errno, EADDRINUSE);
	fd = ipc_connect(path, SOCK_SEQPACKET);
	assert_true(fd >= 0);
	again = accept(listener, NULL, NULL);
	assert_true(ipc_peer_is(again, NULL, 0));
	close(again);
	close(fd);
	/* Dead. */
	close(listener);
	listener = ipc_listen(path, SOCK_STREAM, 0600, 4);
	assert_true(listener >= 0);
	close(listener);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ipc_connect(path, SOCK_STREAM), -1);
	assert_int_equal(errno, ENOENT);
	/* A file that is no socket is not ours. */
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	close(fd);
	assert_int_equal(ipc_listen(path, SOCK_STREAM, 0600, 4), -1);
	assert_int_equal(stat(path, &st), 0);
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_int_equal(ipc_listen(too_long, SOCK_STREAM, 0600, 4), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	unlink(path);
	rmdir(dir);
}

static void
test_peer(void **state)
{
	static const uid_t others[] = {1000, 65534};
	char dir[] = "/tmp/test_ipc.XXXXXX", path[64];
	int listener, fd, status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/sock", dir);
	listener = ipc_listen(path, SOCK_SEQPACKET, 0666, 4);
	if ((pid = fork()) == 0) {
		char c[4];
		int fds[IPC_FDS_MAX];
		size_t n;

		_exit(setuid(65534) < 0 || (fd = ipc_connect(path, SOCK_SEQPACKET)) < 0 ||
		    ipc_recv(fd, c, sizeof(c), fds, &n) != 0);
	}
	fd = accept(listener, NULL, NULL);
	assert_false(ipc_peer_is(fd, NULL, 0));
	assert_false(ipc_peer_is(fd, others, 1));
	assert_true(ipc_peer_is(fd, others, 2));
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(listener);
	unlink(path);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_too_many_fds),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
