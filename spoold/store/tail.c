/*
 * The end of a log that was not left by an orderly append of this epoch: a torn tail, or an older
 * epoch's. Called by spool_lock alone, with the lock. A tail is cut only when it was written in this
 * epoch and not to its end, else the fence goes after what is there; and the fence takes the numbers so far on that none a
 * client may have seen and the disk has forgotten is ever given out again.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "log.h"
#include "store/checkpoint.h"
#include "store/scan.h"
#include "store/spool.h"

/* For every epoch passed: more than one epoch can give out without a sync in between. */
#define FENCE_UIDS	65536U
#define FENCE_MODSEQS	(1ULL << 32)

static enum store_result
fail(const struct spool *s, const char *step)
{
	LOG("warn.store.log", log_str("user", s->user), log_u64("segment", s->head.number), log_str("step", step),
	    log_str("why", strerror(errno)));
	return STORE_TEMP;
}

static void
raise_numbers(struct numbers *n, uint32_t epoch, uint32_t uid, uint64_t modseq)
{
	if (epoch > n->epoch)
		n->epoch = epoch;
	if (uid > n->next_uid)
		n->next_uid = uid;
	if (modseq > n->next_modseq)
		n->next_modseq = modseq;
}

/*
 * Scans from a place to the end. n: the highest numbers seen, and those it came with; *end_out: where the
 * last good record of the highest segment ends, *next_out: the segment that it names, or 0. 0, or -1 with errno.
 */
static int
scan_tail(struct spool *s, uint32_t segment, uint64_t at, bool with_bodies, struct numbers *n, uint64_t *end_out,
    uint32_t *next_out)
{
	struct record r;
	struct scan scan;
	enum scan_got got = scan_begin(&scan, s->dir_fd, s->user, segment, at, s->head.number, with_bodies);

	*next_out = 0;
	if (got == SCAN_RECORD) {
		raise_numbers(n, scan.head.numbers.epoch, scan.head.numbers.next_uid, scan.head.numbers.next_modseq);
		*end_out = scan.at;
	}
	while (got == SCAN_RECORD && (got = scan_next(&scan, &r)) == SCAN_RECORD) {
		raise_numbers(n, r.epoch, r.next_uid, r.next_modseq);
		*end_out = scan.at;
		*next_out = r.type == RECORD_NEXT ? r.uid : 0;
		if (scan.body_is_bad)
			LOG("warn.store.damaged", log_str("user", s->user), log_u64("segment", scan.head.number),
			    log_u64("offset", r.start), log_u64("bytes", record_bytes(&r)));
	}
	if (got == SCAN_END && scan.head.number != s->head.number) {
		errno = ESTALE;
		got = SCAN_ERROR;
	}
	scan_end(&scan);
	return got == SCAN_END ? 0 : -1;
}

/* With the numbers n so far: as far on as for so many epochs. */
static enum store_result
fence_append(struct spool *s, const struct numbers *n, uint64_t passed, uint64_t size)
{
	struct record fence = {.type = RECORD_FENCE, .date_ms = now_ms()};
	enum store_result r;

	s->at = size;
	s->next_modseq = n->next_modseq + passed * FENCE_MODSEQS;
	s->next_uid = passed * FENCE_UIDS > UID_LAST - n->next_uid ? UID_LAST : n->next_uid + (uint32_t)passed * FENCE_UIDS;
	r = spool_append(s, &fence, 1, NULL);
	if (r == STORE_OK)
		LOG("store.fence", log_str("user", s->user), log_u64("epoch", s->host->epoch), log_u64("passed", passed),
		    log_u64("next_uid", s->next_uid), log_u64("next_modseq", s->next_modseq));
	return r;
}

static enum store_result
cut(struct spool *s, uint64_t end, uint64_t size)
{
	if (ftruncate(s->write_fd, (off_t)end) != 0)
		return fail(s, "truncate");
	LOG("store.cut", log_str("user", s->user), log_u64("segment", s->head.number), log_u64("offset", end),
	    log_u64("bytes", size - end));
	s->at = end;
	s->allocated = end;
	return STORE_OK;
}

enum store_result
tail_repair(struct spool *s, uint64_t size, struct tail *out)
{
	struct numbers n = {0};
	uint64_t end = 0;
	int torn;

	if (scan_tail(s, s->head.number, 0, false, &n, &end, &out->next) != 0)
		return fail(s, "scan");
	s->next_uid = n.next_uid;
	s->next_modseq = n.next_modseq;
	out->epoch = n.epoch;
	if (n.epoch > s->host->epoch) {
		errno = ESTALE;
		return fail(s, "epoch");
	}
	if (n.epoch < s->host->epoch && out->next <= s->head.number)
		return tail_fence(s, size);
	if ((torn = scan_is_torn(s->read_fd, s->head.salt, end, size)) < 0)
		return fail(s, "read");
	/* That one is lost, and what follows was to say so: in no epoch is mail acknowledged behind a record that names the next. */
	if (out->next > s->head.number)
		return torn > 0 ? cut(s, end, size) : STORE_OK;
	/* Written to its end and damaged after: a client may have seen it, and indexes go on behind it. */
	return torn > 0 ? cut(s, end, size) : fence_append(s, &n, 1, size);
}

/* What the page cache holds of a log after a failed sync is not what the disk holds. */
static void
drop_pages(const struct spool *s, uint32_t from)
{
	for (uint32_t i = from; i <= s->head.number; i++) {
		char name[SEGMENT_NAME_BYTES];
		int fd;

		segment_name(i, name);
		if ((fd = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
			continue;
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
}

enum store_result
tail_fence(struct spool *s, uint64_t size)
{
	struct checkpoint_mark mark = {.segment = 1};
	struct numbers n = {0};
	uint64_t end;
	uint32_t next;

	if (checkpoint_read(s->dir_fd, s->user, &mark) == FOUND && mark.segment <= s->head.number)
		n = mark.numbers;
	else
		mark = (struct checkpoint_mark){.segment = 1};
	drop_pages(s, mark.segment);
	if (scan_tail(s, mark.segment, mark.offset, true, &n, &end, &next) != 0)
		return fail(s, "scan");
	raise_numbers(&n, 0, s->next_uid, s->next_modseq);
	if (n.epoch >= s->host->epoch) {
		errno = ESTALE;
		return fail(s, "epoch");
	}
	return fence_append(s, &n, s->host->epoch - n.epoch, size);
}
