/*
 * A lot: keeps the parked sessions of its share, gives each to a worker when it has something to
 * do, and takes it back. It parses nothing that a client sent. Parts: lot.c (the process, its
 * doors), lot_session.c (a session's life), lot_worker.c (workers).
 *
 *   open -> QUEUED -> SERVED -> PARKED -(input, change, timer, drain)-> QUEUED ...
 *                       `-> gone          `-> gone (client closed)
 */
#ifndef TS_SPOOLD_LOT_H
#define TS_SPOOLD_LOT_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "address.h"
#include "site.h"
#include "users.h"
#include "work.h"

#define LOT_STOP_MS		8000	/* sessions have so long to say BYE when the daemon stops */
#define LOT_OPENER_MS		5000
#define LOT_DRAIN_WAKE_MS	5000	/* the next generation does not tell us of changes: look ourselves */
#define LOT_MORE_MS		10	/* somebody waited so long although lingering workers were hurried: one more worker */
#define LOT_SUSPECTS		16	/* users whose worker died, remembered until their next turn; of more the oldest is forgotten */
#define LOT_IDLE_WORKER_MS	10000	/* a worker above workers_min that had nothing to do for so long ends */

/* Parent and lot over the lot's channel. */
enum lot_verb {
	LOT_WANT_WORKER = 1,	/* lot: one more, please */
	LOT_WORKER = 2,		/* parent: one descriptor, the socketpair to it (none: it could not be started) */
	LOT_RENEW = 3,		/* parent: the epoch was raised: end the workers as they become free */
};

enum lot_where { LOT_PARKED, LOT_QUEUED, LOT_SERVED };

struct lot_session {
	struct event		 ev;		/* readable, or timer: while parked */
	struct lot		*lot;
	struct user		*user;
	struct lot_session	*user_next, **user_at;	/* in user->sessions */
	struct lot_session	*queue_next;
	struct lot_worker	*worker;	/* while served */
	char			*blob;		/* owned: open record, state, unread; exactly as long as they are */
	uint64_t		 id;
	uint64_t		 commands, bytes_in, bytes_out;
	int64_t			 start_ms;
	uint32_t		 open_n, state_n, unread_n, timer_ms;
	int			 fd, lock_fd;	/* owned; lock_fd -1: none */
	uint8_t			 where, why, proto;
	bool			 wants_changes, is_changed, was_drained;
};

struct lot_worker {
	struct event		 ev;
	struct lot		*lot;
	struct lot_session	*session;	/* NULL: idle or slot unused */
	int			 fd;		/* -1: slot unused */
	int64_t			 idle_ms;	/* since when */
	bool			 is_hurried, is_retired;
};

struct lot {
	const struct site	*site;
	struct event_base	*base;
	struct event		*listen_ev, *chan_ev, *notify_ev, *term_ev, *tick_ev, *drain_ev, *stop_ev, *more_ev;
	size_t			 index;
	int			 chan;		/* -1 once the parent went on without us */
	struct users		 users;
	uint64_t		 next_id;
	size_t			 nsessions, nfds, nfds_max;	/* descriptors promised to sessions */
	size_t			 nopeners, nopeners_max;	/* connections of proxyd's auth that have not said what they want */
	struct lot_session	*ready, **ready_end;	/* wait for a worker; FIFO by queue_next */
	size_t			 nready;
	struct lot_worker	*workers;	/* workers_max slots */
	size_t			 nworkers, nidle, nwanted;
	char			 suspects[LOT_SUSPECTS][USER_MAX_BYTES + 1];	/* "": none; also users without a session */
	size_t			 next_suspect;
	bool			 is_draining, is_stopping;
};

/* The child's body (lib/parent.h); arg: struct lot_arg. */
struct lot_arg {
	const struct site	*site;
	size_t			 index;
};
void	lot_run(void *arg, int chan);
/* Ends the process when it is stopping or draining and nothing is left. */
void	lot_end_if_empty(struct lot *);

/*
 * Takes a session: owns fd from here. The record is sessopen_pack's, as unpacked in who. False (fd
 * closed): over a limit.
 */
bool	lot_session_open(struct lot *, struct slice record, const struct sessopen *who, int fd);
/* Queues a parked session for a worker. */
void	lot_session_wake(struct lot *, struct lot_session *, enum session_why);
/* A user's spool changed: wakes the sessions that want to know, but not origin; all users where user is NULL. */
void	lot_changed(struct lot *, struct user *, uint64_t origin);
/* A worker gave it back parked; lock_fd is owned from here. */
void	lot_session_park(struct lot *, struct lot_session *, const struct work_result *, int lock_fd);
/* Over: logs session.end and frees it. */
void	lot_session_end(struct lot *, struct lot_session *, struct slice why);
/* As a worker says it. */
void	lot_session_over(struct lot *, struct lot_session *, const struct work_result *);
/* Its worker died. */
void	lot_session_lost(struct lot *, struct lot_session *, const char *why);
/* BYE at the next quiet moment for everybody. */
void	lot_session_drain_all(struct lot *);
/* The process ends with sessions left: logs the end of each. */
void	lot_session_log_all(struct lot *);

/* A worker's socketpair from the parent; -1: it could not be had. */
void	lot_worker_add(struct lot *, int fd);
/* Gives waiting sessions to idle workers, hurries those that linger, and after LOT_MORE_MS asks for more. */
void	lot_worker_pump(struct lot *);
/* LOT_MORE_MS are over: asks for a worker for each session that still waits. */
void	lot_worker_more(struct lot *);
/* Makes sure there are workers_min. */
void	lot_worker_fill(struct lot *);
/* No worker of the old epoch takes another session. */
void	lot_worker_renew(struct lot *);
/* Ends those above workers_min that had nothing to do. */
void	lot_worker_trim(struct lot *);

#endif
