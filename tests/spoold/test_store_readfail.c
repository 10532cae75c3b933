/*
 * Reads of the log that fail, the first, the second and so on of each operation, once or from then on. An error is no end of the
 * log, no damage, and no loss: nothing is cut, passed over or written because of it. Who asks is told to come
 * again, the log stays byte for byte what it was, and the next call finds all of it. The calls are replaced by
 * definitions here, which the linker prefers to libc's.
 */
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
static bool
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

static void
begin(int at, bool on)
{
	fail_at = at;
	fail_on = on;
	failed = false;
}

static bool
end(void)
{
	fail_at = 0;
	return failed;
}

/* ---- the log's bytes ---- */

static int
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

static size_t
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

static void
free_pieces(struct piece *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(p[i].p);
}

/* Of this test's own folder. */
static void
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

static void
flag(struct store *s, const unsigned char *id, uint32_t lo, uint32_t hi)
{
	struct flag_change seen = {.op = FLAGS_ADD, .flags = MSG_SEEN};
	struct uid_range r;
	struct uid_set set = fx_one(&r, lo, hi);
	uint64_t modseq;

	assert_int_equal(store_flags(s, id, &set, &seen, &modseq), STORE_OK);
}

/* Some segments, with flags, expunged and purged messages in them; a checkpoint inside, where wanted. */
static void
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

static void
drop(struct ready *r)
{
	buf_free(&r->dump);
	fx_free(&r->f);
}

/* Everything is there and can be read. True, or says what is wrong. */
static void
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
	if (s->ix.meta.has_holes != r->has_holes)
		fail_msg("%s, read %d: %s", name, at, r->has_holes ? "the loss is forgotten" : "counts as having lost something");
}

/* ---- reading ---- */

/* What the operation said: STORE_OK, or what kept it from being done. */
typedef enum store_result	operation(struct ready *, struct store *);

static enum store_result
do_open(struct ready *r, struct store *s)
{
	enum lookup found;

	(void)s;
	if ((found = store_open(&r->f.host, ALICE, &s)) == FOUND)
		store_close(s);
	assert_int_not_equal(found, ABSENT);
	return found == FOUND ? STORE_OK : STORE_TEMP;
}

/* With an index that lacks what was delivered since. */
static enum store_result
do_select(struct ready *r, struct store *s)
{
	struct arena a = arena_make(1 << 16);
	enum store_result got;
	struct mbox_info m;
	struct view v;
	uint32_t n;

	got = store_mbox_by_name(s, INBOX, &a, &m);
	if (got == STORE_OK)
		got = view_open(s, r->id, false, &v);
	if (got == STORE_OK && (got = view_count(s, &v, &n)) == STORE_OK && n != r->exists)
		fail_msg("SELECT says %u messages of %u", n, r->exists);
	arena_free(&a);
	return got;
}

static enum store_result
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
static void
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

static void
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

