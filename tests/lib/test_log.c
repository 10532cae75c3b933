/*
 * The log: one event is one line whatever the values hold; cuts; deaths.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "log.h"

/* What fn writes to stderr in a child; its exit status in *status_out. */
static void
written(void (*fn)(const void *), const void *arg, char *out, size_t cap, int *status_out)
{
	int p[2];
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	if ((pid = fork()) == 0) {
		dup2(p[1], 2);
		log_init("test");
		errno = 0;
		fn(arg);
		_exit(0);
	}
	close(p[1]);
	while ((got = read(p[0], out + n, cap - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	close(p[0]);
	assert_int_equal(waitpid(pid, status_out, 0), pid);
}

static void
log_value(const void *arg)
{
	LOG("test.done", log_slice("v", *(const struct slice *)arg), log_str("last", "x"));
}

static void
test_values(void **state)
{
	static const struct {
		const char	*name;
		struct slice	 in;
		const char	*want;
	} rows[] = {
		{"plain", {"<ann@b.example>", 15}, "<ann@b.example>"},
		{"empty", {"", 0}, "\"\""},
		{"space", {"a b", 3}, "\"a b\""},
		{"equals", {"a=b", 3}, "\"a=b\""},
		{"quote", {"a\"b", 3}, "\"a\\\"b\""},
		{"backslash and space", {"a\\ b", 4}, "\"a\\\\ b\""},
		{"new line", {"a\ntest warn.forged x=y", 22}, "\"a\\x0atest warn.forged x=y\""},
		{"carriage return", {"a\rb", 3}, "\"a\\x0db\""},
		{"NUL", {"a\0b", 3}, "\"a\\x00b\""},
		{"DEL", {"a\x7f", 2}, "\"a\\x7f\""},
		{"high", {"\xc3\xa9", 2}, "\"\\xc3\\xa9\""},
		{"escape", {"\033[2J", 4}, "\"\\x1b[2J\""},
		{"format", {"%n%s", 4}, "%n%s"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char out[4096], want[256];
		int status;

		written(log_value, &rows[i].in, out, sizeof(out), &status);
		snprintf(want, sizeof(want), "test test.done v=%s last=x\n", rows[i].want);
		if (strcmp(out, want) != 0)
			fail_msg("%s: %s", rows[i].name, out);
	}
}

static void
test_cuts(void **state)
{
	static char big[LOG_VALUE_MAX_BYTES + 1];
	char out[8192];
	struct slice s = {big, LOG_VALUE_MAX_BYTES};
	int status;

	(void)state;
	memset(big, 'x', sizeof(big));
	written(log_value, &s, out, sizeof(out), &status);
	assert_int_equal(strlen(out), strlen("test test.done v= last=x\n") + LOG_VALUE_MAX_BYTES);
	assert_null(strstr(out, "..."));
	s.n++;
	written(log_value, &s, out, sizeof(out), &status);
	assert_int_equal(strlen(out), strlen("test test.done v=... last=x\n") + LOG_VALUE_MAX_BYTES);
	assert_non_null(strstr(out, "x... last"));
	memset(big, 1, sizeof(big));	/* 4 bytes each when escaped */
	written(log_value, &s, out, sizeof(out), &status);
	assert_non_null(strstr(out, "\\x01...\" last=x\n"));
}

static void
log_many(const void *arg)
{
	static char big[500];

	(void)arg;
	memset(big, 'y', sizeof(big));
	LOG("test.done", log_slice("a", (struct slice){big, 500}), log_slice("b", (struct slice){big, 500}),
	    log_slice("c", (struct slice){big, 500}), log_slice("d", (struct slice){big, 500}),
	    log_slice("e", (struct slice){big, 500}), log_slice("f", (struct slice){big, 500}),
	    log_slice("g", (struct slice){big, 500}), log_slice("h", (struct slice){big, 500}),
	    log_slice("i", (struct slice){big, 500}), log_str("j", "short"));
}

static void
test_long_line(void **state)
{
	char out[8192];
	size_t n;
	int status;

	(void)state;
	written(log_many, NULL, out, sizeof(out), &status);
	n = strlen(out);
	assert_true(n <= 4096 && out[n - 1] == '\n' && out[n - 2] == 'y');
	assert_ptr_equal(strchr(out, '\n'), out + n - 1);
	assert_non_null(strstr(out, " h=y"));
	assert_null(strstr(out, " i="));
	assert_null(strstr(out, " j="));	/* nothing after the first that did not fit */
}

static void
die(const void *arg)
{
	errno = *(const int *)arg;
	DIE(EXIT_TEMP, "fatal.test", log_u64("n", UINT64_MAX), log_i64("i", INT64_MIN));
}

static void
test_die(void **state)
{
	char out[4096];
	int status, none = 0, some = ENOSPC;

	(void)state;
	written(die, &none, out, sizeof(out), &status);
	assert_string_equal(out, "test fatal.test n=18446744073709551615 i=-9223372036854775808\n");
	assert_int_equal(WEXITSTATUS(status), EXIT_TEMP);
	written(die, &some, out, sizeof(out), &status);
	assert_non_null(strstr(out, " errno=\"No space left on device\"\n"));
}

static void
test_errno(void **state)
{
	(void)state;
	errno = EXDEV;
	LOG0("test.done");
	assert_int_equal(errno, EXDEV);
	assert_true(now_ms() > 1700000000000);
	assert_true(mono_ms() <= mono_ms());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_die),
		cmocka_unit_test(test_errno),
	};

	log_init("test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
