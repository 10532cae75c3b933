/*
 * Quick resynchronization. Called by SELECT, UID FETCH and untagged.c. Tells of the past only what the client asks
 * for and as few ranges as there can be; VANISHED without EARLIER names nothing that the client does not count.
 * RFC 7162 3.2.5, 3.2.6, 3.2.10.
 */
#include "imap/qresync.h"

#include "imap/set.h"
#include "imap/untagged.h"

/* Of a VANISHED line, but for its last range: as long as RFC 7162 4 wants a client's lines to be taken. */
#define VANISHED_LINE_BYTES	8192

struct vanished {
	struct imap	*im;
	struct buf	 line;
	size_t		 head;		/* bytes of it before the set */
};

static struct vanished
vanished_begin(struct imap *im, const char *head)
{
	struct vanished	v = {.im = im, .line = buf_make(2 * VANISHED_LINE_BYTES)};

	(void)buf_add_str(&v.line, head);
	v.head = v.line.n;
	return v;
}

static void
vanished_flush(struct vanished *v)
{
	if (v->line.n == v->head)
		return;
	session_write(v->im->s, v->line.p, v->line.n);
	session_puts(v->im->s, "\r\n");
	v->line.n = v->head;
}

static void
vanished_add(struct vanished *v, uint32_t lo, uint32_t hi)
{
	if (v->line.n >= VANISHED_LINE_BYTES)
		vanished_flush(v);
	(void)set_range_add(&v->line, v->head, lo, hi);
}

static void
vanished_end(struct vanished *v)
{
	vanished_flush(v);
	buf_free(&v->line);
}

void
qresync_expunges_tell(struct imap *im, const struct view_expunge *gone, size_t n)
{
	struct vanished	v = vanished_begin(im, "* VANISHED ");

	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && gone[end].uid == gone[end - 1].uid + 1; end++)
			;
		vanished_add(&v, gone[i].uid, gone[end - 1].uid);
	}
	vanished_end(&v);
}

static enum store_result
earlier_tell(struct imap *im, const struct uid_set *known, uint64_t since)
{
	struct vanished		v = vanished_begin(im, "* VANISHED (EARLIER) ");
	struct uid_set		gone;
	enum store_result	r;

	r = view_vanished(im->store, &im->view, since, known, imap_arena(im), &gone);
	for (size_t i = 0; r == STORE_OK && i < gone.n; i++)
		vanished_add(&v, gone.r[i].lo, gone.r[i].hi);
	vanished_end(&v);
	return r;
}

bool
qresync_fetch(struct imap *im, const struct seq_set *set, uint64_t since)
{
	struct uid_set		known;
	enum store_result	r = STORE_LIMIT;

	if (!im->is_uid || !qresync_is_on(im)) {
		imap_bad(im, "VANISHED is for UID FETCH, after ENABLE QRESYNC");
		return false;
	}
	/* Up to the highest UID that was: the last ones may be those that are gone. */
	if (set_of_uids(im, set, im->view.uidnext - 1, &known))
		r = earlier_tell(im, &known, since);
	if (r != STORE_OK)
		imap_no_store(im, r, "NONEXISTENT");
	return r == STORE_OK;
}

/* ---- SELECT ---- */

static bool
is_match(struct imap *im, uint32_t seq, uint32_t uid)
{
	uint32_t	is;

	return view_seq(im->store, &im->view, uid, &is) == STORE_OK && is == seq;
}

/* Of n + 1 pairs, each one more than the one before, the first matches and the last does not: the last that does. */
static uint32_t
match_last(struct imap *im, uint32_t seq, uint32_t uid, uint32_t n)
{
	uint32_t	lo = 0, hi = n;

	while (hi - lo > 1) {
		uint32_t	mid = lo + (hi - lo) / 2;

		if (is_match(im, seq + mid, uid + mid))
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/*
 * The highest UID that has the number the client says: no fewer messages are below it than the client knew, so none
 * of them went (RFC 7162 3.2.5.2). Pairs are ascending: after one that does not match, none can.
 */
static uint32_t
match_uid(struct imap *im, const struct seq_set *seqs, const struct seq_set *uids)
{
	uint32_t	found = 0;
	size_t		i = 0, k = 0;
	uint32_t	at_seq = 0, at_uid = 0;	/* of the ranges' numbers, those done */

	while (i < seqs->n && k < uids->n) {
		uint32_t	seq = seqs->r[i].lo + at_seq, uid = uids->r[k].lo + at_uid;
		uint32_t	left_seq = seqs->r[i].hi - seq, left_uid = uids->r[k].hi - uid;
		uint32_t	n = left_seq < left_uid ? left_seq : left_uid;

		if (!is_match(im, seq, uid))
			break;
		if (!is_match(im, seq + n, uid + n))
			return uid + match_last(im, seq, uid, n);
		found = uid + n;
		at_seq += n + 1;
		at_uid += n + 1;
		if (left_seq == n) {
			i++;
			at_seq = 0;
		}
		if (left_uid == n) {
			k++;
			at_uid = 0;
		}
	}
	return found;
}

/* Only what is above uid. */
static void
set_above(struct uid_set *set, uint32_t uid)
{
	size_t	n = 0;

	for (size_t i = 0; i < set->n; i++) {
		if (set->r[i].hi <= uid)
			continue;
		set->r[n] = set->r[i];
		if (set->r[n].lo <= uid)
			set->r[n].lo = uid + 1;
		n++;
	}
	set->n = n;
}

/* FETCH (UID FLAGS MODSEQ) of what changed since. */
static enum store_result
changes_tell(struct imap *im, const struct uid_set *known, uint64_t since)
{
	struct msg_info		*msgs = ARENA_NEW(imap_arena(im), struct msg_info, STORE_BATCH_MSGS);
	enum store_result	 r;

	if (msgs == NULL)
		return STORE_LIMIT;
	for (size_t i = 0; i < known->n; i++) {
		uint32_t	lo = known->r[i].lo;
		size_t		n;

		do {
			r = view_changed(im->store, &im->view, since, lo, known->r[i].hi, msgs, STORE_BATCH_MSGS, &n);
			if (r != STORE_OK)
				return r;
			for (size_t k = 0; k < n; k++)
				untagged_fetch_flags(im, &msgs[k]);
			if (n > 0)
				lo = msgs[n - 1].uid + 1;
		} while (n == STORE_BATCH_MSGS && !im->s->is_dead);
	}
	return STORE_OK;
}

enum store_result
qresync_select(struct imap *im, const struct select_args *args)
{
	const struct seq_set	every = {&(struct seq_range){1, UINT32_MAX}, 1, false};
	struct uid_set		known, asked;
	enum store_result	r;

	if (args->uidvalidity != im->view.uidvalidity)
		return STORE_OK;
	/* Twice: of one, less is asked. */
	if (!set_of_uids(im, args->has_known ? &args->known : &every, im->view.uidnext - 1, &known) ||
	    !set_of_uids(im, args->has_known ? &args->known : &every, im->view.uidnext - 1, &asked))
		return STORE_LIMIT;
	set_above(&asked, match_uid(im, &args->match_seqs, &args->match_uids));
	if ((r = earlier_tell(im, &asked, args->modseq)) != STORE_OK)
		return r;
	return changes_tell(im, &known, args->modseq);
}
