/*
 * LIST responses without LIST. Called by the commands that select, make, delete, rename or fill a mailbox, before their OK.
 * OLDNAME is what the client wrote: it learns that both are one mailbox. RFC 9051 5.1, 6.3.2, 6.3.4 to 6.3.6,
 * 6.3.9.7, 6.3.12.
 */
#include "imap/announce.h"

#include "imap/list_line.h"
#include "imap/name.h"

/* The attributes of a mailbox that is there. */
static enum store_result
mailbox_tell(struct imap *im, const struct mbox_info *info, struct slice oldname)
{
	char			text[NAME_MAX_BYTES];
	struct list_line	line = {.verb = "LIST", .name = name_utf8(im, info->name, text), .use = info->use, .oldname = oldname};
	enum store_result	r;
	bool			has_children;

	if ((r = store_mbox_has_children(im->store, info->name, &has_children)) != STORE_OK)
		return r;
	line.attributes = has_children ? LIST_HAS_CHILDREN : LIST_HAS_NO_CHILDREN;
	if (info->is_subscribed)
		line.attributes |= LIST_IS_SUBSCRIBED;
	list_line_tell(im, &line);
	return STORE_OK;
}

enum store_result
announce_selected(struct imap *im, struct slice client, const struct mbox_info *info)
{
	static const struct slice	none = {NULL, 0};

	if (!imap_is_rev2(im))
		return STORE_OK;
	return mailbox_tell(im, info, name_is_other(im, client, info->name) ? client : none);
}

/* What it says is a SHOULD: where the mailbox cannot be looked at, nothing is said. */
static void
renamed_tell(struct imap *im, struct slice oldname, struct slice inside)
{
	struct mbox_info	info;

	if (store_mbox_by_name(im->store, inside, imap_arena(im), &info) == STORE_OK)
		(void)mailbox_tell(im, &info, oldname);
}

void
announce_created(struct imap *im, struct slice client, struct slice inside)
{
	if (imap_is_rev2(im) && name_is_other(im, client, inside))
		renamed_tell(im, client, inside);
}

void
announce_deleted(struct imap *im, struct slice client, struct slice inside)
{
	char			text[NAME_MAX_BYTES];
	struct list_line	line = {.verb = "LIST", .attributes = LIST_IS_NONEXISTENT, .oldname = client};

	if (!imap_is_rev2(im) || !name_is_other(im, client, inside))
		return;
	line.name = name_utf8(im, inside, text);
	list_line_tell(im, &line);
}

void
announce_renamed(struct imap *im, struct slice from, struct slice inside_from, struct slice to, struct slice inside_to)
{
	if (imap_is_rev2(im) && (name_is_other(im, from, inside_from) || name_is_other(im, to, inside_to)))
		renamed_tell(im, from, inside_to);
}

void
announce_named(struct imap *im, struct slice client, const unsigned char *mailbox)
{
	struct mbox_info	info;

	if (!imap_is_rev2(im) || store_mbox_by_id(im->store, mailbox, imap_arena(im), &info) != STORE_OK)
		return;
	if (name_is_other(im, client, info.name))
		(void)mailbox_tell(im, &info, client);
}
