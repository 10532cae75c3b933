/* The routing table, and look-ups in what was taken. */
#include <assert.h>
#include <stdint.h>

#include "table.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const	probes[] = {"a@b", "A+x@b", "postmaster", "x@c", "\"a+b\"@c", "@b", "", "+@b"};
	struct slice			user, detail;
	const char			*why = NULL;
	unsigned			 line = 0;
	struct table			*t = table_parse((struct slice){(const char *)data, n}, '+', &line, &why);

	if (t == NULL) {
		assert(why != NULL && why[0] != '\0');
		return 0;
	}
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
		(void)table_route(t, slice_of(probes[i]), &user, &detail);
	table_free(t);
	return 0;
}
