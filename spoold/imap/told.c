/*
 * The flags a command told. Written by FETCH and STORE, read by untagged.c at the command's end. Only
 * equal flags are left out then: what another session changed meanwhile is always told.
 */
#include "imap/told.h"

#include "imap/condstore.h"

#define TOLD_FIRST	64	/* entries; doubled when full */

static bool
flags_are(const struct told *t, const struct msg_info *m)
{
	return t->flags == m->flags && memcmp(t->keywords, m->keywords, sizeof(t->keywords)) == 0;
}

void
told_add(struct imap *im, const struct msg_info *m)
{
	uint64_t	 modseq = condstore_is_on(im) ? m->modseq : 0;
	struct told	*t;

	/* Neighbours with the same flags are one entry: a STORE of a whole mailbox mostly is one. */
	if (im->ntold > 0) {
		t = &im->told[im->ntold - 1];
		if (t->last_seq + 1 == m->seq && t->last < m->uid && t->modseq == modseq && flags_are(t, m)) {
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
	t->modseq = modseq;
	memcpy(t->keywords, m->keywords, sizeof(t->keywords));
}

static const struct told *
find(const struct told *v, size_t n, uint32_t uid)
{
	size_t	lo = 0, hi = n;

	while (lo < hi) {
		size_t	mid = lo + (hi - lo) / 2;

		if (uid < v[mid].uid)
			hi = mid;
		else if (uid > v[mid].last)
			lo = mid + 1;
		else
			return &v[mid];
	}
	return NULL;
}

bool
told_are(const struct told *v, size_t n, const struct msg_info *m)
{
	const struct told	*t = find(v, n, m->uid);

	return t != NULL && flags_are(t, m);
}

bool
told_has(const struct imap *im, const struct msg_info *m)
{
	return told_are(im->told, im->ntold, m);
}

bool
told_has_modseq(const struct imap *im, const struct msg_info *m)
{
	const struct told	*t = find(im->told, im->ntold, m->uid);

	return t != NULL && t->modseq == m->modseq && flags_are(t, m);
}

struct told *
told_take(struct imap *im, size_t *n_out)
{
	struct told	*v = im->told;

	*n_out = im->ntold;
	im->told = NULL;
	im->ntold = im->told_cap = 0;
	return v;
}
