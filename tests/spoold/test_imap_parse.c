/*
 * The rules of IMAP's grammar, a table a rule: what is taken, what is left, what is refused, each limit
 * at it and one past.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "imap/append_parse.h"
#include "imap/fetch_parse.h"
#include "imap/list_parse.h"
#include "imap/quote.h"
#include "imap/search_parse.h"
#include "imap/store_cmd.h"

struct row {
	const char	*name, *in, *want;	/* want: the value as shown, '|', what is left; "BAD" */
};

static struct arena	arena;

static void
show_set(char *out, const struct seq_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		out += sprintf(out, "%s%u:%u", i > 0 ? "," : "", set->r[i].lo, set->r[i].hi);
}

static void
show_flags(char *out, const struct flag_list *flags)
{
	out += sprintf(out, "%x", flags->flags);
	for (size_t i = 0; i < flags->nkeywords; i++)
		out += sprintf(out, " %.*s", (int)flags->keywords[i].n, flags->keywords[i].p);
}

enum rule { R_ATOM, R_ASTRING, R_NSTRING, R_PATTERN, R_NUMBER, R_NZ, R_TAG, R_SET, R_FLAGS, R_FLAG_RUN, R_DATE, R_DATE_TIME };

static enum parse
rule_run(enum rule rule, struct slice *cur, char *out)
{
	struct flag_list	flags;
	struct seq_set		set;
	struct slice		s = {NULL, 0};
	enum parse		r;
	int64_t			n;
	uint32_t		u;

	switch (rule) {
	case R_ATOM:
		r = parse_atom(cur, &s);
		break;
	case R_ASTRING:
		r = parse_astring(cur, &arena, &s);
		break;
	case R_NSTRING:
		r = parse_nstring(cur, &arena, &s);
		if (r == PARSE_OK && s.p == NULL)
			s = SLICE("<nil>");
		break;
	case R_PATTERN:
		r = parse_list_mailbox(cur, &arena, &s);
		break;
	case R_TAG:
		r = parse_tag(cur, &s);
		break;
	case R_NUMBER:
	case R_NZ:
		r = rule == R_NZ ? parse_nz_number(cur, &u) : parse_number(cur, &u);
		(void)sprintf(out, "%u", r == PARSE_OK ? u : 0);
		return r;
	case R_SET:
		if ((r = parse_sequence_set(cur, &arena, &set)) == PARSE_OK)
			show_set(out, &set);
		return r;
	case R_FLAGS:
	case R_FLAG_RUN:
		r = rule == R_FLAGS ? parse_flag_list(cur, &arena, &flags) : parse_flags(cur, &arena, &flags);
		if (r == PARSE_OK)
			show_flags(out, &flags);
		return r;
	case R_DATE:
	case R_DATE_TIME:
		r = rule == R_DATE ? parse_date(cur, &n) : parse_date_time(cur, &n);
		(void)sprintf(out, "%lld", r == PARSE_OK ? (long long)n : 0);
		return r;
	default:
		abort();
	}
	(void)sprintf(out, "%.*s", (int)s.n, s.n > 0 ? s.p : "");
	return r;
}

static void
rows_check(enum rule rule, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct slice	cur = slice_of(rows[i].in);
		char		shown[4096] = "", got[8192];
		enum parse	r = rule_run(rule, &cur, shown);

		if (r == PARSE_OK)
			(void)snprintf(got, sizeof(got), "%s|%.*s", shown, (int)cur.n, cur.p);
		else
			(void)strcpy(got, "BAD");
		if (r != PARSE_OK && cur.p != rows[i].in)
			fail_msg("%s: PARSE_BAD moved the cursor", rows[i].name);
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: got \"%s\", want \"%s\"", rows[i].name, got, rows[i].want);
		arena_reset(&arena);
	}
}
#define CHECK(rule, rows)	rows_check((rule), (rows), sizeof(rows) / sizeof((rows)[0]))

