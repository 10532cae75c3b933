/*
 * A part without its Content-Transfer-Encoding (RFC 3516). Called by IMAP's FETCH BINARY, which goes through a part twice: for the
 * size, that stands before the bytes, and for the bytes. Pure, a piece at a time: a decoded part is never in memory.
 */
#include "mime/header.h"
#include "mime/leaf.h"
#include "mime/mime.h"

bool
mime_binary_make(struct slice message, const struct mime_part *part, struct mime_binary *out)
{
	struct slice encoding = leaf_encoding(header_range(message, part->header_at, part->header_bytes));

	*out = (struct mime_binary){.at = part->body_at, .left = part->body_bytes};
	/* What has parts is not encoded itself (RFC 2045 6.4). */
	if (part->kind != MIME_LEAF)
		return true;
	out->decode = decode_make(encoding);
	return leaf_can_decode(encoding);
}

bool
mime_binary_is_plain(const struct mime_binary *b)
{
	return b->decode.kind == DECODE_NONE;
}

size_t
mime_binary_next(struct mime_binary *b, struct slice message, char out[MIME_BINARY_PIECE_BYTES])
{
	const size_t most = MIME_BINARY_PIECE_BYTES - sizeof(b->decode.held);
	size_t n = 0;

	while (n == 0 && b->left > 0) {
		size_t piece = b->left < most ? (size_t)b->left : most;

		n = decode_feed(&b->decode, header_range(message, b->at, piece), out);
		b->at += piece;
		b->left -= piece;
	}
	if (n == 0 && b->left == 0)
		n = decode_end(&b->decode, out);
	return n;
}
