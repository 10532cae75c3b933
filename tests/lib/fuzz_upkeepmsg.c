/* Orders of upkeep and their answers: no input makes them read past the end, and what passes packs to the same bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "upkeepmsg.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* The verb says which; false: refused. */
static bool
unpack_and_pack(struct slice in, struct buf *b)
{
	struct unpack u = unpack_make(in.p, in.n);
	struct upkeep_progress p;
	struct upkeep_order o;
	struct upkeep_end e;

	switch (unpack_u8(&u)) {
	case UPKEEP_ORDER:
		if (!upkeep_unpack_order(&u, &o))
			return false;
		upkeep_pack_order(b, &o);
		return true;
	case UPKEEP_PROGRESS:
		if (!upkeep_unpack_progress(&u, &p))
			return false;
		upkeep_pack_progress(b, &p);
		return true;
	case UPKEEP_END:
		if (!upkeep_unpack_end(&u, &e))
			return false;
		upkeep_pack_end(b, &e);
		return true;
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice in = {(const char *)p, n};
	struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);

	/* What is taken fits a message of that size again. */
	if (unpack_and_pack(in, &b) && (!pack_ok(&b) || !slice_is(buf_slice(&b), in)))
		abort();
	buf_free(&b);
	return 0;
}
