/*
 * A client of imap_run for tests: a spool in a temporary directory, and sessions over a socketpair
 * that are parked and taken up again as the lot does it. Everything runs in the test's own process; a
 * thread per client empties its end of the socket.
 */
#ifndef TS_TEST_IMAP_CLIENT_H
#define TS_TEST_IMAP_CLIENT_H

#include <err.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place.h"
#include "session.h"

static char			test_dir[64], test_active[96], test_index[96];
static const char *const	test_partitions[] = {"p1", NULL};
static struct store_host	test_host;

/* A fresh spool host under /tmp; the users' spools come with their first login. */
static inline void
host_begin(void)
{
	(void)strcpy(test_dir, "/tmp/test_imap.XXXXXX");
	if (mkdtemp(test_dir) == NULL)
		err(1, "%s", test_dir);
	(void)snprintf(test_active, sizeof(test_active), "%s/active", test_dir);
	(void)snprintf(test_index, sizeof(test_index), "%s/index", test_dir);
	test_host = (struct store_host){.active_dir = test_active, .index_dir = test_index, .partition = "p1",
	    .partitions = test_partitions, .segment_max_bytes = 64 * 1024 * 1024, .map_bytes = 64 * 1024 * 1024};
	for (const char *const *dir = (const char *const[]){test_active, test_index, NULL}; *dir != NULL; dir++) {
		char	path[128];

		if (mkdir(*dir, 0700) != 0)
			err(1, "%s", *dir);
		(void)snprintf(path, sizeof(path), "%s/p1", *dir);
		if (mkdir(path, 0700) != 0)
			err(1, "%s", path);
	}
	if (epoch_begin(test_active, "p1", false, &test_host.epoch) != 0)
		err(1, "epoch_begin");
	place_init(&(struct place_conf){.mupdate = "", .hostname = "host.example", .timeout_ms = 1000});
}

static inline int
path_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void
host_end(void)
{
	(void)nftw(test_dir, path_remove, 16, FTW_DEPTH | FTW_PHYS);
}

struct client {
	const char	*user;
	int		 fd;		/* the client's end */
	int		 server_fd;	/* the lot's copy of the other */
	struct buf	 state, unread;
	bool		 is_open;	/* not closed by the server */
	bool		 wants_changes;
	int64_t		 timer_ms;
	const char	*end_why;
	uint64_t	 expected;	/* bytes the server said it sent */
	pthread_t	 drain;
	pthread_mutex_t	 lock;
	pthread_cond_t	 more;
	struct buf	 got;		/* what came since client_take */
	uint64_t	 total;
};

static inline void *
client_drain(void *arg)
{
	struct client	*c = arg;
	char		 bytes[65536];
	ssize_t		 n;

	while ((n = read(c->fd, bytes, sizeof(bytes))) > 0) {
		pthread_mutex_lock(&c->lock);
		if (buf_add(&c->got, bytes, (size_t)n) != 0)
			errx(1, "more output than a test may have");
		c->total += (uint64_t)n;
		pthread_cond_signal(&c->more);
		pthread_mutex_unlock(&c->lock);
	}
	return NULL;
}

