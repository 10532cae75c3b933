/*
 * A POP3 session in its TRANSACTION state (RFC 1939 5): what the files of pop3/ share. The maildrop is a view of INBOX as it
 * was at login; the marks of DELE are bits, one a message.
 */
#ifndef TS_POP3_H
#define TS_POP3_H

#include "session.h"

#define POP3_LINE_MAX_BYTES	510		/* of a command, without CRLF (RFC 2449 4: 255 with it) */
#define POP3_FAULTS_MAX		3		/* lines that are none (too long, bare CR or LF, NUL): so many end the session */
#define POP3_UNKNOWN_MAX	20		/* unknown or malformed commands in a row: so many end it (no mail client) */
#define POP3_AUTOLOGOUT_MS	(10 * 60 * 1000)	/* RFC 1939 3: at least 10 minutes */
#define POP3_MESSAGES_MAX	(64U * 1024 * 1024)	/* of one maildrop: 8 MiB of marks */
#define POP3_RANGES_MAX		500		/* runs of marked messages in a parked state: 8 bytes each; more of them go as bits */
#define POP3_BITS_MAX_BYTES	4000		/* of marks in it: 31,999 messages. More, and in more runs, keep the worker */
#define POP3_SEEN_MAX		256		/* messages read whose \Seen is still to be stored */

struct pop3 {
	struct session	*s;
	struct store	*store;			/* owned */
	struct view	 view;			/* never moved on: numbers must not shift */
	uint32_t	 count;			/* messages in it */
	struct buf	 marks;			/* owned; bit seq - 1: deleted */
	uint32_t	 seen[POP3_SEEN_MAX];	/* uids */
	size_t		 nseen;
	unsigned	 faults, unknown;
	bool		 is_skipping;		/* the end of an overlong line is still to come */
	bool		 is_over;		/* answered for the last time */
};

/* ---- marks.c ---- */

/* Room for a bit a message; false past POP3_MESSAGES_MAX. */
bool	marks_make(struct pop3 *);
bool	marks_has(const struct pop3 *, uint32_t seq);
void	marks_set(struct pop3 *, uint32_t seq);
void	marks_clear(struct pop3 *);
/* The next run of marked messages from seq on; false when there is none. */
bool	marks_run(const struct pop3 *, uint32_t seq, uint32_t *first_out, uint32_t *last_out);

/* ---- state.c ---- */

/* Into s->state; false when there are too many runs of marks. */
bool	state_pack(const struct pop3 *);
/* All but session and store; false on anything not exactly right. */
bool	state_unpack(struct pop3 *, struct slice);

/* ---- maildrop.c ---- */

enum lock_result { LOCK_HELD, LOCK_IN_USE, LOCK_TROUBLE };
/* The exclusive lock on the maildrop (RFC 1939 4), held by the descriptor until maildrop_unlock or until its last copy is closed. */
enum lock_result maildrop_lock(struct store *, const struct store_host *, int *fd_out);
void		 maildrop_unlock(struct store *, const struct store_host *, int fd, bool is_kept);
/* Was the last login less than so long ago? Writes that there is one now. Both with the lock held. */
bool		 maildrop_is_too_soon(int fd, uint64_t delay_s);
void		 maildrop_stamp(struct store *, int fd);
/* Stores \Seen for what was read. Best effort. */
void		 maildrop_flush_seen(struct pop3 *);
void		 maildrop_seen(struct pop3 *, const struct msg_info *);
/* Expunges the marked messages. */
enum store_result maildrop_expunge(struct pop3 *);

/* ---- retr.c ---- */

/* Sends the message, or its header and so many lines (lines UINT64_MAX: all), as a multi-line answer. */
#define RETR_ALL	UINT64_MAX
void	retr_send(struct pop3 *, const struct msg_info *, uint64_t lines);

/* ---- pop3.c ---- */

/* As pop3_init was told. */
uint64_t pop3_login_delay_s(void);
/* Frees the maildrop, before the last answer: a client may log in again as soon as it has read it. */
void	pop3_unlock(struct pop3 *);

/* ---- command.c ---- */

/* One command line, without CRLF. */
void	command_run(struct pop3 *, struct slice line);

#endif
