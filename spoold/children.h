/*
 * spoold's children as the parent sees them: which there are, what each keeps, and the closed list of
 * verbs: a lot wants a worker; the committer's sync failed.
 */
#ifndef TS_SPOOLD_CHILDREN_H
#define TS_SPOOLD_CHILDREN_H

#include "parent.h"
#include "site.h"

/* Starts the committer, the lots, the delivery workers. Once; the site lives as long as the process. */
void	children_start(struct parent *, struct site *);

#endif
