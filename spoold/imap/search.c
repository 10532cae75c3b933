/*
 * SEARCH: prepares the tree (sets into UIDs, keywords into bits, texts folded) and looks at each
 * message of the view, or of a set that the search names, once, in batches; its header and body are read only
 * when a key is reached that needs them. Called from the command table, and by sort.c, thread.c and
 * multisearch.c. Says nothing before the search is done. RFC 3501 6.4.4, RFC 5032, RFC 6855 3, RFC 7162 3.1.5, RFC 8514 4.3, RFC 9051 6.4.4.
 */
#include "imap/search.h"

#include "imap/condstore.h"
#include "imap/content.h"
#include "imap/esearch.h"
#include "imap/objectid.h"
#include "imap/saved.h"
#include "imap/set.h"
#include "imap/untagged.h"
#include "log.h"

/* One search's batch. Not of the command's arena: a command may search thousands of mailboxes. */
#define SCRATCH_MAX_BYTES	(1024 * 1024)
#define DAY_MS	(24LL * 60 * 60 * 1000)

struct search {
	struct imap	*im;
	struct content body;
	struct msg_info	*msgs;		/* a batch */
	const struct view *view;	/* of the mailbox searched */
	int64_t		 now_s;
	size_t		 nunread;	/* messages a key of which could not be looked at */
};

/* ---- before ---- */

static enum store_result
keyword_prepare(struct imap *im, struct search_key *key)
{
	enum store_result	 r;
	struct slice		*names;
	size_t			 n;

	if ((r = store_keywords(im->store, imap_arena(im), &names, &n)) != STORE_OK)
		return r;
	for (size_t i = 0; i < n; i++)
		if (slice_is_nocase(names[i], key->text))
			key->keyword_bit = (int)i;
	return STORE_OK;
}

/* False when the text is not in its charset. */
static bool
text_prepare(struct imap *im, struct search_key *key, const char *charset)
{
	key->text = mime_fold(key->text, charset, imap_arena(im));
	return key->text.p != NULL;
}

/* Once, whatever is searched. Answers NO itself and returns false. */
static bool
key_prepare(struct imap *im, struct search_key *key, const char *charset)
{
	enum store_result	r = STORE_OK;

	switch (key->op) {
	case SEARCH_SEQ:
		/* Numbers must not shift while they are spoken of (RFC 7162 3.2.10.2). */
		im->may_expunge = false;
		break;
	case SEARCH_KEYWORD:
		r = keyword_prepare(im, key);
		break;
	case SEARCH_HEADER:
	case SEARCH_BODY:
	case SEARCH_TEXT:
		if (key->text.n > 0 && !text_prepare(im, key, charset)) {
			imap_no(im, "[BADCHARSET (UTF-8 US-ASCII)] The text is not in that charset");
			return false;
		}
		break;
	default:
		break;
	}
	if (r != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return false;
	}
	for (struct search_key *a = key->a; a != NULL; a = a->next)
		if (!key_prepare(im, a, charset))
			return false;
	return true;
}

bool
search_has_conflict(struct imap *im, const struct search_args *args)
{
	if ((im->enabled & ENABLED_UTF8) == 0 || args->charset.p == NULL)
		return false;
	imap_bad(im, "With UTF8=ACCEPT a search names no charset, its strings are UTF-8");
	return true;
}

bool
search_prepare(struct imap *im, const struct search_args *args)
{
	const char	*charset = "UTF-8";

	if (args->charset.p != NULL && ((charset = arena_copy(imap_arena(im), args->charset)) == NULL ||
	    strlen(charset) != args->charset.n || !mime_charset_is_known(charset))) {
		imap_no(im, "[BADCHARSET (UTF-8 US-ASCII)] That charset is not known");
		return false;
	}
	if (!key_prepare(im, args->root, charset))
		return false;
	if (args->has_modseq)
		condstore_enable(im);
	return true;
}

/* The sets among the keys, in one mailbox. A number that names no message matches none: an empty answer says so. */
static enum store_result
sets_resolve(struct search *s, struct search_key *key)
{
	enum store_result	r = STORE_OK;
	bool			is_beyond;

	if (key->op == SEARCH_SEQ || key->op == SEARCH_UID)
		r = set_resolve_in(s->im, s->view, &key->seq, key->op == SEARCH_UID, &key->uids, &is_beyond);
	for (struct search_key *a = key->a; a != NULL && r == STORE_OK; a = a->next)
		r = sets_resolve(s, a);
	return r;
}

/* ---- a message ---- */

static int64_t
day_of_ms(int64_t ms)
{
	return ms >= 0 ? ms / DAY_MS : (ms - (DAY_MS - 1)) / DAY_MS;
}

static int64_t
second_of_ms(int64_t ms)
{
	return ms >= 0 ? ms / 1000 : (ms - 999) / 1000;
}

/* The header, or false: it cannot be read, the message is counted and matches nothing. */
static bool
header_get(struct search *s, struct slice *out)
{
	if (content_header(&s->body, out) == STORE_OK)
		return true;
	s->nunread++;
	return false;
}

