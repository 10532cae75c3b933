/*
 * One record's effect on the index: the only code that changes mailbox state, whether the record was
 * just appended or is replayed. Everything it decides must follow from the log alone.
 */
#ifndef TS_STORE_APPLY_H
#define TS_STORE_APPLY_H

#include "store/index.h"
#include "store/scan.h"

/* In a write transaction. The scan gave the record. Failures stick in the index (rc). */
void	apply_record(struct index *, const struct scan *, const struct record *);

#endif
