/* Records between lmtpd and spoold: no input reads past the end, and a SUBMIT that passes packs to the same bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "delivery.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct delivery d;
	struct buf b = buf_make(1024 * 1024);
	struct unpack u = unpack_make(p, n);
	struct slice user;
	struct reply r;
	uint32_t req, index;
	bool place;

	switch (unpack_u8(&u)) {
	case DELIVERY_CHECK:
		(void)delivery_unpack_check(&u, &req, &place, &user);
		break;
	case DELIVERY_CHECKED:
		(void)delivery_unpack_checked(&u, &req, &r);
		break;
	case DELIVERY_SUBMIT:
		if (!delivery_unpack_submit(&u, &d))
			break;
		delivery_pack_submit(&b, &d);
		if (!slice_is(buf_slice(&b), (struct slice){(const char *)p, n}))
			abort();
		break;
	case DELIVERY_DONE:
		(void)delivery_unpack_done(&u, &req, &index, &r);
		break;
	}
	buf_free(&b);
	return 0;
}
