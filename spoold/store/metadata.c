/*
 * Metadata entries (RFC 5464): set and listed by sessions, kept in the index by apply.c. An entry belongs to a
 * mailbox's id, so that it follows a rename by itself. A change is one record with all entries of a command; nobody
 * waits for its sync, as nobody does for flags. Who counts and bounds them is the one who appends: a replay takes what
 * the log says.
 */
#include "store/metadata.h"

#include "log.h"
#include "store/store_impl.h"

static const unsigned char server_id[RECORD_ID_BYTES];

bool
metadata_is_server(const unsigned char *id)
{
	return memcmp(id, server_id, RECORD_ID_BYTES) == 0;
}

static struct ix_key
key_meta(const unsigned char *id, struct slice name)
{
	struct ix_key k = key_id('a', id);

	key_add(&k, name.p, name.n);
	return k;
}

static struct slice
name_of(struct slice key)
{
	return (struct slice){key.p + 1 + RECORD_ID_BYTES, key.n - 1 - RECORD_ID_BYTES};
}

void
metadata_put(struct index *ix, const unsigned char *id, const struct meta_change *c)
{
	struct ix_key k = key_meta(id, c->name);
	struct slice old;

	if (index_get(ix, &k, &old)) {
		ix->meta.metadata_bytes -= c->name.n + old.n;
		if (c->is_removed)
			index_delete(ix, &k);
	}
	if (c->is_removed)
		return;
	ix->meta.metadata_bytes += c->name.n + c->value.n;
	index_put(ix, &k, c->value.p, c->value.n);
}

void
metadata_drop(struct index *ix, const unsigned char *id)
{
	struct ix_key from = key_id('a', id);
	struct slice k, v;
	struct iter it;

	iter_begin(&it, ix, &from, from.n);
	while (iter_next(&it, &k, &v)) {
		struct ix_key gone = key_meta(id, name_of(k));

		ix->meta.metadata_bytes -= name_of(k).n + v.n;
		index_delete(ix, &gone);
	}
	iter_end(&it);
}

uint64_t
metadata_bytes(struct index *ix, const unsigned char *id)
{
	struct ix_key from = key_id('a', id);
	uint64_t bytes = 0;
	struct slice k, v;
	struct iter it;

	iter_begin(&it, ix, &from, from.n);
	while (iter_next(&it, &k, &v))
		bytes += name_of(k).n + v.n;
	iter_end(&it);
	return bytes;
}

void
metadata_copy(struct index *ix, const unsigned char *from, const unsigned char *to)
{
	struct ix_key first = key_id('a', from);
	struct buf copy = buf_make(STORE_META_NAME_MAX_BYTES + STORE_META_VALUE_MAX_BYTES);
	struct slice k, v;
	struct iter it;

	iter_begin(&it, ix, &first, first.n);
	while (iter_next(&it, &k, &v)) {
		struct slice name = name_of(k);

		/* The slices are LMDB's until the next write. */
		buf_clear(&copy);
		(void)buf_add_slice(&copy, name);
		(void)buf_add_slice(&copy, v);
		metadata_put(ix, to, &(struct meta_change){.name = {copy.p, name.n}, .value = {copy.p + name.n, copy.n - name.n}});
	}
	iter_end(&it);
	buf_free(&copy);
}

