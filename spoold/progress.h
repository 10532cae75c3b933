/*
 * A progress bar for programs that an operator runs: one line on stderr, drawn anew a few times a
 * second, and nothing at all where stderr is not a terminal.
 */
#ifndef TS_SPOOLD_PROGRESS_H
#define TS_SPOOLD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char	*what;		/* borrowed: what is counted, such as "users" */
	uint64_t	 total;
	int64_t		 began_ms, drawn_ms;
	bool		 is_on;
};

/* quiet: nothing is drawn on a terminal either. */
void	progress_begin(struct progress *, const char *what, uint64_t total, bool quiet);
void	progress_total(struct progress *, uint64_t total);
/* note: what is at hand, a few words; it may come from outside. */
void	progress_step(struct progress *, uint64_t done, const char *note);
/* Takes the line away for a moment, for something else to be printed. */
void	progress_hide(struct progress *);
/* Takes the line away again. */
void	progress_end(struct progress *);

#endif
