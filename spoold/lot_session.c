/*
 * A session's life in its lot: opened, queued for a worker, served, parked, over. Who it belongs to
 * is fixed by the open record it came with; a worker that gives it back changes its state, its
 * unread input and its timer and nothing else. Ends in exactly one session.end.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "lot.h"

/* Descriptors a session may come to hold here: its own, and POP3's maildrop lock. */
static size_t
session_nfds(enum sess_proto proto)
{
	return proto == SESS_POP3 ? 2 : 1;
}

static struct sessopen
session_who(const struct lot_session *s)
{
	struct sessopen who;

	/* It was unpacked once when it came; the bytes are ours. */
	if (!sessopen_unpack((struct slice){s->blob, s->open_n}, &who))
		abort();
	return who;
}

static const char *
proto_name(uint8_t proto)
{
	return proto == SESS_IMAP ? "imap" : "pop3";
}

/* The blob anew, with this state and unread input (either may point into the old one). */
static void
session_blob(struct lot_session *s, struct slice open, struct slice state, struct slice unread)
{
	size_t n = open.n + state.n + unread.n;
	char *blob = malloc(n);

	if (blob == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", n));
	memcpy(blob, open.p, open.n);
	if (state.n > 0)
		memcpy(blob + open.n, state.p, state.n);
	if (unread.n > 0)
		memcpy(blob + open.n + state.n, unread.p, unread.n);
	free(s->blob);
	s->blob = blob;
	s->open_n = (uint32_t)open.n;
	s->state_n = (uint32_t)state.n;
	s->unread_n = (uint32_t)unread.n;
}

static void
ready_push(struct lot *l, struct lot_session *s)
{
	s->user->nserved++;
	s->queue_next = NULL;
	*l->ready_end = s;
	l->ready_end = &s->queue_next;
	l->nready++;
}

void
lot_session_wake(struct lot *l, struct lot_session *s, enum session_why why)
{
	struct user *u = s->user;

	if (s->where == LOT_PARKED)
		event_del(&s->ev);
	s->where = LOT_QUEUED;
	s->why = (uint8_t)why;
	if (u->nserved < l->site->conf.workers_per_user) {
		ready_push(l, s);
		return;
	}
	s->queue_next = NULL;
	*u->waiting_end = s;
	u->waiting_end = &s->queue_next;
}

/* A session of this user left its worker (or died): the next of the same user has a turn. */
static void
user_release(struct lot *l, struct user *u)
{
	struct lot_session *next = u->waiting;

	u->nserved--;
	if (next == NULL)
		return;
	u->waiting = next->queue_next;
	if (u->waiting == NULL)
		u->waiting_end = &u->waiting;
	ready_push(l, next);
}

/* Waits for input, or for the time its protocol asked for. */
static void
session_watch(struct lot_session *s)
{
	struct timeval tv = {.tv_sec = s->timer_ms / 1000, .tv_usec = (suseconds_t)(s->timer_ms % 1000) * 1000};

	if (event_add(&s->ev, s->timer_ms > 0 ? &tv : NULL) != 0)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "event_add"));
}

static void
on_session(evutil_socket_t fd, short what, void *arg)
{
	struct lot_session *s = arg;
	struct lot *l = s->lot;
	ssize_t n;
	char byte;

	if ((what & EV_READ) == 0) {
		lot_session_wake(l, s, SESSION_TIMER);
		lot_worker_pump(l);
		return;
	}
	n = recv((int)fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n > 0) {
		lot_session_wake(l, s, SESSION_INPUT);
		lot_worker_pump(l);
	} else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		session_watch(s);
	} else {
		lot_session_end(l, s, n == 0 ? SLICE("eof") : SLICE("error"));
		lot_end_if_empty(l);
	}
}

bool
lot_session_open(struct lot *l, struct slice record, const struct sessopen *who, int fd)
{
	struct user *u = users_get(&l->users, who->user);
	size_t nfds = session_nfds(who->proto);
	struct lot_session *s;

	if (u->nsessions >= l->site->conf.sessions_per_user || l->nfds + nfds > l->nfds_max || fd_nonblock(fd) != 0) {
		LOG("session.refused", log_slice("sid", who->sid), log_slice("user", who->user),
		    log_u64("user_sessions", u->nsessions), log_u64("sessions", l->nsessions));
		if (u->nsessions == 0)
			users_drop(&l->users, u);
		close(fd);
		return false;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*s)));
	s->lot = l;
	s->id = (uint64_t)l->index << 48 | ++l->next_id;
	s->fd = fd;
	s->lock_fd = -1;
	s->proto = (uint8_t)who->proto;
	s->start_ms = mono_ms();
	s->where = LOT_QUEUED;
	session_blob(s, record, SLICE(""), SLICE(""));
	event_assign(&s->ev, l->base, fd, EV_READ, on_session, s);
	s->user = u;
	s->user_next = u->sessions;
	s->user_at = &u->sessions;
	if (u->sessions != NULL)
		u->sessions->user_at = &s->user_next;
	u->sessions = s;
	if (u->nsessions++ == 0)
		notify_watch(&l->site->notify, l->index, who->user, true);
	l->nsessions++;
	l->nfds += nfds;
	LOG("session.open", log_slice("sid", who->sid), log_slice("user", who->user), log_str("proto", proto_name(s->proto)),
	    log_slice("addr", who->addr), log_u64("port", who->port), log_u64("tls", who->is_tls));
	lot_session_wake(l, s, SESSION_NEW);
	return true;
}

