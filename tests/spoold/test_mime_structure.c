/*
 * spoold/mime: the tree of parts, BODYSTRUCTURE, section numbers and SEARCH in bodies against tables; limits at and
 * one past; hostile structures against the clock and the grammar.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "mime_grammar.h"

struct fixture {
	struct arena	 arena;
	struct buf	 msg, out;
	struct mime_part *root;
};

static struct fixture
fixture_make(void)
{
	return (struct fixture){.arena = arena_make(256 << 20), .msg = buf_make(256 << 20), .out = buf_make(256 << 20)};
}

static void
fixture_free(struct fixture *f)
{
	arena_free(&f->arena);
	buf_free(&f->msg);
	buf_free(&f->out);
}

/* Parses f->msg and prints its structure; both are checked whatever they are. */
static void
structure(struct fixture *f, const char *name)
{
	const char *fault;

	arena_reset(&f->arena);
	f->root = mime_parse(buf_slice(&f->msg), &f->arena);
	assert_non_null(f->root);
	if ((fault = tree_fault(buf_slice(&f->msg), f->root)) != NULL)
		fail_msg("%s: %s", name, fault);
	/* The last one stays: IMAP4rev1's BODYSTRUCTURE. */
	for (int how = 0; how < 4; how++) {
		bool extended = (how & 1) != 0, is_rev2 = (how & 2) == 0;

		buf_clear(&f->out);
		assert_int_equal(mime_bodystructure(buf_slice(&f->msg), f->root, extended, is_rev2, &f->arena, &f->out), 0);
		if (!grammar_is_body(buf_slice(&f->out), extended, is_rev2))
			fail_msg("%s: BODY%s is none: %.*s", name, extended ? "STRUCTURE" : "", (int)f->out.n, f->out.p);
	}
}

/* Lines end in LF here; the message has CRLF. */
static void
message_add(struct buf *b, const char *text)
{
	for (; *text != '\0'; text++)
		buf_add_str(b, *text == '\n' ? "\r\n" : (char[]){*text, '\0'});
}

#define TEXT_PART(bytes, lines)	"(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" " bytes " " lines " NIL NIL NIL NIL)"
#define MIXED(boundary)		" \"MIXED\" (\"BOUNDARY\" \"" boundary "\") NIL NIL NIL)"
#define TYPE			"Content-Type: multipart/mixed; boundary="

struct row {
	const char	*name, *in, *want;
};

