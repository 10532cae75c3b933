/*
 * Importing a mailbox. A batch is announced in the state, appended with one link record (all or nothing, durable in both
 * spools), and then written down as done. A batch that was announced by a run that died is looked for in the mailbox.
 */
#include "import/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "place.h"

struct job {
	struct import		*im;
	const struct import_source *src;
	struct reader		 reader;
	unsigned char		 mailbox[RECORD_ID_BYTES];
	struct import_message	 msgs[IMPORT_BATCH_MESSAGES];
	size_t			 n;
	uint64_t		 bytes;
	char			 place[READER_PLACE_BYTES];	/* where the batch began */
};

static void
report(struct job *j, const char *where, const char *why)
{
	progress_hide(&j->im->progress);
	printf("%s:%s: %s\n", j->src->path, where, why);
}

static bool
stop(struct job *j, const char *why)
{
	j->im->stopped = why;
	return false;
}

/* ---- the mailbox ---- */

static bool
find_mailbox(struct job *j)
{
	struct slice name = {j->src->mailbox.s, j->src->mailbox.n};
	struct arena a = arena_make(1 << 16);
	struct mbox_info info;
	enum store_result r = store_mbox_by_name(j->im->store, name, &a, &info);

	if (r == STORE_OK)
		memcpy(j->mailbox, info.id, RECORD_ID_BYTES);
	else if (r == STORE_NOMBOX && (r = place_create(j->im->store, name, USE_NONE, j->mailbox)) == STORE_OK)
		r = store_subscribe(j->im->store, name, true);
	arena_free(&a);
	return r == STORE_OK || stop(j, r == STORE_LIMIT ? "the mailbox cannot be made: a limit" : "the mailbox cannot be made now");
}

static uint32_t
uidnext_of(struct job *j)
{
	struct arena a = arena_make(1 << 16);
	struct mbox_info info;
	uint32_t uid = store_mbox_by_id(j->im->store, j->mailbox, &a, &info) == STORE_OK ? info.uidnext : 0;

	arena_free(&a);
	return uid;
}

/* ---- was the batch of a run that died done? ---- */

