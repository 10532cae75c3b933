/*
 * Parses what a search is to return. Called by search_parse.c, sort_parse.c and the fuzzer. Never keeps
 * anything but numbers. RFC 4731 3.1, RFC 5182 3, RFC 9394 3.1 and 4, with RFC 4466 2.6.1.
 */
#include "imap/search_return.h"

/* partial-range-first / partial-range-last: both ends count from the same side */
enum parse
parse_partial_range(struct slice *cur, struct partial_range *out)
{
	struct slice		s = *cur;
	struct partial_range	r = {0};

	r.is_last = parse_byte(&s, '-') == PARSE_OK;
	if (parse_nz_number(&s, &r.lo) != PARSE_OK || parse_byte(&s, ':') != PARSE_OK ||
	    (r.is_last && parse_byte(&s, '-') != PARSE_OK) || parse_nz_number(&s, &r.hi) != PARSE_OK)
		return PARSE_BAD;
	*out = r;
	*cur = s;
	return PARSE_OK;
}

/* search-return-opt = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE" / "PARTIAL" SP partial-range */
static enum parse
parse_return_opt(struct slice *cur, struct search_return *out)
{
	static const struct { const char *name; unsigned item; } names[] = {
		{"ALL", RETURN_ALL}, {"COUNT", RETURN_COUNT}, {"MAX", RETURN_MAX}, {"MIN", RETURN_MIN}, {"SAVE", RETURN_SAVE},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (parse_word(cur, names[i].name) == PARSE_OK) {
			out->items |= names[i].item;
			return PARSE_OK;
		}
	}
	/* RFC 9394 3.1: not more than one PARTIAL. */
	if ((out->items & RETURN_PARTIAL) != 0 || parse_word(cur, "PARTIAL") != PARSE_OK || parse_sp(cur) != PARSE_OK)
		return PARSE_BAD;
	out->items |= RETURN_PARTIAL;
	return parse_partial_range(cur, &out->partial);
}

enum parse
parse_search_return(struct slice *cur, struct search_return *out)
{
	struct slice		s = *cur;
	struct search_return	ret = {.is_extended = true};

	*out = (struct search_return){0};
	if (parse_word(&s, "RETURN") != PARSE_OK)
		return PARSE_OK;
	if (parse_sp(&s) != PARSE_OK || parse_byte(&s, '(') != PARSE_OK)
		return PARSE_BAD;
	if (parse_byte(&s, ')') == PARSE_OK) {
		ret.items = RETURN_ALL;
	} else {
		do {
			if (parse_return_opt(&s, &ret) != PARSE_OK)
				return PARSE_BAD;
		} while (parse_sp(&s) == PARSE_OK);
		if (parse_byte(&s, ')') != PARSE_OK)
			return PARSE_BAD;
	}
	/* RFC 9394 3.1: one PARTIAL, one ALL, or neither. */
	if ((ret.items & RETURN_PARTIAL) != 0 && (ret.items & RETURN_ALL) != 0)
		return PARSE_BAD;
	if (parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	*out = ret;
	*cur = s;
	return PARSE_OK;
}

void
partial_range_cut(const struct partial_range *r, size_t n, size_t *from_out, size_t *to_out)
{
	size_t	lo = r->lo < r->hi ? r->lo : r->hi, hi = r->lo < r->hi ? r->hi : r->lo;

	*from_out = *to_out = 0;
	if (lo > n)
		return;
	if (hi > n)
		hi = n;
	*from_out = r->is_last ? n - hi : lo - 1;
	*to_out = r->is_last ? n - lo + 1 : hi;
}

size_t
search_return_most(const struct search_return *ret)
{
	size_t	most = 1;

	if (!ret->is_extended || (ret->items & (RETURN_ALL | RETURN_COUNT | RETURN_MAX)) != 0 || ret->items == RETURN_SAVE)
		return SIZE_MAX;
	if ((ret->items & RETURN_PARTIAL) != 0) {
		if (ret->partial.is_last)
			return SIZE_MAX;
		most = ret->partial.lo > ret->partial.hi ? ret->partial.lo : ret->partial.hi;
	}
	return most;
}