/* Gives the session to a worker for one turn: until it parks or closes. */
static inline void
client_turn(struct client *c, enum session_why why)
{
	struct session		s;
	enum session_end	end;

	session_begin(&s, &test_host, 1, dup(c->server_fd), -1);
	s.who = (struct sessopen){.proto = SESS_IMAP, .user = slice_of(c->user), .sid = SLICE("test"),
	    .tag = SLICE("L1"), .addr = SLICE("127.0.0.1"), .client_id = SLICE("")};
	s.why = why;
	(void)buf_add_slice(&s.state, buf_slice(&c->state));
	(void)buf_add_slice(&s.in, buf_slice(&c->unread));
	end = imap_run(&s);
	c->is_open = end == SESSION_PARK;
	buf_clear(&c->state);
	buf_clear(&c->unread);
	(void)buf_add_slice(&c->state, buf_slice(&s.state));
	(void)buf_add_slice(&c->unread, buf_slice(&s.in));
	c->wants_changes = s.wants_changes;
	c->timer_ms = s.timer_ms;
	c->end_why = s.end_why;
	c->expected += s.bytes_out;
	session_free(&s);
	pthread_mutex_lock(&c->lock);
	while (c->total < c->expected)
		pthread_cond_wait(&c->more, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

/* A session of the user before its first turn; input is there already. */
static inline void
client_connect(struct client *c, const char *user, struct slice input)
{
	int	pair[2];

	*c = (struct client){.user = user, .state = buf_make(SESSION_STATE_MAX_BYTES),
	    .unread = buf_make(SESSION_UNREAD_MAX_BYTES), .got = buf_make(256 * 1024 * 1024)};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		err(1, "socketpair");
	c->fd = pair[0];
	c->server_fd = pair[1];
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->more, NULL);
	if (pthread_create(&c->drain, NULL, client_drain, c) != 0)
		errx(1, "pthread_create");
	if (input.n > 0 && write(c->fd, input.p, input.n) != (ssize_t)input.n)
		err(1, "write");
}

/* A logged-in session of the user; its greeting is in got. input may be there already (pipelined). */
static inline void
client_open(struct client *c, const char *user, struct slice input)
{
	client_connect(c, user, input);
	client_turn(c, SESSION_NEW);
}

static inline void
client_close(struct client *c)
{
	(void)shutdown(c->server_fd, SHUT_RDWR);
	(void)pthread_join(c->drain, NULL);
	close(c->fd);
	close(c->server_fd);
	buf_free(&c->state);
	buf_free(&c->unread);
	buf_free(&c->got);
}

/* What the server said since the last call; valid until the next turn. */
static inline struct slice
client_take(struct client *c, struct buf *into)
{
	pthread_mutex_lock(&c->lock);
	buf_clear(into);
	(void)buf_add_slice(into, buf_slice(&c->got));
	buf_clear(&c->got);
	pthread_mutex_unlock(&c->lock);
	return buf_slice(into);
}

struct writing {
	int		fd;
	struct slice	in;
	size_t		piece;		/* bytes a write; 0: all at once */
	size_t		cut;		/* a pause after so many bytes; 0: none */
};

static inline void *
writing_run(void *arg)
{
	struct writing	*w = arg;

	while (w->in.n > 0) {
		size_t	n = w->piece > 0 && w->piece < w->in.n ? w->piece : w->in.n;
		ssize_t	k;

		if (w->cut > 0 && w->cut < n)
			n = w->cut;
		if ((k = write(w->fd, w->in.p, n)) < 0)
			break;
		w->in = (struct slice){w->in.p + k, w->in.n - (size_t)k};
		if (w->cut > 0 || w->piece > 0)
			(void)usleep(w->piece > 0 ? 100 : 1000);
		w->cut = 0;
	}
	return NULL;
}

/* Sends from a thread of its own, so that input may be larger than the socket and come in pieces. */
static inline void
client_send(struct client *c, struct slice in, size_t piece, size_t cut)
{
	struct writing	w = {c->fd, in, piece, cut};
	pthread_t	thread;
	bool		is_written = false;

	if (!c->is_open || pthread_create(&thread, NULL, writing_run, &w) != 0)
		return;
	client_turn(c, SESSION_INPUT);
	/* A pause longer than the server lingers parks it between two pieces. */
	while (c->is_open) {
		struct pollfd	p = {.fd = c->server_fd, .events = POLLIN};

		is_written = is_written || pthread_tryjoin_np(thread, NULL) == 0;
		if (poll(&p, 1, is_written ? 0 : 2) > 0)
			client_turn(c, SESSION_INPUT);
		else if (is_written)
			return;
	}
	(void)shutdown(c->server_fd, SHUT_RD);
	if (!is_written)
		(void)pthread_join(thread, NULL);
}

#endif
