/*
 * LIST and LSUB. Builds the tree of names as the client sees them, in UTF-8: mailboxes, subscriptions,
 * and the parents that only their children imply; sorts it so that a name's children follow it; then
 * goes through it once a pass. Called from the command table. RFC 3501 6.3.8, 6.3.9; RFC 5258 3.
 */
#include "imap/list.h"

#include <stdlib.h>

#include "imap/condstore.h"
#include "imap/list_parse.h"
#include "imap/mailbox.h"
#include "imap/quote.h"
#include "imap/status.h"

#define SEPARATOR		'/'
#define PATTERN_MAX_BYTES	(8 * MBOXNAME_MAX_BYTES)	/* longer ones match no name */
#define LIST_LINE_MAX_BYTES	(16 * MBOXNAME_MAX_BYTES + 512)	/* two names, each byte of them quoted */
#define NO_PARENT		SIZE_MAX

struct list_entry {
	struct slice		 name;		/* UTF-8 */
	const struct mbox_info	*info;		/* NULL: no such mailbox */
	size_t			 parent;	/* index of the entry above, NO_PARENT at the top */
	bool			 is_subscribed;
	bool			 has_children;	/* a mailbox is below it */
	bool			 is_matched;	/* by a pattern */
	bool			 has_chosen;	/* RECURSIVEMATCH: something below meets the criteria */
	bool			 has_hidden;	/* ... and is matched by no pattern */
};

struct listing {
	struct imap		*im;
	const struct list_args	*args;
	struct list_entry	*entries;
	size_t			 n, cap;
	struct slice		 patterns[IMAP_LIST_PATTERNS_MAX];	/* UTF-8, with the reference; p NULL: matches nothing */
};

/* ---- the names ---- */

/* By components: a name, then what is below it, then its next sibling. */
static int
name_compare(struct slice a, struct slice b)
{
	size_t	n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		unsigned	x = a.p[i] == SEPARATOR ? 0 : (unsigned char)a.p[i];
		unsigned	y = b.p[i] == SEPARATOR ? 0 : (unsigned char)b.p[i];

		if (x != y)
			return x < y ? -1 : 1;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

static int
entry_compare(const void *a, const void *b)
{
	return name_compare(((const struct list_entry *)a)->name, ((const struct list_entry *)b)->name);
}

static bool
is_below(struct slice name, struct slice above)
{
	return name.n > above.n && name.p[above.n] == SEPARATOR && memcmp(name.p, above.p, above.n) == 0;
}

/* A name and, before it, the names above it that its predecessor did not bring. */
static bool
entry_add(struct listing *l, struct slice inside, const struct mbox_info *info, bool is_subscribed)
{
	char		utf8[4 * MBOXNAME_MAX_BYTES];
	struct slice	name = {utf8, mboxname_to_client(l->im->s->who.user, inside, false, utf8)};
	size_t		depth = 1;

	if (name.n == 0)
		return true;	/* not in this user's tree */
	if ((name = arena_slice(imap_arena(l->im), name)).p == NULL)
		return false;
	for (size_t i = 0; i < name.n; i++)
		depth += name.p[i] == SEPARATOR;
	if (depth > l->cap - l->n) {
		size_t			 cap = (l->cap + depth) * 2;
		struct list_entry	*grown = ARENA_NEW(imap_arena(l->im), struct list_entry, cap);

		if (grown == NULL)
			return false;
		if (l->n > 0)
			memcpy(grown, l->entries, l->n * sizeof(*grown));
		l->entries = grown;
		l->cap = cap;
	}
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] == SEPARATOR)
			l->entries[l->n++] = (struct list_entry){.name = {name.p, i}, .has_children = info != NULL};
	l->entries[l->n++] = (struct list_entry){.name = name, .info = info, .is_subscribed = is_subscribed};
	return true;
}

/* Sorts, joins what has the same name, finds parents. */
static void
entries_finish(struct listing *l)
{
	size_t	n = 0, above = NO_PARENT;

	if (l->n == 0)
		return;
	qsort(l->entries, l->n, sizeof(*l->entries), entry_compare);
	for (size_t i = 1; i < l->n; i++) {
		struct list_entry	*last = &l->entries[n], *e = &l->entries[i];

		if (!slice_is(last->name, e->name)) {
			l->entries[++n] = *e;
			continue;
		}
		if (e->info != NULL)
			last->info = e->info;
		last->is_subscribed |= e->is_subscribed;
		last->has_children |= e->has_children;
	}
	l->n = n + 1;
	for (size_t i = 0; i < l->n; i++) {
		while (above != NO_PARENT && !is_below(l->entries[i].name, l->entries[above].name))
			above = l->entries[above].parent;
		l->entries[i].parent = above;
		above = i;
	}
}

