/*
 * Sessions as records between lot and worker, pack and unpack side by side. What a worker gives
 * back may come from a captured process: every length is bounded here. Pure.
 */
#include "work.h"

void
work_pack(struct buf *b, const struct work *w)
{
	pack_u8(b, WORK_SESSION);
	pack_u64(b, w->id);
	pack_u8(b, (uint8_t)w->why);
	pack_u8(b, w->has_lock);
	pack_u8(b, w->is_suspect);
	pack_str(b, w->open);
	pack_str(b, w->state);
	pack_str(b, w->unread);
}

bool
work_unpack(struct unpack *u, struct work *out)
{
	uint8_t why, has_lock, is_suspect;

	out->id = unpack_u64(u);
	why = unpack_u8(u);
	has_lock = unpack_u8(u);
	is_suspect = unpack_u8(u);
	out->open = unpack_str(u);
	out->state = unpack_str(u);
	out->unread = unpack_str(u);
	if (!unpack_end(u) || why > SESSION_DRAIN || has_lock > 1 || is_suspect > 1)
		return false;
	out->why = (enum session_why)why;
	out->has_lock = has_lock == 1;
	out->is_suspect = is_suspect == 1;
	return out->state.n <= SESSION_STATE_MAX_BYTES && out->unread.n <= SESSION_UNREAD_MAX_BYTES;
}

void
work_pack_result(struct buf *b, const struct work_result *r)
{
	pack_u8(b, WORK_RESULT);
	pack_u64(b, r->id);
	pack_u8(b, r->is_parked);
	pack_u8(b, r->wants_changes);
	pack_u8(b, r->has_lock);
	pack_i64(b, r->timer_ms);
	pack_u64(b, r->commands);
	pack_u64(b, r->bytes_in);
	pack_u64(b, r->bytes_out);
	pack_str(b, r->state);
	pack_str(b, r->unread);
	pack_str(b, r->end_why);
}

bool
work_unpack_result(struct unpack *u, struct work_result *out)
{
	uint8_t is_parked, wants_changes, has_lock;

	out->id = unpack_u64(u);
	is_parked = unpack_u8(u);
	wants_changes = unpack_u8(u);
	has_lock = unpack_u8(u);
	out->timer_ms = unpack_i64(u);
	out->commands = unpack_u64(u);
	out->bytes_in = unpack_u64(u);
	out->bytes_out = unpack_u64(u);
	out->state = unpack_str(u);
	out->unread = unpack_str(u);
	out->end_why = unpack_str(u);
	if (!unpack_end(u) || is_parked > 1 || wants_changes > 1 || has_lock > 1)
		return false;
	out->is_parked = is_parked == 1;
	out->wants_changes = wants_changes == 1;
	out->has_lock = has_lock == 1;
	if (!out->is_parked && (out->has_lock || out->state.n > 0 || out->unread.n > 0))
		return false;
	return out->timer_ms >= 0 && out->timer_ms <= WORK_TIMER_MAX_MS && out->state.n <= SESSION_STATE_MAX_BYTES &&
	    out->unread.n <= SESSION_UNREAD_MAX_BYTES && out->end_why.n <= WORK_WHY_MAX_BYTES;
}
