/*
 * What the parent prepared and every child inherits: configuration, partitions and their epoch,
 * listeners, locks, sync descriptors. Children read it; only the parent changes it, and children
 * started after that see the change.
 */
#ifndef TS_SPOOLD_SITE_H
#define TS_SPOOLD_SITE_H

#include <sys/types.h>

#include "settings.h"
#include "notify.h"
#include "store/store.h"

/* A file system that holds partitions: the one descriptor whose syncs tell about it, opened before the first append. */
struct volume {
	dev_t	dev;
	int	fd;	/* -1: of a partition that is down */
};

/* How the committer syncs a descriptor; zero: the system's calls. A seam for tests. */
struct site_calls {
	int	(*syncfs)(int);
	int	(*fdatasync)(int);
};

struct site {
	struct spoold_conf	 conf;
	struct site_calls	 calls;
	const char		*partitions[PARTITIONS_MAX + 1];	/* NULL-terminated */
	size_t			 npartitions;
	size_t			 volume_of[PARTITIONS_MAX];	/* partition -> index in volumes */
	struct volume		 volumes[PARTITIONS_MAX];
	size_t			 nvolumes;
	bool			 is_down[PARTITIONS_MAX];	/* cannot be had: its users wait, the others do not notice */
	int			 lock_fds[PARTITIONS_MAX];	/* flock of each partition, kept in every process */
	uint32_t		 epoch;
	int			 session_fd, deliver_fd, commit_fd, upkeep_fd;	/* listeners */
	int			 due_send_fd, due_recv_fd;	/* to upkeep: users whose checkpoint is due */
	uid_t			 session_uids[CLIENTS_MAX], deliver_uids[CLIENTS_MAX], upkeep_uids[CLIENTS_MAX];
	size_t			 nsession_uids, ndeliver_uids, nupkeep_uids;
	struct notify		 notify;
};

/*
 * In the parent, before any child: directories, locks, epoch, sync descriptors, listeners, notices. Over
 * a SIGHUP the locks and the epoch are those of before. A partition whose disk fails is put out of service until the next
 * SIGHUP or start (warn.partition.down). Ends the process (111) where something else cannot be had, or no partition is left.
 */
struct parent;
void			site_prepare(struct site *, struct parent *);
/* A sync failed: the next epoch for every partition; one where it cannot be written is put out of service. */
void			site_raise_epoch(struct site *, struct parent *);
/* After the last child: an orderly stop where the committer said that everything is synced. */
void			site_end(struct site *);

/* What a process that opens spools hands to the store: points into sp; partition: the first. No commit hook. */
struct store_host	site_host(const struct site *);
/* Index of a partition's name; npartitions when it is none of ours. */
size_t			site_partition(const struct site *, const char *name);

#endif
