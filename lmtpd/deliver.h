/*
 * What lmtpd does at RCPT and after the message: the hooks of the LMTP session (lib/lmtps.h).
 */
#ifndef LMTPD_DELIVER_H
#define LMTPD_DELIVER_H

#include "lmtps.h"
#include "rcptuser.h"
#include "spool.h"

struct deliver {
	struct rcptuser_conf	 users;
	struct spool		*spool;
};

/* The hooks; the session's lmtpnet_arg is a struct deliver. */
extern const struct lmtps_ops	deliver_ops;

#endif
