/*
 * POP3 after login (RFC 1939 4 to 6): opens and locks the maildrop, takes command lines as they come, and gives
 * the session back to the lot when the client is quiet, half a line with it. Called by the worker, which calls nothing else here. Only QUIT
 * removes messages: a session that ends in any other way, by a lost connection, its autologout or a stopping
 * daemon, leaves the maildrop as it was.
 *
 *   NEW --"+OK"--> commands <--quiet / input--> parked
 *    |                |
 *    "-ERR"           QUIT, fault, end, timeout
 *    v                v
 *   closed          closed
 */
#include "frame.h"
#include "log.h"
#include "mboxname.h"
#include "place.h"
#include "pop3/pop3.h"

static uint64_t login_delay_s;

void
pop3_init(uint64_t delay_s)
{
	login_delay_s = delay_s;
}

uint64_t
pop3_login_delay_s(void)
{
	return login_delay_s;
}

void
pop3_unlock(struct pop3 *p)
{
	maildrop_unlock(p->store, p->s->host, p->s->lock_fd, login_delay_s > 0);
	p->s->lock_fd = -1;
}

/* A spool for the user, made at the first login. */
static enum lookup
spool_open(struct pop3 *p)
{
	enum lookup r = store_open(p->s->host, p->s->who.user, &p->store);

	if (r == ABSENT && place_user(p->s->host, p->s->who.user) == STORE_OK)
		r = store_open(p->s->host, p->s->who.user, &p->store);
	return r;
}

static enum store_result
inbox_open(struct pop3 *p)
{
	struct mboxname name;
	struct mbox_info info;
	enum store_result r;

	mboxname_inbox(p->s->who.user, &name);
	r = store_mbox_by_name(p->store, (struct slice){name.s, name.n}, &p->s->command, &info);
	if (r == STORE_OK)
		r = view_open(p->store, info.id, false, &p->view);
	if (r == STORE_OK)
		r = view_count(p->store, &p->view, &p->count);
	return r;
}

static bool
refuse(struct pop3 *p, const char *code, const char *text, const char *why)
{
	session_putf(p->s, "-ERR [%s] %s\r\n", code, text);
	p->s->end_why = why;
	return false;
}

/* The answer to the login. */
static bool
login(struct pop3 *p)
{
	if (spool_open(p) != FOUND)
		return refuse(p, "SYS/TEMP", "mailbox is unavailable", "error");
	switch (maildrop_lock(p->store, p->s->host, &p->s->lock_fd)) {
	case LOCK_HELD:
		break;
	case LOCK_IN_USE:
		return refuse(p, "IN-USE", "maildrop is in use by another session", "in use");
	case LOCK_TROUBLE:
		return refuse(p, "SYS/TEMP", "maildrop cannot be locked", "error");
	}
	if (maildrop_is_too_soon(p->s->lock_fd, login_delay_s))
		return refuse(p, "LOGIN-DELAY", "too soon after the last login", "login delay");
	if (inbox_open(p) != STORE_OK || !marks_make(p))
		return refuse(p, "SYS/TEMP", "maildrop cannot be opened", "error");
	if (login_delay_s > 0)
		maildrop_stamp(p->store, p->s->lock_fd);
	session_puts(p->s, "+OK Logged in\r\n");
	return true;
}

/* A parked session goes on: its state must be what we packed, its maildrop the one it was. */
static bool
resume(struct pop3 *p)
{
	struct mbox_info info;

	if (p->s->lock_fd < 0 || !state_unpack(p, buf_slice(&p->s->state))) {
		LOG("bug.pop3.state", log_slice("sid", p->s->who.sid), log_u64("bytes", p->s->state.n));
		return refuse(p, "SYS/TEMP", "session is lost", "error");
	}
	if (store_open(p->s->host, p->s->who.user, &p->store) != FOUND ||
	    store_mbox_by_id(p->store, p->view.mailbox, &p->s->command, &info) != STORE_OK)
		return refuse(p, "SYS/TEMP", "mailbox is unavailable", "error");
	if (info.uidvalidity != p->view.uidvalidity)
		return refuse(p, "SYS/TEMP", "maildrop was replaced", "replaced");
	return true;
}

