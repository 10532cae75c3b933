/*
 * Parses SORT's arguments; called by sort.c and the fuzzer. Pure. RFC 5256 5, RFC 5957 5, RFC 5267 6.
 */
#include "imap/sort_parse.h"

/* sort-key = "ARRIVAL" / "CC" / "DATE" / "FROM" / "SIZE" / "SUBJECT" / "TO" / "DISPLAYFROM" / "DISPLAYTO" */
static enum parse
parse_sort_key(struct slice *cur, enum sort_key *out)
{
	static const char *const	names[SORT_KEYS] = {
		[SORT_ARRIVAL] = "ARRIVAL", [SORT_DATE] = "DATE", [SORT_SIZE] = "SIZE", [SORT_CC] = "CC",
		[SORT_DISPLAYFROM] = "DISPLAYFROM", [SORT_DISPLAYTO] = "DISPLAYTO", [SORT_FROM] = "FROM",
		[SORT_SUBJECT] = "SUBJECT", [SORT_TO] = "TO",
	};

	for (int i = 0; i < SORT_KEYS; i++) {
		if (parse_word(cur, names[i]) == PARSE_OK) {
			*out = (enum sort_key)i;
			return PARSE_OK;
		}
	}
	return PARSE_BAD;
}

static void
criterion_add(struct sort_args *out, enum sort_key key, bool is_reverse)
{
	for (size_t i = 0; i < out->ncriteria; i++)
		if (out->criteria[i].key == key)
			return;
	out->criteria[out->ncriteria++] = (struct sort_criterion){key, is_reverse};
}

/* sort-criteria = "(" sort-criterion *(SP sort-criterion) ")" ; sort-criterion = ["REVERSE" SP] sort-key */
static enum parse
parse_sort_criteria(struct slice *cur, struct sort_args *out)
{
	size_t	n = 0;

	out->ncriteria = 0;
	if (parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	do {
		bool		is_reverse = parse_word(cur, "REVERSE") == PARSE_OK;
		enum sort_key	key;

		if (n++ == IMAP_SORT_CRITERIA_MAX || (is_reverse && parse_sp(cur) != PARSE_OK) ||
		    parse_sort_key(cur, &key) != PARSE_OK)
			return PARSE_BAD;
		criterion_add(out, key, is_reverse);
	} while (parse_sp(cur) == PARSE_OK);
	return parse_byte(cur, ')');
}

enum parse
parse_sort_args(struct slice *cur, struct arena *arena, struct sort_args *out)
{
	struct slice		s = *cur;
	struct search_return	ret;

	if (parse_sp(&s) != PARSE_OK || parse_search_return(&s, &ret) != PARSE_OK ||
	    parse_sort_criteria(&s, out) != PARSE_OK || parse_sp(&s) != PARSE_OK ||
	    parse_search_criteria(&s, arena, &out->search) != PARSE_OK)
		return PARSE_BAD;
	out->search.ret = ret;
	*cur = s;
	return PARSE_OK;
}
