/*
 * What the index holds: one LMDB tree, keys begin with a letter, numbers in them are big-endian so
 * that they sort. Values are structs of this machine (the index never leaves it), without padding so
 * that two replays of a log can be compared byte by byte. Any change here raises SCHEMA_VERSION.
 *
 *   A                          ix_meta
 *   m <id 16>                  ix_mbox, name
 *   i <num>                    id of the mailbox of that number
 *   n <name>                   id of the live mailbox of that name
 *   s <name>                   name subscribed
 *   k <bit>                    a keyword's name, first spelling
 *   a <id 16> <entry>          a metadata entry's value; id zero: of the user. The entry in lower case
 *   e <num> <uid>              ix_msg: a message, live (r says so) or expunged and not yet purged (some t does)
 *   t <num> <modseq> <uid/256> ix_gone: which UIDs of a block that change expunged, and when
 *   r <num> <uid / 256>        ix_block: which UIDs of a block are live, which of those unseen or \Deleted
 *   R <num> <uid / 65536>      ix_super: how many are; neither is there where none is live
 *   b <modseq>                 ix_body: where a body is
 *   f <modseq>                 of a fence: the modseq that the log had come to; what lies between was forgotten
 *   d <key 16> <num>           ix_dup: who has a delivery key
 *   q <date> <key 16> <num>    nothing: when it may be forgotten
 *   h <segment> <offset>       ix_hole: what of the log could not be read, or names what is not there
 *   g <segment>                ix_waste: what compaction found there (not of the log either)
 *   x <modseq> <kind>          version, cached bytes (not of the log: left out of comparisons)
 */
#ifndef TS_STORE_SCHEMA_H
#define TS_STORE_SCHEMA_H

#include <assert.h>

#include "store/store.h"

#define SCHEMA_VERSION	6
#define IX_KEY_MAX	500	/* LMDB takes 511 */
#define IX_NAME_MAX	480	/* a longer name is its first bytes and a hash */
#define IX_NAME_PLAIN	440

struct ix_key {
	unsigned char	p[IX_KEY_MAX];
	size_t		n;
};

struct ix_meta {
	uint64_t	inode;
	uint64_t	offset;		/* of the next record to apply */
	uint64_t	next_modseq;
	uint64_t	replay_records, replay_bytes;	/* since the checkpoint */
	uint64_t	metadata_bytes;	/* of all entries, names and values */
	uint32_t	version, epoch, log_id;
	uint32_t	segment;
	uint32_t	next_uid;
	uint32_t	last_epoch;	/* of the last trailer applied */
	uint32_t	next_num;	/* of mailboxes */
	uint32_t	uidvalidity;	/* highest ever */
	uint32_t	nmailboxes;
	uint32_t	nkeywords;
	uint32_t	salt;		/* of the segment's file in which offset is; 0: none yet */
	uint32_t	has_holes;	/* how many are not given up: refs may be too few. Until they are, or all is replayed anew */
};
static_assert(sizeof(struct ix_meta) == 96, "no padding");

struct ix_mbox {
	uint64_t	highestmodseq;
	uint64_t	expunge_modseq;	/* of the last expunge */
	uint64_t	purge_modseq;	/* what was expunged up to this is purged: the purge horizon */
	uint64_t	bytes;
	uint32_t	num;
	uint32_t	uidvalidity, uidnext, recent_uid;
	uint32_t	exists, unseen;
	uint32_t	use;
	uint32_t	is_deleted;
};
static_assert(sizeof(struct ix_mbox) == 64, "no padding");

struct ix_msg {
	uint64_t	modseq, body_modseq, size;
	int64_t		date_ms, save_ms;
	uint64_t	keywords[2];
	uint32_t	flags, unused;
};
static_assert(sizeof(struct ix_msg) == 64, "no padding");

