/* Any bytes as a message about a login, and as a request to the key process: what is accepted packs to the same bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "authmsg.h"
#include "keyblock.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice in = {(const char *)data, n};
	struct buf b = buf_make(AUTH_MSG_MAX_BYTES);
	struct key_request r;
	struct auth_msg m;

	if (auth_unpack(in, &m)) {
		auth_pack(&b, &m);
		if (!slice_is(buf_slice(&b), in))
			abort();
	}
	buf_clear(&b);
	if (key_request_unpack(in, &r)) {
		key_request_pack(&b, &r);
		if (!slice_is(buf_slice(&b), in))
			abort();
		(void)keyblock_is_digestinfo(r.block);
		(void)keyblock_is_pss(r.block, 2048);
		(void)keyblock_is_pss(r.block, 2049);
		(void)keyblock_is_pss(r.block, (unsigned)r.block.n * 8);
	}
	buf_free(&b);
	return 0;
}
