/*
 * SEARCH's substring tests (RFC 3501 6.4.4) on decoded text: header values with their encoded words, and the text
 * parts of a message with their transfer encoding and charset undone. Called by IMAP's SEARCH. Text streams
 * through in pieces, so memory does not grow with the message, and a match may lie across any border of pieces. Parts
 * that are no text (images, archives) are not searched; their headers, with file names, are.
 */
#include "mime/header.h"
#include "mime/leaf.h"
#include "mime/mime.h"
#include "mime/word.h"

#define CONTAINS_PIECE_BYTES	4096

bool
mime_header_contains(struct slice raw_value, struct slice needle)
{
	struct match m = match_make(needle);
	bool is_found;

	word_feed(raw_value, &m.fold);
	fold_end(&m.fold);
	is_found = m.is_found;
	match_free(&m);
	return is_found;
}

/* Each field for itself: no match reaches from one into the next. */
static void
header_search(struct match *m, struct slice header)
{
	struct header_field f;

	while (!m->is_found && header_next(&header, &f)) {
		word_feed(f.raw, &m->fold);
		match_restart(m);
	}
}

static void
body_search(struct match *m, struct slice body, struct decode d, const struct charset *charset)
{
	char out[CONTAINS_PIECE_BYTES + sizeof(d.held)];
	struct convert cv = convert_make(charset);

	while (body.n > 0 && !m->is_found) {
		struct slice piece = {body.p, body.n < CONTAINS_PIECE_BYTES ? body.n : CONTAINS_PIECE_BYTES};

		convert_feed(&cv, (struct slice){out, decode_feed(&d, piece, out)}, &m->fold);
		body.p += piece.n;
		body.n -= piece.n;
	}
	convert_feed(&cv, (struct slice){out, decode_end(&d, out)}, &m->fold);
	convert_end(&cv, &m->fold);
	match_restart(m);
}

/* A leaf: text of any kind, reports (message/delivery-status), and a multipart without parts. */
static void
leaf_search(struct match *m, struct slice msg, const struct mime_part *p)
{
	struct slice header = header_range(msg, p->header_at, p->header_bytes);
	struct content c = content_type(header, false);

	if (!content_is(&c, "text", NULL) && !content_is(&c, "message", NULL) && !content_is(&c, "multipart", NULL))
		return;
	body_search(m, header_range(msg, p->body_at, p->body_bytes), decode_make(leaf_encoding(header)), leaf_charset(&c));
}

bool
mime_text_contains(struct slice message, const struct mime_part *root, struct slice needle, bool with_headers)
{
	struct match m = match_make(needle);
	const struct mime_part *p;
	bool is_found;

	for (p = root; p != NULL && !m.is_found; p = part_after(p)) {
		if (with_headers || p != root)
			header_search(&m, header_range(message, p->header_at, p->header_bytes));
		if (p->kind == MIME_LEAF && !m.is_found)
			leaf_search(&m, message, p);
	}
	is_found = m.is_found;
	match_free(&m);
	return is_found;
}
