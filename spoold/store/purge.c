/*
 * Purging. Called by upkeep (store_purge decides by the clock and writes it down) and by apply.c, which
 * follows what is written. Expunged messages stay in the index until then: views that were not told read
 * them, and undelete will. A body goes when the last message that has it is purged.
 */
#include "store/purge.h"

#include "log.h"
#include "store/extra.h"
#include "store/rank.h"
#include "store/store_impl.h"

#define MAILBOXES_AT_ONCE	64	/* records of one change */

/* ---- by the record ---- */

static void
cache_drop(struct index *ix, uint64_t body_modseq)
{
	struct ix_key from = key_of('x');
	struct slice k, v;
	struct iter it;

	key_u64(&from, body_modseq);
	iter_begin(&it, ix, &from, from.n);
	while (iter_next(&it, &k, &v)) {
		struct ix_key gone = {.n = 0};

		key_add(&gone, k.p, k.n);
		index_delete(ix, &gone);
	}
	iter_end(&it);
}

/* The entry stays, with refs 0, until compaction: only what is known to be of nobody becomes a husk. */
static void
body_release(struct index *ix, uint64_t modseq)
{
	struct ix_key k = key_body(modseq);
	struct ix_body b;

	if (!index_get_fixed(ix, &k, &b, sizeof(b)) || b.refs == 0)
		return;
	b.refs--;
	index_put(ix, &k, &b, sizeof(b));
	if (b.refs == 0)
		cache_drop(ix, modseq);
}

static void
purge_block(struct index *ix, uint32_t num, uint32_t block, struct ix_gone *gone)
{
	int bit;

	while ((bit = bits_take(gone->uids)) >= 0) {
		uint32_t uid = block * BLOCK_UIDS + (uint32_t)bit;
		struct ix_key k = key_uid('e', num, uid);
		struct ix_msg msg;

		if (!index_get_fixed(ix, &k, &msg, sizeof(msg)))
			continue;
		body_release(ix, msg.body_modseq);
		index_delete(ix, &k);
		ix->touched++;
	}
}

static void
purge_upto(struct index *ix, uint32_t num, uint64_t horizon)
{
	struct ix_key from = key_gone(num, 0, 0);
	struct slice k, v;
	struct iter it;

	iter_begin(&it, ix, &from, 5);
	while (iter_next(&it, &k, &v)) {
		const unsigned char *p = (const unsigned char *)k.p;
		uint64_t modseq = key_get_u64(p + 5);
		uint32_t block = key_get_u32(p + 13);
		struct ix_gone gone;
		struct ix_key key;

		if (modseq > horizon || v.n != sizeof(gone))
			break;
		memcpy(&gone, v.p, sizeof(gone));
		purge_block(ix, num, block, &gone);
		key = key_gone(num, modseq, block);
		index_delete(ix, &key);
	}
	iter_end(&it);
}

void
purge_apply(struct index *ix, const struct record *r)
{
	struct extra_purge p;
	struct mbox m;

	if (!extra_unpack_purge(r->extra, &p) || !mbox_load(ix, r->mailbox, &m)) {
		LOG("warn.store.record", log_str("user", ix->spool->user), log_u64("modseq", r->modseq), log_str("type", "P"),
		    log_str("why", "extra"));
		return;
	}
	purge_upto(ix, m.v.num, p.horizon);
	if (p.horizon > m.v.purge_modseq)
		m.v.purge_modseq = p.horizon;
	if (p.highestmodseq > m.v.highestmodseq)
		m.v.highestmodseq = p.highestmodseq;
	if (p.expunge_modseq > m.v.expunge_modseq)
		m.v.expunge_modseq = p.expunge_modseq;
	if (p.uidnext > m.v.uidnext)
		m.v.uidnext = p.uidnext;
	mbox_save(ix, &m);
}

/* ---- by the clock ---- */

struct candidate {
	unsigned char	id[RECORD_ID_BYTES];
	uint64_t	horizon;
};

/* How far a mailbox may be purged: 0, nothing. Dates follow modseqs but for a clock that was set back. */
static uint64_t
horizon_of(struct index *ix, uint32_t num, int64_t before_ms, uint64_t *nmsgs)
{
	struct ix_key from = key_gone(num, 0, 0);
	uint64_t horizon = 0;
	struct slice k, v;
	struct iter it;

	iter_begin_steady(&it, ix, &from, 5);
	while (iter_next(&it, &k, &v)) {
		struct ix_gone gone;

		if (v.n != sizeof(gone))
			break;
		memcpy(&gone, v.p, sizeof(gone));
		if (gone.date_ms >= before_ms)
			break;
		horizon = key_get_u64((const unsigned char *)k.p + 5);
		*nmsgs += bits_count(gone.uids);
	}
	iter_end(&it);
	return horizon;
}

/* Mailboxes, deleted ones too, from number *num_io on. */
static enum store_result
find_candidates(struct store *s, int64_t before_ms, uint32_t *num_io, struct candidate *out, size_t *n_out, uint64_t *nmsgs)
{
	enum store_result r = store_current_begin(s);
	struct mbox m;

	*n_out = 0;
	if (r != STORE_OK)
		return r;
	for (; *num_io <= s->ix.meta.next_num && *n_out < MAILBOXES_AT_ONCE; ++*num_io) {
		uint64_t horizon = horizon_of(&s->ix, *num_io, before_ms, nmsgs);

		if (horizon == 0 || !mbox_load_num(&s->ix, *num_io, &m))
			continue;
		out[*n_out].horizon = horizon;
		memcpy(out[(*n_out)++].id, m.id, RECORD_ID_BYTES);
	}
	return index_end(&s->ix);
}

static enum store_result
purge_some(struct store *s, const struct candidate *c, size_t n)
{
	struct record recs[MAILBOXES_AT_ONCE];
	struct buf extras[MAILBOXES_AT_ONCE];
	enum store_result r = change_begin(s);
	size_t nrecs = 0;
	struct mbox m;

	if (r != STORE_OK)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct extra_purge p;

		if (!mbox_load(&s->ix, c[i].id, &m))
			continue;
		p = (struct extra_purge){.horizon = c[i].horizon, .highestmodseq = m.v.highestmodseq,
		    .expunge_modseq = m.v.expunge_modseq, .uidnext = m.v.uidnext};
		extras[nrecs] = buf_make(sizeof(p));
		extra_pack_purge(&extras[nrecs], &p);
		recs[nrecs] = (struct record){.type = RECORD_PURGE, .date_ms = now_ms(), .extra = buf_slice(&extras[nrecs])};
		memcpy(recs[nrecs++].mailbox, c[i].id, RECORD_ID_BYTES);
	}
	/* Waited for: what compaction throws away must be known to be purged after any crash. */
	r = change_end(s, recs, nrecs, NULL, true);
	for (size_t i = 0; i < nrecs; i++)
		buf_free(&extras[i]);
	return r;
}

enum store_result
store_purge(struct store *s, int64_t before_ms, uint64_t *nmsgs_out)
{
	struct candidate c[MAILBOXES_AT_ONCE];
	enum store_result r = STORE_OK;
	uint32_t num = 1;
	size_t n;

	*nmsgs_out = 0;
	do {
		r = find_candidates(s, before_ms, &num, c, &n, nmsgs_out);
		if (r == STORE_OK && n > 0)
			r = purge_some(s, c, n);
	} while (r == STORE_OK && n == MAILBOXES_AT_ONCE);
	return r;
}
