/*
 * Which user of this host an address names. Pure.
 */
#ifndef LMTPD_RCPTUSER_H
#define LMTPD_RCPTUSER_H

#include "conf.h"
#include "lmtpcmd.h"

struct rcptuser_conf {
	const struct conf_list	*domains;
	char			 delimiter;	/* 0: none */
	bool			 detail_mailbox;
	const char		*postmaster;
};

struct rcptuser {
	char		user[USER_MAX_BYTES + 1];	/* folded, valid */
	struct slice	mailbox;	/* within the address, at most 200 bytes; empty: INBOX */
};

/* DONE; PERM with the reply to give. XUSER, where given, decides before the address. */
enum result	rcptuser_find(const struct rcptuser_conf *, const struct lmtp_rcpt *, struct rcptuser *out,
		    struct reply *reply_out);

#endif
