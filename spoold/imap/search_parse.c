/*
 * Parses SEARCH's arguments into a tree; called by search.c and the fuzzer. Pure. The keys of a list
 * are ordered so that what needs only the index comes before headers, and headers before bodies.
 * RFC 3501 section 9.
 */
#include "imap/search_parse.h"

#include "imap/objectid.h"

struct searching {
	struct slice	 cur;
	struct arena	*arena;
	size_t		 nkeys;
	bool		 has_modseq;
};

enum argument {
	ARG_NONE, ARG_DATE, ARG_NUMBER, ARG_NZ_NUMBER, ARG_ASTRING, ARG_HEADER, ARG_ATOM, ARG_SET, ARG_OBJECTID, ARG_MODSEQ
};

static const struct {
	const char	*name;
	enum search_op	 op;
	enum argument	 argument;
	bool		 is_not;
	uint32_t	 flag;
	const char	*field;
} words[] = {
	{"ALL", SEARCH_ALL, ARG_NONE, false, 0, NULL},
	{"ANSWERED", SEARCH_FLAG, ARG_NONE, false, MSG_ANSWERED, NULL},
	{"BCC", SEARCH_HEADER, ARG_ASTRING, false, 0, "Bcc"},
	{"BEFORE", SEARCH_BEFORE, ARG_DATE, false, 0, NULL},
	{"BODY", SEARCH_BODY, ARG_ASTRING, false, 0, NULL},
	{"CC", SEARCH_HEADER, ARG_ASTRING, false, 0, "Cc"},
	{"DELETED", SEARCH_FLAG, ARG_NONE, false, MSG_DELETED, NULL},
	{"DRAFT", SEARCH_FLAG, ARG_NONE, false, MSG_DRAFT, NULL},
	{"EMAILID", SEARCH_EMAILID, ARG_OBJECTID, false, 0, NULL},
	{"FLAGGED", SEARCH_FLAG, ARG_NONE, false, MSG_FLAGGED, NULL},
	{"FROM", SEARCH_HEADER, ARG_ASTRING, false, 0, "From"},
	{"HEADER", SEARCH_HEADER, ARG_HEADER, false, 0, NULL},
	{"KEYWORD", SEARCH_KEYWORD, ARG_ATOM, false, 0, NULL},
	{"LARGER", SEARCH_LARGER, ARG_NUMBER, false, 0, NULL},
	{"MODSEQ", SEARCH_MODSEQ, ARG_MODSEQ, false, 0, NULL},
	{"OLD", SEARCH_RECENT, ARG_NONE, true, 0, NULL},
	{"OLDER", SEARCH_OLDER, ARG_NZ_NUMBER, false, 0, NULL},
	{"ON", SEARCH_ON, ARG_DATE, false, 0, NULL},
	{"RECENT", SEARCH_RECENT, ARG_NONE, false, 0, NULL},
	{"SAVEDATESUPPORTED", SEARCH_ALL, ARG_NONE, false, 0, NULL},	/* by every mailbox */
	{"SAVEDBEFORE", SEARCH_SAVEDBEFORE, ARG_DATE, false, 0, NULL},
	{"SAVEDON", SEARCH_SAVEDON, ARG_DATE, false, 0, NULL},
	{"SAVEDSINCE", SEARCH_SAVEDSINCE, ARG_DATE, false, 0, NULL},
	{"SEEN", SEARCH_FLAG, ARG_NONE, false, MSG_SEEN, NULL},
	{"SENTBEFORE", SEARCH_SENTBEFORE, ARG_DATE, false, 0, NULL},
	{"SENTON", SEARCH_SENTON, ARG_DATE, false, 0, NULL},
	{"SENTSINCE", SEARCH_SENTSINCE, ARG_DATE, false, 0, NULL},
	{"SINCE", SEARCH_SINCE, ARG_DATE, false, 0, NULL},
	{"SMALLER", SEARCH_SMALLER, ARG_NUMBER, false, 0, NULL},
	{"SUBJECT", SEARCH_HEADER, ARG_ASTRING, false, 0, "Subject"},
	{"TEXT", SEARCH_TEXT, ARG_ASTRING, false, 0, NULL},
	{"THREADID", SEARCH_THREADID, ARG_OBJECTID, false, 0, NULL},
	{"TO", SEARCH_HEADER, ARG_ASTRING, false, 0, "To"},
	{"UID", SEARCH_UID, ARG_SET, false, 0, NULL},
	{"UNANSWERED", SEARCH_FLAG, ARG_NONE, true, MSG_ANSWERED, NULL},
	{"UNDELETED", SEARCH_FLAG, ARG_NONE, true, MSG_DELETED, NULL},
	{"UNDRAFT", SEARCH_FLAG, ARG_NONE, true, MSG_DRAFT, NULL},
	{"UNFLAGGED", SEARCH_FLAG, ARG_NONE, true, MSG_FLAGGED, NULL},
	{"UNKEYWORD", SEARCH_KEYWORD, ARG_ATOM, true, 0, NULL},
	{"UNSEEN", SEARCH_FLAG, ARG_NONE, true, MSG_SEEN, NULL},
	{"YOUNGER", SEARCH_YOUNGER, ARG_NZ_NUMBER, false, 0, NULL},
};

