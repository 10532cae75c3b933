/*
 * What the parent prepares for its children, as root where it is: directories with their owners, the
 * lock of each partition, the epoch, the descriptors to sync with, the listeners. The lock outlives
 * a parent that is killed until its last child is gone, so that two generations never append at once.
 */
#include "site.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "parent.h"

#define LOCK_WAIT_MS	30000	/* children of a killed parent are gone long before */
#define LOCK_STEP_MS	50
#define KEPT_EPOCH	"epoch"

struct store_host
site_host(const struct site *s)
{
	return (struct store_host){
	    .active_dir = s->conf.active_dir,
	    .index_dir = s->conf.index_dir,
	    .partition = s->partitions[0],
	    .partitions = s->partitions,
	    .is_down = s->is_down,
	    .epoch = s->epoch,
	    .segment_max_bytes = s->conf.segment_max_bytes,
	    .map_bytes = s->conf.map_bytes,
	    .reserve_bytes = s->conf.reserve_bytes,
	    .dup_window_ms = (int64_t)s->conf.dup_window_s * 1000,
	};
}

size_t
site_partition(const struct site *s, const char *name)
{
	size_t i = 0;

	while (i < s->npartitions && strcmp(s->partitions[i], name) != 0)
		i++;
	return i;
}

/* ---- directories ---- */

static void
make_dir(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	if (dir_make(path, uid, gid, mode) != 0)
		DIE(EXIT_TEMP, "fatal.dir", log_str("path", path));
}

static void
make_socket_dir(const char *socket)
{
	char path[PATH_MAX];
	char *slash;

	(void)snprintf(path, sizeof(path), "%s", socket);
	slash = strrchr(path, '/');
	if (slash == path)
		return;
	*slash = '\0';
	if (access(path, F_OK) != 0)
		make_dir(path, (uid_t)-1, (gid_t)-1, 0755);
}

/* By the step that failed, with errno. No partition left: then there is nothing to serve. */
static void
partition_down(struct site *s, size_t i, const char *step)
{
	if (s->is_down[i])
		return;
	s->is_down[i] = true;
	LOG("warn.partition.down", log_str("partition", s->partitions[i]), log_str("step", step), log_str("why", strerrordesc_np(errno)));
	for (i = 0; i < s->npartitions; i++)
		if (!s->is_down[i])
			return;
	DIE(EXIT_TEMP, "fatal.partitions", log_str("why", "none can be had"));
}

static int
make_partition_dir(const struct conf_user *owner, const char *dir, const char *partition)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, partition);
	return dir_make(path, owner->is_set ? owner->uid : (uid_t)-1, owner->is_set ? owner->gid : (gid_t)-1, 0700);
}

static void
make_dirs(struct site *s)
{
	make_socket_dir(s->conf.session_socket);
	make_socket_dir(s->conf.deliver_socket);
	make_socket_dir(s->conf.commit_socket);
	make_socket_dir(s->conf.upkeep_socket);
	for (size_t i = 0; i < s->npartitions; i++) {
		if (make_partition_dir(&s->conf.worker_user, s->conf.active_dir, s->partitions[i]) != 0 ||
		    make_partition_dir(&s->conf.worker_user, s->conf.index_dir, s->partitions[i]) != 0)
			partition_down(s, i, "directory");
	}
}

/* ---- locks ---- */

/* False, with errno 0, when another has it for longer than we wait. */
static bool
lock_wait(int fd, const char *partition)
{
	struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};
	int64_t end = mono_ms() + LOCK_WAIT_MS;
	bool is_logged = false;

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return false;
		if (mono_ms() >= end) {
			errno = 0;
			return false;
		}
		if (!is_logged)
			LOG("lock.wait", log_str("partition", partition),
			    log_str("why", "processes of an earlier spoold still run"));
		is_logged = true;
		nanosleep(&step, NULL);
	}
	return true;
}

static void
lock_name(const struct site *s, size_t i, char out[128])
{
	(void)snprintf(out, 128, "lock.%s", s->partitions[i]);
}

/* Held it would keep a disk that is to be repaired from being unmounted. */
static void
lock_let_go(struct site *s, struct parent *p, size_t i)
{
	char name[128];

	lock_name(s, i, name);
	parent_drop_fd(p, name);
	s->lock_fds[i] = -1;
}