static enum store_result
entries_build(struct listing *l, bool with_mailboxes, bool with_subscriptions)
{
	struct arena		*arena = imap_arena(l->im);
	enum store_result	 r;
	struct mbox_info	*infos;
	struct slice		*names;
	size_t			 n;

	if (with_mailboxes) {
		if ((r = store_mbox_list(l->im->store, arena, &infos, &n)) != STORE_OK)
			return r;
		for (size_t i = 0; i < n; i++)
			if (!entry_add(l, infos[i].name, &infos[i], false))
				return STORE_LIMIT;
	}
	if (with_subscriptions) {
		if ((r = store_subscriptions(l->im->store, arena, &names, &n)) != STORE_OK)
			return r;
		for (size_t i = 0; i < n; i++)
			if (!entry_add(l, names[i], NULL, true))
				return STORE_LIMIT;
	}
	entries_finish(l);
	return STORE_OK;
}

/* ---- patterns ---- */

/* A first component that is INBOX in any case is written so, as in the names. */
static void
inbox_fold(char *p, size_t n)
{
	if (n >= 5 && strncasecmp(p, "INBOX", 5) == 0 && (n == 5 || strchr("/%*", p[5]) != NULL))
		memcpy(p, "INBOX", 5);
}

/* reference and pattern joined, decoded from modified UTF-7. PARSE_BAD only where the arena is full. */
static enum parse
pattern_make(struct imap *im, struct slice reference, struct slice pattern, struct slice *out)
{
	struct buf	joined = buf_make(PATTERN_MAX_BYTES);
	char		utf8[PATTERN_MAX_BYTES];
	long		n = -1;

	*out = (struct slice){NULL, 0};
	if (buf_add_slice(&joined, reference) == 0 && buf_add_slice(&joined, pattern) == 0)
		n = mutf7_decode(buf_slice(&joined), utf8, sizeof(utf8));
	buf_free(&joined);
	if (n < 0)
		return PARSE_OK;
	inbox_fold(utf8, (size_t)n);
	*out = arena_slice(imap_arena(im), (struct slice){utf8, (size_t)n});
	return out->p == NULL ? PARSE_BAD : PARSE_OK;
}

/* INBOX is matched whatever the pattern's case (RFC 3501 6.3.8). */
static bool
inbox_matches(struct slice pattern)
{
	char	upper[PATTERN_MAX_BYTES];

	for (size_t i = 0; i < pattern.n; i++)
		upper[i] = pattern.p[i] >= 'a' && pattern.p[i] <= 'z' ? (char)(pattern.p[i] - 'a' + 'A') : pattern.p[i];
	return mboxname_match((struct slice){upper, pattern.n}, SLICE("INBOX"), SEPARATOR);
}

static bool
pattern_matches(struct slice pattern, struct slice name)
{
	if (pattern.p == NULL || pattern.n == 0)
		return false;
	if (slice_is(name, SLICE("INBOX")))
		return inbox_matches(pattern);
	return mboxname_match(pattern, name, SEPARATOR);
}

static bool
patterns_prepare(struct listing *l)
{
	for (size_t i = 0; i < l->args->npatterns; i++) {
		/* An empty name among extended patterns is ignored (RFC 5258 3). */
		if (l->args->patterns[i].n == 0)
			continue;
		if (pattern_make(l->im, l->args->reference, l->args->patterns[i], &l->patterns[i]) != PARSE_OK)
			return false;
	}
	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < l->args->npatterns && !l->entries[i].is_matched; k++)
			l->entries[i].is_matched = pattern_matches(l->patterns[k], l->entries[i].name);
	return true;
}

/* ---- LIST ---- */

/* Does an entry meet the selection options? Without any: a mailbox, or a name implied by one. */
static bool
is_chosen(const struct listing *l, const struct list_entry *e)
{
	unsigned	select = l->args->select;

	if ((select & (LIST_SUBSCRIBED | LIST_SPECIAL_USE)) == 0)
		return e->info != NULL || e->has_children;
	if ((select & LIST_SUBSCRIBED) != 0 && !e->is_subscribed)
		return false;
	return (select & LIST_SPECIAL_USE) == 0 || (e->info != NULL && e->info->use != USE_NONE);
}

