/*
 * FETCH's arguments (RFC 3501 6.4.5, 9: fetch, fetch-att, section; RFC 7162 7). Pure; see parse.h.
 */
#ifndef TS_IMAP_FETCH_PARSE_H
#define TS_IMAP_FETCH_PARSE_H

#include "imap/parse.h"
#include "imap/search_return.h"

#define IMAP_FETCH_ITEMS_MAX	64	/* a client asks for a dozen; each may send the whole message */
#define IMAP_SECTION_DEPTH_MAX	101	/* one more than MIME_DEPTH_MAX: no deeper part exists */
#define IMAP_FIELDS_MAX		256	/* names in a HEADER.FIELDS */

enum section_text { SECTION_ALL, SECTION_HEADER, SECTION_FIELDS, SECTION_FIELDS_NOT, SECTION_TEXT, SECTION_MIME };

struct section {
	uint32_t		*numbers;
	size_t			 nnumbers;
	enum section_text	 text;
	struct slice		*fields;
	size_t			 nfields;
};

enum fetch_kind {
	FETCH_FLAGS, FETCH_UID, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE, FETCH_BODY, FETCH_BODYSTRUCTURE,
	FETCH_SECTION,		/* BODY[...] */
	FETCH_RFC822, FETCH_RFC822_HEADER, FETCH_RFC822_TEXT,
	FETCH_EMAILID, FETCH_THREADID, FETCH_SAVEDATE, FETCH_PREVIEW,
	FETCH_BINARY, FETCH_BINARY_SIZE,
	FETCH_MODSEQ,
};

struct fetch_item {
	enum fetch_kind	kind;
	struct section	section;	/* of FETCH_SECTION, FETCH_RFC822* and FETCH_BINARY* */
	bool		is_peek;	/* sets no \Seen */
	bool		is_partial;	/* <at.n> */
	bool		is_lazy;	/* of FETCH_PREVIEW: only what costs nothing */
	uint64_t	at, n;		/* 63 bits (RFC 9051 9) */
};

/* What stands in parentheses behind the items (RFC 4466 2.4). */
struct fetch_modifiers {
	bool			is_partial;	/* of the messages of the set only these (RFC 9394 3.3) */
	struct partial_range	partial;
	bool			has_changedsince;
	uint64_t		changedsince;
	bool			is_vanished;	/* VANISHED: never without CHANGEDSINCE */
};

struct fetch_args {
	struct seq_set		set;
	struct fetch_item	items[IMAP_FETCH_ITEMS_MAX + 2];	/* two more: UID FETCH adds UID, CHANGEDSINCE adds MODSEQ */
	size_t			nitems;
	struct fetch_modifiers	modifiers;
};

/* SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")") [fetch-modifiers], to the end. */
enum parse	parse_fetch_args(struct slice *cur, struct arena *, struct fetch_args *out);
/* "(" fetch-att *(SP fetch-att) ")": items alone, as NOTIFY has them (RFC 5465 8). */
enum parse	parse_fetch_atts(struct slice *cur, struct arena *, struct fetch_args *out);
/* section = "[" [section-spec] "]" */
enum parse	parse_section(struct slice *cur, struct arena *, struct section *out);

#endif
