/*
 * Configuration: values, faults with file and line, the command line. Faults end the process, so each is a child.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "conf.h"
#include "log.h"

struct values {
	const char		*str, *path;
	uint64_t		 num, bytes;
	bool			 flag;
	struct conf_list	 list;
	struct conf_user	 user;
};

#define KEY(k, t, d, lo, hi, u)	{#k, t, d, lo, hi, u, offsetof(struct values, k), "Help."}
static const struct conf_key keys[] = {
	KEY(str, CONF_STR, "abc", 2, 5, ""),
	KEY(path, CONF_PATH, "/x", 0, 100, ""),
	KEY(num, CONF_UINT, "7", 1, 100, "s"),
	KEY(bytes, CONF_UINT, "1k", 0, 1ULL << 40, "bytes"),
	KEY(flag, CONF_BOOL, "no", 0, 0, ""),
	KEY(list, CONF_LIST, "a b", 1, 3, ""),
	KEY(user, CONF_USER, "", 0, 0, ""),
};
#define NKEYS	(sizeof(keys) / sizeof(keys[0]))

static char	dir[] = "/tmp/test_conf.XXXXXX", file[64];

static void
write_file(const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* A daemon keeps its values for life; a test does not. */
static void
values_free(struct values *v)
{
	free((void *)(uintptr_t)v->str);
	free((void *)(uintptr_t)v->path);
	for (size_t i = 0; i < v->list.n; i++)
		free(v->list.v[i]);
	free(v->list.v);
}

static void
test_defaults(void **state)
{
	struct values v;

	(void)state;
	write_file("# nothing\n\n   \n\t# here\n");
	conf_load(keys, NKEYS, file, &v);
	assert_string_equal(v.str, "abc");
	assert_string_equal(v.path, "/x");
	assert_int_equal(v.num, 7);
	assert_int_equal(v.bytes, 1024);
	assert_false(v.flag);
	assert_int_equal(v.list.n, 2);
	assert_string_equal(v.list.v[1], "b");
	assert_false(v.user.is_set);
	values_free(&v);
}

static void
test_values(void **state)
{
	struct values v;

	(void)state;
	write_file("str=a # b\n  num   =  100  \nbytes = 3g\nflag = yes\nlist =  x\ty  z \npath =\nuser = 12:34,56\n");
	conf_load(keys, NKEYS, file, &v);
	assert_string_equal(v.str, "a # b");
	assert_string_equal(v.path, "");
	assert_int_equal(v.num, 100);
	assert_int_equal(v.bytes, 3ULL << 30);
	assert_true(v.flag);
	assert_int_equal(v.list.n, 3);
	assert_string_equal(v.list.v[2], "z");
	assert_true(v.user.is_set);
	assert_int_equal(v.user.uid, 12);
	assert_int_equal(v.user.gid, 34);
	assert_int_equal(v.user.ngroups, 2);
	assert_int_equal(v.user.groups[1], 56);
	values_free(&v);
	write_file("user = root");
	conf_load(keys, NKEYS, file, &v);
	assert_true(v.user.is_set && v.user.uid == 0 && v.user.gid == 0);
	values_free(&v);
}

