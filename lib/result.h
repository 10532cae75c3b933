/*
 * The outcome of mail work (a recipient, a transaction), and the answer of a look-up. Doubt is TEMP;
 * nothing turns TEMP into PERM, or an unreadable table into an empty one.
 */
#ifndef TS_RESULT_H
#define TS_RESULT_H

enum result { DONE, TEMP, PERM };
enum lookup { FOUND, ABSENT, LOOKUP_TEMP };
enum parse { PARSE_OK, PARSE_MORE, PARSE_BAD };

#define REPLY_TEXT_MAX_BYTES	256

/* What is said to the peer: RFC 5321 4.2 code and RFC 3463 enhanced code with text. */
struct reply {
	enum result	result;
	int		code;				/* 250, 451, 550 ... */
	char		text[REPLY_TEXT_MAX_BYTES];	/* "2.1.5 ok", no CR, LF or control bytes */
};

#endif
