/*
 * FETCH: goes through the set in batches (no read transaction is open while output waits), sets \Seen
 * where a body is asked for, and sends each message's response only when all of it can be had: a
 * damaged message costs its own response and the OK, nothing else. Bodies go from the log to the
 * socket without a copy. RFC 3501 6.4.5, 7.4.2; RFC 7162 3.1.4.
 */
#include "imap/fetch.h"

#include "imap/binary.h"
#include "imap/condstore.h"
#include "imap/fetch_parse.h"
#include "imap/objectid.h"
#include "imap/qresync.h"
#include "imap/quote.h"
#include "imap/section.h"
#include "imap/set.h"
#include "imap/told.h"
#include "imap/untagged.h"

#define FETCH_TEXT_MAX_BYTES	(96 * 1024 * 1024)	/* of one response, but the bodies sent from the log */
#define FETCH_INLINE_BYTES	(16 * 1024)		/* a smaller range is read into the text: one write for many */

/* A range of the message, or decoded bytes of it, sent after the first `after` bytes of the text. */
struct piece {
	size_t		after;
	uint64_t	at, n;
	bool		is_decoded;
	struct binary	binary;		/* then */
};

struct fetch {
	struct imap		*im;
	struct fetch_args	*args;
	struct content	 body;
	struct buf		 text;		/* the response, but its pieces */
	struct buf		 made;		/* HEADER.FIELDS in the making */
	struct piece		 pieces[IMAP_FETCH_ITEMS_MAX];
	size_t			 npieces;
	bool			 sets_seen;
	bool			 is_of_others;	/* what this session added itself is left out */
	bool			 has_changed;	/* \Seen was set somewhere */
	bool			 is_encoded;	/* a part's transfer encoding is not known (RFC 3516) */
	enum store_result	 failed;	/* of the last message that could not be served */
};

static bool
has_item(const struct fetch_args *args, enum fetch_kind kind)
{
	for (size_t i = 0; i < args->nitems; i++)
		if (args->items[i].kind == kind)
			return true;
	return false;
}

/* Every response to a UID command has the UID (RFC 3501 6.4.8). */
static void
uid_add(struct fetch_args *args)
{
	if (has_item(args, FETCH_UID))
		return;
	memmove(args->items + 1, args->items, args->nitems * sizeof(args->items[0]));
	args->items[0] = (struct fetch_item){.kind = FETCH_UID};
	args->nitems++;
}

/* CHANGEDSINCE asks for MODSEQ, too; whoever asks for one is told of them from now on (RFC 7162 3.1.4.1, 3.1). */
static void
modseq_add(struct imap *im, struct fetch_args *args)
{
	if (args->modifiers.has_changedsince && !has_item(args, FETCH_MODSEQ))
		args->items[args->nitems++] = (struct fetch_item){.kind = FETCH_MODSEQ};
	if (has_item(args, FETCH_MODSEQ))
		condstore_enable(im);
}

static bool
is_section(const struct fetch_item *item)
{
	return item->kind == FETCH_SECTION || item->kind == FETCH_RFC822 || item->kind == FETCH_RFC822_HEADER ||
	    item->kind == FETCH_RFC822_TEXT || item->kind == FETCH_BINARY;
}

/* The bytes of a range: read into the text while few, else left to be sent from the log. */
static enum store_result
range_add(struct fetch *f, uint64_t at, uint64_t n)
{
	enum store_result	 r;
	char			*room;

	if (n > FETCH_INLINE_BYTES) {
		if ((r = content_open(&f->body)) != STORE_OK)
			return r;
		f->pieces[f->npieces++] = (struct piece){.after = f->text.n, .at = at, .n = n};
		return STORE_OK;
	}
	if ((room = buf_room(&f->text, (size_t)n + 1)) == NULL)
		return STORE_LIMIT;
	if ((r = content_read(&f->body, at, room, (size_t)n)) == STORE_OK)
		f->text.n += (size_t)n;
	return r;
}

