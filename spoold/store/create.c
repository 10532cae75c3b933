/*
 * Making a user's spool: directory and first segment, under another name, synced, renamed in. Called
 * by place.c on a first delivery or login; whoever comes second finds it there.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "store/path.h"
#include "store/segment.h"

static enum store_result
fail(struct slice user, const char *step)
{
	LOG("warn.store.create", log_slice("user", user), log_str("step", step), log_str("why", strerror(errno)));
	return errno == ENOSPC || errno == EDQUOT ? STORE_FULL : STORE_TEMP;
}

enum store_result
store_create(const struct store_host *host, struct slice user)
{
	struct numbers first = {.epoch = host->epoch, .next_uid = 1, .next_modseq = 1};
	char path[PATH_MAX], tmp[PATH_MAX];
	const char *partition;
	enum store_result r = STORE_OK;
	enum lookup found = store_exists(host, user, &partition);
	int fd;

	if (!user_is_valid(user))
		return STORE_LIMIT;
	if (found == LOOKUP_TEMP)
		return STORE_TEMP;
	if (found == FOUND) {
		/* Who made it may have died between the rename and the sync. */
		if (path_user(host->active_dir, partition, "", user, path) != 0 || path_sync_parent(path) != 0)
			return fail(user, "sync");
		return STORE_OK;
	}
	if (path_user(host->active_dir, host->partition, "", user, path) != 0 ||
	    path_user(host->active_dir, host->partition, "~", user, tmp) != 0 ||
	    path_make_parents(host->active_dir, host->partition, user) != 0)
		return fail(user, "path");
	if ((fd = path_claim(tmp)) < 0)
		return fail(user, "claim");
	if (access(path, F_OK) == 0)
		rmdir(tmp);	/* another process made it while we waited */
	else if (segment_make(fd, user, 1, &first) != 0)
		r = fail(user, "segment");
	else if (rename(tmp, path) != 0 || path_sync_parent(path) != 0)
		r = fail(user, "rename");
	close(fd);
	return r;
}
