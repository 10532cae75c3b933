/*
 * What a big mailbox costs below the protocol: the store's functions on one mailbox of N messages, each
 * step in a process of its own (as a worker is), while another process of the same user goes on with
 * what sessions and deliveries do. Memory is RssAnon: the process's own; pages of the LMDB map belong to
 * the page cache and are not counted. Started by big.py.
 *   bigstore DIR messages
 * Prints a line a figure: name, value, unit; tab between them. Or delivers messages to a user's INBOX of
 * a suite that stands still, as the owner of its spools:
 *   bigstore fill ACTIVE INDEX user messages
 */
#include <err.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "store/path.h"
#include "store/rank.h"
#include "store/store_impl.h"

#define WORKER_MMAP_BYTES (256 * 1024)	/* as in spoold/worker.c: LMDB's large tables stay untouched */
#define SAMPLES_MAX	200000
#define USERS		200	/* more than stay open */
#define PIECE		100000	/* messages of the middle-sized changes */

/* What another process of the user does meanwhile. */
enum probe { PROBE_NOOP, PROBE_FETCH, PROBE_SELECT, PROBE_DELIVER, NPROBES };
static const char *const probe_names[NPROBES] = {"NOOP", "FETCH of 256", "SELECT", "delivery"};

static struct shared {
	volatile bool	 is_over;
	volatile bool	 is_ready[NPROBES];
	size_t		 n[NPROBES];
	float		 us[NPROBES][SAMPLES_MAX];
} *shared;

static char active[1024], indexes[1024];
static const char *partitions[] = {"default", NULL};
static struct store_host host = {.active_dir = active, .index_dir = indexes, .partition = "default",
    .partitions = partitions, .segment_max_bytes = 64 << 20, .map_bytes = 4ULL << 30, .dup_window_ms = 3600000};
static uint32_t messages;
static unsigned char inbox[RECORD_ID_BYTES], other[RECORD_ID_BYTES];

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void
say(const char *name, double value, const char *unit)
{
	printf("%s\t%.3f\t%s\n", name, value, unit);
	fflush(stdout);
}

static void
must(enum store_result r, const char *what)
{
	if (r != STORE_OK)
		errx(1, "%s: store result %d", what, r);
}

static double
rss_anon_kib(void)
{
	char line[256];
	double kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "RssAnon: %lf", &kib) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kib;
}

/* A thread that watches this process's memory. */
static volatile bool watch_stop;
static double watch_peak;

static void *
watch(void *arg)
{
	while (!watch_stop) {
		double kib = rss_anon_kib();

		if (kib > watch_peak)
			watch_peak = kib;
		usleep(2000);
	}
	return arg;
}

static struct store *
open_user(const char *name)
{
	struct store *s;

	if (store_open(&host, slice_of(name), &s) != FOUND)
		errx(1, "%s: not opened", name);
	return s;
}

/* The mail of months: one every ten seconds. */
static void
deliver_to(const char *user, uint32_t serial)
{
	unsigned char key[16] = {1}, guid[16] = {2};
	char body[256];
	int n = snprintf(body, sizeof(body), "From: a@b.example\r\nSubject: number %u\r\n\r\nText of number %u.\r\n", serial, serial);
	struct store_placed placed;
	struct store_delivery d = {.user = slice_of(user), .mailbox = SLICE(""), .sender = SLICE("a@b.example"),
	    .qid = SLICE("q"), .key = key, .guid = guid, .date_ms = now_ms() - (serial < messages ? (messages - serial) * 10000LL : 0),
	    .body = {.mem = {body, (size_t)n}, .fd = -1, .bytes = (uint64_t)n}};

	memcpy(key + 4, &serial, sizeof(serial));
	memcpy(guid + 4, &serial, sizeof(serial));
	must(store_deliver(&host, &d, &placed), "deliver");
	close(placed.log_fd);
}

