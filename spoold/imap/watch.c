/*
 * NOTIFY: the command, and when what it asked for is told. Called from the command table, by imap.c whenever a session is
 * quiet, and by untagged.c, which asks here what it may say. Nothing is polled: a change in the user's spool wakes
 * whoever waits. Names no mailbox itself: watch_tell.c does. RFC 5465 3.1, 4, 5.8.
 */
#include "imap/watch.h"

#include "imap/condstore.h"
#include "imap/fetch.h"
#include "imap/untagged.h"
#include "imap/watch_tell.h"

#define PARSE_MAX_BYTES	(1024 * 1024)	/* of the groups: 64 items at most, each with room for IMAP_FIELDS_MAX names */

/* Every event there is but AnnotationChange (RFC 5465 3.1). */
#define EVENTS		"MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange"

static unsigned
watching_of(const struct watch_groups *groups)
{
	unsigned	watching = WATCHING;

	for (size_t i = 0; i < groups->n; i++) {
		const struct watch_group	*g = &groups->v[i];

		if (g->filter != WATCH_SELECTED && g->filter != WATCH_SELECTED_DELAYED) {
			watching |= g->events != 0 ? WATCHING_OTHERS : 0;
			continue;
		}
		watching |= (g->events & WATCH_NEW) != 0 ? WATCHING_SELECTED : 0;
		watching |= (g->events & WATCH_FLAGS) != 0 ? WATCHING_FLAGS : 0;
		watching |= g->filter == WATCH_SELECTED_DELAYED ? WATCHING_DELAYED : 0;
	}
	return watching | (groups->atts != NULL ? WATCHING_ATTS : 0);
}

/* The groups out of the session's state. NULL: they are none. */
static struct watch_groups *
groups_parse(const struct imap *im, struct arena *arena)
{
	struct watch_groups	*groups = ARENA_NEW(arena, struct watch_groups, 1);
	struct slice		 text = {im->watch, im->nwatch};

	if (groups == NULL || parse_watch_groups(&text, arena, groups) != PARSE_OK || groups->is_unsupported)
		return NULL;
	return groups;
}

bool
watch_understand(struct imap *im)
{
	struct arena		 arena = arena_make(PARSE_MAX_BYTES);
	struct watch_groups	*groups = NULL;

	if (im->nwatch == 0)
		im->watching = WATCHING;
	else if ((groups = groups_parse(im, &arena)) != NULL)
		im->watching = watching_of(groups);
	arena_free(&arena);
	return im->nwatch == 0 || groups != NULL;
}

bool
watch_is_waiting(const struct imap *im)
{
	return (im->watching & WATCHING_OTHERS) != 0 || ((im->watching & WATCHING_SELECTED) != 0 && im->is_selected);
}

void
watch_new(struct imap *im, uint32_t first_uid)
{
	struct watch_groups	*groups;

	if ((im->watching & WATCHING_ATTS) != 0 && (groups = groups_parse(im, imap_arena(im))) != NULL)
		fetch_new(im, groups->atts, first_uid);
}

/* As if NOTIFY NONE had come (RFC 5465 5.8). */
static void
overflow_tell(struct imap *im)
{
	session_puts(im->s, "* OK [NOTIFICATIONOVERFLOW] More happened than can be told, nothing is told from now on\r\n");
	im->nwatch = 0;
	im->watching = WATCHING;
	im->is_behind = false;
}

static void
others_tell(struct imap *im)
{
	struct watch_groups	*groups = groups_parse(im, imap_arena(im));
	enum store_result	 r = groups == NULL ? STORE_LIMIT : watch_others_tell(im, groups);

	if (r == STORE_LIMIT || r == STORE_PURGED)
		overflow_tell(im);
	else
		im->is_behind = im->is_behind || store_is_behind(im->store);
}

bool
watch_tell(struct imap *im)
{
	bool	is_there = true;

	im->is_behind = false;
	if ((im->watching & WATCHING_SELECTED) != 0 && im->is_selected) {
		is_there = untagged_sync(im, im->is_idling || (im->watching & WATCHING_DELAYED) == 0);
		im->is_behind = is_there && store_is_behind(im->store);
		if (is_there)
			condstore_tell(im);
	}
	if (is_there && (im->watching & WATCHING_OTHERS) != 0)
		others_tell(im);
	store_own_forget(im->store);
	return is_there;
}

/* ---- the command ---- */

static bool
has_modseq(const struct fetch_args *atts)
{
	for (size_t i = 0; i < atts->nitems; i++)
		if (atts->items[i].kind == FETCH_MODSEQ)
			return true;
	return false;
}

/* From now on the groups say what is told; what there is to tell of before is told first, an implicit NOOP. */
static void
watch_set(struct imap *im, struct watch_args *args)
{
	unsigned		was;
	bool			was_utf8 = im->watch_is_utf8;
	struct store_place	place;
	enum store_result	r;

	/* What happened until now, by what was asked for until now: NOTIFY is a NOOP, too (RFC 5465 3.1). */
	if ((im->watching & WATCHING_OTHERS) != 0)
		others_tell(im);
	was = im->watching;
	im->watching = 0;
	if (im->untold_modseq != 0) {
		im->view.modseq = im->untold_modseq;
		im->untold_modseq = 0;
	}
	if (!untagged_sync(im, true))
		return;
	if (args->groups.atts != NULL && has_modseq(args->groups.atts))
		condstore_enable(im);
	im->watch_is_utf8 = imap_has_utf8(im);
	if ((r = store_place_now(im->store, &place)) == STORE_OK && args->with_status)
		r = watch_status_tell(im, &args->groups);
	if (r != STORE_OK) {
		im->watching = was;
		im->watch_is_utf8 = was_utf8;
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	memcpy(im->watch, args->text.p, args->text.n);
	im->nwatch = (uint16_t)args->text.n;
	im->watching = watching_of(&args->groups);
	im->place = place;
	imap_ok(im, "NOTIFY completed");
}

void
watch_run(struct imap *im, struct slice text)
{
	struct watch_args	*args = ARENA_NEW(imap_arena(im), struct watch_args, 1);

	/* Before it is looked at: what is not kept is not worth the work. */
	if (text.n > IMAP_WATCH_MAX_BYTES + strlen(" SET STATUS ")) {
		imap_no(im, "[NOTIFICATIONOVERFLOW] That is more than can be remembered");
		return;
	}
	if (args == NULL || parse_watch_args(&text, imap_arena(im), args) != PARSE_OK) {
		imap_bad(im, "NOTIFY NONE, or NOTIFY SET [STATUS] (mailboxes (events)) ...: not understood");
		return;
	}
	if (args->is_none) {
		im->nwatch = 0;
		im->watching = WATCHING;
		imap_ok(im, "NOTIFY completed, nothing is told");
		return;
	}
	if (args->groups.is_unsupported)
		imap_no(im, "[BADEVENT (" EVENTS ")] An event of those is not supported");
	else if (args->text.n > IMAP_WATCH_MAX_BYTES)
		imap_no(im, "[NOTIFICATIONOVERFLOW] That is more than can be remembered");
	else
		watch_set(im, args);
}
