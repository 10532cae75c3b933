/*
 * How a part's text is to be decoded, and the order of parts. Called by contains.c, preview.c and binary.c. Pure; never
 * looks at a body. RFC 2045 5 and 6.
 */
#include "mime/leaf.h"

#include "mime/header.h"

struct slice
leaf_encoding(struct slice header)
{
	struct slice value, rest;

	return mime_header_get(header, "content-transfer-encoding", &value) ? param_token(value, &rest) : SLICE("");
}

bool
leaf_can_decode(struct slice encoding)
{
	static const char *const known[] = {"", "7bit", "8bit", "binary", "base64", "quoted-printable"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (slice_is_nocase(encoding, slice_of(known[i])))
			return true;
	return false;
}

const struct charset *
leaf_charset(const struct content *c)
{
	struct text t = param_get(c->rest, "charset");
	char name[CHARSET_NAME_MAX_BYTES];
	size_t n = 0;
	int b;

	while ((b = text_next(&t)) != -1 && n < sizeof(name))
		name[n++] = (char)b;
	return charset_find((struct slice){name, n});
}

const struct mime_part *
part_after(const struct mime_part *p)
{
	if (p->child != NULL)
		return p->child;
	while (p != NULL && p->next == NULL)
		p = p->parent;
	return p == NULL ? NULL : p->next;
}
