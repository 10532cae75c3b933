/* Look-ups and answers between relayd's processes. */
#include <assert.h>
#include <stdint.h>

#include "routemsg.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct route_answer	a, b;
	struct slice			in = {(const char *)data, n}, address;
	struct buf			out = buf_make(1 << 20);
	uint32_t			req, again;

	(void)routemsg_unpack_ask(in, &req, &address);
	if (routemsg_unpack_answer(in, 3, &req, &a)) {
		routemsg_pack_answer(&out, req, &a);
		assert(routemsg_unpack_answer(buf_slice(&out), 3, &again, &b) && again == req && b.ntargets == a.ntargets);
	}
	buf_free(&out);
	return 0;
}
