/*
 * Flags and expunge. Called by STORE, EXPUNGE, CLOSE, UID EXPUNGE and POP3's QUIT. What is recorded is
 * the UIDs that really change, in ranges, so that a replay needs no more than the log.
 */
#include "log.h"
#include "store/extra.h"
#include "store/msgs.h"

/* Of one record: each is applied in a transaction of its own, so that is what a change of very many needs in memory. */
#define CHANGE_MSGS_MAX	20000
#define RECORDS_MAX	10000	/* of one command: 200,000,000 messages; more cannot be in a mailbox we serve */

/* Ranges collected from single UIDs in ascending order, and where each record's end. */
struct collect {
	struct buf	 ranges;	/* struct uid_range */
	struct buf	 ends;		/* size_t: ranges before the next record */
	size_t		 nranges, begun;	/* all; at the beginning of this record */
	uint32_t	 nmsgs;		/* of this record */
	uint32_t	 last_live;	/* the live message before this one, whether it was taken or not */
	uint32_t	 hi;		/* of the range that is open; 0: none */
};

static void
add_bytes(struct buf *b, const void *p, size_t n)
{
	if (buf_add(b, p, n) != 0)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", b->n));
}

static void
end_record(struct collect *c)
{
	if (c->nranges == c->begun)
		return;
	add_bytes(&c->ends, &c->nranges, sizeof(c->nranges));
	c->begun = c->nranges;
	c->nmsgs = 0;
	c->hi = 0;
}

static void
take(struct collect *c, uint32_t uid)
{
	struct uid_range r = {uid, uid};
	bool goes_on = c->hi != 0 && c->last_live == c->hi;	/* nothing live in between */

	if (c->nmsgs == CHANGE_MSGS_MAX || (!goes_on && c->nranges - c->begun == EXTRA_RANGES_MAX)) {
		end_record(c);
		goes_on = false;
	}
	if (goes_on)
		memcpy(c->ranges.p + c->ranges.n - sizeof(r.hi), &uid, sizeof(uid));
	else {
		add_bytes(&c->ranges, &r, sizeof(r));
		c->nranges++;
	}
	c->nmsgs++;
	c->hi = uid;
}

/* Which bits the names have; *is_new_out: some name has none yet. */
static void
find_keywords(struct index *ix, const struct flag_change *f, uint64_t *bits, uint32_t *nnew_out)
{
	bits[0] = bits[1] = 0;
	*nnew_out = 0;
	for (size_t i = 0; i < f->nkeywords; i++) {
		int bit = keyword_find(ix, f->keywords[i]);

		if (bit >= 0)
			bits[bit / 64] |= 1ULL << (bit % 64);
		else
			++*nnew_out;
	}
}

static bool
would_change(const struct ix_msg *m, const struct flag_change *f, const uint64_t *bits, bool has_new)
{
	bool has_all = (m->flags & f->flags) == f->flags && (m->keywords[0] & bits[0]) == bits[0] &&
	    (m->keywords[1] & bits[1]) == bits[1];

	switch (f->op) {
	case FLAGS_SET:
		return has_new || m->flags != f->flags || m->keywords[0] != bits[0] || m->keywords[1] != bits[1];
	case FLAGS_ADD:
		return has_new || !has_all;
	case FLAGS_REMOVE:
		return (m->flags & f->flags) || (m->keywords[0] & bits[0]) || (m->keywords[1] & bits[1]);
	}
	return false;
}

/* RFC 7162 3.1.3: with 0 only what is not there passes, a keyword that the message lacks; a system flag always is there. */
static bool
is_unchanged(const struct ix_msg *m, const struct flag_change *f, const uint64_t *bits, uint64_t since)
{
	if (m->modseq <= since)
		return true;
	return since == 0 && f->op == FLAGS_ADD && f->flags == 0 && f->nkeywords > 0 && (m->keywords[0] & bits[0]) == 0 &&
	    (m->keywords[1] & bits[1]) == 0;
}