static const struct row rows[] = {
	{"empty", "", TEXT_PART("0", "0")},
	{"no body", "Subject: x\n", TEXT_PART("0", "0")},
	{"no end of header", "Subject: x", TEXT_PART("0", "0")},
	{"plain", "Subject: x\n\na\nb\n", TEXT_PART("6", "2")},
	{"no header", "\na\n", TEXT_PART("3", "1")},
	{"type without subtype", "Content-Type: text\n\n", TEXT_PART("0", "0")},
	{"type that is junk", "Content-Type: @@/x; a=b\n\n", TEXT_PART("0", "0")},
	{"type without anything", "Content-Type:\n\n", TEXT_PART("0", "0")},
	{"8-bit type", "Content-Type: te\xffxt/plain\n\n", TEXT_PART("0", "0")},
	{"case and comments", "Content-Type: (c) Text (d) / (e) HTML ; CharSet = utf-8 (f)\n\n",
	    "(\"TEXT\" \"HTML\" (\"CHARSET\" \"utf-8\") NIL NIL \"7BIT\" 0 0 NIL NIL NIL NIL)"},
	{"all fields", "Content-Type: image/gif; name=\"a \\\"b\\\"\"\nContent-ID: <i@x>\nContent-Description: =?us-ascii?q?d?=\n e\n"
	    "Content-Transfer-Encoding: base64 (c)\nContent-MD5: Q2hl==\nContent-Disposition: Attachment; filename=x.gif; size=3\n"
	    "Content-Language: en, de (German)\nContent-Location: http://x/\n y\n\nR0l=\n",
	    "(\"IMAGE\" \"GIF\" (\"NAME\" \"a \\\"b\\\"\") \"<i@x>\" \"=?us-ascii?q?d?= e\" \"BASE64\" 6 \"Q2hl==\" "
	    "(\"ATTACHMENT\" (\"FILENAME\" \"x.gif\" \"SIZE\" \"3\")) (\"en\" \"de\") \"http://x/y\")"},
	{"unknown encoding", "Content-Transfer-Encoding: x-Uue\n\n", "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"X-UUE\" 0 0 NIL NIL NIL NIL)"},
	{"empty encoding, disposition", "Content-Transfer-Encoding:\nContent-Disposition: ;x=y\nContent-Language: ,\n\n", TEXT_PART("0", "0")},
	{"disposition alone", "Content-Type: a/b\nContent-Disposition: inline\n\n",
	    "(\"A\" \"B\" NIL NIL NIL \"7BIT\" 0 NIL (\"INLINE\" NIL) NIL NIL)"},
	{"8-bit parameter", "Content-Type: a/b; n=\xe4\n\n", "(\"A\" \"B\" (\"N\" {1}\r\n\xe4) NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)"},
	{"parameters without sense", "Content-Type: a/b; ; =c; d; e=; f=g h(i).j (k)\n\n",
	    "(\"A\" \"B\" (\"E\" \"\" \"F\" \"g h(i).j\") NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)"},
	{"semicolon in quotes", "Content-Type: a/b; c=\"d;e\"; f=g\n\n", "(\"A\" \"B\" (\"C\" \"d;e\" \"F\" \"g\") NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)"},
	{"continued", "Content-Type: a/b; u*1=\"b c\"; x=y; u*0=a; U*2=d\n\n",
	    "(\"A\" \"B\" (\"X\" \"y\" \"U\" \"ab cd\") NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)"},
	{"continued with a gap", "Content-Type: a/b; u*0=a; u*2=c; u*1=b; u*4=e\n\n",
	    "(\"A\" \"B\" (\"U\" \"abc\" \"U*4\" \"e\") NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)"},
	{"continued twice", "Content-Type: a/b; u*0=a; u*1=b; u*1=c; u*2=d\n\n",
	    "(\"A\" \"B\" (\"U\" \"abd\") NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)"},
	{"without a first", "Content-Type: a/b; u*1=b; u*01=c\n\n", "(\"A\" \"B\" (\"U*1\" \"b\" \"U*01\" \"c\") NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)"},
	{"extended", "Content-Type: a/b; t*=us-ascii'en'a%20b\n\n",
	    "(\"A\" \"B\" (\"T*\" \"us-ascii'en'a%20b\") NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)"},
	{"extended and continued", "Content-Type: a/b; t*0*=us-ascii'en'a%20; t*1*=%2A; t*2=\"isn't it!\"\n\n",
	    "(\"A\" \"B\" (\"T*\" \"us-ascii'en'a%20%2Aisn%27t%20it!\") NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)"},
	{"multipart", TYPE "A\n\npre\n--A\n\nhi\nthere\n--A\nContent-Type: text/html\n\nx\n\n--A--\nepi\n",
	    "(" TEXT_PART("9", "1") "(\"TEXT\" \"HTML\" NIL NIL NIL \"7BIT\" 3 1 NIL NIL NIL NIL)" MIXED("A")},
	{"boundary in quotes, spaces after", TYPE "\"A b  \"\n\n--A b  \n\nx\n--A b--  \n", "(" TEXT_PART("1", "0") MIXED("A b  ")},
	{"continued boundary", "Content-Type: multipart/mixed; boundary*1=B; boundary*0=A\n\n--AB\n\nx\n--AB--\n",
	    "(" TEXT_PART("1", "0") MIXED("AB")},
	{"not closed", TYPE "A\n\n--A\n\nx\n", "(" TEXT_PART("3", "1") MIXED("A")},
	{"no parts", TYPE "A\n\nnothing\n", TEXT_PART("9", "1")},
	{"no boundary", "Content-Type: multipart/mixed\n\n--\n\nx\n", TEXT_PART("9", "3")},
	{"empty boundary", TYPE "\"\"\n\n--\n\nx\n", TEXT_PART("9", "3")},
	{"closed at once", TYPE "A\n\n--A--\n", TEXT_PART("7", "1")},
	{"one empty part", TYPE "A\n\n--A\n--A--\n", "(" TEXT_PART("0", "0") MIXED("A")},
	{"ends in a delimiter", TYPE "A\n\n--A", "(" TEXT_PART("0", "0") MIXED("A")},
	{"header cut by a delimiter", TYPE "A\n\n--A\nContent-Type: a/b\n--A--\n",
	    "((\"A\" \"B\" NIL NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)" MIXED("A")},
	{"delimiter after the close", TYPE "A\n\n--A\n\nx\n--A--\n--A\n\ny\n", "(" TEXT_PART("1", "0") MIXED("A")},
	{"outer is a prefix of inner", TYPE "A\n\n--A\n" TYPE "AB\n\n--AB\n\nx\n--AB--\n--A\n\ny\n--A--\n",
	    "((" TEXT_PART("1", "0") MIXED("AB") TEXT_PART("1", "0") MIXED("A")},
	{"inner is a prefix of outer", TYPE "AB\n\n--AB\n" TYPE "A\n\n--A\n\nx\n--AB\n\ny\n--AB--\n",
	    "((" TEXT_PART("1", "0") MIXED("A") TEXT_PART("1", "0") MIXED("AB")},
	{"inner with the outer's boundary", TYPE "A\n\n--A\n" TYPE "A\n\n--A\n\nx\n--A--\n--A\n\ny\n--A--\n",
	    "((" TEXT_PART("1", "0") MIXED("A") TEXT_PART("1", "0") MIXED("A")},
	{"inner not closed", TYPE "A\n\n--A\n" TYPE "B\n\n--B\n\nx\n--A\n\ny\n--A--\n",
	    "((" TEXT_PART("1", "0") MIXED("B") TEXT_PART("1", "0") MIXED("A")},
	{"boundary goes on", TYPE "A\n\n--A\n\n--Ax\n--A x\n\ny\n--A--x\n",
	    "(" TEXT_PART("4", "0") TEXT_PART("1", "0") MIXED("A")},
	{"digest", "Content-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: one\n\n1\n--d\nContent-Type: text/plain\n\n2\n--d--\n",
	    "((\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 17 (NIL \"one\" NIL NIL NIL NIL NIL NIL NIL NIL) " TEXT_PART("1", "0") " 2 NIL NIL NIL NIL)"
	    "(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 1 0 NIL NIL NIL NIL) \"DIGEST\" (\"BOUNDARY\" \"d\") NIL NIL NIL)"},
	{"message", "Content-Type: message/rfc822\n\nSubject: i\n\na\nb\n",
	    "(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 20 (NIL \"i\" NIL NIL NIL NIL NIL NIL NIL NIL) " TEXT_PART("6", "2") " 4 NIL NIL NIL NIL)"},
	{"message of nothing", "Content-Type: message/rfc822\n",
	    "(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 0 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) " TEXT_PART("0", "0") " 0 NIL NIL NIL NIL)"},
	{"message cut in its header", TYPE "A\n\n--A\nContent-Type: message/rfc822\n\nSubject: i\n--A--\n",
	    "((\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 12 (NIL \"i\" NIL NIL NIL NIL NIL NIL NIL NIL) " TEXT_PART("0", "0") " 1 NIL NIL NIL NIL)" MIXED("A")},
	{"report", "Content-Type: message/delivery-status\n\nx\n", "(\"MESSAGE\" \"DELIVERY-STATUS\" NIL NIL NIL \"7BIT\" 3 NIL NIL NIL NIL)"},
};

