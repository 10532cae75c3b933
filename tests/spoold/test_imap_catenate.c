/*
 * CATENATE (RFC 4469): messages made of literals and of what is here already; URLs that name nothing, or would not be harmless in an
 * answer; the limits on parts and bytes.
 */
#include "imap_transcript.h"
#include "imap/imap.h"
#include "imap/url.h"

#define B	"------------030308070208000400050907"
#define DRAFT	"Subject: draft\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"----------030308070208000400050907\"\r\n\r\n" \
		B "\r\nContent-Type: text/plain\r\n\r\nSee the zip.\r\n" B "\r\nContent-Type: application/x-zip-compressed\r\n\r\nPK\r\n" B "--\r\n"
#define DRAFT_HEADER	"Subject: draft\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"----------030308070208000400050907\"\r\n\r\n"

/* A command with the mailbox's UIDVALIDITY for each %u, at most four. */
static void
validity_send(struct client *c, unsigned v, const char *fmt, const char *want_fmt)
{
	char	send[2048], want[2048];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(send, sizeof(send), fmt, v, v, v, v);
	(void)snprintf(want, sizeof(want), want_fmt, v, v, v, v);
#pragma GCC diagnostic pop
	client_send(c, slice_of(send), 0, 0);
	got_check("catenate", send, c, want);
}

static unsigned
validity_of(struct client *c)
{
	struct buf	got = buf_make(65536);
	unsigned	v = 0;

	client_send(c, SLICE("v STATUS Drafts (UIDVALIDITY)\r\n"), 0, 0);
	(void)client_take(c, &got);
	(void)buf_add(&got, "", 1);
	assert_int_equal(sscanf(got.p, "* STATUS \"Drafts\" (UIDVALIDITY %u)", &v), 1);
	buf_free(&got);
	return v;
}

/* RFC 4469's first example: another attachment, and nothing downloaded. */
static void
test_examples(void **state)
{
	struct client	c;
	unsigned	v;

	(void)state;
	assert_int_equal(client_begin(&c, "catenate"), 0);
	append(&c, "Drafts", "", DRAFT);
	append(&c, "Drafts", "", "Content-Type: image/png\r\n\r\nPNG");
	v = validity_of(&c);
	validity_send(&c, v, "A003 APPEND Drafts (\\Seen \\Draft $MDNSent) CATENATE (URL \"/Drafts;UIDVALIDITY=%u/;UID=1/;section=HEADER\" TEXT {40}\r\n"
	    "\r\n" B "\r\n"
	    " URL \"/Drafts;UIDVALIDITY=%u/;UID=1/;section=1.MIME\" URL \"/Drafts;UIDVALIDITY=%u/;UID=1/;section=1\" TEXT {40}\r\n"
	    "\r\n" B "\r\n"
	    " URL \"/Drafts;UIDVALIDITY=%u/;UID=2\" TEXT {42}\r\n"
	    "\r\n" B "--\r\n"
	    ")\r\n", "+ Go on\r\n+ Go on\r\n+ Go on\r\nA003 OK [APPENDUID %u 3] APPEND completed\r\n");
	DO(c, "a SELECT Drafts\r\n", "~* 3 EXISTS\r\n~a OK ~");
	DO(c, "a FETCH 3 (FLAGS BODY.PEEK[])\r\n", "* 3 FETCH (FLAGS (\\Seen \\Draft $MDNSent \\Recent) BODY[] {~}\r\n" DRAFT_HEADER
	    "\r\n" B "\r\nContent-Type: text/plain\r\n\r\nSee the zip.\r\n" B "\r\nContent-Type: image/png\r\n\r\nPNG\r\n" B "--\r\n)\r\na OK ~");
	/* The sources are not \Seen by it (RFC 4469 3). */
	DO(c, "a FETCH 1:2 FLAGS\r\n", "* 1 FETCH (FLAGS (\\Recent))\r\n* 2 FETCH (FLAGS (\\Recent))\r\na OK ~");
	client_close(&c);
}

