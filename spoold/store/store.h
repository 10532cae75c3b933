/*
 * A user's spool: the append-only log is the truth, the LMDB index beside it is derived. Used by the
 * sessions (imap/, pop3/), by delivery, and later by upkeep. Blocking. Not thread-safe; any number of
 * processes may have the same spool open.
 *
 * Every change is: index write transaction, catch-up, directory lock, catch-up, append record(s),
 * unlock, catch-up (which applies our own records by the same code as a replay), commit. So the
 * index is by construction what a replay of the log gives. Delivery takes only the directory lock.
 *
 * Who reads never waits long for who changes: where another process is in a change of very many messages it
 * is given the state before that (store_is_behind). A change of very many messages is several records, each
 * applied in a transaction of its own, so that no process needs memory for all of it.
 */
#ifndef TS_STORE_H
#define TS_STORE_H

#include <sys/uio.h>

#include "arena.h"
#include "mboxname.h"
#include "record.h"

#define STORE_KEYWORDS_MAX		128	/* keywords a user may have in all; past it STORE_LIMIT */
#define STORE_KEYWORD_MAX_BYTES		64
#define STORE_MAILBOXES_MAX		10000	/* mailboxes of a user */
#define STORE_BATCH_MSGS		256	/* messages a store_range call gives at most */
#define STORE_APPEND_MSGS_MAX		1000	/* messages of one store_append */
#define STORE_APPEND_FILES_MAX		250	/* of them in descriptors: the committer takes no more with one request */

enum store_result {
	STORE_OK,
	STORE_NOMBOX,	/* no such mailbox (any more) */
	STORE_EXISTS,	/* the name is taken */
	STORE_LIMIT,	/* a named limit would be passed, or what is asked for does not fit the arena */
	STORE_FULL,	/* below the partition's reserve, or ENOSPC: nothing changed */
	STORE_PURGED,	/* the log does not tell that any more */
	STORE_DAMAGED,	/* a record's checksum fails: what it holds is not served */
	STORE_TEMP,	/* anything else; logged where it happened */
};

/* What a process that opens spools is given once at its start. Pointers live as long as the process. */
struct store_commit;
struct store_host {
	const char	*active_dir;	/* DIR/<partition>/<hash>/<user>/ */
	const char	*index_dir;
	const char	*partition;	/* the partition new users are made in */
	const char *const *partitions;	/* all of this host, NULL-terminated */
	const bool	*is_down;	/* which of them are out of service; NULL: none */
	uint32_t	 epoch;		/* of every partition; raised by the parent */
	uint64_t	 segment_max_bytes;
	uint64_t	 map_bytes;	/* LMDB map size of one user */
	uint64_t	 reserve_bytes;	/* below this much free space messages are refused */
	int64_t		 dup_window_ms;
	/*
	 * Hands appended records to the committer. With wait it returns when both copies are durable
	 * (0) or with -1 (not known to be durable: answer TEMP). Without wait it returns at once; a
	 * failure then only delays the redundant copy. NULL in tests: fdatasync of the log.
	 */
	int		(*commit)(void *arg, const struct store_commit *);
	void		*commit_arg;
	/* A checkpoint of the user is due: whoever is told makes it soon. Must not block. NULL: it is made at once. */
	void		(*due)(void *arg, struct slice user);
	void		*due_arg;
	bool		 no_checkpoint;	/* indexes are made from the log alone */
};

struct store_commit {
	struct slice		 user;
	const char		*partition;
	int			 log_fd;	/* the segment appended to, opened before the append; borrowed */
	const struct record	*records;	/* as appended (extra in memory); bodies: see bodies */
	size_t			 nrecords;
	const struct body_src	*bodies;	/* one for each record with body_bytes > 0, in order */
	bool			 wait;
};

/* Where a message's bytes come from: memory, or a descriptor (pread from offset). Wire form. */
struct body_src {
	struct slice	mem;		/* used where fd is -1 */
	int		fd;		/* borrowed */
	uint64_t	offset;
	uint64_t	bytes;
};

struct store;

