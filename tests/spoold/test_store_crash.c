/*
 * What a crash leaves: torn tails at every byte, processes killed at any moment, epochs and fences,
 * flipped bits, mail that looks like a log. No UID is given twice, nothing synced is lost, nothing
 * damaged is served, and nothing after damage is hidden.
 */
#include <signal.h>
#include <sys/mman.h>

#include "store_fixture.h"

static uint32_t
exists(struct store *s)
{
	struct arena a = arena_make(1 << 16);
	struct mbox_info m;

	assert_int_equal(store_mbox_by_name(s, INBOX, &a, &m), STORE_OK);
	arena_free(&a);
	return m.exists;
}

/* Reads a whole file of the log. */
static char *
slurp(struct fixture *f, const char *name, size_t *n_out)
{
	int fd = open(fx_path(f, f->active, name), O_RDONLY | O_CLOEXEC);
	char *p;

	*n_out = (size_t)fx_log_bytes(f, name);
	p = malloc(*n_out);
	assert_int_equal(read(fd, p, *n_out), *n_out);
	close(fd);
	return p;
}

static void
spew(struct fixture *f, const char *name, const char *p, size_t n)
{
	int fd = open(fx_path(f, f->active, name), O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, p, n), n);
	close(fd);
}

/* The last record cut at every byte: it was not there, what is appended next is right, and UIDs go on. */
static void
test_torn_tail(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store_placed placed;
	struct store *s;
	size_t before, all;
	char *log;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 3);
	store_close(s);
	before = fx_log_bytes(&f, "log.000001");
	assert_int_equal(fx_deliver(&f, SLICE(""), 60, &placed), STORE_OK);
	assert_int_equal(placed.uid, 4);
	log = slurp(&f, "log.000001", &all);
	for (size_t cut = before; cut < all; cut++) {
		spew(&f, "log.000001", log, cut);
		fx_remove_index(&f);
		s = fx_open(&f);
		if (exists(s) != 3)
			fail_msg("cut at %zu: %u messages", cut - before, exists(s));
		assert_int_equal(fx_deliver(&f, SLICE(""), 10, &placed), STORE_OK);
		if (placed.uid != 4 || exists(s) != 4)
			fail_msg("cut at %zu: uid %u, %u messages", cut - before, placed.uid, exists(s));
		assert_int_equal(fx_log_bytes(&f, "log.000001"), s->spool->at);
		store_close(s);
	}
	free(log);
	fx_free(&f);
}

/* The same tail in an older epoch is not cut: the fence goes behind it and takes the numbers on. */
static void
test_torn_tail_old_epoch(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store_placed placed;
	struct store *s;
	size_t before, all, size;
	uint64_t modseq;
	char *log, *now;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 3);
	store_close(s);
	before = fx_log_bytes(&f, "log.000001");
	assert_int_equal(fx_deliver(&f, SLICE(""), 60, &placed), STORE_OK);
	modseq = placed.modseq;
	log = slurp(&f, "log.000001", &all);
	f.host.epoch += 2;
	for (size_t cut = before; cut <= all; cut += cut + 9 < all ? 5 : 1) {
		bool whole = cut == all;

		spew(&f, "log.000001", log, cut);
		fx_remove_index(&f);
		assert_int_equal(fx_deliver(&f, SLICE(""), 10, &placed), STORE_OK);
		if (placed.uid != (whole ? 5 : 4) + 2 * 65536U || placed.modseq != modseq + whole + (2ULL << 32) + 1)
			fail_msg("cut at %zu: uid %u modseq %llx", cut - before, placed.uid, (unsigned long long)placed.modseq);
		now = slurp(&f, "log.000001", &size);
		assert_memory_equal(now, log, cut);
		free(now);
		s = fx_open(&f);
		assert_int_equal(exists(s), whole ? 5 : 4);
		store_close(s);
	}
	free(log);
	fx_free(&f);
}

