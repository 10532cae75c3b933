/*
 * What net, the auth front and the login workers say to each other (SEQPACKET, one message a
 * packet): verb, exchange, body. An exchange is one login attempt; net names it towards the front, the
 * front renames it towards a worker. Nobody waits for a lost answer: every side has deadlines.
 */
#ifndef PROXYD_AUTHMSG_H
#define PROXYD_AUTHMSG_H

#include "pack.h"
#include "sessopen.h"

#define AUTH_DATA_MAX_BYTES	(8 * 1024)	/* one SASL message, decoded: a line of 8 KiB in base64 is less */
#define AUTH_MECH_MAX_BYTES	20		/* RFC 4422 3.1 */
#define AUTH_MSG_MAX_BYTES	(AUTH_DATA_MAX_BYTES + 2048)
#define AUTH_EXCHANGES_MAX	1024		/* logins under way; above it the one that waits longest for its client gives way */

enum auth_verb {
	AUTH_READY = 1,		/* upwards, exchange = a random number of this process: a new one lost what the old one had */
	AUTH_RESET,		/* front to worker, exchange 0: forget all exchanges, answer AUTH_READY */
	AUTH_START,		/* down: struct auth_start */
	/* The low 32 bits of a worker's exchange are below AUTH_EXCHANGES_MAX and unique among those under way. */
	AUTH_STEP,		/* down: str data */
	AUTH_ABORT,		/* down: forget this exchange; no answer */
	AUTH_CHALLENGE,		/* up: str data */
	AUTH_OK,		/* up: str user; one descriptor, the session's byte stream */
	AUTH_FAILED,		/* up: u8 enum auth_fail */
};

enum auth_fail {
	AUTH_BAD = 1,		/* the credentials, or the client's part of the exchange, are wrong */
	AUTH_TEMP,		/* a password service, the map or the session socket did not answer */
	AUTH_ELSEWHERE,		/* the user's mail is on another host */
	AUTH_BUSY,		/* a limit: the lot's, or ours */
	AUTH_FAIL_LAST = AUTH_BUSY,
};

struct auth_start {
	struct sessopen	who;		/* user is empty */
	struct slice	mech;
	bool		has_initial;
	struct slice	initial;	/* decoded */
};

struct auth_msg {
	enum auth_verb	 verb;
	uint64_t	 exchange;
	struct auth_start start;	/* AUTH_START */
	struct slice	 data;		/* AUTH_STEP, AUTH_CHALLENGE: data; AUTH_OK: user */
	enum auth_fail	 fail;		/* AUTH_FAILED */
};

/* Appends the whole message. */
void	auth_pack(struct buf *, const struct auth_msg *);
/* False on anything not exactly right, too long included. Slices point into the input. */
bool	auth_unpack(struct slice, struct auth_msg *out);
/* Renames a packed message in place: the exchange stands at a fixed offset. n is at least AUTH_HEAD_BYTES. */
void	auth_rename(char *packed, uint64_t exchange);
#define AUTH_HEAD_BYTES	9	/* verb, exchange */

#endif
