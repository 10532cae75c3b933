/*
 * What the days process asks of its parent and what it is told (SEQPACKET, the child's channel). The
 * parent serves nothing else: it takes names of days, never a path.
 */
#ifndef ROTATED_ORDERS_H
#define ROTATED_ORDERS_H

#include "day.h"

#define ORDERS_MAX_BYTES	256

enum orders_verb {
	ORDERS_INDEX = 1,	/* days: str day: make the missing indexes of that day in a helper */
	ORDERS_PURGE = 2,	/* days: str current, str oldest still open: remove old days in a helper */
	ORDERS_DONE = 3,	/* parent: u8 verb, u8 whether it went well, u32 days removed: the helper ended. Helper to parent: the same */
	ORDERS_ROTATE = 4,	/* parent: begin another day now (SIGUSR1) */
};

struct orders_done {
	uint8_t		verb;
	bool		is_good;
	uint32_t	count;
};

void	orders_pack_index(struct buf *, const struct day *);
void	orders_pack_purge(struct buf *, const struct day *current, const struct day *oldest);
void	orders_pack_done(struct buf *, const struct orders_done *);
void	orders_pack_rotate(struct buf *);
/* After the verb. False unless exactly right. */
bool	orders_unpack_index(struct unpack *, struct day *out);
bool	orders_unpack_purge(struct unpack *, struct day *current_out, struct day *oldest_out);
bool	orders_unpack_done(struct unpack *, struct orders_done *out);

#endif
