/*
 * For tests: a real mupdated (parent, net, map) in a temporary directory, with its configuration in
 * memory, and a client that speaks to it line by line. Used by test_serve.c, test_login.c and test_stream.c.
 */
#ifndef TEST_MUPDATED_DAEMON_H
#define TEST_MUPDATED_DAEMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "settings.h"
#include "house.h"
#include "locmap.h"
#include "log.h"
#include "parent.h"

#define REALM	"example.test"

struct daemon {
	char		 dir[64], socket[100], map_dir[128], empty[128], sasldb[128], log[128], listen[32];
	struct config	 conf;
	uint16_t	 port;
	pid_t		 pid;
};

struct client {
	int	fd;
	char	in[1 << 20];
	size_t	n;
};

static inline int
file_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* A port that is free now. */
static inline uint16_t
port_free(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
	close(fd);
	return ntohs(sin.sin_port);
}

/* Defaults for a test; change d->conf before daemon_start. */
static inline void
daemon_make(struct daemon *d)
{
	static char first[] = "mailadmin", second[] = "second", *admins[] = {first, second}, *listen[1];

	memset(d, 0, sizeof(*d));
	(void)strcpy(d->dir, "/tmp/mupdated.XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	(void)chmod(d->dir, 0755);
	(void)snprintf(d->socket, sizeof(d->socket), "%s/socket", d->dir);
	(void)snprintf(d->map_dir, sizeof(d->map_dir), "%s/map", d->dir);
	(void)snprintf(d->empty, sizeof(d->empty), "%s/empty", d->dir);
	(void)snprintf(d->sasldb, sizeof(d->sasldb), "%s/sasldb", d->dir);
	(void)snprintf(d->log, sizeof(d->log), "%s/log", d->dir);
	d->port = port_free();
	(void)snprintf(d->listen, sizeof(d->listen), "127.0.0.1:%u", d->port);
	listen[0] = d->listen;
	d->conf = (struct config){.listen = {listen, 1}, .socket = d->socket, .map_dir = d->map_dir,
	    .map_size_bytes = 64 << 20, .hostname = "mupdate." REALM, .chroot_dir = d->empty, .admins = {admins, 2},
	    .sasldb_path = d->sasldb, .realm = REALM, .connections_max = 64, .update_backlog_max_bytes = 16 << 20,
	    .idle_timeout_s = 10800, .login_timeout_s = 60};
}

static inline int
unix_open(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	close(fd);
	return -1;
}

static inline void
daemon_start(struct daemon *d)
{
	int fd = -1;

	d->pid = fork();
	if (d->pid == 0) {
		static struct house house;
		char *argv[] = {(char[]){"test"}, NULL};
		int log = open(d->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		struct parent *parent;

		/* A test that fails leaves nothing running. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || log == -1 || dup2(log, 2) == -1)
			_exit(1);
		log_init("mupdated");
		parent = parent_make(argv, 8000);
		house_start(&house, parent, &d->conf);
		_exit(parent_run(parent));
	}
	assert_true(d->pid > 0);
	for (int i = 0; i < 500 && fd == -1; i++) {
		(void)poll(NULL, 0, 10);
		fd = unix_open(d->socket);
	}
	assert_int_not_equal(fd, -1);
	close(fd);
}

static inline void
daemon_free(struct daemon *d)
{
	(void)nftw(d->dir, file_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* The pid of "mupdated/map" or "mupdated/net" of this daemon. */
static inline pid_t
daemon_child(const struct daemon *d, const char *name)
{
	char path[128], comm[64] = "";
	pid_t pids[8];
	size_t n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)d->pid, (int)d->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (n < 8 && fscanf(f, "%d", &pids[n]) == 1)
		n++;
	(void)fclose(f);
	while (n-- > 0) {
		(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pids[n]);
		f = fopen(path, "re");
		if (f == NULL)
			continue;
		comm[0] = '\0';
		(void)!fscanf(f, "%63s", comm);
		(void)fclose(f);
		if (strcmp(comm, name) == 0)
			return pids[n];
	}
	return -1;
}

/* How often the log holds text. */
static inline size_t
daemon_logged(const struct daemon *d, const char *text)
{
	static char all[4 << 20];
	int fd = open(d->log, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, all, sizeof(all) - 1);
	size_t count = 0;

	assert_true(n >= 0);
	close(fd);
	all[n] = '\0';
	for (char *p = all; (p = strstr(p, text)) != NULL; p += strlen(text))
		count++;
	return count;
}

static inline void
daemon_stop(struct daemon *d)
{
	int status;

	assert_int_equal(kill(d->pid, SIGTERM), 0);
	assert_int_equal(waitpid(d->pid, &status, 0), d->pid);
	assert_int_equal(status, 0);
	/* No child was ended by a sanitizer, a failed assertion or a forbidden system call. */
	assert_int_equal(daemon_logged(d, "Sanitizer") + daemon_logged(d, "runtime error:") + daemon_logged(d, "Assertion") +
	    daemon_logged(d, "signal=31"), 0);
}

/* ---- the client ---- */

static inline void
client_send(struct client *c, const void *p, size_t n)
{
	while (n > 0) {
		ssize_t done = send(c->fd, p, n, MSG_NOSIGNAL);

		if (done < 0)
			return;	/* the answer, or its absence, will tell */
		p = (const char *)p + done;
		n -= (size_t)done;
	}
}

static inline void
client_say(struct client *c, const char *s)
{
	client_send(c, s, strlen(s));
}

/* Reads more, waiting 10 s at most. False at the end. */
static inline bool
client_fill(struct client *c)
{
	struct pollfd pfd = {c->fd, POLLIN, 0};
	ssize_t n;

	if (c->n + 1 >= sizeof(c->in))
		fail_msg("too much from the server");
	if (poll(&pfd, 1, 10000) != 1)
		fail_msg("no answer in 10 s; so far: %.*s", (int)c->n, c->in);
	n = recv(c->fd, c->in + c->n, sizeof(c->in) - c->n - 1, 0);
	if (n <= 0)
		return false;
	c->n += (size_t)n;
	c->in[c->n] = '\0';
	return true;
}

/*
 * Reads up to and with the line that begins with what; the text read (until the next call), NULL at the end
 * of the connection.
 */
static inline const char *
client_until(struct client *c, const char *what)
{
	static char text[1 << 20];
	size_t at = 0, wn = strlen(what);

	for (;;) {
		char *lf = c->n > at ? memchr(c->in + at, '\n', c->n - at) : NULL;
		size_t end;
		bool is_it;

		if (lf == NULL) {
			if (!client_fill(c))
				return NULL;
			continue;
		}
		end = (size_t)(lf - c->in) + 1;
		is_it = end - at >= wn && memcmp(c->in + at, what, wn) == 0;
		at = end;
		if (!is_it)
			continue;
		memcpy(text, c->in, at);
		text[at] = '\0';
		memmove(c->in, c->in + at, c->n - at);
		c->n -= at;
		c->in[c->n] = '\0';
		return text;
	}
}

/* All that comes until the connection ends. */
static inline const char *
client_rest(struct client *c)
{
	while (client_fill(c))
		continue;
	c->in[c->n] = '\0';
	return c->in;
}

/* Says a line and returns what comes up to its tagged answer. */
static inline const char *
client_ask(struct client *c, const char *tag, const char *line)
{
	char word[128];

	(void)snprintf(word, sizeof(word), "%s ", tag);
	client_say(c, word);
	client_say(c, line);
	client_say(c, "\r\n");
	for (;;) {
		static const char *const ends[] = {"OK", "NO", "BAD", "BYE"};

		/* The dump's lines have the same tag: look for the answer's word. */
		for (size_t i = 0; i < 4; i++) {
			char want[160];
			char *at;

			(void)snprintf(want, sizeof(want), "%s%s ", word, ends[i]);
			at = c->n > 0 ? strstr(c->in, want) : NULL;
			if (at != NULL && (at == c->in || at[-1] == '\n') && strchr(at, '\n') != NULL)
				return client_until(c, want);
		}
		if (!client_fill(c))
			return NULL;
	}
}

static inline void
client_unix(struct client *c, const struct daemon *d)
{
	c->n = 0;
	c->in[0] = '\0';
	c->fd = unix_open(d->socket);
	assert_int_not_equal(c->fd, -1);
	assert_non_null(client_until(c, "* OK MUPDATE"));
}

static inline void
client_tcp(struct client *c, const struct daemon *d)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons(d->port)};

	c->n = 0;
	c->in[0] = '\0';
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
}

static inline void
client_close(struct client *c)
{
	close(c->fd);
	c->fd = -1;
}

#endif
