/*
 * Reading a log in order. Used by catch-up, rebuild, the fence and torn tails. It must never let a
 * damaged or torn record hide the ones after it, nor take bytes of a message for a record: past
 * damage it goes on at the next trailer whose salted checksum holds and whose record's header does.
 */
#include "store/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define WINDOW_BYTES	(64 * 1024)	/* a dozen small messages a read */
#define TRAILER_MAGIC	"TST1 "
#define BODY_PIECE_BYTES	(256 * 1024)
#define SECTOR_BYTES		512

enum look { LOOK_RECORD, LOOK_SHORT, LOOK_BAD, LOOK_ERROR };

/* Bytes [off, off + need) of the segment, or NULL: past its size (errno 0), or an error. */
static const char *
window(struct scan *s, uint64_t off, size_t need)
{
	size_t want;

	if (off >= s->win_at && off + need <= s->win_at + s->win.n)
		return s->win.p + (off - s->win_at);
	errno = 0;
	if (off + need > s->size)
		return NULL;
	want = need > WINDOW_BYTES ? need : WINDOW_BYTES;
	if (want > s->size - off)
		want = (size_t)(s->size - off);
	buf_clear(&s->win);
	s->win_at = off;
	if (buf_room(&s->win, want) == NULL)
		return NULL;
	while (s->win.n < want) {
		ssize_t got = pread(s->fd, s->win.p + s->win.n, want - s->win.n, (off_t)(off + s->win.n));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			if (got == 0)
				errno = 0;	/* cut back since we looked at its size */
			break;
		}
		s->win.n += (size_t)got;
	}
	return s->win.n >= need ? s->win.p : NULL;
}

static void
gap_add(struct scan *s, uint32_t segment, uint64_t from, uint64_t to)
{
	struct scan_gap gap = {.segment = segment, .from = from, .to = to};

	if (buf_add(&s->passed, &gap, sizeof(gap)) == 0)
		return;
	gap.segment = UINT32_MAX;
	memcpy(s->passed.p + s->passed.n - sizeof(gap), &gap, sizeof(gap));
}