static void
test_epochs(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store_placed placed;
	struct store *s;
	uint32_t epoch;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	/* Not ended: raised. Ended: the same again. Forced: raised. Its file lost: above what the logs name. */
	assert_int_equal(epoch_begin(f.active, "default", false, &epoch), 0);
	assert_int_equal(epoch, f.host.epoch + 1);
	assert_int_equal(epoch_end(f.active, "default"), 0);
	assert_int_equal(epoch_begin(f.active, "default", false, &f.host.epoch), 0);
	assert_int_equal(f.host.epoch, epoch);
	assert_int_equal(epoch_end(f.active, "default"), 0);
	assert_int_equal(epoch_begin(f.active, "default", true, &f.host.epoch), 0);
	assert_int_equal(f.host.epoch, epoch + 1);
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 1);
	store_close(s);
	store_drop_cached();
	for (int i = 0; i < 3; i++) {
		static const char *const junk[] = {"", "twinspool epoch 00000001", "twinspool epoch 0000000z open\n"};
		char path[128];

		snprintf(path, sizeof(path), "%s/default/epoch", f.active);
		if (i == 0)
			assert_int_equal(unlink(path), 0);
		else {
			FILE *file = fopen(path, "w");

			fputs(junk[i], file);
			fclose(file);
		}
		assert_int_equal(epoch_begin(f.active, "default", false, &epoch), 0);
		assert_int_equal(epoch, f.host.epoch + 1);
	}
	/* A process of the new epoch fences, one of the old may no longer append. */
	f.host.epoch = epoch;
	assert_int_equal(fx_deliver(&f, SLICE(""), 10, &placed), STORE_OK);
	assert_int_equal(placed.uid, 2 + 65536);
	f.host.epoch--;
	assert_int_equal(fx_deliver(&f, SLICE(""), 10, &placed), STORE_TEMP);
	f.host.epoch++;
	assert_int_equal(fx_deliver(&f, SLICE(""), 10, &placed), STORE_OK);
	assert_int_equal(placed.uid, 3 + 65536);
	s = fx_open(&f);
	assert_int_equal(exists(s), 3);
	store_close(s);
	fx_free(&f);
}

/* A fence finds its numbers behind a checkpoint too, and where everything after it is lost. */
static void
test_fence_after_checkpoint(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store_placed placed;
	struct store *s;
	size_t at, all;
	char *log;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 2100);
	assert_int_equal(exists(s), 2100);
	assert_true(fx_log_bytes(&f, "checkpoint") > 0);
	store_close(s);
	at = fx_log_bytes(&f, "log.000001");
	fx_deliver_n(&f, 50);
	/* What came after the checkpoint never reached the disk: zeroes. */
	log = slurp(&f, "log.000001", &all);
	memset(log + at, 0, all - at);
	spew(&f, "log.000001", log, all);
	free(log);
	f.host.epoch++;
	store_drop_cached();
	assert_int_equal(fx_deliver(&f, SLICE(""), 10, &placed), STORE_OK);
	assert_true(placed.uid > 2150);
	s = fx_open(&f);
	assert_int_equal(exists(s), 2101);
	store_close(s);
	fx_check_replay(&f, true);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* One bit flipped anywhere in the middle message's record: it alone is not served. */
