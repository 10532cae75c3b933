/*
 * Telling every lot that a user's spool changed: one datagram to each lot's socket. A full queue is
 * never waited for: a flag in shared memory then says "something was missed", and the lot wakes
 * everybody who waits for changes. Senders: commit (deliveries) and session workers (their own).
 * A lot that has no session of a user is not told: it says in the shared memory whom it watches.
 */
#ifndef TS_SPOOLD_NOTIFY_H
#define TS_SPOOLD_NOTIFY_H

#include <stdatomic.h>
#include <stdint.h>

#include "address.h"
#include "settings.h"

#define NOTIFY_BUCKETS	1024	/* users of a lot share them: one that is told in vain looks the name up and finds nobody */

/* Anonymous MAP_SHARED memory, made by the parent before any child. */
struct notify_shared {
	atomic_uint	watched[LOTS_MAX][NOTIFY_BUCKETS];	/* how many users of a bucket have sessions in lot i; the lot's */
	atomic_uint	overflow[LOTS_MAX];	/* lot i missed a datagram */
	atomic_uint	is_synced;		/* the committer's last words: everything is on disk */
	atomic_uint	absent;			/* bit i: partition i has no redundant log now; the committer's */
};

struct notify {
	size_t			 nlots;
	int			 send_fds[LOTS_MAX];	/* non-blocking; borrowed from the parent's memory */
	int			 recv_fds[LOTS_MAX];	/* lot i alone keeps recv_fds[i] */
	struct notify_shared	*shared;
};

#define NOTIFY_MSG_MAX_BYTES	(8 + USER_MAX_BYTES)

/* The sockets and the page, once in the parent. Ends the process (111) when they cannot be had. */
void	notify_make(struct notify *, size_t nlots);
/* origin: id of the session that made the change and knows of it; 0: none. */
void	notify_user(const struct notify *, struct slice user, uint64_t origin);
/*
 * In lot i: it has sessions of the user from now on, or no more. Before a session first looks at the spool: a
 * change that was made durable before is then seen by that look, a later one is told.
 */
void	notify_watch(const struct notify *, size_t lot, struct slice user, bool on);
/* In lot i, at its start: whatever the lot that died before it watched is over. */
void	notify_watch_none(const struct notify *, size_t lot);
/* In lot i: one datagram. True and what it says; false when there is none (more). */
bool	notify_read(const struct notify *, size_t lot, char user_out[USER_MAX_BYTES + 1], uint64_t *origin_out);
/* In lot i, after notify_read said false: was something missed? Takes the flag back. */
bool	notify_missed(const struct notify *, size_t lot);

#endif
