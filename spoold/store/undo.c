/*
 * Taking back what a change left in the log when its commit failed: the client was told NO and will repeat it. Called by
 * the changes themselves. Never takes away what another made use of meanwhile: mail that was delivered into a new mailbox.
 */
#include "log.h"
#include "store/store_impl.h"

static void
say(struct store *s, const char *what, enum store_result r)
{
	if (r == STORE_OK)
		LOG("store.undone", log_str("user", s->spool->user), log_str("what", what));
	else
		LOG("warn.store.undo", log_str("user", s->spool->user), log_str("what", what));
}

void
undo_messages(struct store *s, const unsigned char *mailbox, uint32_t first_uid, uint32_t n)
{
	struct uid_range range = {first_uid, first_uid + n - 1};
	struct uid_set uids = {&range, 1};
	uint64_t modseq;

	if (s->is_in_log && n > 0)
		say(s, "messages", store_expunge(s, mailbox, &uids, false, &modseq));
}

void
undo_create(struct store *s, const unsigned char *mailbox)
{
	struct record rec = {.type = RECORD_DELETE, .date_ms = now_ms()};
	enum store_result r;
	struct mbox m;

	if (!s->is_in_log)
		return;
	memcpy(rec.mailbox, mailbox, RECORD_ID_BYTES);
	if ((r = change_begin(s)) == STORE_OK) {
		/* The log is locked and all of it applied: no delivery can come in between. */
		r = find_mbox(s, mailbox, &m);
		if (r == STORE_OK && m.v.uidnext > 1)
			r = STORE_EXISTS;
		r = r == STORE_OK ? change_end(s, &rec, 1, NULL, false) : change_drop(s, r);
	}
	say(s, "mailbox", r);
}

void
undo_rename(struct store *s, struct slice from, struct slice to, uint32_t n)
{
	/* Others below the new name are not taken along: then all of it stays. */
	if (s->is_in_log)
		say(s, "name", mbox_rename_tree(s, to, from, &n, false));
}
