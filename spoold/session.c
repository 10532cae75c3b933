/*
 * The bytes of a client session while a worker has it: reading, writing, sending files, all with a
 * deadline, and the question whether to give the session back. Called by imap/ and pop3/. The
 * descriptor is non-blocking; a peer that takes or gives nothing for a minute is gone.
 */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "notify.h"

#define READ_BYTES	(16 * 1024)
#define SENDFILE_BYTES	(1024 * 1024)	/* a call: the deadline starts anew after each */

static struct {
	const struct notify	*notify;
	int			 lot_fd;
	uint64_t		 id;	/* of the session served: it knows its own changes */
} env = {.lot_fd = -1};

void
session_init(int lot_fd, const struct notify *notify)
{
	env.lot_fd = lot_fd;
	env.notify = notify;
}

void
session_begin(struct session *s, const struct store_host *host, uint64_t id, int fd, int lock_fd)
{
	env.id = id;
	*s = (struct session){.host = host, .fd = fd, .lock_fd = lock_fd, .end_why = "error"};
	s->in = buf_make(SESSION_IN_MAX_BYTES);
	s->out = buf_make(2 * SESSION_OUT_BYTES);
	s->state = buf_make(SESSION_STATE_MAX_BYTES);
	s->command = arena_make(SESSION_COMMAND_MAX_BYTES);
}

void
session_free(struct session *s)
{
	buf_free(&s->in);
	buf_free(&s->out);
	buf_free(&s->state);
	arena_free(&s->command);
	close(s->fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
}

static int
session_dead(struct session *s, const char *why)
{
	if (!s->is_dead)
		s->end_why = why;
	s->is_dead = true;
	buf_clear(&s->out);
	return -1;
}

/* Waits until fd is ready: 1, or 0 when it was not in time, -1 on an error. Signals do not prolong it. */
static int
wait_ready(int fd, short events, int wait_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int64_t end = mono_ms() + wait_ms;
	int n;

	while ((n = poll(&p, 1, wait_ms)) < 0 && errno == EINTR) {
		int64_t left = end - mono_ms();

		wait_ms = left > 0 ? (int)left : 0;
	}
	return n;
}

int
session_fill(struct session *s, int wait_ms)
{
	char *room;
	ssize_t n;

	if (s->is_dead || (s->out.n > 0 && session_flush(s) != 0))
		return -1;
	room = buf_room(&s->in, READ_BYTES);
	if (room == NULL)
		return session_dead(s, "input");
	for (;;) {
		n = recv(s->fd, room, READ_BYTES, MSG_DONTWAIT);
		if (n > 0) {
			s->in.n += (size_t)n;
			s->bytes_in += (uint64_t)n;
			return 1;
		}
		if (n == 0)
			return session_dead(s, "eof");
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return session_dead(s, "error");
		switch (wait_ready(s->fd, POLLIN, wait_ms < 0 ? SESSION_STALL_MS : wait_ms)) {
		case 0:
			return wait_ms < 0 ? session_dead(s, "timeout") : 0;
		case -1:
			return session_dead(s, "error");
		}
	}
}

/* Sends all of it; each byte that moves starts the deadline anew. */
static int
send_all(struct session *s, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(s->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent >= 0) {
			p += sent;
			n -= (size_t)sent;
			s->bytes_out += (uint64_t)sent;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return session_dead(s, "eof");
		if (wait_ready(s->fd, POLLOUT, SESSION_STALL_MS) <= 0)
			return session_dead(s, "timeout");
	}
	return 0;
}

int
session_flush(struct session *s)
{
	if (s->is_dead || send_all(s, s->out.p, s->out.n) != 0)
		return -1;
	buf_clear(&s->out);
	return 0;
}

int
session_write(struct session *s, const void *p, size_t n)
{
	if (s->is_dead)
		return -1;
	if (s->out.n + n > SESSION_OUT_BYTES && session_flush(s) != 0)
		return -1;
	if (n > SESSION_OUT_BYTES)
		return send_all(s, p, n);
	return buf_add(&s->out, p, n);
}

int
session_puts(struct session *s, const char *text)
{
	return session_write(s, text, strlen(text));
}

int
session_putf(struct session *s, const char *fmt, ...)
{
	char text[SESSION_OUT_BYTES];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text)) {
		LOG("bug.session.putf", log_slice("sid", s->who.sid), log_i64("bytes", n));
		return session_dead(s, "error");
	}
	return session_write(s, text, (size_t)n);
}

int
session_send_file(struct session *s, int fd, uint64_t offset, uint64_t n)
{
	off_t at = (off_t)offset;

	if (session_flush(s) != 0)
		return -1;
	while (n > 0) {
		ssize_t sent = sendfile(s->fd, fd, &at, n > SENDFILE_BYTES ? SENDFILE_BYTES : (size_t)n);

		if (sent > 0) {
			n -= (uint64_t)sent;
			s->bytes_out += (uint64_t)sent;
		} else if (sent == 0) {
			/* What was promised cannot be kept: the client is in the middle of a literal. */
			LOG("warn.session.short", log_slice("sid", s->who.sid), log_u64("bytes", n));
			return session_dead(s, "short file");
		} else if (errno == EAGAIN) {
			if (wait_ready(s->fd, POLLOUT, SESSION_STALL_MS) <= 0)
				return session_dead(s, "timeout");
		} else if (errno != EINTR) {
			return session_dead(s, "eof");
		}
	}
	return 0;
}

bool
session_is_gone(struct session *s)
{
	struct pollfd p = {.fd = s->fd};

	/* Who only ended its own sending still reads. */
	if (!s->is_dead && poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0)
		(void)session_dead(s, "eof");
	return s->is_dead;
}

bool
session_is_quiet(struct session *s, int linger_ms)
{
	struct pollfd p[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = env.lot_fd, .events = POLLIN}};
	int n;

	if (session_flush(s) != 0)
		return true;
	while ((n = poll(p, 2, linger_ms)) < 0 && errno == EINTR)
		continue;
	return n <= 0 || p[0].revents == 0;
}

bool
session_should_park(struct session *s, int linger_ms)
{
	if (session_flush(s) != 0)
		return true;
	return s->in.n == 0 && session_is_quiet(s, linger_ms);
}

void
session_spool_changed(struct session *s, struct slice user)
{
	(void)s;
	if (env.notify != NULL)
		notify_user(env.notify, user, env.id);
}
