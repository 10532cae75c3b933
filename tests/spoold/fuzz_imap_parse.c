/*
 * IMAP's command arguments: whatever a client sends, the parsers take or refuse it and leave the cursor
 * inside the input. The first byte chooses the rule.
 */
#include <stdint.h>
#include <stdlib.h>

#include "imap/append_parse.h"
#include "imap/envelope.h"
#include "imap/fetch_parse.h"
#include "imap/list_parse.h"
#include "imap/metadata_parse.h"
#include "imap/multisearch_parse.h"
#include "imap/quote.h"
#include "imap/search_parse.h"
#include "imap/select_parse.h"
#include "imap/sort_parse.h"
#include "imap/store_cmd.h"
#include "imap/thread.h"
#include "imap/url.h"
#include "imap/watch_parse.h"
#include "mime/mime.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static union {
	struct fetch_args	fetch;
	struct search_args	search;
	struct list_args	list;
	struct select_args	select;
	struct store_args	store;
	struct getmeta_args	getmeta;
	struct setmeta_args	setmeta;
	struct imap_url		url;
	struct sort_args	sort;
	struct envelope		envelope;
	struct thread_args	thread;
	struct multisearch_args	multisearch;
	struct watch_args	watch;
} args;

/* Elements one after the other: each takes something, none runs past the end. */
static void
append_check(struct slice in, struct arena *arena)
{
	enum append_place	place = APPEND_AT_HEAD;
	struct append_element	e;
	struct slice		cur = in, before = in;

	while (parse_append_element(&cur, arena, &place, &e) == PARSE_OK) {
		if (cur.n >= before.n || cur.p + cur.n != in.p + in.n)
			abort();
		before = cur;
	}
	if (cur.p != before.p || cur.n != before.n)
		abort();
}

/* What goes out as a string comes back the same. */
static void
string_check(struct slice in, struct arena *arena)
{
	struct buf	b = buf_make(1024 * 1024);
	struct slice	cur, back;

	if (in.n > 0 && memchr(in.p, '\0', in.n) != NULL)
		return;
	if (quote_astring(&b, in) != 0)
		abort();
	cur = buf_slice(&b);
	if (parse_astring(&cur, arena, &back) != PARSE_OK || cur.n != 0 || !slice_is(in, back))
		abort();
	buf_free(&b);
}

/* What SORT and THREAD make of texts is there, and a base subject is a piece of what it was made of and stays what it is. */
static void
texts_check(struct slice in, struct arena *arena)
{
	struct buf	ids = buf_make(1024 * 1024);
	bool		is_reply;
	struct slice	base, again;

	base = mime_base_subject(mime_header_text(in, arena), arena, &is_reply);
	if (base.p == NULL || mime_collate(in, arena).p == NULL || mime_message_ids(in, SIZE_MAX, &ids) == -1)
		abort();
	again = mime_base_subject(base, arena, &is_reply);
	if (again.p == NULL || again.n > base.n || is_reply)
		abort();
	buf_free(&ids);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena	arena = arena_make(16 * 1024 * 1024);
	struct slice	cur, before;
	enum parse	r = PARSE_BAD;

	if (n == 0)
		return 0;
	cur = before = (struct slice){(const char *)p + 1, n - 1};
	switch (p[0] % 18) {
	case 0:
		r = parse_fetch_args(&cur, &arena, &args.fetch);
		break;
	case 1:
		r = parse_search_args(&cur, &arena, &args.search);
		break;
	case 2:
		r = parse_list_args(&cur, &arena, &args.list);
		break;
	case 3:
		r = parse_lsub_args(&cur, &arena, &args.list);
		break;
	case 4:
		r = parse_store_args(&cur, &arena, &args.store);
		break;
	case 5:
		append_check(cur, &arena);
		break;
	case 6:
		string_check(cur, &arena);
		break;
	case 7:
		r = parse_getmetadata(&cur, &arena, &args.getmeta);
		break;
	case 8:
		r = parse_setmetadata(&cur, &arena, &args.setmeta);
		break;
	case 9:
		(void)setmetadata_is_head(cur);
		break;
	case 10:
		(void)parse_url(cur, &arena, &args.url);
		break;
	case 11:
		r = parse_select_args(&cur, &arena, &args.select);
		break;
	case 12:
		r = parse_sort_args(&cur, &arena, &args.sort);
		break;
	case 13:
		r = parse_envelope(&cur, &arena, &args.envelope);
		break;
	case 14:
		r = parse_thread_args(&cur, &arena, &args.thread);
		break;
	case 15:
		r = parse_multisearch_args(&cur, &arena, &args.multisearch);
		break;
	case 16:
		texts_check(cur, &arena);
		break;
	case 17:
		r = parse_watch_args(&cur, &arena, &args.watch);
		break;
	}
	if (cur.p < before.p || cur.p + cur.n != before.p + before.n || (r != PARSE_OK && cur.p != before.p))
		abort();
	arena_free(&arena);
	return 0;
}
