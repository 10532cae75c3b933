/*
 * The small rules of IMAP's grammar (RFC 3501 9), one function a rule, named for it. Pure: cursor in,
 * slices out; PARSE_OK moves the cursor, PARSE_BAD leaves it; never PARSE_MORE, since read.c hands
 * over whole commands. Where a value is not a piece of the input (a quoted string with a backslash, a
 * set) it is made in the arena; an arena that is full is PARSE_BAD.
 */
#ifndef TS_IMAP_PARSE_H
#define TS_IMAP_PARSE_H

#include <stdint.h>

#include "arena.h"
#include "result.h"

/* Ranges of a sequence set: a 64 KiB line of single numbers holds more, no client sends them. */
#define IMAP_SET_RANGES_MAX	16384
#define IMAP_FLAGS_MAX		256	/* flags named in one list */
#define IMAP_MODSEQ_MAX		9223372036854775807ULL	/* 63 bits (RFC 7162 3.1) */

#define SEQ_STAR	0		/* '*': no message has the number 0 */
struct seq_range { uint32_t lo, hi; };	/* as written: lo may be above hi, either may be SEQ_STAR */
struct seq_set { struct seq_range *r; size_t n; bool is_saved; };	/* is_saved: "$", r is empty (RFC 5182) */

struct flag_list {
	uint32_t	 flags;		/* MSG_* */
	struct slice	*keywords;
	size_t		 nkeywords;
};

bool		is_atom_char(unsigned char);
bool		is_astring_char(unsigned char);

enum parse	parse_byte(struct slice *cur, char);
enum parse	parse_sp(struct slice *cur);
/* The word in any case, and after it no further ASTRING-CHAR but "[" (BODY[ is a word and a section). */
enum parse	parse_word(struct slice *cur, const char *word);
/* PARSE_OK when nothing is left. */
enum parse	parse_end(const struct slice *cur);
enum parse	parse_tag(struct slice *cur, struct slice *out);
enum parse	parse_atom(struct slice *cur, struct slice *out);
/* 32 bits, overflow is PARSE_BAD. number64 has 63 (RFC 9051 9). */
enum parse	parse_number(struct slice *cur, uint32_t *out);
enum parse	parse_number64(struct slice *cur, uint64_t *out);
enum parse	parse_nz_number(struct slice *cur, uint32_t *out);
/* 0 is taken also where the grammar has none: phones send it, and all is newer than that. */
enum parse	parse_mod_sequence(struct slice *cur, uint64_t *out);
/* In UTF-8, whatever the client has enabled (RFC 6855 3): other octets over 0x7f are PARSE_BAD. */
enum parse	parse_quoted(struct slice *cur, struct arena *, struct slice *out);
/* "{n}" or "{n+}" and CRLF: what stands before a literal's bytes. */
enum parse	parse_literal_mark(struct slice *cur, uint64_t *n_out);
enum parse	parse_literal(struct slice *cur, struct slice *out);
enum parse	parse_string(struct slice *cur, struct arena *, struct slice *out);
/* NIL gives p NULL. */
enum parse	parse_nstring(struct slice *cur, struct arena *, struct slice *out);
enum parse	parse_astring(struct slice *cur, struct arena *, struct slice *out);
enum parse	parse_list_mailbox(struct slice *cur, struct arena *, struct slice *out);
enum parse	parse_sequence_set(struct slice *cur, struct arena *, struct seq_set *out);
/* A flag is a system flag but \Recent, or a keyword. */
enum parse	parse_flag_list(struct slice *cur, struct arena *, struct flag_list *out);
/* STORE's: a list in parentheses or flags one after the other. */
enum parse	parse_flags(struct slice *cur, struct arena *, struct flag_list *out);
/* Days since 1970-01-01. */
enum parse	parse_date(struct slice *cur, int64_t *day_out);
/* Milliseconds since 1970-01-01 UTC. */
enum parse	parse_date_time(struct slice *cur, int64_t *ms_out);

#endif