static bool
is_same_body(struct job *j, const struct msg_info *there, const struct import_message *m)
{
	char *p;
	uint64_t at;
	bool same;
	int fd;

	if (there->size != m->bytes.n || store_body_open(j->im->store, there, &fd, &at) != STORE_OK)
		return false;
	if ((p = malloc(m->bytes.n + 1)) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", m->bytes.n));
	same = pread(fd, p, m->bytes.n, (off_t)at) == (ssize_t)m->bytes.n && memcmp(p, m->bytes.p, m->bytes.n) == 0;
	free(p);
	close(fd);
	return same;
}

/* A batch has UIDs in a row: do all of it stand so from there on? */
static bool
is_run_at(struct job *j, const struct msg_info *v, size_t n)
{
	if (n < j->n)
		return false;
	for (size_t i = 0; i < j->n; i++)
		if (v[i].uid != v[0].uid + i || !is_same_body(j, &v[i], &j->msgs[i]))
			return false;
	return true;
}

/* False with stopped: cannot be found out. */
static bool
was_done(struct job *j, uint32_t uidnext, bool *out)
{
	static struct msg_info v[STORE_BATCH_MSGS];
	uint32_t lo = uidnext;
	struct view view;
	size_t n;

	*out = false;
	if (view_open(j->im->store, j->mailbox, false, &view) != STORE_OK)
		return stop(j, "the mailbox cannot be read now");
	for (;;) {
		if (view_range(j->im->store, &view, lo, UINT32_MAX, v, STORE_BATCH_MSGS, &n) != STORE_OK)
			return stop(j, "the mailbox cannot be read now");
		/* Others deliver beside us: ours may begin anywhere. */
		for (size_t i = 0; i < n && n - i >= j->n && !*out; i++)
			*out = is_run_at(j, v + i, n - i);
		if (*out || n < STORE_BATCH_MSGS)
			return true;
		lo = v[n - j->n].uid;
	}
}

/* ---- batches ---- */

static void
batch_clear(struct job *j)
{
	j->n = 0;
	j->bytes = 0;
	memcpy(j->place, j->reader.place, sizeof(j->place));
}

static bool
batch_append(struct job *j)
{
	struct append_msg v[IMPORT_BATCH_MESSAGES];
	uint32_t uids[IMPORT_BATCH_MESSAGES], uidvalidity;
	enum store_result r;

	for (size_t i = 0; i < j->n; i++) {
		struct import_message *m = &j->msgs[i];

		v[i] = (struct append_msg){.body = {.mem = buf_slice(&m->bytes), .fd = -1, .bytes = m->bytes.n}, .date_ms = m->date_ms,
		    .flags = m->flags, .keywords = m->keywords, .nkeywords = m->nkeywords};
	}
	r = store_append(j->im->store, j->mailbox, v, j->n, uids, &uidvalidity);
	if (r == STORE_LIMIT) {
		/* A user has a number of keywords and no more. */
		report(j, j->place, "keywords left out: the user has too many");
		for (size_t i = 0; i < j->n; i++)
			v[i].nkeywords = 0;
		r = store_append(j->im->store, j->mailbox, v, j->n, uids, &uidvalidity);
	}
	if (r == STORE_OK)
		return true;
	return stop(j, r == STORE_FULL ? "the disk is full" : r == STORE_NOMBOX ? "the mailbox was removed" :
	    "the spool takes nothing now");
}

static bool
batch_write(struct job *j)
{
	struct import_batch b = {.count = (uint32_t)j->n};
	struct import *im = j->im;

	if (j->n == 0)
		return true;
	if (im->store != NULL) {
		memcpy(b.place, j->place, sizeof(b.place));
		memcpy(b.after, j->reader.place, sizeof(b.after));
		if ((b.uidnext = uidnext_of(j)) == 0)
			return stop(j, "the mailbox cannot be read now");
		if (im->state_fd >= 0 && state_begin(im->state_fd, j->src->path, &b) != 0)
			return stop(j, "the state cannot be written");
		if (!batch_append(j))
			return false;
		if (im->state_fd >= 0 && state_done(im->state_fd, j->src->path, j->reader.place) != 0)
			return stop(j, "the state cannot be written");
	}
	im->imported += j->n;
	batch_clear(j);
	return true;
}

static void
swap(struct import_message *a, struct import_message *b)
{
	static struct import_message t;
	struct import_message *both[] = {a, b};

	if (a == b)
		return;
	t = *a;
	*a = *b;
	*b = t;
	/* Keywords point into their own message. */
	for (size_t i = 0; i < 2; i++) {
		size_t at = 0;

		for (size_t k = 0; k < both[i]->nkeywords; k++) {
			both[i]->keywords[k].p = both[i]->words + at;
			at += both[i]->keywords[k].n;
		}
	}
}

/* The next message into the batch, which goes out first where it has no room for it. False: stopped. */
static bool
take(struct job *j, struct import_message *m)
{
	if (m->nuls > 0)
		report(j, j->reader.where, "octets 0 became 128");
	if (m->bytes.n == 0) {
		report(j, j->reader.where, "an empty message");
		j->im->bad++;
		return true;
	}
	swap(&j->msgs[j->n], m);
	j->bytes += j->msgs[j->n++].bytes.n;
	return j->n < IMPORT_BATCH_MESSAGES && j->bytes < IMPORT_BATCH_BYTES ? true : batch_write(j);
}

static bool
read_all(struct job *j, uint32_t most)
{
	static struct import_message m;
	struct import *im = j->im;

	while (most == 0 || j->n < most) {
		enum import_got got = reader_next(&j->reader, &m);

		progress_step(&im->progress, im->done_bytes + j->reader.done, j->src->path);
		switch (got) {
		case IMPORT_MESSAGE:
			if (!take(j, &m))
				return false;
			break;
		case IMPORT_SKIPPED:
			im->skipped++;
			break;
		case IMPORT_BAD:
			report(j, j->reader.where, j->reader.why);
			im->bad++;
			break;
		case IMPORT_ERROR:
			/* What was read before it is kept; the rest of this source is not. */
			report(j, j->reader.place, strerror(errno));
			im->bad++;
			return batch_write(j);
		case IMPORT_END:
			return batch_write(j);
		}
	}
	return true;
}

/* The batch that was announced and never confirmed: read again and looked for. */
static bool
settle(struct job *j, const struct import_progress *p)
{
	bool done;

	/* Read without being written: take() would write a full one. */
	static struct import_message m;

	while (j->n < p->open.count && j->n < IMPORT_BATCH_MESSAGES) {
		enum import_got got = reader_next(&j->reader, &m);

		if (got == IMPORT_END || got == IMPORT_ERROR)
			break;
		if (got == IMPORT_MESSAGE && m.bytes.n > 0) {
			swap(&j->msgs[j->n], &m);
			j->n++;
		}
	}
	if (j->n == 0)
		return true;
	if (!was_done(j, p->open.uidnext, &done))
		return false;
	if (done) {
		j->im->imported += j->n;
		if (state_done(j->im->state_fd, j->src->path, j->reader.place) != 0)
			return stop(j, "the state cannot be written");
		batch_clear(j);
		return true;
	}
	return batch_write(j);
}

static bool
begin(struct job *j, int fd, struct import_progress *p)
{
	unsigned line;

	*p = (struct import_progress){.is_done = false};
	if (j->im->state_fd >= 0 && !state_read(j->im->state_fd, j->src->path, p, &line)) {
		close(fd);
		return stop(j, "the state file makes no sense");
	}
	if (p->is_done) {
		close(fd);
		return true;
	}
	if (reader_open(&j->reader, j->src->kind, fd, p->has_open ? p->open.place : p->place) != 0) {
		report(j, "0", strerror(errno));
		j->im->bad++;
		p->is_done = true;
		return true;
	}
	memcpy(j->place, j->reader.place, sizeof(j->place));
	return j->im->store == NULL || find_mailbox(j);
}

bool
import_run(struct import *im, const struct import_source *src, int fd)
{
	static struct job job;
	struct job *j = &job;
	struct import_progress p;
	bool ok;

	j->im = im;
	j->src = src;
	j->n = 0;
	j->bytes = 0;
	j->reader = (struct reader){.fd = -1};
	ok = begin(j, fd, &p);
	if (ok && !p.is_done) {
		ok = (!p.has_open || im->store == NULL || settle(j, &p)) && read_all(j, 0);
		if (ok && im->state_fd >= 0 && im->store != NULL && state_finished(im->state_fd, src->path) != 0)
			ok = stop(j, "the state cannot be written");
	}
	reader_close(&j->reader);
	im->done_bytes += src->bytes;
	return ok;
}
