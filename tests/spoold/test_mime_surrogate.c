/*
 * spoold/mime/surrogate.c: fields that are not ASCII against a table, random ones against the rules (all ASCII, lines
 * and growth bounded, ASCII fields untouched), large ones against the clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "mime/mime.h"
#include "mime/surrogate.h"

#define AE	"\xc3\xa4"
#define NOBODY	"<invalid@internationalized-address.invalid>"
#define E10	AE AE AE AE AE AE AE AE AE AE
#define Q10	"=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4"

static const struct {
	const char	*name, *in, *want;
} rows[] = {
	{"ascii stays", "Subject:  x\r\n y\r\nX\r\n\r\n", "Subject:  x\r\n y\r\nX\r\n\r\n"},
	{"subject", "Subject: " AE "\r\n", "Subject: =?utf-8?Q?=C3=A4?=\r\n"},
	{"no space after the colon", "Subject:" AE "\r\n", "Subject:=?utf-8?Q?=C3=A4?=\r\n"},
	{"words around", "Subject: a  b" AE "c  d\r\n", "Subject: a  =?utf-8?Q?b=C3=A4c?=  d\r\n"},
	{"neighbours are one", "Subject: " AE " \t" AE " x " AE "\r\n",
	    "Subject: =?utf-8?Q?=C3=A4_=09=C3=A4?= x =?utf-8?Q?=C3=A4?=\r\n"},
	{"folded", "Subject: " AE "\r\n " AE "\r\n\tx\r\n", "Subject: =?utf-8?Q?=C3=A4_=C3=A4?=\r\n\tx\r\n"},
	{"special", "Subject: " AE "?=_\"<\r\n", "Subject: =?utf-8?Q?=C3=A4=3F=3D=5F=22=3C?=\r\n"},
	{"latin 1", "Subject: \xe4\r\n", "Subject: =?unknown-8bit?Q?=E4?=\r\n"},
	{"surrogates are no utf-8", "Subject: \xed\xa0\x80\r\n", "Subject: =?unknown-8bit?Q?=ED=A0=80?=\r\n"},
	{"longest word", "Subject: " E10 "aaa\r\n", "Subject: =?utf-8?Q?" Q10 "aaa?=\r\n"},
	{"one past it", "Subject: " E10 "aaaa\r\n", "Subject: =?utf-8?Q?" Q10 "aaa?=\r\n =?utf-8?Q?a?=\r\n"},
	{"no character is cut", "Subject: " E10 AE "\r\n", "Subject: =?utf-8?Q?" Q10 "?=\r\n =?utf-8?Q?=C3=A4?=\r\n"},
	{"late word folds", "Subject: 12345678901234567890123456789012 " AE "\r\n",
	    "Subject: 12345678901234567890123456789012\r\n =?utf-8?Q?=C3=A4?=\r\n"},
	{"LF alone", "Subject: " AE "\n\n", "Subject: =?utf-8?Q?=C3=A4?=\n\n"},
	{"no line end", "Subject: " AE, "Subject: =?utf-8?Q?=C3=A4?="},
	{"unknown field is text", "X-Y: " AE "\r\n", "X-Y: =?utf-8?Q?=C3=A4?=\r\n"},
	{"phrase", "From: J" AE " K <a@b>\r\n", "From: =?utf-8?Q?J=C3=A4_K?= <a@b>\r\n"},
	{"quoted phrase", "from: \"K, \\\"J\" " AE "  <a@b>\r\n", "from: =?utf-8?Q?K=2C_=22J_=C3=A4?= <a@b>\r\n"},
	{"ascii phrase, address with a comment", "To: \"a\" <a@b> (" AE ")\r\n", "To: \"a\" <a@b> (=?utf-8?Q?=C3=A4?=)\r\n"},
	{"only the comment", "To: a@b (x " AE " (" AE "))\r\n", "To: a@b (x =?utf-8?Q?=C3=A4?= (=?utf-8?Q?=C3=A4?=))\r\n"},
	{"address in brackets", "To: A <" AE "@b>\r\n", "To: =?utf-8?Q?A_=3C=C3=A4=40b=3E?=\r\n " NOBODY "\r\n"},
	{"bare address", "To: " AE "@b\r\n", "To: =?utf-8?Q?=C3=A4=40b?=\r\n " NOBODY "\r\n"},
	{"domain", "To: <a@" AE ">\r\n", "To: =?utf-8?Q?=3Ca=40=C3=A4=3E?=\r\n " NOBODY "\r\n"},
	{"list", "Cc: a@b, " AE " <c@d>,\r\n e@f,x" AE "\r\n",
	    "Cc: a@b, =?utf-8?Q?=C3=A4?= <c@d>,\r\n e@f,=?utf-8?Q?x=C3=A4?=\r\n " NOBODY "\r\n"},
	{"comma in quotes", "Cc: \"a,b" AE "\" <c@d>, e@f\r\n", "Cc: =?utf-8?Q?a=2Cb=C3=A4?= <c@d>, e@f\r\n"},
	{"group", "To: " AE ": a@b, c@d;\r\n", "To: =?utf-8?Q?=C3=A4?=: a@b, c@d;\r\n"},
	{"group of a strange name", "To: x <" AE ">: a@b;\r\n", "To: =?utf-8?Q?x_=3C=C3=A4=3E?=: a@b;\r\n"},
	{"open quote", "To: \"" AE ", <a@b>\r\n", "To: =?utf-8?Q?=C3=A4=2C_=3Ca=40b=3E?=\r\n " NOBODY "\r\n"},
	{"open bracket", "To: x <" AE "\r\n", "To: =?utf-8?Q?x_=3C=C3=A4?=\r\n " NOBODY "\r\n"},
	{"parameter", "Content-Type: text/plain; charset=utf-8;\r\n name=\"a " AE ".txt\"\r\n",
	    "Content-Type: text/plain; charset=utf-8;\r\n name*=utf-8''a%20%C3%A4%2Etxt\r\n"},
	{"parameter, latin 1, unquoted", "Content-Disposition: attachment; filename=\xe4;size=1\r\n",
	    "Content-Disposition: attachment;\r\n filename*=unknown-8bit''%E4;size=1\r\n"},
	{"attribute", "Content-Type: text/plain; x" AE "=1; y=2\r\n", "Content-Type: text/plain; y=2\r\n"},
	{"no value", "Content-Type: text/plain; " AE "; y=2\r\n", "Content-Type: text/plain; y=2\r\n"},
	{"semicolon in quotes", "Content-Type: text/plain; x=\"" AE ";y\"; z=1\r\n", "Content-Type: text/plain;\r\n x*=utf-8''%C3%A4%3By; z=1\r\n"},
	{"left out", "Message-ID: <" AE "@x>\r\nA: b\r\n\r\n", "A: b\r\n\r\n"},
	{"no field", AE ": x\r\nx" AE "\r\nA: b\r\n", "A: b\r\n"},
	{"name that is not ascii", "X" AE ": b\r\nA: b\r\n", "A: b\r\n"},
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = buf_make(1 << 16);

		assert_int_equal(surrogate_header(slice_of(rows[i].in), &out), 0);
		if (!slice_is(buf_slice(&out), slice_of(rows[i].want)))
			fail_msg("%s:\n got  %.*s\n want %s", rows[i].name, (int)out.n, out.p, rows[i].want);
		buf_free(&out);
	}
}

/* A value at PARAM_MAX_BYTES is kept, one past it is left out; a NUL is not ASCII and never comes out. */
static void
test_edges(void **state)
{
	const struct slice nul = SLICE("Subject: a\0b\r\n");
	char in[400];
	struct buf out = buf_make(1 << 16);

	(void)state;
	for (int n = 250; n <= 251; n++) {
		int len = snprintf(in, sizeof(in), "Content-Type: a/b; c=" AE "%0*d\r\n", n - 2, 0);

		buf_clear(&out);
		assert_int_equal(surrogate_header((struct slice){in, (size_t)len}, &out), 0);
		assert_int_equal(memmem(out.p, out.n, "c*=utf-8''", 10) != NULL, n == 250);
	}
	assert_true(surrogate_is_due(nul));
	assert_false(surrogate_is_due(SLICE("\x01\x7f")));
	buf_clear(&out);
	assert_int_equal(surrogate_header(nul, &out), 0);
	assert_true(slice_is(buf_slice(&out), SLICE("Subject: =?unknown-8bit?Q?a=80b?=\r\n")));
	buf_free(&out);
}

