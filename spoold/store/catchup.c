/*
 * Bringing the index up to the log's end. Called in a write transaction by whoever needs the index,
 * and by a rebuild for all of the log.
 */
#include <errno.h>
#include <sys/stat.h>

#include "log.h"
#include "store/apply.h"

static enum store_result
fail(struct index *ix)
{
	LOG("warn.store.log", log_str("user", ix->spool->user), log_u64("segment", ix->meta.segment),
	    log_str("step", "replay"), log_str("why", strerror(errno)));
	/* The log is not the one the index was made from. */
	if (errno == ENOENT || errno == EBADMSG)
		ix->is_bad = true;
	return STORE_TEMP;
}

/*
 * What was passed over may have named what is there. But not the end that a crash tore off, which a fence of a later
 * epoch follows: it was never acknowledged.
 */
static void
mark_holes(struct ix_meta *m, struct scan *s, const struct record *r)
{
	bool is_torn = r != NULL && r->type == RECORD_FENCE && r->epoch > m->last_epoch;

	if (s->has_passed || (s->has_gap && !is_torn))
		m->has_holes = 1;
	s->has_passed = s->has_gap = false;
}

enum store_result
index_catch_up_unsaved(struct index *ix)
{
	enum store_result r;
	bool more = true;

	for (int n = 0; more && n < INDEX_MEMORY_RECORDS; n += CATCH_UP_RECORDS) {
		ix->touched = 0;
		if ((r = index_catch_up(ix, &more)) != STORE_OK)
			return r;
	}
	if (!more || !index_is_behind(ix))
		return STORE_OK;
	LOG("warn.index.write", log_str("user", ix->spool->user), log_str("why", "too much that could not be written"));
	return STORE_TEMP;
}

bool
index_is_behind(struct index *ix)
{
	struct spool *s = ix->spool;
	struct stat st;

	if (spool_follow(s) != 0 || fstat(s->read_fd, &st) != 0 ||
	    (st.st_nlink == 0 && !s->is_locked && (spool_reopen(s) != 0 || fstat(s->read_fd, &st) != 0)))
		return true;	/* who catches up will say what is wrong */
	return ix->meta.segment != s->head.number || ix->meta.offset != (uint64_t)st.st_size;
}

static bool
is_at_stop(const struct index *ix)
{
	return ix->stop_segment != 0 && (ix->meta.segment > ix->stop_segment ||
	    (ix->meta.segment == ix->stop_segment && ix->meta.offset >= ix->stop_offset));
}

enum store_result
index_catch_up(struct index *ix, bool *more_out)
{
	struct ix_meta *m = &ix->meta;
	enum scan_got got;
	struct record r;
	struct scan scan;
	uint64_t before = m->offset;
	uint32_t n = 0;
	bool is_next = false;

	*more_out = false;
	if (!index_is_behind(ix))
		return STORE_OK;
	got = scan_begin(&scan, ix->spool->dir_fd, ix->spool->user, m->segment, m->offset,
	    ix->spool->head.number, false);
	/* Compacted since we looked: only an index put aside, or begun from a checkpoint replaced since, stands so far back. */
	if (got == SCAN_RECORD && scan.head.number == m->segment && m->salt != 0 && m->salt != scan.head.salt) {
		errno = EBADMSG;
		got = SCAN_ERROR;
	}
	while (got == SCAN_RECORD && !is_at_stop(ix) && n < CATCH_UP_RECORDS && ix->touched < CATCH_UP_MSGS && ix->rc == 0 &&
	    (got = scan_next(&scan, &r)) == SCAN_RECORD) {
		mark_holes(m, &scan, &r);
		apply_record(ix, &scan, &r);
		if (scan.head.number != m->segment)
			before = scan.head.bytes;
		m->replay_records++;
		m->replay_bytes += scan.at > before ? scan.at - before : 0;
		before = scan.at;
		m->segment = scan.head.number;
		m->salt = scan.head.salt;
		m->offset = scan.at;
		m->next_modseq = r.next_modseq;
		m->next_uid = r.next_uid;
		m->last_epoch = r.epoch;
		is_next = r.type == RECORD_NEXT;
		n++;
	}
	mark_holes(m, &scan, NULL);
	*more_out = got == SCAN_RECORD && !is_at_stop(ix) && (n == CATCH_UP_RECORDS || ix->touched >= CATCH_UP_MSGS);
	if (got == SCAN_ERROR) {
		enum store_result bad = fail(ix);

		scan_end(&scan);
		return bad;
	}
	scan_end(&scan);
	/* The log goes on, and not where spool_follow looks: the next segment may be lost, with others behind it. */
	if (is_next && m->segment == ix->spool->head.number && !ix->spool->is_locked && spool_follow(ix->spool) == 0 &&
	    m->segment == ix->spool->head.number)
		(void)spool_reopen(ix->spool);
	return STORE_OK;
}