/* 0: there is none. */
static uint64_t
index_inode(const struct ready *r)
{
	struct stat st;

	return stat(fx_path(&r->f, r->f.index, "data.mdb"), &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* Where an operation is not refused it does the same whatever failed on the way; and what is only read changes no byte. */
static void
reading(const struct row *row, struct ready *r)
{
	int total = 0;

	for (int i = 0; i < 2; i++) {
		bool came = true;

		for (int at = 1; came; at++, total++) {
			enum store_result got;
			struct store *s = NULL;
			struct piece before[PIECES_MAX];
			uint64_t inode;
			size_t n;

			if (row->is_open)
				s = fx_open(&r->f);
			if (row->prepare != NULL)
				row->prepare(r);
			inode = index_inode(r);
			if (!row->is_open)
				store_drop_cached();
			n = read_pieces(&r->f, before);
			begin(at, i == 1);
			got = row->op(r, s);
			came = end();
			check_said(got, came, row->op, row->name, at);
			check_bytes(r, before, n, row->writes, row->name, at);
			free_pieces(before, n);
			if (s != NULL)
				store_close(s);
			/* The same process goes on, with what it has open. */
			s = fx_open(&r->f);
			if (row->op(r, s) != STORE_OK)
				fail_msg("%s, read %d: not the next time either", row->name, at);
			check_whole(r, s, row->name, at);
			/* Nor is an index put aside because what it is compared with could not be read. */
			if (inode != 0 && s->ix.meta.inode != inode)
				fail_msg("%s, read %d: the index was made anew", row->name, at);
			store_close(s);
			store_drop_cached();
		}
	}
	print_message("# %s: %d reads\n", row->name, total - 2);
}

static void
without_index(struct ready *r)
{
	fx_remove_index(&r->f);
}

static void
one_more(struct ready *r)
{
	assert_int_equal(fx_deliver(&r->f, SLICE(""), r->bytes, NULL), STORE_OK);
	r->exists++;
}

/* In a segment of its own. */
static void
one_more_segment(struct ready *r)
{
	uint64_t usual = r->f.host.segment_max_bytes;

	r->f.host.segment_max_bytes = 1;
	one_more(r);
	r->f.host.segment_max_bytes = usual;
}

static void
one_more_and_away(struct ready *r)
{
	one_more(r);
	store_drop_cached();	/* only the log: a store that is open stays so */
}

static enum store_result
do_deliver(struct ready *r, struct store *s)
{
	enum store_result got = fx_deliver(&r->f, SLICE(""), r->bytes, NULL);

	(void)s;
	if (got == STORE_OK)
		r->exists++;
	else
		r->f.serial--;	/* bodies are numbered as their UIDs are */
	return got;
}

static enum store_result
do_flag(struct ready *r, struct store *s)
{
	struct flag_change c = {.op = FLAGS_ADD, .flags = MSG_ANSWERED};
	struct uid_range range;
	struct uid_set set = fx_one(&range, 1, UINT32_MAX);
	uint64_t modseq;

	return store_flags(s, r->id, &set, &c, &modseq);
}

static void
test_reading(void **state)
{
	static const struct row rows[] = {
		{"open", do_open, false, false, NULL},
		{"open, index from the checkpoint", do_open, false, false, without_index},
		{"FETCH", do_fetch, true, false, NULL},
	};
	struct row from_log = {"open, index from the log", do_open, false, false, without_index};
	struct ready r;
	struct store *s;

	(void)state;
	make(&r, true, false);
	s = fx_reopen(&r.f, fx_open(&r.f), false);
	r.dump = fx_dump(s);
	check_whole(&r, s, "at first", 0);
	store_close(s);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		reading(&rows[i], &r);
	unlink(fx_path(&r.f, r.f.active, "checkpoint"));
	reading(&from_log, &r);
	drop(&r);
}

/* With an index that is behind the log, and those that change it. */
static void
test_behind(void **state)
{
	static const struct row rows[] = {
		{"SELECT", do_select, true, false, one_more},
		{"SELECT, in a process that was idle", do_select, true, false, one_more_and_away},
		{"open, the log went on in another segment", do_open, false, false, one_more_segment},
		{"delivery", do_deliver, true, true, NULL},
		{"delivery, first of a process", do_deliver, false, true, NULL},
		{"STORE", do_flag, true, true, one_more},
	};
	struct ready r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make(&r, false, false);
		reading(&rows[i], &r);
		fx_check_replay(&r.f, false);
		drop(&r);
	}
}

/* ---- logs that have something to be repaired ---- */

/* Of the segment: one byte of the n-th message's header is another. */
static void
damage(const struct ready *r, uint32_t segment, int n)
{
	char name[SEGMENT_NAME_BYTES], *at;
	static char all[2 << 20];
	ssize_t got;
	int fd;

	segment_name(segment, name);
	fd = open(fx_path(&r->f, r->f.active, name), O_RDWR | O_CLOEXEC);
	got = read(fd, all, sizeof(all));
	assert_true(got > 0);
	at = all;
	for (int i = 0; i <= n; i++) {
		at = memmem(at + 1, (size_t)(all + got - at - 1), "TSR1 M ", 7);
		assert_non_null(at);
	}
	assert_int_equal(pwrite(fd, "!", 1, at - all + 30), 1);
	close(fd);
}

/* Half a message at the log's end, as a process leaves that dies in its write. */
static void
tear(struct ready *r)
{
	char name[SEGMENT_NAME_BYTES];
	struct stat st;
	int fd;

	assert_int_equal(fx_deliver(&r->f, SLICE(""), r->bytes, NULL), STORE_OK);
	segment_name((uint32_t)segments(&r->f), name);
	fd = open(fx_path(&r->f, r->f.active, name), O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size - 900), 0);
	close(fd);
}