static int
section_label_add(struct buf *b, const struct fetch_item *item)
{
	switch (item->kind) {
	case FETCH_RFC822:
		return buf_add_str(b, "RFC822 ");
	case FETCH_RFC822_HEADER:
		return buf_add_str(b, "RFC822.HEADER ");
	case FETCH_RFC822_TEXT:
		return buf_add_str(b, "RFC822.TEXT ");
	default:
		break;
	}
	if (buf_add_str(b, "BODY[") < 0 || section_name_add(b, &item->section) < 0 || buf_add_str(b, "]") < 0)
		return -1;
	return item->is_partial ? buf_addf(b, "<%llu> ", (unsigned long long)item->at) : buf_add_str(b, " ");
}

/* BODY[section]<at> nstring */
static enum store_result
section_add(struct fetch *f, const struct fetch_item *item)
{
	struct section_found	found;
	enum store_result	r;
	uint64_t		at = 0, n;

	if ((r = section_find(&f->body, &item->section, &f->made, &found)) != STORE_OK)
		return r;
	if (section_label_add(&f->text, item) < 0)
		return STORE_LIMIT;
	if (found.kind == SECTION_IS_NIL)
		return buf_add_str(&f->text, "NIL") < 0 ? STORE_LIMIT : STORE_OK;
	n = found.kind == SECTION_IS_BYTES ? found.bytes.n : found.n;
	if (item->is_partial) {
		at = item->at < n ? item->at : n;
		n = n - at < item->n ? n - at : item->n;
	}
	if (buf_addf(&f->text, "{%llu}\r\n", (unsigned long long)n) < 0)
		return STORE_LIMIT;
	if (found.kind == SECTION_IS_RANGE)
		return range_add(f, found.at + at, n);
	return buf_add(&f->text, found.bytes.p + at, (size_t)n) < 0 ? STORE_LIMIT : STORE_OK;
}

static enum store_result
derived_add(struct fetch *f, enum fetch_kind kind)
{
	struct slice		list;
	enum store_result	r;
	const char		*label;

	if (kind == FETCH_ENVELOPE) {
		label = "ENVELOPE ";
		r = content_envelope(&f->body, &list);
	} else {
		label = kind == FETCH_BODY ? "BODY " : "BODYSTRUCTURE ";
		r = content_structure(&f->body, kind == FETCH_BODYSTRUCTURE, imap_is_rev2(f->im), &list);
	}
	if (r != STORE_OK)
		return r;
	return buf_add_str(&f->text, label) < 0 || buf_add_slice(&f->text, list) < 0 ? STORE_LIMIT : STORE_OK;
}

static int
text_put(void *arg, const void *p, size_t n)
{
	return buf_add(arg, p, n);
}

static int
session_put(void *arg, const void *p, size_t n)
{
	return session_write(arg, p, n);
}

static int
binary_label_add(struct buf *b, const struct fetch_item *item)
{
	if (buf_add_str(b, item->kind == FETCH_BINARY ? "BINARY[" : "BINARY.SIZE[") < 0 || section_name_add(b, &item->section) < 0 ||
	    buf_add_str(b, "]") < 0)
		return -1;
	return item->is_partial ? buf_addf(b, "<%llu> ", (unsigned long long)item->at) : buf_add_str(b, " ");
}

/* BINARY[part]<at> (nstring / literal8), BINARY.SIZE[part] number (RFC 3516 7) */
static enum store_result
binary_add(struct fetch *f, const struct fetch_item *item)
{
	struct binary		b;
	enum store_result	r;

	if ((r = binary_find(&f->body, item, &b)) != STORE_OK)
		return r;
	if (b.kind == BINARY_IS_UNKNOWN) {
		f->is_encoded = true;
		return STORE_LIMIT;
	}
	if (binary_label_add(&f->text, item) < 0)
		return STORE_LIMIT;
	if (item->kind == FETCH_BINARY_SIZE)
		return buf_addf(&f->text, "%llu", (unsigned long long)b.n) < 0 ? STORE_LIMIT : STORE_OK;
	if (b.kind == BINARY_IS_NIL)
		return buf_add_str(&f->text, "NIL") < 0 ? STORE_LIMIT : STORE_OK;
	if (buf_addf(&f->text, "%s{%llu}\r\n", b.has_nul ? "~" : "", (unsigned long long)b.n) < 0)
		return STORE_LIMIT;
	if (b.kind == BINARY_IS_RANGE)
		return range_add(f, b.at, b.n);
	if (b.n <= FETCH_INLINE_BYTES)
		binary_put(&f->body, &b, text_put, &f->text);
	else
		f->pieces[f->npieces++] = (struct piece){.after = f->text.n, .is_decoded = true, .binary = b};
	return STORE_OK;
}

