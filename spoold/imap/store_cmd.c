/*
 * STORE and EXPUNGE. Called from the command table. What others changed meanwhile is told before the
 * change is made, so that the answer to a STORE can stand for all the client does not know.
 * RFC 3501 6.4.3, 6.4.6; RFC 4315 2.1.
 */
#include "imap/store_cmd.h"

#include "imap/set.h"
#include "imap/untagged.h"

enum parse
parse_store_args(struct slice *cur, struct arena *arena, struct store_args *out)
{
	struct slice	s = *cur;

	*out = (struct store_args){.op = FLAGS_SET};
	if (parse_sp(&s) != PARSE_OK || parse_sequence_set(&s, arena, &out->set) != PARSE_OK ||
	    parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	if (parse_byte(&s, '+') == PARSE_OK)
		out->op = FLAGS_ADD;
	else if (parse_byte(&s, '-') == PARSE_OK)
		out->op = FLAGS_REMOVE;
	if (parse_word(&s, "FLAGS.SILENT") == PARSE_OK)
		out->is_silent = true;
	else if (parse_word(&s, "FLAGS") != PARSE_OK)
		return PARSE_BAD;
	if (parse_sp(&s) != PARSE_OK || parse_flags(&s, arena, &out->flags) != PARSE_OK || parse_end(&s) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* "* n FETCH (FLAGS ...)" for the live messages of the set. */
static void
flags_tell(struct imap *im, const struct uid_set *set)
{
	struct msg_info	*msgs = ARENA_NEW(imap_arena(im), struct msg_info, STORE_BATCH_MSGS);

	for (size_t i = 0; i < set->n && msgs != NULL; i++) {
		struct uid_range	range = set->r[i];
		size_t			n;

		do {
			if (view_range(im->store, &im->view, range.lo, range.hi, msgs, STORE_BATCH_MSGS, &n) != STORE_OK)
				return;
			for (size_t k = 0; k < n; k++)
				if (!msgs[k].is_expunged)
					untagged_fetch_flags(im, &msgs[k]);
			if (n > 0)
				range.lo = msgs[n - 1].uid + 1;
		} while (n == STORE_BATCH_MSGS && range.lo != 0 && range.lo <= range.hi && !im->s->is_dead);
	}
}

void
store_run(struct imap *im, struct slice args)
{
	struct store_args	parsed;
	struct flag_change	change;
	struct uid_set		set;
	enum store_result	r;
	uint64_t		modseq;

	if (parse_store_args(&args, imap_arena(im), &parsed) != PARSE_OK) {
		imap_bad(im, "STORE set [+|-]FLAGS[.SILENT] flags: not understood");
		return;
	}
	if (im->is_readonly) {
		imap_no(im, "The mailbox is selected read-only");
		return;
	}
	if (!untagged_sync(im, false) || !set_of_command(im, &parsed.set, &set))
		return;
	change = (struct flag_change){.op = parsed.op, .flags = parsed.flags.flags,
	    .keywords = parsed.flags.keywords, .nkeywords = parsed.flags.nkeywords};
	r = store_flags(im->store, im->view.mailbox, &set, &change, &modseq);
	if (r != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	if (modseq != 0) {
		/* Ours was the next change there is: once answered, it is told. */
		if (modseq == im->view.modseq + 1)
			im->view.modseq = modseq;
		imap_changed(im);
	}
	if (!parsed.is_silent)
		flags_tell(im, &set);
	imap_ok(im, "%sSTORE completed", im->is_uid ? "UID " : "");
}

void
expunge_run(struct imap *im, struct slice args)
{
	struct seq_set		seq;
	struct uid_set		set;
	enum store_result	r;
	uint64_t		modseq;

	if (im->is_uid && (parse_sp(&args) != PARSE_OK || parse_sequence_set(&args, imap_arena(im), &seq) != PARSE_OK)) {
		imap_bad(im, "UID EXPUNGE set: not understood");
		return;
	}
	if (parse_end(&args) != PARSE_OK) {
		imap_bad(im, "EXPUNGE takes no arguments");
		return;
	}
	if (im->is_readonly) {
		imap_no(im, "The mailbox is selected read-only");
		return;
	}
	if (im->is_uid && !set_of_command(im, &seq, &set))
		return;
	r = store_expunge(im->store, im->view.mailbox, im->is_uid ? &set : NULL, true, &modseq);
	if (r != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	if (modseq != 0)
		imap_changed(im);
	imap_ok(im, "%sEXPUNGE completed", im->is_uid ? "UID " : "");
}
