/*
 * Message-IDs, as THREAD compares them (RFC 5256 3: "normalized form", RFC 5322 3.6.4). Called by IMAP's THREAD. Pure,
 * linear. Quoting, comments and white space are gone from what is given, so that one id has one form; what has no
 * "@", or nothing at one side of it, is no id.
 */
#include "mime/mime.h"
#include "mime/text.h"
#include "pack.h"

/* An id's halves, as they stand. */
struct msgid { struct slice left, right; };

/*
 * msg-id = [CFWS] "<" id-left "@" id-right ">" [CFWS], at a "<". Where it ends; *is_good: the halves were found. A "<" inside
 * begins another: this one ends before it.
 */
static size_t
msgid_scan(struct slice in, struct msgid *out, bool *is_good)
{
	size_t at = 1, half = 1, n;

	*is_good = false;
	*out = (struct msgid){{NULL, 0}, {NULL, 0}};
	for (; at < in.n && in.p[at] != '<'; at += n) {
		n = 1;
		if (in.p[at] == '"' || in.p[at] == '[' || in.p[at] == '(') {
			n = text_skip((struct slice){in.p + at, in.n - at});
		} else if (in.p[at] == '@' && out->left.p == NULL) {
			out->left = (struct slice){in.p + half, at - half};
			half = at + 1;
		} else if (in.p[at] == '>') {
			out->right = (struct slice){in.p + half, at - half};
			*is_good = out->left.p != NULL;
			return at + 1;
		}
	}
	return at;
}

static int
half_put(struct slice half, struct buf *out)
{
	struct text t = text_make(TEXT_TIGHT, half);
	int c;

	while ((c = text_next(&t)) != -1) {
		char byte = (char)c;

		if (buf_add(out, &byte, 1) == -1)
			return -1;
	}
	return 0;
}

/* Packs one id; 1, 0 when it is none, -1 when out is full. */
static int
msgid_put(const struct msgid *id, struct buf *made, struct buf *out)
{
	size_t left;

	buf_clear(made);
	if (half_put(id->left, made) == -1)
		return -1;
	left = made->n;
	if (buf_add_str(made, "@") == -1 || half_put(id->right, made) == -1)
		return -1;
	if (left == 0 || made->n == left + 1)
		return 0;
	pack_str(out, buf_slice(made));
	return pack_ok(out) ? 1 : -1;
}

int
mime_message_ids(struct slice value, size_t most, struct buf *out)
{
	struct buf made = buf_make(value.n + 1);
	size_t n = 0;
	int r = 0;

	while (r != -1 && n < most) {
		const char *p = value.n == 0 ? NULL : memchr(value.p, '<', value.n);
		struct msgid id;
		bool is_good;
		size_t used;

		if (p == NULL)
			break;
		value = (struct slice){p, value.n - (size_t)(p - value.p)};
		used = msgid_scan(value, &id, &is_good);
		value = (struct slice){value.p + used, value.n - used};
		r = is_good ? msgid_put(&id, &made, out) : 0;
		n += r == 1;
	}
	buf_free(&made);
	return r == -1 || n > INT32_MAX ? -1 : (int)n;
}

int
mime_references(struct slice header, struct arena *arena, struct buf *out)
{
	struct slice value;
	int n = 0;

	(void)arena;
	if (mime_header_get(header, "message-id", &value) && (n = mime_message_ids(value, 1, out)) == -1)
		return -1;
	if (n == 0)
		pack_str(out, SLICE(""));
	n = 0;
	if (mime_header_get(header, "references", &value) && (n = mime_message_ids(value, SIZE_MAX, out)) == -1)
		return -1;
	if (n == 0 && mime_header_get(header, "in-reply-to", &value) && mime_message_ids(value, 1, out) == -1)
		return -1;
	return pack_ok(out) ? 0 : -1;
}
