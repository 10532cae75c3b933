/*
 * Parses IMAP URLs; called by catenate.c and the fuzzer. Pure. Other servers, other users, relative paths and searches are
 * refused: nothing in here ever leaves the session's own mailboxes. RFC 5092 section 11.
 */
#include "imap/url.h"

/* uchar = unreserved / sub-delims-sh / pct-encoded ; bchar = uchar / "&" / "=" / ":" / "@" / "/" */
static bool
is_bchar(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("-._~!$'()*+,%&=:@/", c) != NULL);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* pct-encoded = "%" HEXDIG HEXDIG undone, into the arena; a NUL is refused. */
static enum parse
decode(struct slice in, struct arena *arena, struct slice *out)
{
	char	*to = ARENA_NEW(arena, char, in.n + 1);
	size_t	 n = 0;

	if (to == NULL)
		return PARSE_BAD;
	for (size_t i = 0; i < in.n; i++) {
		int	hi, lo;

		if (in.p[i] != '%') {
			to[n++] = in.p[i];
			continue;
		}
		if (in.n - i < 3 || (hi = hex_value(in.p[i + 1])) < 0 || (lo = hex_value(in.p[i + 2])) < 0 || hi + lo == 0)
			return PARSE_BAD;
		to[n++] = (char)(hi << 4 | lo);
		i += 2;
	}
	*out = (struct slice){to, n};
	return PARSE_OK;
}

/* 1*bchar, but not the "/" before a ";" that begins a parameter. */
static enum parse
parse_bchars(struct slice *cur, struct slice *out)
{
	size_t	n = 0;

	while (n < cur->n && is_bchar(cur->p[n]))
		n++;
	if (n > 0 && n < cur->n && cur->p[n] == ';' && cur->p[n - 1] == '/')
		n--;
	if (n == 0)
		return PARSE_BAD;
	*out = (struct slice){cur->p, n};
	*cur = (struct slice){cur->p + n, cur->n - n};
	return PARSE_OK;
}

/* name in any case; it ends in "=" */
static enum parse
parse_name(struct slice *cur, const char *name)
{
	size_t	n = strlen(name);

	if (cur->n < n || strncasecmp(cur->p, name, n) != 0)
		return PARSE_BAD;
	*cur = (struct slice){cur->p + n, cur->n - n};
	return PARSE_OK;
}

/* isection-only = ";SECTION=" enc-section ; its decoded text is a section-spec */
static enum parse
parse_url_section(struct slice *cur, struct arena *arena, struct section *out)
{
	struct slice	enc, spec, cur_spec;
	char		*brackets;

	if (parse_bchars(cur, &enc) != PARSE_OK || decode(enc, arena, &spec) != PARSE_OK ||
	    (brackets = ARENA_NEW(arena, char, spec.n + 2)) == NULL)
		return PARSE_BAD;
	brackets[0] = '[';
	memcpy(brackets + 1, spec.p, spec.n);
	brackets[spec.n + 1] = ']';
	cur_spec = (struct slice){brackets, spec.n + 2};
	return parse_section(&cur_spec, arena, out) == PARSE_OK ? parse_end(&cur_spec) : PARSE_BAD;
}

/* ipartial-only = ";PARTIAL=" number ["." nz-number] */
static enum parse
parse_url_partial(struct slice *cur, struct imap_url *out)
{
	out->is_partial = true;
	if (parse_number(cur, &out->at) != PARSE_OK)
		return PARSE_BAD;
	return parse_byte(cur, '.') == PARSE_OK ? parse_nz_number(cur, &out->n) : PARSE_OK;
}

/* iabsolute-path = "/" imailbox-ref iuid [isection] [ipartial] ; imailbox-ref = enc-mailbox [";UIDVALIDITY=" nz-number] */
enum parse
parse_url(struct slice text, struct arena *arena, struct imap_url *out)
{
	struct slice	mailbox;

	*out = (struct imap_url){.section.text = SECTION_ALL};
	if (text.n > IMAP_URL_MAX_BYTES || parse_byte(&text, '/') != PARSE_OK || text.n == 0 || text.p[0] == '/' ||
	    parse_bchars(&text, &mailbox) != PARSE_OK || decode(mailbox, arena, &out->mailbox) != PARSE_OK)
		return PARSE_BAD;
	if (parse_name(&text, ";UIDVALIDITY=") == PARSE_OK && parse_nz_number(&text, &out->uidvalidity) != PARSE_OK)
		return PARSE_BAD;
	if (parse_name(&text, "/;UID=") != PARSE_OK || parse_nz_number(&text, &out->uid) != PARSE_OK)
		return PARSE_BAD;
	if (parse_name(&text, "/;SECTION=") == PARSE_OK && parse_url_section(&text, arena, &out->section) != PARSE_OK)
		return PARSE_BAD;
	if (parse_name(&text, "/;PARTIAL=") == PARSE_OK && parse_url_partial(&text, out) != PARSE_OK)
		return PARSE_BAD;
	return parse_end(&text);
}