static void
test_strings(void **state)
{
	static const struct row	atoms[] = {
		{"atom", "FOO bar", "FOO| bar"}, {"empty", "", "BAD"}, {"space", " x", "BAD"}, {"paren", "(", "BAD"},
		{"bracket ends", "a]b", "a|]b"}, {"8-bit", "\xc3\xa4", "BAD"}, {"del", "\x7f", "BAD"},
		{"percent ends", "a%", "a|%"}, {"quote ends", "a\"b", "a|\"b"}, {"backslash", "\\Seen", "BAD"},
	};
	static const struct row	astrings[] = {
		{"atom with bracket", "a]b c", "a]b| c"}, {"quoted", "\"a b\" c", "a b| c"},
		{"empty quoted", "\"\"", "|"}, {"escapes", "\"a\\\"b\\\\c\"x", "a\"b\\c|x"},
		{"bad escape", "\"a\\n\"", "BAD"}, {"escape at end", "\"a\\", "BAD"}, {"open", "\"abc", "BAD"},
		{"line end inside", "\"a\r\nb\"", "BAD"}, {"8-bit quoted", "\"\xc3\xa4\"", "\xc3\xa4|"},
		{"4 bytes quoted", "\"\xf0\x9f\x98\x80\"", "\xf0\x9f\x98\x80|"}, {"Latin-1 quoted", "\"\xe4\"", "BAD"},
		{"cut UTF-8 quoted", "\"\xc3\"", "BAD"}, {"overlong", "\"\xc0\xaf\"", "BAD"}, {"surrogate", "\"\xed\xa0\x80\"", "BAD"},
		{"past Unicode", "\"\xf4\x90\x80\x80\"", "BAD"}, {"Latin-1 literal", "{1}\r\n\xe4", "\xe4|"},
		{"literal", "{3}\r\nabc d", "abc| d"}, {"nonsync", "{3+}\r\nabcd", "abc|d"}, {"empty literal", "{0}\r\nx", "|x"},
		{"literal too short", "{4}\r\nabc", "BAD"}, {"literal no CRLF", "{3}abc", "BAD"},
		{"literal no number", "{}\r\n", "BAD"}, {"literal negative", "{-1}\r\n", "BAD"},
		{"literal huge", "{18446744073709551617}\r\nx", "BAD"}, {"literal of 19 digits", "{1000000000000000000}\r\nx", "BAD"},
		{"literal lone LF", "{1}\nx", "BAD"}, {"literal8", "~{1}\r\nx", "~|{1}\r\nx"},
	};
	static const struct row	nstrings[] = {
		{"nil", "NIL)", "<nil>|)"}, {"nil in any case", "nIl", "<nil>|"}, {"nils", "NILS", "BAD"},
		{"quoted nil", "\"NIL\"", "NIL|"}, {"atom", "x", "BAD"},
	};
	static const struct row	patterns[] = {
		{"wildcards", "a%*b x", "a%*b| x"}, {"quoted", "\"*\"", "*|"}, {"bracket", "]", "]|"}, {"paren", "(", "BAD"},
	};
	static const struct row	tags[] = {
		{"tag", "a001 x", "a001| x"}, {"plus ends", "a+b", "a|+b"}, {"plus", "+", "BAD"}, {"star", "*", "BAD"},
		{"bracket", "a]", "a]|"},
	};

	(void)state;
	CHECK(R_ATOM, atoms);
	CHECK(R_ASTRING, astrings);
	CHECK(R_NSTRING, nstrings);
	CHECK(R_PATTERN, patterns);
	CHECK(R_TAG, tags);
}

static void
test_numbers(void **state)
{
	static const struct row	numbers[] = {
		{"zero", "0", "0|"}, {"most", "4294967295", "4294967295|"}, {"one past", "4294967296", "BAD"},
		{"64 bits and more", "18446744073709551617", "BAD"}, {"leading zeros", "007", "7|"}, {"none", "x", "BAD"},
		{"negative", "-1", "BAD"},
	};
	static const struct row	nz[] = {{"zero", "0", "BAD"}, {"leading zero", "01", "BAD"}, {"one", "1.2", "1|.2"}};
	static const struct row	sets[] = {
		{"one", "1", "1:1|"}, {"range", "2:4 x", "2:4| x"}, {"backwards", "4:2", "4:2|"}, {"star", "*", "0:0|"},
		{"star range", "*:1,3:*", "0:1,3:0|"}, {"many", "1,3,5:7", "1:1,3:3,5:7|"},
		{"most", "4294967295", "4294967295:4294967295|"}, {"past it", "4294967296", "BAD"}, {"zero", "0", "BAD"},
		{"range to zero", "1:0", "BAD"}, {"comma at end", "1,", "BAD"}, {"comma first", ",1", "BAD"},
		{"open range", "1:", "BAD"}, {"two colons", "1:2:3", "1:2|:3"}, {"double comma", "1,,2", "BAD"}, {"empty", "", "BAD"},
	};

	(void)state;
	CHECK(R_NUMBER, numbers);
	CHECK(R_NZ, nz);
	CHECK(R_SET, sets);
}

