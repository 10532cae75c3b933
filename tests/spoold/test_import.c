/*
 * Readers of foreign mailboxes: what each kind of file becomes, message by message, with flags, keywords and
 * dates; what is bad in it is said with its place, and what follows is read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "import/reader.h"
#include "import/state.h"
#include "record.h"

static char seen[65536];

/* All of a mailbox as text: "[flags keywords date]bytes", or "!where why". */
static const char *
read_all(enum import_kind kind, const char *p, size_t n)
{
	static struct import_message m;
	struct reader r;
	enum import_got got;
	size_t at = 0;
	int fd = memfd_create("mailbox", MFD_CLOEXEC);

	assert_int_equal(write(fd, p, n), n);
	if (kind == IMPORT_UNKNOWN)
		kind = reader_kind(fd);
	assert_int_equal(reader_open(&r, kind, fd, ""), 0);
	r.date_ms = 1000;
	while ((got = reader_next(&r, &m)) != IMPORT_END) {
		assert_int_not_equal(got, IMPORT_ERROR);
		if (got == IMPORT_BAD)
			at += (size_t)sprintf(seen + at, "!%s %s", r.where, r.why);
		if (got == IMPORT_SKIPPED)
			at += (size_t)sprintf(seen + at, "-");
		if (got != IMPORT_MESSAGE)
			continue;
		at += (size_t)sprintf(seen + at, "[%x", m.flags);
		for (size_t i = 0; i < m.nkeywords; i++)
			at += (size_t)sprintf(seen + at, " %.*s", (int)m.keywords[i].n, m.keywords[i].p);
		at += (size_t)sprintf(seen + at, " %lld]%.*s", (long long)m.date_ms / 1000, (int)m.bytes.n, m.bytes.p);
	}
	seen[at] = '\0';
	reader_close(&r);
	message_free(&m);
	return seen;
}

#define FROM	"From a@b Thu Jan  1 00:16:40 1970\n"	/* 1000 seconds, in UTC */

static void
test_mbox(void **state)
{
	static const struct {
		const char *name, *in, *want;
	} rows[] = {
		{"empty", "", ""},
		{"one", FROM "S: a\n\nx\n", "[0 1000]S: a\r\n\r\nx\r\n"},
		{"two", FROM "S: a\n\nx\n\n" FROM "S: b\n\ny\n", "[0 1000]S: a\r\n\r\nx\r\n[0 1000]S: b\r\n\r\ny\r\n"},
		{"CRLF", "From a@b Thu Jan  1 00:16:40 1970\r\nS: a\r\n\r\nx\r\n", "[0 1000]S: a\r\n\r\nx\r\n"},
		{"no end of the last line", FROM "S: a\n\nx", "[0 1000]S: a\r\n\r\nx"},
		{"From in the body without an empty line before it", FROM "S: a\n\nx\n" FROM "y\n",
		    "[0 1000]S: a\r\n\r\nx\r\n" "From a@b Thu Jan  1 00:16:40 1970\r\ny\r\n"},
		{"From that is no From_ line", FROM "S: a\n\n\nFrom me to you\n", "[0 1000]S: a\r\n\r\n\r\nFrom me to you\r\n"},
		{"quoted", FROM "S: a\n\n>From x\n>>From y\n> From z\n", "[0 1000]S: a\r\n\r\nFrom x\r\n>From y\r\n> From z\r\n"},
		{"status", FROM "Status: RO\nS: a\nX-Status: AF\n\nx\n", "[7 1000]S: a\r\n\r\nx\r\n"},
		{"deleted draft", FROM "X-Status: DT\n\nx\n", "[18 1000]\r\nx\r\n"},
		{"keywords", FROM "S: a\nX-Keywords: $Label1 work\n  later\nX-UID: 7\n\nx\n", "[0 $Label1 work later 1000]S: a\r\n\r\nx\r\n"},
		{"a keyword that is none", FROM "X-Keywords: a(b \\Seen ok\n\nx\n", "[0 ok 1000]\r\nx\r\n"},
		{"mozilla", FROM "X-Mozilla-Status: 0005\nX-Mozilla-Status2: 00000000\n\nx\n",
		    "[5 1000]X-Mozilla-Status2: 00000000\r\n\r\nx\r\n"},
		{"folder internal data", FROM "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\nStatus: RO\n\nx\n\n" FROM
		    "S: b\n\ny\n", "-[0 1000]S: b\r\n\r\ny\r\n"},
		{"X-IMAPbase is only taken out", FROM "X-IMAPbase: 1 2\nS: a\n\nx\n", "[0 1000]S: a\r\n\r\nx\r\n"},
		{"length that fits", FROM "Content-Length: 42\nS: a\n\n\nFrom a@b Thu Jan  1 00:16:40 1970\nquoted\n\n" FROM "S: b\n\ny\n",
		    "[0 1000]S: a\r\n\r\n\r\nFrom a@b Thu Jan  1 00:16:40 1970\r\nquoted\r\n[0 1000]S: b\r\n\r\ny\r\n"},
		{"length that does not", FROM "Content-Length: 9\nS: a\n\nxxxxxxxxxxxxxxxxxx\n\n" FROM "S: b\n\ny\n",
		    "[0 1000]S: a\r\n\r\nxxxxxxxxxxxxxxxxxx\r\n[0 1000]S: b\r\n\r\ny\r\n"},
		{"length beyond the file", FROM "Content-Length: 99999999\n\nx\n", "[0 1000]\r\nx\r\n"},
		{"junk in front", "junk\nmore\n" FROM "S: a\n\nx\n", "!0 no From_ line here[0 1000]S: a\r\n\r\nx\r\n"},
		{"header alone", FROM "S: a\n", "[0 1000]S: a\r\n"},
		{"header cut by the next", FROM "S: a\n" FROM "S: b\n\ny\n", "[0 1000]S: a\r\n[0 1000]S: b\r\n\r\ny\r\n"},
		{"zone", "From a@b Thu Jan  1 00:16:40 1970 +0010\nS: a\n\nx\n", "[0 400]S: a\r\n\r\nx\r\n"},
		{"zone before the year", "From a@b Thu Jan  1 00:16:40 +0010 1970\nS: a\n\nx\n", "[0 400]S: a\r\n\r\nx\r\n"},
		{"lone CR", FROM "S: a\n\nx\ry\n", "[0 1000]S: a\r\n\r\nx\r\ny\r\n"},
		{"8-bit header", FROM "S: \xe4\n\nx\n", "[0 1000]S: \xe4\r\n\r\nx\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got = read_all(IMPORT_MBOX, rows[i].in, strlen(rows[i].in));

		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: got \"%s\"", rows[i].name, got);
	}
}

