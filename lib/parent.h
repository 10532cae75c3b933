/*
 * The parent of a daemon: opens listeners, starts children, restarts those that die, serves the
 * verbs they send over their channel, never reads from the network. libevent for readiness.
 *
 * SIGTERM/SIGINT: SIGTERM to every child, waits up to stop_ms, then SIGKILL; exits 0.
 * SIGHUP: re-executes itself (/proc/self/exe, same argv, same pid) with its listeners; the channels
 * of the old children close, which is how a child learns to drain: it takes no new work, ends within
 * drain_max and exits 0. If the parent is killed the children get SIGKILL (PR_SET_PDEATHSIG).
 * A child that dies is logged (warn.child.died name= pid= signal= status=) and started again after
 * 100 ms, doubling to 5 s while it keeps dying within 10 s.
 */
#ifndef TS_PARENT_H
#define TS_PARENT_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "slice.h"

struct event_base;
struct parent;
struct child;
struct conf_list;
struct conf_wrong;

/*
 * A child's body: runs in the forked process, never returns (exits). chan is its SEQPACKET channel to
 * the parent; EOF on it means drain. Every descriptor but 0-2, chan and the kept ones is closed,
 * signals are default, no libevent base exists.
 */
typedef void	child_fn(void *arg, int chan);

struct child_spec {
	const char	*name;		/* "spoold/lot"; log_init of the child */
	child_fn	*run;
	void		*arg;		/* the child sees the parent's memory as it was at fork */
	const int	*keep;		/* descriptors the child may keep; copied */
	size_t		 nkeep;
	bool		 once;		/* do not start again when it ends */
	/* In the parent. A message from the child: close what you do not keep of fds. NULL: none expected. */
	void		(*verb)(struct child *, void *arg, struct slice msg, int *fds, size_t nfds);
	/* In the parent, when the child ended, before it is started again. May be NULL. */
	void		(*ended)(struct child *, void *arg);
};

/* Sets up signals and the base. argv is kept for the re-execution. */
struct parent	*parent_make(char **argv, int64_t stop_ms);
struct event_base *parent_base(struct parent *);
/* Extra handling of a signal (SIGUSR1, SIGUSR2, SIGALRM) in the loop. */
void		 parent_on_signal(struct parent *, int signo, void (*fn)(void *arg), void *arg);
/*
 * A listener that survives SIGHUP: returns the inherited descriptor of that name if there is one,
 * else opens. where: "unix:/path" (SEQPACKET where seqpacket, else STREAM) or "ADDR:PORT" /
 * "[ADDR6]:PORT" numeric. Ends the process (111) when it cannot be had. Close-on-exec, non-blocking.
 * uid/gid (or -1) own a unix socket's path; mode is its mode.
 */
int		 parent_listen(struct parent *, const char *where, bool seqpacket, uid_t, gid_t, mode_t);
/*
 * For a daemon's check of its configuration (conf_check_with): true where each address is one for parent_listen, none named
 * twice; else out is filled. Opens nothing.
 */
bool		 parent_check_listen(const char *key, const struct conf_list *, struct conf_wrong *out);
/* As above for one address. */
bool		 parent_check_where(const char *key, const char *where, struct conf_wrong *out);
/* Keeps any descriptor open over SIGHUP under a name; parent_kept_fd gives it back after, or -1. */
void		 parent_keep_fd(struct parent *, const char *name, int fd);
int		 parent_kept_fd(struct parent *, const char *name);
/* Closes it, kept or not asked for yet; none of that name: nothing. */
void		 parent_drop_fd(struct parent *, const char *name);
/* Forks a child; the pointer stays valid over its restarts and until a once child was reaped. */
struct child	*parent_spawn(struct parent *, const struct child_spec *);
/* The channel of a running child (parent's end, non-blocking), -1 while it is down. */
int		 child_chan(const struct child *);
pid_t		 child_pid(const struct child *);
void		*child_arg(const struct child *);
/* SIGTERM to one child (it is restarted unless once). */
void		 child_stop(struct child *);
/* Runs until stopped; returns the exit status. */
int		 parent_run(struct parent *);

/* In a child's loop: true once the parent asked to stop (SIGTERM seen). For blocking code. */
extern volatile sig_atomic_t	child_term;

#endif
