/* HTML to the text a reader sees, character by character. Contract of html.c; used inside mime/ only. */
#ifndef TS_MIME_HTML_H
#define TS_MIME_HTML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTML_NAME_MAX_BYTES	16	/* of a tag or an entity; longer ones are none that matter here */

struct html {
	enum {
		HTML_TEXT, HTML_OPEN, HTML_NAME, HTML_TAG, HTML_QUOTE, HTML_BANG, HTML_COMMENT, HTML_ENTITY,
	} state;
	char	 name[HTML_NAME_MAX_BYTES];	/* of the tag (in lower case) or entity so far */
	size_t	 nname;
	bool	 is_long;		/* it was longer */
	bool	 is_close;		/* "</" */
	int32_t	 quote;			/* that ends the attribute's value */
	unsigned ndashes;		/* before this character, in or before a comment; 2: no fewer */
	char	 hidden[HTML_NAME_MAX_BYTES];	/* the element whose text is not shown until its end tag; "" none */
	size_t	 nhidden;
};

/*
 * The next character of the source; a struct html begins zeroed. Gives up to HTML_OUT_MAX characters of text (a tag that
 * parts words gives a space) and returns how many.
 */
#define HTML_OUT_MAX	(HTML_NAME_MAX_BYTES + 2)
size_t	html_next(struct html *, int32_t c, int32_t out[HTML_OUT_MAX]);
/* The source ends: what it still held. */
size_t	html_end(struct html *, int32_t out[HTML_OUT_MAX]);

#endif