/* FOUND, ABSENT (no spool on this host) or LOOKUP_TEMP. Keeps the last 64 environments open in the process. */
enum lookup	 store_open(const struct store_host *, struct slice user, struct store **out);
/* Calls fn for each spool of a partition until it says false. 0, or -1 with errno: a directory could not be read. */
int		 store_each_user(const struct store_host *, const char *partition, bool (*fn)(void *arg, struct slice user), void *arg);
/* Makes the spool's directory and first segment (no mailboxes) in host->partition; STORE_OK also when it was there. Synced. */
enum store_result store_create(const struct store_host *, struct slice user);
/*
 * By looking at directories only: FOUND with partition_out (a static string of host), ABSENT, LOOKUP_TEMP (also while a
 * partition is down that the user may be on).
 */
enum lookup	 store_exists(const struct store_host *, struct slice user, const char **partition_out);
/* FOUND at once, without a look at the disk: the process has its log open and had no trouble with it. */
bool		 store_is_open(const struct store_host *, struct slice user, const char **partition_out);
/* Below the reserve; looked at twice a second. A partition that cannot be looked at is not said to be full. */
bool		 store_is_full(const struct store_host *, const char *partition);
/* How many logs the process keeps open (three descriptors each) though nobody holds them; 64 without it. At its start. */
void		 store_keep_logs(size_t n);
void		 store_close(struct store *);
/* Closes what the process keeps open and nobody holds (before a fork, or when a process has been idle). */
void		 store_drop_cached(void);
/*
 * Puts a user's index aside; the next store_open makes it anew. For whoever sees a worker die by a
 * signal while it had this user: LMDB cannot tell that a page is damaged, it falls over it.
 */
void		 store_discard_index(const struct store_host *, struct slice user);
struct slice	 store_user(const struct store *);
const char	*store_partition(const struct store *);

/* ---- mailboxes ---- */

enum special_use { USE_NONE, USE_ALL, USE_ARCHIVE, USE_DRAFTS, USE_FLAGGED, USE_JUNK, USE_SENT, USE_TRASH };

struct mbox_info {
	unsigned char	id[RECORD_ID_BYTES];
	struct slice	name;		/* inside form ("user.alice.Sent"), in the arena */
	uint32_t	uidvalidity;	/* 1 .. 2^31-1 */
	uint32_t	uidnext;
	uint64_t	highestmodseq;	/* >= 1 */
	uint32_t	exists;
	uint32_t	unseen;		/* messages without \Seen */
	uint32_t	recent_uid;	/* messages with uid >= this are \Recent for the next read-write SELECT */
	uint32_t	recent;		/* how many those are */
	uint64_t	bytes;		/* sum of RFC822.SIZE */
	enum special_use use;
	bool		is_subscribed;	/* its name is */
};

enum store_result store_mbox_by_name(struct store *, struct slice inside, struct arena *, struct mbox_info *out);
enum store_result store_mbox_by_id(struct store *, const unsigned char *id, struct arena *, struct mbox_info *out);
/* All mailboxes sorted by inside name; array in the arena. Deleted ones are not there. */
enum store_result store_mbox_list(struct store *, struct arena *, struct mbox_info **out, size_t *n_out);
/* Is a mailbox below that name? Below INBOX are those that clients see so. By the index of names, no scan. */
enum store_result store_mbox_has_children(struct store *, struct slice inside, bool *out);
/* Messages with \Deleted. By the counts over 65,536 UIDs, no scan. */
enum store_result store_mbox_deleted(struct store *, const unsigned char *id, uint32_t *out);
/* Subscribed names (inside form), also of mailboxes that do not exist (RFC 3501 6.3.6); sorted. */
enum store_result store_subscriptions(struct store *, struct arena *, struct slice **out, size_t *n_out);
enum store_result store_mbox_create(struct store *, struct slice inside, enum special_use, unsigned char *id_out);
/* With all children; for INBOX: a new mailbox gets INBOX's messages, INBOX stays, empty (RFC 3501 6.3.5). */
enum store_result store_mbox_rename(struct store *, struct slice from, struct slice to);
enum store_result store_mbox_delete(struct store *, struct slice inside);	/* children stay; INBOX too: STORE_LIMIT */
enum store_result store_subscribe(struct store *, struct slice inside, bool on);

