/*
 * UTF8=ACCEPT (RFC 6855) by transcripts: names and quoted strings, SEARCH without a charset, APPEND's UTF8 data and what of
 * headers is refused without ENABLE. See imap_transcript.h.
 */
#include "imap/command.h"
#include "imap_transcript.h"

#define ENABLE		{"e ENABLE UTF8=ACCEPT\r\n", "* ENABLED UTF8=ACCEPT\r\ne OK ~\r\n"}
#define O_UMLAUT	"\xc3\xb6"
/* 23 bytes, the header in UTF-8 */
#define HIGH		"Subject: K\xc3\xa4se\r\n\r\nx\xc3\xa4\r\n"
/* 23 bytes, 8-bit in its body alone */
#define LOW		"Subject: cheese\r\n\r\n\xc3\xa4\r\n"

/* All that IMAP4rev1 is, but names: RECENT, SEARCH and UNSEEN stay (RFC 6855 3). */
static void
test_names(void **state)
{
	static const struct step	steps[] = {
		{"a CREATE B&APY-se\r\n", "a OK ~\r\n"}, {"a CREATE R&-D\r\n", "a OK ~\r\n"},
		ENABLE, {"e ENABLE utf8=accept UTF8=ONLY UTF8=ALL\r\n", "* ENABLED\r\ne OK ~\r\n"},
		{"a CAPABILITY\r\n", "* CAPABILITY ~ UTF8=ACCEPT~\r\na OK ~\r\n"},
		{"a LIST \"\" B*\r\n", "* LIST (\\HasNoChildren) \"/\" \"B" O_UMLAUT "se\"\r\na OK ~\r\n"},
		{"a LIST \"\" \"B" O_UMLAUT "*\"\r\n", "* LIST (\\HasNoChildren) \"/\" \"B" O_UMLAUT "se\"\r\na OK ~\r\n"},
		{"a LIST \"\" R*\r\n", "* LIST (\\HasNoChildren) \"/\" \"R&D\"\r\na OK ~\r\n"},
		{"a SUBSCRIBE \"B" O_UMLAUT "se\"\r\n", "a OK ~\r\n"}, {"a LSUB \"\" B*\r\n", "* LSUB () \"/\" \"B" O_UMLAUT "se\"\r\na OK ~\r\n"},
		{"a STATUS \"B" O_UMLAUT "se\" (MESSAGES)\r\n", "* STATUS \"B" O_UMLAUT "se\" (MESSAGES 0)\r\na OK ~\r\n"},
		{"a SELECT \"Bo\xcc\x88se\"\r\n", "* FLAGS ~\r\n* 0 EXISTS\r\n* 0 RECENT\r\n* OK [PERMANENTFLAGS ~* OK [HIGHESTMODSEQ ~\r\na OK ~\r\n"},
		{"a SEARCH ALL\r\n", "* SEARCH\r\na OK ~\r\n"}, {"a UNSELECT\r\n", "a OK ~\r\n"},
		{"a CREATE \"B\xf6se\"\r\n", "a BAD ~\r\n"}, {"a CREATE \"\xc3\"\r\n", "a BAD ~\r\n"}, {"a ID (\"name\" \"\xff\")\r\n", "a BAD ~\r\n"},
		{"a ID (\"name\" \"\xe6\x97\xa5\")\r\n", "* ID ~\r\na OK ~\r\n"},
		{"a CREATE \"a\xc2\x9f\"\r\n", "a NO [CANNOT] ~\r\n"}, {"a CREATE \"a\xe2\x80\xa9\"\r\n", "a NO [CANNOT] ~\r\n"},
		{"a NAMESPACE\r\n", "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "names"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

/* RFC 6855 3: a charset conflicts with what was enabled. SORT and THREAD must name one. */
static void
test_search(void **state)
{
	static const struct step	before[] = {
		{"a SELECT INBOX\r\n", "~a OK ~\r\n"}, {"a SEARCH CHARSET UTF-8 SUBJECT {6+}\r\nw" O_UMLAUT "rld\r\n", "* SEARCH 1\r\na OK ~\r\n"},
		{"a SEARCH CHARSET ISO-8859-1 SUBJECT {5+}\r\nw\xf6rld\r\n", "* SEARCH 1\r\na OK ~\r\n"}, {"a UNSELECT\r\n", "a OK ~\r\n"},
	};
	static const struct step	steps[] = {
		ENABLE, {"a SELECT INBOX\r\n", "~a OK ~\r\n"},
		{"a SEARCH SUBJECT \"W\xc3\x96RLD\"\r\n", "* SEARCH 1\r\na OK ~\r\n"}, {"a SEARCH SUBJECT \"w\xf6rld\"\r\n", "a BAD ~\r\n"},
		{"a SEARCH SUBJECT {6+}\r\nw" O_UMLAUT "rld\r\n", "* SEARCH 1\r\na OK ~\r\n"},
		{"a SEARCH CHARSET UTF-8 ALL\r\n", "a BAD ~\r\n"}, {"a UID SEARCH CHARSET US-ASCII ALL\r\n", "a BAD ~\r\n"},
		{"a SEARCH RETURN (COUNT) CHARSET ISO-8859-1 ALL\r\n", "a BAD ~\r\n"}, {"a ESEARCH IN (personal) CHARSET UTF-8 ALL\r\n", "a BAD ~\r\n"},
		{"a SEARCH RETURN (SAVE) ALL\r\n", "a OK ~\r\n"}, {"a SEARCH RETURN (SAVE) CHARSET UTF-8 SEEN\r\n", "a BAD ~\r\n"},
		{"a SEARCH $\r\n", "* SEARCH 1\r\na OK ~\r\n"},
		{"a ESEARCH IN (personal) ALL\r\n", "* ESEARCH ~\r\na OK ~\r\n"}, {"a SORT (SUBJECT) UTF-8 ALL\r\n", "* SORT 1\r\na OK ~\r\n"},
		{"a THREAD REFERENCES UTF-8 ALL\r\n", "* THREAD (1)\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "search"), 0);
	append(&c, "INBOX", "", PLAIN);
	STEPS(&c, before);
	STEPS(&c, steps);
	client_close(&c);
}

/* A header that is not ASCII is taken from clients that enabled nothing, too: mail that is moved here has such. */
static void
test_taken(void **state)
{
	static const struct step	steps[] = {
		{"a APPEND INBOX {23+}\r\n" HIGH "\r\n", "a OK [APPENDUID ~\r\n"},
		{"a APPEND INBOX UTF8 (~{23+}\r\n" HIGH ")\r\n", "a OK [APPENDUID ~\r\n"},
		{"a APPEND INBOX {7+}\r\na: b\xe4\r\n\r\n", "a OK [APPENDUID ~\r\n"},
		{"a APPEND INBOX {23+}\r\n" LOW " {23+}\r\n" HIGH "\r\n", "a OK [APPENDUID ~\r\n"},
		{"a SELECT INBOX\r\n", "~* 5 EXISTS\r\n~a OK ~\r\n"},
		{"a FETCH 1 BODY.PEEK[]\r\n", "* 1 FETCH (BODY[] {23}\r\n" HIGH ")\r\na OK ~\r\n"},
		{"a REPLACE 1 INBOX {23+}\r\n" HIGH "\r\n", "* OK [APPENDUID ~\r\n* 1 EXPUNGE\r\n~a OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "taken"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

/* append-data =/ utf8-literal, cat-part =/ utf8-literal */
static void
test_append(void **state)
{
	static const struct step	steps[] = {
		ENABLE, {"a APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" UTF8 (~{23}\r\n" HIGH ")\r\n", "+ ~\r\na OK [APPENDUID ~\r\n"},
		{"a APPEND INBOX utf8 (~{23+}\r\n" HIGH ")\r\n", "a OK [APPENDUID ~\r\n"},
		{"a APPEND \"B" O_UMLAUT "se\" UTF8 (~{23}\r\nb NOOP\r\n", "a NO [TRYCREATE] ~\r\nb OK ~\r\n"},
		{"a APPEND INBOX UTF8 (~{23+}\r\n" HIGH ") (\\Seen) {23+}\r\n" LOW " UTF8 (~{23+}\r\n" HIGH ")\r\n", "a OK [APPENDUID ~:~] ~\r\n"},
		{"a APPEND INBOX CATENATE (UTF8 (~{23+}\r\n" HIGH ") TEXT {1+}\r\ny UTF8 (~{2+}\r\n\xc3\xa4))\r\n", "a OK [APPENDUID ~\r\n"},
		/* Lone line ends become CRLF as in any message. */
		{"a APPEND INBOX UTF8 (~{10+}\r\na: \xc3\xa4\n\nb\r\n)\r\n", "a OK ~\r\n"},
		{"a SELECT INBOX\r\n", "~* 7 EXISTS\r\n~a OK ~\r\n"},
		{"a FETCH 1,6:7 BODY[]\r\n", "* 1 FETCH (BODY[] {23}\r\n" HIGH ")\r\n* 6 FETCH (BODY[] {26}\r\n" HIGH "y\xc3\xa4 FLAGS ~)\r\n"
		    "* 7 FETCH (BODY[] {12}\r\na: \xc3\xa4\r\n\r\nb\r\n FLAGS ~)\r\na OK ~\r\n"},
		{"a FETCH 1 (INTERNALDATE FLAGS)\r\n", "* 1 FETCH (INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" FLAGS (\\Seen ~))\r\na OK ~\r\n"},
		{"a SEARCH SUBJECT \"k\xc3\xa4SE\"\r\n", "* SEARCH 1 2 3 5 6\r\na OK ~\r\n"},
		{"a REPLACE 1 INBOX UTF8 (~{23+}\r\n" HIGH ")\r\n", "* OK [APPENDUID ~\r\n* 1 EXPUNGE\r\n~a OK ~\r\n"},
		/* Without the data extension as well. */
		{"a APPEND INBOX {23+}\r\n" HIGH "\r\n", "~a OK ~\r\n"},
	};
	static const struct step	bad[] = {
		{"a APPEND INBOX UTF8 ({5+}\r\na: b\n)\r\n", "a BAD ~\r\n"}, {"a APPEND INBOX UTF8 (~{5+}\r\na: b\n\r\n", "a BAD ~\r\n"},
		{"a APPEND INBOX UTF8 ~{5+}\r\na: b\n\r\n", "a BAD ~\r\n"}, {"a APPEND INBOX UTF8(~{5+}\r\na: b\n)\r\n", "a BAD ~\r\n"},
		{"a APPEND INBOX UTF8 ()\r\n", "a BAD ~\r\n"}, {"a APPEND INBOX UTF8 (\"x\")\r\n", "a BAD ~\r\n"}, {"a APPEND INBOX UTF8 (\r\n", "a BAD ~\r\n"},
		{"a APPEND INBOX UTF8 (~{5+}\r\na: b\n))\r\n", "a BAD ~\r\n"}, {"a APPEND INBOX UTF8 (~{5+}\r\na: b\n ~{5+}\r\na: b\n)\r\n", "a BAD ~\r\n"},
		{"a APPEND INBOX UTF8 (~{0}\r\n", "a NO [CANNOT] ~\r\n"}, {"a APPEND INBOX UTF8 (~{104857601}\r\n", "a NO [TOOBIG] ~\r\n"},
		{"a APPEND INBOX CATENATE (UTF8 ({1+}\r\nx))\r\n", "a BAD ~\r\n"}, {"a APPEND INBOX CATENATE (UTF8 (~{1+}\r\nx)\r\n", "a BAD ~\r\n"},
		{"a APPEND INBOX CATENATE (UTF8 (~{1+}\r\nx TEXT {1+}\r\ny)\r\n", "a BAD ~\r\n"}, {"a NOOP\r\n", "a OK ~\r\n"},
	};
	static const char		nul[] = "a APPEND INBOX UTF8 (~{3+}\r\na\0b)\r\nb NOOP\r\n";
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "append"), 0);
	STEPS(&c, steps);
	STEPS(&c, bad);
	client_send(&c, (struct slice){nul, sizeof(nul) - 1}, 0, 0);
	got_check("append", "NUL", &c, "a BAD ~\r\nb OK ~\r\n");
	client_close(&c);
}

/*
 * Who did not enable it gets messages as they are, and what is not ASCII in literals alone, never in a quoted string: sizes,
 * offsets and signatures are the same for every client of the user.
 */
static void
test_fetched(void **state)
{
	static const struct step	steps[] = {
		{"a SELECT INBOX\r\n", "~a OK ~\r\n"},
		{"a FETCH 1 (RFC822.SIZE BODY.PEEK[HEADER])\r\n", "* 1 FETCH (RFC822.SIZE 23 BODY[HEADER] {18}\r\nSubject: K\xc3\xa4se\r\n\r\n)\r\na OK ~\r\n"},
		{"a FETCH 1 ENVELOPE\r\n", "* 1 FETCH (ENVELOPE (NIL {5}\r\nK\xc3\xa4se NIL ~))\r\na OK ~\r\n"},
		{"a FETCH 1 PREVIEW\r\n", "* 1 FETCH (PREVIEW {3}\r\nx\xc3\xa4)\r\na OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "fetched"), 0);
	DO(c, "e ENABLE UTF8=ACCEPT\r\n", "* ENABLED UTF8=ACCEPT\r\ne OK ~\r\n");
	DO(c, "a APPEND INBOX UTF8 (~{23+}\r\n" HIGH ")\r\n", "a OK ~\r\n");
	client_close(&c);
	assert_int_equal(client_begin(&c, "fetched"), 0);
	STEPS(&c, steps);
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_search), cmocka_unit_test(test_taken), cmocka_unit_test(test_append),
		cmocka_unit_test(test_fetched),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
