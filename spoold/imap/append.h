/*
 * APPEND (RFC 3501 6.3.11, RFC 3502, RFC 3516 4.4, RFC 4315 3): message literals are taken in while the command is read,
 * before its end is known, so that none lies in memory as a whole.
 */
#ifndef TS_IMAP_APPEND_H
#define TS_IMAP_APPEND_H

#include "imap/imap.h"

enum append_want {
	APPEND_OTHER,	/* no literal of an APPEND's message: one that the command's text holds */
	APPEND_TAKE,	/* its bytes go to append_take, then append_end */
	APPEND_REFUSE,	/* *refusal_out: "NO ..." or "BAD ..." */
};

/*
 * A literal of n bytes (is_binary: literal8) ends what was read of the command, which is im->text up to `before`. May it come, and
 * where does it go?
 */
enum append_want append_literal(struct imap *, size_t before, uint64_t n, bool is_binary, const char **refusal_out);
/* The last of its bytes was taken. NULL, or why the command is refused. */
const char	*append_end(struct imap *);

void	append_run(struct imap *, struct slice args);
/* REPLACE and UID REPLACE (RFC 8508). */
void	replace_run(struct imap *, struct slice args);

#endif
