/*
 * A user's spool in a temporary directory and a lot of one session, for the tests and the fuzzer of spoold/pop3: input goes in by
 * a socketpair, pop3_run is called as the worker would call it, the parked state is kept between.
 */
#ifndef TS_TESTS_POP3_CLIENT_H
#define TS_TESTS_POP3_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "mboxname.h"
#include "pop3/pop3.h"

static const char *const pop3_partitions[] = {"p1", NULL};

struct spool {
	char			dir[64], active[80], index[80];
	struct store_host	host;
	struct slice		user;
	unsigned char		inbox[RECORD_ID_BYTES];
	bool			is_utf8;	/* its sessions said UTF8 before the login */
};

_Noreturn static inline void
spool_fail(const char *what)
{
	fprintf(stderr, "pop3_client: %s: %s\n", what, strerror(errno));
	abort();
}

static inline void
spool_make(struct spool *sp)
{
	struct mboxname name;
	struct store *st;

	*sp = (struct spool){.is_utf8 = false};
	snprintf(sp->dir, sizeof(sp->dir), "/tmp/test_pop3.XXXXXX");
	if (mkdtemp(sp->dir) == NULL)
		spool_fail("mkdtemp");
	snprintf(sp->active, sizeof(sp->active), "%s/active", sp->dir);
	snprintf(sp->index, sizeof(sp->index), "%s/index", sp->dir);
	sp->user = SLICE("alice");
	sp->host = (struct store_host){.active_dir = sp->active, .index_dir = sp->index, .partition = "p1",
	    .partitions = pop3_partitions, .epoch = 1, .segment_max_bytes = 64 << 20, .map_bytes = 256 << 20};
	if (store_create(&sp->host, sp->user) != STORE_OK || store_open(&sp->host, sp->user, &st) != FOUND)
		spool_fail("store");
	mboxname_inbox(sp->user, &name);
	if (store_mbox_create(st, (struct slice){name.s, name.n}, USE_NONE, sp->inbox) != STORE_OK)
		spool_fail("INBOX");
	store_close(st);
}

static inline int
spool_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline void
spool_free(struct spool *sp)
{
	store_drop_cached();
	nftw(sp->dir, spool_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline uint32_t
spool_add(struct spool *sp, struct slice message)
{
	struct append_msg m = {.body = {.mem = message, .fd = -1, .bytes = message.n}, .date_ms = 1000000000000};
	uint32_t uid, uidvalidity;
	struct store *st;

	if (store_open(&sp->host, sp->user, &st) != FOUND || store_append(st, sp->inbox, &m, 1, &uid, &uidvalidity) != STORE_OK)
		spool_fail("append");
	store_close(st);
	return uid;
}

/* The messages left in INBOX, as "uid" or "uid+" (\Seen), and a space each. */
static inline void
spool_list(struct spool *sp, char *out, size_t cap)
{
	struct msg_info m[STORE_BATCH_MSGS];
	struct store *st;
	struct view v;
	size_t n, i, at = 0;

	if (store_open(&sp->host, sp->user, &st) != FOUND || view_open(st, sp->inbox, false, &v) != STORE_OK ||
	    view_range(st, &v, 1, UINT32_MAX, m, STORE_BATCH_MSGS, &n) != STORE_OK)
		spool_fail("list");
	out[0] = '\0';
	for (i = 0; i < n && at < cap; i++)
		at += (size_t)snprintf(out + at, cap - at, "%u%s ", m[i].uid, m[i].flags & MSG_SEEN ? "+" : "");
	store_close(st);
}

/* The lot's side of one session. */
struct lot1 {
	struct spool	*spool;
	int		 fd;		/* the worker's end */
	int		 client;	/* the client's */
	int		 lock_fd;
	struct buf	 state, unread;
	struct buf	 said;		/* what the client read */
	bool		 is_parked;
	unsigned	 parks;
	char		 why[32];	/* it ended */
};

/* Calls pop3_run once; true when it parked. */
static inline bool
lot1_run(struct lot1 *l, enum session_why why)
{
	struct session s;
	int worker_lock = l->lock_fd < 0 ? -1 : fcntl(l->lock_fd, F_DUPFD_CLOEXEC, 3);

	session_begin(&s, &l->spool->host, 1, fcntl(l->fd, F_DUPFD_CLOEXEC, 3), worker_lock);
	s.why = why;
	s.who = (struct sessopen){.proto = SESS_POP3, .user = l->spool->user, .sid = SLICE("s1"),
	    .mechs = SLICE(" PLAIN SCRAM-SHA-1"), .is_utf8 = l->spool->is_utf8};
	if (buf_add_slice(&s.state, buf_slice(&l->state)) == -1 || buf_add_slice(&s.in, buf_slice(&l->unread)) == -1)
		abort();
	l->is_parked = pop3_run(&s) == SESSION_PARK;
	buf_clear(&l->state);
	buf_clear(&l->unread);
	if (l->is_parked) {
		if (s.in.n > POP3_LINE_MAX_BYTES + 2 || s.out.n > 0 || s.state.n > SESSION_STATE_MAX_BYTES || s.lock_fd < 0 || s.is_dead)
			abort();
		buf_add_slice(&l->state, buf_slice(&s.state));
		buf_add_slice(&l->unread, buf_slice(&s.in));
		l->parks++;
		if (l->lock_fd >= 0)
			close(l->lock_fd);
		l->lock_fd = fcntl(s.lock_fd, F_DUPFD_CLOEXEC, 3);
	}
	snprintf(l->why, sizeof(l->why), "%s", s.end_why);
	session_free(&s);
	return l->is_parked;
}

/* Reads what there is for the client. */
static inline void
lot1_read(struct lot1 *l)
{
	char bytes[65536];
	ssize_t n;

	while ((n = recv(l->client, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		if (buf_add(&l->said, bytes, (size_t)n) == -1)
			abort();
}

/* Ends the session as a lot does. */
static inline void
lot1_close(struct lot1 *l)
{
	lot1_read(l);
	close(l->fd);
	close(l->client);
	if (l->lock_fd >= 0)
		close(l->lock_fd);
	l->lock_fd = l->fd = l->client = -1;
	buf_free(&l->state);
	buf_free(&l->unread);
}

/* A login; true when the session goes on. */
static inline bool
lot1_open(struct lot1 *l, struct spool *sp)
{
	int pair[2], size = 8 << 20;

	*l = (struct lot1){.spool = sp, .lock_fd = -1, .state = buf_make(SESSION_STATE_MAX_BYTES),
	    .unread = buf_make(SESSION_UNREAD_MAX_BYTES), .said = buf_make(64 << 20)};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		spool_fail("socketpair");
	l->fd = pair[0];
	l->client = pair[1];
	setsockopt(l->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	fcntl(l->fd, F_SETFL, O_NONBLOCK);
	if (lot1_run(l, SESSION_NEW)) {
		lot1_read(l);
		return true;
	}
	lot1_close(l);
	return false;
}

/* The client says something, the worker serves it; false when the session is over. */
static inline bool
lot1_say(struct lot1 *l, struct slice bytes)
{
	size_t at = 0;

	while (at < bytes.n) {
		ssize_t n = send(l->client, bytes.p + at, bytes.n - at, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	if (lot1_run(l, SESSION_INPUT)) {
		lot1_read(l);
		return true;
	}
	lot1_close(l);
	return false;
}

#endif