/* A line that is none. */
static void
line_fault(struct pop3 *p, enum frame_fault fault)
{
	static const char *const texts[] = {
		[FRAME_LONG] = "line too long",
		[FRAME_BARE] = "bare CR or LF",
		[FRAME_NUL] = "NUL in line",
		[FRAME_LITERAL] = "bad line",
	};

	session_putf(p->s, "-ERR %s\r\n", texts[fault]);
	if (++p->faults >= POP3_FAULTS_MAX) {
		p->s->end_why = "bad lines";
		p->is_over = true;
	}
}

/* What is left of a faulty line: how much of in. */
static size_t
line_skip(struct pop3 *p, struct slice in)
{
	const char *lf = memchr(in.p, '\n', in.n);

	p->is_skipping = lf == NULL;
	return lf == NULL ? in.n : (size_t)(lf - in.p) + 1;
}

/* Runs all whole lines of the input. */
static void
lines_run(struct pop3 *p)
{
	struct session *s = p->s;
	size_t used = 0;
	bool is_more = true;

	while (is_more && used < s->in.n && !p->is_over && !s->is_dead) {
		struct slice rest = {s->in.p + used, s->in.n - used};
		struct frame_line line;
		enum frame_fault fault;

		if (p->is_skipping) {
			used += line_skip(p, rest);
			continue;
		}
		switch (frame_line(rest, POP3_LINE_MAX_BYTES, false, &line, &fault)) {
		case PARSE_OK:
			used += line.used;
			arena_reset(&s->command);
			command_run(p, line.text);
			break;
		case PARSE_MORE:
			is_more = false;
			break;
		case PARSE_BAD:
			used += line_skip(p, rest);
			line_fault(p, fault);
			break;
		}
	}
	buf_drop(&s->in, used);
}

/* Until the client is quiet or the session over. */
static enum session_end
serve(struct pop3 *p)
{
	struct session *s = p->s;

	for (;;) {
		int wait_ms = -1;

		lines_run(p);
		if (p->is_over || s->is_dead)
			return SESSION_CLOSE;
		/* What is left of the input is a line without an end, and short. */
		if (session_is_quiet(s, SESSION_LINGER_MS)) {
			if (s->is_dead)
				return SESSION_CLOSE;
			if (state_pack(p))
				return SESSION_PARK;
			wait_ms = POP3_AUTOLOGOUT_MS;	/* too many marks to park: the worker stays */
		}
		switch (session_fill(s, wait_ms)) {
		case 0:
			s->end_why = "timeout";
			return SESSION_CLOSE;
		case -1:
			return SESSION_CLOSE;
		}
	}
}

static enum session_end
begin(struct pop3 *p)
{
	switch (p->s->why) {
	case SESSION_NEW:
		return login(p) ? serve(p) : SESSION_CLOSE;
	case SESSION_TIMER:	/* RFC 1939 3: closed without an answer; the spool is for the lock's name */
		p->s->end_why = "timeout";
		(void)store_open(p->s->host, p->s->who.user, &p->store);
		return SESSION_CLOSE;
	case SESSION_DRAIN:
		if (resume(p))
			refuse(p, "SYS/TEMP", "server is shutting down", "shutdown");
		return SESSION_CLOSE;
	case SESSION_INPUT:
	case SESSION_CHANGED:
		break;
	}
	return resume(p) ? serve(p) : SESSION_CLOSE;
}

enum session_end
pop3_run(struct session *s)
{
	struct pop3 p = {.s = s};
	enum session_end end;

	s->timer_ms = POP3_AUTOLOGOUT_MS;
	s->wants_changes = false;
	end = begin(&p);
	if (p.store != NULL) {
		maildrop_flush_seen(&p);
		if (end == SESSION_CLOSE && s->lock_fd >= 0)
			pop3_unlock(&p);
		store_close(p.store);
	}
	session_flush(s);
	buf_free(&p.marks);
	return end;
}
