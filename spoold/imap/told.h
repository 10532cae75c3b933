/*
 * What a command's own answers told of flags: a change that view_sync reports, and that says nothing
 * else, is not told again at the command's end (RFC 3501 6.4.6: .SILENT).
 */
#ifndef TS_IMAP_TOLD_H
#define TS_IMAP_TOLD_H

#include "imap/imap.h"

/* The client knows these flags of the message, and the modseq where it is not 0. Messages come in ascending order of UID. */
void	told_add(struct imap *, const struct msg_info *);
bool	told_has(const struct imap *, const struct msg_info *);
/* The same, and the modseq. */
bool	told_has_modseq(const struct imap *, const struct msg_info *);
/* Takes what was told away, to be compared with; told_has of it. */
struct told	*told_take(struct imap *, size_t *n_out);
bool	told_are(const struct told *, size_t n, const struct msg_info *);

#endif
