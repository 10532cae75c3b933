/*
 * What a process gives up before its first byte from the network. Order: sandbox_limits,
 * sandbox_paths (opens nothing), privileges_drop, then sandbox_seccomp last. Each ends the process
 * (111) when it fails, except where the kernel has no Landlock (logged once: warn.sandbox.landlock).
 */
#ifndef TS_SANDBOX_H
#define TS_SANDBOX_H

#include "conf.h"

/* Under AddressSanitizer there is no filter and no limit of memory: it maps terabytes and calls what it likes. */
#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_ASAN
#endif
#endif

/*
 * chroot (where root_dir is not NULL), setgroups, setgid, setuid, and proof that root does not come
 * back; no_new_privs. Keeps the death signal that a change of user clears. Without root: no chroot and no uid change, the rest stays. keep_caps: a
 * bitmask of capabilities (1 << CAP_x) kept over the change, 0 for none.
 */
void	privileges_drop(const struct conf_user *, const char *root_dir, uint64_t keep_caps);

struct sandbox_path {
	const char	*path;
	bool		 write;		/* else read only (and dlopen) */
};
/* Landlock: nothing of the file system but these trees or files. npaths 0: nothing at all. Call before chroot paths vanish. */
void	sandbox_paths(const struct sandbox_path *, size_t npaths);

/*
 * Soft and hard limits; 0 leaves one as it is. core is always 0. nproc_zero: no fork, no threads. nofile past a hard limit
 * that we may not raise becomes that limit (logged: warn.sandbox.nofile).
 */
void	sandbox_limits(uint64_t nofile, uint64_t as_bytes, bool nproc_zero);

enum sandbox_profile {
	SANDBOX_NET,	/* sockets handed over and accepted, files handed over; no connect, no open for writing, no exec, no fork */
	SANDBOX_CLIENT,	/* NET, connect(2) over IP and Unix sockets, open(2) of unnamed temporary files (O_TMPFILE, memfd_create) */
	SANDBOX_FILES,	/* CLIENT and the file calls of a store worker or an LMDB user, threads, dlopen; no exec, no fork */
	SANDBOX_COMMIT,	/* write, writev, pread, sync, sendmsg/recvmsg, Unix connect, threads; none of truncate, lseek, pwrite,
			   fallocate, open for writing, fcntl F_SETFL (so SOCK_NONBLOCK when made), ioctl */
};
/* libseccomp. A forbidden call ends the process (SIGSYS), which the parent reports. */
void	sandbox_seccomp(enum sandbox_profile);

#endif
