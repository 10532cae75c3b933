/*
 * LIST, LSUB and XLIST, which is LIST as some clients ask for special uses since before RFC 6154. Builds the tree of names
 * as the client sees them, in UTF-8: mailboxes, subscriptions, and the parents that only their children imply; sorts it so
 * that a name's children follow it; then goes through it once a pass. Called from the command table. RFC 3501 6.3.8,
 * 6.3.9; RFC 5258 3; RFC 9051 6.3.9.
 */
#include "imap/list.h"

#include <stdlib.h>

#include "imap/condstore.h"
#include "imap/list_line.h"
#include "imap/list_parse.h"
#include "imap/name.h"
#include "imap/status.h"

#define SEPARATOR		'/'
#define PATTERN_MAX_BYTES	NAME_MAX_BYTES	/* longer ones match no name */
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
	bool			 is_xlist;
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
	char		utf8[NAME_MAX_BYTES];
	struct slice	name = name_utf8(l->im, inside, utf8);
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

/* reference and pattern joined, in UTF-8. PARSE_BAD only where the arena is full. */
static enum parse
pattern_make(struct imap *im, struct slice reference, struct slice pattern, struct slice *out)
{
	struct buf	joined = buf_make(PATTERN_MAX_BYTES);
	char		utf8[PATTERN_MAX_BYTES];
	long		n = -1;

	*out = (struct slice){NULL, 0};
	if (buf_add_slice(&joined, reference) == 0 && buf_add_slice(&joined, pattern) == 0)
		n = name_pattern(im, buf_slice(&joined), utf8, sizeof(utf8));
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

/* The names XLIST had before RFC 6154 chose others: clients that know it look for these. */
static unsigned
xlist_attributes(const struct list_entry *e)
{
	if (slice_is(e->name, SLICE("INBOX")))
		return LIST_IS_INBOX;
	return e->info != NULL && e->info->use == USE_JUNK ? LIST_IS_SPAM : 0;
}

static unsigned
entry_attributes(const struct listing *l, const struct list_entry *e)
{
	unsigned	attributes = e->has_children ? LIST_HAS_CHILDREN : LIST_HAS_NO_CHILDREN;

	if (e->info == NULL)
		attributes |= l->args->is_extended ? LIST_IS_NONEXISTENT : LIST_IS_NOSELECT;
	if (e->is_subscribed && ((l->args->select | l->args->give) & LIST_SUBSCRIBED) != 0)
		attributes |= LIST_IS_SUBSCRIBED;
	return l->is_xlist ? attributes | xlist_attributes(e) : attributes;
}

static const char *
verb(const struct listing *l)
{
	return l->is_xlist ? "XLIST" : "LIST";
}

/* * LIST (attributes) "/" "name" and what extends it */
static void
entry_tell(const struct listing *l, const struct list_entry *e, bool is_criteria_met, struct slice old_name)
{
	/* OLDNAME also in IMAP4rev1: who asked NOTIFY for names is told of a rename so (RFC 5465 5.4). */
	list_line_tell(l->im, &(struct list_line){.verb = verb(l), .name = e->name, .oldname = old_name.n > 0 ? old_name : (struct slice){NULL, 0},
	    .attributes = entry_attributes(l, e), .use = e->info != NULL ? e->info->use : USE_NONE,
	    .has_childinfo = (l->args->select & LIST_RECURSIVEMATCH) != 0 && e->has_chosen});
	if ((l->args->give & LIST_STATUS) != 0 && e->info != NULL && is_criteria_met)
		(void)status_tell(l->im, e->name, e->info, l->args->status_items);
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

static void
listing_run(struct listing *l)
{
	struct imap		*im = l->im;
	bool			 with_subscriptions = ((l->args->select | l->args->give) & LIST_SUBSCRIBED) != 0;
	enum store_result	 r;

	if (!l->args->is_extended && l->args->patterns[0].n == 0) {
		session_putf(im->s, "* %s (\\Noselect) \"/\" \"\"\r\n", verb(l));
		imap_ok(im, "%s completed", verb(l));
		return;
	}
	r = entries_build(l, true, with_subscriptions);
	if (r == STORE_OK && !patterns_prepare(l))
		r = STORE_LIMIT;
	if (r != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	entries_tell(l);
	imap_ok(im, "%s completed", verb(l));
}

void
list_run(struct imap *im, struct slice args)
{
	struct list_args	parsed;
	struct listing		l = {.im = im, .args = &parsed};

	if (parse_list_args(&args, imap_arena(im), &parsed) != PARSE_OK) {
		imap_bad(im, "LIST [(options)] reference pattern [RETURN (options)]: not understood");
		return;
	}
	if ((parsed.give & LIST_STATUS) != 0 && (parsed.status_items & STATUS_HIGHESTMODSEQ) != 0)
		condstore_enable(im);
	listing_run(&l);
}

void
xlist_run(struct imap *im, struct slice args)
{
	struct list_args	parsed;
	struct listing		l = {.im = im, .args = &parsed, .is_xlist = true};

	if (parse_lsub_args(&args, imap_arena(im), &parsed) != PARSE_OK)
		imap_bad(im, "XLIST reference pattern: not understood");
	else
		listing_run(&l);
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
			list_line_tell(im, &(struct list_line){.verb = "LSUB", .name = l.entries[i].name,
			    .attributes = l.entries[i].is_subscribed ? 0 : LIST_IS_NOSELECT});
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
