/*
 * BINARY (RFC 3516): decoded sections, whole and in part, as string or literal8; sizes that are those of the data; and what
 * APPEND makes of a literal8.
 */
#include "imap_transcript.h"
#include "mime/mime.h"

/* 1: quoted-printable, 2: base64 with a NUL, 3: base64 without, 4: an encoding of nobody, 5: a message, 6: nothing in it. */
#define PARTS	"Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=X\r\n\r\n" \
		"--X\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\na=3Db=\r\nc =E4\r\n" \
		"--X\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nYWIA\r\nY2Q=\r\n" \
		"--X\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8gd29ybGQ=\r\n" \
		"--X\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n" \
		"--X\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nContent-Transfer-Encoding: base64\r\n\r\naGk=\r\n" \
		"--X\r\nContent-Transfer-Encoding: base64\r\n\r\n\r\n--X--\r\n"

static void
test_fetch(void **state)
{
	static const struct step	steps[] = {
		{"a SELECT INBOX\r\n", "~a OK ~\r\n"},
		{"a FETCH 1 BINARY.PEEK[1]\r\n", "* 1 FETCH (BINARY[1] {6}\r\na=bc \xe4)\r\na OK ~\r\n"},
		{"a FETCH 1 (BINARY.SIZE[1] BINARY.SIZE[2] BINARY.SIZE[3] BINARY.SIZE[5] BINARY.SIZE[6] BINARY.SIZE[7])\r\n",
		    "* 1 FETCH (BINARY.SIZE[1] 6 BINARY.SIZE[2] 5 BINARY.SIZE[3] 11 BINARY.SIZE[5] 41 BINARY.SIZE[6] 0 BINARY.SIZE[7] 0)\r\na OK ~\r\n"},
		{"a FETCH 1 (UID BINARY.PEEK[3] BINARY.PEEK[6] BINARY.PEEK[7])\r\n",
		    "* 1 FETCH (UID 1 BINARY[3] {11}\r\nhello world BINARY[6] {0}\r\n BINARY[7] NIL)\r\na OK ~\r\n"},
		/* Parts count what is decoded. */
		{"a FETCH 1 (BINARY.PEEK[3]<6.3> BINARY.PEEK[3]<6.300> BINARY.PEEK[3]<11.1> BINARY.PEEK[3]<99.1>)\r\n",
		    "* 1 FETCH (BINARY[3]<6> {3}\r\nwor BINARY[3]<6> {5}\r\nworld BINARY[3]<11> {0}\r\n BINARY[3]<99> {0}\r\n)\r\na OK ~\r\n"},
		/* A message in it, and a multipart, stand as they are; what is inside is decoded. */
		{"a FETCH 1 (BINARY.PEEK[5] BINARY.PEEK[5.1])\r\n",
		    "* 1 FETCH (BINARY[5] {41}\r\nContent-Transfer-Encoding: base64\r\n\r\naGk= BINARY[5.1] {2}\r\nhi)\r\na OK ~\r\n"},
		/* The whole message is no encoded part. */
		{"a FETCH 2 (BINARY.SIZE[] BINARY.PEEK[]<0.9> BINARY.PEEK[1])\r\n",
		    "* 2 FETCH (BINARY.SIZE[] 45 BINARY[]<0> {9}\r\nContent-T BINARY[1] {4}\r\nwhat)\r\na OK ~\r\n"},
		{"a FETCH 1:2 (BINARY.PEEK[4])\r\n", "* 2 FETCH (BINARY[4] NIL)\r\na NO [UNKNOWN-CTE] ~\r\n"}, {"a FETCH 1 BINARY.SIZE[4]\r\n", "a NO [UNKNOWN-CTE] ~\r\n"},
		{"a FETCH 1 FLAGS\r\n", "* 1 FETCH (FLAGS (\\Recent))\r\na OK ~\r\n"},
		{"a FETCH 1 BINARY[3]\r\n", "* 1 FETCH (BINARY[3] {11}\r\nhello world FLAGS (\\Seen \\Recent))\r\na OK ~\r\n"},
		{"a FETCH 1 BINARY\r\n", "a BAD ~\r\n"}, {"a FETCH 1 BINARY[1.MIME]\r\n", "a BAD ~\r\n"}, {"a FETCH 1 BINARY[HEADER]\r\n", "a BAD ~\r\n"},
		{"a FETCH 1 BINARY.SIZE[1]<0.1>\r\n", "a BAD ~\r\n"}, {"a FETCH 1 BINARY.SIZE\r\n", "a BAD ~\r\n"}, {"a FETCH 1 BINARY[1]<1>\r\n", "a BAD ~\r\n"},
		{"a FETCH 1 BINARY[0]\r\n", "a BAD ~\r\n"}, {"a FETCH 1 BINARY.PEEK\r\n", "a BAD ~\r\n"},
		{"a FETCH 1 BINARY.PEEK[3]<4294967295.4294967295>\r\n", "* 1 FETCH (BINARY[3]<4294967295> {0}\r\n)\r\na OK ~\r\n"},
		{"a FETCH 1 BINARY.PEEK[3]<0.0>\r\n", "a BAD ~\r\n"},
	};
	#define WANT(text)	text, sizeof(text) - 1
	static const struct { const char *send, *want; size_t n; } nul[] = {
		{"a FETCH 1 BINARY.PEEK[2]\r\n", WANT("* 1 FETCH (BINARY[2] ~{5}\r\nab\0cd)\r\na OK FETCH completed\r\n")},
		{"a FETCH 1 BINARY.PEEK[2]<2.2>\r\n", WANT("* 1 FETCH (BINARY[2]<2> ~{2}\r\n\0c)\r\na OK FETCH completed\r\n")},
		{"a FETCH 1 BINARY.PEEK[2]<0.2>\r\n", WANT("* 1 FETCH (BINARY[2]<0> {2}\r\nab)\r\na OK FETCH completed\r\n")},
		{"a FETCH 1 BINARY.PEEK[2]<3.9>\r\n", WANT("* 1 FETCH (BINARY[2]<3> {2}\r\ncd)\r\na OK FETCH completed\r\n")},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "binary"), 0);
	append(&c, "INBOX", "", PARTS);
	append(&c, "INBOX", "", "Content-Transfer-Encoding: base64\r\n\r\nd2hhdA==");
	STEPS(&c, steps);
	for (size_t i = 0; i < sizeof(nul) / sizeof(nul[0]); i++) {
		struct buf	got = buf_make(65536);

		client_send(&c, slice_of(nul[i].send), 0, 0);
		if (!slice_is(client_take(&c, &got), (struct slice){nul[i].want, nul[i].n}))
			fail_msg("%s: got %.*s", nul[i].send, (int)got.n, got.p);
		buf_free(&got);
	}
	client_close(&c);
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* n bytes in base64, n a multiple of 3, lines of 76 characters. */
static void
base64_add(struct buf *b, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i += 3) {
		unsigned	v = (unsigned)(unsigned char)bytes[i] << 16 | (unsigned)(unsigned char)bytes[i + 1] << 8 | (unsigned char)bytes[i + 2];
		char		four[4];

		for (int k = 0; k < 4; k++)
			four[k] = alphabet[v >> (18 - 6 * k) & 63];
		(void)buf_add(b, four, 4);
		if (i % 57 == 54)
			(void)buf_add(b, "\r\n", 2);
	}
}

