/*
 * imap_run: an IMAP session while a worker has it. Answers the login of a new one, then commands until
 * the client is quiet, and gives it back with a few hundred bytes of state. Called by the worker.
 *
 *	NEW --OK--> command <--> command          LOGOUT, BYE, end: CLOSE
 *	              |  ^
 *	            IDLE DONE                     quiet between commands or in IDLE: PARK, having told what NOTIFY asks for
 *	              v  |
 *	             idling
 *
 * Never parks inside a command or a literal, nor with output unsent. RFC 3501 3, 5.4, 7.1.5.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "imap/imap.h"

#include "imap/append_bytes.h"
#include "imap/command.h"
#include "imap/condstore.h"
#include "imap/idle.h"
#include "imap/read.h"
#include "imap/state.h"
#include "imap/untagged.h"
#include "imap/watch.h"
#include "log.h"
#include "place.h"

#define REPLY_MAX_BYTES		512	/* text of a tagged reply */
/* Lines, literals, and the CRLF that each literal's mark keeps. */
#define TEXT_CAP_BYTES		(IMAP_LINE_MAX_BYTES + IMAP_LITERALS_MAX_BYTES + \
				    2 * (IMAP_LITERALS_MAX + IMAP_APPEND_MSGS_MAX + IMAP_APPEND_PARTS_MAX + 2))

/* ---- replies ---- */

void
imap_ok(struct imap *im, const char *fmt, ...)
{
	char	text[REPLY_MAX_BYTES];
	va_list	ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	imap_ok_code(im, SLICE(""), text);
}

void
imap_ok_code(struct imap *im, struct slice code, const char *text)
{
	im->nbad = 0;
	if (!untagged_sync(im, im->may_expunge))
		return;
	/* In the answer itself where that has no other code: EXPUNGE's must (RFC 7162 3.2.7). */
	if (code.n == 0 && text[0] != '[' && condstore_is_due(im)) {
		session_putf(im->s, "%s OK [HIGHESTMODSEQ %llu] %s\r\n", im->tag, (unsigned long long)condstore_highest(im), text);
		return;
	}
	condstore_tell(im);
	session_putf(im->s, "%s OK ", im->tag);
	session_write(im->s, code.p, code.n);
	session_putf(im->s, "%s\r\n", text);
}

void
imap_no(struct imap *im, const char *fmt, ...)
{
	char	text[REPLY_MAX_BYTES];
	va_list	ap;

	im->nbad = 0;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!untagged_sync(im, im->may_expunge))
		return;
	condstore_tell(im);
	session_putf(im->s, "%s NO %s\r\n", im->tag, text);
}

void
imap_bad(struct imap *im, const char *why)
{
	condstore_tell(im);
	session_putf(im->s, "%s BAD %s\r\n", im->tag, why);
	if (++im->nbad >= IMAP_BAD_MAX)
		imap_bye(im, "bad", "Too many errors");
}

void
imap_refuse(struct imap *im, const char *refusal)
{
	if (strncmp(refusal, "BAD ", 4) == 0) {
		imap_bad(im, refusal + 4);
		return;
	}
	im->nbad = 0;
	if (!untagged_sync(im, im->may_expunge))
		return;
	condstore_tell(im);
	session_putf(im->s, "%s %s\r\n", im->tag, refusal);	/* with a URL longer than REPLY_MAX_BYTES */
}

void
imap_no_store(struct imap *im, enum store_result r, const char *missing_code)
{
	switch (r) {
	case STORE_OK:
		break;
	case STORE_NOMBOX:
		imap_no(im, "[%s] No such mailbox", missing_code);
		return;
	case STORE_EXISTS:
		imap_no(im, "[ALREADYEXISTS] There is a mailbox of that name");
		return;
	case STORE_LIMIT:
		imap_no(im, "[LIMIT] That is more than this server allows");
		return;
	case STORE_FULL:
		imap_no(im, "[UNAVAILABLE] The server's disk is full");
		return;
	case STORE_PURGED:
	case STORE_DAMAGED:
		imap_no(im, "[UNAVAILABLE] Damaged, the operator was told");
		return;
	case STORE_TEMP:
		break;
	}
	imap_no(im, "[UNAVAILABLE] Temporary failure, please try again");
}

void
imap_bye(struct imap *im, const char *end_why, const char *text)
{
	if (im->is_over)
		return;
	session_putf(im->s, "* BYE %s\r\n", text);
	im->s->end_why = end_why;
	im->is_over = true;
}

void
imap_changed(struct imap *im)
{
	session_spool_changed(im->s, im->s->who.user);
}

void
imap_unselect(struct imap *im)
{
	im->is_selected = im->is_readonly = false;
	im->view = (struct view){0};
	im->nkeywords_told = 0;
	im->untold_modseq = 0;
	im->nsaved = 0;
}

/* ---- begin ---- */

/* A new session: the spool is opened, or made at the user's first login, before OK is said. */
static bool
login_answer(struct imap *im)
{
	struct session	*s = im->s;
	enum lookup	 found = store_open(s->host, s->who.user, &im->store);

	memcpy(im->tag, s->who.tag.p, s->who.tag.n);
	im->tag[s->who.tag.n] = '\0';
	if (found == ABSENT && place_user(s->host, s->who.user) == STORE_OK)
		found = store_open(s->host, s->who.user, &im->store);
	if (found != FOUND) {
		session_putf(s, "%s NO [UNAVAILABLE] The mailbox cannot be reached, please try again\r\n", im->tag);
		s->end_why = "unavailable";
		return false;
	}
	session_putf(s, "%s OK [CAPABILITY %s] Logged in\r\n", im->tag, imap_capabilities);
	return true;
}

