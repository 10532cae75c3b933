/*
 * What one of our own processes may be sent by a captured one: no unpacker reads past its input, and what is
 * accepted packs to the same bytes.
 */
#include <assert.h>
#include <stdint.h>

#include "pack.h"
#include "redundant.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
fuzz_redundant(struct slice in)
{
	struct unpack u = unpack_make(in.p, in.n);
	struct buf out = buf_make(in.n + 64);
	struct slice name;
	uint32_t salt;
	uint64_t size;
	bool is_good = false;

	switch (unpack_u8(&u)) {
	case REDUNDANT_HELLO:
		if ((is_good = redundant_unpack_hello(&u, &name)))
			redundant_pack_hello(&out, name);
		break;
	case REDUNDANT_DAY:
		if ((is_good = redundant_unpack_day(&u, &name, &salt, &size)))
			redundant_pack_day(&out, name, salt, size);
		break;
	case REDUNDANT_CLOSED:
		if ((is_good = redundant_unpack_closed(&u, &name)))
			redundant_pack_closed(&out, name);
		break;
	}
	assert(!is_good || (pack_ok(&out) && slice_is(buf_slice(&out), in)));
	buf_free(&out);
}

/* The bytes say which values are taken. */
static void
fuzz_values(struct slice in)
{
	struct unpack u = unpack_make(in.p, in.n);
	unsigned char raw[16];
	struct slice s;

	while (u.n > 0 && !u.bad) {
		switch (unpack_u8(&u) % 6) {
		case 0:
			(void)unpack_u16(&u);
			break;
		case 1:
			(void)unpack_u32(&u);
			break;
		case 2:
			(void)unpack_u64(&u);
			break;
		case 3:
			(void)unpack_i64(&u);
			break;
		case 4:
			s = unpack_str(&u);
			assert(s.n == 0 || (s.p >= in.p && s.p + s.n <= in.p + in.n));
			break;
		case 5:
			unpack_bytes(&u, raw, sizeof(raw));
			break;
		}
	}
	assert(u.bad || unpack_end(&u));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice in = {(const char *)data, n};

	fuzz_redundant(in);
	fuzz_values(in);
	return 0;
}