/* Larger than a piece, than what goes into the text, and the same around the borders of pieces. */
static void
test_large(void **state)
{
	enum { N = 3 * 100000 };
	static const uint32_t	parts[][2] = {{0, N}, {0, 12287}, {12286, 3}, {12288, 100}, {N - 1, 5}, {5, 16384}, {5, 16385}, {100000, 100000}};
	struct buf		data = buf_make(N), message = buf_make(1 << 20), command = buf_make(1 << 20), want = buf_make(1 << 20), got = buf_make(1 << 20);
	struct client		c;

	(void)state;
	assert_int_equal(client_begin(&c, "largebinary"), 0);
	(void)buf_room(&data, N);
	for (data.n = 0; data.n < N; data.n++)
		data.p[data.n] = (char)(data.n * 7 % 251 + 1);
	data.p[N - 1] = '\0';	/* at the very end */
	(void)buf_add_str(&message, "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n");
	base64_add(&message, data.p, N);
	(void)buf_addf(&command, "a APPEND INBOX {%zu+}\r\n", message.n);
	(void)buf_add_slice(&command, buf_slice(&message));
	(void)buf_add_str(&command, "\r\nb EXAMINE INBOX\r\nc FETCH 1 BINARY.SIZE[1]\r\n");
	client_send(&c, buf_slice(&command), 0, 0);
	got_check("large", "APPEND", &c, "a OK ~b OK ~* 1 FETCH (BINARY.SIZE[1] 300000)\r\nc OK ~");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t	at = parts[i][0], n = N - at < parts[i][1] ? N - at : parts[i][1];

		buf_clear(&command);
		buf_clear(&want);
		(void)buf_addf(&command, "a FETCH 1 (UID BINARY.PEEK[1]<%u.%u> RFC822.SIZE)\r\n", parts[i][0], parts[i][1]);
		(void)buf_addf(&want, "* 1 FETCH (UID 1 BINARY[1]<%u> %s{%zu}\r\n", parts[i][0], at + n == N ? "~" : "", n);
		(void)buf_add(&want, data.p + at, n);
		(void)buf_addf(&want, " RFC822.SIZE %zu)\r\na OK FETCH completed\r\n", message.n);
		client_send(&c, buf_slice(&command), 0, 0);
		if (!slice_is(client_take(&c, &got), buf_slice(&want)))
			fail_msg("<%u.%u>: other bytes", parts[i][0], parts[i][1]);
	}
	client_close(&c);
	for (struct buf **b = (struct buf *[]){&data, &message, &command, &want, &got, NULL}; *b != NULL; b++)
		buf_free(*b);
}