static void
prepare_torn(struct ready *r)
{
	tear(r);
}

/* Whole records between damage and the torn end: they must not go with it. */
static void
prepare_damaged_and_torn(struct ready *r)
{
	one_more(r);
	one_more(r);
	one_more(r);
	tear(r);
	damage(r, (uint32_t)segments(&r->f), 0);
	r->exists--;
}

static void
prepare_damaged(struct ready *r)
{
	damage(r, 2, 3);
	r->exists--;
}

/* A damaged record at the end of a sealed segment. */
static void
prepare_damaged_end(struct ready *r)
{
	char name[SEGMENT_NAME_BYTES];
	struct stat st;
	int fd;

	segment_name(2, name);
	fd = open(fx_path(&r->f, r->f.active, name), O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	/* The trailer before the line that names the next segment. */
	assert_int_equal(pwrite(fd, "!", 1, st.st_size - RECORD_HEADER_BYTES - 2 * RECORD_TRAILER_BYTES + 20), 1);
	close(fd);
	r->exists--;
}

static void
prepare_epoch(struct ready *r)
{
	store_drop_cached();
	assert_int_equal(epoch_begin(r->f.active, "default", true, &r->f.host.epoch), 0);
}

static void
prepare_epoch_damaged(struct ready *r)
{
	prepare_damaged(r);
	prepare_epoch(r);
}

static void
prepare_epoch_torn(struct ready *r)
{
	tear(r);
	prepare_epoch(r);
}

/* The head of a segment is damaged: its salt comes from its end. */
static void
prepare_head(struct ready *r)
{
	char name[SEGMENT_NAME_BYTES];
	int fd;

	segment_name(2, name);
	fd = open(fx_path(&r->f, r->f.active, name), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "!", 1, 60), 1);
	close(fd);
}

/* A process died between naming the next segment and giving it its name. */
static void
prepare_named(struct ready *r)
{
	char from[PATH_MAX], name[SEGMENT_NAME_BYTES];
	int before = segments(&r->f);
	struct store *s = fx_open(&r->f);

	while (segments(&r->f) == before) {
		one_more(r);
		assert_int_equal(spool_lock(s->spool), STORE_OK);
		spool_unlock(s->spool);
	}
	store_close(s);
	segment_name((uint32_t)before + 1, name);
	strcpy(from, fx_path(&r->f, r->f.active, name));
	assert_int_equal(rename(from, fx_path(&r->f, r->f.active, "new")), 0);
}

/* The last segment is gone; the checkpoint knows how far its numbers went. */
static void
prepare_lost(struct ready *r)
{
	int before = segments(&r->f);
	char name[SEGMENT_NAME_BYTES];
	struct store *s;

	while (segments(&r->f) == before)
		one_more(r);
	r->exists--;
	s = fx_open(&r->f);
	assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
	store_close(s);
	segment_name((uint32_t)before + 1, name);
	assert_int_equal(unlink(fx_path(&r->f, r->f.active, name)), 0);
	/* With the checkpoint alone it would still be known that there was a message. */
	r->f.host.no_checkpoint = true;
}

