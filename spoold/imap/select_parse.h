/*
 * SELECT's and EXAMINE's arguments (RFC 3501 9, RFC 4466 2.1, RFC 7162 7). Pure; see parse.h.
 */
#ifndef TS_IMAP_SELECT_PARSE_H
#define TS_IMAP_SELECT_PARSE_H

#include "imap/parse.h"

struct select_args {
	struct slice	mailbox;
	bool		is_condstore;
	/* QRESYNC */
	bool		is_qresync;
	uint32_t	uidvalidity;
	uint64_t	modseq;
	bool		has_known;
	struct seq_set	known;
	struct seq_set	match_seqs, match_uids;	/* n 0: none; ascending */
};

/* SP mailbox [select-params], to the end. */
enum parse	parse_select_args(struct slice *cur, struct arena *, struct select_args *out);

#endif