/* The live messages of a set that the change would change, and those that it must leave: changed after since. */
static void
collect_flags(struct index *ix, uint32_t num, const struct uid_set *uids, const struct flag_change *f, const uint64_t *bits,
    bool has_new, uint64_t since, struct collect *c, struct collect *left)
{
	for (size_t i = 0; i < uids->n && ix->rc == 0; i++) {
		struct msgs msgs;
		struct ix_msg m;
		uint32_t uid;
		bool is_gone;

		/* What lies between two ranges of the set is not looked at, so it may be live. */
		c->last_live = left->last_live = 0;
		msgs_begin(&msgs, ix, num, uids->r[i].lo, uids->r[i].hi, 0, NULL);
		while (msgs_next(&msgs, &uid, &m, &is_gone)) {
			if (!is_unchanged(&m, f, bits, since))
				take(left, uid);
			else if (would_change(&m, f, bits, has_new))
				take(c, uid);
			c->last_live = left->last_live = uid;
		}
		msgs_end(&msgs);
	}
	end_record(c);
}

/* The live messages of a set, or those of them that have \Deleted: bits of blocks say which. */
static void
collect_expunged(struct index *ix, uint32_t num, const struct uid_set *uids, bool only_deleted, struct collect *c)
{
	for (size_t i = 0; i < uids->n && ix->rc == 0; i++) {
		struct rank_scan scan;
		struct ix_block b;
		uint32_t block, before = 0;
		int bit;

		c->last_live = 0;
		rank_scan_begin(&scan, ix, num, uids->r[i].lo, uids->r[i].hi, only_deleted ? RANK_DELETED : RANK_LIVE, 0);
		while (rank_scan_next(&scan, &block, &b)) {
			/* Blocks in which none is deleted were passed over. */
			if (only_deleted && block != before + 1)
				c->last_live = 0;
			before = block;
			bits_clip(b.live, block, uids->r[i].lo, uids->r[i].hi);
			while ((bit = bits_take(b.live)) >= 0) {
				uint32_t uid = block * BLOCK_UIDS + (uint32_t)bit;

				if (!only_deleted || bits_has(b.deleted, uid))
					take(c, uid);
				c->last_live = uid;
			}
		}
		rank_scan_end(&scan);
	}
	end_record(c);
}

/*
 * Ends a prepared change that goes over collected ranges: as many records as they take. pack fills one
 * record's extra; modseq_out: of the last.
 */
static enum store_result
end_with_ranges(struct store *s, struct collect *c, const struct record *like,
    void (*pack)(struct buf *, const struct extra_ranges *, const void *), const void *arg, uint64_t *modseq_out)
{
	size_t n = c->ends.n / sizeof(size_t), done = 0, end;
	struct buf mem = buf_make(SIZE_MAX / 4), extra = buf_make(SIZE_MAX / 4);
	const struct uid_range *all = (const struct uid_range *)(const void *)c->ranges.p;
	struct record *recs = (struct record *)(void *)buf_room(&mem, (n + 1) * sizeof(*recs));
	enum store_result r = n <= RECORDS_MAX ? STORE_OK : STORE_LIMIT;

	for (size_t i = 0; i < n && r == STORE_OK; i++) {
		struct extra_ranges part = {.r = all + done};
		size_t from = extra.n;

		memcpy(&end, c->ends.p + i * sizeof(end), sizeof(end));
		part.n = (uint32_t)(end - done);
		pack(&extra, &part, arg);
		if (!pack_ok(&extra) || extra.n - from > RECORD_EXTRA_MAX_BYTES)
			r = STORE_LIMIT;
		recs[i] = *like;
		recs[i].extra.n = extra.n - from;
		done = end;
	}
	/* The buffer has come to rest. */
	for (size_t i = 0, at = 0; i < n && r == STORE_OK; at += recs[i++].extra.n)
		recs[i].extra.p = extra.p + at;
	if (r != STORE_OK || n == 0)
		r = change_drop(s, r);
	else if ((r = change_lock(s)) == STORE_OK) {
		r = change_end(s, recs, n, NULL, false);
		if (r == STORE_OK)
			*modseq_out = recs[n - 1].modseq;
	}
	buf_free(&mem);
	buf_free(&extra);
	buf_free(&c->ranges);
	buf_free(&c->ends);
	return r;
}

static void
pack_flags(struct buf *b, const struct extra_ranges *uids, const void *arg)
{
	const struct flag_change *f = arg;
	struct extra_flags e = {.op = f->op, .flags = f->flags, .uids = *uids,
	    .keywords = {.names = f->keywords, .n = (uint32_t)f->nkeywords}};

	extra_pack_flags(b, &e);
}

