/*
 * The open record: how proxyd's auth opens a session at a lot of spoold. auth connects to spoold's
 * session socket (SEQPACKET; one connection an open, any lot accepts it), sends one record with one
 * descriptor (its end of the session's byte stream, SOCK_STREAM), and reads one answer.
 */
#ifndef TS_SESSOPEN_H
#define TS_SESSOPEN_H

#include "address.h"
#include "pack.h"

#define SESSOPEN_SID_MAX_BYTES		32
#define SESSOPEN_TAG_MAX_BYTES		128	/* IMAP tag of the login */
#define SESSOPEN_ADDR_MAX_BYTES		64	/* numeric address */
#define SESSOPEN_CLIENT_ID_MAX_BYTES	512	/* what the client said in ID before login, as logged */
#define SESSOPEN_MECHS_MAX_BYTES	168	/* 8 mechanisms (proxyd's limit) of 20 bytes (RFC 4422 3.1), a space before each */

enum sess_proto { SESS_IMAP = 1, SESS_POP3 = 2 };

struct sessopen {
	enum sess_proto	proto;
	struct slice	user;		/* valid by user_is_valid */
	struct slice	sid;		/* session id, made by net, in every log line of it */
	struct slice	tag;		/* IMAP: tag of LOGIN or AUTHENTICATE, whose OK or NO the worker sends */
	struct slice	addr;		/* client's address */
	uint16_t	port;
	bool		is_tls;
	struct slice	client_id;
	struct slice	mechs;		/* POP3: SASL mechanisms this door offers, which CAPA goes on naming (RFC 5034 3): " PLAIN LOGIN" */
	bool		is_utf8;	/* POP3: the client said UTF8 before the login (RFC 6856 2.1) */
};

void	sessopen_pack(struct buf *, const struct sessopen *);
/* Slices point into the input. False on anything not exactly right (lengths, user, proto). */
bool	sessopen_unpack(struct slice, struct sessopen *out);

/* The lot's answer: one byte. After OK the session's first output is the worker's OK or NO for the tag ("+OK"/"-ERR" for POP3). */
enum sessopen_answer { SESSOPEN_OK = 1, SESSOPEN_BUSY = 2 /* over a limit: answer [UNAVAILABLE] */, SESSOPEN_BAD = 3 };

#endif
