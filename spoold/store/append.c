/*
 * APPEND and REPLACE: bodies first as unlinked records, then one link record that gives all of them mailbox, UIDs
 * and modseq, and expunges what is replaced; written under one lock, visible all at once or not at all.
 */
#include <sys/random.h>

#include "log.h"
#include "store/rank.h"
#include "store/store_impl.h"

/* The list of names that the entries point into. False past STORE_KEYWORDS_MAX. */
struct names {
	struct slice	v[STORE_KEYWORDS_MAX];
	uint32_t	n;
};

static int
name_place(struct names *names, struct slice name)
{
	for (uint32_t i = 0; i < names->n; i++)
		if (slice_is_nocase(names->v[i], name))
			return (int)i;
	if (names->n == STORE_KEYWORDS_MAX)
		return -1;
	names->v[names->n] = name;
	return (int)names->n++;
}

static bool
fill_entry(const struct append_msg *m, struct names *names, struct extra_entry *e)
{
	uint64_t has[2] = {0, 0};

	e->flags = m->flags;
	e->date_ms = m->date_ms;
	for (size_t i = 0; i < m->nkeywords; i++) {
		int at;

		if (m->keywords[i].n == 0 || m->keywords[i].n > STORE_KEYWORD_MAX_BYTES ||
		    (at = name_place(names, m->keywords[i])) < 0)
			return false;
		if (!(has[at / 64] >> (at % 64) & 1))
			e->keywords[e->nkeywords++] = (uint8_t)at;
		has[at / 64] |= 1ULL << (at % 64);
	}
	return true;
}

static size_t
count_files(const struct append_msg *msgs, size_t n)
{
	size_t files = 0;

	for (size_t i = 0; i < n; i++)
		files += msgs[i].body.fd >= 0;
	return files;
}

/* Room on the disk, in the counters and in the keyword table for all of it. Inside the change. */
static enum store_result
check_room(struct store *s, const struct append_msg *msgs, size_t n, const struct names *names)
{
	uint64_t bytes = 0;
	uint32_t nnew = 0;

	for (size_t i = 0; i < n; i++)
		bytes += msgs[i].body.bytes;
	for (uint32_t i = 0; i < names->n; i++)
		nnew += keyword_find(&s->ix, names->v[i]) < 0;
	if (n > UID_LAST - s->spool->next_uid || s->ix.meta.nkeywords + nnew > STORE_KEYWORDS_MAX)
		return STORE_LIMIT;
	return spool_has_room(s->spool, bytes);
}

/* What the record expunges beside. */
struct replaced {
	const unsigned char *mailbox;	/* NULL: nothing */
	struct uid_range uid;
};

/* Inside the change: the records, bodies first. */
static enum store_result
append_records(struct store *s, const unsigned char *mailbox, const struct append_msg *msgs, size_t n,
    struct extra_entry *entries, const struct names *names, const struct replaced *old, uint32_t *uid_out)
{
	struct extra_link l = {.keywords = {.names = names->v, .n = names->n}, .n = (uint32_t)n};
	struct buf extra = buf_make(RECORD_EXTRA_MAX_BYTES), mem = buf_make(SIZE_MAX / 4);
	struct record *recs = (struct record *)(void *)buf_room(&mem, (n + 1) * (sizeof(*recs) + sizeof(struct body_src)));
	struct body_src *bodies = (struct body_src *)(recs + n + 1);
	uint32_t uid = s->spool->next_uid;
	size_t nbodies = 0;
	enum store_result r;

