/*
 * Reading a log through: segments in a row, every record whole, numbers that only go up. Called by verify
 * while others append: the end of the last segment may be a record that is being written.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ck/ck.h"
#include "log.h"
#include "store/checkpoint.h"
#include "store/holes.h"
#include "store/scan.h"

#define MOVED_TRIES	3	/* a segment compacted under us is read again */

struct walk {
	struct ck	*ck;
	struct spool	*spool;
	uint64_t	 modseq;	/* of the last record */
	uint32_t	 next_uid, epoch;
	uint32_t	 next;		/* the segment that the last record names */
	uint64_t	 records;
	struct buf	 holes;		/* struct loss; to 0: given up */
};

/* A hole: told at the end, unless a record behind it gives it up. */
static void
hole_add(struct walk *w, uint32_t segment, uint64_t from, uint64_t to)
{
	struct loss l = {.segment = segment, .from = from, .to = to};

	if (buf_add(&w->holes, &l, sizeof(l)) != 0)
		ck_found(w->ck, w->spool->user, segment, from, "more holes than can be counted");
}

static void
holes_given_up(struct walk *w, const struct record *r)
{
	struct loss *holes = (struct loss *)(void *)w->holes.p;
	struct loss given;

	for (size_t i = 0; loss_unpack(r->extra, i, &given); i++)
		for (size_t k = 0; k < w->holes.n / sizeof(*holes); k++)
			if (holes[k].segment == given.segment && holes[k].from == given.from && holes[k].to == given.to)
				holes[k].to = 0;
}

static void
holes_tell(struct walk *w)
{
	const struct loss *l = (const struct loss *)(const void *)w->holes.p;
	char what[64];

	for (size_t i = 0; i < w->holes.n / sizeof(*l); i++) {
		if (l[i].to == UINT64_MAX)
			ck_found(w->ck, w->spool->user, l[i].segment, 0, "segment is missing, or its head and end cannot be read");
		else if (l[i].to > 0) {
			snprintf(what, sizeof(what), "%llu bytes are no record", (unsigned long long)(l[i].to - l[i].from));
			ck_found(w->ck, w->spool->user, l[i].segment, l[i].from, what);
		}
	}
	buf_free(&w->holes);
}

static void
check_numbers(struct walk *w, const struct scan *s, const struct record *r)
{
	const char *user = w->spool->user;

	if (r->modseq < w->modseq || r->next_modseq <= r->modseq)
		ck_found(w->ck, user, s->head.number, r->start, "modseq goes back");
	if (r->next_uid < w->next_uid)
		ck_found(w->ck, user, s->head.number, r->start, "next UID goes back");
	if (r->epoch < w->epoch)
		ck_found(w->ck, user, s->head.number, r->start, "epoch goes back");
	if (r->type == RECORD_ACCEPT)
		holes_given_up(w, r);
	w->next = r->type == RECORD_NEXT ? r->uid : 0;
	/* Behind a lost segment numbers are raised; put back it has those between. */
	if (w->next > s->head.number + 1)
		return;
	w->modseq = r->next_modseq;
	w->next_uid = r->next_uid;
	w->epoch = r->epoch;
	w->records++;
}

/*
 * What stands between two records, or after the last of a sealed segment, is damage, or the torn end that a crash
 * left behind a fence: nothing tells them apart, and neither is served. Where it was accepted compaction leaves it out.
 */
static void
check_gap(struct walk *w, uint32_t segment, uint64_t from, uint64_t to)
{
	if (from != to)
		hole_add(w, segment, from, to);
}

/* One segment; STORE_EXISTS: it was compacted meanwhile. */
static enum store_result
walk_segment(struct walk *w, uint32_t number, bool is_last)
{
	struct walk before = *w;
	size_t nholes = w->holes.n;
	struct segment_head now;
	char name[SEGMENT_NAME_BYTES];
	struct record r;
	struct scan scan;
	enum scan_got got = scan_begin(&scan, w->spool->dir_fd, w->spool->user, number, 0, 0, true);
	uint64_t expected = scan.at, size = scan.size, begin = w->ck->done_bytes;
	int fd;

	scan.is_single = true;
	while (got == SCAN_RECORD && (got = scan_next(&scan, &r)) == SCAN_RECORD) {
		check_gap(w, number, expected, r.start);
		check_numbers(w, &scan, &r);
		if (scan.body_is_bad)
			ck_found(w->ck, w->spool->user, number, r.start, "body's checksum does not hold");
		expected = scan.at;
		w->ck->done_bytes = begin + expected;
		progress_step(&w->ck->progress, w->ck->done_bytes, w->spool->user);
	}
	w->ck->done_bytes = begin + size;
	if (!is_last)
		check_gap(w, number, expected, size);
	scan_end(&scan);
	if (got == SCAN_ERROR && errno != ENOENT)
		return STORE_TEMP;
	segment_name(number, name);
	if (is_last || (fd = openat(w->spool->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return STORE_OK;
	if (segment_read(fd, slice_of(w->spool->user), number, &now) == 0 && now.salt != scan.head.salt) {
		before.holes = w->holes;
		before.holes.n = nholes;
		*w = before;
		w->ck->done_bytes = begin;
		close(fd);
		return STORE_EXISTS;
	}
	close(fd);
	return STORE_OK;
}

static void
check_file(struct walk *w, const char *name)
{
	uint32_t n = 0;
	char again[SEGMENT_NAME_BYTES];

	if (sscanf(name, "log.%u", &n) == 1) {
		segment_name(n, again);
		if (strcmp(again, name) == 0)
			return;
	}
	if (name[0] == '.' || strcmp(name, "checkpoint") == 0)
		return;
	/* Of who works on it just now, or of who died at it: removed by the next. */
	if (strcmp(name, "checkpoint.new") == 0 || strcmp(name, "compact.new") == 0 || strcmp(name, "new") == 0)
		return;
	ck_found(w->ck, w->spool->user, 0, 0, "a file that is none of a spool's");
}

static bool
check_files(struct walk *w)
{
	int fd = openat(w->spool->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (d == NULL)
		return false;
	while ((e = readdir(d)) != NULL)
		check_file(w, e->d_name);
	closedir(d);
	return true;
}

bool
ck_walk(struct ck *ck, struct spool *s, uint32_t *epoch_out)
{
	struct walk w = {.ck = ck, .spool = s};
	int64_t highest = segment_highest(s->dir_fd);
	enum store_result r;

	if (highest <= 0 || !check_files(&w))
		return false;
	w.holes = buf_make(1024 * 1024);
	for (uint32_t n = 1; n <= (uint32_t)highest; n++) {
		char name[SEGMENT_NAME_BYTES];
		struct stat st;

		segment_name(n, name);
		if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) {
			hole_add(&w, n, 0, UINT64_MAX);
			continue;
		}
		r = STORE_EXISTS;
		for (int i = 0; i < MOVED_TRIES && r == STORE_EXISTS; i++)
			r = walk_segment(&w, n, n == (uint32_t)highest);
		if (r == STORE_TEMP) {
			if (errno != EBADMSG) {
				ck_found(ck, s->user, n, 0, strerror(errno));
				buf_free(&w.holes);
				return false;
			}
			hole_add(&w, n, 0, UINT64_MAX);
		}
	}
	if (w.next > (uint32_t)highest && segment_is_prepared(s->dir_fd, slice_of(s->user), w.next) == ABSENT &&
	    segment_highest(s->dir_fd) == highest)
		ck_found(ck, s->user, w.next, 0, "segment is missing");
	holes_tell(&w);
	*epoch_out = w.epoch;
	return true;
}