/*
 * A hole of the log: bytes [from, to) of a segment are no record, or the segment is not there (0, UINT64_MAX), or the record at
 * from names what is not there (to 0). What stood there had modseqs in [modseq_from, modseq_to).
 */
struct loss {
	uint32_t	segment;
	uint64_t	from, to, modseq_from, modseq_to;
};
#define LOSS_PACKED_BYTES	36
/*
 * For the operator. Nothing of a user whose log has holes is compacted, and no checkpoint made of an index that lacks something,
 * in case it is put back: what is missing may name what is there. losses: an array of struct loss, of all the log, by a replay into
 * an index in dir (empty, of the caller's; host->no_checkpoint set). Then those that are given up; durable when STORE_OK.
 */
enum store_result store_losses(struct store *, const char *dir, struct buf *losses);
enum store_result store_accept_losses(struct store *, const struct loss *, size_t n);

/* ---- metadata: entries of a mailbox, or of the user as a whole (RFC 5464) ---- */

#define STORE_META_NAME_MAX_BYTES	250	/* an index key */
#define STORE_META_VALUE_MAX_BYTES	(64 * 1024)	/* RFC 5464 4.1 wants 1,024; half of what a command's literals may be */
#define STORE_META_ENTRIES_MAX		100	/* of one mailbox, or of the user; RFC 5464 4.1 wants 10 */
#define STORE_META_TOTAL_MAX_BYTES	(16ULL * 1024 * 1024)	/* of a user's names and values: it is in every copy of the index */

struct meta_change {
	struct slice	name;		/* in lower case; "/private/comment" */
	struct slice	value;
	bool		is_removed;	/* instead of set */
};
/*
 * Sets and removes entries, all or none (one record). mailbox NULL: of the user. STORE_LIMIT: more entries or bytes than
 * may be; STORE_FULL: what sets something is refused as messages are. Follows a mailbox that is renamed, goes with it, is
 * copied when INBOX is renamed.
 */
enum store_result store_metadata_set(struct store *, const unsigned char *mailbox, const struct meta_change *, size_t n);
struct meta_entry { struct slice name, value; };
/* All entries by name, in the arena. */
enum store_result store_metadata_list(struct store *, const unsigned char *mailbox, struct arena *, struct meta_entry **out,
		    size_t *n_out);

/* ---- events: what happened since a session last looked, as the log tells it (RFC 5465) ---- */

/* A place in a user's log, as of a look at it. */
struct store_place {
	uint32_t	segment, salt;
	uint64_t	offset;
	uint64_t	modseq;		/* every later record has this or a higher one */
};

#define STORE_EVENTS_MAX	1000	/* events of one look; changes of messages are no events, and of any number */

enum store_event_kind { EVENT_CREATED, EVENT_RENAMED, EVENT_DELETED, EVENT_SUBSCRIPTION, EVENT_METADATA };
struct store_event {
	enum store_event_kind kind;
	struct slice	name;		/* inside form, after the event; of EVENT_METADATA the mailbox's of now, empty: the user's as a whole */
	struct slice	old_name;	/* EVENT_RENAMED; empty: not known */
	struct slice	*entries;	/* EVENT_METADATA: names of what was set and removed */
	size_t		nentries;
};

/* What became of a mailbox's messages. TOUCHED_SEEN: flags, \Seen may be among them; TOUCHED_NAMED: it is new or has another name. */
enum { TOUCHED_NEW = 1, TOUCHED_EXPUNGED = 2, TOUCHED_FLAGS = 4, TOUCHED_SEEN = 8, TOUCHED_NAMED = 16 };
struct store_touched {
	unsigned	how;
	struct mbox_info info;		/* as of the look: what came later is told later */
};

struct store_events {
	struct store_event *v;		/* in the order of the log */
	size_t		n;
	struct store_touched *touched;	/* each mailbox once; those deleted since are not there */
	size_t		ntouched;
};

enum store_result store_place_now(struct store *, struct store_place *out);
/*
 * What others did since the place, which is moved on; all in the arena. Linear in the records since. STORE_LIMIT: more
 * events than STORE_EVENTS_MAX, or than fit the arena. STORE_PURGED: the log does not tell any more. The place is moved on then too.
 */
