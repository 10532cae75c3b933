/*
 * HIGHESTMODSEQ and MODSEQ. Called by imap.c at the end of each command, by IDLE and by what writes FETCH
 * responses. A client takes the highest MODSEQ of a command for the point up to which it knows all; where
 * expunges before that point may not be told yet, it must be told a lower one. RFC 7162 3.1.2.1, 3.2, 6.
 */
#include "imap/condstore.h"

void
condstore_enable(struct imap *im)
{
	if (condstore_is_on(im))
		return;
	im->enabled |= ENABLED_CONDSTORE;
	if (im->is_selected)
		session_putf(im->s, "* OK [HIGHESTMODSEQ %llu] Highest\r\n", (unsigned long long)condstore_highest(im));
}

int
condstore_modseq_add(struct imap *im, struct buf *b, const struct msg_info *m)
{
	if (m->modseq > im->modseq_told)
		im->modseq_told = m->modseq;
	return buf_addf(b, "MODSEQ (%llu)", (unsigned long long)m->modseq);
}

uint64_t
condstore_highest(const struct imap *im)
{
	uint64_t	highest = im->view.modseq < im->view.expunge_modseq ? im->view.modseq : im->view.expunge_modseq;

	return im->untold_modseq != 0 && im->untold_modseq < highest ? im->untold_modseq : highest;
}

bool
condstore_is_due(const struct imap *im)
{
	return im->is_selected && condstore_is_on(im) && (im->is_highest_due || im->modseq_told > condstore_highest(im));
}

void
condstore_tell(struct imap *im)
{
	if (condstore_is_due(im))
		session_putf(im->s, "* OK [HIGHESTMODSEQ %llu] So far\r\n", (unsigned long long)condstore_highest(im));
	im->modseq_told = 0;
	im->is_highest_due = false;
}
