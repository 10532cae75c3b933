/*
 * A session's view of a mailbox: live messages below its uidnext, and those expunged that it was not
 * told of. Called for every SELECT, FETCH, STORE and SEARCH. Ranks, never scans; each call is one
 * read transaction that ends before it returns, so a slow client pins no pages.
 */
#include "log.h"
#include "store/rank.h"
#include "store/untold.h"

/* Begins to read and loads the view's mailbox, deleted or not: what it held can be read until the next sync. */
static enum store_result
begin(struct store *s, const struct view *v, struct mbox *m, const struct untold_msg **gone, size_t *ngone)
{
	enum store_result r = store_read_begin(s);

	if (r != STORE_OK)
		return r;
	if (!mbox_load(&s->ix, v->mailbox, m)) {
		r = index_end(&s->ix);
		return r == STORE_OK ? STORE_NOMBOX : r;
	}
	*gone = untold_of(s, m, v, ngone);
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
	if (claim_recent && m.v.recent_uid < m.v.uidnext) {
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
	const struct untold_msg *gone;
	size_t ngone;
	struct mbox m;
	enum store_result r = begin(s, v, &m, &gone, &ngone);

	if (r != STORE_OK)
		return r;
	*out = live_count(s, &m, v) + (uint32_t)ngone;
	return index_end(&s->ix);
}

/* The n-th UID (from 0) of live and expunged ones merged; 0 when there is none. */
static uint32_t
find_merged(struct store *s, const struct mbox *m, const struct untold_msg *gone, size_t ngone, uint32_t n)
{
	size_t lo = 0, hi = ngone;

	/* How many of the expunged ones have a place before n. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		uint64_t place = rank_below(&s->ix, m->v.num, gone[mid].uid) + mid;

		if (place == n)
			return gone[mid].uid;
		if (place < n)
			lo = mid + 1;
		else
			hi = mid;
	}
	return rank_find(&s->ix, m->v.num, n - (uint32_t)lo);
}

enum store_result
view_uid(struct store *s, const struct view *v, uint32_t seq, uint32_t *uid_out)
{
	const struct untold_msg *gone;
	size_t ngone;
	struct mbox m;
	enum store_result r = begin(s, v, &m, &gone, &ngone);

	*uid_out = 0;
	if (r != STORE_OK)
		return r;
	if (seq > 0) {
		*uid_out = find_merged(s, &m, gone, ngone, seq - 1);
		if (*uid_out >= v->uidnext)
			*uid_out = 0;
	}
	return index_end(&s->ix);
}

enum store_result
view_seq(struct store *s, const struct view *v, uint32_t uid, uint32_t *seq_out)
{
	const struct untold_msg *gone;
	size_t ngone, below;
	struct ix_msg msg;
	struct mbox m;
	enum store_result r = begin(s, v, &m, &gone, &ngone);

	*seq_out = 0;
	if (r != STORE_OK)
		return r;
	below = untold_below(gone, ngone, uid);
	if (uid < v->uidnext && ((below < ngone && gone[below].uid == uid) || msg_load(&s->ix, m.v.num, uid, &msg)))
		*seq_out = rank_below(&s->ix, m.v.num, uid) + (uint32_t)below + 1;
	return index_end(&s->ix);
}

enum store_result
view_last_uid(struct store *s, const struct view *v, uint32_t *uid_out)
{
	const struct untold_msg *gone;
	size_t ngone;
	uint32_t n;
	struct mbox m;
	enum store_result r = begin(s, v, &m, &gone, &ngone);

	*uid_out = 0;
	if (r != STORE_OK)
		return r;
	if ((n = live_count(s, &m, v)) > 0)
		*uid_out = rank_find(&s->ix, m.v.num, n - 1);
	if (ngone > 0 && gone[ngone - 1].uid > *uid_out)
		*uid_out = gone[ngone - 1].uid;
	return index_end(&s->ix);
}

enum store_result
view_first_unseen(struct store *s, const struct view *v, uint32_t *seq_out)
{
	const struct untold_msg *gone;
	size_t ngone;
	uint32_t uid;
	struct mbox m;
	enum store_result r = begin(s, v, &m, &gone, &ngone);

	*seq_out = 0;
	if (r != STORE_OK)
		return r;
	uid = rank_first_unseen(&s->ix, m.v.num);
	if (uid > 0 && uid < v->uidnext)
		*seq_out = rank_below(&s->ix, m.v.num, uid) + (uint32_t)untold_below(gone, ngone, uid) + 1;
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

/* The two ascending sequences that view_range merges. */
struct merge {
	struct store	*s;
	const struct mbox *m;
	const struct view *v;
	struct iter	 live;
	uint32_t	 live_uid;	/* 0: no more */
	struct ix_msg	 live_msg;
	const struct untold_msg *gone, *gone_end;
};

static void
step_live(struct merge *g, uint32_t hi)
{
	struct slice k, v;

	g->live_uid = 0;
	if (!iter_next(&g->live, &k, &v))
		return;
	g->live_uid = key_get_u32((const unsigned char *)k.p + 5);
	if (g->live_uid > hi || v.n != sizeof(g->live_msg))
		g->live_uid = 0;
	else
		memcpy(&g->live_msg, v.p, sizeof(g->live_msg));
}

/* The next message of the view up to hi; false at its end. */
static bool
step(struct merge *g, uint32_t hi, struct msg_info *out)
{
	bool has_gone = g->gone < g->gone_end && g->gone->uid <= hi;
	struct ix_key k;
	struct ix_msg msg;

	if (has_gone && (g->live_uid == 0 || g->gone->uid < g->live_uid)) {
		k = key_change('t', g->m->v.num, g->gone->modseq, g->gone->uid);
		if (!index_get_fixed(&g->s->ix, &k, &msg, sizeof(msg)) || !msg_fill(g->s, g->v, g->gone->uid, &msg, out))
			return false;
		out->is_expunged = true;
		g->gone++;
		return true;
	}
	if (g->live_uid == 0 || !msg_fill(g->s, g->v, g->live_uid, &g->live_msg, out))
		return false;
	step_live(g, hi);
	return true;
}

enum store_result
view_range(struct store *s, const struct view *v, uint32_t lo, uint32_t hi, struct msg_info *out, size_t max, size_t *n_out)
{
	const struct untold_msg *gone;
	struct ix_key from;
	size_t ngone, below;
	uint32_t seq;
	struct mbox m;
	enum store_result r = begin(s, v, &m, &gone, &ngone);
	struct merge g = {.s = s, .m = &m, .v = v};

	*n_out = 0;
	if (r != STORE_OK)
		return r;
	if (hi >= v->uidnext)
		hi = v->uidnext - 1;
	if (lo == 0)
		lo = 1;
	if (lo <= hi) {
		below = untold_below(gone, ngone, lo);
		g.gone = gone == NULL ? NULL : gone + below;
		g.gone_end = gone == NULL ? NULL : gone + ngone;
		from = key_uid('e', m.v.num, lo);
		iter_begin(&g.live, &s->ix, &from, 5);
		step_live(&g, hi);
		seq = rank_below(&s->ix, m.v.num, lo) + (uint32_t)below;
		while (*n_out < max && step(&g, hi, &out[*n_out]))
			out[(*n_out)++].seq = ++seq;
		iter_end(&g.live);
	}
	return index_end(&s->ix);
}
