/*
 * Names on the wire. Called by every command that reads or tells a mailbox's name. Inside all names are UTF-8 in NFC and
 * nothing here changes that; who has not enabled UTF-8 never gets it. RFC 3501 5.1.3; RFC 6855 3; RFC 9051 5.1, 6.3.9.7.
 */
#include "imap/name.h"

#include "imap/quote.h"
#include "imap/utf8.h"

/* Until UTF-8 is enabled names in ASCII are modified UTF-7; UTF-8 is taken also before (RFC 6855 3: MUST). */
static bool
is_mutf7(const struct imap *im, struct slice client)
{
	return !imap_has_utf8(im) && utf8_is_ascii(client);
}

enum parse
name_read(struct imap *im, struct slice client, bool trailing, struct mboxname *out)
{
	return mboxname_from_client(im->s->who.user, client, is_mutf7(im, client), trailing, out);
}

enum parse
name_read_as(struct imap *im, struct slice client, bool utf8, struct mboxname *out)
{
	return mboxname_from_client(im->s->who.user, client, !utf8 && utf8_is_ascii(client), false, out);
}

struct slice
name_utf8(struct imap *im, struct slice inside, char *out)
{
	return (struct slice){out, mboxname_to_client(im->s->who.user, inside, false, out)};
}

int
name_quote(struct imap *im, struct buf *b, struct slice utf8)
{
	char	mutf7[NAME_MAX_BYTES];
	long	n;

	if (imap_has_utf8(im))
		return quote_utf8(b, utf8);
	n = mutf7_encode(utf8, mutf7, sizeof(mutf7));
	return n < 0 ? -1 : quote_string(b, (struct slice){mutf7, (size_t)n});
}

long
name_pattern(struct imap *im, struct slice client, char *out, size_t cap)
{
	char	utf8[NAME_MAX_BYTES];
	long	n;

	if (!is_mutf7(im, client))
		return mboxname_nfc(client, out, cap);
	n = mutf7_decode(client, utf8, sizeof(utf8));
	return n < 0 ? -1 : mboxname_nfc((struct slice){utf8, (size_t)n}, out, cap);
}

bool
name_is_other(struct imap *im, struct slice client, struct slice inside)
{
	char		text[NAME_MAX_BYTES];
	struct slice	name = name_utf8(im, inside, text);

	/* CREATE's '/' at the end is no part of the name (RFC 9051 6.3.4). */
	if (client.n > 1 && client.p[client.n - 1] == '/')
		client.n--;
	if (slice_is(name, SLICE("INBOX")))
		return false;
	return !slice_is(name, client);
}
