/*
 * Parses APPEND's arguments; called by append.c while the command is still being read, and by the fuzzer. Pure: an
 * element that is not whole yet is PARSE_BAD and is asked for again when there is more. RFC 3501 section 9, RFC 3502,
 * RFC 4466 6, RFC 4469 5, RFC 6855 4, RFC 8508 5.
 */
#include "imap/append_parse.h"

/* "APPEND" / ["UID" SP] "REPLACE" SP seq-number (RFC 8508 5) */
static enum parse
parse_verb(struct slice *cur, struct append_element *out)
{
	if (parse_word(cur, "APPEND") == PARSE_OK)
		return PARSE_OK;
	out->is_replace = true;
	out->is_uid = parse_word(cur, "UID") == PARSE_OK;
	if ((out->is_uid && parse_sp(cur) != PARSE_OK) || parse_word(cur, "REPLACE") != PARSE_OK || parse_sp(cur) != PARSE_OK)
		return PARSE_BAD;
	out->number = SEQ_STAR;
	return parse_byte(cur, '*') == PARSE_OK ? PARSE_OK : parse_nz_number(cur, &out->number);
}

/*
 * append = "APPEND" SP mailbox 1*append-message, with its tag; replace = "REPLACE" SP seq-number SP mailbox append-message; up to the
 * SP that begins a message
 */
static enum parse
parse_head(struct slice *cur, struct arena *arena, struct append_element *out)
{
	struct slice	tag;

	if (parse_tag(cur, &tag) != PARSE_OK || parse_sp(cur) != PARSE_OK || parse_verb(cur, out) != PARSE_OK ||
	    parse_sp(cur) != PARSE_OK || parse_astring(cur, arena, &out->mailbox) != PARSE_OK)
		return PARSE_BAD;
	out->kind = ELEMENT_HEAD;
	return cur->n > 0 && cur->p[0] == ' ' ? PARSE_OK : PARSE_BAD;
}

/* append-opts = [SP flag-list] [SP date-time] */
static enum parse
parse_options(struct slice *cur, struct arena *arena, struct append_element *out)
{
	struct slice	s;

	s = *cur;
	if (parse_sp(&s) == PARSE_OK && s.n > 0 && s.p[0] == '(') {
		if (parse_flag_list(&s, arena, &out->flags) != PARSE_OK)
			return PARSE_BAD;
		*cur = s;
	}
	s = *cur;
	if (parse_sp(&s) == PARSE_OK && s.n > 0 && s.p[0] == '"') {
		if (parse_date_time(&s, &out->date_ms) != PARSE_OK)
			return PARSE_BAD;
		out->has_date = true;
		*cur = s;
	}
	return PARSE_OK;
}

/* utf8-literal = "UTF8" SP "(" literal8 ")" (RFC 6855 4), up to the literal8 */
static enum parse
parse_utf8_literal(struct slice *cur, struct append_element *out)
{
	struct slice	s = *cur;

	if (parse_word(&s, "UTF8") != PARSE_OK || parse_sp(&s) != PARSE_OK || parse_byte(&s, '(') != PARSE_OK ||
	    parse_end(&s) != PARSE_OK)
		return PARSE_BAD;
	out->is_utf8 = true;
	*cur = s;
	return PARSE_OK;
}

/* append-message = append-opts SP append-data ; append-data = literal / literal8 / utf8-literal / "CATENATE" SP "(" ..., up to the literal or part */
static enum parse
parse_message(struct slice *cur, struct arena *arena, struct append_element *out)
{
	if (parse_options(cur, arena, out) != PARSE_OK || parse_sp(cur) != PARSE_OK)
		return PARSE_BAD;
	out->kind = ELEMENT_LITERAL;
	if (parse_end(cur) == PARSE_OK || parse_utf8_literal(cur, out) == PARSE_OK)
		return PARSE_OK;
	out->kind = ELEMENT_CATENATE;
	return parse_word(cur, "CATENATE") == PARSE_OK && parse_sp(cur) == PARSE_OK ? parse_byte(cur, '(') : PARSE_BAD;
}

/* cat-part = "TEXT" SP literal / "URL" SP astring (RFC 4469 5) / utf8-literal (RFC 6855 4), up to the literal; parts are parted by SP and end at ")" */
static enum parse
parse_part(struct slice *cur, struct arena *arena, bool is_first, struct append_element *out)
{
	out->kind = ELEMENT_CLOSE;
	if (!is_first && parse_byte(cur, ')') == PARSE_OK)
		return PARSE_OK;
	if (!is_first && parse_sp(cur) != PARSE_OK)
		return PARSE_BAD;
	out->kind = ELEMENT_TEXT;
	if (parse_utf8_literal(cur, out) == PARSE_OK)
		return PARSE_OK;
	if (parse_word(cur, "TEXT") == PARSE_OK)
		return parse_sp(cur) == PARSE_OK ? parse_end(cur) : PARSE_BAD;
	out->kind = ELEMENT_URL;
	if (parse_word(cur, "URL") != PARSE_OK || parse_sp(cur) != PARSE_OK || parse_astring(cur, arena, &out->url) != PARSE_OK)
		return PARSE_BAD;
	/* Before a literal's mark a word is not known to be whole. */
	return cur->n > 0 && (cur->p[0] == ' ' || cur->p[0] == ')') ? PARSE_OK : PARSE_BAD;
}

static enum append_place
place_after(enum append_place before, const struct append_element *e)
{
	switch (e->kind) {
	case ELEMENT_HEAD:
	case ELEMENT_CLOSE:
		break;
	case ELEMENT_LITERAL:
		return e->is_utf8 ? APPEND_AT_UTF8_END : APPEND_AT_MESSAGE;
	case ELEMENT_CATENATE:
		return APPEND_AT_FIRST_PART;
	case ELEMENT_TEXT:
		return e->is_utf8 ? APPEND_AT_UTF8_PART_END : APPEND_AT_PART;
	case ELEMENT_URL:
		return APPEND_AT_PART;
	case ELEMENT_UTF8_CLOSE:
		return before == APPEND_AT_UTF8_PART_END ? APPEND_AT_PART : APPEND_AT_MESSAGE;
	}
	return APPEND_AT_MESSAGE;
}

enum parse
parse_append_element(struct slice *cur, struct arena *arena, enum append_place *place, struct append_element *out)
{
	struct slice	s = *cur;
	enum parse	r = PARSE_BAD;

	*out = (struct append_element){0};
	switch (*place) {
	case APPEND_AT_HEAD:
		r = parse_head(&s, arena, out);
		break;
	case APPEND_AT_MESSAGE:
		r = parse_message(&s, arena, out);
		break;
	case APPEND_AT_FIRST_PART:
	case APPEND_AT_PART:
		r = parse_part(&s, arena, *place == APPEND_AT_FIRST_PART, out);
		break;
	case APPEND_AT_UTF8_END:
	case APPEND_AT_UTF8_PART_END:
		out->kind = ELEMENT_UTF8_CLOSE;
		r = parse_byte(&s, ')');
		break;
	}
	if (r != PARSE_OK)
		return PARSE_BAD;
	*place = place_after(*place, out);
	*cur = s;
	return PARSE_OK;
}
