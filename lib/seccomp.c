/*
 * The system calls a process may make, by profile, through libseccomp. Last step of a child's start.
 * What is not listed kills the process; its parent logs that and starts it again. Calls are listed
 * with what needs them: a call nobody can name is not here.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

#define END	INT32_MIN

/* Memory, time, signals, threads' locks: what C and libevent use wherever they run. */
static const int calls_base[] = {
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(close),
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6),
	SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd2), SCMP_SYS(pipe), SCMP_SYS(pipe2),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(restart_syscall), SCMP_SYS(alarm), SCMP_SYS(setitimer),
	SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(getcpu), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(membarrier), SCMP_SYS(getrusage),
	SCMP_SYS(times), SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(exit), SCMP_SYS(exit_group),
	SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg),
	SCMP_SYS(shutdown), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
	SCMP_SYS(socketpair), SCMP_SYS(accept), SCMP_SYS(accept4),
	END,
};

/* Descriptors that were handed over: a temporary message, a body to send. */
static const int calls_net[] = {
	SCMP_SYS(lseek), SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
	SCMP_SYS(fadvise64), SCMP_SYS(sendfile), SCMP_SYS(splice), SCMP_SYS(tee), SCMP_SYS(copy_file_range),
	SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
	SCMP_SYS(fcntl), END,
};

static const int calls_client[] = {
	SCMP_SYS(connect), SCMP_SYS(memfd_create), SCMP_SYS(fstatfs), SCMP_SYS(fdatasync), END,
};

/* A store worker and its LMDB index; what stays forbidden is links, owners and devices. */
static const int calls_files[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat), SCMP_SYS(getdents64), SCMP_SYS(getdents),
	SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
	SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(link), SCMP_SYS(linkat),
	SCMP_SYS(truncate), SCMP_SYS(fsync), SCMP_SYS(syncfs), SCMP_SYS(sync_file_range), SCMP_SYS(msync),
	SCMP_SYS(mlock), SCMP_SYS(munlock), SCMP_SYS(mincore), SCMP_SYS(flock), SCMP_SYS(preadv2), SCMP_SYS(pwritev2),
	SCMP_SYS(readahead), SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(utimensat), SCMP_SYS(statfs),
	SCMP_SYS(umask), SCMP_SYS(chdir), SCMP_SYS(fchdir), SCMP_SYS(mmap), SCMP_SYS(mprotect), END,
};

static const int calls_commit[] = {
	SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(syncfs), SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(connect), END,
};

static void
seccomp_fault(const char *what, int error)
{
	if (error == 0)
		return;
	errno = -error;
	DIE(EXIT_TEMP, "fatal.sandbox", log_str("what", what));
}

static void
allow_all(scmp_filter_ctx ctx, const int *calls)
{
	for (; *calls != END; calls++)
		seccomp_fault("seccomp call", seccomp_rule_add(ctx, SCMP_ACT_ALLOW, *calls, 0));
}

/* What happens to a call where (argument & mask) == value. */
static void
act_where(scmp_filter_ctx ctx, uint32_t action, int call, unsigned argument, uint64_t mask, uint64_t value)
{
	struct scmp_arg_cmp cmp = SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, mask, value);

	seccomp_fault("seccomp argument", seccomp_rule_add_array(ctx, action, call, 1, &cmp));
}

static void
allow_where(scmp_filter_ctx ctx, int call, unsigned argument, uint64_t mask, uint64_t value)
{
	act_where(ctx, SCMP_ACT_ALLOW, call, argument, mask, value);
}

static void
allow_values(scmp_filter_ctx ctx, int call, unsigned argument, const uint64_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		allow_where(ctx, call, argument, UINT32_MAX, values[i]);
}

