/*
 * A message's bytes while FETCH or SEARCH looks at it, each read at most once and only when asked for:
 * the header block, the whole, its MIME structure; and what is derived from them, kept in the index's
 * cache. One struct content serves many messages, one after the other.
 */
#ifndef TS_IMAP_CONTENT_H
#define TS_IMAP_CONTENT_H

#include "mime/mime.h"
#include "store/store.h"

/* A structure is computed with the message in memory; a larger message's is not served. */
#define CONTENT_MEM_MAX_BYTES	(256 * 1024 * 1024)
/* MIME_PARTS_MAX parts, or MIME_ADDRESSES_MAX addresses. */
#define CONTENT_ARENA_BYTES	(64 * 1024 * 1024)
#define CONTENT_PUTS_MAX		64
#define CONTENT_PUT_BYTES		(1024 * 1024)	/* derived bytes collected before they go to the cache */

struct content {
	struct store		*store;		/* borrowed */
	const struct msg_info	*m;		/* borrowed until content_end; NULL: none */
	int			 fd;		/* owned; -1: not opened */
	uint64_t		 offset;	/* of the message in fd */
	struct buf		 bytes;		/* a beginning of the message, or all of it */
	struct slice		 header;	/* p NULL: not known yet */
	struct mime_part	*root;		/* NULL: not parsed yet */
	struct arena		 arena;		/* of this message */
	struct cache_put	 puts[CONTENT_PUTS_MAX];
	size_t			 nputs;
	struct arena		 put_arena;
};

struct content		content_make(struct store *);
void			content_free(struct content *);	/* writes what is left for the cache */
void			content_begin(struct content *, const struct msg_info *);
void			content_end(struct content *);

/* Each returns STORE_OK, or why it cannot be had. Slices and parts live until content_end. */
enum store_result	content_open(struct content *);
enum store_result	content_header(struct content *, struct slice *out);
enum store_result	content_all(struct content *, struct slice *out);
enum store_result	content_parts(struct content *, struct mime_part **out);
/* ENVELOPE's, BODY's and BODYSTRUCTURE's list as sent. */
enum store_result	content_envelope(struct content *, struct slice *out);
enum store_result	content_structure(struct content *, bool extended, bool is_rev2, struct slice *out);
/* PREVIEW's text, not quoted. only_known: p NULL where it would have to be made (RFC 8970 4.1, LAZY). */
enum store_result	content_preview(struct content *, bool only_known, struct slice *out);
/* What mime_references packs. */
enum store_result	content_references(struct content *, struct slice *out);
/* Reads n bytes at `at` of the message into p. */
enum store_result	content_read(struct content *, uint64_t at, void *p, size_t n);

#endif
