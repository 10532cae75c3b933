/*
 * The flags a command told. Written by FETCH and STORE, read by untagged.c at the command's end. Only
 * equal flags are left out then: what another session changed meanwhile is always told.
 */
#include "imap/told.h"

#define TOLD_FIRST	64	/* entries; doubled when full */

void
told_add(struct imap *im, const struct msg_info *m)
{
	struct told	*t;

	if (im->ntold == im->told_cap) {
		size_t	cap = im->told_cap == 0 ? TOLD_FIRST : im->told_cap * 2;

		/* Where there is no room the flags are told twice: no harm. */
		if ((t = ARENA_NEW(imap_arena(im), struct told, cap)) == NULL)
			return;
		if (im->ntold > 0)
			memcpy(t, im->told, im->ntold * sizeof(*t));
		im->told = t;
		im->told_cap = cap;
	}
	t = &im->told[im->ntold++];
	t->uid = m->uid;
	t->flags = m->flags;
	memcpy(t->keywords, m->keywords, sizeof(t->keywords));
}

bool
told_has(const struct imap *im, const struct msg_info *m)
{
	size_t	lo = 0, hi = im->ntold;

	while (lo < hi) {
		size_t			 mid = lo + (hi - lo) / 2;
		const struct told	*t = &im->told[mid];

		if (t->uid == m->uid)
			return t->flags == m->flags && memcmp(t->keywords, m->keywords, sizeof(t->keywords)) == 0;
		if (t->uid < m->uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}
