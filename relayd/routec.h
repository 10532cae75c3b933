/*
 * A net process's side of its route process: look-ups, many in flight.
 */
#ifndef RELAYD_ROUTEC_H
#define RELAYD_ROUTEC_H

#include <event2/event.h>

#include "routemsg.h"

struct routec;

/* fd: our end of the socketpair. nhosts: of relayd.conf, for checking answers. */
struct routec	*routec_make(struct event_base *, int fd, size_t nhosts, int64_t timeout_ms);
/* fn is called exactly once, also from within; a time-out or a full queue is a TEMP reply. The answer is valid during the call. */
void		 routec_ask(struct routec *, struct slice address, void (*fn)(void *arg, const struct route_answer *),
		    void *arg);
/* The route process was started anew: what it was asked is asked again. */
void		 routec_again(struct routec *);
/* No more answers will come: every look-up, and those to come, are TEMP. */
void		 routec_stop(struct routec *);

#endif