static void
test_parts(void **state)
{
	static const struct step	steps[] = {
		/* No literal at all; percent signs, PARTIAL, case, the whole and the fields of a header. */
		{"a APPEND INBOX CATENATE (URL /INBOX/;UID=1)\r\n", "a OK [APPENDUID ~ 2] ~"},
		{"a APPEND INBOX CATENATE (URL \"/%49nbox/;uid=1/;Section=HEADER.FIELDS%20(Subject)\")\r\n", "a OK [APPENDUID ~ 3] ~"},
		{"a APPEND INBOX CATENATE (URL /INBOX/;UID=1/;SECTION=TEXT/;PARTIAL=1.3 URL /INBOX/;UID=1/;SECTION=TEXT/;PARTIAL=6)\r\n", "a OK [APPENDUID ~ 4] ~"},
		{"a APPEND INBOX CATENATE (URL {14+}\r\n/INBOX/;UID=1/ TEXT {1+}\r\nx)\r\n", "a NO [BADURL \"/INBOX/;UID=1/\"] ~"},
		{"a APPEND INBOX CATENATE (URL {13}\r\n/INBOX/;UID=4 TEXT {0+}\r\n TEXT {1+}\r\nx)\r\n", "+ Go on\r\na OK [APPENDUID ~ 5] ~"},
		/* With MULTIAPPEND, each its own flags. */
		{"a APPEND INBOX (\\Seen) CATENATE (TEXT {1+}\r\na TEXT {1+}\r\nb) (\\Draft) {2+}\r\ncd CATENATE (TEXT {1}\r\ne URL /INBOX/;UID=5)\r\n", "+ Go on\r\na OK [APPENDUID ~ 6:8] ~"},
		/* A CR and its LF in two parts are one line end, at the message's end the CR is completed. */
		{"a APPEND INBOX CATENATE (TEXT {2+}\r\na\r TEXT {2+}\r\n\nb TEXT {2+}\r\nc\r)\r\n", "a OK [APPENDUID ~ 9] ~"},
		{"a SELECT INBOX\r\n", "~* 9 EXISTS\r\n~a OK ~"},
		{"a FETCH 2:3 BODY.PEEK[]\r\n", "* 2 FETCH (BODY[] {" PLAIN_N "}\r\n" PLAIN ")\r\n* 3 FETCH (BODY[] {41}\r\nSubject: hello =?utf-8?q?w=C3=B6rld?=\r\n\r\n)\r\na OK ~"},
		{"a FETCH 4:9 (FLAGS BODY.PEEK[])\r\n", "* 4 FETCH (FLAGS (\\Recent) BODY[] {9}\r\nellBob.\r\n)\r\n* 5 FETCH (FLAGS (\\Recent) BODY[] {10}\r\nellBob.\r\nx)\r\n"
		    "* 6 FETCH (FLAGS (\\Seen \\Recent) BODY[] {2}\r\nab)\r\n* 7 FETCH (FLAGS (\\Draft \\Recent) BODY[] {2}\r\ncd)\r\n"
		    "* 8 FETCH (FLAGS (\\Recent) BODY[] {11}\r\neellBob.\r\nx)\r\n* 9 FETCH (FLAGS (\\Recent) BODY[] {7}\r\na\r\nbc\r\n)\r\na OK ~"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "catparts"), 0);
	append(&c, "INBOX", "", PLAIN);
	STEPS(&c, steps);
	client_close(&c);
}

