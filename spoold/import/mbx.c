/*
 * UW's mbx: a header of 2,048 octets with the names of 30 keywords, then messages with CRLF, each behind a line
 *   dd-mmm-yyyy hh:mm:ss +zzzz,SIZE;kkkkkkkkssss-uuuuuuuu CRLF
 * k: a bit for each keyword, s: system flags, u: UID, all hexadecimal.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "import/lines.h"
#include "import/reader.h"
#include "record.h"

#define HEADER_BYTES	2048
#define KEYWORDS	30
#define LINE_MAX_BYTES	128

enum { F_SEEN = 1, F_DELETED = 2, F_FLAGGED = 4, F_ANSWERED = 8, F_DRAFT = 0x20, F_EXPUNGED = 0x8000 };

struct mbx {
	struct lines	 lines;
	char		 header[HEADER_BYTES];
	struct slice	 keywords[KEYWORDS];
	uint64_t	 bytes;
};

/* The names, one a line behind the first two; an empty line: none more. */
static void
read_keywords(struct mbx *b)
{
	const char *p = b->header, *end = b->header + HEADER_BYTES, *eol;

	for (int i = 0; i < KEYWORDS + 2; i++) {
		if ((eol = memmem(p, (size_t)(end - p), "\r\n", 2)) == NULL || (i >= 2 && eol == p))
			return;
		if (i >= 2)
			b->keywords[i - 2] = (struct slice){p, (size_t)(eol - p)};
		p = eol + 2;
	}
}

int
mbx_open(struct reader *r, const char *place)
{
	struct mbx *b = calloc(1, sizeof(*b));
	uint64_t from = strtoull(place, NULL, 10);

	if (b == NULL)
		return -1;
	r->state = b;
	b->bytes = r->bytes;
	if (pread(r->fd, b->header, HEADER_BYTES, 0) != HEADER_BYTES || memcmp(b->header, "*mbx*\r\n", 7) != 0) {
		errno = EBADMSG;
		return -1;
	}
	read_keywords(b);
	lines_begin(&b->lines, r->fd, from < HEADER_BYTES ? HEADER_BYTES : from);
	snprintf(r->place, sizeof(r->place), "%" PRIu64, b->lines.offset);
	return 0;
}

static int
month_of(const char *name)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const char *at = memmem(names, sizeof(names) - 1, name, 3);

	return at == NULL || (at - names) % 3 != 0 ? -1 : (int)(at - names) / 3;
}

struct mbx_line {
	int64_t		date_ms;
	uint64_t	size;
	uint32_t	keywords;
	unsigned	flags;
};

static bool
parse_line(struct slice s, struct mbx_line *out)
{
	struct tm t = {0};
	char text[LINE_MAX_BYTES], month[4], sign;
	unsigned zone_h, zone_m, uid;
	int n = 0, zone;

	if (s.n < 2 || s.n >= sizeof(text) || s.p[s.n - 1] != '\n' || s.p[s.n - 2] != '\r' || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n - 2);
	text[s.n - 2] = '\0';
	if (sscanf(text, "%2d-%3c-%4d %2d:%2d:%2d %c%2u%2u,%" SCNu64 ";%8" SCNx32 "%4x-%8x%n", &t.tm_mday, month, &t.tm_year, &t.tm_hour,
	    &t.tm_min, &t.tm_sec, &sign, &zone_h, &zone_m, &out->size, &out->keywords, &out->flags, &uid, &n) != 13 ||
	    text[n] != '\0' || (t.tm_mon = month_of(month)) < 0 || (sign != '+' && sign != '-'))
		return false;
	t.tm_year -= 1900;
	zone = (int)(zone_h * 3600 + zone_m * 60) * (sign == '-' ? -1 : 1);
	out->date_ms = ((int64_t)timegm(&t) - zone) * 1000;
	return true;
}

/* Lengths lead from message to message: behind a broken line the next good one is looked for. */
static enum import_got
bad_line(struct reader *r, struct mbx *b, uint64_t at)
{
	struct mbx_line line;
	struct slice s;
	bool begins;

	while (lines_next(&b->lines, &s, &begins))
		if (begins && parse_line(s, &line) && b->lines.offset + line.size <= b->bytes) {
			lines_back(&b->lines);
			break;
		}
	if (errno != 0)
		return IMPORT_ERROR;
	snprintf(r->where, sizeof(r->where), "%" PRIu64, at);
	snprintf(r->place, sizeof(r->place), "%" PRIu64, b->lines.offset);
	r->done = b->lines.offset;
	r->why = "no message's line here";
	return IMPORT_BAD;
}

enum import_got
mbx_next(struct reader *r, struct import_message *m)
{
	struct mbx *b = r->state;
	struct mbx_line line;
	uint64_t at, left;
	struct slice s;
	bool begins;

	errno = 0;
	at = b->lines.offset;
	if (!lines_next(&b->lines, &s, &begins))
		return errno != 0 ? IMPORT_ERROR : IMPORT_END;
	if (!begins || !parse_line(s, &line) || b->lines.offset + line.size > b->bytes)
		return bad_line(r, b, at);
	snprintf(r->where, sizeof(r->where), "%" PRIu64, at);
	for (left = line.size; left > 0 && lines_raw(&b->lines, (size_t)left, &s); left -= s.n)
		message_add(m, s);
	if (left > 0)
		return errno != 0 ? IMPORT_ERROR : IMPORT_END;
	m->date_ms = line.date_ms;
	m->flags = (line.flags & F_SEEN ? MSG_SEEN : 0) | (line.flags & F_DELETED ? MSG_DELETED : 0) |
	    (line.flags & F_FLAGGED ? MSG_FLAGGED : 0) | (line.flags & F_ANSWERED ? MSG_ANSWERED : 0) |
	    (line.flags & F_DRAFT ? MSG_DRAFT : 0);
	for (int i = 0; i < KEYWORDS; i++)
		if (line.keywords >> i & 1)
			message_keyword(m, b->keywords[i]);
	r->done = b->lines.offset;
	snprintf(r->place, sizeof(r->place), "%" PRIu64, b->lines.offset);
	return line.flags & F_EXPUNGED ? IMPORT_SKIPPED : IMPORT_MESSAGE;
}
