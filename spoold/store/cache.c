/*
 * Bytes derived from bodies (ENVELOPE, BODYSTRUCTURE, header fields), kept in the index. Called by
 * FETCH. Never the truth: a miss, another version or a full map only costs parsing again.
 */
#include "log.h"
#include "store/store_impl.h"

#define CACHE_BYTES_MAX	(256 * 1024)	/* of one entry; what is larger is parsed each time */

static struct ix_key
cache_key(uint64_t body_modseq, uint8_t kind)
{
	struct ix_key k = key_of('x');

	key_u64(&k, body_modseq);
	key_add(&k, &kind, 1);
	return k;
}

enum lookup
store_cache_get(struct store *s, uint64_t body_modseq, uint8_t kind, uint8_t version, struct arena *a, struct slice *out)
{
	struct ix_key k = cache_key(body_modseq, kind);
	enum lookup found = ABSENT;
	struct slice v;

	if (store_read_begin(s) != STORE_OK)
		return LOOKUP_TEMP;
	if (index_get(&s->ix, &k, &v) && v.n > 0 && (uint8_t)v.p[0] == version) {
		*out = arena_slice(a, (struct slice){v.p + 1, v.n - 1});
		found = out->p != NULL ? FOUND : ABSENT;
	}
	return index_end(&s->ix) == STORE_OK ? found : LOOKUP_TEMP;
}

void
store_cache_put(struct store *s, const struct cache_put *puts, size_t n)
{
	struct buf b = buf_make(CACHE_BYTES_MAX + 1);

	/* Not worth waiting for another process's long change. */
	if (n == 0 || s->ix.is_unsaved || store_read_begin(s) != STORE_OK || index_end(&s->ix) != STORE_OK || !store_turn(s) ||
	    index_begin(&s->ix, true) != STORE_OK)
		return;
	for (size_t i = 0; i < n; i++) {
		struct ix_key k = cache_key(puts[i].body_modseq, puts[i].kind);

		buf_clear(&b);
		if (puts[i].bytes.n > CACHE_BYTES_MAX || buf_add(&b, &puts[i].version, 1) != 0 ||
		    buf_add_slice(&b, puts[i].bytes) != 0)
			continue;
		index_put(&s->ix, &k, b.p, b.n);
	}
	(void)index_commit(&s->ix);
	buf_free(&b);
}
