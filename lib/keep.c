/*
 * Listeners, and what a parent hands to the image that replaces it. Used by parent.c alone.
 */
#include "keep.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "ipc.h"
#include "log.h"

#define KEEP_FDS_MAX		64
#define KEEP_NAME_MAX_BYTES	128	/* a socket's path has at most 107 */
#define KEEP_OLD_MAX		512	/* processes of earlier generations that drain; more are reaped but not stopped */
#define KEEP_ENV		"TS_KEPT"
#define KEEP_ENV_MAX_BYTES	(32 * 1024)
#define KEEP_BACKLOG		1024
#define KEEP_PATH_MAX_BYTES	107	/* sun_path */

struct kept {
	char	name[KEEP_NAME_MAX_BYTES];
	int	fd;		/* owned */
	bool	is_claimed;	/* asked for in this image */
};

struct keep {
	struct kept	fds[KEEP_FDS_MAX];
	size_t		nfds;
	pid_t		old[KEEP_OLD_MAX];
	size_t		nold;
	size_t		ninherited_old;	/* of old: those that are not our own children's */
};

static void
keep_add(struct keep *k, const char *name, int fd, bool is_claimed)
{
	struct kept *f = &k->fds[k->nfds];

	if (k->nfds == KEEP_FDS_MAX || strlen(name) >= sizeof(f->name) || strchr(name, '\n') != NULL)
		DIE(EXIT_TEMP, "bug.keep", log_str("name", name));
	k->nfds++;
	f->fd = fd;
	f->is_claimed = is_claimed;
	memcpy(f->name, name, strlen(name) + 1);
}

/* One line of TS_KEPT. False when it is not ours. */
static bool
keep_inherit(struct keep *k, char *line)
{
	char *end;
	long v = strtol(line + (line[0] != '\0'), &end, 10);

	switch (line[0]) {
	case 's':
		return v == (long)getpid();
	case 'p':
		keep_add_old(k, (pid_t)v);
		return true;
	case 'f':
		if (*end != ' ' || v < 3 || v > INT32_MAX || fcntl((int)v, F_SETFD, FD_CLOEXEC) < 0)
			return false;
		keep_add(k, end + 1, (int)v, false);
		return true;
	default:
		return false;
	}
}

struct keep *
keep_make(void)
{
	struct keep *k = calloc(1, sizeof(*k));
	const char *env = getenv(KEEP_ENV);
	char *copy, *line, *rest;

	if (k == NULL || (copy = strdup(env == NULL ? "" : env)) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "keep"));
	unsetenv(KEEP_ENV);
	for (rest = copy; (line = strsep(&rest, "\n")) != NULL;) {
		if (!keep_inherit(k, line))
			break;
	}
	free(copy);
	k->ninherited_old = k->nold;
	return k;
}

void
keep_fd(struct keep *k, const char *name, int fd)
{
	for (size_t i = 0; i < k->nfds; i++) {
		if (strcmp(k->fds[i].name, name) != 0)
			continue;
		if (k->fds[i].fd != fd)
			close(k->fds[i].fd);
		k->fds[i].fd = fd;
		k->fds[i].is_claimed = true;
		return;
	}
	keep_add(k, name, fd, true);
}

int
keep_claim(struct keep *k, const char *name)
{
	for (size_t i = 0; i < k->nfds; i++) {
		if (strcmp(k->fds[i].name, name) != 0 || k->fds[i].is_claimed)
			continue;
		k->fds[i].is_claimed = true;
		return k->fds[i].fd;
	}
	return -1;
}

void
keep_drop(struct keep *k, const char *name)
{
	for (size_t i = 0; i < k->nfds; i++) {
		if (strcmp(k->fds[i].name, name) != 0)
			continue;
		close(k->fds[i].fd);
		k->fds[i] = k->fds[--k->nfds];
		return;
	}
}

void
keep_close_unclaimed(struct keep *k)
{
	for (size_t i = k->nfds; i-- > 0;) {
		if (k->fds[i].is_claimed)
			continue;
		close(k->fds[i].fd);
		k->fds[i] = k->fds[--k->nfds];
	}
}

void
keep_add_old(struct keep *k, pid_t pid)
{
	if (k->nold < KEEP_OLD_MAX && pid > 1)
		k->old[k->nold++] = pid;
}

void
keep_drop_old(struct keep *k, pid_t pid)
{
	for (size_t i = 0; i < k->nold; i++) {
		if (k->old[i] != pid)
			continue;
		k->old[i] = k->old[--k->nold];
		k->ninherited_old = k->nold;
		return;
	}
}

void
keep_forget_old(struct keep *k)
{
	k->nold = k->ninherited_old;
}