/* What may be there after a repair that was begun or not: each segment as it was, or as long as after one in peace. */
static void
check_pieces(const struct fixture *f, struct piece *was, size_t nwas, struct piece *want, size_t nwant, const char *name, int at)
{
	struct piece now[PIECES_MAX];
	size_t n = read_pieces(f, now);

	if (n != nwas && n != nwant)
		fail_msg("%s, read %d: %zu segments", name, at, n);
	for (size_t i = 0; i < n; i++) {
		size_t same = now[i].n;

		if ((i >= nwas || now[i].n != was[i].n) && (i >= nwant || now[i].n != want[i].n))
			fail_msg("%s, read %d: segment %zu has %zu bytes", name, at, i + 1, now[i].n);
		if (i < nwas && same > was[i].n)
			same = was[i].n;
		if (i < nwant && same > want[i].n)
			same = want[i].n;
		if (i < nwas && memcmp(now[i].p, was[i].p, same) != 0)
			fail_msg("%s, read %d: segment %zu was changed", name, at, i + 1);
		free(now[i].p);
	}
}

/* Of a log that is to be repaired: its segments are larger than what is read at once; something in it is lost; a new segment is begun. */
enum { WITH_CHECKPOINT = 1, LARGE = 2, LOSSY = 4, NEW_SALT = 8 };

static void
put_back(struct ready *r)
{
	store_drop_cached();
	fx_remove_index(&r->f);
	copy_dir(r->keep, r->spool);
}

/* Each time from the same log: an error changes neither what is repaired, nor how. */
static void
repairing(const struct row *row, unsigned is, struct ready *r)
{
	struct piece was[PIECES_MAX], want[PIECES_MAX];
	size_t nwas, nwant;
	uint64_t next_modseq;
	uint32_t next_uid;
	struct store *s;
	int total = 0;

	row->prepare(r);
	store_drop_cached();
	copy_dir(r->spool, r->keep);
	nwas = read_pieces(&r->f, was);
	put_back(r);
	assert_int_equal(row->op(r, NULL), STORE_OK);
	s = fx_open(&r->f);
	r->has_holes = is & LOSSY;
	check_whole(r, s, row->name, 0);
	if (!(is & NEW_SALT))
		r->dump = fx_dump(s);
	next_uid = s->ix.meta.next_uid;
	next_modseq = s->ix.meta.next_modseq;
	store_close(s);
	nwant = read_pieces(&r->f, want);
	for (int i = 0; i < 2; i++) {
		bool came = true;

		for (int at = 1; came; at++, total++) {
			enum store_result got;

			put_back(r);
			begin(at, i == 1);
			got = row->op(r, NULL);
			came = end();
			check_said(got, came, row->op, row->name, at);
			check_pieces(&r->f, was, nwas, want, nwant, row->name, at);
			s = NULL;
			if (row->op(r, NULL) != STORE_OK)
				fail_msg("%s, read %d: not the next time either", row->name, at);
			check_pieces(&r->f, was, nwas, want, nwant, row->name, at);
			s = fx_open(&r->f);
			check_whole(r, s, row->name, at);
			if (s->ix.meta.next_uid != next_uid || s->ix.meta.next_modseq != next_modseq)
				fail_msg("%s, read %d: the numbers go on elsewhere", row->name, at);
			store_close(s);
		}
	}
	free_pieces(was, nwas);
	free_pieces(want, nwant);
	print_message("# %s: %d reads\n", row->name, total - 2);
}

