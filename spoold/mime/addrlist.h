/* Address lists as ENVELOPE tells them. Contract of addrlist.c; used inside mime/ only. */
#ifndef TS_MIME_ADDRLIST_H
#define TS_MIME_ADDRLIST_H

#include "buf.h"

/* What stands where an address lacks a half: NIL there would mean a group (RFC 3501 7.4.2). */
#define ADDRLIST_NO_MAILBOX	"MISSING_MAILBOX"
#define ADDRLIST_NO_DOMAIN	"MISSING_DOMAIN"

/*
 * Appends "(...)" for each address of the value, a group as its start, members and end; stops after
 * *left of them, counting down. 0, or -1 when out is full.
 */
int	addrlist_put(struct slice value, size_t *left, struct buf *out);

#endif
