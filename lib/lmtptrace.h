/*
 * Trace lines (RFC 5321 4.4) of the LMTP daemons. Pure but for the clock.
 */
#ifndef TS_LMTPTRACE_H
#define TS_LMTPTRACE_H

#include "lmtps.h"

/* "Return-Path: <sender>" for final delivery. */
void	lmtptrace_return_path(const struct lmtps *, struct buf *);
/* One "Received:" field for the transaction; daemon names us in its comment. when_ms: wall clock. */
void	lmtptrace_received(const struct lmtps *, const char *daemon, int64_t when_ms, struct buf *);
/* How many Received fields the header at the start of head has; counts what is there where it is cut short. */
size_t	lmtptrace_count(struct slice head);

#endif