static void
test_append(void **state)
{
	static const struct { const char *send; size_t n; const char *want; } steps[] = {
#define SEND(text)	text, sizeof(text) - 1
		{SEND("a APPEND INBOX ~{7}\r\na: b\r\n\r\r\n"), "+ Go on\r\na NO [UNKNOWN-CTE] ~\r\n"},
		{SEND("a APPEND INBOX ~{7+}\r\na: b\0\r\n\r\n"), "a NO [UNKNOWN-CTE] ~\r\n"},
		{SEND("a APPEND INBOX ~{7+}\r\na: b\nc \r\n"), "a NO [UNKNOWN-CTE] ~\r\n"},
		{SEND("a APPEND INBOX ~{7+}\r\na: b\r\n\r\r\n"), "a NO [UNKNOWN-CTE] ~\r\n"},
		{SEND("a APPEND INBOX ~{7+}\r\na: b\rc \r\n"), "a NO [UNKNOWN-CTE] ~\r\n"},
		{SEND("a APPEND INBOX {3+}\r\nabc ~{3+}\r\na\nb {3+}\r\nabc\r\nb NOOP\r\n"), "a NO [UNKNOWN-CTE] ~\r\nb OK ~\r\n"},
		{SEND("a APPEND INBOX (\\Seen) ~{8}\r\na: b\r\n\r\n\r\n"), "+ Go on\r\na OK [APPENDUID ~ 1] ~\r\n"},
		/* A header that is not ASCII needs it (RFC 6855 4). */
		{SEND("e ENABLE UTF8=ACCEPT\r\n"), "* ENABLED UTF8=ACCEPT\r\ne OK ~\r\n"},
		{SEND("a APPEND INBOX ~{3+}\r\na\xc3\xa4 {3+}\r\na\nb ~{2}\r\nab\r\n"), "+ Go on\r\na OK [APPENDUID ~ 2:4] ~\r\n"},
		/* Nothing but a message may be one. */
		{SEND("a CREATE ~{1}\r\n"), "a BAD ~\r\n"}, {SEND("a APPEND ~{5+}\r\nINBOX {3+}\r\nabc\r\n"), "a BAD ~\r\n"},
		{SEND("a EXAMINE INBOX\r\n"), "~* 4 EXISTS\r\n~a OK ~\r\n"},
		{SEND("a FETCH 1:3 BODY[]\r\n"), "* 1 FETCH (BODY[] {8}\r\na: b\r\n\r\n)\r\n* 2 FETCH (BODY[] {3}\r\na\xc3\xa4)\r\n* 3 FETCH (BODY[] {4}\r\na\r\nb)\r\na OK ~\r\n"},
	};
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "appendbinary"), 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		client_send(&c, (struct slice){steps[i].send, steps[i].n}, 0, 0);
		got_check("append", steps[i].send, &c, steps[i].want);
	}
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_fetch), cmocka_unit_test(test_large), cmocka_unit_test(test_append),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
