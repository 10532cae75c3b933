/*
 * PREVIEW's text (RFC 8970 3.3) against a table; its limit of characters; hostile messages against the clock.
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

#define HTML	"Content-Type: text/html\r\n\r\n"
#define UTF8	"Content-Type: text/plain; charset=utf-8\r\n\r\n"
#define MULTI	"Content-Type: multipart/mixed; boundary=X\r\n\r\n"

static void
preview_check(const char *name, struct slice msg, const char *want)
{
	struct arena arena = arena_make(64 << 20);
	struct buf out = buf_make(4 * MIME_PREVIEW_MAX_CHARS);
	struct mime_part *root = mime_parse(msg, &arena);

	assert_non_null(root);
	assert_int_equal(mime_preview(msg, root, &out), 0);
	if (!slice_is(buf_slice(&out), slice_of(want)))
		fail_msg("%s: got \"%.*s\"", name, (int)out.n, out.n > 0 ? out.p : "");
	buf_free(&out);
	arena_free(&arena);
}

static void
test_table(void **state)
{
	static const struct { const char *name, *msg, *want; } rows[] = {
		{"plain", "Subject: x\r\n\r\nHello Bob.\r\n\r\nHow  are\tyou?\r\n", "Hello Bob. How are you?"},
		{"nothing", "Subject: x\r\n\r\n", ""}, {"white space", "A: b\r\n\r\n \r\n\t\r\n", ""},
		{"no header", "", ""}, {"case is kept", "A: b\r\n\r\nABC \r\nDef", "ABC Def"},
		{"controls", "A: b\r\n\r\na\x01" "b\x1b[0mc\x7f" "d\r\n", "a b [0mc d"},
		{"utf-8", UTF8 "w\xc3\xb6rld \xe2\x82\xac \xf0\x9f\x98\x80", "w\xc3\xb6rld \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"broken utf-8", UTF8 "a\xc3(\xff", "a\xef\xbf\xbd(\xef\xbf\xbd"},
		{"accents stay", UTF8 "e\xcc\x81 \xc3\x89", "e\xcc\x81 \xc3\x89"},
		{"no width", UTF8 "a\xe2\x80\x8b" "b\xef\xbb\xbf" "c\xc2\xad" "d\xcd\x8f" "e", "abcde"},
		{"direction", UTF8 "a\xe2\x80\xae" "b\xe2\x81\xa7" "c", "abc"},
		{"no-break and wide spaces", UTF8 "a\xc2\xa0" "b\xe3\x80\x80\xe2\x80\x83" "c", "a b c"},
		{"joiners", UTF8 "\xe2\x80\x8c" "a\xe2\x80\x8d" "b \xe2\x80\x8c \xe2\x80\x8c" "c", "a\xe2\x80\x8d" "b c"},
		{"latin 1", "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nf=FCr=\r\n dich", "f\xc3\xbcr dich"},
		{"base64", "Content-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: BASE64\r\n\r\nSABpAA==\r\n", "Hi"},
		{"iso-2022-jp", "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B$3$s\x1b(B!\r\n", "\xe3\x81\x93\xe3\x82\x93!"},
		{"unknown encoding", "Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n", ""},
		{"image", "Content-Type: image/png\r\n\r\nPNG", ""},
		{"first plain", MULTI "preamble\r\n--X\r\n\r\none\r\n--X\r\n\r\ntwo\r\n--X--\r\n", "one"},
		{"empty one first", MULTI "--X\r\n\r\n \r\n--X\r\nContent-Type: text/html\r\n\r\n<p>two</p>\r\n--X--\r\n", "two"},
		{"attachment first", MULTI "--X\r\nContent-Disposition: attachment; filename=x\r\n\r\none\r\n--X\r\n\r\ntwo\r\n--X--\r\n", "two"},
		{"encrypted", "Content-Type: multipart/encrypted; boundary=X\r\n\r\n--X\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--X\r\n"
		    "Content-Type: application/octet-stream\r\n\r\nxx\r\n--X--\r\n", ""},
		{"forwarded", "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n", "inner text"},
		{"tags", HTML "<html><body>Hello <b>B</b>ob,<br>how<p>are</p>you</body></html>", "Hello Bob, how are you"},
		{"hidden", HTML "<title>T</title><STYLE type=x>p { color: red }</STYLE><script>if (a<b) x = \"</p>\";</script>text", "text"},
		{"style in a tag-like string", HTML "<style>a:after{content:\"<b\"}</style>seen", "seen"},
		{"comment", HTML "a<!-- no > -- x --->b<!-->c<!doctype html>d<?x?>e", "abcde"},
		{"attributes", HTML "<a href=\"x>y\" title='\"'>link</a><img alt=x>", "link"},
		{"entities", HTML "a&amp;b &lt;i&gt; &Auml;&auml; &#233;&#xE9;&#XE9; &nbsp;&euro; &hellip;", "a&b <i> \xc3\x84\xc3\xa4 \xc3\xa9\xc3\xa9\xc3\xa9 \xe2\x82\xac \xe2\x80\xa6"},
		{"no entities", HTML "a & b &unknown; &#0; &#xd800; &#9999999999; &amp", "a & b &unknown; &#0; &#xd800; &#9999999999; &"},
		{"long entity", HTML "&abcdefghijklmnopqrst;x", "&abcdefghijklmnopqrst;x"},
		{"no tag", HTML "1 < 2 </ 3 <4>", "1 < 2 </ 3 <4>"},
		{"plain is no html", "A: b\r\n\r\n<b>&amp;", "<b>&amp;"},
		{"preheader padding", HTML "Sale!<div>&nbsp;&zwnj;&nbsp;&zwnj;&nbsp;</div>Now", "Sale! Now"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		preview_check(rows[i].name, slice_of(rows[i].msg), rows[i].want);
}

/* n times a character of two bytes, with words of `word` of them. */
static void
limit_check(const char *name, size_t n, size_t word, size_t want_chars)
{
	struct buf msg = buf_make(65536), want = buf_make(65536);
	size_t chars = 0;

	(void)buf_add_str(&msg, UTF8);
	for (size_t i = 0; i < n; i++) {
		bool spaced = i > 0 && i % word == 0;

		(void)buf_add_str(&msg, spaced ? "  \xc3\xa4" : "\xc3\xa4");
		if (chars + spaced + 1 <= want_chars) {
			(void)buf_add_str(&want, spaced ? " \xc3\xa4" : "\xc3\xa4");
			chars += 1 + (size_t)spaced;
		}
	}
	assert_int_equal(chars, want_chars);
	(void)buf_add(&want, "", 1);
	preview_check(name, buf_slice(&msg), want.p);
	buf_free(&msg);
	buf_free(&want);
}

