/*
 * STORE, UID STORE, EXPUNGE and UID EXPUNGE (RFC 3501 6.4.3, 6.4.6; RFC 4315 2.1).
 */
#ifndef TS_IMAP_STORE_CMD_H
#define TS_IMAP_STORE_CMD_H

#include "imap/imap.h"
#include "imap/parse.h"

struct store_args {
	struct seq_set		set;
	enum flag_op		op;
	bool			is_silent;
	bool			is_conditional;
	uint64_t		unchangedsince;	/* UINT64_MAX where it is not */
	struct flag_list	flags;
};

/* SP sequence-set [store-modifiers] SP ["+" / "-"] "FLAGS" [".SILENT"] SP (flag-list / (flag *(SP flag))), to the end. */
enum parse	parse_store_args(struct slice *cur, struct arena *, struct store_args *out);

void	store_run(struct imap *, struct slice args);
void	expunge_run(struct imap *, struct slice args);

#endif
