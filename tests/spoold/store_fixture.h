/*
 * What the tests of the store share: a spool in a temporary directory, deliveries, and a dump of an
 * index to compare two of them. Static functions only; each test program has its own.
 */
#ifndef TS_STORE_FIXTURE_H
#define TS_STORE_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "store/rank.h"
#include "store/store_impl.h"

#define ALICE	SLICE("alice")
#define INBOX	SLICE("user.alice")
#define FX_HOUR_MS	3600000

struct fixture {
	char		 dir[64], active[96], index[96];
	const char	*partitions[2];
	struct store_host host;
	uint32_t	 serial;	/* for keys and bodies */
};

/*
 * Many tests provoke warnings, thousands of lines of them: the log goes nowhere, cmocka's verdicts
 * go on to where stderr was. STORE_TEST_LOG=1 shows the log.
 */
static __attribute__((unused)) void
fx_quiet(void)
{
	static bool done;
	int null;

	if (done || getenv("STORE_TEST_LOG") != NULL)
		return;
	done = true;
	stderr = fdopen(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10), "w");
	setvbuf(stderr, NULL, _IONBF, 0);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(null, STDERR_FILENO);
	close(null);
}

static __attribute__((unused)) void
fx_make_in(struct fixture *f, const char *base)
{
	fx_quiet();
	*f = (struct fixture){.partitions = {"default", NULL}};
	log_init("test");
	snprintf(f->dir, sizeof(f->dir), "%s/ts-store.XXXXXX", base);
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->active, sizeof(f->active), "%s/active", f->dir);
	snprintf(f->index, sizeof(f->index), "%s/index", f->dir);
	f->host = (struct store_host){.active_dir = f->active, .index_dir = f->index, .partition = "default",
	    .partitions = f->partitions, .segment_max_bytes = 64 << 20, .map_bytes = 1ULL << 30, .dup_window_ms = 3600000};
	assert_int_equal(epoch_begin(f->active, "default", false, &f->host.epoch), 0);
}

static __attribute__((unused)) void
fx_make(struct fixture *f)
{
	const char *base = getenv("TMPDIR");

	fx_make_in(f, base != NULL && strlen(base) < 32 ? base : "/tmp");
}

static __attribute__((unused)) void
fx_free(struct fixture *f)
{
	char command[128];

	store_drop_cached();
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
}

static __attribute__((unused)) struct store *
fx_open(struct fixture *f)
{
	struct store *s = NULL;

	assert_int_equal(store_open(&f->host, ALICE, &s), FOUND);
	return s;
}

/* alice with an INBOX. */
static __attribute__((unused)) struct store *
fx_alice(struct fixture *f, unsigned char *inbox_out)
{
	struct store *s;

	assert_int_equal(store_create(&f->host, ALICE), STORE_OK);
	s = fx_open(f);
	assert_int_equal(store_mbox_create(s, INBOX, USE_NONE, inbox_out), STORE_OK);
	return s;
}

/* A body that names its number and is as long as asked, at least. */
static __attribute__((unused)) struct slice
fx_body(char *buf, size_t cap, uint32_t number, size_t bytes)
{
	int n = snprintf(buf, cap, "Subject: number %u\r\n\r\n", number);

	for (; (size_t)n < bytes && (size_t)n < cap; n++)
		buf[n] = (char)('a' + n % 26);
	return (struct slice){buf, (size_t)n};
}

/* Delivers one message with a key of its own; what store_deliver says. */
static __attribute__((unused)) enum store_result
fx_deliver(struct fixture *f, struct slice mailbox, size_t bytes, struct store_placed *out)
{
	static char buf[1 << 20];
	unsigned char key[16] = {1}, guid[16] = {2};
	struct slice body = fx_body(buf, sizeof(buf), ++f->serial, bytes);
	struct store_placed placed;
	struct store_delivery d = {.user = ALICE, .mailbox = mailbox, .sender = SLICE("bob@example.test"), .qid = SLICE("q1"),
	    .key = key, .guid = guid, .date_ms = now_ms(), .body = {.mem = body, .fd = -1, .bytes = body.n}};
	enum store_result r;

	memcpy(key + 4, &f->serial, sizeof(f->serial));
	memcpy(guid + 4, &f->serial, sizeof(f->serial));
	r = store_deliver(&f->host, &d, &placed);
	if (placed.log_fd >= 0)
		close(placed.log_fd);
	if (out != NULL)
		*out = placed;
	return r;
}

