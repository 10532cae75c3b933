/*
 * Going through the messages of a mailbox. Called by the views and by whatever collects messages to
 * change. A long stretch of expunged ones costs nothing: the entries are looked up again behind it.
 */
#include "store/msgs.h"

#define NO_BLOCK	UINT32_MAX

static void
next_live_block(struct msgs *g)
{
	if (!rank_scan_next(&g->blocks, &g->live_block, &g->live))
		g->live_block = NO_BLOCK;
}

void
msgs_begin(struct msgs *g, struct index *ix, uint32_t num, uint32_t lo, uint32_t hi, uint64_t since, const struct untold *gone)
{
	*g = (struct msgs){.ix = ix, .num = num, .lo = lo, .hi = hi, .gone = gone, .block = NO_BLOCK};
	if (gone != NULL)
		g->gone_at = untold_place(gone, lo / BLOCK_UIDS);
	rank_scan_begin(&g->blocks, ix, num, lo, hi, since == 0 ? RANK_LIVE : RANK_CHANGED, since);
	next_live_block(g);
}

/* Puts the next block at hand, of those with live ones and those with gone ones. */
static bool
next_block(struct msgs *g)
{
	const struct untold_block *gone = g->gone != NULL && g->gone_at < g->gone->n ? &g->gone->v[g->gone_at] : NULL;
	uint32_t before = g->block, block = g->live_block;
	struct ix_key k;

	if (gone != NULL && gone->block < block)
		block = gone->block;
	if (block > g->hi / BLOCK_UIDS)
		return false;
	memset(g->left, 0, sizeof(g->left));
	memset(g->is_gone, 0, sizeof(g->is_gone));
	if (gone != NULL && gone->block == block) {
		memcpy(g->is_gone, gone->uids, sizeof(g->is_gone));
		memcpy(g->left, gone->uids, sizeof(g->left));
		g->gone_at++;
	}
	if (g->live_block == block) {
		for (int w = 0; w < BLOCK_WORDS; w++)
			g->left[w] |= g->live.live[w];
		next_live_block(g);
	}
	bits_clip(g->left, block, g->lo, g->hi);
	g->block = block;
	if (g->has_entries && before + 1 == block)
		return true;
	if (g->has_entries)
		iter_end(&g->entries);
	k = key_uid('e', g->num, block * BLOCK_UIDS < g->lo ? g->lo : block * BLOCK_UIDS);
	iter_begin_steady(&g->entries, g->ix, &k, 5);
	g->has_entries = true;
	return true;
}

bool
msgs_next(struct msgs *g, uint32_t *uid_out, struct ix_msg *out, bool *is_gone_out)
{
	struct slice k, v;
	uint32_t uid, at;
	int bit;

	while ((bit = bits_take(g->left)) < 0)
		if (g->ix->rc != 0 || !next_block(g))
			return false;
	uid = g->block * BLOCK_UIDS + (uint32_t)bit;
	do {
		if (!iter_next(&g->entries, &k, &v)) {
			at = UINT32_MAX;
			break;
		}
		at = key_get_u32((const unsigned char *)k.p + 5);
	} while (at < uid);
	if (at != uid || v.n != sizeof(*out)) {
		if (g->ix->rc == 0)
			g->ix->rc = MDB_CORRUPTED;	/* a bit is never set without its message */
		return false;
	}
	memcpy(out, v.p, sizeof(*out));
	*uid_out = uid;
	*is_gone_out = bits_has(g->is_gone, uid);
	return true;
}

void
msgs_end(struct msgs *g)
{
	rank_scan_end(&g->blocks);
	if (g->has_entries)
		iter_end(&g->entries);
	g->has_entries = false;
}
