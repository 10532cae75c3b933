/*
 * What NOTIFY tells of mailboxes that are not selected: STATUS where messages changed, LIST of names and subscriptions,
 * METADATA of entries. Called by watch.c. What the session did itself is not among it (RFC 5465 5). Responses say what is
 * true now, not what was in between. RFC 5465 5, 6; RFC 5464 4.4.2.
 */
#include "imap/watch_tell.h"

#include "imap/condstore.h"
#include "imap/list.h"
#include "imap/mailbox.h"
#include "imap/name.h"
#include "imap/quote.h"
#include "imap/status.h"

#define METADATA_LINE_MAX_BYTES	(STORE_META_ENTRIES_MAX * (2 * STORE_META_NAME_MAX_BYTES + 16) + 2 * NAME_MAX_BYTES)

/* ---- which mailboxes ---- */

/*
 * The groups' names as written become what mailboxes are compared with, once for all of them: in UTF-8, as the client
 * sees them. What no mailbox can be named becomes empty and names none. False: the arena is full.
 */
static bool
names_resolve(struct imap *im, struct watch_groups *groups)
{
	char		utf8[NAME_MAX_BYTES];
	struct mboxname	inside;

	for (size_t i = 0; i < groups->nnames; i++) {
		struct slice	*name = &groups->names[i], none = SLICE("");

		if (name_read_as(im, *name, im->watch_is_utf8, &inside) != PARSE_OK)
			*name = none;
		else
			*name = name_utf8(im, (struct slice){inside.s, inside.n}, utf8);
		if (name->n > 0 && (*name = arena_slice(imap_arena(im), *name)).p == NULL)
			return false;
	}
	return true;
}

static bool
name_covers(struct slice watched, struct slice name, bool with_children)
{
	size_t	n = watched.n;

	if (n == 0 || name.n < n || memcmp(name.p, watched.p, n) != 0)
		return false;
	return name.n == n || (with_children && name.p[n] == '/');
}

static bool
group_covers(const struct watch_group *g, struct slice name, bool is_subscribed)
{
	switch (g->filter) {
	case WATCH_SELECTED:
	case WATCH_SELECTED_DELAYED:
		return false;
	case WATCH_PERSONAL:
		return true;
	case WATCH_SUBSCRIBED:
		return is_subscribed;
	case WATCH_SUBTREE:
	case WATCH_MAILBOXES:
		break;
	}
	for (size_t i = 0; i < g->nnames; i++)
		if (name_covers(g->names[i], name, g->filter == WATCH_SUBTREE))
			return true;
	return false;
}

/* All events asked for of a mailbox; name in UTF-8. A later NONE takes back what groups before it gave. */
static unsigned
events_of(const struct watch_groups *groups, struct slice name, bool is_subscribed)
{
	unsigned	events = 0;

	for (size_t i = 0; i < groups->n; i++)
		if (group_covers(&groups->v[i], name, is_subscribed))
			events = groups->v[i].events == 0 ? 0 : events | groups->v[i].events;
	return events;
}

/* Of the user, not of a mailbox (RFC 5465 8: user-event). */
static bool
has_server_events(const struct watch_groups *groups)
{
	for (size_t i = 0; i < groups->n; i++)
		if ((groups->v[i].events & WATCH_SERVER_METADATA) != 0)
			return true;
	return false;
}

static bool
is_selected_one(const struct imap *im, const unsigned char *id)
{
	return im->is_selected && memcmp(im->view.mailbox, id, RECORD_ID_BYTES) == 0;
}

/* ---- messages ---- */

/* What a STATUS response must and may say (RFC 5465 5.1, 5.2, 5.3); 0: nothing is told. */
static unsigned
status_items_of(const struct imap *im, unsigned how, unsigned events)
{
	bool		wants_flags = (events & WATCH_FLAGS) != 0;
	unsigned	items = 0;

	if ((how & (TOUCHED_NEW | TOUCHED_EXPUNGED)) != 0 && (events & WATCH_NEW) != 0)
		items |= STATUS_MESSAGES | STATUS_UIDNEXT | STATUS_UIDVALIDITY | (wants_flags ? STATUS_UNSEEN : 0);
	/* Without CONDSTORE it says nothing of a flag but \Seen. */
	if ((how & TOUCHED_SEEN) != 0 && wants_flags)
		items |= STATUS_UIDVALIDITY | STATUS_UNSEEN;
	if ((how & TOUCHED_FLAGS) != 0 && wants_flags && condstore_is_on(im))
		items |= STATUS_UIDVALIDITY;
	/* The name may have had another UIDVALIDITY before. */
	if ((how & TOUCHED_NAMED) != 0 && wants_flags)
		items |= STATUS_UIDVALIDITY | STATUS_MESSAGES | STATUS_UIDNEXT;
	return items == 0 || !condstore_is_on(im) ? items : items | STATUS_HIGHESTMODSEQ;
}

static void
touched_tell(struct imap *im, const struct watch_groups *groups, const struct store_touched *t)
{
	const struct mbox_info	*info = &t->info;
	char			 name[NAME_MAX_BYTES];
	unsigned		 events, items;

	if (is_selected_one(im, info->id))
		return;
	events = events_of(groups, name_utf8(im, info->name, name), info->is_subscribed);
	if ((items = status_items_of(im, t->how, events)) != 0)
		(void)status_tell(im, name_utf8(im, info->name, name), info, items);
}

