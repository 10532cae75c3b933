/*
 * Looking at mailboxes, subscriptions and keywords. Called by the sessions. Read transactions only,
 * caught up with the log first.
 */
#include <stdlib.h>

#include "log.h"
#include "store/rank.h"
#include "store/store_impl.h"

bool
mbox_info_fill(struct store *s, const struct mbox *m, struct arena *a, struct mbox_info *out)
{
	struct slice name = {m->name.s, m->name.n}, ignored;
	struct ix_key k = key_name('s', name);

	memcpy(out->id, m->id, RECORD_ID_BYTES);
	out->name = arena_slice(a, name);
	out->uidvalidity = m->v.uidvalidity;
	out->uidnext = m->v.uidnext;
	out->highestmodseq = m->v.highestmodseq;
	out->exists = m->v.exists;
	out->unseen = m->v.unseen;
	out->recent_uid = m->v.recent_uid;
	out->recent = m->v.recent_uid >= m->v.uidnext ? 0 :
	    m->v.exists - rank_below(&s->ix, m->v.num, m->v.recent_uid);
	out->bytes = m->v.bytes;
	out->use = (enum special_use)m->v.use;
	out->is_subscribed = index_get(&s->ix, &k, &ignored);
	return out->name.p != NULL;
}

static enum store_result
info_of(struct store *s, bool is_found, const struct mbox *m, struct arena *a, struct mbox_info *out)
{
	enum store_result r = STORE_OK, ended;

	if (!is_found || m->v.is_deleted)
		r = STORE_NOMBOX;
	else if (!mbox_info_fill(s, m, a, out))
		r = STORE_LIMIT;
	ended = index_end(&s->ix);
	return ended == STORE_OK ? r : ended;
}

enum store_result
store_mbox_by_name(struct store *s, struct slice inside, struct arena *a, struct mbox_info *out)
{
	enum store_result r = store_current_begin(s);
	struct mbox m;

	if (r != STORE_OK)
		return r;
	if (inside.n > MBOXNAME_MAX_BYTES)
		return info_of(s, false, NULL, a, out);
	return info_of(s, mbox_load_name(&s->ix, inside, &m), &m, a, out);
}

enum store_result
store_mbox_by_id(struct store *s, const unsigned char *id, struct arena *a, struct mbox_info *out)
{
	enum store_result r = store_current_begin(s);
	struct mbox m;

	if (r != STORE_OK)
		return r;
	return info_of(s, mbox_load(&s->ix, id, &m), &m, a, out);
}