size_t
keep_nold(const struct keep *k)
{
	return k->nold;
}

void
keep_kill_old(const struct keep *k, int signo)
{
	for (size_t i = 0; i < k->nold; i++)
		kill(k->old[i], signo);
}

void
keep_exec(struct keep *k, char **argv)
{
	struct buf env = buf_make(KEEP_ENV_MAX_BYTES);
	int failed = buf_addf(&env, "s %ld\n", (long)getpid());

	for (size_t i = 0; i < k->nold; i++)
		failed |= buf_addf(&env, "p %ld\n", (long)k->old[i]);
	for (size_t i = 0; i < k->nfds; i++)
		failed |= buf_addf(&env, "f %d %s\n", k->fds[i].fd, k->fds[i].name);
	failed |= buf_add(&env, "", 1);
	if (failed == 0 && setenv(KEEP_ENV, env.p, 1) == 0) {
		for (size_t i = 0; i < k->nfds; i++)
			(void)fcntl(k->fds[i].fd, F_SETFD, 0);
		execv("/proc/self/exe", argv);
		for (size_t i = 0; i < k->nfds; i++)
			(void)fcntl(k->fds[i].fd, F_SETFD, FD_CLOEXEC);
	}
	unsetenv(KEEP_ENV);
	buf_free(&env);
}

/* ---- listeners ---- */

static _Noreturn void
listen_fault(const char *where, const char *what)
{
	DIE(EXIT_TEMP, "fatal.listen", log_str("where", where), log_str("what", what));
}

static int
listen_unix(const char *where, const char *path, int type, uid_t uid, gid_t gid, mode_t mode)
{
	int fd = ipc_listen(path, type, mode, KEEP_BACKLOG);

	if (fd < 0)
		listen_fault(where, "listen");
	if ((uid != (uid_t)-1 || gid != (gid_t)-1) && geteuid() == 0 && lchown(path, uid, gid) < 0)
		listen_fault(where, "chown");
	return fd;
}

/* "ADDR:PORT" or "[ADDR6]:PORT", numbers only: no name service is asked. */
static bool
listen_address(const char *where, struct sockaddr_storage *out, socklen_t *len_out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	const char *colon = strrchr(where, ':');
	char host[INET6_ADDRSTRLEN + 2], *end;
	unsigned long port;
	size_t n;

	if (colon == NULL || (n = (size_t)(colon - where)) >= sizeof(host) || colon[1] < '0' || colon[1] > '9')
		return false;
	port = strtoul(colon + 1, &end, 10);
	if (*end != '\0' || port > UINT16_MAX)
		return false;
	memcpy(host, where, n);
	host[n] = '\0';
	memset(out, 0, sizeof(*out));
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		*len_out = sizeof(*in6);
		return inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1;
	}
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)port);
	*len_out = sizeof(*in);
	return inet_pton(AF_INET, host, &in->sin_addr) == 1;
}

const char *
keep_where_fault(const char *where)
{
	struct sockaddr_storage addr;
	socklen_t len;

	if (strncmp(where, "unix:", 5) != 0)
		return listen_address(where, &addr, &len) ? NULL : "not ADDR:PORT, [ADDR6]:PORT or unix:/PATH";
	return where[5] == '/' && strlen(where + 5) <= KEEP_PATH_MAX_BYTES ? NULL :
	    "not an absolute path of at most 107 bytes";
}

static int
listen_tcp(const char *where)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int fd, on = 1;

	if (!listen_address(where, &addr, &len)) {
		errno = 0;
		DIE(EXIT_CONF, "fatal.listen", log_str("where", where), log_str("what", "not ADDR:PORT"));
	}
	if ((fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		listen_fault(where, "socket");
	if (addr.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		listen_fault(where, "v6only");
	if (bind(fd, (const struct sockaddr *)&addr, len) < 0)
		listen_fault(where, "bind");
	if (listen(fd, KEEP_BACKLOG) < 0)
		listen_fault(where, "listen");
	return fd;
}

int
keep_listen(struct keep *k, const char *where, bool seqpacket, uid_t uid, gid_t gid, mode_t mode)
{
	int fd = keep_claim(k, where);

	if (fd >= 0)
		return fd;
	if (strncmp(where, "unix:", 5) == 0)
		fd = listen_unix(where, where + 5, seqpacket ? SOCK_SEQPACKET : SOCK_STREAM, uid, gid, mode);
	else
		fd = listen_tcp(where);
	if (fd_nonblock(fd) < 0)
		listen_fault(where, "nonblock");
	keep_fd(k, where, fd);
	return fd;
}
