/*
 * Bringing the index up to the log's end. Called in a write transaction by whoever needs the index,
 * and by a rebuild for all of the log.
 */
#include <errno.h>

#include "log.h"
#include "store/apply.h"
#include "store/holes.h"

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

/* What was passed over before r may have named what is there; but not what a crash tore off. 0, or -1 with errno: that cannot be read. */
static int
note_holes(struct index *ix, struct scan *s, const struct record *r)
{
	const struct scan_gap *g = (const struct scan_gap *)(const void *)s->passed.p;

	for (size_t i = 0; i < s->passed.n / sizeof(*g); i++) {
		int is_crashed = g[i].segment == s->head.number && g[i].to != UINT64_MAX ?
		    scan_is_crashed(s, ix->meta.last_epoch, r, g[i].from, g[i].to) : 0;

		if (is_crashed < 0)
			return -1;
		if (is_crashed > 0)
			continue;
		/* Of a lost segment the record before may have left its numbers out already. */
		hole_found(ix, &(struct loss){g[i].segment, g[i].from, g[i].to,
		    g[i].to == UINT64_MAX ? 0 : ix->meta.next_modseq, r->modseq});
	}
	buf_clear(&s->passed);
	return 0;
}

enum store_result
index_catch_up_unsaved(struct index *ix)
{
	enum store_result r;
	uint64_t begin = ix->meta.replay_records;
	uint32_t touched = 0;
	bool more = true;

	while (more && ix->meta.replay_records - begin < INDEX_MEMORY_RECORDS && touched < INDEX_MEMORY_MSGS) {
		ix->touched = 0;
		if ((r = index_catch_up(ix, &more)) != STORE_OK)
			return r;
		touched += ix->touched;
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
	uint64_t size;

	if (spool_end(s, &size) != 0)
		return true;	/* who catches up will say what is wrong */
	return ix->meta.segment != s->head.number || ix->meta.offset != size;
}

static bool
is_at_stop(const struct index *ix)
{
	return ix->stop_segment != 0 && (ix->meta.segment > ix->stop_segment ||
	    (ix->meta.segment == ix->stop_segment && ix->meta.offset >= ix->stop_offset));
}

/* The end is in a segment that has no record yet: the index stands at its beginning. 0, or -1 with errno. */
static int
enter_segment(struct index *ix, struct scan *s)
{
	const struct numbers *n = &s->head.numbers;
	struct record none = {.type = RECORD_SEGMENT, .modseq = n->next_modseq};
	struct ix_meta *m = &ix->meta;

	if (s->at != s->head.bytes)
		return 0;
	if (note_holes(ix, s, &none) != 0)
		return -1;
	m->segment = s->head.number;
	m->salt = s->head.salt;
	m->offset = s->at;
	m->next_modseq = n->next_modseq > m->next_modseq ? n->next_modseq : m->next_modseq;
	m->next_uid = n->next_uid > m->next_uid ? n->next_uid : m->next_uid;
	return 0;
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
		if (note_holes(ix, &scan, &r) != 0) {
			got = SCAN_ERROR;
			break;
		}
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
	if (got == SCAN_END && scan.head.number > m->segment && enter_segment(ix, &scan) != 0)
		got = SCAN_ERROR;
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
