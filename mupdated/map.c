/*
 * The map process. Everything net asks for is one message; changes are durable before they are told:
 * first to net as a CHANGE for those who stream, then as the ANSWER to who made them, so that whoever
 * was told of a success and then says NOOP finds it streamed. Never reads from the network. RFC 3656 4.
 */
#include "map.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "login.h"
#include "parent.h"
#include "sandbox.h"

#define PIECE_MAX_BYTES		(64 * 1024)	/* of a dump: entries of one message; another entry still fits a message */
#define PIECE_MAX_ENTRIES	4096		/* looked at for one message, so that no command waits for a whole dump */
#define LINK_STALL_S		60		/* net must read within this; it never blocks */
#define DRAIN_MS		6000		/* net needs 5 s at most to say goodbye */

struct map {
	const struct config	*config;
	struct event_base	*base;
	struct event		*on_chan, *on_link;	/* owned; NULL without that descriptor */
	int			 link, chan;	/* -1: none */
	struct locmap		*entries;
	struct logins		*logins;
	struct arena		 arena;		/* reset for each message */
	struct buf		 out, piece;
	uint64_t		 unknown_deletes;
	bool			 is_draining;
	char			 msg[IPC_MSG_MAX_BYTES];
};

static void
ready_say(struct map *m)
{
	const char verb = VERB_READY;

	if (m->chan >= 0 && !m->is_draining && ipc_send(m->chan, (struct slice){&verb, 1}, NULL, 0) < 0)
		DIE(EXIT_TEMP, "fatal.parent", log_str("what", "ready"));
}

/* net is gone, or will not read: what it asked for is void. */
static void
link_drop(struct map *m)
{
	if (m->link < 0)
		return;
	event_free(m->on_link);
	m->on_link = NULL;
	close(m->link);
	m->link = -1;
	logins_forget_all(m->logins);
	if (m->is_draining)
		event_base_loopbreak(m->base);
}

/* Sends what was packed into m->out. */
static void
out_send(struct map *m)
{
	if (!pack_ok(&m->out))
		DIE(EXIT_TEMP, "bug.verb", log_u64("verb", m->out.n > 0 ? (unsigned char)m->out.p[0] : 0));
	if (m->link >= 0 && ipc_send(m->link, buf_slice(&m->out), NULL, 0) < 0) {
		link_drop(m);
		ready_say(m);
	}
	buf_clear(&m->out);
}

static void
answer(struct map *m, uint64_t conn, enum answer outcome, struct slice text)
{
	verb_pack_answer(&m->out, &(struct verb_answer){conn, outcome, text});
	out_send(m);
}

/* A write that failed. A full map is said; after anything else nobody knows what LMDB holds: start anew. */
static void
write_failed(struct map *m, uint64_t conn)
{
	if (errno != ENOSPC && errno != EINVAL)
		DIE(EXIT_TEMP, "fatal.map", log_str("what", "write"));
	if (errno == EINVAL)
		answer(m, conn, ANSWER_NO, SLICE("not a mailbox, location or acl"));
	else
		answer(m, conn, ANSWER_TEMP, SLICE("the location map is full"));
}

/* The entry is written and synced: tells those who stream, and who asked. */
static void
change_done(struct map *m, uint64_t conn, const struct verb_change *change)
{
	verb_pack_change(&m->out, change);
	out_send(m);
	answer(m, conn, ANSWER_OK, SLICE("done"));
}

static void
entry_set(struct map *m, const struct verb_set *v, enum loc_state state, enum lookup was, const struct loc_entry *old)
{
	struct verb_change change = {.entry = {v->name, state, v->location, v->acl}};

	/* Said again: it is there, durable, and was streamed. */
	if (was == FOUND && old->state == state && slice_is(old->location, v->location) && slice_is(old->acl, v->acl)) {
		answer(m, v->conn, ANSWER_OK, SLICE("done"));
		return;
	}
	if (was == FOUND)
		change.old_location = old->location;
	if (locmap_put(m->entries, &change.entry) < 0) {
		write_failed(m, v->conn);
		return;
	}
	if (v->op == SET_ACTIVATE)
		LOG("mailbox.activated", log_slice("sid", v->sid), log_slice("name", v->name),
		    log_slice("location", v->location));
	else if (v->op == SET_RESERVE)
		LOG("mailbox.reserved", log_slice("sid", v->sid), log_slice("name", v->name),
		    log_slice("location", v->location));
	else
		LOG("mailbox.deactivated", log_slice("sid", v->sid), log_slice("name", v->name),
		    log_slice("location", v->location));
	change_done(m, v->conn, &change);
}

