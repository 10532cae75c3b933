/*
 * COPY, MOVE and the renaming of INBOX: one link record makes the copies visible and, for a move,
 * the originals gone. No body is written again: entries name the body's own record.
 */
#include "log.h"
#include "store/store_impl.h"

/* What the entries of one link record are made of. */
struct gather {
	struct buf	 entries;	/* struct extra_entry */
	struct buf	 sources;	/* struct uid_range, for the expunge of a move */
	uint32_t	 n;
	uint64_t	 keywords[2];	/* any of them has */
};

static bool
gather_one(struct gather *g, uint32_t uid, const struct ix_msg *m)
{
	struct extra_entry e = {.body_modseq = m->body_modseq, .flags = m->flags, .date_ms = m->date_ms};
	struct uid_range r = {uid, uid};

	for (uint8_t bit = 0; bit < STORE_KEYWORDS_MAX; bit++)
		if (m->keywords[bit / 64] >> (bit % 64) & 1)
			e.keywords[e.nkeywords++] = bit;
	g->keywords[0] |= m->keywords[0];
	g->keywords[1] |= m->keywords[1];
	g->n++;
	return buf_add(&g->entries, &e, sizeof(e)) == 0 && buf_add(&g->sources, &r, sizeof(r)) == 0;
}

/* The live messages of a set. STORE_LIMIT past EXTRA_LINKS_MAX. */
static enum store_result
gather_all(struct index *ix, uint32_t num, const struct uid_set *uids, struct gather *g)
{
	*g = (struct gather){.entries = buf_make(EXTRA_LINKS_MAX * sizeof(struct extra_entry)),
	    .sources = buf_make(EXTRA_LINKS_MAX * sizeof(struct uid_range))};
	for (size_t i = 0; i < uids->n; i++) {
		struct ix_key from = key_uid('e', num, uids->r[i].lo);
		enum store_result r = STORE_OK;
		struct slice k, v;
		struct iter it;

		iter_begin(&it, ix, &from, 5);
		while (r == STORE_OK && iter_next(&it, &k, &v)) {
			uint32_t uid = key_get_u32((const unsigned char *)k.p + 5);
			struct ix_msg m;

			if (uid > uids->r[i].hi)
				break;
			memcpy(&m, v.p, sizeof(m));
			if (!gather_one(g, uid, &m))
				r = STORE_LIMIT;
		}
		iter_end(&it);
		if (r != STORE_OK)
			return r;
	}
	return STORE_OK;
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
pack_entries(struct buf *extra, struct gather *g, uint32_t first_uid, const uint8_t *place)
{
	struct extra_entry e;

	for (uint32_t i = 0; i < g->n; i++) {
		memcpy(&e, g->entries.p + i * sizeof(e), sizeof(e));
		e.uid = first_uid + i;
		for (uint8_t j = 0; j < e.nkeywords; j++)
			e.keywords[j] = place[e.keywords[j]];
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
	for (uint32_t i = 0; i < g->n; i++) {
		struct uid_range r;

		memcpy(&r, g->sources.p + i * sizeof(r), sizeof(r));
		p[i] = (struct copied){r.lo, first_uid + i};
	}
	*pairs_out = p;
	*n_out = g->n;
	return STORE_OK;
}

/* Neighbours become one range; done in place. */
static uint32_t
merge_ranges(struct buf *sources)
{
	struct uid_range *r = (struct uid_range *)(void *)sources->p;
	uint32_t n = (uint32_t)(sources->n / sizeof(*r)), out = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (out > 0 && r[out - 1].hi + 1 == r[i].lo)
			r[out - 1].hi = r[i].hi;
		else
			r[out++] = r[i];
	}
	return out;
}

enum store_result
link_messages(struct store *s, const struct mbox *from, const struct uid_set *uids, const unsigned char *to,
    struct extra_link *l, bool move, struct arena *a, struct copied **pairs_out, size_t *n_out)
{
	struct record rec = {.type = RECORD_LINK, .date_ms = now_ms()};
	struct buf extra = buf_make(RECORD_EXTRA_MAX_BYTES);
	struct slice names[STORE_KEYWORDS_MAX];
	uint8_t place[STORE_KEYWORDS_MAX];
	uint32_t first_uid = s->spool->next_uid;
	struct gather g;
	enum store_result r = gather_all(&s->ix, from->v.num, uids, &g);

	if (r == STORE_OK && (g.n > EXTRA_LINKS_MAX || g.n > UID_LAST - first_uid))
		r = STORE_LIMIT;
	if (r == STORE_OK)
		r = give_pairs(&g, first_uid, a, pairs_out, n_out);
	if (r == STORE_OK) {
		if (move) {
			memcpy(l->source, from->id, RECORD_ID_BYTES);
			l->expunged.n = merge_ranges(&g.sources);
			l->expunged.r = (const struct uid_range *)(const void *)g.sources.p;
		}
		l->keywords.n = name_keywords(&s->ix, g.keywords, names, place);
		l->keywords.names = names;
		l->n = g.n;
		extra_pack_link(&extra, l);
		pack_entries(&extra, &g, first_uid, place);
		if (!pack_ok(&extra))
			r = STORE_LIMIT;
	}
	memcpy(rec.mailbox, to, RECORD_ID_BYTES);
	rec.uid = first_uid;
	rec.next_uid = first_uid + g.n;
	rec.extra = buf_slice(&extra);
	if (r != STORE_OK)
		r = change_drop(s, r);
	else
		r = change_end(s, &rec, g.n > 0 || l->create.name.n > 0, NULL, true);
	buf_free(&g.entries);
	buf_free(&g.sources);
	buf_free(&extra);
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
	if ((r = change_begin(s)) != STORE_OK)
		return r;
	if ((r = find_mbox(s, from, &source)) != STORE_OK || (r = find_mbox(s, to, &target)) != STORE_OK)
		return change_drop(s, r);
	*uidvalidity_out = target.v.uidvalidity;
	return link_messages(s, &source, uids, to, &l, move, a, pairs_out, n_out);
}
