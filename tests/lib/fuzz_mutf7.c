/* What decodes encodes to the same bytes again (one spelling only), and the other way round. */
#include <stdint.h>
#include <stdlib.h>

#include "mboxname.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct slice in = {(const char *)data, n};
	char out[8192], back[8192];
	long m = mutf7_decode(in, out, sizeof(out)), k;

	if (m >= 0) {
		k = mutf7_encode((struct slice){out, (size_t)m}, back, sizeof(back));
		if (k < 0 || !slice_is(in, (struct slice){back, (size_t)k}))
			abort();
	}
	m = mutf7_encode(in, out, sizeof(out));
	if (m >= 0) {
		k = mutf7_decode((struct slice){out, (size_t)m}, back, sizeof(back));
		if (k < 0 || !slice_is(in, (struct slice){back, (size_t)k}))
			abort();
	}
	return 0;
}
