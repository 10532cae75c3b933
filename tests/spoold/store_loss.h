/*
 * What the tests of lost and damaged segments share: spools of several segments, files moved away and put back, bytes changed,
 * and what can still be read. Static functions only; each test program has its own.
 */
#ifndef TS_STORE_LOSS_H
#define TS_STORE_LOSS_H

#include "store/scan.h"
#include "store_fixture.h"

#define LOST	"log.000002"

/* Live messages; how many of them can be read. */
static __attribute__((unused)) uint32_t
readable(struct store *s, const unsigned char *id, uint32_t *live_out, uint32_t *last_uid_out)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	uint32_t good = 0, last = 0;
	struct view v;
	size_t n;

	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_range(s, &v, 1, UINT32_MAX, msgs, STORE_BATCH_MSGS, &n), STORE_OK);
	for (size_t i = 0; i < n; i++) {
		uint64_t at;
		int fd;
		enum store_result r = store_body_open(s, &msgs[i], &fd, &at);

		assert_true(r == STORE_OK || r == STORE_DAMAGED);
		assert_true(msgs[i].uid > last);
		last = msgs[i].uid;
		if (r != STORE_OK)
			continue;
		good++;
		close(fd);
	}
	*live_out = (uint32_t)n;
	*last_uid_out = last;
	return good;
}

/* How many messages a client that knows of everything up to a modseq is told of. */
static __attribute__((unused)) uint32_t
changed_since(struct store *s, const unsigned char *id, uint64_t since)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	struct view v;
	size_t n;

	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	assert_int_equal(view_changed(s, &v, since, 1, UINT32_MAX, msgs, STORE_BATCH_MSGS, &n), STORE_OK);
	return (uint32_t)n;
}

/* A file of alice's log is moved out of it, to a name in the fixture's directory, or back. */
static __attribute__((unused)) void
move_file(struct fixture *f, const char *name, const char *to_name, bool back)
{
	char from[PATH_MAX], to[PATH_MAX];

	snprintf(from, sizeof(from), "%s", fx_path(f, f->active, name));
	snprintf(to, sizeof(to), "%s/%s", f->dir, to_name);
	assert_int_equal(back ? rename(to, from) : rename(from, to), 0);
}

/* The same, and the copy stays where it is. */
static __attribute__((unused)) void
copy_file(struct fixture *f, const char *name, const char *to_name, bool back)
{
	char in[PATH_MAX], out[PATH_MAX], command[2 * PATH_MAX + 8];

	snprintf(in, sizeof(in), "%s", fx_path(f, f->active, name));
	snprintf(out, sizeof(out), "%s/%s", f->dir, to_name);
	snprintf(command, sizeof(command), "cp %s %s", back ? out : in, back ? in : out);
	assert_int_equal(system(command), 0);
}

/* The segment that was placed last loses its name again. */
static __attribute__((unused)) void
unname(struct fixture *f, const char *name)
{
	char from[PATH_MAX];

	snprintf(from, sizeof(from), "%s", fx_path(f, f->active, name));
	assert_int_equal(rename(from, fx_path(f, f->active, "new")), 0);
}

enum way { GONE, DAMAGED, COPIED };

static __attribute__((unused)) void
lose(struct fixture *f, enum way way)
{
	static const char garbage[8192];
	char command[2 * PATH_MAX + 16], first[PATH_MAX], lost[PATH_MAX];
	int fd;

	move_file(f, LOST, "kept", false);
	snprintf(lost, sizeof(lost), "%s", fx_path(f, f->active, LOST));
	if (way == COPIED) {
		snprintf(first, sizeof(first), "%s", fx_path(f, f->active, "log.000001"));
		snprintf(command, sizeof(command), "cp %s %s", first, lost);
		assert_int_equal(system(command), 0);
	}
	if (way != DAMAGED)
		return;
	fd = open(lost, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
	close(fd);
}

static __attribute__((unused)) void
put_back(struct fixture *f)
{
	move_file(f, LOST, "kept", true);
}

/* Sets a byte of a file of alice's log; what it was. */
static __attribute__((unused)) char
set_byte(struct fixture *f, const char *name, uint64_t at, char byte)
{
	int fd = open(fx_path(f, f->active, name), O_RDWR | O_CLOEXEC);
	char was;

	assert_int_equal(pread(fd, &was, 1, (off_t)at), 1);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
	return was;
}

/* Where the record of a message begins in the first segment. */
static __attribute__((unused)) uint64_t
message_at(struct store *s, uint32_t uid)
{
	struct record r = {0};
	struct scan scan;
	bool found = false;

	assert_int_equal(scan_begin(&scan, s->spool->dir_fd, s->spool->user, 1, 0, 0, false), SCAN_RECORD);
	while (!found && scan_next(&scan, &r) == SCAN_RECORD)
		found = r.type == RECORD_MESSAGE && r.uid == uid;
	assert_true(found && scan.head.number == 1);
	scan_end(&scan);
	return r.start;
}

/* Delivers until segment n is the one appended to. */
static __attribute__((unused)) void
deliver_to_segment(struct fixture *f, struct store *s, uint32_t n)
{
	while (s->spool->head.number < n)
		assert_int_equal(fx_deliver(f, SLICE(""), 2000, NULL), STORE_OK);
}

/* Delivers until segment n, the last, is full: the next appender begins another. */
static __attribute__((unused)) void
deliver_full(struct fixture *f, struct store *s, uint32_t n)
{
	while (s->spool->at < f->host.segment_max_bytes || s->spool->head.number != n)
		assert_int_equal(fx_deliver(f, SLICE(""), 2000, NULL), STORE_OK);
}

/* A spool of so many segments; the last is the one appended to. */
static __attribute__((unused)) struct store *
segments(struct fixture *f, unsigned char *id, uint32_t n)
{
	struct store *s;

	fx_make(f);
	f->host.segment_max_bytes = 16 * 1024;
	s = fx_alice(f, id);
	while (s->spool->head.number < n || f->serial % 4 != 0)
		assert_int_equal(fx_deliver(f, SLICE(""), 2000, NULL), STORE_OK);
	return s;
}

/* Closed, as when the process ends: the next to come opens the log by its names. */
static __attribute__((unused)) void
close_all(struct store *s)
{
	store_close(s);
	store_drop_cached();
}

/* Opened with an index made from the log alone. */
static __attribute__((unused)) struct store *
open_anew(struct fixture *f)
{
	return fx_reopen(f, fx_open(f), true);
}

/* Expunges and purges: the record of each is waste. */
static __attribute__((unused)) void
purge(struct store *s, const unsigned char *id, uint32_t lo, uint32_t hi)
{
	struct uid_range range;
	struct uid_set set = fx_one(&range, lo, hi);
	uint64_t modseq, n;

	assert_int_equal(store_expunge(s, id, &set, false, &modseq), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + 3600000, &n), STORE_OK);
}

#endif
