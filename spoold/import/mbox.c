/*
 * The mbox family: messages behind From_ lines; "From " in a body quoted with '>' (mboxo, mboxrd), or lengths in
 * Content-Length (mboxcl2), which are believed where a From_ line or the end of the file stands behind them. The header
 * lines in which mail programs keep flags are taken out and become flags: Status and X-Status (R seen, A answered, F
 * flagged, D deleted, T draft), X-Keywords, X-Mozilla-Status; X-UID and X-IMAP(base) mean nothing elsewhere.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "import/lines.h"
#include "import/reader.h"
#include "record.h"

#define VALUE_BYTES	2048	/* of a header line that is looked at; the rest of a longer one is not */

struct mbox {
	struct lines	 lines;
	char		 value[VALUE_BYTES];
	size_t		 nvalue;
	int		 special;	/* header line at hand; -1: an ordinary one */
	uint64_t	 length;	/* Content-Length */
	bool		 has_length, is_internal;
};

enum { STATUS, X_STATUS, X_KEYWORDS, X_UID, X_IMAP, X_IMAPBASE, CONTENT_LENGTH, X_MOZILLA, NSPECIAL };
static const char *const specials[NSPECIAL] = {"Status:", "X-Status:", "X-Keywords:", "X-UID:", "X-IMAP:", "X-IMAPbase:",
	"Content-Length:", "X-Mozilla-Status:"};

/* ---- From_ lines ---- */

struct words {
	struct slice	v[16];
	size_t		n;
};

static void
split(struct slice s, struct words *out)
{
	size_t i = 0;

	out->n = 0;
	while (out->n < 16) {
		size_t from;

		while (i < s.n && memchr(" \t\r\n", s.p[i], 4) != NULL)
			i++;
		from = i;
		while (i < s.n && memchr(" \t\r\n", s.p[i], 4) == NULL)
			i++;
		if (i == from)
			return;
		out->v[out->n++] = (struct slice){s.p + from, i - from};
	}
}

static int
month_of(struct slice w)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; i < 12 && w.n == 3; i++)
		if (strncasecmp(w.p, names + 3 * (size_t)i, 3) == 0)
			return i;
	return -1;
}

/* A number of so many digits at most; -1. */
static int
number_of(struct slice w, size_t digits)
{
	int n = 0;

	if (w.n == 0 || w.n > digits)
		return -1;
	for (size_t i = 0; i < w.n; i++) {
		if (!isdigit((unsigned char)w.p[i]))
			return -1;
		n = n * 10 + (w.p[i] - '0');
	}
	return n;
}

static bool
time_of(struct slice w, struct tm *t)
{
	if (w.n != 5 && w.n != 8)
		return false;
	t->tm_hour = number_of((struct slice){w.p, 2}, 2);
	t->tm_min = number_of((struct slice){w.p + 3, 2}, 2);
	t->tm_sec = w.n == 8 ? number_of((struct slice){w.p + 6, 2}, 2) : 0;
	return w.p[2] == ':' && (w.n == 5 || w.p[5] == ':') && t->tm_hour >= 0 && t->tm_hour < 24 && t->tm_min >= 0 &&
	    t->tm_min < 60 && t->tm_sec >= 0 && t->tm_sec <= 60;
}

/* +hhmm in minutes; false when it is none. */
static bool
zone_of(struct slice w, int *minutes_out)
{
	int n = w.n == 5 ? number_of((struct slice){w.p + 1, 4}, 4) : -1;

	if (n < 0 || (w.p[0] != '+' && w.p[0] != '-'))
		return false;
	*minutes_out = (n / 100 * 60 + n % 100) * (w.p[0] == '-' ? -1 : 1);
	return true;
}

