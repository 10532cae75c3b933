/*
 * Parses SELECT's and EXAMINE's arguments; called by select.c and the fuzzer. Pure. RFC 4466 2.1, RFC 7162 7.
 */
#include "imap/select_parse.h"

/* A sequence-set without "*" and "$": known-uids */
static enum parse
parse_known_set(struct slice *cur, struct arena *arena, struct seq_set *out)
{
	if (parse_sequence_set(cur, arena, out) != PARSE_OK || out->is_saved)
		return PARSE_BAD;
	for (size_t i = 0; i < out->n; i++)
		if (out->r[i].lo == SEQ_STAR || out->r[i].hi == SEQ_STAR)
			return PARSE_BAD;
	return PARSE_OK;
}

/* The same, ascending: known-sequence-set, known-uid-set */
static enum parse
parse_ascending_set(struct slice *cur, struct arena *arena, struct seq_set *out)
{
	if (parse_known_set(cur, arena, out) != PARSE_OK)
		return PARSE_BAD;
	for (size_t i = 0; i < out->n; i++)
		if (out->r[i].lo > out->r[i].hi || (i > 0 && out->r[i].lo <= out->r[i - 1].hi))
			return PARSE_BAD;
	return PARSE_OK;
}

/* seq-match-data = "(" known-sequence-set SP known-uid-set ")" */
static enum parse
parse_seq_match_data(struct slice *cur, struct arena *arena, struct select_args *out)
{
	if (parse_byte(cur, '(') != PARSE_OK || parse_ascending_set(cur, arena, &out->match_seqs) != PARSE_OK ||
	    parse_sp(cur) != PARSE_OK || parse_ascending_set(cur, arena, &out->match_uids) != PARSE_OK)
		return PARSE_BAD;
	return parse_byte(cur, ')');
}

/* SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")" */
static enum parse
parse_qresync(struct slice *cur, struct arena *arena, struct select_args *out)
{
	if (parse_sp(cur) != PARSE_OK || parse_byte(cur, '(') != PARSE_OK ||
	    parse_nz_number(cur, &out->uidvalidity) != PARSE_OK || parse_sp(cur) != PARSE_OK ||
	    parse_mod_sequence(cur, &out->modseq) != PARSE_OK)
		return PARSE_BAD;
	if (cur->n > 1 && cur->p[0] == ' ' && cur->p[1] != '(') {
		out->has_known = true;
		if (parse_sp(cur) != PARSE_OK || parse_known_set(cur, arena, &out->known) != PARSE_OK)
			return PARSE_BAD;
	}
	if (parse_sp(cur) == PARSE_OK && parse_seq_match_data(cur, arena, out) != PARSE_OK)
		return PARSE_BAD;
	return parse_byte(cur, ')');
}

/* select-param =/ "CONDSTORE" / "QRESYNC" SP "(" ... ")" ; RFC 7162 7; each at most once */
static enum parse
parse_select_param(struct slice *cur, struct arena *arena, struct select_args *out)
{
	if (!out->is_condstore && parse_word(cur, "CONDSTORE") == PARSE_OK) {
		out->is_condstore = true;
		return PARSE_OK;
	}
	if (out->is_qresync || parse_word(cur, "QRESYNC") != PARSE_OK)
		return PARSE_BAD;
	out->is_qresync = true;
	return parse_qresync(cur, arena, out);
}

/* select-params = SP "(" select-param *(SP select-param) ")" ; RFC 4466 2.1 */
static enum parse
parse_select_params(struct slice *cur, struct arena *arena, struct select_args *out)
{
	if (parse_sp(cur) != PARSE_OK || parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	do {
		if (parse_select_param(cur, arena, out) != PARSE_OK)
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
	if (s.n > 0 && parse_select_params(&s, arena, out) != PARSE_OK)
		return PARSE_BAD;
	if (parse_end(&s) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}
