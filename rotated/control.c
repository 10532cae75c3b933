/*
 * The words of rotatectl: pack and unpack side by side. Pure.
 */
#include "control.h"

void
control_pack_order(struct buf *b, enum control_order order)
{
	pack_u8(b, (uint8_t)order);
}

bool
control_unpack_order(struct unpack *u, enum control_order *out)
{
	uint8_t order = unpack_u8(u);

	*out = (enum control_order)order;
	return unpack_end(u) && order >= CONTROL_ROTATE && order <= CONTROL_STATUS;
}

void
control_pack_text(struct buf *b, struct slice text)
{
	pack_u8(b, CONTROL_TEXT);
	pack_str(b, text);
}

bool
control_unpack_text(struct unpack *u, struct slice *out)
{
	*out = unpack_str(u);
	return unpack_end(u);
}

void
control_pack_end(struct buf *b, bool is_done, struct slice why)
{
	pack_u8(b, CONTROL_END);
	pack_u8(b, is_done ? 0 : 1);
	pack_str(b, why);
}

bool
control_unpack_end(struct unpack *u, bool *is_done_out, struct slice *why_out)
{
	*is_done_out = unpack_u8(u) == 0;
	*why_out = unpack_str(u);
	return unpack_end(u);
}
