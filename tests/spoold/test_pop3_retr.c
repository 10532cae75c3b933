/*
 * spoold/pop3/retr.c: what RETR and TOP give of messages that are not plain: no header's end, no body, NUL, bare LF, lines past the
 * end, long lines, dots at every place; and of messages that are not ASCII, with UTF8 and without (RFC 6856).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "frame.h"
#include "pop3_client.h"

#define AE	"\xc3\xa4"

struct row {
	const char	*name;
	struct slice	 message;
	const char	*command;
	struct slice	 want;		/* the answer */
	bool		 is_utf8;
};

#define S(x)	{x, sizeof(x) - 1}
#define TOPPED	"+OK top of message follows\r\n"

static const struct row rows[] = {
	{"empty", S(""), "RETR 1", S("+OK 2 octets\r\n\r\n.\r\n"), false},
	{"empty, top", S(""), "TOP 1 5", S(TOPPED "\r\n.\r\n"), false},
	{"only an empty line", S("\r\n"), "RETR 1", S("+OK 2 octets\r\n\r\n.\r\n"), false},
	{"no body", S("A: b\r\n\r\n"), "RETR 1", S("+OK 8 octets\r\nA: b\r\n\r\n.\r\n"), false},
	{"no body, top", S("A: b\r\n\r\n"), "TOP 1 5", S(TOPPED "A: b\r\n\r\n.\r\n"), false},
	{"no header's end", S("A: b\r\n"), "RETR 1", S("+OK 8 octets\r\nA: b\r\n\r\n.\r\n"), false},
	{"no line's end", S("A: b"), "RETR 1", S("+OK 8 octets\r\nA: b\r\n\r\n.\r\n"), false},
	{"no line's end, top", S("A: b"), "TOP 1 0", S(TOPPED "A: b\r\n\r\n.\r\n"), false},
	{"no header", S("\r\nx\r\ny\r\n"), "TOP 1 1", S(TOPPED "\r\nx\r\n.\r\n"), false},
	{"exactly the lines", S("A: b\r\n\r\nx\r\ny\r\n"), "TOP 1 2", S(TOPPED "A: b\r\n\r\nx\r\ny\r\n.\r\n"), false},
	{"past the lines", S("A: b\r\n\r\nx\r\ny\r\n"), "TOP 1 3", S(TOPPED "A: b\r\n\r\nx\r\ny\r\n.\r\n"), false},
	{"empty lines count", S("A: b\r\n\r\n\r\n\r\ny\r\n"), "TOP 1 2", S(TOPPED "A: b\r\n\r\n\r\n\r\n.\r\n"), false},
	{"open last line", S("A: b\r\n\r\nx\r\ny"), "TOP 1 2", S(TOPPED "A: b\r\n\r\nx\r\ny\r\n.\r\n"), false},
	{"dots", S(".: b\r\n\r\n.\r\n..\r\nx.\r\n.y"), "TOP 1 9", S(TOPPED "..: b\r\n\r\n..\r\n...\r\nx.\r\n..y\r\n.\r\n"), false},
	{"dot after LF alone", S("A: b\n\n.\nx\n"), "TOP 1 1", S(TOPPED "A: b\r\n\r\n..\r\n.\r\n"), false},
	{"CR alone", S("A: b\r\n\r\nx\ry\r\n"), "TOP 1 1", S(TOPPED "A: b\r\n\r\nx\r\ny\r\n.\r\n"), false},
	{"NUL", S("A: b\r\n\r\n\0x\0\r\n"), "RETR 1", S("+OK 13 octets\r\nA: b\r\n\r\n\200x\200\r\n.\r\n"), false},
	{"NUL, top", S("A: b\r\n\r\n\0\r\n"), "TOP 1 1", S(TOPPED "A: b\r\n\r\n\200\r\n.\r\n"), false},
	{"NUL, UTF8", S("A: \0\r\n\r\n\0\r\n"), "RETR 1", S("+OK 11 octets\r\nA: \200\r\n\r\n\200\r\n.\r\n"), true},
	{"NUL in the header", S("A: \0\r\n\r\n\0\r\n"), "RETR 1",
	    S("+OK 32 octets\r\nA: =?unknown-8bit?Q?=80?=\r\n\r\n\200\r\n.\r\n"), false},
	{"8 bit in the body alone", S("A: b\r\n\r\n" AE "\r\n"), "RETR 1", S("+OK 12 octets\r\nA: b\r\n\r\n" AE "\r\n.\r\n"), false},
	{"UTF-8 header", S("A: " AE "\r\nB: c\r\n\r\n" AE "\r\n"), "RETR 1",
	    S("+OK 35 octets\r\nA: =?utf-8?Q?=C3=A4?=\r\nB: c\r\n\r\n" AE "\r\n.\r\n"), false},
	{"UTF-8 header, UTF8", S("A: " AE "\r\nB: c\r\n\r\n" AE "\r\n"), "RETR 1",
	    S("+OK 19 octets\r\nA: " AE "\r\nB: c\r\n\r\n" AE "\r\n.\r\n"), true},
	{"UTF-8 header, top", S("A: " AE "\r\n\r\nx\r\ny\r\n"), "TOP 1 1",
	    S(TOPPED "A: =?utf-8?Q?=C3=A4?=\r\n\r\nx\r\n.\r\n"), false},
	{"UTF-8 header that nothing ends", S("A: " AE), "RETR 1", S("+OK 25 octets\r\nA: =?utf-8?Q?=C3=A4?=\r\n\r\n.\r\n"), false},
	{"UTF-8 header that nothing ends, UTF8", S("A: " AE), "RETR 1", S("+OK 9 octets\r\nA: " AE "\r\n\r\n.\r\n"), true},
	{"a part's header", S("Content-Type: multipart/mixed; boundary=x\r\n\r\n" AE "\r\n--x\r\nA: " AE "\r\n\r\n" AE "\r\n--x\r\n"
	    "Content-Type: message/rfc822\r\n\r\nSubject: " AE "\r\n\r\n.\r\n--x--\r\n"), "RETR 1",
	    S("+OK 161 octets\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" AE "\r\n--x\r\nA: =?utf-8?Q?=C3=A4?=\r\n\r\n" AE "\r\n--x\r\n"
	    "Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?Q?=C3=A4?=\r\n\r\n..\r\n--x--\r\n.\r\n"), false},
	{"a part's header, top before it", S("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nA: " AE "\r\n\r\ny\r\n--x--\r\n"),
	    "TOP 1 1", S(TOPPED "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n.\r\n"), false},
	{"a part's header, top in it", S("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nA: " AE "\r\n\r\ny\r\n--x--\r\n"),
	    "TOP 1 2", S(TOPPED "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nA: =?utf-8?Q?=C3=A4?=\r\n.\r\n"), false},
};

