/*
 * Mailboxes, messages and keywords as they stand in the index. Loading is for everybody inside an
 * index transaction; the changing functions are apply.c's alone, so that the index is by construction
 * what a replay of the log gives.
 */
#ifndef TS_STORE_STATE_H
#define TS_STORE_STATE_H

#include "store/index.h"

struct mbox {
	unsigned char	id[RECORD_ID_BYTES];
	struct ix_mbox	v;
	struct mboxname	name;	/* inside form */
};

/* False when there is none (or the index fails: rc). A deleted one is loaded too: v.is_deleted. */
bool	mbox_load(struct index *, const unsigned char *id, struct mbox *out);
/* A live one. */
bool	mbox_load_name(struct index *, struct slice name, struct mbox *out);
bool	mbox_load_num(struct index *, uint32_t num, struct mbox *out);
/* Live, or expunged and not purged. */
bool	msg_load(struct index *, uint32_t num, uint32_t uid, struct ix_msg *out);
/* The keyword's bit, or -1. Case does not matter (RFC 3501 2.3.2). */
int	keyword_find(struct index *, struct slice name);
/* Its name, first spelling; false past the last. */
bool	keyword_name(struct index *, uint32_t bit, struct slice *out);

/* ---- apply.c only ---- */

void	mbox_save(struct index *, const struct mbox *);
/* A new mailbox; out is filled. */
void	mbox_make(struct index *, const unsigned char *id, struct slice name, uint32_t uidvalidity, uint32_t use,
	    uint64_t modseq, struct mbox *out);
void	mbox_rename(struct index *, struct mbox *, struct slice name);
/* Keeps the mailbox's counters in m; the caller saves it. What changes or expunges messages: blocks.h. */
void	msg_add(struct index *, struct mbox *, uint32_t uid, const struct ix_msg *);
/* The keyword's bit, made where it is new; -1 when there are STORE_KEYWORDS_MAX. */
int	keyword_make(struct index *, struct slice name);

#endif
