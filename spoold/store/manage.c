/*
 * Making, renaming and removing mailboxes, and subscriptions. Called through place.c, which tells the
 * location map. Each is one record; a name once seen free under the log's lock stays free until our record.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "log.h"
#include "store/extra.h"
#include "store/metadata.h"
#include "store/store_impl.h"

static void
make_id(unsigned char *id_out)
{
	if (getrandom(id_out, RECORD_ID_BYTES, 0) != RECORD_ID_BYTES)
		DIE(EXIT_TEMP, "fatal.store.random", log_u64("bytes", RECORD_ID_BYTES));
}

/* Greater than any the user had, whatever the clock says. 0: there is none left. */
static uint32_t
next_uidvalidity(const struct store *s)
{
	int64_t now_s = now_ms() / 1000;
	uint32_t least = s->ix.meta.uidvalidity + 1;

	if (least > UID_LAST)
		return 0;
	return now_s > least && now_s < UID_LAST ? (uint32_t)now_s : least;
}

static bool
is_inbox(const struct store *s, struct slice inside)
{
	struct mboxname inbox;

	mboxname_inbox(store_user(s), &inbox);
	return slice_is(inside, (struct slice){inbox.s, inbox.n});
}

enum store_result
store_mbox_create(struct store *s, struct slice inside, enum special_use use, unsigned char *id_out)
{
	struct record rec = {.type = RECORD_CREATE, .date_ms = now_ms()};
	struct extra_create c = {.name = inside, .use = (uint32_t)use};
	struct buf extra;
	struct mbox m;
	enum store_result r;

	if (inside.n == 0 || inside.n > MBOXNAME_MAX_BYTES)
		return STORE_LIMIT;
	if ((r = change_begin(s)) != STORE_OK)
		return r;
	if (mbox_load_name(&s->ix, inside, &m))
		return change_drop(s, STORE_EXISTS);
	if (s->ix.meta.nmailboxes >= STORE_MAILBOXES_MAX || (c.uidvalidity = next_uidvalidity(s)) == 0)
		return change_drop(s, STORE_LIMIT);
	extra = buf_make(RECORD_EXTRA_MAX_BYTES);
	extra_pack_create(&extra, &c);
	make_id(rec.mailbox);
	memcpy(id_out, rec.mailbox, RECORD_ID_BYTES);
	rec.extra = buf_slice(&extra);
	if ((r = change_end(s, &rec, 1, NULL, true)) != STORE_OK)
		undo_create(s, rec.mailbox);
	buf_free(&extra);
	return r;
}

enum store_result
store_mbox_delete(struct store *s, struct slice inside)
{
	struct record rec = {.type = RECORD_DELETE, .date_ms = now_ms()};
	enum store_result r;
	struct mbox m;

	if (inside.n > MBOXNAME_MAX_BYTES)
		return STORE_NOMBOX;
	if (is_inbox(s, inside))
		return STORE_LIMIT;
	if ((r = change_begin(s)) != STORE_OK)
		return r;
	if (!mbox_load_name(&s->ix, inside, &m))
		return change_drop(s, STORE_NOMBOX);
	memcpy(rec.mailbox, m.id, RECORD_ID_BYTES);
	return change_end(s, &rec, 1, NULL, true);
}

enum store_result
store_subscribe(struct store *s, struct slice inside, bool on)
{
	struct record rec = {.type = RECORD_SUBSCRIBE, .date_ms = now_ms()};
	struct ix_key k;
	struct slice there;
	struct buf extra;
	enum store_result r;

	if (inside.n == 0 || inside.n > MBOXNAME_MAX_BYTES)
		return STORE_LIMIT;
	k = key_name('s', inside);
	if ((r = change_begin(s)) != STORE_OK)
		return r;
	if (index_get(&s->ix, &k, &there) == on)
		return change_end(s, NULL, 0, NULL, false);
	extra = buf_make(RECORD_EXTRA_MAX_BYTES);
	extra_pack_subscribe(&extra, inside, on);
	rec.extra = buf_slice(&extra);
	r = change_end(s, &rec, 1, NULL, false);
	buf_free(&extra);
	return r;
}

/* Packs one pair of a rename. STORE_EXISTS, STORE_LIMIT, or STORE_OK. */
static enum store_result
rename_one(struct store *s, const struct mbox *m, size_t from_n, struct slice to, struct buf *pairs)
{
	struct mboxname name;
	struct mbox there;

	name.n = to.n + (m->name.n - from_n);
	if (name.n > MBOXNAME_MAX_BYTES)
		return STORE_LIMIT;
	memcpy(name.s, to.p, to.n);
	memcpy(name.s + to.n, m->name.s + from_n, m->name.n - from_n);
	name.s[name.n] = '\0';
	if (mbox_load_name(&s->ix, (struct slice){name.s, name.n}, &there))
		return STORE_EXISTS;
	extra_pack_pair(pairs, m->id, (struct slice){name.s, name.n});
	return pack_ok(pairs) ? STORE_OK : STORE_LIMIT;
}

