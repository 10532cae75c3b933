/*
 * Finds what a CATENATE URL names and copies it, in pieces, behind what the message has already. Called by append.c while the
 * command is read. Sets no \Seen and selects nothing (RFC 4469 3). What the client wrote is repeated in an answer only where it
 * is harmless there.
 */
#include "imap/catenate.h"

#include "imap/append_bytes.h"
#include "imap/mailbox.h"
#include "imap/section.h"
#include "imap/url.h"

#define PIECE_BYTES		(16 * 1024)
#define FIELDS_MAX_BYTES	(64 * 1024 * 1024)	/* of HEADER.FIELDS: no header is longer */
#define BADURL_ECHO_MAX_BYTES	1024	/* a longer URL is not repeated: clients read lines into small buffers */

/* resp-text-code =/ "BADURL" SP url-resp-text (RFC 4469 5); a URL that would not be one is named by its beginning. */
static const char *
bad_url(struct imap *im, struct slice url)
{
	struct buf	b = buf_make(BADURL_ECHO_MAX_BYTES + 128);
	struct slice	text;
	size_t		n = 0;

	while (n < url.n && n < BADURL_ECHO_MAX_BYTES && url.p[n] > ' ' && url.p[n] < 0x7f && strchr("]\\\"", url.p[n]) == NULL)
		n++;
	(void)buf_addf(&b, "NO [BADURL \"%.*s\"] That names no message here", (int)n, url.p);
	text = arena_slice(imap_arena(im), buf_slice(&b));
	buf_free(&b);
	return text.p != NULL ? text.p : "NO [UNAVAILABLE] Temporary failure";
}

const char *
catenate_fault(const struct imap *im, uint64_t n)
{
	const struct append	*a = &im->append;

	if (n > IMAP_APPEND_MAX_BYTES || a->bytes - a->msgs[a->n - 1].body.offset + n > IMAP_APPEND_MAX_BYTES)
		return "NO [TOOBIG] Message too large";
	if (a->bytes + n > IMAP_APPEND_ALL_MAX_BYTES)
		return "NO [TOOBIG] The messages together are too large";
	return NULL;
}

/* A live message by its mailbox and UID. STORE_NOMBOX: no such mailbox or message. */
static enum store_result
message_find(struct imap *im, const struct imap_url *url, struct msg_info *out)
{
	struct mbox_info	info;
	struct mboxname		name;
	struct view		view;
	enum store_result	r;
	size_t			n;

	/* A URL's name is UTF-8 (RFC 5092 9), never modified UTF-7. */
	if (mboxname_from_client(im->s->who.user, url->mailbox, false, false, &name) != PARSE_OK)
		return STORE_NOMBOX;
	if ((r = store_mbox_by_name(im->store, (struct slice){name.s, name.n}, imap_arena(im), &info)) != STORE_OK)
		return r;
	if (url->uidvalidity != 0 && url->uidvalidity != info.uidvalidity)
		return STORE_NOMBOX;
	if ((r = view_open(im->store, info.id, false, &view)) != STORE_OK ||
	    (r = view_range(im->store, &view, url->uid, url->uid, out, 1, &n)) != STORE_OK)
		return r;
	return n == 1 ? STORE_OK : STORE_NOMBOX;
}

/* What PARTIAL leaves of n bytes. */
static void
partial_cut(const struct imap_url *url, uint64_t *at, uint64_t *n)
{
	if (!url->is_partial)
		return;
	*at = url->at < *n ? url->at : *n;
	*n -= *at;
	if (url->n != 0 && url->n < *n)
		*n = url->n;
}

static enum store_result
range_take(struct imap *im, struct content *c, uint64_t at, uint64_t n)
{
	char			piece[PIECE_BYTES];
	enum store_result	r;

	while (n > 0) {
		size_t	k = n < sizeof(piece) ? (size_t)n : sizeof(piece);

		if ((r = content_read(c, at, piece, k)) != STORE_OK)
			return r;
		append_take(im, (struct slice){piece, k});
		at += k;
		n -= k;
	}
	return STORE_OK;
}

/* The section's bytes, as FETCH BODY.PEEK[section]<partial> would give them. *fault_out: they are too many. */
static enum store_result
section_take(struct imap *im, struct content *c, const struct imap_url *url, struct buf *made, const char **fault_out)
{
	struct section_found	found;
	enum store_result	r;
	uint64_t		at = 0, n;

	if ((r = section_find(c, &url->section, made, &found)) != STORE_OK)
		return r;
	if (found.kind == SECTION_IS_NIL)
		return STORE_NOMBOX;
	n = found.kind == SECTION_IS_BYTES ? found.bytes.n : found.n;
	partial_cut(url, &at, &n);
	if ((*fault_out = catenate_fault(im, n)) != NULL)
		return STORE_OK;
	if (found.kind == SECTION_IS_RANGE)
		return range_take(im, c, found.at + at, n);
	append_take(im, (struct slice){found.bytes.p + at, (size_t)n});
	return STORE_OK;
}

const char *
catenate_url(struct imap *im, struct slice text)
{
	struct content		*c = ARENA_NEW(imap_arena(im), struct content, 1);
	struct buf		 made = buf_make(FIELDS_MAX_BYTES);
	const char		*fault = NULL;
	struct imap_url		 url;
	struct msg_info		 m;
	enum store_result	 r;

	if (c == NULL || parse_url(text, imap_arena(im), &url) != PARSE_OK)
		return bad_url(im, text);
	if ((r = message_find(im, &url, &m)) == STORE_OK) {
		*c = content_make(im->store);
		content_begin(c, &m);
		r = section_take(im, c, &url, &made, &fault);
		content_free(c);
		buf_free(&made);
	}
	if (r == STORE_NOMBOX)
		return bad_url(im, text);
	return r == STORE_OK ? fault : "NO [UNAVAILABLE] A message could not be read";
}
