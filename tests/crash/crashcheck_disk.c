/*
 * The disk as the operations make it: what a sync has covered, what is in flight, and the states that a cut can
 * leave of the two (crashcheck.c).
 */
#include "crashcheck.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INODES_MAX	65536

/* ---- the disk as it surely is, and what is in flight ---- */

struct content {
	char		*p;
	size_t		 n, cap;
};

struct list {
	uint64_t	*v;	/* indices of ops */
	size_t		 n, cap;
};

struct name {
	uint64_t	 parent, ino;
	char		 text[72];
};

struct tree {
	struct name	*v;
	size_t		 n, cap;
};

static struct content	 sure[INODES_MAX];	/* durable bytes of files */
static struct list	 flying[INODES_MAX];	/* writes and truncates since */
static bool		 is_dir[INODES_MAX];
static uint64_t		 ninodes = 2;
static struct tree	 sure_names;
static struct list	 flying_names;
bool		 is_weak;
uint64_t		 set_up;

static void
list_add(struct list *l, uint64_t v)
{
	if (l->n == l->cap && (l->v = realloc(l->v, (l->cap = l->cap * 2 + 16) * sizeof(*l->v))) == NULL)
		err(1, "memory");
	l->v[l->n++] = v;
}

static void
content_size(struct content *c, size_t n)
{
	if (n > c->cap) {
		if ((c->p = realloc(c->p, n * 2)) == NULL)
			err(1, "memory");
		memset(c->p + c->cap, 0, n * 2 - c->cap);
		c->cap = n * 2;
	}
	if (n < c->n)
		memset(c->p + n, 0, c->n - n);
	c->n = n;
}

/* Bytes [from, to) of a write; zeros: only its size got there. */
static void
content_apply(struct content *c, const struct op *o, size_t from, size_t to, bool zeros)
{
	size_t end = (size_t)o->offset + to;

	if (o->type == OP_TRUNCATE) {
		content_size(c, (size_t)o->offset);
		return;
	}
	if (to <= from)
		return;
	if (end > c->n)
		content_size(c, end);
	if (!zeros)
		memcpy(c->p + o->offset + from, data_of(o) + from, to - from);
}

static struct name *
tree_find(struct tree *t, uint64_t parent, const char *text, size_t n)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].parent == parent && strlen(t->v[i].text) == n && memcmp(t->v[i].text, text, n) == 0)
			return &t->v[i];
	return NULL;
}

static void
tree_put(struct tree *t, uint64_t parent, const char *text, size_t n, uint64_t ino)
{
	struct name *e = tree_find(t, parent, text, n);

	if (e == NULL) {
		if (t->n == t->cap && (t->v = realloc(t->v, (t->cap = t->cap * 2 + 64) * sizeof(*t->v))) == NULL)
			err(1, "memory");
		e = &t->v[t->n++];
		if (n >= sizeof(e->text))
			errx(1, "name too long");
	}
	e->parent = parent;
	e->ino = ino;
	memcpy(e->text, text, n);
	e->text[n] = '\0';
}

static void
tree_apply(struct tree *t, const struct op *o)
{
	struct name *e;
	uint64_t ino;

	switch (o->type) {
	case OP_CREATE:
	case OP_MKDIR:
		tree_put(t, o->parent, name_of(o), o->nname, o->ino);
		break;
	case OP_RENAME:
		if ((e = tree_find(t, o->parent, name_of(o), o->nname)) == NULL)
			break;
		ino = e->ino;
		*e = t->v[--t->n];
		tree_put(t, o->parent2, name2_of(o), o->nname2, ino);
		break;
	case OP_UNLINK:
		if ((e = tree_find(t, o->parent, name_of(o), o->nname)) != NULL)
			*e = t->v[--t->n];
		break;
	}
}

static void
data_settle(uint64_t ino)
{
	for (size_t i = 0; i < flying[ino].n; i++)
		content_apply(&sure[ino], ops[flying[ino].v[i]], 0, ops[flying[ino].v[i]]->ndata, false);
	flying[ino].n = 0;
}

static bool
concerns(const struct op *o, uint64_t dir)
{
	return o->parent == dir || (o->type == OP_RENAME && o->parent2 == dir);
}

