/*
 * A partition's epoch: raised and synced when spoold starts after anything but an orderly stop, and
 * after a failed sync. Called by the parent before any child. It must never go back: where its file is
 * lost, the highest epoch that any log of the partition names takes its place.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "store/path.h"
#include "store/segment.h"

#define EPOCH_FORMAT	"twinspool epoch %08x %s\n"
#define EPOCH_BYTES	64

enum epoch_file { EPOCH_CLEAN, EPOCH_OPEN, EPOCH_NONE, EPOCH_ERROR };

static enum epoch_file
read_file(int dir_fd, uint32_t *epoch_out)
{
	char text[EPOCH_BYTES], word[8], again[EPOCH_BYTES];
	int fd = openat(dir_fd, "epoch", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? EPOCH_NONE : EPOCH_ERROR;
	n = pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	if (n < 0)
		return EPOCH_ERROR;
	text[n] = '\0';
	if (sscanf(text, "twinspool epoch %8x %5s", epoch_out, word) != 2)
		return EPOCH_NONE;
	snprintf(again, sizeof(again), EPOCH_FORMAT, *epoch_out, word);
	if (strcmp(text, again) != 0)
		return EPOCH_NONE;
	return strcmp(word, "clean") == 0 ? EPOCH_CLEAN : EPOCH_OPEN;
}

/* Written under another name, synced, renamed in, directory synced. 0 or -1. */
static int
write_file(int dir_fd, uint32_t epoch, const char *word)
{
	char text[EPOCH_BYTES];
	int n = snprintf(text, sizeof(text), EPOCH_FORMAT, epoch, word), r = -1;
	int fd = openat(dir_fd, "epoch.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	errno = EIO;
	if (write(fd, text, (size_t)n) == n && fsync(fd) == 0 && renameat(dir_fd, "epoch.new", dir_fd, "epoch") == 0)
		r = fsync(dir_fd);
	close(fd);
	return r;
}

/* The epoch of a log's last trailer, as far as it can be read; else that of its highest segment's head. */
static uint32_t
epoch_of_log(int user_fd)
{
	char name[SEGMENT_NAME_BYTES], line[RECORD_TRAILER_BYTES];
	int64_t highest = segment_highest(user_fd);
	struct segment_head head = {0};
	struct record t = {0};
	uint32_t epoch = 0;
	struct stat st;
	int fd;

	if (highest <= 0)
		return 0;
	segment_name((uint32_t)highest, name);
	if ((fd = openat(user_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return 0;
	if (segment_read(fd, SLICE(""), (uint32_t)highest, &head) == 0 && fstat(fd, &st) == 0) {
		epoch = head.numbers.epoch;
		if (pread(fd, line, sizeof(line), st.st_size - (off_t)sizeof(line)) == (ssize_t)sizeof(line) &&
		    record_parse_trailer((struct slice){line, sizeof(line)}, head.salt, &t) == PARSE_OK && t.epoch > epoch)
			epoch = t.epoch;
	}
	close(fd);
	return epoch;
}

/* Calls itself for the hash directories, then looks at every user's log. */
static uint32_t
epoch_of_logs(int dir_fd, int depth)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	uint32_t highest = 0;

	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL) {
		uint32_t here;
		int sub;

		if (e->d_name[0] == '.' ||
		    (sub = openat(dir_fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
			continue;
		here = depth == 0 ? epoch_of_logs(sub, 1) : epoch_of_log(sub);
		if (here > highest)
			highest = here;
		close(sub);
	}
	closedir(d);
	return highest;
}

/* The partition's directory, made where missing; -1 (logged). */
static int
open_partition(const char *active_dir, const char *partition)
{
	char path[PATH_MAX];
	int fd = -1;

	/* Any name's parents: the partition's directory comes with them. */
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", active_dir, partition) < sizeof(path) &&
	    (access(path, F_OK) == 0 || ((mkdir(active_dir, 0700) == 0 || errno == EEXIST) &&
	    (mkdir(path, 0700) == 0 || errno == EEXIST) && path_sync_parent(path) == 0)))
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		LOG("warn.store.epoch", log_str("partition", partition), log_str("why", strerror(errno)));
	return fd;
}

int
epoch_begin(const char *active_dir, const char *partition, bool force, uint32_t *epoch_out)
{
	int r, fd = open_partition(active_dir, partition);
	uint32_t epoch = 0;
	enum epoch_file was;

	if (fd < 0)
		return -1;
	was = read_file(fd, &epoch);
	if (was == EPOCH_NONE)
		epoch = epoch_of_logs(fd, 0);
	if (was != EPOCH_CLEAN || force)
		epoch++;
	/* Open from now on: whatever ends us without epoch_end raises it. */
	r = was == EPOCH_ERROR ? -1 : write_file(fd, epoch, "open");
	if (r != 0)
		LOG("warn.store.epoch", log_str("partition", partition), log_str("why", strerror(errno)));
	else if (was != EPOCH_CLEAN || force)
		LOG("store.epoch", log_str("partition", partition), log_u64("epoch", epoch));
	close(fd);
	*epoch_out = epoch;
	return r;
}

bool
epoch_read(const char *active_dir, const char *partition, uint32_t *epoch_out)
{
	char path[PATH_MAX];
	enum epoch_file is = EPOCH_ERROR;
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", active_dir, partition) < sizeof(path) &&
	    (fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0) {
		is = read_file(fd, epoch_out);
		close(fd);
	}
	return is == EPOCH_CLEAN || is == EPOCH_OPEN;
}

int
epoch_end(const char *active_dir, const char *partition)
{
	int r = -1, fd = open_partition(active_dir, partition);
	uint32_t epoch;
	enum epoch_file was;

	if (fd < 0)
		return -1;
	/* The logs, and the indexes wherever they are: a power cut after this finds nothing half written. */
	sync();
	was = read_file(fd, &epoch);
	if ((was == EPOCH_OPEN || was == EPOCH_CLEAN) && syncfs(fd) == 0)
		r = write_file(fd, epoch, "clean");
	if (r != 0)
		LOG("warn.store.epoch", log_str("partition", partition), log_str("why", strerror(errno)));
	close(fd);
	return r;
}
