/*
 * How a read or a change of a store begins and ends. Lock order: index transaction, then the log's
 * directory. A change's own records reach the index by the same catch-up that a replay uses.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "log.h"
#include "store/store_impl.h"

/*
 * Who only wants to read waits so long for another process's change to end, as good as all do; then it
 * takes the index as it was before, and for a while does not wait again.
 */
#define BUSY_WAIT_MS	10
#define BUSY_STEP_US	200
#define BUSY_REST_MS	200

/* An index found damaged is put aside and made anew; one that only got stuck is opened again. */
static enum store_result
reopen(struct store *s)
{
	struct index was = s->ix;
	enum store_result r;

	if (!was.is_bad && !was.is_stuck && was.env != NULL)
		return STORE_OK;
	index_close(&s->ix);
	r = index_open(&s->ix, s->spool, was.is_bad ? was.meta.inode : 0);
	s->ix.is_bad = r != STORE_OK && was.is_bad;
	s->ix.is_unsaved = was.is_unsaved;
	s->ix.save_again_ms = was.save_again_ms;
	return r;
}

enum store_result
store_read_begin(struct store *s)
{
	enum store_result r = reopen(s);

	return r == STORE_OK ? index_begin(&s->ix, false) : r;
}

/*
 * In a write transaction: up to the log's end, over as many transactions as it takes; the last stays open. While the index
 * cannot be written it is one, in memory.
 */
static enum store_result
catch_up(struct store *s)
{
	enum store_result r;
	bool more = false;

	for (;;) {
		r = index_is_in_memory(&s->ix) ? index_catch_up_unsaved(&s->ix) : index_catch_up(&s->ix, &more);
		if (r != STORE_OK) {
			(void)index_end(&s->ix);
			return r;
		}
		if (!more)
			return STORE_OK;
		if ((r = index_commit(&s->ix)) != STORE_OK || (r = index_begin(&s->ix, true)) != STORE_OK)
			return r;
	}
}

/* Asked before each wait; *until is 0 the first time. */
static bool
may_wait(struct store *s, int64_t *until)
{
	int64_t now = mono_ms();

	if (*until == 0) {
		if (now < s->busy_until_ms)
			return false;
		*until = now + BUSY_WAIT_MS;
	} else if (now >= *until) {
		s->busy_until_ms = now + BUSY_REST_MS;
		return false;
	}
	usleep(BUSY_STEP_US);
	return true;
}

bool
store_turn(struct store *s)
{
	int64_t until = 0;

	while (!index_turn_try(&s->ix))
		if (!may_wait(s, &until))
			return false;
	return true;
}

/* The turn is kept until all is done: a reader that slipped in between would have to finish our work. */
static enum store_result
catch_up_all(struct store *s)
{
	enum store_result r = index_begin(&s->ix, true);

	s->ix.keeps_turn = r == STORE_OK;
	if (r == STORE_OK && (r = catch_up(s)) == STORE_OK)
		r = index_save(&s->ix);
	index_turn_end(&s->ix);
	return r;
}

/* The index cannot be written: what it lacks is applied in a transaction that its reader drops at the end. */
static enum store_result
unsaved_begin(struct store *s)
{
	enum store_result r = reopen(s);

	if (r == STORE_OK && (r = index_begin(&s->ix, true)) == STORE_OK)
		r = catch_up(s);
	return r;
}

static enum store_result
current_begin(struct store *s, bool must)
{
	enum store_result r;
	int64_t until = 0;

	s->is_behind = false;
	for (;;) {
		/* Mostly whoever has the turn catches up for us too. */
		if ((r = store_read_begin(s)) != STORE_OK || !index_is_behind(&s->ix))
			return r;
		if (index_turn_try(&s->ix))
			break;
		if (must)
			usleep(BUSY_STEP_US);
		else if (!may_wait(s, &until)) {
			/* What is committed is whole, and a moment old: better than to wait for seconds. */
			s->is_behind = true;
			return STORE_OK;
		}
		if ((r = index_end(&s->ix)) != STORE_OK)
			return r;
	}
	if ((r = index_end(&s->ix)) != STORE_OK) {
		index_turn_end(&s->ix);
		return r;
	}
	if (index_is_in_memory(&s->ix))
		return unsaved_begin(s);
	if ((r = catch_up_all(s)) != STORE_OK)
		return s->ix.is_unsaved ? unsaved_begin(s) : r;
	index_checkpoint(&s->ix);
	return index_begin(&s->ix, false);
}

