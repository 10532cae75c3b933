/*
 * After a segment was compacted: where its bodies are now. Called by compaction in the transaction in which
 * the new file got its name, and by whoever finds a body moved and the index silent about it. So it does
 * no harm when a process dies between the two.
 */
#include <errno.h>

#include "log.h"
#include "store/body.h"
#include "store/scan.h"

static void
remap(struct index *ix, const struct scan *s, const struct record *r)
{
	struct ix_key k = key_body(r->modseq);
	struct ix_body b;

	if (r->type == RECORD_HUSK_MESSAGE || r->type == RECORD_HUSK_BODY) {
		index_delete(ix, &k);
		return;
	}
	if ((r->type != RECORD_MESSAGE && r->type != RECORD_BODY) || !index_get_fixed(ix, &k, &b, sizeof(b)))
		return;
	b.segment = s->head.number;
	b.generation = s->head.generation;
	b.offset = s->body_at;
	b.crc = r->body_crc;
	index_put(ix, &k, &b, sizeof(b));
}

enum store_result
index_remap_segment(struct index *ix, uint32_t segment)
{
	struct record r;
	struct scan scan;
	enum scan_got got = scan_begin(&scan, ix->spool->dir_fd, ix->spool->user, segment, 0, 0, false);

	scan.is_single = true;
	while (got == SCAN_RECORD && ix->rc == 0 && (got = scan_next(&scan, &r)) == SCAN_RECORD)
		remap(ix, &scan, &r);
	if (got == SCAN_ERROR)
		LOG("warn.store.log", log_str("user", ix->spool->user), log_u64("segment", segment), log_str("step", "remap"),
		    log_str("why", strerror(errno)));
	scan_end(&scan);
	return got == SCAN_ERROR || ix->rc != 0 ? STORE_TEMP : STORE_OK;
}