static void
test_nul(void **state)
{
	static const char in[] = FROM "S: a\n\nx\0y\n";

	(void)state;
	assert_string_equal(read_all(IMPORT_MBOX, in, sizeof(in) - 1), "[0 1000]S: a\r\n\r\nx\x80y\r\n");
}

/* Lines longer than the window, and messages at the limit and past it. */
static void
test_large(void **state)
{
	static struct import_message m;
	size_t n = 200000;
	char *p = malloc(n + 200), *want = malloc(n + 200);
	struct reader r;
	int fd;

	(void)state;
	memcpy(p, FROM "\n", sizeof(FROM));
	memset(p + sizeof(FROM), 'x', n);
	strcpy(p + sizeof(FROM) + n, "\n");
	fd = memfd_create("mailbox", MFD_CLOEXEC);
	assert_int_equal(write(fd, p, strlen(p)), strlen(p));
	assert_int_equal(reader_open(&r, IMPORT_MBOX, fd, ""), 0);
	assert_int_equal(reader_next(&r, &m), IMPORT_MESSAGE);
	assert_int_equal(m.bytes.n, n + 4);
	reader_close(&r);
	for (int past = 0; past < 2; past++) {
		size_t size = IMPORT_MESSAGE_MAX_BYTES - 4 + (size_t)past;	/* and two line ends */
		char *big = malloc(size);

		memset(big, 'x', size);
		fd = memfd_create("mailbox", MFD_CLOEXEC);
		assert_int_equal(write(fd, FROM "\n", sizeof(FROM)), sizeof(FROM));
		assert_int_equal(write(fd, big, size), size);
		assert_int_equal(write(fd, "\n\n" FROM "S: b\n\ny\n", sizeof(FROM) + 9), sizeof(FROM) + 9);
		assert_int_equal(reader_open(&r, IMPORT_MBOX, fd, ""), 0);
		assert_int_equal(reader_next(&r, &m), past ? IMPORT_BAD : IMPORT_MESSAGE);
		assert_int_equal(reader_next(&r, &m), IMPORT_MESSAGE);
		assert_int_equal(m.bytes.n, 11);
		reader_close(&r);
		free(big);
	}
	message_free(&m);
	free(p);
	free(want);
}

static size_t
mbx_file(char *out, const char *keywords, const char *messages)
{
	int n = sprintf(out, "*mbx*\r\n%08x%08x\r\n%s", 1, 9, keywords);

	memset(out + n, '\0', 2048 - (size_t)n);
	strcpy(out + 2048, messages);
	return 2048 + strlen(messages);
}