/* Where the index is found not to be of this log, or stuck: anew at once. */
static enum store_result
current_again(struct store *s, bool must)
{
	enum store_result r = current_begin(s, must);

	return r != STORE_OK && (s->ix.is_bad || s->ix.is_stuck) ? current_begin(s, must) : r;
}

enum store_result
store_current_begin(struct store *s)
{
	return current_again(s, false);
}

enum store_result
store_current_begin_since(struct store *s, uint64_t modseq)
{
	enum store_result r = store_current_begin(s);

	if (r != STORE_OK || !s->is_behind || s->ix.meta.next_modseq > modseq)
		return r;
	return (r = index_end(&s->ix)) == STORE_OK ? current_again(s, true) : r;
}

enum store_result
store_read_begin_since(struct store *s, uint64_t modseq)
{
	enum store_result r = store_read_begin(s);

	if (r != STORE_OK || s->ix.meta.next_modseq > modseq)
		return r;
	/* What the caller knows was never written: it was read in memory, here or by another process. */
	return (r = index_end(&s->ix)) == STORE_OK ? current_again(s, true) : r;
}

bool
store_is_behind(const struct store *s)
{
	return s->is_behind;
}

static enum store_result
prepare(struct store *s)
{
	enum store_result r;

	if ((r = reopen(s)) != STORE_OK || (r = index_begin(&s->ix, true)) != STORE_OK)
		return r;
	s->ix.keeps_turn = true;
	if ((r = catch_up(s)) != STORE_OK)
		index_turn_end(&s->ix);
	return r;
}

enum store_result
change_prepare(struct store *s)
{
	enum store_result r;

	s->is_in_log = false;
	r = prepare(s);
	return r != STORE_OK && (s->ix.is_bad || s->ix.is_stuck || s->ix.is_unsaved) ? prepare(s) : r;
}

enum store_result
change_lock(struct store *s)
{
	enum store_result r;

	if ((r = spool_lock(s->spool)) != STORE_OK) {
		(void)index_end(&s->ix);
		index_turn_end(&s->ix);
		return r;
	}
	if ((r = catch_up(s)) != STORE_OK) {
		spool_unlock(s->spool);
		index_turn_end(&s->ix);
	}
	return r;
}

enum store_result
change_begin(struct store *s)
{
	enum store_result r = change_prepare(s);

	return r == STORE_OK ? change_lock(s) : r;
}

enum store_result
change_drop(struct store *s, enum store_result why)
{
	enum store_result r;

	spool_unlock(s->spool);
	/* Not undone: what was caught up is good whatever became of the change. */
	r = index_save(&s->ix);
	index_turn_end(&s->ix);
	return r == STORE_OK || s->ix.is_unsaved ? why : r;
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
	errno = EROFS;
	if (s->spool->write_fd < 0 || (log_fd = fcntl(s->spool->write_fd, F_DUPFD_CLOEXEC, 0)) < 0) {
		LOG("warn.store.log", log_str("user", s->spool->user), log_str("step", "dup"), log_str("why", strerror(errno)));
		return change_drop(s, STORE_TEMP);
	}
	if ((r = spool_append(s->spool, records, n, bodies)) != STORE_OK) {
		close(log_fd);
		return change_drop(s, r);
	}
	s->is_in_log = true;
	own_add(s, records[0].modseq, records[n - 1].modseq);
	spool_unlock(s->spool);
	applied = catch_up(s);
	if (applied == STORE_OK)
		applied = index_save(&s->ix);
	index_turn_end(&s->ix);
	/* The log has it, whatever the index says: the other copy must have it too. */
	r = hand_over(s, log_fd, records, n, bodies, wait);
	close(log_fd);
	if (applied == STORE_OK)
		index_checkpoint(&s->ix);
	else if (!s->ix.is_unsaved)
		LOG("warn.store.behind", log_str("user", s->spool->user), log_u64("modseq", records[n - 1].modseq));
	/* It has happened, and whoever can next write the index will find it: a NO would have it repeated. */
	return r;
}

enum store_result
find_mbox(struct store *s, const unsigned char *id, struct mbox *out)
{
	if (mbox_load(&s->ix, id, out))
		return out->v.is_deleted ? STORE_NOMBOX : STORE_OK;
	return s->ix.rc == 0 ? STORE_NOMBOX : STORE_TEMP;
}
