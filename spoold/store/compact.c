/*
 * Compaction: a sealed segment is written anew under another name, with another salt and the next
 * generation, its records as they are but for purged bodies, of which a husk stays; then it takes the old
 * one's name, and the index learns where the bodies are now. Called by upkeep, for one user at a time.
 *
 *   written and synced -> (index transaction, log's lock:) renamed -> directory synced -> remapped -> committed
 *
 * Up to the rename nothing has changed; after it whoever meets an index that does not know heals it (remap.c).
 * Nothing is thrown away because it could not be read: a segment with damage in it stays as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "store/body.h"
#include "store/checkpoint.h"
#include "store/holes.h"
#include "store/pace.h"
#include "store/scan.h"
#include "store/store_impl.h"

#define NEW_NAME	"compact.new"
#define STAGE_BYTES	(1024 * 1024)
#define PIECE_BYTES	(256 * 1024)

enum standing { LIVE, DEAD, UNKNOWN };	/* of a body */
enum outcome { COMPACTED, NOT_WORTH_IT, IS_DAMAGED, FAILED };

struct writer {
	struct store	*s;
	struct pace	 pace;
	struct buf	 stage;
	int		 fd;
	uint64_t	 at;		/* where stage begins in the file */
	struct segment_head head;	/* the new one's */
	uint64_t	 expected;	/* where the next record of the old segment must begin */
	uint32_t	 epoch;		/* of the last one */
	uint64_t	 next_modseq;	/* likewise */
	uint64_t	 other_bytes;	/* of the new one: all but live bodies */
};

/* ---- what is to be done ---- */

struct use {
	uint64_t	*live;		/* bytes of live bodies by segment, from 1 */
	uint32_t	 n;		/* segments */
};

/* Live bodies of each segment, out of the index alone. */
static enum store_result
count_live(struct store *s, struct use *u)
{
	struct ix_key from = key_of('b');
	enum store_result r = store_current_begin(s);
	struct slice k, v;
	struct iter it;

	if (r != STORE_OK)
		return r;
	iter_begin_steady(&it, &s->ix, &from, 1);
	while (iter_next(&it, &k, &v)) {
		struct ix_body b;

		if (v.n != sizeof(b))
			continue;
		memcpy(&b, v.p, sizeof(b));
		if (b.refs > 0 && b.segment <= u->n)
			u->live[b.segment] += b.bytes;
	}
	iter_end(&it);
	return index_end(&s->ix);
}

static enum store_result
waste_get(struct store *s, uint32_t n, struct ix_waste *out)
{
	struct ix_key k = key_segment(n);
	enum store_result r = store_read_begin(s);

	if (r != STORE_OK)
		return r;
	if (!index_get_fixed(&s->ix, &k, out, sizeof(*out)))
		out->generation = UINT32_MAX;
	return index_end(&s->ix);
}

static void
waste_put(struct store *s, uint32_t n, const struct ix_waste *w)
{
	struct ix_key k = key_segment(n);

	/* Not known the next time: then it is counted again. */
	if (index_begin(&s->ix, true) != STORE_OK)
		return;
	index_put(&s->ix, &k, w, sizeof(*w));
	(void)index_commit(&s->ix);
}

/* ---- writing ---- */

