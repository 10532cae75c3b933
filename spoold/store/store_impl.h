/*
 * What the files of the store share: an open store, and how reads and changes of it begin and end.
 */
#ifndef TS_STORE_STORE_IMPL_H
#define TS_STORE_STORE_IMPL_H

#include "store/extra.h"
#include "store/index.h"
#include "store/state.h"

/* Expunged messages that a view was not told of: kept for the view asked last, by uid. */
struct untold {
	uint32_t	 num;
	uint64_t	 since, upto;	/* expunge modseqs in (since, upto] */
	struct untold_msg {
		uint32_t uid;
		uint64_t modseq;
	}		*v;		/* owned */
	size_t		 n;
};

struct store {
	struct index	 ix;
	struct spool	*spool;		/* held */
	unsigned	 refs;
	uint64_t	 used;
	struct untold	 untold;
};

/* A read transaction on the index as it is; end it with index_end. */
enum store_result store_read_begin(struct store *);
/* The same after catching up with the log. */
enum store_result store_current_begin(struct store *);

/*
 * A change: change_begin gives an index write transaction, caught up, with the log locked. Then
 * change_end appends the records (spool_append's rules), gives up the lock, applies and commits, and hands
 * the records to the committer; with n 0 nothing was to be done. Or change_drop, which returns what it was given.
 */
enum store_result change_begin(struct store *);
enum store_result change_end(struct store *, struct record *, size_t n, const struct body_src *bodies, bool wait)
		    __attribute__((warn_unused_result));
enum store_result change_drop(struct store *, enum store_result);

/*
 * copy.c: within a change (it ends it), links the live messages among uids of from into the mailbox
 * to (l->create says whether the record makes it); move: and expunges them. pairs_out and n_out may be NULL.
 */
enum store_result link_messages(struct store *, const struct mbox *from, const struct uid_set *, const unsigned char *to,
		    struct extra_link *l, bool move, struct arena *, struct copied **pairs_out, size_t *n_out);

/* view.c: a message as the view shows it, but for seq and is_expunged. False: the index fails (rc). */
bool		msg_fill(struct store *, const struct view *, uint32_t uid, const struct ix_msg *, struct msg_info *out);

/* A live mailbox. STORE_OK, STORE_NOMBOX or STORE_TEMP. Inside a transaction. */
enum store_result find_mbox(struct store *, const unsigned char *id, struct mbox *out);

#endif