static void
recursive_mark(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!is_chosen(l, &l->entries[i]))
			continue;
		for (size_t p = l->entries[i].parent; p != NO_PARENT; p = l->entries[p].parent) {
			l->entries[p].has_chosen = true;
			l->entries[p].has_hidden |= !l->entries[i].is_matched;
		}
	}
}

static int
attribute_add(struct buf *b, const char *attribute)
{
	if (b->p[b->n - 1] != '(' && buf_add(b, " ", 1) < 0)
		return -1;
	return buf_add_str(b, attribute);
}

static int
attributes_add(const struct listing *l, struct buf *b, const struct list_entry *e)
{
	const char	*use = e->info != NULL ? special_use_name(e->info->use) : NULL;

	if (e->info == NULL && attribute_add(b, l->args->is_extended ? "\\NonExistent" : "\\Noselect") < 0)
		return -1;
	if (attribute_add(b, e->has_children ? "\\HasChildren" : "\\HasNoChildren") < 0)
		return -1;
	if (e->is_subscribed && ((l->args->select | l->args->give) & LIST_SUBSCRIBED) != 0 &&
	    attribute_add(b, "\\Subscribed") < 0)
		return -1;
	return use != NULL ? attribute_add(b, use) : 0;
}

/* A UTF-8 name in modified UTF-7, as a string. */
static int
name_add(struct buf *b, struct slice utf8)
{
	char	mutf7[4 * MBOXNAME_MAX_BYTES];
	long	n = mutf7_encode(utf8, mutf7, sizeof(mutf7));

	return n > 0 ? quote_string(b, (struct slice){mutf7, (size_t)n}) : -1;
}

/* [SP "(" "CHILDINFO" ... ")"] or [SP "(" "OLDNAME" SP "(" mailbox ")" ")"]: list-extended data (RFC 5258 6, RFC 5465 8) */
static int
extended_add(struct buf *b, bool has_childinfo, struct slice old_name)
{
	if (has_childinfo)
		return buf_add_str(b, " (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n");
	if (old_name.n == 0)
		return buf_add_str(b, "\r\n");
	return buf_add_str(b, " (\"OLDNAME\" (") < 0 || name_add(b, old_name) < 0 ? -1 : buf_add_str(b, "))\r\n");
}

/* * LIST (attributes) "/" "name" and what extends it */
static void
entry_tell(const struct listing *l, const struct list_entry *e, bool is_criteria_met, struct slice old_name)
{
	bool		has_childinfo = (l->args->select & LIST_RECURSIVEMATCH) != 0 && e->has_chosen;
	struct buf	b = buf_make(LIST_LINE_MAX_BYTES);
	char		mutf7[4 * MBOXNAME_MAX_BYTES];
	long		n = mutf7_encode(e->name, mutf7, sizeof(mutf7));
	struct slice	name = {mutf7, n > 0 ? (size_t)n : 0};

	if (n > 0 && buf_add_str(&b, "* LIST (") == 0 && attributes_add(l, &b, e) == 0 &&
	    buf_add_str(&b, ") \"/\" ") == 0 && quote_string(&b, name) == 0 &&
	    extended_add(&b, has_childinfo, old_name) == 0)
		session_write(l->im->s, b.p, b.n);
	buf_free(&b);
	if ((l->args->give & LIST_STATUS) != 0 && e->info != NULL && is_criteria_met)
		status_tell(l->im, name, e->info, l->args->status_items);
}

static void
entries_tell(struct listing *l)
{
	bool	is_recursive = (l->args->select & LIST_RECURSIVEMATCH) != 0;

	if (is_recursive)
		recursive_mark(l);
	for (size_t i = 0; i < l->n; i++) {
		const struct list_entry	*e = &l->entries[i];
		bool			 is_met = is_chosen(l, e);

		if (e->is_matched && (is_met || (is_recursive && e->has_hidden)))
			entry_tell(l, e, is_met, SLICE(""));
	}
}

