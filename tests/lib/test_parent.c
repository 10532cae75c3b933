/*
 * A real parent (this program, started again as one) with real children: restarts, drains, reloads and their refusal,
 * the end, and what a child inherits. Its log is what is checked.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc.h"
#include "log.h"
#include "parent.h"

#define WAIT_MS		15000

/* ---- the program that is a parent: argv is PROGRAM [-n] parent DIR MODE ---- */

static const char	*base;	/* DIR: refuse makes -n fail; "log" is its stderr */
static int		 extra_fd;

static void
child_serve(void *arg, int chan)
{
	char msg[64], text[64];
	int fds[IPC_FDS_MAX], death = 0;
	struct sigaction term, pipe_action, usr1;
	size_t nfds, nopen = 0;
	struct dirent *e;
	ssize_t n;
	DIR *d;

	(void)arg;
	(void)prctl(PR_GET_PDEATHSIG, &death);
	sigaction(SIGTERM, NULL, &term);
	sigaction(SIGPIPE, NULL, &pipe_action);
	sigaction(SIGUSR1, NULL, &usr1);
	d = opendir("/proc/self/fd");
	while ((e = readdir(d)) != NULL)
		nopen += e->d_name[0] != '.' && atoi(e->d_name) != dirfd(d);
	closedir(d);
	(void)prctl(PR_GET_NAME, text);
	/* 0-2, chan, the kept one. */
	LOG("child.up", log_i64("pid", getpid()), log_u64("fds", nopen), log_i64("kept", fcntl(extra_fd, F_GETFD) >= 0),
	    log_i64("death", death), log_i64("restarts", (term.sa_flags & SA_RESTART) != 0),
	    log_i64("pipe", pipe_action.sa_handler == SIG_IGN), log_i64("usr1", usr1.sa_handler == SIG_DFL),
	    log_str("title", text));
	if (ipc_send(chan, SLICE("hello"), &extra_fd, 1) < 0)
		_exit(9);
	n = ipc_recv(chan, msg, sizeof(msg), fds, &nfds);
	if (n == 0)
		LOG("child.eof", log_i64("pid", getpid()));
	else if (child_term)
		LOG("child.term", log_i64("pid", getpid()));
	else
		_exit(7);	/* told to die */
	_exit(0);
}

static void
child_crash(void *arg, int chan)
{
	(void)arg;
	(void)chan;
	LOG("crasher.up", log_i64("pid", getpid()));
	_exit(3);
}

static void
child_deaf(void *arg, int chan)
{
	(void)arg;
	(void)chan;
	signal(SIGTERM, SIG_IGN);
	LOG("deaf.up", log_i64("pid", getpid()));
	for (;;)
		pause();
}

static void
child_once(void *arg, int chan)
{
	(void)arg;
	_exit(ipc_send(chan, SLICE("once"), NULL, 0) < 0);
}

static void
on_verb(struct child *c, void *arg, struct slice msg, int *fds, size_t nfds)
{
	(void)arg;
	LOG("verb.got", log_slice("msg", msg), log_u64("fds", nfds), log_i64("pid", child_pid(c)));
	ipc_close_fds(fds, nfds);
}

static void
on_ended(struct child *c, void *arg)
{
	(void)arg;
	LOG("ended.called", log_i64("chan", child_chan(c)), log_i64("pid", child_pid(c)));
}

struct program {
	struct parent	*parent;
	struct child	*served;
};

static void
on_usr1(void *arg)
{
	struct program *p = arg;
	const struct child_spec once = {.name = "test/once", .run = child_once, .once = true, .verb = on_verb, .ended = on_ended};

	parent_spawn(p->parent, &once);
}

static void
on_usr2(void *arg)
{
	struct program *p = arg;

	child_stop(p->served);
}

static int
program(int argc, char **argv)
{
	struct child_spec spec = {.name = "test/serve", .run = child_serve, .keep = &extra_fd, .nkeep = 1, .verb = on_verb};
	struct child_spec crash = {.name = "test/crash", .run = child_crash};
	struct child_spec deaf = {.name = "test/deaf", .run = child_deaf};
	bool is_check = strcmp(argv[1], "-n") == 0;
	char where[128], refuse[128];
	struct program p;

	log_init("test");
	base = argv[argc - 2];
	snprintf(refuse, sizeof(refuse), "%s/refuse", base);
	if (is_check)
		return access(refuse, F_OK) == 0 ? EXIT_CONF : 0;
	p.parent = parent_make(argv, 1000);
	extra_fd = parent_kept_fd(p.parent, "extra");
	LOG("program.up", log_i64("pid", getpid()), log_i64("inherited", extra_fd >= 0));
	if (extra_fd < 0)
		extra_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	parent_keep_fd(p.parent, "extra", extra_fd);
	snprintf(where, sizeof(where), "unix:%s/sock", base);
	parent_listen(p.parent, where, true, (uid_t)-1, (gid_t)-1, 0600);
	parent_listen(p.parent, "127.0.0.1:0", false, (uid_t)-1, (gid_t)-1, 0);
	parent_on_signal(p.parent, SIGUSR1, on_usr1, &p);
	parent_on_signal(p.parent, SIGUSR2, on_usr2, &p);
	if (strcmp(argv[argc - 1], "crash") == 0)
		parent_spawn(p.parent, &crash);
	else if (strcmp(argv[argc - 1], "deaf") == 0)
		parent_spawn(p.parent, &deaf);
	else
		p.served = parent_spawn(p.parent, &spec);
	return parent_run(p.parent);
}

/* ---- the tests ---- */

