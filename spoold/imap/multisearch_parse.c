/*
 * Parses the arguments of the ESEARCH command; called by multisearch.c and the fuzzer. Pure. RFC 7377 4, RFC 5465 8.
 */
#include "imap/multisearch_parse.h"

static enum parse
parse_source_name(struct slice *cur, struct arena *arena, enum source_reach reach, struct multisearch_args *out)
{
	if (out->nnames == IMAP_SOURCE_NAMES_MAX || parse_astring(cur, arena, &out->names[out->nnames].name) != PARSE_OK)
		return PARSE_BAD;
	out->names[out->nnames++].reach = reach;
	return PARSE_OK;
}

/* one-or-more-mailbox = mailbox / many-mailboxes ; many-mailboxes = "(" mailbox *(SP mailbox) ")" */
static enum parse
parse_source_names(struct slice *cur, struct arena *arena, enum source_reach reach, struct multisearch_args *out)
{
	if (parse_sp(cur) != PARSE_OK)
		return PARSE_BAD;
	if (parse_byte(cur, '(') != PARSE_OK)
		return parse_source_name(cur, arena, reach, out);
	do {
		if (parse_source_name(cur, arena, reach, out) != PARSE_OK)
			return PARSE_BAD;
	} while (parse_sp(cur) == PARSE_OK);
	return parse_byte(cur, ')');
}

/*
 * filter-mailboxes = "selected" / "inboxes" / "personal" / "subscribed" / ("subtree" / "subtree-one" / "mailboxes") SP
 * one-or-more-mailbox. Mail is delivered to any mailbox, so that "inboxes" is "personal" (RFC 5465 6.3).
 */
static enum parse
parse_filter_mailboxes(struct slice *cur, struct arena *arena, struct multisearch_args *out)
{
	static const struct { const char *name; unsigned source; } plain[] = {
		{"SELECTED", SOURCE_SELECTED}, {"INBOXES", SOURCE_PERSONAL}, {"PERSONAL", SOURCE_PERSONAL},
		{"SUBSCRIBED", SOURCE_SUBSCRIBED},
	};
	static const struct { const char *name; enum source_reach reach; } named[] = {
		{"SUBTREE", SOURCE_SUBTREE}, {"SUBTREE-ONE", SOURCE_SUBTREE_ONE}, {"MAILBOXES", SOURCE_MAILBOX},
	};

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		if (parse_word(cur, plain[i].name) == PARSE_OK) {
			out->sources |= plain[i].source;
			return PARSE_OK;
		}
	}
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		if (parse_word(cur, named[i].name) == PARSE_OK)
			return parse_source_names(cur, arena, named[i].reach, out);
	return PARSE_BAD;
}

/*
 * esearch-source-opts = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")" ; source-mbox = filter-mailboxes *(SP filter-mailboxes).
 * No scope option is defined, so that any is BAD.
 */
static enum parse
parse_source_opts(struct slice *cur, struct arena *arena, struct multisearch_args *out)
{
	if (parse_sp(cur) != PARSE_OK || parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	do {
		if (parse_filter_mailboxes(cur, arena, out) != PARSE_OK)
			return PARSE_BAD;
	} while (parse_sp(cur) == PARSE_OK);
	return parse_byte(cur, ')');
}

enum parse
parse_multisearch_args(struct slice *cur, struct arena *arena, struct multisearch_args *out)
{
	struct slice	s = *cur, in;

	out->sources = 0;
	out->nnames = 0;
	in = s;
	if (parse_sp(&in) == PARSE_OK && parse_word(&in, "IN") == PARSE_OK) {
		if (parse_source_opts(&in, arena, out) != PARSE_OK)
			return PARSE_BAD;
		s = in;
	} else {
		out->sources = SOURCE_SELECTED;
	}
	if (parse_search_args(&s, arena, &out->search) != PARSE_OK)
		return PARSE_BAD;
	/* RFC 7377 2.1: no result option means ALL. */
	if (!out->search.ret.is_extended)
		out->search.ret = (struct search_return){.is_extended = true, .items = RETURN_ALL};
	*cur = s;
	return PARSE_OK;
}
