/*
 * What rotated and spoold's committer say to each other: pack and unpack side by side. Pure.
 * Unpack takes nothing that pack would not write: names have their lengths checked here.
 */
#include "redundant.h"

static bool
redundant_is_name(struct slice s, size_t most)
{
	return s.n > 0 && s.n <= most && memchr(s.p, '/', s.n) == NULL && memchr(s.p, '\0', s.n) == NULL && s.p[0] != '.';
}

void
redundant_pack_hello(struct buf *b, struct slice partition)
{
	pack_u8(b, REDUNDANT_HELLO);
	pack_str(b, partition);
}

bool
redundant_unpack_hello(struct unpack *u, struct slice *partition_out)
{
	*partition_out = unpack_str(u);
	return unpack_end(u) && redundant_is_name(*partition_out, REDUNDANT_PARTITION_MAX_BYTES);
}

void
redundant_pack_day(struct buf *b, struct slice day, uint32_t salt, uint64_t size)
{
	pack_u8(b, REDUNDANT_DAY);
	pack_str(b, day);
	pack_u32(b, salt);
	pack_u64(b, size);
}

bool
redundant_unpack_day(struct unpack *u, struct slice *day_out, uint32_t *salt_out, uint64_t *size_out)
{
	*day_out = unpack_str(u);
	*salt_out = unpack_u32(u);
	*size_out = unpack_u64(u);
	return unpack_end(u) && redundant_is_name(*day_out, REDUNDANT_DAY_MAX_BYTES);
}

void
redundant_pack_closed(struct buf *b, struct slice day)
{
	pack_u8(b, REDUNDANT_CLOSED);
	pack_str(b, day);
}

bool
redundant_unpack_closed(struct unpack *u, struct slice *day_out)
{
	*day_out = unpack_str(u);
	return unpack_end(u) && redundant_is_name(*day_out, REDUNDANT_DAY_MAX_BYTES);
}
