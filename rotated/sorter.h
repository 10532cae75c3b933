/*
 * Sorting more entries than memory holds: runs are sorted in memory and written to an unnamed file,
 * then merged. Used by the index maker.
 */
#ifndef ROTATED_SORTER_H
#define ROTATED_SORTER_H

#include "address.h"
#include "record.h"

/* A record of a user. */
struct entry {
	char		user[USER_MAX_BYTES + 1];
	char		type;
	uint32_t	uid;
	uint64_t	offset;
	uint64_t	modseq;
	unsigned char	guid[RECORD_ID_BYTES];
};

struct sorter;

/* memory: bytes for the entries held. dir: where the unnamed file is made when they do not suffice. */
struct sorter	*sorter_make(int dir, size_t memory);
void		 sorter_free(struct sorter *);
/* 0, or -1 with errno (the file could not be made or written). */
int		 sorter_add(struct sorter *, const struct entry *);
/* No more will be added. 0 or -1. */
int		 sorter_finish(struct sorter *);
/* The next by user, then offset. 1, 0 at the end, -1 with errno. */
int		 sorter_next(struct sorter *, struct entry *out);

#endif
