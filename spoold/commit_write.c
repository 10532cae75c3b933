/*
 * Appending to the redundant spool of the day. The records of a batch go out in few large writes;
 * after a short write whatever is not whole is written again from its beginning (a torn record is
 * skipped by readers, its checksum fails). So it is after the committer of the generation before us
 * wrote in between: a record says where it begins. The header's checksum begins from the day's salt,
 * which only rotated and we know. The descriptor is append-only: there is no going back.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commit.h"
#include "log.h"

#define WRITE_BYTES	(1024 * 1024)	/* written at once */
#define READ_BYTES	(256 * 1024)	/* of a body that comes as a descriptor */
#define WRITE_TRIES	3		/* for one request; a full disk does not get better by trying */

struct writer {
	struct commit_day	*day;
	struct buf		 stage;		/* made, not yet written */
	struct buf		 extra;
	uint64_t		 at;		/* where stage begins in the file */
	uint64_t		 sure;		/* up to here the file holds what we meant, where we meant it */
	bool			 is_torn;	/* a write fell short: where the file ends is not known */
};

static int
writer_flush(struct writer *w)
{
	struct stat st;
	ssize_t n;

	if (w->stage.n == 0)
		return 0;
	w->day->is_dirty = w->is_torn = true;
	while ((n = write(w->day->fd, w->stage.p, w->stage.n)) < 0 && errno == EINTR)
		continue;
	if (n < 0 || fstat(w->day->fd, &st) != 0 || (uint64_t)st.st_size != w->at + (uint64_t)n)
		return -1;
	w->sure = w->at + (uint64_t)n;
	if ((size_t)n < w->stage.n)
		return -1;
	w->at = w->sure;
	w->is_torn = false;
	buf_clear(&w->stage);
	return 0;
}

/* A body that comes as a descriptor, in pieces. */
static int
put_file(struct writer *w, int fd, uint64_t offset, struct record *r, uint32_t *crc)
{
	for (uint64_t left = r->body_bytes; left > 0;) {
		size_t want = left < READ_BYTES ? (size_t)left : READ_BYTES;
		char *room = buf_room(&w->stage, want);
		ssize_t n = room == NULL ? -1 : pread(fd, room, want, (off_t)offset);

		if (n <= 0)
			return -1;
		*crc = record_crc(*crc, (struct slice){room, (size_t)n});
		w->stage.n += (size_t)n;
		left -= (uint64_t)n;
		offset += (uint64_t)n;
		if (w->stage.n >= WRITE_BYTES && writer_flush(w) != 0)
			return -1;
	}
	return 0;
}

/* In the redundant spool a change names its user (lib/record.h). */
static struct slice
extra_of(struct writer *w, const struct commit_request *q, const struct record *r)
{
	if (r->type == RECORD_MESSAGE)
		return r->extra;
	buf_clear(&w->extra);
	pack_str(&w->extra, q->head.user);
	pack_bytes(&w->extra, r->extra.p, r->extra.n);
	return buf_slice(&w->extra);
}

static int
put_record(struct writer *w, const struct commit_request *q, struct record *r, const struct commit_body *body, int body_fd)
{
	uint32_t crc = w->day->salt;

	r->start = w->at + w->stage.n;
	r->epoch = q->head.epoch;
	r->extra = extra_of(w, q, r);
	if (!pack_ok(&w->extra) || r->extra.n > RECORD_EXTRA_MAX_BYTES)
		return -1;
	record_pack_head(&w->stage, r, w->day->salt);
	if (body->is_fd) {
		if (put_file(w, body_fd, body->offset, r, &crc) != 0)
			return -1;
	} else {
		crc = record_crc(crc, body->mem);
		pack_bytes(&w->stage, body->mem.p, body->mem.n);
	}
	r->body_crc = crc;
	record_pack_trailer(&w->stage, r, w->day->salt);
	if (!pack_ok(&w->stage))
		return -1;
	return w->stage.n >= WRITE_BYTES ? writer_flush(w) : 0;
}

/* It cannot be made, as when its body cannot be read: those before it in the stage go out without it. */
static void
put_undo(struct writer *w, uint64_t at, size_t staged)
{
	if (w->is_torn || !pack_ok(&w->stage))
		return;
	w->stage.n = w->at == at ? staged : 0;
	(void)writer_flush(w);
}

static int
put_request(struct writer *w, struct commit_request *q)
{
	struct unpack u = q->records;
	size_t body_at = q->head.nlogs, staged = w->stage.n;
	uint64_t at = w->at;

	q->end = UINT64_MAX;
	for (uint32_t i = 0; i < q->head.nrecords; i++) {
		struct commit_body body;
		struct record r;

		/* It was unpacked once when it came. */
		if (!commit_unpack_record(&u, &r, &body) ||
		    put_record(w, q, &r, &body, body.is_fd ? q->fds[body_at++] : -1) != 0) {
			put_undo(w, at, staged);
			return -1;
		}
	}
	q->end = w->at + w->stage.n;
	return 0;
}

/* The file's real size: where we go on after a write that fell short. 0 or -1. */
static int
writer_resume(struct writer *w)
{
	struct stat st;

	if (!pack_ok(&w->stage) || w->stage.cap == 0) {
		buf_free(&w->stage);
		w->stage = buf_make(2 * WRITE_BYTES + RECORD_EXTRA_MAX_BYTES + READ_BYTES);
	}
	if (!pack_ok(&w->extra) || w->extra.cap == 0) {
		buf_free(&w->extra);
		w->extra = buf_make(RECORD_EXTRA_MAX_BYTES);
	}
	buf_clear(&w->stage);
	w->is_torn = false;
	if (fstat(w->day->fd, &st) != 0)
		return -1;
	w->at = w->sure = (uint64_t)st.st_size;
	return 0;
}

void
commit_write(struct commit_part *part, struct commit_request *first)
{
	static struct writer w;	/* keeps its buffers */
	uint64_t sure;
	int tries = 0;

	w.day = part->day;
	for (struct commit_request *q = first, *last; q != NULL;) {
		bool is_bad = writer_resume(&w) != 0;

		for (last = q; last != NULL && !is_bad; last = last->write_next)
			is_bad = put_request(&w, last) != 0;
		if (!is_bad && writer_flush(&w) == 0)
			break;
		/* Those that are whole in the file are done; the first that is not is begun again. */
		sure = w.sure;
		if (writer_resume(&w) == 0)
			for (; q != last && q->end <= sure; q = q->write_next)
				tries = 0;
		if (q != NULL && ++tries == WRITE_TRIES) {
			LOG("warn.redundant.write", log_str("partition", part->name), log_str("day", part->day->day),
			    log_slice("sid", q->head.answer.sid), log_u64("at", w.at));
			q->outcome = COMMIT_FAILED;
			q = q->write_next;
			tries = 0;
		}
	}
}
