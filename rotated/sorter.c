/*
 * A merge sort over an unnamed file. What fits into memory never touches the disk.
 */
#include "sorter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

#define SORTER_RUN_ENTRIES	64	/* held of each run while merging */

/* A sorted stretch of the file, or the entries still in memory. */
struct run {
	uint64_t	 at, end;	/* bytes of the file not yet read */
	struct entry	*held;		/* owned; the last run's is the sorter's array */
	size_t		 next, nheld;
};

struct sorter {
	int		 dir;		/* borrowed */
	int		 fd;		/* -1 until memory did not suffice */
	struct entry	*entries;	/* owned */
	size_t		 n, most;
	uint64_t	 written;
	struct run	*runs;		/* owned */
	size_t		 nruns;
};

static void *
sorter_alloc(void *old, size_t n, size_t each)
{
	void *p = reallocarray(old, n, each);

	if (p == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "sorter"));
	return p;
}

struct sorter *
sorter_make(int dir, size_t memory)
{
	struct sorter *s = sorter_alloc(NULL, 1, sizeof(*s));

	*s = (struct sorter){.dir = dir, .fd = -1, .most = memory / sizeof(struct entry) + 1};
	s->entries = sorter_alloc(NULL, s->most, sizeof(*s->entries));
	return s;
}

void
sorter_free(struct sorter *s)
{
	for (size_t i = 0; i < s->nruns; i++) {
		if (s->runs[i].held != s->entries)
			free(s->runs[i].held);
	}
	free(s->runs);
	free(s->entries);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

static int
entry_order(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int users = strcmp(a->user, b->user);

	return users != 0 ? users : (a->offset > b->offset) - (a->offset < b->offset);
}

static void
run_add(struct sorter *s, struct run run)
{
	s->runs = sorter_alloc(s->runs, s->nruns + 1, sizeof(*s->runs));
	s->runs[s->nruns++] = run;
}

/* Writes what memory holds as a run. */
static int
sorter_spill(struct sorter *s)
{
	const char *p = (const char *)s->entries;
	size_t left = s->n * sizeof(*s->entries);
	uint64_t from = s->written;

	if (s->fd < 0 && (s->fd = openat(s->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) < 0)
		return -1;
	qsort(s->entries, s->n, sizeof(*s->entries), entry_order);
	while (left > 0) {
		ssize_t n = pwrite(s->fd, p, left, (off_t)s->written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		left -= (size_t)n;
		s->written += (uint64_t)n;
	}
	run_add(s, (struct run){.at = from, .end = s->written});
	s->n = 0;
	return 0;
}

int
sorter_add(struct sorter *s, const struct entry *e)
{
	if (s->n == s->most && sorter_spill(s) < 0)
		return -1;
	s->entries[s->n++] = *e;
	return 0;
}

static int
run_fill(struct sorter *s, struct run *r)
{
	size_t want = SORTER_RUN_ENTRIES * sizeof(*r->held), got = 0;

	if (r->held == NULL)
		r->held = sorter_alloc(NULL, SORTER_RUN_ENTRIES, sizeof(*r->held));
	if (want > r->end - r->at)
		want = (size_t)(r->end - r->at);
	while (got < want) {
		ssize_t n = pread(s->fd, (char *)r->held + got, want - got, (off_t)(r->at + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			return -1;
		}
		got += (size_t)n;
	}
	r->at += want;
	r->next = 0;
	r->nheld = want / sizeof(*r->held);
	return 0;
}

int
sorter_finish(struct sorter *s)
{
	qsort(s->entries, s->n, sizeof(*s->entries), entry_order);
	for (size_t i = 0; i < s->nruns; i++) {
		if (run_fill(s, &s->runs[i]) < 0)
			return -1;
	}
	run_add(s, (struct run){.held = s->entries, .nheld = s->n});
	return 0;
}

int
sorter_next(struct sorter *s, struct entry *out)
{
	struct run *first = NULL;

	for (size_t i = 0; i < s->nruns; i++) {
		struct run *r = &s->runs[i];

		if (r->next == r->nheld && r->at < r->end && run_fill(s, r) < 0)
			return -1;
		if (r->next < r->nheld && (first == NULL || entry_order(&r->held[r->next], &first->held[first->next]) < 0))
			first = r;
	}
	if (first == NULL)
		return 0;
	*out = first->held[first->next++];
	return 1;
}