static void
test_structure(void **state)
{
	struct fixture f = fixture_make();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_clear(&f.msg);
		message_add(&f.msg, rows[i].in);
		structure(&f, rows[i].name);
		if (!slice_is(buf_slice(&f.out), slice_of(rows[i].want)))
			fail_msg("%s:\n got  %.*s\n want %s", rows[i].name, (int)f.out.n, f.out.p, rows[i].want);
	}
	fixture_free(&f);
}

/* A line that only ends in LF, as an APPEND may bring it, still ends. */
static void
test_bare_lf(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	buf_add_str(&f.msg, TYPE "A\n\n--A\n\nx\ny\n--A--\n");
	structure(&f, "bare LF");
	assert_true(slice_is(buf_slice(&f.out), SLICE("(" TEXT_PART("3", "1") MIXED("A"))));
	fixture_free(&f);
}

/* A full buffer is an error at every byte. */
static void
test_full(void **state)
{
	struct fixture f = fixture_make();
	size_t cap, whole;

	(void)state;
	message_add(&f.msg, TYPE "A\n\n--A\nContent-Type: message/rfc822\nContent-Disposition: a; b*0=c; b*1=d\n\nFrom: a@b\n\nx\n--A--\n");
	structure(&f, "full");
	whole = f.out.n;
	for (cap = 0; cap < whole; cap++) {
		struct buf out = buf_make(cap);

		assert_int_equal(mime_bodystructure(buf_slice(&f.msg), f.root, true, false, &f.arena, &out), -1);
		buf_free(&out);
	}
	for (cap = 0; cap < sizeof(struct mime_part) * 2; cap += 16) {
		struct arena small = arena_make(cap);

		assert_null(mime_parse(buf_slice(&f.msg), &small));
		arena_free(&small);
	}
	fixture_free(&f);
}

