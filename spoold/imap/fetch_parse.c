/*
 * Parses FETCH's arguments; called by fetch.c and the fuzzer. Pure. RFC 3501 section 9, RFC 4466 2.4, RFC 7162 7.
 */
#include "imap/fetch_parse.h"

/* header-list = "(" header-fld-name *(SP header-fld-name) ")" */
static enum parse
parse_header_list(struct slice *cur, struct arena *arena, struct section *out)
{
	if ((out->fields = ARENA_NEW(arena, struct slice, IMAP_FIELDS_MAX)) == NULL)
		return PARSE_BAD;
	if (parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	do {
		if (out->nfields == IMAP_FIELDS_MAX ||
		    parse_astring(cur, arena, &out->fields[out->nfields]) != PARSE_OK)
			return PARSE_BAD;
		out->nfields++;
	} while (parse_sp(cur) == PARSE_OK);
	return parse_byte(cur, ')');
}

/* section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT" ; section-text adds "MIME" */
static enum parse
parse_section_text(struct slice *cur, struct arena *arena, struct section *out)
{
	/* parse_atom takes the dots along; "]" ends it. */
	struct slice	word;

	if (parse_atom(cur, &word) != PARSE_OK)
		return PARSE_BAD;
	if (slice_is_nocase(word, SLICE("HEADER"))) {
		out->text = SECTION_HEADER;
		return PARSE_OK;
	}
	if (slice_is_nocase(word, SLICE("TEXT"))) {
		out->text = SECTION_TEXT;
		return PARSE_OK;
	}
	if (slice_is_nocase(word, SLICE("MIME")) && out->nnumbers > 0) {
		out->text = SECTION_MIME;
		return PARSE_OK;
	}
	if (slice_is_nocase(word, SLICE("HEADER.FIELDS")))
		out->text = SECTION_FIELDS;
	else if (slice_is_nocase(word, SLICE("HEADER.FIELDS.NOT")))
		out->text = SECTION_FIELDS_NOT;
	else
		return PARSE_BAD;
	return parse_sp(cur) == PARSE_OK ? parse_header_list(cur, arena, out) : PARSE_BAD;
}

/* section-spec = section-msgtext / (section-part ["." section-text]) ; section-part = nz-number *("." nz-number) */
static enum parse
parse_section_spec(struct slice *cur, struct arena *arena, struct section *out)
{
	if (cur->n == 0 || cur->p[0] < '0' || cur->p[0] > '9')
		return parse_section_text(cur, arena, out);
	if ((out->numbers = ARENA_NEW(arena, uint32_t, IMAP_SECTION_DEPTH_MAX)) == NULL)
		return PARSE_BAD;
	for (;;) {
		if (out->nnumbers == IMAP_SECTION_DEPTH_MAX ||
		    parse_nz_number(cur, &out->numbers[out->nnumbers]) != PARSE_OK)
			return PARSE_BAD;
		out->nnumbers++;
		if (parse_byte(cur, '.') != PARSE_OK)
			return PARSE_OK;
		if (cur->n == 0 || cur->p[0] < '0' || cur->p[0] > '9')
			return parse_section_text(cur, arena, out);
	}
}

enum parse
parse_section(struct slice *cur, struct arena *arena, struct section *out)
{
	struct slice	s = *cur;

	*out = (struct section){.text = SECTION_ALL};
	if (parse_byte(&s, '[') != PARSE_OK)
		return PARSE_BAD;
	if (parse_byte(&s, ']') != PARSE_OK) {
		if (parse_section_spec(&s, arena, out) != PARSE_OK || parse_byte(&s, ']') != PARSE_OK)
			return PARSE_BAD;
	}
	*cur = s;
	return PARSE_OK;
}

/* partial = "<" number64 "." nz-number64 ">" ; RFC 9051 9 */
static enum parse
parse_partial(struct slice *cur, struct fetch_item *item)
{
	if (parse_byte(cur, '<') != PARSE_OK)
		return PARSE_OK;
	item->is_partial = true;
	if (parse_number64(cur, &item->at) != PARSE_OK || parse_byte(cur, '.') != PARSE_OK || cur->n == 0 || cur->p[0] == '0' ||
	    parse_number64(cur, &item->n) != PARSE_OK)
		return PARSE_BAD;
	return parse_byte(cur, '>');
}

/* "BODY" ["STRUCTURE"] / "BODY" [".PEEK"] section ["<" number "." nz-number ">"] */
static enum parse
parse_body(struct slice *cur, struct arena *arena, struct fetch_item *item)
{
	struct slice	s = *cur;

	if (parse_word(cur, "BODYSTRUCTURE") == PARSE_OK) {
		item->kind = FETCH_BODYSTRUCTURE;
		return PARSE_OK;
	}
	if (parse_word(&s, "BODY.PEEK") == PARSE_OK)
		item->is_peek = true;
	else if (parse_word(&s, "BODY") != PARSE_OK)
		return PARSE_BAD;
	if (s.n > 0 && s.p[0] == '[') {
		item->kind = FETCH_SECTION;
		if (parse_section(&s, arena, &item->section) != PARSE_OK || parse_partial(&s, item) != PARSE_OK)
			return PARSE_BAD;
	} else if (item->is_peek) {
		return PARSE_BAD;
	} else {
		item->kind = FETCH_BODY;
	}
	*cur = s;
	return PARSE_OK;
}

/* "BINARY" [".PEEK"] section-binary [partial] / "BINARY.SIZE" section-binary ; section-binary = "[" [section-part] "]" (RFC 3516 7) */
static enum parse
parse_binary(struct slice *cur, struct arena *arena, struct fetch_item *item)
{
	struct slice	s = *cur;

	*item = (struct fetch_item){.kind = FETCH_BINARY};
	if (parse_word(&s, "BINARY.SIZE") == PARSE_OK) {
		item->kind = FETCH_BINARY_SIZE;
		item->is_peek = true;
	} else if (parse_word(&s, "BINARY.PEEK") == PARSE_OK) {
		item->is_peek = true;
	} else if (parse_word(&s, "BINARY") != PARSE_OK) {
		return PARSE_BAD;
	}
	if (parse_section(&s, arena, &item->section) != PARSE_OK || item->section.text != SECTION_ALL ||
	    (item->kind == FETCH_BINARY && parse_partial(&s, item) != PARSE_OK))
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* "PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"] ; preview-mod = "LAZY" (RFC 8970 6) */
static enum parse
parse_preview(struct slice *cur, struct fetch_item *item)
{
	struct slice	word = *cur, s;

	*item = (struct fetch_item){.kind = FETCH_PREVIEW};
	if (parse_word(&word, "PREVIEW") != PARSE_OK)
		return PARSE_BAD;
	s = word;
	if (parse_sp(&s) != PARSE_OK || parse_byte(&s, '(') != PARSE_OK) {
		*cur = word;
		return PARSE_OK;
	}
	do {
		if (parse_word(&s, "LAZY") != PARSE_OK)
			return PARSE_BAD;
		item->is_lazy = true;
	} while (parse_sp(&s) == PARSE_OK);
	if (parse_byte(&s, ')') != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* fetch-att */
static enum parse
parse_fetch_att(struct slice *cur, struct arena *arena, struct fetch_item *item)
{
	static const struct { const char *name; struct fetch_item item; } simple[] = {
		{"FLAGS", {.kind = FETCH_FLAGS}},
		{"UID", {.kind = FETCH_UID}},
		{"INTERNALDATE", {.kind = FETCH_INTERNALDATE}},
		{"RFC822.SIZE", {.kind = FETCH_SIZE}},
		{"MODSEQ", {.kind = FETCH_MODSEQ}},
		{"ENVELOPE", {.kind = FETCH_ENVELOPE}},
		{"SAVEDATE", {.kind = FETCH_SAVEDATE}},
		{"EMAILID", {.kind = FETCH_EMAILID}},
		{"THREADID", {.kind = FETCH_THREADID}},
		{"RFC822", {.kind = FETCH_RFC822, .section.text = SECTION_ALL}},
		{"RFC822.HEADER", {.kind = FETCH_RFC822_HEADER, .section.text = SECTION_HEADER, .is_peek = true}},
		{"RFC822.TEXT", {.kind = FETCH_RFC822_TEXT, .section.text = SECTION_TEXT}},
	};

	for (size_t i = 0; i < sizeof(simple) / sizeof(simple[0]); i++) {
		if (parse_word(cur, simple[i].name) == PARSE_OK) {
			*item = simple[i].item;
			return PARSE_OK;
		}
	}
	if (parse_preview(cur, item) == PARSE_OK || parse_binary(cur, arena, item) == PARSE_OK)
		return PARSE_OK;
	*item = (struct fetch_item){0};
	return parse_body(cur, arena, item);
}

static enum parse
parse_fetch_list(struct slice *cur, struct arena *arena, struct fetch_args *out)
{
	do {
		if (out->nitems == IMAP_FETCH_ITEMS_MAX ||
		    parse_fetch_att(cur, arena, &out->items[out->nitems]) != PARSE_OK)
			return PARSE_BAD;
		out->nitems++;
	} while (parse_sp(cur) == PARSE_OK);
	return parse_byte(cur, ')');
}

enum parse
parse_fetch_atts(struct slice *cur, struct arena *arena, struct fetch_args *out)
{
	struct slice	s = *cur;

	*out = (struct fetch_args){0};
	if (parse_byte(&s, '(') != PARSE_OK || parse_fetch_list(&s, arena, out) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* FAST = (FLAGS INTERNALDATE RFC822.SIZE), ALL adds ENVELOPE, FULL adds BODY */
static bool
parse_macro(struct slice *cur, struct fetch_args *out)
{
	static const enum fetch_kind	kinds[] = {
		FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE, FETCH_BODY,
	};
	static const struct { const char *name; size_t n; } macros[] = {{"FAST", 3}, {"ALL", 4}, {"FULL", 5}};

	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++) {
		if (parse_word(cur, macros[i].name) != PARSE_OK)
			continue;
		for (out->nitems = 0; out->nitems < macros[i].n; out->nitems++)
			out->items[out->nitems] = (struct fetch_item){.kind = kinds[out->nitems]};
		return true;
	}
	return false;
}

/*
 * fetch-modifier =/ "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" / "PARTIAL" SP partial-range; each at most once.
 * RFC 7162 7, RFC 9394 4
 */
static enum parse
parse_fetch_modifier(struct slice *cur, struct fetch_modifiers *out)
{
	if (!out->has_changedsince && parse_word(cur, "CHANGEDSINCE") == PARSE_OK) {
		out->has_changedsince = true;
		if (parse_sp(cur) != PARSE_OK)
			return PARSE_BAD;
		return parse_mod_sequence(cur, &out->changedsince);
	}
	if (!out->is_vanished && parse_word(cur, "VANISHED") == PARSE_OK) {
		out->is_vanished = true;
		return PARSE_OK;
	}
	if (out->is_partial || parse_word(cur, "PARTIAL") != PARSE_OK || parse_sp(cur) != PARSE_OK)
		return PARSE_BAD;
	out->is_partial = true;
	return parse_partial_range(cur, &out->partial);
}

/* [SP "(" fetch-modifier *(SP fetch-modifier) ")"]; RFC 4466 2.4 and 3 */
static enum parse
parse_fetch_modifiers(struct slice *cur, struct fetch_modifiers *out)
{
	*out = (struct fetch_modifiers){0};
	if (cur->n == 0)
		return PARSE_OK;
	if (parse_sp(cur) != PARSE_OK || parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	do {
		if (parse_fetch_modifier(cur, out) != PARSE_OK)
			return PARSE_BAD;
	} while (parse_sp(cur) == PARSE_OK);
	return parse_byte(cur, ')');
}

enum parse
parse_fetch_args(struct slice *cur, struct arena *arena, struct fetch_args *out)
{
	struct slice	s = *cur;

	out->nitems = 0;
	if (parse_sp(&s) != PARSE_OK || parse_sequence_set(&s, arena, &out->set) != PARSE_OK ||
	    parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	if (parse_byte(&s, '(') == PARSE_OK) {
		if (parse_fetch_list(&s, arena, out) != PARSE_OK)
			return PARSE_BAD;
	} else if (!parse_macro(&s, out)) {
		if (parse_fetch_att(&s, arena, &out->items[0]) != PARSE_OK)
			return PARSE_BAD;
		out->nitems = 1;
	}
	/* VANISHED: RFC 7162 3.2.6 */
	if (parse_fetch_modifiers(&s, &out->modifiers) != PARSE_OK || parse_end(&s) != PARSE_OK ||
	    (out->modifiers.is_vanished && !out->modifiers.has_changedsince))
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}