static void
entry_delete(struct map *m, const struct verb_set *v, enum lookup was, const struct loc_entry *old)
{
	struct verb_change change = {.is_deleted = true};

	if (was == ABSENT) {
		LOG("mailbox.unknown", log_slice("sid", v->sid), log_slice("name", v->name),
		    log_u64("count", ++m->unknown_deletes));
		/* A NO would make a Cyrus backend fail to delete or rename for ever. */
		answer(m, v->conn, m->config->strict_delete ? ANSWER_NO : ANSWER_OK,
		    m->config->strict_delete ? SLICE("mailbox unknown") : SLICE("done"));
		return;
	}
	if (locmap_delete(m->entries, v->name) < 0) {
		write_failed(m, v->conn);
		return;
	}
	LOG("mailbox.deleted", log_slice("sid", v->sid), log_slice("name", v->name),
	    log_slice("location", old->location));
	change.entry = *old;
	change.old_location = old->location;
	change_done(m, v->conn, &change);
}

static bool
on_set(struct map *m, struct unpack *u)
{
	struct loc_entry old = {.state = LOC_RESERVED};
	struct verb_set v;
	enum lookup was;

	if (!verb_unpack_set(u, &v))
		return false;
	was = locmap_find(m->entries, v.name, &m->arena, &old);
	/* A damaged entry can be written over by ACTIVATE, which needs not to know it, and by nothing else. */
	if (was == LOOKUP_TEMP && v.op != SET_ACTIVATE) {
		answer(m, v.conn, ANSWER_TEMP, SLICE("the location map cannot be read"));
		return true;
	}
	switch (v.op) {
	case SET_RESERVE:
		/* Again from the same place: a retry. An active mailbox stays as it is. */
		if (was == FOUND && (old.state != LOC_RESERVED || !slice_is(old.location, v.location)))
			answer(m, v.conn, ANSWER_NO, SLICE("mailbox already exists"));
		else
			entry_set(m, &v, LOC_RESERVED, was, &old);
		break;
	case SET_ACTIVATE:
		entry_set(m, &v, LOC_ACTIVE, was, &old);
		break;
	case SET_DEACTIVATE:
		if (was != FOUND || old.state != LOC_ACTIVE)
			answer(m, v.conn, ANSWER_NO, SLICE("mailbox not currently active"));
		else
			entry_set(m, &v, LOC_RESERVED, was, &old);
		break;
	case SET_DELETE:
		entry_delete(m, &v, was, &old);
		break;
	}
	return true;
}

static bool
on_find(struct map *m, struct unpack *u)
{
	struct verb_entries found = {.is_done = true};
	struct verb_find v;
	struct loc_entry e;
	enum lookup was;

	if (!verb_unpack_find(u, &v))
		return false;
	was = locmap_find(m->entries, v.name, &m->arena, &e);
	if (was == LOOKUP_TEMP) {
		answer(m, v.conn, ANSWER_TEMP, SLICE("the location map cannot be read"));
		return true;
	}
	buf_clear(&m->piece);
	if (was == FOUND)
		verb_pack_entry(&m->piece, &e);
	found.conn = v.conn;
	verb_pack_entries(&m->out, &found, buf_slice(&m->piece));
	out_send(m);
	return true;
}

/* A piece of a dump being gathered. */
struct gather {
	struct map	*map;
	struct slice	 prefix;
	size_t		 seen;
	struct slice	 last;		/* in the arena */
	bool		 is_done;
};