struct section_row {
	const char	*section, *want;	/* the part's body's first byte; "" none */
};

/* RFC 3501 6.4.5's example */
static const struct section_row section_rows[] = {
	{"1", "a"}, {"2", "b"}, {"3", "S"}, {"3.1", "c"}, {"3.2", "d"}, {"3.3", ""}, {"4", "-"}, {"4.1", "e"}, {"4.2", "S"},
	{"4.2.1", "f"}, {"4.2.2", "-"}, {"4.2.2.1", "g"}, {"4.2.2.2", "h"}, {"4.2.2.3", ""}, {"5", ""}, {"0", ""}, {"1.1", ""},
	{"4.0", ""}, {"4.2.2.1.1", ""}, {"4294967295", ""},
};

static const char section_message[] = TYPE "A\n\n"
    "--A\n\na\n--A\nContent-Type: x/y\n\nb\n"
    "--A\nContent-Type: message/rfc822\n\nSubject: 3\n" TYPE "B\n\n--B\n\nc\n--B\nContent-Type: x/y\n\nd\n--B--\n"
    "--A\n" TYPE "C\n\n--C\nContent-Type: image/gif\n\ne\n--C\nContent-Type: message/rfc822\n\nSubject: 4.2\n" TYPE "D\n\n"
    "--D\n\nf\n--D\nContent-Type: multipart/alternative; boundary=E\n\n--E\n\ng\n--E\n\nh\n--E--\n--D--\n--C--\n--A--\n";

static struct mime_part *
section(struct mime_part *root, const char *text)
{
	uint32_t numbers[16];
	size_t n = 0;
	char *end;

	while (*text != '\0') {
		numbers[n++] = (uint32_t)strtoul(text, &end, 10);
		text = *end == '.' ? end + 1 : end;
	}
	return mime_section(root, numbers, n);
}

