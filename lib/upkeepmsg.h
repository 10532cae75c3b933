/*
 * What rotated and spoolctl order from spoold's upkeep process, and what it answers (SEQPACKET, one
 * order a connection). Who does not wait closes the connection after the order: the work is done all the same.
 */
#ifndef TS_UPKEEPMSG_H
#define TS_UPKEEPMSG_H

#include "address.h"
#include "pack.h"

#define UPKEEP_MSG_MAX_BYTES	(USER_MAX_BYTES + 128)

enum upkeep_verb {
	UPKEEP_ORDER = 1,	/* client: struct upkeep_order */
	UPKEEP_PROGRESS = 2,	/* spoold: struct upkeep_progress, now and then */
	UPKEEP_END = 3,		/* spoold: struct upkeep_end, once */
};

enum { UPKEEP_CHECKPOINT = 1, UPKEEP_PURGE = 2, UPKEEP_COMPACT = 4, UPKEEP_ALL = 7 };

struct upkeep_order {
	uint8_t		what;		/* UPKEEP_* or'ed; done in this order */
	bool		is_forced;	/* also what is not due, and segments with little waste */
	struct slice	user;		/* empty: all users of the host */
};

struct upkeep_progress {
	uint64_t	done, total;	/* users */
	struct slice	user;		/* at hand */
};

struct upkeep_end {
	uint32_t	users, failed;	/* failed: of those; spoold's log says why */
	uint64_t	purged;		/* messages */
	uint32_t	segments, damaged;	/* rewritten; left because something in them cannot be read */
	uint64_t	before_bytes, after_bytes;	/* of those rewritten */
	bool		is_cut;		/* told to stop before all were done */
};

/* With the verb. */
void	upkeep_pack_order(struct buf *, const struct upkeep_order *);
void	upkeep_pack_progress(struct buf *, const struct upkeep_progress *);
void	upkeep_pack_end(struct buf *, const struct upkeep_end *);
/* After the verb. False on anything not exactly right. Slices point into the input. */
bool	upkeep_unpack_order(struct unpack *, struct upkeep_order *out);
bool	upkeep_unpack_progress(struct unpack *, struct upkeep_progress *out);
bool	upkeep_unpack_end(struct unpack *, struct upkeep_end *out);

/* Sends an order and waits for nothing. 0, or -1 with errno. */
int	upkeep_ask(const char *socket, const struct upkeep_order *);

#endif
