/*
 * Giving up what is lost of a log, by the operator's order: a record that names each hole. Only what a replay of the whole log
 * finds missing now is named, so a loss after that is another one. Called by spoolck.
 */
#include "log.h"
#include "pack.h"
#include "store/holes.h"
#include "store/store_impl.h"

enum store_result
store_losses(struct store *s, const char *dir, struct buf *losses)
{
	enum store_result r;
	struct index ix;

	if ((r = index_make_private(&ix, s->spool, dir, 0, 0)) != STORE_OK)
		return r;
	if ((r = index_begin(&ix, false)) == STORE_OK) {
		holes_list(&ix, losses);
		r = index_end(&ix);
	}
	index_close(&ix);
	return r;
}

enum store_result
store_accept_losses(struct store *s, const struct loss *l, size_t n)
{
	struct record rec = {.type = RECORD_ACCEPT, .date_ms = now_ms()};
	struct buf extra = buf_make(RECORD_EXTRA_MAX_BYTES);
	enum store_result r;

	pack_u32(&extra, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		pack_u32(&extra, l[i].segment);
		pack_u64(&extra, l[i].from);
		pack_u64(&extra, l[i].to);
		pack_u64(&extra, l[i].modseq_from);
		pack_u64(&extra, l[i].modseq_to);
	}
	rec.extra = buf_slice(&extra);
	r = pack_ok(&extra) ? change_begin(s) : STORE_LIMIT;
	if (r == STORE_OK && (r = change_end(s, &rec, n > 0, NULL, true)) == STORE_OK)
		LOG("store.accepted", log_str("user", s->spool->user), log_u64("holes", n));
	buf_free(&extra);
	return r;
}
