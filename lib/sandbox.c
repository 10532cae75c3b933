/*
 * What a process gives up before its first byte from the network: users, capabilities, the file
 * system (Landlock, by raw system calls: no library needed), limits. Called by every child, in the
 * order of sandbox.h. The system-call filter is in seccomp.c.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* Newer than the headers of Debian 12. */
#define FS_TRUNCATE	(1ULL << 14)	/* ABI 3 */
#define FS_IOCTL_DEV	(1ULL << 15)	/* ABI 5 */
#define FS_ABI_1	((1ULL << 13) - 1)

#define FS_READ		(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
			    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | \
			    LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE)
#define FS_OF_FILE	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)

#ifdef SANDBOX_ASAN
static const bool sandbox_is_asan = true;
#else
static const bool sandbox_is_asan = false;
#endif

static _Noreturn void
sandbox_fault(const char *what)
{
	DIE(EXIT_TEMP, "fatal.sandbox", log_str("what", what));
}

/* ---- users and capabilities ---- */

/* Nothing outside of keep can be had again, not by executing either. */
static void
caps_bound(uint64_t keep)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++) {
		if ((keep & (1ULL << cap)) == 0 && prctl(PR_CAPBSET_DROP, cap) < 0)
			sandbox_fault("bounding set");
	}
}

static void
caps_set(uint64_t keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	for (int i = 0; i < 2; i++) {
		data[i].permitted = (uint32_t)(keep >> (32 * i));
		data[i].effective = data[i].permitted;
	}
	if (syscall(SYS_capset, &head, data) < 0)
		sandbox_fault("capset");
}

static void
user_change(const struct conf_user *user, uint64_t keep_caps)
{
	uid_t r, e, s;

	caps_bound(keep_caps);
	if (keep_caps != 0 && prctl(PR_SET_KEEPCAPS, 1) < 0)
		sandbox_fault("keepcaps");
	if (setgroups(user->ngroups, user->groups) < 0)
		sandbox_fault("setgroups");
	if (setresgid(user->gid, user->gid, user->gid) < 0)
		sandbox_fault("setgid");
	if (setresuid(user->uid, user->uid, user->uid) < 0)
		sandbox_fault("setuid");
	if (user->uid == 0)
		return;
	caps_set(keep_caps);
	if (getresuid(&r, &e, &s) < 0 || r != user->uid || e != user->uid || s != user->uid)
		sandbox_fault("uid is not the one asked for");
	if (setuid(0) == 0 || seteuid(0) == 0 || setreuid(0, 0) == 0)
		sandbox_fault("root came back");
	if (user->gid != 0 && (setgid(0) == 0 || setegid(0) == 0))
		sandbox_fault("root's group came back");
	errno = 0;
}

void
privileges_drop(const struct conf_user *user, const char *root_dir, uint64_t keep_caps)
{
	pid_t parent = getppid();
	int death = 0;

	if (prctl(PR_GET_PDEATHSIG, &death) < 0)
		sandbox_fault("death signal");
	tzset();	/* /etc/localtime is out of reach below */
	if (geteuid() == 0) {
		if (root_dir != NULL && (chroot(root_dir) < 0 || chdir("/") < 0))
			sandbox_fault("chroot");
		if (user->is_set)
			user_change(user, keep_caps);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		sandbox_fault("no_new_privs");
	/* The change of user cleared it (prctl(2)): a child must not outlive its parent. */
	if (death != 0 && prctl(PR_SET_PDEATHSIG, death) < 0)
		sandbox_fault("death signal");
	if (death != 0 && getppid() != parent)
		_exit(EXIT_TEMP);
}

/* ---- Landlock ---- */

static void
landlock_add(int ruleset, const struct sandbox_path *path, uint64_t handled)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = (path->write ? FS_WRITE : FS_READ | LANDLOCK_ACCESS_FS_EXECUTE) & handled,
		.parent_fd = open(path->path, O_PATH | O_CLOEXEC),
	};
	struct stat st;

	if (rule.parent_fd < 0 || fstat(rule.parent_fd, &st) < 0)
		DIE(EXIT_TEMP, "fatal.sandbox", log_str("what", "landlock"), log_str("path", path->path));
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_OF_FILE | LANDLOCK_ACCESS_FS_EXECUTE;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		DIE(EXIT_TEMP, "fatal.sandbox", log_str("what", "landlock"), log_str("path", path->path));
	close(rule.parent_fd);
}

void
sandbox_paths(const struct sandbox_path *paths, size_t npaths)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = {.handled_access_fs = FS_ABI_1};
	int ruleset;

	if (abi < 1) {
		LOG("warn.sandbox.landlock", log_str("why", "the kernel has none"));
		errno = 0;
		return;
	}
	if (abi >= 2)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		attr.handled_access_fs |= FS_TRUNCATE;
	if (abi >= 5)
		attr.handled_access_fs |= FS_IOCTL_DEV;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		sandbox_fault("landlock");
	for (size_t i = 0; i < npaths; i++)
		landlock_add(ruleset, &paths[i], attr.handled_access_fs);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		sandbox_fault("landlock");
	close(ruleset);
}

/* ---- limits ---- */

static void
limit_set(__rlimit_resource_t what, uint64_t most, const char *name)
{
	struct rlimit r = {.rlim_cur = most, .rlim_max = most};

	if (setrlimit(what, &r) < 0)
		sandbox_fault(name);
}

static void
limit_nofile(uint64_t nofile)
{
	struct rlimit want = {.rlim_cur = nofile, .rlim_max = nofile}, have;

	if (setrlimit(RLIMIT_NOFILE, &want) == 0)
		return;
	if (errno != EPERM || getrlimit(RLIMIT_NOFILE, &have) < 0)
		sandbox_fault("limit of descriptors");
	LOG("warn.sandbox.nofile", log_u64("wanted", nofile), log_u64("limit", have.rlim_max));
	have.rlim_cur = have.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &have) < 0)
		sandbox_fault("limit of descriptors");
}

void
sandbox_limits(uint64_t nofile, uint64_t as_bytes, bool nproc_zero)
{
	limit_set(RLIMIT_CORE, 0, "limit of core");	/* a core would hold mail and passwords */
	if (nofile != 0)
		limit_nofile(nofile);
	if (as_bytes != 0 && !sandbox_is_asan)
		limit_set(RLIMIT_AS, as_bytes, "limit of memory");
	if (nproc_zero)
		limit_set(RLIMIT_NPROC, 0, "limit of processes");
}
