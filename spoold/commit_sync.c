/*
 * A batch: everything collected is appended to the redundant spool, then one round of syncs covers
 * both spools, then every waiter has that one result. While a round is under way the next batch is
 * collected and written, so that the disk has its next round before the last one is answered; nothing
 * written after a round began is covered by it. A sync that failed is final.
 */
#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commit.h"
#include "log.h"

static uint32_t
bit(size_t partition)
{
	return (uint32_t)1 << partition;
}

/* The partitions on a volume: one failed sync tells of them all. */
static uint32_t
volume_mask(const struct site *sp, size_t volume)
{
	uint32_t mask = 0;

	for (size_t i = 0; i < sp->npartitions; i++)
		if (sp->volume_of[i] == volume)
			mask |= bit(i);
	return mask;
}

/* ---- writing ---- */

/* Those of one partition, in order; what cannot be written has its outcome at once. */
static struct commit_request *
partition_list(struct commit *c, size_t partition, struct commit_request *all)
{
	struct commit_part *p = &c->parts[partition];
	struct commit_request *list = NULL, **end = &list;

	for (struct commit_request *r = all; r != NULL; r = r->next) {
		if (r->head.partition != partition || r->outcome != COMMIT_OK)
			continue;
		if (p->is_failed) {
			r->outcome = COMMIT_FAILED;
		} else if (p->day == NULL && !c->site->conf.single_copy) {
			r->outcome = COMMIT_ABSENT;
			commit_day_missed(p, r->head.wait);
		} else {
			*end = r;
			end = &r->write_next;
			*end = NULL;
		}
	}
	return list;
}

/* Answers all of a list, tells of it and frees it. */
static void
list_end(struct commit *c, struct commit_request *list)
{
	if (list == NULL)
		return;
	for (struct commit_request *r = list; r != NULL; r = r->next)
		commit_answer(r);
	commit_answers_send(c);
	for (struct commit_request *r = list, *next; r != NULL; r = next) {
		next = r->next;
		commit_tell(c, r);
		commit_request_free(c, r);
	}
}

/* A day came or went since the written were written: what is collected for it waits until they have their round. */
static bool
is_held(const struct commit *c, const struct commit_request *r)
{
	const struct commit_part *p = &c->parts[r->head.partition];

	return p->ahead != NULL && p->ahead != p->day;
}

static struct commit_request *
collected_take(struct commit *c)
{
	struct commit_request *all = c->collected, *taken = NULL, **end = &taken;

	c->collected = NULL;
	c->collected_end = &c->collected;
	for (struct commit_request *r = all, *next; r != NULL; r = next) {
		next = r->next;
		r->next = NULL;
		if (is_held(c, r)) {
			*c->collected_end = r;
			c->collected_end = &r->next;
		} else {
			*end = r;
			end = &r->next;
		}
	}
	return taken;
}

/* Writes what was collected; what waits for a sync goes to the written, the rest is answered or freed. */
static void
batch_write(struct commit *c)
{
	struct commit_request *all = collected_take(c), *failed = NULL, **failed_end = &failed;

	for (size_t i = 0; i < c->site->npartitions; i++) {
		struct commit_request *list = partition_list(c, i, all);

		if (list != NULL && !c->site->conf.single_copy)
			commit_write(&c->parts[i], list);
	}
	for (struct commit_request *r = all, *next; r != NULL; r = next) {
		next = r->next;
		r->next = NULL;
		if (r->head.wait && r->outcome == COMMIT_OK) {
			c->parts[r->head.partition].ahead = c->parts[r->head.partition].day;
			*c->written_end = r;
			c->written_end = &r->next;
		} else if (r->head.wait) {
			*failed_end = r;
			failed_end = &r->next;
		} else {
			/* It is in the active log whatever became of the redundant copy. */
			c->dirty |= bit(r->head.partition);
			commit_request_free(c, r);
		}
	}
	list_end(c, failed);
}

/* The written are the batch now, but for those of a partition whose sync failed after they were written. */
static void
batch_take(struct commit *c)
{
	struct commit_request *all = c->written, **end = &c->batch, *failed = NULL, **failed_end = &failed;

	c->written = NULL;
	c->written_end = &c->written;
	for (struct commit_request *r = all, *next; r != NULL; r = next) {
		next = r->next;
		r->next = NULL;
		if (c->parts[r->head.partition].is_failed) {
			r->outcome = COMMIT_FAILED;
			*failed_end = r;
			failed_end = &r->next;
		} else {
			*end = r;
			end = &r->next;
		}
	}
	list_end(c, failed);
}

/* ---- what to sync ---- */

/* The job that syncs all of a file system; NULL where there is none in this round. */
static struct commit_job *
job_whole(struct commit *c, dev_t dev)
{
	for (size_t i = 0; i < c->njobs; i++)
		if (c->jobs[i].dev == dev && c->jobs[i].is_whole)
			return &c->jobs[i];
	return NULL;
}

static void
job_add(struct commit *c, struct commit_job job)
{
	assert(c->njobs < COMMIT_JOBS_MAX);
	c->jobs[c->njobs++] = job;
}

static void
job_add_volume(struct commit *c, size_t volume)
{
	uint32_t mask = volume_mask(c->site, volume);

	job_add(c, (struct commit_job){.dev = c->site->volumes[volume].dev, .is_whole = true,
	    .fd = c->site->volumes[volume].fd, .partitions = mask});
	c->dirty &= ~mask;
}

