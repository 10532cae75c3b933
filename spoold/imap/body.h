/*
 * A message's bytes while FETCH or SEARCH looks at it, each read at most once and only when asked for:
 * the header block, the whole, its MIME structure; and what is derived from them, kept in the index's
 * cache. One struct body serves many messages, one after the other.
 */
#ifndef TS_IMAP_BODY_H
#define TS_IMAP_BODY_H

#include "mime/mime.h"
#include "store/store.h"

/* A structure is computed with the message in memory; a larger message's is not served. */
#define BODY_MEM_MAX_BYTES	(256 * 1024 * 1024)
/* MIME_PARTS_MAX parts, or MIME_ADDRESSES_MAX addresses. */
#define BODY_ARENA_BYTES	(64 * 1024 * 1024)
#define BODY_PUTS_MAX		64
#define BODY_PUT_BYTES		(1024 * 1024)	/* derived bytes collected before they go to the cache */

struct body {
	struct store		*store;		/* borrowed */
	const struct msg_info	*m;		/* borrowed until body_end; NULL: none */
	int			 fd;		/* owned; -1: not opened */
	uint64_t		 offset;	/* of the message in fd */
	struct buf		 bytes;		/* a beginning of the message, or all of it */
	struct slice		 header;	/* p NULL: not known yet */
	struct mime_part	*root;		/* NULL: not parsed yet */
	struct arena		 arena;		/* of this message */
	struct cache_put	 puts[BODY_PUTS_MAX];
	size_t			 nputs;
	struct arena		 put_arena;
};

struct body		body_make(struct store *);
void			body_free(struct body *);	/* writes what is left for the cache */
void			body_begin(struct body *, const struct msg_info *);
void			body_end(struct body *);

/* Each returns STORE_OK, or why it cannot be had. Slices and parts live until body_end. */
enum store_result	body_open(struct body *);
enum store_result	body_header(struct body *, struct slice *out);
enum store_result	body_all(struct body *, struct slice *out);
enum store_result	body_parts(struct body *, struct mime_part **out);
/* ENVELOPE's, BODY's and BODYSTRUCTURE's list as sent. */
enum store_result	body_envelope(struct body *, struct slice *out);
enum store_result	body_structure(struct body *, bool extended, struct slice *out);
/* Reads n bytes at `at` of the message into p. */
enum store_result	body_read(struct body *, uint64_t at, void *p, size_t n);

#endif
