/*
 * COPY, MOVE and the renaming of INBOX: one link record makes the copies visible and, for a move,
 * the originals gone. No body is written again: entries name the body's own record.
 */
#include "log.h"
#include "store/msgs.h"

/* What becomes one entry of a link record. */
struct gathered {
	uint64_t	 body_modseq;
	int64_t		 date_ms;
	uint64_t	 keywords[STORE_KEYWORDS_MAX / 64];
	uint32_t	 flags, uid;
};

struct gather {
	struct buf	 msgs;		/* struct gathered */
	uint32_t	 n;
	uint64_t	 keywords[STORE_KEYWORDS_MAX / 64];	/* any of them has */
};

static bool
gather_one(struct gather *g, uint32_t uid, const struct ix_msg *m)
{
	struct gathered one = {.body_modseq = m->body_modseq, .date_ms = m->date_ms, .keywords = {m->keywords[0], m->keywords[1]},
	    .flags = m->flags, .uid = uid};

	g->keywords[0] |= m->keywords[0];
	g->keywords[1] |= m->keywords[1];
	g->n++;
	return buf_add(&g->msgs, &one, sizeof(one)) == 0;
}

static struct gathered
gathered_at(const struct gather *g, uint32_t i)
{
	struct gathered one;

	memcpy(&one, g->msgs.p + i * sizeof(one), sizeof(one));
	return one;
}

/* The live messages of a set. STORE_LIMIT past EXTRA_LINKS_MAX. */
static enum store_result
gather_all(struct index *ix, uint32_t num, const struct uid_set *uids, struct gather *g)
{
	enum store_result r = STORE_OK;

	for (size_t i = 0; i < uids->n && r == STORE_OK; i++) {
		struct msgs msgs;
		struct ix_msg m;
		uint32_t uid;
		bool is_gone;

		msgs_begin(&msgs, ix, num, uids->r[i].lo, uids->r[i].hi, 0, NULL);
		while (r == STORE_OK && msgs_next(&msgs, &uid, &m, &is_gone))
			if (!gather_one(g, uid, &m))
				r = STORE_LIMIT;
		msgs_end(&msgs);
	}
	return r;
}

/* Names of the keywords in use, and which place each bit has among them. */
static uint32_t
name_keywords(struct index *ix, const uint64_t *used, struct slice *names, uint8_t *place)
{
	uint32_t n = 0;

	for (uint32_t bit = 0; bit < STORE_KEYWORDS_MAX; bit++)
		if ((used[bit / 64] >> (bit % 64) & 1) && keyword_name(ix, bit, &names[n]))
			place[bit] = (uint8_t)n++;
	return n;
}

static void
pack_entries(struct buf *extra, const struct gather *g, uint32_t first_uid, const uint8_t *place)
{
	for (uint32_t i = 0; i < g->n; i++) {
		struct gathered one = gathered_at(g, i);
		struct extra_entry e = {.body_modseq = one.body_modseq, .uid = first_uid + i, .flags = one.flags,
		    .date_ms = one.date_ms};

		for (int w = 0; w < STORE_KEYWORDS_MAX / 64; w++)
			for (uint64_t left = one.keywords[w]; left != 0; left &= left - 1)
				e.keywords[e.nkeywords++] = place[w * 64 + __builtin_ctzll(left)];
		extra_pack_entry(extra, &e);
	}
}

static enum store_result
give_pairs(const struct gather *g, uint32_t first_uid, struct arena *a, struct copied **pairs_out, size_t *n_out)
{
	struct copied *p;

	if (pairs_out == NULL)
		return STORE_OK;
	if ((p = ARENA_NEW(a, struct copied, (size_t)g->n + 1)) == NULL)
		return STORE_LIMIT;
	for (uint32_t i = 0; i < g->n; i++)
		p[i] = (struct copied){gathered_at(g, i).uid, first_uid + i};
	*pairs_out = p;
	*n_out = g->n;
	return STORE_OK;
}

