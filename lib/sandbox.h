/*
 * What a process gives up before its first byte from the network. Order: sandbox_limits,
 * sandbox_paths (opens nothing), privileges_drop, then sandbox_seccomp last. Each ends the process
 * (111) when it fails, except where the kernel has no Landlock (logged once: warn.sandbox.landlock).
 */
#ifndef TS_SANDBOX_H
#define TS_SANDBOX_H

#include "conf.h"

/*
 * chroot (where root_dir is not NULL), setgroups, setgid, setuid, and proof that root does not come
 * back; no_new_privs. Without root: no chroot and no uid change, the rest stays. keep_caps: a
 * bitmask of capabilities (1 << CAP_x) kept over the change, 0 for none.
 */
void	privileges_drop(const struct conf_user *, const char *root_dir, uint64_t keep_caps);

struct sandbox_path {
	const char	*path;
	bool		 write;		/* else read only */
};
/* Landlock: nothing of the file system but these trees. npaths 0: nothing at all. Call before chroot paths vanish. */
void	sandbox_paths(const struct sandbox_path *, size_t npaths);

/* Soft and hard limits; 0 leaves one as it is. core is always 0. nproc_zero: no fork. */
void	sandbox_limits(uint64_t nofile, uint64_t as_bytes, bool nproc_zero);

enum sandbox_profile {
	SANDBOX_NET,	/* sockets handed over and accepted, no connect, no open for writing, no exec, no fork */
	SANDBOX_CLIENT,	/* NET and connect(2) */
	SANDBOX_FILES,	/* CLIENT and the file calls of a store worker or an LMDB user; no exec */
	SANDBOX_COMMIT,	/* write, writev, pread, sync, sendmsg/recvmsg, threads; none of truncate, lseek, pwrite, fallocate,
			   open for writing, fcntl F_SETFL, ioctl */
};
/* libseccomp. A forbidden call ends the process (SIGSYS), which the parent reports. */
void	sandbox_seccomp(enum sandbox_profile);

#endif
