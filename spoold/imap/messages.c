/*
 * The second look at messages that a search found. Called by sort.c and thread.c. Reads the index in batches, and of
 * a message only what is asked of its content. Never writes.
 */
#include "imap/messages.h"

#define GAP_MAX_UIDS	1024	/* further off than this a message is looked up, not come upon */

/* How many of those found, from i on, lie close enough together for one range. */
static size_t
run_length(const struct found *f, size_t i)
{
	size_t	n = 1;

	while (i + n < f->n && f->msgs[i + n].uid - f->msgs[i + n - 1].uid <= GAP_MAX_UIDS)
		n++;
	return n;
}

/* Found messages first..last (not included), which lie close together. */
static enum store_result
run_walk(struct imap *im, const struct found *f, size_t first, size_t last, const struct message_walk *walk,
    struct content *content, struct msg_info *msgs)
{
	uint32_t	 lo = f->msgs[first].uid;
	size_t		 n;

	do {
		enum store_result	r;

		r = view_range(im->store, &im->view, lo, f->msgs[last - 1].uid, msgs, STORE_BATCH_MSGS, &n);
		for (size_t i = 0; r == STORE_OK && i < n; i++) {
			while (first < last && f->msgs[first].uid < msgs[i].uid)
				first++;
			if (first == last || f->msgs[first].uid != msgs[i].uid)
				continue;
			content_begin(content, &msgs[i]);
			r = walk->take(walk->arg, first, content);
		}
		if (r != STORE_OK)
			return r;
		if (n > 0)
			lo = msgs[n - 1].uid + 1;
	} while (n == STORE_BATCH_MSGS && lo <= f->msgs[last - 1].uid && !im->s->is_dead);
	return STORE_OK;
}

enum store_result
messages_walk(struct imap *im, const struct found *f, const struct message_walk *walk)
{
	struct msg_info		*msgs = ARENA_NEW(imap_arena(im), struct msg_info, STORE_BATCH_MSGS);
	struct content		 content = content_make(im->store);
	enum store_result	 r = msgs == NULL ? STORE_LIMIT : STORE_OK;

	for (size_t i = 0, n; i < f->n && r == STORE_OK && !im->s->is_dead; i += n) {
		n = run_length(f, i);
		r = run_walk(im, f, i, i + n, walk, &content, msgs);
	}
	content_free(&content);
	return r;
}