static __attribute__((unused)) void
fx_deliver_n(struct fixture *f, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(fx_deliver(f, SLICE(""), 40, NULL), STORE_OK);
}

/* The path of something in alice's log directory. */
static __attribute__((unused)) const char *
fx_path(const struct fixture *f, const char *root, const char *name)
{
	static char path[512];
	unsigned hash = ~record_crc(UINT32_MAX, ALICE) & 0xff;

	snprintf(path, sizeof(path), "%s/default/%02x/alice%s%s", root, hash, *name ? "/" : "", name);
	(void)f;
	return path;
}

static __attribute__((unused)) void
fx_remove_index(struct fixture *f)
{
	char command[600];

	store_drop_cached();
	snprintf(command, sizeof(command), "rm -rf %s", fx_path(f, f->index, ""));
	assert_int_equal(system(command), 0);
}

/* Closed, and opened with an index made anew: from the checkpoint, or from the log alone. */
static __attribute__((unused)) struct store *
fx_reopen(struct fixture *f, struct store *s, bool without_checkpoint)
{
	store_close(s);
	if (without_checkpoint)
		unlink(fx_path(f, f->active, "checkpoint"));
	fx_remove_index(f);
	return fx_open(f);
}

/* What the operator does: gives up all holes there are now; how many. */
static __attribute__((unused)) size_t
fx_accept(struct fixture *f, struct store *s)
{
	struct buf losses = buf_make(1 << 20);
	char dir[PATH_MAX], command[PATH_MAX + 16];
	size_t n;

	snprintf(dir, sizeof(dir), "%s/private", f->dir);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	f->host.no_checkpoint = true;
	assert_int_equal(store_losses(s, dir, &losses), STORE_OK);
	f->host.no_checkpoint = false;
	n = losses.n / sizeof(struct loss);
	if (n > 0)
		assert_int_equal(store_accept_losses(s, (const struct loss *)(const void *)losses.p, n), STORE_OK);
	buf_free(&losses);
	return n;
}

static __attribute__((unused)) uint64_t
fx_log_bytes(const struct fixture *f, const char *name)
{
	struct stat st;

	assert_int_equal(stat(fx_path(f, f->active, name), &st), 0);
	return (uint64_t)st.st_size;
}

/* Every entry of the index but the cache, and what only says where and when it was made. */
static __attribute__((unused)) struct buf
fx_dump(struct store *s)
{
	struct buf out = buf_make(1 << 30);
	struct ix_key from = key_of(1);	/* below every letter */
	struct slice k, v;
	struct iter it;

	assert_int_equal(store_current_begin(s), STORE_OK);
	iter_begin(&it, &s->ix, &from, 0);
	while (iter_next(&it, &k, &v)) {
		struct ix_meta m;

		if (k.p[0] == 'x' || k.p[0] == 'g')
			continue;
		if (k.p[0] == 'A') {
			assert_int_equal(v.n, sizeof(m));
			memcpy(&m, v.p, sizeof(m));
			m.inode = m.replay_records = m.replay_bytes = 0;
			m.epoch = 0;
			v = (struct slice){(const char *)&m, sizeof(m)};
		}
		pack_str(&out, k);
		pack_str(&out, v);
	}
	iter_end(&it);
	assert_int_equal(index_end(&s->ix), STORE_OK);
	assert_true(pack_ok(&out));
	return out;
}

/* What of a mailbox is counted, against its messages one by one. */
struct fx_sums {
	uint64_t	bytes;
	uint32_t	exists, unseen, deleted, dead;	/* by messages */
	uint32_t	gone;				/* by changes */
	uint32_t	blocks[3], supers[3];		/* live, unseen, deleted */
};

