/*
 * The live index against one made anew from the log, up to the same place: entry by entry, in order. What may
 * differ and be right is left out: caches, delivery keys whose time is over, and hints of when a block was last
 * touched. The checkpoint is compared in the same way.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ck/ck.h"
#include "log.h"
#include "store/checkpoint.h"
#include "store/path.h"

#define SHOWN_MAX	20	/* differences of one index that are listed */

const char *
ck_private_dir(struct ck *ck)
{
	static char path[4200];

	snprintf(path, sizeof(path), "%s/index", ck->dir);
	(void)path_remove(path);
	return mkdir(path, 0700) == 0 ? path : NULL;
}

void
ck_private_drop(struct ck *ck)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/index", ck->dir);
	(void)path_remove(path);
}

struct side {
	struct index	*ix;
	struct iter	 it;
	struct slice	 k, v;
	bool		 is_over;
};

/* What is compared. A body of no message is not: in the log it may be a husk by now. */
static bool
counts(const struct side *s)
{
	struct ix_body b;

	if (s->k.p[0] != 'b' || s->v.n != sizeof(b))
		return strchr("AxghdqR", s->k.p[0]) == NULL;
	memcpy(&b, s->v.p, sizeof(b));
	return b.refs > 0;
}

static void
side_step(struct side *s)
{
	do
		s->is_over = !iter_next(&s->it, &s->k, &s->v);
	while (!s->is_over && s->k.n > 0 && !counts(s));
}

static void
side_begin(struct side *s, struct index *ix)
{
	struct ix_key from = key_of(1);	/* below every letter */

	*s = (struct side){.ix = ix};
	iter_begin(&s->it, ix, &from, 0);
	side_step(s);
}

static int
key_compare(const struct side *a, const struct side *b)
{
	size_t n = a->k.n < b->k.n ? a->k.n : b->k.n;
	int c;

	if (a->is_over || b->is_over)
		return a->is_over == b->is_over ? 0 : a->is_over ? 1 : -1;
	c = memcmp(a->k.p, b->k.p, n);
	return c != 0 ? c : (a->k.n > b->k.n) - (a->k.n < b->k.n);
}

static bool
is_same(const struct side *a, const struct side *b)
{
	size_t skip = a->k.p[0] == 'r' ? sizeof(uint64_t) : 0;
	struct ix_body x, y;

	if (a->v.n != b->v.n || a->v.n < skip)
		return false;
	if (a->k.p[0] != 'b' || a->v.n != sizeof(x))
		return memcmp(a->v.p + skip, b->v.p + skip, a->v.n - skip) == 0;
	memcpy(&x, a->v.p, sizeof(x));
	memcpy(&y, b->v.p, sizeof(y));
	/* A segment compacted between the two readings: places are healed when they are met. */
	if (x.generation != y.generation)
		x.offset = y.offset, x.generation = y.generation, x.crc = y.crc;
	return memcmp(&x, &y, sizeof(x)) == 0;
}

static const char *
kind_of(char c)
{
	switch (c) {
	case 'm':
	case 'i':
	case 'n':
		return "mailbox";
	case 's':
		return "subscription";
	case 'a':
		return "metadata entry";
	case 'k':
		return "keyword";
	case 'e':
		return "message";
	case 't':
		return "expunged message";
	case 'r':
		return "block of UIDs";
	case 'b':
		return "body";
	case 'f':
		return "fence";
	}
	return "entry";
}

/* uid, or what number the key ends in. */
static unsigned long long
number_of(const struct side *s)
{
	const unsigned char *p = (const unsigned char *)s->k.p;

	if (s->k.n == 9 && (p[0] == 'e' || p[0] == 'r'))
		return key_get_u32(p + 5);
	return p[0] == 'b' && s->k.n == 9 ? key_get_u64(p + 1) : 0;
}

