/*
 * Applies log records to the index, one after the other. Called by catch-up and rebuild, so that a
 * live change and a replay are the same code. It must never look at a clock, at randomness or at
 * the order of anything but the log; what a record cannot mean is logged and left out.
 */
#include "store/apply.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "log.h"
#include "store/blocks.h"
#include "store/dup.h"
#include "store/holes.h"
#include "store/metadata.h"
#include "store/purge.h"

static void
odd(struct index *ix, const struct record *r, const char *why)
{
	char type[2] = {(char)r->type, '\0'};

	LOG("warn.store.record", log_str("user", ix->spool->user), log_u64("modseq", r->modseq), log_str("type", type),
	    log_str("why", why));
}

static void
put_body(struct index *ix, const struct scan *s, const struct record *r, uint32_t num, uint32_t uid, uint32_t refs)
{
	struct ix_key k = key_body(r->modseq);
	struct ix_body b = {.offset = s->body_at, .bytes = r->body_bytes, .segment = s->head.number,
	    .generation = s->head.generation, .crc = r->body_crc, .num = num, .uid = uid,
	    .refs = refs};

	memcpy(b.guid, r->guid, RECORD_ID_BYTES);
	index_put(ix, &k, &b, sizeof(b));
}

/* A spool without INBOX takes mail all the same: made from the record alone, so every replay makes the same one. */
static void
make_inbox(struct index *ix, const struct record *r, struct slice name, struct mbox *out)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char seed[USER_MAX_BYTES + 32];
	int64_t now_s = r->date_ms / 1000;
	uint32_t uidvalidity = ix->meta.uidvalidity + 1;
	unsigned hash_bytes = 0;
	int n = snprintf(seed, sizeof(seed), "%s %llx", ix->spool->user, (unsigned long long)r->modseq);

	if (EVP_Digest(seed, (size_t)n, hash, &hash_bytes, EVP_sha256(), NULL) != 1)
		DIE(EXIT_TEMP, "fatal.store.hash", log_str("user", ix->spool->user));
	if (now_s > uidvalidity && now_s < UID_LAST)
		uidvalidity = (uint32_t)now_s;
	mbox_make(ix, hash, name, uidvalidity, USE_NONE, r->modseq, out);
}

/* The mailbox a delivery goes to: the one of that name now, else INBOX. */
static void
resolve(struct index *ix, const struct record *r, struct slice name, struct mbox *out)
{
	struct mboxname inbox;

	if (name.n > 0 && name.n <= MBOXNAME_MAX_BYTES && mbox_load_name(ix, name, out))
		return;
	mboxname_inbox(slice_of(ix->spool->user), &inbox);
	if (!mbox_load_name(ix, (struct slice){inbox.s, inbox.n}, out))
		make_inbox(ix, r, (struct slice){inbox.s, inbox.n}, out);
}

static void
apply_message(struct index *ix, const struct scan *s, const struct record *r)
{
	struct record_message rm;
	struct mbox m;
	struct ix_msg msg = {.modseq = r->modseq, .body_modseq = r->modseq, .size = r->body_bytes, .date_ms = r->date_ms,
	    .save_ms = r->date_ms, .flags = r->flags};

	if (!record_message_unpack(r->extra, &rm) || rm.naddressees != 1) {
		odd(ix, r, "extra");
		return;
	}
	resolve(ix, r, rm.addressees[0].mailbox, &m);
	if (ix->rc != 0)
		return;
	if (dup_check(ix, rm.key, m.v.num, r->date_ms, r->modseq)) {
		put_body(ix, s, r, 0, 0, 0);
		LOG("store.duplicate", log_slice("qid", rm.qid), log_str("user", ix->spool->user),
		    log_u64("modseq", r->modseq));
		return;
	}
	put_body(ix, s, r, m.v.num, r->uid, 1);
	msg_add(ix, &m, r->uid, &msg);
	mbox_save(ix, &m);
}