/* How many entries there would be, and how many bytes more of all. O(n) for a change of n; names may come twice. */
static enum store_result
check_limits(struct store *s, const unsigned char *id, const struct meta_change *c, size_t n)
{
	struct ix_key from = key_id('a', id);
	int64_t entries = 0, bytes = (int64_t)s->ix.meta.metadata_bytes;
	struct slice k, v;
	struct iter it;
	bool sets = false;

	iter_begin(&it, &s->ix, &from, from.n);
	while (iter_next(&it, &k, &v))
		entries++;
	iter_end(&it);
	for (size_t i = 0; i < n; i++) {
		struct ix_key key = key_meta(id, c[i].name);
		bool was = index_get(&s->ix, &key, &v);
		int64_t was_bytes = was ? (int64_t)(c[i].name.n + v.n) : 0;

		for (size_t j = 0; j < i; j++) {	/* what this command did to it before */
			if (!slice_is(c[j].name, c[i].name))
				continue;
			was = !c[j].is_removed;
			was_bytes = was ? (int64_t)(c[j].name.n + c[j].value.n) : 0;
		}
		entries += (c[i].is_removed ? 0 : 1) - (was ? 1 : 0);
		bytes += (c[i].is_removed ? 0 : (int64_t)(c[i].name.n + c[i].value.n)) - was_bytes;
		sets = sets || !c[i].is_removed;
	}
	return sets && (entries > STORE_META_ENTRIES_MAX || bytes > (int64_t)STORE_META_TOTAL_MAX_BYTES) ? STORE_LIMIT : STORE_OK;
}

static bool
sets_any(const struct meta_change *c, size_t n, uint64_t *bytes_out)
{
	bool sets = false;

	*bytes_out = 0;
	for (size_t i = 0; i < n; i++) {
		sets = sets || !c[i].is_removed;
		*bytes_out += c[i].name.n + c[i].value.n;
	}
	return sets;
}

enum store_result
store_metadata_set(struct store *s, const unsigned char *mailbox, const struct meta_change *c, size_t n)
{
	struct record rec = {.type = RECORD_METADATA, .date_ms = now_ms()};
	struct buf extra;
	enum store_result r;
	uint64_t bytes;
	struct mbox m;

	for (size_t i = 0; i < n; i++)
		if (c[i].name.n == 0 || c[i].name.n > STORE_META_NAME_MAX_BYTES || c[i].value.n > STORE_META_VALUE_MAX_BYTES)
			return STORE_LIMIT;
	if (n > STORE_META_ENTRIES_MAX)
		return STORE_LIMIT;
	if (sets_any(c, n, &bytes) && (r = spool_has_room(s->spool, bytes)) != STORE_OK)
		return r;
	if ((r = change_begin(s)) != STORE_OK)
		return r;
	if (mailbox != NULL) {
		memcpy(rec.mailbox, mailbox, RECORD_ID_BYTES);
		if ((r = find_mbox(s, mailbox, &m)) != STORE_OK)
			return change_drop(s, r);
	}
	if ((r = check_limits(s, rec.mailbox, c, n)) != STORE_OK)
		return change_drop(s, r);
	extra = buf_make(RECORD_EXTRA_MAX_BYTES);
	extra_pack_metadata(&extra, c, n);
	rec.extra = buf_slice(&extra);
	r = pack_ok(&extra) ? change_end(s, &rec, n > 0, NULL, false) : change_drop(s, STORE_LIMIT);
	buf_free(&extra);
	return r;
}

enum store_result
store_metadata_list(struct store *s, const unsigned char *mailbox, struct arena *a, struct meta_entry **out, size_t *n_out)
{
	struct ix_key from = key_id('a', mailbox != NULL ? mailbox : server_id);
	enum store_result r = store_current_begin(s), ended;
	struct slice k, v;
	struct iter it;
	size_t n = 0, i = 0;

	if (r != STORE_OK)
		return r;
	iter_begin(&it, &s->ix, &from, from.n);
	while (iter_next(&it, &k, &v))
		n++;
	iter_end(&it);
	if ((*out = ARENA_NEW(a, struct meta_entry, n + 1)) == NULL)
		r = STORE_LIMIT;
	iter_begin(&it, &s->ix, &from, from.n);
	while (r == STORE_OK && i < n && iter_next(&it, &k, &v)) {
		struct meta_entry *e = &(*out)[i++];

		*e = (struct meta_entry){arena_slice(a, name_of(k)), arena_slice(a, v)};
		if (e->name.p == NULL || e->value.p == NULL)
			r = STORE_LIMIT;
	}
	iter_end(&it);
	*n_out = i;
	ended = index_end(&s->ix);
	return ended == STORE_OK ? r : ended;
}
