/*
 * What lmtpd says to spoold's delivery workers over a SEQPACKET connection, many requests in flight,
 * answered in any order by request number. The message goes inline up to DELIVERY_INLINE_BYTES, above
 * that as one descriptor (unlinked file, read from offset 0 with pread). It is in wire form: CRLF lines only,
 * no NUL, trace header lines already in front.
 */
#ifndef TS_DELIVERY_H
#define TS_DELIVERY_H

#include "address.h"
#include "pack.h"

#define DELIVERY_INLINE_BYTES	(64 * 1024)
#define DELIVERY_RCPTS_MAX	100	/* recipients of one SUBMIT (and of one LMTP transaction) */
#define DELIVERY_KEY_BYTES	16
#define DELIVERY_QID_MAX_BYTES	64	/* an MTA's queue id: Postfix's long ones have 20 */

enum delivery_verb {
	DELIVERY_CHECK = 1,	/* lmtpd: u32 req, u8 place, str user */
	DELIVERY_CHECKED = 2,	/* spoold: u32 req, reply */
	DELIVERY_SUBMIT = 3,	/* lmtpd: struct delivery */
	DELIVERY_DONE = 4,	/* spoold: u32 req, u32 index of recipient, reply; one for each recipient, as known */
};

struct delivery_rcpt {
	struct slice	user;		/* folded, valid */
	struct slice	mailbox;	/* client-form UTF-8 name below the user's root; empty: INBOX. Unknown means INBOX */
	bool		place;		/* known to the directory: make the spool if there is none */
};

struct delivery {
	uint32_t	req;
	struct slice	sid, qid;	/* for the log */
	struct slice	sender;		/* envelope sender, "" for <> */
	unsigned char	key[DELIVERY_KEY_BYTES];
	int64_t		received_ms;	/* wall clock: INTERNALDATE */
	uint64_t	size;		/* of the message */
	struct slice	message;	/* inline bytes; empty where it comes as a descriptor */
	size_t		nrcpts;
	struct delivery_rcpt rcpts[DELIVERY_RCPTS_MAX];
};

void	delivery_pack_check(struct buf *, uint32_t req, bool place, struct slice user);
void	delivery_pack_submit(struct buf *, const struct delivery *);	/* verb byte included, as in all */
void	delivery_pack_checked(struct buf *, uint32_t req, const struct reply *);
void	delivery_pack_done(struct buf *, uint32_t req, uint32_t index, const struct reply *);
/* After the verb byte. False on anything not exactly right. Slices point into the input. */
bool	delivery_unpack_check(struct unpack *, uint32_t *req_out, bool *place_out, struct slice *user_out);
bool	delivery_unpack_submit(struct unpack *, struct delivery *out);
bool	delivery_unpack_checked(struct unpack *, uint32_t *req_out, struct reply *out);
bool	delivery_unpack_done(struct unpack *, uint32_t *req_out, uint32_t *index_out, struct reply *out);

#endif
