/*
 * Real children: what a profile allows works there, what it forbids ends in SIGSYS; Landlock, users, limits.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <iconv.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <lmdb.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc.h"
#include "log.h"
#include "sandbox.h"

static char	dir[] = "/tmp/test_sandbox.XXXXXX";
static char	path_file[64], path_new[64], path_sock[64];
static int	fd_append, fd_rw, fd_listen, fd_pair[2];

/* ---- what children do: 0 when it worked ---- */

static int
do_memory(void)
{
	char *p = malloc(64 * 1024 * 1024);

	if (p == NULL)
		return 1;
	memset(p, 1, 64 * 1024 * 1024);
	p = realloc(p, 128 * 1024 * 1024);
	free(p);
	return p == NULL;
}

static int
do_log(void)
{
	LOG("test.line", log_str("a", "b"), log_i64("ms", now_ms()));
	return fprintf(stdout, "%s", "") < 0 || fflush(stdout) != 0;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static int
do_libevent(void)
{
	struct timeval tv = {.tv_usec = 1000};
	struct event_base *base = event_base_new();
	struct event *timer, *sig;

	if (base == NULL || (timer = evtimer_new(base, on_timer, base)) == NULL ||
	    (sig = evsignal_new(base, SIGUSR1, on_timer, base)) == NULL || event_add(sig, NULL) < 0 ||
	    evtimer_add(timer, &tv) < 0)
		return 1;
	return event_base_dispatch(base) != 0;
}

static int
do_openssl(void)
{
	unsigned char r[32], h[64];
	unsigned n;

	return RAND_bytes(r, sizeof(r)) != 1 || EVP_Digest(r, sizeof(r), h, &n, EVP_sha256(), NULL) != 1;
}

static int
do_pass_fd(void)
{
	int fds[IPC_FDS_MAX] = {fd_rw}, got[IPC_FDS_MAX];
	size_t n;
	char b[8];

	if (ipc_send(fd_pair[0], SLICE("x"), fds, 1) < 0 || ipc_recv(fd_pair[1], b, sizeof(b), got, &n) != 1 || n != 1)
		return 1;
	return close(got[0]) != 0;
}

static int
do_nonblock(void)
{
	return fcntl(fd_pair[0], F_SETFL, O_NONBLOCK) < 0;
}

static void *
thread(void *arg)
{
	*(int *)arg = 1;
	return NULL;
}

static int
do_thread(void)
{
	pthread_t t;
	int ran = 0;

	return pthread_create(&t, NULL, thread, &ran) != 0 || pthread_join(t, NULL) != 0 || ran != 1;
}

static int
do_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0;
}

static int
do_exec(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return 1;
}

static int
do_connect(void)
{
	int fd = ipc_connect(path_sock, SOCK_SEQPACKET);

	return fd < 0 || close(fd) != 0;
}

static int
do_accept(void)
{
	int fd = accept4(fd_listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return fd < 0 && errno != EAGAIN;
}

static int
do_tcp(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int
do_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0) >= 0 || errno != EAFNOSUPPORT;
}

static int
do_packet(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0) < 0;
}

static int
do_open_read(void)
{
	return open(path_file, O_RDONLY | O_CLOEXEC) < 0;
}

static int
do_open_write(void)
{
	return open(path_file, O_WRONLY) < 0;
}

static int
do_open_trunc(void)
{
	return open(path_file, O_RDONLY | O_TRUNC) < 0;
}

static int
do_create(void)
{
	return open(path_new, O_RDWR | O_CREAT, 0600) < 0 || unlink(path_new) < 0;
}

static int
do_tmpfile(void)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd < 0 || pwrite(fd, "x", 1, 0) != 1 || ftruncate(fd, 0) < 0;
}

static int
do_append(void)
{
	struct iovec v[2] = {{(char[]){"ab"}, 2}, {(char[]){"cd"}, 2}};

	return writev(fd_append, v, 2) != 4 || fdatasync(fd_append) < 0 || fsync(fd_append) < 0 || syncfs(fd_append) < 0;
}

static int
do_pread(void)
{
	char b[4];

	return pread(fd_rw, b, sizeof(b), 0) < 0;
}

static int
do_pwrite(void)
{
	return pwrite(fd_append, "x", 1, 0) < 0;
}

static int
do_truncate(void)
{
	return ftruncate(fd_append, 0) < 0;
}

