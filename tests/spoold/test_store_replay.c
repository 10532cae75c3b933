/*
 * The index is what a replay of the log gives: random operations of every kind, then the live index
 * against one made anew, from the log's start, from a checkpoint, and from a damaged checkpoint.
 * Prints its seed (SEED=n repeats one) and what a rebuild of 20,000 messages takes.
 */
#include "store_fixture.h"
#include "store/checkpoint.h"

#define NAMES	8

static uint32_t seed;

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % below;
}

static struct slice
random_name(void)
{
	static const char *const names[NAMES] = {"user.alice", "user.alice.a", "user.alice.a.b", "user.alice.a.b.c",
	    "user.alice.b", "user.alice.Sent", "user.alice.x^y", "user.alice.\xc3\xa4"};

	return slice_of(names[rnd(NAMES)]);
}

/* A mailbox that is there, by chance; INBOX always is. */
static struct mbox_info
random_mailbox(struct store *s)
{
	static struct arena a;
	struct mbox_info m;

	if (a.cap == 0)
		a = arena_make(1 << 16);
	arena_reset(&a);
	if (store_mbox_by_name(s, random_name(), &a, &m) != STORE_OK)
		assert_int_equal(store_mbox_by_name(s, INBOX, &a, &m), STORE_OK);
	return m;
}

static struct uid_set
random_uids(struct uid_range *r, uint32_t uidnext)
{
	uint32_t n = 1 + rnd(4), at = 1;

	for (uint32_t i = 0; i < n; i++) {
		r[i].lo = at + rnd(uidnext);
		r[i].hi = r[i].lo + rnd(uidnext / 2 + 2);
		at = r[i].hi + 2;
	}
	return (struct uid_set){r, n};
}

static void
random_flags(struct store *s, const struct mbox_info *m, const struct uid_set *uids)
{
	static const char *const words[] = {"$Forwarded", "junk", "JUNK", "Work", "$Label1"};
	struct slice kw[2] = {slice_of(words[rnd(5)]), slice_of(words[rnd(5)])};
	struct flag_change c = {.op = (enum flag_op)rnd(3), .flags = rnd(32), .keywords = kw, .nkeywords = rnd(3)};
	uint64_t modseq;

	assert_int_equal(store_flags(s, m->id, uids, &c, &modseq), STORE_OK);
}

static void
random_append(struct store *s, const struct mbox_info *m)
{
	struct slice kw = SLICE("Appended"), body = SLICE("Subject: x\r\n\r\nbody\r\n");
	struct append_msg msgs[3];
	uint32_t uid[3], validity;
	size_t n = 1 + rnd(3);

	for (size_t i = 0; i < n; i++)
		msgs[i] = (struct append_msg){.body = {.mem = body, .fd = -1, .bytes = body.n}, .date_ms = rnd(1000000),
		    .flags = rnd(32), .keywords = &kw, .nkeywords = rnd(2)};
	assert_int_equal(store_append(s, m->id, msgs, n, uid, &validity), STORE_OK);
}

static void
random_replace(struct store *s, const struct mbox_info *from, const struct mbox_info *to)
{
	struct slice body = SLICE("Subject: y\r\n\r\nbody\r\n");
	struct append_msg msg = {.body = {.mem = body, .fd = -1, .bytes = body.n}, .date_ms = rnd(1000000), .flags = rnd(32)};
	uint32_t uid, validity;

	assert_int_equal(store_replace(s, from->id, from->uidnext - rnd(8), to->id, &msg, &uid, &validity), STORE_OK);
}

/* The same key twice, now and then a void, of the same or of another one. */
static void
random_repeat(struct fixture *f)
{
	unsigned char key[16] = {(unsigned char)(200 + rnd(3))}, guid[16] = {3};
	struct slice body = SLICE("Subject: repeated\r\n\r\n");
	struct store_delivery d = {.user = ALICE, .mailbox = random_name(), .sender = SLICE("x"), .qid = SLICE("q"),
	    .key = key, .guid = guid, .date_ms = now_ms() + rnd(3) * 3000000, .body = {.mem = body, .fd = -1, .bytes = body.n}};
	struct store_placed p;

	assert_int_equal(store_deliver(&f->host, &d, &p), STORE_OK);
	close(p.log_fd);
	if (rnd(3) == 0)
		store_void(&f->host, ALICE, p.modseq - rnd(3));
}

