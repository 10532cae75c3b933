/*
 * Commands on whole mailboxes. What makes, renames or removes one goes through place.h, so that the
 * location map knows. Parents that nobody made are only implied (list.c shows them as \Noselect).
 * RFC 3501 6.3.3 to 6.3.7, RFC 5530 3, RFC 6154 3, RFC 8474 4.1, RFC 9051 6.3.4 to 6.3.8.
 */
#include "imap/mailbox.h"

#include "imap/announce.h"
#include "imap/name.h"
#include "imap/objectid.h"
#include "imap/parse.h"
#include "place.h"

const char *
special_use_name(enum special_use use)
{
	switch (use) {
	case USE_NONE:
		break;
	case USE_ALL:
		return "\\All";
	case USE_ARCHIVE:
		return "\\Archive";
	case USE_DRAFTS:
		return "\\Drafts";
	case USE_FLAGGED:
		return "\\Flagged";
	case USE_JUNK:
		return "\\Junk";
	case USE_SENT:
		return "\\Sent";
	case USE_TRASH:
		return "\\Trash";
	}
	return NULL;
}

static struct slice
inside_slice(const struct mboxname *name)
{
	return (struct slice){name->s, name->n};
}

static bool
is_inbox(struct imap *im, const struct mboxname *name)
{
	struct mboxname	inbox;

	mboxname_inbox(im->s->who.user, &inbox);
	return slice_is(inside_slice(name), inside_slice(&inbox));
}

enum parse
mailbox_name(struct imap *im, struct slice client, struct mboxname *out)
{
	return name_read(im, client, false, out);
}

bool
mailbox_find(struct imap *im, struct slice client, const char *missing_code, struct mbox_info *out)
{
	struct mboxname		name;
	enum store_result	r;

	if (mailbox_name(im, client, &name) != PARSE_OK) {
		imap_no(im, "[CANNOT] No mailbox can have that name");
		return false;
	}
	r = store_mbox_by_name(im->store, inside_slice(&name), imap_arena(im), out);
	if (r != STORE_OK)
		imap_no_store(im, r, missing_code);
	return r == STORE_OK;
}

bool
mailbox_arg(struct imap *im, struct slice *args, struct slice *out)
{
	if (parse_sp(args) != PARSE_OK || parse_astring(args, imap_arena(im), out) != PARSE_OK ||
	    parse_end(args) != PARSE_OK) {
		imap_bad(im, "One mailbox name is expected");
		return false;
	}
	return true;
}

