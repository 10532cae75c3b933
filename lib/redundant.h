/*
 * What rotated and spoold's committer say to each other (SEQPACKET, rotated listens). One connection
 * a committer and partition. rotated hands over the day's descriptor; rotation is handing over the
 * next one. When the connection closes the committer gives up its descriptor and deliveries are
 * deferred (451) until rotated is back.
 */
#ifndef TS_REDUNDANT_H
#define TS_REDUNDANT_H

#include "pack.h"

#define REDUNDANT_DAY_MAX_BYTES		32	/* "2026-11-22" or "2026-11-22.2" */
#define REDUNDANT_PARTITION_MAX_BYTES	64

enum redundant_verb {
	REDUNDANT_HELLO = 1,	/* committer: str partition */
	REDUNDANT_DAY = 2,	/* rotated: str day, u32 salt, u64 size of the file; one descriptor, O_WRONLY|O_APPEND */
	REDUNDANT_CLOSED = 3,	/* committer: str day: every batch of that day is synced and its descriptor closed */
};

/* Each packs a whole message, verb included; unpack after the verb byte, false unless exactly right. */
void	redundant_pack_hello(struct buf *, struct slice partition);
void	redundant_pack_day(struct buf *, struct slice day, uint32_t salt, uint64_t size);
void	redundant_pack_closed(struct buf *, struct slice day);
bool	redundant_unpack_hello(struct unpack *, struct slice *partition_out);
bool	redundant_unpack_day(struct unpack *, struct slice *day_out, uint32_t *salt_out, uint64_t *size_out);
bool	redundant_unpack_closed(struct unpack *, struct slice *day_out);

#endif
