/*
 * The small rules of IMAP's grammar; see parse.h. Commands' own arguments are parsed beside their
 * handlers (fetch_parse.c, search_parse.c, list_parse.c) out of these. Nothing here does I/O or logs.
 * RFC 3501 section 9.
 */
#include "imap/parse.h"

#include "imap/utf8.h"
#include "record.h"

/* atom-specials = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials */
bool
is_atom_char(unsigned char c)
{
	return c > ' ' && c < 0x7f && strchr("(){%*\"\\]", c) == NULL;
}

/* ASTRING-CHAR = ATOM-CHAR / resp-specials */
bool
is_astring_char(unsigned char c)
{
	return is_atom_char(c) || c == ']';
}

static bool
is_list_char(unsigned char c)
{
	return is_astring_char(c) || c == '%' || c == '*';
}

static bool
is_tag_char(unsigned char c)
{
	return is_astring_char(c) && c != '+';
}

static struct slice
slice_after(struct slice s, size_t n)
{
	return (struct slice){s.p + n, s.n - n};
}

/* 1*<char that is_in accepts> */
static enum parse
parse_run(struct slice *cur, bool (*is_in)(unsigned char), struct slice *out)
{
	size_t	n = 0;

	while (n < cur->n && is_in((unsigned char)cur->p[n]))
		n++;
	if (n == 0)
		return PARSE_BAD;
	*out = (struct slice){cur->p, n};
	*cur = slice_after(*cur, n);
	return PARSE_OK;
}

enum parse
parse_byte(struct slice *cur, char c)
{
	if (cur->n == 0 || cur->p[0] != c)
		return PARSE_BAD;
	*cur = slice_after(*cur, 1);
	return PARSE_OK;
}

enum parse
parse_sp(struct slice *cur)
{
	return parse_byte(cur, ' ');
}

enum parse
parse_word(struct slice *cur, const char *word)
{
	size_t	n = strlen(word);

	if (cur->n < n || strncasecmp(cur->p, word, n) != 0)
		return PARSE_BAD;
	if (cur->n > n && cur->p[n] != '[' && is_astring_char((unsigned char)cur->p[n]))
		return PARSE_BAD;
	*cur = slice_after(*cur, n);
	return PARSE_OK;
}

enum parse
parse_end(const struct slice *cur)
{
	return cur->n == 0 ? PARSE_OK : PARSE_BAD;
}

/* tag = 1*<any ASTRING-CHAR except "+"> */
enum parse
parse_tag(struct slice *cur, struct slice *out)
{
	return parse_run(cur, is_tag_char, out);
}

/* atom = 1*ATOM-CHAR */
enum parse
parse_atom(struct slice *cur, struct slice *out)
{
	return parse_run(cur, is_atom_char, out);
}