enum store_result store_events_since(struct store *, struct store_place *, struct arena *, struct store_events *out);
/* Did this session make the change of that modseq, since store_own_forget? */
bool		  store_is_own(const struct store *, uint64_t modseq);
/* From now on a session's own changes are counted anew: when it is taken up, and when it was told of the others'. */
void		  store_own_forget(struct store *);

/* ---- a session's view of a mailbox: a few numbers ---- */

/* UIDs as ascending, non-overlapping ranges. */
struct uid_range { uint32_t lo, hi; };
struct uid_set { struct uid_range *r; size_t n; };

struct view {
	unsigned char	mailbox[RECORD_ID_BYTES];
	uint32_t	uidvalidity;
	uint32_t	uidnext;	/* messages with a uid below this are in the view (if not expunged before) */
	uint64_t	modseq;		/* flag changes up to this were told */
	uint64_t	expunge_modseq;	/* expunges up to this were told */
	uint32_t	recent_uid;	/* messages with uid >= this are \Recent in this session; 0: none are */
	bool		claims_recent;	/* view_sync takes the \Recent of new messages too */
	/* while view_sync has more to say: where it goes on (0: it has not) */
	uint32_t	sync_uid, sync_uidnext;
	uint64_t	sync_modseq;
};

struct msg_info {
	uint32_t	uid;
	uint32_t	seq;		/* in the view given, 1-based */
	uint32_t	flags;		/* MSG_* */
	uint64_t	keywords[STORE_KEYWORDS_MAX / 64];	/* bit i: keyword i of store_keywords */
	uint64_t	modseq;
	int64_t		date_ms;	/* INTERNALDATE */
	int64_t		save_ms;	/* when it came into this mailbox */
	uint64_t	size;		/* RFC822.SIZE */
	unsigned char	guid[RECORD_ID_BYTES];
	bool		is_recent;
	bool		is_expunged;	/* gone, but not yet told to this view; the body can still be read */
	struct {			/* of the body's record */
		uint32_t segment, generation;
		uint64_t offset;	/* of the body */
		uint64_t modseq;	/* names it for ever */
		uint32_t crc;
	} body;
};

/* Opens a mailbox: everything there is counts as told. claim_recent: takes the \Recent (read-write SELECT). */
enum store_result view_open(struct store *, const unsigned char *mailbox, bool claim_recent, struct view *out);
/* Number of messages in the view. */
enum store_result view_count(struct store *, const struct view *, uint32_t *out);
/* uid of a sequence number, 0 when there is none; sequence number of a uid, 0 when it is not in the view. By rank, no scan. */
enum store_result view_uid(struct store *, const struct view *, uint32_t seq, uint32_t *uid_out);
enum store_result view_seq(struct store *, const struct view *, uint32_t uid, uint32_t *seq_out);
/* Highest uid in the view, 0 when empty. */
enum store_result view_last_uid(struct store *, const struct view *, uint32_t *uid_out);
/*
 * Messages of the view with uid in [lo, hi], ascending, at most max (<= STORE_BATCH_MSGS) into the
 * caller's array; *n_out < max means there are no more. The read transaction ends before it returns.
 */
enum store_result view_range(struct store *, const struct view *, uint32_t lo, uint32_t hi, struct msg_info *, size_t max,
		    size_t *n_out);
/*
 * The same, of those still there that changed after the modseq since: found by blocks, the others are not looked at. All of
 * them where since is one that a crash made forgotten: who saw it may know of changes that never were.
 */
enum store_result view_changed(struct store *, const struct view *, uint64_t since, uint32_t lo, uint32_t hi, struct msg_info *,
		    size_t max, size_t *n_out);
/* First message without \Seen: its sequence number, 0 when none. */
enum store_result view_first_unseen(struct store *, const struct view *, uint32_t *seq_out);

/*
 * What became different since the view's numbers; then the view's numbers are moved on. A great change is
 * told in pieces: while has_more, print and ask again before anything else is said.
 */