static char	dir[64], log_path[80], self[] = "/proc/self/exe";
static pid_t	pid;

static void
start(const char *mode)
{
	int fd;

	snprintf(dir, sizeof(dir), "/tmp/test_parent.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	fd = open(log_path, O_RDWR | O_CREAT | O_APPEND, 0600);
	fflush(stdout);
	if ((pid = fork()) == 0) {
		dup2(fd, 2);
		execl(self, "test_parent", "parent", dir, mode, (char *)NULL);
		_exit(99);
	}
	close(fd);
}

/* The log as it is now. */
static char *
read_log(void)
{
	static char text[65536];
	int fd = open(log_path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static size_t
count_of(const char *needle)
{
	size_t n = 0;

	for (const char *p = read_log(); (p = strstr(p, needle)) != NULL; p += strlen(needle))
		n++;
	return n;
}

/* Waits until needle stands in the log that often. */
static void
wait_for(const char *needle, size_t times)
{
	for (int i = 0; i < WAIT_MS / 10; i++) {
		if (count_of(needle) >= times)
			return;
		usleep(10000);
	}
	fail_msg("no %zu times \"%s\" in:\n%s", times, needle, read_log());
}

/* The number after key in the last line that begins with event. */
static long
value_of(const char *event, const char *key)
{
	char *at = NULL, *next = read_log();

	while ((next = strstr(next, event)) != NULL)
		at = next++;
	assert_non_null(at);
	assert_non_null(at = strstr(at, key));
	return atol(at + strlen(key));
}

static void
finish(int want)
{
	char command[128];
	int status;

	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, want);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static void
test_child(void **state)
{
	(void)state;
	start("serve");
	wait_for("verb.got msg=hello fds=1", 1);
	assert_int_equal(value_of("child.up", "fds="), 5);
	assert_int_equal(value_of("child.up", "kept="), 1);
	assert_int_equal(value_of("child.up", "death="), SIGKILL);
	assert_int_equal(value_of("child.up", "restarts="), 0);
	assert_int_equal(value_of("child.up", "pipe="), 1);
	assert_int_equal(value_of("child.up", "usr1="), 1);
	assert_int_equal(count_of("title=test/serve"), 1);
	/* A child asked to stop ends quietly and is started again. */
	kill(pid, SIGUSR2);
	wait_for("child.term", 1);
	wait_for("verb.got", 2);
	assert_int_equal(count_of("warn."), 0);
	/* A once child is heard to its last word, and not started again. */
	kill(pid, SIGUSR1);
	wait_for("ended.called chan=-1 pid=-1", 1);
	assert_int_equal(count_of("msg=once"), 1);
	/* One that is killed is reported and started again. */
	kill((pid_t)value_of("child.up", "pid="), SIGKILL);
	wait_for("warn.child.died name=test/serve", 1);
	assert_int_equal(count_of("signal=9 status=0"), 1);
	wait_for("verb.got msg=hello", 3);
	finish(0);
}

static void
test_crash(void **state)
{
	int64_t from = mono_ms(), took;

	(void)state;
	start("crash");
	wait_for("crasher.up", 5);
	took = mono_ms() - from;
	/* 100, 200, 400, 800 ms. */
	assert_in_range(took, 1400, 8000);
	assert_true(count_of("status=3") >= 4);
	finish(0);
}

static void
test_deaf(void **state)
{
	int64_t from;

	(void)state;
	start("deaf");
	wait_for("deaf.up", 1);
	from = mono_ms();
	finish(0);
	assert_in_range(mono_ms() - from, 900, 8000);
}

static void
test_reload(void **state)
{
	char refuse[128], path[128];
	long old;
	int fd;

	(void)state;
	start("serve");
	wait_for("verb.got", 1);
	snprintf(refuse, sizeof(refuse), "%s/refuse", dir);
	close(open(refuse, O_WRONLY | O_CREAT, 0600));
	old = value_of("child.up", "pid=");
	kill(pid, SIGHUP);
	wait_for("warn.reload.refused why=configuration", 1);
	assert_int_equal(kill((pid_t)old, 0), 0);
	assert_int_equal(count_of("program.up"), 1);
	/* A client that connects meanwhile waits in the same listener. */
	snprintf(path, sizeof(path), "%s/sock", dir);
	fd = ipc_connect(path, SOCK_SEQPACKET);
	assert_true(fd >= 0);
	unlink(refuse);
	for (size_t i = 1; i <= 3; i++) {
		kill(pid, SIGHUP);
		wait_for("program.up", i + 1);
		wait_for("verb.got", i + 1);
		wait_for("child.eof", i);
		wait_for("child.drained", i);
	}
	assert_int_equal(value_of("program.up", "pid="), pid);
	assert_int_equal(value_of("program.up", "inherited="), 1);
	assert_int_equal(value_of("child.up", "fds="), 5);
	/* Still connected, never refused: nobody accepts in this program. */
	{
		struct pollfd p = {.fd = fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 100), 0);
	}
	close(fd);
	assert_int_equal(count_of("warn.child"), 0);
	finish(0);
}

/* Killed without a chance to say anything, it takes its children with it. */
static void
test_killed(void **state)
{
	char command[128];
	long child;
	int status;

	(void)state;
	start("serve");
	wait_for("verb.got", 1);
	child = value_of("child.up", "pid=");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (int i = 0; i < WAIT_MS / 10 && kill((pid_t)child, 0) == 0; i++)
		usleep(10000);
	assert_int_equal(kill((pid_t)child, 0), -1);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_child),
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_deaf),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_killed),
	};

	if (argc >= 4)
		return program(argc, argv);
	log_init("test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
