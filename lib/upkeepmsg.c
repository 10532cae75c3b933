/*
 * Orders of upkeep, packed and unpacked side by side.
 */
#include "upkeepmsg.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"

static bool
unpack_flag(struct unpack *u, bool *out)
{
	uint8_t v = unpack_u8(u);

	*out = v == 1;
	return !u->bad && v <= 1;
}

void
upkeep_pack_order(struct buf *b, const struct upkeep_order *o)
{
	pack_u8(b, UPKEEP_ORDER);
	pack_u8(b, o->what);
	pack_u8(b, o->is_forced);
	pack_str(b, o->user);
}

bool
upkeep_unpack_order(struct unpack *u, struct upkeep_order *out)
{
	out->what = unpack_u8(u);
	if (!unpack_flag(u, &out->is_forced) || out->what == 0 || (out->what & ~UPKEEP_ALL) != 0)
		return false;
	out->user = unpack_str(u);
	return unpack_end(u) && (out->user.n == 0 || user_is_valid(out->user));
}

void
upkeep_pack_progress(struct buf *b, const struct upkeep_progress *p)
{
	pack_u8(b, UPKEEP_PROGRESS);
	pack_u64(b, p->done);
	pack_u64(b, p->total);
	pack_str(b, p->user);
}

bool
upkeep_unpack_progress(struct unpack *u, struct upkeep_progress *out)
{
	out->done = unpack_u64(u);
	out->total = unpack_u64(u);
	out->user = unpack_str(u);
	return unpack_end(u) && out->done <= out->total && user_is_valid(out->user);
}

void
upkeep_pack_end(struct buf *b, const struct upkeep_end *e)
{
	pack_u8(b, UPKEEP_END);
	pack_u32(b, e->users);
	pack_u32(b, e->failed);
	pack_u64(b, e->purged);
	pack_u32(b, e->segments);
	pack_u32(b, e->damaged);
	pack_u64(b, e->before_bytes);
	pack_u64(b, e->after_bytes);
	pack_u8(b, e->is_cut);
}

bool
upkeep_unpack_end(struct unpack *u, struct upkeep_end *out)
{
	out->users = unpack_u32(u);
	out->failed = unpack_u32(u);
	out->purged = unpack_u64(u);
	out->segments = unpack_u32(u);
	out->damaged = unpack_u32(u);
	out->before_bytes = unpack_u64(u);
	out->after_bytes = unpack_u64(u);
	return unpack_flag(u, &out->is_cut) && unpack_end(u);
}

int
upkeep_ask(const char *socket, const struct upkeep_order *order)
{
	struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);
	int saved, sent = -1, fd = ipc_connect(socket, SOCK_SEQPACKET);

	if (fd >= 0) {
		upkeep_pack_order(&b, order);
		sent = ipc_send(fd, buf_slice(&b), NULL, 0);
		saved = errno;
		close(fd);
		errno = saved;
	}
	buf_free(&b);
	return sent;
}