static void
test_set_limit(void **state)
{
	char	*text = malloc(2 * IMAP_SET_RANGES_MAX + 4);
	size_t	 n = 0;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < IMAP_SET_RANGES_MAX; i++) {
		text[n++] = '1';
		text[n++] = ',';
	}
	for (size_t more = 0; more <= 1; more++) {
		struct slice	cur = {text, n - 1 + 2 * more};
		struct seq_set	set;

		text[n] = '1';
		assert_int_equal(parse_sequence_set(&cur, &arena, &set), more == 0 ? PARSE_OK : PARSE_BAD);
	}
	arena_reset(&arena);
	free(text);
}

static void
test_flags(void **state)
{
	static const struct row	lists[] = {
		{"empty", "()", "0|"}, {"system", "(\\Seen \\answered)", "3|"}, {"keywords", "($Junk \\Draft NonJunk)x", "10 $Junk NonJunk|x"},
		{"recent", "(\\Recent)", "BAD"}, {"unknown system", "(\\Foo)", "BAD"}, {"longer than system", "(\\SeenX)", "BAD"},
		{"star", "(\\*)", "BAD"}, {"open", "(\\Seen", "BAD"}, {"two spaces", "(\\Seen  \\Draft)", "BAD"}, {"none", "\\Seen", "BAD"},
	};
	static const struct row	runs[] = {
		{"list", "(\\Flagged)", "4|"}, {"bare", "\\Flagged \\Deleted", "c|"}, {"bare keyword", "$x", "0 $x|"},
		{"space at end", "\\Seen ", "BAD"}, {"nothing", "", "BAD"}, {"recent", "\\Recent", "BAD"},
	};

	(void)state;
	CHECK(R_FLAGS, lists);
	CHECK(R_FLAG_RUN, runs);
}

static void
test_flag_limit(void **state)
{
	char	text[4 * IMAP_FLAGS_MAX];
	size_t	n = 0;

	(void)state;
	text[n++] = '(';
	for (size_t i = 0; i < IMAP_FLAGS_MAX; i++) {
		text[n++] = 'k';
		text[n++] = ' ';
	}
	for (size_t more = 0; more <= 1; more++) {
		struct slice		cur = {text, n + 2 * more};
		struct flag_list	flags;

		if (more == 1)
			memcpy(text + n - 1, " k)", 3);
		else
			text[n - 1] = ')';
		cur.n = n + 2 * more;
		assert_int_equal(parse_flag_list(&cur, &arena, &flags), more == 0 ? PARSE_OK : PARSE_BAD);
	}
	arena_reset(&arena);
}

static void
test_dates(void **state)
{
	static const struct row	dates[] = {
		{"epoch", "1-Jan-1970", "0|"}, {"quoted", "\"1-Feb-1994\" x", "8797| x"}, {"two digits", "01-feb-1994", "8797|"},
		{"leap day", "29-Feb-2000", "11016|"}, {"no leap day", "29-Feb-1900", "BAD"}, {"day 0", "0-Jan-2000", "BAD"},
		{"day 32", "32-Jan-2000", "BAD"}, {"31 April", "31-Apr-2000", "BAD"}, {"no month", "1-Foo-2000", "BAD"},
		{"short year", "1-Jan-99", "BAD"}, {"long year", "1-Jan-12345", "BAD"}, {"before the epoch", "31-Dec-1969", "-1|"},
		{"half quoted", "\"1-Jan-2000", "BAD"}, {"year 0", "1-Jan-0000", "-719528|"},
	};
	static const struct row	times[] = {
		{"RFC 3501", "\"17-Jul-1996 02:44:25 -0700\"", "837596665000|"},
		{"space day", "\" 1-Jan-1970 00:00:01 +0000\" {", "1000| {"}, {"east", "\" 1-Jan-1970 01:00:00 +0100\"", "0|"},
		{"one digit", "\"1-Jan-1970 00:00:00 +0000\"", "0|"}, {"leap second", "\"31-Dec-1998 23:59:60 +0000\"", "915148800000|"},
		{"hour 24", "\"31-Dec-1998 24:00:00 +0000\"", "BAD"}, {"no zone", "\"31-Dec-1998 23:00:00\"", "BAD"},
		{"bad zone", "\"31-Dec-1998 23:00:00 +2460\"", "BAD"}, {"not quoted", "31-Dec-1998", "BAD"},
	};

	(void)state;
	CHECK(R_DATE, dates);
	CHECK(R_DATE_TIME, times);
}

/* ---- FETCH ---- */

