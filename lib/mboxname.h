/*
 * Mailbox names. Inside (map, log records, index): MUPDATE form, UTF-8 NFC, '.' between components,
 * a dot in a component written '^': "user.alice", "user.alice.Sent^2024.x". Clients see '/':
 * "INBOX", "Sent.2024/x", in modified UTF-7 (RFC 3501 5.1.3) or UTF-8. The inside name of INBOX is
 * "user.alice"; every other mailbox of alice is "user.alice." and its components. Pure functions.
 */
#ifndef TS_MBOXNAME_H
#define TS_MBOXNAME_H

#include "result.h"
#include "slice.h"

#define MBOXNAME_MAX_BYTES	1024	/* inside form, UTF-8 */
#define MBOXNAME_DEPTH_MAX	32	/* components */
#define MBOXNAME_PART_MAX_BYTES	255	/* a component */

struct mboxname {
	char	s[MBOXNAME_MAX_BYTES + 1];	/* inside form, NUL-terminated */
	size_t	n;
};

/*
 * A client's name for a mailbox of user's own tree -> inside. mutf7: the input is modified UTF-7
 * (and must be the shortest, canonical form), else UTF-8. INBOX in any case; "INBOX/x" is the mailbox
 * user.alice.INBOX.x, its first component folded to "INBOX".
 * out is in NFC. PARSE_BAD: empty component, leading or trailing '/', control bytes, bad UTF-8 or UTF-7, '%' or '*',
 * '^' , component "." or "..", too long or deep. One trailing '/' is dropped where trailing is true (CREATE).
 */
enum parse	mboxname_from_client(struct slice user, struct slice name, bool mutf7, bool trailing,
		    struct mboxname *out);
/*
 * Inside -> what the client of user sees, in UTF-8, or modified UTF-7 where mutf7. out: 4 * MBOXNAME_MAX_BYTES. Length, 0 if
 * it is not user's, or not valid.
 */
size_t		mboxname_to_client(struct slice user, struct slice inside, bool mutf7, char *out);
/* "user.alice" for alice: writes into out, '.' in the user's name as '^'. */
void		mboxname_inbox(struct slice user, struct mboxname *out);
/* The user (dots restored) of an inside name "user.X[...]" into out (USER_MAX_BYTES + 1); false if it is not one. */
bool		mboxname_user(struct slice inside, char *out);
/*
 * True for what mboxname_from_client could have made, for any user or shared root: in NFC, within the limits, no '/', no
 * wildcard, no component that is "." or ".."; below a user, INBOX only in that spelling and with something below it.
 */
bool		mboxname_is_valid(struct slice inside);
/*
 * LIST's match (RFC 3501 6.3.8): '*' anything, '%' anything but the separator. No backtracking: at most one step for
 * each byte of the pattern and each 64 bytes of the name.
 * INBOX is compared without case by the caller. False for a name past 4 * MBOXNAME_MAX_BYTES.
 */
bool		mboxname_match(struct slice pattern, struct slice name, char separator);
/*
 * Modified UTF-7 <-> UTF-8; length written, or -1 on bad input or when out (cap bytes) is too small. Decoding accepts the one
 * canonical form only: what decodes encodes to the same bytes. Neither normalises nor looks for control characters.
 */
long		mutf7_decode(struct slice, char *out, size_t cap);
long		mutf7_encode(struct slice, char *out, size_t cap);
/* UTF-8 in Unicode Normalization Form C, as all names are kept; length written, or -1 where it is not UTF-8 or too long. */
long		mboxname_nfc(struct slice, char *out, size_t cap);

#endif
