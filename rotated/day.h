/*
 * A day of the redundant spool and its name: "2026-11-22", and ".2", ".3", ... where a day was begun
 * again. Pure but for the local time zone (tzset has run).
 */
#ifndef ROTATED_DAY_H
#define ROTATED_DAY_H

#include <stdint.h>

#include "redundant.h"

#define DAY_PART_MAX	999999999	/* the name stays below REDUNDANT_DAY_MAX_BYTES */

struct day {
	int64_t		number;		/* days since 1970-01-01 */
	unsigned	part;		/* 1, or N of ".N" */
	char		name[REDUNDANT_DAY_MAX_BYTES + 1];
};

/* False for every other text, "2026-11-22.1" and "2026-02-30" among them. */
bool		day_parse(struct slice, struct day *out);
void		day_make(int64_t number, unsigned part, struct day *out);
/* < 0, 0, > 0 as a was before b. */
int		day_compare(const struct day *a, const struct day *b);
/* The day that now_s (seconds since the epoch) belongs to, where days begin at hour:minute local time. */
int64_t		day_number_at(int64_t now_s, unsigned hour, unsigned minute);
/* The first second after now_s at which a day begins. */
int64_t		day_next_start(int64_t now_s, unsigned hour, unsigned minute);

#endif
