/*
 * What rotatectl and rotated say to each other (SEQPACKET): one order a connection, answered by
 * texts and one end.
 */
#ifndef ROTATED_CONTROL_H
#define ROTATED_CONTROL_H

#include "pack.h"

#define CONTROL_TEXT_MAX_BYTES	(16 * 1024)	/* of one message; a status is as many as it takes */
#define CONTROL_MSG_MAX_BYTES	(CONTROL_TEXT_MAX_BYTES + 16)

enum control_order { CONTROL_ROTATE = 1, CONTROL_PURGE = 2, CONTROL_STATUS = 3 };	/* u8, nothing after it */
enum control_answer {
	CONTROL_TEXT = 1,	/* str: lines to print */
	CONTROL_END = 2,	/* u8: 0 done, 1 not done; str: what was done or why not */
};

void	control_pack_order(struct buf *, enum control_order);
void	control_pack_text(struct buf *, struct slice);
void	control_pack_end(struct buf *, bool is_done, struct slice why);
bool	control_unpack_order(struct unpack *, enum control_order *out);
/* After the verb. */
bool	control_unpack_text(struct unpack *, struct slice *out);
bool	control_unpack_end(struct unpack *, bool *is_done_out, struct slice *why_out);

#endif
