/*
 * APPEND's arguments, one element after the other, since messages stand between them (RFC 3501 6.3.11, RFC 3502, RFC 4469, RFC 6855 4), and REPLACE's (RFC 8508). Pure; see parse.h.
 */
#ifndef TS_IMAP_APPEND_PARSE_H
#define TS_IMAP_APPEND_PARSE_H

#include "imap/parse.h"

/* What may stand next in the command. */
enum append_place {
	APPEND_AT_HEAD, APPEND_AT_MESSAGE, APPEND_AT_FIRST_PART, APPEND_AT_PART,
	APPEND_AT_UTF8_END, APPEND_AT_UTF8_PART_END,	/* behind the literal8 of UTF8 ( ... ) */
};

struct append_element {
	enum {
		ELEMENT_HEAD,		/* mailbox; of REPLACE: number and is_uid */
		ELEMENT_LITERAL,	/* a message's flags and date; its literal follows */
		ELEMENT_CATENATE,	/* the same; its parts follow */
		ELEMENT_TEXT,		/* a part whose literal follows */
		ELEMENT_URL,		/* a part: url */
		ELEMENT_CLOSE,		/* the message's parts end */
		ELEMENT_UTF8_CLOSE,	/* the literal8 of UTF8 was the whole */
	} kind;
	bool			 is_replace, is_uid;
	bool			 is_utf8;	/* of LITERAL and TEXT: the literal is one of UTF8 (RFC 6855 4) */
	uint32_t		 number;	/* of the message to be replaced, or its UID; SEQ_STAR */
	struct slice		 mailbox, url;
	struct flag_list	 flags;
	bool			 has_date;
	int64_t			 date_ms;
};

/*
 * The next element; PARSE_OK moves the place too. Where bytes of a message must follow, the cursor is at its end: their
 * literal's mark is not part of it.
 */
enum parse	parse_append_element(struct slice *cur, struct arena *, enum append_place *place, struct append_element *out);

#endif
