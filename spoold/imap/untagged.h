/*
 * What a session is told without asking: EXPUNGE, EXISTS, RECENT, FLAGS, FETCH (FLAGS), in that order
 * (RFC 3501 5.2, 7.3, 7.4), and the writing of flags.
 */
#ifndef TS_IMAP_UNTAGGED_H
#define TS_IMAP_UNTAGGED_H

#include "imap/imap.h"

/*
 * Tells what changed in the selected mailbox since the view's numbers; nothing when none is selected.
 * EXPUNGE only where may_expunge. False when the mailbox is gone: BYE was said.
 */
bool	untagged_sync(struct imap *, bool may_expunge);
/* "* FLAGS (...)" with the user's keywords. */
void	untagged_flags(struct imap *);
/* Names of keywords by bit into im->keywords, once a command or when bit `least` is not among them. */
void	untagged_keywords(struct imap *, size_t least);
/* "FLAGS (\Seen $Junk \Recent)". 0, or -1 when the buffer is full. */
int	untagged_flags_add(struct imap *, struct buf *, const struct msg_info *);
/* "* seq FETCH (UID uid FLAGS (...) MODSEQ (n))"; the UID where the command asks by UID, both with CONDSTORE (RFC 7162 3.2.4). */
void	untagged_fetch_flags(struct imap *, const struct msg_info *);
/* "* seq FETCH (UID uid MODSEQ (n))": the client knows the flags. */
void	untagged_fetch_modseq(struct imap *, const struct msg_info *);
/* A message has a keyword that no FLAGS named yet: tells FLAGS again, before its FETCH response. */
void	untagged_keywords_tell(struct imap *, const struct msg_info *);

#endif
