/*
 * A message's first words (RFC 8970 3.3). Called by IMAP's FETCH PREVIEW. The first text parts are decoded in pieces until there
 * are enough characters, at most PREVIEW_INPUT_MAX_BYTES of them in all: how large the message is, or how much of it is
 * markup, costs nothing more. Characters that nobody sees, or that would turn the text around them, are left out.
 */
#include <utf8proc.h>

#include "mime/header.h"
#include "mime/html.h"
#include "mime/leaf.h"
#include "mime/mime.h"

#define PREVIEW_INPUT_MAX_BYTES	(256 * 1024)	/* of bodies, encoded: a newsletter has 100 KiB of style before its first word */
#define PREVIEW_PIECE_BYTES	4096

struct preview {
	struct fold	 fold;		/* first: what it puts is looked at */
	struct html	 html;
	bool		 is_html;
	struct buf	*out;
	size_t		 nchars;
	bool		 has_space;	/* white space came since */
	bool		 is_full;	/* enough, or out is */
	int		 fault;
};

static bool
is_white(int32_t c)
{
	return c <= ' ' || (c >= 0x7f && c <= 0xa0) || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	    c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Without width, used to pad previews; marks of direction (they would go on after the text); tags and noncharacters. */
static bool
is_invisible(int32_t c)
{
	return c == 0xad || c == 0x34f || c == 0x61c || c == 0x180e || c == 0x200b || c == 0x200e || c == 0x200f ||
	    (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	    (c >= 0xe0000 && c <= 0xe0fff) || (c & 0xfffe) == 0xfffe;
}

static void
char_add(struct preview *p, int32_t c)
{
	utf8proc_uint8_t bytes[4];

	if (buf_add(p->out, bytes, (size_t)utf8proc_encode_char(c, bytes)) != 0) {
		p->fault = -1;
		p->is_full = true;
	}
	p->nchars++;
}

/* A character of the text. */
static void
text_char(struct preview *p, int32_t c)
{
	bool is_joiner = c == 0x200c || c == 0x200d;

	if (p->is_full || is_invisible(c) || (is_joiner && (p->has_space || p->nchars == 0)))
		return;
	if (is_white(c)) {
		p->has_space = p->nchars > 0;
		return;
	}
	if (p->nchars + p->has_space + 1 > MIME_PREVIEW_MAX_CHARS) {
		p->is_full = true;
		return;
	}
	if (p->has_space)
		char_add(p, ' ');
	p->has_space = false;
	char_add(p, c);
}

static void
chars_add(struct preview *p, const int32_t *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		text_char(p, c[i]);
}

/* A character of the part. */
static void
part_char(struct preview *p, int32_t c)
{
	int32_t out[HTML_OUT_MAX];

	if (p->is_html)
		chars_add(p, out, html_next(&p->html, c, out));
	else
		text_char(p, c);
}

static void
part_end(struct preview *p)
{
	int32_t out[HTML_OUT_MAX];

	fold_end(&p->fold);
	chars_add(p, out, html_end(&p->html, out));
}

static void
preview_put(struct fold *f, struct slice s)
{
	struct preview *p = (struct preview *)f;

	for (size_t i = 0; i < s.n && !p->is_full;) {
		utf8proc_int32_t c;
		utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s.p + i, (utf8proc_ssize_t)(s.n - i), &c);

		if (n <= 0)
			break;
		part_char(p, c);
		i += (size_t)n;
	}
}

/* Decodes what is needed of a body; how much of it that was. */
static size_t
body_preview(struct preview *p, struct slice body, struct decode d, const struct charset *charset)
{
	char out[PREVIEW_PIECE_BYTES + sizeof(d.held)];
	struct convert cv = convert_make(charset);
	size_t at = 0;

	while (at < body.n && !p->is_full) {
		struct slice piece = {body.p + at, body.n - at < PREVIEW_PIECE_BYTES ? body.n - at : PREVIEW_PIECE_BYTES};

		convert_feed(&cv, (struct slice){out, decode_feed(&d, piece, out)}, &p->fold);
		at += piece.n;
	}
	convert_feed(&cv, (struct slice){out, decode_end(&d, out)}, &p->fold);
	convert_end(&cv, &p->fold);
	part_end(p);
	return at;
}

static bool
is_attachment(struct slice header)
{
	struct slice value, rest;

	return mime_header_get(header, "content-disposition", &value) && slice_is_nocase(param_token(value, &rest), SLICE("attachment"));
}

/* What one part has to say, if it is text; how many bytes of it were read. */
static size_t
leaf_preview(struct preview *p, struct slice msg, const struct mime_part *part, size_t most)
{
	struct slice header = header_range(msg, part->header_at, part->header_bytes);
	struct slice body = header_range(msg, part->body_at, part->body_bytes), encoding = leaf_encoding(header);
	struct content c = content_type(header, false);

	p->is_html = content_is(&c, "text", "html");
	if ((!p->is_html && !content_is(&c, "text", "plain")) || is_attachment(header) || !leaf_can_decode(encoding))
		return 0;
	p->fold = (struct fold){.put = preview_put, .is_plain = true};
	p->html = (struct html){0};
	p->has_space = false;
	if (body.n > most)
		body.n = most;
	return body_preview(p, body, decode_make(encoding), leaf_charset(&c));
}

int
mime_preview(struct slice message, const struct mime_part *root, struct buf *out)
{
	struct preview p = {.out = out};
	size_t left = PREVIEW_INPUT_MAX_BYTES;

	for (const struct mime_part *part = root; part != NULL && left > 0 && p.nchars == 0; part = part_after(part))
		if (part->kind == MIME_LEAF)
			left -= leaf_preview(&p, message, part, left);
	return p.fault;
}