/* A record names what should be there and is not: another hole, unless it went with one that is known. */
static void
names_missing(struct index *ix, const struct scan *s, const struct record *r, uint64_t modseq)
{
	if (!hole_may_hold(ix, modseq))
		hole_found(ix, &(struct loss){.segment = s->head.number, .from = r->start, .modseq_from = modseq,
		    .modseq_to = modseq + 1});
}

static void
link_entries(struct index *ix, const struct scan *s, const struct record *r, struct extra_link *l, struct mbox *m)
{
	int bits[STORE_KEYWORDS_MAX];
	uint32_t nbits = 0;
	struct slice name;
	struct extra_entry e;

	while (nbits < STORE_KEYWORDS_MAX && extra_keyword(&l->keywords, &name))
		bits[nbits++] = keyword_make(ix, name);
	while (extra_entry(l, &e)) {
		struct ix_key k = key_body(e.body_modseq);
		struct ix_msg msg = {.modseq = r->modseq, .body_modseq = e.body_modseq, .date_ms = e.date_ms,
		    .save_ms = r->date_ms, .flags = e.flags};
		struct ix_body b;

		if (!index_get_fixed(ix, &k, &b, sizeof(b))) {
			/* Purged since, or its own record was damaged: nobody else is renumbered. */
			if (ix->husks == 0) {
				odd(ix, r, "body");
				names_missing(ix, s, r, e.body_modseq);
			}
			continue;
		}
		b.refs++;
		index_put(ix, &k, &b, sizeof(b));
		msg.size = b.bytes;
		for (uint8_t i = 0; i < e.nkeywords; i++)
			if (e.keywords[i] < nbits && bits[e.keywords[i]] >= 0)
				msg.keywords[bits[e.keywords[i]] / 64] |= 1ULL << (bits[e.keywords[i]] % 64);
		msg_add(ix, m, e.uid, &msg);
	}
}

static void
apply_link(struct index *ix, const struct scan *s, const struct record *r)
{
	static const unsigned char none[RECORD_ID_BYTES];
	struct extra_link l;
	struct mbox to, from;

	if (!extra_unpack_link(r->extra, &l)) {
		odd(ix, r, "extra");
		return;
	}
	if (!mbox_load(ix, r->mailbox, &to)) {
		if (l.create.name.n == 0 || ix->rc != 0) {
			odd(ix, r, "mailbox");
			if (ix->meta.has_holes == 0)
				names_missing(ix, s, r, 0);
			return;
		}
		mbox_make(ix, r->mailbox, l.create.name, l.create.uidvalidity, l.create.use, r->modseq, &to);
		metadata_copy(ix, l.source, r->mailbox);	/* INBOX renamed: both have them (RFC 5464 4.1) */
	}
	link_entries(ix, s, r, &l, &to);
	if (memcmp(l.source, r->mailbox, RECORD_ID_BYTES) == 0)
		blocks_expunge(ix, &to, &l.expunged, r->modseq, r->date_ms);
	else if (memcmp(l.source, none, RECORD_ID_BYTES) != 0 && mbox_load(ix, l.source, &from)) {
		blocks_expunge(ix, &from, &l.expunged, r->modseq, r->date_ms);
		mbox_save(ix, &from);
	}
	mbox_save(ix, &to);
}

static void
apply_flags(struct index *ix, const struct record *r)
{
	struct flag_bits bits = {.flags = 0};
	struct extra_flags f;
	struct slice name;
	struct mbox m;

	if (!extra_unpack_flags(r->extra, &f) || !mbox_load(ix, r->mailbox, &m)) {
		odd(ix, r, "extra");
		return;
	}
	bits.op = f.op;
	bits.flags = f.flags;
	while (extra_keyword(&f.keywords, &name)) {
		int bit = f.op == FLAGS_REMOVE ? keyword_find(ix, name) : keyword_make(ix, name);

		if (bit >= 0)
			bits.keywords[bit / 64] |= 1ULL << (bit % 64);
	}
	blocks_flag(ix, &m, &f.uids, &bits, r->modseq);
	mbox_save(ix, &m);
}

