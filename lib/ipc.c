/*
 * Unix sockets that carry messages and descriptors between our own daemons and processes.
 * Never raises SIGPIPE, never leaks a descriptor that came with a message it drops.
 */
#include "ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define IPC_PARTS_MAX		8
#define IPC_CONNECT_MS		10000	/* longest wait for a listener whose queue is full */

union ipc_control {
	char		space[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	struct cmsghdr	align;
};

int
ipc_sendv(int fd, const struct slice *parts, size_t nparts, const int *fds, size_t nfds)
{
	struct iovec iov[IPC_PARTS_MAX];
	union ipc_control control;
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = nparts};
	struct cmsghdr *c;

	if (nparts > IPC_PARTS_MAX || nfds > IPC_FDS_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	for (size_t i = 0; i < nparts; i++) {
		iov[i].iov_base = (void *)(uintptr_t)parts[i].p;
		iov[i].iov_len = parts[i].n;
	}
	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

int
ipc_send(int fd, struct slice msg, const int *fds, size_t nfds)
{
	return ipc_sendv(fd, &msg, 1, fds, nfds);
}

void
ipc_close_fds(int *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* Collects the descriptors of a received message. */
static size_t
ipc_take_fds(struct msghdr *msg, int fds[IPC_FDS_MAX])
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t bytes;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		bytes = c->cmsg_len - CMSG_LEN(0);
		for (size_t i = 0; i + sizeof(int) <= bytes; i += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i, sizeof(int));
			if (n < IPC_FDS_MAX)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

ssize_t
ipc_recv(int fd, void *buf, size_t cap, int fds[IPC_FDS_MAX], size_t *nfds_out)
{
	struct iovec iov = {.iov_base = buf, .iov_len = cap};
	union ipc_control control;
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	*nfds_out = 0;
	for (size_t i = 0; i < IPC_FDS_MAX; i++)
		fds[i] = -1;
	memset(&control, 0, sizeof(control));
	msg.msg_control = control.space;
	msg.msg_controllen = sizeof(control.space);
	if ((n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC)) < 0)
		return -1;
	*nfds_out = ipc_take_fds(&msg, fds);
	if (n > 0 && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
		return n;
	ipc_close_fds(fds, *nfds_out);
	*nfds_out = 0;
	if (n == 0)
		return 0;
	errno = EMSGSIZE;
	return -1;
}

int
ipc_pair(int type, int pair[2])
{
	return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair);
}

static int
ipc_address(const char *path, struct sockaddr_un *out)
{
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(out->sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	memcpy(out->sun_path, path, n);
	return 0;
}

/* Closes fd and keeps the errno that made it useless. Always -1. */
static int
ipc_fail(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

int
ipc_connect(const char *path, int type)
{
	static const struct timeval limit = {.tv_sec = IPC_CONNECT_MS / 1000}, none = {0};
	struct sockaddr_un sun;
	int fd;

	if (ipc_address(path, &sun) < 0 || (fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)) < 0)
		return ipc_fail(fd);
	return fd;
}

/* Removes a socket nobody listens on. 0 when the path is free, -1 when it is not ours to take. */
static int
ipc_clear_path(const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, failed;

	if (lstat(sun->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EADDRINUSE;
		return -1;
	}
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
		return -1;
	failed = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 ? errno : 0;
	close(fd);
	/* Anything else (connected, full queue, another type) says that somebody is there. */
	if (failed != ECONNREFUSED) {
		errno = EADDRINUSE;
		return -1;
	}
	return unlink(sun->sun_path) < 0 && errno != ENOENT ? -1 : 0;
}

int
ipc_listen(const char *path, int type, mode_t mode, int backlog)
{
	struct sockaddr_un sun;
	mode_t mask;
	int fd, bound;

	if (ipc_address(path, &sun) < 0 || ipc_clear_path(&sun) < 0 ||
	    (fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) < 0)
		return -1;
	mask = umask(0177);	/* nobody gets in before the mode is right */
	bound = bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
	umask(mask);
	if (bound < 0 || chmod(path, mode) < 0 || listen(fd, backlog) < 0)
		return ipc_fail(fd);
	return fd;
}

bool
ipc_peer_is(int fd, const uid_t *uids, size_t nuids)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	for (size_t i = 0; i < nuids; i++) {
		if (uids[i] == peer.uid)
			return true;
	}
	return false;
}

int
fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -1;
	/* A committer may not change flags at all: ask only where something is to change. */
	if (flags & O_NONBLOCK)
		return 0;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -1 : 0;
}