static __attribute__((unused)) void
fx_sum_message(struct store *s, uint32_t num, uint32_t uid, const struct ix_msg *m, struct fx_sums *sums)
{
	struct ix_key key = key_body(m->body_modseq);
	struct slice other;
	struct ix_block b;

	assert_true(index_get(&s->ix, &key, &other));
	rank_load(&s->ix, num, uid / BLOCK_UIDS, &b);
	if (!bits_has(b.live, uid)) {
		sums->dead++;
		return;
	}
	sums->exists++;
	sums->unseen += !(m->flags & MSG_SEEN);
	sums->deleted += !!(m->flags & MSG_DELETED);
	sums->bytes += m->size;
	assert_int_equal(bits_has(b.unseen, uid), !(m->flags & MSG_SEEN));
	assert_int_equal(bits_has(b.deleted, uid), !!(m->flags & MSG_DELETED));
	assert_true(b.modseq >= m->modseq);
}

static __attribute__((unused)) void
fx_sum_entry(struct store *s, struct slice k, struct slice v, struct fx_sums *sums)
{
	const unsigned char *p = (const unsigned char *)k.p;
	struct ix_key key;
	struct slice other;
	struct ix_super x;
	struct ix_block b;
	struct ix_gone g;
	struct ix_msg m;
	int bit;

	switch (p[0]) {
	case 'e':
		memcpy(&m, v.p, sizeof(m));
		fx_sum_message(s, key_get_u32(p + 1), key_get_u32(p + 5), &m, sums);
		break;
	case 't':
		memcpy(&g, v.p, sizeof(g));
		while ((bit = bits_take(g.uids)) >= 0) {
			key = key_uid('e', key_get_u32(p + 1), key_get_u32(p + 13) * BLOCK_UIDS + (uint32_t)bit);
			assert_true(index_get(&s->ix, &key, &other));
			sums->gone++;
		}
		break;
	case 'r':
		memcpy(&b, v.p, sizeof(b));
		key = key_uid('R', key_get_u32(p + 1), key_get_u32(p + 5) / SUPER_BLOCKS);
		assert_true(index_get_fixed(&s->ix, &key, &x, sizeof(x)));
		assert_true(x.modseq >= b.modseq);
		assert_true(bits_count(b.live) > 0);
		for (int i = 0; i < BLOCK_WORDS; i++)
			assert_int_equal((b.unseen[i] | b.deleted[i]) & ~b.live[i], 0);
		sums->blocks[0] += bits_count(b.live);
		sums->blocks[1] += bits_count(b.unseen);
		sums->blocks[2] += bits_count(b.deleted);
		break;
	default:
		memcpy(&x, v.p, sizeof(x));
		assert_true(x.live > 0);
		sums->supers[0] += x.live;
		sums->supers[1] += x.unseen;
		sums->supers[2] += x.deleted;
		break;
	}
}

/* The index holds together: every counter is what it counts. */
static __attribute__((unused)) void
fx_check_sums(struct store *s)
{
	static const char letters[] = "etrR";
	uint32_t mailboxes = 0;

	assert_int_equal(store_current_begin(s), STORE_OK);
	for (uint32_t num = 1; num <= s->ix.meta.next_num; num++) {
		struct fx_sums sums = {0};
		struct mbox m;

		assert_true(mbox_load_num(&s->ix, num, &m));
		mailboxes += !m.v.is_deleted;
		for (const char *l = letters; *l; l++) {
			struct ix_key from = key_num(*l, num);
			struct slice k, v;
			struct iter it;

			iter_begin(&it, &s->ix, &from, from.n);
			while (iter_next(&it, &k, &v))
				fx_sum_entry(s, k, v, &sums);
			iter_end(&it);
		}
		assert_int_equal(sums.exists, m.v.exists);
		assert_int_equal(sums.unseen, m.v.unseen);
		assert_int_equal(sums.bytes, m.v.bytes);
		assert_int_equal(sums.gone, sums.dead);
		assert_true(sums.blocks[0] == sums.exists && sums.blocks[1] == sums.unseen && sums.blocks[2] == sums.deleted);
		assert_memory_equal(sums.supers, sums.blocks, sizeof(sums.blocks));
	}
	assert_int_equal(mailboxes, s->ix.meta.nmailboxes);
	assert_int_equal(index_end(&s->ix), STORE_OK);
}

