/*
 * A client session while a worker has it. The lot hands it over with its state; the protocol's run
 * function serves until the client is quiet, packs what it must remember, and gives it back.
 */
#ifndef TS_SESSION_H
#define TS_SESSION_H

#include "arena.h"
#include "buf.h"
#include "sessopen.h"
#include "store/store.h"

#define SESSION_STATE_MAX_BYTES		4096	/* a protocol's packed state */
#define SESSION_UNREAD_MAX_BYTES	8192	/* input read but not used, parked with it */
#define SESSION_OUT_BYTES		(16 * 1024)
#define SESSION_IN_MAX_BYTES		(256 * 1024)	/* more unused input than this ends the session: no line is so long */
#define SESSION_COMMAND_MAX_BYTES	(256ULL * 1024 * 1024)	/* arena of one command: a FETCH's list of 10^6 messages fits */
#define SESSION_LINGER_MS		20	/* quiet for so long: a client that answers at once keeps its worker */
#define SESSION_STALL_MS		60000	/* no byte moved for so long while one is due: the session ends */

enum session_why {
	SESSION_NEW,		/* just opened: answer the login (or refuse it) */
	SESSION_INPUT,		/* there is input */
	SESSION_CHANGED,	/* its spool changed */
	SESSION_TIMER,		/* the time it asked for came */
	SESSION_DRAIN,		/* the daemon stops: say BYE if quiet */
};

enum session_end {
	SESSION_PARK,		/* give it back to the lot */
	SESSION_CLOSE,		/* over; the protocol has said goodbye if it could */
};

struct session {
	/* from the lot: never changed by a worker */
	struct sessopen		 who;
	enum session_why	 why;
	const struct store_host	*host;
	int			 fd;		/* non-blocking; the client's bytes (through proxyd's net). Only session.c touches it */
	/* input and output */
	struct buf		 in;		/* unread input; parked if it is at most SESSION_UNREAD_MAX_BYTES */
	struct buf		 out;		/* written, not yet flushed */
	bool			 is_dead;	/* peer gone or stalled: every later write is dropped */
	/* parked with it */
	struct buf		 state;		/* the protocol's; packed by run before SESSION_PARK; empty at SESSION_NEW */
	bool			 wants_changes;	/* wake me when my spool changes */
	int64_t			 timer_ms;	/* wake me after so long without input or change; 0: never */
	int			 lock_fd;	/* kept by the lot while parked (POP3's maildrop lock), -1: none */
	/* counted for session.end */
	uint64_t		 commands, bytes_in, bytes_out;
	const char		*end_why;	/* literal: "logout", "eof", "timeout", "error" ... */
	struct arena		 command;	/* reset by the protocol for each command */
};

/*
 * Reads more into s->in, waiting at most wait_ms (-1: SESSION_STALL_MS). 1: something came; 0: nothing
 * in that time (with -1: the session is dead instead); -1: end or error, s->is_dead.
 */
int	session_fill(struct session *, int wait_ms);
/* Has the peer left while it waits for an answer? Asked in long work; then s->is_dead. One poll, no input is read. */
bool	session_is_gone(struct session *);
/* Add to the output; flushes by itself when SESSION_OUT_BYTES are held. Return -1 once the peer is dead. */
int	session_write(struct session *, const void *, size_t);
int	session_puts(struct session *, const char *);
int	session_putf(struct session *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int	session_flush(struct session *);
/* Flushes, then sends n bytes of a file (sendfile). A short file kills the session. */
int	session_send_file(struct session *, int fd, uint64_t offset, uint64_t n);
/*
 * True when the worker should give the session back: nothing unread, and either somebody waits for a
 * worker or the client was quiet for the linger time (SESSION_LINGER_MS; 0 for one that said it would be quiet). Call it between
 * commands; it waits (polls) itself.
 */
bool	session_should_park(struct session *, int linger_ms);
/* The same whatever is unread: for a protocol that can do nothing with it but park it, half a line. */
bool	session_is_quiet(struct session *, int linger_ms);
/* Tells every lot that this user's spool changed (after the change was committed). */
void	session_spool_changed(struct session *, struct slice user);

/* Once in a worker: who else is there. lot_fd: readable when the lot wants us to hurry, or ended. */
struct notify;
void	session_init(int lot_fd, const struct notify *);
/* The next session of this worker, all of it zeroed but what is given; id is the lot's. */
void	session_begin(struct session *, const struct store_host *, uint64_t id, int fd, int lock_fd);
/* Frees what session_begin and the protocol made, and closes both descriptors. */
void	session_free(struct session *);

/* imap/imap.c, pop3/pop3.c */
enum session_end	imap_run(struct session *);
enum session_end	pop3_run(struct session *);
/* Once in a worker: seconds from a POP3 login to the next of the same user (RFC 2449 6.5); 0: no delay. */
void			pop3_init(uint64_t login_delay_s);

#endif
