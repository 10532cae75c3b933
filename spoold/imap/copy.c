/*
 * COPY and MOVE: one record each, all or nothing. Called from the command table. COPYUID is sent only
 * when something was copied: an empty set in it breaks clients. RFC 3501 6.4.7; RFC 6851 3.3, 4.3; RFC 4315 3.
 */
#include "imap/copy.h"

#include "imap/mailbox.h"
#include "imap/parse.h"
#include "imap/set.h"

/* 100,000 UIDs of ten digits, none beside another. */
#define COPYUID_MAX_BYTES	(4 * 1024 * 1024)

static uint32_t
pair_uid(const struct copied *pair, bool is_from)
{
	return is_from ? pair->from : pair->to;
}

/* uid-set = (uniqueid / uid-range) *("," uid-set): one column of the pairs, ascending, runs as ranges. */
static int
uid_set_add(struct buf *b, const struct copied *pairs, size_t n, bool is_from)
{
	for (size_t i = 0, end; i < n; i = end) {
		uint32_t	first = pair_uid(&pairs[i], is_from), last = first;

		for (end = i + 1; end < n && pair_uid(&pairs[end], is_from) == last + 1; end++)
			last++;
		if (buf_addf(b, last > first ? "%s%u:%u" : "%s%u", i > 0 ? "," : "", first, last) < 0)
			return -1;
	}
	return 0;
}

/* "[COPYUID v from to] " */
static int
copyuid_add(struct buf *b, const struct copied *pairs, size_t n, uint32_t uidvalidity)
{
	if (buf_addf(b, "[COPYUID %u ", uidvalidity) < 0 || uid_set_add(b, pairs, n, true) < 0 ||
	    buf_add_str(b, " ") < 0 || uid_set_add(b, pairs, n, false) < 0)
		return -1;
	return buf_add_str(b, "] ");
}

static void
copied_tell(struct imap *im, bool is_move, const struct copied *pairs, size_t n, uint32_t uidvalidity)
{
	const char	*uid = im->is_uid ? "UID " : "";
	struct buf	 code = buf_make(COPYUID_MAX_BYTES);

	if (n == 0) {
		imap_ok(im, "%s%s completed, no message was there", uid, is_move ? "MOVE" : "COPY");
		return;
	}
	imap_changed(im);
	/* A code too long to be made is left out: it is a SHOULD. */
	if (copyuid_add(&code, pairs, n, uidvalidity) < 0)
		buf_clear(&code);
	if (is_move && code.n > 0) {
		session_puts(im->s, "* OK ");
		session_write(im->s, code.p, code.n);
		session_puts(im->s, "Moved\r\n");
	}
	if (is_move)
		imap_ok(im, "%sMOVE completed", uid);
	else
		imap_ok_code(im, buf_slice(&code), "COPY completed");
	buf_free(&code);
}

static void
copy_or_move(struct imap *im, struct slice args, bool is_move)
{
	struct mbox_info	 to;
	struct seq_set		 seq;
	struct uid_set		 set;
	struct slice		 client;
	struct copied		*pairs;
	enum store_result	 r;
	size_t			 n;
	uint32_t		 uidvalidity;

	if (parse_sp(&args) != PARSE_OK || parse_sequence_set(&args, imap_arena(im), &seq) != PARSE_OK) {
		imap_bad(im, "A message set is expected");
		return;
	}
	if (!mailbox_arg(im, &args, &client))
		return;
	if (is_move && im->is_readonly) {
		imap_no(im, "The mailbox is selected read-only");
		return;
	}
	if (!set_of_command(im, &seq, &set) || !mailbox_find(im, client, "TRYCREATE", &to))
		return;
	r = store_copy(im->store, im->view.mailbox, &set, to.id, is_move, imap_arena(im), &pairs, &n, &uidvalidity);
	if (r != STORE_OK)
		imap_no_store(im, r, "TRYCREATE");
	else
		copied_tell(im, is_move, pairs, n, uidvalidity);
}

void
copy_run(struct imap *im, struct slice args)
{
	copy_or_move(im, args, false);
}

void
move_run(struct imap *im, struct slice args)
{
	copy_or_move(im, args, true);
}
