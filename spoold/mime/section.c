/*
 * The part that an IMAP section's numbers name (RFC 3501 6.4.5). Called by IMAP's FETCH. Numbers count the
 * parts of a multipart; a message that is no multipart is its own part 1; a message/rfc822 part's
 * numbers go on in the message inside it.
 */
#include "mime/mime.h"

/* Part k of a message (the whole one, or one inside message/rfc822) or of a multipart. */
static struct mime_part *
part_of(struct mime_part *p, uint32_t k)
{
	if (p->kind != MIME_MULTIPART)
		return k == 1 ? p : NULL;
	for (p = p->child; p != NULL && k > 1; p = p->next)
		k--;
	return k == 0 ? NULL : p;
}

struct mime_part *
mime_section(struct mime_part *root, const uint32_t *numbers, size_t n)
{
	struct mime_part *p = root;
	size_t i;

	for (i = 0; i < n && p != NULL; i++) {
		if (i > 0 && p->kind == MIME_LEAF)
			return NULL;
		p = part_of(i > 0 && p->kind == MIME_MESSAGE ? p->child : p, numbers[i]);
	}
	return p;
}
