/*
 * LMTP sessions on sockets: accepts, reads, writes, times out, drains. Many sessions in one process,
 * libevent for readiness; the sessions themselves are in lmtps.c. Called by the net processes of
 * lmtpd and relayd.
 */
#ifndef TS_LMTPNET_H
#define TS_LMTPNET_H

#include <event2/event.h>
#include <sys/types.h>

#include "conf.h"
#include "lmtps.h"

#define LMTPNET_UIDS_MAX	16

struct lmtpnet_conf {
	const int		*listeners;	/* non-blocking; stay open until draining */
	size_t			 nlisteners;
	size_t			 connections_max;
	int64_t			 command_timeout_ms;	/* nothing came, or nothing could be sent, for so long */
	const struct conf_list	*trusted;	/* numeric addresses, or "unix" */
	uid_t			 uids[LMTPNET_UIDS_MAX];	/* may connect to a Unix socket */
	size_t			 nuids;
	struct lmtps_conf	 session;
	struct lmtps_ops	 ops;		/* ready is filled in by lmtpnet_make */
	void			*arg;		/* the hooks find it by lmtpnet_arg */
	void			(*drained)(void *drained_arg);	/* the last session of a draining process is gone */
	void			*drained_arg;
};

struct lmtpnet;
struct parent;

/* In the parent: listens at each ("ADDR:PORT", "unix:/PATH"; a missing folder is made). An array of where->n descriptors. */
int		*lmtpnet_listen(struct parent *, const struct conf_list *where);
/* For a check of the configuration: true where each is "unix" or a numeric address as getnameinfo writes it; else out is filled. */
bool		 lmtpnet_check_trusted(const char *key, const struct conf_list *, struct conf_wrong *out);
/* Starts to accept. conf is kept by pointer. */
struct lmtpnet	*lmtpnet_make(struct event_base *, struct lmtpnet_conf *);
/* Closes the listeners; each session gets 421 at its next quiet moment. Then drained. */
void		 lmtpnet_drain(struct lmtpnet *);
/* Takes a connected, non-blocking socket as if it had been accepted. */
void		 lmtpnet_add(struct lmtpnet *, int fd, const char *peer, bool trusted);
size_t		 lmtpnet_count(const struct lmtpnet *);
/* A session's daemon-wide argument (conf->arg). */
void		*lmtpnet_arg(const struct lmtps *);

#endif
