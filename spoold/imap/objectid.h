/*
 * Object identifiers (RFC 8474): what a client sees of the 128-bit ids of mailboxes and messages.
 */
#ifndef TS_IMAP_OBJECTID_H
#define TS_IMAP_OBJECTID_H

#include "imap/parse.h"
#include "record.h"

#define OBJECTID_MAX_BYTES	255	/* RFC 8474 7 */
/* What kind of object: its id's first letter, so that no two kinds have an id in common and none begins with a digit. */
#define OBJECTID_MAILBOX	'F'
#define OBJECTID_EMAIL		'M'
#define OBJECTID_TEXT_BYTES	(2 + 2 * RECORD_ID_BYTES)	/* its letter, its digits and a NUL */

/* "M" and 32 digits, into text, which it returns. */
const char	*objectid_text(char kind, const unsigned char *id, char text[OBJECTID_TEXT_BYTES]);
/* Is it the id of that object? Case counts. */
bool		 objectid_is(struct slice text, char kind, const unsigned char *id);
enum parse	 parse_objectid(struct slice *cur, struct slice *out);

#endif