/* "PREVIEW" SP nstring (RFC 8970 6) */
static enum store_result
preview_add(struct fetch *f, const struct fetch_item *item)
{
	struct slice		text;
	enum store_result	r;

	if ((r = content_preview(&f->body, item->is_lazy, &text)) != STORE_OK)
		return r;
	if (text.p == NULL)
		return buf_add_str(&f->text, "PREVIEW NIL") < 0 ? STORE_LIMIT : STORE_OK;
	return buf_add_str(&f->text, "PREVIEW ") < 0 || quote_string(&f->text, text) < 0 ? STORE_LIMIT : STORE_OK;
}

static enum store_result
item_add(struct fetch *f, const struct fetch_item *item, const struct msg_info *m)
{
	char	id[OBJECTID_TEXT_BYTES];
	int	done = 0;

	switch (item->kind) {
	case FETCH_FLAGS:
		done = untagged_flags_add(f->im, &f->text, m);
		break;
	case FETCH_UID:
		done = buf_addf(&f->text, "UID %u", m->uid);
		break;
	case FETCH_INTERNALDATE:
		done = buf_add_str(&f->text, "INTERNALDATE ") < 0 ? -1 : quote_date_time(&f->text, m->date_ms);
		break;
	case FETCH_MODSEQ:
		done = condstore_modseq_add(f->im, &f->text, m);
		break;
	case FETCH_SIZE:
		done = buf_addf(&f->text, "RFC822.SIZE %llu", (unsigned long long)m->size);
		break;
	case FETCH_SAVEDATE:
		done = buf_add_str(&f->text, "SAVEDATE ") < 0 ? -1 : quote_date_time(&f->text, m->save_ms);
		break;
	case FETCH_EMAILID:
		done = buf_addf(&f->text, "EMAILID (%s)", objectid_text(OBJECTID_EMAIL, m->guid, id));
		break;
	case FETCH_THREADID:	/* messages are not grouped (RFC 8474 5.2) */
		done = buf_add_str(&f->text, "THREADID NIL");
		break;
	case FETCH_ENVELOPE:
	case FETCH_BODY:
	case FETCH_BODYSTRUCTURE:
		return derived_add(f, item->kind);
	case FETCH_BINARY:
	case FETCH_BINARY_SIZE:
		return binary_add(f, item);
	case FETCH_PREVIEW:
		return preview_add(f, item);
	case FETCH_SECTION:
	case FETCH_RFC822:
	case FETCH_RFC822_HEADER:
	case FETCH_RFC822_TEXT:
		return section_add(f, item);
	}
	return done < 0 ? STORE_LIMIT : STORE_OK;
}

static void
response_send(struct fetch *f)
{
	struct session	*s = f->im->s;
	size_t		 sent = 0;

	for (size_t i = 0; i < f->npieces; i++) {
		const struct piece	*p = &f->pieces[i];

		session_write(s, f->text.p + sent, p->after - sent);
		sent = p->after;
		if (p->is_decoded)
			binary_put(&f->body, &p->binary, session_put, s);
		else
			session_send_file(s, f->body.fd, f->body.offset + p->at, p->n);
	}
	session_write(s, f->text.p + sent, f->text.n - sent);
}

/* What was not asked for, of a message that became \Seen; with CONDSTORE as every change is told (RFC 7162 3.2.4). */
static enum store_result
seen_add(struct fetch *f, const struct msg_info *m)
{
	static const struct fetch_item	more[] = {{.kind = FETCH_UID}, {.kind = FETCH_FLAGS}, {.kind = FETCH_MODSEQ}};
	enum store_result		r = STORE_OK;

	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]) && r == STORE_OK; i++) {
		if (has_item(f->args, more[i].kind) || (more[i].kind != FETCH_FLAGS && !condstore_is_on(f->im)))
			continue;
		r = buf_add(&f->text, " ", 1) < 0 ? STORE_LIMIT : item_add(f, &more[i], m);
	}
	return r;
}

