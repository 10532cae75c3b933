/*
 * The index of one user: an LMDB environment, derived from the log, committed without sync. At most
 * one transaction at a time. The first LMDB error inside a transaction sticks (rc): later reads find
 * nothing and later writes do nothing, and who began it asks once, at its end.
 */
#ifndef TS_STORE_INDEX_H
#define TS_STORE_INDEX_H

#include <lmdb.h>

#include "store/schema.h"
#include "store/spool.h"

/*
 * The last entry written of a kind whose entries a replay changes again and again: put into LMDB only
 * when another one is, or at the end, so that a thousand deliveries write their mailbox once.
 */
struct held {
	bool		 is_used, is_gone;	/* is_gone: to be deleted */
	struct ix_key	 key;
	size_t		 n;
	char		 value[sizeof(struct ix_mbox) + MBOXNAME_MAX_BYTES];
};
#define HELD_KINDS	"mrR"

struct index {
	struct spool	*spool;		/* borrowed */
	MDB_env		*env;
	MDB_dbi		 dbi;
	MDB_txn		*txn;		/* the one begun, else NULL */
	MDB_txn		*reader;	/* kept between reads, reset */
	bool		 is_write;
	int		 rc;		/* first failure of this transaction */
	uint64_t	 husks;		/* applied since it was opened: bodies may be missing and that is right */
	bool		 is_bad;	/* not to be used any more: rebuild */
	bool		 is_stuck;	/* LMDB wants it closed and opened again */
	bool		 is_unsaved;	/* it could not be written: changes are applied in memory, for each who looks */
	int64_t		 save_again_ms;	/* while it is unsaved: not tried before */
	bool		 has_turn;	/* to write: of all processes this one */
	bool		 keeps_turn;	/* over several transactions; its owner ends that */
	bool		 is_private;	/* index_make_private's: nobody is told */
	uint32_t	 stop_segment;	/* catch up no further than there; 0: to the log's end */
	uint64_t	 stop_offset;
	uint32_t	 touched;	/* messages changed in this transaction, for who bounds it */
	struct ix_meta	 meta;		/* as of the transaction; stored by index_commit */
	struct held	 held[sizeof(HELD_KINDS) - 1];	/* of a write transaction */
};

/*
 * Opens the user's index, or makes it anew from checkpoint and log; one whose file is bad_inode (0:
 * none) was found damaged and is not opened again. STORE_OK or STORE_TEMP (logged).
 */
enum store_result index_open(struct index *, struct spool *, uint64_t bad_inode);
void		 index_close(struct index *);
/*
 * Is it still the one that others would open? One look at a directory. Said of an open one in no transaction; also true
 * where it cannot be told.
 */
bool		 index_is_in_place(const struct index *);
/*
 * For who verifies: an index of the spool in a directory of the caller's (empty, below index_dir), up to a place in
 * the log (segment 0: its end) or a record behind it. The log is only read. STORE_OK or STORE_TEMP (logged).
 */
enum store_result index_make_private(struct index *, struct spool *, const char *dir, uint32_t segment, uint64_t offset);
/* Opens the live index as it is, not to be changed; ABSENT where there is none that names this log. */
enum lookup	 index_open_live(struct index *, struct spool *);

/* STORE_OK or STORE_TEMP. Waits for the turn to write where another process has it. */
enum store_result index_begin(struct index *, bool is_write);
/*
 * The turn to write without waiting; the next write transaction uses it up. False: another process has it.
 * Taken with a lock of its own because LMDB's cannot be tried.
 */
bool		 index_turn_try(struct index *);
/* Gives it back where no transaction did; ends keeps_turn. */
void		 index_turn_end(struct index *);
/* Ends a read transaction, or drops a write transaction. What rc says: STORE_OK or STORE_TEMP (logged). */
enum store_result index_end(struct index *);
/* Commits. STORE_TEMP: nothing of it is in the index. */
enum store_result index_commit(struct index *);
/* The same, but while the index cannot be written tries that only every INDEX_SAVE_MS, and else drops the transaction. */
#define INDEX_SAVE_MS	1000
enum store_result index_save(struct index *);
/* It cannot be written, and is not to be tried now. */
bool		 index_is_in_memory(const struct index *);

/* True when it is there; the slice is LMDB's and good until the next write or the end. */
bool		 index_get(struct index *, const struct ix_key *, struct slice *out);
/* True when it is there and exactly n bytes, which are copied. */
bool		 index_get_fixed(struct index *, const struct ix_key *, void *out, size_t n);
void		 index_put(struct index *, const struct ix_key *, const void *, size_t);
void		 index_delete(struct index *, const struct ix_key *);

/*
 * Entries in order from a key on, as long as they begin with its first prefix bytes. In a write
 * transaction entries may be put and deleted meanwhile.
 */
struct iter {
	struct index	*ix;
	MDB_cursor	*cursor;
	struct ix_key	 at;
	size_t		 prefix;
	bool		 is_begun;
	bool		 is_steady;	/* nothing but iter_replace changes the index while it runs: steps are cheap */
};
void		 iter_begin(struct iter *, struct index *, const struct ix_key *from, size_t prefix);
void		 iter_begin_steady(struct iter *, struct index *, const struct ix_key *from, size_t prefix);
/* The next entry; key points at the whole key. */
bool		 iter_next(struct iter *, struct slice *key_out, struct slice *value_out);
/* Another value, of the same size, for the entry last given. */
void		 iter_replace(struct iter *, const void *, size_t);
void		 iter_end(struct iter *);

/*
 * catchup.c: applies what the log has beyond the index, until CATCH_UP_RECORDS or records that change
 * CATCH_UP_MSGS; *more_out: there was more than that. In a write transaction. STORE_OK or STORE_TEMP (logged).
 */
#define CATCH_UP_RECORDS	4000	/* what a transaction holds in memory stays bounded */
#define CATCH_UP_MSGS		20000
enum store_result index_catch_up(struct index *, bool *more_out);
/*
 * The same in one transaction to the log's end, for who will drop it: where it cannot be written. STORE_TEMP (logged) also past
 * INDEX_MEMORY_RECORDS or INDEX_MEMORY_MSGS.
 */
#define INDEX_MEMORY_RECORDS	20000
#define INDEX_MEMORY_MSGS	200000	/* that those change */
enum store_result index_catch_up_unsaved(struct index *);
/* In any transaction: is there anything to catch up with? (Two looks at the log's directory.) */
bool		 index_is_behind(struct index *);

/* index.c, for rebuild.c: opens the environment at path (its directory exists). An LMDB or errno code. */
int		 index_open_env(struct index *, const char *path);
void		 index_close_env(struct index *);
/* renew.c: where replay has become long a checkpoint is asked for or made; in no transaction. Failure is only logged. */
void		 index_checkpoint(struct index *);

#endif
