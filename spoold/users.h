/*
 * A lot's users: name -> their sessions here. A keyed hash (siphash.h, its secret random), because
 * names come from outside (THREATS: hash collisions). Entries exist while there are sessions.
 */
#ifndef TS_SPOOLD_USERS_H
#define TS_SPOOLD_USERS_H

#include <stdint.h>

#include "siphash.h"
#include "slice.h"

struct lot_session;

struct user {
	struct user		*next;		/* in its bucket */
	struct lot_session	*sessions;	/* all of them, parked or not; list by user_next */
	struct lot_session	*waiting, **waiting_end;	/* those past workers_per_user, FIFO by queue_next */
	uint32_t		 nsessions;
	uint32_t		 nserved;	/* with a worker, or in the queue for one */
	uint32_t		 last_worker;	/* slot of the worker that had a session of it last */
	uint16_t		 n;
	char			 name[];	/* n bytes, NUL-terminated */
};

struct users {
	struct user	**buckets;	/* owned */
	size_t		  nbuckets;	/* a power of two */
	size_t		  n;
	struct siphash	  secret;
};

/* A random key. Ends the process (111) without one. */
void		 users_init(struct users *);
struct user	*users_find(const struct users *, struct slice name);
/* The entry, made where there is none. */
struct user	*users_get(struct users *, struct slice name);
/* Frees an entry without sessions. */
void		 users_drop(struct users *, struct user *);
/* Calls fn for each; fn must not add or drop users. */
void		 users_each(const struct users *, void (*fn)(void *arg, struct user *), void *arg);

#endif
