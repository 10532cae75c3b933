/*
 * A session's view of a mailbox: live messages below its uidnext, and those expunged that it was not
 * told of. Called for every SELECT, FETCH, STORE and SEARCH. Ranks, never scans; each call is one
 * read transaction that ends before it returns, so a slow client pins no pages.
 */
#include "log.h"
#include "store/msgs.h"

/* The highest modseq that the view was told of, in whatever way. */
static uint64_t
known_modseq(const struct view *v)
{
	uint64_t known = v->modseq > v->expunge_modseq ? v->modseq : v->expunge_modseq;

	return v->sync_modseq > known ? v->sync_modseq : known;
}

enum store_result
view_current_begin(struct store *s, const struct view *v)
{
	return store_current_begin_since(s, known_modseq(v));
}

enum store_result
view_begin(struct store *s, const struct view *v, struct mbox *m, const struct untold **gone)
{
	enum store_result r = store_read_begin_since(s, known_modseq(v));

	if (r != STORE_OK)
		return r;
	if (!mbox_load(&s->ix, v->mailbox, m)) {
		r = index_end(&s->ix);
		return r == STORE_OK ? STORE_NOMBOX : r;
	}
	/* What it still shows as there was purged since. */
	if (v->expunge_modseq < m->v.purge_modseq) {
		r = index_end(&s->ix);
		return r == STORE_OK ? STORE_NOMBOX : r;
	}
	*gone = untold_of(s, m, v);
	return STORE_OK;
}

enum store_result
view_open(struct store *s, const unsigned char *mailbox, bool claim_recent, struct view *out)
{
	struct record rec = {.type = RECORD_RECENT, .date_ms = now_ms()};
	enum store_result r = store_current_begin(s), ended;
	struct mbox m;

	if (r != STORE_OK)
		return r;
	r = find_mbox(s, mailbox, &m);
	if ((ended = index_end(&s->ix)) != STORE_OK || r != STORE_OK)
		return ended != STORE_OK ? ended : r;
	/* While another process is in a long change nobody gets them: recent in two sessions does no harm (RFC 3501 2.3.2). */
	if (claim_recent && m.v.recent_uid < m.v.uidnext && !s->is_behind && store_turn(s)) {
		/* Looked at again under the lock, so that no two sessions get the same ones. */
		if ((r = change_begin(s)) != STORE_OK)
			return r;
		if ((r = find_mbox(s, mailbox, &m)) != STORE_OK)
			return change_drop(s, r);
		memcpy(rec.mailbox, mailbox, RECORD_ID_BYTES);
		rec.uid = m.v.uidnext;
		if ((r = change_end(s, &rec, m.v.recent_uid < m.v.uidnext, NULL, false)) != STORE_OK)
			return r;
	}
	*out = (struct view){.uidvalidity = m.v.uidvalidity, .uidnext = m.v.uidnext, .modseq = m.v.highestmodseq,
	    .expunge_modseq = m.v.highestmodseq, .recent_uid = m.v.recent_uid, .claims_recent = claim_recent};
	memcpy(out->mailbox, mailbox, RECORD_ID_BYTES);
	return STORE_OK;
}

/* Live messages that the view has: all of them, when it knows of every one. */
static uint32_t
live_count(struct store *s, const struct mbox *m, const struct view *v)
{
	return v->uidnext >= m->v.uidnext ? m->v.exists : rank_below(&s->ix, m->v.num, v->uidnext);
}

enum store_result
view_count(struct store *s, const struct view *v, uint32_t *out)
{
	const struct untold *gone;
	struct mbox m;
	enum store_result r = view_begin(s, v, &m, &gone);

	if (r != STORE_OK)
		return r;
	*out = live_count(s, &m, v) + untold_below(gone, v->uidnext);
	return index_end(&s->ix);
}

