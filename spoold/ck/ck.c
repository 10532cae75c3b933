/*
 * A user at a time: verify, rebuild, show. Called by prog_spoolck.c after it has become the spools' user and
 * is confined as a worker is: what it reads may be damaged or hostile.
 */
#include "ck/ck.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "store/checkpoint.h"
#include "store/scan.h"
#include "store/state.h"

void
ck_found(struct ck *ck, const char *user, uint32_t segment, uint64_t offset, const char *what)
{
	ck->findings++;
	progress_hide(&ck->progress);
	printf("%s %u %llu %s\n", user, segment, (unsigned long long)offset, what);
}

uint64_t
ck_log_bytes(const struct ck *ck, struct slice user)
{
	struct spool *s;
	uint64_t bytes = 0;
	struct stat st;

	if (spool_get(&ck->host, user, &s) != FOUND)
		return 0;
	for (uint32_t n = 1; n <= s->head.number; n++) {
		char name[SEGMENT_NAME_BYTES];

		segment_name(n, name);
		if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)st.st_size;
	}
	spool_put(s);
	spool_drop_cached();
	return bytes;
}

static struct spool *
open_spool(struct ck *ck, struct slice user)
{
	struct spool *s;

	ck->users++;
	if (spool_get(&ck->host, user, &s) == FOUND)
		return s;
	progress_hide(&ck->progress);
	fprintf(stderr, "spoolck: %.*s: no spool that can be opened\n", (int)user.n, user.p);
	ck->failed++;
	return NULL;
}

bool
ck_verify(struct ck *ck, struct slice user)
{
	struct spool *s = open_spool(ck, user);
	bool ok;

	if (s == NULL)
		return false;
	/* Indexes are looked at as of the log's own epoch: nothing is appended to it for our sake. */
	ok = ck_walk(ck, s, &ck->host.epoch) && ck_compare(ck, s);
	if (!ok) {
		progress_hide(&ck->progress);
		fprintf(stderr, "spoolck: %s: could not be looked at: %s\n", s->user, strerror(errno));
		ck->failed++;
	}
	spool_put(s);
	spool_drop_cached();
	return ok;
}

bool
ck_rebuild(struct ck *ck, struct slice user)
{
	struct store *st;
	bool ok;

	ck->users++;
	store_discard_index(&ck->host, user);
	ok = store_open(&ck->host, user, &st) == FOUND;
	if (ok)
		store_close(st);
	else {
		fprintf(stderr, "spoolck: %.*s: its index could not be made\n", (int)user.n, user.p);
		ck->failed++;
	}
	store_drop_cached();
	return ok;
}

/* A line each on stdout. */
static void
show_losses(struct slice user, const struct loss *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (l[i].to == UINT64_MAX)
			printf("%.*s %u 0 segment given up\n", (int)user.n, user.p, l[i].segment);
		else if (l[i].to == 0)
			printf("%.*s %u %llu what it names given up\n", (int)user.n, user.p, l[i].segment, (unsigned long long)l[i].from);
		else
			printf("%.*s %u %llu %llu bytes given up\n", (int)user.n, user.p, l[i].segment, (unsigned long long)l[i].from,
			    (unsigned long long)(l[i].to - l[i].from));
	}
}

bool
ck_accept(struct ck *ck, struct slice user)
{
	struct buf losses = buf_make(RECORD_EXTRA_MAX_BYTES);
	enum store_result r = STORE_TEMP;
	const char *dir;
	struct store *st;
	size_t n = 0;

	ck->users++;
	if (store_open(&ck->host, user, &st) == FOUND) {
		ck->host.no_checkpoint = true;
		dir = ck_private_dir(ck);
		r = dir == NULL ? STORE_TEMP : store_losses(st, dir, &losses);
		ck->host.no_checkpoint = false;
		ck_private_drop(ck);
		n = losses.n / sizeof(struct loss);
		if (r == STORE_OK && n > 0)
			r = store_accept_losses(st, (const struct loss *)(const void *)losses.p, n);
		store_close(st);
	}
	if (r == STORE_OK)
		show_losses(user, (const struct loss *)(const void *)losses.p, n);
	else {
		fprintf(stderr, "spoolck: %.*s: not accepted\n", (int)user.n, user.p);
		ck->failed++;
	}
	if (r == STORE_OK && n == 0)
		printf("%.*s 0 0 nothing is missing; an index that lacks something needs a rebuild\n", (int)user.n, user.p);
	buf_free(&losses);
	store_drop_cached();
	return r == STORE_OK;
}

