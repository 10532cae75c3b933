/*
 * A day's log on disk: opened again, scanned over damage, indexed in little memory, purged.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "fixture.h"

#include "daylog.h"
#include "index.h"
#include "log.h"
#include "purge.h"
#include "scan.h"
#include "sorter.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static int		dir;
static struct day	today;

static int
setup(void **state)
{
	(void)state;
	log_init("test");
	dir = fixture_make();
	return !day_parse(SLICE("2026-11-22"), &today);
}

static int
teardown(void **state)
{
	(void)state;
	fixture_remove(dir);
	return 0;
}

static int
day_dir(const struct day *d)
{
	int fd = openat(dir, d->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* ---- opening ---- */

static void
test_open(void **state)
{
	uint32_t salt, again;
	uint64_t size, size_again;
	struct stat st;
	int fd, flags;

	(void)state;
	fd = daylog_open(dir, &today, "main", &salt, &size);
	assert_true(fd >= 0);
	flags = fcntl(fd, F_GETFL);
	assert_int_equal(flags & O_ACCMODE, O_WRONLY);
	assert_true(flags & O_APPEND);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal((uint64_t)st.st_size, size);
	fixture_message(fd, salt, 1, 1, SLICE("x\r\n"), 1);
	close(fd);
	fd = daylog_open(dir, &today, "main", &again, &size_again);
	assert_true(fd >= 0);
	assert_int_equal(salt, again);
	assert_true(size_again > size);
	close(fd);
	/* Another partition's salt is its own. */
	fd = daylog_open(dir, &today, "other", &again, &size_again);
	assert_true(fd >= 0 && again != salt);
	close(fd);
}

/* Root's file cannot be cut or written over even by root while the flag stands. */
static void
test_append_only(void **state)
{
	char path[128];
	uint32_t salt;
	uint64_t size;
	int fd = daylog_open(dir, &today, "main", &salt, &size), other, probe;
	bool has_flag;

	(void)state;
	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "%s/%s/main.log", fixture_dir, today.name);
	probe = open(path, O_RDONLY);
	has_flag = geteuid() == 0 && daylog_set_append(probe, true) == 0;
	close(probe);
	if (!has_flag)
		skip();
	assert_int_equal(open(path, O_WRONLY), -1);
	assert_int_equal(truncate(path, 0), -1);
	assert_int_equal(unlink(path), -1);
	other = open(path, O_RDWR | O_APPEND);
	assert_true(other >= 0);
	assert_int_equal(ftruncate(other, 0), -1);
	close(other);
	close(fd);
}

static void
test_open_damaged(void **state)
{
	static const char *const texts[] = {"x", "TSR1 S 00000000", "mail can contain anything\r\n"};
	uint32_t salt;
	uint64_t size;
	char path[128];
	struct stat st;

	(void)state;
	assert_int_equal(daylog_make_day(dir, &today), 0);
	snprintf(path, sizeof(path), "%s/%s/main.log", fixture_dir, today.name);
	for (size_t i = 0; i < COUNT(texts); i++) {
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_int_equal(write(fd, texts[i], strlen(texts[i])), strlen(texts[i]));
		close(fd);
		assert_int_equal(daylog_open(dir, &today, "main", &salt, &size), -1);
		assert_int_equal(errno, EBADMSG);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal((size_t)st.st_size, strlen(texts[i]));	/* left as it was */
	}
	/* An empty one is one whose header was never written. */
	assert_int_equal(truncate(path, 0), 0);
	assert_true(daylog_open(dir, &today, "main", &salt, &size) >= 0);
	/* A link is not followed. */
	snprintf(path, sizeof(path), "%s/%s/evil.log", fixture_dir, today.name);
	assert_int_equal(symlink("/tmp/test_rotated_target", path), 0);
	assert_int_equal(daylog_open(dir, &today, "evil", &salt, &size), -1);
	assert_int_equal(access("/tmp/test_rotated_target", F_OK), -1);
}

