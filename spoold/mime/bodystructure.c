/*
 * BODY and BODYSTRUCTURE (RFC 3501 7.4.2 and 9, RFC 9051 7.5.2): the parts that structure.c found, each with what
 * its header says. Called by IMAP's FETCH. Whatever the headers hold the output follows the grammar: every extension
 * field is there, no type is NIL, no multipart is without a part. Recursion is bounded by MIME_DEPTH_MAX.
 */
#include "mime/header.h"
#include "mime/mime.h"
#include "mime/param.h"

/* A part's header fields; p NULL where there is none. */
struct body_fields {
	struct slice	type, id, description, encoding, md5, disposition, language, location;
};

struct printer {
	struct slice	 msg;
	bool		 extended, is_rev2;
	struct arena	*arena;
	struct buf	*out;
};

static struct body_fields
fields_find(struct slice header)
{
	struct body_fields b = {.type.p = NULL};
	const struct {
		const char	*name;
		struct slice	*to;
	} wanted[] = {
		{"content-type", &b.type}, {"content-id", &b.id}, {"content-description", &b.description},
		{"content-transfer-encoding", &b.encoding}, {"content-md5", &b.md5}, {"content-disposition", &b.disposition},
		{"content-language", &b.language}, {"content-location", &b.location},
	};
	struct header_field f;
	size_t i;

	while (header_next(&header, &f)) {
		if (f.name.n < 10 || strncasecmp(f.name.p, "content-", 8) != 0)
			continue;
		for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			if (wanted[i].to->p == NULL && slice_is_nocase(f.name, slice_of(wanted[i].name)))
				*wanted[i].to = f.value;
	}
	return b;
}

static int
puts_out(struct printer *pr, const char *s)
{
	return buf_add_str(pr->out, s);
}

/* nstring after a space: the value as it stands, unfolded; NIL where there is no such field. */
static int
nstring_put(struct printer *pr, struct slice value)
{
	if (value.p == NULL)
		return puts_out(pr, " NIL");
	return puts_out(pr, " ") == -1 ? -1 : text_put(pr->out, text_make(TEXT_UNFOLD, value));
}

/* body-fld-dsp = "(" string SP body-fld-param ")" / nil (RFC 2183) */
static int
disposition_put(struct printer *pr, struct slice value)
{
	struct slice type, params;

	if (value.p == NULL || (type = param_token(value, &params)).n == 0)
		return puts_out(pr, " NIL");
	if (puts_out(pr, " (") == -1 || text_put_upper(pr->out, type) == -1 || puts_out(pr, " ") == -1)
		return -1;
	return param_put(params, pr->arena, pr->out) == -1 ? -1 : puts_out(pr, ")");
}

/* body-fld-lang = nstring / "(" string *(SP string) ")": the tags of RFC 3282, at most PARAMS_MAX. */
static int
language_put(struct printer *pr, struct slice value)
{
	size_t n = 0, begin;
	struct slice tag;

	if (puts_out(pr, " ") == -1)
		return -1;
	begin = pr->out->n;
	while (value.n > 0 && n < PARAMS_MAX) {
		const char *comma = memchr(value.p, ',', value.n);

		tag = (struct slice){value.p, comma == NULL ? value.n : (size_t)(comma - value.p)};
		value = comma == NULL ? SLICE("") : (struct slice){comma + 1, value.n - tag.n - 1};
		if (text_is_empty(text_make(TEXT_TIGHT, tag)))
			continue;
		if (puts_out(pr, n++ == 0 ? "(" : " ") == -1 || text_put(pr->out, text_make(TEXT_TIGHT, tag)) == -1)
			return -1;
	}
	return puts_out(pr, pr->out->n == begin ? "NIL" : ")");
}

/* body-fld-dsp SP body-fld-lang SP body-fld-loc, each after a space */
static int
extension_put(struct printer *pr, const struct body_fields *b)
{
	if (disposition_put(pr, b->disposition) == -1 || language_put(pr, b->language) == -1)
		return -1;
	if (b->location.p == NULL)
		return puts_out(pr, " NIL");
	/* RFC 2557 4.4.2: white space in it came from folding */
	return puts_out(pr, " ") == -1 ? -1 : text_put(pr->out, text_make(TEXT_TIGHT, b->location));
}

