/*
 * Packing: what is packed comes back; every cut of it, and every byte too many, is an error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "pack.h"
#include "redundant.h"

static bool
take_all(struct slice in)
{
	struct unpack u = unpack_make(in.p, in.n);
	unsigned char raw[3];
	bool same = unpack_u8(&u) == 0xfe;

	same &= unpack_u16(&u) == 0xfedc;
	same &= unpack_u32(&u) == 0xfedcba98;
	same &= unpack_u64(&u) == 0xfedcba9876543210;
	same &= unpack_i64(&u) == INT64_MIN;
	same &= slice_is(unpack_str(&u), SLICE("text"));
	unpack_bytes(&u, raw, 3);
	same &= memcmp(raw, "raw", 3) == 0;
	same &= slice_is(unpack_str(&u), SLICE(""));
	return unpack_end(&u) && same;
}

static void
test_values(void **state)
{
	struct buf b = buf_make(1000);

	(void)state;
	pack_u8(&b, 0xfe);
	pack_u16(&b, 0xfedc);
	pack_u32(&b, 0xfedcba98);
	pack_u64(&b, 0xfedcba9876543210);
	pack_i64(&b, INT64_MIN);
	pack_str(&b, SLICE("text"));
	pack_bytes(&b, "raw", 3);
	pack_str(&b, SLICE(""));
	assert_true(pack_ok(&b));
	assert_memory_equal(b.p + 1, "\xdc\xfe\x98\xba\xdc\xfe", 6);
	assert_true(take_all(buf_slice(&b)));
	for (size_t n = 0; n < b.n; n++)
		assert_false(take_all((struct slice){b.p, n}));
	pack_u8(&b, 0);
	assert_false(take_all(buf_slice(&b)));
	buf_free(&b);
}

static void
test_bad_lengths(void **state)
{
	struct unpack u = unpack_make("\xff\xff\xff\xff" "abc", 7);

	(void)state;
	assert_int_equal(unpack_str(&u).n, 0);
	assert_true(u.bad);
	/* And stays bad, whatever is left. */
	assert_int_equal(unpack_u8(&u), 0);
	assert_false(unpack_end(&u));
	u = unpack_make("", 0);
	assert_true(unpack_end(&u));
}

static void
test_short(void **state)
{
	struct buf b = buf_make(6);

	(void)state;
	pack_u32(&b, 1);
	assert_true(pack_ok(&b));
	pack_u32(&b, 2);
	assert_false(pack_ok(&b));
	pack_u8(&b, 3);		/* would fit, but the message is spoiled */
	assert_false(pack_ok(&b));
	assert_int_equal(b.n, 4);
	buf_clear(&b);
	pack_u8(&b, 3);
	assert_true(pack_ok(&b));
	buf_free(&b);
}

static void
test_redundant(void **state)
{
	static const struct {
		const char	*name;
		bool		 want;
	} rows[] = {
		{"main", true}, {"", false}, {"a/b", false}, {".", false}, {"..", false},
		{"1234567890123456789012345678901234567890123456789012345678901234", true},
		{"12345678901234567890123456789012345678901234567890123456789012345", false},
	};
	struct buf b = buf_make(1000);
	struct slice name;
	struct unpack u;
	uint32_t salt;
	uint64_t size;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_clear(&b);
		redundant_pack_hello(&b, slice_of(rows[i].name));
		u = unpack_make(b.p, b.n);
		assert_int_equal(unpack_u8(&u), REDUNDANT_HELLO);
		if (redundant_unpack_hello(&u, &name) != rows[i].want)
			fail_msg("%s", rows[i].name);
	}
	buf_clear(&b);
	redundant_pack_day(&b, SLICE("2026-11-22.2"), 7, 1ULL << 40);
	u = unpack_make(b.p, b.n);
	assert_int_equal(unpack_u8(&u), REDUNDANT_DAY);
	assert_true(redundant_unpack_day(&u, &name, &salt, &size));
	assert_true(slice_is(name, SLICE("2026-11-22.2")) && salt == 7 && size == 1ULL << 40);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_bad_lengths),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_redundant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
