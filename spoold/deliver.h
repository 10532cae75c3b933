/*
 * A delivery worker: takes messages from lmtpd, appends each to its recipients' logs, hands the rest
 * to the committer and goes on. The committer answers what became durable; the worker answers what
 * failed. Parts: deliver.c (the process, lmtpd's connections), deliver_submit.c (one message),
 * deliver_link.c (the committer).
 */
#ifndef TS_SPOOLD_DELIVER_H
#define TS_SPOOLD_DELIVER_H

#include "commitc.h"
#include "outq.h"
#include "sessopen.h"
#include "site.h"

#define DELIVER_STEP_MS	3	/* for each connection it has, a worker leaves a new one so long to the others */
#define DELIVER_STOP_MS	8000	/* for what is under way, when told to stop */

/* One of lmtpd's connections. Lives until its last answer is known. */
struct deliver_conn {
	struct deliver_conn	*next;
	struct deliver		*deliver;
	struct event		*ev;		/* owned; readable; NULL: lmtpd ended it */
	struct outq		 out;
	size_t			 npending;
	int			 fd;		/* owned */
	uint32_t		 id;
	uint32_t		 link;		/* serial of the link that was told of it */
};

/* A recipient in the hands of the committer. */
struct deliver_rcpt {
	char		user[USER_MAX_BYTES + 1];
	uint32_t	index;
	uint64_t	modseq;
};

/* A message (its recipients in one partition) in the hands of the committer. */
struct deliver_pending {
	struct deliver_pending	*next;
	struct deliver_conn	*conn;
	uint64_t		 commit_req;
	uint32_t		 req;
	int64_t			 start_ms;
	char			 sid[SESSOPEN_SID_MAX_BYTES + 1], qid[DELIVERY_QID_MAX_BYTES + 1];
	size_t			 nrcpts;
	struct deliver_rcpt	 rcpts[];
};

/* A connection to a committer: the one in use, or an older one whose answers are still to come. */
struct deliver_link {
	struct deliver_link	*next;
	struct deliver		*deliver;
	struct commitc		 commit;
	uint32_t		 serial;
	bool			 is_drained;	/* another committer took over: no more requests */
	struct event		*ev;		/* owned */
	struct deliver_pending	*pending, **pending_end;	/* owned; FIFO: answers come in about that order */
};

struct deliver {
	const struct site	*site;
	struct store_host	 host;
	struct commitc		 place_commit;	/* for what placing a user writes; host's hook */
	struct event_base	*base;
	struct event		*listen_ev, *chan_ev, *term_ev, *stop_ev, *turn_ev;
	struct deliver_conn	*conns;		/* owned */
	struct deliver_link	*links;		/* owned; the first is in use unless it drains */
	uint32_t		 next_conn, next_link;
	bool			 is_stopping;
};

/* The child's body (lib/parent.h); arg: the struct site. */
void	deliver_run(void *arg, int chan);

/* deliver.c */
void	deliver_answer(struct deliver_conn *, uint32_t req, uint32_t index, const struct reply *);
/* One answer less to come; frees the connection when lmtpd ended it. */
void	deliver_conn_settle(struct deliver_conn *);
/* Its answers are not known any more: lmtpd takes that as 451. */
void	deliver_conn_cut(struct deliver_conn *);
void	deliver_end_if_idle(struct deliver *);

/* deliver_submit.c: body_fd (or -1) is borrowed. */
void	deliver_submit(struct deliver_conn *, const struct delivery *, int body_fd);
void	deliver_check(struct deliver_conn *, uint32_t req, bool place, struct slice user);
/* Voids and answers what the committer could not make durable. */
void	deliver_failed(struct deliver *, const struct deliver_pending *, enum commit_outcome);

/* deliver_link.c */
/*
 * The link in use, connected (waits a moment for a committer that was restarted) and knowing the
 * connection; NULL: none. May cut connections that waited for a dead one: hold cn (npending) over it.
 */
struct deliver_link	*deliver_link_get(struct deliver *, struct deliver_conn *cn);
/* Sends a request; p is owned from here. -1: it could not be sent, the link and p are gone. */
int	deliver_link_send(struct deliver_link *, struct slice request, const int *fds, size_t nfds, struct deliver_pending *p)
	    __attribute__((warn_unused_result));
/* The connection is over: no committer answers on it any more. */
void	deliver_link_gone(struct deliver *, uint32_t conn);

#endif
