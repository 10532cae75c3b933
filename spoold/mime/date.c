/*
 * Date: values (RFC 5322 3.3, obsolete forms 4.3) as seconds since the epoch, and the day as it was
 * where the message was written. Called by IMAP's SEARCH SENTBEFORE and its like, and SORT. Pure. A date whose time
 * is missing counts as midnight UTC; an unknown zone as UTC (RFC 5322 4.3); an impossible date as none.
 */
#include "mime/mime.h"
#include "mime/text.h"

#define DATE_TEXT_MAX_BYTES	128	/* white space and comments gone, no date is half as long */

struct cursor {
	const char *p;
};

/* Digits at the cursor, least to most of them; -1 when there are fewer. */
static int
number(struct cursor *c, int least, int most)
{
	int n = 0, v = 0;

	while (n < most && c->p[n] >= '0' && c->p[n] <= '9')
		v = v * 10 + (c->p[n++] - '0');
	if (n < least)
		return -1;
	c->p += n;
	return v;
}

static void
space(struct cursor *c)
{
	while (*c->p == ' ')
		c->p++;
}

static bool
skip(struct cursor *c, char want)
{
	struct cursor at = *c;

	space(&at);
	if (*at.p != want)
		return false;
	at.p++;
	space(&at);
	*c = at;
	return true;
}

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* month-name, 1 to 12; 0 when it is none */
static int
month(struct cursor *c)
{
	static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
	int i;

	for (i = 0; i < 12; i++)
		if (strncasecmp(c->p, names + 3 * i, 3) == 0) {
			while (is_alpha(*c->p))
				c->p++;
			return i + 1;
		}
	return 0;
}

static bool
is_leap(int y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int
month_days(int y, int m)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[m - 1] + (m == 2 && is_leap(y));
}

/* Days from 1970-01-01 to that day, in the Gregorian calendar. */
static int64_t
days_since_epoch(int y, int m, int d)
{
	int64_t years = y - 1, days = years * 365 + years / 4 - years / 100 + years / 400;
	int i;

	for (i = 1; i < m; i++)
		days += month_days(y, i);
	return days + d - 1 - 719162;	/* 0001-01-01 to 1970-01-01 */
}

/* date = day month year; the year of two or three digits as RFC 5322 4.3 says */
static bool
date(struct cursor *c, int64_t *day_out)
{
	const char *at;
	int d, m, y;

	if ((d = number(c, 1, 2)) == -1)
		return false;
	while (*c->p == ' ' || *c->p == '-')
		c->p++;
	if ((m = month(c)) == 0)
		return false;
	while (*c->p == ' ' || *c->p == '-')
		c->p++;
	at = c->p;
	if ((y = number(c, 2, 4)) == -1)
		return false;
	if (c->p - at == 2)
		y += y < 50 ? 2000 : 1900;
	else if (c->p - at == 3)
		y += 1900;
	if (y < 1900 || d < 1 || d > month_days(y, m))
		return false;
	*day_out = days_since_epoch(y, m, d);
	return true;
}

/* zone, in seconds east of UTC */
static int
zone(struct cursor *c)
{
	static const struct {
		char	name[4];
		int	hours;
	} zones[] = {{"EST", -5}, {"EDT", -4}, {"CST", -6}, {"CDT", -5}, {"MST", -7}, {"MDT", -6}, {"PST", -8}, {"PDT", -7}};
	size_t i;

	space(c);
	if (*c->p == '+' || *c->p == '-') {
		int sign = *c->p++ == '-' ? -1 : 1, hhmm = number(c, 4, 4);

		return hhmm == -1 || hhmm % 100 > 59 ? 0 : sign * (hhmm / 100 * 3600 + hhmm % 100 * 60);
	}
	for (i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
		if (strncasecmp(c->p, zones[i].name, 3) == 0 && !is_alpha(c->p[3]))
			return zones[i].hours * 3600;
	return 0;
}

/* time = hour ":" minute [":" second] zone; in seconds after midnight UTC; false when it is no time of day */
static bool
time_of_day(struct cursor *c, int *seconds_out)
{
	int h, m, s = 0;

	*seconds_out = 0;
	space(c);
	if (*c->p == '\0')
		return true;
	if ((h = number(c, 1, 2)) == -1 || !skip(c, ':') || (m = number(c, 1, 2)) == -1)
		return false;
	if (skip(c, ':') && (s = number(c, 1, 2)) == -1)
		return false;
	if (h > 23 || m > 59 || s > 60)
		return false;
	*seconds_out = h * 3600 + m * 60 + s - zone(c);
	return true;
}

/* The day, and the time where *has_time_out; false when there is no day. */
static bool
date_and_time(struct slice value, int64_t *day_out, int *seconds_out, bool *has_time_out)
{
	char bytes[DATE_TEXT_MAX_BYTES + 1];
	struct text t = text_make(TEXT_PHRASE, value);
	struct cursor c = {bytes};
	size_t n = 0;
	int b;

	while ((b = text_next(&t)) != -1) {
		if (n == DATE_TEXT_MAX_BYTES)
			return false;
		bytes[n++] = b == '\t' ? ' ' : (char)b;
	}
	bytes[n] = '\0';
	while (is_alpha(*c.p))		/* [day-of-week ","]: not needed, often wrong */
		c.p++;
	while (*c.p == ' ' || *c.p == ',' || *c.p == '.')
		c.p++;
	if (!date(&c, day_out))
		return false;
	*has_time_out = time_of_day(&c, seconds_out);
	return true;
}

bool
mime_date(struct slice value, int64_t *utc_s_out, int64_t *local_day_out)
{
	int seconds;
	bool has_time;

	if (!date_and_time(value, local_day_out, &seconds, &has_time) || !has_time)
		return false;
	*utc_s_out = *local_day_out * 86400 + seconds;
	return true;
}

bool
mime_sent_date(struct slice value, int64_t *utc_s_out)
{
	int64_t day;
	int seconds;
	bool has_time;

	if (!date_and_time(value, &day, &seconds, &has_time))
		return false;
	*utc_s_out = day * 86400 + (has_time ? seconds : 0);
	return true;
}
