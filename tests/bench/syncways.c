/*
 * Ways to make a group of appends durable, one beside the other: G messages are appended to G files and
 * to one common file, then synced in the way named; repeated for N messages. For the choice that
 * spoold/commit_sync.c makes. Each way runs in a directory of its own below DIR.
 *   syncways DIR group messages bytes
 * Prints for each way: name, messages a second, milliseconds a group.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define GROUP_MAX	512
#define THREADS		16

static int		fds[GROUP_MAX + 1], dir_fd;	/* the last one is the common file's */
static unsigned		group;

/* ---- one call for all of the file system ---- */

static void
by_syncfs(void)
{
	if (syncfs(dir_fd) != 0)
		err(1, "syncfs");
}

/* ---- one call a file, one after the other ---- */

static void
sync_one(unsigned i)
{
	if (fdatasync(fds[i]) != 0)
		err(1, "fdatasync");
}

static void
by_turns(void)
{
	for (unsigned i = 0; i <= group; i++)
		sync_one(i);
}

/* Writing is begun on all of them before any is waited for. */
static void
by_turns_begun(void)
{
	for (unsigned i = 0; i <= group; i++)
		if (sync_file_range(fds[i], 0, 0, SYNC_FILE_RANGE_WRITE) != 0)
			err(1, "sync_file_range");
	by_turns();
}

/* ---- one call a file, THREADS at a time ---- */

static pthread_barrier_t	start, end;
static unsigned			next;

static void *
thread(void *arg)
{
	unsigned i;

	(void)arg;
	for (;;) {
		pthread_barrier_wait(&start);
		while ((i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) <= group)
			sync_one(i);
		pthread_barrier_wait(&end);
	}
	return NULL;
}

static void
by_threads(void)
{
	next = 0;
	pthread_barrier_wait(&start);
	pthread_barrier_wait(&end);
}

/* ---- io_uring: all of them in one call ---- */

static struct {
	int			 fd;
	uint32_t		*sq_tail, *cq_head, *cq_tail, sq_mask, cq_mask;
	uint32_t		*sq_array;
	struct io_uring_sqe	*sqes;
	struct io_uring_cqe	*cqes;
} ring;

static bool
ring_open(void)
{
	struct io_uring_params p = {0};
	char *m;

	ring.fd = (int)syscall(SYS_io_uring_setup, 1024, &p);
	if (ring.fd < 0)
		return false;
	m = mmap(NULL, p.sq_off.array + p.sq_entries * 4 + p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQ_RING);
	ring.sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
	    ring.fd, (off_t)IORING_OFF_SQES);
	if (m == MAP_FAILED || (void *)ring.sqes == MAP_FAILED || !(p.features & IORING_FEAT_SINGLE_MMAP))
		return false;
	ring.sq_tail = (uint32_t *)(void *)(m + p.sq_off.tail);
	ring.sq_mask = *(uint32_t *)(void *)(m + p.sq_off.ring_mask);
	ring.sq_array = (uint32_t *)(void *)(m + p.sq_off.array);
	ring.cq_head = (uint32_t *)(void *)(m + p.cq_off.head);
	ring.cq_tail = (uint32_t *)(void *)(m + p.cq_off.tail);
	ring.cq_mask = *(uint32_t *)(void *)(m + p.cq_off.ring_mask);
	ring.cqes = (struct io_uring_cqe *)(void *)(m + p.cq_off.cqes);
	return true;
}

static void
by_ring(void)
{
	uint32_t tail = *ring.sq_tail, head, n = group + 1, done = 0;

	for (uint32_t i = 0; i < n; i++, tail++) {
		struct io_uring_sqe *e = &ring.sqes[tail & ring.sq_mask];

		*e = (struct io_uring_sqe){.opcode = IORING_OP_FSYNC, .fd = fds[i], .fsync_flags = IORING_FSYNC_DATASYNC};
		ring.sq_array[tail & ring.sq_mask] = tail & ring.sq_mask;
	}
	__atomic_store_n(ring.sq_tail, tail, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring.fd, n, n, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		err(1, "io_uring_enter");
	for (head = *ring.cq_head; done < n; head++, done++)
		if (ring.cqes[head & ring.cq_mask].res != 0)
			errx(1, "io_uring: %s", strerror(-ring.cqes[head & ring.cq_mask].res));
	__atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
}

/* ---- the run ---- */

static void
run(const char *base, const char *name, void (*way)(void), unsigned long total, unsigned long bytes, const char *buf)
{
	struct timespec a, b;
	char path[4096];
	unsigned long n = 0;
	double s;

	snprintf(path, sizeof path, "%s/%s", base, name);
	if (mkdir(path, 0700) != 0 || (dir_fd = open(path, O_RDONLY | O_DIRECTORY)) < 0)
		err(1, "%s", path);
	for (unsigned i = 0; i <= group; i++) {
		snprintf(path, sizeof path, "%s/%s/%u", base, name, i);
		if ((fds[i] = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600)) < 0)
			err(1, "%s", path);
	}
	by_syncfs();
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (; n < total; n += group) {
		for (unsigned i = 0; i < group; i++)
			if (write(fds[i], buf, bytes) < 0 || write(fds[group], buf, bytes) < 0)
				err(1, "write");
		way();
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("%-28s %10.0f %8.2f\n", name, (double)n / s, s * 1000 * group / (double)n);
	for (unsigned i = 0; i <= group; i++)
		close(fds[i]);
	close(dir_fd);
}

int
main(int argc, char **argv)
{
	unsigned long total, bytes;
	pthread_t t;
	char *buf;

	if (argc != 5)
		errx(100, "usage: syncways DIR group messages bytes");
	group = (unsigned)strtoul(argv[2], NULL, 10);
	total = strtoul(argv[3], NULL, 10);
	bytes = strtoul(argv[4], NULL, 10);
	if (group == 0 || group > GROUP_MAX || (buf = malloc(bytes + 1)) == NULL)
		errx(1, "group");
	memset(buf, 'x', bytes);
	setvbuf(stdout, NULL, _IOLBF, 0);
	run(argv[1], "syncfs", by_syncfs, total, bytes, buf);
	run(argv[1], "fdatasync-by-turns", by_turns, total, bytes, buf);
	run(argv[1], "sync_file_range+fdatasync", by_turns_begun, total, bytes, buf);
	pthread_barrier_init(&start, NULL, THREADS + 1);
	pthread_barrier_init(&end, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t, NULL, thread, NULL) != 0)
			errx(1, "thread");
	run(argv[1], "fdatasync-16-threads", by_threads, total, bytes, buf);
	if (ring_open())
		run(argv[1], "io_uring-fdatasync", by_ring, total, bytes, buf);
	else
		printf("io_uring is not to be had here: %s\n", strerror(errno));
	return 0;
}
