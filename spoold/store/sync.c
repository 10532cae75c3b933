/*
 * What became different for a view: expunges, flag changes, new messages. Called between commands,
 * by IDLE and when a parked session wakes. EXPUNGE is told only where the protocol allows it; until
 * then the messages stay in the view.
 */
#include <stdlib.h>

#include "log.h"
#include "store/rank.h"
#include "store/untold.h"

static enum store_result
take_expunges(struct store *s, const struct mbox *m, const struct untold_msg *gone, size_t n, struct arena *a,
    struct view_delta *out)
{
	struct rank_walk walk;

	if (n == 0)
		return STORE_OK;
	if ((out->expunges = ARENA_NEW(a, struct view_expunge, n)) == NULL)
		return STORE_LIMIT;
	rank_walk_begin(&walk, &s->ix, m->v.num);
	/* Each sequence number is one less for every expunge printed before it: so only live ones count. */
	for (size_t i = 0; i < n; i++)
		out->expunges[i] = (struct view_expunge){gone[i].uid, rank_walk_below(&walk, gone[i].uid) + 1};
	rank_walk_end(&walk);
	out->nexpunges = n;
	return STORE_OK;
}

/* How many changes there are after the view's modseq to messages it has. */
static size_t
count_changes(struct store *s, const struct mbox *m, const struct view *v)
{
	struct ix_key from = key_change('c', m->v.num, v->modseq + 1, 0);
	struct slice k, value;
	struct iter it;
	size_t n = 0;

	iter_begin(&it, &s->ix, &from, 5);
	while (iter_next(&it, &k, &value))
		n += key_get_u32((const unsigned char *)k.p + 13) < v->uidnext;
	iter_end(&it);
	return n;
}

static enum store_result
take_changes(struct store *s, const struct mbox *m, const struct view *v, struct arena *a, struct view_delta *out)
{
	struct ix_key from = key_change('c', m->v.num, v->modseq + 1, 0);
	size_t n = count_changes(s, m, v);
	struct slice k, value;
	struct iter it;

	if (n == 0)
		return STORE_OK;
	if ((out->changes = ARENA_NEW(a, struct msg_info, n)) == NULL)
		return STORE_LIMIT;
	iter_begin(&it, &s->ix, &from, 5);
	while (out->nchanges < n && iter_next(&it, &k, &value)) {
		uint32_t uid = key_get_u32((const unsigned char *)k.p + 13);
		struct ix_msg msg;

		if (uid < v->uidnext && msg_load(&s->ix, m->v.num, uid, &msg) &&
		    msg_fill(s, v, uid, &msg, &out->changes[out->nchanges]))
			out->nchanges++;
	}
	iter_end(&it);
	return STORE_OK;
}

static int
by_uid(const void *a, const void *b)
{
	uint32_t x = ((const struct msg_info *)a)->uid, y = ((const struct msg_info *)b)->uid;

	return (x > y) - (x < y);
}

/* Sequence numbers of the changed messages, in the view as it is after the sync. */
static void
number_changes(struct store *s, const struct mbox *m, const struct untold_msg *gone, size_t ngone, struct view_delta *out)
{
	struct rank_walk walk;

	if (out->nchanges == 0)
		return;
	qsort(out->changes, out->nchanges, sizeof(*out->changes), by_uid);
	rank_walk_begin(&walk, &s->ix, m->v.num);
	for (size_t i = 0; i < out->nchanges; i++)
		out->changes[i].seq = rank_walk_below(&walk, out->changes[i].uid) +
		    (uint32_t)untold_below(gone, ngone, out->changes[i].uid) + 1;
	rank_walk_end(&walk);
}

static uint32_t
count_recent(struct store *s, const struct mbox *m, const struct view *v, const struct untold_msg *gone, size_t ngone)
{
	if (v->recent_uid == 0 || v->recent_uid >= v->uidnext)
		return 0;
	return m->v.exists - rank_below(&s->ix, m->v.num, v->recent_uid) +
	    (uint32_t)(ngone - untold_below(gone, ngone, v->recent_uid));
}

