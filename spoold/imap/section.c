/*
 * Finds what a section names. Called by fetch.c. Part ranges come from the MIME parser; nothing is
 * copied but the fields of HEADER.FIELDS. RFC 3501 6.4.5.
 */
#include "imap/section.h"

#include "imap/quote.h"

static enum store_result
fields_pick(struct slice header, const struct section *s, struct buf *made, struct section_found *out)
{
	buf_clear(made);
	if (mime_header_fields(header, s->fields, s->nfields, s->text == SECTION_FIELDS_NOT, made) != 0)
		return STORE_LIMIT;
	out->kind = SECTION_IS_BYTES;
	out->bytes = buf_slice(made);
	return STORE_OK;
}

/* Sections of the message itself: no structure is needed. */
static enum store_result
section_of_message(struct content *b, const struct section *s, struct buf *made, struct section_found *out)
{
	enum store_result	r;
	struct slice		header;

	out->kind = SECTION_IS_RANGE;
	out->at = 0;
	out->n = b->m->size;
	if (s->text == SECTION_ALL)
		return STORE_OK;
	if ((r = content_header(b, &header)) != STORE_OK)
		return r;
	if (header.n > b->m->size)
		return STORE_DAMAGED;
	if (s->text == SECTION_TEXT) {
		out->at = header.n;
		out->n = b->m->size - header.n;
		return STORE_OK;
	}
	if (s->text == SECTION_HEADER) {
		out->kind = SECTION_IS_BYTES;
		out->bytes = header;
		return STORE_OK;
	}
	return fields_pick(header, s, made, out);
}

static void
range_set(struct section_found *out, uint64_t at, uint64_t n)
{
	out->kind = SECTION_IS_RANGE;
	out->at = at;
	out->n = n;
}

enum store_result
section_find(struct content *b, const struct section *s, struct buf *made, struct section_found *out)
{
	struct mime_part	*root, *part;
	enum store_result	 r;

	*out = (struct section_found){.kind = SECTION_IS_NIL};
	if (s->nnumbers == 0)
		return section_of_message(b, s, made, out);
	if ((r = content_parts(b, &root)) != STORE_OK)
		return r;
	if ((part = mime_section(root, s->numbers, s->nnumbers)) == NULL)
		return STORE_OK;
	if (s->text == SECTION_ALL) {
		range_set(out, part->body_at, part->body_bytes);
		return STORE_OK;
	}
	if (s->text == SECTION_MIME) {
		range_set(out, part->header_at, part->header_bytes);
		return STORE_OK;
	}
	/* HEADER and TEXT are of the message inside a message/rfc822 part; other parts have none. */
	if (part->kind != MIME_MESSAGE || (part = part->child) == NULL)
		return STORE_OK;
	if (s->text == SECTION_TEXT) {
		range_set(out, part->body_at, part->body_bytes);
		return STORE_OK;
	}
	if (s->text == SECTION_HEADER) {
		range_set(out, part->header_at, part->header_bytes);
		return STORE_OK;
	}
	return fields_pick((struct slice){b->bytes.p + part->header_at, (size_t)part->header_bytes}, s, made, out);
}

int
section_name_add(struct buf *b, const struct section *s)
{
	static const char *const	texts[] = {
		[SECTION_ALL] = "", [SECTION_HEADER] = "HEADER", [SECTION_FIELDS] = "HEADER.FIELDS",
		[SECTION_FIELDS_NOT] = "HEADER.FIELDS.NOT", [SECTION_TEXT] = "TEXT", [SECTION_MIME] = "MIME",
	};

	for (size_t i = 0; i < s->nnumbers; i++)
		if (buf_addf(b, "%s%u", i > 0 ? "." : "", s->numbers[i]) < 0)
			return -1;
	if (s->nnumbers > 0 && s->text != SECTION_ALL && buf_add(b, ".", 1) < 0)
		return -1;
	if (buf_add_str(b, texts[s->text]) < 0)
		return -1;
	for (size_t i = 0; i < s->nfields; i++)
		if (buf_add_str(b, i == 0 ? " (" : " ") < 0 || quote_astring(b, s->fields[i]) < 0)
			return -1;
	return s->nfields > 0 ? buf_add(b, ")", 1) : 0;
}