static bool
take_up(struct imap *im)
{
	struct session	*s = im->s;

	if (!imap_state_unpack(buf_slice(&s->state), im)) {
		LOG("warn.session.state", log_slice("sid", s->who.sid));
		imap_bye(im, "state", "The session cannot go on, please connect again");
		return false;
	}
	if (store_open(s->host, s->who.user, &im->store) != FOUND) {
		imap_bye(im, "unavailable", "[UNAVAILABLE] The mailbox cannot be reached, please connect again");
		return false;
	}
	store_own_forget(im->store);
	return true;
}

static bool
imap_begin(struct imap *im)
{
	struct session	*s = im->s;

	if (s->why == SESSION_NEW)
		return s->who.tag.n > 0 && s->who.tag.n <= IMAP_TAG_MAX_BYTES && login_answer(im);
	if (!take_up(im))
		return false;
	if (s->why == SESSION_CHANGED && im->is_idling)
		return idle_changed(im);
	if (s->why == SESSION_TIMER && s->in.n == 0) {
		if (!im->is_idling && im->is_behind)
			return true;
		if (!im->is_idling) {
			imap_bye(im, "timeout", "Autologout, you were quiet for too long");
			return false;
		}
		if (!im->is_behind)
			session_puts(s, "* OK Still here\r\n");
		return idle_changed(im);
	}
	return true;
}

/* ---- commands ---- */

/* Nothing of a command outlives it; what was in its arena goes. */
static void
command_forget(struct imap *im)
{
	append_drop(im);
	im->keywords = NULL;
	im->nkeywords = 0;
	im->told = NULL;
	im->ntold = im->told_cap = 0;
	im->modseq_told = 0;
	im->is_highest_due = false;
	arena_reset(&im->s->command);
}

/* Reads and answers one command. False when the session is over. */
static bool
one_command(struct imap *im)
{
	enum read_result	r;

	im->may_expunge = im->is_expunging = false;
	im->is_uid = false;
	if ((r = read_command(im)) == READ_OK) {
		im->s->commands++;
		imap_command_run(im);
	}
	return r != READ_OVER && !im->is_over;
}

/* The session can be given back: nothing unread, nothing unsent. */
static bool
is_quiet(struct imap *im)
{
	struct session	*s = im->s;
	bool		 is_told;

	if (s->in.n > 0)
		return false;
	if (session_flush(s) < 0)
		return false;
	if (s->why == SESSION_DRAIN) {
		imap_bye(im, "drain", "The server stops, please connect again");
		return false;
	}
	/*
	 * One that idles has said that it will be quiet, one that was woken to be told something is: no lingering. But what woke
	 * it may be DONE, not read yet.
	 */
	is_told = im->watching != 0 && s->why == SESSION_CHANGED && s->commands == 0;
	return session_should_park(s, im->is_idling || is_told ? 0 : SESSION_LINGER_MS) && !s->is_dead;
}

static enum session_end
imap_park(struct imap *im)
{
	struct session	*s = im->s;

	im->is_behind = im->watching != 0 ? im->is_behind : im->is_idling && im->is_selected && store_is_behind(im->store);
	if (!imap_state_pack(im, &s->state)) {
		LOG("bug.session.state", log_slice("sid", s->who.sid));
		imap_bye(im, "state", "The session cannot go on, please connect again");
		return SESSION_CLOSE;
	}
	s->wants_changes = im->watching != 0 ? watch_is_waiting(im) : im->is_idling && im->is_selected;
	if (im->is_behind)
		s->timer_ms = IMAP_BEHIND_MS;
	else
		s->timer_ms = im->is_idling ? IMAP_IDLE_TELL_MS : IMAP_AUTOLOGOUT_MS;
	return SESSION_PARK;
}

enum session_end
imap_run(struct session *s)
{
	struct imap		im = {.s = s, .text = buf_make(TEXT_CAP_BYTES), .append = {.fd = -1}};
	enum session_end	end = SESSION_CLOSE;
	/* Nothing is told between the command that woke it and its answer. */
	bool			is_going, is_due = s->why != SESSION_INPUT;

	command_forget(&im);
	is_going = imap_begin(&im);
	while (is_going && !im.is_over && !s->is_dead) {
		if (im.watching != 0 && is_due && s->in.n == 0 && !watch_tell(&im))
			break;
		command_forget(&im);
		if (is_quiet(&im)) {
			if (is_due) {
				end = imap_park(&im);
				break;
			}
			is_due = true;	/* no command after all: it is not given back without a look */
			continue;
		}
		if (im.is_over || s->is_dead || (s->in.n == 0 && session_fill(s, -1) <= 0))
			break;
		is_going = im.is_idling ? idle_line(&im) : one_command(&im);
		is_due = true;
		command_forget(&im);
	}
	(void)session_flush(s);
	command_forget(&im);
	buf_free(&im.text);
	if (im.store != NULL)
		store_close(im.store);
	return end;
}