static int
stage_flush(struct writer *w)
{
	for (size_t at = 0; at < w->stage.n;) {
		ssize_t n = write(w->fd, w->stage.p + at, w->stage.n - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += (size_t)n;
		if (!pace_step(&w->pace, w->fd, (uint64_t)n))
			return -1;
	}
	w->at += w->stage.n;
	buf_clear(&w->stage);
	return 0;
}

/*
 * The body from the old segment, its checksum compared; is_kept: and taken anew, to the new one. False with errno
 * EBADMSG: damaged.
 */
static bool
copy_body(struct writer *w, const struct scan *scan, const struct record *old, struct record *r, bool is_kept)
{
	uint32_t crc = scan->head.salt;
	uint64_t from = scan->body_at, left = old->body_bytes;

	while (left > 0) {
		size_t want = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
		char *room = buf_room(&w->stage, want);
		ssize_t n = room == NULL ? -1 : pread(scan->fd, room, want, (off_t)from);
		struct slice piece = {room, n > 0 ? (size_t)n : 0};

		if (n <= 0) {
			if (n == 0)
				errno = EBADMSG;
			return false;
		}
		crc = record_crc(crc, piece);
		from += (uint64_t)n;
		left -= (uint64_t)n;
		if (!is_kept)
			continue;
		r->body_crc = record_crc(r->body_crc, piece);
		w->stage.n += (size_t)n;
		if (w->stage.n >= STAGE_BYTES && stage_flush(w) != 0)
			return false;
	}
	errno = EBADMSG;
	return crc == old->body_crc;
}

/*
 * Only what the index knows to be of no message is dead. What it knows nothing of could not be read when it was made; and an
 * index that cannot be asked says nothing.
 */
static enum standing
standing_of(struct store *s, const struct record *r)
{
	struct ix_key k = key_body(r->modseq);
	enum standing is = UNKNOWN;
	struct ix_body b;

	if (r->type != RECORD_MESSAGE && r->type != RECORD_BODY)
		return LIVE;
	if (store_read_begin(s) != STORE_OK)
		return UNKNOWN;
	if (index_get_fixed(&s->ix, &k, &b, sizeof(b)))
		is = b.refs > 0 ? LIVE : DEAD;
	return index_end(&s->ix) == STORE_OK ? is : UNKNOWN;
}

static bool
copy_record(struct writer *w, const struct scan *scan, const struct record *old)
{
	struct record r = *old;
	enum standing is = standing_of(w->s, old);

	if (is == DEAD) {
		r.type = old->type == RECORD_MESSAGE ? RECORD_HUSK_MESSAGE : RECORD_HUSK_BODY;
		r.body_bytes = 0;
	}
	r.start = w->at + w->stage.n;
	record_pack_head(&w->stage, &r, w->head.salt);
	r.body_crc = w->head.salt;
	/* Read also where it goes: a husk says that the body was whole (body_stands). */
	if (old->body_bytes > 0 && !copy_body(w, scan, old, &r, is != DEAD))
		return false;
	record_pack_trailer(&w->stage, &r, w->head.salt);
	/* No more is to be had of what is not known; else it would be tried each night. */
	w->other_bytes += record_bytes(&r) - (is == LIVE ? r.body_bytes : 0);
	errno = ENOMEM;
	return pack_ok(&w->stage) && (w->stage.n < STAGE_BYTES || stage_flush(w) == 0);
}

/*
 * Bytes of the old segment that are no record: may they be left out? COMPACTED: given up they are, or torn off by a crash;
 * IS_DAMAGED; FAILED: they cannot be read.
 */
static enum outcome
may_drop(const struct writer *w, const struct scan *scan, const struct record *r, uint64_t to)
{
	struct store *s = w->s;
	int is_crashed = r == NULL ? 0 : scan_is_crashed(scan, w->epoch, r, w->expected, to);
	bool may;

	if (is_crashed != 0)
		return is_crashed > 0 ? COMPACTED : FAILED;
	if (store_read_begin(s) != STORE_OK)
		return FAILED;
	may = hole_is_accepted(&s->ix, w->head.number, w->expected, to, w->next_modseq);
	return index_end(&s->ix) != STORE_OK ? FAILED : may ? COMPACTED : IS_DAMAGED;
}

/*
 * All records of segment n. FAILED, or IS_DAMAGED where something stands between them, or behind the last, that is not
 * known to be nothing.
 */
static enum outcome
copy_all(struct writer *w, uint32_t n, const struct segment_head *old, uint64_t old_bytes)
{
	struct spool *spool = w->s->spool;
	enum scan_got got;
	struct record r;
	struct scan scan;
	enum outcome out = COMPACTED;

	got = scan_begin(&scan, spool->dir_fd, spool->user, n, 0, 0, false);
	scan.is_single = true;
	w->expected = scan.at;
	w->epoch = scan.head.numbers.epoch;
	w->next_modseq = scan.head.numbers.next_modseq;
	if (got == SCAN_RECORD && (scan.head.salt != old->salt || scan.at != old->bytes))
		out = FAILED;	/* not the file we looked at */
	while (out == COMPACTED && got == SCAN_RECORD && (got = scan_next(&scan, &r)) == SCAN_RECORD) {
		if (r.start != w->expected)
			out = may_drop(w, &scan, &r, r.start);
		if (out == COMPACTED && !copy_record(w, &scan, &r))
			out = errno == EBADMSG ? IS_DAMAGED : FAILED;
		w->expected = scan.at;
		w->epoch = r.epoch;
		w->next_modseq = r.next_modseq;
	}
	if (got == SCAN_ERROR)
		out = FAILED;
	else if (out == COMPACTED && w->expected != old_bytes)
		out = may_drop(w, &scan, NULL, old_bytes);
	scan_end(&scan);
	if (out == COMPACTED && stage_flush(w) != 0)
		out = FAILED;
	return out;
}

/* ---- putting it in the old one's place ---- */

/* 0 with errno: ENOENT or EBADMSG, or it cannot be read. */
static uint64_t
segment_bytes(const struct spool *s, uint32_t n, struct segment_head *head_out)
{
	char name[SEGMENT_NAME_BYTES];
	struct stat st;
	int fd, saved;

	segment_name(n, name);
	if ((fd = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return 0;
	if (segment_read(fd, slice_of(s->user), n, head_out) != 0 || fstat(fd, &st) != 0)
		st.st_size = 0;
	saved = errno;
	close(fd);
	errno = saved;
	return (uint64_t)st.st_size;
}

/* Within a change: the log is locked and the index caught up. 0 or -1 with errno. */
static int
exchange(struct store *s, uint32_t n, const struct segment_head *old)
{
	struct segment_head now;
	char name[SEGMENT_NAME_BYTES];

	segment_name(n, name);
	if (segment_bytes(s->spool, n, &now) == 0)
		now.salt = ~old->salt;
	errno = ESTALE;
	/* Nor when a hole was met meanwhile. */
	if (now.salt != old->salt || s->ix.meta.has_holes > 0 || n >= s->spool->head.number ||
	    s->ix.meta.segment <= n)
		return -1;
	if (renameat(s->spool->dir_fd, NEW_NAME, s->spool->dir_fd, name) != 0)
		return -1;
	return fsync(s->spool->dir_fd);
}

static enum outcome
put_in_place(struct writer *w, uint32_t n, const struct segment_head *old)
{
	struct store *s = w->s;
	enum store_result r;
	int done, saved;

	/*
	 * What says that the bodies are purged must be as durable as their absence. Not by write_fd: the
	 * committer has that open file too.
	 */
	if (fsync(w->fd) != 0 || spool_follow(s->spool) != 0 || fdatasync(s->spool->read_fd) != 0)
		return FAILED;
	if (change_begin(s) != STORE_OK) {
		errno = EAGAIN;
		return FAILED;
	}
	done = exchange(s, n, old);
	saved = errno;
	r = done == 0 ? index_remap_segment(&s->ix, n) : STORE_OK;
	r = change_drop(s, r);
	errno = done != 0 ? saved : EAGAIN;
	/* Where only the index could not be told, it is told by the next who looks. */
	if (r != STORE_OK && done == 0)
		LOG("warn.compact.remap", log_str("user", s->spool->user), log_u64("segment", n));
	return done == 0 ? COMPACTED : FAILED;
}

/* True when fd is locked by us alone and still has its name: else somebody compacts just now. */
static bool
is_ours(int dir_fd, int fd)
{
	struct stat ours, there;

	return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 &&
	    fstatat(dir_fd, NEW_NAME, &there, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_ino == there.st_ino;
}

static enum outcome
rewrite(struct store *s, const struct store_pace *pace, uint32_t n, const struct segment_head *old, uint64_t old_bytes,
    struct ix_waste *waste_out, uint64_t *bytes_out)
{
	struct writer w = {.s = s, .head = {.number = n, .generation = old->generation + 1, .log_id = old->log_id,
	    .numbers = old->numbers}};
	enum outcome out = FAILED;
	int saved;

	w.fd = openat(s->spool->dir_fd, NEW_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w.fd < 0)
		return FAILED;
	if (!is_ours(s->spool->dir_fd, w.fd)) {
		close(w.fd);
		errno = EBUSY;
		return FAILED;
	}
	w.stage = buf_make(2 * STAGE_BYTES + RECORD_EXTRA_MAX_BYTES + PIECE_BYTES);
	pace_begin(&w.pace, pace, old_bytes);
	if (ftruncate(w.fd, 0) == 0 && segment_write_head(w.fd, store_user(s), &w.head) == 0) {
		w.at = w.other_bytes = w.head.bytes;
		out = copy_all(&w, n, old, old_bytes);
	}
	if (out == COMPACTED)
		out = put_in_place(&w, n, old);
	saved = errno;
	if (out != COMPACTED)
		unlinkat(s->spool->dir_fd, NEW_NAME, 0);
	*waste_out = (struct ix_waste){.other_bytes = w.other_bytes, .generation = w.head.generation};
	*bytes_out = w.at;
	buf_free(&w.stage);
	close(w.fd);
	errno = saved;
	return out;
}

/* What of a segment is of no body, by reading its headers once. 0: cannot be told. */
static uint64_t
count_other(struct store *s, uint32_t n, const struct segment_head *head)
{
	uint64_t bytes = head->bytes;
	enum scan_got got;
	struct record r;
	struct scan scan;

	got = scan_begin(&scan, s->spool->dir_fd, s->spool->user, n, 0, 0, false);
	scan.is_single = true;
	while (got == SCAN_RECORD && (got = scan_next(&scan, &r)) == SCAN_RECORD)
		bytes += record_bytes(&r) - r.body_bytes;
	scan_end(&scan);
	return got == SCAN_ERROR ? 0 : bytes;
}

/* Is more than waste_percent of it dead? */
static enum store_result
is_worth_it(struct store *s, uint32_t n, uint64_t live, unsigned waste_percent, const struct segment_head *head,
    uint64_t bytes, bool *out)
{
	struct ix_waste w;
	enum store_result r;
	uint64_t dead;

	*out = false;
	/* Even if nothing but bodies were in it. */
	if (live >= bytes || (bytes - live) * 100 <= bytes * waste_percent)
		return STORE_OK;
	if ((r = waste_get(s, n, &w)) != STORE_OK)
		return r;
	if (w.generation != head->generation) {
		w = (struct ix_waste){.other_bytes = count_other(s, n, head), .generation = head->generation};
		if (w.other_bytes == 0)
			return STORE_OK;
		waste_put(s, n, &w);
	}
	dead = bytes > live + w.other_bytes ? bytes - live - w.other_bytes : 0;
	*out = dead > 0 && dead * 100 > bytes * waste_percent;
	return STORE_OK;
}

static enum store_result
compact_one(struct store *s, const struct store_pace *pace, uint32_t n, uint64_t live, unsigned waste_percent,
    struct store_compacted *out)
{
	struct segment_head head;
	uint64_t bytes = segment_bytes(s->spool, n, &head), now_bytes;
	enum store_result r;
	struct ix_waste w;
	bool worth, full;

	if (bytes == 0)
		return errno == ENOENT || errno == EBADMSG ? STORE_OK : STORE_TEMP;	/* given up */
	if ((r = is_worth_it(s, n, live, waste_percent, &head, bytes, &worth)) != STORE_OK || !worth)
		return r;
	if ((r = spool_has_room(s->spool, bytes)) != STORE_OK)
		return r;
	switch (rewrite(s, pace, n, &head, bytes, &w, &now_bytes)) {
	case COMPACTED:
		waste_put(s, n, &w);
		out->segments++;
		out->before_bytes += bytes;
		out->after_bytes += now_bytes;
		LOG("store.compacted", log_str("user", s->spool->user), log_u64("segment", n),
		    log_u64("generation", w.generation), log_u64("before_bytes", bytes), log_u64("bytes", now_bytes));
		return STORE_OK;
	case IS_DAMAGED:
		out->damaged++;
		LOG("warn.compact.damaged", log_str("user", s->spool->user), log_u64("segment", n));
		return STORE_OK;
	case NOT_WORTH_IT:
	case FAILED:
		break;
	}
	/* Cut short by who paces it: no fault. */
	if (pace != NULL && errno == EINTR)
		return STORE_TEMP;
	full = errno == ENOSPC || errno == EDQUOT;
	LOG("warn.compact.failed", log_str("user", s->spool->user), log_u64("segment", n), log_str("why", strerror(errno)));
	return full ? STORE_FULL : STORE_TEMP;
}

/*
 * Replays begin at the checkpoint's mark, or at the start of the log; offsets inside a segment that changes must
 * not be anywhere. So only segments before the mark are touched, and the mark is brought up first.
 */
static enum store_result
mark_forward(struct store *s, const struct store_pace *pace, uint32_t *before_out)
{
	struct checkpoint_mark mark = {.segment = 0};
	enum store_result r = STORE_OK;

	*before_out = 0;
	if (s->ix.meta.segment <= 1)
		return STORE_OK;	/* nothing is sealed */
	if ((checkpoint_read(s->spool->dir_fd, s->spool->user, &mark) != FOUND || mark.segment < s->ix.meta.segment) &&
	    ((r = store_checkpoint(s, pace, true)) != STORE_OK ||
	    checkpoint_read(s->spool->dir_fd, s->spool->user, &mark) != FOUND))
		return r == STORE_OK ? STORE_TEMP : r;
	*before_out = mark.segment;
	return STORE_OK;
}

/* COMPACTED: the segment is there, or given up; IS_DAMAGED; FAILED: it cannot be read just now. */
static enum outcome
look_for(struct store *s, uint32_t n)
{
	struct segment_head head;
	bool is;

	if (segment_bytes(s->spool, n, &head) > 0)
		return COMPACTED;
	if (errno != ENOENT && errno != EBADMSG) {
		LOG("warn.compact.failed", log_str("user", s->spool->user), log_u64("segment", n), log_str("why", strerror(errno)));
		return FAILED;
	}
	if (store_read_begin(s) != STORE_OK)
		return FAILED;
	is = hole_is_accepted(&s->ix, n, 0, UINT64_MAX, 0);
	return index_end(&s->ix) != STORE_OK ? FAILED : is ? COMPACTED : IS_DAMAGED;
}

/*
 * Of a log with a segment missing, and of an index made of one with something missing, nothing is thrown away: what is not
 * there may name it. Until it was put back and the index made anew from the whole log, or the loss is accepted.
 */
static enum outcome
look_for_holes(struct store *s)
{
	enum outcome out = COMPACTED;
	uint32_t n = 0;

	while (out == COMPACTED && n < s->spool->head.number)
		out = look_for(s, ++n);
	if (out == COMPACTED && s->ix.meta.has_holes > 0) {
		out = IS_DAMAGED;
		n = 0;
	}
	if (out == IS_DAMAGED)
		LOG("warn.compact.damaged", log_str("user", s->spool->user), log_u64("segment", n));
	return out;
}

enum store_result
store_compact(struct store *s, const struct store_pace *pace, unsigned waste_percent, struct store_compacted *out)
{
	struct buf mem = buf_make(SIZE_MAX / 4);
	struct use u = {.n = s->spool->head.number};
	enum store_result r;
	uint32_t before;

	*out = (struct store_compacted){0};
	if (s->spool->head.number <= 1)
		return STORE_OK;
	if ((r = store_current_begin(s)) != STORE_OK || (r = index_end(&s->ix)) != STORE_OK)
		return r;
	switch (look_for_holes(s)) {
	case FAILED:
		return STORE_TEMP;
	case IS_DAMAGED:
		out->damaged++;
		return STORE_OK;
	case COMPACTED:
	case NOT_WORTH_IT:
		break;
	}
	if ((r = mark_forward(s, pace, &before)) != STORE_OK)
		return r;
	if ((u.live = (uint64_t *)(void *)buf_room(&mem, ((size_t)u.n + 1) * sizeof(*u.live))) == NULL) {
		buf_free(&mem);
		return STORE_TEMP;
	}
	memset(u.live, 0, ((size_t)u.n + 1) * sizeof(*u.live));
	r = count_live(s, &u);
	for (uint32_t n = 1; n < before && n <= u.n && r == STORE_OK; n++)
		r = compact_one(s, pace, n, u.live[n], waste_percent, out);
	buf_free(&mem);
	return r;
}
