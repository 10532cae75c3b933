/*
 * Names and bounds of days, in zones where a day has 23, 24 and 25 hours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "day.h"
#include "settings.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static void
test_names(void **state)
{
	static const struct {
		const char	*name;
		bool		 want;
		int64_t		 number;
		unsigned	 part;
	} rows[] = {
		{"1970-01-01", true, 0, 1}, {"1970-01-02", true, 1, 1}, {"2000-02-29", true, 11016, 1},
		{"2026-11-22", true, 20779, 1}, {"2026-11-22.2", true, 20779, 2}, {"2026-11-22.999999999", true, 20779, 999999999},
		{"9999-12-31", true, 2932896, 1},
		{"2026-11-22.1", false, 0, 0}, {"2026-11-22.0", false, 0, 0}, {"2026-11-22.02", false, 0, 0},
		{"2026-11-22.", false, 0, 0}, {"2026-11-22.1000000000", false, 0, 0}, {"2026-11-22.2x", false, 0, 0},
		{"2026-11-22 ", false, 0, 0}, {"2026-1-22", false, 0, 0}, {"2026-13-01", false, 0, 0}, {"2026-00-01", false, 0, 0},
		{"2026-02-29", false, 0, 0}, {"1900-02-28", false, 0, 0}, {"2026-11-31", false, 0, 0}, {"", false, 0, 0},
		{"lost+found", false, 0, 0}, {"2026/11/22", false, 0, 0}, {"-026-11-22", false, 0, 0},
	};
	struct day d;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool got = day_parse(slice_of(rows[i].name), &d);

		if (got != rows[i].want || (got && (d.number != rows[i].number || d.part != rows[i].part ||
		    strcmp(d.name, rows[i].name) != 0)))
			fail_msg("%s", rows[i].name);
	}
	/* Every day of four centuries comes back. */
	for (int64_t n = 0; n < 146097; n++) {
		struct day made;

		day_make(n, 1, &made);
		assert_true(day_parse(slice_of(made.name), &d));
		assert_int_equal(d.number, n);
	}
}

static void
test_order(void **state)
{
	struct day a, b, c;

	(void)state;
	day_make(20779, 2, &a);
	day_make(20779, 10, &b);
	day_make(20780, 1, &c);
	assert_true(day_compare(&a, &b) < 0);
	assert_true(day_compare(&b, &c) < 0);
	assert_true(day_compare(&c, &a) > 0);
	assert_true(day_compare(&a, &a) == 0);
}

static void
zone(const char *name)
{
	setenv("TZ", name, 1);
	tzset();
}

static void
test_bounds(void **state)
{
	/* Rules spelled out, so that no zone files are needed: clocks change on the last Sundays of March and October. */
	static const char berlin[] = "CET-1CEST,M3.5.0,M10.5.0/3", utc[] = "UTC0";
	static const struct {
		const char	*name, *zone;
		int64_t		 now;
		unsigned	 hour, minute;
		int64_t		 number, next;
	} rows[] = {
		{"midnight itself", utc, 20779 * 86400, 0, 0, 20779, 20780 * 86400},
		{"a second before", utc, 20779 * 86400 - 1, 0, 0, 20778, 20779 * 86400},
		{"before four", utc, 20779 * 86400 + 4 * 3600 - 1, 4, 0, 20778, 20779 * 86400 + 4 * 3600},
		{"at four", utc, 20779 * 86400 + 4 * 3600, 4, 0, 20779, 20780 * 86400 + 4 * 3600},
		{"evening", utc, 20779 * 86400 + 23 * 3600, 23, 30, 20778, 20779 * 86400 + 23 * 3600 + 1800},
		/* 2026-03-29: 23 hours; 2026-10-25: 25 hours. Midnight there is 23:00 or 22:00 UTC of the day before. */
		{"short day", berlin, 1774738800, 0, 0, 20541, 1774738800 + 23 * 3600},
		{"end of the short day", berlin, 1774738800 + 23 * 3600 - 1, 0, 0, 20541, 1774738800 + 23 * 3600},
		{"long day", berlin, 1792879200, 0, 0, 20751, 1792879200 + 25 * 3600},
		{"end of the long day", berlin, 1792879200 + 25 * 3600 - 1, 0, 0, 20751, 1792879200 + 25 * 3600},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t number, next;

		zone(rows[i].zone);
		number = day_number_at(rows[i].now, rows[i].hour, rows[i].minute);
		next = day_next_start(rows[i].now, rows[i].hour, rows[i].minute);
		if (number != rows[i].number || next != rows[i].next)
			fail_msg("%s: day %lld, next %lld", rows[i].name, (long long)number, (long long)next);
	}
}

/* Over a year of hours: days only go on, each begins after now, and a time that does not exist does not hang. */
static void
test_year(void **state)
{
	int64_t before = 0;

	(void)state;
	zone("CET-1CEST,M3.5.0,M10.5.0/3");
	for (int64_t now = 1767225600; now < 1767225600 + 366 * 86400; now += 1800) {
		int64_t number = day_number_at(now, 2, 30), next = day_next_start(now, 2, 30);

		assert_true(number >= before);
		assert_true(before == 0 || number <= before + 1);
		assert_true(next > now && next <= now + 26 * 3600);
		assert_true(day_number_at(next, 2, 30) > number);
		before = number;
	}
}

static void
test_time(void **state)
{
	static const struct {
		const char	*in;
		bool		 want;
	} rows[] = {
		{"00:00", true}, {"23:59", true}, {"24:00", false}, {"12:60", false}, {"1:000", false}, {"12-00", false},
		{"ab:cd", false}, {"12:0x", false},
	};
	unsigned hour, minute;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (settings_time(rows[i].in, &hour, &minute) != rows[i].want)
			fail_msg("%s", rows[i].in);
	}
	assert_true(settings_time("17:45", &hour, &minute));
	assert_int_equal(hour, 17);
	assert_int_equal(minute, 45);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_year),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
