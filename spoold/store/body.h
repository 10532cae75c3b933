/*
 * Message bodies in the log: read only when the record's checksums hold.
 */
#ifndef TS_STORE_BODY_H
#define TS_STORE_BODY_H

#include "store/index.h"

enum body_state { BODY_GOOD, BODY_MOVED, BODY_DAMAGED, BODY_ERROR };

/* A segment that is open for reading bodies; fd -1: none is. */
struct body_file {
	int		fd;
	uint32_t	segment, generation, salt;
};

void		body_file_close(struct body_file *);
/*
 * Opens the segment and checks that the record of that modseq is there, whole, with that body.
 * BODY_GOOD: the descriptor is the caller's. BODY_MOVED: the segment has another generation: look up again.
 */
enum body_state	body_open(struct spool *, uint64_t modseq, const struct ix_body *, int *fd_out);
/*
 * remap.c: the segment was compacted and the index does not say so (its process died in between, or the index
 * comes from a checkpoint of before): reads it through and corrects the entries of its bodies. In a write
 * transaction. STORE_OK or STORE_TEMP (logged).
 */
enum store_result index_remap_segment(struct index *, uint32_t segment);
/*
 * In a write transaction, of a message that was delivered: is its body whole, or was it purged? A body that
 * cannot be read is neither, and compaction makes no husk of it.
 */
bool		body_stands(struct index *, uint64_t modseq);

#endif
