/*
 * The client side of LMTP (RFC 2033) and SMTP (RFC 5321), one connection as a machine that takes input
 * bytes and gives output bytes. No sockets (lmtpc.c has them). PIPELINING, 8BITMIME, SMTPUTF8, SIZE and
 * XTWINSPOOL are used where offered, CHUNKING to LMTP servers (one round trip for a whole transaction).
 */
#ifndef TS_LMTPX_H
#define TS_LMTPX_H

#include "delivery.h"
#include "frame.h"
#include "spoolfile.h"

#define LMTPX_STEP_BYTES	(32 * 1024)	/* of the message, put into out at once */
#define LMTPX_IN_MAX_BYTES	(32 * 1024)	/* more of replies than that unread is no SMTP server */
#define LMTPX_OUT_MAX_BYTES	(256 * 1024)	/* 100 recipients of 800 bytes with parameters, and two steps stuffed */
#define LMTPX_LINES_MAX		100		/* of one reply */

struct lmtpx_rcpt {
	const char	*address;
	const char	*user;		/* XUSER; NULL: none */
	bool		 place;		/* XPLACE */
};

/* One transaction. Everything pointed to stays until each recipient has its reply. */
struct lmtpx_job {
	const char		*qid, *sender;
	bool			 is_8bit, is_utf8;
	const unsigned char	*key;		/* DELIVERY_KEY_BYTES */
	const struct spoolfile	*message;
	const struct lmtpx_rcpt	*rcpts;
	size_t			 nrcpts;	/* 1 to DELIVERY_RCPTS_MAX */
	/* The reply of a recipient; exactly once for each. It may be the last use of the job. */
	void			(*done)(void *arg, size_t index, const struct reply *);
	void			*arg;
};

/*
 *	GREETING --220--> HELLO --250--> READY <--> BUSY --trouble, QUIT--> OVER
 *	                    \--5xx, SMTP--> HELO --250--^
 */
enum lmtpx_state { LMTPX_GREETING, LMTPX_HELLO, LMTPX_HELO, LMTPX_READY, LMTPX_BUSY, LMTPX_OVER };

struct lmtpx {
	enum lmtpx_state	 state;
	bool			 is_smtp;
	const char		*name, *helo;	/* the hop's for texts, ours */
	struct buf		 in, out;
	const char		*why;		/* OVER: what went wrong, "" after nothing did */

	bool			 has_pipelining, has_8bit, has_utf8, has_size, has_chunking, has_twinspool;
	int			 code;		/* of a reply of several lines */
	unsigned		 lines;

	const struct lmtpx_job	*job;		/* NULL: none */
	size_t			 nsent, nreplies;	/* commands of the envelope, their replies */
	size_t			 accepted[DELIVERY_RCPTS_MAX], naccepted, nfinal;
	bool			 is_known[DELIVERY_RCPTS_MAX];
	size_t			 nleft;
	bool			 is_chunk, is_body, is_sent;	/* BDAT; the message goes out; all of it is in out */
	uint64_t		 offset;
	struct frame_stuff	 stuff;
};

struct lmtpx	lmtpx_make(bool is_smtp, const char *name, const char *helo);
void		lmtpx_free(struct lmtpx *);
/* Gives it a job; not while it has one. Starts at once where READY, else when that comes. */
void		lmtpx_begin(struct lmtpx *, const struct lmtpx_job *);
/* Handles what is in in, adds to out what is to be sent next. Call after input and whenever out was sent. */
void		lmtpx_run(struct lmtpx *);
/* The connection is of no more use: recipients without a reply get code and "text name". OVER then. */
void		lmtpx_fail(struct lmtpx *, int code, const char *text);
/* The job may be given to another connection: nothing of the message was sent, nothing answered. Takes it back. */
const struct lmtpx_job *lmtpx_take_back(struct lmtpx *);

#endif
