/*
 * NOTIFY (RFC 5465): what a session wants to be told without asking, in IDLE, between commands and at their ends. What
 * it remembers is its event groups as it wrote them and the place in the log up to which it was told.
 */
#ifndef TS_IMAP_WATCH_H
#define TS_IMAP_WATCH_H

#include "imap/imap.h"
#include "imap/watch_parse.h"

void	watch_run(struct imap *, struct slice args);
/* im->watch was set: fills im->watching from it. False, and nothing changed, where it is not what parse_watch_groups takes. */
bool	watch_understand(struct imap *);

/* The session is quiet: tells what is to be told at once. False when it is over. */
bool	watch_tell(struct imap *);
/* Is there anything it would be told while it is parked? */
bool	watch_is_waiting(const struct imap *);

/* May untagged.c tell of the selected mailbox, and of flags others changed in it? */
static inline bool
watch_tells_selected(const struct imap *im)
{
	return im->watching == 0 || (im->watching & WATCHING_SELECTED) != 0 || im->is_expunging;
}
static inline bool
watch_tells_flags(const struct imap *im)
{
	return im->watching == 0 || (im->watching & WATCHING_FLAGS) != 0;
}
/* EXISTS was told: FETCH responses for the new messages from that UID on, where they were asked for. */
void	watch_new(struct imap *, uint32_t first_uid);

#endif
