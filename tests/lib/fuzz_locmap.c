/* Any bytes as a map entry: what unpacks packs to the same bytes again. */
#include <stdint.h>
#include <stdlib.h>

#include "locmap.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice in = {(const char *)data, n}, host, partition;
	struct buf b = buf_make(64 * 1024);
	struct loc_entry e;

	if (loc_entry_unpack(in, &e)) {
		loc_entry_pack(&b, &e);
		if (!slice_is(buf_slice(&b), in))
			abort();
		(void)location_split(e.location, &host, &partition);
	}
	buf_free(&b);
	return 0;
}
