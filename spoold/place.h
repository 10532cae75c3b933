/*
 * Mailboxes and the location map together: what makes, renames or removes a mailbox says so to
 * mupdated (RESERVE, then the spool, then ACTIVATE; DELETE after), and a user's first delivery or
 * login makes the spool. Workers call it; blocking, every step with a deadline.
 */
#ifndef TS_PLACE_H
#define TS_PLACE_H

#include "result.h"
#include "store/store.h"

struct place_conf {
	const char	*mupdate;	/* "unix:/path"; empty: no map, the spool alone decides */
	const char	*hostname;	/* our host in "host!partition" */
	int		 timeout_ms;	/* of a step of the talk with mupdated */
	int		 pause_ms;	/* after a step timed out: answer STORE_TEMP at once for so long; 0: ask every time */
};
/* Once at a worker's start. Kept. */
void			place_init(const struct place_conf *);

/*
 * Makes the spool of a user that has none: RESERVE user.NAME, spool, INBOX and the special-use
 * folders (Drafts, Sent, Trash, Junk, Archive; subscribed), ACTIVATE all. STORE_OK also when another
 * process made it meanwhile. STORE_EXISTS: the map says another host has the user.
 */
enum store_result	place_user(const struct store_host *, struct slice user);
/* True while the user's spool is being made, or was left half-made by a crash: place_user completes it. */
bool			place_is_half(const struct store_host *, struct slice user);
/* As store_mbox_*, with the map. STORE_TEMP and text when mupdated does not answer: nothing was changed. */
enum store_result	place_create(struct store *, struct slice inside, enum special_use, unsigned char *id_out);
enum store_result	place_rename(struct store *, struct slice from, struct slice to);
enum store_result	place_delete(struct store *, struct slice inside);

#endif
