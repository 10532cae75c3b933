/*
 * Mailboxes, messages and keywords of the index: loading, and the few changes there are. Called
 * inside an index transaction; the changing half by apply.c only. Entries that mean nothing any more
 * are removed, so that two replays of a log give the same bytes.
 */
#include "store/state.h"

#include "store/rank.h"

static bool
unpack_mbox(struct index *ix, const unsigned char *id, struct slice v, struct mbox *out)
{
	if (v.n < sizeof(out->v) || v.n - sizeof(out->v) > MBOXNAME_MAX_BYTES) {
		ix->rc = MDB_CORRUPTED;
		return false;
	}
	memcpy(out->id, id, RECORD_ID_BYTES);
	memcpy(&out->v, v.p, sizeof(out->v));
	out->name.n = v.n - sizeof(out->v);
	memcpy(out->name.s, v.p + sizeof(out->v), out->name.n);
	out->name.s[out->name.n] = '\0';
	return true;
}

bool
mbox_load(struct index *ix, const unsigned char *id, struct mbox *out)
{
	struct ix_key k = key_id('m', id);
	struct slice v;

	return index_get(ix, &k, &v) && unpack_mbox(ix, id, v, out);
}

bool
mbox_load_name(struct index *ix, struct slice name, struct mbox *out)
{
	struct ix_key k = key_name('n', name);
	unsigned char id[RECORD_ID_BYTES];

	return index_get_fixed(ix, &k, id, sizeof(id)) && mbox_load(ix, id, out);
}

bool
mbox_load_num(struct index *ix, uint32_t num, struct mbox *out)
{
	struct ix_key k = key_num('i', num);
	unsigned char id[RECORD_ID_BYTES];

	return index_get_fixed(ix, &k, id, sizeof(id)) && mbox_load(ix, id, out);
}

bool
msg_load(struct index *ix, uint32_t num, uint32_t uid, struct ix_msg *out)
{
	struct ix_key k = key_uid('e', num, uid);

	return index_get_fixed(ix, &k, out, sizeof(*out));
}

bool
keyword_name(struct index *ix, uint32_t bit, struct slice *out)
{
	struct ix_key k = key_num('k', bit);

	return bit < ix->meta.nkeywords && index_get(ix, &k, out);
}

int
keyword_find(struct index *ix, struct slice name)
{
	struct slice there;

	for (uint32_t i = 0; keyword_name(ix, i, &there); i++)
		if (slice_is_nocase(there, name))
			return (int)i;
	return -1;
}

int
keyword_make(struct index *ix, struct slice name)
{
	int bit = keyword_find(ix, name);
	struct ix_key k;

	if (bit >= 0 || ix->meta.nkeywords >= STORE_KEYWORDS_MAX || ix->rc != 0)
		return bit;
	k = key_num('k', ix->meta.nkeywords);
	index_put(ix, &k, name.p, name.n);
	return (int)ix->meta.nkeywords++;
}

void
mbox_save(struct index *ix, const struct mbox *m)
{
	char v[sizeof(m->v) + MBOXNAME_MAX_BYTES];
	struct ix_key k = key_id('m', m->id);

	memcpy(v, &m->v, sizeof(m->v));
	memcpy(v + sizeof(m->v), m->name.s, m->name.n);
	index_put(ix, &k, v, sizeof(m->v) + m->name.n);
}

static void
set_name(struct mbox *m, struct slice name)
{
	m->name.n = name.n > MBOXNAME_MAX_BYTES ? MBOXNAME_MAX_BYTES : name.n;
	memcpy(m->name.s, name.p, m->name.n);
	m->name.s[m->name.n] = '\0';
}

void
mbox_make(struct index *ix, const unsigned char *id, struct slice name, uint32_t uidvalidity, uint32_t use, uint64_t modseq,
    struct mbox *out)
{
	struct ix_key k;

	*out = (struct mbox){.v = {.highestmodseq = modseq, .uidvalidity = uidvalidity, .uidnext = 1, .recent_uid = 1,
	    .use = use}};
	memcpy(out->id, id, RECORD_ID_BYTES);
	out->v.num = ++ix->meta.next_num;
	set_name(out, name);
	if (uidvalidity > ix->meta.uidvalidity)
		ix->meta.uidvalidity = uidvalidity;
	ix->meta.nmailboxes++;
	mbox_save(ix, out);
	k = key_num('i', out->v.num);
	index_put(ix, &k, id, RECORD_ID_BYTES);
	k = key_name('n', name);
	index_put(ix, &k, id, RECORD_ID_BYTES);
}

void
mbox_rename(struct index *ix, struct mbox *m, struct slice name)
{
	struct ix_key k = key_name('n', (struct slice){m->name.s, m->name.n});

	index_delete(ix, &k);
	set_name(m, name);
	k = key_name('n', name);
	index_put(ix, &k, m->id, RECORD_ID_BYTES);
	mbox_save(ix, m);
}

void
msg_add(struct index *ix, struct mbox *m, uint32_t uid, const struct ix_msg *msg)
{
	struct ix_key k = key_uid('e', m->v.num, uid);
	struct ix_block was, now;

	index_put(ix, &k, msg, sizeof(*msg));
	rank_load(ix, m->v.num, uid / BLOCK_UIDS, &was);
	now = was;
	bits_set(now.live, uid, true);
	bits_set(now.unseen, uid, !(msg->flags & MSG_SEEN));
	bits_set(now.deleted, uid, msg->flags & MSG_DELETED);
	if (now.modseq < msg->modseq)
		now.modseq = msg->modseq;
	rank_store(ix, m->v.num, uid / BLOCK_UIDS, &was, &now);
	m->v.exists++;
	m->v.unseen += !(msg->flags & MSG_SEEN);
	m->v.bytes += msg->size;
	if (uid >= m->v.uidnext)
		m->v.uidnext = uid + 1;
	if (msg->modseq > m->v.highestmodseq)
		m->v.highestmodseq = msg->modseq;
	ix->touched++;
}
