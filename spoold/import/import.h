/*
 * One foreign mailbox into one mailbox of a user: read, gathered in batches, appended to both spools, written down.
 */
#ifndef TS_SPOOLD_IMPORT_IMPORT_H
#define TS_SPOOLD_IMPORT_IMPORT_H

#include "import/state.h"
#include "progress.h"
#include "store/store.h"

#define IMPORT_BATCH_MESSAGES	100
#define IMPORT_BATCH_BYTES	(4 * 1024 * 1024)	/* of bodies; more messages go to the next */

struct import {
	struct store	*store;		/* NULL: only read and report */
	int		 state_fd;	/* -1: none */
	struct progress	 progress;
	uint64_t	 done_bytes;	/* of sources before this one, for the bar */
	uint64_t	 imported, skipped, bad;
	const char	*stopped;	/* why it cannot go on */
};

struct import_source {
	char			*path;		/* owned; as named, for reports and the state */
	enum import_kind	 kind;
	struct mboxname		 mailbox;
	uint64_t		 bytes;
};

/* True: all of it was read; what could not be is reported. False: stopped says why, and the next run goes on. */
bool	import_run(struct import *, const struct import_source *, int fd);

#endif
