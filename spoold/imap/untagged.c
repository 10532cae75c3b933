/*
 * What a session is told without asking. Called at the end of each command and while idling, never in
 * the middle of a response. Sequence numbers shift only here. RFC 3501 5.2, 7.2.6, 7.3, 7.4; RFC 7162 3.2.4; RFC 9051 7.4, 7.5.
 */
#include "imap/untagged.h"

#include "imap/condstore.h"
#include "imap/qresync.h"
#include "imap/told.h"
#include "imap/watch.h"

#define PIECE_MAX_BYTES		(16 * 1024 * 1024)	/* of changes at once: what one record expunged, 2,000,000 messages */
#define FLAGS_LINE_MAX_BYTES	(STORE_KEYWORDS_MAX * (STORE_KEYWORD_MAX_BYTES + 1) + 256)

static const struct { uint32_t flag; const char *name; } system_flags[] = {
	{MSG_ANSWERED, "\\Answered"}, {MSG_FLAGGED, "\\Flagged"}, {MSG_DELETED, "\\Deleted"},
	{MSG_SEEN, "\\Seen"}, {MSG_DRAFT, "\\Draft"},
};
#define NSYSTEM_FLAGS	(sizeof(system_flags) / sizeof(system_flags[0]))

/* The highest keyword bit set, plus one; 0 for none. */
static size_t
keywords_top(const struct msg_info *m)
{
	for (size_t w = STORE_KEYWORDS_MAX / 64; w-- > 0;)
		if (m->keywords[w] != 0)
			return w * 64 + 64 - (size_t)__builtin_clzll(m->keywords[w]);
	return 0;
}

void
untagged_keywords(struct imap *im, size_t least)
{
	if (im->keywords != NULL && least <= im->nkeywords)
		return;
	if (store_keywords(im->store, imap_arena(im), &im->keywords, &im->nkeywords) != STORE_OK) {
		im->keywords = NULL;
		im->nkeywords = 0;
	}
}

/* One more word of a parenthesised list begun at `from` in the buffer. */
static int
word_add(struct buf *b, size_t from, struct slice word)
{
	if (b->n > from && buf_add(b, " ", 1) < 0)
		return -1;
	return buf_add_slice(b, word);
}

int
untagged_flags_add(struct imap *im, struct buf *b, const struct msg_info *m)
{
	size_t	top = keywords_top(m), from;

	if (top > 0)
		untagged_keywords(im, top);
	if (buf_add_str(b, "FLAGS (") < 0)
		return -1;
	from = b->n;
	for (size_t i = 0; i < NSYSTEM_FLAGS; i++)
		if ((m->flags & system_flags[i].flag) != 0 && word_add(b, from, slice_of(system_flags[i].name)) < 0)
			return -1;
	for (size_t i = 0; i < top && i < im->nkeywords; i++)
		if ((m->keywords[i / 64] >> (i % 64) & 1) != 0 && word_add(b, from, im->keywords[i]) < 0)
			return -1;
	if (m->is_recent && !imap_is_rev2(im) && word_add(b, from, SLICE("\\Recent")) < 0)
		return -1;
	return buf_add_str(b, ")");
}

void
untagged_flags(struct imap *im)
{
	struct buf	b = buf_make(FLAGS_LINE_MAX_BYTES);
	bool		fits = true;

	untagged_keywords(im, im->nkeywords_told);
	fits = fits && buf_add_str(&b, "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft") == 0;
	for (size_t i = 0; fits && i < im->nkeywords; i++)
		fits = word_add(&b, 0, im->keywords[i]) == 0;
	if (fits && buf_add_str(&b, ")\r\n") == 0) {
		session_write(im->s, b.p, b.n);
		im->nkeywords_told = (uint8_t)im->nkeywords;
	}
	buf_free(&b);
}