static enum parse	parse_search_key(struct searching *, size_t depth, struct search_key **out);

static struct search_key *
key_new(struct searching *p, enum search_op op)
{
	struct search_key	*key;

	if (p->nkeys == IMAP_SEARCH_KEYS_MAX || (key = ARENA_NEW(p->arena, struct search_key, 1)) == NULL)
		return NULL;
	p->nkeys++;
	key->op = op;
	key->keyword_bit = -1;
	return key;
}

static struct search_key *
key_not(struct searching *p, struct search_key *a)
{
	struct search_key	*key = key_new(p, SEARCH_NOT);

	if (key != NULL)
		key->a = a;
	return key;
}

/* 0: the index's numbers; 1: the header; 2: the body. Of a list: its dearest. */
static int
key_cost(const struct search_key *key)
{
	int	cost = 0;

	switch (key->op) {
	case SEARCH_BODY:
	case SEARCH_TEXT:
		return 2;
	case SEARCH_HEADER:
	case SEARCH_SENTBEFORE:
	case SEARCH_SENTON:
	case SEARCH_SENTSINCE:
		return 1;
	default:
		break;
	}
	for (const struct search_key *a = key->a; a != NULL; a = a->next) {
		int	dearest = key_cost(a);

		if (dearest > cost)
			cost = dearest;
	}
	return cost;
}

/* Cheap keys first, else as the client wrote them. */
static void
list_order(struct search_key **list)
{
	struct search_key	*sorted = NULL, **tail = &sorted;

	for (int cost = 0; cost <= 2; cost++) {
		for (struct search_key **at = list; *at != NULL;) {
			struct search_key	*key = *at;

			if (key_cost(key) != cost) {
				at = &key->next;
				continue;
			}
			*at = key->next;
			key->next = NULL;
			*tail = key;
			tail = &key->next;
		}
	}
	*list = sorted;
}

/*
 * search-modsequence = "MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer ; RFC 7162 7
 * entry-name = DQUOTE "/flags/" attr-flag DQUOTE ; entry-type-req = "priv" / "shared" / "all"
 * One modseq is kept for all of a message's flags: name and type say nothing (3.1.5).
 */
