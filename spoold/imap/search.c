/*
 * SEARCH: prepares the tree (sets into UIDs, keywords into bits, texts folded) and looks at each
 * message of the view once, in batches; its header and body are read only when a key is reached that
 * needs them. Called from the command table. RFC 3501 6.4.4, RFC 7162 3.1.5.
 */
#include "imap/search.h"

#include "imap/condstore.h"
#include "imap/content.h"
#include "imap/objectid.h"
#include "imap/search_parse.h"
#include "imap/set.h"
#include "imap/untagged.h"

#define DAY_MS	(24LL * 60 * 60 * 1000)

struct search {
	struct imap	*im;
	struct content body;
	const char	*charset;
	size_t		 nunread;	/* messages a key of which could not be looked at */
	bool		 has_modseq;	/* a key asks for it: the answer has it */
	uint64_t	 modseq;	/* the highest of the messages found */
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
text_prepare(struct search *s, struct search_key *key)
{
	key->text = mime_fold(key->text, s->charset, imap_arena(s->im));
	return key->text.p != NULL;
}

/* Answers NO itself and returns false. */
static bool
key_prepare(struct search *s, struct search_key *key)
{
	enum store_result	r = STORE_OK;
	bool			is_beyond;

	switch (key->op) {
	case SEARCH_SEQ:
		/* Numbers must not shift while they are spoken of (RFC 7162 3.2.10.2). */
		s->im->may_expunge = false;
		/* FALLTHROUGH */
	case SEARCH_UID:
		/* A number that names no message matches none: an empty answer says so. */
		r = set_resolve(s->im, &key->seq, key->op == SEARCH_UID, &key->uids, &is_beyond);
		break;
	case SEARCH_KEYWORD:
		r = keyword_prepare(s->im, key);
		break;
	case SEARCH_MODSEQ:
		s->has_modseq = true;
		break;
	case SEARCH_HEADER:
	case SEARCH_BODY:
	case SEARCH_TEXT:
		if (key->text.n > 0 && !text_prepare(s, key)) {
			imap_no(s->im, "[BADCHARSET (UTF-8 US-ASCII)] The text is not in that charset");
			return false;
		}
		break;
	default:
		break;
	}
	if (r != STORE_OK) {
		imap_no_store(s->im, r, "NONEXISTENT");
		return false;
	}
	for (struct search_key *a = key->a; a != NULL; a = a->next)
		if (!key_prepare(s, a))
			return false;
	return true;
}

/* ---- a message ---- */

static int64_t
day_of_ms(int64_t ms)
{
	return ms >= 0 ? ms / DAY_MS : (ms - (DAY_MS - 1)) / DAY_MS;
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

/* ---- the command ---- */

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

static enum store_result
view_search(struct search *s, const struct search_key *root)
{
	struct imap	*im = s->im;
	struct msg_info	*msgs = ARENA_NEW(imap_arena(im), struct msg_info, STORE_BATCH_MSGS);
	uint64_t	 since = least_change(root);
	uint32_t	 lo = 1;
	size_t		 n;

	if (msgs == NULL)
		return STORE_LIMIT;
	do {
		enum store_result	r;

		if (since > 0)
			r = view_changed(im->store, &im->view, since, lo, UINT32_MAX, msgs, STORE_BATCH_MSGS, &n);
		else
			r = view_range(im->store, &im->view, lo, UINT32_MAX, msgs, STORE_BATCH_MSGS, &n);
		if (r != STORE_OK)
			return r;
		for (size_t i = 0; i < n; i++) {
			if (msgs[i].is_expunged)
				continue;
			content_begin(&s->body, &msgs[i]);
			if (!key_matches(s, root, &msgs[i]))
				continue;
			if (msgs[i].modseq > s->modseq)
				s->modseq = msgs[i].modseq;
			session_putf(im->s, " %u", im->is_uid ? msgs[i].uid : msgs[i].seq);
		}
		if (n > 0)
			lo = msgs[n - 1].uid + 1;
	} while (n == STORE_BATCH_MSGS && lo != 0 && !im->s->is_dead);
	return STORE_OK;
}

static void
search_go(struct search *s, const struct search_args *args)
{
	struct imap		*im = s->im;
	enum store_result	 r;

	if (!key_prepare(s, args->root))
		return;
	if (s->has_modseq)
		condstore_enable(im);
	session_puts(im->s, "* SEARCH");
	r = view_search(s, args->root);
	if (s->has_modseq && s->modseq > 0)
		session_putf(im->s, " (MODSEQ %llu)", (unsigned long long)s->modseq);
	session_puts(im->s, "\r\n");
	if (r != STORE_OK)
		imap_no_store(im, r, "NONEXISTENT");
	else if (s->nunread > 0)
		imap_ok(im, "SEARCH completed, but some messages could not be read");
	else
		imap_ok(im, "%sSEARCH completed", im->is_uid ? "UID " : "");
}

void
search_run(struct imap *im, struct slice args)
{
	struct search_args	 parsed;
	struct search		*s = ARENA_NEW(imap_arena(im), struct search, 1);
	const char		*charset = "UTF-8";

	if (s == NULL || parse_search_args(&args, imap_arena(im), &parsed) != PARSE_OK) {
		imap_bad(im, "SEARCH [CHARSET charset] keys: not understood");
		return;
	}
	if (parsed.charset.p != NULL && ((charset = arena_copy(imap_arena(im), parsed.charset)) == NULL ||
	    strlen(charset) != parsed.charset.n || !mime_charset_is_known(charset))) {
		imap_no(im, "[BADCHARSET (UTF-8 US-ASCII)] That charset is not known");
		return;
	}
	*s = (struct search){.im = im, .body = content_make(im->store), .charset = charset};
	search_go(s, &parsed);
	content_free(&s->body);
}