/* From SENDER [Day] Mon dd hh:mm[:ss] [zone] yyyy [zone] */
bool
mbox_from_line(struct slice line, int64_t *date_ms_out)
{
	const char *end = memchr(line.p, '\n', line.n);
	struct tm t = {.tm_isdst = -1};
	bool has_zone = false;
	struct words w;
	int zone = 0, year = -1;

	if (end != NULL)
		line.n = (size_t)(end - line.p);
	if (line.n < 5 || memcmp(line.p, "From ", 5) != 0)
		return false;
	split((struct slice){line.p + 5, line.n - 5}, &w);
	for (size_t i = 0; i + 3 < w.n; i++) {
		if ((t.tm_mon = month_of(w.v[i])) < 0 || (t.tm_mday = number_of(w.v[i + 1], 2)) < 1 || t.tm_mday > 31 ||
		    !time_of(w.v[i + 2], &t))
			continue;
		for (size_t j = i + 3; j < w.n; j++) {
			if (w.v[j].n == 4 && year < 0)
				year = number_of(w.v[j], 4);
			has_zone = has_zone || zone_of(w.v[j], &zone);
		}
		break;
	}
	if (year < 1970)
		return false;
	t.tm_year = year - 1900;
	*date_ms_out = ((int64_t)(has_zone ? timegm(&t) : mktime(&t)) - zone * 60) * 1000;
	return true;
}

/* ---- header lines ---- */

static int
special_of(struct slice line)
{
	for (int i = 0; i < NSPECIAL; i++) {
		size_t n = strlen(specials[i]);

		if (line.n >= n && strncasecmp(line.p, specials[i], n) == 0)
			return i;
	}
	return -1;
}

static void
status_flags(struct import_message *m, struct slice v)
{
	for (size_t i = 0; i < v.n; i++) {
		switch (v.p[i]) {
		case 'R':
			m->flags |= MSG_SEEN;
			break;
		case 'A':
			m->flags |= MSG_ANSWERED;
			break;
		case 'F':
			m->flags |= MSG_FLAGGED;
			break;
		case 'D':
			m->flags |= MSG_DELETED;
			break;
		case 'T':
			m->flags |= MSG_DRAFT;
			break;
		}
	}
}

/* The special line that was gathered is over. */
static void
special_end(struct mbox *b, struct import_message *m)
{
	struct slice v = {b->value, b->nvalue};
	struct words w;
	unsigned long bits;

	switch (b->special) {
	case STATUS:
	case X_STATUS:
		status_flags(m, v);
		break;
	case X_KEYWORDS:
		/* More than split takes at a time is more than anybody has. */
		split(v, &w);
		for (size_t i = 0; i < w.n; i++)
			message_keyword(m, w.v[i]);
		break;
	case X_IMAP:
		b->is_internal = true;
		break;
	case X_MOZILLA:
		b->value[b->nvalue < VALUE_BYTES ? b->nvalue : VALUE_BYTES - 1] = '\0';
		bits = strtoul(b->value, NULL, 16);
		m->flags |= (bits & 1 ? MSG_SEEN : 0) | (bits & 2 ? MSG_ANSWERED : 0) | (bits & 4 ? MSG_FLAGGED : 0) |
		    (bits & 8 ? MSG_DELETED : 0);
		break;
	case CONTENT_LENGTH:
		b->value[b->nvalue < VALUE_BYTES ? b->nvalue : VALUE_BYTES - 1] = '\0';
		b->has_length = sscanf(b->value, " %" SCNu64, &b->length) == 1 && b->length < IMPORT_MESSAGE_MAX_BYTES;
		break;
	}
	b->special = -1;
	b->nvalue = 0;
}

static void
gather(struct mbox *b, struct slice s)
{
	size_t n = s.n < VALUE_BYTES - b->nvalue ? s.n : VALUE_BYTES - b->nvalue;

	memcpy(b->value + b->nvalue, s.p, n);
	b->nvalue += n;
}

static bool
is_blank(struct slice s)
{
	return (s.n == 1 && s.p[0] == '\n') || (s.n == 2 && s.p[0] == '\r' && s.p[1] == '\n');
}

/* Up to and with the empty line. False: the message ended in its header. */
static bool
read_header(struct mbox *b, struct import_message *m)
{
	struct slice s;
	int64_t date;
	bool begins;

	b->special = -1;
	b->nvalue = 0;
	b->has_length = b->is_internal = false;
	while (lines_next(&b->lines, &s, &begins)) {
		if (begins && mbox_from_line(s, &date)) {
			lines_back(&b->lines);
			break;
		}
		if (begins && s.p[0] != ' ' && s.p[0] != '\t') {
			special_end(b, m);
			b->special = special_of(s);
			if (b->special >= 0) {
				size_t n = strlen(specials[b->special]);

				gather(b, (struct slice){s.p + n, s.n - n});
				continue;
			}
		} else if (b->special >= 0) {
			gather(b, s);
			continue;
		}
		message_add(m, s);
		if (begins && is_blank(s))
			return true;
	}
	special_end(b, m);
	return false;
}