/* Loads in a child; what it logs in out. */
static int
load_status(char *out, size_t cap)
{
	struct values v;
	int p[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	if ((pid = fork()) == 0) {
		dup2(p[1], 2);
		conf_load(keys, NKEYS, file, &v);
		_exit(0);
	}
	close(p[1]);
	n = read(p[0], out, cap - 1);
	out[n < 0 ? 0 : n] = '\0';
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
test_faults(void **state)
{
	static const struct {
		const char	*text;
		unsigned	 line;		/* 0: it is good */
	} rows[] = {
		{"num = 1\n", 0}, {"num = 100\n", 0}, {"num = 0\n", 1}, {"num = 101\n", 1}, {"num = 1k\n", 1}, {"num = -1\n", 1},
		{"num =\n", 1}, {"num = 1 2\n", 1}, {"num = 0x1\n", 1}, {"num = 18446744073709551617\n", 1},
		{"bytes = 1024g\n", 0}, {"bytes = 1025g\n", 1}, {"bytes = 99999999999g\n", 1}, {"bytes = 1kk\n", 1},
		{"bytes = k\n", 1}, {"str = ab\n", 0}, {"str = a\n", 1}, {"str = abcde\n", 0}, {"str = abcdef\n", 1},
		{"\n\npath = x\n", 3}, {"path = /\n", 0}, {"flag = true\n", 1}, {"flag =\n", 1}, {"list =\n", 1},
		{"list = 1 2 3\n", 0}, {"list = 1 2 3 4\n", 1}, {"nokey = 1\n", 1}, {"# a\nnum = 2\nnum = 2\n", 3}, {"num\n", 1},
		{"user = nosuchuser_\n", 1}, {"user = 1\n", 1}, {"user = 1:\n", 1}, {"user = :1\n", 1}, {"user = 1:2,\n", 1},
		{"user = 4294967295:1\n", 1}, {"user = 1:2,3,4,5,6,7,8,9\n", 0}, {"user = 1:2,3,4,5,6,7,8,9,10\n", 1},
	};
	char out[4096], at[100];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int status;

		write_file(rows[i].text);
		status = load_status(out, sizeof(out));
		snprintf(at, sizeof(at), " at=%s:%u ", file, rows[i].line);
		if (rows[i].line == 0 ? status != 0 : status != EXIT_CONF || strstr(out, at) == NULL)
			fail_msg("%s: status %d, %s", rows[i].text, status, out);
	}
	/* A line that is too long is not cut. */
	{
		static char text[9000];

		memset(text, 'x', sizeof(text) - 1);
		memcpy(text, "str = ", 6);
		write_file(text);
		assert_int_equal(load_status(out, sizeof(out)), EXIT_CONF);
	}
	unlink(file);
	assert_int_equal(load_status(out, sizeof(out)), EXIT_CONF);
}

static bool
check(void *conf, struct conf_wrong *out)
{
	const struct values *v = conf;

	*out = (struct conf_wrong){"str", NULL, "is bad"};
	return strcmp(v->str, "bad") != 0;
}

static int
main_status(char **argv, char *out, size_t cap)
{
	struct values v;
	int p[2], status, argc = 0;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	while (argv[argc] != NULL)
		argc++;
	fflush(stdout);
	assert_int_equal(pipe(p), 0);
	if ((pid = fork()) == 0) {
		dup2(p[1], 1);
		dup2(p[1], 2);
		conf_check_with(check);
		conf_main(argc, argv, "testd", keys, NKEYS, &v);
		_exit(42);
	}
	close(p[1]);
	while ((got = read(p[0], out + n, cap - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(...)	main_status((char *[]){(char *)(uintptr_t)"testd", __VA_ARGS__, NULL}, out, sizeof(out))
#define ARG(s)		((char *)(uintptr_t)(s))

static void
test_main(void **state)
{
	char out[4096];

	(void)state;
	write_file("num = 9\nlist = p q\nuser = 1:2\n");
	assert_int_equal(RUN(ARG("-c"), file), 42);
	assert_int_equal(RUN(ARG("-n"), ARG("-c"), file), 0);
	assert_int_equal(RUN(ARG("-V")), 0);
	assert_memory_equal(out, "testd ", 6);
	assert_int_equal(RUN(ARG("-d"), ARG("-c"), file), 0);
	assert_string_equal(out, "str = abc\npath = /x\nnum = 9\nbytes = 1024\nflag = no\nlist = p q\nuser = 1:2\n");
	assert_int_equal(RUN(ARG("-x")), EXIT_CONF);
	assert_memory_equal(out, "testd fatal.usage ", 18);
	assert_int_equal(RUN(ARG("word")), EXIT_CONF);
	assert_int_equal(RUN(ARG("-c")), EXIT_CONF);
	write_file("str = bad\n");
	assert_int_equal(RUN(ARG("-n"), ARG("-c"), file), EXIT_CONF);
	assert_non_null(strstr(out, "key=str why=\"is bad\""));
	assert_int_equal(RUN(ARG("-c"), file), EXIT_CONF);
	assert_int_equal(RUN(ARG("-n"), ARG("-d"), ARG("-c"), file), EXIT_CONF);
	assert_int_equal(RUN(ARG("-d"), ARG("-c"), file), 0);
}

static void
test_uids(void **state)
{
	char *names[] = {ARG("0"), ARG("root"), ARG("65534")};
	struct conf_list list = {names, 3};
	struct conf_wrong w;
	uid_t uids[3];

	(void)state;
	assert_true(conf_check_users("k", &list, 3, &w));
	assert_false(conf_check_users("k", &list, 2, &w));
	assert_string_equal(w.value, "65534");
	assert_int_equal(conf_uids(&list, uids, 3), 3);
	assert_int_equal(uids[1], 0);
	assert_int_equal(uids[2], 65534);
	names[1] = ARG("nobody_such");
	assert_false(conf_check_users("k", &list, 3, &w));
	assert_string_equal(w.key, "k");
	assert_string_equal(w.value, "nobody_such");
	assert_string_equal(w.why, "no such user");
}

static void
test_dir(void **state)
{
	char path[200], link[128];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/a/b/c/", dir);
	assert_int_equal(dir_make(path, (uid_t)-1, (gid_t)-1, 0700), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(dir_make(path, (uid_t)-1, (gid_t)-1, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(dir_make(path, 65534, 65533, 0750), 0);
		assert_int_equal(stat(path, &st), 0);
		assert_true(st.st_uid == 65534 && st.st_gid == 65533 && (st.st_mode & 0777) == 0750);
		snprintf(path, sizeof(path), "%s/a/b", dir);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_uid, 0);
		/* A child could aim a link at what is not its own. */
		snprintf(link, sizeof(link), "%s/a/link", dir);
		assert_int_equal(symlink("/etc", link), 0);
		assert_int_equal(dir_make(link, 65534, 65533, 0750), -1);
		assert_int_equal(stat("/etc", &st), 0);
		assert_int_equal(st.st_uid, 0);
	}
	assert_int_equal(dir_make("/dev/null/x", (uid_t)-1, (gid_t)-1, 0700), -1);
}

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(file, sizeof(file), "%s/conf", dir);
	return 0;
}

static int
teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_main),
		cmocka_unit_test(test_uids),
		cmocka_unit_test(test_dir),
	};

	log_init("test");
	return cmocka_run_group_tests(tests, setup, teardown);
}
