/*
 * Whole days go at once; one half removed is a day still, and goes at the next purge.
 */
#include "purge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daylog.h"
#include "log.h"

struct purge {
	const char	*suffix;
	uint64_t	 bytes;
	int		 failed;	/* errno of the last failure */
};

static void
purge_file(void *arg, int day_dir, const char *partition)
{
	struct purge *p = arg;
	char name[DAYLOG_NAME_BYTES];
	struct stat st;
	int fd;

	if (!daylog_name(partition, p->suffix, name))
		return;
	/* An append-only inode cannot be unlinked. */
	if ((fd = openat(day_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) < 0 || fstat(fd, &st) < 0) {
		p->failed = errno;
	} else {
		(void)daylog_set_append(fd, false);
		if (unlinkat(day_dir, name, 0) < 0)
			p->failed = errno;
		else
			p->bytes += (uint64_t)st.st_size;
	}
	if (fd >= 0)
		close(fd);
}

static int
purge_day(int dir, const struct day *day)
{
	static const char *const suffixes[] = {".index.tmp", ".index", ".log"};
	struct purge p = {0};

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]) && p.failed == 0; i++) {
		p.suffix = suffixes[i];
		if (daylog_each(dir, day, p.suffix, purge_file, &p) < 0)
			p.failed = errno;
	}
	if (p.failed == 0 && (unlinkat(dir, day->name, AT_REMOVEDIR) < 0 || fsync(dir) < 0))
		p.failed = errno;
	if (p.failed == 0)
		LOG("redundant.purged", log_str("day", day->name), log_u64("bytes", p.bytes));
	else
		LOG("warn.redundant.purge", log_str("day", day->name), log_str("why", strerrordesc_np(p.failed)));
	return p.failed == 0 ? 0 : -1;
}

int
purge_days(int dir, const struct day *current, const struct day *oldest, uint64_t retention_days, uint32_t *count_out)
{
	struct day *days;
	int failed = 0;
	size_t n;

	*count_out = 0;
	if (daylog_list(dir, &days, &n) < 0) {
		LOG("warn.redundant.purge", log_str("why", strerrordesc_np(errno)));
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if (current->number - days[i].number <= (int64_t)retention_days || day_compare(&days[i], oldest) >= 0)
			continue;
		if (purge_day(dir, &days[i]) < 0)
			failed = -1;
		else
			++*count_out;
	}
	free(days);
	return failed;
}