void
untagged_keywords_tell(struct imap *im, const struct msg_info *m)
{
	size_t	top = keywords_top(m);

	if (top <= im->nkeywords_told)
		return;
	untagged_keywords(im, top);
	untagged_flags(im);
}

void
untagged_fetch_flags(struct imap *im, const struct msg_info *m)
{
	struct buf	b = buf_make(FLAGS_LINE_MAX_BYTES);
	bool		fits;

	untagged_keywords_tell(im, m);
	fits = buf_addf(&b, "* %u FETCH (", m->seq) == 0;
	/* Unasked it must be there (RFC 9051 7.5.2). */
	if (fits && (im->is_uid || condstore_is_on(im) || imap_is_rev2(im) || im->watching != 0))
		fits = buf_addf(&b, "UID %u ", m->uid) == 0;
	fits = fits && untagged_flags_add(im, &b, m) == 0;
	if (fits && condstore_is_on(im))
		fits = buf_add(&b, " ", 1) == 0 && condstore_modseq_add(im, &b, m) == 0;
	if (fits && buf_add_str(&b, ")\r\n") == 0)
		session_write(im->s, b.p, b.n);
	buf_free(&b);
}

void
untagged_fetch_modseq(struct imap *im, const struct msg_info *m)
{
	struct buf	b = buf_make(FLAGS_LINE_MAX_BYTES);

	if (buf_addf(&b, "* %u FETCH (UID %u ", m->seq, m->uid) == 0 && condstore_modseq_add(im, &b, m) == 0 &&
	    buf_add_str(&b, ")\r\n") == 0)
		session_write(im->s, b.p, b.n);
	buf_free(&b);
}

/* A change, unless a command's own answers told it, or NOTIFY left flags out: then HIGHESTMODSEQ stays before it. */
static void
change_tell(struct imap *im, const struct msg_info *m)
{
	if (!told_has(im, m) && !watch_tells_flags(im)) {
		if (im->untold_modseq == 0 || m->modseq <= im->untold_modseq)
			im->untold_modseq = m->modseq - 1;
	} else if (!told_has(im, m))
		untagged_fetch_flags(im, m);
	else if (condstore_is_on(im) && !told_has_modseq(im, m))
		untagged_fetch_modseq(im, m);
}

static void
delta_tell(struct imap *im, const struct view_delta *d)
{
	if (qresync_is_on(im))
		qresync_expunges_tell(im, d->expunges, d->nexpunges);
	else
		for (size_t i = 0; i < d->nexpunges; i++)
			session_putf(im->s, "* %u EXPUNGE\r\n", d->expunges[i].seq);
	im->is_highest_due = im->is_highest_due || d->nexpunges > 0;
	if (d->is_grown)
		session_putf(im->s, "* %u EXISTS\r\n", d->exists);
	if (d->is_grown && !imap_is_rev2(im))
		session_putf(im->s, "* %u RECENT\r\n", d->recent);
	for (size_t i = 0; i < d->nchanges; i++)
		change_tell(im, &d->changes[i]);
}

bool
untagged_sync(struct imap *im, bool may_expunge)
{
	struct arena		piece = arena_make(PIECE_MAX_BYTES);
	uint32_t		uidnext = im->view.uidnext;
	struct view_delta	d;
	enum store_result	r;

	if (!im->is_selected || !watch_tells_selected(im) || !view_is_stale(im->store, &im->view))
		return true;
	do {
		arena_reset(&piece);
		r = view_sync(im->store, &im->view, may_expunge, &piece, &d);
		if (r == STORE_NOMBOX || (r == STORE_OK && d.is_gone)) {
			im->is_selected = false;
			imap_bye(im, "gone", "The selected mailbox is gone, please connect again");
		} else if (r == STORE_OK)
			delta_tell(im, &d);
	} while (r == STORE_OK && d.has_more && !im->s->is_dead);
	arena_free(&piece);
	if (!im->is_over && im->view.uidnext > uidnext)
		watch_new(im, uidnext);
	return !im->is_over;
}
