/*
 * Writing records at the end of a log. Called under the directory's lock with the end known. What
 * was written of a failed append is cut off again before the lock is given up, so that nothing is
 * left that could be shown.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "log.h"
#include "store/spool.h"

#define PIECES_MAX		32
#define BODY_PIECE_BYTES	(256 * 1024)
/* Preallocated beyond the end: a quarter of the segment, so that a small spool does not take a large disk. */
#define AHEAD_LEAST_BYTES	(64 * 1024)
#define AHEAD_MOST_BYTES	(4 * 1024 * 1024)

struct put {
	int		 fd;
	uint64_t	 at;
	struct iovec	 v[PIECES_MAX];
	int		 n;
};

static int
put_flush(struct put *p)
{
	struct iovec *v = p->v;

	while (p->n > 0) {
		ssize_t w = pwritev(p->fd, v, p->n, (off_t)p->at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return -1;
		p->at += (uint64_t)w;
		while (p->n > 0 && (size_t)w >= v->iov_len) {
			w -= (ssize_t)v->iov_len;
			v++;
			p->n--;
		}
		if (p->n > 0) {
			v->iov_base = (char *)v->iov_base + w;
			v->iov_len -= (size_t)w;
		}
	}
	return 0;
}

static int
put_add(struct put *p, const void *bytes, size_t n)
{
	if (n == 0)
		return 0;
	if (p->n == PIECES_MAX && put_flush(p) != 0)
		return -1;
	p->v[p->n++] = (struct iovec){(void *)(uintptr_t)bytes, n};
	return 0;
}

/* Copies a body out of a descriptor, taking its checksum on the way. */
static int
put_file(struct put *p, const struct body_src *b, uint32_t *crc)
{
	static char piece[BODY_PIECE_BYTES];
	uint64_t from = b->offset, left = b->bytes;

	if (put_flush(p) != 0)
		return -1;
	while (left > 0) {
		ssize_t got = pread(b->fd, piece, left < sizeof(piece) ? (size_t)left : sizeof(piece), (off_t)from);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			if (got == 0)
				errno = EBADMSG;	/* shorter than was said */
			return -1;
		}
		*crc = record_crc(*crc, (struct slice){piece, (size_t)got});
		if (put_add(p, piece, (size_t)got) != 0 || put_flush(p) != 0)
			return -1;
		from += (uint64_t)got;
		left -= (uint64_t)got;
	}
	return 0;
}

static int
put_record(struct put *p, const struct spool *s, struct record *r, const struct body_src *body, struct buf *lines)
{
	size_t head_at = lines->n, trailer_at;

	r->start = p->at;
	for (int i = 0; i < p->n; i++)
		r->start += p->v[i].iov_len;
	record_pack_head(lines, r, s->head.salt);
	r->body_crc = s->head.salt;
	assert(r->body_bytes == (body == NULL ? 0 : body->fd < 0 ? body->mem.n : body->bytes));
	if (put_add(p, lines->p + head_at, lines->n - head_at) != 0)
		return -1;
	if (body != NULL && body->fd < 0) {
		r->body_crc = record_crc(s->head.salt, body->mem);
		if (put_add(p, body->mem.p, body->mem.n) != 0)
			return -1;
	} else if (body != NULL && put_file(p, body, &r->body_crc) != 0)
		return -1;
	trailer_at = lines->n;
	record_pack_trailer(lines, r, s->head.salt);
	return put_add(p, lines->p + trailer_at, RECORD_TRAILER_BYTES);
}

/* So that a log is in one piece on the disk. Best effort: where it cannot be had the write tells. */
static void
allocate_ahead(struct spool *s, uint64_t bytes)
{
	uint64_t ahead = (s->at + bytes) / 4;

	if (s->at + bytes <= s->allocated)
		return;
	if (ahead < AHEAD_LEAST_BYTES)
		ahead = AHEAD_LEAST_BYTES;
	if (ahead > AHEAD_MOST_BYTES)
		ahead = AHEAD_MOST_BYTES;
	if (fallocate(s->write_fd, FALLOC_FL_KEEP_SIZE, (off_t)s->at, (off_t)(bytes + ahead)) == 0)
		s->allocated = s->at + bytes + ahead;
}

static enum store_result
undo(struct spool *s)
{
	bool is_full = errno == ENOSPC || errno == EDQUOT;

	LOG("warn.store.append", log_str("user", s->user), log_u64("segment", s->head.number), log_u64("offset", s->at),
	    log_str("why", strerror(errno)));
	if (ftruncate(s->write_fd, (off_t)s->at) != 0)
		LOG("warn.store.torn", log_str("user", s->user), log_u64("segment", s->head.number),
		    log_u64("offset", s->at), log_str("why", strerror(errno)));
	return is_full ? STORE_FULL : STORE_TEMP;
}

enum store_result
spool_append(struct spool *s, struct record *r, size_t n, const struct body_src *bodies)
{
	struct put p = {.fd = s->write_fd, .at = s->at};
	uint64_t modseq = s->next_modseq, bytes = 0;
	uint32_t uid = s->next_uid;
	struct buf lines;
	bool is_bad = false;

	if (s->write_fd < 0) {
		errno = EROFS;
		LOG("warn.store.append", log_str("user", s->user), log_u64("segment", s->head.number), log_u64("offset", s->at),
		    log_str("why", strerror(errno)));
		return STORE_TEMP;
	}
	for (size_t i = 0; i < n; i++)
		bytes += RECORD_HEADER_BYTES + r[i].extra.n + RECORD_TRAILER_BYTES;
	lines = buf_make(bytes);
	buf_room(&lines, bytes);	/* never grows after: p points into it */
	for (size_t i = 0; i < n; i++)
		bytes += r[i].body_bytes;
	allocate_ahead(s, bytes);
	for (size_t i = 0; i < n && !is_bad; i++) {
		const struct body_src *body = r[i].body_bytes > 0 ? bodies++ : NULL;

		r[i].modseq = modseq++;
		if (r[i].next_modseq < modseq)
			r[i].next_modseq = modseq;
		modseq = r[i].next_modseq;
		if (r[i].next_uid == 0)
			r[i].next_uid = uid;
		uid = r[i].next_uid;
		if (r[i].epoch == 0)
			r[i].epoch = s->host->epoch;
		is_bad = put_record(&p, s, &r[i], body, &lines) != 0;
	}
	is_bad = is_bad || put_flush(&p) != 0;
	buf_free(&lines);
	if (is_bad)
		return undo(s);
	s->at = p.at;
	s->next_modseq = modseq;
	s->next_uid = uid;
	return STORE_OK;
}