#define STORE_SYNC_MAX	1024	/* changes, and expunges but for what one record expunged */
struct view_delta {
	struct view_expunge { uint32_t uid, seq; } *expunges;	/* seq already adjusted: print in this order. Empty unless may_expunge */
	size_t		 nexpunges;
	struct msg_info	*changes;	/* flags or keywords changed, still in the view; seq as of after the expunges */
	size_t		 nchanges;
	uint32_t	 exists;	/* after all of it */
	bool		 is_grown;	/* print EXISTS */
	uint32_t	 recent;
	bool		 has_more;
	bool		 is_gone;	/* mailbox deleted, or UIDVALIDITY changed, or older than the purge horizon: BYE */
};
enum store_result view_sync(struct store *, struct view *, bool may_expunge, struct arena *, struct view_delta *out);
/* Cheap: true when view_sync would have something to say. */
bool		  view_is_stale(struct store *, const struct view *);
/*
 * Did the last call that should have been current find another process in a long change? It was answered
 * from before that change, and of what came meanwhile nobody will tell: look again a little later.
 */
bool		  store_is_behind(const struct store *);
/*
 * For RFC 7162 3.2.10.1: which of the UIDs in known, below the view's uidnext, were expunged after the modseq since and told;
 * UIDs that never were in the mailbox may be among them. Where since is older than the purge horizon, or was forgotten by a
 * crash: all that are not in the view (then also above uidnext, where UIDs were forgotten). In the arena, as few ranges as can be; STORE_LIMIT when it is full.
 */
enum store_result view_vanished(struct store *, const struct view *, uint64_t since, const struct uid_set *known, struct arena *,
		    struct uid_set *out);

/* Keyword i's name for i < *n_out (slices in the arena). Names never change their bit. */
enum store_result store_keywords(struct store *, struct arena *, struct slice **names_out, size_t *n_out);

/* ---- changes ---- */

enum flag_op { FLAGS_SET, FLAGS_ADD, FLAGS_REMOVE };

struct flag_change {
	enum flag_op	 op;
	uint32_t	 flags;		/* MSG_* */
	const struct slice *keywords;	/* names; new ones are made (not for FLAGS_REMOVE) */
	size_t		 nkeywords;
};
/* Changes the live messages among uids. modseq_out: of the change (0: nothing was there to change). */
enum store_result store_flags(struct store *, const unsigned char *mailbox, const struct uid_set *, const struct flag_change *,
		    uint64_t *modseq_out);
/*
 * The same for those that did not change after the modseq since; the others are left as they are and named in the arena
 * (RFC 7162 3.1.3: UNCHANGEDSINCE). Nobody else's change comes between the look and the change.
 */
enum store_result store_flags_unless(struct store *, const unsigned char *mailbox, const struct uid_set *, const struct flag_change *,
		    uint64_t since, struct arena *, struct uid_set *left_out, uint64_t *modseq_out);
/* Expunges the live messages among uids; only_deleted: those of them that have \Deleted. uids NULL: all. */
enum store_result store_expunge(struct store *, const unsigned char *mailbox, const struct uid_set *uids, bool only_deleted,
		    uint64_t *modseq_out);

struct append_msg {
	struct body_src	body;
	int64_t		date_ms;	/* INTERNALDATE */
	uint32_t	flags;
	const struct slice *keywords;
	size_t		nkeywords;
};
/*
 * All or nothing (one link record). uid_out[i] for message i. Durable on both spools when STORE_OK. Where its commit fails what
 * was appended is taken back as far as that can be done; so do copies, create and rename, but no move (undo.c).
 */
enum store_result store_append(struct store *, const unsigned char *mailbox, const struct append_msg *, size_t n,
		    uint32_t *uid_out, uint32_t *uidvalidity_out);

/*
 * One message appended and one of `from` (also the same mailbox) expunged, by one record: both or neither. uid_out 0: the message to be
 * replaced is not there (any more), and nothing was changed. Like a move it is not taken back where its commit fails.
 */
enum store_result store_replace(struct store *, const unsigned char *from, uint32_t uid, const unsigned char *mailbox,
		    const struct append_msg *, uint32_t *uid_out, uint32_t *uidvalidity_out);