static void
pack_uids(struct buf *b, const struct extra_ranges *uids, const void *arg)
{
	(void)arg;
	extra_pack_ranges(b, uids);
}

/* What was collected, as a set. False: the arena is full. */
static bool
give_set(const struct collect *c, struct arena *a, struct uid_set *out)
{
	*out = (struct uid_set){ARENA_NEW(a, struct uid_range, c->nranges + 1), c->nranges};
	if (out->r != NULL && c->nranges > 0)
		memcpy(out->r, c->ranges.p, c->nranges * sizeof(*out->r));
	return out->r != NULL;
}

static void
collect_free(struct collect *c)
{
	buf_free(&c->ranges);
	buf_free(&c->ends);
}

enum store_result
store_flags_unless(struct store *s, const unsigned char *mailbox, const struct uid_set *uids, const struct flag_change *f,
    uint64_t since, struct arena *a, struct uid_set *left_out, uint64_t *modseq_out)
{
	struct record rec = {.type = RECORD_FLAGS, .date_ms = now_ms()};
	struct collect c = {.ranges = buf_make(SIZE_MAX / 4), .ends = buf_make(SIZE_MAX / 4)};
	struct collect left = {.ranges = buf_make(SIZE_MAX / 4), .ends = buf_make(SIZE_MAX / 4)};
	uint64_t bits[STORE_KEYWORDS_MAX / 64];
	enum store_result r;
	struct mbox m;
	uint32_t nnew;

	*modseq_out = 0;
	for (size_t i = 0; i < f->nkeywords; i++)
		if (f->keywords[i].n == 0 || f->keywords[i].n > STORE_KEYWORD_MAX_BYTES || f->nkeywords > STORE_KEYWORDS_MAX)
			return STORE_LIMIT;
	if ((r = change_prepare(s)) != STORE_OK)
		return r;
	if ((r = find_mbox(s, mailbox, &m)) != STORE_OK)
		return change_drop(s, r);
	find_keywords(&s->ix, f, bits, &nnew);
	collect_flags(&s->ix, m.v.num, uids, f, bits, nnew > 0, since, &c, &left);
	/* Names given twice count twice here: the limit is a little earlier for who does that. */
	if (c.nranges > 0 && f->op != FLAGS_REMOVE && s->ix.meta.nkeywords + nnew > STORE_KEYWORDS_MAX)
		r = STORE_LIMIT;
	else if (left_out != NULL && !give_set(&left, a, left_out))
		r = STORE_LIMIT;
	collect_free(&left);
	if (r != STORE_OK) {
		collect_free(&c);
		return change_drop(s, r);
	}
	memcpy(rec.mailbox, mailbox, RECORD_ID_BYTES);
	return end_with_ranges(s, &c, &rec, pack_flags, f, modseq_out);
}

enum store_result
store_flags(struct store *s, const unsigned char *mailbox, const struct uid_set *uids, const struct flag_change *f,
    uint64_t *modseq_out)
{
	return store_flags_unless(s, mailbox, uids, f, UINT64_MAX, NULL, NULL, modseq_out);
}

enum store_result
store_expunge(struct store *s, const unsigned char *mailbox, const struct uid_set *uids, bool only_deleted, uint64_t *modseq_out)
{
	struct record rec = {.type = RECORD_EXPUNGE, .date_ms = now_ms()};
	struct collect c = {.ranges = buf_make(SIZE_MAX / 4), .ends = buf_make(SIZE_MAX / 4)};
	struct uid_range every = {1, UID_LAST};
	struct uid_set all = {&every, 1};
	enum store_result r;
	struct mbox m;

	*modseq_out = 0;
	if ((r = change_prepare(s)) != STORE_OK)
		return r;
	if ((r = find_mbox(s, mailbox, &m)) != STORE_OK)
		return change_drop(s, r);
	collect_expunged(&s->ix, m.v.num, uids != NULL ? uids : &all, only_deleted, &c);
	memcpy(rec.mailbox, mailbox, RECORD_ID_BYTES);
	return end_with_ranges(s, &c, &rec, pack_uids, NULL, modseq_out);
}