static void
random_step(struct fixture *f, struct store *s)
{
	struct arena a = arena_make(1 << 20);
	struct mbox_info m = random_mailbox(s), to;
	struct uid_range r[4];
	struct uid_set uids = random_uids(r, m.uidnext + 1);
	unsigned char id[16];
	struct copied *pairs;
	struct view v;
	uint32_t validity;
	uint64_t modseq;
	size_t n;

	switch (rnd(16)) {
	case 0:
		(void)store_mbox_create(s, random_name(), (enum special_use)rnd(8), id);
		break;
	case 1:
		(void)store_mbox_rename(s, random_name(), random_name());
		break;
	case 2:
		if (rnd(4) == 0)
			(void)store_mbox_delete(s, random_name());
		break;
	case 3:
		assert_int_equal(store_subscribe(s, random_name(), rnd(2)), STORE_OK);
		break;
	case 4:
	case 5:
		random_flags(s, &m, &uids);
		break;
	case 6:
		assert_int_equal(store_expunge(s, m.id, rnd(8) ? &uids : NULL, rnd(2), &modseq), STORE_OK);
		break;
	case 7:
	case 8:
		to = random_mailbox(s);
		assert_int_equal(store_copy(s, m.id, &uids, to.id, rnd(2), &a, &pairs, &n, &validity), STORE_OK);
		break;
	case 9:
		random_append(s, &m);
		break;
	case 10:
		assert_int_equal(view_open(s, m.id, true, &v), STORE_OK);
		break;
	case 11:
		random_repeat(f);
		break;
	case 12:
		to = random_mailbox(s);
		random_replace(s, &m, &to);
		break;
	default:
		assert_int_equal(fx_deliver(f, random_name(), rnd(300), NULL), STORE_OK);
		break;
	}
	arena_free(&a);
}

static void
play(uint32_t from)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	int checkpoint_at = 40 + (int)(from % 100);

	seed = from;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	f.host.segment_max_bytes = 3000 + from % 50000;
	s = fx_alice(&f, id);
	for (int i = 0; i < 200; i++) {
		random_step(&f, s);
		if (i == checkpoint_at) {
			(void)random_mailbox(s);
			s->ix.meta.replay_records = CHECKPOINT_RECORDS;
			index_checkpoint(&s->ix);
			assert_true(fx_log_bytes(&f, "checkpoint") > 0);
		}
	}
	store_close(s);
	fx_check_replay(&f, true);
	fx_check_replay(&f, false);
	fx_free(&f);
}

static void
test_random(void **state)
{
	const char *given = getenv("SEED"), *rounds = getenv("ROUNDS");
	uint32_t first = given != NULL ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)now_ms();
	uint32_t n = rounds != NULL ? (uint32_t)strtoul(rounds, NULL, 10) : 60;

	(void)state;
	print_message("first seed %u\n", first);
	for (uint32_t i = 0; i < n; i++) {
		if (i % 10 == 0)
			print_message("seed %u\n", first + i);
		play(first + i);
		if (given != NULL && rounds == NULL)
			break;
	}
}

static void
test_rebuild_20000(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct uid_range r = {1, UINT32_MAX};
	struct uid_set all = {&r, 1};
	struct flag_change c = {.op = FLAGS_ADD, .flags = MSG_SEEN};
	struct store *s;
	uint64_t modseq;
	int64_t began;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	s = fx_alice(&f, id);
	for (int i = 0; i < 20000; i++) {
		assert_int_equal(fx_deliver(&f, SLICE(""), 4096, NULL), STORE_OK);
		if (i % 2000 == 1999)
			assert_int_equal(store_flags(s, id, &all, &c, &modseq), STORE_OK);
	}
	store_close(s);
	for (int with = 1; with >= 0; with--) {
		fx_remove_index(&f);
		if (!with)
			unlink(fx_path(&f, f.active, "checkpoint"));
		began = mono_ms();
		s = fx_open(&f);
		print_message("rebuild of 20,000 messages %s: %lld ms\n", with ? "from the checkpoint" : "from the log alone",
		    (long long)(mono_ms() - began));
		store_close(s);
	}
	fx_free(&f);
}

/* A checkpoint with any byte wrong is not used, and the index is right all the same. */
static void
test_damaged_checkpoint(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	uint64_t bytes;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	s = fx_alice(&f, id);
	fx_deliver_n(&f, CHECKPOINT_RECORDS + 10);
	random_mailbox(s);
	store_close(s);
	bytes = fx_log_bytes(&f, "checkpoint");
	for (int i = 0; i < 24; i++) {
		uint64_t at = i < 12 ? bytes - 1 - (uint64_t)i * 5 : bytes / 12 * (uint64_t)(i - 12);
		int fd = open(fx_path(&f, f.active, "checkpoint"), O_RDWR | O_CLOEXEC);
		char byte;

		assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
		byte = (char)(byte ^ 1);
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		fx_check_replay(&f, true);
		byte = (char)(byte ^ 1);
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		close(fd);
	}
	/* Cut short, and one of another log. */
	assert_int_equal(truncate(fx_path(&f, f.active, "checkpoint"), (off_t)(bytes / 2)), 0);
	fx_check_replay(&f, true);
	fx_free(&f);
}