/* Any field of that name may hold the text; an empty text asks for the field alone. */
static bool
header_matches(struct search *s, const struct search_key *key)
{
	struct slice	header, value;
	char		name[256];	/* no field name in use is longer; such a search finds nothing */

	if (key->field.n == 0 || key->field.n >= sizeof(name) || memchr(key->field.p, '\0', key->field.n) != NULL ||
	    !header_get(s, &header))
		return false;
	memcpy(name, key->field.p, key->field.n);
	name[key->field.n] = '\0';
	while (mime_header_get(header, name, &value)) {
		const char	*end = value.p + value.n;

		if (key->text.n == 0 || mime_header_contains(value, key->text))
			return true;
		header = (struct slice){end, (size_t)(header.p + header.n - end)};
		if (header.n >= 2 && header.p[0] == '\r' && header.p[1] == '\n')
			header = (struct slice){end + 2, header.n - 2};
	}
	return false;
}

static bool
sent_matches(struct search *s, const struct search_key *key)
{
	struct slice	header, value;
	int64_t		utc_s, day;

	if (!header_get(s, &header) || !mime_header_get(header, "Date", &value) || !mime_date(value, &utc_s, &day))
		return false;
	if (key->op == SEARCH_SENTBEFORE)
		return day < key->day;
	return key->op == SEARCH_SENTON ? day == key->day : day >= key->day;
}

static bool
text_matches(struct search *s, const struct search_key *key)
{
	struct mime_part	*root;

	if (key->text.n == 0)
		return true;
	/* Each looks through the whole message: not for a client that has left. */
	if (session_is_gone(s->im->s))
		return false;
	if (content_parts(&s->body, &root) != STORE_OK) {
		s->nunread++;
		return false;
	}
	return mime_text_contains(buf_slice(&s->body.bytes), root, key->text, key->op == SEARCH_TEXT);
}

static bool
has_keyword(const struct msg_info *m, int bit)
{
	return bit >= 0 && (m->keywords[bit / 64] >> (bit % 64) & 1) != 0;
}

/* Recurses to IMAP_SEARCH_DEPTH_MAX. */
static bool
key_matches(struct search *s, const struct search_key *key, const struct msg_info *m)
{
	switch (key->op) {
	case SEARCH_AND:
		for (const struct search_key *a = key->a; a != NULL; a = a->next)
			if (!key_matches(s, a, m))
				return false;
		return true;
	case SEARCH_OR:
		return key_matches(s, key->a, m) || key_matches(s, key->a->next, m);
	case SEARCH_NOT:
		return !key_matches(s, key->a, m);
	case SEARCH_ALL:
		return true;
	case SEARCH_SEQ:
	case SEARCH_UID:
		return set_has(&key->uids, m->uid);
	case SEARCH_FLAG:
		return (m->flags & key->flag) != 0;
	case SEARCH_RECENT:
		return m->is_recent;
	case SEARCH_KEYWORD:
		return has_keyword(m, key->keyword_bit);
	case SEARCH_LARGER:
		return m->size > key->number;
	case SEARCH_SMALLER:
		return m->size < key->number;
	case SEARCH_MODSEQ:
		return m->modseq >= key->modseq;
	case SEARCH_BEFORE:
		return day_of_ms(m->date_ms) < key->day;
	case SEARCH_ON:
		return day_of_ms(m->date_ms) == key->day;
	case SEARCH_SINCE:
		return day_of_ms(m->date_ms) >= key->day;
	/* Both hold at the very second (RFC 5032 2). */
	case SEARCH_OLDER:
		return second_of_ms(m->date_ms) <= s->now_s - (int64_t)key->number;
	case SEARCH_YOUNGER:
		return second_of_ms(m->date_ms) >= s->now_s - (int64_t)key->number;
	case SEARCH_SENTBEFORE:
	case SEARCH_SENTON:
	case SEARCH_SENTSINCE:
		return sent_matches(s, key);
	case SEARCH_HEADER:
		return header_matches(s, key);
	case SEARCH_BODY:
	case SEARCH_TEXT:
		return text_matches(s, key);
	case SEARCH_SAVEDBEFORE:
		return day_of_ms(m->save_ms) < key->day;
	case SEARCH_SAVEDON:
		return day_of_ms(m->save_ms) == key->day;
	case SEARCH_SAVEDSINCE:
		return day_of_ms(m->save_ms) >= key->day;
	case SEARCH_EMAILID:
		return objectid_is(key->text, OBJECTID_EMAIL, m->guid);
	case SEARCH_THREADID:	/* no message has one (RFC 8474 5.2) */
		return false;
	}
	return false;
}

/* ---- the mailbox ---- */

/* What all that is found changed after: MODSEQ keys that must hold. Then the others need not be looked at. */
static uint64_t
least_change(const struct search_key *root)
{
	uint64_t	since = 0;

	for (const struct search_key *a = root->a; a != NULL; a = a->next)
		if (a->op == SEARCH_MODSEQ && a->modseq > since + 1)
			since = a->modseq - 1;
	return since;
}

