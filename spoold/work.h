/*
 * What a lot and a session worker say to each other (SEQPACKET socketpair made by the parent). The
 * lot gives a session, the worker gives it back parked or says that it is over. The lot believes
 * nothing of what comes back but the session's own state.
 */
#ifndef TS_SPOOLD_WORK_H
#define TS_SPOOLD_WORK_H

#include "pack.h"
#include "session.h"

enum work_verb {
	WORK_SESSION = 1,	/* lot: struct work; the session's descriptor, then the lock's where has_lock */
	WORK_HURRY = 2,		/* lot: somebody waits for a worker; no linger */
	WORK_RESULT = 3,	/* worker: struct work_result; the lock's descriptor where has_lock */
};

#define WORK_TIMER_MAX_MS	(24 * 3600 * 1000)
#define WORK_WHY_MAX_BYTES	32	/* end_why: a literal of the protocol */

struct work {
	uint64_t	 id;		/* the session's, for ever */
	enum session_why why;
	bool		 has_lock;
	bool		 is_suspect;	/* the user's last worker died: the index is made anew first */
	struct slice	 open;		/* open record, as sessopen_pack made it */
	struct slice	 state, unread;
};

struct work_result {
	uint64_t	 id;
	bool		 is_parked, wants_changes, has_lock;
	int64_t		 timer_ms;
	uint64_t	 commands, bytes_in, bytes_out;	/* of this turn */
	struct slice	 state, unread, end_why;
};

/* Each packs a whole message, verb included; unpack after the verb byte: false unless exactly right and within limits. */
void	work_pack(struct buf *, const struct work *);
bool	work_unpack(struct unpack *, struct work *out);
void	work_pack_result(struct buf *, const struct work_result *);
bool	work_unpack_result(struct unpack *, struct work_result *out);

#endif