static void
test_bad(void **state)
{
	static const struct step	steps[] = {
		{"a APPEND INBOX CATENATE (URL /INBOX/;UID=2)\r\n", "a NO [BADURL \"/INBOX/;UID=2\"] ~"}, {"a APPEND INBOX CATENATE (URL /nope/;UID=1)\r\n", "a NO [BADURL \"/nope/;UID=1\"] ~"},
		{"a APPEND INBOX CATENATE (URL /INBOX/;UID=1/;SECTION=2)\r\n", "a NO [BADURL \"/INBOX/;UID=1/;SECTION=2\"] ~"},
		{"a APPEND INBOX CATENATE (URL \"/INBOX;UIDVALIDITY=1/;UID=1\")\r\n", "a NO [BADURL \"/INBOX;UIDVALIDITY=1/;UID=1\"] ~"},
		{"a APPEND INBOX CATENATE (URL imap://host/INBOX/;UID=1)\r\n", "a NO [BADURL \"imap://host/INBOX/;UID=1\"] ~"},
		{"a APPEND INBOX CATENATE (URL //host/INBOX/;UID=1)\r\n", "a NO [BADURL ~"}, {"a APPEND INBOX CATENATE (URL ;UID=1)\r\n", "a NO [BADURL ~"},
		{"a APPEND INBOX CATENATE (URL \"/..%2f..%2fetc/;UID=1\")\r\n", "a NO [BADURL ~"}, {"a APPEND INBOX CATENATE (URL \"\")\r\n", "a NO [BADURL \"\"] ~"},
		/* What would end the answer's line, or its code, is not repeated. */
		{"a APPEND INBOX CATENATE (URL {16+}\r\n/x]\r\na OK hacked)\r\nb NOOP\r\n", "a NO [BADURL \"/x\"] That names no message here\r\nb OK ~"},
		{"a APPEND INBOX CATENATE (URL {5+}\r\n/x\r\ny)\r\n", "a NO [BADURL \"/x\"] That names no message here\r\n"},
		{"a APPEND INBOX CATENATE (URL \"/x\xc3\xa4\")\r\n", "a NO [BADURL \"/x\"] That names no message here\r\n"},
		/* Said before the literal after it is sent; what comes unasked is dropped. */
		{"a APPEND INBOX CATENATE (TEXT {1+}\r\nx URL /INBOX/;UID=9 TEXT {5}\r\n", "a NO [BADURL ~"},
		{"a APPEND INBOX CATENATE (URL /INBOX/;UID=9 TEXT {5+}\r\nabcde)\r\nb NOOP\r\n", "a NO [BADURL ~\r\nb OK ~"},
		{"a APPEND nope CATENATE (URL /INBOX/;UID=1)\r\n", "a NO [TRYCREATE] ~"}, {"a APPEND INBOX CATENATE (TEXT {104857601}\r\n", "a NO [TOOBIG] ~"},
		{"a APPEND INBOX CATENATE (TEXT {0+}\r\n)\r\n", "a NO [CANNOT] ~"}, {"a APPEND INBOX CATENATE (TEXT ~{1+}\r\nx)\r\n", "a BAD ~"},
		{"a APPEND INBOX CATENATE ()\r\n", "a BAD ~"}, {"a APPEND INBOX CATENATE (TEXT {1+}\r\nx\r\n", "a BAD ~"}, {"a APPEND INBOX CATENATE TEXT {1+}\r\nx\r\n", "a BAD ~"},
		{"a APPEND INBOX CATENATE (TEXT {1+}\r\nx)x\r\n", "a BAD ~"}, {"a APPEND INBOX CATENATE (TEXT {1+}\r\nx )\r\n", "a BAD ~"}, {"a APPEND INBOX CATENATE (TEXT \"x\")\r\n", "a BAD ~"},
		{"a APPEND INBOX CATENATE (URL)\r\n", "a BAD ~"}, {"a APPEND INBOX CATENATE (FILE x)\r\n", "a BAD ~"}, {"a APPEND INBOX CATENATE (TEXT {1+}\r\nxTEXT {1+}\r\ny)\r\n", "a BAD ~"},
		{"a STATUS INBOX (MESSAGES)\r\n", "* STATUS \"INBOX\" (MESSAGES 1)\r\na OK ~"},
	};
	static const char		nul[] = "a APPEND INBOX CATENATE (TEXT {3+}\r\na\0b TEXT {1+}\r\nc)\r\nb NOOP\r\n";
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "catbad"), 0);
	append(&c, "INBOX", "", PLAIN);
	STEPS(&c, steps);
	client_send(&c, (struct slice){nul, sizeof(nul) - 1}, 0, 0);
	got_check("bad", "NUL", &c, "a BAD ~\r\nb OK ~");
	client_close(&c);
}

