/*
 * Unix-socket messages with descriptor passing (SOCK_SEQPACKET: a message is a packet). The first
 * byte of a message is its verb. Works on blocking and non-blocking sockets alike.
 */
#ifndef TS_IPC_H
#define TS_IPC_H

#include <sys/types.h>

#include "slice.h"

#define IPC_MSG_MAX_BYTES	(96 * 1024)	/* 64 KiB of message inline, its envelope, and room */
#define IPC_FDS_MAX		4

/* Sends one whole message. 0, or -1 with errno (EAGAIN on a full non-blocking socket: nothing was sent). */
int	ipc_send(int fd, struct slice msg, const int *fds, size_t nfds) __attribute__((warn_unused_result));
/* As above from pieces, without copying them together first. At most 8 pieces. */
int	ipc_sendv(int fd, const struct slice *parts, size_t nparts, const int *fds, size_t nfds)
	    __attribute__((warn_unused_result));
/*
 * Receives one message: its length (> 0), 0 at end, -1 with errno (EAGAIN; EMSGSIZE when it did not
 * fit or brought more than IPC_FDS_MAX descriptors: dropped, its descriptors closed). Descriptors
 * arrive close-on-exec; the caller owns those in fds[0 .. *nfds_out - 1].
 */
ssize_t	ipc_recv(int fd, void *msg, size_t cap, int fds[IPC_FDS_MAX], size_t *nfds_out)
	    __attribute__((warn_unused_result));
/* Closes what ipc_recv brought. */
void	ipc_close_fds(int *fds, size_t nfds);

/* A connected pair, close-on-exec, blocking. type SOCK_SEQPACKET, SOCK_DGRAM or SOCK_STREAM. */
int	ipc_pair(int type, int pair[2]);
/* Listens at path with the mode; replaces a dead socket there, never a live one (EADDRINUSE). Descriptor or -1. */
int	ipc_listen(const char *path, int type, mode_t mode, int backlog);
/* Connects, blocking, close-on-exec. Descriptor or -1. */
int	ipc_connect(const char *path, int type);
/* True when the peer's uid is 0, our own, or in uids (SO_PEERCRED). */
bool	ipc_peer_is(int fd, const uid_t *uids, size_t nuids);
/* 0 or -1. */
int	fd_nonblock(int fd);

#endif
