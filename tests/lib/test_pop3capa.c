/*
 * lib/pop3capa.c: CAPA before and after login, LANG's ranges, and no room for an answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "pop3capa.h"

#define BOTH	"+OK capability list follows\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\nLANG\r\n"
#define AFTER	"IMPLEMENTATION twinspool-" TS_VERSION "\r\n.\r\n"

static const struct {
	const char	*name, *mechs;
	uint64_t	 delay_s;
	bool		 is_before, has_stls;
	const char	*want;
} capas[] = {
	{"before, nothing", "", 0, true, false, BOTH ".\r\n"},
	{"before, all", " PLAIN SCRAM-SHA-1", 86400, true, true,
	    BOTH "LOGIN-DELAY 86400 USER\r\nUSER\r\nSASL PLAIN SCRAM-SHA-1\r\nSTLS\r\n.\r\n"},
	{"after, nothing", "", 0, false, false, BOTH AFTER},
	{"after, all", " SCRAM-SHA-1 PLAIN", 1, false, false, BOTH "LOGIN-DELAY 1\r\nUSER\r\nSASL SCRAM-SHA-1 PLAIN\r\n" AFTER},
	{"PLAIN in the middle", " LOGIN PLAIN CRAM-MD5", 0, true, false, BOTH "USER\r\nSASL LOGIN PLAIN CRAM-MD5\r\n.\r\n"},
	{"no PLAIN", " PLAIN-X XPLAIN", 0, true, false, BOTH "SASL PLAIN-X XPLAIN\r\n.\r\n"},
};

static void
test_capa(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(capas) / sizeof(capas[0]); i++) {
		struct buf out = buf_make(1024);
		struct pop3capa c = {.mechs = slice_of(capas[i].mechs), .login_delay_s = capas[i].delay_s,
		    .is_before_login = capas[i].is_before, .has_stls = capas[i].has_stls};

		assert_int_equal(pop3capa_put(&out, &c), 0);
		if (!slice_is(buf_slice(&out), slice_of(capas[i].want)))
			fail_msg("%s: %.*s", capas[i].name, (int)out.n, out.p);
		buf_free(&out);
	}
}

static const struct {
	const char	*range;
	bool		 is_english;
} ranges[] = {
	{"*", true}, {"en", true}, {"EN", true}, {"en-GB", true}, {"en-boont", true}, {"en-gb-12345678", true},
	{"en-123456789", false}, {"en-", false}, {"en--gb", false}, {"en-gb-", false}, {"en_GB", false}, {"eng", false}, {"e", false},
	{"de", false}, {"**", false}, {"en-*", false}, {"x-en", false}, {"\xc3\xa4", false},
};

static void
test_lang(void **state)
{
	struct buf out = buf_make(200);

	(void)state;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		buf_clear(&out);
		assert_int_equal(pop3capa_lang(&out, slice_of(ranges[i].range)), 0);
		if (!slice_is(buf_slice(&out), ranges[i].is_english ? SLICE("+OK en the answers are in English\r\n") :
		    SLICE("-ERR no such language, only en\r\n")))
			fail_msg("%s: %.*s", ranges[i].range, (int)out.n, out.p);
	}
	buf_clear(&out);
	assert_int_equal(pop3capa_lang(&out, SLICE("")), 0);
	assert_true(slice_is(buf_slice(&out), SLICE("+OK language listing follows\r\nen English\r\n.\r\n")));
	buf_free(&out);
}

/* Too small a buffer at each byte is an error. */
static void
test_full(void **state)
{
	struct pop3capa c = {.mechs = SLICE(" PLAIN"), .login_delay_s = 5, .is_before_login = true, .has_stls = true};
	struct buf whole = buf_make(1024);

	(void)state;
	assert_int_equal(pop3capa_put(&whole, &c), 0);
	for (size_t cap = 0; cap < whole.n; cap++) {
		struct buf out = buf_make(cap);

		assert_int_equal(pop3capa_put(&out, &c), -1);
		buf_free(&out);
	}
	buf_free(&whole);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_capa), cmocka_unit_test(test_lang), cmocka_unit_test(test_full)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
