/*
 * STORE and EXPUNGE. Called from the command table. A .SILENT STORE notes what the client will take its
 * messages' flags to be; only where the truth differs is it told. RFC 2180 4.2.
 * RFC 3501 6.4.3, 6.4.6; RFC 4315 2.1; RFC 7162 3.1.3.
 */
#include "imap/store_cmd.h"

#include "imap/condstore.h"
#include "imap/set.h"
#include "imap/told.h"
#include "imap/untagged.h"

/* Numbers of 6,000,000 messages of which no two are neighbours; more are not named. */
#define MODIFIED_MAX_BYTES	(64 * 1024 * 1024)
#define MODIFIED		"[MODIFIED "

/*
 * store-modifiers = SP "(" store-modifier *(SP store-modifier) ")" ; RFC 4466 2.5
 * store-modifier =/ "UNCHANGEDSINCE" SP mod-sequence-valzer ; RFC 7162 7: only one
 */
static enum parse
parse_store_modifiers(struct slice *cur, struct store_args *out)
{
	if (parse_sp(cur) != PARSE_OK || parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	do {
		if (out->is_conditional || parse_word(cur, "UNCHANGEDSINCE") != PARSE_OK || parse_sp(cur) != PARSE_OK ||
		    parse_mod_sequence(cur, &out->unchangedsince) != PARSE_OK)
			return PARSE_BAD;
		out->is_conditional = true;
	} while (parse_sp(cur) == PARSE_OK);
	return parse_byte(cur, ')');
}

enum parse
parse_store_args(struct slice *cur, struct arena *arena, struct store_args *out)
{
	struct slice	s = *cur;

	*out = (struct store_args){.op = FLAGS_SET, .unchangedsince = UINT64_MAX};
	if (parse_sp(&s) != PARSE_OK || parse_sequence_set(&s, arena, &out->set) != PARSE_OK)
		return PARSE_BAD;
	if (s.n > 1 && s.p[1] == '(' && parse_store_modifiers(&s, out) != PARSE_OK)
		return PARSE_BAD;
	if (parse_sp(&s) != PARSE_OK)
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

/* Calls fn for each live message of the set. */
static enum store_result
set_each(struct imap *im, const struct uid_set *set, void (*fn)(struct imap *, const struct msg_info *, void *), void *arg)
{
	struct msg_info		*msgs = ARENA_NEW(imap_arena(im), struct msg_info, STORE_BATCH_MSGS);
	enum store_result	 r;

	if (msgs == NULL)
		return STORE_LIMIT;
	for (size_t i = 0; i < set->n; i++) {
		struct uid_range	range = set->r[i];
		size_t			n;

		do {
			r = view_range(im->store, &im->view, range.lo, range.hi, msgs, STORE_BATCH_MSGS, &n);
			if (r != STORE_OK)
				return r;
			for (size_t k = 0; k < n; k++)
				if (!msgs[k].is_expunged)
					fn(im, &msgs[k], arg);
			if (n > 0)
				range.lo = msgs[n - 1].uid + 1;
		} while (n == STORE_BATCH_MSGS && range.lo != 0 && range.lo <= range.hi && !im->s->is_dead);
	}
	return STORE_OK;
}

/* Before a .SILENT change: the flags as the client knows them; of its new modseq it is told. */
static void
flags_note(struct imap *im, const struct msg_info *m, void *arg)
{
	struct msg_info	known = *m;

	(void)arg;
	/*
	 * Of what another session changed since the command before it is not known whether the client makes its own
	 * change of the flags it had or of those it is told now (RFC 3501 6.4.6: no race): it is told the result.
	 */
	if (m->modseq > im->modseq_before)
		return;
	known.modseq = 0;
	told_add(im, &known);
}

static void
flags_tell(struct imap *im, const struct msg_info *m, void *arg)
{
	(void)arg;
	untagged_fetch_flags(im, m);
	told_add(im, m);
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

/* What a conditional STORE tells of each message, and which it names in MODIFIED. */
struct outcome {
	const struct uid_set	*left;		/* changed since, so not by this STORE */
	struct told		*expected;	/* .SILENT: what the client takes the flags to be */
	size_t			 nexpected;
	struct buf		 modified;	/* as numbers or UIDs, as the command names them */
	uint32_t		 lo, hi, hi_seq;	/* those to be added next; lo 0: none */
	bool			 is_short;	/* modified is full */
};

static void
modified_add(struct outcome *o, uint32_t number, uint32_t seq)
{
	if (o->lo != 0 && seq == o->hi_seq + 1) {
		o->hi = number;
		o->hi_seq = seq;
		return;
	}
	if (o->lo != 0 && set_range_add(&o->modified, sizeof(MODIFIED) - 1, o->lo, o->hi) < 0)
		o->is_short = true;
	o->lo = o->hi = number;
	o->hi_seq = seq;
}

/* MODSEQ always; FLAGS but where a .SILENT client knows them (RFC 7162 3.1.3, examples 3, 6 and 10). */
static void
outcome_tell(struct imap *im, const struct msg_info *m, void *arg)
{
	struct outcome	*o = arg;
	bool		 is_left = set_has(o->left, m->uid);

	if (is_left)
		modified_add(o, im->is_uid ? m->uid : m->seq, m->seq);
	if (!is_left && told_are(o->expected, o->nexpected, m))
		untagged_fetch_modseq(im, m);
	else
		untagged_fetch_flags(im, m);
	told_add(im, m);
}

static void
conditional_end(struct imap *im, const struct uid_set *set, const struct uid_set *left)
{
	struct outcome		o = {.left = left, .modified = buf_make(MODIFIED_MAX_BYTES)};
	const char		*uid = im->is_uid ? "UID " : "";
	enum store_result	 r;

	o.expected = told_take(im, &o.nexpected);
	(void)buf_add_str(&o.modified, MODIFIED);
	r = set_each(im, set, outcome_tell, &o);
	if (r == STORE_OK && o.lo != 0) {
		modified_add(&o, 0, 0);
		if (o.is_short || buf_add_str(&o.modified, "] ") < 0)
			r = STORE_LIMIT;
	}
	/* What passed is changed; which did not must not be kept from the client. */
	if (r != STORE_OK)
		imap_no_store(im, r, "NONEXISTENT");
	else if (o.modified.n > sizeof(MODIFIED) - 1)
		imap_ok_code(im, buf_slice(&o.modified), "Conditional STORE failed for some");
	else
		imap_ok(im, "Conditional %sSTORE completed", uid);
	buf_free(&o.modified);
}

void
store_run(struct imap *im, struct slice args)
{
	struct store_args	parsed;
	struct flag_change	change;
	struct uid_set		set, left;
	enum store_result	r;
	uint64_t		modseq;

	if (parse_store_args(&args, imap_arena(im), &parsed) != PARSE_OK) {
		imap_bad(im, "STORE set [(UNCHANGEDSINCE n)] [+|-]FLAGS[.SILENT] flags: not understood");
		return;
	}
	if (im->is_readonly) {
		imap_no(im, "The mailbox is selected read-only");
		return;
	}
	if (parsed.is_conditional)
		condstore_enable(im);
	if (!set_of_command(im, &parsed.set, &set))
		return;
	change = (struct flag_change){.op = parsed.op, .flags = parsed.flags.flags,
	    .keywords = parsed.flags.keywords, .nkeywords = parsed.flags.nkeywords};
	if (parsed.is_silent)
		(void)set_each(im, &set, flags_note, NULL);
	r = store_flags_unless(im->store, im->view.mailbox, &set, &change, parsed.unchangedsince, imap_arena(im), &left, &modseq);
	if (r != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	if (modseq != 0)
		imap_changed(im);
	if (parsed.is_silent)
		flags_expect(im, &change);
	if (parsed.is_conditional) {
		conditional_end(im, &set, &left);
		return;
	}
	if (!parsed.is_silent)
		(void)set_each(im, &set, flags_tell, NULL);
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
	if (modseq != 0) {
		imap_changed(im);
		im->is_highest_due = true;
	}
	imap_ok(im, "%sEXPUNGE completed", im->is_uid ? "UID " : "");
}