/* The messages of one range of UIDs. STORE_LIMIT too where what was found does not fit. */
static enum store_result
range_search(struct search *s, const struct search_key *root, struct uid_range range, struct found *out)
{
	struct imap	*im = s->im;
	uint64_t	 since = least_change(root);
	uint32_t	 lo = range.lo;
	size_t		 n;

	do {
		enum store_result	r;

		if (since > 0)
			r = view_changed(im->store, s->view, since, lo, range.hi, s->msgs, STORE_BATCH_MSGS, &n);
		else
			r = view_range(im->store, s->view, lo, range.hi, s->msgs, STORE_BATCH_MSGS, &n);
		if (r != STORE_OK)
			return r;
		for (size_t i = 0; i < n && out->n < out->most && !im->s->is_dead; i++) {
			const struct msg_info	*m = &s->msgs[i];

			if (m->is_expunged)
				continue;
			content_begin(&s->body, m);
			if (key_matches(s, root, m) && !found_add(out, imap_arena(im), m))
				return STORE_LIMIT;
		}
		if (n > 0)
			lo = s->msgs[n - 1].uid + 1;
	} while (n == STORE_BATCH_MSGS && lo != 0 && lo <= range.hi && out->n < out->most && !im->s->is_dead);
	return STORE_OK;
}

/* Where the search names a set, only that is looked at. */
static enum store_result
view_search(struct search *s, const struct search_key *root, struct found *out)
{
	struct uid_range	 all = {1, UINT32_MAX};
	struct uid_set		 set = {&all, 1};
	enum store_result	 r = STORE_OK;

	for (const struct search_key *a = root->a; a != NULL; a = a->next) {
		if (a->op == SEARCH_SEQ || a->op == SEARCH_UID) {
			set = a->uids;
			break;
		}
	}
	for (size_t i = 0; i < set.n && r == STORE_OK && out->n < out->most && !s->im->s->is_dead; i++)
		r = range_search(s, root, set.r[i], out);
	return r;
}

enum store_result
search_in(struct imap *im, const struct view *view, const struct search_args *args, struct found *out, size_t *nunread_out)
{
	struct arena		 scratch = arena_make(SCRATCH_MAX_BYTES);
	struct search		*s = ARENA_NEW(&scratch, struct search, 1);
	enum store_result	 r = STORE_LIMIT;

	*nunread_out = 0;
	out->has_modseq = args->has_modseq;
	if (s == NULL)
		goto out;
	*s = (struct search){.im = im, .view = view, .now_s = now_ms() / 1000, .body = content_make(im->store),
	    .msgs = ARENA_NEW(&scratch, struct msg_info, STORE_BATCH_MSGS)};
	if (s->msgs != NULL && (r = sets_resolve(s, args->root)) == STORE_OK)
		r = view_search(s, args->root, out);
	content_free(&s->body);
	*nunread_out = s->nunread;
out:
	arena_free(&scratch);
	return r;
}

bool
search_find(struct imap *im, const struct search_args *args, struct found *out, size_t *nunread_out)
{
	enum store_result	r;

	if (!search_prepare(im, args))
		return false;
	if ((r = search_in(im, &im->view, args, out, nunread_out)) != STORE_OK)
		imap_no_store(im, r, "NONEXISTENT");
	return r == STORE_OK;
}

/* ---- the command ---- */

static void
plain_tell(struct imap *im, const struct found *found)
{
	session_puts(im->s, "* SEARCH");
	for (size_t i = 0; i < found->n; i++)
		session_putf(im->s, " %u", found_number(&found->msgs[i], im->is_uid));
	found_modseq_put(im->s, found);
	session_puts(im->s, "\r\n");
}

void
search_run(struct imap *im, struct slice args)
{
	struct search_args	parsed;
	struct found		found;
	size_t			nunread;
	bool			does_save;

	if (parse_search_args(&args, imap_arena(im), &parsed) != PARSE_OK) {
		imap_bad(im, "SEARCH [RETURN (options)] [CHARSET charset] keys: not understood");
		return;
	}
	if (search_has_conflict(im, &parsed))
		return;
	/* No options are ALL, and ESEARCH answers (RFC 9051 6.4.4). */
	if (!parsed.ret.is_extended && imap_is_rev2(im))
		parsed.ret = (struct search_return){.is_extended = true, .items = RETURN_ALL};
	does_save = (parsed.ret.items & RETURN_SAVE) != 0;
	found = found_make(search_return_most(&parsed.ret));
	if (!search_find(im, &parsed, &found, &nunread)) {
		if (does_save)	/* RFC 5182 2.1: NO empties it */
			saved_clear(im);
		return;
	}
	if (does_save && !esearch_save(im, &parsed.ret, &found)) {
		imap_no(im, "[NOTSAVED] The result has too many pieces to be saved");
		return;
	}
	if (parsed.ret.is_extended)
		esearch_tell(im, &parsed.ret, &found);
	else
		plain_tell(im, &found);
	if (nunread > 0)
		imap_ok(im, "SEARCH completed, but some messages could not be read");
	else
		imap_ok(im, "%sSEARCH completed", im->is_uid ? "UID " : "");
}
