/*
 * The text of a structured header value, byte by byte: quoting, comments and folds undone on the way,
 * nothing copied. Contract of text.c; used inside mime/ only.
 */
#ifndef TS_MIME_TEXT_H
#define TS_MIME_TEXT_H

#include "buf.h"

enum text_mode {
	TEXT_UNFOLD,	/* as it stands, line ends gone */
	TEXT_PHRASE,	/* words, one space between them; quotes undone, comments gone (RFC 5322 3.2.5) */
	TEXT_TIGHT,	/* a local part or domain: as a phrase, without any space outside quotes */
	TEXT_COMMENT,	/* the inside of a comment: quoted pairs and folds undone */
	TEXT_TOKEN,	/* a parameter's value that is not quoted: comments after a space are gone */
};

struct text {
	struct slice	rest;
	enum text_mode	mode;
	bool		in_quote, in_literal;	/* inside "..." or [...] */
	bool		has_byte;		/* something was given */
	bool		is_spaced;		/* white space since */
};

struct text	text_make(enum text_mode, struct slice);
/* The next byte, -1 at the end. Never CR, LF or NUL. */
int		text_next(struct text *);
/* Length of the comment, quoted string or domain literal at the start of in, its end included or up to the end of in. */
size_t		text_skip(struct slice in);

/*
 * As IMAP writes a string (RFC 3501 4.3): quoted, or a literal where it is 8-bit or long. 0, or -1
 * when out is full. text_put_nil writes NIL for an empty text.
 */
#define TEXT_QUOTED_MAX_BYTES	1000	/* longer ones as literals: clients read lines into small buffers */
int		text_put(struct buf *out, struct text);
int		text_put_nil(struct buf *out, struct text);
/* In upper case. */
int		text_put_upper(struct buf *out, struct slice);
/* true when text_next would say -1. */
bool		text_is_empty(struct text);

#endif
