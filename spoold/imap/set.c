/*
 * Sequence sets into UIDs. Called by FETCH, STORE, COPY, MOVE, SEARCH and UID EXPUNGE. Looks ranks
 * up, never scans the mailbox. RFC 3501 section 9 (seq-number, seq-range),
 * RFC 5182 ("$").
 */
#include "imap/set.h"

#include <stdlib.h>

#include "imap/saved.h"

static int
range_compare(const void *a, const void *b)
{
	const struct uid_range	*x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Sorts and joins what overlaps or touches. */
static void
ranges_join(struct uid_set *set)
{
	size_t	n = 0;

	if (set->n == 0)
		return;
	qsort(set->r, set->n, sizeof(*set->r), range_compare);
	for (size_t i = 1; i < set->n; i++) {
		if ((uint64_t)set->r[i].lo <= (uint64_t)set->r[n].hi + 1) {
			if (set->r[i].hi > set->r[n].hi)
				set->r[n].hi = set->r[i].hi;
		} else {
			set->r[++n] = set->r[i];
		}
	}
	set->n = n + 1;
}

/* Numbers of the set as ranges: "*" is last; cut at most. Whether one was above most. */
static bool
ranges_fill(const struct seq_set *in, uint32_t last, uint32_t most, struct uid_set *out)
{
	bool	is_beyond = false;

	for (size_t i = 0; i < in->n; i++) {
		uint32_t	lo = in->r[i].lo == SEQ_STAR ? last : in->r[i].lo;
		uint32_t	hi = in->r[i].hi == SEQ_STAR ? last : in->r[i].hi;

		if (lo > hi) {
			uint32_t	swap = lo;

			lo = hi;
			hi = swap;
		}
		/* "1:*" of an empty mailbox is nothing, not an error: phones ask so before they look at EXISTS. */
		if (most == 0 && in->r[i].hi == SEQ_STAR)
			continue;
		if (hi > most || hi == 0)
			is_beyond = true;
		if (hi > most)
			hi = most;
		if (lo == 0)
			lo = 1;
		if (lo <= hi)
			out->r[out->n++] = (struct uid_range){lo, hi};
	}
	ranges_join(out);
	return is_beyond;
}

/* Ranks into UIDs, range by range: neighbours in rank are neighbours in UID order. */
static enum store_result
ranks_to_uids(struct imap *im, const struct view *view, struct uid_set *set)
{
	size_t	n = 0;

	for (size_t i = 0; i < set->n; i++) {
		enum store_result	r;
		uint32_t		lo, hi;

		if ((r = view_uid(im->store, view, set->r[i].lo, &lo)) != STORE_OK)
			return r;
		if ((r = view_uid(im->store, view, set->r[i].hi, &hi)) != STORE_OK)
			return r;
		if (lo != 0 && hi != 0)
			set->r[n++] = (struct uid_range){lo, hi};
	}
	set->n = n;
	return STORE_OK;
}

/* The highest rank whose UID is not above uid; 0: none. Ranks are looked up, halving. */
static enum store_result
rank_upto(struct imap *im, uint32_t uid, uint32_t *seq_out)
{
	enum store_result	r;
	uint32_t		lo = 0, hi, at;

	if ((r = view_count(im->store, &im->view, &hi)) != STORE_OK)
		return r;
	while (lo < hi) {
		uint32_t	mid = hi - (hi - lo) / 2;

		if ((r = view_uid(im->store, &im->view, mid, &at)) != STORE_OK)
			return r;
		/* 0: the view is shorter than it was a moment ago. */
		if (at != 0 && at <= uid)
			lo = mid;
		else
			hi = mid - 1;
	}
	*seq_out = lo;
	return STORE_OK;
}

/* UIDs into ranks, in place; ranges without a message go. */
static enum store_result
uids_to_ranks(struct imap *im, struct uid_set *set, size_t *nmsgs_out)
{
	size_t	n = 0;

	*nmsgs_out = 0;
	for (size_t i = 0; i < set->n; i++) {
		enum store_result	r;
		uint32_t		before, upto;

		if ((r = rank_upto(im, set->r[i].lo - 1, &before)) != STORE_OK ||
		    (r = rank_upto(im, set->r[i].hi, &upto)) != STORE_OK)
			return r;
		if (upto <= before)
			continue;
		*nmsgs_out += upto - before;
		set->r[n++] = (struct uid_range){before + 1, upto};
	}
	set->n = n;
	return STORE_OK;
}

/* Of the messages of ranges of ranks those from..to (not included). */
static void
ranks_cut(struct uid_set *set, size_t from, size_t to)
{
	size_t	n = 0, at = 0;

	for (size_t i = 0; i < set->n; i++) {
		struct uid_range	r = set->r[i];
		size_t			len = (size_t)r.hi - r.lo + 1, lo = from > at ? from - at : 0;
		size_t			hi = to > at ? to - at : 0;

		at += len;
		if (hi > len)
			hi = len;
		if (lo < hi)
			set->r[n++] = (struct uid_range){r.lo + (uint32_t)lo, r.lo + (uint32_t)hi - 1};
	}
	set->n = n;
}

bool
set_cut(struct imap *im, struct uid_set *set, const struct partial_range *range)
{
	enum store_result	r;
	size_t			n, from, to;

	if ((r = uids_to_ranks(im, set, &n)) == STORE_OK) {
		partial_range_cut(range, n, &from, &to);
		ranks_cut(set, from, to);
		r = ranks_to_uids(im, &im->view, set);
	}
	if (r != STORE_OK)
		imap_no_store(im, r, "NONEXISTENT");
	return r == STORE_OK;
}

enum store_result
set_resolve_in(struct imap *im, const struct view *view, const struct seq_set *in, bool is_uid, struct uid_set *out,
    bool *is_beyond_out)
{
	enum store_result	r;
	uint32_t		last;

	*is_beyond_out = false;
	*out = (struct uid_set){NULL, 0};
	if (in->is_saved)	/* of the selected mailbox: in another it names nothing */
		return view == &im->view ? saved_get(im, out) : STORE_OK;
	if ((out->r = ARENA_NEW(imap_arena(im), struct uid_range, in->n)) == NULL)
		return STORE_LIMIT;
	if (is_uid) {
		if ((r = view_last_uid(im->store, view, &last)) != STORE_OK)
			return r;
		/* Only what the client was told of: a newer message has no sequence number yet. */
		(void)ranges_fill(in, last, last, out);
		return STORE_OK;
	}
	if ((r = view_count(im->store, view, &last)) != STORE_OK)
		return r;
	*is_beyond_out = ranges_fill(in, last, last, out);
	return ranks_to_uids(im, view, out);
}

enum store_result
set_resolve(struct imap *im, const struct seq_set *in, bool is_uid, struct uid_set *out, bool *is_beyond_out)
{
	return set_resolve_in(im, &im->view, in, is_uid, out, is_beyond_out);
}

bool
set_of_uids(struct imap *im, const struct seq_set *in, uint32_t last, struct uid_set *out)
{
	if (in->is_saved)
		return saved_get(im, out) == STORE_OK;
	*out = (struct uid_set){ARENA_NEW(imap_arena(im), struct uid_range, in->n), 0};
	if (out->r != NULL)
		(void)ranges_fill(in, last, UINT32_MAX, out);
	return out->r != NULL;
}

bool
set_has(const struct uid_set *set, uint32_t uid)
{
	size_t	lo = 0, hi = set->n;

	while (lo < hi) {
		size_t	mid = lo + (hi - lo) / 2;

		if (uid < set->r[mid].lo)
			hi = mid;
		else if (uid > set->r[mid].hi)
			lo = mid + 1;
		else
			return true;
	}
	return false;
}

int
set_range_add(struct buf *b, size_t from, uint32_t lo, uint32_t hi)
{
	return buf_addf(b, lo < hi ? "%s%u:%u" : "%s%u", b->n > from ? "," : "", lo, hi);
}

bool
set_of_command(struct imap *im, const struct seq_set *in, struct uid_set *out)
{
	enum store_result	r;
	bool			is_beyond;

	r = set_resolve(im, in, im->is_uid, out, &is_beyond);
	if (r != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return false;
	}
	if (is_beyond) {
		imap_bad(im, "No message has that number");
		return false;
	}
	return true;
}