static void
show_section(char *out, size_t cap, const struct fetch_item *item)
{
	struct buf	b = buf_make(4096);

	(void)buf_addf(&b, "%d[", (int)item->kind);
	for (size_t i = 0; i < item->section.nnumbers; i++)
		(void)buf_addf(&b, "%u.", item->section.numbers[i]);
	(void)buf_addf(&b, "%d", (int)item->section.text);
	for (size_t i = 0; i < item->section.nfields; i++)
		(void)buf_addf(&b, " %.*s", (int)item->section.fields[i].n, item->section.fields[i].p);
	(void)buf_addf(&b, "]%s", item->is_peek ? "peek" : "");
	if (item->is_partial)
		(void)buf_addf(&b, "<%llu.%llu>", (unsigned long long)item->at, (unsigned long long)item->n);
	(void)snprintf(out + strlen(out), cap - strlen(out), "%.*s;", (int)b.n, b.p);
	buf_free(&b);
}

static void
test_fetch(void **state)
{
	static const struct row	rows[] = {
		{"flags", " 1 FLAGS", "0[0];"}, {"fast", " 1:* FAST", "0[0];2[0];3[0];"},
		{"full", " 1 full", "0[0];2[0];3[0];4[0];5[0];"}, {"list", " 1 (UID ENVELOPE BODYSTRUCTURE)", "1[0];4[0];6[0];"},
		{"body", " 1 BODY", "5[0];"}, {"whole", " 1 BODY[]", "7[0];"}, {"peek", " 1 (BODY.PEEK[HEADER])", "7[1]peek;"},
		{"partial", " 1 BODY[]<0.2048>", "7[0]<0.2048>;"}, {"partial of 33 bits", " 1 BODY[]<4294967296.4294967297>", "7[0]<4294967296.4294967297>;"},
		{"partial most", " 1 BODY[]<9223372036854775807.9223372036854775807>", "7[0]<9223372036854775807.9223372036854775807>;"},
		{"partial past", " 1 BODY[]<0.9223372036854775808>", "BAD"}, {"partial from past", " 1 BODY[]<9223372036854775808.1>", "BAD"}, {"partial of nothing", " 1 BODY[]<0.0>", "BAD"},
		{"partial open", " 1 BODY[]<0.1", "BAD"}, {"part", " 1 BODY[1.2.3]", "7[1.2.3.0];"}, {"mime", " 1 BODY[1.MIME]", "7[1.5];"},
		{"mime alone", " 1 BODY[MIME]", "BAD"}, {"text", " 1 BODY[4.TEXT]", "7[4.4];"}, {"part 0", " 1 BODY[0]", "BAD"},
		{"fields", " 1 BODY[HEADER.FIELDS (From \"To\")]", "7[2 From To];"},
		{"fields not", " 1 BODY.PEEK[2.HEADER.FIELDS.NOT (X)]", "7[2.3 X]peek;"}, {"fields empty", " 1 BODY[HEADER.FIELDS ()]", "BAD"},
		{"fields literal", " 1 BODY[HEADER.FIELDS ({4}\r\nDate)]", "7[2 Date];"},
		{"rfc822", " 1 RFC822", "8[0];"}, {"rfc822 parts", " 1 (RFC822.HEADER RFC822.TEXT RFC822.SIZE)", "9[1]peek;10[4];3[0];"},
		{"macro in a list", " 1 (FAST)", "BAD"}, {"peek of nothing", " 1 BODY.PEEK", "BAD"}, {"unknown", " 1 FOO", "BAD"},
		{"empty list", " 1 ()", "BAD"}, {"text after", " 1 FLAGS x", "BAD"}, {"open list", " 1 (FLAGS", "BAD"},
		{"no set", " FLAGS", "BAD"}, {"open section", " 1 BODY[", "BAD"}, {"dot at end", " 1 BODY[1.]", "BAD"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice		 cur = slice_of(rows[i].in);
		struct fetch_args	*args = ARENA_NEW(&arena, struct fetch_args, 1);
		char			 got[4096] = "";

		assert_non_null(args);
		if (parse_fetch_args(&cur, &arena, args) == PARSE_OK)
			for (size_t k = 0; k < args->nitems; k++)
				show_section(got, sizeof(got), &args->items[k]);
		else
			(void)strcpy(got, "BAD");
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: got \"%s\", want \"%s\"", rows[i].name, got, rows[i].want);
		arena_reset(&arena);
	}
}

/* `times` repetitions of piece after head, then tail: does it parse? */
static enum parse
repeat_parse(enum parse (*parse)(struct slice *), const char *head, const char *piece, size_t times, const char *tail)
{
	struct buf	b = buf_make(1024 * 1024);
	struct slice	cur;
	enum parse	r;

	(void)buf_add_str(&b, head);
	for (size_t i = 0; i < times; i++)
		(void)buf_add_str(&b, piece);
	assert_int_equal(buf_add_str(&b, tail), 0);
	cur = buf_slice(&b);
	r = parse(&cur);
	buf_free(&b);
	arena_reset(&arena);
	return r;
}