static uint64_t
compare(struct ck *ck, const char *user, const char *which, struct index *there, struct index *right)
{
	struct side a, b;
	uint64_t n = 0;

	side_begin(&a, there);
	side_begin(&b, right);
	while (!a.is_over || !b.is_over) {
		int c = key_compare(&a, &b);
		char what[128];

		if (c != 0 || !is_same(&a, &b)) {
			const struct side *s = c > 0 ? &b : &a;

			snprintf(what, sizeof(what), "%s: %s %llu %s", which, kind_of(s->k.p[0]), number_of(s),
			    c < 0 ? "is not in the log" : c > 0 ? "is missing" : "is not as the log says");
			if (n++ < SHOWN_MAX)
				ck_found(ck, user, 0, 0, what);
		}
		if (c <= 0)
			side_step(&a);
		if (c >= 0)
			side_step(&b);
	}
	iter_end(&a.it);
	iter_end(&b.it);
	if (there->rc != 0) {
		ck_found(ck, user, 0, 0, which);
		n++;
	}
	return n;
}

/* An index of the log alone, or of the checkpoint, up to a place; in a read transaction. */
static bool
make(struct ck *ck, struct spool *s, struct index *ix, bool no_checkpoint, uint32_t segment, uint64_t offset)
{
	const char *dir = ck_private_dir(ck);
	bool ok;

	ck->host.no_checkpoint = no_checkpoint;
	ok = dir != NULL && index_make_private(ix, s, dir, segment, offset) == STORE_OK && index_begin(ix, false) == STORE_OK;
	ck->host.no_checkpoint = false;
	return ok;
}

static void
drop(struct ck *ck, struct index *ix)
{
	if (ix->txn != NULL)
		(void)index_end(ix);
	index_close(ix);
	ck_private_drop(ck);
}

/* The live index stays as it is for us while we look: one read transaction. */
static bool
compare_live(struct ck *ck, struct spool *s)
{
	struct index live, right;
	bool ok = true;

	if (index_open_live(&live, s) != FOUND)
		return true;	/* there is none, or of another epoch: it will be made anew */
	if (index_begin(&live, false) != STORE_OK) {
		index_close(&live);
		return false;
	}
	ok = make(ck, s, &right, true, live.meta.segment, live.meta.offset);
	/* A record that was appended while its segment was compacted: the place is behind ours, and nothing is wrong. */
	if (ok && right.meta.offset == live.meta.offset && right.meta.segment == live.meta.segment)
		(void)compare(ck, s->user, "index", &live, &right);
	drop(ck, &right);
	(void)index_end(&live);
	index_close(&live);
	return ok;
}

static bool
compare_checkpoint(struct ck *ck, struct spool *s)
{
	struct checkpoint_mark mark;
	struct index there, right;
	char other[4200];
	uint32_t segment;
	uint64_t offset;
	bool ok;

	switch (checkpoint_read(s->dir_fd, s->user, &mark)) {
	case ABSENT:
		if (faccessat(s->dir_fd, "checkpoint", F_OK, 0) == 0)
			ck_found(ck, s->user, 0, 0, "checkpoint: has no mark");
		return true;
	case LOOKUP_TEMP:
		return false;
	case FOUND:
		break;
	}
	if (!make(ck, s, &there, false, 0, 0)) {
		drop(ck, &there);
		return false;
	}
	if (there.meta.segment < mark.segment)
		ck_found(ck, s->user, 0, 0, "checkpoint: cannot be used");
	segment = there.meta.segment;
	offset = there.meta.offset;
	/* The second one in a directory beside it. */
	snprintf(other, sizeof(other), "%s/other", ck->dir);
	(void)path_remove(other);
	ck->host.no_checkpoint = true;
	ok = mkdir(other, 0700) == 0 && index_make_private(&right, s, other, segment, offset) == STORE_OK &&
	    index_begin(&right, false) == STORE_OK;
	ck->host.no_checkpoint = false;
	if (ok && right.meta.segment == segment && right.meta.offset == offset)
		(void)compare(ck, s->user, "checkpoint", &there, &right);
	if (ok)
		(void)index_end(&right);
	index_close(&right);
	(void)path_remove(other);
	drop(ck, &there);
	return ok;
}

bool
ck_compare(struct ck *ck, struct spool *s)
{
	bool ok = compare_live(ck, s);

	return compare_checkpoint(ck, s) && ok;
}
