/*
 * spoolck's work: a user's log read through, the index compared with what the log says, both shown. Nothing
 * here writes to a log or to a live index; what it needs to write goes to a directory of its own.
 */
#ifndef TS_SPOOLD_CK_H
#define TS_SPOOLD_CK_H

#include "progress.h"
#include "store/index.h"

struct ck {
	struct store_host	 host;		/* epoch: set for each user */
	char			 dir[4096];	/* below index_dir, for private indexes */
	struct progress		 progress;
	uint64_t		 done_bytes;	/* for the bar */
	uint64_t		 users, findings, failed;
	bool			 records;	/* show them all */
};

/* A finding: one line on stdout, "user segment offset what". */
void	ck_found(struct ck *, const char *user, uint32_t segment, uint64_t offset, const char *what);

/* Bytes of a user's log, for the bar. */
uint64_t ck_log_bytes(const struct ck *, struct slice user);
/* False where it could not be looked at (logged); findings are counted. */
bool	ck_verify(struct ck *, struct slice user);
bool	ck_show(struct ck *, struct slice user);
/* Puts the index aside and makes it anew. False: it could not be made. */
bool	ck_rebuild(struct ck *, struct slice user);

/* Gives up what cannot be read any more of the log. False: it could not be said. */
bool	ck_accept(struct ck *, struct slice user);

/* walk.c: reads all of the log; leaves the highest epoch seen. False: could not be read. */
bool	ck_walk(struct ck *, struct spool *, uint32_t *epoch_out);
/* compare.c: the live index against one made from the log, and against one made from the checkpoint. */
bool	ck_compare(struct ck *, struct spool *);
/* A fresh empty directory for a private index; its path is good until the next call. NULL with errno. */
const char *ck_private_dir(struct ck *);
void	ck_private_drop(struct ck *);

#endif
