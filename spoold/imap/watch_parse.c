/*
 * Parses NOTIFY's arguments, from the command and out of a session's state. Called by watch.c, state.c and the fuzzer.
 * Pure. RFC 5465 8; what must or may not stand together: 5, 6.1.
 */
#include "imap/watch_parse.h"

static const struct { const char *name; unsigned event; } events[] = {
	{"MessageNew", WATCH_NEW}, {"MessageExpunge", WATCH_EXPUNGE}, {"FlagChange", WATCH_FLAGS},
	{"MailboxName", WATCH_NAME}, {"SubscriptionChange", WATCH_SUBSCRIPTION},
	{"MailboxMetadataChange", WATCH_METADATA}, {"ServerMetadataChange", WATCH_SERVER_METADATA},
};
#define NEVENTS	(sizeof(events) / sizeof(events[0]))

static const struct { const char *name; enum watch_filter filter; } filters[] = {
	{"selected", WATCH_SELECTED}, {"selected-delayed", WATCH_SELECTED_DELAYED}, {"inboxes", WATCH_PERSONAL},
	{"personal", WATCH_PERSONAL}, {"subscribed", WATCH_SUBSCRIBED}, {"subtree", WATCH_SUBTREE},
	{"mailboxes", WATCH_MAILBOXES},
};
#define NFILTERS	(sizeof(filters) / sizeof(filters[0]))

static bool
is_of_selected(const struct watch_group *g)
{
	return g->filter == WATCH_SELECTED || g->filter == WATCH_SELECTED_DELAYED;
}

/* one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")" */
static enum parse
parse_mailboxes(struct slice *cur, struct arena *arena, struct watch_group *g, struct watch_groups *out)
{
	bool	is_list = parse_byte(cur, '(') == PARSE_OK;

	g->names = out->names + out->nnames;
	do {
		if (parse_astring(cur, arena, &g->names[g->nnames]) != PARSE_OK)
			return PARSE_BAD;
		g->nnames++;
		out->nnames++;
	} while (is_list && parse_sp(cur) == PARSE_OK);
	return is_list ? parse_byte(cur, ')') : PARSE_OK;
}

/* filter-mailboxes = filter-mailboxes-selected / filter-mailboxes-other */
static enum parse
parse_filter(struct slice *cur, struct arena *arena, struct watch_group *g, struct watch_groups *out)
{
	struct slice	word;

	if (parse_atom(cur, &word) != PARSE_OK)
		return PARSE_BAD;
	for (size_t i = 0; i < NFILTERS; i++) {
		if (!slice_is_nocase(word, slice_of(filters[i].name)))
			continue;
		g->filter = filters[i].filter;
		if (g->filter != WATCH_SUBTREE && g->filter != WATCH_MAILBOXES)
			return PARSE_OK;
		return parse_sp(cur) == PARSE_OK ? parse_mailboxes(cur, arena, g, out) : PARSE_BAD;
	}
	return PARSE_BAD;
}

/* [SP "(" fetch-att *(SP fetch-att) ")"] after MessageNew; of the selected mailbox only */
static enum parse
parse_atts(struct slice *cur, struct arena *arena, const struct watch_group *g, struct watch_groups *out)
{
	struct slice	s = *cur;

	if (parse_sp(&s) != PARSE_OK || s.n == 0 || s.p[0] != '(')
		return PARSE_OK;
	if (!is_of_selected(g) || out->atts != NULL || (out->atts = ARENA_NEW(arena, struct fetch_args, 1)) == NULL ||
	    parse_fetch_atts(&s, arena, out->atts) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* event = message-event / mailbox-event / user-event / event-ext */
static enum parse
parse_event(struct slice *cur, struct arena *arena, struct watch_group *g, struct watch_groups *out)
{
	struct slice	word;

	if (parse_atom(cur, &word) != PARSE_OK)
		return PARSE_BAD;
	for (size_t i = 0; i < NEVENTS; i++) {
		if (!slice_is_nocase(word, slice_of(events[i].name)))
			continue;
		g->events |= events[i].event;
		return events[i].event == WATCH_NEW ? parse_atts(cur, arena, g, out) : PARSE_OK;
	}
	out->is_unsupported = true;
	return PARSE_OK;
}

/* events = ( "(" event *(SP event) ")" ) / "NONE" */
static enum parse
parse_events(struct slice *cur, struct arena *arena, struct watch_group *g, struct watch_groups *out)
{
	if (parse_word(cur, "NONE") == PARSE_OK)
		return PARSE_OK;
	if (parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	do {
		if (parse_event(cur, arena, g, out) != PARSE_OK)
			return PARSE_BAD;
	} while (parse_sp(cur) == PARSE_OK);
	if (parse_byte(cur, ')') != PARSE_OK)
		return PARSE_BAD;
	/* RFC 5465 5: both or neither, and FlagChange not without them; 6.1: the selected mailbox has message events only. */
	if (((g->events & WATCH_NEW) != 0) != ((g->events & WATCH_EXPUNGE) != 0) ||
	    ((g->events & WATCH_FLAGS) != 0 && (g->events & WATCH_NEW) == 0) ||
	    (is_of_selected(g) && (g->events & ~(unsigned)WATCH_MESSAGES) != 0))
		return PARSE_BAD;
	return PARSE_OK;
}

/* event-group = "(" filter-mailboxes SP events ")" */
static enum parse
parse_group(struct slice *cur, struct arena *arena, struct watch_groups *out)
{
	struct watch_group	*g = &out->v[out->n];

	*g = (struct watch_group){0};
	if (parse_byte(cur, '(') != PARSE_OK || parse_filter(cur, arena, g, out) != PARSE_OK || parse_sp(cur) != PARSE_OK ||
	    parse_events(cur, arena, g, out) != PARSE_OK)
		return PARSE_BAD;
	/* Only one of them, once (RFC 5465 6.1). */
	for (size_t i = 0; is_of_selected(g) && i < out->n; i++)
		if (is_of_selected(&out->v[i]))
			return PARSE_BAD;
	out->n++;
	return parse_byte(cur, ')');
}

enum parse
parse_watch_groups(struct slice *cur, struct arena *arena, struct watch_groups *out)
{
	struct slice	s = *cur;

	out->n = out->nnames = 0;
	out->atts = NULL;
	out->is_unsupported = false;
	/* A name takes two bytes with what stands before it. */
	if ((out->names = ARENA_NEW(arena, struct slice, s.n / 2 + 1)) == NULL)
		return PARSE_BAD;
	do {
		if (out->n == IMAP_WATCH_GROUPS_MAX || parse_group(&s, arena, out) != PARSE_OK)
			return PARSE_BAD;
	} while (parse_sp(&s) == PARSE_OK);
	if (parse_end(&s) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* notify = "NOTIFY" SP ("SET" [SP "STATUS"] SP event-groups / "NONE") */
enum parse
parse_watch_args(struct slice *cur, struct arena *arena, struct watch_args *out)
{
	struct slice	s = *cur, after;

	out->is_none = out->with_status = false;
	if (parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	if (parse_word(&s, "NONE") == PARSE_OK) {
		out->is_none = true;
		if (parse_end(&s) != PARSE_OK)
			return PARSE_BAD;
		*cur = s;
		return PARSE_OK;
	}
	if (parse_word(&s, "SET") != PARSE_OK || parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	after = s;
	if (parse_word(&after, "STATUS") == PARSE_OK && parse_sp(&after) == PARSE_OK) {
		out->with_status = true;
		s = after;
	}
	out->text = s;
	if (parse_watch_groups(&s, arena, &out->groups) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}
