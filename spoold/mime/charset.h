/* Character sets of mail to UTF-8. Contract of charset.c; used inside mime/ only. */
#ifndef TS_MIME_CHARSET_H
#define TS_MIME_CHARSET_H

#include "mime/match.h"

#define CHARSET_NAME_MAX_BYTES	40	/* a name of the table, its NUL included */
#define CHARSET_CARRY_MAX_BYTES	16	/* of a character cut by a piece's border */

struct charset;

/* NULL: not one of those known. */
const struct charset	*charset_find(struct slice name);

/* Bytes of a charset in pieces -> folded text. One conversion at a time of each charset in the process. */
struct convert {
	const struct charset	*charset;	/* NULL: unknown, taken as UTF-8, so that ASCII still matches */
	char			 carry[CHARSET_CARRY_MAX_BYTES];
	size_t			 ncarry;
	bool			 is_bad;	/* something was not of this charset */
	bool			 has_ascii;	/* a piece of ASCII is itself in UTF-8, whatever came before */
};
struct convert	convert_make(const struct charset *);
void		convert_feed(struct convert *, struct slice, struct fold *);
void		convert_end(struct convert *, struct fold *);

#endif