static void
apply_expunge(struct index *ix, const struct record *r)
{
	struct extra_ranges uids;
	struct mbox m;

	if (!extra_unpack_ranges(r->extra, &uids) || !mbox_load(ix, r->mailbox, &m)) {
		odd(ix, r, "extra");
		return;
	}
	blocks_expunge(ix, &m, &uids, r->modseq, r->date_ms);
	mbox_save(ix, &m);
}

static void
apply_create(struct index *ix, const struct record *r)
{
	struct extra_create c;
	struct mbox m;

	if (!extra_unpack_create(r->extra, &c) || c.name.n == 0 || c.name.n > MBOXNAME_MAX_BYTES) {
		odd(ix, r, "extra");
		return;
	}
	if (mbox_load(ix, r->mailbox, &m) || mbox_load_name(ix, c.name, &m)) {
		odd(ix, r, "exists");
		return;
	}
	mbox_make(ix, r->mailbox, c.name, c.uidvalidity, c.use, r->modseq, &m);
}

static void
apply_rename(struct index *ix, const struct record *r)
{
	struct extra_rename e;
	unsigned char id[RECORD_ID_BYTES];
	struct slice name;
	struct mbox m;

	if (!extra_unpack_rename(r->extra, &e)) {
		odd(ix, r, "extra");
		return;
	}
	while (extra_pair(&e, id, &name))
		if (mbox_load(ix, id, &m) && !m.v.is_deleted)
			mbox_rename(ix, &m, name);
}

/* The live ones of one range. */
static void
expunge_range(struct index *ix, struct mbox *m, uint32_t lo, uint32_t hi, const struct record *change)
{
	struct uid_range r = {lo, hi};
	struct extra_ranges uids = {.r = &r, .n = 1};
	struct buf b = buf_make(16);

	extra_pack_ranges(&b, &uids);
	if (extra_unpack_ranges(buf_slice(&b), &uids))
		blocks_expunge(ix, m, &uids, change->modseq, change->date_ms);
	buf_free(&b);
}

static void
apply_delete(struct index *ix, const struct record *r)
{
	struct ix_key k;
	struct mbox m;

	if (!mbox_load(ix, r->mailbox, &m) || m.v.is_deleted) {
		odd(ix, r, "mailbox");
		return;
	}
	expunge_range(ix, &m, 1, UINT32_MAX, r);
	metadata_drop(ix, m.id);
	k = key_name('n', (struct slice){m.name.s, m.name.n});
	index_delete(ix, &k);
	m.v.is_deleted = 1;
	m.v.highestmodseq = r->modseq;
	ix->meta.nmailboxes--;
	mbox_save(ix, &m);
}

static void
apply_subscribe(struct index *ix, const struct record *r)
{
	struct slice name;
	struct ix_key k;
	bool on;

	if (!extra_unpack_subscribe(r->extra, &name, &on) || name.n > MBOXNAME_MAX_BYTES) {
		odd(ix, r, "extra");
		return;
	}
	k = key_name('s', name);
	if (on)
		index_put(ix, &k, name.p, name.n);
	else
		index_delete(ix, &k);
}

static void
apply_metadata(struct index *ix, const struct record *r)
{
	struct extra_metadata e;
	struct meta_change c;
	struct mbox m;

	if (!extra_unpack_metadata(r->extra, &e)) {
		odd(ix, r, "extra");
		return;
	}
	if (!metadata_is_server(r->mailbox) && (!mbox_load(ix, r->mailbox, &m) || m.v.is_deleted)) {
		odd(ix, r, "mailbox");
		return;
	}
	while (extra_meta(&e, &c))
		metadata_put(ix, r->mailbox, &c);
}

static void
apply_recent(struct index *ix, const struct record *r)
{
	struct mbox m;

	if (!mbox_load(ix, r->mailbox, &m) || r->uid <= m.v.recent_uid)
		return;
	m.v.recent_uid = r->uid;
	mbox_save(ix, &m);
}

