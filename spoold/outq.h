/*
 * Messages that wait because the peer's SEQPACKET socket is full. Sends at once while nothing waits;
 * else keeps order and goes on when the socket can take more. A peer that lets more than
 * OUTQ_MAX_BYTES wait is shut down: it does not read its answers.
 */
#ifndef TS_SPOOLD_OUTQ_H
#define TS_SPOOLD_OUTQ_H

#include <event2/event.h>

#include "slice.h"

#define OUTQ_MAX_BYTES	(8 * 1024 * 1024)	/* 64 transactions of 100 recipients, twice */

struct outq_msg;
struct outq {
	int		 fd;		/* borrowed; non-blocking */
	struct event	*ev;		/* owned; writable, while something waits */
	struct outq_msg	*head, **end;	/* owned */
	size_t		 bytes;
};

void	outq_init(struct outq *, struct event_base *, int fd);
void	outq_free(struct outq *);
void	outq_send(struct outq *, struct slice msg);
/* Several for the same peer: each is added, then all go out in as few calls as they take. What was added waits for a push. */
void	outq_add(struct outq *, struct slice msg);
void	outq_push(struct outq *);

#endif
