/*
 * What happened since a place in the log: the records themselves are read, so nothing is kept for it anywhere and
 * who asks has no more to remember than where it stood. Called by sessions that asked for NOTIFY (RFC 5465). Reads up to
 * where the index stands, never past it: every mailbox a record names is known then.
 */
#include <errno.h>

#include "log.h"
#include "store/scan.h"
#include "store/store_impl.h"

#define TOUCHES_FIRST	16	/* doubled when full; at most one for each mailbox there was */

struct touch {
	unsigned char	id[RECORD_ID_BYTES];
	unsigned	how;
};

struct look {
	struct store		*s;
	struct arena		*arena;
	struct store_events	*out;
	size_t			 room;
	struct touch		*touches;	/* sorted by id */
	size_t			 ntouches, touches_room;
	bool			 is_full;
	uint32_t		 last_num;	/* of the mailbox that last_id is of: deliveries come in runs */
	unsigned char		 last_id[RECORD_ID_BYTES];
};

/* ---- a session's own changes ---- */

void
own_add(struct store *s, uint64_t lo, uint64_t hi)
{
	if (s->nown > 0 && s->own[s->nown - 1].hi + 1 == lo) {
		s->own[s->nown - 1].hi = hi;
	} else if (s->nown < OWN_MAX) {
		s->own[s->nown].lo = lo;
		s->own[s->nown++].hi = hi;
	}
}

bool
store_is_own(const struct store *s, uint64_t modseq)
{
	for (size_t i = 0; i < s->nown; i++)
		if (modseq >= s->own[i].lo && modseq <= s->own[i].hi)
			return true;
	return false;
}

void
store_own_forget(struct store *s)
{
	s->nown = 0;
}

/* ---- what is found ---- */

static struct store_event *
event_add(struct look *l, enum store_event_kind kind)
{
	struct store_events	*out = l->out;
	struct store_event	*v;

	if (out->n == STORE_EVENTS_MAX)
		l->is_full = true;
	if (!l->is_full && out->n == l->room) {
		l->room = l->room == 0 ? 8 : l->room * 2;
		if ((v = ARENA_NEW(l->arena, struct store_event, l->room)) == NULL) {
			l->is_full = true;
		} else {
			if (out->n > 0)
				memcpy(v, out->v, out->n * sizeof(*v));
			out->v = v;
		}
	}
	if (l->is_full)
		return NULL;
	out->v[out->n] = (struct store_event){.kind = kind, .name = SLICE(""), .old_name = SLICE("")};
	return &out->v[out->n++];
}

static struct slice
keep(struct look *l, struct slice s)
{
	struct slice	kept = s.n == 0 ? SLICE("") : arena_slice(l->arena, s);

	l->is_full = l->is_full || kept.p == NULL;
	return kept;
}

