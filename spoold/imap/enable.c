/*
 * ENABLE. Called from the command table. What is enabled is a few bits that last as long as the session and
 * are never taken back; names it does not know are nobody's error. RFC 5161 3, RFC 9051 6.3.1.
 */
#include "imap/enable.h"

#include "imap/condstore.h"
#include "imap/parse.h"

/* Sorted as in CAPABILITY; with what each brings along. */
static const struct { const char *name; uint32_t bit, brings; } names[] = {
	{"CONDSTORE", ENABLED_CONDSTORE, ENABLED_CONDSTORE},
	{"IMAP4rev2", ENABLED_REV2, ENABLED_REV2},
	{"QRESYNC", ENABLED_QRESYNC, ENABLED_QRESYNC | ENABLED_CONDSTORE},
	{"UTF8=ACCEPT", ENABLED_UTF8, ENABLED_UTF8},
};
#define NNAMES	(sizeof(names) / sizeof(names[0]))

/* enable = "ENABLE" 1*(SP capability) ; RFC 5161 4 */
static enum parse
parse_enable(struct slice *cur, uint32_t *bits_out)
{
	struct slice	s = *cur;
	uint32_t	bits = 0;

	do {
		struct slice	atom;

		if (parse_sp(&s) != PARSE_OK || parse_atom(&s, &atom) != PARSE_OK)
			return PARSE_BAD;
		for (size_t i = 0; i < NNAMES; i++)
			if (slice_is_nocase(atom, slice_of(names[i].name)))
				bits |= names[i].brings;
	} while (s.n > 0);
	*bits_out = bits;
	*cur = s;
	return PARSE_OK;
}

void
enable_run(struct imap *im, struct slice args)
{
	uint32_t	bits, was = im->enabled;

	if (parse_enable(&args, &bits) != PARSE_OK) {
		imap_bad(im, "ENABLE capability ...: not understood");
		return;
	}
	/* Only what this command enabled is named (RFC 5161 3.1). */
	session_puts(im->s, "* ENABLED");
	for (size_t i = 0; i < NNAMES; i++)
		if ((bits & ~was & names[i].bit) != 0)
			session_putf(im->s, " %s", names[i].name);
	session_puts(im->s, "\r\n");
	if ((bits & ENABLED_CONDSTORE) != 0)
		condstore_enable(im);
	im->enabled |= bits;
	imap_ok(im, "ENABLE completed");
}