static int
do_seek(void)
{
	return lseek(fd_append, 0, SEEK_SET) < 0;
}

static int
do_allocate(void)
{
	return fallocate(fd_append, 0, 0, 4096) < 0;
}

static int
do_ioctl(void)
{
	int flags;

	return ioctl(fd_rw, FS_IOC_GETFLAGS, &flags) < 0 && errno != ENOTTY && errno != EOPNOTSUPP;
}

static int
do_pwritev2(void)
{
	struct iovec v = {(char[]){"x"}, 1};

	return pwritev2(fd_append, &v, 1, 0, 0) < 0;
}

static int
do_copy_range(void)
{
	off_t in = 0;

	return copy_file_range(fd_rw, &in, fd_append, NULL, 1, 0) < 0;
}

static int
do_exec_map(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int
do_exec_protect(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0;
}

static int
do_lmdb(void)
{
	MDB_val k = {1, (char[]){"k"}}, v = {1, (char[]){"v"}};
	char sub[80];
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	int dead;

	snprintf(sub, sizeof(sub), "%s/lmdb", dir);
	if (mkdir(sub, 0700) < 0 || mdb_env_create(&env) != 0 || mdb_env_set_mapsize(env, 1 << 20) != 0 ||
	    mdb_env_open(env, sub, 0, 0600) != 0 || mdb_txn_begin(env, NULL, 0, &txn) != 0 ||
	    mdb_dbi_open(txn, NULL, 0, &dbi) != 0 || mdb_put(txn, dbi, &k, &v, 0) != 0 || mdb_txn_commit(txn) != 0 ||
	    mdb_reader_check(env, &dead) != 0 || mdb_env_sync(env, 1) != 0)
		return 1;
	mdb_env_close(env);
	return 0;
}

static int
do_iconv(void)
{
	iconv_t cd = iconv_open("UTF-8", "ISO-8859-15");

	return cd == (iconv_t)-1 || iconv_close(cd) != 0;
}

static int
do_name(void)
{
	struct rlimit r;

	return prctl(PR_SET_NAME, "x") < 0 || getrlimit(RLIMIT_NOFILE, &r) < 0;
}

static int
do_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1) < 0;
}

static int
do_limit(void)
{
	struct rlimit r = {1, 1};

	return setrlimit(RLIMIT_NOFILE, &r) < 0;
}

static int
do_ptrace(void)
{
	return syscall(SYS_ptrace, 0, 0, 0, 0) < 0;
}

static int
do_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL) < 0;
}

static int
do_time(void)
{
	time_t now = time(NULL);
	struct timespec t = {.tv_nsec = 1000};
	struct tm tm;

	return localtime_r(&now, &tm) == NULL || nanosleep(&t, NULL) < 0;
}

static int
do_signal_own(void)
{
	return syscall(SYS_tgkill, getpid(), gettid(), 0) < 0;
}

/* A captured process must not stop its brothers, whose user is the same. */
static int
do_signal_other(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0) < 0;
}

static int
do_sendfile(void)
{
	off_t at = 0;

	return sendfile(fd_pair[0], fd_rw, &at, 1) < 0;
}

/* ---- the table ---- */

enum { N = 1 << SANDBOX_NET, C = 1 << SANDBOX_CLIENT, F = 1 << SANDBOX_FILES, W = 1 << SANDBOX_COMMIT, ALL = N | C | F | W };

