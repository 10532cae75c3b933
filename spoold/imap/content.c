/*
 * A message's bytes and what is derived from them. Called by fetch.c, section.c and search.c. Reads
 * with pread, never maps (a damaged file system would be a SIGBUS). What the cache holds is trusted
 * only by kind and version: a better parser raises its version here. RFC 3501 7.4.2.
 */
#include "imap/content.h"

#include <errno.h>
#include <unistd.h>

#define CONTENT_HEADER_FIRST_BYTES	(16 * 1024)	/* most headers are shorter */
#define HEADER_CACHE_MAX_BYTES	(8 * 1024)	/* longer ones are read from the log */
#define DERIVED_MAX_BYTES	(64 * 1024 * 1024)
#define DERIVED_CACHE_MAX_BYTES	(64 * 1024)
#define PREVIEW_READ_MAX_BYTES	(1024 * 1024)	/* of a message, for its first words: not all of one that has large attachments */
#define PREVIEW_MAX_BYTES	(4 * MIME_PREVIEW_MAX_CHARS)

/* Kinds of the index's cache, with the version of what makes them. */
enum { CACHE_HEADER = 1, CACHE_ENVELOPE = 2, CACHE_BODY = 3, CACHE_BODYSTRUCTURE = 4, CACHE_PREVIEW = 5, CACHE_REFERENCES = 20 };
enum { CACHE_HEADER_VERSION = 1, CACHE_ENVELOPE_VERSION = 1, CACHE_STRUCTURE_VERSION = 1, CACHE_PREVIEW_VERSION = 1,
	CACHE_REFERENCES_VERSION = 1 };

struct content
content_make(struct store *store)
{
	return (struct content){.store = store, .fd = -1, .bytes = buf_make(CONTENT_MEM_MAX_BYTES),
	    .arena = arena_make(CONTENT_ARENA_BYTES), .put_arena = arena_make(CONTENT_PUT_BYTES)};
}

static void
puts_flush(struct content *b)
{
	if (b->nputs > 0)
		store_cache_put(b->store, b->puts, b->nputs);
	b->nputs = 0;
	arena_reset(&b->put_arena);
}

void
content_free(struct content *b)
{
	content_end(b);
	puts_flush(b);
	buf_free(&b->bytes);
	arena_free(&b->arena);
	arena_free(&b->put_arena);
}

void
content_begin(struct content *b, const struct msg_info *m)
{
	content_end(b);
	b->m = m;
}

void
content_end(struct content *b)
{
	if (b->fd != -1)
		(void)close(b->fd);
	b->fd = -1;
	b->m = NULL;
	b->header = (struct slice){NULL, 0};
	b->root = NULL;
	/* The memory of an ordinary message is kept for the next, that of a large one is not. */
	if (b->bytes.size > DERIVED_CACHE_MAX_BYTES)
		buf_free(&b->bytes);
	buf_clear(&b->bytes);
	arena_reset(&b->arena);
}

enum store_result
content_open(struct content *b)
{
	if (b->fd != -1)
		return STORE_OK;
	return store_body_open(b->store, b->m, &b->fd, &b->offset);
}

enum store_result
content_read(struct content *b, uint64_t at, void *p, size_t n)
{
	enum store_result	r;
	size_t			got = 0;

	if ((r = content_open(b)) != STORE_OK)
		return r;
	while (got < n) {
		ssize_t	k = pread(b->fd, (char *)p + got, n - got, (off_t)(b->offset + at + got));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return STORE_TEMP;
		if (k == 0)
			return STORE_DAMAGED;
		got += (size_t)k;
	}
	return STORE_OK;
}

/* Makes the first n bytes of the message be in b->bytes. */
static enum store_result
bytes_upto(struct content *b, uint64_t n)
{
	enum store_result	r;
	char			*room;

	if (n > b->m->size)
		n = b->m->size;
	if (n <= b->bytes.n)
		return STORE_OK;
	if (n > CONTENT_MEM_MAX_BYTES || (room = buf_room(&b->bytes, (size_t)n - b->bytes.n)) == NULL)
		return STORE_LIMIT;
	if ((r = content_read(b, b->bytes.n, room, (size_t)n - b->bytes.n)) == STORE_OK)
		b->bytes.n = (size_t)n;
	return r;
}

static void
cache_add(struct content *b, uint8_t kind, uint8_t version, struct slice bytes)
{
	struct slice	copy;

	if (bytes.n > DERIVED_CACHE_MAX_BYTES)
		return;
	if (b->nputs == CONTENT_PUTS_MAX || bytes.n + 1 > CONTENT_PUT_BYTES - b->put_arena.used)
		puts_flush(b);
	copy = arena_slice(&b->put_arena, bytes);
	if (copy.p == NULL)
		return;
	b->puts[b->nputs++] = (struct cache_put){.body_modseq = b->m->body.modseq, .kind = kind,
	    .version = version, .bytes = copy};
}

static bool
cache_get(struct content *b, uint8_t kind, uint8_t version, struct slice *out)
{
	return store_cache_get(b->store, b->m->body.modseq, kind, version, &b->arena, out) == FOUND;
}

/* Reads on until the header block is whole: it ends before what was read, or the message does. */
static enum store_result
header_read(struct content *b)
{
	uint64_t	n = CONTENT_HEADER_FIRST_BYTES;

	for (;; n *= 4) {
		enum store_result	r;
		uint64_t		header_bytes;

		if ((r = bytes_upto(b, n)) != STORE_OK)
			return r;
		header_bytes = mime_header_bytes(buf_slice(&b->bytes));
		if (header_bytes < b->bytes.n || b->bytes.n == b->m->size) {
			/* Its own copy: b->bytes may move when more is read. */
			b->header = arena_slice(&b->arena, (struct slice){b->bytes.p, (size_t)header_bytes});
			return b->header.p == NULL ? STORE_LIMIT : STORE_OK;
		}
	}
}

