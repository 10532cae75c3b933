/*
 * Takes the tags out of HTML. Called by preview.c. A few bytes of state, each character looked at once, no tree: what
 * nobody closed hides the rest at worst. Nothing is fetched, run or believed; what comes out is text and goes nowhere as HTML.
 * The WHATWG standard's tokenizer (13.2.5), as far as text needs it.
 */
#include "mime/html.h"

#include <string.h>

/*
 *	TEXT --<--> OPEN --letter--> NAME --space--> TAG <--quote--> QUOTE
 *	 ^            |               |               |
 *	 |            !               >               >
 *	 |            v               v               |
 *	 |           BANG --"--"--> COMMENT           |
 *	 +------------+---------------+---------------+
 *	TEXT --&--> ENTITY --;--> TEXT
 */

static bool
is_letter(int32_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_space(int32_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

static bool
name_is(const struct html *h, const char *name)
{
	return strlen(name) == h->nname && memcmp(name, h->name, h->nname) == 0;
}

/* Is the name one of a list of words? */
static bool
name_is_in(const struct html *h, const char *const *words)
{
	for (; *words != NULL && !h->is_long; words++)
		if (name_is(h, *words))
			return true;
	return false;
}

static void
name_begin(struct html *h)
{
	h->nname = 0;
	h->is_long = false;
}

static void
name_add(struct html *h, int32_t c)
{
	if (h->nname == sizeof(h->name) || c >= 0x80)
		h->is_long = true;
	else
		h->name[h->nname++] = (char)c;
}

static int32_t
lower_of(int32_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool
is_hidden_name(const struct html *h)
{
	return h->is_close && !h->is_long && h->nname == h->nhidden && memcmp(h->name, h->hidden, h->nname) == 0;
}

/* A tag ended. Elements that are no text hide what is in them; most tags part words, those of letters do not. */
static size_t
tag_end(struct html *h, int32_t *out)
{
	static const char *const hiding[] = {"script", "style", "template", "title", NULL};
	static const char *const joining[] = {"a", "abbr", "b", "big", "code", "em", "font", "i", "small", "span", "strike",
	    "strong", "sub", "sup", "tt", "u", "wbr", NULL};

	h->state = HTML_TEXT;
	if (h->nhidden > 0) {
		h->nhidden = 0;		/* no other tag is looked at in it */
		return 0;
	}
	if (!h->is_close && name_is_in(h, hiding)) {
		memcpy(h->hidden, h->name, h->nname);
		h->nhidden = h->nname;
	}
	if (name_is_in(h, joining))
		return 0;
	out[0] = ' ';
	return 1;
}

/* "#233" or "#xe9"; 0: none that can be shown. */
static int32_t
number_of(const struct html *h)
{
	bool is_hex = h->nname > 1 && lower_of(h->name[1]) == 'x';
	int32_t v = 0;

	for (size_t i = is_hex ? 2 : 1; i < h->nname; i++) {
		int32_t c = lower_of(h->name[i]);
		int32_t digit = c >= '0' && c <= '9' ? c - '0' : is_hex && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			return 0;
		v = v * (is_hex ? 16 : 10) + digit;
		if (v > 0x10ffff)
			return 0;
	}
	return v >= 0xd800 && v <= 0xdfff ? 0 : v;
}

/* Of U+00A0 to U+00FF, in their order (HTML 4 24.2). */
static const char *const latin[] = {
	"nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not", "shy", "reg", "macr",
	"deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1", "ordm", "raquo", "frac14", "frac12",
	"frac34", "iquest", "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc",
	"Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH", "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash",
	"Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN", "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring",
	"aelig", "ccedil", "egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde", "ograve",
	"oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
};

/* Others that mail has. */
static const struct { const char *name; int32_t c; } entities[] = {
	{"amp", '&'}, {"apos", '\''}, {"bull", 0x2022}, {"euro", 0x20ac}, {"gt", '>'}, {"hellip", 0x2026}, {"ldquo", 0x201c},
	{"bdquo", 0x201e}, {"lsquo", 0x2018}, {"lt", '<'}, {"mdash", 0x2014}, {"ndash", 0x2013}, {"quot", '"'}, {"rdquo", 0x201d},
	{"rsquo", 0x2019}, {"trade", 0x2122}, {"zwj", 0x200d}, {"zwnj", 0x200c},
};

/* 0: not one of those known. */
static int32_t
entity_of(const struct html *h)
{
	if (h->is_long || h->nname == 0)
		return 0;
	if (h->name[0] == '#')
		return number_of(h);
	for (size_t i = 0; i < sizeof(latin) / sizeof(latin[0]); i++)
		if (name_is(h, latin[i]))
			return (int32_t)(0xa0 + i);
	for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++)
		if (name_is(h, entities[i].name))
			return entities[i].c;
	return 0;
}

/* What "&name" was: a character, or text as it stands. */
static size_t
entity_end(struct html *h, bool has_semicolon, int32_t *out)
{
	int32_t c = entity_of(h);
	size_t n = 0;

	h->state = HTML_TEXT;
	if (h->nhidden > 0)
		return 0;
	if (c != 0) {
		out[0] = c;
		return 1;
	}
	out[n++] = '&';
	for (size_t i = 0; i < h->nname; i++)
		out[n++] = h->name[i];
	if (has_semicolon)
		out[n++] = ';';
	return n;
}

static size_t
text_next_char(struct html *h, int32_t c, int32_t *out)
{
	if (c == '<') {
		h->state = HTML_OPEN;
		h->is_close = false;
		name_begin(h);
		return 0;
	}
	if (h->nhidden > 0)
		return 0;
	if (c == '&') {
		h->state = HTML_ENTITY;
		name_begin(h);
		return 0;
	}
	out[0] = c;
	return 1;
}

/* After "<" or "</". A "<" before anything that is no name is text. */
static size_t
open_next(struct html *h, int32_t c, int32_t *out)
{
	size_t n = 0;

	if (c == '/' && !h->is_close) {
		h->is_close = true;
		return 0;
	}
	if (is_letter(c) && (h->is_close || h->nhidden == 0)) {
		h->state = HTML_NAME;
		name_add(h, lower_of(c));
		return 0;
	}
	if (!h->is_close && h->nhidden == 0 && (c == '!' || c == '?')) {
		h->state = HTML_BANG;
		h->ndashes = 0;
		return 0;
	}
	h->state = HTML_TEXT;
	if (h->nhidden == 0) {
		out[n++] = '<';
		if (h->is_close)
			out[n++] = '/';
	}
	return n + text_next_char(h, c, out + n);
}

static size_t
tag_next(struct html *h, int32_t c, int32_t *out)
{
	bool is_name = h->state == HTML_NAME && !is_space(c) && c != '/' && c != '>' && c != '"' && c != '\'';

	if (is_name) {
		name_add(h, lower_of(c));
		return 0;
	}
	if (h->nhidden > 0 && h->state == HTML_NAME && !is_hidden_name(h)) {
		h->state = HTML_TEXT;
		return text_next_char(h, c, out);
	}
	if (c == '>')
		return tag_end(h, out);
	if (c == '"' || c == '\'') {
		h->state = HTML_QUOTE;
		h->quote = c;
	} else {
		h->state = HTML_TAG;
	}
	return 0;
}

/* After "<!": a comment after two dashes, else up to ">". */
static void
bang_next(struct html *h, int32_t c)
{
	if (c == '>')
		h->state = HTML_TEXT;
	else if (c != '-' || h->ndashes > 2)
		h->ndashes = 3;		/* no comment any more */
	else if (++h->ndashes == 2)
		h->state = HTML_COMMENT;
}

static void
comment_next(struct html *h, int32_t c)
{
	if (c == '>' && h->ndashes >= 2)
		h->state = HTML_TEXT;
	h->ndashes = c == '-' ? (h->ndashes < 2 ? h->ndashes + 1 : 2) : 0;
}

static size_t
entity_next(struct html *h, int32_t c, int32_t *out)
{
	size_t n;

	if (!h->is_long && h->nname < sizeof(h->name) && (is_letter(c) || (c >= '0' && c <= '9') || (c == '#' && h->nname == 0))) {
		name_add(h, c);
		return 0;
	}
	n = entity_end(h, c == ';', out);
	return c == ';' ? n : n + text_next_char(h, c, out + n);
}

size_t
html_next(struct html *h, int32_t c, int32_t out[HTML_OUT_MAX])
{
	switch (h->state) {
	case HTML_TEXT:
		return text_next_char(h, c, out);
	case HTML_OPEN:
		return open_next(h, c, out);
	case HTML_NAME:
	case HTML_TAG:
		return tag_next(h, c, out);
	case HTML_QUOTE:
		if (c == h->quote)
			h->state = HTML_TAG;
		return 0;
	case HTML_BANG:
		bang_next(h, c);
		return 0;
	case HTML_COMMENT:
		comment_next(h, c);
		return 0;
	case HTML_ENTITY:
		return entity_next(h, c, out);
	}
	return 0;
}

size_t
html_end(struct html *h, int32_t out[HTML_OUT_MAX])
{
	return h->state == HTML_ENTITY ? entity_end(h, false, out) : 0;
}