/* The n-th UID (from 0) of live and expunged ones merged; 0 when there is none. */
static uint32_t
find_merged(struct store *s, const struct mbox *m, const struct untold *gone, uint32_t n)
{
	size_t lo = 0, hi = gone->n;
	uint32_t start = 0, nth;
	struct ix_block b;

	/* How many blocks with expunged ones begin at or before n. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		uint32_t place = rank_below(&s->ix, m->v.num, gone->v[mid].block * BLOCK_UIDS) + gone->v[mid].below;

		if (place <= n) {
			lo = mid + 1;
			start = place;
		} else
			hi = mid;
	}
	if (lo == 0)
		return rank_find(&s->ix, m->v.num, n);
	nth = n - start;
	rank_load(&s->ix, m->v.num, gone->v[lo - 1].block, &b);
	for (int w = 0; w < BLOCK_WORDS; w++)
		b.live[w] |= gone->v[lo - 1].uids[w];
	if (nth < bits_count(b.live))
		return gone->v[lo - 1].block * BLOCK_UIDS + bits_nth(b.live, nth);
	return rank_find(&s->ix, m->v.num, n - gone->v[lo - 1].below - bits_count(gone->v[lo - 1].uids));
}

enum store_result
view_uid(struct store *s, const struct view *v, uint32_t seq, uint32_t *uid_out)
{
	const struct untold *gone;
	struct mbox m;
	enum store_result r = view_begin(s, v, &m, &gone);

	*uid_out = 0;
	if (r != STORE_OK)
		return r;
	if (seq > 0) {
		*uid_out = find_merged(s, &m, gone, seq - 1);
		if (*uid_out >= v->uidnext)
			*uid_out = 0;
	}
	return index_end(&s->ix);
}

enum store_result
view_seq(struct store *s, const struct view *v, uint32_t uid, uint32_t *seq_out)
{
	const struct untold *gone;
	struct mbox m;
	enum store_result r = view_begin(s, v, &m, &gone);

	*seq_out = 0;
	if (r != STORE_OK)
		return r;
	if (uid < v->uidnext && (untold_has(gone, uid) || rank_is_live(&s->ix, m.v.num, uid)))
		*seq_out = rank_below(&s->ix, m.v.num, uid) + untold_below(gone, uid) + 1;
	return index_end(&s->ix);
}

enum store_result
view_last_uid(struct store *s, const struct view *v, uint32_t *uid_out)
{
	const struct untold *gone;
	uint32_t n;
	struct mbox m;
	enum store_result r = view_begin(s, v, &m, &gone);

	*uid_out = 0;
	if (r != STORE_OK)
		return r;
	if ((n = live_count(s, &m, v) + untold_below(gone, v->uidnext)) > 0)
		*uid_out = find_merged(s, &m, gone, n - 1);
	return index_end(&s->ix);
}

enum store_result
view_first_unseen(struct store *s, const struct view *v, uint32_t *seq_out)
{
	const struct untold *gone;
	uint32_t uid;
	struct mbox m;
	enum store_result r = view_begin(s, v, &m, &gone);

	*seq_out = 0;
	if (r != STORE_OK)
		return r;
	uid = rank_first_unseen(&s->ix, m.v.num);
	if (uid > 0 && uid < v->uidnext)
		*seq_out = rank_below(&s->ix, m.v.num, uid) + untold_below(gone, uid) + 1;
	return index_end(&s->ix);
}

bool
msg_fill(struct store *s, const struct view *v, uint32_t uid, const struct ix_msg *m, struct msg_info *out)
{
	struct ix_key k = key_body(m->body_modseq);
	struct ix_body b;

	if (!index_get_fixed(&s->ix, &k, &b, sizeof(b))) {
		if (s->ix.rc == 0)
			s->ix.rc = MDB_CORRUPTED;	/* a message is never put without its body */
		return false;
	}
	*out = (struct msg_info){.uid = uid, .flags = m->flags, .keywords = {m->keywords[0], m->keywords[1]},
	    .modseq = m->modseq, .date_ms = m->date_ms, .save_ms = m->save_ms, .size = m->size,
	    .is_recent = v->recent_uid != 0 && uid >= v->recent_uid,
	    .body = {b.segment, b.generation, b.offset, m->body_modseq, b.crc}};
	memcpy(out->guid, b.guid, RECORD_ID_BYTES);
	return true;
}

enum store_result
view_range(struct store *s, const struct view *v, uint32_t lo, uint32_t hi, struct msg_info *out, size_t max, size_t *n_out)
{
	const struct untold *gone;
	struct ix_msg msg;
	struct msgs msgs;
	uint32_t uid, seq;
	bool is_gone;
	struct mbox m;
	enum store_result r = view_begin(s, v, &m, &gone);

	*n_out = 0;
	if (r != STORE_OK)
		return r;
	if (hi >= v->uidnext)
		hi = v->uidnext - 1;
	if (lo == 0)
		lo = 1;
	if (lo <= hi) {
		seq = rank_below(&s->ix, m.v.num, lo) + untold_below(gone, lo);
		msgs_begin(&msgs, &s->ix, m.v.num, lo, hi, 0, gone);
		while (*n_out < max && msgs_next(&msgs, &uid, &msg, &is_gone) && msg_fill(s, v, uid, &msg, &out[*n_out])) {
			out[*n_out].is_expunged = is_gone;
			out[(*n_out)++].seq = ++seq;
		}
		msgs_end(&msgs);
	}
	return index_end(&s->ix);
}
