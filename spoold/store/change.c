/*
 * How a read or a change of a store begins and ends. Lock order: index transaction, then the log's
 * directory. A change's own records reach the index by the same catch-up that a replay uses.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "log.h"
#include "store/store_impl.h"

/* An index found damaged is put aside and made anew. */
static enum store_result
reopen(struct store *s)
{
	uint64_t inode = s->ix.meta.inode;
	enum store_result r;

	if (!s->ix.is_bad && s->ix.env != NULL)
		return STORE_OK;
	index_close(&s->ix);
	r = index_open(&s->ix, s->spool, inode);
	s->ix.is_bad = r != STORE_OK;
	return r;
}

enum store_result
store_read_begin(struct store *s)
{
	enum store_result r = reopen(s);

	return r == STORE_OK ? index_begin(&s->ix, false) : r;
}

/* In a write transaction: up to the log's end, over as many transactions as it takes; the last stays open. */
static enum store_result
catch_up(struct store *s)
{
	enum store_result r;
	bool more = false;

	for (;;) {
		if ((r = index_catch_up(&s->ix, &more)) != STORE_OK) {
			(void)index_end(&s->ix);
			return r;
		}
		if (!more)
			return STORE_OK;
		if ((r = index_commit(&s->ix)) != STORE_OK || (r = index_begin(&s->ix, true)) != STORE_OK)
			return r;
	}
}

enum store_result
store_current_begin(struct store *s)
{
	enum store_result r;

	if ((r = store_read_begin(s)) != STORE_OK || !index_is_behind(&s->ix))
		return r;
	if ((r = index_end(&s->ix)) != STORE_OK || (r = index_begin(&s->ix, true)) != STORE_OK ||
	    (r = catch_up(s)) != STORE_OK || (r = index_commit(&s->ix)) != STORE_OK)
		return r;
	index_checkpoint(&s->ix);
	return index_begin(&s->ix, false);
}

enum store_result
change_begin(struct store *s)
{
	enum store_result r;

	if ((r = reopen(s)) != STORE_OK || (r = index_begin(&s->ix, true)) != STORE_OK || (r = catch_up(s)) != STORE_OK)
		return r;
	if ((r = spool_lock(s->spool)) != STORE_OK) {
		(void)index_end(&s->ix);
		return r;
	}
	if ((r = catch_up(s)) != STORE_OK)
		spool_unlock(s->spool);
	return r;
}

enum store_result
change_drop(struct store *s, enum store_result why)
{
	enum store_result r;

	spool_unlock(s->spool);
	/* Not undone: what was caught up is good whatever became of the change. */
	r = index_commit(&s->ix);
	return r == STORE_OK ? why : r;
}

static enum store_result
hand_over(struct store *s, int log_fd, const struct record *records, size_t n, const struct body_src *bodies, bool wait)
{
	const struct store_host *host = s->spool->host;
	struct store_commit c = {.user = store_user(s), .partition = s->spool->partition, .log_fd = log_fd,
	    .records = records, .nrecords = n, .bodies = bodies, .wait = wait};

	if (host->commit != NULL)
		return host->commit(host->commit_arg, &c) == 0 || !wait ? STORE_OK : STORE_TEMP;
	if (!wait || fdatasync(log_fd) == 0)
		return STORE_OK;
	LOG("warn.store.sync", log_str("user", s->spool->user));
	return STORE_TEMP;
}

enum store_result
change_end(struct store *s, struct record *records, size_t n, const struct body_src *bodies, bool wait)
{
	enum store_result r, applied;
	int log_fd;

	if (s->ix.rc != 0)
		return change_drop(s, STORE_TEMP);
	if (n == 0)
		return change_drop(s, STORE_OK);
	/* Of our own: catching up may go on to a segment that another process has begun. */
	if ((log_fd = fcntl(s->spool->write_fd, F_DUPFD_CLOEXEC, 0)) < 0) {
		LOG("warn.store.log", log_str("user", s->spool->user), log_str("step", "dup"), log_str("why", strerror(errno)));
		return change_drop(s, STORE_TEMP);
	}
	if ((r = spool_append(s->spool, records, n, bodies)) != STORE_OK) {
		close(log_fd);
		return change_drop(s, r);
	}
	spool_unlock(s->spool);
	applied = catch_up(s);
	if (applied == STORE_OK)
		applied = index_commit(&s->ix);
	/* The log has it, whatever the index says: the other copy must have it too. */
	r = hand_over(s, log_fd, records, n, bodies, wait);
	close(log_fd);
	if (applied == STORE_OK)
		index_checkpoint(&s->ix);
	return applied == STORE_OK ? r : applied;
}

enum store_result
find_mbox(struct store *s, const unsigned char *id, struct mbox *out)
{
	if (mbox_load(&s->ix, id, out))
		return out->v.is_deleted ? STORE_NOMBOX : STORE_OK;
	return s->ix.rc == 0 ? STORE_NOMBOX : STORE_TEMP;
}
