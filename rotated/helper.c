/*
 * The helper process, and the way into the sandbox that it shares with the days process.
 */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "daylog.h"
#include "index.h"
#include "ipc.h"
#include "log.h"
#include "purge.h"
#include "sandbox.h"

#define HELPER_NOFILE	1024	/* committers, control connections, a directory and its files */
#define HELPER_NICE	10	/* deliveries come first */

int
helper_enter(const struct settings *settings)
{
	struct sandbox_path path = {settings->redundant_dir, true};
	int dir;

	/* A name for the zone: without it mktime would read /etc/localtime again and again, which is out of reach. */
	if (setenv("TZ", ":/etc/localtime", 0) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "environment"));
	tzset();
	sandbox_limits(HELPER_NOFILE, 0, false);
	sandbox_paths(&path, 1);
	privileges_drop(&settings->user, NULL, 1ULL << CAP_LINUX_IMMUTABLE);
	if ((dir = open(settings->redundant_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		DIE(EXIT_TEMP, "fatal.redundant", log_str("dir", settings->redundant_dir));
	sandbox_seccomp(SANDBOX_FILES);
	return dir;
}

struct indexing {
	const struct helper_job	*job;
	struct orders_done	*done;
};

static void
helper_index(void *arg, int day_dir, const char *partition)
{
	struct indexing *i = arg;
	struct index_stats stats;
	const char *day = i->job->day.name;
	int64_t from = mono_ms();

	if (index_is_current(day_dir, partition))
		return;
	if (index_make(day_dir, partition, (size_t)i->job->settings->index_memory, &stats) < 0) {
		if (errno == EWOULDBLOCK)
			return;
		LOG("warn.redundant.index", log_str("day", day), log_str("partition", partition),
		    log_str("why", errno == EBADMSG ? "no header" : strerrordesc_np(errno)));
		i->done->is_good = false;
		return;
	}
	i->done->count++;
	if (stats.damaged > 0 || stats.unusable > 0)
		LOG("warn.redundant.damaged", log_str("day", day), log_str("partition", partition),
		    log_u64("stretches", stats.damaged), log_u64("bytes", stats.damaged_bytes),
		    log_u64("unusable", stats.unusable));
	LOG("redundant.indexed", log_str("day", day), log_str("partition", partition), log_u64("records", stats.records),
	    log_u64("entries", stats.entries), log_i64("ms", mono_ms() - from));
}

void
helper_work(const struct helper_job *job, int dir, struct orders_done *out)
{
	struct indexing indexing = {job, out};

	*out = (struct orders_done){.verb = (uint8_t)job->verb, .is_good = true};
	if (job->verb == ORDERS_PURGE) {
		out->is_good = purge_days(dir, &job->day, &job->oldest, job->settings->retention_days, &out->count) == 0;
		return;
	}
	if (daylog_each(dir, &job->day, ".log", helper_index, &indexing) < 0) {
		LOG("warn.redundant.index", log_str("day", job->day.name), log_str("why", strerrordesc_np(errno)));
		out->is_good = false;
	}
}

_Noreturn void
helper_run(const struct helper_job *job, int chan)
{
	struct buf msg = buf_make(ORDERS_MAX_BYTES);
	struct orders_done done;
	int dir;

	signal(SIGTERM, SIG_DFL);	/* what is half made is made again: end at once */
	(void)setpriority(PRIO_PROCESS, 0, HELPER_NICE);
	dir = helper_enter(job->settings);
	helper_work(job, dir, &done);
	orders_pack_done(&msg, &done);
	if (ipc_send(chan, buf_slice(&msg), NULL, 0) < 0)
		_exit(EXIT_TEMP);
	_exit(0);
}
