/*
 * What the files of the store share: an open store, and how reads and changes of it begin and end.
 */
#ifndef TS_STORE_STORE_IMPL_H
#define TS_STORE_STORE_IMPL_H

#include "store/body.h"
#include "store/extra.h"
#include "store/index.h"
#include "store/state.h"

/* Expunged messages that a view was not told of: kept for the view asked last (untold.h). */
struct untold {
	uint32_t	 num;
	uint64_t	 since, upto;	/* expunge modseqs in (since, upto] */
	struct untold_block {
		uint32_t block, below;	/* in blocks before this one */
		uint64_t uids[BLOCK_WORDS];
	}		*v;		/* owned; ascending */
	size_t		 n, size;
};

/* Changes that lie close together in the log are one range; of more than these a session is told as of others'. */
#define OWN_MAX	64

struct store {
	struct index	 ix;
	struct spool	*spool;		/* held */
	unsigned	 refs;
	uint64_t	 used;
	struct untold	 untold;
	struct body_file body_file;	/* the segment read from last; closed when nobody holds the store, so that compaction frees it */
	bool		 is_in_log;	/* the last change was appended, whatever change_end said */
	struct { uint64_t lo, hi; } own[OWN_MAX];	/* modseqs of this session's records, ascending (events.c) */
	size_t		 nown;
	bool		 is_behind;	/* the last read that wanted to be current was not */
	int64_t		 busy_until_ms;	/* till then whoever is in a long change is not waited for */
};

/* A read transaction on the index as it is; end it with index_end. */
enum store_result store_read_begin(struct store *);
/* The same, but never of before the record of that modseq. */
enum store_result store_read_begin_since(struct store *, uint64_t modseq);
/*
 * The same after catching up with the log; where another process is in a long change, as it was before
 * that (is_behind). Where the index cannot be written the transaction is one to write, and index_end drops it.
 */
enum store_result store_current_begin(struct store *);
/* The same, but never of before the record of that modseq: where it must be it waits. */
enum store_result store_current_begin_since(struct store *, uint64_t modseq);
/* The turn to write, waiting a moment. False: another process is in a long change; what can wait should. */
bool		 store_turn(struct store *);

/*
 * A change: change_prepare gives an index write transaction, caught up, in which messages are collected;
 * change_lock locks the log and catches up again, with nothing but deliveries that came in between.
 * change_begin is both. Then change_end appends the records (spool_append's rules), gives up the lock, applies and commits, and hands
 * the records to the committer; with n 0 nothing was to be done. Or change_drop, which returns what it was given.
 */
enum store_result change_prepare(struct store *);
enum store_result change_lock(struct store *);
enum store_result change_begin(struct store *);
enum store_result change_end(struct store *, struct record *, size_t n, const struct body_src *bodies, bool wait)
		    __attribute__((warn_unused_result));
enum store_result change_drop(struct store *, enum store_result);

/*
 * copy.c: within a change that is prepared (it ends it), links the live messages among uids of from into the mailbox
 * to (l->create says whether the record makes it); move: and expunges them. pairs_out and n_out may be NULL.
 */
enum store_result link_messages(struct store *, const struct mbox *from, const struct uid_set *, const unsigned char *to,
		    struct extra_link *l, bool move, struct arena *, struct copied **pairs_out, size_t *n_out);

/*
 * undo.c: what a failed commit left in the log, as not to be there twice when the client repeats the command: expunged,
 * removed, renamed back, by records of their own that are not waited for. Called when change_end failed; without is_in_log
 * they do nothing. Where it cannot be done (warn.store.undo) or others have made use of it meanwhile, it stays.
 */
void		 undo_messages(struct store *, const unsigned char *mailbox, uint32_t first_uid, uint32_t n);
void		 undo_create(struct store *, const unsigned char *mailbox);
void		 undo_rename(struct store *, struct slice from, struct slice to, uint32_t n);

/* manage.c: the mailbox from and all below it; how many there are, where not 0 STORE_EXISTS for another number of them. */
enum store_result mbox_rename_tree(struct store *, struct slice from, struct slice to, uint32_t *n_io, bool wait);

/*
 * view.c: begins to read and loads the view's mailbox, deleted or not: what it held can be read until the next sync; and
 * what the view was not told is gone. STORE_NOMBOX also where that was purged.
 */
/* store_current_begin, but never of before what the view was told. */
enum store_result view_current_begin(struct store *, const struct view *);
enum store_result view_begin(struct store *, const struct view *, struct mbox *, const struct untold **gone_out);
/* view.c: a message as the view shows it, but for seq and is_expunged. False: the index fails (rc). */
bool		msg_fill(struct store *, const struct view *, uint32_t uid, const struct ix_msg *, struct msg_info *out);

/* events.c: records lo..hi were appended by this session. */
void		 own_add(struct store *, uint64_t lo, uint64_t hi);

/* mailbox.c: what is told of a mailbox, inside a transaction. False: the arena is full. */
bool		 mbox_info_fill(struct store *, const struct mbox *, struct arena *, struct mbox_info *out);

/* A live mailbox. STORE_OK, STORE_NOMBOX or STORE_TEMP. Inside a transaction. */
enum store_result find_mbox(struct store *, const unsigned char *id, struct mbox *out);

#endif