static enum parse
as_fetch(struct slice *cur)
{
	return parse_fetch_args(cur, &arena, ARENA_NEW(&arena, struct fetch_args, 1));
}

static enum parse
as_search(struct slice *cur)
{
	struct search_args	args;

	return parse_search_args(cur, &arena, &args);
}

static enum parse
as_list(struct slice *cur)
{
	struct list_args	args;

	return parse_list_args(cur, &arena, &args);
}

static void
test_limits(void **state)
{
	static const struct {
		const char	*name;
		enum parse	(*parse)(struct slice *);
		const char	*head, *piece, *tail;
		size_t		 most;
	} rows[] = {
		{"fetch items", as_fetch, " 1 (UID", " UID", ")", IMAP_FETCH_ITEMS_MAX - 1},
		{"section depth", as_fetch, " 1 BODY[1", ".1", "]", IMAP_SECTION_DEPTH_MAX - 1},
		{"header fields", as_fetch, " 1 BODY[HEADER.FIELDS (x", " x", ")]", IMAP_FIELDS_MAX - 1},
		{"search NOT", as_search, " ", "NOT ", "ALL", IMAP_SEARCH_DEPTH_MAX - 1},
		{"search OR", as_search, " ", "OR ALL ", "ALL", IMAP_SEARCH_DEPTH_MAX - 1},
		{"search keys", as_search, " ALL", " ALL", "", IMAP_SEARCH_KEYS_MAX - 2},
		{"list patterns", as_list, " \"\" (a", " a", ")", IMAP_LIST_PATTERNS_MAX - 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (repeat_parse(rows[i].parse, rows[i].head, rows[i].piece, rows[i].most, rows[i].tail) != PARSE_OK)
			fail_msg("%s: refused at the limit", rows[i].name);
		if (repeat_parse(rows[i].parse, rows[i].head, rows[i].piece, rows[i].most + 1, rows[i].tail) != PARSE_BAD)
			fail_msg("%s: taken one past the limit", rows[i].name);
	}
}

/* ---- SEARCH ---- */

static void
show_key(struct buf *b, const struct search_key *key)
{
	static const char *const	names[] = {
		[SEARCH_AND] = "and", [SEARCH_OR] = "or", [SEARCH_NOT] = "not", [SEARCH_ALL] = "all", [SEARCH_SEQ] = "seq",
		[SEARCH_UID] = "uid", [SEARCH_FLAG] = "flag", [SEARCH_RECENT] = "recent", [SEARCH_KEYWORD] = "keyword",
		[SEARCH_LARGER] = "larger", [SEARCH_SMALLER] = "smaller", [SEARCH_BEFORE] = "before", [SEARCH_ON] = "on",
		[SEARCH_SINCE] = "since", [SEARCH_SENTBEFORE] = "sentbefore", [SEARCH_SENTON] = "senton",
		[SEARCH_SENTSINCE] = "sentsince", [SEARCH_HEADER] = "header", [SEARCH_BODY] = "body", [SEARCH_TEXT] = "text",
		[SEARCH_OLDER] = "older", [SEARCH_YOUNGER] = "younger",
	};

	(void)buf_addf(b, "%s", names[key->op]);
	if (key->flag != 0)
		(void)buf_addf(b, " %x", key->flag);
	if (key->number != 0)
		(void)buf_addf(b, " %llu", (unsigned long long)key->number);
	if (key->day != 0)
		(void)buf_addf(b, " %lld", (long long)key->day);
	if (key->field.n > 0)
		(void)buf_addf(b, " %.*s", (int)key->field.n, key->field.p);
	if (key->text.n > 0)
		(void)buf_addf(b, " '%.*s'", (int)key->text.n, key->text.p);
	if (key->a == NULL)
		return;
	(void)buf_add_str(b, "(");
	for (const struct search_key *a = key->a; a != NULL; a = a->next) {
		show_key(b, a);
		if (a->next != NULL)
			(void)buf_add_str(b, ",");
	}
	(void)buf_add_str(b, ")");
}

static void
test_search(void **state)
{
	static const struct row	rows[] = {
		{"all", " ALL", "and(all)"}, {"set", " 1:5,*", "and(seq)"}, {"uid", " UID 5:*", "and(uid)"},
		{"flags", " SEEN UNDELETED", "and(flag 1,not(flag 8))"}, {"new", " NEW", "and(and(recent,not(flag 1)))"},
		{"old", " OLD", "and(not(recent))"}, {"or", " OR SEEN (FLAGGED DRAFT)", "and(or(flag 1,and(flag 4,flag 10)))"},
		{"not", " NOT FROM \"x\"", "and(not(header From 'x'))"}, {"header", " HEADER \"X-A\" {2}\r\nab", "and(header X-A 'ab')"},
		{"header empty", " HEADER X \"\"", "and(header X)"}, {"keyword", " UNKEYWORD $Junk", "and(not(keyword '$Junk'))"},
		{"sizes", " LARGER 5 SMALLER 9223372036854775807", "and(larger 5,smaller 9223372036854775807)"},
		{"size past", " SMALLER 9223372036854775808", "BAD"},
		{"dates", " SENTSINCE 2-Jan-1970 ON \"3-Jan-1970\"", "and(on 2,sentsince 1)"},
		{"cheap first", " TEXT a SUBJECT b SEEN", "and(flag 1,header Subject 'b',text 'a')"},
		{"charset", " CHARSET UTF-8 BODY a", "and(body 'a')"}, {"charset only", " CHARSET UTF-8", "BAD"},
		{"nothing", "", "BAD"}, {"space", " ", "BAD"}, {"space at end", " ALL ", "BAD"}, {"unknown", " FOO", "BAD"},
		{"no argument", " FROM", "BAD"}, {"bad date", " ON 1-1-2000", "BAD"}, {"empty list", " ()", "BAD"},
		{"open list", " (ALL", "BAD"}, {"or of one", " OR ALL", "BAD"}, {"set 0", " 0", "BAD"}, {"larger -1", " LARGER -1", "BAD"},
		{"within", " OLDER 1 YOUNGER 4294967295", "and(older 1,younger 4294967295)"}, {"within 0", " OLDER 0", "BAD"},
		{"within too long", " YOUNGER 4294967296", "BAD"}, {"saved", " OR $ UID $", "and(or(seq,uid))"}, {"saved and more", " $,1", "BAD"},
		{"return", " RETURN () CHARSET UTF-8 ALL", "and(all)"}, {"return after charset", " CHARSET UTF-8 RETURN () ALL", "BAD"},
		{"recent as keyword", " KEYWORD \\Seen", "BAD"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice		cur = slice_of(rows[i].in);
		struct search_args	args;
		struct buf		b = buf_make(4096);

		if (parse_search_args(&cur, &arena, &args) == PARSE_OK)
			show_key(&b, args.root);
		else
			(void)buf_add_str(&b, "BAD");
		if (!slice_is(buf_slice(&b), slice_of(rows[i].want)))
			fail_msg("%s: got \"%.*s\", want \"%s\"", rows[i].name, (int)b.n, b.p, rows[i].want);
		buf_free(&b);
		arena_reset(&arena);
	}
}

/* ---- LIST, STORE, APPEND ---- */

static void
test_list(void **state)
{
	static const struct row	rows[] = {
		{"plain", " \"\" *", "0 0 0 0 *,"}, {"quoted", " ref \"%\"", "0 0 0 0 %,"},
		{"select", " (SUBSCRIBED) \"\" *", "1 0 0 1 *,"}, {"no options", " () \"\" *", "0 0 0 1 *,"},
		{"recursive", " (RECURSIVEMATCH SUBSCRIBED) \"\" %", "5 0 0 1 %,"}, {"recursive alone", " (RECURSIVEMATCH) \"\" %", "BAD"},
		{"recursive remote", " (REMOTE RECURSIVEMATCH) \"\" %", "BAD"}, {"special", " (SPECIAL-USE) \"\" *", "8 0 0 1 *,"},
		{"patterns", " \"\" (INBOX \"a/%\")", "0 0 0 1 INBOX,a/%,"}, {"return", " \"\" * RETURN (SPECIAL-USE CHILDREN)", "0 24 0 1 *,"},
		{"return nothing", " \"\" * RETURN ()", "0 0 0 1 *,"}, {"status", " \"\" % RETURN (STATUS (MESSAGES UNSEEN) SUBSCRIBED)", "0 33 17 1 %,"},
		{"unknown select", " (FOO) \"\" *", "BAD"}, {"unknown return", " \"\" * RETURN (FOO)", "BAD"}, {"status empty", " \"\" * RETURN (STATUS ())", "BAD"},
		{"no pattern", " \"\"", "BAD"}, {"no patterns", " \"\" ()", "BAD"}, {"text after", " \"\" * x", "BAD"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice		cur = slice_of(rows[i].in);
		struct list_args	args;
		struct buf		b = buf_make(4096);

		if (parse_list_args(&cur, &arena, &args) == PARSE_OK) {
			(void)buf_addf(&b, "%u %u %u %d ", args.select, args.give, args.status_items, args.is_extended);
			for (size_t k = 0; k < args.npatterns; k++)
				(void)buf_addf(&b, "%.*s,", (int)args.patterns[k].n, args.patterns[k].p);
		} else {
			(void)buf_add_str(&b, "BAD");
		}
		if (!slice_is(buf_slice(&b), slice_of(rows[i].want)))
			fail_msg("%s: got \"%.*s\", want \"%s\"", rows[i].name, (int)b.n, b.p, rows[i].want);
		buf_free(&b);
		arena_reset(&arena);
	}
}

static void
test_store(void **state)
{
	static const struct { const char *in; enum parse want; enum flag_op op; bool is_silent; uint32_t flags; } rows[] = {
		{" 1 FLAGS (\\Seen)", PARSE_OK, FLAGS_SET, false, MSG_SEEN}, {" 1 FLAGS ()", PARSE_OK, FLAGS_SET, false, 0},
		{" 1 +FLAGS.SILENT \\Deleted", PARSE_OK, FLAGS_ADD, true, MSG_DELETED},
		{" 1:* -flags (\\Draft $x)", PARSE_OK, FLAGS_REMOVE, false, MSG_DRAFT}, {" 1 FLAGS", PARSE_BAD, 0, false, 0},
		{" 1 *FLAGS (\\Seen)", PARSE_BAD, 0, false, 0}, {" 1 FLAGS.LOUD (\\Seen)", PARSE_BAD, 0, false, 0},
		{" 1 +FLAGS (\\Recent)", PARSE_BAD, 0, false, 0}, {" +FLAGS (\\Seen)", PARSE_BAD, 0, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice		cur = slice_of(rows[i].in);
		struct store_args	args;

		if (parse_store_args(&cur, &arena, &args) != rows[i].want)
			fail_msg("%s: taken otherwise", rows[i].in);
		if (rows[i].want == PARSE_OK && (args.op != rows[i].op || args.is_silent != rows[i].is_silent ||
		    args.flags.flags != rows[i].flags))
			fail_msg("%s: another value", rows[i].in);
		arena_reset(&arena);
	}
}

/* kinds: the elements it has, a letter each (Head, Literal, Catenate, Text, Url, close); 8 is the end of UTF8's. */
static void
test_append(void **state)
{
	static const struct { const char *in, *kinds; size_t left; } rows[] = {
		{"a APPEND INBOX ", "HL", 0}, {"a append \"Sent Mail\" (\\Seen) ", "HL", 0},
		{"a APPEND INBOX (\\Seen) \" 1-Jan-2020 00:00:00 +0000\" ", "HL", 0}, {"a APPEND INBOX \"01-Jan-2020 00:00:00 +0000\" ", "HL", 0},
		{"a APPEND {5}\r\nINBOX ", "HL", 0}, {"a APPEND ", "", 9}, {"a APPEND INBOX", "", 14}, {"a APPEND INBOX (\\Recent) ", "H", 11},
		{"a APPEND INBOX (\\Seen)", "H", 8}, {"a APPEND INBOX \"yesterday\" ", "H", 13}, {"a SEARCH FROM ", "", 14},
		{"APPEND INBOX ", "", 13}, {"a APPEND INBOX () ~", "H", 5}, {"a APPEND INBOX  ", "H", 2}, {"a APPENDX INBOX ", "", 16},
		{"a REPLACE 4 Drafts (\\Seen) ", "HL", 0}, {"a UID REPLACE * Drafts CATENATE (TEXT ", "HCT", 0}, {"a REPLACE 1:2 Drafts ", "", 21},
		{"a REPLACE 0 Drafts ", "", 19}, {"a REPLACE Drafts ", "", 17}, {"a UID APPEND Drafts ", "", 20}, {"a UIDREPLACE 1 Drafts ", "", 22},
		{"a APPEND INBOX (\\Seen) CATENATE (URL /x)", "HCU)", 0}, {"a APPEND INBOX CATENATE (URL \"/x y\" URL {2}\r\n/y TEXT ", "HCUUT", 0},
		{"a APPEND INBOX catenate (text ", "HCT", 0}, {"a APPEND INBOX CATENATE ()", "HC", 1}, {"a APPEND INBOX CATENATE (URL /x URL /y", "HCU", 7},
		{"a APPEND INBOX UTF8 (", "HL", 0}, {"a APPEND INBOX (\\Seen) utf8 (", "HL", 0}, {"a APPEND INBOX UTF8 ()", "H", 8},
		{"a APPEND INBOX UTF8(", "H", 6}, {"a APPEND INBOX UTF8 ~", "H", 7}, {"a APPEND INBOX CATENATE (UTF8 (", "HCT", 0},
		{"a APPEND INBOX CATENATE (URL /x UTF8 (", "HCUT", 0}, {"a APPEND INBOX CATENATE (UTF8", "HC", 4},
		{"a APPEND INBOX CATENATE (URL /x) CATENATE (TEXT ", "HCU)CT", 0}, {"a APPEND INBOX CATENATE (URL /x )", "HCU", 2}, {"a APPEND INBOX CATENATE(URL /x)", "H", 17},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum append_place	place = APPEND_AT_HEAD;
		struct append_element	e;
		struct slice		cur = slice_of(rows[i].in);
		const char		*kind = rows[i].kinds;

		for (; parse_append_element(&cur, &arena, &place, &e) == PARSE_OK; kind++)
			if (*kind == '\0' || "HLCTU)8"[e.kind] != *kind)
				fail_msg("%s: another element", rows[i].in);
		if (*kind != '\0' || cur.n != rows[i].left)
			fail_msg("%s: another end", rows[i].in);
		arena_reset(&arena);
	}
}

static void
test_quote(void **state)
{
	static const struct row	rows[] = {
		{"plain", "abc", "\"abc\" abc"}, {"space", "a b", "\"a b\" \"a b\""}, {"empty", "", "\"\" \"\""},
		{"escapes", "a\"\\", "\"a\\\"\\\\\" \"a\\\"\\\\\""}, {"8-bit", "\xc3\xa4", "{2}\r\n\xc3\xa4 {2}\r\n\xc3\xa4"},
		{"line end", "a\r\nb", "{4}\r\na\r\nb {4}\r\na\r\nb"}, {"nil", "NIL", "\"NIL\" \"NIL\""}, {"wildcard", "a*", "\"a*\" \"a*\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf	b = buf_make(4096);

		assert_int_equal(quote_string(&b, slice_of(rows[i].in)), 0);
		(void)buf_add_str(&b, " ");
		assert_int_equal(quote_astring(&b, slice_of(rows[i].in)), 0);
		if (!slice_is(buf_slice(&b), slice_of(rows[i].want)))
			fail_msg("%s: got %.*s", rows[i].name, (int)b.n, b.p);
		buf_free(&b);
	}
}

/* For who enabled UTF-8. Past 1,024 bytes a string is a literal. */
static void
test_quote_utf8(void **state)
{
	static const struct row	rows[] = {
		{"plain", "a\"b", "\"a\\\"b\""}, {"two bytes", "\xc3\xa4", "\"\xc3\xa4\""}, {"four bytes", "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
		{"Latin-1", "\xe4", "{1}\r\n\xe4"}, {"cut", "a\xc3", "{2}\r\na\xc3"}, {"line end", "\xc3\xa4\r\n", "{4}\r\n\xc3\xa4\r\n"},
		{"DEL", "\x7f", "{1}\r\n\x7f"},
	};
	char			text[1026];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf	b = buf_make(4096);

		assert_int_equal(quote_utf8(&b, slice_of(rows[i].in)), 0);
		if (!slice_is(buf_slice(&b), slice_of(rows[i].want)))
			fail_msg("%s: got %.*s", rows[i].name, (int)b.n, b.p);
		buf_free(&b);
	}
	for (size_t n = 1024; n <= 1025; n++) {
		struct buf	b = buf_make(4096);

		memset(text, 'x', n);
		assert_int_equal(quote_utf8(&b, (struct slice){text, n}), 0);
		assert_int_equal(b.p[0], n == 1024 ? '"' : '{');
		buf_free(&b);
	}
}

static void
test_quote_date(void **state)
{
	static const struct { int64_t ms; const char *want; } rows[] = {
		{0, "\" 1-Jan-1970 00:00:00 +0000\""}, {837596665000, "\"17-Jul-1996 09:44:25 +0000\""},
		{-1, "\"31-Dec-1969 23:59:59 +0000\""}, {INT64_MAX, "\" 1-Jan-1970 00:00:00 +0000\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf	b = buf_make(64);

		assert_int_equal(quote_date_time(&b, rows[i].ms), 0);
		assert_true(slice_is(buf_slice(&b), slice_of(rows[i].want)));
		buf_free(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_strings), cmocka_unit_test(test_numbers), cmocka_unit_test(test_set_limit),
		cmocka_unit_test(test_flags), cmocka_unit_test(test_flag_limit), cmocka_unit_test(test_dates),
		cmocka_unit_test(test_fetch), cmocka_unit_test(test_limits), cmocka_unit_test(test_search),
		cmocka_unit_test(test_list), cmocka_unit_test(test_store), cmocka_unit_test(test_append),
		cmocka_unit_test(test_quote), cmocka_unit_test(test_quote_utf8), cmocka_unit_test(test_quote_date),
	};
	int	r;

	arena = arena_make(16 * 1024 * 1024);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	arena_free(&arena);
	return r;
}
