/*
 * One MUPDATE connection in the net process: its bytes, its state, its deadlines. conn.c moves bytes
 * and frames them; command.c says what lines mean; stream.c writes dumps and updates.
 *
 *	         login OK              UPDATE          end of dump
 *	FRESH ------------> OPEN ---------------> DUMPING ------> STREAMING
 *	  |  ^ NO, "*"       |  ^  LIST             |                |
 *	  v  |               |  '---- (is_busy)     |                |
 *	LOGIN                v                      v                v
 *	                  ENDING: what is written goes out, nothing is read any more
 *
 * A connection of the Unix socket starts OPEN. While is_busy the map owes it an answer and no command of
 * it is looked at: commands run in order.
 */
#ifndef MUPDATED_CONN_H
#define MUPDATED_CONN_H

#include "buf.h"
#include "mboxname.h"
#include "mupdatewire.h"
#include "verb.h"

#define CONN_HOSTS_MAX		30	/* arguments of UPDATE, as Cyrus */
#define CONN_OUT_HIGH_BYTES	(256 * 1024)	/* above it no command is read and no piece of a dump is asked for */
#define CONN_FRESH_STRING_BYTES	(12 * 1024)	/* before login: an initial response */
#define CONN_FRESH_WHOLE_BYTES	(MUPDATE_LINE_MAX_BYTES + 1024)
#define CONN_BAD_MAX		10	/* lines not understood before BYE */
#define CONN_FRESH_BAD_MAX	3	/* before login: who speaks another protocol finds that out soon */
#define CONN_LOGINS_MAX		3	/* failed logins before BYE */
#define CONN_STALL_MS		(5 * 60 * 1000)	/* output that nobody takes, but for streams: they have a backlog */
#define CONN_ENDING_MS		10000	/* to take the last words */

enum conn_state { CONN_FRESH, CONN_LOGIN, CONN_OPEN, CONN_DUMPING, CONN_STREAMING, CONN_ENDING };

struct event;
struct net;

struct conn {
	uint64_t	 id;		/* serial << 16 | slot; 0: free */
	struct net	*net;
	int		 fd;		/* owned */
	enum conn_state	 state;
	bool		 is_unix, is_busy;
	bool		 is_shut;	/* ENDING, and all was written */
	struct event	*readable, *writable;	/* owned */
	struct buf	 in, out;
	struct mupdate_frame frame;
	char		 tag[MUPDATE_TAG_MAX_BYTES + 1];	/* of the command under way */
	char		 sid[SID_MAX_BYTES + 1];
	char		 addr[64];
	char		 user[USER_TEXT_MAX_BYTES + 1];	/* logged in as; empty before */
	char		 mech[MECH_MAX_BYTES + 1];

	/* A dump under way (LIST while OPEN and busy, UPDATE while DUMPING), then the stream. */
	bool		 is_dump, wants_piece;
	struct mboxname	 after;		/* where the next piece begins */
	char		 prefix[LOCATION_MAX_BYTES];
	size_t		 prefix_n;
	struct buf	 hosts;		/* of UPDATE: each with a NUL after it; empty: all */
	char		 stream_tag[MUPDATE_TAG_MAX_BYTES + 1];
	bool		 has_first;	/* the dump's first piece came: changes since then wait in pending */
	struct buf	 pending;	/* lines for after the dump */

	unsigned	 bad, logins;
	int64_t		 start_ms, input_ms, output_ms, ending_ms;	/* monotonic */
	uint64_t	 commands, bytes_in, bytes_out;
	const char	*end_why;	/* literal */
};

/* Takes over fd. */
void	conn_open(struct net *, struct conn *, uint64_t id, int fd, bool is_unix, const char *addr);
/* Frees it at once: for a dead peer, or after the last words. Logs session.end. */
void	conn_close(struct conn *, const char *why);
/* "tag WORD text"; tag "*" for none. Out of room: the connection ends. */
void	conn_reply(struct conn *, const char *tag, const char *word, const char *text);
/* Says "tag BYE text"; no input is taken from now on, and the connection closes when all is written. */
void	conn_bye(struct conn *, const char *tag, const char *text, const char *why);
/* As conn_bye after the last words were written by the caller. */
void	conn_end(struct conn *, const char *why);
/* Appends raw output (to out, or to pending). False: no room; the connection was ended. */
bool	conn_append(struct conn *, struct buf *, struct slice);
/* Looks at the input as far as the state allows, and writes. May free the connection. */
void	conn_work(struct conn *);
/* Deadlines. May free it. */
void	conn_sweep(struct conn *, int64_t now);

#endif