/* What was expunged is named no more, also where this session was not told yet. */
static void
test_expunged(void **state)
{
	struct client	c, other;

	(void)state;
	assert_int_equal(client_begin(&c, "catgone"), 0);
	assert_int_equal(client_begin(&other, "catgone"), 0);
	append(&c, "INBOX", "", PLAIN);
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	DO(other, "a SELECT INBOX\r\nb STORE 1 +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\n", "~c OK ~");
	DO(c, "a APPEND Sent CATENATE (URL /INBOX/;UID=1)\r\n", "* 1 EXPUNGE\r\na NO [BADURL ~");
	client_close(&c);
	client_close(&other);
}

/* n URLs and a text. */
static void
parts_send(struct client *c, size_t n)
{
	struct buf	command = buf_make(65536);

	(void)buf_add_str(&command, "a APPEND INBOX CATENATE (TEXT {1+}\r\nx");
	for (size_t i = 1; i < n; i++)
		(void)buf_add_str(&command, " URL /INBOX/;UID=1/;PARTIAL=0.1");
	(void)buf_add_str(&command, ")\r\n");
	client_send(c, buf_slice(&command), 0, 0);
	buf_free(&command);
}

static void
test_limits(void **state)
{
	const size_t	large = 50 * 1024 * 1024;	/* two are one message's most */
	struct buf	command = buf_make(large + 1024);
	struct client	c;
	char		url[IMAP_URL_MAX_BYTES + 512];

	(void)state;
	assert_int_equal(client_begin(&c, "catlimits"), 0);
	append(&c, "INBOX", "", PLAIN);
	parts_send(&c, IMAP_APPEND_PARTS_MAX + 1);
	got_check("parts", "one past", &c, "a NO [LIMIT] ~");
	parts_send(&c, IMAP_APPEND_PARTS_MAX);
	got_check("parts", "the limit", &c, "a OK [APPENDUID ~ 2] ~");
	(void)buf_addf(&command, "a APPEND INBOX {%zu+}\r\n", large);
	memset(buf_room(&command, large), 'x', large);
	command.n += large;
	(void)buf_add_str(&command, "\r\n");
	client_send(&c, buf_slice(&command), 0, 0);
	got_check("large", "APPEND", &c, "a OK [APPENDUID ~ 3] ~");
	DO(c, "a APPEND INBOX CATENATE (URL /INBOX/;UID=3 URL /INBOX/;UID=3 TEXT {1}\r\nx)\r\n", "a NO [TOOBIG] ~");
	DO(c, "x NOOP\r\n", "~");
	DO(c, "a APPEND INBOX CATENATE (TEXT {1+}\r\nx URL /INBOX/;UID=3 URL /INBOX/;UID=3)\r\n", "a NO [TOOBIG] ~");
	DO(c, "a APPEND INBOX CATENATE (URL /INBOX/;UID=3 URL /INBOX/;UID=3)\r\n", "a OK [APPENDUID ~ 4] ~");
	/* A URL at the longest that is looked at, and one past. */
	(void)snprintf(url, sizeof(url), "a APPEND INBOX CATENATE (URL \"/%0*d/;UID=1\")\r\n", IMAP_URL_MAX_BYTES - 8, 0);
	client_send(&c, slice_of(url), 0, 0);
	got_check("url", url, &c, "a NO [BADURL \"/000~\"] ~");
	client_close(&c);
	buf_free(&command);
}