enum store_result
content_header(struct content *b, struct slice *out)
{
	enum store_result	r;

	if (b->header.p == NULL && !cache_get(b, CACHE_HEADER, CACHE_HEADER_VERSION, &b->header)) {
		if ((r = header_read(b)) != STORE_OK)
			return r;
		if (b->header.n <= HEADER_CACHE_MAX_BYTES)
			cache_add(b, CACHE_HEADER, CACHE_HEADER_VERSION, b->header);
	}
	*out = b->header;
	return STORE_OK;
}

enum store_result
content_all(struct content *b, struct slice *out)
{
	enum store_result	r;

	if ((r = bytes_upto(b, b->m->size)) != STORE_OK)
		return r;
	*out = buf_slice(&b->bytes);
	return STORE_OK;
}

enum store_result
content_parts(struct content *b, struct mime_part **out)
{
	enum store_result	r;
	struct slice		all;

	if (b->root == NULL) {
		if ((r = content_all(b, &all)) != STORE_OK)
			return r;
		if ((b->root = mime_parse(all, &b->arena)) == NULL)
			return STORE_LIMIT;
	}
	*out = b->root;
	return STORE_OK;
}

/* Moves what a mime function wrote into the message's arena and the cache. */
static enum store_result
derived_keep(struct content *b, uint8_t kind, uint8_t version, const struct buf *made, struct slice *out)
{
	*out = arena_slice(&b->arena, buf_slice(made));
	if (out->p == NULL)
		return STORE_LIMIT;
	cache_add(b, kind, version, *out);
	return STORE_OK;
}

/* What a function makes of the header, from the cache or made now. */
static enum store_result
header_derived(struct content *b, uint8_t kind, uint8_t version, int (*make)(struct slice, struct arena *, struct buf *),
    struct slice *out)
{
	enum store_result	r;
	struct slice		header;
	struct buf		made = buf_make(DERIVED_MAX_BYTES);

	if (cache_get(b, kind, version, out))
		return STORE_OK;
	if ((r = content_header(b, &header)) != STORE_OK)
		return r;
	if (make(header, &b->arena, &made) != 0)
		r = STORE_LIMIT;
	else
		r = derived_keep(b, kind, version, &made, out);
	buf_free(&made);
	return r;
}

enum store_result
content_envelope(struct content *b, struct slice *out)
{
	return header_derived(b, CACHE_ENVELOPE, CACHE_ENVELOPE_VERSION, mime_envelope, out);
}

enum store_result
content_references(struct content *b, struct slice *out)
{
	return header_derived(b, CACHE_REFERENCES, CACHE_REFERENCES_VERSION, mime_references, out);
}

static enum store_result
structure_make(struct content *b, bool extended, bool is_rev2, struct slice *out)
{
	enum store_result	 r;
	struct mime_part	*root;
	struct buf		 made = buf_make(DERIVED_MAX_BYTES);

	if ((r = content_parts(b, &root)) != STORE_OK)
		return r;
	if (mime_bodystructure(buf_slice(&b->bytes), root, extended, is_rev2, &b->arena, &made) != 0)
		r = STORE_LIMIT;
	else if (is_rev2)
		*out = arena_slice(&b->arena, buf_slice(&made));
	else
		r = derived_keep(b, extended ? CACHE_BODYSTRUCTURE : CACHE_BODY, CACHE_STRUCTURE_VERSION, &made, out);
	buf_free(&made);
	return r == STORE_OK && out->p == NULL ? STORE_LIMIT : r;
}

/* The two revisions differ where there is a message/global: as few have one, only what IMAP4rev1 is told is cached. */
enum store_result
content_structure(struct content *b, bool extended, bool is_rev2, struct slice *out)
{
	static const char	global[] = "\"MESSAGE\" \"GLOBAL\"";
	enum store_result	r = STORE_OK;

	if (!cache_get(b, extended ? CACHE_BODYSTRUCTURE : CACHE_BODY, CACHE_STRUCTURE_VERSION, out))
		r = structure_make(b, extended, false, out);
	if (r == STORE_OK && is_rev2 && memmem(out->p, out->n, global, sizeof(global) - 1) != NULL)
		r = structure_make(b, extended, true, out);
	return r;
}

/* Of a beginning of the message alone, also where all of it is in memory: the answer does not depend on what else is asked. */
enum store_result
content_preview(struct content *b, bool only_known, struct slice *out)
{
	enum store_result	 r;
	struct mime_part	*root;
	struct slice		 first;
	struct buf		 made = buf_make(PREVIEW_MAX_BYTES);

	if (cache_get(b, CACHE_PREVIEW, CACHE_PREVIEW_VERSION, out))
		return STORE_OK;
	*out = (struct slice){NULL, 0};
	if (only_known)
		return STORE_OK;
	if ((r = bytes_upto(b, PREVIEW_READ_MAX_BYTES)) != STORE_OK)
		return r;
	first = buf_slice(&b->bytes);
	if (first.n > PREVIEW_READ_MAX_BYTES)
		first.n = PREVIEW_READ_MAX_BYTES;
	if ((root = mime_parse(first, &b->arena)) == NULL || mime_preview(first, root, &made) != 0)
		r = STORE_LIMIT;
	else
		r = derived_keep(b, CACHE_PREVIEW, CACHE_PREVIEW_VERSION, &made, out);
	buf_free(&made);
	return r;
}
