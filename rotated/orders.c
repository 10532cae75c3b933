/*
 * The verbs between rotated's processes: pack and unpack side by side. Pure.
 */
#include "orders.h"

void
orders_pack_index(struct buf *b, const struct day *day)
{
	pack_u8(b, ORDERS_INDEX);
	pack_str(b, slice_of(day->name));
}

bool
orders_unpack_index(struct unpack *u, struct day *out)
{
	struct slice name = unpack_str(u);

	return unpack_end(u) && day_parse(name, out);
}

void
orders_pack_purge(struct buf *b, const struct day *current, const struct day *oldest)
{
	pack_u8(b, ORDERS_PURGE);
	pack_str(b, slice_of(current->name));
	pack_str(b, slice_of(oldest->name));
}

bool
orders_unpack_purge(struct unpack *u, struct day *current_out, struct day *oldest_out)
{
	struct slice current = unpack_str(u), oldest = unpack_str(u);

	return unpack_end(u) && day_parse(current, current_out) && day_parse(oldest, oldest_out);
}

void
orders_pack_done(struct buf *b, const struct orders_done *done)
{
	pack_u8(b, ORDERS_DONE);
	pack_u8(b, done->verb);
	pack_u8(b, done->is_good);
	pack_u32(b, done->count);
}

bool
orders_unpack_done(struct unpack *u, struct orders_done *out)
{
	out->verb = unpack_u8(u);
	out->is_good = unpack_u8(u) == 1;
	out->count = unpack_u32(u);
	return unpack_end(u);
}

void
orders_pack_rotate(struct buf *b)
{
	pack_u8(b, ORDERS_ROTATE);
}
