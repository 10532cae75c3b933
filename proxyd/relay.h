/*
 * Bytes between a client and its session at the backend, untouched, both ways. A block is held for a
 * direction only while the side it goes to is full, and then the other side is not read. Until the backend
 * has answered the login, nothing is read from the client, and the answer is looked at (not changed):
 * a refusal gives the client back to pre-login. Never waits; conn.c gives it readiness.
 */
#ifndef PROXYD_RELAY_H
#define PROXYD_RELAY_H

#include "sessopen.h"
#include "tls.h"

#define RELAY_BLOCK_BYTES	(16 * 1024)	/* a TLS record */

struct relay_block;

enum relay_login {
	RELAY_WAITING,	/* the backend has not answered yet */
	RELAY_ACCEPTED,
	RELAY_REFUSED,
};

enum relay_want { RELAY_READ = 1, RELAY_WRITE = 2 };

enum relay_state {
	RELAY_GOING,	/* wait for what want_client and want_backend say */
	RELAY_AGAIN,	/* its turn is over but there is more to do: call again without waiting */
	RELAY_OVER,	/* nothing more will pass; why says why */
};

struct relay {
	enum relay_login	 login;
	struct relay_block	*up, *down;		/* owned; NULL: nothing is held */
	bool			 client_ended, backend_ended;
	bool			 up_shut;		/* the backend was told that the client ended */
	int			 want_client, want_backend;	/* of relay_want */
	uint64_t		 bytes_in, bytes_out;	/* from and to the client */
	bool			 moved;			/* bytes moved in the last call */
	char			 last;			/* the last byte sent to the client */
	const char		*why;
	/* the answer watched for */
	char			 answer[SESSOPEN_TAG_MAX_BYTES + 2];	/* "TAG " or "" for POP3's first line */
	size_t			 matched;		/* bytes of answer matched in this line */
	bool			 is_other_line;		/* this line is not the answer */
};

/* tag: of the login (IMAP), NULL for POP3. */
void			 relay_init(struct relay *, const char *tag);
void			 relay_free(struct relay *);
/* Input that came after the login command: goes to the backend once that has accepted. At most RELAY_BLOCK_BYTES. */
void			 relay_preload(struct relay *, struct slice);
/* Moves what can be moved. */
enum relay_state	 relay_pump(struct relay *, struct tls_stream *client, int backend);
/* True when bytes are held for a side that does not take them. */
bool			 relay_is_stuck(const struct relay *);

#endif
