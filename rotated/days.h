/*
 * The days process: knows the current day, hands its descriptors to committers, begins the next one,
 * orders indexes and purges from helpers. One libevent loop; it opens files but reads and removes none.
 */
#ifndef ROTATED_DAYS_H
#define ROTATED_DAYS_H

#include <event2/event.h>

#include "day.h"
#include "orders.h"
#include "settings.h"

#define DAYS_OPEN_MAX	8	/* days a committer may have open: it is that far behind with closing */

/* What the parent gives it. */
struct days_start {
	const struct settings	*settings;
	int			 redundant_fd, control_fd;	/* listeners */
};

struct committer;	/* committer.c */
struct operator;	/* operator.c */

struct days {
	const struct settings	*settings;
	struct event_base	*base;
	int			 chan;		/* to the parent */
	int			 dir;		/* redundant_dir */
	int64_t			(*now_s)(void);	/* wall clock; a test's own */
	struct day		 current;
	struct committer	*committers;	/* owned list */
	struct operator		*operators;	/* owned list */
	struct event		*tick;
	struct event		*doors[2];	/* the listeners */
	/* what the helpers are to do */
	struct day		*todo;		/* owned: days that may lack an index, oldest first */
	size_t			 ntodo, next_todo;
	bool			 is_helped;	/* a helper runs */
	bool			 wants_purge;
};

/* The process. Ends when the parent closes the channel. */
_Noreturn void	days_run(const struct days_start *, int chan);

/* Finds the day to go on with (or begins it). 0 or -1 (logged). Split from days_run for tests. */
int	days_begin(struct days *);
/*
 * Begins another day and hands it to every committer: today's, or where that is the current one, its next part. 0 or -1
 * (logged): the current day stays.
 */
int	days_rotate(struct days *);
/*
 * Hands the current day to committers who lack it. A log whose header is damaged cannot be gone on with: another part
 * of the day is begun, for all.
 */
void	days_give(struct days *);
/* Looks for finished days that lack an index, and has helpers make them. */
void	days_look(struct days *);
/* Gives the next order to the parent, if none is being carried out. */
void	days_order(struct days *);
/* A message of the parent. */
void	days_told(struct days *, struct slice msg);

#endif
