/* Text folded as it streams, and a needle looked for in it. Contract of match.c; used inside mime/ only. */
#ifndef TS_MIME_MATCH_H
#define TS_MIME_MATCH_H

#include "buf.h"

#define FOLD_OUT_BYTES	512
#define FOLD_MARKS_MAX	32	/* combining marks put in order at once (UAX 15 stream-safe text has 30) */

/*
 * UTF-8 in pieces of any size -> folded UTF-8: titlecase, decomposed (RFC 5051 2). What is no UTF-8 becomes U+FFFD and
 * sets is_bad. Set before the first piece: is_raw, and all goes through as it is; is_plain, and nothing is folded, but what is no
 * UTF-8 replaced; then put is never given a part of a character, and one of several bytes by itself.
 */
struct fold {
	void		(*put)(struct fold *, struct slice);	/* where folded bytes go */
	unsigned char	 held[4];		/* of an unfinished character */
	unsigned	 nheld, need;
	int32_t		 marks[FOLD_MARKS_MAX];
	unsigned	 nmarks;
	char		 out[FOLD_OUT_BYTES];	/* folded, not put yet; empty between two pieces */
	size_t		 nout;
	bool		 is_bad;
	bool		 is_raw, is_plain;
};
void	fold_feed(struct fold *, struct slice);
/* The text ends here. */
void	fold_end(struct fold *);

struct match {
	struct fold	 fold;		/* first: what it puts is compared */
	struct slice	 needle;	/* borrowed */
	struct buf	 table;		/* how far to fall back (Knuth, Morris, Pratt); owned */
	size_t		 at;		/* bytes of the needle that match */
	bool		 is_found;
};
struct match	match_make(struct slice needle);
void		match_free(struct match *);
/* Another text begins: what matched so far counts no more. Ends the fold. */
void		match_restart(struct match *);

#endif
