/*
 * Giving up what is lost of a log, by the operator's order: a record that says so, the first of a segment of its own, so that
 * all segments before it are meant. Called by spoolck.
 */
#include "log.h"
#include "store/store_impl.h"

enum store_result
store_accept_loss(struct store *s)
{
	struct record rec = {.type = RECORD_ACCEPT, .date_ms = now_ms()};
	enum store_result r = change_begin(s);

	if (r != STORE_OK)
		return r;
	if ((r = spool_roll(s->spool)) != STORE_OK)
		return change_drop(s, r);
	if ((r = change_end(s, &rec, 1, NULL, true)) == STORE_OK)
		LOG("store.accepted", log_str("user", s->spool->user), log_u64("segment", s->spool->head.number));
	return r;
}
