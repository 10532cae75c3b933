/*
 * The flags a command told. Written by FETCH and STORE, read by untagged.c at the command's end. Only
 * equal flags are left out then: what another session changed meanwhile is always told.
 */
#include "imap/told.h"

#define TOLD_FIRST	64	/* entries; doubled when full */

static bool
flags_are(const struct told *t, const struct msg_info *m)
{
	return t->flags == m->flags && memcmp(t->keywords, m->keywords, sizeof(t->keywords)) == 0;
}

void
told_add(struct imap *im, const struct msg_info *m)
{
	struct told	*t;

	/* Neighbours with the same flags are one entry: a STORE of a whole mailbox mostly is one. */
	if (im->ntold > 0) {
		t = &im->told[im->ntold - 1];
		if (t->last_seq + 1 == m->seq && t->last < m->uid && flags_are(t, m)) {
			t->last = m->uid;
			t->last_seq = m->seq;
			return;
		}
	}
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
	t->uid = t->last = m->uid;
	t->last_seq = m->seq;
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

		if (m->uid < t->uid)
			hi = mid;
		else if (m->uid > t->last)
			lo = mid + 1;
		else
			return flags_are(t, m);
	}
	return false;
}
