/*
 * Packs and unpacks what an IMAP session remembers while it is parked. Called by imap.c alone; holds
 * numbers, never mail, and names only where NOTIFY gave them. See "A session is a few numbers" in the design.
 */
#include "imap/state.h"

#include <assert.h>

#include "imap/parse.h"
#include "imap/saved.h"
#include "imap/watch.h"
#include "pack.h"

#define STATE_VERSION	6	/* of the bytes below; another version ends the session */

/* All of it at its largest; the numbers are about 100 bytes. */
static_assert(IMAP_SAVED_MAX_BYTES + IMAP_WATCH_MAX_BYTES + IMAP_TAG_MAX_BYTES + 128 <= SESSION_STATE_MAX_BYTES, "a session's state fits");

enum { STATE_SELECTED = 1, STATE_READONLY = 2, STATE_IDLING = 4, STATE_CLAIMS_RECENT = 8, STATE_BEHIND = 16,
	STATE_WATCHING = 32, STATE_WATCH_UTF8 = 64, STATE_ID_LOGGED = 128, STATE_ALL = 255 };

static void
watch_pack(const struct imap *im, struct buf *out)
{
	pack_str(out, (struct slice){im->watch, im->nwatch});
	pack_u32(out, im->place.segment);
	pack_u32(out, im->place.salt);
	pack_u64(out, im->place.offset);
	pack_u64(out, im->place.modseq);
	pack_u64(out, im->untold_modseq);
}

bool
imap_state_pack(const struct imap *im, struct buf *out)
{
	const struct view	*v = &im->view;

	buf_clear(out);
	pack_u8(out, STATE_VERSION);
	pack_u8(out, (uint8_t)((im->is_selected ? STATE_SELECTED : 0) | (im->is_readonly ? STATE_READONLY : 0) |
	    (im->is_idling ? STATE_IDLING : 0) | (im->is_behind ? STATE_BEHIND : 0) |
	    (im->watching != 0 ? STATE_WATCHING : 0) | (im->watch_is_utf8 ? STATE_WATCH_UTF8 : 0) |
	    (im->is_id_logged ? STATE_ID_LOGGED : 0) | (im->is_selected && v->claims_recent ? STATE_CLAIMS_RECENT : 0)));
	pack_u8(out, im->nbad);
	pack_u8(out, im->nbare);
	pack_u8(out, im->nkeywords_told);
	pack_u32(out, im->enabled);
	if (im->is_selected) {
		pack_bytes(out, v->mailbox, sizeof(v->mailbox));
		pack_u32(out, v->uidvalidity);
		pack_u32(out, v->uidnext);
		pack_u64(out, v->modseq);
		pack_u64(out, v->expunge_modseq);
		pack_u32(out, v->recent_uid);
		pack_str(out, (struct slice){(const char *)im->saved, im->nsaved});
	}
	if (im->is_idling)
		pack_str(out, slice_of(im->idle_tag));
	if (im->watching != 0)
		watch_pack(im, out);
	return pack_ok(out) && out->n <= SESSION_STATE_MAX_BYTES;
}

static bool
tag_unpack(struct unpack *u, char *out)
{
	struct slice	s = unpack_str(u), tag;

	if (s.n == 0 || s.n > IMAP_TAG_MAX_BYTES)
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return parse_tag(&s, &tag) == PARSE_OK && s.n == 0;
}

/* The groups are what the parser takes, and what is to be told follows from them. */
static bool
watch_unpack(struct unpack *u, struct imap *im)
{
	struct slice	s = unpack_str(u);

	if (s.n > sizeof(im->watch))
		return false;
	if (s.n > 0)
		memcpy(im->watch, s.p, s.n);
	im->nwatch = (uint16_t)s.n;
	im->place.segment = unpack_u32(u);
	im->place.salt = unpack_u32(u);
	im->place.offset = unpack_u64(u);
	im->place.modseq = unpack_u64(u);
	im->untold_modseq = unpack_u64(u);
	return im->place.offset <= INT64_MAX && im->place.modseq <= IMAP_MODSEQ_MAX && im->untold_modseq <= IMAP_MODSEQ_MAX &&
	    watch_understand(im);
}

static bool
saved_unpack(struct unpack *u, struct imap *im)
{
	struct slice	s = unpack_str(u);

	if (s.n > sizeof(im->saved) || !saved_is_valid(s, im->view.uidnext))
		return false;
	if (s.n > 0)
		memcpy(im->saved, s.p, s.n);
	im->nsaved = (uint16_t)s.n;
	return true;
}

bool
imap_state_unpack(struct slice in, struct imap *im)
{
	struct unpack	u = unpack_make(in.p, in.n);
	struct imap	got = *im;
	uint8_t		bits;

	if (unpack_u8(&u) != STATE_VERSION)
		return false;
	bits = unpack_u8(&u);
	got.nbad = unpack_u8(&u);
	got.nbare = unpack_u8(&u);
	got.nkeywords_told = unpack_u8(&u);
	got.enabled = unpack_u32(&u);
	if (got.nbad >= IMAP_BAD_MAX || got.nbare >= IMAP_BARE_MAX ||
	    got.nkeywords_told > STORE_KEYWORDS_MAX || (got.enabled & ~(uint32_t)ENABLED_ALL) != 0 ||
	    (got.enabled & (ENABLED_CONDSTORE | ENABLED_QRESYNC)) == ENABLED_QRESYNC)
		return false;
	got.is_selected = (bits & STATE_SELECTED) != 0;
	got.is_readonly = (bits & STATE_READONLY) != 0;
	got.is_idling = (bits & STATE_IDLING) != 0;
	got.view.claims_recent = (bits & STATE_CLAIMS_RECENT) != 0;
	got.is_behind = (bits & STATE_BEHIND) != 0;
	got.watch_is_utf8 = (bits & STATE_WATCH_UTF8) != 0;
	got.is_id_logged = (bits & STATE_ID_LOGGED) != 0;
	if ((got.is_readonly || got.view.claims_recent) && (!got.is_selected || (got.is_readonly && got.view.claims_recent)))
		return false;
	if (got.is_selected) {
		unpack_bytes(&u, got.view.mailbox, sizeof(got.view.mailbox));
		got.view.uidvalidity = unpack_u32(&u);
		got.view.uidnext = unpack_u32(&u);
		got.view.modseq = unpack_u64(&u);
		got.view.expunge_modseq = unpack_u64(&u);
		got.view.recent_uid = unpack_u32(&u);
		if (got.view.uidnext == 0 || got.view.uidvalidity == 0 || got.view.recent_uid > got.view.uidnext ||
		    got.view.modseq > IMAP_MODSEQ_MAX || got.view.expunge_modseq > IMAP_MODSEQ_MAX || !saved_unpack(&u, &got))
			return false;
	}
	if (got.is_idling && !tag_unpack(&u, got.idle_tag))
		return false;
	if ((bits & STATE_WATCHING) != 0 && !watch_unpack(&u, &got))
		return false;
	if (got.untold_modseq != 0 && (!got.is_selected || got.untold_modseq > got.view.modseq))
		return false;
	if (!unpack_end(&u))
		return false;
	*im = got;
	return true;
}
