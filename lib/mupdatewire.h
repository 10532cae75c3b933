/*
 * The grammar of MUPDATE lines (RFC 3656 2 and 5), the same in both directions: a tag, a word, strings.
 * Used by mupdated for commands and by lib/mupdatec.c for responses. Pure: no I/O, no heap.
 */
#ifndef TS_MUPDATEWIRE_H
#define TS_MUPDATEWIRE_H

#include "frame.h"

#define MUPDATE_LINE_MAX_BYTES		(16 * 1024)	/* between literals; RFC 3656 2 says at least 1,024. An ACL of 8 KiB fits */
#define MUPDATE_STRING_MAX_BYTES	(64 * 1024)	/* RFC 3656 2.2 says at least 4,096 */
#define MUPDATE_WHOLE_MAX_BYTES		(128 * 1024)	/* a line with its literals */
#define MUPDATE_TAG_MAX_BYTES		64		/* RFC 3656 2.1 says less than 15 */
#define MUPDATE_WORD_MAX_BYTES		15		/* a command or response: an atom of RFC 3656 2.1 */
#define MUPDATE_ARGS_MAX		31		/* of UPDATE: 30 hosts as Cyrus, and one to see that it was too many */
#define MUPDATE_OUT_LINE_BYTES		1022		/* RFC 3656 2: past that strings go as literals */

/* How far a line was framed; zeroed for the start of each. */
struct mupdate_frame {
	size_t	at;		/* where the next piece begins; after MUPDATE_WHOLE the length of all */
};

enum mupdate_framing {
	MUPDATE_MORE,		/* not all there */
	MUPDATE_GO_AHEAD,	/* not all there, and the other side waits for "+ go ahead" (said once for each literal) */
	MUPDATE_WHOLE,		/* in[0 .. at - 1] is one line with its literals and CRLF */
	MUPDATE_LONG,		/* past a limit where more bytes will come anyway: close */
	MUPDATE_REFUSED,	/* a literal past a limit that waits for "+ go ahead": in[0 .. at - 1] is all there will be */
	MUPDATE_SPOILT,		/* bare CR or LF, NUL, or an impossible literal; in[0 .. at - 1] is to be dropped */
};
/*
 * string_max and whole_max bound what a line may hold (before login less than after). Call it again with more
 * input at the same start. It looks at bytes already framed no second time.
 */
enum mupdate_framing	mupdate_frame(struct mupdate_frame *, struct slice in, size_t string_max, size_t whole_max);

struct mupdate_line {
	struct slice	tag, word;
	struct slice	args[MUPDATE_ARGS_MAX];
	size_t		nargs;
};
enum mupdate_fault {
	MUPDATE_OK,
	MUPDATE_NO_TAG,		/* an empty line: answer with the tag "*" */
	MUPDATE_BAD_TAG,
	MUPDATE_NO_WORD,
	MUPDATE_BAD_ARGS,	/* not strings (atoms are none), or a quoted string with something else than RFC 3656 2.2 */
	MUPDATE_MANY_ARGS,
};
/*
 * Takes one whole line of mupdate_frame apart; the slices point into it (quoted strings are unescaped in
 * place). line->tag is set, and fit to be said back, wherever it is not MUPDATE_NO_TAG or MUPDATE_BAD_TAG.
 */
enum mupdate_fault	mupdate_parse(char *p, size_t n, struct mupdate_line *line);

/*
 * Appends a space and a string: quoted where its bytes allow that and the line, which began at line_start of
 * the buffer, stays short, else {n+}. As buf_add.
 */
int			mupdate_string_add(struct buf *, size_t line_start, struct slice);

#endif