/* is_url: it is taken. */
static void
test_url(void **state)
{
	static const struct { const char *text; bool is_url; const char *mailbox; uint32_t validity, uid; bool has_section; uint32_t at, n; } rows[] = {
		{"/INBOX/;UID=7", true, "INBOX", 0, 7, false, 0, 0}, {"/a/b%20c;UIDVALIDITY=3/;UID=4294967295", true, "a/b c", 3, 4294967295U, false, 0, 0},
		{"/x/;uid=1/;section=1.2.MIME/;partial=5.6", true, "x", 0, 1, true, 5, 6}, {"/x/;UID=1/;PARTIAL=9", true, "x", 0, 1, false, 9, 0},
		{"/x/;UID=1/;SECTION=HEADER.FIELDS%20(%22To%22)", true, "x", 0, 1, true, 0, 0}, {"/%C3%A4/;UID=1", true, "\xc3\xa4", 0, 1, false, 0, 0},
		{"/x;UID=1", false, "", 0, 0, false, 0, 0}, {"/;UID=1", false, "", 0, 0, false, 0, 0}, {"//;UID=1", false, "", 0, 0, false, 0, 0}, {"/x/;UID=0", false, "", 0, 0, false, 0, 0},
		{"/x/;UID=1/", false, "", 0, 0, false, 0, 0}, {"/x/;UID=1;SECTION=1", false, "", 0, 0, false, 0, 0}, {"/x/;UID=1/;SECTION=", false, "", 0, 0, false, 0, 0},
		{"/x/;UID=1/;SECTION=1.0", false, "", 0, 0, false, 0, 0}, {"/x/;UID=1/;SECTION=1]x", false, "", 0, 0, false, 0, 0}, {"/x/;UID=1/;SECTION=1%5D", false, "", 0, 0, false, 0, 0},
		{"/x/;UID=1/;PARTIAL=1.0", false, "", 0, 0, false, 0, 0}, {"/x/;UID=1/;PARTIAL=4294967296", false, "", 0, 0, false, 0, 0}, {"/%00/;UID=1", false, "", 0, 0, false, 0, 0},
		{"/%4/;UID=1", false, "", 0, 0, false, 0, 0}, {"/%zz/;UID=1", false, "", 0, 0, false, 0, 0}, {"/x%", false, "", 0, 0, false, 0, 0}, {"/x?SUBJECT", false, "", 0, 0, false, 0, 0},
		{"/x/;UID=1;URLAUTH=anonymous:INTERNAL:91354a473744909de610943775f92038", false, "", 0, 0, false, 0, 0}, {"", false, "", 0, 0, false, 0, 0}, {"/", false, "", 0, 0, false, 0, 0},
		{"/x;UIDVALIDITY=0/;UID=1", false, "", 0, 0, false, 0, 0}, {"/x y/;UID=1", false, "", 0, 0, false, 0, 0},
	};
	struct arena	arena = arena_make(1 << 20);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct imap_url	u;

		if ((parse_url(slice_of(rows[i].text), &arena, &u) == PARSE_OK) != rows[i].is_url)
			fail_msg("%s: taken otherwise", rows[i].text);
		if (rows[i].is_url && (!slice_is(u.mailbox, slice_of(rows[i].mailbox)) || u.uidvalidity != rows[i].validity || u.uid != rows[i].uid ||
		    (u.section.nnumbers > 0 || u.section.text != SECTION_ALL) != rows[i].has_section || u.at != rows[i].at || u.n != rows[i].n))
			fail_msg("%s: another value", rows[i].text);
	}
	for (size_t extra = 0; extra <= 1; extra++) {
		struct imap_url	u;
		struct buf	b = buf_make(8192);

		(void)buf_addf(&b, "/%0*d/;UID=1", (int)(IMAP_URL_MAX_BYTES - 8 + extra), 0);
		assert_int_equal(b.n, IMAP_URL_MAX_BYTES + extra);
		assert_int_equal(parse_url(buf_slice(&b), &arena, &u), extra == 0 ? PARSE_OK : PARSE_BAD);
		buf_free(&b);
	}
	arena_free(&arena);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_examples), cmocka_unit_test(test_parts), cmocka_unit_test(test_bad), cmocka_unit_test(test_expunged),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_url),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
