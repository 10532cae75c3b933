/*
 * The committer: the one process that syncs. It takes requests from the workers, appends their
 * records to the redundant spool of the day, syncs both spools, and answers every waiter of the
 * batch with the one result. It parses no mail and can read no spool. Parts: commit.c (the process,
 * its doors), commit_day.c (descriptors from rotated), commit_write.c (redundant records),
 * commit_sync.c (batches), commit_thread.c (the threads that wait for the disk).
 *
 *   request -> collected -> written to the redundant spool -> (waits:) written -> batch -> synced -> answered
 */
#ifndef TS_SPOOLD_COMMIT_H
#define TS_SPOOLD_COMMIT_H

#include <event2/event.h>
#include <sys/types.h>

#include "commitreq.h"
#include "outq.h"
#include "redundant.h"
#include "site.h"

#define COMMIT_RETRY_MS		200	/* between attempts to reach rotated */
#define COMMIT_ABSENT_MS	3000	/* rotated may restart for so long without a line, if nothing is deferred */
#define COMMIT_ABSENT_LOG_MS	60000
#define COMMIT_START_MS		1000	/* requests wait so long for the first descriptor after a start */
#define COMMIT_HELD_MAX_BYTES	(64 * 1024 * 1024)	/* of requests held; past it no more are read */
#define COMMIT_STOP_MS		8000	/* for workers to go, when told to stop */

/* The committer to the parent: one byte each; the parent's answer to the first is the same byte. */
enum commit_chan_verb {
	COMMIT_CHAN_FAILED = 1,		/* a sync failed: raise the epoch; the answer says it is raised */
};

/* lmtpd's connection, to be answered on. */
struct commit_conn {
	struct commit_conn	*next;
	struct outq		 out;
	int			 fd;		/* owned */
	uint32_t		 id;
};

/* A worker. Lives on after it is gone until its last request is answered. */
struct commit_client {
	struct commit_client	*next;
	struct commit		*commit;
	struct event		*ev;		/* owned; readable */
	struct outq		 out;
	struct commit_conn	*conns;		/* owned */
	struct commit_request	*partial;	/* owned; pieces of it came */
	size_t			 nrequests;	/* collected or in the batch */
	int			 fd;		/* owned; -1: gone */
};

struct commit_request {
	struct commit_request	*next;		/* in its list */
	struct commit_request	*write_next;	/* of the same partition */
	struct commit_client	*client;
	struct buf		 raw;		/* owned; head's slices point into it */
	struct commit_head	 head;
	struct unpack		 records;	/* cursor after the head */
	int			 fds[COMMIT_FDS_MAX];	/* owned */
	size_t			 nfds;
	uint64_t		 end;		/* where it ends in the redundant file */
	enum commit_outcome	 outcome;
};

/* A day's redundant file. */
struct commit_day {
	struct commit_day	*next;
	int			 fd;		/* owned */
	uint32_t		 salt;
	dev_t			 dev;
	bool			 is_dirty;	/* written to since its last sync began */
	bool			 is_lost;	/* given up by all but the written requests that are in it */
	char			 day[REDUNDANT_DAY_MAX_BYTES + 1];
};

struct commit_part {
	struct commit		*commit;
	const char		*name;
	struct commit_day	*day;		/* owned; NULL: absent */
	struct commit_day	*retiring;	/* owned; to be synced and closed with the next batch */
	struct commit_day	*closing;	/* owned; in the batch being synced */
	struct commit_day	*ahead;		/* the written requests are in it, never in two; owned where it is lost */
	struct event		*ev;		/* owned; rotated's connection */
	struct event		*retry;		/* owned; timer */
	int			 fd;		/* rotated's connection; -1 */
	bool			 is_settled;	/* rotated answered, or cannot be reached */
	bool			 is_absent;	/* and that was logged */
	bool			 is_failed;	/* a sync failed: nothing more is acknowledged */
	int64_t			 absent_ms;	/* since when there is no descriptor */
	int64_t			 logged_ms;
	uint64_t		 ndeferred, ndropped;	/* since the last log line */
};

/* One call of a round of syncs; all of a round run at the same time. */
struct commit_job {
	dev_t			 dev;
	bool			 is_whole;	/* syncfs, else fdatasync */
	int			 fd;		/* a duplicate, owned; of is_whole: the volume's own */
	uint32_t		 partitions;	/* bit mask: who fails with it */
	int			 error;		/* errno, 0: done */
};
#define COMMIT_JOBS_MAX	(4 * PARTITIONS_MAX)	/* volumes, days written to, days that retire, days whose time came */

struct commit {
	const struct site	*site;
	struct site_calls	 calls;
	struct event_base	*base;
	struct event		*listen_ev, *chan_ev, *term_ev, *batch_ev, *sync_ev, *synced_ev, *start_ev, *stop_ev;
	int			 chan;
	struct commit_client	*clients;	/* owned */
	struct commit_part	 parts[PARTITIONS_MAX];
	struct commit_request	*collected, **collected_end;
	struct commit_request	*written, **written_end;	/* to the redundant spool; wait for the next round */
	struct commit_request	*batch;		/* being synced */
	size_t			 held_bytes, held_fds, held_fds_max;
	uint32_t		 dirty;		/* partitions with changes nobody waits for, since their last sync began */
	bool			 is_syncing, is_due, is_ready, is_draining, is_stopping, is_last, is_full, is_failed, is_over;
	struct commit_job	 jobs[COMMIT_JOBS_MAX];
	size_t			 njobs;
};

/* The child's body (lib/parent.h); arg: the struct site. */
void	commit_run(void *arg, int chan);

/* commit.c: frees it and its descriptors; the client, too, when it was its last and is gone. */
void	commit_request_free(struct commit *, struct commit_request *);
/* Reads from the clients again, or no more, as memory and descriptors allow. */
void	commit_flow(struct commit *);
/* Answers nobody any more but ends when the parent has raised the epoch. */
void	commit_fail(struct commit *, uint32_t partitions, int error);
/* When stopping or draining and nobody is left: the last sync, and the end. */
void	commit_end_if_idle(struct commit *);
/* The request's outcome to the worker and, of a delivery that went well, to lmtpd: with the next commit_answers_send. */
void	commit_answer(const struct commit_request *);
void	commit_answers_send(struct commit *);
/* And to the log and the sessions, once nobody waits for us any more. */
void	commit_tell(const struct commit *, const struct commit_request *);

/* commit_day.c */
void	commit_day_start(struct commit *);
void	commit_day_free(struct commit_day *);
/* It is not to be written to any more: freed, or when the written requests in it are synced. */
void	commit_day_lose(struct commit_part *, struct commit_day *);
/* Every batch of it is synced: tells rotated. */
void	commit_day_closed(struct commit_part *, struct commit_day *);
/* A delivery was deferred or a change dropped for want of a descriptor. */
void	commit_day_missed(struct commit_part *, bool was_waiting);

/* commit_write.c: appends the records of the list (by write_next) to the day; sets outcome of those that failed. */
void	commit_write(struct commit_part *, struct commit_request *);

/* commit_sync.c: writes what was collected, and syncs what was written unless a batch is under way. */
void	commit_batch(struct commit *);
/* The threads are done with c->jobs. */
void	commit_batch_done(struct commit *);

/* commit_thread.c: runs c->jobs, each in a thread; the descriptor given at the start gets readable when all are done. */
int	commit_thread_start(const struct site_calls *);
void	commit_thread_run(struct commit_job *, size_t n);
void	commit_thread_ack(int fd);

#endif
