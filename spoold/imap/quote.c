/*
 * Writing strings and dates of IMAP's grammar. Used by every handler that sends a name or a field;
 * never sends CR or LF in a quoted string, nor 8-bit octets to who did not say that it takes UTF-8. RFC 3501 section 9.
 */
#include "imap/quote.h"

#include <time.h>

#include "imap/parse.h"
#include "imap/utf8.h"

#define QUOTED_MAX_BYTES	1024	/* longer strings go as literals: clients have line limits (RFC 2683 3.2.1.5) */

/* Text without control characters; past ASCII only where that is asked for and UTF-8. */
static bool
is_quotable(struct slice s, bool takes_utf8)
{
	bool	is_ascii = true;

	if (s.n > QUOTED_MAX_BYTES)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
		is_ascii = is_ascii && (unsigned char)s.p[i] < 0x7f;
	}
	return is_ascii || (takes_utf8 && utf8_is_valid(s));
}

static int
string_add(struct buf *b, struct slice s, bool takes_utf8)
{
	char	quoted[2 * QUOTED_MAX_BYTES + 2];
	size_t	n = 0;

	if (!is_quotable(s, takes_utf8)) {
		size_t	before = b->n;

		if (buf_addf(b, "{%zu}\r\n", s.n) == 0 && buf_add_slice(b, s) == 0)
			return 0;
		b->n = before;
		return -1;
	}
	quoted[n++] = '"';
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			quoted[n++] = '\\';
		quoted[n++] = s.p[i];
	}
	quoted[n++] = '"';
	return buf_add(b, quoted, n);
}

int
quote_string(struct buf *b, struct slice s)
{
	return string_add(b, s, false);
}

int
quote_utf8(struct buf *b, struct slice s)
{
	return string_add(b, s, true);
}

int
quote_astring(struct buf *b, struct slice s)
{
	if (s.n == 0 || slice_is_nocase(s, SLICE("NIL")))
		return quote_string(b, s);
	for (size_t i = 0; i < s.n; i++)
		if (!is_astring_char((unsigned char)s.p[i]))
			return quote_string(b, s);
	return buf_add_slice(b, s);
}

int
quote_date_time(struct buf *b, int64_t ms)
{
	static const char	months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t			t = (time_t)(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);
	struct tm		tm;

	/* date-year has four digits; what lies outside (a damaged clock) is told as the epoch. */
	if (gmtime_r(&t, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900) {
		t = 0;
		(void)gmtime_r(&t, &tm);
	}
	return buf_addf(b, "\"%2d-%.3s-%04d %02d:%02d:%02d +0000\"", tm.tm_mday, months + tm.tm_mon * 3,
	    tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}