/* One message's response: made whole, then sent, or not at all. */
static enum store_result
message_fetch(struct fetch *f, const struct msg_info *m, bool is_seen_now)
{
	enum store_result	r = STORE_OK;

	content_begin(&f->body, m);
	buf_clear(&f->text);
	f->npieces = 0;
	if (buf_addf(&f->text, "* %u FETCH (", m->seq) < 0)
		return STORE_LIMIT;
	for (size_t i = 0; i < f->args->nitems && r == STORE_OK; i++) {
		if (i > 0 && buf_add(&f->text, " ", 1) < 0)
			return STORE_LIMIT;
		r = item_add(f, &f->args->items[i], m);
	}
	if (r == STORE_OK && is_seen_now)
		r = seen_add(f, m);
	if (r != STORE_OK)
		return r;
	if (buf_add_str(&f->text, ")\r\n") < 0)
		return STORE_LIMIT;
	untagged_keywords_tell(f->im, m);
	response_send(f);
	/* Not before: of a message that cannot be served the change is told at the end. */
	if (is_seen_now)
		told_add(f->im, m);
	return STORE_OK;
}

/* Sets \Seen on those of the batch that lack it; their FETCH tells the flags. */
static void
batch_see(struct fetch *f, struct msg_info *msgs, size_t n, bool *is_seen_now)
{
	struct flag_change	change = {.op = FLAGS_ADD, .flags = MSG_SEEN};
	struct uid_range	ranges[STORE_BATCH_MSGS];
	struct uid_set		set = {ranges, 0};
	uint64_t		modseq;
	size_t			found;

	for (size_t i = 0; i < n; i++) {
		is_seen_now[i] = f->sets_seen && (msgs[i].flags & MSG_SEEN) == 0 && !msgs[i].is_expunged;
		if (is_seen_now[i])
			ranges[set.n++] = (struct uid_range){msgs[i].uid, msgs[i].uid};
	}
	if (set.n == 0)
		return;
	if (store_flags(f->im->store, f->im->view.mailbox, &set, &change, &modseq) != STORE_OK) {
		memset(is_seen_now, 0, n * sizeof(*is_seen_now));
		return;
	}
	f->has_changed = true;
	for (size_t i = 0; i < n; i++) {
		if (!is_seen_now[i])
			continue;
		/* As it is now: with its new modseq, and not as somebody else has changed it meanwhile. */
		if (view_range(f->im->store, &f->im->view, msgs[i].uid, msgs[i].uid, &msgs[i], 1, &found) != STORE_OK || found != 1)
			is_seen_now[i] = false;
	}
}

/* The next messages of a range that are to be fetched, of those that CHANGEDSINCE leaves. */
static enum store_result
batch_get(struct fetch *f, struct uid_range range, struct msg_info *msgs, size_t *n)
{
	struct imap	*im = f->im;

	if (f->args->modifiers.has_changedsince)
		return view_changed(im->store, &im->view, f->args->modifiers.changedsince, range.lo, range.hi, msgs, STORE_BATCH_MSGS, n);
	return view_range(im->store, &im->view, range.lo, range.hi, msgs, STORE_BATCH_MSGS, n);
}

/* All messages of a range; false when the command cannot go on. */
static bool
range_fetch(struct fetch *f, struct uid_range range, struct msg_info *msgs)
{
	size_t	n;

	do {
		bool			is_seen_now[STORE_BATCH_MSGS];
		enum store_result	r;

		if ((r = batch_get(f, range, msgs, &n)) != STORE_OK) {
			f->failed = r;
			return false;
		}
		batch_see(f, msgs, n, is_seen_now);
		for (size_t i = 0; i < n; i++) {
			if (f->is_of_others && store_is_own(f->im->store, msgs[i].modseq))
				continue;
			if ((r = message_fetch(f, &msgs[i], is_seen_now[i])) != STORE_OK)
				f->failed = r;
			if (f->im->s->is_dead)
				return false;
		}
		if (n > 0 && msgs[n - 1].uid == range.hi)
			break;
		if (n > 0)
			range.lo = msgs[n - 1].uid + 1;
	} while (n == STORE_BATCH_MSGS);
	return true;
}

