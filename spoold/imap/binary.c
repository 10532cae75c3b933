/*
 * Decoded sections. Called by fetch.c. The message is in memory for its structure already; what is decoded from it never is as a
 * whole: it is counted first, since its size stands before it, and decoded again when it is sent. RFC 3516 4.2, 4.3.
 */
#include "imap/binary.h"

/* Pieces of what is decoded, and how much came before. */
struct walk {
	struct mime_binary	 from;
	struct slice		 message;
	uint64_t		 at;
	char			 piece[MIME_BINARY_PIECE_BYTES];
	size_t			 n;
};

static bool
walk_next(struct walk *w)
{
	w->at += w->n;
	w->n = mime_binary_next(&w->from, w->message, w->piece);
	return w->n > 0;
}

/* What of the piece lies in [at, end); may be empty. */
static struct slice
walk_part(const struct walk *w, uint64_t at, uint64_t end)
{
	uint64_t	lo = at > w->at ? at - w->at : 0, hi = end > w->at ? end - w->at : 0;

	if (hi > w->n)
		hi = w->n;
	return lo < hi ? (struct slice){w->piece + lo, (size_t)(hi - lo)} : (struct slice){w->piece, 0};
}

/* How many bytes the item's range has, and whether there is a NUL among them. */
static void
binary_measure(struct content *c, const struct fetch_item *item, struct binary *b)
{
	struct walk	w = {.from = b->from, .message = buf_slice(&c->bytes)};
	uint64_t	end = item->is_partial ? item->at + item->n : UINT64_MAX;

	b->at = item->is_partial ? item->at : 0;
	while (w.at + w.n < end && walk_next(&w)) {
		struct slice	part = walk_part(&w, b->at, end);

		b->n += part.n;
		b->has_nul = b->has_nul || (part.n > 0 && memchr(part.p, '\0', part.n) != NULL);
	}
}

static void
range_cut(const struct fetch_item *item, struct binary *b)
{
	uint64_t	skip;

	if (!item->is_partial)
		return;
	skip = item->at < b->n ? item->at : b->n;
	b->at += skip;
	b->n = b->n - skip < item->n ? b->n - skip : item->n;
}

enum store_result
binary_find(struct content *c, const struct fetch_item *item, struct binary *out)
{
	const struct section	*s = &item->section;
	struct mime_part	*root, *part;
	enum store_result	 r;

	*out = (struct binary){.kind = BINARY_IS_RANGE, .n = c->m->size};
	if (s->nnumbers > 0) {
		if ((r = content_parts(c, &root)) != STORE_OK)
			return r;
		if ((part = mime_section(root, s->numbers, s->nnumbers)) == NULL) {
			out->kind = BINARY_IS_NIL;
			out->n = 0;
			return STORE_OK;
		}
		if (!mime_binary_make(buf_slice(&c->bytes), part, &out->from)) {
			out->kind = BINARY_IS_UNKNOWN;
			return STORE_OK;
		}
		if (!mime_binary_is_plain(&out->from)) {
			*out = (struct binary){.kind = BINARY_IS_DECODED, .from = out->from};
			binary_measure(c, item, out);
			return STORE_OK;
		}
		out->at = out->from.at;
		out->n = out->from.left;
	}
	range_cut(item, out);
	return STORE_OK;
}

void
binary_put(struct content *c, const struct binary *b, int (*put)(void *arg, const void *, size_t), void *arg)
{
	struct walk	w = {.from = b->from, .message = buf_slice(&c->bytes)};
	uint64_t	end = b->at + b->n;

	while (w.at + w.n < end && walk_next(&w)) {
		struct slice	part = walk_part(&w, b->at, end);

		if (part.n > 0 && put(arg, part.p, part.n) != 0)
			break;
	}
}