/* An index that is of another epoch, another log or another file is made anew; so is a directory full of junk. */
static void
test_index_trust(void **state)
{
	static const char *const rows[] = {"epoch", "salt", "inode", "schema", "junk", "offset"};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fixture f;
		unsigned char id[16];
		char path[600];
		struct mbox_info m;
		struct arena a = arena_make(1 << 16);
		struct store *s;
		uint64_t inode, again;
		int fd;

		fx_make(&f);
		s = fx_alice(&f, id);
		fx_deliver_n(&f, 5);
		assert_int_equal(index_begin(&s->ix, true), STORE_OK);
		inode = s->ix.meta.inode;
		if (i == 0)
			s->ix.meta.epoch--;
		else if (i == 1)
			s->ix.meta.log_id++;
		else if (i == 2)
			s->ix.meta.inode++;
		else if (i == 3)
			s->ix.meta.version++;
		else if (i == 5)
			s->ix.meta.offset += 1000000;
		assert_int_equal(index_commit(&s->ix), STORE_OK);
		store_close(s);
		store_drop_cached();
		snprintf(path, sizeof(path), "%s/data.mdb", fx_path(&f, f.index, ""));
		if (i == 4) {
			fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
			assert_int_equal(write(fd, "junk", 4), 4);
			close(fd);
		}
		/* Its number must not come back by chance. */
		fd = open(path, O_RDONLY | O_CLOEXEC);
		s = fx_open(&f);
		again = s->ix.meta.inode;
		if (again == inode)
			fail_msg("%s: trusted", rows[i]);
		assert_int_equal(store_mbox_by_name(s, INBOX, &a, &m), STORE_OK);
		assert_int_equal(m.exists, 5);
		store_close(s);
		close(fd);
		arena_free(&a);
		fx_free(&f);
	}
}

/* One that LMDB says is damaged is made anew by the next call; one can be put aside from without. */
static void
test_index_bad(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct mbox_info m;
	struct arena a = arena_make(1 << 16);
	struct store *s;
	char path[600];
	uint64_t inode;
	int fd;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 5);
	inode = s->ix.meta.inode;
	/* Kept open, so that its number does not come back by chance. */
	snprintf(path, sizeof(path), "%s/data.mdb", fx_path(&f, f.index, ""));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	s->ix.is_bad = true;
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &m), STORE_OK);
	assert_int_equal(m.exists, 5);
	assert_int_not_equal(s->ix.meta.inode, inode);
	close(fd);
	store_discard_index(&f.host, ALICE);
	assert_int_equal(access(fx_path(&f, f.index, ""), F_OK), -1);
	/* Who has it open goes on with it. */
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &m), STORE_OK);
	assert_int_equal(m.exists, 5);
	store_close(s);
	store_drop_cached();
	s = fx_open(&f);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &m), STORE_OK);
	assert_int_equal(m.exists, 5);
	store_close(s);
	arena_free(&a);
	fx_free(&f);
}

/* Removed under a process that has it open: both go on, and say the same. */
static void
test_index_removed_live(void **state)
{
	struct fixture f;
	unsigned char id[16];
	char gone[96], command[128];
	struct arena a = arena_make(1 << 16);
	struct mbox_info m;
	struct store *s;
	int status;
	pid_t pid;

	(void)state;
	fx_make(&f);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 5);
	store_close(s);
	store_drop_cached();
	pid = fork();
	if (pid == 0) {
		s = fx_open(&f);
		for (int i = 0; i < 200; i++)
			if (fx_deliver(&f, SLICE(""), 10, NULL) != STORE_OK ||
			    store_mbox_by_name(s, INBOX, &a, &m) != STORE_OK || m.exists < (uint32_t)i + 6)
				_exit(1);
		_exit(0);
	}
	snprintf(gone, sizeof(gone), "%s/gone", f.dir);
	snprintf(command, sizeof(command), "rm -rf %s", gone);
	for (int i = 0; i < 50; i++) {
		/* As a directory: renamed away, then removed. The other process may just be making it. */
		if (rename(fx_path(&f, f.index, ""), gone) != 0)
			assert_int_equal(errno, ENOENT);
		assert_int_equal(system(command), 0);
		s = fx_open(&f);
		assert_int_equal(store_mbox_by_name(s, INBOX, &a, &m), STORE_OK);
		assert_true(m.exists >= 5);
		store_close(s);
		store_drop_cached();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	s = fx_open(&f);
	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &m), STORE_OK);
	assert_int_equal(m.exists, 205);
	store_close(s);
	arena_free(&a);
	fx_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_rebuild_20000),
		cmocka_unit_test(test_damaged_checkpoint),
		cmocka_unit_test(test_index_trust),
		cmocka_unit_test(test_index_bad),
		cmocka_unit_test(test_index_removed_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
