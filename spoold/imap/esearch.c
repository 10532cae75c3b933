/*
 * Tells what an extended search found, and saves it. Called by search.c, sort.c and multisearch.c, which have
 * said nothing yet. Never looks at a message. RFC 4731 3.1, RFC 5182 2.4, RFC 9394 3, RFC 7377 2.1.
 */
#include "imap/esearch.h"

#include <stdlib.h>

#include "imap/name.h"
#include "imap/saved.h"

#define HEAD_MAX_BYTES	(NAME_STRING_MAX_BYTES + IMAP_TAG_MAX_BYTES + 64)

static void
partial_tell(struct imap *im, const struct partial_range *r, const struct found *f)
{
	const char	*sign = r->is_last ? "-" : "";
	size_t		 from, to;

	session_putf(im->s, " PARTIAL (%s%u:%s%u ", sign, r->lo, sign, r->hi);
	partial_range_cut(r, f->n, &from, &to);
	if (from == to)
		session_puts(im->s, "NIL");
	else
		found_set_put(im->s, f, from, to, im->is_uid);
	session_puts(im->s, ")");
}

/* Of what is told: of the two where it is only them (RFC 4731 3.2), of the range where it is one (RFC 9394 3.1). */
static uint64_t
modseq_of(const struct search_return *ret, const struct found *f)
{
	uint64_t	modseq = 0, other;
	size_t		from, to;

	if ((ret->items & (RETURN_ALL | RETURN_COUNT)) != 0)
		return found_modseq(f, 0, f->n);
	if ((ret->items & RETURN_MIN) != 0)
		modseq = found_modseq(f, 0, 1);
	if ((ret->items & RETURN_MAX) != 0 && (other = found_modseq(f, f->n - 1, f->n)) > modseq)
		modseq = other;
	if ((ret->items & RETURN_PARTIAL) != 0) {
		partial_range_cut(&ret->partial, f->n, &from, &to);
		if ((other = found_modseq(f, from, to)) > modseq)
			modseq = other;
	}
	return modseq;
}

/* The search-return-data, and the end of the line. */
static void
items_tell(struct imap *im, const struct search_return *ret, const struct found *f)
{
	if ((ret->items & RETURN_MIN) != 0 && f->n > 0)
		session_putf(im->s, " MIN %u", found_number(&f->msgs[0], im->is_uid));
	if ((ret->items & RETURN_MAX) != 0 && f->n > 0)
		session_putf(im->s, " MAX %u", found_number(&f->msgs[f->n - 1], im->is_uid));
	if ((ret->items & RETURN_COUNT) != 0)
		session_putf(im->s, " COUNT %zu", f->n);
	if ((ret->items & RETURN_PARTIAL) != 0)
		partial_tell(im, &ret->partial, f);
	if ((ret->items & RETURN_ALL) != 0 && f->n > 0) {
		session_puts(im->s, " ALL ");
		found_set_put(im->s, f, 0, f->n, im->is_uid);
	}
	if (f->has_modseq && f->n > 0)
		session_putf(im->s, " MODSEQ %llu", (unsigned long long)modseq_of(ret, f));
	session_puts(im->s, "\r\n");
}

void
esearch_tell(struct imap *im, const struct search_return *ret, const struct found *f)
{
	if (ret->items == RETURN_SAVE)
		return;
	session_putf(im->s, "* ESEARCH (TAG \"%s\")%s", im->tag, im->is_uid ? " UID" : "");
	items_tell(im, ret, f);
}

void
esearch_tell_in(struct imap *im, const struct search_return *ret, const struct found *f, struct slice mailbox,
    uint32_t uidvalidity)
{
	struct buf	b = buf_make(HEAD_MAX_BYTES);

	if (ret->items == RETURN_SAVE)
		return;
	if (buf_addf(&b, "* ESEARCH (TAG \"%s\" MAILBOX ", im->tag) == 0 && name_quote(im, &b, mailbox) == 0 &&
	    buf_addf(&b, " UIDVALIDITY %u) UID", uidvalidity) == 0) {
		session_write(im->s, b.p, b.n);
		items_tell(im, ret, f);
	}
	buf_free(&b);
}

static int
msgs_compare(const void *a, const void *b)
{
	const struct found_msg	*x = a, *y = b;

	return (x->uid > y->uid) - (x->uid < y->uid);
}

static void
part_add(struct found *part, const struct found *f, size_t from, size_t to)
{
	if (from < to)
		memcpy(part->msgs + part->n, f->msgs + from, (to - from) * sizeof(*f->msgs));
	part->n += to - from;
}

/* In the mailbox's order, each once. */
static void
part_order(struct found *part)
{
	size_t	n = 0;

	qsort(part->msgs, part->n, sizeof(*part->msgs), msgs_compare);
	for (size_t i = 0; i < part->n; i++)
		if (n == 0 || part->msgs[n - 1].uid != part->msgs[i].uid)
			part->msgs[n++] = part->msgs[i];
	part->n = n;
}

bool
esearch_save(struct imap *im, const struct search_return *ret, const struct found *f)
{
	struct found	part = found_make(SIZE_MAX);
	bool		is_all = (ret->items & (RETURN_ALL | RETURN_COUNT)) != 0 || ret->items == RETURN_SAVE;
	size_t		from, to;

	/* Two more: MIN and MAX may be told beside PARTIAL. */
	if ((part.msgs = ARENA_NEW(imap_arena(im), struct found_msg, f->n + 2)) == NULL) {
		saved_clear(im);
		return false;
	}
	if (is_all)
		part_add(&part, f, 0, f->n);
	if (!is_all && f->n > 0 && (ret->items & RETURN_MIN) != 0)
		part_add(&part, f, 0, 1);
	if (!is_all && f->n > 0 && (ret->items & RETURN_MAX) != 0)
		part_add(&part, f, f->n - 1, f->n);
	if (!is_all && (ret->items & RETURN_PARTIAL) != 0) {
		partial_range_cut(&ret->partial, f->n, &from, &to);
		part_add(&part, f, from, to);
	}
	part_order(&part);
	return saved_set(im, &part);
}
