/*
 * The messages a view shows although they are expunged. Called by the view functions; kept between
 * calls for the view asked last, since a mailbox emptied by another session may leave a million of them.
 */
#include "store/untold.h"

#include <stdlib.h>

#include "log.h"
#include "store/rank.h"

#define SIZE_FIRST	64	/* blocks; doubled when still half full after tidying */

static int
by_block(const void *a, const void *b)
{
	uint32_t x = ((const struct untold_block *)a)->block, y = ((const struct untold_block *)b)->block;

	return (x > y) - (x < y);
}

/* Sorts, makes one of the entries of each block, drops empty ones and counts. */
static void
tidy(struct untold *u)
{
	size_t n = 0;
	uint32_t below = 0;

	if (u->n > 1)
		qsort(u->v, u->n, sizeof(*u->v), by_block);
	for (size_t i = 0; i < u->n; i++) {
		if (n > 0 && u->v[n - 1].block == u->v[i].block) {
			for (int w = 0; w < BLOCK_WORDS; w++)
				u->v[n - 1].uids[w] |= u->v[i].uids[w];
		} else if (bits_count(u->v[i].uids) > 0)
			u->v[n++] = u->v[i];
	}
	for (size_t i = 0; i < n; i++) {
		u->v[i].below = below;
		below += bits_count(u->v[i].uids);
	}
	u->n = n;
}

static void
add(struct untold *u, uint32_t block, const struct ix_gone *gone)
{
	/* As large as the blocks there are, not as the changes: a mailbox emptied one by one names each 256 times. */
	if (u->n == u->size) {
		tidy(u);
		if (u->n >= u->size / 2) {
			u->size = u->size == 0 ? SIZE_FIRST : u->size * 2;
			u->v = reallocarray(u->v, u->size, sizeof(*u->v));
			if (u->v == NULL)
				DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", u->size * sizeof(*u->v)));
		}
	}
	u->v[u->n] = (struct untold_block){.block = block};
	memcpy(u->v[u->n++].uids, gone->uids, sizeof(gone->uids));
}

void
untold_load(struct index *ix, uint32_t num, uint64_t since, uint64_t upto, size_t most, struct untold *out)
{
	struct ix_key from = key_gone(num, since + 1, 0);
	uint64_t last = since;
	struct slice k, v;
	struct iter it;
	size_t n = 0;

	*out = (struct untold){.num = num, .since = since, .upto = upto};
	iter_begin_steady(&it, ix, &from, 5);
	while (iter_next(&it, &k, &v)) {
		const unsigned char *p = (const unsigned char *)k.p;
		uint64_t modseq = key_get_u64(p + 5);
		struct ix_gone gone;

		if (modseq > upto || v.n != sizeof(gone))
			break;
		if (n >= most && modseq != last) {
			out->upto = last;
			break;
		}
		last = modseq;
		memcpy(&gone, v.p, sizeof(gone));
		n += bits_count(gone.uids);
		add(out, key_get_u32(p + 13), &gone);
	}
	iter_end(&it);
	tidy(out);
}

void
untold_free(struct untold *u)
{
	free(u->v);
	*u = (struct untold){.num = 0};
}

const struct untold *
untold_of(struct store *s, const struct mbox *m, const struct view *view)
{
	static const struct untold none;
	struct untold *u = &s->untold;

	if (m->v.expunge_modseq <= view->expunge_modseq)
		return &none;
	if (u->num != m->v.num || u->since != view->expunge_modseq || u->upto != m->v.expunge_modseq) {
		untold_free(u);
		untold_load(&s->ix, m->v.num, view->expunge_modseq, m->v.expunge_modseq, SIZE_MAX, u);
		if (s->ix.rc != 0)
			u->num = 0;
	}
	return u;
}

void
untold_forget(struct store *s, const struct untold *told)
{
	struct untold *u = &s->untold;

	if (u->num != told->num || u->since != told->since)
		return;
	for (size_t i = 0; i < told->n; i++) {
		size_t at = untold_place(u, told->v[i].block);

		for (int w = 0; w < BLOCK_WORDS && at < u->n && u->v[at].block == told->v[i].block; w++)
			u->v[at].uids[w] &= ~told->v[i].uids[w];
	}
	/* A block emptied stays until all have been gone through: places are looked up by block. */
	tidy(u);
	u->since = told->upto;
}

size_t
untold_place(const struct untold *u, uint32_t block)
{
	size_t lo = 0, hi = u->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (u->v[mid].block < block)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t
untold_below(const struct untold *u, uint32_t uid)
{
	uint32_t block = uid / BLOCK_UIDS;
	size_t at = untold_place(u, block);

	if (at < u->n && u->v[at].block == block)
		return u->v[at].below + bits_below(u->v[at].uids, uid);
	return at == 0 ? 0 : u->v[at - 1].below + bits_count(u->v[at - 1].uids);
}

bool
untold_has(const struct untold *u, uint32_t uid)
{
	size_t at = untold_place(u, uid / BLOCK_UIDS);

	return at < u->n && u->v[at].block == uid / BLOCK_UIDS && bits_has(u->v[at].uids, uid);
}