static void
test_partition_names(void **state)
{
	static const struct {
		const char	*name;
		bool		 want;
	} rows[] = {
		{"main", true}, {"a-b_c.1", true}, {"", false}, {".", false}, {"..", false}, {".hidden", false}, {"a/b", false},
		{"a b", false}, {"a\n", false}, {"\xc3\xa4", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (daylog_is_partition(slice_of(rows[i].name)) != rows[i].want)
			fail_msg("%s", rows[i].name);
	}
}

/* ---- the scan ---- */

static const struct {
	const char	*name;
	int		 damage;	/* what is done to record 2 of 4 */
	size_t		 want;		/* good records found, header included */
	uint64_t	 stretches;
	bool		 is_torn;
} scan_rows[] = {
	{"whole", 0, 5, 0, false},
	{"header byte", 1, 4, 1, false},
	{"body byte", 2, 4, 1, false},
	{"trailer byte", 3, 4, 1, false},
	{"extra byte", 4, 4, 1, false},
	{"torn, written again", 5, 5, 1, false},
	{"torn at the end", 6, 5, 1, true},
	{"garbage between", 7, 5, 1, false},
	{"a forged record between", 8, 5, 1, false},
	{"zeros at the end", 9, 5, 1, true},
};

static void
flip(const char *path, uint64_t at)
{
	int fd = open(path, O_RDWR);
	char c;

	assert_int_equal(pread(fd, &c, 1, (off_t)at), 1);
	c = (char)(c ^ 1);
	assert_int_equal(pwrite(fd, &c, 1, (off_t)at), 1);
	close(fd);
}

/* A log of four messages, its second damaged in that way. */
static void
damaged_log(int how, char path[128])
{
	static const char body[] = "From: a@example.test\r\n\r\nTSR1 M 00000001 looks like one\r\n";
	struct slice s = {body, sizeof(body) - 1};
	uint32_t salt;
	uint64_t size;
	struct stat st;
	int fd = daylog_open(dir, &today, "main", &salt, &size), raw;

	assert_true(fd >= 0);
	snprintf(path, 128, "%s/%s/main.log", fixture_dir, today.name);
	raw = open(path, O_RDWR | O_APPEND);
	(void)daylog_set_append(raw, false);
	for (uint64_t i = 1; i <= 4; i++) {
		assert_int_equal(fstat(fd, &st), 0);
		if (i == 2 && how == 5)
			assert_true(write(fd, "TSR1 M 0000", 11) == 11);	/* a short write, then all of it */
		if (i == 2 && how == 7)
			assert_true(write(fd, "TSR1 TSR1 garbage\nTSR1 ", 23) == 23);
		if (i == 2 && how == 8)
			fixture_message(fd, salt + 1, 99, 99, s, 1);
		fixture_message(fd, salt, i, (uint32_t)i, s, 1);
		if (i != 2)
			continue;
		size = (uint64_t)st.st_size;
		assert_int_equal(fstat(fd, &st), 0);
		if (how == 1)
			flip(path, size + 20);
		if (how == 2)
			flip(path, (uint64_t)st.st_size - RECORD_TRAILER_BYTES - 5);
		if (how == 3)
			flip(path, (uint64_t)st.st_size - 20);
		if (how == 4)
			flip(path, size + RECORD_HEADER_BYTES + 3);
	}
	if (how == 6) {
		fixture_message(fd, salt, 5, 5, s, 1);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(truncate(path, st.st_size - 10), 0);
	}
	if (how == 9)
		assert_true(write(fd, (char[100]){0}, 100) == 100);
	close(raw);
	close(fd);
}

static void
test_scan(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(scan_rows); i++) {
		char path[128];
		struct record r;
		uint64_t body_at;
		struct scan s;
		size_t n = 0;
		int fd;

		damaged_log(scan_rows[i].damage, path);
		fd = open(path, O_RDONLY);
		assert_int_equal(scan_begin(fd, &s), SCAN_RECORD);
		while (scan_next(&s, &r, &body_at) == SCAN_RECORD) {
			char head[5];

			n++;
			assert_true(r.modseq != 99);
			if (r.type == RECORD_MESSAGE)
				assert_true(pread(fd, head, 5, (off_t)body_at) == 5 && memcmp(head, "From:", 5) == 0);
		}
		if (n != scan_rows[i].want || s.ndamaged != scan_rows[i].stretches || s.is_torn != scan_rows[i].is_torn) {
			print_error("%s: %zu records, %llu stretches\n", scan_rows[i].name, n, (unsigned long long)s.ndamaged);
			bad++;
		}
		scan_free(&s);
		close(fd);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(bad, 0);
}

/* Bodies larger than the window, and ones that cross its end. */
static void
test_scan_large(void **state)
{
	static char body[700 * 1000];
	uint32_t salt;
	uint64_t size, body_at;
	struct record r;
	struct scan s;
	size_t n = 0;
	int fd, raw;
	char path[128];

	(void)state;
	memset(body, 'x', sizeof(body));
	fd = daylog_open(dir, &today, "main", &salt, &size);
	for (uint64_t i = 0; i < 40; i++)
		fixture_message(fd, salt, i + 1, 1, (struct slice){body, i * 17001}, 1 + i * 3);
	snprintf(path, sizeof(path), "%s/%s/main.log", fixture_dir, today.name);
	raw = open(path, O_RDONLY);
	assert_int_equal(scan_begin(raw, &s), SCAN_RECORD);
	while (scan_next(&s, &r, &body_at) == SCAN_RECORD) {
		struct record_message m;

		if (r.type != RECORD_MESSAGE)
			continue;
		assert_int_equal(r.body_bytes, n * 17001);
		assert_true(record_message_unpack(r.extra, &m));
		assert_int_equal(m.naddressees, 1 + n * 3);
		n++;
	}
	assert_int_equal(n, 40);
	assert_int_equal(s.ndamaged, 0);
	scan_free(&s);
	close(raw);
	close(fd);
}

/* ---- the index ---- */

static void
test_index(void **state)
{
	static const size_t memories[] = {1, 1000, 1 << 20};
	uint32_t salt;
	uint64_t size;
	int fd = daylog_open(dir, &today, "main", &salt, &size), where = day_dir(&today);

	(void)state;
	for (uint64_t i = 0; i < 300; i++) {
		if (i % 3 == 0)
			fixture_change(fd, salt, i, i % 2 == 0 ? "zoe" : "user1");
		else
			fixture_message(fd, salt, i, (uint32_t)i, SLICE("x\r\n"), i % 5 + 1);
	}
	fixture_change(fd, salt, 300, "not a user");
	assert_false(index_is_current(where, "main"));
	for (size_t i = 0; i < COUNT(memories); i++) {
		char path[128], line[256], user[80], before_user[80] = "", end[8];
		unsigned long long offset, before = 0, modseq, n = 0;
		struct index_stats stats;
		unsigned uid;
		FILE *f;

		assert_int_equal(index_make(where, "main", memories[i], &stats), 0);
		assert_int_equal(stats.records, 301);
		assert_int_equal(stats.unusable, 1);
		assert_true(index_is_current(where, "main"));
		snprintf(path, sizeof(path), "%s/%s/main.index", fixture_dir, today.name);
		f = fopen(path, "r");
		assert_non_null(fgets(line, sizeof(line), f));
		assert_int_equal(strlen(line), INDEX_HEADER_BYTES);
		while (fgets(line, sizeof(line), f) != NULL && sscanf(line, "%4s ", end) == 1 && strcmp(end, "TSE1") != 0) {
			int order;

			assert_int_equal(sscanf(line, "%79s %16llx %16llx %8x", user, &offset, &modseq, &uid), 4);
			order = strcmp(before_user, user);
			assert_true(order < 0 || (order == 0 && offset > before));
			memcpy(before_user, user, sizeof(user));
			before = offset;
			n++;
		}
		fclose(f);
		assert_int_equal(n, stats.entries);
		assert_string_equal(end, "TSE1");
	}
	/* What was appended after it is not covered. */
	fixture_change(fd, salt, 301, "late");
	assert_false(index_is_current(where, "main"));
	close(fd);
	close(where);
}

static void
test_index_damaged(void **state)
{
	struct index_stats stats;
	char path[128];
	int where;

	(void)state;
	damaged_log(2, path);
	where = day_dir(&today);
	assert_int_equal(index_make(where, "main", 65536, &stats), 0);
	assert_int_equal(stats.records, 3);
	assert_int_equal(stats.damaged, 1);
	assert_true(stats.damaged_bytes > 0);
	/* Without a header nothing can be said. */
	flip(path, 3);
	assert_int_equal(unlinkat(where, "main.index", 0), 0);
	assert_int_equal(index_make(where, "main", 65536, &stats), -1);
	assert_int_equal(errno, EBADMSG);
	assert_int_equal(faccessat(where, "main.index", F_OK, 0), -1);
	assert_int_equal(faccessat(where, "main.index.tmp", F_OK, 0), -1);
	close(where);
}

static void
test_sorter(void **state)
{
	struct sorter *s = sorter_make(dir, 10 * sizeof(struct entry));
	struct entry e, before = {0};
	size_t n = 0;

	(void)state;
	for (uint64_t i = 0; i < 5000; i++) {
		e = (struct entry){.offset = i};
		snprintf(e.user, sizeof(e.user), "u%llu", (unsigned long long)(i * 7919 % 97));
		assert_int_equal(sorter_add(s, &e), 0);
	}
	assert_int_equal(sorter_finish(s), 0);
	while (sorter_next(s, &e) == 1) {
		int order = strcmp(before.user, e.user);

		assert_true(n == 0 || order < 0 || (order == 0 && before.offset < e.offset));
		before = e;
		n++;
	}
	assert_int_equal(n, 5000);
	sorter_free(s);
}

/* ---- purge and lists ---- */

static void
make_day(const char *name)
{
	struct day d;
	uint32_t salt;
	uint64_t size;
	int fd;

	assert_true(day_parse(slice_of(name), &d));
	fd = daylog_open(dir, &d, "main", &salt, &size);
	assert_true(fd >= 0);
	close(fd);
}

static bool
is_there(const char *name)
{
	return faccessat(dir, name, F_OK, 0) == 0;
}

static void
test_purge(void **state)
{
	struct day oldest, *days;
	uint32_t count;
	size_t n;

	(void)state;
	make_day("2026-10-21");
	make_day("2026-10-22");
	make_day("2026-10-22.2");
	make_day("2026-10-23");
	make_day("2026-11-22");
	assert_int_equal(mkdirat(dir, "2026-10-01x", 0700), 0);
	assert_int_equal(mkdirat(dir, "lost+found", 0700), 0);
	/* 30 days before 2026-11-22 is 2026-10-23: kept; at the limit and one past. */
	day_make(today.number, 1, &oldest);
	assert_int_equal(purge_days(dir, &today, &oldest, 31, &count), 0);
	assert_int_equal(count, 1);
	assert_false(is_there("2026-10-21"));
	assert_true(is_there("2026-10-22"));
	/* A committer still writes to the 22nd's second part. */
	assert_true(day_parse(SLICE("2026-10-22.2"), &oldest));
	assert_int_equal(purge_days(dir, &today, &oldest, 30, &count), 0);
	assert_int_equal(count, 1);
	assert_false(is_there("2026-10-22"));
	assert_true(is_there("2026-10-22.2"));
	assert_int_equal(purge_days(dir, &today, &today, 30, &count), 0);
	assert_int_equal(count, 1);
	assert_true(is_there("2026-10-23") && is_there("2026-11-22") && is_there("2026-10-01x") && is_there("lost+found"));
	assert_int_equal(daylog_list(dir, &days, &n), 0);
	assert_int_equal(n, 2);
	free(days);
}

static void
test_purge_foreign(void **state)
{
	uint32_t count;
	int where;
	struct day old;

	(void)state;
	make_day("2026-01-01");
	assert_true(day_parse(SLICE("2026-01-01"), &old));
	where = day_dir(&old);
	assert_true(openat(where, "notes.txt", O_WRONLY | O_CREAT, 0600) >= 0);
	close(where);
	assert_int_equal(purge_days(dir, &today, &today, 30, &count), -1);
	assert_int_equal(count, 0);
	assert_true(is_there("2026-01-01/notes.txt"));
}

static void
test_newest(void **state)
{
	struct day d;

	(void)state;
	assert_int_equal(daylog_newest(dir, today.number, &d), 0);
	assert_string_equal(d.name, "2026-11-22");
	make_day("2026-11-22");
	make_day("2026-11-22.2");
	make_day("2026-11-22.10");
	make_day("2026-11-23");
	assert_int_equal(daylog_newest(dir, today.number, &d), 0);
	assert_string_equal(d.name, "2026-11-22.10");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_append_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_damaged, setup, teardown),
		cmocka_unit_test(test_partition_names),
		cmocka_unit_test_setup_teardown(test_scan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scan_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_index, setup, teardown),
		cmocka_unit_test_setup_teardown(test_index_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sorter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_purge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_purge_foreign, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