/* dir 0: of all directories. */
static void
names_settle(uint64_t dir)
{
	size_t kept = 0;

	for (size_t i = 0; i < flying_names.n; i++) {
		if (dir == 0 || concerns(ops[flying_names.v[i]], dir))
			tree_apply(&sure_names, ops[flying_names.v[i]]);
		else
			flying_names.v[kept++] = flying_names.v[i];
	}
	flying_names.n = kept;
}

void
disk_step(uint64_t at)
{
	const struct op *o = ops[at];

	switch (o->type) {
	case OP_CREATE:
	case OP_MKDIR:
		is_dir[o->ino] = o->type == OP_MKDIR;
		if (o->ino >= ninodes)
			ninodes = o->ino + 1;
		list_add(&flying_names, at);
		break;
	case OP_RENAME:
	case OP_UNLINK:
		list_add(&flying_names, at);
		break;
	case OP_WRITE:
	case OP_TRUNCATE:
		list_add(&flying[o->ino], at);
		break;
	case OP_SYNC:
		data_settle(o->ino);
		if (!is_weak || at < set_up)
			names_settle(0);
		break;
	case OP_SYNC_DIR:
		names_settle(is_weak && at >= set_up ? o->ino : 0);
		break;
	case OP_SYNC_ALL:
		for (uint64_t i = 1; i < ninodes; i++)
			data_settle(i);
		names_settle(0);
		break;
	case OP_SYNC_FAILED:
		for (uint64_t i = 1; i < ninodes; i++)
			if (o->ino == 0 || o->ino == i)
				flying[i].n = 0;
		break;
	}
}

/* ---- recipes ---- */

static uint32_t
pick(uint64_t *s, uint32_t n)
{
	*s = *s * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*s >> 33) % n;
}

struct state {
	struct tree	 names;
	struct content	 files[INODES_MAX];
	bool		 is_copied[INODES_MAX];
};

static struct state now;

static struct content *
file_for(uint64_t ino)
{
	struct content *c = &now.files[ino];

	if (!now.is_copied[ino]) {
		content_size(c, 0);
		content_size(c, sure[ino].n);
		if (sure[ino].n > 0)
			memcpy(c->p, sure[ino].p, sure[ino].n);
		now.is_copied[ino] = true;
	}
	return c;
}

static size_t
cut_of(uint32_t how, size_t n)
{
	size_t unit = how % 2 == 0 ? 512 : 4096;

	return n / 2 / unit * unit;
}

/* What of one write in flight is there. */
static void
data_choose(uint64_t at, uint32_t recipe, uint64_t last, uint64_t one, uint64_t *s)
{
	const struct op *o = ops[at];
	struct content *c = file_for(o->ino);
	/* Tears are at offsets of the disk, not of the write. */
	size_t torn = cut_of(recipe, o->ndata + (size_t)(o->offset % 4096)), skew = (size_t)(o->offset % 4096);
	size_t cut = torn > skew ? torn - skew : 0;

	switch (recipe) {
	case 0:		/* nothing */
	case 2:
		return;
	case 1:		/* everything; 3: and no names in flight */
	case 3:
		content_apply(c, o, 0, o->ndata, false);
		return;
	case 4:		/* the last write torn at 512, at 4096: its beginning */
	case 5:
		content_apply(c, o, 0, at == last ? cut : o->ndata, false);
		return;
	case 6:		/* its end */
	case 7:
		content_apply(c, o, at == last ? cut : 0, o->ndata, false);
		return;
	case 8:		/* sizes only */
		content_apply(c, o, 0, o->ndata, true);
		return;
	case 9:		/* the last one's size only */
		content_apply(c, o, 0, o->ndata, at == last);
		return;
	case 10:	/* all but the first, all but one */
		if (at != one)
			content_apply(c, o, 0, o->ndata, false);
		return;
	case 11:	/* none but the last */
		if (at == last)
			content_apply(c, o, 0, o->ndata, false);
		return;
	default:
		switch (pick(s, 6)) {
		case 0:
		case 1:
			return;
		case 2:
			cut = cut_of(pick(s, 2), o->ndata);
			content_apply(c, o, 0, cut, false);
			return;
		case 3:
			content_apply(c, o, 0, o->ndata, o->type == OP_WRITE && pick(s, 4) == 0);
			return;
		default:
			content_apply(c, o, 0, o->ndata, false);
			return;
		}
	}
}

