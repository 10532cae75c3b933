/*
 * RFC 5322 headers and MIME structure of a message in memory. Pure: no I/O. Linear in the size of
 * the message whatever it contains; nesting and part counts are bounded by named limits, past which the
 * rest counts as one text/plain or application/octet-stream leaf (the output stays valid grammar).
 */
#ifndef TS_MIME_H
#define TS_MIME_H

#include "arena.h"
#include "buf.h"
#include "mime/decode.h"

#define MIME_DEPTH_MAX	100	/* nested parts */
#define MIME_PARTS_MAX	10000
#define MIME_ADDRESSES_MAX	100000	/* of one header field, told in an ENVELOPE */

/* Byte ranges are offsets into the message. */
struct mime_part {
	uint64_t	header_at, header_bytes;	/* header with its empty line; 0 bytes if it has none */
	uint64_t	body_at, body_bytes;		/* without the delimiter's CRLF */
	uint64_t	body_lines;
	enum { MIME_LEAF, MIME_MULTIPART, MIME_MESSAGE } kind;	/* MESSAGE: message/rfc822 or global, its one child the inner message */
	bool		is_global;	/* of a MESSAGE: message/global (RFC 6532 3.7) */
	struct mime_part *child, *next, *parent;
};

/*
 * Parses the structure; root in the arena, NULL past the arena's cap. The arena need not hold more than 2 MiB and the
 * message's headers, for ENVELOPE and BODYSTRUCTURE 8 times its headers.
 */
struct mime_part	*mime_parse(struct slice message, struct arena *);
/*
 * The part an IMAP section names ("1.2.3", RFC 3501 6.4.5, already split into numbers), NULL when there is none. n 0: the root.
 * A non-multipart root is its own part 1; below a message numbers go on into the inner message.
 */
struct mime_part	*mime_section(struct mime_part *root, const uint32_t *numbers, size_t n);

/* ENVELOPE's parenthesised list (RFC 3501 7.4.2). 0, or -1 when out or the arena is full. header: the raw header block. */
int	mime_envelope(struct slice header, struct arena *, struct buf *out);
/*
 * BODYSTRUCTURE, or BODY where !extended; every extension field is there when extended. is_rev2: a message/global is told with
 * what is in it (RFC 9051 7.5.2); for IMAP4rev1 it is a part like others. 0, or -1 as above.
 */
int	mime_bodystructure(struct slice message, const struct mime_part *root, bool extended, bool is_rev2, struct arena *,
	    struct buf *out);

/*
 * Header fields as raw lines: those named (or, is_not, all but those), in the order of the message, then an empty line. 0, or -1 when
 * out is full.
 */
int	mime_header_fields(struct slice header, const struct slice *names, size_t n, bool is_not, struct buf *out);
/*
 * The first field of that name: its raw value, outer white space and the CRLF at the end gone (still folded); false when there is
 * none. The value points into header: what follows it can be asked again for the next one.
 */
bool	mime_header_get(struct slice header, const char *name, struct slice *value_out);
/* Length of the header block at the start of message, its empty line included. */
uint64_t mime_header_bytes(struct slice message);
/*
 * A Date: value (RFC 5322 3.3, with obsolete forms) in seconds since the epoch, and the day in its own zone as days since the
 * epoch; false when unreadable.
 */
bool	mime_date(struct slice value, int64_t *utc_s_out, int64_t *local_day_out);
/* As SORT's sent date: an impossible time of a day that there is counts as 00:00:00 UTC (RFC 5256 2.2). */
bool	mime_sent_date(struct slice value, int64_t *utc_s_out);

/*
 * Does the decoded text hold needle (UTF-8, prepared by mime_fold)? Header values: RFC
 * 2047 words decoded; bodies: transfer encoding and charset (iconv) decoded, in bounded pieces.
 */
bool	mime_header_contains(struct slice raw_value, struct slice needle);
bool	mime_text_contains(struct slice message, const struct mime_part *root, struct slice needle, bool with_headers);
/*
 * PREVIEW's text (RFC 8970): from the first text parts that have some to say, plain or HTML, in UTF-8, at most
 * MIME_PREVIEW_MAX_CHARS characters, one space for white space of any kind and length, no control characters. Empty where there is
 * none. message may be a beginning of the message, root its structure. -1 when out is full.
 */
#define MIME_PREVIEW_MAX_CHARS	200	/* RFC 8970 3.3 */
int	mime_preview(struct slice message, const struct mime_part *root, struct buf *out);
/* A part's bytes without its transfer encoding (RFC 3516), in pieces. */
#define MIME_BINARY_PIECE_BYTES	16384
struct mime_binary {
	struct decode	 decode;
	uint64_t	 at, left;	/* of the message: what is still to be decoded */
};
/* False: its encoding cannot be undone. A part with parts in it is as it stands. */
bool	mime_binary_make(struct slice message, const struct mime_part *, struct mime_binary *out);
/* Nothing is encoded: the bytes are the message's from at on. */
bool	mime_binary_is_plain(const struct mime_binary *);
/* The next bytes; 0 at the end. */
size_t	mime_binary_next(struct mime_binary *, struct slice message, char out[MIME_BINARY_PIECE_BYTES]);
/*
 * Text in a charset (NULL: UTF-8) in titlecase and decomposed (i;unicode-casemap, RFC 5051 2), in UTF-8, in the arena; p NULL when
 * the charset is unknown, the text is not in it, or the arena is full.
 */
struct slice	mime_fold(struct slice text, const char *charset, struct arena *);
/*
 * A header value unfolded and its encoded words decoded, in UTF-8 but for what was 8-bit without a charset; in the arena, p
 * NULL when that is full.
 */
struct slice	mime_header_text(struct slice raw_value, struct arena *);
/*
 * UTF-8 so that memcmp of two orders them as RFC 5255 4.6 says: by i;unicode-casemap, and what is no UTF-8 behind all that is,
 * by i;octet. In the arena, p NULL when that is full. An empty text stays empty.
 */
struct slice	mime_collate(struct slice utf8, struct arena *);
/*
 * The base subject of a subject that mime_header_text decoded (RFC 5256 2.1), a piece of the copy made in the arena; p NULL
 * when that is full. *is_reply_out: a reply or a forward it is, by what was taken off. Linear.
 */
struct slice	mime_base_subject(struct slice text, struct arena *, bool *is_reply_out);
/*
 * The valid Message-IDs of a value, at most so many, in order: each packed as a pack_str, without quoting and brackets
 * ("left@right"). How many, or -1 when out is full.
 */
int	mime_message_ids(struct slice value, size_t most, struct buf *out);
/*
 * What THREAD knows of a message (RFC 5256 3): packed its own Message-ID, empty when it has no valid one, and those it refers to:
 * of References, or where that has none the first of In-Reply-To. 0, or -1 when out is full.
 */
int	mime_references(struct slice header, struct arena *, struct buf *out);
/* Is the charset known? (SEARCH CHARSET: NO [BADCHARSET]) */
bool	mime_charset_is_known(const char *charset);
/*
 * Loads the tables of all known charsets. Once at a worker's start, before its sandbox keeps iconv from its files; without it
 * they are loaded when first used, and a charset whose table cannot be read is unknown.
 */
void	mime_charset_preload(void);

#endif
