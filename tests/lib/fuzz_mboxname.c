/* Any bytes as a client's name: what is accepted is valid inside and goes there and back; any bytes as a pattern. */
#include <stdint.h>
#include <stdlib.h>

#include "address.h"
#include "mboxname.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct slice user = SLICE("al.ice"), in = {(const char *)data, n};
	char client[4 * MBOXNAME_MAX_BYTES], name[USER_MAX_BYTES + 1];
	struct mboxname first, second;

	(void)mboxname_is_valid(in);
	(void)mboxname_user(in, name);
	(void)mboxname_match(in, (struct slice){in.p, n / 2}, '/');
	for (int mutf7 = 0; mutf7 < 2; mutf7++) {
		size_t m;

		if (mboxname_from_client(user, in, mutf7, n % 2, &first) != PARSE_OK)
			continue;
		if (!mboxname_is_valid((struct slice){first.s, first.n}))
			abort();
		m = mboxname_to_client(user, (struct slice){first.s, first.n}, mutf7, client);
		if (m == 0 || mboxname_from_client(user, (struct slice){client, m}, mutf7, false, &second) != PARSE_OK ||
		    !slice_is((struct slice){first.s, first.n}, (struct slice){second.s, second.n}))
			abort();
		if (!mboxname_match((struct slice){client, m}, (struct slice){client, m}, '/'))
			abort();
	}
	return 0;
}