/* In a transaction that is caught up. */
static enum store_result
sync_view(struct store *s, const struct mbox *m, struct view *v, bool may_expunge, struct arena *a, struct view_delta *out)
{
	const struct untold_msg *gone;
	enum store_result r = STORE_OK;
	uint32_t live_before;
	size_t ngone;

	gone = untold_of(s, m, v, &ngone);
	live_before = v->uidnext >= m->v.uidnext ? m->v.exists : rank_below(&s->ix, m->v.num, v->uidnext);
	if (may_expunge)
		r = take_expunges(s, m, gone, ngone, a, out);
	if (r == STORE_OK && m->v.highestmodseq > v->modseq)
		r = take_changes(s, m, v, a, out);
	if (r != STORE_OK || s->ix.rc != 0)
		return r;
	v->modseq = m->v.highestmodseq;
	v->uidnext = m->v.uidnext;
	if (may_expunge)
		v->expunge_modseq = m->v.highestmodseq;
	/* What came and went untold while the view could not be told stays in it until it can. */
	out->exists = live_before + (may_expunge ? 0 : (uint32_t)ngone);
	gone = untold_of(s, m, v, &ngone);
	out->is_grown = m->v.exists + (uint32_t)ngone > out->exists;
	out->exists = m->v.exists + (uint32_t)ngone;
	number_changes(s, m, gone, ngone, out);
	out->recent = count_recent(s, m, v, gone, ngone);
	return STORE_OK;
}

/* The session that was told of new messages first has them as recent; the next one does not. */
static void
claim_recent(struct store *s, const struct view *v)
{
	struct record rec = {.type = RECORD_RECENT, .date_ms = now_ms(), .uid = v->uidnext};
	struct mbox m;

	if (change_begin(s) != STORE_OK)
		return;
	memcpy(rec.mailbox, v->mailbox, RECORD_ID_BYTES);
	/* Best effort, logged where it fails: a message recent twice does no harm. */
	if (find_mbox(s, v->mailbox, &m) != STORE_OK || m.v.recent_uid >= v->uidnext ||
	    change_end(s, &rec, 1, NULL, false) != STORE_OK) {
		if (s->ix.txn != NULL)
			(void)change_drop(s, STORE_OK);
	}
}

enum store_result
view_sync(struct store *s, struct view *v, bool may_expunge, struct arena *a, struct view_delta *out)
{
	enum store_result r = store_current_begin(s), ended;
	struct view moved = *v;
	struct mbox m = {0};

	*out = (struct view_delta){0};
	if (r != STORE_OK)
		return r;
	r = find_mbox(s, v->mailbox, &m);
	if (r == STORE_OK && m.v.uidvalidity != v->uidvalidity)
		r = STORE_NOMBOX;
	if (r == STORE_OK)
		r = sync_view(s, &m, &moved, may_expunge, a, out);
	if ((ended = index_end(&s->ix)) != STORE_OK)
		return ended;
	if (r == STORE_NOMBOX || r == STORE_LIMIT) {
		/* No longer there, or more than a command may hold: the client opens it again. */
		*out = (struct view_delta){.is_gone = true};
		return STORE_OK;
	}
	if (r != STORE_OK)
		return r;
	*v = moved;
	if (out->is_grown && v->claims_recent && m.v.recent_uid < v->uidnext)
		claim_recent(s, v);
	return STORE_OK;
}

bool
view_is_stale(struct store *s, const struct view *v)
{
	struct mbox m;
	bool is_stale;

	if (store_current_begin(s) != STORE_OK)
		return true;
	is_stale = find_mbox(s, v->mailbox, &m) != STORE_OK || m.v.highestmodseq > v->modseq ||
	    m.v.expunge_modseq > v->expunge_modseq || m.v.uidnext > v->uidnext || m.v.uidvalidity != v->uidvalidity;
	return index_end(&s->ix) != STORE_OK || is_stale;
}

static int
by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

enum store_result
store_expunged_since(struct store *s, const unsigned char *mailbox, uint64_t since, struct arena *a, uint32_t **uids_out,
    size_t *n_out)
{
	enum store_result r = store_current_begin(s), ended;
	struct buf uids = buf_make(SIZE_MAX / 4);
	struct slice k, v;
	struct ix_key from;
	struct iter it;
	struct mbox m;

	if (r != STORE_OK)
		return r;
	if ((r = find_mbox(s, mailbox, &m)) == STORE_OK) {
		from = key_change('t', m.v.num, since + 1, 0);
		iter_begin(&it, &s->ix, &from, 5);
		while (iter_next(&it, &k, &v)) {
			uint32_t uid = key_get_u32((const unsigned char *)k.p + 13);

			if (buf_add(&uids, &uid, sizeof(uid)) != 0)
				DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", uids.n));
		}
		iter_end(&it);
		*n_out = uids.n / sizeof(**uids_out);
		if ((*uids_out = ARENA_NEW(a, uint32_t, *n_out + 1)) == NULL)
			r = STORE_LIMIT;
		else if (*n_out > 0) {
			memcpy(*uids_out, uids.p, uids.n);
			qsort(*uids_out, *n_out, sizeof(**uids_out), by_number);
		}
	}
	buf_free(&uids);
	ended = index_end(&s->ix);
	return ended == STORE_OK ? r : ended;
}