static void
test_repairing(void **state)
{
	static const struct {
		struct row	row;
		unsigned	is;
	} rows[] = {
		{{"torn end", do_open, false, true, prepare_torn}, 0},
		{{"damage, records, torn end", do_open, false, true, prepare_damaged_and_torn}, LOSSY},
		{{"damage", do_open, false, true, prepare_damaged}, LOSSY},
		{{"damage among large ones", do_open, false, true, prepare_damaged}, LOSSY | LARGE},
		{{"damage at the end, large ones", do_open, false, true, prepare_damaged_end}, LOSSY | LARGE},
		{{"damage, large records, torn end", do_open, false, true, prepare_damaged_and_torn}, LOSSY | LARGE},
		{{"new epoch, damage among large ones", do_open, false, true, prepare_epoch_damaged}, LOSSY | LARGE},
		{{"damage at a segment's end", do_open, false, true, prepare_damaged_end}, LOSSY},
		{{"damaged head", do_open, false, true, prepare_head}, LOSSY},
		{{"new epoch", do_open, false, true, prepare_epoch}, 0},
		{{"new epoch, from the checkpoint", do_open, false, true, prepare_epoch}, WITH_CHECKPOINT},
		{{"new epoch, torn end", do_open, false, true, prepare_epoch_torn}, WITH_CHECKPOINT},
		{{"named segment", do_open, false, true, prepare_named}, WITH_CHECKPOINT},
		{{"lost segment", do_open, false, true, prepare_lost}, LOSSY | NEW_SALT},
	};
	const char *only = getenv("ROW");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ready r;

		if (only != NULL && strcmp(only, rows[i].row.name) != 0)
			continue;
		make(&r, rows[i].is & WITH_CHECKPOINT, rows[i].is & LARGE);
		repairing(&rows[i].row, rows[i].is, &r);
		drop(&r);
	}
}

/* What compaction cannot read it leaves, and says that it failed: damage is told of what was read. */
static void
test_compact(void **state)
{
	struct piece was[PIECES_MAX];
	struct uid_range range;
	struct uid_set set;
	struct store *s;
	struct ready r;
	struct view v;
	size_t nwas;
	uint64_t n;

	(void)state;
	make(&r, false, false);
	/* A torn end before a fence too, which is read to be dropped. */
	prepare_epoch_torn(&r);
	one_more(&r);
	s = fx_open(&r.f);
	assert_int_equal(view_open(s, r.id, false, &v), STORE_OK);
	set = fx_one(&range, v.uidnext - 1, v.uidnext - 1);
	assert_int_equal(store_expunge(s, r.id, &set, false, &n), STORE_OK);
	assert_int_equal(store_purge(s, now_ms() + 3600000, &n), STORE_OK);
	r.exists--;
	store_close(s);
	one_more_segment(&r);
	store_drop_cached();
	copy_dir(r.spool, r.keep);
	nwas = read_pieces(&r.f, was);
	for (int i = 0; i < 2; i++) {
		bool came = true;

		for (int at = 1; came; at++) {
			struct store_compacted done;
			enum store_result got;

			put_back(&r);
			s = fx_open(&r.f);
			assert_int_equal(store_checkpoint(s, NULL, true), STORE_OK);
			begin(at, i == 1);
			got = store_compact(s, NULL, 0, &done);
			came = end();
			check_said(got, came, do_open, "compaction", at);
			if (done.damaged != 0 || (!came && done.segments == 0))
				fail_msg("compaction, read %d: %u segments, %u damaged", at, done.segments, done.damaged);
			/* One after the other: those it did are done. */
			if (done.segments == 0)
				check_bytes(&r, was, nwas, false, "compaction", at);
			got = store_compact(s, NULL, 0, &done);
			if (got != STORE_OK || done.damaged != 0)
				fail_msg("compaction, read %d: said %d, %u damaged", at, got, done.damaged);
			check_whole(&r, s, "compaction", at);
			store_close(s);
		}
	}
	free_pieces(was, nwas);
	fx_check_replay(&r.f, false);
	drop(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_behind),
		cmocka_unit_test(test_repairing),
		cmocka_unit_test(test_compact),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
