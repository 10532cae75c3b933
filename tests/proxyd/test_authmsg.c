/*
 * proxyd/authmsg.c: what is packed is unpacked again, cut or lengthened anywhere it is refused, limits
 * hold at and one past.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "authmsg.h"

static char big[AUTH_DATA_MAX_BYTES + 1];

static const struct auth_msg msgs[] = {
	{.verb = AUTH_READY, .exchange = 0x1122334455667788},
	{.verb = AUTH_RESET},
	{.verb = AUTH_START, .exchange = 5, .start = {
	    .who = {.proto = SESS_POP3, .sid = {"0123456789ab", 12}, .tag = {"a1", 2}, .addr = {"::1", 3}, .port = 65535,
		.is_tls = true, .client_id = {"name=x", 6}},
	    .mech = {"PLAIN", 5}, .has_initial = true, .initial = {"\0a\0b", 4}}},
	{.verb = AUTH_START, .exchange = 6, .start = {.who = {.proto = SESS_IMAP}, .mech = {"LOGIN", 5}}},
	{.verb = AUTH_STEP, .exchange = 7, .data = {"x", 1}},
	{.verb = AUTH_STEP, .exchange = 7, .data = {"", 0}},
	{.verb = AUTH_ABORT, .exchange = 8},
	{.verb = AUTH_CHALLENGE, .exchange = 9, .data = {"chal", 4}},
	{.verb = AUTH_OK, .exchange = 10, .data = {"alice", 5}},
	{.verb = AUTH_FAILED, .exchange = 11, .fail = AUTH_BUSY},
};

static void
round_trips(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(msgs) / sizeof(msgs[0]); i++) {
		const struct auth_msg *m = &msgs[i];
		struct buf b = buf_make(AUTH_MSG_MAX_BYTES);
		struct auth_msg got;

		auth_pack(&b, m);
		assert_true(pack_ok(&b));
		auth_rename(b.p, m->exchange + 3);
		assert_true(auth_unpack(buf_slice(&b), &got));
		assert_int_equal(got.verb, m->verb);
		assert_int_equal(got.exchange, m->exchange + 3);
		assert_true(slice_is(got.data, m->data));
		assert_int_equal(got.fail, m->fail);
		assert_true(slice_is(got.start.mech, m->start.mech));
		assert_true(slice_is(got.start.initial, m->start.initial));
		assert_int_equal(got.start.has_initial, m->start.has_initial);
		assert_int_equal(got.start.who.proto, m->start.who.proto);
		assert_int_equal(got.start.who.port, m->start.who.port);
		assert_int_equal(got.start.who.is_tls, m->start.who.is_tls);
		assert_true(slice_is(got.start.who.sid, m->start.who.sid));
		assert_true(slice_is(got.start.who.tag, m->start.who.tag));
		assert_true(slice_is(got.start.who.addr, m->start.who.addr));
		assert_true(slice_is(got.start.who.client_id, m->start.who.client_id));
		for (size_t n = 0; n < b.n; n++)
			if (auth_unpack((struct slice){b.p, n}, &got))
				fail_msg("message %zu cut to %zu bytes", i, n);
		assert_int_equal(buf_add(&b, "", 1), 0);
		assert_false(auth_unpack(buf_slice(&b), &got));
		buf_free(&b);
	}
}

static bool
passes(const struct auth_msg *m)
{
	struct buf b = buf_make(4 * AUTH_MSG_MAX_BYTES);
	struct auth_msg got;
	bool ok;

	auth_pack(&b, m);
	ok = pack_ok(&b) && auth_unpack(buf_slice(&b), &got);
	buf_free(&b);
	return ok;
}

static void
limits(void **state)
{
	struct auth_msg m = msgs[2];

	(void)state;
	memset(big, 'x', sizeof(big));
#define LIMIT(member, max)	\
	m = msgs[2];	\
	m.start.member = (struct slice){big, (max)};	\
	assert_true(passes(&m));	\
	m.start.member.n++;	\
	assert_false(passes(&m))

	LIMIT(who.sid, SESSOPEN_SID_MAX_BYTES);
	LIMIT(who.tag, SESSOPEN_TAG_MAX_BYTES);
	LIMIT(who.addr, SESSOPEN_ADDR_MAX_BYTES);
	LIMIT(who.client_id, SESSOPEN_CLIENT_ID_MAX_BYTES);
	LIMIT(who.mechs, SESSOPEN_MECHS_MAX_BYTES);
	LIMIT(mech, AUTH_MECH_MAX_BYTES);
	LIMIT(initial, AUTH_DATA_MAX_BYTES);
	m = msgs[2];
	m.start.mech.n = 0;
	assert_false(passes(&m));
	m = msgs[2];
	m.start.who.proto = (enum sess_proto)3;
	assert_false(passes(&m));
	m = (struct auth_msg){.verb = AUTH_CHALLENGE, .data = {big, AUTH_DATA_MAX_BYTES}};
	assert_true(passes(&m));
	m.data.n++;
	assert_false(passes(&m));
	m = (struct auth_msg){.verb = AUTH_OK, .data = {big, USER_MAX_BYTES}};
	assert_true(passes(&m));
	m.data.n++;
	assert_false(passes(&m));
	m.data.n = 0;
	assert_false(passes(&m));
	m = (struct auth_msg){.verb = AUTH_FAILED, .fail = 0};
	assert_false(passes(&m));
	m.fail = AUTH_FAIL_LAST + 1;
	assert_false(passes(&m));
	m = (struct auth_msg){.verb = 0};
	assert_false(passes(&m));
	m.verb = AUTH_FAILED + 1;
	assert_false(passes(&m));
	/* The largest START fits a message. */
	m = msgs[2];
	m.start.who = (struct sessopen){.proto = SESS_IMAP, .sid = {big, SESSOPEN_SID_MAX_BYTES},
	    .tag = {big, SESSOPEN_TAG_MAX_BYTES}, .addr = {big, SESSOPEN_ADDR_MAX_BYTES},
	    .client_id = {big, SESSOPEN_CLIENT_ID_MAX_BYTES}, .mechs = {big, SESSOPEN_MECHS_MAX_BYTES}, .is_utf8 = true};
	m.start.mech = (struct slice){big, AUTH_MECH_MAX_BYTES};
	m.start.initial = (struct slice){big, AUTH_DATA_MAX_BYTES};
	struct buf b = buf_make(AUTH_MSG_MAX_BYTES);
	auth_pack(&b, &m);
	assert_true(pack_ok(&b));
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(round_trips), cmocka_unit_test(limits)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
