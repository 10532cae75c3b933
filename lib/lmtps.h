/*
 * The server side of LMTP (RFC 2033) for lmtpd and relayd: one session, as a machine that takes input
 * bytes and gives output bytes and calls the daemon's hooks. It does no socket I/O (lmtpnet.c does) and never blocks but
 * to write a large message to its temporary file. PIPELINING (2920), 8BITMIME (6152), SMTPUTF8 (6531),
 * ENHANCEDSTATUSCODES (2034), SIZE (1870), CHUNKING (3030), and XTWINSPOOL for trusted peers (lmtpd(8)).
 */
#ifndef TS_LMTPS_H
#define TS_LMTPS_H

#include <openssl/evp.h>

#include "arena.h"
#include "delivery.h"
#include "frame.h"
#include "lmtpcmd.h"
#include "spoolfile.h"

#define LMTPS_SID_BYTES		16
#define LMTPS_PEER_MAX_BYTES	64	/* a numeric address, or "unix" */
#define LMTPS_READ_BYTES	(32 * 1024)	/* added to in at once; twice that and 4 fits SPOOLFILE_STEP_BYTES */
#define LMTPS_IN_MAX_BYTES	(96 * 1024)	/* pipelined input waiting */
#define LMTPS_OUT_HIGH_BYTES	(16 * 1024)	/* commands wait while so much output does */
#define LMTPS_OUT_MAX_BYTES	(128 * 1024)	/* all replies of a transaction fit above the high-water mark */
#define LMTPS_ARENA_BYTES	(512 * 1024)	/* 100 recipients with what relayd knows of each: 150 KiB */
#define LMTPS_ERRORS_MAX	10	/* protocol errors; the last closes */
#define LMTPS_BARES_MAX		3	/* commands with a bare CR, LF or a NUL; the last closes */

struct lmtps;

/*
 *	START --LHLO--> IDLE --MAIL--> MAIL --DATA--> DATA --CRLF.CRLF--> DELIVER --all answered--> IDLE
 *	                  ^             |  \--BDAT--> CHUNK <--> BDAT --LAST--^
 *	                  +-RSET, LHLO--+---------------------------+
 *	any --QUIT, too many errors, timeout--> CLOSING (over when the output is sent)
 */
enum lmtps_state {
	LMTPS_START, LMTPS_IDLE, LMTPS_MAIL, LMTPS_DATA, LMTPS_CHUNK, LMTPS_BDAT, LMTPS_DELIVER, LMTPS_CLOSING,
};

/* Why a message will be refused whatever comes; the first trouble stays. */
enum lmtps_trouble { LMTPS_FINE, LMTPS_NUL, LMTPS_BIG, LMTPS_FULL };

struct lmtps_conf {
	const char	*hostname;
	uint64_t	 size_max;	/* bytes of a message */
	struct inflight	*inflight;	/* of the process */
};

struct lmtps_rcpt {
	struct lmtps_rcpt *next;	/* in the order asked */
	struct lmtp_rcpt   cmd;
	bool		   is_known;	/* reply is the answer to what was asked last */
	struct reply	   reply;	/* of RCPT, then of the message */
	void		  *app;		/* rcpt_bytes zeroed bytes of the daemon's */
};

struct lmtps_ops {
	size_t	rcpt_bytes;
	/* A recipient of good syntax: answer now or later, exactly once, by lmtps_rcpt_reply. */
	void	(*rcpt)(struct lmtps *, struct lmtps_rcpt *);
	/* Trace lines to put in front of the message that is about to come. */
	void	(*trace)(struct lmtps *, struct buf *);
	/* The message is whole (lmtps->message, finished; lmtps->key): answer each of rcpts[] exactly once, in any order, by lmtps_done. */
	void	(*message)(struct lmtps *);
	/* The transaction is over: forget what hangs on it. May be NULL. */
	void	(*reset)(struct lmtps *);
	/* There may be output, or input can be handled again: call lmtps_run soon (not from inside). */
	void	(*ready)(struct lmtps *);
};

/* For the daemons to read; written by lmtps.c and lmtpsdata.c, but for arg, txn and arena. */
struct lmtps {
	const struct lmtps_conf *conf;
	const struct lmtps_ops	*ops;
	void			*arg;	/* who drives the session */
	void			*txn;	/* of the daemon; reset clears it */
	struct arena		 arena;	/* of the transaction */

	char			 sid[LMTPS_SID_BYTES];
	char			 peer[LMTPS_PEER_MAX_BYTES];
	bool			 is_trusted;	/* XTWINSPOOL */
	enum lmtps_state	 state;
	struct buf		 in, out;
	bool			 is_running, is_full, is_skipping;
	unsigned		 errors, bares;
	char			 helo[LMTP_NAME_MAX_BYTES + 1];
	const char		*why;		/* for the log: why it ended */

	struct lmtp_mail	 mail;
	char			 qid[LMTP_QID_MAX_BYTES + 1];
	struct lmtps_rcpt	*rcpts[DELIVERY_RCPTS_MAX];	/* accepted */
	size_t			 nrcpts, nanswered, nreplied;
	struct lmtps_rcpt	*asked, **asked_end;		/* RCPTs not yet replied to, in order */
	size_t			 nasked, nasking;		/* in that list; of them without an answer */
	struct lmtps_rcpt	*spare;
	struct spoolfile	 message;	/* trace lines and content, wire form */
	uint64_t		 content_bytes;
	unsigned char		 key[DELIVERY_KEY_BYTES];
	struct frame_dot	 dot;
	EVP_MD_CTX		*md;
	uint64_t		 chunk_left;
	bool			 is_last_chunk, is_void_chunk;
	enum lmtps_trouble	 trouble;
	int64_t			 data_ms;	/* mono_ms at the end of the message */

	int64_t			 start_ms;
	uint64_t		 ntxns, nmessages, ndelivered;
};

/* Once a process, before it gives up its privileges: fetches the digest, seeds session ids. */
void		 lmtps_setup(void);
/* A session with its greeting queued. peer is copied. */
struct lmtps	*lmtps_make(const struct lmtps_conf *, const struct lmtps_ops *, const char *peer, bool trusted);
/* Logs lmtp.session.end. Not while lmtps_is_busy. */
void		 lmtps_free(struct lmtps *);
/* Handles what can be handled of in, adds to out. Who reads adds at most LMTPS_READ_BYTES to in between two calls. */
void		 lmtps_run(struct lmtps *);
/* The hooks owe an answer. */
bool		 lmtps_is_busy(const struct lmtps *);
/*
 * Output is better kept a moment, since more will be added without any input: RCPTs being looked up; and for a
 * trusted peer, who sends envelope and message in one piece and waits for the end, the delivery.
 */
bool		 lmtps_is_holding(const struct lmtps *);
/* False: more input would only wait. */
bool		 lmtps_wants_input(const struct lmtps *);
/* No transaction, nothing waiting: a good moment to say 421. */
bool		 lmtps_is_quiet(const struct lmtps *);
/* Says 421 with text and ends the session; why is for the log. Both literals. */
void		 lmtps_hang_up(struct lmtps *, const char *text, const char *why);
/* The peer is gone: nothing more is read or written. */
void		 lmtps_gone(struct lmtps *, const char *why);

void		 lmtps_rcpt_reply(struct lmtps *, struct lmtps_rcpt *, const struct reply *);
void		 lmtps_done(struct lmtps *, size_t index, const struct reply *);

#endif