/* Of one file, by a duplicate: the round does not care who closes the original meanwhile. */
static void
job_add_file(struct commit *c, dev_t dev, int fd, uint32_t partitions)
{
	struct commit_job *whole = job_whole(c, dev);
	int copy;

	if (whole != NULL) {
		whole->partitions |= partitions;
		return;
	}
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "dup"));
	job_add(c, (struct commit_job){.dev = dev, .fd = copy, .partitions = partitions});
}

static bool
is_same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/*
 * The active side of a volume: one log by itself, or all of the file system. tests/bench/syncways measures
 * it; for 2 appends, milliseconds on ext4 (XFS): both files at once 0.6 (0.7), syncfs 0.8 (0.5); for 16:
 * syncfs 1.4 (1.1), fdatasync in 16 threads 2.1 (1.9), through io_uring 2.9 (3.0), one after the other 7.3
 * (7.5); for 64: 3.0 (2.8), 7.2 (7.1), 11 (13), 28 (28). One log by itself also does not wait for what others have written.
 */
static void
volume_jobs(struct commit *c, size_t volume)
{
	uint32_t mask = volume_mask(c->site, volume);
	int one = -1;

	if (c->is_due && (c->dirty & mask) != 0) {
		job_add_volume(c, volume);
		return;
	}
	for (struct commit_request *r = c->batch; r != NULL; r = r->next) {
		if (c->site->volume_of[r->head.partition] != volume)
			continue;
		for (size_t i = 0; i < r->head.nlogs; i++) {
			if (one >= 0 && !is_same_file(one, r->fds[i])) {
				job_add_volume(c, volume);
				return;
			}
			one = r->fds[i];
		}
	}
	if (one >= 0)
		job_add_file(c, c->site->volumes[volume].dev, one, mask);
}

/* The redundant side of a partition, where no sync of the whole file system covers it. */
static void
day_jobs(struct commit *c, size_t partition)
{
	struct commit_part *p = &c->parts[partition];

	/* One a round: there is never a second but when rotated is in a hurry. */
	if (p->retiring != NULL) {
		p->closing = p->retiring;
		p->retiring = p->closing->next;
		job_add_file(c, p->closing->dev, p->closing->fd, bit(partition));
	}
	if (p->ahead != NULL && p->ahead != p->closing) {
		job_add_file(c, p->ahead->dev, p->ahead->fd, bit(partition));
		p->ahead->is_dirty = false;
		if (p->ahead->is_lost)
			commit_day_free(p->ahead);
	}
	p->ahead = NULL;
	if (p->day == NULL || !p->day->is_dirty || !c->is_due)
		return;
	job_add_file(c, p->day->dev, p->day->fd, bit(partition));
	p->day->is_dirty = false;
}

static void
jobs_make(struct commit *c)
{
	c->njobs = 0;
	for (size_t v = 0; v < c->site->nvolumes; v++)
		volume_jobs(c, v);
	for (size_t i = 0; i < c->site->npartitions; i++)
		day_jobs(c, i);
	c->is_due = false;
}

/* What nobody waits for is synced after a while. */
static void
sync_later(struct commit *c)
{
	uint64_t ms = c->site->conf.sync_interval_ms;
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};
	bool is_dirty = c->dirty != 0;

	for (size_t i = 0; i < c->site->npartitions; i++)
		is_dirty = is_dirty || (c->parts[i].day != NULL && c->parts[i].day->is_dirty);
	if (is_dirty && !evtimer_pending(c->sync_ev, NULL))
		evtimer_add(c->sync_ev, &tv);
}

void
commit_batch(struct commit *c)
{
	batch_write(c);
	if (c->is_syncing)
		return;
	batch_take(c);
	jobs_make(c);
	sync_later(c);
	if (c->njobs == 0) {
		commit_flow(c);
		return;
	}
	c->is_syncing = true;
	commit_thread_run(c->jobs, c->njobs);
	batch_write(c);	/* those that were held */
}

/* ---- the result ---- */

/* A log that was renamed away and removed meanwhile does not hold the message any more. */
static bool
has_links(const struct commit_request *r)
{
	for (size_t i = 0; i < r->head.nlogs; i++) {
		struct stat st;

		if (fstat(r->fds[i], &st) != 0 || st.st_nlink == 0)
			return false;
	}
	return true;
}

static void
day_close(struct commit_part *p, bool is_failed)
{
	struct commit_day *d = p->closing;

	p->closing = NULL;
	if (d != NULL && is_failed)
		commit_day_free(d);
	else if (d != NULL)
		commit_day_closed(p, d);
}

void
commit_batch_done(struct commit *c)
{
	struct commit_request *batch = c->batch;
	uint32_t failed = 0;
	int error = 0;

	for (size_t i = 0; i < c->njobs; i++) {
		if (c->jobs[i].error != 0) {
			failed |= c->jobs[i].partitions;
			error = c->jobs[i].error;
		}
		if (!c->jobs[i].is_whole)
			close(c->jobs[i].fd);
	}
	c->is_syncing = false;
	c->batch = NULL;
	if (failed != 0)
		commit_fail(c, failed, error);
	for (size_t i = 0; i < c->site->npartitions; i++)
		day_close(&c->parts[i], (failed & bit(i)) != 0);
	if (failed == 0)
		commit_batch(c);
	for (struct commit_request *r = batch; r != NULL; r = r->next) {
		if ((failed & bit(r->head.partition)) != 0)
			r->outcome = COMMIT_FAILED;
		else if (!has_links(r))
			r->outcome = COMMIT_MOVED;
	}
	list_end(c, batch);
	commit_flow(c);
}
