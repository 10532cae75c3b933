/*
 * Object identifiers as text: a letter and the id in lower-case hexadecimal. Called wherever an id is told or asked for.
 * Never shows an id in two spellings. RFC 8474 7 and 8.1.
 */
#include "imap/objectid.h"

static const char	digits[] = "0123456789abcdef";

const char *
objectid_text(char kind, const unsigned char *id, char text[OBJECTID_TEXT_BYTES])
{
	size_t	n = 0;

	text[n++] = kind;
	for (size_t i = 0; i < RECORD_ID_BYTES; i++) {
		text[n++] = digits[id[i] >> 4];
		text[n++] = digits[id[i] & 15];
	}
	text[n] = '\0';
	return text;
}

bool
objectid_is(struct slice text, char kind, const unsigned char *id)
{
	char	own[OBJECTID_TEXT_BYTES];

	return slice_is(text, slice_of(objectid_text(kind, id, own)));
}

static bool
is_objectid_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* objectid = 1*255(ALPHA / DIGIT / "_" / "-") */
enum parse
parse_objectid(struct slice *cur, struct slice *out)
{
	size_t	n = 0;

	while (n < cur->n && is_objectid_char(cur->p[n]))
		n++;
	if (n == 0 || n > OBJECTID_MAX_BYTES)
		return PARSE_BAD;
	*out = (struct slice){cur->p, n};
	*cur = (struct slice){cur->p + n, cur->n - n};
	return PARSE_OK;
}