static enum scan_got
open_segment(struct scan *s, uint32_t number)
{
	char name[SEGMENT_NAME_BYTES];
	struct stat st;

	if (s->fd >= 0)
		close(s->fd);
	segment_name(number, name);
	buf_clear(&s->win);
	s->win_at = 0;
	if ((s->fd = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return SCAN_ERROR;
	if (fstat(s->fd, &st) != 0 || segment_read(s->fd, slice_of(s->user), number, &s->head) != 0)
		return SCAN_ERROR;
	s->size = (uint64_t)st.st_size;
	s->at = s->head.bytes;
	return SCAN_RECORD;
}

/* The segment of that number, or the next after it that can be opened: one that is lost must not hide those behind it. */
static enum scan_got
open_from(struct scan *s, uint32_t number)
{
	enum scan_got got;

	while ((got = open_segment(s, number)) == SCAN_ERROR && (errno == ENOENT || errno == EBADMSG) && number < s->last) {
		LOG("warn.store.missing", log_str("user", s->user), log_u64("segment", number),
		    log_str("why", errno == ENOENT ? "not there" : "head and end are damaged"));
		gap_add(s, number, 0, UINT64_MAX);
		number++;
	}
	return got;
}

enum scan_got
scan_begin(struct scan *s, int dir_fd, const char *user, uint32_t segment, uint64_t at, uint32_t last, bool with_bodies)
{
	enum scan_got got;

	*s = (struct scan){.dir_fd = dir_fd, .user = user, .last = last, .with_bodies = with_bodies, .fd = -1};
	s->win = buf_make(RECORD_HEADER_BYTES + RECORD_EXTRA_MAX_BYTES);
	s->extra = buf_make(RECORD_EXTRA_MAX_BYTES);
	s->passed = buf_make(SCAN_GAPS_MAX_BYTES);
	got = open_from(s, segment);
	if (got == SCAN_RECORD && s->head.number == segment && at > s->at)
		s->at = at;
	return got;
}

void
scan_end(struct scan *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	buf_free(&s->win);
	buf_free(&s->extra);
	buf_free(&s->passed);
}

static enum look
look_failed(void)
{
	return errno == 0 ? LOOK_SHORT : LOOK_ERROR;
}

/* The record that begins at off; its extra is in the window, or copied where the trailer is not in the same one. */
static enum look
look(struct scan *s, uint64_t off, struct record *out)
{
	const char *p = window(s, off, RECORD_HEADER_BYTES);
	struct record r, t;
	size_t need = 0;
	enum parse got;
	uint64_t end;

	if (p == NULL)
		return look_failed();
	got = record_parse_head((struct slice){p, RECORD_HEADER_BYTES}, s->head.salt, &r, &need);
	if (got == PARSE_MORE) {
		if ((p = window(s, off, need)) == NULL)
			return look_failed();
		got = record_parse_head((struct slice){p, need}, s->head.salt, &r, &need);
	}
	if (got != PARSE_OK)
		return LOOK_BAD;
	end = off + need + r.body_bytes;
	t = (struct record){0};
	if (end + RECORD_TRAILER_BYTES > s->win_at + s->win.n) {
		buf_clear(&s->extra);
		if (buf_add_slice(&s->extra, r.extra) != 0)
			return LOOK_ERROR;
		r.extra = buf_slice(&s->extra);
	}
	if ((p = window(s, end, RECORD_TRAILER_BYTES)) == NULL)
		return look_failed();
	if (record_parse_trailer((struct slice){p, RECORD_TRAILER_BYTES}, s->head.salt, &t) != PARSE_OK || t.start != off ||
	    t.header_crc != r.header_crc)
		return LOOK_BAD;
	*out = r;
	out->start = off;
	out->body_crc = t.body_crc;
	out->epoch = t.epoch;
	out->next_modseq = t.next_modseq;
	out->next_uid = t.next_uid;
	return LOOK_RECORD;
}

static bool
body_is_good(struct scan *s, const struct record *r)
{
	static char piece[BODY_PIECE_BYTES];
	uint64_t at = s->body_at, left = r->body_bytes;
	uint32_t crc = s->head.salt;

	while (left > 0) {
		ssize_t got = pread(s->fd, piece, left < sizeof(piece) ? (size_t)left : sizeof(piece), (off_t)at);

		if (got <= 0)
			return false;
		crc = record_crc(crc, (struct slice){piece, (size_t)got});
		at += (uint64_t)got;
		left -= (uint64_t)got;
	}
	return crc == r->body_crc;
}

/* It could not be read: the next call begins where this one did. */
static enum scan_got
failed(struct scan *s, uint64_t at)
{
	s->at = at;
	return SCAN_ERROR;
}

/*
 * Finds the next good record after s->at by its trailer: a trailer has a checksum of its own, so bytes
 * made to look like headers with long extras cost nothing. SCAN_RECORD when found, s->at is there then; SCAN_END; SCAN_ERROR.
 */
static enum scan_got
resync(struct scan *s)
{
	uint64_t from = s->at, off = s->at + 1;
	const char *p, *hit;
	struct record r, t;
	enum look seen;

	while (off + RECORD_TRAILER_BYTES <= s->size) {
		size_t n = s->size - off < WINDOW_BYTES ? (size_t)(s->size - off) : WINDOW_BYTES;

		if ((p = window(s, off, n)) == NULL)
			return errno == 0 ? SCAN_END : SCAN_ERROR;
		if ((hit = memmem(p, n, TRAILER_MAGIC, sizeof(TRAILER_MAGIC) - 1)) == NULL) {
			off += n - (sizeof(TRAILER_MAGIC) - 2);
			continue;
		}
		off += (uint64_t)(hit - p);
		if ((p = window(s, off, RECORD_TRAILER_BYTES)) == NULL)
			return errno == 0 ? SCAN_END : SCAN_ERROR;
		t = (struct record){0};
		if (record_parse_trailer((struct slice){p, RECORD_TRAILER_BYTES}, s->head.salt, &t) != PARSE_OK) {
			off++;
			continue;
		}
		off += RECORD_TRAILER_BYTES;
		s->at = off;	/* the damaged record's own trailer: the next begins here */
		seen = t.start > from && t.start < off ? look(s, t.start, &r) : LOOK_BAD;
		if (seen == LOOK_ERROR)
			return failed(s, from);
		if (seen == LOOK_RECORD)
			s->at = t.start;
		/* What stands before a whole record stays as it is; what we first saw there may have been cut since. */
		buf_clear(&s->win);
		if ((seen = look(s, from, &r)) == LOOK_ERROR)
			return failed(s, from);
		if (seen == LOOK_RECORD)
			s->at = from;
		else {
			gap_add(s, s->head.number, from, s->at);
			LOG("warn.store.damaged", log_str("user", s->user), log_u64("segment", s->head.number),
			    log_u64("offset", from), log_u64("bytes", s->at - from));
		}
		return SCAN_RECORD;
	}
	return SCAN_END;
}

/* At the end of what is there. SCAN_RECORD: there is more now, in this segment or the next. */
static enum scan_got
advance(struct scan *s)
{
	char name[SEGMENT_NAME_BYTES];
	bool is_sealed;
	struct stat st;

	/* In this order: once the next segment is there, nobody appends to this one. */
	segment_name(s->head.number + 1, name);
	is_sealed = faccessat(s->dir_fd, name, F_OK, 0) == 0;
	if (!is_sealed && errno != ENOENT)
		return SCAN_ERROR;
	is_sealed = is_sealed || s->head.number < s->last;
	if (fstat(s->fd, &st) != 0)
		return SCAN_ERROR;
	if ((uint64_t)st.st_size != s->size) {
		/* Cut back and written on: what the window holds may be of before. */
		buf_clear(&s->win);
		s->size = (uint64_t)st.st_size;
		return SCAN_RECORD;
	}
	if (!is_sealed || s->is_single)
		return SCAN_END;
	if (s->at < s->size) {
		gap_add(s, s->head.number, s->at, s->size);
		LOG("warn.store.damaged", log_str("user", s->user), log_u64("segment", s->head.number),
		    log_u64("offset", s->at), log_u64("bytes", s->size - s->at));
	}
	return open_from(s, s->head.number + 1);
}

enum scan_got
scan_next(struct scan *s, struct record *out)
{
	enum scan_got got;

	for (;;) {
		enum look seen = s->at < s->size ? look(s, s->at, out) : LOOK_SHORT;

		if (seen == LOOK_RECORD)
			break;
		if (seen == LOOK_ERROR)
			return SCAN_ERROR;
		got = s->at < s->size ? resync(s) : SCAN_END;
		if (got == SCAN_ERROR)
			return got;
		if (got == SCAN_END && (got = advance(s)) != SCAN_RECORD)
			return got;
	}
	s->body_at = out->start + RECORD_HEADER_BYTES + out->extra.n;
	s->at = out->start + record_bytes(out);
	s->body_is_bad = s->with_bodies && out->body_bytes > 0 && !body_is_good(s, out);
	return SCAN_RECORD;
}

/* Reads exactly n bytes: a short read is an error too. */
static bool
read_all(int fd, char *p, size_t n, uint64_t at)
{
	while (n > 0) {
		ssize_t got = pread(fd, p, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			if (got == 0)
				errno = EIO;
			return false;
		}
		p += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return true;
}

/* One of the two lines of a record that was there whole still says so. */
int
scan_is_torn(int fd, uint32_t salt, uint64_t from, uint64_t to)
{
	struct buf b = buf_make(RECORD_HEADER_BYTES + RECORD_EXTRA_MAX_BYTES);
	size_t n = to - from < b.cap ? (size_t)(to - from) : b.cap, need;
	char magic[sizeof(TRAILER_MAGIC) - 1];
	struct record r;
	bool is_whole = false, is_read = true;

	if (to - from >= RECORD_TRAILER_BYTES) {
		is_read = read_all(fd, magic, sizeof(magic), to - RECORD_TRAILER_BYTES);
		is_whole = is_read && memcmp(magic, TRAILER_MAGIC, sizeof(magic)) == 0;
	}
	if (is_read && !is_whole) {
		is_read = read_all(fd, buf_room(&b, n), n, from);
		is_whole = is_read && record_parse_head((struct slice){b.p, n}, salt, &r, &need) == PARSE_OK &&
		    record_bytes(&r) <= to - from;
	}
	buf_free(&b);
	return is_read ? !is_whole : -1;
}

/* Does an aligned sector of the bytes hold nothing but zeros? -1 with errno: it cannot be read. */
static int
has_zero_sector(int fd, uint64_t from, uint64_t to)
{
	static const char zeros[SECTOR_BYTES];
	char sector[SECTOR_BYTES];

	for (from = (from + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES; from + SECTOR_BYTES <= to; from += SECTOR_BYTES) {
		if (!read_all(fd, sector, sizeof(sector), from))
			return -1;
		if (memcmp(sector, zeros, sizeof(zeros)) == 0)
			return 1;
	}
	return 0;
}

int
scan_is_crashed(const struct scan *s, uint32_t epoch, const struct record *r, uint64_t from, uint64_t to)
{
	int is;

	if (r->type != RECORD_FENCE || r->epoch <= epoch || to != r->start)
		return 0;
	is = scan_is_torn(s->fd, s->head.salt, from, to);
	return is == 0 ? has_zero_sector(s->fd, from, to) : is;
}
