/*
 * The messages a view shows although they are expunged. Called by the view functions; kept between
 * calls for the view asked last, since a mailbox emptied by another session may leave a million of them.
 */
#include "store/untold.h"

#include <stdlib.h>

#include "log.h"

static int
by_uid(const void *a, const void *b)
{
	uint32_t x = ((const struct untold_msg *)a)->uid, y = ((const struct untold_msg *)b)->uid;

	return (x > y) - (x < y);
}

static void
add(struct untold *u, size_t *size, uint32_t uid, uint64_t modseq)
{
	if (u->n == *size) {
		*size = *size == 0 ? 64 : *size * 2;
		u->v = reallocarray(u->v, *size, sizeof(*u->v));
		if (u->v == NULL)
			DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", *size));
	}
	u->v[u->n++] = (struct untold_msg){uid, modseq};
}

static void
load(struct index *ix, struct untold *u)
{
	struct ix_key from = key_change('t', u->num, u->since + 1, 0);
	struct slice k, v;
	struct iter it;
	size_t size = 0;

	free(u->v);
	u->v = NULL;
	u->n = 0;
	iter_begin(&it, ix, &from, 5);
	while (iter_next(&it, &k, &v)) {
		const unsigned char *p = (const unsigned char *)k.p;

		if (key_get_u64(p + 5) > u->upto)
			break;
		add(u, &size, key_get_u32(p + 13), key_get_u64(p + 5));
	}
	iter_end(&it);
	if (u->n > 0)
		qsort(u->v, u->n, sizeof(*u->v), by_uid);
}

const struct untold_msg *
untold_of(struct store *s, const struct mbox *m, const struct view *view, size_t *n_out)
{
	struct untold *u = &s->untold;

	*n_out = 0;
	if (m->v.expunge_modseq <= view->expunge_modseq)
		return NULL;
	if (u->num != m->v.num || u->since != view->expunge_modseq || u->upto != m->v.expunge_modseq) {
		u->num = m->v.num;
		u->since = view->expunge_modseq;
		u->upto = m->v.expunge_modseq;
		load(&s->ix, u);
		if (s->ix.rc != 0)
			u->num = 0;
	}
	*n_out = untold_below(u->v, u->n, view->uidnext);
	return u->v;
}

size_t
untold_below(const struct untold_msg *v, size_t n, uint32_t uid)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v[mid].uid < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