/* A message/global is told with what is in it in IMAP4rev2 alone, and only where it is not encoded. */
static void
test_global(void **state)
{
	static const struct { const char *name, *in, *rev1, *rev2; } globals[] = {
		{"global", "Content-Type: message/global\n\nSubject: i\n\na\n", "(\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 17 NIL NIL NIL NIL)",
		    "(\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 17 (NIL \"i\" NIL NIL NIL NIL NIL NIL NIL NIL) " TEXT_PART("3", "1") " 3 NIL NIL NIL NIL)"},
		{"8bit", "Content-Type: Message/Global\nContent-Transfer-Encoding: 8BIT\n\n\n", "(\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"8BIT\" 2 NIL NIL NIL NIL)",
		    "(\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"8BIT\" 2 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) " TEXT_PART("0", "0") " 1 NIL NIL NIL NIL)"},
		{"base64", "Content-Type: message/global\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogaQ==\n",
		    "(\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"BASE64\" 18 NIL NIL NIL NIL)", "(\"APPLICATION\" \"OCTET-STREAM\" NIL NIL NIL \"BASE64\" 18 NIL NIL NIL NIL)"},
		{"its headers", "Content-Type: message/global-headers\n\nSubject: i\n", "(\"MESSAGE\" \"GLOBAL-HEADERS\" NIL NIL NIL \"7BIT\" 12 NIL NIL NIL NIL)",
		    "(\"MESSAGE\" \"GLOBAL-HEADERS\" NIL NIL NIL \"7BIT\" 12 NIL NIL NIL NIL)"},
		{"in a multipart", TYPE "A\n\n--A\nContent-Type: message/global\n\nSubject: i\n\na\n--A--\n",
		    "((\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 15 NIL NIL NIL NIL)" MIXED("A"),
		    "((\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 15 (NIL \"i\" NIL NIL NIL NIL NIL NIL NIL NIL) " TEXT_PART("1", "0") " 2 NIL NIL NIL NIL)" MIXED("A")},
	};
	struct fixture f = fixture_make();

	(void)state;
	for (size_t i = 0; i < sizeof(globals) / sizeof(globals[0]); i++) {
		buf_clear(&f.msg);
		message_add(&f.msg, globals[i].in);
		structure(&f, globals[i].name);
		if (!slice_is(buf_slice(&f.out), slice_of(globals[i].rev1)))
			fail_msg("%s: got %.*s", globals[i].name, (int)f.out.n, f.out.p);
		buf_clear(&f.out);
		assert_int_equal(mime_bodystructure(buf_slice(&f.msg), f.root, true, true, &f.arena, &f.out), 0);
		if (!slice_is(buf_slice(&f.out), slice_of(globals[i].rev2)))
			fail_msg("%s: got %.*s", globals[i].name, (int)f.out.n, f.out.p);
	}
	fixture_free(&f);
}

static void
test_section(void **state)
{
	struct fixture f = fixture_make();
	size_t i;

	(void)state;
	message_add(&f.msg, section_message);
	structure(&f, "section");
	for (i = 0; i < sizeof(section_rows) / sizeof(section_rows[0]); i++) {
		const struct mime_part *p = section(f.root, section_rows[i].section);
		char got[2] = {p == NULL ? '\0' : f.msg.p[p->body_at], '\0'};

		if (strcmp(got, section_rows[i].want) != 0)
			fail_msg("%s: got \"%s\", want \"%s\"", section_rows[i].section, got, section_rows[i].want);
	}
	assert_ptr_equal(mime_section(f.root, NULL, 0), f.root);
	buf_clear(&f.msg);
	message_add(&f.msg, "Subject: x\n\nbody\n");
	structure(&f, "single");
	assert_ptr_equal(section(f.root, "1"), f.root);
	assert_null(section(f.root, "2"));
	assert_null(section(f.root, "1.1"));
	buf_clear(&f.msg);
	message_add(&f.msg, "Content-Type: message/rfc822\n\nSubject: x\n\nbody\n");
	structure(&f, "message");
	assert_ptr_equal(section(f.root, "1"), f.root);
	assert_ptr_equal(section(f.root, "1.1"), f.root->child);
	assert_null(section(f.root, "1.1.1"));
	fixture_free(&f);
}

struct search_row {
	const char	*needle;
	bool		 in_body, in_all;
};

