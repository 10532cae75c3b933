/*
 * What the network processes of lmtpd and relayd have in common: how they are confined, their channel to the
 * parent, and how they drain.
 */
#ifndef TS_LMTPPROC_H
#define TS_LMTPPROC_H

#include "lmtpnet.h"

struct lmtpproc {
	struct event_base	*base;
	int			 chan;
	struct lmtpnet		*net;
	/* A message of the parent: closes the descriptors it does not keep. */
	void			(*message)(void *arg, struct slice msg, int *fds, size_t nfds);
	void			*arg;
	struct timeval		 drain_max;
	struct event		*parent, *limit;
};

/* Root directory, user, Landlock, seccomp (connect and O_TMPFILE are left). An open directory for temporary files. */
int	lmtpproc_confine(const char *tmp_dir, const struct conf_user *, uint64_t nofile);
/* After that: an event base, SIGTERM and the channel. */
void	lmtpproc_make(struct lmtpproc *, int chan, uint64_t drain_max_s,
	    void (*message)(void *, struct slice, int *, size_t), void *arg);
/* Takes sessions until told to drain (SIGTERM, or the channel's end) and drained, or drain_max is over. */
void	lmtpproc_run(struct lmtpproc *, struct lmtpnet_conf *);
/* Asks the parent; false where that cannot be now. */
bool	lmtpproc_ask(struct lmtpproc *, struct slice msg);
/*
 * In the parent: connects to a Unix socket now or not at all, since a full queue there must not stop the
 * parent. Non-blocking, close-on-exec; -1 with errno.
 */
int	lmtpproc_connect(const char *path, int type);

#endif
