/*
 * Parses LIST's and LSUB's arguments; called by list.c and the fuzzer. Pure. RFC 5258 6, RFC 5819 4,
 * RFC 6154 6; RFC 3501 section 9.
 */
#include "imap/list_parse.h"

#include "imap/status.h"

/* "(" [list-select-opt *(SP list-select-opt)] ")" ; RECURSIVEMATCH needs SUBSCRIBED beside it */
static enum parse
parse_select_opts(struct slice *cur, struct list_args *out)
{
	if (parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	out->is_extended = true;
	if (parse_byte(cur, ')') == PARSE_OK)
		return PARSE_OK;
	do {
		if (parse_word(cur, "SUBSCRIBED") == PARSE_OK)
			out->select |= LIST_SUBSCRIBED;
		else if (parse_word(cur, "REMOTE") == PARSE_OK)
			out->select |= LIST_REMOTE;
		else if (parse_word(cur, "RECURSIVEMATCH") == PARSE_OK)
			out->select |= LIST_RECURSIVEMATCH;
		else if (parse_word(cur, "SPECIAL-USE") == PARSE_OK)
			out->select |= LIST_SPECIAL_USE;
		else
			return PARSE_BAD;
	} while (parse_sp(cur) == PARSE_OK);
	if ((out->select & LIST_RECURSIVEMATCH) != 0 && (out->select & LIST_SUBSCRIBED) == 0)
		return PARSE_BAD;
	return parse_byte(cur, ')');
}

/* return-option = "SUBSCRIBED" / "CHILDREN" / "SPECIAL-USE" / status-option */
static enum parse
parse_return_opt(struct slice *cur, struct list_args *out)
{
	if (parse_word(cur, "SUBSCRIBED") == PARSE_OK) {
		out->give |= LIST_SUBSCRIBED;
	} else if (parse_word(cur, "CHILDREN") == PARSE_OK) {
		out->give |= LIST_CHILDREN;
	} else if (parse_word(cur, "SPECIAL-USE") == PARSE_OK) {
		out->give |= LIST_SPECIAL_USE;
	} else if (parse_word(cur, "STATUS") == PARSE_OK) {
		unsigned	items;

		if (parse_sp(cur) != PARSE_OK || parse_status_items(cur, &items) != PARSE_OK)
			return PARSE_BAD;
		out->give |= LIST_STATUS;
		out->status_items |= items;
	} else {
		return PARSE_BAD;
	}
	return PARSE_OK;
}

/* SP "RETURN" SP "(" [return-option *(SP return-option)] ")" */
static enum parse
parse_return_opts(struct slice *cur, struct list_args *out)
{
	if (parse_sp(cur) != PARSE_OK || parse_word(cur, "RETURN") != PARSE_OK || parse_sp(cur) != PARSE_OK ||
	    parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	out->is_extended = true;
	if (parse_byte(cur, ')') == PARSE_OK)
		return PARSE_OK;
	do {
		if (parse_return_opt(cur, out) != PARSE_OK)
			return PARSE_BAD;
	} while (parse_sp(cur) == PARSE_OK);
	return parse_byte(cur, ')');
}

/* mbox-or-pat = list-mailbox / "(" list-mailbox *(SP list-mailbox) ")" */
static enum parse
parse_patterns(struct slice *cur, struct arena *arena, struct list_args *out)
{
	if (parse_byte(cur, '(') != PARSE_OK) {
		out->npatterns = 1;
		return parse_list_mailbox(cur, arena, &out->patterns[0]);
	}
	out->is_extended = true;
	do {
		if (out->npatterns == IMAP_LIST_PATTERNS_MAX ||
		    parse_list_mailbox(cur, arena, &out->patterns[out->npatterns]) != PARSE_OK)
			return PARSE_BAD;
		out->npatterns++;
	} while (parse_sp(cur) == PARSE_OK);
	return parse_byte(cur, ')');
}

enum parse
parse_list_args(struct slice *cur, struct arena *arena, struct list_args *out)
{
	struct slice	s = *cur;

	*out = (struct list_args){.npatterns = 0};
	if (parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	if (s.n > 0 && s.p[0] == '(' && (parse_select_opts(&s, out) != PARSE_OK || parse_sp(&s) != PARSE_OK))
		return PARSE_BAD;
	if (parse_astring(&s, arena, &out->reference) != PARSE_OK || parse_sp(&s) != PARSE_OK ||
	    parse_patterns(&s, arena, out) != PARSE_OK)
		return PARSE_BAD;
	if (s.n > 0 && parse_return_opts(&s, out) != PARSE_OK)
		return PARSE_BAD;
	if (parse_end(&s) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

enum parse
parse_lsub_args(struct slice *cur, struct arena *arena, struct list_args *out)
{
	struct slice	s = *cur;

	*out = (struct list_args){.npatterns = 1};
	if (parse_sp(&s) != PARSE_OK || parse_astring(&s, arena, &out->reference) != PARSE_OK ||
	    parse_sp(&s) != PARSE_OK || parse_list_mailbox(&s, arena, &out->patterns[0]) != PARSE_OK ||
	    parse_end(&s) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}
