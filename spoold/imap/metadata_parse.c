/*
 * Entry names, options and values of METADATA (RFC 5464 3.2, 5). Called by metadata.c, and by read.c for the literals of
 * SETMETADATA. Pure. A name is taken in lower case: case does not matter in it (3.2).
 */
#include "imap/metadata_parse.h"

static bool
begins_with(struct slice s, const char *head)
{
	size_t n = strlen(head);

	return s.n >= n && memcmp(s.p, head, n) == 0;
}

/*
 * entry = astring, "/private" or "/shared" and components after it (RFC 5464 3.2, 6): no "*", "%", control or 8-bit
 * octets, no "//", no "/" at the end. The scope alone can only be asked for. PARSE_BAD on a longer one than can exist.
 */
static enum parse
parse_entry(struct slice *cur, struct arena *arena, bool is_set, struct slice *out)
{
	struct slice	s = *cur, given;
	char		*name;

	if (parse_astring(&s, arena, &given) != PARSE_OK || given.n == 0 || given.n > STORE_META_NAME_MAX_BYTES ||
	    given.p[0] != '/' || given.p[given.n - 1] == '/' || (name = arena_copy(arena, given)) == NULL)
		return PARSE_BAD;
	for (size_t i = 0; i < given.n; i++) {
		unsigned char	c = (unsigned char)name[i];

		if (c < ' ' || c > '~' || c == '*' || c == '%' || (c == '/' && i > 0 && name[i - 1] == '/'))
			return PARSE_BAD;
		if (c >= 'A' && c <= 'Z')
			name[i] = (char)(c - 'A' + 'a');
	}
	*out = (struct slice){name, given.n};
	if (!begins_with(*out, "/private/") && !begins_with(*out, "/shared/") &&
	    (is_set || (!slice_is(*out, SLICE("/private")) && !slice_is(*out, SLICE("/shared")))))
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* getmetadata-options = "(" option *(SP option) ")": "MAXSIZE" SP number / "DEPTH" SP ("0" / "1" / "infinity") */
static enum parse
parse_options(struct slice *cur, struct getmeta_args *out)
{
	struct slice	s = *cur;
	uint32_t	depth;

	if (parse_byte(&s, '(') != PARSE_OK)
		return PARSE_BAD;
	do {
		if (parse_word(&s, "MAXSIZE") == PARSE_OK) {
			if (parse_sp(&s) != PARSE_OK || parse_number(&s, &out->maxsize) != PARSE_OK)
				return PARSE_BAD;
			out->has_maxsize = true;
		} else if (parse_word(&s, "DEPTH") != PARSE_OK || parse_sp(&s) != PARSE_OK) {
			return PARSE_BAD;
		} else if (parse_word(&s, "infinity") == PARSE_OK) {
			out->depth = META_DEPTH_INFINITY;
		} else if (parse_number(&s, &depth) == PARSE_OK && depth <= 1) {
			out->depth = depth == 0 ? META_DEPTH_0 : META_DEPTH_1;
		} else {
			return PARSE_BAD;
		}
	} while (parse_sp(&s) == PARSE_OK);
	if (parse_byte(&s, ')') != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* entries = entry / "(" entry *(SP entry) ")"; the list without parentheses too, as the RFC's examples in 4.4.1 have it */
static enum parse
parse_entries(struct slice *cur, struct arena *arena, struct getmeta_args *out)
{
	struct slice	s = *cur;
	bool		is_list = parse_byte(&s, '(') == PARSE_OK;

	if ((out->names = ARENA_NEW(arena, struct slice, META_NAMES_MAX)) == NULL)
		return PARSE_BAD;
	do {
		if (out->n == META_NAMES_MAX || parse_entry(&s, arena, false, &out->names[out->n]) != PARSE_OK)
			return PARSE_BAD;
		out->n++;
	} while (parse_sp(&s) == PARSE_OK);
	if (is_list && parse_byte(&s, ')') != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/*
 * getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries; the options after the mailbox too, where all
 * examples of RFC 5464 4.2 have them.
 */
enum parse
parse_getmetadata(struct slice *cur, struct arena *arena, struct getmeta_args *out)
{
	struct slice	s = *cur, t;

	*out = (struct getmeta_args){.depth = META_DEPTH_0};
	if (parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	if (parse_options(&s, out) == PARSE_OK && parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	if (parse_astring(&s, arena, &out->mailbox) != PARSE_OK || parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	t = s;
	if (parse_options(&t, out) == PARSE_OK) {
		if (parse_sp(&t) != PARSE_OK)
			return PARSE_BAD;
		s = t;
	}
	if (parse_entries(&s, arena, out) != PARSE_OK || parse_end(&s) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* value = nstring / literal8 */
static enum parse
parse_value(struct slice *cur, struct arena *arena, struct meta_change *out)
{
	struct slice	s = *cur;

	if (parse_byte(&s, '~') == PARSE_OK) {
		if (parse_literal(&s, &out->value) != PARSE_OK)
			return PARSE_BAD;
	} else if (parse_nstring(&s, arena, &out->value) != PARSE_OK) {
		return PARSE_BAD;
	} else {
		out->is_removed = out->value.p == NULL;
	}
	*cur = s;
	return PARSE_OK;
}

/* setmetadata = "SETMETADATA" SP mailbox SP "(" entry SP value *(SP entry SP value) ")" */
enum parse
parse_setmetadata(struct slice *cur, struct arena *arena, struct setmeta_args *out)
{
	struct slice	s = *cur;

	*out = (struct setmeta_args){.n = 0};
	if (parse_sp(&s) != PARSE_OK || parse_astring(&s, arena, &out->mailbox) != PARSE_OK || parse_sp(&s) != PARSE_OK ||
	    parse_byte(&s, '(') != PARSE_OK || (out->changes = ARENA_NEW(arena, struct meta_change, META_NAMES_MAX)) == NULL)
		return PARSE_BAD;
	do {
		struct meta_change	*c = &out->changes[out->n];

		if (out->n++ == META_NAMES_MAX || parse_entry(&s, arena, true, &c->name) != PARSE_OK ||
		    parse_sp(&s) != PARSE_OK || parse_value(&s, arena, c) != PARSE_OK)
			return PARSE_BAD;
		/* What is shared of a server is its operator's (RFC 5464 3.3, 6.2). */
		out->is_read_only = out->is_read_only || (out->mailbox.n == 0 && begins_with(c->name, "/shared/"));
	} while (parse_sp(&s) == PARSE_OK);
	if (parse_byte(&s, ')') != PARSE_OK || parse_end(&s) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

bool
setmetadata_is_head(struct slice text)
{
	struct slice	tag, name;

	return parse_tag(&text, &tag) == PARSE_OK && parse_sp(&text) == PARSE_OK && parse_atom(&text, &name) == PARSE_OK &&
	    slice_is_nocase(name, SLICE("SETMETADATA")) && parse_sp(&text) == PARSE_OK;
}

bool
metadata_is_asked(const struct getmeta_args *a, struct slice name)
{
	for (size_t i = 0; i < a->n; i++) {
		struct slice	want = a->names[i];

		if (slice_is(name, want))
			return true;
		if (a->depth == META_DEPTH_0 || name.n <= want.n || name.p[want.n] != '/' || memcmp(name.p, want.p, want.n) != 0)
			continue;
		if (a->depth == META_DEPTH_INFINITY || memchr(name.p + want.n + 1, '/', name.n - want.n - 1) == NULL)
			return true;
	}
	return false;
}
