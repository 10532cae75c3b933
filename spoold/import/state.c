/*
 * The state file. A line is a verb, the numbers, the places and, last, the source's path, separated by tabs; a path
 * with a tab or a newline in it is refused before (prog_spoolimport.c).
 */
#include "import/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES	(4096 + 2 * READER_PLACE_BYTES + 64)

static int
append(int fd, const char *line, int n)
{
	errno = ENOSPC;
	return n > 0 && n < LINE_BYTES && write(fd, line, (size_t)n) == n && fdatasync(fd) == 0 ? 0 : -1;
}

int
state_begin(int fd, const char *source, const struct import_batch *b)
{
	char line[LINE_BYTES];

	return append(fd, line, snprintf(line, sizeof(line), "begin\t%" PRIu32 "\t%" PRIu32 "\t%s\t%s\t%s\n", b->uidnext, b->count,
	    b->place, b->after, source));
}

int
state_done(int fd, const char *source, const char *place)
{
	char line[LINE_BYTES];

	return append(fd, line, snprintf(line, sizeof(line), "done\t0\t0\t%s\t\t%s\n", place, source));
}

int
state_finished(int fd, const char *source)
{
	char line[LINE_BYTES];

	return append(fd, line, snprintf(line, sizeof(line), "end\t0\t0\t\t\t%s\n", source));
}

/* Six fields; false: it is no such line. */
static bool
split(char *line, char *f[6])
{
	for (int i = 0; i < 6; i++) {
		f[i] = line;
		line = strchr(line, i < 5 ? '\t' : '\n');
		if (line == NULL)
			return false;
		*line++ = '\0';
	}
	return *line == '\0';
}

static bool
take(struct import_progress *p, char *f[6])
{
	if (strlen(f[3]) >= READER_PLACE_BYTES || strlen(f[4]) >= READER_PLACE_BYTES)
		return false;
	p->has_open = strcmp(f[0], "begin") == 0;
	if (p->has_open) {
		p->open = (struct import_batch){.uidnext = (uint32_t)strtoul(f[1], NULL, 10), .count = (uint32_t)strtoul(f[2], NULL, 10)};
		strcpy(p->open.place, f[3]);
		strcpy(p->open.after, f[4]);
		return p->open.count > 0;
	}
	if (strcmp(f[0], "done") == 0) {
		strcpy(p->place, f[3]);
		return true;
	}
	p->is_done = strcmp(f[0], "end") == 0;
	return p->is_done;
}

bool
state_read(int fd, const char *source, struct import_progress *out, unsigned *line_out)
{
	int copy = dup(fd);
	FILE *f = copy < 0 ? NULL : fdopen(copy, "r");
	char line[LINE_BYTES], *fields[6];
	bool ok = f != NULL;

	*out = (struct import_progress){.is_done = false};
	*line_out = 0;
	if (f == NULL)
		return false;
	rewind(f);
	while (ok && fgets(line, sizeof(line), f) != NULL) {
		bool is_torn = line[strlen(line) - 1] != '\n';

		++*line_out;
		if (is_torn) {
			/* The end of a run that was killed: what comes next must not go on with it. */
			ok = feof(f) || fgetc(f) == EOF;
			if (ok)
				ok = write(fd, "\n", 1) == 1;
			break;
		}
		if (line[0] == '\n')
			continue;
		if (!split(line, fields)) {
			/* A torn line that was ended by the run after it. */
			continue;
		}
		if (strcmp(fields[5], source) == 0)
			ok = take(out, fields);
	}
	fclose(f);
	return ok;
}