static void
set_fetch(struct fetch *f, const struct uid_set *set)
{
	struct msg_info	*msgs = ARENA_NEW(imap_arena(f->im), struct msg_info, STORE_BATCH_MSGS);

	if (msgs == NULL) {
		f->failed = STORE_LIMIT;
		return;
	}
	for (size_t i = 0; i < set->n; i++)
		if (!range_fetch(f, set->r[i], msgs))
			return;
}

static void
fetch_end(struct fetch *f)
{
	struct imap	*im = f->im;

	content_free(&f->body);
	buf_free(&f->text);
	buf_free(&f->made);
	if (f->has_changed)
		imap_changed(im);
	if (f->failed == STORE_OK)
		imap_ok(im, "%sFETCH completed", im->is_uid ? "UID " : "");
	else if (f->is_encoded)
		imap_no(im, "[UNKNOWN-CTE] A part's transfer encoding is not known");
	else
		imap_no(im, "[UNAVAILABLE] Some messages could not be read");
}

/* Unasked there is nobody to be told of a message that cannot be served: it has no response. */
void
fetch_new(struct imap *im, struct fetch_args *args, uint32_t first_uid)
{
	struct fetch		*f = ARENA_NEW(imap_arena(im), struct fetch, 1);
	struct uid_range	 range = {first_uid, im->view.uidnext - 1};
	struct uid_set		 set = {&range, 1};

	if (f == NULL || range.lo > range.hi)
		return;
	/* As every response unasked (RFC 7162 3.2.4). */
	if (condstore_is_on(im) || imap_is_rev2(im))
		uid_add(args);
	if (condstore_is_on(im) && !has_item(args, FETCH_MODSEQ))
		args->items[args->nitems++] = (struct fetch_item){.kind = FETCH_MODSEQ};
	*f = (struct fetch){.im = im, .args = args, .body = content_make(im->store), .text = buf_make(FETCH_TEXT_MAX_BYTES),
	    .made = buf_make(FETCH_TEXT_MAX_BYTES), .is_of_others = true};
	set_fetch(f, &set);
	content_free(&f->body);
	buf_free(&f->text);
	buf_free(&f->made);
}

void
fetch_run(struct imap *im, struct slice args)
{
	struct fetch_args	*parsed = ARENA_NEW(imap_arena(im), struct fetch_args, 1);
	struct fetch		*f = ARENA_NEW(imap_arena(im), struct fetch, 1);
	struct uid_set		 set;

	if (parsed == NULL || f == NULL || parse_fetch_args(&args, imap_arena(im), parsed) != PARSE_OK) {
		imap_bad(im, "FETCH set items: not understood");
		return;
	}
	if (im->is_uid)
		uid_add(parsed);
	if (parsed->modifiers.is_partial && !im->is_uid) {
		imap_bad(im, "PARTIAL is of UID FETCH");
		return;
	}
	/* Before any FETCH response, also of what other sessions changed (RFC 7162 3.2.6). */
	if (parsed->modifiers.is_vanished && !qresync_fetch(im, &parsed->set, parsed->modifiers.changedsince))
		return;
	if (!untagged_sync(im, false))
		return;
	modseq_add(im, parsed);
	if (!set_of_command(im, &parsed->set, &set) ||
	    (parsed->modifiers.is_partial && !set_cut(im, &set, &parsed->modifiers.partial)))
		return;
	*f = (struct fetch){.im = im, .args = parsed, .body = content_make(im->store),
	    .text = buf_make(FETCH_TEXT_MAX_BYTES), .made = buf_make(FETCH_TEXT_MAX_BYTES), .failed = STORE_OK};
	for (size_t i = 0; i < parsed->nitems; i++)
		if (is_section(&parsed->items[i]) && !parsed->items[i].is_peek && !im->is_readonly)
			f->sets_seen = true;
	set_fetch(f, &set);
	fetch_end(f);
}
