/*
 * Names and bounds of days. Called by whoever looks into the spool's directory and by the clock of
 * rotation. Local times go through mktime, so that a day of 23 or 25 hours is right.
 */
#include "day.h"

#include <stdio.h>
#include <time.h>

#define DAY_NAME_BYTES	10	/* YYYY-MM-DD */

/* Days since 1970-01-01 of a date of the Gregorian calendar (years from March, in eras of 400 years). */
static int64_t
days_of_date(int64_t year, unsigned month, unsigned mday)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400, of_era = y - era * 400;
	int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)mday - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void
date_of_days(int64_t number, struct tm *out)
{
	time_t t = (time_t)(number * 86400);

	gmtime_r(&t, out);
}

void
day_make(int64_t number, unsigned part, struct day *out)
{
	struct tm tm;
	int n;

	date_of_days(number, &tm);
	out->number = number;
	out->part = part;
	n = snprintf(out->name, sizeof(out->name), "%04d-%02d-%02d", (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday);
	if (part > 1)
		snprintf(out->name + n, sizeof(out->name) - (size_t)n, ".%u", part);
}

static bool
digits(const char *p, size_t n, unsigned *out)
{
	*out = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		*out = *out * 10 + (unsigned)(p[i] - '0');
	}
	return n > 0;
}

bool
day_parse(struct slice s, struct day *out)
{
	unsigned year, month, mday, part = 1;
	size_t npart = s.n > DAY_NAME_BYTES ? s.n - DAY_NAME_BYTES - 1 : 0;

	if (s.n < DAY_NAME_BYTES || s.p[4] != '-' || s.p[7] != '-' || !digits(s.p, 4, &year) ||
	    !digits(s.p + 5, 2, &month) || !digits(s.p + 8, 2, &mday) || year < 1970 || month < 1 || month > 12)
		return false;
	/* DAY_PART_MAX has 9 digits. */
	if (s.n > DAY_NAME_BYTES && (s.p[DAY_NAME_BYTES] != '.' || npart > 9 ||
	    !digits(s.p + DAY_NAME_BYTES + 1, npart, &part) || part < 2))
		return false;
	day_make(days_of_date(year, month, mday), part, out);
	/* Also refuses the 30th of February and leading zeros of the part. */
	return slice_is(slice_of(out->name), s);
}

int
day_compare(const struct day *a, const struct day *b)
{
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return (a->part > b->part) - (a->part < b->part);
}

/*
 * hour:minute of now's local date, moved by so many days. Where the clock shows that time twice, the first; where it
 * does not show it at all, as long after midnight as it would have been. Asking mktime to choose (tm_isdst -1) would
 * have it choose differently from call to call.
 */
static int64_t
start_near(int64_t now_s, int move, unsigned hour, unsigned minute)
{
	time_t now = (time_t)now_s, start = 0;
	struct tm today, tm;

	localtime_r(&now, &today);
	for (int isdst = 1; isdst >= 0; isdst--) {
		tm = today;
		tm.tm_mday += move;
		tm.tm_hour = (int)hour;
		tm.tm_min = (int)minute;
		tm.tm_sec = 0;
		tm.tm_isdst = isdst;
		start = mktime(&tm);
		if (tm.tm_isdst == isdst && tm.tm_hour == (int)hour && tm.tm_min == (int)minute)
			break;
	}
	return (int64_t)start;
}

int64_t
day_number_at(int64_t now_s, unsigned hour, unsigned minute)
{
	time_t now = (time_t)now_s;
	struct tm tm;
	int64_t number;

	localtime_r(&now, &tm);
	number = days_of_date(tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday);
	return now_s < start_near(now_s, 0, hour, minute) ? number - 1 : number;
}

int64_t
day_next_start(int64_t now_s, unsigned hour, unsigned minute)
{
	int64_t today = start_near(now_s, 0, hour, minute);

	return now_s < today ? today : start_near(now_s, 1, hour, minute);
}
