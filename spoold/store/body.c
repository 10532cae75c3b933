/*
 * Message bodies: finding, checking and opening them. Called for every message read and, rarely, to
 * see whether a delivery's first copy is sound. A record whose checksum fails is never served; one
 * that was checked in this process is not read through again.
 */
#include "store/body.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "log.h"
#include "store/store_impl.h"

#define PIECE_BYTES	(256 * 1024)
#define CHECKED_MAX	1024	/* remembered as checked: a client fetches a large body in parts */
#define MOVED_TRIES	3	/* compaction does not move a record so often in between */

/* The salt is random for each segment file and generation: with the offset it names a record. */
static struct checked {
	uint32_t	salt;
	uint64_t	offset, modseq;
} checked[CHECKED_MAX];

static struct checked *
checked_place(uint32_t salt, uint64_t offset)
{
	return &checked[(salt ^ offset ^ offset >> 12) % CHECKED_MAX];
}

/* Reads exactly n bytes. False: not there (errno 0) or an error. */
static bool
read_at(int fd, char *p, size_t n, uint64_t at)
{
	while (n > 0) {
		ssize_t got = pread(fd, p, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = 0;
		if (got <= 0)
			return false;
		p += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return true;
}

static bool
sum_is(int fd, uint32_t salt, uint64_t at, uint64_t n, uint32_t want)
{
	static char piece[PIECE_BYTES];
	uint32_t crc = salt;

	while (n > 0) {
		size_t now = n < sizeof(piece) ? (size_t)n : sizeof(piece);

		if (!read_at(fd, piece, now, at))
			return false;
		crc = record_crc(crc, (struct slice){piece, now});
		at += now;
		n -= now;
	}
	errno = 0;
	return crc == want;
}

/* Trailer, header and body of the record. False with errno 0: damaged. */
static bool
check(int fd, uint32_t salt, uint64_t modseq, const struct ix_body *b)
{
	char line[RECORD_TRAILER_BYTES];
	struct record t = {0}, h;
	struct buf head = buf_make(RECORD_HEADER_BYTES + RECORD_EXTRA_MAX_BYTES);
	size_t need, n;
	bool ok = false;

	if (!read_at(fd, line, sizeof(line), b->offset + b->bytes))
		return false;
	errno = 0;
	if (record_parse_trailer((struct slice){line, sizeof(line)}, salt, &t) != PARSE_OK || t.start > b->offset ||
	    b->offset - t.start < RECORD_HEADER_BYTES || b->offset - t.start > head.cap)
		return false;
	n = (size_t)(b->offset - t.start);
	if (read_at(fd, buf_room(&head, n), n, t.start)) {
		errno = 0;
		ok = record_parse_head((struct slice){head.p, n}, salt, &h, &need) == PARSE_OK && need == n &&
		    h.modseq == modseq && h.body_bytes == b->bytes && h.header_crc == t.header_crc &&
		    t.body_crc == b->crc;
	}
	buf_free(&head);
	return ok && sum_is(fd, salt, b->offset, b->bytes, b->crc);
}

void
body_file_close(struct body_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* Opens the segment that the body is in. On anything but BODY_GOOD f is closed, errno kept. */
static enum body_state
file_open(struct spool *s, const struct ix_body *b, struct body_file *f)
{
	char name[SEGMENT_NAME_BYTES];
	struct segment_head head;
	enum body_state state = BODY_GOOD;
	int error;

	segment_name(b->segment, name);
	if ((f->fd = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return errno == ENOENT ? BODY_DAMAGED : BODY_ERROR;
	if (segment_read(f->fd, slice_of(s->user), b->segment, &head) != 0)
		state = errno == EBADMSG ? BODY_DAMAGED : BODY_ERROR;
	else if (head.generation != b->generation)
		state = BODY_MOVED;
	if (state != BODY_GOOD) {
		error = errno;
		body_file_close(f);
		errno = error;
		return state;
	}
	f->segment = b->segment;
	f->generation = head.generation;
	f->salt = head.salt;
	return BODY_GOOD;
}

static enum body_state
file_check(const struct body_file *f, uint64_t modseq, const struct ix_body *b)
{
	struct checked *c = checked_place(f->salt, b->offset);

	if (c->salt == f->salt && c->offset == b->offset && c->modseq == modseq)
		return BODY_GOOD;
	if (!check(f->fd, f->salt, modseq, b))
		return errno == 0 || errno == EIO ? BODY_DAMAGED : BODY_ERROR;
	*c = (struct checked){f->salt, b->offset, modseq};
	return BODY_GOOD;
}

static void
log_state(const struct spool *s, uint64_t modseq, const struct ix_body *b, enum body_state state)
{
	if (state != BODY_GOOD && state != BODY_MOVED)
		LOG("warn.store.body", log_str("user", s->user), log_u64("segment", b->segment), log_u64("offset", b->offset),
		    log_u64("modseq", modseq), log_str("why", state == BODY_DAMAGED ? "damaged" : strerror(errno)));
}

enum body_state
body_open(struct spool *s, uint64_t modseq, const struct ix_body *b, int *fd_out)
{
	struct body_file f;
	enum body_state state = file_open(s, b, &f);

	if (state == BODY_GOOD)
		state = file_check(&f, modseq, b);
	log_state(s, modseq, b, state);
	if (state == BODY_GOOD)
		*fd_out = f.fd;
	else
		body_file_close(&f);
	return state;
}

/*
 * The same by way of the segment that a body was read from last, which is still open: a client that fetches many
 * messages has them in few segments. Another generation of it has another number.
 */
static enum body_state
body_open_again(struct store *s, uint64_t modseq, const struct ix_body *b, int *fd_out)
{
	struct body_file *f = &s->body_file;
	enum body_state state = BODY_GOOD;

	/* The file may have been put back, repaired, under its name. */
	if (f->fd >= 0 && f->segment == b->segment && f->generation == b->generation && file_check(f, modseq, b) != BODY_GOOD)
		body_file_close(f);
	if (f->fd < 0 || f->segment != b->segment || f->generation != b->generation) {
		body_file_close(f);
		state = file_open(s->spool, b, f);
	}
	if (state == BODY_GOOD)
		state = file_check(f, modseq, b);
	if (state == BODY_GOOD && (*fd_out = fcntl(f->fd, F_DUPFD_CLOEXEC, 0)) < 0)
		state = BODY_ERROR;
	log_state(s->spool, modseq, b, state);
	return state;
}

bool
body_stands(struct index *ix, uint64_t modseq)
{
	struct ix_key k = key_body(modseq);
	enum body_state state = BODY_MOVED;
	struct ix_body b;
	int fd;

	for (int i = 0; i < 2 && state == BODY_MOVED; i++) {
		if (i > 0 && index_remap_segment(ix, b.segment) != STORE_OK)
			return false;
		if (!index_get_fixed(ix, &k, &b, sizeof(b)) || b.refs == 0)
			return ix->rc == 0;
		state = body_open(ix->spool, modseq, &b, &fd);
	}
	if (state != BODY_GOOD)
		return false;
	close(fd);
	return true;
}

/*
 * The body's place once more, when no change is under way: what moved it has said so by then, or never will.
 * STORE_DAMAGED: it is gone, purged or lost.
 */
static enum store_result
find_moved(struct store *s, uint64_t modseq, struct ix_body *b)
{
	enum store_result r = change_prepare(s);
	struct ix_key k = key_body(modseq);
	enum body_state state = BODY_MOVED;
	bool is_there;
	int fd;

	if (r != STORE_OK)
		return r;
	if ((is_there = index_get_fixed(&s->ix, &k, b, sizeof(*b))) && (state = body_open(s->spool, modseq, b, &fd)) == BODY_GOOD)
		close(fd);
	if (is_there && state == BODY_MOVED && (r = index_remap_segment(&s->ix, b->segment)) == STORE_OK)
		is_there = index_get_fixed(&s->ix, &k, b, sizeof(*b));
	if (r != STORE_OK)
		(void)index_end(&s->ix);
	else if ((r = index_save(&s->ix)) != STORE_OK && s->ix.is_unsaved)
		r = STORE_OK;	/* found it is, though the next who looks has to find it again */
	index_turn_end(&s->ix);
	return r == STORE_OK && !is_there ? STORE_DAMAGED : r;
}

enum store_result
store_body_open(struct store *s, const struct msg_info *msg, int *fd_out, uint64_t *offset_out)
{
	struct ix_body b = {.offset = msg->body.offset, .bytes = msg->size, .segment = msg->body.segment,
	    .generation = msg->body.generation, .crc = msg->body.crc};
	enum store_result r;

	for (int i = 0; i < MOVED_TRIES; i++) {
		switch (body_open_again(s, msg->body.modseq, &b, fd_out)) {
		case BODY_GOOD:
			*offset_out = b.offset;
			return STORE_OK;
		case BODY_DAMAGED:
			return STORE_DAMAGED;
		case BODY_ERROR:
			return STORE_TEMP;
		case BODY_MOVED:
			break;
		}
		if ((r = find_moved(s, msg->body.modseq, &b)) != STORE_OK)
			return r;
	}
	/* Its record is not in the segment any more, and no husk either: lost. */
	LOG("warn.store.body", log_str("user", s->spool->user), log_u64("segment", b.segment), log_u64("offset", b.offset),
	    log_u64("modseq", msg->body.modseq), log_str("why", "not where the index says"));
	return STORE_DAMAGED;
}
