/*
 * What a client that was away asks: which messages changed after a modseq it names, and which are gone.
 * Called by FETCH, SEARCH and SELECT. Looks at what changed, not at what did not; never at what the view
 * was not told of. One read transaction a call. RFC 7162 3.1.4.1, 3.2.5, 3.2.6.
 */
#include "log.h"
#include "store/msgs.h"

#define FORGOTTEN_UIDS	65536	/* no more were given out without a sync: a fence goes as far (DESIGN, "Epoch and fence") */

/*
 * Was the modseq given out before a crash and forgotten by it? Who saw it saw changes that are not: flags that are
 * not set, messages gone that are there. What it knows is then worth nothing. One that the log did not come to yet is
 * forgotten, too: the fence comes with the first change after the crash.
 */
static bool
is_forgotten(struct index *ix, uint64_t since)
{
	struct ix_key from = key_fence(since + 1);
	uint64_t next = ix->meta.next_modseq;
	struct slice k, v;
	struct iter it;

	iter_begin_steady(&it, ix, &from, 1);
	if (iter_next(&it, &k, &v) && v.n == sizeof(next))
		memcpy(&next, v.p, sizeof(next));
	iter_end(&it);
	return since >= next;
}

/* Sequence numbers of ascending UIDs: a block is counted once. */
struct counted {
	uint32_t	block, below;	/* live ones before it */
	struct ix_block	bits;
};

static uint32_t
number_of(struct store *s, const struct mbox *m, const struct untold *gone, uint32_t uid, struct counted *at)
{
	if (at->block != uid / BLOCK_UIDS) {
		at->block = uid / BLOCK_UIDS;
		at->below = rank_below(&s->ix, m->v.num, at->block * BLOCK_UIDS);
		rank_load(&s->ix, m->v.num, at->block, &at->bits);
	}
	return at->below + bits_below(at->bits.live, uid) + untold_below(gone, uid) + 1;
}

enum store_result
view_changed(struct store *s, const struct view *v, uint64_t since, uint32_t lo, uint32_t hi, struct msg_info *out, size_t max,
    size_t *n_out)
{
	struct counted at = {.block = UINT32_MAX};
	const struct untold *gone;
	struct ix_msg msg;
	struct msgs msgs;
	uint32_t uid;
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
	if (is_forgotten(&s->ix, since))
		since = 0;
	if (lo <= hi) {
		msgs_begin(&msgs, &s->ix, m.v.num, lo, hi, since, NULL);
		while (*n_out < max && msgs_next(&msgs, &uid, &msg, &is_gone)) {
			/* Blocks tell of the newest change in them only. */
			if (msg.modseq <= since)
				continue;
			if (!msg_fill(s, v, uid, &msg, &out[*n_out]))
				break;
			out[(*n_out)++].seq = number_of(s, &m, gone, uid, &at);
		}
		msgs_end(&msgs);
	}
	return index_end(&s->ix);
}

static void
range_add(struct buf *ranges, uint32_t lo, uint32_t hi)
{
	struct uid_range r = {lo, hi};

	if (buf_add(ranges, &r, sizeof(r)) != 0)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", ranges->n));
}

/* What was expunged after since and told: those with nothing in the view between them are one range. */
static void
expunged_ranges(struct store *s, const struct mbox *m, const struct view *v, const struct untold *gone, uint64_t since,
    struct buf *ranges)
{
	struct uid_range open = {0, 0};
	uint32_t below = 0;
	struct untold told;
	struct rank_walk walk;

	untold_load(&s->ix, m->v.num, since, v->expunge_modseq, SIZE_MAX, &told);
	rank_walk_begin(&walk, &s->ix, m->v.num);
	for (size_t i = 0; i < told.n; i++) {
		int bit;

		while ((bit = bits_take(told.v[i].uids)) >= 0) {
			uint32_t uid = told.v[i].block * BLOCK_UIDS + (uint32_t)bit, here;

			if (uid >= v->uidnext)
				break;
			here = rank_walk_below(&walk, uid) + untold_below(gone, uid);
			if (open.lo == 0 || here != below) {
				if (open.lo != 0)
					range_add(ranges, open.lo, open.hi);
				open.lo = uid;
			}
			open.hi = uid;
			below = here;
		}
	}
	if (open.lo != 0)
		range_add(ranges, open.lo, open.hi);
	rank_walk_end(&walk);
	untold_free(&told);
}

/* What of [lo, hi] is not in the view. */
static void
missing_ranges(struct store *s, const struct mbox *m, const struct untold *gone, uint32_t lo, uint32_t hi, struct buf *ranges)
{
	struct msgs msgs;
	struct ix_msg msg;
	uint32_t uid;
	bool is_gone;

	msgs_begin(&msgs, &s->ix, m->v.num, lo, hi, 0, gone);
	while (msgs_next(&msgs, &uid, &msg, &is_gone)) {
		if (uid > lo)
			range_add(ranges, lo, uid - 1);
		lo = uid + 1;
	}
	msgs_end(&msgs);
	if (lo <= hi)
		range_add(ranges, lo, hi);
}

/* What both have, in the arena. False: it is full. */
static bool
common_ranges(const struct buf *ranges, const struct uid_set *known, struct arena *a, struct uid_set *out)
{
	const struct uid_range *r = (const struct uid_range *)(const void *)ranges->p;
	size_t n = ranges->n / sizeof(*r), i = 0, k = 0;

	*out = (struct uid_set){ARENA_NEW(a, struct uid_range, n + known->n + 1), 0};
	if (out->r == NULL)
		return false;
	while (i < n && k < known->n) {
		uint32_t lo = r[i].lo > known->r[k].lo ? r[i].lo : known->r[k].lo;
		uint32_t hi = r[i].hi < known->r[k].hi ? r[i].hi : known->r[k].hi;

		if (lo <= hi)
			out->r[out->n++] = (struct uid_range){lo, hi};
		if (r[i].hi < known->r[k].hi)
			i++;
		else
			k++;
	}
	return true;
}

enum store_result
view_vanished(struct store *s, const struct view *v, uint64_t since, const struct uid_set *known, struct arena *a,
    struct uid_set *out)
{
	struct buf ranges = buf_make(SIZE_MAX / 4);
	const struct untold *gone;
	uint32_t last = v->uidnext - 1;
	bool is_lost;
	struct mbox m;
	enum store_result r = view_begin(s, v, &m, &gone), ended;

	if (r != STORE_OK)
		return r;
	/* Messages may have been forgotten, too: those that came last. */
	if ((is_lost = is_forgotten(&s->ix, since)))
		last = s->ix.meta.next_uid - 1 + FORGOTTEN_UIDS;
	if (!is_lost && since >= m.v.purge_modseq) {
		/* Nothing was expunged since: known to a client that comes back in time. */
		if (since < v->expunge_modseq)
			expunged_ranges(s, &m, v, gone, since, &ranges);
	} else
		for (size_t i = 0; i < known->n && known->r[i].lo <= last; i++)
			missing_ranges(s, &m, gone, known->r[i].lo, known->r[i].hi < last ? known->r[i].hi : last, &ranges);
	if (!common_ranges(&ranges, known, a, out))
		r = STORE_LIMIT;
	buf_free(&ranges);
	ended = index_end(&s->ix);
	return ended != STORE_OK ? ended : r;
}