/* One message, one command, parked before it. */
static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		char line[64];
		struct spool sp;
		struct lot1 l;

		spool_make(&sp);
		sp.is_utf8 = r->is_utf8;
		spool_add(&sp, r->message);
		assert_true(lot1_open(&l, &sp));
		buf_clear(&l.said);
		snprintf(line, sizeof(line), "%s\r\n", r->command);
		assert_true(lot1_say(&l, slice_of(line)));
		if (!slice_is(buf_slice(&l.said), r->want))
			fail_msg("%s:\n got  %.*s\n want %.*s", r->name, (int)l.said.n, l.said.p, (int)r->want.n, r->want.p);
		assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
		buf_free(&l.said);
		spool_free(&sp);
	}
}

/* What RETR announces is what comes, dots unstuffed: whatever the message, over pieces. */
static void
announced(struct slice message, bool is_utf8)
{
	struct buf got = buf_make(32 << 20);
	struct frame_dot dot = {.state = DOT_BOL};
	struct spool sp;
	struct lot1 l;
	unsigned long long octets;
	size_t head, used;

	spool_make(&sp);
	sp.is_utf8 = is_utf8;
	spool_add(&sp, message);
	assert_true(lot1_open(&l, &sp));
	buf_clear(&l.said);
	assert_true(lot1_say(&l, SLICE("RETR 1\r\n")));
	assert_int_equal(sscanf(l.said.p, "+OK %llu octets", &octets), 1);
	head = (size_t)((char *)memchr(l.said.p, '\n', l.said.n) - l.said.p) + 1;
	assert_int_equal(frame_dot(&dot, (struct slice){l.said.p + head, l.said.n - head}, &used, &got), PARSE_OK);
	assert_int_equal(head + used, l.said.n);
	assert_int_equal(got.n, octets);
	if (is_utf8)
		assert_true(slice_is(buf_slice(&got), message));
	assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
	buf_free(&l.said);
	buf_free(&got);
	spool_free(&sp);
}

static void
test_large(void **state)
{
	struct buf m = buf_make(4 << 20);

	(void)state;
	buf_add_str(&m, "Content-Type: multipart/mixed; boundary=x\r\n");
	while (m.n < 100000)
		buf_addf(&m, "X-%zu: .\r\n .y" AE "\r\n", m.n);
	buf_add_str(&m, "\r\n");
	while (m.n < 500000)
		buf_addf(&m, "--x\r\nContent-Type: text/plain; name=\"" AE "%zu\"\r\n\r\n.\r\n.." AE "\r\n", m.n);
	buf_add_str(&m, "--x--\r\n");
	announced(buf_slice(&m), false);
	announced(buf_slice(&m), true);
	buf_clear(&m);
	buf_add_str(&m, "A: b\r\n\r\n");
	while (m.n < 200000)
		buf_add_str(&m, ".xxxxxxxxx");	/* one line */
	buf_add_str(&m, "\r\n");
	announced(buf_slice(&m), false);
	buf_free(&m);
}

/* Only a message read whole becomes \Seen; TOP is a look. */
static void
test_seen(void **state)
{
	struct spool sp;
	struct lot1 l;
	char left[100];

	(void)state;
	spool_make(&sp);
	for (int i = 0; i < 3; i++)
		spool_add(&sp, SLICE("A: b\r\n\r\nx\r\n"));
	assert_true(lot1_open(&l, &sp));
	assert_true(lot1_say(&l, SLICE("RETR 2\r\nTOP 3 9\r\n")));
	assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
	buf_free(&l.said);
	spool_list(&sp, left, sizeof(left));
	assert_string_equal(left, "1 2+ 3 ");
	spool_free(&sp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_large), cmocka_unit_test(test_seen)};

	log_init("test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
