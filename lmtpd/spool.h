/*
 * A net process's connections to spoold's deliver socket: checks and deliveries, many in flight.
 * Connections come from the parent (spool_take), since the socket is out of reach after chroot.
 */
#ifndef LMTPD_SPOOL_H
#define LMTPD_SPOOL_H

#include <event2/event.h>

#include "delivery.h"

struct spool_conf {
	size_t	nconns;			/* connections to keep */
	int64_t	wait_ms;		/* how long a request waits for a connection */
	int64_t	check_timeout_ms;
	int64_t	submit_timeout_ms;
	/* Asks for one more connection; the answer comes as spool_take. Asked again until it does. */
	void	(*ask)(void *arg);
	void	*arg;
};

struct spool;

struct spool	*spool_make(struct event_base *, const struct spool_conf *);
/* A connected SEQPACKET socket, or -1: none could be had. */
void		 spool_take(struct spool *, int fd);
/* Closes everything; requests that are open are answered with 451. */
void		 spool_free(struct spool *);

/* fn is called exactly once; from within where too many requests are open. */
void		 spool_check(struct spool *, bool place, struct slice user,
		    void (*fn)(void *arg, const struct reply *), void *arg);
/*
 * fn is called exactly once for each recipient, in any order, as above. d->req is filled in. What
 * d points to is not needed after, but fd (-1: inline) stays open until the last call. Sent at most once.
 */
void		 spool_submit(struct spool *, struct delivery *d, int fd,
		    void (*fn)(void *arg, size_t index, const struct reply *), void *arg);

#endif