static const struct row {
	const char	*name;
	int		(*fn)(void);
	int		 allowed;	/* profiles; SIGSYS in the others */
} rows[] = {
	{"memory", do_memory, ALL}, {"log", do_log, ALL}, {"libevent", do_libevent, ALL}, {"openssl", do_openssl, ALL},
	{"pass a descriptor", do_pass_fd, ALL}, {"time", do_time, ALL}, {"own name, limits read", do_name, ALL},
	{"accept", do_accept, ALL}, {"open to read", do_open_read, ALL}, {"pread", do_pread, ALL},
	{"set non-blocking", do_nonblock, N | C | F}, {"sendfile", do_sendfile, N | C | F},
	{"seek", do_seek, N | C | F}, {"pwrite", do_pwrite, N | C | F}, {"truncate", do_truncate, N | C | F},
	{"fallocate", do_allocate, N | C | F},
	{"connect", do_connect, C | F | W}, {"tcp socket", do_tcp, C | F}, {"netlink socket", do_netlink, C | F},
	{"packet socket", do_packet, 0}, {"temporary file", do_tmpfile, C | F},
	{"thread", do_thread, F | W}, {"fork", do_fork, 0}, {"exec", do_exec, 0},
	{"open to write", do_open_write, F}, {"open and cut", do_open_trunc, F}, {"create", do_create, F},
	{"append, sync", do_append, F | W}, {"lmdb", do_lmdb, F}, {"iconv", do_iconv, F}, {"inode flags", do_ioctl, F},
	{"pwritev2", do_pwritev2, F}, {"copy range", do_copy_range, N | C | F},
	{"executable map", do_exec_map, F}, {"executable again", do_exec_protect, F},
	{"dumpable", do_dumpable, 0}, {"limits written", do_limit, 0}, {"ptrace", do_ptrace, 0},
	{"signal to itself", do_signal_own, ALL}, {"signal to another", do_signal_other, 0},
	{"io_uring", do_uring, 0},
};

/* Wait status of a child that runs before (may be NULL) and then fn. */
static int
in_child(void (*before)(const void *), const void *arg, int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		alarm(20);
		before(arg);
		_exit(fn());
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
enter(const void *profile)
{
	tzset();	/* as privileges_drop does */
	sandbox_seccomp(*(const enum sandbox_profile *)profile);
}

static void
test_profiles(void **state)
{
	int bad = 0;

	(void)state;
#ifdef SANDBOX_ASAN
	skip();
#endif
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (enum sandbox_profile p = SANDBOX_NET; p <= SANDBOX_COMMIT; p++) {
			int status = in_child(enter, &p, rows[i].fn);
			bool is_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
			bool is_fine = WIFEXITED(status) && (WEXITSTATUS(status) == 0 ||
			    /* what the kernel itself refuses on such a file is not the filter's */
			    rows[i].fn == do_copy_range);

			if (is_killed != ((rows[i].allowed & (1 << p)) == 0) || (!is_killed && !is_fine)) {
				print_error("%s, profile %d: status %x\n", rows[i].name, (int)p, (unsigned)status);
				bad++;
			}
			(void)!system("rm -rf /tmp/test_sandbox.*/lmdb");
		}
	}
	assert_int_equal(bad, 0);
}

static void
nothing(const void *arg)
{
	(void)arg;
}

/* ---- Landlock ---- */

static int
in_paths(void)
{
	char inside[80], name[80];
	struct sandbox_path paths[2] = {{dir, true}, {"/usr", false}};
	int fd;

	snprintf(inside, sizeof(inside), "%s/a", dir);
	snprintf(name, sizeof(name), "%s/b", dir);
	sandbox_paths(paths, 2);
	if ((fd = open(inside, O_RDWR | O_CREAT | O_TRUNC, 0600)) < 0 || rename(inside, name) < 0 || unlink(name) < 0)
		return 1;
	if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
		return 2;
	if (open("/usr/test_sandbox", O_RDWR | O_CREAT, 0600) >= 0 || errno != EACCES)
		return 3;
	if (open("/usr/bin", O_RDONLY | O_DIRECTORY) < 0)
		return 4;
	return open("/tmp", O_RDONLY) >= 0 ? 5 : 0;
}

static int
in_no_paths(void)
{
	sandbox_paths(NULL, 0);
	return open("/", O_RDONLY) >= 0 || open("/dev/null", O_WRONLY) >= 0 || open(path_file, O_RDONLY) >= 0;
}

static int
in_one_file(void)
{
	struct sandbox_path path = {path_file, false};

	sandbox_paths(&path, 1);
	return open(path_file, O_RDONLY) < 0 || open(path_file, O_WRONLY) >= 0 || open(dir, O_RDONLY) >= 0;
}

static int
in_missing_path(void)
{
	struct sandbox_path path = {"/nonexistent", false};

	sandbox_paths(&path, 1);
	return 0;
}

static bool
has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 1;
}

static void
test_paths(void **state)
{
	(void)state;
	if (!has_landlock())
		skip();
	assert_int_equal(in_child(nothing, NULL, in_paths), 0);
	assert_int_equal(in_child(nothing, NULL, in_no_paths), 0);
	assert_int_equal(in_child(nothing, NULL, in_one_file), 0);
	assert_int_equal(WEXITSTATUS(in_child(nothing, NULL, in_missing_path)), EXIT_TEMP);
}

