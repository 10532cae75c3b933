/*
 * Parses SELECT's and EXAMINE's arguments; called by select.c and the fuzzer. Pure. RFC 4466 2.1, RFC 7162 7.
 */
#include "imap/select_parse.h"

/* select-param =/ "CONDSTORE" ; RFC 7162 7; each at most once */
static enum parse
parse_select_param(struct slice *cur, struct select_args *out)
{
	if (out->is_condstore || parse_word(cur, "CONDSTORE") != PARSE_OK)
		return PARSE_BAD;
	out->is_condstore = true;
	return PARSE_OK;
}

/* select-params = SP "(" select-param *(SP select-param) ")" ; RFC 4466 2.1 */
static enum parse
parse_select_params(struct slice *cur, struct select_args *out)
{
	if (parse_sp(cur) != PARSE_OK || parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	do {
		if (parse_select_param(cur, out) != PARSE_OK)
			return PARSE_BAD;
	} while (parse_sp(cur) == PARSE_OK);
	return parse_byte(cur, ')');
}

enum parse
parse_select_args(struct slice *cur, struct arena *arena, struct select_args *out)
{
	struct slice	s = *cur;

	*out = (struct select_args){0};
	if (parse_sp(&s) != PARSE_OK || parse_astring(&s, arena, &out->mailbox) != PARSE_OK)
		return PARSE_BAD;
	if (s.n > 0 && parse_select_params(&s, out) != PARSE_OK)
		return PARSE_BAD;
	if (parse_end(&s) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}
