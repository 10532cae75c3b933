/*
 * For tests of reads that fail, of a user's log and of what stands beside it: the calls, replaced by definitions that the linker
 * prefers to libc's; a spool to be looked at; and what may have become of its log's bytes.
 */
#ifndef TS_STORE_READFAIL_H
#define TS_STORE_READFAIL_H

#include <sys/syscall.h>

#include "store/checkpoint.h"
#include "store_fixture.h"

#define SMALL_MESSAGES	40
#define SMALL_BYTES	1800
#define LARGE_MESSAGES	20
#define LARGE_BYTES	100000	/* more than a scan reads at once */
#define CALLS_MAX	400	/* of one operation; more is a loop without end */

static int	fail_at;	/* this many reads from now; 0: none */
static bool	fail_on;	/* and every one after */
static bool	failed;

/* Of a user's log, or what stands beside it: not of an index. */
static __attribute__((unused)) bool
is_of_log(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if ((n = readlink(link, path, sizeof(path) - 1)) <= 0)
		return false;
	path[n] = '\0';
	return strstr(path, "/active/") != NULL;
}

ssize_t
pread(int fd, void *p, size_t n, off_t at)
{
	if (fail_at > 0 && is_of_log(fd) && (fail_at == 1 || --fail_at == 0)) {
		fail_at = fail_on ? 1 : 0;
		failed = true;
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pread64, fd, p, n, at);
}

ssize_t	pread64(int, void *, size_t, off_t);

ssize_t
pread64(int fd, void *p, size_t n, off_t at)
{
	return pread(fd, p, n, at);
}

static __attribute__((unused)) void
begin(int at, bool on)
{
	fail_at = at;
	fail_on = on;
	failed = false;
}

static __attribute__((unused)) bool
end(void)
{
	fail_at = 0;
	return failed;
}

/* ---- the log's bytes ---- */

static __attribute__((unused)) int
segments(const struct fixture *f)
{
	int n = 0;
	char name[SEGMENT_NAME_BYTES];

	do
		segment_name((uint32_t)++n, name);
	while (access(fx_path(f, f->active, name), F_OK) == 0);
	return n - 1;
}

#define PIECES_MAX	64

/* A segment's bytes. */
struct piece {
	char	*p;
	size_t	 n;
};

static __attribute__((unused)) size_t
read_pieces(const struct fixture *f, struct piece out[PIECES_MAX])
{
	size_t n = (size_t)segments(f);

	assert_true(n <= PIECES_MAX);
	for (size_t i = 0; i < n; i++) {
		char name[SEGMENT_NAME_BYTES];
		struct stat st;
		int fd;

		segment_name((uint32_t)i + 1, name);
		fd = open(fx_path(f, f->active, name), O_RDONLY | O_CLOEXEC);
		assert_int_equal(fstat(fd, &st), 0);
		out[i] = (struct piece){malloc((size_t)st.st_size + 1), (size_t)st.st_size};
		assert_int_equal(read(fd, out[i].p, out[i].n), out[i].n);
		close(fd);
	}
	return n;
}

static __attribute__((unused)) void
free_pieces(struct piece *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(p[i].p);
}

/* Of this test's own folder. */
static __attribute__((unused)) void
copy_dir(const char *from, const char *to)
{
	char command[4 * PATH_MAX];

	snprintf(command, sizeof(command), "rm -rf %s && cp -a %s %s", to, from, to);
	assert_int_equal(system(command), 0);
}

/* ---- what is looked at ---- */

struct ready {
	struct fixture	 f;
	unsigned char	 id[16];
	char		 spool[PATH_MAX], keep[PATH_MAX];	/* alice's directory, and a copy of it */
	struct buf	 dump;		/* of an index made in peace */
	uint32_t	 exists;
	size_t		 bytes;		/* of a message */
	bool		 has_holes;
};

static __attribute__((unused)) void
flag(struct store *s, const unsigned char *id, uint32_t lo, uint32_t hi)
{
	struct flag_change seen = {.op = FLAGS_ADD, .flags = MSG_SEEN};
	struct uid_range r;
	struct uid_set set = fx_one(&r, lo, hi);
	uint64_t modseq;

	assert_int_equal(store_flags(s, id, &set, &seen, &modseq), STORE_OK);
}

