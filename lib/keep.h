/*
 * What a parent keeps over its own re-execution: listeners and other descriptors by name, and the
 * pids of children that still drain. Handed on in the environment variable TS_KEPT, a line each:
 * "p PID", "f NUMBER NAME", the first line being "s SELF" so that no other process takes them for its own.
 * Used by parent.c alone.
 */
#ifndef TS_KEEP_H
#define TS_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct keep;

/* Takes over what TS_KEPT names, and removes it from the environment. */
struct keep	*keep_make(void);
/* As parent_listen. */
int		 keep_listen(struct keep *, const char *where, bool seqpacket, uid_t, gid_t, mode_t);
/* What is wrong with an address as such (opens nothing); NULL: nothing. */
const char	*keep_where_fault(const char *where);
/* Will be handed on under that name (replaces an earlier one of it). */
void		 keep_fd(struct keep *, const char *name, int fd);
/* The inherited descriptor of that name, which is then kept again; or -1. */
int		 keep_claim(struct keep *, const char *name);
/* Closes one that keep_fd or keep_claim has; none of that name: nothing. */
void		 keep_drop(struct keep *, const char *name);
/* Closes what was inherited and not asked for: a listener that the new configuration no longer names. */
void		 keep_close_unclaimed(struct keep *);

/* Children of an earlier image. */
void		 keep_add_old(struct keep *, pid_t);
void		 keep_drop_old(struct keep *, pid_t);
void		 keep_forget_old(struct keep *);
size_t		 keep_nold(const struct keep *);
void		 keep_kill_old(const struct keep *, int signo);

/* Executes /proc/self/exe with argv, everything kept open. Returns only when that failed, nothing changed. */
void		 keep_exec(struct keep *, char **argv);

#endif