static void
names_choose(uint32_t recipe, uint64_t *s)
{
	size_t n = flying_names.n;

	now.names.n = 0;
	for (size_t i = 0; i < sure_names.n; i++)
		tree_put(&now.names, sure_names.v[i].parent, sure_names.v[i].text, strlen(sure_names.v[i].text), sure_names.v[i].ino);
	if (recipe == 0 || recipe == 3)
		n = 0;
	else if (recipe >= RECIPES_FIXED)
		n = pick(s, (uint32_t)n + 1);
	for (size_t i = 0; i < n; i++)
		/* weak: of each directory a beginning of its own */
		if (!is_weak || recipe < RECIPES_FIXED || pick(s, 3) > 0)
			tree_apply(&now.names, ops[flying_names.v[i]]);
}

static int
by_index(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void
state_build(uint64_t at, uint32_t recipe)
{
	static struct list all;
	uint64_t s = seed ^ at * 0x9e3779b97f4a7c15ULL ^ recipe;

	memset(now.is_copied, 0, sizeof(now.is_copied));
	all.n = 0;
	for (uint64_t i = 1; i < ninodes; i++)
		for (size_t j = 0; j < flying[i].n; j++)
			list_add(&all, flying[i].v[j]);
	if (all.n > 0)
		qsort(all.v, all.n, sizeof(*all.v), by_index);
	for (size_t i = 0; i < all.n; i++)
		data_choose(all.v[i], recipe, all.v[all.n - 1], recipe == 10 ? all.v[pick(&s, (uint32_t)all.n)] : 0, &s);
	names_choose(recipe, &s);
}

/* ---- on a disk ---- */

uint64_t
hash(uint64_t h, const void *p, size_t n)
{
	const unsigned char *c = p;

	for (; n >= 8; n -= 8, c += 8) {
		uint64_t w;

		memcpy(&w, c, 8);
		h = (h ^ w) * 0x9fb21c651e98df25ULL;
		h ^= h >> 28;
	}
	while (n-- > 0)
		h = (h ^ *c++) * 0x100000001b3ULL;
	return h;
}

/* By parents, then names: so that the same tree has the same hash. */
static int
by_name(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return x->parent != y->parent ? (x->parent > y->parent) - (x->parent < y->parent) : strcmp(x->text, y->text);
}

uint64_t
state_hash(void)
{
	uint64_t h = HASH_BEGIN;

	qsort(now.names.v, now.names.n, sizeof(*now.names.v), by_name);
	for (size_t i = 0; i < now.names.n; i++) {
		const struct name *e = &now.names.v[i];

		h = hash(h, &e->parent, sizeof(e->parent));
		h = hash(h, e->text, strlen(e->text) + 1);
		if (!is_dir[e->ino]) {
			struct content *c = now.is_copied[e->ino] ? &now.files[e->ino] : &sure[e->ino];

			h = hash(h, &c->n, sizeof(c->n));
			h = hash(h, c->p, c->n);
		}
	}
	return h;
}

static void
write_out(uint64_t dir, const char *path)
{
	for (size_t i = 0; i < now.names.n; i++) {
		const struct name *e = &now.names.v[i];
		char sub[512];

		if (e->parent != dir)
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, e->text);
		if (is_dir[e->ino]) {
			if (mkdir(sub, 0700) != 0)
				err(1, "%s", sub);
			write_out(e->ino, sub);
		} else {
			struct content *c = now.is_copied[e->ino] ? &now.files[e->ino] : &sure[e->ino];
			int fd = open(sub, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

			if (fd < 0 || write(fd, c->p, c->n) != (ssize_t)c->n || close(fd) != 0)
				err(1, "%s", sub);
		}
	}
}

void
remove_all(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *e;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		char sub[512];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		if (unlink(sub) != 0 && errno != ENOENT) {
			remove_all(sub);
			rmdir(sub);
		}
	}
	closedir(d);
	rmdir(path);
}

void
state_write(const char *path)
{
	write_out(OP_ROOT, path);
}
