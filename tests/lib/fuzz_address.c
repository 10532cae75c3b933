/* Addresses: what is taken must be taken again, unchanged. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>

#include "address.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice	in = {(const char *)data, n};
	char		user[USER_MAX_BYTES + 1], again[ADDRESS_MAX_BYTES + 3];
	struct address	a, b;
	size_t		used;
	bool		is_rcpt = n % 2 == 0;

	(void)user_fold(in, user);
	if (address_parse(in, true, is_rcpt, &a, &used) != PARSE_OK)
		return 0;
	assert(used <= n && strlen(a.text) <= ADDRESS_MAX_BYTES && a.at <= strlen(a.text));
	snprintf(again, sizeof(again), "<%s>", a.text);
	assert(address_parse(slice_of(again), true, is_rcpt, &b, &used) == PARSE_OK && used == strlen(again));
	assert(strcmp(a.text, b.text) == 0 && a.at == b.at);
	return 0;
}
