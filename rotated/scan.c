/*
 * The forward scan of a day's log. Where a record does not check out, the next one is looked for by
 * its magic and its salted checksum, which no mail can have.
 */
#include "scan.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCAN_READ_BYTES		(256 * 1024)
#define SCAN_WINDOW_BYTES	(RECORD_HEADER_BYTES + RECORD_EXTRA_MAX_BYTES + SCAN_READ_BYTES)
#define SCAN_MAGIC		"TSR1 "

enum check { CHECK_GOOD, CHECK_BODY /* its bounds are sure, its body is not what was written */, CHECK_BAD, CHECK_ERROR };

/* At least n bytes at offset at, fewer at the end of the file. False on a read error. */
static bool
scan_view(struct scan *s, uint64_t at, size_t n, struct slice *out)
{
	struct buf *w = &s->window;

	if (at > s->size || n > s->size - at)
		n = at > s->size ? 0 : (size_t)(s->size - at);
	if (at < s->window_at || at - s->window_at > w->n) {
		buf_clear(w);
		s->window_at = at;
	} else if (at - s->window_at + n > w->n) {
		buf_drop(w, (size_t)(at - s->window_at));
		s->window_at = at;
	}
	while (w->n < (size_t)(at - s->window_at) + n) {
		ssize_t got = pread(s->fd, buf_room(w, SCAN_READ_BYTES), SCAN_READ_BYTES, (off_t)(s->window_at + w->n));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return false;
		if (got == 0)
			break;	/* cut meanwhile */
		w->n += (size_t)got;
	}
	*out = (struct slice){w->p + (at - s->window_at), w->n - (size_t)(at - s->window_at)};
	if (out->n > s->size - at)
		out->n = (size_t)(s->size - at);
	return true;
}

static bool
scan_crc(struct scan *s, uint64_t at, uint64_t n, uint32_t *crc_out)
{
	struct slice piece;

	*crc_out = s->salt;
	while (n > 0) {
		if (!scan_view(s, at, n < SCAN_READ_BYTES ? (size_t)n : SCAN_READ_BYTES, &piece))
			return false;
		if (piece.n == 0)
			return true;	/* too short: the sum will not fit */
		if (piece.n > n)
			piece.n = (size_t)n;
		*crc_out = record_crc(*crc_out, piece);
		at += piece.n;
		n -= piece.n;
	}
	return true;
}

/* Is there a whole record at this offset? Takes a copy of its extra. */
static enum check
scan_check(struct scan *s, uint64_t at, struct record *out)
{
	size_t need = RECORD_HEADER_BYTES;
	struct slice in;
	struct record trailer;
	uint64_t end;
	enum parse got;
	uint32_t crc;

	do {
		if (!scan_view(s, at, need, &in))
			return CHECK_ERROR;
		got = record_parse_head(in, s->salt, out, &need);
	} while (got == PARSE_MORE && in.n < s->size - at && need > in.n);
	if (got != PARSE_OK || record_bytes(out) > s->size - at)
		return CHECK_BAD;
	buf_clear(&s->extra);
	if (buf_add_slice(&s->extra, out->extra) < 0)
		return CHECK_BAD;
	out->extra = buf_slice(&s->extra);
	end = at + record_bytes(out) - RECORD_TRAILER_BYTES;
	if (!scan_crc(s, end - out->body_bytes, out->body_bytes, &crc) || !scan_view(s, end, RECORD_TRAILER_BYTES, &in))
		return CHECK_ERROR;
	trailer = *out;
	if (record_parse_trailer(in, s->salt, &trailer) != PARSE_OK || trailer.header_crc != out->header_crc)
		return CHECK_BAD;
	*out = trailer;
	return trailer.body_crc == crc ? CHECK_GOOD : CHECK_BODY;
}

/* The next offset at or after at where the magic stands; size when there is none. False on a read error. */
static bool
scan_magic(struct scan *s, uint64_t at, uint64_t *out)
{
	struct slice in;
	const char *hit;

	while (at < s->size) {
		/* What the window has will do: moving it for each hit would cost far more than looking. */
		if (!scan_view(s, at, RECORD_HEADER_BYTES, &in))
			return false;
		if (in.n < RECORD_HEADER_BYTES)
			break;
		if ((hit = memmem(in.p, in.n, SCAN_MAGIC, sizeof(SCAN_MAGIC) - 1)) != NULL) {
			*out = at + (uint64_t)(hit - in.p);
			return true;
		}
		at += in.n - (sizeof(SCAN_MAGIC) - 2);	/* the magic may stand across two views */
	}
	*out = s->size;
	return true;
}

static void
scan_damaged(struct scan *s, uint64_t from, uint64_t to)
{
	s->ndamaged++;
	s->damaged_bytes += to - from;
	s->damaged_at = from;
	s->is_torn = to == s->size;
}

enum scan_result
scan_begin(int fd, struct scan *out)
{
	size_t need = RECORD_HEADER_BYTES;
	struct slice in;
	struct stat st;
	enum parse got;

	*out = (struct scan){
		.fd = fd,
		.window = buf_make(SCAN_WINDOW_BYTES + SCAN_READ_BYTES),
		.extra = buf_make(RECORD_EXTRA_MAX_BYTES),
	};
	if (fstat(fd, &st) < 0)
		return SCAN_ERROR;
	out->size = (uint64_t)st.st_size;
	do {
		if (!scan_view(out, 0, need, &in))
			return SCAN_ERROR;
		got = record_parse_salt(in, &out->salt, &need);
	} while (got == PARSE_MORE && in.n < out->size && need > in.n);
	if (got == PARSE_OK)
		return SCAN_RECORD;
	errno = EBADMSG;
	return SCAN_ERROR;
}

enum scan_result
scan_next(struct scan *s, struct record *out, uint64_t *body_at_out)
{
	uint64_t from = s->next, at = from;

	while (at < s->size) {
		enum check got = scan_check(s, at, out);

		if (got == CHECK_ERROR)
			return SCAN_ERROR;
		if (got == CHECK_BAD) {
			if (!scan_magic(s, at + 1, &at))
				return SCAN_ERROR;
			continue;
		}
		if (got == CHECK_BODY) {
			/* Damaged, and we know how far. */
			at += record_bytes(out);
			scan_damaged(s, from, at);
			from = at;
			continue;
		}
		if (at > from)
			scan_damaged(s, from, at);
		s->next = at + record_bytes(out);
		*body_at_out = at + RECORD_HEADER_BYTES + out->extra.n;
		out->start = at;	/* where it stands, whatever its writer believed */
		return SCAN_RECORD;
	}
	if (s->size > from)
		scan_damaged(s, from, s->size);
	s->next = s->size;
	return SCAN_END;
}

void
scan_free(struct scan *s)
{
	buf_free(&s->window);
	buf_free(&s->extra);
}