static void
test_flipped_bits(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct msg_info m[5];
	struct view v;
	struct store *s;
	size_t from, to, all, n, head_bytes;
	uint64_t offset;
	char *log;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	s = fx_alice(&f, id);
	head_bytes = s->spool->head.bytes;
	fx_deliver_n(&f, 2);
	from = fx_log_bytes(&f, "log.000001");
	fx_deliver_n(&f, 1);
	to = fx_log_bytes(&f, "log.000001");
	fx_deliver_n(&f, 2);
	store_close(s);
	log = slurp(&f, "log.000001", &all);
	/* The third record; then the segment's head, without which there would be no salt. */
	for (size_t i = 0; i < to - from + head_bytes; i++)
		for (int rebuilt = 0; rebuilt < 2; rebuilt++) {
			size_t at = i < to - from ? from + i : i - (to - from);
			bool served = false;
			size_t most = at < head_bytes ? 5 : rebuilt ? 4 : 5;
			int fd;

			/* The damaged message is never opened whole: what was once checked is not checked again. */
			spew(&f, "log.000001", log, all);
			fx_remove_index(&f);
			if (!rebuilt) {
				s = fx_open(&f);
				assert_int_equal(exists(s), 5);
				store_close(s);
				store_drop_cached();
			}
			log[at] = (char)(log[at] ^ (1 << at % 8));
			spew(&f, "log.000001", log, all);
			log[at] = (char)(log[at] ^ (1 << at % 8));
			s = fx_open(&f);
			assert_int_equal(view_open(s, id, false, &v), STORE_OK);
			assert_int_equal(view_range(s, &v, 1, 10, m, 5, &n), STORE_OK);
			for (size_t j = 0; j < n; j++) {
				if (m[j].uid != 3 || at < head_bytes)
					fx_check_body(s, &m[j], m[j].uid);
				else if (store_body_open(s, &m[j], &fd, &offset) != STORE_DAMAGED)
					served = true;
			}
			if (served || n < most)
				fail_msg("byte %zu, %s: %s, %zu messages", at, rebuilt ? "rebuilt" : "live",
				    served ? "served" : "not served", n);
			store_close(s);
		}
	free(log);
	fx_free(&f);
}

/*
 * A message that holds a copy of the log itself, right to the last checksum but for the salt, and one
 * that is full of trailers, with damage before them: nothing in it is taken for a record.
 */
static void
test_mail_like_a_log(void **state)
{
	struct fixture f, g;
	unsigned char id[16], key[16] = {7}, guid[16] = {8};
	struct store_delivery d;
	struct store_placed placed;
	struct store *s;
	size_t n, all, body_at;
	char *evil, *log;
	int fd;

	(void)state;
	fx_make(&g);
	s = fx_alice(&g, id);
	fx_deliver_n(&g, 20);
	store_close(s);
	evil = slurp(&g, "log.000001", &n);
	fx_make(&f);
	f.host.commit = fx_no_sync;
	s = fx_alice(&f, id);
	d = (struct store_delivery){.user = ALICE, .mailbox = SLICE(""), .sender = SLICE("e"), .qid = SLICE("q"), .key = key,
	    .guid = guid, .date_ms = now_ms(), .body = {.mem = {evil, n}, .fd = -1, .bytes = n}};
	body_at = fx_log_bytes(&f, "log.000001");
	assert_int_equal(store_deliver(&f.host, &d, &placed), STORE_OK);
	close(placed.log_fd);
	fx_deliver_n(&f, 1);
	assert_int_equal(exists(s), 2);
	store_close(s);
	fx_check_replay(&f, false);
	/* Its header damaged: the scan goes through the body looking for the next record. */
	log = slurp(&f, "log.000001", &all);
	fd = open(fx_path(&f, f.active, "log.000001"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)body_at), 1);
	close(fd);
	fx_remove_index(&f);
	s = fx_open(&f);
	assert_int_equal(exists(s), 1);
	/* Torn in the middle of it, with a record after: that one is found. */
	store_close(s);
	spew(&f, "log.000001", log, body_at + n / 2);
	f.host.epoch++;
	fx_remove_index(&f);
	fx_deliver_n(&f, 1);
	s = fx_open(&f);
	assert_int_equal(exists(s), 1);
	store_close(s);
	free(log);
	free(evil);
	fx_free(&f);
	fx_free(&g);
}

/* What the killed children have told: shared with the parent. */
struct told {
	uint32_t	n;
	uint32_t	uid[100000];
	uint32_t	number[100000];	/* of the body; 0: an append that has no number */
};