void
list_run(struct imap *im, struct slice args)
{
	struct list_args	parsed;
	struct listing		l = {.im = im, .args = &parsed};
	enum store_result	r;
	bool			with_subscriptions;

	if (parse_list_args(&args, imap_arena(im), &parsed) != PARSE_OK) {
		imap_bad(im, "LIST [(options)] reference pattern [RETURN (options)]: not understood");
		return;
	}
	if (!parsed.is_extended && parsed.patterns[0].n == 0) {
		session_puts(im->s, "* LIST (\\Noselect) \"/\" \"\"\r\n");
		imap_ok(im, "LIST completed");
		return;
	}
	if ((parsed.give & LIST_STATUS) != 0 && (parsed.status_items & STATUS_HIGHESTMODSEQ) != 0)
		condstore_enable(im);
	with_subscriptions = ((parsed.select | parsed.give) & LIST_SUBSCRIBED) != 0;
	r = entries_build(&l, true, with_subscriptions);
	if (r == STORE_OK && !patterns_prepare(&l))
		r = STORE_LIMIT;
	if (r != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	entries_tell(&l);
	imap_ok(im, "LIST completed");
}

/* ---- one name, for NOTIFY ---- */

enum store_result
listing_make(struct imap *im, struct listing **out)
{
	static const struct list_args	args = {.is_extended = true, .give = LIST_SUBSCRIBED | LIST_CHILDREN};
	struct listing			*l = ARENA_NEW(imap_arena(im), struct listing, 1);

	if (l == NULL)
		return STORE_LIMIT;
	*l = (struct listing){.im = im, .args = &args};
	*out = l;
	return entries_build(l, true, true);
}

static const struct list_entry *
entry_find(const struct listing *l, struct slice name)
{
	struct list_entry	key = {.name = name};

	return l->n == 0 ? NULL : bsearch(&key, l->entries, l->n, sizeof(*l->entries), entry_compare);
}

bool
listing_is_subscribed(const struct listing *l, struct slice name)
{
	const struct list_entry	*e = entry_find(l, name);

	return e != NULL && e->is_subscribed;
}

void
listing_tell(const struct listing *l, struct slice name, struct slice old_name)
{
	const struct list_entry	*e = entry_find(l, name);
	struct list_entry	 none = {.name = name};

	entry_tell(l, e != NULL ? e : &none, false, old_name);
}

/* ---- LSUB ---- */

static void
lsub_tell(struct imap *im, struct slice utf8, bool is_subscribed)
{
	struct buf	b = buf_make(LIST_LINE_MAX_BYTES);
	char		mutf7[4 * MBOXNAME_MAX_BYTES];
	long		n = mutf7_encode(utf8, mutf7, sizeof(mutf7));

	if (n > 0 && buf_add_str(&b, is_subscribed ? "* LSUB () \"/\" " : "* LSUB (\\Noselect) \"/\" ") == 0 &&
	    quote_string(&b, (struct slice){mutf7, (size_t)n}) == 0 && buf_add_str(&b, "\r\n") == 0)
		session_write(im->s, b.p, b.n);
	buf_free(&b);
}

/*
 * With "%" a name above a subscribed one stands for it (RFC 3501 6.3.9): marks it where the subscribed
 * name itself is not matched.
 */
static void
lsub_mark(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!l->entries[i].is_subscribed || l->entries[i].is_matched)
			continue;
		for (size_t p = l->entries[i].parent; p != NO_PARENT; p = l->entries[p].parent)
			l->entries[p].has_hidden = true;
	}
}

void
lsub_run(struct imap *im, struct slice args)
{
	struct list_args	parsed;
	struct listing		l = {.im = im, .args = &parsed};
	enum store_result	r;

	if (parse_lsub_args(&args, imap_arena(im), &parsed) != PARSE_OK) {
		imap_bad(im, "LSUB reference pattern: not understood");
		return;
	}
	if (parsed.patterns[0].n == 0) {
		session_puts(im->s, "* LSUB (\\Noselect) \"/\" \"\"\r\n");
		imap_ok(im, "LSUB completed");
		return;
	}
	r = entries_build(&l, false, true);
	if (r == STORE_OK && !patterns_prepare(&l))
		r = STORE_LIMIT;
	if (r != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	if (memchr(parsed.patterns[0].p, '%', parsed.patterns[0].n) != NULL)
		lsub_mark(&l);
	for (size_t i = 0; i < l.n; i++)
		if (l.entries[i].is_matched && (l.entries[i].is_subscribed || l.entries[i].has_hidden))
			lsub_tell(im, l.entries[i].name, l.entries[i].is_subscribed);
	imap_ok(im, "LSUB completed");
}

void
namespace_run(struct imap *im, struct slice args)
{
	if (parse_end(&args) != PARSE_OK) {
		imap_bad(im, "NAMESPACE takes no arguments");
		return;
	}
	session_puts(im->s, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
	imap_ok(im, "NAMESPACE completed");
}
