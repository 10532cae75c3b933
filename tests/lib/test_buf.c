/*
 * Buffers and arenas: at the cap and one past it; nothing is ever cut.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "arena.h"
#include "buf.h"

static void
test_cap(void **state)
{
	struct buf b = buf_make(10);

	(void)state;
	assert_int_equal(buf_slice(&b).n, 0);
	assert_non_null(buf_slice(&b).p);
	assert_int_equal(buf_add(&b, "0123456789", 10), 0);
	errno = 0;
	assert_int_equal(buf_add(&b, "x", 1), -1);
	assert_int_equal(errno, ENOBUFS);
	assert_int_equal(buf_add_slice(&b, SLICE("")), 0);
	assert_true(slice_is(buf_slice(&b), SLICE("0123456789")));
	buf_drop(&b, 4);
	assert_true(slice_is(buf_slice(&b), SLICE("456789")));
	assert_int_equal(buf_add_str(&b, "abcde"), -1);
	assert_true(slice_is(buf_slice(&b), SLICE("456789")));
	assert_int_equal(buf_add_str(&b, "abcd"), 0);
	assert_true(slice_is(buf_slice(&b), SLICE("456789abcd")));
	buf_drop(&b, 10);
	assert_int_equal(b.n, 0);
	assert_null(buf_room(&b, 11));
	assert_null(buf_room(&b, SIZE_MAX));
	assert_non_null(buf_room(&b, 10));
	buf_free(&b);
	assert_int_equal(b.cap, 10);
}

static void
test_format(void **state)
{
	struct buf b = buf_make(8);

	(void)state;
	assert_int_equal(buf_addf(&b, "%s", "12345678"), 0);	/* exactly: no room for a NUL in the cap */
	assert_true(slice_is(buf_slice(&b), SLICE("12345678")));
	buf_clear(&b);
	assert_int_equal(buf_addf(&b, "%d-%s", 1234, "5678"), -1);
	assert_int_equal(b.n, 0);
	assert_int_equal(buf_addf(&b, "%s", ""), 0);
	assert_int_equal(buf_addf(&b, "%d", 42), 0);
	assert_true(slice_is(buf_slice(&b), SLICE("42")));
	buf_free(&b);
}

static void
test_growth(void **state)
{
	struct buf b = buf_make(1000 * 1000);

	(void)state;
	for (size_t i = 0; i < 100 * 1000; i++)
		assert_int_equal(buf_addf(&b, "%05zu,", i), 0);
	assert_int_equal(b.n, 600 * 1000);
	assert_memory_equal(b.p + 6 * 54321, "54321,", 6);
	buf_wipe(&b);
	assert_null(b.p);
}

static void
test_arena(void **state)
{
	struct arena a = arena_make(1000);
	char *p, *q;

	(void)state;
	p = arena_alloc(&a, 600, 1);
	assert_non_null(p);
	for (int i = 0; i < 600; i++)
		assert_int_equal(p[i], 0);
	assert_null(arena_alloc(&a, 401, 1));
	assert_int_equal(errno, ENOBUFS);
	q = arena_alloc(&a, 400, 1);
	assert_non_null(q);
	memset(p, 'p', 600);
	memset(q, 'q', 400);
	assert_int_equal(p[599], 'p');
	assert_null(arena_alloc(&a, 1, 1));
	arena_reset(&a);
	p = arena_alloc(&a, 1000, 1);
	assert_non_null(p);
	assert_int_equal(p[0], 0);	/* zeroed again */
	arena_free(&a);
	/* Sizes that do not fit a size_t. */
	a = arena_make(SIZE_MAX);
	assert_null(arena_alloc(&a, SIZE_MAX / 2, 3));
	assert_null(arena_alloc(&a, SIZE_MAX, 1));
	assert_null(arena_copy(&a, (struct slice){"", SIZE_MAX}));
	arena_free(&a);
}

static void
test_arena_many(void **state)
{
	struct arena a = arena_make(64 << 20);
	char *all[5000];

	(void)state;
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < 5000; i++) {
			all[i] = arena_alloc(&a, i % 97 + 1, i % 31 + 1);
			assert_non_null(all[i]);
			assert_int_equal((uintptr_t)all[i] % _Alignof(max_align_t), 0);
			memset(all[i], (int)(i & 0x7f), (i % 97 + 1) * (i % 31 + 1));
		}
		for (size_t i = 0; i < 5000; i++) {
			assert_int_equal(all[i][0], i & 0x7f);
			assert_int_equal(all[i][(i % 97 + 1) * (i % 31 + 1) - 1], i & 0x7f);
		}
		arena_reset(&a);
	}
	assert_true(slice_is(arena_slice(&a, SLICE("abc")), SLICE("abc")));
	assert_string_equal(arena_copy(&a, SLICE("abc")), "abc");
	assert_int_equal(arena_slice(&a, SLICE("")).n, 0);
	/* Two pieces of nothing are two pieces. */
	assert_ptr_not_equal(arena_alloc(&a, 0, 1), arena_alloc(&a, 0, 1));
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_arena_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