/* Runs one step in a process of its own and says how long it took and what memory it had at most. */
static void
step(const char *name, void (*fn)(void), double work, const char *unit)
{
	pid_t pid;
	int status;

	fflush(stdout);
	if ((pid = fork()) == 0) {
		char label[128];
		double began, before;
		pthread_t t;

		pthread_create(&t, NULL, watch, NULL);
		before = rss_anon_kib();
		began = now_us();
		fn();
		began = now_us() - began;
		watch_stop = true;
		pthread_join(t, NULL);
		snprintf(label, sizeof(label), "%s: time", name);
		say(label, began / 1000, "ms");
		if (work > 0) {
			snprintf(label, sizeof(label), "%s: rate", name);
			say(label, work / began * 1e6, unit);
		}
		snprintf(label, sizeof(label), "%s: peak RssAnon above start", name);
		say(label, (watch_peak > before ? watch_peak - before : 0) / 1024, "MiB");
		snprintf(label, sizeof(label), "%s: RssAnon kept", name);
		say(label, (rss_anon_kib() - before) / 1024, "MiB");
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		errx(1, "%s: status %x", name, status);
}

static int
by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void
probe_once(struct store *s, enum probe what, struct view *v, struct msg_info *m, uint32_t serial)
{
	uint32_t n;
	size_t got;

	switch (what) {
	case PROBE_NOOP:
		(void)view_is_stale(s, v);
		break;
	case PROBE_FETCH:
		must(view_range(s, v, messages / 2, UINT32_MAX, m, STORE_BATCH_MSGS, &got), "view_range");
		break;
	case PROBE_SELECT:
		must(view_open(s, inbox, false, v), "view_open");
		must(view_count(s, v, &n), "view_count");
		must(view_first_unseen(s, v, &n), "view_first_unseen");
		break;
	default:
		deliver_to("alice", serial);
		break;
	}
}

/* Another session of the user, or deliveries to it: again and again, until the change is over. */
static void
probe(enum probe what)
{
	struct store *s = what == PROBE_DELIVER ? NULL : open_user("alice");
	struct msg_info *m = calloc(STORE_BATCH_MSGS, sizeof(*m));
	uint32_t serial = (1U << 31) + (uint32_t)getpid() * 1000;
	struct view v;

	if (s != NULL)
		must(view_open(s, inbox, false, &v), "view_open");
	shared->is_ready[what] = true;
	while (!shared->is_over) {
		double began = now_us();

		probe_once(s, what, &v, m, serial++);
		if (shared->n[what] < SAMPLES_MAX)
			shared->us[what][shared->n[what]++] = (float)(now_us() - began);
		usleep(1000);
	}
	_exit(0);
}

static void
say_probe(const char *name, enum probe what)
{
	char label[128];
	size_t n = shared->n[what];
	float *us = shared->us[what];

	if (n == 0)
		return;
	qsort(us, n, sizeof(*us), by_size);
	snprintf(label, sizeof(label), "%s: meanwhile %s p50", name, probe_names[what]);
	say(label, us[n / 2] / 1000, "ms");
	snprintf(label, sizeof(label), "%s: meanwhile %s p99", name, probe_names[what]);
	say(label, us[n - 1 - n / 100] / 1000, "ms");
	snprintf(label, sizeof(label), "%s: meanwhile %s worst", name, probe_names[what]);
	say(label, us[n - 1] / 1000, "ms");
}

static void
step_with_others(const char *name, void (*fn)(void), double work, const char *unit)
{
	pid_t pids[NPROBES];
	int status;

	memset(shared, 0, sizeof(*shared));
	fflush(stdout);
	for (int i = 0; i < NPROBES; i++) {
		if ((pids[i] = fork()) == 0)
			probe((enum probe)i);
		while (!shared->is_ready[i])
			usleep(1000);
	}
	usleep(20000);
	memset(shared->n, 0, sizeof(shared->n));
	step(name, fn, work, unit);
	shared->is_over = true;
	for (int i = 0; i < NPROBES; i++)
		if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
			errx(1, "%s: another session: status %x", name, status);
	for (int i = 0; i < NPROBES; i++)
		say_probe(name, (enum probe)i);
}

/* ---- the steps ---- */

static void
generate(void)
{
	for (uint32_t i = 0; i < messages; i++)
		deliver_to("alice", i + 1);
}

static void
build(void)
{
	store_close(open_user("alice"));
}

static void
catch_up(void)
{
	struct store *s = open_user("alice");

	must(store_current_begin(s), "current");
	must(index_end(&s->ix), "end");
}

static void
select_once(struct store *s, bool claim, struct view *v)
{
	struct msg_info first;
	size_t n;
	uint32_t c;

	must(view_open(s, inbox, claim, v), "view_open");
	must(view_count(s, v, &c), "view_count");
	if (v->recent_uid != 0)
		must(view_range(s, v, v->recent_uid, UINT32_MAX, &first, 1, &n), "view_range");
	must(view_first_unseen(s, v, &c), "view_first_unseen");
}

static void
select_costs(void)
{
	double began = now_us(), before;
	struct store *s = open_user("alice");
	struct view v;

	select_once(s, true, &v);
	say("SELECT, store not open yet", (now_us() - began) / 1000, "ms");
	before = rss_anon_kib();
	began = now_us();
	for (int i = 0; i < 1000; i++)
		select_once(s, false, &v);
	say("SELECT warm", (now_us() - began) / 1000 / 1000, "ms");
	say("SELECT, RssAnon of 1,000 views more", rss_anon_kib() - before, "KiB");
}

static void
view_costs(void)
{
	struct store *s = open_user("alice");
	struct msg_info *m = calloc(STORE_BATCH_MSGS, sizeof(*m));
	struct arena a = arena_make(1 << 20);
	struct mbox_info info;
	struct view v;
	uint32_t count, out;
	size_t n;
	double began;

	must(view_open(s, inbox, false, &v), "view_open");
	must(view_count(s, &v, &count), "view_count");
	for (int at = 0; at < 3; at++) {
		static const char *const where[] = {"first", "middle", "last"};
		uint32_t seq = at == 0 ? 1 : at == 1 ? count / 2 : count, uid;
		char label[64];

		must(view_uid(s, &v, seq, &uid), "view_uid");
		began = now_us();
		for (int i = 0; i < 1000; i++)
			must(view_uid(s, &v, seq, &out), "view_uid");
		snprintf(label, sizeof(label), "number to UID, %s", where[at]);
		say(label, (now_us() - began) / 1000, "us");
		began = now_us();
		for (int i = 0; i < 1000; i++)
			must(view_seq(s, &v, uid, &out), "view_seq");
		snprintf(label, sizeof(label), "UID to number, %s", where[at]);
		say(label, (now_us() - began) / 1000, "us");
		began = now_us();
		for (int i = 0; i < 100; i++)
			must(view_range(s, &v, uid, UINT32_MAX, m, STORE_BATCH_MSGS, &n), "view_range");
		snprintf(label, sizeof(label), "256 messages, %s", where[at]);
		say(label, (now_us() - began) / 100, "us");
	}
	began = now_us();
	for (int i = 0; i < 1000; i++) {
		must(store_mbox_by_id(s, inbox, &a, &info), "status");
		arena_reset(&a);
	}
	say("STATUS", (now_us() - began) / 1000, "us");
}

static void
fetch_all(void)
{
	struct store *s = open_user("alice");
	struct msg_info *m = calloc(STORE_BATCH_MSGS, sizeof(*m));
	struct view v;
	uint32_t lo = 1;
	size_t n;

	must(view_open(s, inbox, false, &v), "view_open");
	do {
		must(view_range(s, &v, lo, UINT32_MAX, m, STORE_BATCH_MSGS, &n), "view_range");
		lo = n > 0 ? m[n - 1].uid + 1 : lo;
	} while (n == STORE_BATCH_MSGS);
}

static void
flag_range(uint32_t lo, uint32_t hi, enum flag_op op, uint32_t flags)
{
	struct uid_range r = {lo, hi};
	struct uid_set set = {&r, 1};
	struct flag_change c = {.op = op, .flags = flags};
	uint64_t modseq;

	must(store_flags(open_user("alice"), inbox, &set, &c, &modseq), "store_flags");
}

static void
flag_one(void)
{
	for (uint32_t i = 0; i < 1000; i++)
		flag_range(messages / 2 + i * 7, messages / 2 + i * 7, FLAGS_ADD, MSG_ANSWERED);
}

static void
flag_piece(void)
{
	flag_range(1, PIECE, FLAGS_ADD, MSG_FLAGGED);
}

static void
flag_all(void)
{
	flag_range(1, UID_LAST, FLAGS_ADD, MSG_SEEN);
}

static void
delete_piece(void)
{
	flag_range(1001, 1000 + PIECE, FLAGS_ADD, MSG_DELETED);
}

static void
delete_all(void)
{
	flag_range(1, UID_LAST, FLAGS_ADD, MSG_DELETED);
}

static void
expunge(void)
{
	uint64_t modseq;

	must(store_expunge(open_user("alice"), inbox, NULL, true, &modseq), "store_expunge");
}

static void
copy_piece(void)
{
	struct arena a = arena_make(64 << 20);
	struct uid_range r = {1, PIECE};
	struct uid_set set = {&r, 1};
	struct copied *pairs;
	uint32_t v;
	size_t n;

	must(store_copy(open_user("alice"), inbox, &set, other, false, &a, &pairs, &n, &v), "store_copy");
}

static struct view old_view;

static void
remember_view(void)
{
	struct store *s = open_user("alice");

	must(view_open(s, inbox, false, &old_view), "view_open");
	store_close(s);
	store_drop_cached();	/* nothing of it may be open over a fork */
}

static void
sync_old(void)
{
	struct store *s = open_user("alice");
	struct arena a = arena_make(256 << 20);
	struct view_delta d;
	size_t told = 0;

#ifdef STORE_SYNC_MAX
	do {
		arena_reset(&a);
		must(view_sync(s, &old_view, true, &a, &d), "view_sync");
		told += d.nexpunges + d.nchanges;
	} while (d.has_more);
#else
	must(view_sync(s, &old_view, true, &a, &d), "view_sync");
	told = d.nexpunges + d.nchanges;
#endif
	if (d.is_gone)
		printf("(the session got BYE)\t0\t\n");
	else
		printf("told\t%zu\tmessages\n", told);
}

static void
untold_costs(void)
{
	struct store *s = open_user("alice");
	struct msg_info *m = calloc(STORE_BATCH_MSGS, sizeof(*m));
	uint32_t n, uid;
	size_t got;
	double began = now_us();

	must(view_count(s, &old_view, &n), "view_count");
	say("untold expunges: first look", (now_us() - began) / 1000, "ms");
	began = now_us();
	for (int i = 0; i < 100; i++)
		must(view_uid(s, &old_view, n / 2 + (uint32_t)i, &uid), "view_uid");
	say("untold expunges: number to UID", (now_us() - began) / 100, "us");
	began = now_us();
	for (int i = 0; i < 100; i++)
		must(view_range(s, &old_view, uid, UINT32_MAX, m, STORE_BATCH_MSGS, &got), "view_range");
	say("untold expunges: 256 messages", (now_us() - began) / 100, "us");
}

/* One message in each sum of 65,536 UIDs up to the last: a start that was not orderly takes one of them. */
static void
far_uids(void)
{
	struct store *s = open_user("alice");
	struct ix_block none, one = {.modseq = 1, .live = {1}};
	uint32_t n = 0;
	double began;

	must(index_begin(&s->ix, true), "begin");
	for (uint32_t super = 0; super < 32768; super++) {
		rank_load(&s->ix, 1000, super * SUPER_BLOCKS, &none);
		rank_store(&s->ix, 1000, super * SUPER_BLOCKS, &none, &one);
	}
	must(index_commit(&s->ix), "commit");
	must(index_begin(&s->ix, false), "begin");
	for (int at = 1; at <= 32; at *= 2) {
		char label[64];

		began = now_us();
		for (int i = 0; i < 100; i++)
			n += rank_below(&s->ix, 1000, (uint32_t)at * (1U << 26) - 1);
		snprintf(label, sizeof(label), "UID to number past %d sums of UIDs", at * 1024);
		say(label, (now_us() - began) / 100, "us");
	}
	if (n == 0)
		errx(1, "nothing below");
	must(index_end(&s->ix), "end");
}

static void
users_in_turn(void)
{
	char name[32];
	double began;

	for (int round = 0; round < 2; round++) {
		began = now_us();
		for (int i = 0; i < USERS; i++) {
			struct arena a = arena_make(1 << 16);
			struct mbox_info info;
			struct mboxname box;
			struct store *s;

			snprintf(name, sizeof(name), "user%d", i);
			s = open_user(name);
			mboxname_inbox(slice_of(name), &box);
			must(store_mbox_by_name(s, (struct slice){box.s, box.n}, &a, &info), "status");
			store_close(s);
			arena_free(&a);
		}
	}
	say("another user each time: open, STATUS, close", (now_us() - began) / USERS, "us");
	began = now_us();
	for (int i = 0; i < 1000; i++)
		store_close(open_user(name));
	say("a user among the 64 open: open, close", (now_us() - began) / 1000, "us");
}

static void
make_users(void)
{
	unsigned char id[RECORD_ID_BYTES];
	struct mboxname box;
	struct store *s;
	char name[32];

	for (int i = 0; i < USERS; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		must(store_create(&host, slice_of(name)), "create");
		mboxname_inbox(slice_of(name), &box);
		s = open_user(name);
		must(store_mbox_create(s, (struct slice){box.s, box.n}, USE_NONE, id), "create");
		store_close(s);
		deliver_to(name, 1);
		store_drop_cached();
	}
}

static void
index_size(const char *name)
{
	char path[PATH_MAX], label[128];
	struct stat st;

	path_user(indexes, "default", "", SLICE("alice"), path);
	strncat(path, "/data.mdb", sizeof(path) - strlen(path) - 1);
	if (stat(path, &st) == 0) {
		snprintf(label, sizeof(label), "%s: index bytes a message", name);
		say(label, (double)st.st_size / messages, "bytes");
	}
}

static void
drop_index(bool with_checkpoint)
{
	char path[PATH_MAX];

	path_user(indexes, "default", "", SLICE("alice"), path);
	path_remove(path);
	if (with_checkpoint) {
		path_user(active, "default", "", SLICE("alice"), path);
		strncat(path, "/checkpoint", sizeof(path) - strlen(path) - 1);
		unlink(path);
	}
}

static void
make_mailboxes(void)
{
	struct store *s;
	struct mbox_info info;
	struct arena a = arena_make(1 << 16);

	must(store_create(&host, SLICE("alice")), "create");
	s = open_user("alice");
	must(store_mbox_create(s, SLICE("user.alice"), USE_NONE, inbox), "create");
	must(store_mbox_create(s, SLICE("user.alice.Other"), USE_NONE, other), "create");
	must(store_mbox_by_id(s, inbox, &a, &info), "status");
	arena_free(&a);
	store_close(s);
	store_drop_cached();
}

static void
changes(void)
{
	step("1,000 flag changes one by one", flag_one, 1000, "/s");
	remember_view();
	step_with_others("STORE +FLAGS of 100,000", flag_piece, PIECE, "messages/s");
	step("sync of a session after that", sync_old, PIECE, "messages/s");
	step_with_others("COPY of 100,000", copy_piece, PIECE, "messages/s");
	step("delete 100,000", delete_piece, PIECE, "messages/s");
	remember_view();
	step_with_others("EXPUNGE of 100,000", expunge, PIECE, "messages/s");
	step("100,000 untold", untold_costs, 0, "");
	step("sync of a session after the expunge", sync_old, PIECE, "messages/s");
	step("EXPUNGE where nothing is deleted", expunge, 0, "");
	remember_view();
	step_with_others("STORE 1:* +FLAGS of all", flag_all, messages, "messages/s");
	step("sync of a session after all", sync_old, messages, "messages/s");
	step("delete all", delete_all, messages, "messages/s");
	remember_view();
	step_with_others("EXPUNGE of all", expunge, messages, "messages/s");
	step("all untold", untold_costs, 0, "");
	step("sync of a session after all are gone", sync_old, messages, "messages/s");
}

static int
fill(char **argv)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(active, sizeof(active), "%s", argv[0]);
	snprintf(indexes, sizeof(indexes), "%s", argv[1]);
	snprintf(path, sizeof(path), "%s/default", active);
	if (epoch_begin(active, "default", false, &host.epoch) != 0 || stat(path, &st) != 0 || setegid(st.st_gid) != 0 ||
	    seteuid(st.st_uid) != 0)
		err(111, "%s", active);
	messages = (uint32_t)strtoul(argv[3], NULL, 10);
	for (uint32_t i = 0; i < messages; i++)
		deliver_to(argv[2], i + 1);
	if (seteuid(getuid()) != 0)
		err(111, "seteuid");
	return epoch_end(active, "default");
}