static bool
entry_gather(void *arg, const struct loc_entry *e)
{
	struct gather *g = arg;

	if (e->location.n >= g->prefix.n && memcmp(e->location.p, g->prefix.p, g->prefix.n) == 0)
		verb_pack_entry(&g->map->piece, e);
	if (++g->seen < PIECE_MAX_ENTRIES && g->map->piece.n < PIECE_MAX_BYTES)
		return true;
	g->is_done = false;
	g->last = arena_slice(&g->map->arena, e->name);
	return false;
}

/*
 * Each piece is a read transaction of its own, so that a slow client pins nothing. What changes behind the
 * place a dump has reached is not lost to UPDATE: net keeps every CHANGE since the first piece for after it.
 */
static bool
on_dump(struct map *m, struct unpack *u)
{
	struct gather g = {.map = m, .is_done = true};
	struct verb_dump v;

	if (!verb_unpack_dump(u, &v))
		return false;
	g.prefix = v.prefix;
	buf_clear(&m->piece);
	if (locmap_each_after(m->entries, v.after, entry_gather, &g) < 0) {
		answer(m, v.conn, ANSWER_TEMP, SLICE("the location map cannot be read"));
		return true;
	}
	if (!pack_ok(&m->piece))
		DIE(EXIT_TEMP, "bug.verb", log_str("what", "piece"));
	verb_pack_entries(&m->out, &(struct verb_entries){.conn = v.conn, .is_done = g.is_done, .last = g.last},
	    buf_slice(&m->piece));
	out_send(m);
	return true;
}

static bool
on_login(struct map *m, struct unpack *u)
{
	struct verb_login v;
	struct slice bytes;

	if (!verb_unpack_login(u, &v))
		return false;
	switch (logins_step(m->logins, &v, &bytes)) {
	case LOGIN_MORE:
		if (bytes.n > SASL_MAX_BYTES)
			DIE(EXIT_TEMP, "bug.verb", log_str("what", "challenge"));
		verb_pack_challenge(&m->out, &(struct verb_bytes){v.conn, bytes});
		out_send(m);
		break;
	case LOGIN_DONE:
		answer(m, v.conn, ANSWER_OK, bytes);
		break;
	case LOGIN_REFUSED:
		answer(m, v.conn, ANSWER_NO, bytes);
		break;
	case LOGIN_TEMP:
		LOG("warn.login.failed", log_slice("why", bytes), log_str("sasldb", m->config->sasldb_path));
		answer(m, v.conn, ANSWER_TEMP, SLICE("logins are not possible now"));
		break;
	}
	return true;
}

static bool
on_forget(struct map *m, struct unpack *u)
{
	uint64_t conn;

	if (!verb_unpack_forget(u, &conn))
		return false;
	logins_forget(m->logins, conn);
	return true;
}

static bool
verb_run(struct map *m, struct slice msg)
{
	struct unpack u = unpack_make(msg.p + 1, msg.n - 1);

	arena_reset(&m->arena);
	switch ((unsigned char)msg.p[0]) {
	case VERB_SET:
		return on_set(m, &u);
	case VERB_FIND:
		return on_find(m, &u);
	case VERB_DUMP:
		return on_dump(m, &u);
	case VERB_LOGIN:
	case VERB_STEP:
		return on_login(m, &u);
	case VERB_FORGET:
		return on_forget(m, &u);
	}
	return false;
}

static void
link_readable(int fd, short what, void *arg)
{
	struct map *m = arg;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = ipc_recv(fd, m->msg, sizeof(m->msg), fds, &nfds);

	(void)what;
	ipc_close_fds(fds, nfds);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && verb_run(m, (struct slice){m->msg, (size_t)n})) {
		explicit_bzero(m->msg, (size_t)n);	/* it may have been a password */
		return;
	}
	if (n > 0)
		LOG("warn.link.verb", log_u64("verb", (unsigned char)m->msg[0]), log_i64("bytes", n));
	link_drop(m);
	ready_say(m);
}

static struct event *
event_start(struct map *m, int fd, short what, event_callback_fn fn)
{
	struct event *e = event_new(m->base, fd, what, fn, m);

	if (e == NULL || event_add(e, NULL) < 0)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "start"));
	return e;
}