/* ---- users ---- */

static const struct conf_user nobody = {.is_set = true, .uid = 65534, .gid = 65534, .groups = {65534, 4}, .ngroups = 2};

static int
as_nobody(void)
{
	gid_t groups[4];
	int death;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	privileges_drop(&nobody, dir, 0);
	if (getuid() != 65534 || geteuid() != 65534 || getgid() != 65534 || getgroups(4, groups) != 2 || groups[0] != 4)	/* the kernel sorts them */
		return 1;
	if (setuid(0) == 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 2;
	if (prctl(PR_GET_PDEATHSIG, &death) < 0 || death != SIGKILL)
		return 3;
	if (access("/etc", F_OK) == 0 || access("/file", F_OK) != 0)
		return 4;
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++) {
		if (prctl(PR_CAPBSET_READ, cap) != 0)
			return 5;
	}
	return 0;
}

static int
as_nobody_with_cap(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	privileges_drop(&nobody, NULL, 1ULL << CAP_LINUX_IMMUTABLE);
	if (getuid() != 65534 || setuid(0) == 0 || syscall(SYS_capget, &head, data) < 0)
		return 1;
	return data[0].effective != 1U << CAP_LINUX_IMMUTABLE || data[0].permitted != data[0].effective || data[1].permitted != 0;
}

static int
as_before(void)
{
	static const struct conf_user none;
	uid_t before = getuid();

	privileges_drop(&none, NULL, 0);
	return getuid() != before || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
}

/* Without root no user is changed and no root directory entered, whatever is asked. */
static int
as_user_again(void)
{
	static const struct conf_user other = {.is_set = true, .uid = 1, .gid = 1, .groups = {1}, .ngroups = 1};

	if (getuid() == 0)
		privileges_drop(&nobody, NULL, 0);
	privileges_drop(&other, dir, 0);
	return getuid() == 1 || access("/etc", F_OK) != 0;
}

static void
test_users(void **state)
{
	(void)state;
	assert_int_equal(in_child(nothing, NULL, as_before), 0);
	assert_int_equal(in_child(nothing, NULL, as_user_again), 0);
	if (geteuid() != 0)
		skip();
	assert_int_equal(in_child(nothing, NULL, as_nobody), 0);
	assert_int_equal(in_child(nothing, NULL, as_nobody_with_cap), 0);
}

/* ---- limits ---- */

static int
limited(void)
{
	struct rlimit r;

	sandbox_limits(64, 0, true);
	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur != 64 || r.rlim_max != 64)
		return 1;
	if (getrlimit(RLIMIT_CORE, &r) < 0 || r.rlim_max != 0)
		return 2;
	return getrlimit(RLIMIT_NPROC, &r) < 0 || r.rlim_max != 0;
}

static int
limited_memory(void)
{
	volatile char *p;

	sandbox_limits(0, 512ULL << 20, false);
#ifdef SANDBOX_ASAN
	return 0;
#endif
	p = malloc(1024UL << 20);
	return p != NULL;
}

static void
test_limits(void **state)
{
	(void)state;
	assert_int_equal(in_child(nothing, NULL, limited), 0);
	assert_int_equal(in_child(nothing, NULL, limited_memory), 0);
}

static int
setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0777), 0);
	snprintf(path_file, sizeof(path_file), "%s/file", dir);
	snprintf(path_new, sizeof(path_new), "%s/new", dir);
	snprintf(path_sock, sizeof(path_sock), "%s/sock", dir);
	fd_append = open(path_file, O_WRONLY | O_APPEND | O_CREAT, 0644);
	fd_rw = open(path_file, O_RDWR);
	assert_true(fd_append >= 0 && fd_rw >= 0 && write(fd_append, "0123", 4) == 4);
	fd_listen = ipc_listen(path_sock, SOCK_SEQPACKET, 0666, 100);
	assert_true(fd_listen >= 0 && fd_nonblock(fd_listen) == 0);
	return ipc_pair(SOCK_SEQPACKET, fd_pair);
}

static int
teardown(void **state)
{
	(void)state;
	return system("rm -rf /tmp/test_sandbox.*") != 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_profiles),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_limits),
	};

	log_init("test");
	return cmocka_run_group_tests(tests, setup, teardown);
}