/* Where the mailbox stands among those touched, or would. */
static size_t
touch_find(const struct look *l, const unsigned char *id)
{
	size_t	lo = 0, hi = l->ntouches;

	while (lo < hi) {
		size_t	mid = lo + (hi - lo) / 2;

		if (memcmp(l->touches[mid].id, id, RECORD_ID_BYTES) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void
touch(struct look *l, const unsigned char *id, unsigned how)
{
	size_t		 at = touch_find(l, id);
	struct touch	*v;

	if (at < l->ntouches && memcmp(l->touches[at].id, id, RECORD_ID_BYTES) == 0) {
		l->touches[at].how |= how;
		return;
	}
	if (l->ntouches == l->touches_room) {
		size_t	room = l->touches_room == 0 ? TOUCHES_FIRST : l->touches_room * 2;

		if ((v = ARENA_NEW(l->arena, struct touch, room)) == NULL) {
			l->is_full = true;
			return;
		}
		if (l->ntouches > 0)
			memcpy(v, l->touches, l->ntouches * sizeof(*v));
		l->touches = v;
		l->touches_room = room;
	}
	memmove(l->touches + at + 1, l->touches + at, (l->ntouches - at) * sizeof(*l->touches));
	l->touches[at].how = how;
	memcpy(l->touches[at].id, id, RECORD_ID_BYTES);
	l->ntouches++;
}

/* What there is to say of them, in the transaction that they were found in. */
static enum store_result
touches_fill(struct look *l)
{
	struct store_events	*out = l->out;
	struct mbox		 m;

	if ((out->touched = ARENA_NEW(l->arena, struct store_touched, l->ntouches + 1)) == NULL)
		return STORE_LIMIT;
	for (size_t i = 0; i < l->ntouches; i++) {
		if (find_mbox(l->s, l->touches[i].id, &m) != STORE_OK)
			continue;
		out->touched[out->ntouched].how = l->touches[i].how;
		if (!mbox_info_fill(l->s, &m, l->arena, &out->touched[out->ntouched++].info))
			return STORE_LIMIT;
	}
	return STORE_OK;
}

/* ---- records ---- */

/* Where a delivery of that modseq went; one that was dropped as a repetition went nowhere. */
static void
delivered(struct look *l, uint64_t modseq, unsigned how)
{
	struct ix_key	k = key_body(modseq);
	struct ix_body	b;
	struct mbox	m;

	if (!index_get_fixed(&l->s->ix, &k, &b, sizeof(b)) || b.num == 0)
		return;
	if (b.num != l->last_num) {
		if (!mbox_load_num(&l->s->ix, b.num, &m))
			return;
		l->last_num = b.num;
		memcpy(l->last_id, m.id, sizeof(l->last_id));
	}
	touch(l, l->last_id, how);
}

static void
voided(struct look *l, const struct record *r)
{
	struct unpack	u = unpack_make(r->extra.p, r->extra.n);
	uint64_t	modseq = unpack_u64(&u);

	if (unpack_end(&u))
		delivered(l, modseq, TOUCHED_EXPUNGED);
}

/* Messages made, of a MOVE also taken away; INBOX renamed is a mailbox made (RFC 5465 5.4). */
static void
linked(struct look *l, const struct record *r)
{
	static const unsigned char	 none[RECORD_ID_BYTES];
	struct extra_link		 link;
	struct store_event		*e;
	struct mbox			 source;

	if (!extra_unpack_link(r->extra, &link))
		return;
	if (link.create.name.n > 0 && (e = event_add(l, EVENT_RENAMED)) != NULL) {
		e->name = keep(l, link.create.name);
		if (mbox_load(&l->s->ix, link.source, &source))
			e->old_name = keep(l, (struct slice){source.name.s, source.name.n});
	}
	if (link.n > 0)
		touch(l, r->mailbox, TOUCHED_NEW | (link.create.name.n > 0 ? TOUCHED_NAMED : 0));
	if (memcmp(link.source, none, sizeof(none)) != 0 && link.expunged.n > 0)
		touch(l, link.source, TOUCHED_EXPUNGED);
}

static void
flagged(struct look *l, const struct record *r)
{
	struct extra_flags	f;

	if (extra_unpack_flags(r->extra, &f))
		touch(l, r->mailbox, TOUCHED_FLAGS | (f.op == FLAGS_SET || (f.flags & MSG_SEEN) != 0 ? TOUCHED_SEEN : 0));
}

static void
created(struct look *l, const struct record *r)
{
	struct extra_create	 c;
	struct store_event	*e;

	if (!extra_unpack_create(r->extra, &c) || (e = event_add(l, EVENT_CREATED)) == NULL)
		return;
	e->name = keep(l, c.name);
	touch(l, r->mailbox, TOUCHED_NAMED);
}

/* A deleted mailbox keeps its last name in the index until it is purged. */
static void
deleted(struct look *l, const struct record *r)
{
	struct store_event	*e;
	struct mbox		 m;

	if (mbox_load(&l->s->ix, r->mailbox, &m) && (e = event_add(l, EVENT_DELETED)) != NULL)
		e->name = keep(l, (struct slice){m.name.s, m.name.n});
}

/* One event for a tree of mailboxes, but of each the name is another. */
static void
renamed(struct look *l, const struct record *r)
{
	unsigned char		 id[RECORD_ID_BYTES];
	struct extra_rename	 x;
	struct store_event	*e = NULL;
	struct slice		 name;

	if (!extra_unpack_rename(r->extra, &x))
		return;
	if (x.to.n > 0 && (e = event_add(l, EVENT_RENAMED)) != NULL) {
		e->name = keep(l, x.to);
		e->old_name = keep(l, x.from);
	}
	while (extra_pair(&x, id, &name)) {
		touch(l, id, TOUCHED_NAMED);
		if (x.to.n == 0 && (e = event_add(l, EVENT_RENAMED)) != NULL)
			e->name = keep(l, name);
	}
}

static void
subscribed(struct look *l, const struct record *r)
{
	struct store_event	*e;
	struct slice		 name;
	bool			 on;

	if (extra_unpack_subscribe(r->extra, &name, &on) && name.n <= MBOXNAME_MAX_BYTES &&
	    (e = event_add(l, EVENT_SUBSCRIPTION)) != NULL)
		e->name = keep(l, name);
}

static void
metadata_set(struct look *l, const struct record *r)
{
	static const unsigned char	 user[RECORD_ID_BYTES];
	bool				 is_user = memcmp(r->mailbox, user, sizeof(user)) == 0;
	struct extra_metadata		 x;
	struct meta_change		 c;
	struct store_event		*e;
	struct mbox			 m;

	if (!extra_unpack_metadata(r->extra, &x) || (!is_user && find_mbox(l->s, r->mailbox, &m) != STORE_OK) ||
	    (e = event_add(l, EVENT_METADATA)) == NULL)
		return;
	if (!is_user)
		e->name = keep(l, (struct slice){m.name.s, m.name.n});
	if ((e->entries = ARENA_NEW(l->arena, struct slice, (size_t)x.n + 1)) == NULL) {
		l->is_full = true;
		return;
	}
	while (extra_meta(&x, &c))
		e->entries[e->nentries++] = keep(l, c.name);
}

static void
record_look(struct look *l, const struct record *r)
{
	switch (r->type) {
	case RECORD_MESSAGE:
		delivered(l, r->modseq, TOUCHED_NEW);
		break;
	case RECORD_VOID:
		voided(l, r);
		break;
	case RECORD_LINK:
		linked(l, r);
		break;
	case RECORD_FLAGS:
		flagged(l, r);
		break;
	case RECORD_EXPUNGE:
		touch(l, r->mailbox, TOUCHED_EXPUNGED);
		break;
	case RECORD_CREATE:
		created(l, r);
		break;
	case RECORD_RENAME:
		renamed(l, r);
		break;
	case RECORD_DELETE:
		deleted(l, r);
		break;
	case RECORD_SUBSCRIBE:
		subscribed(l, r);
		break;
	case RECORD_METADATA:
		metadata_set(l, r);
		break;
	default:	/* what no client sees */
		break;
	}
}

/* ---- the log ---- */

static struct store_place
place_of(const struct index *ix)
{
	return (struct store_place){.segment = ix->meta.segment, .salt = ix->meta.salt, .offset = ix->meta.offset,
	    .modseq = ix->meta.next_modseq};
}

/* Records from a place up to another one, in a transaction. */
static enum store_result
log_look(struct look *l, const struct store_place *from, const struct store_place *upto)
{
	struct spool	*spool = l->s->spool;
	enum scan_got	 got;
	bool		 has_gap;
	struct record	 r;
	struct scan	 scan;

	got = scan_begin(&scan, spool->dir_fd, spool->user, from->segment, from->offset, upto->segment, false);
	/* Written anew by compaction: its records are where they are now, and still have their modseqs. */
	if (got == SCAN_RECORD && scan.head.salt != from->salt)
		scan.at = scan.head.bytes;
	while (got == SCAN_RECORD && !l->is_full && (scan.head.number < upto->segment ||
	    (scan.head.number == upto->segment && scan.at < upto->offset))) {
		if ((got = scan_next(&scan, &r)) != SCAN_RECORD || scan.head.number > upto->segment ||
		    (scan.head.number == upto->segment && scan.at > upto->offset))
			break;
		if (r.modseq >= from->modseq && !store_is_own(l->s, r.modseq))
			record_look(l, &r);
	}
	has_gap = scan.passed.n > 0;
	scan_end(&scan);
	if (got == SCAN_ERROR && errno != ENOENT) {
		LOG("warn.store.log", log_str("user", spool->user), log_u64("segment", from->segment), log_str("step", "events"),
		    log_str("why", strerror(errno)));
		return STORE_TEMP;
	}
	if (l->is_full)
		return STORE_LIMIT;
	return has_gap || got == SCAN_ERROR ? STORE_PURGED : STORE_OK;
}

enum store_result
store_place_now(struct store *s, struct store_place *out)
{
	enum store_result	r = store_current_begin(s);

	if (r != STORE_OK)
		return r;
	*out = place_of(&s->ix);
	return index_end(&s->ix);
}

enum store_result
store_events_since(struct store *s, struct store_place *place, struct arena *a, struct store_events *out)
{
	struct look		l = {.s = s, .arena = a, .out = out};
	struct store_place	now;
	enum store_result	r = store_current_begin(s), ended;

	*out = (struct store_events){0};
	if (r != STORE_OK)
		return r;
	now = place_of(&s->ix);
	if (now.segment > place->segment || (now.segment == place->segment && (now.offset > place->offset || now.salt != place->salt)))
		r = log_look(&l, place, &now);
	else if (now.modseq < place->modseq && !s->is_behind)
		r = STORE_PURGED;	/* of another log, or of one whose end a crash took */
	else
		now = *place;
	if (r == STORE_OK && l.ntouches > 0)
		r = touches_fill(&l);
	ended = index_end(&s->ix);
	if (r == STORE_TEMP || ended != STORE_OK)
		return ended != STORE_OK ? ended : r;
	*place = now;
	return r;
}