static const char search_message[] = "Subject: outside\n" TYPE "A\n\npreamble\n"
    "--A\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\ncaf=E9 au =\nlait =3D\n"
    "--A\nContent-Type: text/html; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n\nw6TDtsO8IEJh\nc2U2NA==\n"
    "--A\nContent-Type: text/plain; charset=nonsense\n\nplain \xff ascii\n"
    "--A\nContent-Type: image/gif; name=\"holiday.gif\"\nContent-Transfer-Encoding: base64\n\nSElEREVO\n"
    "--A\nContent-Type: message/rfc822\n\nSubject: =?utf-8?Q?inn=65r?=\n\ninside\n--A--\nepilogue\n";

static const struct search_row search_rows[] = {
	{"outside", false, true},
	{"multipart/mixed", false, true},
	{"CAF\xc3\x89 AU LAIT =", true, true},
	{"\xc3\xa4\xc3\xb6\xc3\xbc base64", true, true},
	{"plain", true, true},
	{"ascii", true, true},
	{"holiday.gif", true, true},
	{"hidden", false, false},
	{"subject: inner", true, true},
	{"inside", true, true},
	{"lait = \xc3\xa4", false, false},	/* nothing reaches from part to part */
	{"never", false, false},
	{"", true, true},
};

static void
test_search(void **state)
{
	struct fixture f = fixture_make();
	size_t i;

	(void)state;
	message_add(&f.msg, search_message);
	structure(&f, "search");
	for (i = 0; i < sizeof(search_rows) / sizeof(search_rows[0]); i++) {
		struct slice needle = mime_fold(slice_of(search_rows[i].needle), NULL, &f.arena);

		if (mime_text_contains(buf_slice(&f.msg), f.root, needle, false) != search_rows[i].in_body ||
		    mime_text_contains(buf_slice(&f.msg), f.root, needle, true) != search_rows[i].in_all)
			fail_msg("%s", search_rows[i].needle);
	}
	fixture_free(&f);
}

/* The needle at every place around the borders of pieces, in every encoding, a long character in its middle. */
static void
test_search_borders(void **state)
{
	static const struct {
		const char *head, *needle;
	} kinds[] = {
		{"Content-Type: text/plain; charset=utf-8\r\n\r\n", "nee\xe2\x82\xac""dle"},
		{"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", "nee=E2=82=AC=\r\ndle"},
		{"Content-Type: text/plain; charset=gb18030\r\n\r\n", "nee\xa2\xe3""dle"},
		{"Content-Type: text/plain; charset=windows-1252\r\n\r\n", "nee\x80""dle"},
	};
	struct fixture f = fixture_make();
	size_t at, k;

	(void)state;
	for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (at = 4096 - 20; at < 4096 + 4; at++) {
			buf_clear(&f.msg);
			buf_add_str(&f.msg, kinds[k].head);
			while (f.msg.n < strlen(kinds[k].head) + at)
				buf_add_str(&f.msg, "n");
			buf_add_str(&f.msg, kinds[k].needle);
			buf_add_str(&f.msg, "\r\n");
			arena_reset(&f.arena);
			f.root = mime_parse(buf_slice(&f.msg), &f.arena);
			if (!mime_text_contains(buf_slice(&f.msg), f.root, SLICE("NNEE\xe2\x82\xac""DLE"), false))
				fail_msg("kind %zu at %zu", k, at);
		}
	}
	fixture_free(&f);
}

static size_t
parts_count(const struct mime_part *root, size_t *depth_out)
{
	const struct mime_part *p = root;
	size_t n = 0, depth = 1;

	*depth_out = 0;
	while (p != NULL) {
		n++;
		if (depth > *depth_out)
			*depth_out = depth;
		if (p->child != NULL) {
			p = p->child;
			depth++;
			continue;
		}
		for (; p != NULL && p->next == NULL; depth--)
			p = p->parent;
		p = p == NULL ? NULL : p->next;
	}
	return n;
}

