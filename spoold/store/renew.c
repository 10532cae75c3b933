/*
 * When a checkpoint is due, and the making of one. Sessions ask for it (host->due) and go on; upkeep makes
 * it at its pace. LMDB writes its copy at full speed into a pipe; a thread takes it from there to the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "log.h"
#include "store/checkpoint.h"
#include "store/pace.h"
#include "store/store_impl.h"

#define PIECE_BYTES	(256 * 1024)

static uint64_t
index_bytes(const struct index *ix)
{
	MDB_envinfo info;

	if (mdb_env_info(ix->env, &info) != 0)
		return 0;
	return (uint64_t)(info.me_last_pgno + 1) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool
is_due(const struct index *ix, uint64_t times)
{
	uint64_t bytes = index_bytes(ix), records = bytes / CHECKPOINT_RECORD_BYTES, log_bytes = bytes / 2;

	if (records < CHECKPOINT_RECORDS)
		records = CHECKPOINT_RECORDS;
	if (log_bytes < CHECKPOINT_BYTES)
		log_bytes = CHECKPOINT_BYTES;
	return ix->meta.replay_records >= records * times || ix->meta.replay_bytes >= log_bytes * times;
}

/* ---- the copy ---- */

struct copier {
	int		 from, to;	/* a pipe's end, owned; the checkpoint's file */
	struct pace	 pace;
	int		 error;		/* errno */
};

static int
copy_piece(struct copier *c, char *piece, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t w = write(c->to, piece + at, n - at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return -1;
		at += (size_t)w;
	}
	return pace_step(&c->pace, c->to, n) ? 0 : -1;
}

static void *
copier_main(void *arg)
{
	static char piece[PIECE_BYTES];
	struct copier *c = arg;
	ssize_t n;

	while ((n = read(c->from, piece, sizeof(piece))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || copy_piece(c, piece, (size_t)n) != 0) {
			c->error = errno != 0 ? errno : EIO;
			break;
		}
	}
	/* Whoever writes into the pipe must not wait for ever. */
	close(c->from);
	return NULL;
}

/* An LMDB or errno code. */
static int
copy_paced(struct index *ix, int fd, const struct store_pace *by)
{
	struct copier c = {.to = fd};
	pthread_t thread;
	int pair[2], rc;

	if (pipe2(pair, O_CLOEXEC) != 0)
		return errno;
	c.from = pair[0];
	pace_begin(&c.pace, by, index_bytes(ix));
	if ((rc = pthread_create(&thread, NULL, copier_main, &c)) != 0) {
		close(pair[0]);
		close(pair[1]);
		return rc;
	}
	rc = mdb_env_copyfd(ix->env, pair[1]);
	close(pair[1]);
	pthread_join(thread, NULL);
	return c.error != 0 ? c.error : rc;
}

struct fill {
	struct index		*ix;
	const struct store_pace	*pace;
};

/*
 * The mark may be of a little before the copy: a rebuild goes by the copy's own meta, the fence by the
 * mark. The log is synced after the copy was taken, so a checkpoint never tells of what a crash can undo.
 */
static int
fill_checkpoint(void *arg, int fd, struct checkpoint_mark *mark)
{
	const struct fill *f = arg;
	struct index *ix = f->ix;
	const struct ix_meta *m = &ix->meta;
	int rc;

	errno = EIO;
	if (index_begin(ix, false) != STORE_OK)
		return -1;
	if (m->has_holes > 0) {
		(void)index_end(ix);
		errno = EBADMSG;
		return -1;
	}
	*mark = (struct checkpoint_mark){.version = SCHEMA_VERSION, .log_id = m->log_id, .segment = m->segment,
	    .offset = m->offset, .numbers = {m->last_epoch, m->next_uid, m->next_modseq}};
	if (index_end(ix) != STORE_OK)
		return -1;
	if ((rc = f->pace != NULL ? copy_paced(ix, fd, f->pace) : mdb_env_copyfd(ix->env, fd)) != 0) {
		errno = rc > 0 ? rc : EIO;
		return -1;
	}
	/* Segments before the highest were synced when it was begun. Not by write_fd: spool.c says why. */
	if (spool_follow(ix->spool) != 0)
		return -1;
	return fdatasync(ix->spool->read_fd);
}

static enum store_result
renew(struct index *ix, const struct store_pace *pace)
{
	const struct spool *s = ix->spool;
	struct fill f = {ix, pace};
	int64_t began = mono_ms();
	/* Never of an index that lacks something: whoever starts from it would not find what was put back since. */
	bool is_made = ix->meta.has_holes == 0 && checkpoint_write(s->dir_fd, fill_checkpoint, &f) == 0;
	enum store_result r;

	/* Cut short by who paces it: no fault, and due as before. */
	if (!is_made && !ix->meta.has_holes && pace != NULL && errno == EINTR)
		return STORE_TEMP;
	if (ix->meta.has_holes)
		LOG("warn.store.checkpoint", log_str("user", s->user), log_str("why", "the index was made of a log with holes"));
	else if (!is_made)
		LOG("warn.store.checkpoint", log_str("user", s->user), log_str("why", strerror(errno)));
	else
		LOG("store.checkpoint", log_str("user", s->user), log_i64("ms", mono_ms() - began));
	/* Also after a failure: the next try comes as much later. */
	if ((r = index_begin(ix, true)) != STORE_OK)
		return r;
	ix->meta.replay_records = ix->meta.replay_bytes = 0;
	if ((r = index_commit(ix)) != STORE_OK)
		return r;
	return is_made ? STORE_OK : STORE_TEMP;
}

void
index_checkpoint(struct index *ix)
{
	const struct store_host *host = ix->spool->host;

	if (!is_due(ix, 1))
		return;
	if (host->due == NULL || is_due(ix, CHECKPOINT_TIMES))
		(void)renew(ix, NULL);
	else
		host->due(host->due_arg, slice_of(ix->spool->user));
}

enum store_result
store_checkpoint(struct store *s, const struct store_pace *pace, bool always)
{
	enum store_result r;

	if ((r = store_current_begin(s)) != STORE_OK || (r = index_end(&s->ix)) != STORE_OK)
		return r;
	return always || is_due(&s->ix, 1) ? renew(&s->ix, pace) : STORE_OK;
}