static size_t
digits_count(struct slice s)
{
	size_t	n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

/* number = 1*DIGIT ; unsigned 32-bit integer */
enum parse
parse_number(struct slice *cur, uint32_t *out)
{
	size_t		n = digits_count(*cur);
	uint64_t	v = 0;

	if (n == 0)
		return PARSE_BAD;
	for (size_t i = 0; i < n; i++) {
		v = v * 10 + (uint64_t)(cur->p[i] - '0');
		if (v > UINT32_MAX)
			return PARSE_BAD;
	}
	*out = (uint32_t)v;
	*cur = slice_after(*cur, n);
	return PARSE_OK;
}

/* nz-number = digit-nz *DIGIT */
enum parse
parse_nz_number(struct slice *cur, uint32_t *out)
{
	if (cur->n == 0 || cur->p[0] == '0')
		return PARSE_BAD;
	return parse_number(cur, out);
}

/* number64 = 1*DIGIT ; unsigned 63-bit integer (RFC 9051 9) */
enum parse
parse_number64(struct slice *cur, uint64_t *out)
{
	size_t		n = digits_count(*cur);
	uint64_t	v = 0;

	if (n == 0)
		return PARSE_BAD;
	for (size_t i = 0; i < n; i++) {
		uint64_t	digit = (uint64_t)(cur->p[i] - '0');

		if (v > (IMAP_MODSEQ_MAX - digit) / 10)
			return PARSE_BAD;
		v = v * 10 + digit;
	}
	*out = v;
	*cur = slice_after(*cur, n);
	return PARSE_OK;
}

/* mod-sequence-valzer = "0" / mod-sequence-value ; mod-sequence-value = 1*DIGIT, 63 bits (RFC 7162 7) */
enum parse
parse_mod_sequence(struct slice *cur, uint64_t *out)
{
	return parse_number64(cur, out);
}

/* quoted = DQUOTE *QUOTED-CHAR DQUOTE ; QUOTED-CHAR =/ UTF8-2 / UTF8-3 / UTF8-4 (RFC 9051 9, RFC 6855 3) */
enum parse
parse_quoted(struct slice *cur, struct arena *arena, struct slice *out)
{
	size_t	i, escapes = 0;
	char	*copy;

	if (cur->n == 0 || cur->p[0] != '"')
		return PARSE_BAD;
	for (i = 1; i < cur->n && cur->p[i] != '"'; i++) {
		if (cur->p[i] == '\r' || cur->p[i] == '\n')
			return PARSE_BAD;
		if (cur->p[i] != '\\')
			continue;
		i++;
		if (i == cur->n || (cur->p[i] != '"' && cur->p[i] != '\\'))
			return PARSE_BAD;
		escapes++;
	}
	if (i == cur->n || !utf8_is_valid((struct slice){cur->p + 1, i - 1}))
		return PARSE_BAD;
	if (escapes == 0) {
		*out = (struct slice){cur->p + 1, i - 1};
		*cur = slice_after(*cur, i + 1);
		return PARSE_OK;
	}
	if ((copy = ARENA_NEW(arena, char, i)) == NULL)
		return PARSE_BAD;
	*out = (struct slice){copy, 0};
	for (size_t j = 1; j < i; j++) {
		if (cur->p[j] == '\\')
			j++;
		copy[out->n++] = cur->p[j];
	}
	*cur = slice_after(*cur, i + 1);
	return PARSE_OK;
}

/* literal = "{" number ["+"] "}" CRLF *CHAR8 (RFC 7888 4): up to the CRLF */
enum parse
parse_literal_mark(struct slice *cur, uint64_t *n_out)
{
	struct slice	s = *cur;
	size_t		n;
	uint64_t	v = 0;

	if (parse_byte(&s, '{') != PARSE_OK)
		return PARSE_BAD;
	if ((n = digits_count(s)) == 0 || n > 18)	/* 18 digits: below 2^63 */
		return PARSE_BAD;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	s = slice_after(s, n);
	(void)parse_byte(&s, '+');
	if (parse_byte(&s, '}') != PARSE_OK || parse_byte(&s, '\r') != PARSE_OK || parse_byte(&s, '\n') != PARSE_OK)
		return PARSE_BAD;
	*n_out = v;
	*cur = s;
	return PARSE_OK;
}

enum parse
parse_literal(struct slice *cur, struct slice *out)
{
	struct slice	s = *cur;
	uint64_t	n;

	if (parse_literal_mark(&s, &n) != PARSE_OK || n > s.n)
		return PARSE_BAD;
	*out = (struct slice){s.p, (size_t)n};
	*cur = slice_after(s, (size_t)n);
	return PARSE_OK;
}

/* string = quoted / literal */
enum parse
parse_string(struct slice *cur, struct arena *arena, struct slice *out)
{
	if (parse_quoted(cur, arena, out) == PARSE_OK)
		return PARSE_OK;
	return parse_literal(cur, out);
}

/* nstring = string / nil */
enum parse
parse_nstring(struct slice *cur, struct arena *arena, struct slice *out)
{
	if (parse_word(cur, "NIL") == PARSE_OK) {
		*out = (struct slice){NULL, 0};
		return PARSE_OK;
	}
	return parse_string(cur, arena, out);
}

/* astring = 1*ASTRING-CHAR / string */
enum parse
parse_astring(struct slice *cur, struct arena *arena, struct slice *out)
{
	if (parse_run(cur, is_astring_char, out) == PARSE_OK)
		return PARSE_OK;
	return parse_string(cur, arena, out);
}

/* list-mailbox = 1*list-char / string */
enum parse
parse_list_mailbox(struct slice *cur, struct arena *arena, struct slice *out)
{
	if (parse_run(cur, is_list_char, out) == PARSE_OK)
		return PARSE_OK;
	return parse_string(cur, arena, out);
}

/* seq-number = nz-number / "*" */
static enum parse
parse_seq_number(struct slice *cur, uint32_t *out)
{
	if (parse_byte(cur, '*') == PARSE_OK) {
		*out = SEQ_STAR;
		return PARSE_OK;
	}
	return parse_nz_number(cur, out);
}

/* sequence-set = (seq-number / seq-range) *("," sequence-set) / "$" ; seq-range = seq-number ":" seq-number; RFC 5182 3 */
enum parse
parse_sequence_set(struct slice *cur, struct arena *arena, struct seq_set *out)
{
	struct slice	s = *cur;
	struct seq_set	set = {NULL, 0, false};
	size_t		most = 1;

	if (parse_byte(cur, '$') == PARSE_OK) {
		*out = (struct seq_set){NULL, 0, true};
		return PARSE_OK;
	}
	for (size_t i = 0; i < s.n && strchr("0123456789*:,", s.p[i]) != NULL && s.p[i] != '\0'; i++)
		most += s.p[i] == ',';
	if (most > IMAP_SET_RANGES_MAX)
		return PARSE_BAD;
	if ((set.r = ARENA_NEW(arena, struct seq_range, most)) == NULL)
		return PARSE_BAD;
	do {
		struct seq_range *r = &set.r[set.n];

		if (set.n == most || parse_seq_number(&s, &r->lo) != PARSE_OK)
			return PARSE_BAD;
		r->hi = r->lo;
		if (parse_byte(&s, ':') == PARSE_OK && parse_seq_number(&s, &r->hi) != PARSE_OK)
			return PARSE_BAD;
		set.n++;
	} while (parse_byte(&s, ',') == PARSE_OK);
	*out = set;
	*cur = s;
	return PARSE_OK;
}

/* flag = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" / flag-keyword */
static enum parse
parse_flag(struct slice *cur, struct flag_list *list)
{
	static const struct { const char *name; uint32_t flag; } system[] = {
		{"\\Answered", MSG_ANSWERED}, {"\\Flagged", MSG_FLAGGED}, {"\\Deleted", MSG_DELETED},
		{"\\Seen", MSG_SEEN}, {"\\Draft", MSG_DRAFT},
	};

	if (cur->n > 0 && cur->p[0] == '\\') {
		for (size_t i = 0; i < sizeof(system) / sizeof(system[0]); i++) {
			if (parse_word(cur, system[i].name) == PARSE_OK) {
				list->flags |= system[i].flag;
				return PARSE_OK;
			}
		}
		return PARSE_BAD;
	}
	if (list->nkeywords == IMAP_FLAGS_MAX)
		return PARSE_BAD;
	if (parse_atom(cur, &list->keywords[list->nkeywords]) != PARSE_OK)
		return PARSE_BAD;
	list->nkeywords++;
	return PARSE_OK;
}

/* flag *(SP flag) */
static enum parse
parse_flag_run(struct slice *cur, struct arena *arena, struct flag_list *out)
{
	*out = (struct flag_list){.keywords = ARENA_NEW(arena, struct slice, IMAP_FLAGS_MAX)};
	if (out->keywords == NULL)
		return PARSE_BAD;
	do {
		if (parse_flag(cur, out) != PARSE_OK)
			return PARSE_BAD;
	} while (parse_sp(cur) == PARSE_OK);
	return PARSE_OK;
}

/* flag-list = "(" [flag *(SP flag)] ")" */
enum parse
parse_flag_list(struct slice *cur, struct arena *arena, struct flag_list *out)
{
	struct slice		s = *cur;
	struct flag_list	list = {0};

	if (parse_byte(&s, '(') != PARSE_OK)
		return PARSE_BAD;
	if (parse_byte(&s, ')') != PARSE_OK) {
		if (parse_flag_run(&s, arena, &list) != PARSE_OK || parse_byte(&s, ')') != PARSE_OK)
			return PARSE_BAD;
	}
	*out = list;
	*cur = s;
	return PARSE_OK;
}

/* store-att-flags: flag-list / (flag *(SP flag)) */
enum parse
parse_flags(struct slice *cur, struct arena *arena, struct flag_list *out)
{
	struct slice	s = *cur;

	if (parse_flag_list(cur, arena, out) == PARSE_OK)
		return PARSE_OK;
	if (parse_flag_run(&s, arena, out) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* least..most digits, the value into *out */
static enum parse
parse_digits(struct slice *cur, size_t least, size_t most, int *out)
{
	size_t	n = digits_count(*cur);

	if (n < least || n > most)
		return PARSE_BAD;
	*out = 0;
	for (size_t i = 0; i < n; i++)
		*out = *out * 10 + (cur->p[i] - '0');
	*cur = slice_after(*cur, n);
	return PARSE_OK;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar, by counting years from March. */
static int64_t
day_of(int year, int month, int day)
{
	int64_t	y = month <= 2 ? year - 1 : year;
	int64_t	m = month <= 2 ? month + 9 : month - 3;	/* March is 0 */
	int64_t	era = (y >= 0 ? y : y - 399) / 400;
	int64_t	yoe = y - era * 400;
	int64_t	doy = (153 * m + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int
month_days(int year, int month)
{
	static const int	days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool			leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* date-text = date-day "-" date-month "-" date-year */
static enum parse
parse_date_text(struct slice *cur, int64_t *day_out)
{
	static const char	months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct slice		s = *cur;
	int			day, month, year;

	if (parse_digits(&s, 1, 2, &day) != PARSE_OK || parse_byte(&s, '-') != PARSE_OK || s.n < 3)
		return PARSE_BAD;
	for (month = 1; month <= 12; month++)
		if (strncasecmp(s.p, months + (month - 1) * 3, 3) == 0)
			break;
	if (month > 12)
		return PARSE_BAD;
	s = slice_after(s, 3);
	if (parse_byte(&s, '-') != PARSE_OK || parse_digits(&s, 4, 4, &year) != PARSE_OK)
		return PARSE_BAD;
	if (day < 1 || day > month_days(year, month))
		return PARSE_BAD;
	*day_out = day_of(year, month, day);
	*cur = s;
	return PARSE_OK;
}

/* date = date-text / DQUOTE date-text DQUOTE */
enum parse
parse_date(struct slice *cur, int64_t *day_out)
{
	struct slice	s = *cur;

	if (parse_byte(&s, '"') != PARSE_OK)
		return parse_date_text(cur, day_out);
	if (parse_date_text(&s, day_out) != PARSE_OK || parse_byte(&s, '"') != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* time = 2DIGIT ":" 2DIGIT ":" 2DIGIT ; a leap second is 60 */
static enum parse
parse_time(struct slice *cur, int64_t *s_out)
{
	int	h, m, s;

	if (parse_digits(cur, 2, 2, &h) != PARSE_OK || parse_byte(cur, ':') != PARSE_OK ||
	    parse_digits(cur, 2, 2, &m) != PARSE_OK || parse_byte(cur, ':') != PARSE_OK ||
	    parse_digits(cur, 2, 2, &s) != PARSE_OK)
		return PARSE_BAD;
	if (h > 23 || m > 59 || s > 60)
		return PARSE_BAD;
	*s_out = h * 3600 + m * 60 + s;
	return PARSE_OK;
}

/* zone = ("+" / "-") 4DIGIT */
static enum parse
parse_zone(struct slice *cur, int64_t *s_out)
{
	int	hhmm, sign = 1;

	if (parse_byte(cur, '-') == PARSE_OK)
		sign = -1;
	else if (parse_byte(cur, '+') != PARSE_OK)
		return PARSE_BAD;
	if (parse_digits(cur, 4, 4, &hhmm) != PARSE_OK || hhmm / 100 > 23 || hhmm % 100 > 59)
		return PARSE_BAD;
	*s_out = sign * (hhmm / 100 * 3600 + hhmm % 100 * 60);
	return PARSE_OK;
}

/* date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE */
enum parse
parse_date_time(struct slice *cur, int64_t *ms_out)
{
	struct slice	s = *cur;
	int64_t		day, time_s, zone_s;

	if (parse_byte(&s, '"') != PARSE_OK)
		return PARSE_BAD;
	(void)parse_sp(&s);	/* date-day-fixed = (SP DIGIT) / 2DIGIT */
	if (parse_date_text(&s, &day) != PARSE_OK || parse_sp(&s) != PARSE_OK ||
	    parse_time(&s, &time_s) != PARSE_OK || parse_sp(&s) != PARSE_OK ||
	    parse_zone(&s, &zone_s) != PARSE_OK || parse_byte(&s, '"') != PARSE_OK)
		return PARSE_BAD;
	*ms_out = (day * 86400 + time_s - zone_s) * 1000;
	*cur = s;
	return PARSE_OK;
}
