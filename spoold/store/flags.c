/*
 * Flags and expunge. Called by STORE, EXPUNGE, CLOSE, UID EXPUNGE and POP3's QUIT. What is recorded is
 * the UIDs that really change, in ranges, so that a replay needs no more than the log.
 */
#include "log.h"
#include "store/extra.h"
#include "store/store_impl.h"

#define RECORDS_MAX	64	/* of one command: 6,400,000 ranges; more cannot be in a mailbox we serve */

/* Ranges collected from single UIDs in ascending order. */
struct collect {
	struct buf	 ranges;	/* struct uid_range */
	uint32_t	 last_live;	/* the live message before this one, whether it was taken or not */
	uint32_t	 hi;		/* of the range that is open; 0: none */
};

static void
take(struct collect *c, uint32_t uid)
{
	struct uid_range r = {uid, uid};

	if (c->hi != 0 && c->last_live == c->hi) {
		/* Nothing live in between: the range may go on. */
		memcpy(c->ranges.p + c->ranges.n - sizeof(r.hi), &uid, sizeof(uid));
	} else if (buf_add(&c->ranges, &r, sizeof(r)) != 0)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", c->ranges.n));
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

/* Walks the live messages of a set and takes those that fn wants. */
static void
collect_uids(struct index *ix, uint32_t num, const struct uid_set *uids, bool (*fn)(const struct ix_msg *, const void *),
    const void *arg, struct collect *c)
{
	*c = (struct collect){.ranges = buf_make(SIZE_MAX / 4)};
	for (size_t i = 0; i < uids->n && ix->rc == 0; i++) {
		struct ix_key from = key_uid('e', num, uids->r[i].lo);
		struct slice k, v;
		struct iter it;

		/* What lies between two ranges of the set is not looked at, so it may be live. */
		c->last_live = 0;
		iter_begin(&it, ix, &from, 5);
		while (iter_next(&it, &k, &v)) {
			uint32_t uid = key_get_u32((const unsigned char *)k.p + 5);
			struct ix_msg m;

			if (uid > uids->r[i].hi)
				break;
			memcpy(&m, v.p, sizeof(m));
			if (fn(&m, arg))
				take(c, uid);
			c->last_live = uid;
		}
		iter_end(&it);
	}
}

struct flags_arg {
	const struct flag_change *f;
	uint64_t	bits[2];
	bool		has_new;
};

static bool
wants_flags(const struct ix_msg *m, const void *arg)
{
	const struct flags_arg *a = arg;

	return would_change(m, a->f, a->bits, a->has_new);
}

static bool
is_wanted(const struct ix_msg *m, const void *arg)
{
	return !*(const bool *)arg || (m->flags & MSG_DELETED);
}

/*
 * Ends a change that goes over collected ranges: as many records as they take. pack fills one
 * record's extra; modseq_out: of the last.
 */
static enum store_result
end_with_ranges(struct store *s, struct collect *c, const struct record *like,
    void (*pack)(struct buf *, const struct extra_ranges *, const void *), const void *arg, uint64_t *modseq_out)
{
	size_t total = c->ranges.n / sizeof(struct uid_range), done = 0, n = 0;
	const struct uid_range *all = (const struct uid_range *)(const void *)c->ranges.p;
	struct record recs[RECORDS_MAX];
	struct buf extras[RECORDS_MAX];
	enum store_result r = STORE_OK;

	for (; done < total && n < RECORDS_MAX && r == STORE_OK; n++) {
		struct extra_ranges part = {.r = all + done,
		    .n = total - done < EXTRA_RANGES_MAX ? (uint32_t)(total - done) : EXTRA_RANGES_MAX};

		extras[n] = buf_make(RECORD_EXTRA_MAX_BYTES);
		pack(&extras[n], &part, arg);
		if (!pack_ok(&extras[n]))
			r = STORE_LIMIT;
		recs[n] = *like;
		recs[n].extra = buf_slice(&extras[n]);
		done += part.n;
	}
	if (done < total)
		r = STORE_LIMIT;
	r = r == STORE_OK ? change_end(s, recs, n, NULL, false) : change_drop(s, r);
	if (r == STORE_OK && n > 0)
		*modseq_out = recs[n - 1].modseq;
	for (size_t i = 0; i < n; i++)
		buf_free(&extras[i]);
	buf_free(&c->ranges);
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

enum store_result
store_flags(struct store *s, const unsigned char *mailbox, const struct uid_set *uids, const struct flag_change *f,
    uint64_t *modseq_out)
{
	struct record rec = {.type = RECORD_FLAGS, .date_ms = now_ms()};
	struct flags_arg arg = {.f = f};
	enum store_result r;
	struct collect c;
	struct mbox m;
	uint32_t nnew;

	*modseq_out = 0;
	for (size_t i = 0; i < f->nkeywords; i++)
		if (f->keywords[i].n == 0 || f->keywords[i].n > STORE_KEYWORD_MAX_BYTES || f->nkeywords > STORE_KEYWORDS_MAX)
			return STORE_LIMIT;
	if ((r = change_begin(s)) != STORE_OK)
		return r;
	if ((r = find_mbox(s, mailbox, &m)) != STORE_OK)
		return change_drop(s, r);
	find_keywords(&s->ix, f, arg.bits, &nnew);
	arg.has_new = nnew > 0;
	collect_uids(&s->ix, m.v.num, uids, wants_flags, &arg, &c);
	/* Names given twice count twice here: the limit is a little earlier for who does that. */
	if (c.ranges.n > 0 && f->op != FLAGS_REMOVE && s->ix.meta.nkeywords + nnew > STORE_KEYWORDS_MAX) {
		buf_free(&c.ranges);
		return change_drop(s, STORE_LIMIT);
	}
	memcpy(rec.mailbox, mailbox, RECORD_ID_BYTES);
	return end_with_ranges(s, &c, &rec, pack_flags, f, modseq_out);
}

enum store_result
store_expunge(struct store *s, const unsigned char *mailbox, const struct uid_set *uids, bool only_deleted, uint64_t *modseq_out)
{
	struct record rec = {.type = RECORD_EXPUNGE, .date_ms = now_ms()};
	struct uid_range every = {1, UID_LAST};
	struct uid_set all = {&every, 1};
	enum store_result r;
	struct collect c;
	struct mbox m;

	*modseq_out = 0;
	if ((r = change_begin(s)) != STORE_OK)
		return r;
	if ((r = find_mbox(s, mailbox, &m)) != STORE_OK)
		return change_drop(s, r);
	collect_uids(&s->ix, m.v.num, uids != NULL ? uids : &all, is_wanted, &only_deleted, &c);
	memcpy(rec.mailbox, mailbox, RECORD_ID_BYTES);
	return end_with_ranges(s, &c, &rec, pack_uids, NULL, modseq_out);
}