/* Some segments, with flags, expunged and purged messages in them; a checkpoint inside, where wanted. */
static __attribute__((unused)) void
make(struct ready *r, bool with_checkpoint, bool is_large)
{
	int messages = is_large ? LARGE_MESSAGES : SMALL_MESSAGES;
	struct uid_range range;
	struct uid_set set = fx_one(&range, 5, 7);
	struct store *s;
	uint64_t modseq, n;

	*r = (struct ready){.exists = (uint32_t)messages - 3, .bytes = is_large ? LARGE_BYTES : SMALL_BYTES};
	/* Some thousand logs are made, and each synced. */
	fx_make_in(&r->f, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	r->f.host.commit = fx_no_sync;
	r->f.host.segment_max_bytes = (is_large ? 6 : 13) * r->bytes;
	s = fx_alice(&r->f, r->id);
	for (int i = 0; i < messages; i++) {
		assert_int_equal(fx_deliver(&r->f, SLICE(""), r->bytes, NULL), STORE_OK);
		if (i == messages / 2) {
			flag(s, r->id, 3, 9);
			assert_int_equal(store_expunge(s, r->id, &set, false, &modseq), STORE_OK);
			if (with_checkpoint)
				assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
			else
				assert_int_equal(store_purge(s, now_ms() + 3600000, &n), STORE_OK);
		}
	}
	store_close(s);
	assert_true(segments(&r->f) >= 3);
	strcpy(r->spool, fx_path(&r->f, r->f.active, ""));
	snprintf(r->keep, sizeof(r->keep), "%s/keep", r->f.dir);
}

static __attribute__((unused)) void
drop(struct ready *r)
{
	buf_free(&r->dump);
	fx_free(&r->f);
}

/* Everything is there and can be read. True, or says what is wrong. */
static __attribute__((unused)) void
check_whole(struct ready *r, struct store *s, const char *name, int at)
{
	static struct msg_info m[STORE_BATCH_MSGS];
	struct buf now = fx_dump(s);
	struct view v;
	size_t n;

	if (r->dump.n > 0 && !slice_is(buf_slice(&now), buf_slice(&r->dump)))
		fail_msg("%s, read %d: the index differs from one made in peace", name, at);
	buf_free(&now);
	assert_int_equal(view_open(s, r->id, false, &v), STORE_OK);
	assert_int_equal(view_range(s, &v, 1, UINT32_MAX, m, STORE_BATCH_MSGS, &n), STORE_OK);
	if (n != r->exists)
		fail_msg("%s, read %d: %zu messages of %u", name, at, n, r->exists);
	for (size_t i = 0; i < n; i++)
		/* Behind a fence bodies are not numbered as UIDs are. */
		if (m[i].uid <= r->f.serial)
			fx_check_body(s, &m[i], m[i].uid);
	if ((s->ix.meta.has_holes > 0) != r->has_holes)
		fail_msg("%s, read %d: %s", name, at, r->has_holes ? "the loss is forgotten" : "counts as having lost something");
}

/* ---- reading ---- */

/* What the operation said: STORE_OK, or what kept it from being done. */
typedef enum store_result	operation(struct ready *, struct store *);

static __attribute__((unused)) enum store_result
do_open(struct ready *r, struct store *s)
{
	enum lookup found;

	(void)s;
	if ((found = store_open(&r->f.host, ALICE, &s)) == FOUND)
		store_close(s);
	assert_int_not_equal(found, ABSENT);
	return found == FOUND ? STORE_OK : STORE_TEMP;
}

static __attribute__((unused)) enum store_result
do_fetch(struct ready *r, struct store *s)
{
	static struct msg_info m[STORE_BATCH_MSGS];
	enum store_result worst = STORE_OK, got;
	struct view v;
	uint64_t at;
	size_t n;
	int fd;

	if ((got = view_open(s, r->id, false, &v)) != STORE_OK ||
	    (got = view_range(s, &v, 1, UINT32_MAX, m, STORE_BATCH_MSGS, &n)) != STORE_OK)
		return got;
	for (size_t i = 0; i < n; i++) {
		if ((got = store_body_open(s, &m[i], &fd, &at)) == STORE_OK)
			close(fd);
		else
			worst = got;
	}
	return worst;
}

/* ---- loops ---- */

/* Every byte is still there and, where nothing is to be written, no more. */
static __attribute__((unused)) void
check_bytes(struct ready *r, const struct piece *before, size_t nbefore, bool writes, const char *name, int at)
{
	struct piece now[PIECES_MAX];
	size_t n = read_pieces(&r->f, now);
	bool is_same = n == nbefore || (writes && n > nbefore);

	for (size_t i = 0; i < nbefore && is_same; i++)
		is_same = (now[i].n == before[i].n || (writes && now[i].n > before[i].n)) && memcmp(now[i].p, before[i].p, before[i].n) == 0;
	if (!is_same)
		fail_msg("%s, read %d: the log was changed", name, at);
	free_pieces(now, n);
}

static __attribute__((unused)) void
check_said(enum store_result got, bool came, operation *op, const char *name, int at)
{
	if (!came && got != STORE_OK)
		fail_msg("%s: %d without a failure", name, got);
	/* A body counts as damaged for as long as it cannot be read; a log does not. */
	if (got != STORE_OK && got != STORE_TEMP && (got != STORE_DAMAGED || op != do_fetch))
		fail_msg("%s, read %d: said %d", name, at, got);
	assert_true(at < CALLS_MAX);
}

struct row {
	const char	*name;
	operation	*op;
	bool		 is_open;	/* the index is, before reads fail */
	bool		 writes;	/* behind what is there; also where only a new segment is begun, which is no failure */
	void		(*prepare)(struct ready *);
};

static __attribute__((unused)) void
one_more(struct ready *r)
{
	assert_int_equal(fx_deliver(&r->f, SLICE(""), r->bytes, NULL), STORE_OK);
	r->exists++;
}

/* In a segment of its own. */
static __attribute__((unused)) void
one_more_segment(struct ready *r)
{
	uint64_t usual = r->f.host.segment_max_bytes;

	r->f.host.segment_max_bytes = 1;
	one_more(r);
	r->f.host.segment_max_bytes = usual;
}

#endif