/* media-basic / media-text / media-message and body-fld-param */
static int
media_put(struct printer *pr, const struct content *c)
{
	if (text_put_upper(pr->out, c->type) == -1 || puts_out(pr, " ") == -1 || text_put_upper(pr->out, c->subtype) == -1)
		return -1;
	if (c->is_default && content_is(c, "text", NULL))
		return puts_out(pr, " (\"CHARSET\" \"US-ASCII\")");
	return puts_out(pr, " ") == -1 ? -1 : param_put(c->rest, pr->arena, pr->out);
}

/* body-fields after body-fld-param: id, description, encoding, octets */
static int
fields_put(struct printer *pr, const struct mime_part *p, const struct body_fields *b)
{
	struct slice rest, encoding = SLICE("");

	if (b->encoding.p != NULL)
		encoding = param_token(b->encoding, &rest);
	if (encoding.n == 0)
		encoding = SLICE("7BIT");
	if (nstring_put(pr, b->id) == -1 || nstring_put(pr, b->description) == -1 || puts_out(pr, " ") == -1)
		return -1;
	if (text_put_upper(pr->out, encoding) == -1)
		return -1;
	return buf_addf(pr->out, " %llu", (unsigned long long)p->body_bytes);
}

/*
 * What a leaf is told as: a multipart without parts is text, a message that was not looked into is bytes. A message/global
 * is a message for IMAP4rev2 alone (RFC 9051 9, media-message).
 */
static struct content
leaf_content(const struct printer *pr, const struct content *c)
{
	if (content_is(c, "multipart", NULL))
		return (struct content){SLICE("text"), SLICE("plain"), SLICE(""), true};
	if (content_is(c, "message", "rfc822") || (pr->is_rev2 && content_is(c, "message", "global")))
		return (struct content){SLICE("application"), SLICE("octet-stream"), SLICE(""), false};
	return *c;
}

static struct slice
header_of(const struct printer *pr, const struct mime_part *p)
{
	return header_range(pr->msg, p->header_at, p->header_bytes);
}

static int	body_put(struct printer *, const struct mime_part *, bool);

/* body-type-1part of a part that is a message: its envelope, body and lines stand between. */
static int
message_put(struct printer *pr, const struct mime_part *p)
{
	if (puts_out(pr, " ") == -1 || mime_envelope(header_of(pr, p->child), pr->arena, pr->out) == -1)
		return -1;
	return puts_out(pr, " ") == -1 ? -1 : body_put(pr, p->child, false);
}

/* body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart] */
static int
multipart_put(struct printer *pr, const struct mime_part *p, const struct content *c, const struct body_fields *b)
{
	bool is_digest = content_is(c, "multipart", "digest");
	const struct mime_part *child;

	for (child = p->child; child != NULL; child = child->next)
		if (body_put(pr, child, is_digest) == -1)
			return -1;
	if (puts_out(pr, " ") == -1 || text_put_upper(pr->out, c->subtype) == -1)
		return -1;
	if (!pr->extended)
		return 0;
	if (puts_out(pr, " ") == -1 || param_put(c->rest, pr->arena, pr->out) == -1)
		return -1;
	return extension_put(pr, b);
}

/* body = "(" (body-type-1part / body-type-mpart) ")" */
static int
body_put(struct printer *pr, const struct mime_part *p, bool in_digest)
{
	struct body_fields b = fields_find(header_of(pr, p));
	struct content c = content_type_parse(b.type, in_digest);
	bool is_message = p->kind == MIME_MESSAGE && (pr->is_rev2 || !p->is_global);

	if (puts_out(pr, "(") == -1)
		return -1;
	if (p->kind == MIME_MULTIPART)
		return multipart_put(pr, p, &c, &b) == -1 ? -1 : puts_out(pr, ")");
	if (p->kind == MIME_LEAF)
		c = leaf_content(pr, &c);
	if (media_put(pr, &c) == -1 || fields_put(pr, p, &b) == -1)
		return -1;
	if (is_message && message_put(pr, p) == -1)
		return -1;
	if ((is_message || content_is(&c, "text", NULL)) &&
	    buf_addf(pr->out, " %llu", (unsigned long long)p->body_lines) == -1)
		return -1;
	if (pr->extended && (nstring_put(pr, b.md5) == -1 || extension_put(pr, &b) == -1))
		return -1;
	return puts_out(pr, ")");
}

int
mime_bodystructure(struct slice message, const struct mime_part *root, bool extended, bool is_rev2, struct arena *arena,
    struct buf *out)
{
	struct printer pr = {message, extended, is_rev2, arena, out};

	return body_put(&pr, root, false);
}