	if (old->mailbox != NULL) {
		memcpy(l.source, old->mailbox, RECORD_ID_BYTES);
		l.expunged = (struct extra_ranges){.r = &old->uid, .n = 1};
	}
	extra_pack_link(&extra, &l);
	for (size_t i = 0; i < n; i++) {
		recs[i] = (struct record){.type = RECORD_BODY, .date_ms = now_ms(), .body_bytes = msgs[i].body.bytes};
		if (getrandom(recs[i].guid, RECORD_ID_BYTES, 0) != RECORD_ID_BYTES)
			DIE(EXIT_TEMP, "fatal.store.random", log_u64("bytes", RECORD_ID_BYTES));
		if (msgs[i].body.bytes > 0)
			bodies[nbodies++] = msgs[i].body;
		entries[i].body_modseq = s->spool->next_modseq + i;
		uid_out[i] = entries[i].uid = uid + (uint32_t)i;
		extra_pack_entry(&extra, &entries[i]);
	}
	recs[n] = (struct record){.type = RECORD_LINK, .date_ms = now_ms(), .uid = uid, .next_uid = uid + (uint32_t)n,
	    .extra = buf_slice(&extra)};
	memcpy(recs[n].mailbox, mailbox, RECORD_ID_BYTES);
	r = pack_ok(&extra) ? change_end(s, recs, n + 1, bodies, true) : change_drop(s, STORE_LIMIT);
	buf_free(&extra);
	buf_free(&mem);
	return r;
}

/* Inside the change: is the message to be replaced there? */
static enum store_result
check_replaced(struct store *s, const struct replaced *old, bool *is_gone)
{
	enum store_result r;
	struct mbox m;

	*is_gone = false;
	if (old->mailbox == NULL)
		return STORE_OK;
	if ((r = find_mbox(s, old->mailbox, &m)) == STORE_OK)
		*is_gone = !rank_is_live(&s->ix, m.v.num, old->uid.lo);
	return r;
}

static enum store_result
append_all(struct store *s, const unsigned char *mailbox, const struct append_msg *msgs, size_t n, const struct replaced *old,
    uint32_t *uid_out, uint32_t *uidvalidity_out)
{
	struct buf mem = buf_make(SIZE_MAX / 4);
	struct extra_entry *entries;
	struct names names = {.n = 0};
	enum store_result r = STORE_OK;
	bool is_gone;
	struct mbox m;

	if (n == 0 || n > STORE_APPEND_MSGS_MAX || count_files(msgs, n) > STORE_APPEND_FILES_MAX)
		return STORE_LIMIT;
	entries = (struct extra_entry *)(void *)buf_room(&mem, n * sizeof(*entries));
	memset(entries, 0, n * sizeof(*entries));
	for (size_t i = 0; i < n && r == STORE_OK; i++)
		if (msgs[i].body.bytes > RECORD_BODY_MAX_BYTES || !fill_entry(&msgs[i], &names, &entries[i]))
			r = STORE_LIMIT;
	if (r == STORE_OK && (r = change_begin(s)) == STORE_OK) {
		if ((r = find_mbox(s, mailbox, &m)) == STORE_OK)
			r = check_room(s, msgs, n, &names);
		if (r == STORE_OK)
			r = check_replaced(s, old, &is_gone);
		if (r != STORE_OK)
			r = change_drop(s, r);
		else if (is_gone) {
			uid_out[0] = 0;
			r = change_drop(s, STORE_OK);
		} else {
			*uidvalidity_out = m.v.uidvalidity;
			r = append_records(s, mailbox, msgs, n, entries, &names, old, uid_out);
			/* A message that replaces stays: what it replaced is gone, and to take both away would be worse. */
			if (r != STORE_OK && old->mailbox == NULL)
				undo_messages(s, mailbox, uid_out[0], (uint32_t)n);
		}
	}
	buf_free(&mem);
	return r;
}

enum store_result
store_append(struct store *s, const unsigned char *mailbox, const struct append_msg *msgs, size_t n, uint32_t *uid_out,
    uint32_t *uidvalidity_out)
{
	return append_all(s, mailbox, msgs, n, &(struct replaced){.mailbox = NULL}, uid_out, uidvalidity_out);
}

enum store_result
store_replace(struct store *s, const unsigned char *from, uint32_t uid, const unsigned char *mailbox,
    const struct append_msg *msg, uint32_t *uid_out, uint32_t *uidvalidity_out)
{
	struct replaced old = {.mailbox = from, .uid = {uid, uid}};

	return append_all(s, mailbox, msg, 1, &old, uid_out, uidvalidity_out);
}
