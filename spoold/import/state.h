/*
 * What an import has done, written down so that another run goes on where this one ended, whenever that was: before a
 * batch is handed to the store what it will be, and after it that it was. Lines of text, appended and synced.
 */
#ifndef TS_SPOOLD_IMPORT_STATE_H
#define TS_SPOOLD_IMPORT_STATE_H

#include "import/reader.h"

struct import_batch {
	char		place[READER_PLACE_BYTES];	/* where it began */
	char		after[READER_PLACE_BYTES];	/* and ended */
	uint32_t	uidnext, count;
};

struct import_progress {
	char			place[READER_PLACE_BYTES];	/* go on here; "": from the start */
	bool			is_done;			/* all of the source */
	bool			has_open;			/* announced, and not known whether it was done */
	struct import_batch	open;
};

/* Of one source (its path). False: a line of the file makes no sense (named). A torn last line is one that was not written. */
bool	state_read(int fd, const char *source, struct import_progress *out, unsigned *line_out);
/* 0, or -1 with errno. */
int	state_begin(int fd, const char *source, const struct import_batch *) __attribute__((warn_unused_result));
int	state_done(int fd, const char *source, const char *place) __attribute__((warn_unused_result));
int	state_finished(int fd, const char *source) __attribute__((warn_unused_result));

#endif
