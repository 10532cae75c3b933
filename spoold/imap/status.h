/*
 * STATUS (RFC 3501 6.3.10, RFC 9051 6.3.11, RFC 8438, RFC 7889 5, RFC 7162 3.1.7, RFC 8474 4.3) and its items, which LIST can return as well
 * (RFC 5819).
 */
#ifndef TS_IMAP_STATUS_H
#define TS_IMAP_STATUS_H

#include "imap/imap.h"
#include "imap/parse.h"

enum status_item {
	STATUS_MESSAGES = 1, STATUS_RECENT = 2, STATUS_UIDNEXT = 4, STATUS_UIDVALIDITY = 8, STATUS_UNSEEN = 16,
	STATUS_SIZE = 32, STATUS_APPENDLIMIT = 64, STATUS_HIGHESTMODSEQ = 128, STATUS_MAILBOXID = 256,
	STATUS_DELETED = 512,
};

/* "(" status-att *(SP status-att) ")" */
enum parse	parse_status_items(struct slice *cur, unsigned *items_out);
/* "* STATUS "name" (...)"; name in UTF-8. STORE_OK, or why nothing was said. */
enum store_result status_tell(struct imap *, struct slice name, const struct mbox_info *, unsigned items);

void		status_run(struct imap *, struct slice args);

#endif