int
main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "fill") == 0) {
		log_init("bigstore");
		return fill(argv + 2);
	}
	if (argc != 3 || (messages = (uint32_t)strtoul(argv[2], NULL, 10)) < 2 * PIECE)
		errx(100, "usage: bigstore DIR messages (%d at least)", 2 * PIECE);
	log_init("bigstore");
	(void)mallopt(M_MMAP_THRESHOLD, WORKER_MMAP_BYTES);
	snprintf(active, sizeof(active), "%s/active", argv[1]);
	snprintf(indexes, sizeof(indexes), "%s/index", argv[1]);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || epoch_begin(active, "default", false, &host.epoch) != 0)
		err(111, "%s", argv[1]);
	make_mailboxes();
	step("deliveries without sync", generate, messages, "messages/s");
	drop_index(true);
	step("rebuild from the log", build, messages, "messages/s");
	index_size("rebuild from the log");
	step("checkpoint", catch_up, 0, "");
	index_size("checkpoint");
	step("SELECT", select_costs, 0, "");
	step("views", view_costs, 0, "");
	step("FETCH 1:* (FLAGS)", fetch_all, messages, "messages/s");
	changes();
	drop_index(false);
	step("rebuild from the checkpoint", build, messages, "messages/s");
	drop_index(true);
	step("rebuild from the log after all that", build, messages, "messages/s");
	index_size("rebuild from the log after all that");
	step("far UIDs", far_uids, 0, "");
	make_users();
	step("users", users_in_turn, 0, "");
	return 0;
}