enum store_result
watch_status_tell(struct imap *im, struct watch_groups *groups)
{
	char			 name[NAME_MAX_BYTES];
	struct mbox_info	*infos;
	enum store_result	 r;
	size_t			 n;

	if (!names_resolve(im, groups))
		return STORE_LIMIT;
	if ((r = store_mbox_list(im->store, imap_arena(im), &infos, &n)) != STORE_OK)
		return r;
	for (size_t i = 0; i < n; i++) {
		unsigned	items = 0, events;

		if (is_selected_one(im, infos[i].id))
			continue;
		events = events_of(groups, name_utf8(im, infos[i].name, name), infos[i].is_subscribed);
		if ((events & WATCH_NEW) != 0)
			items |= STATUS_MESSAGES | STATUS_UIDNEXT | STATUS_UIDVALIDITY;
		if ((events & WATCH_FLAGS) != 0)
			items |= STATUS_UIDVALIDITY | STATUS_HIGHESTMODSEQ;
		if (items != 0)
			(void)status_tell(im, name_utf8(im, infos[i].name, name), &infos[i], items);
	}
	return STORE_OK;
}

/* ---- names ---- */

/* A LIST response where the event is asked for of the name, or of the one it had. */
static void
name_tell(const struct watch_groups *groups, const struct listing *l, struct slice name, struct slice old_name, unsigned event)
{
	/* A subscription that ended was one of the subscribed. */
	bool		is_subscribed = event == WATCH_SUBSCRIPTION || listing_is_subscribed(l, name);
	unsigned	events = events_of(groups, name, is_subscribed);

	if (old_name.n > 0)
		events |= events_of(groups, old_name, listing_is_subscribed(l, old_name));
	if ((events & event) != 0)
		listing_tell(l, name, old_name);
}

/* What is made or removed changes the name above it too (RFC 5465 5.4). */
static void
parent_tell(const struct watch_groups *groups, const struct listing *l, struct slice name)
{
	const char	*end = memrchr(name.p, '/', name.n);

	if (end != NULL)
		name_tell(groups, l, (struct slice){name.p, (size_t)(end - name.p)}, SLICE(""), WATCH_NAME);
}

static void
name_event_tell(struct imap *im, const struct watch_groups *groups, const struct listing *l, const struct store_event *e)
{
	char		utf8[NAME_MAX_BYTES], old_utf8[NAME_MAX_BYTES];
	struct slice	name = name_utf8(im, e->name, utf8), old_name = SLICE("");

	if (name.n == 0)
		return;
	if (e->old_name.n > 0)
		old_name = name_utf8(im, e->old_name, old_utf8);
	name_tell(groups, l, name, old_name, e->kind == EVENT_SUBSCRIPTION ? WATCH_SUBSCRIPTION : WATCH_NAME);
	if (e->kind == EVENT_CREATED || e->kind == EVENT_DELETED)
		parent_tell(groups, l, name);
}

/* "* METADATA" SP mailbox SP entry *(SP entry) (RFC 5464 5: entry-list) */
static void
entries_tell(struct imap *im, struct slice name, const struct store_event *e)
{
	struct buf	b = buf_make(METADATA_LINE_MAX_BYTES);
	bool		fits = buf_add_str(&b, "* METADATA ") == 0 && name_quote(im, &b, name) == 0;

	for (size_t i = 0; i < e->nentries && fits; i++)
		fits = buf_add_str(&b, " ") == 0 && quote_astring(&b, e->entries[i]) == 0;
	if (fits && buf_add_str(&b, "\r\n") == 0)
		session_write(im->s, b.p, b.n);
	buf_free(&b);
}

static void
metadata_tell(struct imap *im, const struct watch_groups *groups, const struct listing *l, const struct store_event *e)
{
	char		name[NAME_MAX_BYTES];
	struct slice	utf8;

	if (e->name.n == 0) {
		if (has_server_events(groups))
			entries_tell(im, SLICE(""), e);
		return;
	}
	utf8 = name_utf8(im, e->name, name);
	if ((events_of(groups, utf8, listing_is_subscribed(l, utf8)) & WATCH_METADATA) != 0)
		entries_tell(im, name_utf8(im, e->name, name), e);
}

enum store_result
watch_others_tell(struct imap *im, struct watch_groups *groups)
{
	struct listing		*l = NULL;
	struct store_events	 found;
	enum store_result	 r;

	if ((r = store_events_since(im->store, &im->place, imap_arena(im), &found)) != STORE_OK)
		return r;
	if (found.n == 0 && found.ntouched == 0)
		return STORE_OK;
	/* The place is past it: it could not be told later. */
	if (!names_resolve(im, groups) || (found.n > 0 && listing_make(im, &l) != STORE_OK))
		return STORE_LIMIT;
	for (size_t i = 0; i < found.n; i++) {
		if (found.v[i].kind == EVENT_METADATA)
			metadata_tell(im, groups, l, &found.v[i]);
		else
			name_event_tell(im, groups, l, &found.v[i]);
	}
	for (size_t i = 0; i < found.ntouched; i++)
		touched_tell(im, groups, &found.touched[i]);
	return STORE_OK;
}
