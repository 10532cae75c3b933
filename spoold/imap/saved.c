/*
 * The search result variable. Set by SEARCH, read wherever a sequence set may be "$" (set.c), packed by
 * state.c. A range reaches from one message of the view to another with all between them found, so that
 * the mailbox's gaps cost nothing. It need not follow expunges: a UID never comes back, and a set names
 * only what is in the view. RFC 5182 2.1, 2.5.
 */
#include "imap/saved.h"

#define VARINT_MAX_BYTES	5	/* 32 bits, 7 a byte */

/* Low bits first, the high bit says that more follow. How many bytes. */
static size_t
varint_put(unsigned char *out, uint32_t v)
{
	size_t	n = 0;

	while (v >= 0x80) {
		out[n++] = (unsigned char)(v | 0x80);
		v >>= 7;
	}
	out[n++] = (unsigned char)v;
	return n;
}

/* False at the end, past 32 bits, or where a shorter form exists: there is one way to write a result. */
static bool
varint_get(const unsigned char **p, const unsigned char *end, uint32_t *out)
{
	uint64_t	v = 0;

	for (unsigned shift = 0; *p < end && shift < 7 * VARINT_MAX_BYTES; shift += 7) {
		unsigned char	b = *(*p)++;

		v |= (uint64_t)(b & 0x7f) << shift;
		if ((b & 0x80) == 0) {
			*out = (uint32_t)v;
			return v <= UINT32_MAX && (b != 0 || shift == 0);
		}
	}
	return false;
}

/* The next range: how far it begins behind the last, and how far it reaches. */
static bool
range_get(const unsigned char **p, const unsigned char *end, uint32_t last, struct uid_range *out)
{
	uint32_t	gap, reach;

	if (!varint_get(p, end, &gap) || gap == 0 || gap > UINT32_MAX - last || !varint_get(p, end, &reach) ||
	    reach > UINT32_MAX - last - gap)
		return false;
	*out = (struct uid_range){last + gap, last + gap + reach};
	return true;
}

void
saved_clear(struct imap *im)
{
	im->nsaved = 0;
}

bool
saved_set(struct imap *im, const struct found *f)
{
	uint32_t	last = 0;

	im->nsaved = 0;
	for (size_t i = 0; i < f->n;) {
		unsigned char	range[2 * VARINT_MAX_BYTES];
		size_t		first = i++, n;

		while (i < f->n && f->msgs[i].seq == f->msgs[i - 1].seq + 1)
			i++;
		n = varint_put(range, f->msgs[first].uid - last);
		last = f->msgs[i - 1].uid;
		n += varint_put(range + n, last - f->msgs[first].uid);
		if (n > sizeof(im->saved) - im->nsaved) {
			im->nsaved = 0;
			return false;
		}
		memcpy(im->saved + im->nsaved, range, n);
		im->nsaved = (uint16_t)(im->nsaved + n);
	}
	return true;
}

enum store_result
saved_get(struct imap *im, struct uid_set *out)
{
	const unsigned char	*p = im->saved, *end = p + im->nsaved;
	uint32_t		 last = 0;

	/* Two bytes a range at least. */
	*out = (struct uid_set){ARENA_NEW(imap_arena(im), struct uid_range, im->nsaved / 2 + 1U), 0};
	if (out->r == NULL)
		return STORE_LIMIT;
	while (range_get(&p, end, last, &out->r[out->n]))
		last = out->r[out->n++].hi;
	return STORE_OK;
}

bool
saved_is_valid(struct slice packed, uint32_t uidnext)
{
	const unsigned char	*p = (const unsigned char *)packed.p, *end = p + packed.n;
	struct uid_range	 r = {0, 0};

	while (p < end)
		if (!range_get(&p, end, r.hi, &r) || r.hi >= uidnext)
			return false;
	return true;
}