static void
test_limit(void **state)
{
	(void)state;
	limit_check("at the limit", MIME_PREVIEW_MAX_CHARS, 1000, MIME_PREVIEW_MAX_CHARS);
	limit_check("one past", MIME_PREVIEW_MAX_CHARS + 1, 1000, MIME_PREVIEW_MAX_CHARS);
	limit_check("a space at the limit", MIME_PREVIEW_MAX_CHARS, MIME_PREVIEW_MAX_CHARS - 1, MIME_PREVIEW_MAX_CHARS - 1);
	limit_check("words", 1000, 4, MIME_PREVIEW_MAX_CHARS - 1);
}

/* A word as the last of so many bytes of a body. */
static void
input_check(const char *name, size_t bytes, const char *want)
{
	struct buf msg = buf_make(1 << 20);

	(void)buf_add_str(&msg, HTML "<!--");
	for (size_t i = 4; i < bytes - 4; i++)
		(void)buf_add(&msg, "x", 1);
	(void)buf_add_str(&msg, "-->y");
	preview_check(name, buf_slice(&msg), want);
	buf_free(&msg);
}

static void
test_input_limit(void **state)
{
	(void)state;
	input_check("at the limit", 256 * 1024, "y");
	input_check("one past", 256 * 1024 + 1, "");
}

/* Megabytes of what gives no text take no longer than what is read of them. */
static void
test_hostile(void **state)
{
	static const char *const units[] = {"<", "<!--", "&", "<a b=\"", "</style", " ", "\xe2\x80\x8b", "&#", "<style>", "=\r\n", "\xff"};

	(void)state;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct buf msg = buf_make(64 << 20), out = buf_make(4 * MIME_PREVIEW_MAX_CHARS);
		struct arena arena = arena_make(64 << 20);
		struct mime_part *root;
		clock_t start;

		(void)buf_add_str(&msg, MULTI);
		for (int part = 0; part < 100; part++) {
			(void)buf_add_str(&msg, "\r\n--X\r\n" HTML "<style>");
			for (size_t n = 0; n < 50000; n += strlen(units[i]))
				(void)buf_add_str(&msg, units[i]);
		}
		root = mime_parse(buf_slice(&msg), &arena);
		assert_non_null(root);
		start = clock();
		assert_int_equal(mime_preview(buf_slice(&msg), root, &out), 0);
		if (clock() - start > CLOCKS_PER_SEC / 2)
			fail_msg("%s: too long", units[i]);
		buf_free(&msg);
		buf_free(&out);
		arena_free(&arena);
	}
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_table), cmocka_unit_test(test_limit), cmocka_unit_test(test_input_limit), cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
