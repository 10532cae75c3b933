/*
 * STATUS. Called from the command table and by list.c. Answers from the index's counts, opens nothing
 * and takes nobody's \Recent. RFC 3501 6.3.10, RFC 7162 3.1.7, RFC 9051 6.3.11.
 */
#include "imap/status.h"

#include "imap/condstore.h"
#include "imap/mailbox.h"
#include "imap/name.h"
#include "imap/objectid.h"

#define STATUS_LINE_MAX_BYTES	(NAME_STRING_MAX_BYTES + 512)

static const struct { const char *name; enum status_item item; } status_items[] = {
	{"MESSAGES", STATUS_MESSAGES}, {"RECENT", STATUS_RECENT}, {"UIDNEXT", STATUS_UIDNEXT},
	{"UIDVALIDITY", STATUS_UIDVALIDITY}, {"UNSEEN", STATUS_UNSEEN}, {"SIZE", STATUS_SIZE},
	{"APPENDLIMIT", STATUS_APPENDLIMIT}, {"HIGHESTMODSEQ", STATUS_HIGHESTMODSEQ}, {"MAILBOXID", STATUS_MAILBOXID},
	{"DELETED", STATUS_DELETED},
};
#define NSTATUS_ITEMS	(sizeof(status_items) / sizeof(status_items[0]))

enum parse
parse_status_items(struct slice *cur, unsigned *items_out)
{
	struct slice	s = *cur;
	unsigned	items = 0;

	if (parse_byte(&s, '(') != PARSE_OK)
		return PARSE_BAD;
	do {
		size_t	i;

		for (i = 0; i < NSTATUS_ITEMS; i++)
			if (parse_word(&s, status_items[i].name) == PARSE_OK)
				break;
		if (i == NSTATUS_ITEMS)
			return PARSE_BAD;
		items |= status_items[i].item;
	} while (parse_sp(&s) == PARSE_OK);
	if (parse_byte(&s, ')') != PARSE_OK)
		return PARSE_BAD;
	*items_out = items;
	*cur = s;
	return PARSE_OK;
}

static unsigned long long
item_value(const struct mbox_info *info, enum status_item item)
{
	switch (item) {
	case STATUS_MESSAGES:
		return info->exists;
	case STATUS_RECENT:
		return info->recent;
	case STATUS_UIDNEXT:
		return info->uidnext;
	case STATUS_UIDVALIDITY:
		return info->uidvalidity;
	case STATUS_UNSEEN:
		return info->unseen;
	case STATUS_SIZE:
		return info->bytes;
	case STATUS_APPENDLIMIT:
		return IMAP_APPEND_MAX_BYTES;
	case STATUS_MAILBOXID:
	case STATUS_DELETED:
		break;		/* value_add's */
	case STATUS_HIGHESTMODSEQ:
		return info->highestmodseq;
	}
	return 0;
}

static int
value_add(struct buf *b, const struct mbox_info *info, uint32_t deleted, enum status_item item)
{
	char	id[OBJECTID_TEXT_BYTES];

	if (item == STATUS_DELETED)
		return buf_addf(b, "%u", deleted);
	if (item == STATUS_MAILBOXID)
		return buf_addf(b, "(%s)", objectid_text(OBJECTID_MAILBOX, info->id, id));
	return buf_addf(b, "%llu", item_value(info, item));
}

enum store_result
status_tell(struct imap *im, struct slice name, const struct mbox_info *info, unsigned items)
{
	struct buf		b = buf_make(STATUS_LINE_MAX_BYTES);
	enum store_result	r;
	uint32_t		deleted = 0;
	bool			is_first = true;
	int			full;

	/* Counted where it is asked for; the others are there. */
	if ((items & STATUS_DELETED) != 0 && (r = store_mbox_deleted(im->store, info->id, &deleted)) != STORE_OK)
		return r;
	full = buf_add_str(&b, "* STATUS ") < 0 || name_quote(im, &b, name) < 0 || buf_add_str(&b, " (") < 0;
	for (size_t i = 0; i < NSTATUS_ITEMS && !full; i++) {
		if ((items & status_items[i].item) == 0)
			continue;
		full = buf_addf(&b, "%s%s ", is_first ? "" : " ", status_items[i].name) < 0 ||
		    value_add(&b, info, deleted, status_items[i].item) < 0;
		is_first = false;
	}
	if (!full && buf_add_str(&b, ")\r\n") == 0)
		session_write(im->s, b.p, b.n);
	buf_free(&b);
	return STORE_OK;
}

void
status_run(struct imap *im, struct slice args)
{
	char			name[NAME_MAX_BYTES];
	struct mbox_info	info;
	struct slice		client;
	enum store_result	r;
	unsigned		items;

	if (parse_sp(&args) != PARSE_OK || parse_astring(&args, imap_arena(im), &client) != PARSE_OK ||
	    parse_sp(&args) != PARSE_OK || parse_status_items(&args, &items) != PARSE_OK ||
	    parse_end(&args) != PARSE_OK) {
		imap_bad(im, "STATUS mailbox (items): not understood");
		return;
	}
	if ((items & STATUS_HIGHESTMODSEQ) != 0)
		condstore_enable(im);
	if (!mailbox_find(im, client, "NONEXISTENT", &info))
		return;
	if ((r = status_tell(im, name_utf8(im, info.name, name), &info, items)) != STORE_OK)
		imap_no_store(im, r, "NONEXISTENT");
	else
		imap_ok(im, "STATUS completed");
}
