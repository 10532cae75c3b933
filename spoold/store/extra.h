/*
 * What change records carry beside their header: packed and unpacked side by side. Numbers are
 * written, not inferred. Keywords go by name. Slices of unpacked ones point into the record.
 */
#ifndef TS_STORE_EXTRA_H
#define TS_STORE_EXTRA_H

#include "pack.h"
#include "store/store.h"

/* Names of keywords in a record; an unpacked list is read with extra_keyword. */
struct extra_keywords {
	const struct slice *names;	/* to pack */
	uint32_t	n;
	struct unpack	in;		/* when unpacked: n strings */
};

/* Ranges of UIDs, likewise. */
struct extra_ranges {
	const struct uid_range *r;
	uint32_t	n;
	struct unpack	in;
};
#define EXTRA_RANGES_MAX	100000	/* in one record; more take several */
#define EXTRA_LINKS_MAX		100000	/* messages of one RECORD_LINK */

struct extra_create {
	struct slice	name;
	uint32_t	uidvalidity;
	uint32_t	use;		/* enum special_use */
};

struct extra_rename {
	uint32_t	n;		/* pairs follow: id, name */
	struct unpack	in;
	struct slice	from, to;	/* as the client said them, after the pairs; empty in records of before they were written */
};

struct extra_flags {
	enum flag_op	op;
	uint32_t	flags;
	struct extra_keywords keywords;
	struct extra_ranges uids;
};

/* A message that a RECORD_LINK makes. */
struct extra_entry {
	uint64_t	body_modseq;
	uint32_t	uid;
	uint32_t	flags;
	int64_t		date_ms;
	uint8_t		nkeywords;
	uint8_t		keywords[STORE_KEYWORDS_MAX];	/* positions in the record's list */
};

struct extra_link {
	unsigned char	source[RECORD_ID_BYTES];	/* of a MOVE */
	struct extra_ranges expunged;			/* in it */
	struct extra_create create;			/* the target is made by this record; name empty: it is there */
	struct extra_keywords keywords;
	uint32_t	n;				/* entries */
	struct unpack	in;
};

/*
 * RECORD_PURGE. Besides the horizon what the mailbox's numbers are by then: with the husks of a compacted log
 * alone a replay would not know them.
 */
struct extra_purge {
	uint64_t	horizon;	/* modseq */
	uint64_t	highestmodseq, expunge_modseq;
	uint32_t	uidnext;
};

/* RECORD_METADATA: pairs follow: name, is it removed, value. */
struct extra_metadata {
	uint32_t	n;
	struct unpack	in;
};

/* Each adds to the buffer; pack_ok tells whether all fitted. Unpacking gives false unless exactly right. */
void	extra_pack_create(struct buf *, const struct extra_create *);
bool	extra_unpack_create(struct slice, struct extra_create *out);
/* Rename: a count, then as many pairs, then the names of the command as two strings. */
void	extra_pack_pair(struct buf *, const unsigned char *id, struct slice name);
bool	extra_unpack_rename(struct slice, struct extra_rename *out);
bool	extra_pair(struct extra_rename *, unsigned char *id_out, struct slice *name_out);
void	extra_pack_flags(struct buf *, const struct extra_flags *);
bool	extra_unpack_flags(struct slice, struct extra_flags *out);
void	extra_pack_ranges(struct buf *, const struct extra_ranges *);
bool	extra_unpack_ranges(struct slice, struct extra_ranges *out);
void	extra_pack_subscribe(struct buf *, struct slice name, bool on);
bool	extra_unpack_subscribe(struct slice, struct slice *name_out, bool *on_out);
void	extra_pack_purge(struct buf *, const struct extra_purge *);
bool	extra_unpack_purge(struct slice, struct extra_purge *out);
/* Link: extra_pack_link, then n entries. */
void	extra_pack_link(struct buf *, const struct extra_link *);
void	extra_pack_entry(struct buf *, const struct extra_entry *);
bool	extra_unpack_link(struct slice, struct extra_link *out);

void	extra_pack_metadata(struct buf *, const struct meta_change *, size_t n);
bool	extra_unpack_metadata(struct slice, struct extra_metadata *out);

/* The next of a list; false at its end. Nothing read here runs past the record: unpacking checked it. */
bool	extra_keyword(struct extra_keywords *, struct slice *out);
bool	extra_range(struct extra_ranges *, struct uid_range *out);
bool	extra_meta(struct extra_metadata *, struct meta_change *out);
bool	extra_entry(struct extra_link *, struct extra_entry *out);

#endif