static void
child_work(struct fixture *f, struct told *told, uint32_t serial)
{
	struct store *s = fx_open(f);
	struct arena a = arena_make(1 << 20);
	struct mbox_info m;
	struct copied *pairs;
	uint32_t validity;
	size_t n;

	f->serial = serial;
	for (uint32_t i = 0;; i++) {
		struct store_placed p;

		/* Told only after the append: what the parent has of it must be in the log. */
		if (fx_deliver(f, SLICE(""), 10 + i % 5000, &p) != STORE_OK)
			_exit(1);
		told->uid[told->n] = p.uid;
		told->number[told->n] = f->serial;
		__atomic_store_n(&told->n, told->n + 1, __ATOMIC_SEQ_CST);
		if (i % 3 == 0 && store_mbox_by_name(s, INBOX, &a, &m) == STORE_OK) {
			struct uid_range r = {p.uid, p.uid};
			struct uid_set set = {&r, 1};
			struct flag_change c = {.op = FLAGS_ADD, .flags = MSG_SEEN};
			uint64_t modseq;

			(void)store_flags(s, m.id, &set, &c, &modseq);
			if (i % 9 == 0)
				(void)store_copy(s, m.id, &set, m.id, false, &a, &pairs, &n, &validity);
			arena_reset(&a);
		}
	}
}

/* Children killed at any moment, in two processes at once: what was told is there, once, and readable. */
static void
test_kill(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct told *told[2];
	struct store *s;
	uint32_t highest = 0;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	f.host.segment_max_bytes = 300000;
	store_close(fx_alice(&f, id));
	for (int i = 0; i < 2; i++)
		told[i] = mmap(NULL, sizeof(*told[i]), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int round = 0; round < 60; round++) {
		pid_t pids[2];

		store_drop_cached();
		for (uint32_t i = 0; i < 2; i++)
			if ((pids[i] = fork()) == 0)
				child_work(&f, told[i], 1000000 * (2 * (uint32_t)round + i + 1));
		usleep(1000 + (useconds_t)(now_ms() % 40) * 500);
		for (int i = 0; i < 2; i++) {
			int status;

			kill(pids[i], SIGKILL);
			assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
			assert_true(WIFSIGNALED(status));
		}
	}
	s = fx_open(&f);
	for (int i = 0; i < 2; i++)
		for (uint32_t j = 0; j < told[i]->n; j++) {
			struct msg_info m;
			struct view v;
			size_t n;

			if (j == 0)
				assert_int_equal(view_open(s, id, false, &v), STORE_OK);
			assert_int_equal(view_range(s, &v, told[i]->uid[j], told[i]->uid[j], &m, 1, &n), STORE_OK);
			if (n != 1)
				fail_msg("uid %u is lost", told[i]->uid[j]);
			/* Given twice, one of the two would have another body. */
			fx_check_body(s, &m, told[i]->number[j]);
			if (m.uid > highest)
				highest = m.uid;
		}
	print_message("%u deliveries told before kills\n", told[0]->n + told[1]->n);
	assert_true(told[0]->n + told[1]->n > 100);
	store_close(s);
	fx_check_replay(&f, true);
	fx_check_replay(&f, false);
	for (int i = 0; i < 2; i++)
		munmap(told[i], sizeof(*told[i]));
	fx_free(&f);
}

