/* The open record: no input makes it read past the end, and what passes packs to the same bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "sessopen.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice in = {(const char *)p, n};
	struct buf b = buf_make(4096);
	struct sessopen o;

	if (sessopen_unpack(in, &o)) {
		sessopen_pack(&b, &o);
		if (!slice_is(buf_slice(&b), in))
			abort();
	}
	buf_free(&b);
	return 0;
}
