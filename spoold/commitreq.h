/*
 * What delivery and session workers say to the committer, and what it answers (SEQPACKET). A request
 * carries records as they were appended to an active log, the descriptors of the logs, and what to
 * answer to whom. It travels in pieces, because it may be larger than a message and bring more
 * descriptors than one can; the pieces of two requests are never mixed on a connection.
 */
#ifndef TS_SPOOLD_COMMITREQ_H
#define TS_SPOOLD_COMMITREQ_H

#include "settings.h"
#include "delivery.h"
#include "record.h"

enum commit_verb {
	COMMIT_CONN = 1,	/* worker: u32 conn; one descriptor: lmtpd's connection, to be answered on */
	COMMIT_GONE = 2,	/* worker: u32 conn: nothing more will be answered on it */
	COMMIT_PIECE = 3,	/* worker: u8 is_last, bytes; up to IPC_FDS_MAX descriptors */
	COMMIT_RESULT = 4,	/* committer: u64 req, u8 outcome */
	COMMIT_DRAIN = 5,	/* committer: another one takes over; connect anew for the next request */
};

enum commit_outcome {
	COMMIT_OK,		/* durable in both spools */
	COMMIT_ABSENT,		/* no redundant spool now: nothing was written there */
	COMMIT_FAILED,		/* could not be written or synced */
	COMMIT_MOVED,		/* the log has no link any more, or is of another epoch */
};

#define COMMIT_RECORDS_MAX	10002	/* one request: the bodies of an APPEND or the parts of a change, and the link */
#define COMMIT_REQUEST_MAX_BYTES	(RECORD_EXTRA_MAX_BYTES + 4 * 1024 * 1024)
#define COMMIT_LOGS_MAX		DELIVERY_RCPTS_MAX	/* log descriptors of a request */
#define COMMIT_FDS_MAX		(COMMIT_LOGS_MAX + 156)	/* and bodies that are not inline */
#define COMMIT_PIECE_BYTES	(80 * 1024)	/* of a request in one message */

/* A recipient to be answered "250" by the committer itself. */
struct commit_rcpt {
	uint32_t	index;		/* in lmtpd's request */
	uint32_t	uid;
	struct slice	user;
};

struct commit_answer {
	uint32_t	conn;		/* COMMIT_CONN's number; 0: nobody but the worker is answered */
	uint32_t	req;		/* lmtpd's */
	struct slice	sid, qid;
	uint64_t	bytes;
	int64_t		start_ms;	/* mono_ms when it came */
	size_t		nrcpts;
	struct commit_rcpt rcpts[DELIVERY_RCPTS_MAX];
};

/* Head of a packed request; ncommit_record of them follow it. */
struct commit_head {
	uint64_t	req;
	bool		wait;
	uint16_t	partition;	/* index in the configuration */
	uint32_t	epoch;
	struct slice	user;		/* of change records; empty for RECORD_MESSAGE, which names its own */
	uint16_t	nlogs;		/* the first of the descriptors are logs, the rest bodies in the order of the records */
	struct commit_answer answer;
	uint32_t	nrecords;
};

/* One record: r's type, modseq, mailbox, uid, date, flags, guid, extra, body_bytes, next_*. */
struct commit_body {
	bool		is_fd;
	struct slice	mem;
	uint64_t	offset;
};

void	commit_pack_head(struct buf *, const struct commit_head *);
void	commit_pack_record(struct buf *, const struct record *, const struct commit_body *);
/* False on anything not exactly right. Slices point into the input. Records one by one after the head. */
bool	commit_unpack_head(struct unpack *, struct commit_head *out);
bool	commit_unpack_record(struct unpack *, struct record *out, struct commit_body *body_out);

/* The text that goes with an outcome that is not COMMIT_OK: what the MTA is told, code 451. */
const char *commit_text(enum commit_outcome);

#endif