/* Two processes that deliver and change the same spool as fast as they can. */
static void
test_two_writers(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct store *s;
	struct msg_info m[STORE_BATCH_MSGS];
	struct view v;
	pid_t pids[3];
	uint32_t lo = 1, total = 0;
	size_t n;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	f.host.segment_max_bytes = 40000;
	store_close(fx_alice(&f, id));
	store_drop_cached();
	for (uint32_t i = 0; i < 3; i++)
		if ((pids[i] = fork()) == 0) {
			struct uid_range r = {1, UINT32_MAX};
			struct uid_set all = {&r, 1};
			struct flag_change c = {.op = i == 0 ? FLAGS_ADD : FLAGS_REMOVE, .flags = MSG_FLAGGED};
			uint64_t modseq;

			f.serial = i * 100000;
			s = fx_open(&f);
			for (uint32_t j = 0; j < 300; j++) {
				if (fx_deliver(&f, SLICE(""), 30, NULL) != STORE_OK)
					_exit(1);
				if (j % 20 == i && store_flags(s, id, &all, &c, &modseq) != STORE_OK)
					_exit(2);
			}
			_exit(0);
		}
	for (int i = 0; i < 3; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	s = fx_open(&f);
	assert_int_equal(view_open(s, id, false, &v), STORE_OK);
	do {
		assert_int_equal(view_range(s, &v, lo, UINT32_MAX, m, STORE_BATCH_MSGS, &n), STORE_OK);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(m[i].uid, ++total);
		lo = total + 1;
	} while (n == STORE_BATCH_MSGS);
	assert_int_equal(total, 900);
	store_close(s);
	fx_check_replay(&f, false);
	fx_free(&f);
}

/* After a sealed record nothing is appended. */
static void
test_sealed(void **state)
{
	struct fixture f;
	unsigned char id[16];
	struct record sealed = {.type = RECORD_SEALED, .date_ms = 1};
	struct store *s;

	(void)state;
	fx_make(&f);
	f.host.commit = fx_no_sync;
	s = fx_alice(&f, id);
	fx_deliver_n(&f, 1);
	assert_int_equal(spool_lock(s->spool), STORE_OK);
	assert_int_equal(spool_append(s->spool, &sealed, 1, NULL), STORE_OK);
	spool_unlock(s->spool);
	assert_int_equal(fx_deliver(&f, SLICE(""), 10, NULL), STORE_TEMP);
	assert_int_equal(store_mbox_create(s, SLICE("user.alice.x"), USE_NONE, id), STORE_TEMP);
	assert_int_equal(exists(s), 1);
	store_close(s);
	fx_free(&f);
}

/*
 * The last record was written whole and is damaged after, in the same epoch: it is not a torn one. Its UID
 * is never given again, and what comes after it is seen by an index that had applied it.
 */
static void
test_damaged_last(void **state)
{
	static const struct { const char *name; uint64_t from_end; bool is_read_again; } rows[] = {
		{"trailer's checksum", 2, false},
		{"trailer's magic", RECORD_TRAILER_BYTES, false},
		{"trailer, in a process that starts", 2, true},
		{"trailer's magic, in a process that starts", RECORD_TRAILER_BYTES, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fixture f;
		unsigned char id[16];
		struct store_placed before, after;
		struct arena a = arena_make(1 << 16);
		struct mbox_info m;
		struct store *s;
		uint64_t bytes;
		int fd;

		fx_make(&f);
		s = fx_alice(&f, id);
		fx_deliver_n(&f, 2);
		assert_int_equal(fx_deliver(&f, SLICE(""), 100, &before), STORE_OK);
		assert_int_equal(store_mbox_by_name(s, INBOX, &a, &m), STORE_OK);
		bytes = fx_log_bytes(&f, "log.000001");
		fd = open(fx_path(&f, f.active, "log.000001"), O_WRONLY | O_CLOEXEC);
		assert_int_equal(pwrite(fd, "~", 1, (off_t)(bytes - rows[i].from_end)), 1);
		close(fd);
		if (rows[i].is_read_again) {
			store_close(s);
			store_drop_cached();
		}
		assert_int_equal(fx_deliver(&f, SLICE(""), 100, &after), STORE_OK);
		if (after.uid <= before.uid || after.modseq <= before.modseq || fx_log_bytes(&f, "log.000001") <= bytes)
			fail_msg("%s: uid %u after %u, modseq %llu after %llu", rows[i].name, after.uid, before.uid,
			    (unsigned long long)after.modseq, (unsigned long long)before.modseq);
		if (rows[i].is_read_again)
			s = fx_open(&f);
		assert_int_equal(store_mbox_by_name(s, INBOX, &a, &m), STORE_OK);
		if (m.exists != 4 || m.uidnext != after.uid + 1)
			fail_msg("%s: %u messages, uidnext %u", rows[i].name, m.exists, m.uidnext);
		store_close(s);
		arena_free(&a);
		fx_free(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_torn_tail),
		cmocka_unit_test(test_torn_tail_old_epoch),
		cmocka_unit_test(test_damaged_last),
		cmocka_unit_test(test_epochs),
		cmocka_unit_test(test_fence_after_checkpoint),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_mail_like_a_log),
		cmocka_unit_test(test_kill),
		cmocka_unit_test(test_two_writers),
		cmocka_unit_test(test_sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
