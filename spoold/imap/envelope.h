/*
 * An ENVELOPE as it is told and cached, read back: what SORT and THREAD need of it (RFC 3501 7.4.2, 9: envelope).
 */
#ifndef TS_IMAP_ENVELOPE_H
#define TS_IMAP_ENVELOPE_H

#include "imap/parse.h"

/* p NULL: NIL. All are as they stand in the message but for folding. */
struct envelope_address { struct slice name, mailbox, host; };

struct envelope {
	struct slice		date, subject, in_reply_to, message_id;
	struct envelope_address	from, to, cc;		/* the first of each, NILs where there is none */
};

/* PARSE_BAD for anything but a whole envelope. */
enum parse	parse_envelope(struct slice *cur, struct arena *, struct envelope *out);

#endif