static bool
is_same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* True when the lock came with us over a SIGHUP. Where its file cannot be had the partition is down. */
static bool
lock_take(struct site *s, struct parent *p, size_t i, bool is_reload)
{
	char name[128], path[PATH_MAX];
	int fd;

	s->lock_fds[i] = -1;
	if (s->is_down[i])
		return false;
	lock_name(s, i, name);
	(void)snprintf(path, sizeof(path), "%s/%s/lock", s->conf.active_dir, s->partitions[i]);
	fd = parent_kept_fd(p, name);
	if (fd >= 0 && is_same_file(fd, path)) {
		s->lock_fds[i] = fd;
		return true;
	}
	if (fd >= 0)
		lock_let_go(s, p, i);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		partition_down(s, i, "lock");
		return false;
	}
	if (!lock_wait(fd, s->partitions[i])) {
		/* The others go on where they were going; at a start all are another's. */
		if (!is_reload)
			DIE(EXIT_TEMP, "fatal.lock", log_str("partition", s->partitions[i]),
			    log_str("why", errno == 0 ? "another spoold has this partition" : strerrordesc_np(errno)));
		partition_down(s, i, "lock");
		close(fd);
		return false;
	}
	s->lock_fds[i] = fd;
	parent_keep_fd(p, name, fd);
	return false;
}

/* ---- epoch ---- */

/* For the image that replaces us at a SIGHUP: the epoch in force; and a descriptor by name for each partition that is not in it. */
struct kept {
	uint32_t	epoch;
};

static void
down_name(const struct site *s, size_t i, char out[128])
{
	(void)snprintf(out, 128, "down.%s", s->partitions[i]);
}

static bool
was_down(const struct site *s, struct parent *p, size_t i)
{
	char name[128];

	down_name(s, i, name);
	return parent_kept_fd(p, name) >= 0;
}

static void
epoch_keep(const struct site *s, struct parent *p)
{
	struct kept kept = {.epoch = s->epoch};
	int fd = memfd_create(KEPT_EPOCH, MFD_CLOEXEC);

	if (fd < 0 || pwrite(fd, &kept, sizeof(kept), 0) != (ssize_t)sizeof(kept))
		DIE(EXIT_TEMP, "fatal.epoch", log_str("what", "memory file"));
	parent_keep_fd(p, KEPT_EPOCH, fd);
	for (size_t i = 0; i < s->npartitions; i++) {
		char name[128];
		int copy;

		down_name(s, i, name);
		if (!s->is_down[i]) {
			parent_drop_fd(p, name);
			continue;
		}
		if ((copy = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
			DIE(EXIT_TEMP, "fatal.epoch", log_str("what", "memory file"));
		parent_keep_fd(p, name, copy);
	}
}

/* Epoch 0: this is no reload. */
static struct kept
epoch_kept(struct parent *p)
{
	int fd = parent_kept_fd(p, KEPT_EPOCH);
	struct kept kept = {0};

	if (fd >= 0 && (pread(fd, &kept, sizeof(kept), 0) != (ssize_t)sizeof(kept) || kept.epoch == 0))
		DIE(EXIT_TEMP, "fatal.epoch", log_str("what", "the one before the reload"));
	return kept;
}

/* The partition's epoch, begun or raised; 0 where it is down. */
static uint32_t
epoch_of(struct site *s, size_t i, bool force)
{
	uint32_t epoch;

	if (s->is_down[i])
		return 0;
	if (epoch_begin(s->conf.active_dir, s->partitions[i], force, &epoch) == 0)
		return epoch;
	partition_down(s, i, "epoch");
	return 0;
}

/* One number for all: those behind are raised to the highest. */
static void
epoch_level(struct site *s, uint32_t *epochs)
{
	for (size_t i = 0; i < s->npartitions; i++)
		if (epochs[i] > s->epoch)
			s->epoch = epochs[i];
	for (size_t i = 0; i < s->npartitions; i++)
		while (!s->is_down[i] && epochs[i] < s->epoch)
			epochs[i] = epoch_of(s, i, true);
}

void
site_raise_epoch(struct site *s, struct parent *p)
{
	uint32_t epochs[PARTITIONS_MAX];

	for (size_t i = 0; i < s->npartitions; i++)
		epochs[i] = epoch_of(s, i, true);
	epoch_level(s, epochs);
	epoch_keep(s, p);
	LOG("epoch.raised", log_u64("epoch", s->epoch));
}

static void
take_partitions(struct site *s, struct parent *p)
{
	uint32_t epochs[PARTITIONS_MAX];
	struct kept kept = epoch_kept(p);

	for (size_t i = 0; i < s->npartitions; i++) {
		bool is_kept = lock_take(s, p, i, kept.epoch != 0);

		if (is_kept && kept.epoch == 0)
			DIE(EXIT_TEMP, "fatal.epoch", log_str("what", "the one before the reload"));
		/* One that was down may have missed epochs: then its own is behind. */
		if (was_down(s, p, i) && !s->is_down[i])
			is_kept = kept.epoch != 0 && epoch_read(s->conf.active_dir, s->partitions[i], &epochs[i]) &&
			    epochs[i] == kept.epoch;
		epochs[i] = is_kept ? kept.epoch : epoch_of(s, i, false);
	}
	epoch_level(s, epochs);
	for (size_t i = 0; i < s->npartitions; i++)
		if (s->is_down[i])
			lock_let_go(s, p, i);
	epoch_keep(s, p);
}

/* ---- the descriptors to sync with ---- */

static void
open_volumes(struct site *s)
{
	for (size_t i = 0; i < s->npartitions; i++) {
		char path[PATH_MAX];
		struct stat st;
		size_t v = 0;
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%s", s->conf.active_dir, s->partitions[i]);
		fd = s->is_down[i] ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) != 0) {
			partition_down(s, i, "open");
			if (fd >= 0)
				close(fd);
			s->volume_of[i] = s->nvolumes;
			s->volumes[s->nvolumes++] = (struct volume){.fd = -1};
			continue;
		}
		while (v < s->nvolumes && (s->volumes[v].fd < 0 || s->volumes[v].dev != st.st_dev))
			v++;
		s->volume_of[i] = v;
		if (v < s->nvolumes) {
			close(fd);
			continue;
		}
		s->volumes[s->nvolumes++] = (struct volume){.dev = st.st_dev, .fd = fd};
	}
}