#define ALLOW_VALUES(ctx, call, argument, ...)	\
	allow_values((ctx), (call), (argument), (const uint64_t[]){__VA_ARGS__},	\
	    sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* Everywhere: its own name, its limits to read, and signals to itself alone (abort(3)). */
static void
allow_self(scmp_filter_ctx ctx)
{
	ALLOW_VALUES(ctx, SCMP_SYS(prctl), 0, PR_SET_NAME, PR_GET_NAME);
	allow_where(ctx, SCMP_SYS(prlimit64), 2, UINT64_MAX, 0);
	allow_all(ctx, (const int[]){SCMP_SYS(getrlimit), END});
	allow_where(ctx, SCMP_SYS(tgkill), 0, UINT32_MAX, (uint64_t)getpid());
}

static void
allow_read_only_open(scmp_filter_ctx ctx)
{
	uint64_t writing = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);

	allow_where(ctx, SCMP_SYS(open), 1, writing, O_RDONLY);
	allow_where(ctx, SCMP_SYS(openat), 2, writing, O_RDONLY);
}

/* No new code: whoever gets in has to work with what is there. */
static void
allow_data_maps(scmp_filter_ctx ctx)
{
	allow_where(ctx, SCMP_SYS(mmap), 2, PROT_EXEC, 0);
	allow_where(ctx, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
}

/* Threads yes, processes no. clone3 hides its flags in memory: glibc takes ENOSYS for an old kernel and uses clone. */
static void
allow_threads(scmp_filter_ctx ctx)
{
	allow_where(ctx, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD);
	seccomp_fault("seccomp clone3", seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0));
}

static void
allow_net(scmp_filter_ctx ctx)
{
	allow_all(ctx, calls_net);
	ALLOW_VALUES(ctx, SCMP_SYS(ioctl), 1, FIONREAD, FIONBIO, TCGETS, TIOCGWINSZ);	/* the last two: isatty of stdio */
}

static void
allow_client(scmp_filter_ctx ctx)
{
	allow_net(ctx);
	allow_all(ctx, calls_client);
	ALLOW_VALUES(ctx, SCMP_SYS(socket), 0, AF_UNIX, AF_INET, AF_INET6);
	/* getaddrinfo asks the kernel for addresses, and does without. */
	act_where(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 0, UINT32_MAX, AF_NETLINK);
}

static void
allow_files(scmp_filter_ctx ctx)
{
	allow_client(ctx);
	allow_all(ctx, calls_files);
	allow_threads(ctx);
	ALLOW_VALUES(ctx, SCMP_SYS(ioctl), 1, FICLONE, FICLONERANGE, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS);
}

static void
allow_commit(scmp_filter_ctx ctx)
{
	allow_all(ctx, calls_commit);
	allow_read_only_open(ctx);
	allow_data_maps(ctx);
	allow_threads(ctx);
	allow_where(ctx, SCMP_SYS(socket), 0, UINT32_MAX, AF_UNIX);
	ALLOW_VALUES(ctx, SCMP_SYS(fcntl), 1, F_GETFL, F_GETFD, F_SETFD, F_DUPFD, F_DUPFD_CLOEXEC);
}

void
sandbox_seccomp(enum sandbox_profile profile)
{
	scmp_filter_ctx ctx;

#ifdef SANDBOX_ASAN
	LOG("sandbox.skipped", log_str("why", "address sanitizer"));
	return;
#endif
	if ((ctx = seccomp_init(SCMP_ACT_KILL_PROCESS)) == NULL)
		DIE(EXIT_TEMP, "fatal.sandbox", log_str("what", "seccomp"));
	allow_all(ctx, calls_base);
	allow_self(ctx);
	switch (profile) {
	case SANDBOX_NET:
		allow_net(ctx);
		allow_read_only_open(ctx);
		allow_data_maps(ctx);
		break;
	case SANDBOX_CLIENT:
		allow_client(ctx);
		allow_read_only_open(ctx);
		allow_where(ctx, SCMP_SYS(openat), 2, O_TMPFILE | O_CREAT, O_TMPFILE);
		allow_data_maps(ctx);
		break;
	case SANDBOX_FILES:
		allow_files(ctx);
		break;
	case SANDBOX_COMMIT:
		allow_commit(ctx);
		break;
	}
	/* A tree instead of a list: the filter runs at every call. */
	seccomp_fault("seccomp optimize", seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2));
	seccomp_fault("seccomp load", seccomp_load(ctx));
	seccomp_release(ctx);
}
