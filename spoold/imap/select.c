/*
 * Selecting and leaving a mailbox. Called from the command table. A SELECT that fails leaves none
 * selected (RFC 3501 6.3.1).
 */
#include "imap/select.h"

#include "imap/announce.h"
#include "imap/condstore.h"
#include "imap/mailbox.h"
#include "imap/objectid.h"
#include "imap/qresync.h"
#include "imap/untagged.h"

/* Messages of the view that are \Recent in this session: they are its last ones. */
static enum store_result
recent_count(struct imap *im, uint32_t exists, uint32_t *out)
{
	struct msg_info		first;
	enum store_result	r;
	size_t			n;

	*out = 0;
	if (im->view.recent_uid == 0)
		return STORE_OK;
	r = view_range(im->store, &im->view, im->view.recent_uid, UINT32_MAX, &first, 1, &n);
	if (r == STORE_OK && n == 1)
		*out = exists - first.seq + 1;
	return r;
}

/* RECENT and UNSEEN, which IMAP4rev2 has no more (RFC 9051 appendix E, 11 and 12). */
static enum store_result
rev1_tell(struct imap *im, uint32_t exists)
{
	enum store_result	r;
	uint32_t		recent, unseen;

	if ((r = recent_count(im, exists, &recent)) != STORE_OK ||
	    (r = view_first_unseen(im->store, &im->view, &unseen)) != STORE_OK)
		return r;
	session_putf(im->s, "* %u RECENT\r\n", recent);
	if (unseen != 0)
		session_putf(im->s, "* OK [UNSEEN %u] First unseen message\r\n", unseen);
	return STORE_OK;
}

/* The untagged answers of SELECT, in the order of RFC 3501 6.3.1, and those of extensions (RFC 8474 4.2). */
static enum store_result
selected_tell(struct imap *im, struct slice client, const struct mbox_info *info)
{
	struct session		*s = im->s;
	enum store_result	 r;
	uint32_t		 exists;
	char			 id[OBJECTID_TEXT_BYTES];

	if ((r = view_count(im->store, &im->view, &exists)) != STORE_OK)
		return r;
	untagged_flags(im);
	session_putf(s, "* %u EXISTS\r\n", exists);
	if ((r = imap_is_rev2(im) ? announce_selected(im, client, info) : rev1_tell(im, exists)) != STORE_OK)
		return r;
	if (im->is_readonly) {
		session_puts(s, "* OK [PERMANENTFLAGS ()] No flag can be changed\r\n");
	} else {
		session_puts(s, "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft");
		for (size_t i = 0; i < im->nkeywords; i++) {
			session_puts(s, " ");
			session_write(s, im->keywords[i].p, im->keywords[i].n);
		}
		/* "\*": there is room for new keywords (RFC 3501 7.1). */
		session_puts(s, im->nkeywords < STORE_KEYWORDS_MAX ? " \\*)] Flags are kept\r\n" : ")] Flags are kept\r\n");
	}
	session_putf(s, "* OK [MAILBOXID (%s)] Its id\r\n", objectid_text(OBJECTID_MAILBOX, im->view.mailbox, id));
	session_putf(s, "* OK [UIDVALIDITY %u] UIDs are valid\r\n* OK [UIDNEXT %u] Predicted next UID\r\n",
	    im->view.uidvalidity, im->view.uidnext);
	/* IMAP4rev1 also to who did not ask: webmail wants it before it says so. */
	if (!imap_is_rev2(im) || condstore_is_on(im))
		session_putf(s, "* OK [HIGHESTMODSEQ %llu] Highest\r\n", (unsigned long long)condstore_highest(im));
	return STORE_OK;
}

static void
mailbox_open(struct imap *im, struct slice args, bool is_readonly)
{
	struct mbox_info	info;
	struct select_args	parsed;
	enum store_result	r;

	if (parse_select_args(&args, imap_arena(im), &parsed) != PARSE_OK) {
		imap_bad(im, "A mailbox name [(parameters)] is expected");
		return;
	}
	if (parsed.is_qresync && !qresync_is_on(im)) {
		imap_bad(im, "QRESYNC must be enabled before");
		return;
	}
	/* What is told after this line is of the mailbox selected now (RFC 7162 3.2.11). */
	if (im->is_selected)
		session_puts(im->s, "* OK [CLOSED] The mailbox selected before was closed\r\n");
	imap_unselect(im);
	if (parsed.is_condstore)
		condstore_enable(im);
	if (!mailbox_find(im, parsed.mailbox, "NONEXISTENT", &info))
		return;
	if ((r = view_open(im->store, info.id, !is_readonly, &im->view)) == STORE_OK) {
		im->is_selected = true;
		im->is_readonly = is_readonly;
		r = selected_tell(im, parsed.mailbox, &info);
		if (r == STORE_OK && parsed.is_qresync)
			r = qresync_select(im, &parsed);
	}
	if (r != STORE_OK) {
		imap_unselect(im);
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	imap_ok(im, is_readonly ? "[READ-ONLY] EXAMINE completed" : "[READ-WRITE] SELECT completed");
}

void
select_run(struct imap *im, struct slice args)
{
	mailbox_open(im, args, false);
}

void
examine_run(struct imap *im, struct slice args)
{
	mailbox_open(im, args, true);
}

/* Removes what is \Deleted, tells no EXPUNGE (RFC 3501 6.4.2). */
void
close_run(struct imap *im, struct slice args)
{
	enum store_result	r = STORE_OK;
	uint64_t		modseq = 0;

	if (parse_end(&args) != PARSE_OK) {
		imap_bad(im, "CLOSE takes no arguments");
		return;
	}
	if (!im->is_readonly)
		r = store_expunge(im->store, im->view.mailbox, NULL, true, &modseq);
	if (modseq != 0)
		imap_changed(im);
	imap_unselect(im);
	/* Closed it is in any case; a mailbox that is gone has nothing to expunge. */
	if (r != STORE_OK && r != STORE_NOMBOX)
		imap_no_store(im, r, "NONEXISTENT");
	else
		imap_ok(im, "CLOSE completed");
}

void
unselect_run(struct imap *im, struct slice args)
{
	if (parse_end(&args) != PARSE_OK) {
		imap_bad(im, "UNSELECT takes no arguments");
		return;
	}
	imap_unselect(im);
	imap_ok(im, "UNSELECT completed");
}
