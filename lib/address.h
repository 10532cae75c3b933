/*
 * Mail addresses as they stand in MAIL and RCPT (RFC 5321 4.1.2, RFC 6531), and the user names a
 * spool may have. Pure parsers.
 */
#ifndef TS_ADDRESS_H
#define TS_ADDRESS_H

#include "result.h"
#include "slice.h"

#define ADDRESS_MAX_BYTES	512	/* RFC 5321 4.5.3.1.3 says 256; UTF-8 doubles it */
#define ADDRESS_LOCAL_MAX_BYTES	256	/* RFC 5321 says 64 octets; VERP and SRS senders go far past it */
#define USER_MAX_BYTES		64

struct address {
	char	text[ADDRESS_MAX_BYTES + 1];	/* local@domain as given, without <> and source route; "" for <> */
	size_t	at;				/* offset of the last @; strlen(text) where there is none */
};

/*
 * Path: "<" [A-d-l ":"] Mailbox ">" or "<>" (RFC 5321 4.1.2) at the start of in; *used_out says how much it took.
 * Quoted local parts are accepted and unquoted into text when nothing needs the quotes, else written with as
 * few backslashes as can be. UTF-8 only where utf8 is true. PARSE_OK or PARSE_BAD. <postmaster> without a
 * domain is allowed where is_rcpt, and "<>" is not.
 */
enum parse	address_parse(struct slice in, bool utf8, bool is_rcpt, struct address *out, size_t *used_out);
struct slice	address_local(const struct address *);
/* Empty where there is none. */
struct slice	address_domain(const struct address *);

/*
 * A user's name as the suite uses it: 1 to USER_MAX_BYTES of a-z 0-9 . _ + - = @, beginning with a letter
 * or digit, and no "..". So it can be a directory's name, a MUPDATE component ('.' is written '^' there) and a log value.
 */
bool	user_is_valid(struct slice);
/* Lower-cases ASCII into out (USER_MAX_BYTES + 1, NUL-terminated) and checks; false when it cannot be a user. */
bool	user_fold(struct slice, char *out);

#endif
