/*
 * The open record of a session: what is packed comes back, what is not exactly right is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sessopen.h"

#define X8	"xxxxxxxx"
#define X32	X8 X8 X8 X8
#define X64	X32 X32
#define X128	X64 X64
#define A40	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define X512	X128 X128 X128 X128

static const struct sessopen good = {
	.proto = SESS_IMAP,
	.user = {"alice", 5},
	.sid = {"77ab02", 6},
	.tag = {"a1", 2},
	.addr = {"192.0.2.1", 9},
	.port = 40000,
	.is_tls = true,
	.client_id = {"name=mutt x", 11},
	.mechs = {" PLAIN SCRAM-SHA-256", 20},
	.is_utf8 = true,
};

static bool
round_trip(const struct sessopen *in, struct sessopen *out)
{
	static struct buf b;

	buf_free(&b);
	b = buf_make(8192);
	sessopen_pack(&b, in);
	assert_true(pack_ok(&b));
	return sessopen_unpack(buf_slice(&b), out);
}

static void
test_comes_back(void **state)
{
	struct sessopen out;

	(void)state;
	assert_true(round_trip(&good, &out));
	assert_int_equal(out.proto, SESS_IMAP);
	assert_true(slice_is(out.user, good.user));
	assert_true(slice_is(out.sid, good.sid));
	assert_true(slice_is(out.tag, good.tag));
	assert_true(slice_is(out.addr, good.addr));
	assert_true(slice_is(out.client_id, good.client_id));
	assert_int_equal(out.port, 40000);
	assert_true(out.is_tls);
	assert_true(slice_is(out.mechs, good.mechs));
	assert_true(out.is_utf8);
}

static void
test_fields(void **state)
{
	static const struct {
		const char *name;
		size_t	    at;		/* of the slice that is replaced */
		const char *value;
		bool	    want;
	} rows[] = {
#define AT(f)	offsetof(struct sessopen, f)
		{"user with a dot", AT(user), "a.b", true},
		{"user empty", AT(user), "", false},
		{"user a path", AT(user), "../alice", false},
		{"user upper case", AT(user), "Alice", false},
		{"user 64", AT(user), X64, true},
		{"user 65", AT(user), X64 "x", false},
		{"sid 32", AT(sid), X32, true},
		{"sid 33", AT(sid), X32 "x", false},
		{"sid empty", AT(sid), "", false},
		{"sid with LF", AT(sid), "a\nb", false},
		{"tag 128", AT(tag), X128, true},
		{"tag 129", AT(tag), X128 "x", false},
		{"tag empty, IMAP", AT(tag), "", false},
		{"tag with CR LF", AT(tag), "a1 OK\r\n* BYE", false},
		{"tag with space", AT(tag), "a b", false},
		{"tag with DEL", AT(tag), "a\177", false},
		{"tag 8 bit", AT(tag), "a\303\251", false},
		{"addr 64", AT(addr), X64, true},
		{"addr 65", AT(addr), X64 "x", false},
		{"client id 512", AT(client_id), X512, true},
		{"client id 513", AT(client_id), X512 "x", false},
		{"no mechanisms", AT(mechs), "", true},
		{"mechanisms 168", AT(mechs), " " A40 A40 A40 A40 "AAAAAAA", true},
		{"mechanisms 169", AT(mechs), " " A40 A40 A40 A40 "AAAAAAAA", false},
		{"mechanisms without a space", AT(mechs), "PLAIN", false},
		{"two spaces", AT(mechs), " PLAIN  LOGIN", false},
		{"space at the end", AT(mechs), " PLAIN ", false},
		{"lower case", AT(mechs), " plain", false},
		{"mechanisms with CR LF", AT(mechs), " PLAIN\r\n.\r\n+OK", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sessopen in = good, out;

		*(struct slice *)(void *)((char *)&in + rows[i].at) = slice_of(rows[i].value);
		if (round_trip(&in, &out) != rows[i].want)
			fail_msg("%s", rows[i].name);
	}
}

static void
test_proto(void **state)
{
	struct sessopen in = good, out;

	(void)state;
	in.proto = SESS_POP3;
	in.tag = SLICE("");
	assert_true(round_trip(&in, &out));
	in.proto = (enum sess_proto)3;
	assert_false(round_trip(&in, &out));
	in.proto = (enum sess_proto)0;
	assert_false(round_trip(&in, &out));
}

/* Every shorter record, and a longer one, is refused. */
static void
test_length(void **state)
{
	struct buf b = buf_make(8192);
	struct sessopen out;

	(void)state;
	sessopen_pack(&b, &good);
	for (size_t n = 0; n < b.n; n++)
		assert_false(sessopen_unpack((struct slice){b.p, n}, &out));
	pack_u8(&b, 0);
	assert_false(sessopen_unpack(buf_slice(&b), &out));
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_proto),
		cmocka_unit_test(test_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