static int
listen_at(struct parent *p, const char *path, const struct conf_user *owner, mode_t mode)
{
	char where[PATH_MAX];

	(void)snprintf(where, sizeof(where), "unix:%s", path);
	return parent_listen(p, where, true, owner->is_set ? owner->uid : (uid_t)-1,
	    owner->is_set ? owner->gid : (gid_t)-1, mode);
}

static void
make_due(struct site *s)
{
	int pair[2];

	if (ipc_pair(SOCK_DGRAM, pair) != 0)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "socket pair"));
	s->due_send_fd = pair[0];
	s->due_recv_fd = pair[1];
}

void
site_prepare(struct site *s, struct parent *p)
{
	assert(s->conf.partitions.n <= PARTITIONS_MAX);
	s->npartitions = s->conf.partitions.n;
	for (size_t i = 0; i < s->npartitions; i++)
		s->partitions[i] = s->conf.partitions.v[i];
	s->nsession_uids = conf_uids(&s->conf.session_clients, s->session_uids, CLIENTS_MAX);
	s->ndeliver_uids = conf_uids(&s->conf.deliver_clients, s->deliver_uids, CLIENTS_MAX);
	s->nupkeep_uids = conf_uids(&s->conf.upkeep_clients, s->upkeep_uids, CLIENTS_MAX);
	make_dirs(s);
	open_volumes(s);
	take_partitions(s, p);
	s->session_fd = listen_at(p, s->conf.session_socket, &s->conf.lot_user, 0666);
	s->deliver_fd = listen_at(p, s->conf.deliver_socket, &s->conf.worker_user, 0666);
	s->commit_fd = listen_at(p, s->conf.commit_socket, &s->conf.worker_user, 0600);
	s->upkeep_fd = listen_at(p, s->conf.upkeep_socket, &s->conf.worker_user, 0666);
	make_due(s);
	notify_make(&s->notify, s->conf.lots);
	if (s->conf.single_copy)
		LOG("warn.single.copy", log_str("why", "mail is kept once: single_copy = yes"));
}

void
site_end(struct site *s)
{
	if (!atomic_load(&s->notify.shared->is_synced))
		return;
	for (size_t i = 0; i < s->npartitions; i++)
		if (!s->is_down[i] && epoch_end(s->conf.active_dir, s->partitions[i]) != 0)
			LOG("warn.epoch.end", log_str("partition", s->partitions[i]), log_str("why", strerrordesc_np(errno)));
}
