/*
 * METADATA (RFC 5464): entries of mailboxes and of the server. Called from the table of commands. What a user sets on
 * "" is the user's own, so of the server only /private entries can be set. Changes by others are told to who asks
 * with NOTIFY (watch_tell.c).
 */
#include "imap/metadata.h"

#include <assert.h>

#include "imap/mailbox.h"
#include "imap/metadata_parse.h"
#include "imap/name.h"
#include "imap/quote.h"

static_assert(STORE_META_VALUE_MAX_BYTES == 65536, "METADATA_TOO_LARGE says so");

#define META_LINE_MAX_BYTES	(16ULL * 1024 * 1024)	/* STORE_META_ENTRIES_MAX entries as long as they can be are half of it */

/* The mailbox's id, NULL for "". Answers itself and returns false where there is none. */
static bool
target_find(struct imap *im, struct slice client, struct mbox_info *info, const unsigned char **id_out)
{
	*id_out = NULL;
	if (client.n == 0)
		return true;
	if (!mailbox_find(im, client, "NONEXISTENT", info))
		return false;
	*id_out = info->id;
	return true;
}

/* string / literal8: a NUL stands only in the latter */
static int
put_value(struct buf *b, struct slice v)
{
	if (v.n == 0 || memchr(v.p, '\0', v.n) == NULL)
		return quote_string(b, v);
	return buf_addf(b, "~{%zu}\r\n", v.n) == 0 ? buf_add_slice(b, v) : -1;
}

/* SP in front of all but the first. */
static int
put_entry(struct buf *b, bool is_first, struct slice name)
{
	return (is_first || buf_add_str(b, " ") == 0) && quote_astring(b, name) == 0 ? buf_add_str(b, " ") : -1;
}

static bool
is_there(const struct meta_entry *e, size_t n, struct slice name)
{
	for (size_t i = 0; i < n; i++)
		if (slice_is(e[i].name, name))
			return true;
	return false;
}

/*
 * "* METADATA name (entry value ...)", not said where nothing would stand in it. An entry asked for by itself that is
 * not there has the value NIL: the response is required (RFC 5464 4.2). *longest_out: of the values left out. -1: too long.
 */
static int
tell(struct imap *im, struct slice name, const struct getmeta_args *a, const struct meta_entry *e, size_t n, size_t *longest_out)
{
	struct buf	b = buf_make(META_LINE_MAX_BYTES);
	bool		is_first = true;
	int		r = buf_add_str(&b, "* METADATA ") == 0 && name_quote(im, &b, name) == 0 ? buf_add_str(&b, " (") : -1;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (!metadata_is_asked(a, e[i].name))
			continue;
		if (a->has_maxsize && e[i].value.n > a->maxsize) {
			*longest_out = e[i].value.n > *longest_out ? e[i].value.n : *longest_out;
			continue;
		}
		r = put_entry(&b, is_first, e[i].name) == 0 ? put_value(&b, e[i].value) : -1;
		is_first = false;
	}
	for (size_t i = 0; i < a->n && r == 0 && a->depth == META_DEPTH_0; i++) {
		if (is_there(e, n, a->names[i]))
			continue;
		r = put_entry(&b, is_first, a->names[i]) == 0 ? buf_add_str(&b, "NIL") : -1;
		is_first = false;
	}
	if (r == 0 && !is_first && (r = buf_add_str(&b, ")\r\n")) == 0)
		session_write(im->s, b.p, b.n);
	buf_free(&b);
	return r;
}

void
getmetadata_run(struct imap *im, struct slice args)
{
	char			 text[NAME_MAX_BYTES];
	struct slice		 name = SLICE("");
	struct getmeta_args	 a;
	struct mbox_info	 info;
	const unsigned char	*id;
	struct meta_entry	*entries;
	size_t			 n, longest = 0;
	enum store_result	 r;

	if (parse_getmetadata(&args, imap_arena(im), &a) != PARSE_OK) {
		imap_bad(im, "GETMETADATA [(options)] mailbox entries: not understood");
		return;
	}
	if (!target_find(im, a.mailbox, &info, &id))
		return;
	if ((r = store_metadata_list(im->store, id, imap_arena(im), &entries, &n)) != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	if (id != NULL)
		name = name_utf8(im, info.name, text);
	if (tell(im, name, &a, entries, n, &longest) == -1)
		imap_no(im, "[LIMIT] That is more than one answer holds: ask for less");
	else if (longest > 0)
		imap_ok(im, "[METADATA LONGENTRIES %zu] GETMETADATA completed", longest);
	else
		imap_ok(im, "GETMETADATA completed");
}

void
setmetadata_run(struct imap *im, struct slice args)
{
	struct setmeta_args	 a;
	struct mbox_info	 info;
	const unsigned char	*id;
	enum store_result	 r;

	if (parse_setmetadata(&args, imap_arena(im), &a) != PARSE_OK) {
		imap_bad(im, "SETMETADATA mailbox (entry value ...): not understood");
		return;
	}
	for (size_t i = 0; i < a.n; i++)
		if (a.changes[i].value.n > STORE_META_VALUE_MAX_BYTES) {
			imap_no(im, "%s", METADATA_TOO_LARGE);
			return;
		}
	if (!target_find(im, a.mailbox, &info, &id))
		return;
	if (a.is_read_only) {
		imap_no(im, "[NOPERM] What is shared of the server is its operator's");
		return;
	}
	r = store_metadata_set(im->store, id, a.changes, a.n);
	if (r == STORE_LIMIT)
		imap_no(im, "[METADATA TOOMANY] There are as many entries as may be");
	else if (r != STORE_OK)
		imap_no_store(im, r, "NONEXISTENT");
	else {
		imap_changed(im);
		imap_ok(im, "SETMETADATA completed");
	}
}