static enum parse
parse_search_modseq(struct searching *p, struct search_key *key)
{
	static const char	*types[] = {"priv", "shared", "all"};
	struct slice		name;
	size_t			i;

	if (p->cur.n == 0 || p->cur.p[0] != '"')
		return parse_mod_sequence(&p->cur, &key->modseq);
	if (parse_quoted(&p->cur, p->arena, &name) != PARSE_OK || name.n <= 7 || strncasecmp(name.p, "/flags/", 7) != 0 ||
	    parse_sp(&p->cur) != PARSE_OK)
		return PARSE_BAD;
	for (i = 0; i < 3 && parse_word(&p->cur, types[i]) != PARSE_OK; i++)
		;
	if (i == 3 || parse_sp(&p->cur) != PARSE_OK)
		return PARSE_BAD;
	return parse_mod_sequence(&p->cur, &key->modseq);
}

/* nz-number: an interval of RFC 5032 */
static enum parse
parse_interval(struct searching *p, struct search_key *key)
{
	uint32_t	seconds;

	if (parse_nz_number(&p->cur, &seconds) != PARSE_OK)
		return PARSE_BAD;
	key->number = seconds;
	return PARSE_OK;
}

static enum parse
parse_argument(struct searching *p, enum argument argument, struct search_key *key)
{
	if (argument == ARG_NONE)
		return PARSE_OK;
	if (parse_sp(&p->cur) != PARSE_OK)
		return PARSE_BAD;
	switch (argument) {
	case ARG_NONE:
		break;
	case ARG_DATE:
		return parse_date(&p->cur, &key->day);
	case ARG_NUMBER:
		return parse_number64(&p->cur, &key->number);	/* RFC 9051 9 */
	case ARG_NZ_NUMBER:
		return parse_interval(p, key);
	case ARG_ASTRING:
		return parse_astring(&p->cur, p->arena, &key->text);
	case ARG_HEADER:
		if (parse_astring(&p->cur, p->arena, &key->field) != PARSE_OK || parse_sp(&p->cur) != PARSE_OK)
			return PARSE_BAD;
		return parse_astring(&p->cur, p->arena, &key->text);
	case ARG_ATOM:
		return parse_atom(&p->cur, &key->text);
	case ARG_SET:
		return parse_sequence_set(&p->cur, p->arena, &key->seq);
	case ARG_OBJECTID:
		return parse_objectid(&p->cur, &key->text);
	case ARG_MODSEQ:
		p->has_modseq = true;
		return parse_search_modseq(p, key);
	}
	return PARSE_BAD;
}

/* A key that is one word and its argument; PARSE_MORE: none of the table. */
static enum parse
parse_word_key(struct searching *p, struct search_key **out)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct search_key	*key;

		if (parse_word(&p->cur, words[i].name) != PARSE_OK)
			continue;
		if ((key = key_new(p, words[i].op)) == NULL)
			return PARSE_BAD;
		key->flag = words[i].flag;
		if (words[i].field != NULL)
			key->field = slice_of(words[i].field);
		if (parse_argument(p, words[i].argument, key) != PARSE_OK)
			return PARSE_BAD;
		*out = words[i].is_not ? key_not(p, key) : key;
		return *out == NULL ? PARSE_BAD : PARSE_OK;
	}
	return PARSE_MORE;
}

/* search-key *(SP search-key) */
static enum parse
parse_key_list(struct searching *p, size_t depth, struct search_key **out)
{
	struct search_key	*and = key_new(p, SEARCH_AND), **tail;

	if (and == NULL)
		return PARSE_BAD;
	tail = &and->a;
	do {
		if (parse_search_key(p, depth, tail) != PARSE_OK)
			return PARSE_BAD;
		tail = &(*tail)->next;
	} while (parse_sp(&p->cur) == PARSE_OK);
	list_order(&and->a);
	*out = and;
	return PARSE_OK;
}

/* "NOT" SP search-key */
static enum parse
parse_not(struct searching *p, size_t depth, struct search_key **out)
{
	struct search_key	*a;

	if (parse_sp(&p->cur) != PARSE_OK || parse_search_key(p, depth, &a) != PARSE_OK)
		return PARSE_BAD;
	*out = key_not(p, a);
	return *out == NULL ? PARSE_BAD : PARSE_OK;
}