/* ---- bodies ---- */

/* A From_ line, perhaps behind an empty one, or the end of the file. */
static bool
is_end_at(const struct mbox *b, uint64_t offset)
{
	char p[512];
	ssize_t n = pread(b->lines.fd, p, sizeof(p), (off_t)offset);
	size_t skip = 0;
	int64_t date;

	if (n <= 0)
		return n == 0;
	while (skip < 2 && skip < (size_t)n && (p[skip] == '\n' || p[skip] == '\r'))
		skip++;
	return skip == (size_t)n || mbox_from_line((struct slice){p + skip, (size_t)n - skip}, &date);
}

static void
read_counted(struct mbox *b, struct import_message *m)
{
	uint64_t left = b->length;
	struct slice s;

	while (left > 0 && lines_raw(&b->lines, (size_t)left, &s)) {
		message_add(m, s);
		left -= s.n;
	}
}

/* One '>' off a quoted From. */
static struct slice
unquote(struct slice s)
{
	size_t i = 0;

	while (i < s.n && s.p[i] == '>')
		i++;
	if (i > 0 && s.n - i >= 5 && memcmp(s.p + i, "From ", 5) == 0)
		return (struct slice){s.p + 1, s.n - 1};
	return s;
}

/* Until a From_ line behind an empty one; that empty line belongs to nobody. */
static void
read_lines(struct mbox *b, struct import_message *m)
{
	char blank[2];
	size_t nblank = 0;
	struct slice s;
	int64_t date;
	bool begins;

	while (lines_next(&b->lines, &s, &begins)) {
		if (begins && nblank > 0 && mbox_from_line(s, &date)) {
			lines_back(&b->lines);
			return;
		}
		message_add(m, (struct slice){blank, nblank});
		nblank = 0;
		if (begins && is_blank(s)) {
			memcpy(blank, s.p, s.n);
			nblank = s.n;
		} else
			message_add(m, begins ? unquote(s) : s);
	}
}

int
mbox_open(struct reader *r, const char *place)
{
	struct mbox *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return -1;
	r->state = b;
	lines_begin(&b->lines, r->fd, strtoull(place, NULL, 10));
	snprintf(r->place, sizeof(r->place), "%" PRIu64, b->lines.offset);
	return 0;
}

static void
set_place(struct reader *r, const struct mbox *b)
{
	r->done = b->lines.offset;
	snprintf(r->place, sizeof(r->place), "%" PRIu64, b->lines.offset);
}

/* What stands before the first From_ line is none of ours. */
static enum import_got
find_from(struct reader *r, struct mbox *b, int64_t *date_ms_out)
{
	uint64_t from = b->lines.offset;
	struct slice s;
	bool begins, is_junk = false;

	while (lines_next(&b->lines, &s, &begins)) {
		if (begins && mbox_from_line(s, date_ms_out)) {
			if (!is_junk)
				return IMPORT_MESSAGE;
			lines_back(&b->lines);
			break;
		}
		is_junk = is_junk || !begins || !is_blank(s);
		if (!is_junk)
			from = b->lines.offset;
	}
	if (errno != 0)
		return IMPORT_ERROR;
	set_place(r, b);
	if (!is_junk)
		return IMPORT_END;
	snprintf(r->where, sizeof(r->where), "%" PRIu64, from);
	r->why = "no From_ line here";
	return IMPORT_BAD;
}

enum import_got
mbox_next(struct reader *r, struct import_message *m)
{
	struct mbox *b = r->state;
	uint64_t at;
	enum import_got got;

	errno = 0;
	at = b->lines.offset;
	if ((got = find_from(r, b, &m->date_ms)) != IMPORT_MESSAGE)
		return got;
	snprintf(r->where, sizeof(r->where), "%" PRIu64, at);
	if (read_header(b, m)) {
		if (b->has_length && is_end_at(b, b->lines.offset + b->length))
			read_counted(b, m);
		else
			read_lines(b, m);
	}
	if (errno != 0)
		return IMPORT_ERROR;
	set_place(r, b);
	return b->is_internal ? IMPORT_SKIPPED : IMPORT_MESSAGE;
}
