/*
 * A client's sequence set (RFC 3501 9: sequence-set) made into UIDs of the selected mailbox's view:
 * ascending ranges that do not overlap, as the store wants them.
 */
#ifndef TS_IMAP_SET_H
#define TS_IMAP_SET_H

#include "imap/imap.h"
#include "imap/parse.h"
#include "imap/search_return.h"

/*
 * UID sets: "*" is the last UID of the view, numbers that name nothing are ignored. Sequence numbers:
 * one beyond the view (or "*" of an empty mailbox) sets *is_beyond_out, and is left out of the set. "$" is
 * what was saved, also where that is nothing.
 * The set is in the command's arena; STORE_LIMIT when that is full.
 */
enum store_result	set_resolve(struct imap *, const struct seq_set *, bool is_uid, struct uid_set *out,
			    bool *is_beyond_out);
/* A set of UIDs that need not be there any more; "*" is last. False: the arena is full. */
bool			set_of_uids(struct imap *, const struct seq_set *, uint32_t last, struct uid_set *out);
/* The same for the view of another mailbox of the user's, where "$" names nothing. */
enum store_result	set_resolve_in(struct imap *, const struct view *, const struct seq_set *, bool is_uid, struct uid_set *out,
			    bool *is_beyond_out);
bool			set_has(const struct uid_set *, uint32_t uid);
/* "lo:hi", or "lo" where both are one; a comma before where the buffer has something after its first `from` bytes. 0 or -1. */
int			set_range_add(struct buf *, size_t from, uint32_t lo, uint32_t hi);
/* The set of a command: answers NO or BAD itself and returns false where it cannot be had. */
bool			set_of_command(struct imap *, const struct seq_set *, struct uid_set *out);
/* Leaves of the set's messages those that the range names (RFC 9394 3.3). Answers NO itself as above. */
bool			set_cut(struct imap *, struct uid_set *, const struct partial_range *);

#endif