static int
compare_slices(struct slice a, struct slice b)
{
	int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static int
by_name(const void *a, const void *b)
{
	return compare_slices(((const struct mbox_info *)a)->name, ((const struct mbox_info *)b)->name);
}

static int
by_slice(const void *a, const void *b)
{
	return compare_slices(*(const struct slice *)a, *(const struct slice *)b);
}

enum store_result
store_mbox_list(struct store *s, struct arena *a, struct mbox_info **out, size_t *n_out)
{
	enum store_result r = store_current_begin(s), ended;
	struct ix_key from = key_of('n');
	unsigned char id[RECORD_ID_BYTES];
	struct slice k, v;
	struct iter it;
	struct mbox m;
	size_t n = 0;

	if (r != STORE_OK)
		return r;
	if ((*out = ARENA_NEW(a, struct mbox_info, (size_t)s->ix.meta.nmailboxes + 1)) == NULL)
		r = STORE_LIMIT;
	iter_begin(&it, &s->ix, &from, 1);
	while (r == STORE_OK && n < s->ix.meta.nmailboxes && iter_next(&it, &k, &v) && v.n == sizeof(id)) {
		memcpy(id, v.p, sizeof(id));
		if (mbox_load(&s->ix, id, &m) && !mbox_info_fill(s, &m, a, &(*out)[n++]))
			r = STORE_LIMIT;
	}
	iter_end(&it);
	ended = index_end(&s->ix);
	if (r == STORE_OK)
		r = ended;
	if (r == STORE_OK) {
		/* Long names are not in order in the index. */
		qsort(*out, n, sizeof(**out), by_name);
		*n_out = n;
	}
	return r;
}

/* Keys of long names are their first bytes and a hash: where those do not tell, the mailbox does. */
static bool
is_below_live(struct store *s, struct slice above, struct slice id)
{
	unsigned char bytes[RECORD_ID_BYTES];
	struct mbox m;

	if (id.n != sizeof(bytes))
		return false;
	memcpy(bytes, id.p, sizeof(bytes));
	return mbox_load(&s->ix, bytes, &m) && m.name.n > above.n && memcmp(m.name.s, above.p, above.n) == 0;
}

enum store_result
store_mbox_has_children(struct store *s, struct slice inside, bool *out)
{
	char prefix[MBOXNAME_MAX_BYTES + sizeof(".INBOX.")];
	struct slice above = {prefix, inside.n};
	struct mboxname inbox;
	struct ix_key from = key_of('n');
	enum store_result r;
	struct slice k, id;
	struct iter it;

	*out = false;
	if (inside.n == 0 || inside.n > MBOXNAME_MAX_BYTES)
		return STORE_NOMBOX;
	if ((r = store_current_begin(s)) != STORE_OK)
		return r;
	memcpy(prefix, inside.p, inside.n);
	mboxname_inbox(store_user(s), &inbox);
	if (slice_is(inside, (struct slice){inbox.s, inbox.n})) {
		memcpy(prefix + above.n, ".INBOX", 6);
		above.n += 6;
	}
	prefix[above.n++] = '.';
	key_add(&from, prefix, above.n < IX_NAME_PLAIN ? above.n : IX_NAME_PLAIN);
	iter_begin(&it, &s->ix, &from, from.n);
	while (!*out && iter_next(&it, &k, &id))
		*out = is_below_live(s, above, id);
	iter_end(&it);
	return index_end(&s->ix);
}

enum store_result
store_mbox_deleted(struct store *s, const unsigned char *id, uint32_t *out)
{
	enum store_result r = store_current_begin(s), ended;
	struct mbox m;

	*out = 0;
	if (r != STORE_OK)
		return r;
	if (!mbox_load(&s->ix, id, &m) || m.v.is_deleted)
		r = STORE_NOMBOX;
	else
		*out = rank_deleted(&s->ix, m.v.num);
	ended = index_end(&s->ix);
	return ended == STORE_OK ? r : ended;
}

/* The values under a letter, as slices in the arena. */
static enum store_result
list_values(struct store *s, char letter, struct arena *a, struct slice **out, size_t *n_out)
{
	enum store_result r = STORE_OK, ended;
	struct ix_key from = key_of(letter);
	struct slice k, v;
	struct iter it;
	size_t n = 0, i = 0;

	iter_begin(&it, &s->ix, &from, 1);
	while (iter_next(&it, &k, &v))
		n++;
	iter_end(&it);
	if ((*out = ARENA_NEW(a, struct slice, n + 1)) == NULL)
		r = STORE_LIMIT;
	iter_begin(&it, &s->ix, &from, 1);
	while (r == STORE_OK && i < n && iter_next(&it, &k, &v)) {
		(*out)[i] = arena_slice(a, v);
		if ((*out)[i++].p == NULL)
			r = STORE_LIMIT;
	}
	iter_end(&it);
	*n_out = i;
	ended = index_end(&s->ix);
	return ended == STORE_OK ? r : ended;
}

enum store_result
store_subscriptions(struct store *s, struct arena *a, struct slice **out, size_t *n_out)
{
	enum store_result r = store_current_begin(s);

	if (r == STORE_OK && (r = list_values(s, 's', a, out, n_out)) == STORE_OK)
		qsort(*out, *n_out, sizeof(**out), by_slice);
	return r;
}

enum store_result
store_keywords(struct store *s, struct arena *a, struct slice **names_out, size_t *n_out)
{
	enum store_result r = store_current_begin(s);

	/* Their keys are their bits. */
	return r == STORE_OK ? list_values(s, 'k', a, names_out, n_out) : r;
}