/* ---- show ---- */

static void
show_mailboxes(struct index *ix)
{
	struct ix_key from = key_of('n');
	struct slice k, v;
	struct iter it;
	struct mbox m;

	iter_begin(&it, ix, &from, 1);
	while (iter_next(&it, &k, &v)) {
		if (v.n != RECORD_ID_BYTES || !mbox_load(ix, (const unsigned char *)v.p, &m))
			continue;
		printf("mailbox %.*s messages %u unseen %u bytes %llu uidvalidity %u uidnext %u highestmodseq %llu purged_to %llu\n",
		    (int)m.name.n, m.name.s, m.v.exists, m.v.unseen, (unsigned long long)m.v.bytes, m.v.uidvalidity, m.v.uidnext,
		    (unsigned long long)m.v.highestmodseq, (unsigned long long)m.v.purge_modseq);
	}
	iter_end(&it);
}

static void
show_record(const struct record *r, uint32_t segment)
{
	printf("record %u %llu %c modseq %llu uid %u date %lld bytes %llu epoch %u\n", segment, (unsigned long long)r->start,
	    (char)r->type, (unsigned long long)r->modseq, r->uid, (long long)(r->date_ms / 1000), (unsigned long long)r->body_bytes,
	    r->epoch);
}

/* Bodies that no message has any more, or the whole record of a delivery that was a repeat. */
static bool
is_dead(struct index *ix, const struct record *r)
{
	struct ix_key k = key_body(r->modseq);
	struct ix_body b;

	if (r->type != RECORD_MESSAGE && r->type != RECORD_BODY)
		return false;
	return !index_get_fixed(ix, &k, &b, sizeof(b)) || b.refs == 0;
}

static bool
show_segments(const struct ck *ck, struct spool *s, struct index *ix)
{
	uint64_t records = 0, dead = 0, bodies = 0;
	uint32_t number = 0;
	struct record r;
	struct scan scan;
	enum scan_got got = scan_begin(&scan, s->dir_fd, s->user, 1, 0, s->head.number, false);

	while (got == SCAN_RECORD) {
		bool is_new;

		got = scan_next(&scan, &r);
		is_new = got != SCAN_RECORD || scan.head.number != number;
		if (is_new && number != 0)
			printf("segment %u records %llu bodies %llu dead_bytes %llu\n", number, (unsigned long long)records,
			    (unsigned long long)bodies, (unsigned long long)dead);
		if (got != SCAN_RECORD)
			break;
		if (is_new) {
			number = scan.head.number;
			records = dead = bodies = 0;
			printf("segment %u generation %u bytes %llu\n", number, scan.head.generation, (unsigned long long)scan.size);
		}
		records++;
		bodies += r.body_bytes;
		dead += is_dead(ix, &r) ? r.body_bytes : 0;
		if (ck->records)
			show_record(&r, number);
	}
	scan_end(&scan);
	return got != SCAN_ERROR;
}

static void
show_checkpoint(struct spool *s)
{
	struct checkpoint_mark m;

	if (checkpoint_read(s->dir_fd, s->user, &m) == FOUND)
		printf("checkpoint segment %u offset %llu bytes %llu\n", m.segment, (unsigned long long)m.offset,
		    (unsigned long long)m.bytes);
	else
		printf("checkpoint none\n");
}

bool
ck_show(struct ck *ck, struct slice user)
{
	struct spool *s = open_spool(ck, user);
	struct index ix = {0};
	const char *dir;
	bool ok;

	if (s == NULL)
		return false;
	dir = ck_private_dir(ck);
	ok = dir != NULL && index_make_private(&ix, s, dir, 0, 0) == STORE_OK && index_begin(&ix, false) == STORE_OK;
	if (ok) {
		printf("user %s partition %s segments %u next_uid %u next_modseq %llu epoch %u\n", s->user, s->partition, s->head.number,
		    ix.meta.next_uid, (unsigned long long)ix.meta.next_modseq, ix.meta.last_epoch);
		show_mailboxes(&ix);
		show_checkpoint(s);
		printf("holes %u\n", ix.meta.has_holes);
		ok = show_segments(ck, s, &ix);
		(void)index_end(&ix);
	} else {
		fprintf(stderr, "spoolck: %s: could not be read: %s\n", s->user, strerror(errno));
		ck->failed++;
	}
	if (ix.env != NULL)
		index_close(&ix);
	ck_private_drop(ck);
	spool_put(s);
	spool_drop_cached();
	return ok;
}
