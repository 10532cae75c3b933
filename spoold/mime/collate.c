/*
 * Header values as text, and text made comparable: for SEARCH's keys, and for SORT and THREAD. Called by IMAP's
 * SEARCH, SORT and THREAD. Pure; never more memory than the caller's arena has. RFC 5051, RFC 5255 4.6.
 */
#include "mime/charset.h"
#include "mime/mime.h"
#include "mime/word.h"

#define INVALID_MARK	"\xff"	/* begins no UTF-8: what cannot be collated comes last */

/* Where folded text is collected. */
struct collect {
	struct fold	 fold;	/* first */
	struct buf	*to;
	bool		 is_full;
};

static void
collect_put(struct fold *f, struct slice s)
{
	struct collect *c = (struct collect *)f;

	if (buf_add_slice(c->to, s) == -1)
		c->is_full = true;
}

struct slice
mime_fold(struct slice text, const char *name, struct arena *arena)
{
	struct buf folded = buf_make(arena->cap);
	struct collect c = {.fold = {.put = collect_put}, .to = &folded};
	const struct charset *charset = charset_find(name == NULL ? SLICE("utf-8") : slice_of(name));
	struct convert cv = convert_make(charset);
	struct slice out = {NULL, 0};

	convert_feed(&cv, text, &c.fold);
	convert_end(&cv, &c.fold);
	fold_end(&c.fold);
	if (charset != NULL && !cv.is_bad && !c.fold.is_bad && !c.is_full) {
		out.p = arena_copy(arena, buf_slice(&folded));
		out.n = out.p == NULL ? 0 : folded.n;
	}
	buf_free(&folded);
	return out;
}

struct slice
mime_header_text(struct slice raw_value, struct arena *arena)
{
	struct buf text = buf_make(arena->cap);
	struct collect c = {.fold = {.put = collect_put, .is_raw = true}, .to = &text};
	struct slice out = {NULL, 0};

	word_feed(raw_value, &c.fold);
	if (!c.is_full)
		out = arena_slice(arena, buf_slice(&text));
	buf_free(&text);
	return out;
}

struct slice
mime_collate(struct slice utf8, struct arena *arena)
{
	struct buf folded = buf_make(arena->cap);
	struct collect c = {.fold = {.put = collect_put}, .to = &folded};
	struct slice out = {NULL, 0};

	fold_feed(&c.fold, utf8);
	fold_end(&c.fold);
	if (c.fold.is_bad) {
		buf_clear(&folded);
		c.is_full = buf_add_str(&folded, INVALID_MARK) == -1 || buf_add_slice(&folded, utf8) == -1;
	}
	if (!c.is_full)
		out = arena_slice(arena, buf_slice(&folded));
	buf_free(&folded);
	return out;
}
