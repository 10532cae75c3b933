/*
 * Threads that wait for the disk, so that the committer's main thread goes on collecting. The jobs of
 * a round run at the same time: on different file systems because they can, on the same one because
 * a journal commits two waiting fdatasync calls at once. The threads touch nothing but their job.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "commit.h"
#include "log.h"

#define STACK_BYTES	(256 * 1024)	/* ASan needs more than the calls do */

static struct {
	pthread_mutex_t		 lock;
	pthread_cond_t		 work;
	const struct site_calls *calls;
	struct commit_job	*jobs;
	size_t			 njobs, taken, done;
	size_t			 nthreads;
	int			 event_fd;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .event_fd = -1};

/* A failed sync is never tried again: Linux would say all is well. */
static void
job_run(struct commit_job *j)
{
	errno = 0;
	j->error = (j->is_whole ? pool.calls->syncfs : pool.calls->fdatasync)(j->fd) == 0 ? 0 : errno != 0 ? errno : EIO;
}

static void *
pool_main(void *arg)
{
	uint64_t one = 1;

	(void)arg;
	pthread_mutex_lock(&pool.lock);
	for (;;) {
		struct commit_job *j;

		while (pool.taken == pool.njobs)
			pthread_cond_wait(&pool.work, &pool.lock);
		j = &pool.jobs[pool.taken++];
		pthread_mutex_unlock(&pool.lock);
		job_run(j);
		pthread_mutex_lock(&pool.lock);
		if (++pool.done == pool.njobs && write(pool.event_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
			DIE(EXIT_TEMP, "fatal.system", log_str("what", "eventfd"));
	}
	return NULL;
}

static void
pool_grow(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	/* Signals belong to the main thread's loop. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	error = pthread_create(&thread, &attr, pool_main, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0) {
		errno = error;
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "thread"));
	}
	pool.nthreads++;
}

int
commit_thread_start(const struct site_calls *calls)
{
	pool.calls = calls;
	pool.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool.event_fd < 0)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "eventfd"));
	pool_grow();
	return pool.event_fd;
}

void
commit_thread_run(struct commit_job *jobs, size_t n)
{
	while (pool.nthreads < n)
		pool_grow();
	pthread_mutex_lock(&pool.lock);
	pool.jobs = jobs;
	pool.njobs = n;
	pool.taken = 0;
	pool.done = 0;
	pthread_cond_broadcast(&pool.work);
	pthread_mutex_unlock(&pool.lock);
}

void
commit_thread_ack(int fd)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
}