/* The sources as ranges, neighbours in one. */
static uint32_t
source_ranges(const struct gather *g, struct buf *ranges)
{
	struct uid_range *r = (struct uid_range *)(void *)buf_room(ranges, ((size_t)g->n + 1) * sizeof(*r));
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->n; i++) {
		uint32_t uid = gathered_at(g, i).uid;

		if (n > 0 && r[n - 1].hi + 1 == uid)
			r[n - 1].hi = uid;
		else
			r[n++] = (struct uid_range){uid, uid};
	}
	return n;
}

/* With the log locked: the record, and its end. */
static enum store_result
append_link(struct store *s, const struct gather *g, const unsigned char *to, struct extra_link *l, struct arena *a,
    struct copied **pairs_out, size_t *n_out)
{
	struct record rec = {.type = RECORD_LINK, .date_ms = now_ms()};
	struct buf extra = buf_make(RECORD_EXTRA_MAX_BYTES);
	struct slice names[STORE_KEYWORDS_MAX];
	uint8_t place[STORE_KEYWORDS_MAX];
	uint32_t first_uid = s->spool->next_uid;
	enum store_result r = STORE_OK;

	if (g->n > UID_LAST - first_uid)
		r = STORE_LIMIT;
	if (r == STORE_OK)
		r = give_pairs(g, first_uid, a, pairs_out, n_out);
	if (r == STORE_OK) {
		l->keywords.n = name_keywords(&s->ix, g->keywords, names, place);
		l->keywords.names = names;
		l->n = g->n;
		extra_pack_link(&extra, l);
		pack_entries(&extra, g, first_uid, place);
		if (!pack_ok(&extra))
			r = STORE_LIMIT;
	}
	memcpy(rec.mailbox, to, RECORD_ID_BYTES);
	rec.uid = first_uid;
	rec.next_uid = first_uid + g->n;
	rec.extra = buf_slice(&extra);
	if (r != STORE_OK)
		r = change_drop(s, r);
	else
		r = change_end(s, &rec, g->n > 0 || l->create.name.n > 0, NULL, true);
	buf_free(&extra);
	return r;
}

enum store_result
link_messages(struct store *s, const struct mbox *from, const struct uid_set *uids, const unsigned char *to,
    struct extra_link *l, bool move, struct arena *a, struct copied **pairs_out, size_t *n_out)
{
	struct gather g = {.msgs = buf_make(EXTRA_LINKS_MAX * sizeof(struct gathered))};
	struct buf ranges = buf_make(SIZE_MAX / 4);
	enum store_result r = gather_all(&s->ix, from->v.num, uids, &g);

	if (r != STORE_OK)
		r = change_drop(s, r);
	else if ((r = change_lock(s)) == STORE_OK) {
		if (move) {
			memcpy(l->source, from->id, RECORD_ID_BYTES);
			l->expunged.n = source_ranges(&g, &ranges);
			l->expunged.r = (const struct uid_range *)(const void *)ranges.p;
		}
		r = append_link(s, &g, to, l, a, pairs_out, n_out);
	}
	buf_free(&g.msgs);
	buf_free(&ranges);
	return r;
}

enum store_result
store_copy(struct store *s, const unsigned char *from, const struct uid_set *uids, const unsigned char *to, bool move,
    struct arena *a, struct copied **pairs_out, size_t *n_out, uint32_t *uidvalidity_out)
{
	struct extra_link l = {.n = 0};
	struct mbox source, target;
	enum store_result r;

	*n_out = 0;
	if ((r = change_prepare(s)) != STORE_OK)
		return r;
	if ((r = find_mbox(s, from, &source)) != STORE_OK || (r = find_mbox(s, to, &target)) != STORE_OK)
		return change_drop(s, r);
	*uidvalidity_out = target.v.uidvalidity;
	r = link_messages(s, &source, uids, to, &l, move, a, pairs_out, n_out);
	/* A move stays: its messages are in one place only, and to take them from there would be worse. */
	if (r != STORE_OK && !move && *n_out > 0)
		undo_messages(s, to, (*pairs_out)[0].to, (uint32_t)*n_out);
	return r;
}