struct copied { uint32_t from, to; };	/* uids */
/*
 * Copies (move: and expunges, in the same record) the live messages among uids from one mailbox to
 * another of this user, flags, keywords, INTERNALDATE and guid kept; no body is written again.
 * pairs_out in the arena, ascending. All or nothing. Durable when STORE_OK.
 */
enum store_result store_copy(struct store *, const unsigned char *from, const struct uid_set *, const unsigned char *to, bool move,
		    struct arena *, struct copied **pairs_out, size_t *n_out, uint32_t *uidvalidity_out);

/* ---- bodies ---- */

/*
 * Opens a message's bytes: checks the record and the body's checksum (once), gives a descriptor the
 * caller closes and the offset in it. STORE_DAMAGED is final for that message, but for EIO, which is the disk's last word only as long as
 * it says so: then it is looked at again the next time. Retries when compaction moved it.
 */
enum store_result store_body_open(struct store *, const struct msg_info *, int *fd_out, uint64_t *offset_out);

/* The index's cache of derived bytes of a body (ENVELOPE ...), by body modseq and kind; ABSENT when not there or of another version. */
enum lookup	  store_cache_get(struct store *, uint64_t body_modseq, uint8_t kind, uint8_t version, struct arena *, struct slice *out);
/* Best effort; several at once in one transaction. */
struct cache_put { uint64_t body_modseq; uint8_t kind, version; struct slice bytes; };
void		  store_cache_put(struct store *, const struct cache_put *, size_t n);

/* ---- delivery: the directory lock only, never the index ---- */

struct store_delivery {
	struct slice	 user;		/* must exist: store_exists */
	struct slice	 mailbox;	/* inside form; empty: INBOX */
	struct slice	 sender, qid;
	const unsigned char *key;	/* 16 bytes */
	int64_t		 date_ms;
	struct body_src	 body;
	const unsigned char *guid;	/* the same for all recipients of a message */
};
struct store_placed {
	uint32_t	 uid;
	uint64_t	 modseq;
	int		 log_fd;	/* the segment, O_WRONLY, opened before the append; the caller closes */
	const char	*partition;
};
/* Appends; not synced. STORE_FULL, STORE_TEMP: nothing is left that could be shown. */
enum store_result store_deliver(const struct store_host *, const struct store_delivery *, struct store_placed *out);
/* After a failed commit: appends a void record for it. Best effort. */
void		  store_void(const struct store_host *, struct slice user, uint64_t modseq);

/* ---- upkeep: one process at a time for a user; others go on meanwhile ---- */

struct store_pace {
	uint64_t	 rate_bytes;	/* written a second at most, synced as it goes; 0: no limit */
	/* Called between pieces; false: stop (STORE_TEMP). NULL: never. */
	bool		(*step)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	void		*arg;
};
struct store_compacted {
	uint32_t	segments;	/* rewritten */
	uint32_t	damaged;	/* left as they are, because something in them cannot be read */
	uint64_t	before_bytes, after_bytes;	/* of those rewritten */
};
/* Makes a checkpoint where replay has become long, or always. A failure is logged and leaves the old one. */
enum store_result store_checkpoint(struct store *, const struct store_pace *, bool always);
/* Ends delayed expunge for what was expunged before a moment (wall clock). Durable when STORE_OK. */
enum store_result store_purge(struct store *, int64_t before_ms, uint64_t *nmsgs_out);
/*
 * Rewrites the sealed segments of which more than waste_percent is of purged messages (0: those with any). UIDs,
 * modseqs and flags stay. STORE_FULL: no room for the copy of a segment. May be killed at any moment.
 */
enum store_result store_compact(struct store *, const struct store_pace *, unsigned waste_percent, struct store_compacted *out);

/* ---- epoch (the parent's, before any child) ---- */

/* Reads the partition's epoch; raises and syncs it where the last stop was not orderly (or force). 0 or -1. */
int		  epoch_begin(const char *active_dir, const char *partition, bool force, uint32_t *epoch_out);
/* The epoch as it stands on the disk; changes nothing. False: it cannot be read. */
bool		  epoch_read(const char *active_dir, const char *partition, uint32_t *epoch_out);
/* An orderly stop: everything was synced. */
int		  epoch_end(const char *active_dir, const char *partition);

#endif