static void
session_changed(struct lot *l, struct lot_session *s)
{
	if (s->where != LOT_PARKED)
		s->is_changed = true;
	else if (s->wants_changes)
		lot_session_wake(l, s, SESSION_CHANGED);
}

static void
user_changed(void *arg, struct user *u)
{
	for (struct lot_session *s = u->sessions; s != NULL; s = s->user_next)
		session_changed(arg, s);
}

void
lot_changed(struct lot *l, struct user *user, uint64_t origin)
{
	if (user == NULL)
		users_each(&l->users, user_changed, l);
	else
		for (struct lot_session *s = user->sessions; s != NULL; s = s->user_next)
			if (s->id != origin)
				session_changed(l, s);
	lot_worker_pump(l);
}

static void
session_count(struct lot_session *s, const struct work_result *r)
{
	s->commands += r->commands;
	s->bytes_in += r->bytes_in;
	s->bytes_out += r->bytes_out;
}

/*
 * A change that came while a worker had it may have come after the worker last looked, so it has
 * another turn at once. While the daemon stops each quiet session is told BYE, once.
 */
void
lot_session_park(struct lot *l, struct lot_session *s, const struct work_result *r, int lock_fd)
{
	session_count(s, r);
	session_blob(s, (struct slice){s->blob, s->open_n}, r->state, r->unread);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->lock_fd = lock_fd;
	s->wants_changes = r->wants_changes;
	s->timer_ms = (uint32_t)r->timer_ms;
	s->where = LOT_PARKED;
	user_release(l, s->user);
	session_watch(s);
	if (l->is_stopping && !s->was_drained) {
		s->was_drained = true;
		lot_session_wake(l, s, SESSION_DRAIN);
		return;
	}
	s->was_drained = false;
	if (s->is_changed && s->wants_changes)
		lot_session_wake(l, s, SESSION_CHANGED);
	s->is_changed = false;
}

static void
session_drop(struct lot *l, struct lot_session *s)
{
	struct user *u = s->user;

	event_del(&s->ev);
	close(s->fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	*s->user_at = s->user_next;
	if (s->user_next != NULL)
		s->user_next->user_at = s->user_at;
	l->nsessions--;
	l->nfds -= session_nfds((enum sess_proto)s->proto);
	if (--u->nsessions == 0) {
		notify_watch(&l->site->notify, l->index, (struct slice){u->name, u->n}, false);
		users_drop(&l->users, u);
	}
	free(s->blob);
	free(s);
}

static void
session_log_end(const struct lot_session *s, struct slice why)
{
	struct sessopen who = session_who(s);

	LOG("session.end", log_slice("sid", who.sid), log_slice("user", who.user), log_str("proto", proto_name(s->proto)),
	    log_slice("why", why), log_i64("ms", mono_ms() - s->start_ms), log_u64("commands", s->commands),
	    log_u64("bytes_in", s->bytes_in), log_u64("bytes_out", s->bytes_out));
}

void
lot_session_end(struct lot *l, struct lot_session *s, struct slice why)
{
	if (s->where == LOT_SERVED)
		user_release(l, s->user);
	session_log_end(s, why);
	session_drop(l, s);
}

void
lot_session_lost(struct lot *l, struct lot_session *s, const char *why)
{
	struct sessopen who = session_who(s);
	struct slice bye = SLICE("* BYE internal error\r\n");

	LOG("warn.session.lost", log_slice("sid", who.sid), log_slice("user", who.user), log_str("why", why));
	if (s->proto == SESS_IMAP)
		(void)!send(s->fd, bye.p, bye.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	lot_session_end(l, s, SLICE("lost"));
}

void
lot_session_over(struct lot *l, struct lot_session *s, const struct work_result *r)
{
	session_count(s, r);
	lot_session_end(l, s, r->end_why);
}

static void
user_drain(void *arg, struct user *u)
{
	for (struct lot_session *s = u->sessions; s != NULL; s = s->user_next)
		if (s->where == LOT_PARKED) {
			s->was_drained = true;
			lot_session_wake(arg, s, SESSION_DRAIN);
		}
}

void
lot_session_drain_all(struct lot *l)
{
	users_each(&l->users, user_drain, l);
	lot_worker_pump(l);
}

static void
user_log_end(void *arg, struct user *u)
{
	(void)arg;
	for (const struct lot_session *s = u->sessions; s != NULL; s = s->user_next)
		session_log_end(s, SLICE("stop"));
}

void
lot_session_log_all(struct lot *l)
{
	users_each(&l->users, user_log_end, NULL);
}