struct ix_body {
	uint64_t	offset, bytes;	/* of the body alone */
	unsigned char	guid[RECORD_ID_BYTES];
	uint32_t	segment, generation, crc;
	uint32_t	num, uid;	/* where a RECORD_MESSAGE put itself; 0: it did not */
	uint32_t	refs;		/* messages that have it, expunged ones until they are purged; 0: none, now and ever */
};
static_assert(sizeof(struct ix_body) == 56, "no padding");

struct ix_dup {
	int64_t		date_ms;
	uint64_t	body_modseq;
	uint64_t	stands_for;	/* later deliveries dropped because of it */
};
static_assert(sizeof(struct ix_dup) == 24, "no padding");

#define BLOCK_UIDS	256
#define BLOCK_WORDS	(BLOCK_UIDS / 64)
#define SUPER_UIDS	65536
#define SUPER_BLOCKS	(SUPER_UIDS / BLOCK_UIDS)

/* modseq: no live message of it has changed since; what changed after a modseq is found by it without an index of changes. */
struct ix_block {
	uint64_t	modseq;
	uint64_t	live[BLOCK_WORDS], unseen[BLOCK_WORDS], deleted[BLOCK_WORDS];
};
static_assert(sizeof(struct ix_block) == 104, "no padding");

struct ix_super {
	uint64_t	modseq;
	uint32_t	live, unseen, deleted, unused;
};
static_assert(sizeof(struct ix_super) == 24, "no padding");

struct ix_hole {
	uint64_t	to, modseq_from, modseq_to;	/* struct loss */
	uint32_t	is_accepted, unused;
};
static_assert(sizeof(struct ix_hole) == 32, "no padding");

struct ix_gone {
	int64_t		date_ms;	/* of the change */
	uint64_t	uids[BLOCK_WORDS];
};

/* Of a sealed segment: bytes that are of no body, as counted in that generation. */
struct ix_waste {
	uint64_t	other_bytes;
	uint32_t	generation, unused;
};

static inline struct ix_key
key_of(char kind)
{
	struct ix_key k = {.n = 1};

	k.p[0] = (unsigned char)kind;
	return k;
}

static inline void
key_add(struct ix_key *k, const void *p, size_t n)
{
	assert(k->n + n <= IX_KEY_MAX);
	memcpy(k->p + k->n, p, n);
	k->n += n;
}

static inline void
key_u32(struct ix_key *k, uint32_t v)
{
	v = __builtin_bswap32(v);
	key_add(k, &v, sizeof(v));
}

static inline void
key_u64(struct ix_key *k, uint64_t v)
{
	v = __builtin_bswap64(v);
	key_add(k, &v, sizeof(v));
}

/* The numbers of a key again, at byte i. */
static inline uint32_t
key_get_u32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint64_t
key_get_u64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

static inline struct ix_key
key_num(char kind, uint32_t num)
{
	struct ix_key k = key_of(kind);

	key_u32(&k, num);
	return k;
}

/* 'e', 'r', 'R' */
static inline struct ix_key
key_uid(char kind, uint32_t num, uint32_t uid)
{
	struct ix_key k = key_num(kind, num);

	key_u32(&k, uid);
	return k;
}

/* 't' */
static inline struct ix_key
key_gone(uint32_t num, uint64_t modseq, uint32_t block)
{
	struct ix_key k = key_num('t', num);

	key_u64(&k, modseq);
	key_u32(&k, block);
	return k;
}

static inline struct ix_key
key_id(char kind, const unsigned char *id)
{
	struct ix_key k = key_of(kind);

	key_add(&k, id, RECORD_ID_BYTES);
	return k;
}

static inline struct ix_key
key_body(uint64_t modseq)
{
	struct ix_key k = key_of('b');

	key_u64(&k, modseq);
	return k;
}

static inline struct ix_key
key_fence(uint64_t modseq)
{
	struct ix_key k = key_of('f');

	key_u64(&k, modseq);
	return k;
}

static inline struct ix_key
key_segment(uint32_t segment)
{
	struct ix_key k = key_of('g');

	key_u32(&k, segment);
	return k;
}

/* 'n', 's': index.c */
struct ix_key	key_name(char kind, struct slice name);

#endif
