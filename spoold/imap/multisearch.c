/*
 * ESEARCH: goes through the user's mailboxes in the order of LIST, searches those that a source names, each once, and tells of those
 * where something was found. Called from the command table. The selected mailbox is seen as it was told, others as
 * they are; none is selected by it. RFC 7377.
 */
#include "imap/multisearch.h"

#include "imap/esearch.h"
#include "imap/mailbox.h"
#include "imap/multisearch_parse.h"
#include "imap/name.h"
#include "imap/saved.h"
#include "imap/search.h"

struct multisearch {
	struct imap			*im;
	const struct multisearch_args	*args;
	struct slice			*names;		/* of the sources, in UTF-8; p NULL: no mailbox can have it */
	size_t				 nunread;
	bool				 is_unsaved;	/* too much was found to be saved */
};

/* A name as it is, whatever way the client wrote it ("inbox"). */
static enum store_result
name_resolve(struct imap *im, struct slice client, struct slice *out)
{
	struct mboxname	name;
	char		text[NAME_MAX_BYTES];
	struct slice	utf8;

	*out = (struct slice){NULL, 0};
	if (mailbox_name(im, client, &name) != PARSE_OK || (utf8 = name_utf8(im, (struct slice){name.s, name.n}, text)).n == 0)
		return STORE_OK;
	*out = arena_slice(imap_arena(im), utf8);
	return out->p == NULL ? STORE_LIMIT : STORE_OK;
}

static bool
is_named(struct slice mailbox, struct slice name, enum source_reach reach)
{
	if (name.p == NULL)
		return false;
	if (slice_is(mailbox, name))
		return true;
	if (reach == SOURCE_MAILBOX || mailbox.n <= name.n || mailbox.p[name.n] != '/' || memcmp(mailbox.p, name.p, name.n) != 0)
		return false;
	return reach == SOURCE_SUBTREE || memchr(mailbox.p + name.n + 1, '/', mailbox.n - name.n - 1) == NULL;
}

static bool
is_selected(const struct imap *im, const struct mbox_info *info)
{
	return im->is_selected && memcmp(info->id, im->view.mailbox, sizeof(info->id)) == 0;
}

static bool
is_source(const struct multisearch *ms, const struct mbox_info *info, struct slice utf8)
{
	const struct multisearch_args	*args = ms->args;

	if ((args->sources & SOURCE_PERSONAL) != 0 || ((args->sources & SOURCE_SUBSCRIBED) != 0 && info->is_subscribed) ||
	    ((args->sources & SOURCE_SELECTED) != 0 && is_selected(ms->im, info)))
		return true;
	for (size_t i = 0; i < args->nnames; i++)
		if (is_named(utf8, ms->names[i], args->names[i].reach))
			return true;
	return false;
}

/* One mailbox. Saves, too: then it is the selected one. One that is gone meanwhile has nothing. */
static enum store_result
mailbox_search(struct multisearch *ms, const struct mbox_info *info, struct slice utf8)
{
	struct imap			*im = ms->im;
	const struct search_return	*ret = &ms->args->search.ret;
	struct found			 found = found_make(search_return_most(ret));
	struct view			 other;
	const struct view		*view = &im->view;
	enum store_result		 r;
	size_t				 nunread;

	if (!is_selected(im, info)) {
		if ((r = view_open(im->store, info->id, false, &other)) != STORE_OK)
			return r == STORE_NOMBOX ? STORE_OK : r;
		view = &other;
	}
	if ((r = search_in(im, view, &ms->args->search, &found, &nunread)) != STORE_OK)
		return r == STORE_NOMBOX ? STORE_OK : r;
	ms->nunread += nunread;
	if ((ret->items & RETURN_SAVE) != 0 && !esearch_save(im, ret, &found))
		ms->is_unsaved = true;
	else if (found.n > 0)
		esearch_tell_in(im, ret, &found, utf8, view->uidvalidity);
	return STORE_OK;
}

static enum store_result
mailboxes_search(struct multisearch *ms)
{
	struct imap		*im = ms->im;
	struct mbox_info	*infos;
	enum store_result	 r = STORE_OK;
	size_t			 n;

	if ((ms->names = ARENA_NEW(imap_arena(im), struct slice, ms->args->nnames + 1)) == NULL)
		return STORE_LIMIT;
	for (size_t i = 0; i < ms->args->nnames && r == STORE_OK; i++)
		r = name_resolve(im, ms->args->names[i].name, &ms->names[i]);
	if (r != STORE_OK || (r = store_mbox_list(im->store, imap_arena(im), &infos, &n)) != STORE_OK)
		return r;
	for (size_t i = 0; i < n && r == STORE_OK && !im->s->is_dead; i++) {
		char		text[NAME_MAX_BYTES];
		struct slice	utf8 = name_utf8(im, infos[i].name, text);

		if (utf8.n > 0 && is_source(ms, &infos[i], utf8))
			r = mailbox_search(ms, &infos[i], utf8);
	}
	return r;
}

/* Why the session or the command does not allow it; NULL when it does. */
static const char *
source_fault(const struct imap *im, const struct multisearch_args *args)
{
	if ((args->sources & SOURCE_SELECTED) != 0 && !im->is_selected)
		return "No mailbox is selected";
	if ((args->search.ret.items & RETURN_SAVE) != 0 && (args->sources != SOURCE_SELECTED || args->nnames > 0))
		return "SAVE is of the selected mailbox alone";
	return NULL;
}

void
multisearch_run(struct imap *im, struct slice args)
{
	struct multisearch_args	*parsed = ARENA_NEW(imap_arena(im), struct multisearch_args, 1);
	struct multisearch	 ms = {.im = im, .args = parsed};
	enum store_result	 r;
	const char		*fault;
	bool			 does_save;

	if (parsed == NULL || parse_multisearch_args(&args, imap_arena(im), parsed) != PARSE_OK) {
		imap_bad(im, "ESEARCH [IN (sources)] [RETURN (options)] [CHARSET charset] keys: not understood");
		return;
	}
	if ((fault = source_fault(im, parsed)) != NULL) {
		imap_bad(im, fault);
		return;
	}
	if (search_has_conflict(im, &parsed->search))
		return;
	im->is_uid = true;	/* RFC 7377 2.1: whatever mailbox, UIDs */
	does_save = (parsed->search.ret.items & RETURN_SAVE) != 0;
	if (!search_prepare(im, &parsed->search)) {
		if (does_save)
			saved_clear(im);
		return;
	}
	if ((r = mailboxes_search(&ms)) != STORE_OK && does_save)
		saved_clear(im);
	if (r != STORE_OK)
		imap_no_store(im, r, "NONEXISTENT");
	else if (ms.is_unsaved)
		imap_no(im, "[NOTSAVED] The result has too many pieces to be saved");
	else if (ms.nunread > 0)
		imap_ok(im, "ESEARCH completed, but some messages could not be read");
	else
		imap_ok(im, "ESEARCH completed");
}