static void
test_mbx(void **state)
{
	static const struct {
		const char *name, *in, *want;
	} rows[] = {
		{"empty", "", ""},
		{"one", " 1-Jan-1970 00:16:40 +0000,9;000000000000-00000001\r\nS: a\r\n\r\nx", "[0 1000]S: a\r\n\r\nx"},
		{"flags", " 1-Jan-1970 00:16:40 +0000,3;00000000002f-00000001\r\nx\r\n 1-Jan-1970 01:16:40 +0100,3;000000000010-00000002\r\ny\r\n",
		    "[1f 1000]x\r\n[0 1000]y\r\n"},
		{"keywords", " 1-Jan-1970 00:16:40 +0000,3;000000030000-00000001\r\nx\r\n", "[0 work $Label1 1000]x\r\n"},
		{"expunged", " 1-Jan-1970 00:16:40 +0000,3;000000008001-00000001\r\nx\r\n 1-Jan-1970 00:16:40 +0000,3;000000000001-00000002\r\ny\r\n",
		    "-[1 1000]y\r\n"},
		{"broken line", "nonsense\r\nmore\r\n 1-Jan-1970 00:16:40 +0000,3;000000000001-00000002\r\ny\r\n",
		    "!2048 no message's line here[1 1000]y\r\n"},
		{"longer than the file", " 1-Jan-1970 00:16:40 +0000,99;000000000001-00000002\r\ny\r\n", "!2048 no message's line here"},
		{"month that is none", " 1-anF-1970 00:16:40 +0000,3;000000000001-00000002\r\ny\r\n", "!2048 no message's line here"},
	};
	static char file[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = mbx_file(file, "work\r\n$Label1\r\n\r\n", rows[i].in);
		const char *got = read_all(IMPORT_UNKNOWN, file, n);

		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: got \"%s\"", rows[i].name, got);
	}
}

static void
put(const char *dir, const char *name, const char *text)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(futimens(fd, (struct timespec[]){{1000, 0}, {1000, 0}}), 0);
	close(fd);
}

static void
test_maildir(void **state)
{
	static struct import_message m;
	char dir[] = "/tmp/test-import-XXXXXX", path[64], command[128];
	struct reader r;
	size_t n = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (const char *const *sub = (const char *const[]){"cur", "new", "tmp", NULL}; *sub != NULL; sub++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *sub);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	put(dir, "dovecot-keywords", "0 $Label1\n1 work\n");
	put(dir, "cur/300.c:2,FSab", "S: c\n\nx\n");
	put(dir, "cur/100.a:2,RTDP", "S: a\n\nx\n");
	put(dir, "new/200.b", "S: b\n\nx\n");
	put(dir, "tmp/050.t", "half");
	snprintf(path, sizeof(path), "%s/cur/400.d:2,", dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(reader_open(&r, IMPORT_MAILDIR, open(dir, O_RDONLY | O_CLOEXEC), ""), 0);
	assert_int_equal(reader_next(&r, &m), IMPORT_MESSAGE);
	assert_int_equal(m.flags, MSG_ANSWERED | MSG_DELETED | MSG_DRAFT);
	assert_int_equal(m.nkeywords, 1);
	assert_memory_equal(m.keywords[0].p, "$Forwarded", 10);
	assert_string_equal(r.place, "100.a");
	assert_int_equal(reader_next(&r, &m), IMPORT_MESSAGE);
	assert_int_equal(m.flags, 0);
	assert_int_equal(m.date_ms, 1000000);
	assert_int_equal(reader_next(&r, &m), IMPORT_MESSAGE);
	assert_int_equal(m.flags, MSG_FLAGGED | MSG_SEEN);
	assert_int_equal(m.nkeywords, 2);
	assert_memory_equal(m.keywords[1].p, "work", 4);
	assert_int_equal(reader_next(&r, &m), IMPORT_BAD);	/* the link */
	assert_int_equal(reader_next(&r, &m), IMPORT_END);
	reader_close(&r);
	/* And on behind the first, whose flags have changed meanwhile. */
	assert_int_equal(reader_open(&r, IMPORT_MAILDIR, open(dir, O_RDONLY | O_CLOEXEC), "100.a"), 0);
	while (reader_next(&r, &m) == IMPORT_MESSAGE)
		n++;
	assert_int_equal(n, 2);
	reader_close(&r);
	message_free(&m);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static void
test_state(void **state)
{
	struct import_batch b = {.place = "10", .after = "20", .uidnext = 7, .count = 2};
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct import_progress p;
	unsigned line;

	(void)state;
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	assert_true(state_read(fd, "/a b", &p, &line));
	assert_string_equal(p.place, "");
	assert_int_equal(state_begin(fd, "/a b", &b), 0);
	assert_int_equal(state_done(fd, "/other", "99"), 0);
	assert_true(state_read(fd, "/a b", &p, &line));
	assert_true(p.has_open && p.open.uidnext == 7 && p.open.count == 2);
	assert_string_equal(p.open.place, "10");
	assert_int_equal(state_done(fd, "/a b", "20"), 0);
	/* A run that was killed in the middle of a line. */
	assert_int_equal(write(fd, "begin\t7\t2\t20", 12), 12);
	assert_true(state_read(fd, "/a b", &p, &line));
	assert_false(p.has_open);
	assert_string_equal(p.place, "20");
	assert_int_equal(state_finished(fd, "/a b"), 0);
	assert_true(state_read(fd, "/a b", &p, &line));
	assert_true(p.is_done);
	assert_true(state_read(fd, "/other", &p, &line));
	assert_string_equal(p.place, "99");
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mbox),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_mbx),
		cmocka_unit_test(test_maildir),
		cmocka_unit_test(test_state),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