static void
apply_void(struct index *ix, const struct record *r)
{
	struct unpack u = unpack_make(r->extra.p, r->extra.n);
	uint64_t modseq = unpack_u64(&u);
	struct ix_key k = key_body(modseq);
	struct ix_body b;
	struct ix_msg msg;
	struct mbox m;

	if (!unpack_end(&u)) {
		odd(ix, r, "extra");
		return;
	}
	/* Of a husk too: its key must not stand in the way of the delivery that came instead. */
	if (!dup_void(ix, modseq) || !index_get_fixed(ix, &k, &b, sizeof(b)) || b.num == 0)
		return;
	if (!msg_load(ix, b.num, b.uid, &msg) || msg.body_modseq != modseq || !mbox_load_num(ix, b.num, &m))
		return;
	expunge_range(ix, &m, b.uid, b.uid, r);
	mbox_save(ix, &m);
}

/*
 * Of a message that is gone for good a replay needs the mailbox it made, where it made one, and its delivery
 * key: later deliveries were dropped because of it.
 */
static void
apply_husk(struct index *ix, const struct record *r)
{
	struct record_message rm;
	struct mbox m;

	ix->husks++;
	if (r->type == RECORD_HUSK_BODY)
		return;
	if (!record_message_unpack(r->extra, &rm) || rm.naddressees != 1) {
		odd(ix, r, "extra");
		return;
	}
	resolve(ix, r, rm.addressees[0].mailbox, &m);
	if (ix->rc == 0)
		(void)dup_check(ix, rm.key, m.v.num, r->date_ms, r->modseq);
}

/* Numbers from there to here a client may have seen, with changes that no log has: resync.c asks. */
static void
apply_fence(struct index *ix, const struct record *r)
{
	struct ix_key k = key_fence(r->modseq);

	index_put(ix, &k, &ix->meta.next_modseq, sizeof(ix->meta.next_modseq));
}

/* Behind a segment that was lost: modseqs that were given out in it are forgotten, as by a crash. */
static void
apply_skip(struct index *ix, const struct record *r)
{
	struct ix_key k = key_fence(r->next_modseq);

	index_put(ix, &k, &r->modseq, sizeof(r->modseq));
}

void
apply_record(struct index *ix, const struct scan *s, const struct record *r)
{
	switch (r->type) {
	case RECORD_MESSAGE:
		apply_message(ix, s, r);
		break;
	case RECORD_BODY:
		put_body(ix, s, r, 0, 0, 0);
		break;
	case RECORD_LINK:
		apply_link(ix, s, r);
		break;
	case RECORD_FLAGS:
		apply_flags(ix, r);
		break;
	case RECORD_EXPUNGE:
		apply_expunge(ix, r);
		break;
	case RECORD_CREATE:
		apply_create(ix, r);
		break;
	case RECORD_RENAME:
		apply_rename(ix, r);
		break;
	case RECORD_DELETE:
		apply_delete(ix, r);
		break;
	case RECORD_SUBSCRIBE:
		apply_subscribe(ix, r);
		break;
	case RECORD_METADATA:
		apply_metadata(ix, r);
		break;
	case RECORD_RECENT:
		apply_recent(ix, r);
		break;
	case RECORD_VOID:
		apply_void(ix, r);
		break;
	case RECORD_PURGE:
		purge_apply(ix, r);
		break;
	case RECORD_HUSK_MESSAGE:
	case RECORD_HUSK_BODY:
		apply_husk(ix, r);
		break;
	case RECORD_ACCEPT:
		if (!holes_accept(ix, r->extra))
			odd(ix, r, "extra");
		break;
	case RECORD_FENCE:
		apply_fence(ix, r);
		break;
	case RECORD_SEGMENT:
	case RECORD_SEALED:
		break;
	case RECORD_NEXT:
		if (r->uid > s->head.number + 1)
			apply_skip(ix, r);
		break;
	}
}
