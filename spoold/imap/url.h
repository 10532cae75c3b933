/*
 * IMAP URLs of a message or a part of one, in the form that CATENATE takes: an absolute path on this server (RFC 5092 7.1, 11). Pure; see parse.h.
 */
#ifndef TS_IMAP_URL_H
#define TS_IMAP_URL_H

#include "imap/fetch_parse.h"

/* A mailbox name of MBOXNAME_MAX_BYTES, each byte as %XX, and a section. */
#define IMAP_URL_MAX_BYTES	4096

struct imap_url {
	struct slice	mailbox;	/* decoded: UTF-8 */
	uint32_t	uidvalidity;	/* 0: not named */
	uint32_t	uid;
	struct section	section;
	bool		is_partial;
	uint32_t	at, n;		/* n 0: to the end */
};

/* All of the text must be one such URL. */
enum parse	parse_url(struct slice text, struct arena *, struct imap_url *out);

#endif
