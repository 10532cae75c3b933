/*
 * What became different for a view: expunges, flag changes, new messages. Called between commands,
 * by IDLE and when a parked session wakes. EXPUNGE is told only where the protocol allows it; until
 * then the messages stay in the view.
 */
#include "log.h"
#include "store/msgs.h"

/* The next piece of expunges, and what is to be said of them; *all_out: there are no more after it. */
static enum store_result
take_expunges(struct store *s, const struct mbox *m, struct view *v, struct arena *a, struct view_delta *out, bool *all_out)
{
	struct untold told;
	const struct untold *left;
	struct rank_walk walk;
	uint32_t n;

	*all_out = true;
	if (m->v.expunge_modseq <= v->expunge_modseq)
		return STORE_OK;
	untold_load(&s->ix, m->v.num, v->expunge_modseq, m->v.expunge_modseq, STORE_SYNC_MAX, &told);
	n = untold_below(&told, v->uidnext);
	if ((out->expunges = ARENA_NEW(a, struct view_expunge, (size_t)n + 1)) == NULL) {
		untold_free(&told);
		return STORE_LIMIT;
	}
	*all_out = told.upto == m->v.expunge_modseq;
	if (!*all_out)
		(void)untold_of(s, m, v);
	untold_forget(s, &told);
	v->expunge_modseq = told.upto;
	left = untold_of(s, m, v);
	rank_walk_begin(&walk, &s->ix, m->v.num);
	/* Each number is one less for every expunge printed before it: so only those that stay count. */
	for (size_t i = 0; i < told.n; i++) {
		int bit;

		while ((bit = bits_take(told.v[i].uids)) >= 0) {
			uint32_t uid = told.v[i].block * BLOCK_UIDS + (uint32_t)bit;

			if (uid < v->uidnext)
				out->expunges[out->nexpunges++] = (struct view_expunge){uid,
				    rank_walk_below(&walk, uid) + untold_below(left, uid) + 1};
		}
	}
	rank_walk_end(&walk);
	untold_free(&told);
	return STORE_OK;
}

/* Room for one more change, doubled as it fills: most syncs tell of one. */
static struct msg_info *
change_room(struct arena *a, struct view_delta *out, size_t *room)
{
	struct msg_info *more;

	if (out->nchanges == *room) {
		*room = *room == 0 ? 8 : *room * 2;
		if ((more = ARENA_NEW(a, struct msg_info, *room)) == NULL)
			return NULL;
		if (out->nchanges > 0)
			memcpy(more, out->changes, out->nchanges * sizeof(*more));
		out->changes = more;
	}
	return &out->changes[out->nchanges];
}

/* The next piece of flag changes: blocks say where to look. Numbers are those of the view as it is after the expunges. */
static enum store_result
take_changes(struct store *s, const struct mbox *m, struct view *v, struct arena *a, struct view_delta *out)
{
	const struct untold *gone = untold_of(s, m, v);
	enum store_result r = STORE_OK;
	struct rank_walk walk;
	struct msgs msgs;
	struct ix_msg msg;
	struct msg_info *info;
	uint32_t uid;
	size_t room = 0;
	bool is_gone;

	msgs_begin(&msgs, &s->ix, m->v.num, v->sync_uid, v->sync_uidnext - 1, v->modseq, NULL);
	rank_walk_begin(&walk, &s->ix, m->v.num);
	while (r == STORE_OK && !out->has_more && msgs_next(&msgs, &uid, &msg, &is_gone)) {
		if (msg.modseq <= v->modseq)
			continue;
		if (out->nchanges == STORE_SYNC_MAX) {
			out->has_more = true;
			v->sync_uid = uid;
		} else if ((info = change_room(a, out, &room)) == NULL)
			r = STORE_LIMIT;
		else if (msg_fill(s, v, uid, &msg, info)) {
			info->seq = rank_walk_below(&walk, uid) + untold_below(gone, uid) + 1;
			out->nchanges++;
		}
	}
	rank_walk_end(&walk);
	msgs_end(&msgs);
	return r;
}

static uint32_t
count_recent(struct store *s, const struct mbox *m, const struct view *v, const struct untold *gone)
{
	if (v->recent_uid == 0 || v->recent_uid >= v->uidnext)
		return 0;
	return m->v.exists - rank_below(&s->ix, m->v.num, v->recent_uid) + untold_below(gone, v->uidnext) -
	    untold_below(gone, v->recent_uid);
}

/* Once all expunges are told, or none may be: new messages. Where the changes begin is noted. */
static void
take_new(struct store *s, const struct mbox *m, struct view *v, struct view_delta *out)
{
	const struct untold *gone = untold_of(s, m, v);
	uint32_t before = (v->uidnext >= m->v.uidnext ? m->v.exists : rank_below(&s->ix, m->v.num, v->uidnext)) +
	    untold_below(gone, v->uidnext);

	v->sync_uid = 1;
	v->sync_uidnext = v->uidnext;
	v->sync_modseq = m->v.highestmodseq;
	v->uidnext = m->v.uidnext;
	/* What came and went untold while the view could not be told stays in it until it can. */
	out->exists = m->v.exists + untold_below(gone, v->uidnext);
	out->is_grown = out->exists > before;
	out->recent = count_recent(s, m, v, gone);
}

/* In a transaction. */
static enum store_result
sync_view(struct store *s, const struct mbox *m, struct view *v, bool may_expunge, struct arena *a, struct view_delta *out)
{
	enum store_result r = STORE_OK;
	bool all = true;

	if (v->sync_uid == 0) {
		if (may_expunge)
			r = take_expunges(s, m, v, a, out, &all);
		out->has_more = !all;
		if (r != STORE_OK || !all)
			return r;
		/* Also where none may be told and there is none: what HIGHESTMODSEQ may say must not stay behind. */
		if (may_expunge || m->v.expunge_modseq <= v->expunge_modseq)
			v->expunge_modseq = m->v.highestmodseq;
		take_new(s, m, v, out);
	} else
		out->exists = m->v.exists + untold_below(untold_of(s, m, v), v->uidnext);
	if (v->sync_modseq > v->modseq)
		r = take_changes(s, m, v, a, out);
	if (r == STORE_OK && !out->has_more) {
		v->modseq = v->sync_modseq;
		v->sync_uid = v->sync_uidnext = 0;
		v->sync_modseq = 0;
	}
	return r;
}

/* The session that was told of new messages first has them as recent; the next one does not. */
static void
claim_recent(struct store *s, const struct view *v)
{
	struct record rec = {.type = RECORD_RECENT, .date_ms = now_ms(), .uid = v->uidnext};
	struct mbox m;

	if (s->is_behind || !store_turn(s) || change_begin(s) != STORE_OK)
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
	enum store_result r = view_current_begin(s, v), ended;
	struct view moved = *v;
	struct mbox m = {0};

	*out = (struct view_delta){0};
	if (r != STORE_OK)
		return r;
	r = find_mbox(s, v->mailbox, &m);
	if (r == STORE_OK && (m.v.uidvalidity != v->uidvalidity || v->expunge_modseq < m.v.purge_modseq))
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

	if (view_current_begin(s, v) != STORE_OK)
		return true;
	is_stale = find_mbox(s, v->mailbox, &m) != STORE_OK || m.v.highestmodseq > v->modseq ||
	    m.v.expunge_modseq > v->expunge_modseq || m.v.uidnext > v->uidnext || m.v.uidvalidity != v->uidvalidity;
	return index_end(&s->ix) != STORE_OK || is_stale;
}