/* All ASCII, no empty line where there was none, growth as said; and no room is an error. */
static void
check_rules(struct slice in)
{
	struct buf out = buf_make(in.n * SURROGATE_GROWTH + 100), small;

	assert_int_equal(surrogate_header(in, &out), 0);
	assert_false(surrogate_is_due(buf_slice(&out)));
	assert_true(out.n <= in.n * SURROGATE_GROWTH);
	if (out.n > 0) {
		assert_true(mime_header_bytes(buf_slice(&out)) == out.n);
		small = buf_make(out.n - 1);
		assert_int_equal(surrogate_header(in, &small), -1);
		buf_free(&small);
	}
	buf_free(&out);
}

static void
test_random(void **state)
{
	static const char *const names[] = {"From:", "To: ", "Subject: ", "Content-Type:", "X:", "Date:", "Cc", ""};
	static const char bits[] = "\xc3\xa4\xe4\x80 \t,;:<>()\"\\@=*ab.[]";
	unsigned seed = 4711;
	char in[600];

	(void)state;
	for (int round = 0; round < 30000; round++) {
		size_t n = 0, lines = 1 + (unsigned)rand_r(&seed) % 4;

		while (lines-- > 0) {
			const char *name = names[(unsigned)rand_r(&seed) % 8];
			size_t len = (unsigned)rand_r(&seed) % 60;

			memcpy(in + n, name, strlen(name));
			n += strlen(name);
			while (len-- > 0)
				in[n++] = bits[(unsigned)rand_r(&seed) % (sizeof(bits) - 1)];
			in[n++] = 'x';	/* never an empty line */
			in[n++] = '\r';
			in[n++] = '\n';
		}
		check_rules((struct slice){in, n});
	}
}

/* Bytes repeated to a megabyte in each kind of field: linear. */
static void
test_large(void **state)
{
	static const char *const heads[] = {"Subject: ", "To: ", "Content-Type: a/b;"};
	static const char *const units[] = {AE, AE " ", AE " a ", AE ",", "(", "(" AE, "\"" AE, "<" AE, ";a=" AE, "\\" AE, "a" AE "\r\n "};
	struct timespec a, b;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (size_t h = 0; h < 3; h++) {
		for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
			struct buf in = buf_make(2 << 20);

			buf_add_str(&in, heads[h]);
			while (in.n < 1 << 20)
				buf_add_str(&in, units[u]);
			buf_add_str(&in, "\r\n");
			check_rules(buf_slice(&in));
			buf_free(&in);
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true(b.tv_sec - a.tv_sec < 60);	/* 2 s; quadratic would be hours */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
