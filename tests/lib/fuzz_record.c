/*
 * Log records out of anything: parsed with the salt the bytes name, and the extras of those that
 * hold. What parses must pack to the same bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "record.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice in = {(const char *)data, n};
	struct buf b = buf_make(RECORD_HEADER_BYTES + RECORD_EXTRA_MAX_BYTES);
	struct record_message m;
	struct record r = {0};
	uint32_t salt = 0;
	size_t need;

	(void)record_parse_salt(in, &salt, &need);
	if (record_parse_head(in, salt, &r, &need) == PARSE_OK) {
		record_pack_head(&b, &r, salt);
		assert(b.n == need && memcmp(b.p, data, need) == 0);
		(void)record_message_unpack(r.extra, &m);
	}
	if (record_parse_trailer(in, salt, &r) == PARSE_OK) {
		buf_clear(&b);
		record_pack_trailer(&b, &r, salt);
		assert(b.n == RECORD_TRAILER_BYTES && memcmp(b.p, data, b.n) == 0);
	}
	if (record_message_unpack(in, &m)) {
		buf_clear(&b);
		record_message_pack(&b, &m);
		assert(b.n == n && memcmp(b.p, data, n) == 0);
	}
	buf_free(&b);
	return 0;
}