/* create-param = "USE" SP "(" [use-attr *(SP use-attr)] ")" in parentheses (RFC 6154 6, RFC 4466 2.2) */
static enum parse
parse_use(struct slice *cur, enum special_use *use_out, size_t *nuses_out)
{
	*use_out = USE_NONE;
	*nuses_out = 0;
	if (parse_sp(cur) != PARSE_OK || parse_byte(cur, '(') != PARSE_OK || parse_word(cur, "USE") != PARSE_OK ||
	    parse_sp(cur) != PARSE_OK || parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	while (parse_byte(cur, ')') != PARSE_OK) {
		struct slice		atom;
		enum special_use	use = USE_TRASH;

		if (*nuses_out > 0 && parse_sp(cur) != PARSE_OK)
			return PARSE_BAD;
		if (parse_byte(cur, '\\') != PARSE_OK || parse_atom(cur, &atom) != PARSE_OK)
			return PARSE_BAD;
		while (use != USE_NONE && !slice_is_nocase(atom, slice_of(special_use_name(use) + 1)))
			use--;
		*use_out = use;
		++*nuses_out;
	}
	return parse_byte(cur, ')');
}

void
create_run(struct imap *im, struct slice args)
{
	enum special_use	use = USE_NONE;
	size_t			nuses = 0;
	unsigned char		id[RECORD_ID_BYTES];
	char			text[OBJECTID_TEXT_BYTES];
	struct mboxname		name;
	struct slice		client;
	enum store_result	r;

	if (parse_sp(&args) != PARSE_OK || parse_astring(&args, imap_arena(im), &client) != PARSE_OK ||
	    (args.n > 0 && parse_use(&args, &use, &nuses) != PARSE_OK) || parse_end(&args) != PARSE_OK) {
		imap_bad(im, "CREATE mailbox [(USE (\\Attribute))]");
		return;
	}
	if (name_read(im, client, true, &name) != PARSE_OK) {
		imap_no(im, "[CANNOT] No mailbox can have that name");
		return;
	}
	/* A mailbox has at most one use here; \All and \Flagged would be views of other mailboxes. */
	if (nuses > 1 || (nuses == 1 && (use == USE_NONE || use == USE_ALL || use == USE_FLAGGED))) {
		imap_no(im, "[USEATTR] That special use is not supported");
		return;
	}
	r = place_create(im->store, inside_slice(&name), use, id);
	if (r != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	imap_changed(im);
	announce_created(im, client, inside_slice(&name));
	imap_ok(im, "[MAILBOXID (%s)] CREATE completed", objectid_text(OBJECTID_MAILBOX, id, text));
}

void
delete_run(struct imap *im, struct slice args)
{
	struct mbox_info	info;
	struct mboxname		name;
	struct slice		client;
	enum store_result	r;

	if (!mailbox_arg(im, &args, &client))
		return;
	if (mailbox_name(im, client, &name) == PARSE_OK && is_inbox(im, &name)) {
		imap_no(im, "[CANNOT] INBOX cannot be deleted");
		return;
	}
	if (!mailbox_find(im, client, "NONEXISTENT", &info))
		return;
	if ((r = place_delete(im->store, info.name)) != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	if (im->is_selected && memcmp(im->view.mailbox, info.id, sizeof(info.id)) == 0) {
		imap_unselect(im);
		session_puts(im->s, "* OK [CLOSED] The selected mailbox was deleted\r\n");
	}
	imap_changed(im);
	announce_deleted(im, client, info.name);
	imap_ok(im, "DELETE completed");
}

void
rename_run(struct imap *im, struct slice args)
{
	struct slice		from, to;
	struct mboxname		inside_from, inside_to;
	enum store_result	r;

	if (parse_sp(&args) != PARSE_OK || parse_astring(&args, imap_arena(im), &from) != PARSE_OK ||
	    parse_sp(&args) != PARSE_OK || parse_astring(&args, imap_arena(im), &to) != PARSE_OK ||
	    parse_end(&args) != PARSE_OK) {
		imap_bad(im, "RENAME mailbox mailbox");
		return;
	}
	if (mailbox_name(im, from, &inside_from) != PARSE_OK ||
	    name_read(im, to, true, &inside_to) != PARSE_OK) {
		imap_no(im, "[CANNOT] No mailbox can have that name");
		return;
	}
	if (is_inbox(im, &inside_to)) {
		imap_no(im, "[ALREADYEXISTS] INBOX is always there");
		return;
	}
	if (!is_inbox(im, &inside_from) && inside_to.n > inside_from.n && inside_to.s[inside_from.n] == '.' &&
	    memcmp(inside_to.s, inside_from.s, inside_from.n) == 0) {
		imap_no(im, "[CANNOT] A mailbox cannot go below itself");
		return;
	}
	if ((r = place_rename(im->store, inside_slice(&inside_from), inside_slice(&inside_to))) != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	imap_changed(im);
	announce_renamed(im, from, inside_slice(&inside_from), to, inside_slice(&inside_to));
	imap_ok(im, "RENAME completed");
}

static void
subscription_set(struct imap *im, struct slice args, bool on)
{
	struct slice		client;
	struct mboxname		name;
	enum store_result	r;

	if (!mailbox_arg(im, &args, &client))
		return;
	if (mailbox_name(im, client, &name) != PARSE_OK) {
		imap_no(im, "[CANNOT] No mailbox can have that name");
		return;
	}
	if ((r = store_subscribe(im->store, inside_slice(&name), on)) != STORE_OK)
		imap_no_store(im, r, "NONEXISTENT");
	else {
		imap_changed(im);
		imap_ok(im, "%s completed", on ? "SUBSCRIBE" : "UNSUBSCRIBE");
	}
}

/* A name that no mailbox has may be subscribed to (RFC 3501 6.3.6). */
void
subscribe_run(struct imap *im, struct slice args)
{
	subscription_set(im, args, true);
}

void
unsubscribe_run(struct imap *im, struct slice args)
{
	subscription_set(im, args, false);
}
