/*
 * STORE and EXPUNGE. Called from the command table. A .SILENT STORE notes what the client will take its
 * messages' flags to be; only where the truth differs is it told. RFC 2180 4.2.
 * RFC 3501 6.4.3, 6.4.6; RFC 4315 2.1.
 */
#include "imap/store_cmd.h"

#include "imap/set.h"
#include "imap/told.h"
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

/* Notes the flags of the set's live messages as told; tell: and tells them. */
static void
flags_note(struct imap *im, const struct uid_set *set, bool tell)
{
	struct msg_info	*msgs = ARENA_NEW(imap_arena(im), struct msg_info, STORE_BATCH_MSGS);

	for (size_t i = 0; i < set->n && msgs != NULL; i++) {
		struct uid_range	range = set->r[i];
		size_t			n;

		do {
			if (view_range(im->store, &im->view, range.lo, range.hi, msgs, STORE_BATCH_MSGS, &n) != STORE_OK)
				return;
			for (size_t k = 0; k < n; k++) {
				if (msgs[k].is_expunged)
					continue;
				if (tell)
					untagged_fetch_flags(im, &msgs[k]);
				told_add(im, &msgs[k]);
			}
			if (n > 0)
				range.lo = msgs[n - 1].uid + 1;
		} while (n == STORE_BATCH_MSGS && range.lo != 0 && range.lo <= range.hi && !im->s->is_dead);
	}
}

/* What the client makes of its own .SILENT change: the noted flags, changed. */
static void
flags_expect(struct imap *im, const struct flag_change *change)
{
	uint64_t	mask[STORE_KEYWORDS_MAX / 64] = {0};

	untagged_keywords(im, STORE_KEYWORDS_MAX);	/* again: the change may have made new ones */
	for (size_t i = 0; i < change->nkeywords; i++)
		for (size_t bit = 0; bit < im->nkeywords; bit++)
			if (slice_is_nocase(im->keywords[bit], change->keywords[i]))
				mask[bit / 64] |= 1ULL << (bit % 64);
	for (size_t i = 0; i < im->ntold; i++) {
		struct told	*t = &im->told[i];

		if (change->op == FLAGS_SET)
			t->flags = change->flags;
		else
			t->flags = change->op == FLAGS_ADD ? t->flags | change->flags : t->flags & ~change->flags;
		for (size_t w = 0; w < STORE_KEYWORDS_MAX / 64; w++) {
			if (change->op == FLAGS_SET)
				t->keywords[w] = mask[w];
			else
				t->keywords[w] = change->op == FLAGS_ADD ? t->keywords[w] | mask[w] : t->keywords[w] & ~mask[w];
		}
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
	if (!set_of_command(im, &parsed.set, &set))
		return;
	change = (struct flag_change){.op = parsed.op, .flags = parsed.flags.flags,
	    .keywords = parsed.flags.keywords, .nkeywords = parsed.flags.nkeywords};
	if (parsed.is_silent)
		flags_note(im, &set, false);
	r = store_flags(im->store, im->view.mailbox, &set, &change, &modseq);
	if (r != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	if (modseq != 0)
		imap_changed(im);
	if (parsed.is_silent)
		flags_expect(im, &change);
	else
		flags_note(im, &set, true);
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