static bool
is_below(const struct mbox *m, struct slice parent)
{
	return m->name.n > parent.n && m->name.s[parent.n] == '.' && memcmp(m->name.s, parent.p, parent.n) == 0;
}

/* The mailbox of that name and all below it, as pairs. */
static enum store_result
rename_tree(struct store *s, struct slice from, struct slice to, uint32_t *n_out, struct buf *pairs)
{
	struct ix_key first = key_of('n');
	enum store_result r = STORE_OK;
	unsigned char id[RECORD_ID_BYTES];
	struct slice k, v;
	struct iter it;
	struct mbox m;

	/* A hashed key shares its first bytes with the name only so far. */
	key_add(&first, from.p, from.n < IX_NAME_PLAIN ? from.n : IX_NAME_PLAIN);
	iter_begin(&it, &s->ix, &first, first.n);
	while (r == STORE_OK && iter_next(&it, &k, &v) && v.n == sizeof(id)) {
		memcpy(id, v.p, sizeof(id));
		if (!mbox_load(&s->ix, id, &m) ||
		    (!slice_is((struct slice){m.name.s, m.name.n}, from) && !is_below(&m, from)))
			continue;
		r = rename_one(s, &m, from.n, to, pairs);
		++*n_out;
	}
	iter_end(&it);
	return r;
}

/* RFC 3501 6.3.5: INBOX's messages go to a new mailbox; made, filled and emptied by one link record. */
static enum store_result
rename_inbox(struct store *s, struct slice to)
{
	struct mbox inbox, there;
	struct extra_link l = {.create = {.name = to, .use = USE_NONE}};
	struct uid_range all = {1, UID_LAST};
	struct uid_set uids = {&all, 1};
	unsigned char id[RECORD_ID_BYTES];
	enum store_result r;
	struct mboxname name;

	mboxname_inbox(store_user(s), &name);
	if ((r = change_prepare(s)) != STORE_OK)
		return r;
	if (!mbox_load_name(&s->ix, (struct slice){name.s, name.n}, &inbox))
		return change_drop(s, STORE_NOMBOX);
	if (mbox_load_name(&s->ix, to, &there))
		return change_drop(s, STORE_EXISTS);
	if (s->ix.meta.nmailboxes >= STORE_MAILBOXES_MAX || (l.create.uidvalidity = next_uidvalidity(s)) == 0)
		return change_drop(s, STORE_LIMIT);
	/* The new one gets INBOX's entries, INBOX keeps them. */
	if (s->ix.meta.metadata_bytes + metadata_bytes(&s->ix, inbox.id) > STORE_META_TOTAL_MAX_BYTES)
		return change_drop(s, STORE_LIMIT);
	make_id(id);
	return link_messages(s, &inbox, &uids, id, &l, true, NULL, NULL, NULL);
}

enum store_result
mbox_rename_tree(struct store *s, struct slice from, struct slice to, uint32_t *n_io, bool wait)
{
	struct record rec = {.type = RECORD_RENAME, .date_ms = now_ms()};
	struct buf pairs, extra;
	enum store_result r;
	uint32_t n = 0;

	if ((r = change_begin(s)) != STORE_OK)
		return r;
	pairs = buf_make(RECORD_EXTRA_MAX_BYTES - 3 * sizeof(n) - 2 * MBOXNAME_MAX_BYTES);
	extra = buf_make(RECORD_EXTRA_MAX_BYTES);
	r = rename_tree(s, from, to, &n, &pairs);
	if (r == STORE_OK && n == 0)
		r = STORE_NOMBOX;
	if (r == STORE_OK && *n_io != 0 && n != *n_io)
		r = STORE_EXISTS;
	*n_io = n;
	pack_u32(&extra, n);
	pack_bytes(&extra, pairs.p, pairs.n);
	pack_str(&extra, from);
	pack_str(&extra, to);
	rec.extra = buf_slice(&extra);
	r = r == STORE_OK ? change_end(s, &rec, 1, NULL, wait) : change_drop(s, r);
	buf_free(&pairs);
	buf_free(&extra);
	return r;
}

enum store_result
store_mbox_rename(struct store *s, struct slice from, struct slice to)
{
	enum store_result r;
	uint32_t n = 0;

	if (from.n == 0 || from.n > MBOXNAME_MAX_BYTES)
		return STORE_NOMBOX;
	if (to.n == 0 || to.n > MBOXNAME_MAX_BYTES)
		return STORE_LIMIT;
	if (is_inbox(s, from))
		return rename_inbox(s, to);
	/* Into itself or below itself there is no end of names. */
	if (slice_is(from, to) || (to.n > from.n && to.p[from.n] == '.' && memcmp(to.p, from.p, from.n) == 0))
		return STORE_EXISTS;
	if ((r = mbox_rename_tree(s, from, to, &n, true)) != STORE_OK)
		undo_rename(s, from, to, n);
	return r;
}