static void
link_take(struct map *m, int fd)
{
	const struct timeval stall = {.tv_sec = LINK_STALL_S};

	link_drop(m);
	m->link = fd;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof(stall)) < 0)
		DIE(EXIT_TEMP, "fatal.link", log_str("what", "timeout"));
	m->on_link = event_start(m, fd, EV_READ | EV_PERSIST, link_readable);
	verb_pack_mechs(&m->out, m->config->admins.n > 0 ? logins_mechs(m->logins) : SLICE(""));
	out_send(m);
}

/* Told to go: once net has said its goodbyes the link ends, and so do we. */
static void
drain(struct map *m)
{
	const struct timeval limit = {.tv_sec = DRAIN_MS / 1000};

	if (m->is_draining)
		return;
	m->is_draining = true;
	if (m->link < 0)
		event_base_loopbreak(m->base);
	else
		(void)event_base_loopexit(m->base, &limit);
}

static void
chan_readable(int fd, short what, void *arg)
{
	struct map *m = arg;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = ipc_recv(fd, m->msg, sizeof(m->msg), fds, &nfds);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 1 && m->msg[0] == VERB_LINK && nfds == 1 && !m->is_draining) {
		link_take(m, fds[0]);
		return;
	}
	ipc_close_fds(fds, nfds);
	if (n > 0)
		return;
	/* The parent has a new generation. */
	event_free(m->on_chan);
	m->on_chan = NULL;
	close(m->chan);
	m->chan = -1;
	drain(m);
}

static void
on_term(int signo, short what, void *arg)
{
	(void)signo;
	(void)what;
	drain(arg);
}

/* sasldb is opened at each login: its directory, and what the library asks for at the first. */
static void
confine(const struct config *config)
{
	const struct sandbox_path paths[] = {{config->map_dir, true}, {config->sasldb_path, false}};

	sandbox_limits(256, 0, true);
	sandbox_paths(paths, access(config->sasldb_path, F_OK) == 0 ? 2 : 1);
	privileges_drop(&config->map_user, NULL, 0);
}

/*
 * One writer at a time: after SIGHUP the map of the generation before must be gone before we serve, or its last
 * changes would be missing from our streams. Held until the process ends.
 */
static void
writer_lock(const struct config *config)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/writer.lock", config->map_dir), fd;

	if (n < 0 || (size_t)n >= sizeof(path))
		DIE(EXIT_TEMP, "fatal.map", log_str("what", "path"));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		DIE(EXIT_TEMP, "fatal.map", log_str("what", "writer.lock"));
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return;
	LOG("map.waiting", log_str("dir", config->map_dir));
	while (flock(fd, LOCK_EX) < 0) {
		if (child_term)
			_exit(0);
		if (errno != EINTR)
			DIE(EXIT_TEMP, "fatal.map", log_str("what", "flock"));
	}
}

void
map_main(void *arg, int chan)
{
	const struct house *h = arg;
	static struct map m;

	m.config = h->config;
	m.chan = chan;
	m.link = -1;
	m.base = event_base_new();
	m.arena = arena_make(IPC_MSG_MAX_BYTES);
	m.out = buf_make(IPC_MSG_MAX_BYTES);
	m.piece = buf_make(IPC_MSG_MAX_BYTES - 2 * 1024);
	if (m.base == NULL)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "base"));
	m.logins = logins_make(m.config, h->hostname);
	confine(m.config);
	writer_lock(m.config);
	m.entries = locmap_open(m.config->map_dir, true, m.config->map_size_bytes);
	if (m.entries == NULL)
		DIE(EXIT_TEMP, "fatal.map", log_str("dir", m.config->map_dir));
	m.on_chan = event_start(&m, chan, EV_READ | EV_PERSIST, chan_readable);
	(void)event_start(&m, SIGTERM, EV_SIGNAL | EV_PERSIST, on_term);
	sandbox_seccomp(SANDBOX_FILES);
	ready_say(&m);
	(void)event_base_dispatch(m.base);
	locmap_close(m.entries);
}