/* Depth and count at their limits and one past. */
static void
test_limits(void **state)
{
	struct fixture f = fixture_make();
	size_t n, i, depth;

	(void)state;
	for (n = MIME_DEPTH_MAX - 1; n <= MIME_DEPTH_MAX; n++) {
		buf_clear(&f.msg);
		for (i = 0; i < n; i++)
			buf_addf(&f.msg, TYPE "b%zu\r\n\r\n--b%zu\r\n", i, i);
		buf_add_str(&f.msg, "\r\nx\r\n");
		structure(&f, "depth");
		parts_count(f.root, &depth);
		assert_int_equal(depth, MIME_DEPTH_MAX);
	}
	for (n = MIME_DEPTH_MAX - 1; n <= MIME_DEPTH_MAX; n++) {
		buf_clear(&f.msg);
		for (i = 0; i < n; i++)
			buf_add_str(&f.msg, "Content-Type: message/rfc822\r\n\r\n");
		structure(&f, "messages");
		parts_count(f.root, &depth);
		assert_int_equal(depth, MIME_DEPTH_MAX);
	}
	for (n = MIME_PARTS_MAX - 2; n <= MIME_PARTS_MAX; n++) {
		buf_clear(&f.msg);
		buf_add_str(&f.msg, TYPE "b\r\n\r\n");
		for (i = 0; i < n; i++)
			buf_add_str(&f.msg, "--b\r\n\r\nx\r\n");
		buf_add_str(&f.msg, "--b--\r\n");
		structure(&f, "parts");
		assert_int_equal(parts_count(f.root, &depth), n < MIME_PARTS_MAX ? n + 1 : MIME_PARTS_MAX);
	}
	fixture_free(&f);
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#ifdef __SANITIZE_ADDRESS__
#define SLOWER	20
#else
#define SLOWER	2
#endif

static void
hostile(struct fixture *f, const char *name)
{
	double begin = seconds();

	structure(f, name);
	(void)mime_text_contains(buf_slice(&f->msg), f->root, SLICE("never there"), true);
	if (seconds() - begin > 0.5 * SLOWER)
		fail_msg("%s: %.3f s", name, seconds() - begin);
}

static void
test_time(void **state)
{
	struct fixture f = fixture_make();
	size_t i;

	(void)state;
	for (i = 0; i < 100000; i++)
		buf_addf(&f.msg, TYPE "b%zu\r\n\r\n--b%zu\r\n", i, i);
	hostile(&f, "nested multiparts");
	buf_clear(&f.msg);
	for (i = 0; i < 100000; i++)
		buf_add_str(&f.msg, "Content-Type: message/rfc822\r\n\r\n");
	hostile(&f, "nested messages");
	buf_clear(&f.msg);
	buf_add_str(&f.msg, TYPE "b\r\n\r\n");
	for (i = 0; i < 1000000; i++)
		buf_add_str(&f.msg, "--b\r\n\r\nx\r\n");
	hostile(&f, "a million parts");
	buf_clear(&f.msg);
	for (i = 0; i < MIME_DEPTH_MAX - 1; i++)	/* one hundred boundaries that every line nearly is */
		buf_addf(&f.msg, TYPE "\"-%c\"\r\n\r\n---%c\r\n", (char)(i + 33), (char)(i + 33));
	for (i = 0; i < 1000000; i++)
		buf_add_str(&f.msg, "----\r\n");
	hostile(&f, "nearly boundaries");
	buf_clear(&f.msg);
	buf_add_str(&f.msg, TYPE "b");
	for (i = 0; i < 1000000; i++)
		buf_addf(&f.msg, ";x*%zu*=y", i * 2);
	buf_add_str(&f.msg, "\r\n\r\n");
	hostile(&f, "a million continuations");
	buf_clear(&f.msg);
	for (i = 0; i < 500000; i++)
		buf_add_str(&f.msg, "Content-Type: a\r\n");
	hostile(&f, "half a million fields");
	fixture_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_bare_lf),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_global), cmocka_unit_test(test_section),
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_search_borders),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
