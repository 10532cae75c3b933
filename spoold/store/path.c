/*
 * Partition, hash and user directories of the active spool and of the index. Called by the log
 * cache, by who makes a spool and by who rebuilds an index. Never follows a symbolic link in a last
 * component, and user names come here only after user_is_valid.
 */
#include "store/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "log.h"

#define CLAIM_TRIES	100	/* the directory was renamed into place under us so often: somebody is not well */

static unsigned
hash_of(struct slice user)
{
	return ~record_crc(UINT32_MAX, user) & 0xff;
}

int
path_user(const char *dir, const char *partition, const char *prefix, struct slice user, char *out)
{
	int n = snprintf(out, PATH_MAX, "%s/%s/%02x/%s%.*s", dir, partition, hash_of(user), prefix, (int)user.n, user.p);

	if (n < 0 || n >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

int
path_sync_parent(const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, r, saved;

	if (slash == NULL || (size_t)snprintf(parent, sizeof(parent), "%.*s/", (int)(slash - path), path) >= sizeof(parent)) {
		errno = EINVAL;
		return -1;
	}
	if ((fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return -1;
	r = fsync(fd);
	saved = errno;
	close(fd);
	errno = saved;
	return r;
}

static int
make_one(const char *path)
{
	if (mkdir(path, 0700) == 0)
		return path_sync_parent(path);
	return errno == EEXIST ? 0 : -1;
}

int
path_make_parents(const char *dir, const char *partition, struct slice user)
{
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s/%02x", dir, partition, hash_of(user)) >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (access(path, F_OK) == 0)
		return 0;
	if (make_one(dir) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", dir, partition);
	if (make_one(path) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s/%02x", dir, partition, hash_of(user));
	return make_one(path);
}

/* Removes the plain files of an open directory, and such a directory in it: what was put aside there by who died. */
static void
empty_dir(int fd)
{
	int dup_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = dup_fd < 0 ? NULL : fdopendir(dup_fd);
	const struct dirent *e;

	if (d == NULL) {
		if (dup_fd >= 0)
			close(dup_fd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		int sub;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || unlinkat(fd, e->d_name, 0) == 0 ||
		    strcmp(e->d_name, PATH_ASIDE) != 0 ||
		    (sub = openat(fd, PATH_ASIDE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
			continue;
		empty_dir(sub);
		close(sub);
		unlinkat(fd, PATH_ASIDE, AT_REMOVEDIR);
	}
	closedir(d);
}

int
path_claim(const char *path)
{
	struct stat ours, there;

	for (int i = 0; i < CLAIM_TRIES; i++) {
		int fd;

		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			return -1;
		if ((fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0) {
			if (errno == ENOENT)
				continue;
			return -1;
		}
		while (flock(fd, LOCK_EX) != 0)
			if (errno != EINTR) {
				close(fd);
				return -1;
			}
		if (fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
		    ours.st_dev == there.st_dev) {
			empty_dir(fd);
			return fd;
		}
		close(fd);	/* who had it renamed it into place: start over */
	}
	errno = EBUSY;
	return -1;
}

int
path_remove(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	empty_dir(fd);
	close(fd);
	return rmdir(path);
}

enum lookup
store_exists(const struct store_host *host, struct slice user, const char **partition_out)
{
	char path[PATH_MAX];
	bool is_known = true;
	struct stat st;

	if (!user_is_valid(user))
		return ABSENT;
	for (size_t i = 0; host->partitions[i] != NULL; i++) {
		if (host->is_down != NULL && host->is_down[i]) {
			is_known = false;
			continue;
		}
		if (path_user(host->active_dir, host->partitions[i], "", user, path) != 0)
			return LOOKUP_TEMP;
		if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
			*partition_out = host->partitions[i];
			return FOUND;
		}
		if (errno != ENOENT && errno != ENOTDIR) {
			LOG("warn.store.path", log_slice("user", user), log_str("partition", host->partitions[i]),
			    log_str("why", strerror(errno)));
			return LOOKUP_TEMP;
		}
	}
	return is_known ? ABSENT : LOOKUP_TEMP;
}

/* Names in a directory that may be users'; those that begin with '~' or '.' are not. */
static int
each_in(const char *dir, bool (*fn)(void *, struct slice), void *arg, bool *go_on)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	if (d == NULL)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	while (*go_on && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '~' && user_is_valid(slice_of(e->d_name)))
			*go_on = fn(arg, slice_of(e->d_name));
	closedir(d);
	return 0;
}

int
store_each_user(const struct store_host *host, const char *partition, bool (*fn)(void *, struct slice), void *arg)
{
	bool go_on = true;
	int r = 0;

	for (unsigned i = 0; i < 256 && go_on && r == 0; i++) {
		char path[PATH_MAX];

		if ((size_t)snprintf(path, sizeof(path), "%s/%s/%02x", host->active_dir, partition, i) >= sizeof(path)) {
			errno = ENAMETOOLONG;
			return -1;
		}
		r = each_in(path, fn, arg, &go_on);
	}
	return r;
}
