/*
 * NOTIFY's arguments (RFC 5465 8). Pure; see parse.h for the contract of its functions.
 */
#ifndef TS_IMAP_WATCH_PARSE_H
#define TS_IMAP_WATCH_PARSE_H

#include "imap/fetch_parse.h"

/*
 * The event groups as written. A session remembers them so, beside "$" in SESSION_STATE_MAX_BYTES; dozens of mailboxes
 * with long names fit. More is NOTIFICATIONOVERFLOW.
 */
#define IMAP_WATCH_MAX_BYTES	1400
#define IMAP_WATCH_GROUPS_MAX	100	/* "(inboxes NONE) " fits 93 times */

enum watch_event {
	WATCH_NEW = 1, WATCH_EXPUNGE = 2, WATCH_FLAGS = 4,
	WATCH_MESSAGES = WATCH_NEW | WATCH_EXPUNGE | WATCH_FLAGS,
	WATCH_NAME = 8, WATCH_SUBSCRIPTION = 16, WATCH_METADATA = 32, WATCH_SERVER_METADATA = 64,
};

/* "inboxes" is WATCH_PERSONAL: mail can be delivered into any mailbox (RFC 5465 6.3). */
enum watch_filter { WATCH_SELECTED, WATCH_SELECTED_DELAYED, WATCH_PERSONAL, WATCH_SUBSCRIBED, WATCH_SUBTREE, WATCH_MAILBOXES };

struct watch_group {
	enum watch_filter filter;
	unsigned	 events;	/* enum watch_event; 0: NONE */
	struct slice	*names;		/* of WATCH_SUBTREE and WATCH_MAILBOXES, as written */
	size_t		 nnames;
};

struct watch_groups {
	struct watch_group v[IMAP_WATCH_GROUPS_MAX];
	size_t		 n;
	struct slice	*names;		/* of all groups, one after the other; in the arena */
	size_t		 nnames;
	struct fetch_args *atts;	/* what to tell of new messages in the selected mailbox; NULL: nothing */
	bool		 is_unsupported;	/* an event that is not known is among them */
};

struct watch_args {
	bool		 is_none;	/* NOTIFY NONE */
	bool		 with_status;
	struct slice	 text;		/* of the groups */
	struct watch_groups groups;
};

/* SP ("SET" [SP "STATUS"] SP event-groups / "NONE"), to the end. */
enum parse	parse_watch_args(struct slice *cur, struct arena *, struct watch_args *out);
/* event-groups, to the end. */
enum parse	parse_watch_groups(struct slice *cur, struct arena *, struct watch_groups *out);

#endif