/* "OR" SP search-key SP search-key */
static enum parse
parse_or(struct searching *p, size_t depth, struct search_key **out)
{
	struct search_key	*key = key_new(p, SEARCH_OR);

	if (key == NULL || parse_sp(&p->cur) != PARSE_OK || parse_search_key(p, depth, &key->a) != PARSE_OK ||
	    parse_sp(&p->cur) != PARSE_OK || parse_search_key(p, depth, &key->a->next) != PARSE_OK)
		return PARSE_BAD;
	list_order(&key->a);
	*out = key;
	return PARSE_OK;
}

/* "NEW" is (RECENT UNSEEN) */
static enum parse
new_make(struct searching *p, struct search_key **out)
{
	struct search_key	*and = key_new(p, SEARCH_AND), *seen = key_new(p, SEARCH_FLAG);

	if (and == NULL || seen == NULL || (and->a = key_new(p, SEARCH_RECENT)) == NULL ||
	    (and->a->next = key_not(p, seen)) == NULL)
		return PARSE_BAD;
	seen->flag = MSG_SEEN;
	*out = and;
	return PARSE_OK;
}

static enum parse
parse_search_key(struct searching *p, size_t depth, struct search_key **out)
{
	enum parse	r;

	if (depth == IMAP_SEARCH_DEPTH_MAX)
		return PARSE_BAD;
	if ((r = parse_word_key(p, out)) != PARSE_MORE)
		return r;
	if (parse_word(&p->cur, "NOT") == PARSE_OK)
		return parse_not(p, depth + 1, out);
	if (parse_word(&p->cur, "OR") == PARSE_OK)
		return parse_or(p, depth + 1, out);
	if (parse_word(&p->cur, "NEW") == PARSE_OK)
		return new_make(p, out);
	if (parse_byte(&p->cur, '(') == PARSE_OK) {
		if (parse_key_list(p, depth + 1, out) != PARSE_OK)
			return PARSE_BAD;
		return parse_byte(&p->cur, ')');
	}
	if ((*out = key_new(p, SEARCH_SEQ)) == NULL)
		return PARSE_BAD;
	return parse_sequence_set(&p->cur, p->arena, &(*out)->seq);
}

enum parse
parse_search_args(struct slice *cur, struct arena *arena, struct search_args *out)
{
	struct searching	p = {.cur = *cur, .arena = arena};

	*out = (struct search_args){.charset = {NULL, 0}};
	if (parse_sp(&p.cur) != PARSE_OK || parse_search_return(&p.cur, &out->ret) != PARSE_OK)
		return PARSE_BAD;
	if (parse_word(&p.cur, "CHARSET") == PARSE_OK) {
		if (parse_sp(&p.cur) != PARSE_OK || parse_astring(&p.cur, arena, &out->charset) != PARSE_OK ||
		    parse_sp(&p.cur) != PARSE_OK)
			return PARSE_BAD;
	}
	if (parse_key_list(&p, 0, &out->root) != PARSE_OK || parse_end(&p.cur) != PARSE_OK)
		return PARSE_BAD;
	out->has_modseq = p.has_modseq;
	*cur = p.cur;
	return PARSE_OK;
}

enum parse
parse_search_criteria(struct slice *cur, struct arena *arena, struct search_args *out)
{
	struct searching	p = {.cur = *cur, .arena = arena};

	*out = (struct search_args){.charset = {NULL, 0}};
	if (parse_astring(&p.cur, arena, &out->charset) != PARSE_OK || parse_sp(&p.cur) != PARSE_OK ||
	    parse_key_list(&p, 0, &out->root) != PARSE_OK || parse_end(&p.cur) != PARSE_OK)
		return PARSE_BAD;
	out->has_modseq = p.has_modseq;
	*cur = p.cur;
	return PARSE_OK;
}
