/*
 * The helper process: one order (an index, a purge), then it ends. So that the days process never
 * waits for a disk longer than opening a file takes.
 */
#ifndef ROTATED_HELPER_H
#define ROTATED_HELPER_H

#include "orders.h"
#include "settings.h"

struct helper_job {
	const struct settings	*settings;
	enum orders_verb	 verb;		/* ORDERS_INDEX or ORDERS_PURGE */
	struct day		 day;		/* to index; or current */
	struct day		 oldest;
};

/* The process: sends ORDERS_DONE before it ends. */
_Noreturn void	helper_run(const struct helper_job *, int chan);
/* The work itself, in this process. */
void	helper_work(const struct helper_job *, int dir, struct orders_done *out);
/* What every process of rotated but the parent gives up: all but the redundant spool and CAP_LINUX_IMMUTABLE. */
int	helper_enter(const struct settings *);

#endif
