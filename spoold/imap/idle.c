/*
 * IDLE. Called by imap.c; holds nothing but the tag. What follows DONE in the same packet is the next
 * command's and stays in the input. RFC 2177.
 */
#include "imap/idle.h"

#include "imap/condstore.h"
#include "imap/untagged.h"

#define DONE_MAX_BYTES	IMAP_LINE_MAX_BYTES	/* any other line is read whole, to answer it with BAD */

void
idle_begin(struct imap *im)
{
	(void)memcpy(im->idle_tag, im->tag, sizeof(im->idle_tag));
	im->is_idling = true;
	session_puts(im->s, "+ idling\r\n");
	(void)idle_changed(im);
}

bool
idle_changed(struct imap *im)
{
	if (!untagged_sync(im, true))
		return false;
	condstore_tell(im);
	return true;
}

bool
idle_line(struct imap *im)
{
	struct frame_line	line;
	enum frame_fault	fault;
	enum parse		got;
	bool			is_done;

	while ((got = frame_line(buf_slice(&im->s->in), DONE_MAX_BYTES, true, &line, &fault)) == PARSE_MORE)
		if (session_fill(im->s, -1) <= 0)
			return false;
	/* After a fault or before a literal nobody knows where the next command begins. */
	if (got == PARSE_BAD || (line.has_literal && line.is_nonsync)) {
		imap_bye(im, "idle", "DONE was expected");
		return false;
	}
	is_done = slice_is_nocase(line.text, SLICE("DONE"));
	buf_drop(&im->s->in, line.used);
	(void)memcpy(im->tag, im->idle_tag, sizeof(im->tag));
	im->is_idling = false;
	im->is_uid = false;
	im->may_expunge = true;
	if (is_done)
		imap_ok(im, "IDLE completed");
	else
		imap_bad(im, "DONE was expected");
	return !im->is_over;
}