/* The index as it is against one made anew from the log (with_checkpoint: from the checkpoint). */
static __attribute__((unused)) void
fx_check_replay(struct fixture *f, bool with_checkpoint)
{
	struct store *s = fx_open(f);
	struct buf live, again;

	/* As the next appender finds it: a segment that is full is followed by another. */
	assert_int_equal(spool_lock(s->spool), STORE_OK);
	spool_unlock(s->spool);
	live = fx_dump(s);
	fx_check_sums(s);
	store_close(s);
	fx_remove_index(f);
	if (!with_checkpoint)
		unlink(fx_path(f, f->active, "checkpoint"));
	s = fx_open(f);
	again = fx_dump(s);
	store_close(s);
	if (!slice_is(buf_slice(&live), buf_slice(&again))) {
		size_t at = 0;

		while (at < live.n && at < again.n && live.p[at] == again.p[at])
			at++;
		fail_msg("a replay differs: %zu and %zu bytes, at %zu", live.n, again.n, at);
	}
	buf_free(&live);
	buf_free(&again);
}

/* Reads a message's first bytes and checks that they are of body number. */
static __attribute__((unused)) void
fx_check_body(struct store *s, const struct msg_info *m, uint32_t number)
{
	char want[64], got[64];
	int n = snprintf(want, sizeof(want), "Subject: number %u\r\n", number), fd;
	uint64_t at;

	assert_int_equal(store_body_open(s, m, &fd, &at), STORE_OK);
	assert_int_equal(pread(fd, got, (size_t)n, (off_t)at), n);
	assert_memory_equal(got, want, (size_t)n);
	close(fd);
}

/* What makes tests of many messages quick: nothing is synced. */
static __attribute__((unused)) int
fx_no_sync(void *arg, const struct store_commit *c)
{
	(void)arg;
	(void)c;
	return 0;
}

/* alice, with segments of a few messages. */
static __attribute__((unused)) void
fx_small(struct fixture *f, unsigned char *inbox_out, struct store **s_out)
{
	fx_make(f);
	f->host.commit = fx_no_sync;
	f->host.segment_max_bytes = 32 * 1024;
	*s_out = fx_alice(f, inbox_out);
}

/* How many messages a mailbox has, by going through them. */
static __attribute__((unused)) uint32_t
fx_exists(struct store *s, const unsigned char *mailbox)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	uint32_t lo = 1, total = 0;
	struct view v;
	size_t n;

	/* The first try may find out that the index is not to be used. */
	for (int i = 0; i < 2 && view_open(s, mailbox, false, &v) != STORE_OK; i++)
		continue;
	do {
		assert_int_equal(view_range(s, &v, lo, UINT32_MAX, msgs, STORE_BATCH_MSGS, &n), STORE_OK);
		if (n > 0)
			lo = msgs[n - 1].uid + 1;
		total += (uint32_t)n;
	} while (n == STORE_BATCH_MSGS);
	return total;
}

static __attribute__((unused)) struct uid_set
fx_one(struct uid_range *r, uint32_t lo, uint32_t hi)
{
	*r = (struct uid_range){lo, hi};
	return (struct uid_set){r, 1};
}

static __attribute__((unused)) void
fx_expunge(struct store *s, const unsigned char *mailbox, uint32_t lo, uint32_t hi)
{
	struct uid_range r;
	struct uid_set set = fx_one(&r, lo, hi);
	uint64_t modseq;

	assert_int_equal(store_expunge(s, mailbox, &set, false, &modseq), STORE_OK);
}

#endif
