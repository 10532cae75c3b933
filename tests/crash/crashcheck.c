/*
 * The crash explorer. Reads what crashfs wrote down of a run of the real daemons and builds, for every point
 * of it, the states that a loss of power there could have left on the disk; recovers each with the engine's own
 * code and compares it with what clients had been told by then.
 *
 * What a cut keeps: all that a sync covered that had ended. Of the rest any part: no data, all of it, all but one
 * write, random subsets; the last write torn at 512 or 4096 bytes at either side; sizes that grew over zeros. Names
 * (create, rename, remove): a journalling file system commits them in order, so any beginning of their sequence,
 * and a sync of anything commits those before it; with "weak" a directory's names are only as sure as a sync of
 * that directory (of what was made after the first mark). Left out: damage to what was synced, and writes of one call torn in more than two pieces.
 *
 *   crashcheck [-n most] [-s seed] [-r random states a point] [-o op:recipe] [-w] [-v] LOG WORKDIR
 *
 * -o builds one state again and leaves it in WORKDIR. Exit status 1: there were violations.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../crash/oplog.h"
#include "log.h"
#include "record.h"
#include "store/store.h"

#define INODES_MAX	65536
#define MARKS_MAX	65536
#define WORKERS		2
#define SEEN_BITS	22
#define RECIPES_FIXED	12
#define STATE_TIMEOUT_S	60

/* ---- the log ---- */

static struct op	**ops;
static uint64_t		 nops;

static const char *name_of(const struct op *o) { return (const char *)(o + 1); }
static const char *name2_of(const struct op *o) { return name_of(o) + o->nname; }
static const char *data_of(const struct op *o) { return name2_of(o) + o->nname2; }

static void
read_log(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *all;
	size_t at = 0;

	if (fd < 0 || fstat(fd, &st) != 0 || (all = malloc((size_t)st.st_size + 1)) == NULL)
		err(1, "%s", path);
	for (ssize_t n; at < (size_t)st.st_size; at += (size_t)n)
		if ((n = read(fd, all + at, (size_t)st.st_size - at)) <= 0)
			err(1, "%s", path);
	close(fd);
	for (at = 0; at + sizeof(struct op) <= (size_t)st.st_size; nops++) {
		struct op *o = malloc(sizeof(*o) + ((const struct op *)(void *)(all + at))->nname +
		    ((const struct op *)(void *)(all + at))->nname2 + ((const struct op *)(void *)(all + at))->ndata);
		struct op head;
		size_t n;

		memcpy(&head, all + at, sizeof(head));
		n = sizeof(head) + head.nname + head.nname2 + head.ndata;
		memcpy(o, all + at, n);
		at += n;
		if (nops % 4096 == 0 && (ops = realloc(ops, (nops + 4096) * sizeof(*ops))) == NULL)
			err(1, "memory");
		ops[nops] = o;
	}
	free(all);
}

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
static bool		 is_weak;
static uint64_t		 set_up;	/* directories made before the first mark are there whatever happens */

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

static void
step(uint64_t at)
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

/* ---- what was said to whom ---- */

struct mark {
	uint64_t	 at;
	char		 what;
	char		 user[32], mailbox[64], id[64];
	uint64_t	 number;
};

static struct mark	marks[MARKS_MAX];
static size_t		nmarks;

static void
read_marks(void)
{
	for (uint64_t i = 0; i < nops; i++) {
		char text[256];
		struct mark *m = &marks[nmarks];

		if (ops[i]->type != OP_MARK || ops[i]->ndata >= sizeof(text) || nmarks == MARKS_MAX)
			continue;
		memcpy(text, data_of(ops[i]), ops[i]->ndata);
		text[ops[i]->ndata] = '\0';
		*m = (struct mark){.at = i};
		if (sscanf(text, "%c %31s %63s %63s %lu", &m->what, m->user, m->mailbox, m->id, &m->number) >= 3)
			nmarks++;
	}
}

/* Was there, after the mark and before the cut, a sync that covers the user's log? */
static uint64_t	user_sync[64];		/* last covering sync of each user, by place in user_names */
static char	user_names[64][32];
static uint64_t	user_dirs[64];
static size_t	nusers;

static size_t
user_place(const char *user)
{
	for (size_t i = 0; i < nusers; i++)
		if (strcmp(user_names[i], user) == 0)
			return i;
	if (nusers == 64)
		errx(1, "too many users");
	strcpy(user_names[nusers], user);
	return nusers++;
}

/* Files of a user's directory, by parent of their creation. */
static uint64_t	file_parent[INODES_MAX];

static void
note_sync(uint64_t at)
{
	const struct op *o = ops[at];

	if (o->type == OP_CREATE)
		file_parent[o->ino] = o->parent;
	if (o->type == OP_MKDIR)
		for (size_t i = 0; i < nmarks; i++)
			if (strlen(marks[i].user) == o->nname && memcmp(marks[i].user, name_of(o), o->nname) == 0)
				user_dirs[user_place(marks[i].user)] = o->ino;
	for (size_t u = 0; u < nusers; u++)
		if (o->type == OP_SYNC_ALL || (o->type == OP_SYNC && file_parent[o->ino] == user_dirs[u] && user_dirs[u] != 0))
			user_sync[u] = at;
}

/* ---- recipes ---- */

static uint64_t seed;

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

static void
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

static uint64_t
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

static uint64_t
state_hash(void)
{
	uint64_t h = 14695981039346656037ULL;

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

static void
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

/* ---- recovery ---- */

static char	active[256], indexes[256], redundant[256];
static bool	verbose;

static void __attribute__((format(printf, 1, 2)))
violation(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dprintf(STDOUT_FILENO, "VIOLATION %s\n", text);
	_exit(1);
}

struct found {
	char		 user[32], mailbox[64], id[64];
	uint32_t	 uid, flags;
};

static struct found	found[8192];
static size_t		nfound, ndamaged;

/* A message of the driver names itself and the checksum of what follows: "X-Crash: id sum". */
static bool
take_id(const char *p, size_t n, char *id_out)
{
	const char *x = memmem(p, n, "X-Crash: ", 9), *end;
	uint64_t sum;

	if (x == NULL || (end = memmem(x, (size_t)(p + n - x), "\r\n", 2)) == NULL || sscanf(x, "X-Crash: %63s %lx", id_out, &sum) != 2)
		return false;
	end += 2;
	return hash(14695981039346656037ULL, end, (size_t)(p + n - end)) == sum;
}

static void
read_body(struct store *s, const char *user, const char *mailbox, const struct msg_info *m)
{
	static char body[4 << 20];
	struct found *f = &found[nfound];
	uint64_t at;
	int fd;

	switch (store_body_open(s, m, &fd, &at)) {
	case STORE_OK:
		break;
	case STORE_DAMAGED:
		ndamaged++;	/* not served; whether anybody was told that it is there the marks say */
		return;
	default:
		violation("%s %s uid %u: its body cannot be read", user, mailbox, m->uid);
	}
	if (m->size > sizeof(body) || pread(fd, body, m->size, (off_t)at) != (ssize_t)m->size)
		violation("%s %s uid %u: short body", user, mailbox, m->uid);
	close(fd);
	if (!take_id(body, m->size, f->id))
		violation("%s %s uid %u: serves what nobody sent", user, mailbox, m->uid);
	snprintf(f->user, sizeof(f->user), "%s", user);
	snprintf(f->mailbox, sizeof(f->mailbox), "%s", mailbox);
	f->uid = m->uid;
	f->flags = m->flags;
	if (++nfound == sizeof(found) / sizeof(found[0]))
		errx(1, "too many messages");
}

static void
check_validity(const char *user, const struct mbox_info *m, const char *name, uint64_t at)
{
	for (size_t i = 0; i < nmarks && marks[i].at <= at; i++)
		if (marks[i].what == 'V' && strcmp(marks[i].user, user) == 0 && strcmp(marks[i].mailbox, name) == 0 &&
		    strtoul(marks[i].id, NULL, 10) != m->uidvalidity)
			violation("%s %s: UIDVALIDITY %u, told %s", user, name, m->uidvalidity, marks[i].id);
}

static void
read_mailbox(struct store *s, const char *user, const struct mbox_info *m, uint64_t at)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	char name[64];
	struct view v;
	uint32_t lo = 1, n_all = 0;
	size_t n;

	snprintf(name, sizeof(name), "%.*s", (int)m->name.n, m->name.p);
	check_validity(user, m, name, at);
	if (view_open(s, m->id, false, &v) != STORE_OK)
		violation("%s %s: cannot be opened", user, name);
	do {
		if (view_range(s, &v, lo, UINT32_MAX, msgs, STORE_BATCH_MSGS, &n) != STORE_OK)
			violation("%s %s: cannot be listed", user, name);
		for (size_t i = 0; i < n; i++)
			read_body(s, user, name, &msgs[i]);
		if (n > 0)
			lo = msgs[n - 1].uid + 1;
		n_all += (uint32_t)n;
	} while (n == STORE_BATCH_MSGS);
	if (n_all != m->exists)
		violation("%s %s: %u messages, %u counted", user, name, n_all, m->exists);
}

static void
read_user(const struct store_host *host, const char *user, uint64_t at)
{
	struct arena a = arena_make(1 << 20);
	struct mbox_info *m;
	struct store *s;
	size_t n;

	if (store_open(host, slice_of(user), &s) != FOUND)
		violation("%s: the spool cannot be opened", user);
	if (store_mbox_list(s, &a, &m, &n) != STORE_OK)
		violation("%s: mailboxes cannot be listed", user);
	for (size_t i = 0; i < n; i++)
		read_mailbox(s, user, &m[i], at);
	store_close(s);
	arena_free(&a);
}

/* Ids of whole records in the redundant spool. */
static char	copies[8192][64];
static size_t	ncopies;

static void
read_day(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint32_t salt;
	size_t need;
	char *p, *x;

	if (fd < 0 || fstat(fd, &st) != 0 || (p = malloc((size_t)st.st_size + 1)) == NULL)
		err(1, "%s", path);
	if (read(fd, p, (size_t)st.st_size) != st.st_size)
		err(1, "%s", path);
	close(fd);
	x = record_parse_salt((struct slice){p, (size_t)st.st_size}, &salt, &need) == PARSE_OK ? p : p + st.st_size;
	while ((x = memmem(x, (size_t)(p + st.st_size - x), "TSR1 ", 5)) != NULL) {
		struct slice in = {x, (size_t)(p + st.st_size - x)};
		struct record r, t = {0};

		if (record_parse_head(in, salt, &r, &need) == PARSE_OK && in.n >= need + r.body_bytes + RECORD_TRAILER_BYTES &&
		    record_parse_trailer((struct slice){x + need + r.body_bytes, RECORD_TRAILER_BYTES}, salt, &t) == PARSE_OK &&
		    t.start == (uint64_t)(x - p) && t.header_crc == r.header_crc &&
		    t.body_crc == record_crc(salt, (struct slice){x + need, r.body_bytes})) {
			if ((r.type == RECORD_MESSAGE || r.type == RECORD_BODY) && take_id(x + need, r.body_bytes, copies[ncopies]) && ++ncopies == sizeof(copies) / sizeof(copies[0]))
				errx(1, "too many copies");
			x += need + r.body_bytes;
		} else
			x++;
	}
	free(p);
}

static void
read_redundant(void)
{
	DIR *d = opendir(redundant);
	const struct dirent *e;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		char path[600];

		snprintf(path, sizeof(path), "%s/%s/default.log", redundant, e->d_name);
		if (e->d_name[0] != '.' && access(path, F_OK) == 0)
			read_day(path);
	}
	closedir(d);
}

static size_t
count_found(const struct mark *m, uint32_t *flags_out)
{
	size_t n = 0;

	for (size_t i = 0; i < nfound; i++)
		if (strcmp(found[i].id, m->id) == 0 && strcmp(found[i].user, m->user) == 0 && strcmp(found[i].mailbox, m->mailbox) == 0) {
			n++;
			*flags_out = found[i].flags;
		}
	return n;
}

/* Did somebody say, until the cut, that the message may go (x) from there, or has gone (G, X)? */
static bool
may_be_gone(const struct mark *m, uint64_t at)
{
	for (size_t i = 0; i < nmarks && marks[i].at <= at; i++)
		if (strchr("xXG", marks[i].what) != NULL && strcmp(marks[i].id, m->id) == 0 && strcmp(marks[i].user, m->user) == 0 &&
		    strcmp(marks[i].mailbox, m->mailbox) == 0)
			return true;
	return false;
}

static void
check_copy(const struct mark *m)
{
	for (size_t i = 0; i < ncopies; i++)
		if (strcmp(copies[i], m->id) == 0)
			return;
	violation("%s: acknowledged, and not in the redundant spool", m->id);
}

static void
check_mark(const struct mark *m, uint64_t at)
{
	bool is_covered = user_sync[user_place(m->user)] > m->at;
	uint32_t flags = 0;
	size_t n;

	switch (m->what) {
	case 'A':	/* acknowledged */
		n = count_found(m, &flags);
		if (n > 1 || (n == 0 && !may_be_gone(m, at)))
			violation("%s %s %s: acknowledged, and there %zu times", m->user, m->mailbox, m->id, n);
		if (m->number == 0)
			check_copy(m);
		break;
	case 'G':	/* moved away: durable when said */
		if (count_found(m, &flags) != 0)
			violation("%s %s %s: moved, and still there", m->user, m->mailbox, m->id);
		break;
	case 'X':	/* expunged: for sure after a later sync */
		if (is_covered && count_found(m, &flags) != 0)
			violation("%s %s %s: expunged and synced, and still there", m->user, m->mailbox, m->id);
		break;
	case 'F':	/* flags, likewise */
		if (is_covered && count_found(m, &flags) == 1 && (flags & m->number) != m->number)
			violation("%s %s %s: flags %x, told and synced %lx", m->user, m->mailbox, m->id, flags, m->number);
		break;
	case 'U':	/* this UID was told for that message */
		for (size_t i = 0; i < nfound; i++)
			if (strcmp(found[i].user, m->user) == 0 && strcmp(found[i].mailbox, m->mailbox) == 0 &&
			    (found[i].uid == m->number) != (strcmp(found[i].id, m->id) == 0))
				violation("%s %s: uid %u is %s, told %s has %lu", m->user, m->mailbox, found[i].uid, found[i].id,
				    m->id, m->number);
		break;
	}
}

static uint32_t
deliver(const struct store_host *host, const char *user, uint32_t serial)
{
	unsigned char key[16] = "crash", guid[16] = "crash";
	char text[256], rest[] = "\r\nafter the crash\r\n";
	struct store_placed placed;
	struct store_delivery d = {.user = slice_of(user), .mailbox = SLICE(""), .sender = SLICE("x@example.test"), .qid = SLICE("q"),
	    .key = key, .guid = guid, .date_ms = now_ms()};
	int n = snprintf(text, sizeof(text), "X-Crash: after%u %lx\r\n%s", serial,
	    hash(14695981039346656037ULL, rest, strlen(rest)), rest);

	memcpy(key + 8, &serial, sizeof(serial));
	memcpy(guid + 8, &serial, sizeof(serial));
	d.body = (struct body_src){.mem = {text, (size_t)n}, .fd = -1, .bytes = (uint64_t)n};
	if (store_deliver(host, &d, &placed) != STORE_OK)
		violation("%s: nothing can be delivered any more", user);
	close(placed.log_fd);
	return placed.uid;
}

static void
check_new_uid(const char *user, uint32_t uid, uint64_t at, const char *when)
{
	for (size_t i = 0; i < nfound; i++)
		if (strcmp(found[i].user, user) == 0 && found[i].uid >= uid)
			violation("%s: %s uid %u, though %u is in use", user, when, uid, found[i].uid);
	for (size_t i = 0; i < nmarks && marks[i].at <= at; i++)
		if (marks[i].what == 'U' && strcmp(marks[i].user, user) == 0 && marks[i].number >= uid)
			violation("%s: %s uid %u, though %lu was told", user, when, uid, marks[i].number);
}

static bool
on_user(void *arg, struct slice user)
{
	char (*names)[32] = arg;
	size_t i = 0;

	while (names[i][0] != '\0')
		i++;
	memcpy(names[i], user.p, user.n < 31 ? user.n : 31);
	return i < 62;
}

static void
copy_tree(const char *from, const char *to)
{
	char command[1200];

	snprintf(command, sizeof(command), "rm -rf %s && cp -a %s %s", to, from, to);
	if (system(command) != 0)
		errx(1, "%s", command);
}

/* Two cuts in a row: what the first recovery wrote to the logs is lost, the epoch it had synced is not. */
static void
check_second_cut(const struct store_host *before, const char *saved, char (*users)[32], const uint32_t *uids, uint64_t at)
{
	const char *partitions[] = {"default", NULL};
	struct store_host host = *before;
	char epoch_file[300], command[2400];

	store_drop_cached();
	snprintf(epoch_file, sizeof(epoch_file), "%s/default/epoch", active);
	snprintf(command, sizeof(command), "cp %s %s.epoch && rm -rf %s %s && cp -a %s %s && cp %s.epoch %s", epoch_file, saved,
	    active, indexes, saved, active, saved, epoch_file);
	if (system(command) != 0)
		errx(1, "%s", command);
	host.partitions = partitions;
	if (epoch_begin(active, "default", false, &host.epoch) != 0)
		violation("epoch of the second start");
	for (size_t i = 0; users[i][0] != '\0'; i++) {
		uint32_t uid = deliver(&host, users[i], 1000 + (uint32_t)i);

		check_new_uid(users[i], uid, at, "after two cuts");
		if (uid <= uids[i])
			violation("%s: uid %u after two cuts, %u was given out between them", users[i], uid, uids[i]);
	}
}

/* In a child of its own. */
static void
recover(uint64_t at, bool twice)
{
	static char users[64][32];
	uint32_t uids[64];
	const char *partitions[] = {"default", NULL};
	struct store_host host = {.active_dir = active, .index_dir = indexes, .partition = "default", .partitions = partitions,
	    .segment_max_bytes = 64 << 20, .map_bytes = 64 << 20, .dup_window_ms = 86400000};
	char saved[300];
	size_t before;

	snprintf(saved, sizeof(saved), "%s.saved", active);
	if (twice)
		copy_tree(active, saved);
	if (epoch_begin(active, "default", false, &host.epoch) != 0)
		violation("the epoch cannot be begun");
	if (store_each_user(&host, "default", on_user, users) != 0)
		violation("users cannot be listed");
	for (size_t i = 0; users[i][0] != '\0'; i++)
		read_user(&host, users[i], at);
	read_redundant();
	for (size_t i = 0; i < nmarks && marks[i].at <= at; i++)
		check_mark(&marks[i], at);
	for (size_t i = 0; users[i][0] != '\0'; i++) {
		uids[i] = deliver(&host, users[i], (uint32_t)i);
		check_new_uid(users[i], uids[i], at, "new");
	}
	/* And once more: the same, and one more each. */
	before = nfound + ndamaged;
	nfound = ndamaged = 0;
	store_drop_cached();
	for (size_t i = 0; users[i][0] != '\0'; i++)
		read_user(&host, users[i], at);
	for (size_t i = 0; i < nmarks && marks[i].at <= at; i++)
		check_mark(&marks[i], at);
	for (size_t i = 0; users[i][0] != '\0'; i++)
		before++;
	if (nfound + ndamaged != before)
		violation("%zu messages when looked at again, not %zu", nfound + ndamaged, before);
	if (twice)
		check_second_cut(&host, saved, users, uids, at);
	_exit(0);
}

/* ---- the exploration ---- */

struct totals {
	uint64_t	built, distinct, violations, twice;
};

static unsigned char *seen;

static bool
is_new(uint64_t h)
{
	uint64_t a = h & ((1ULL << (SEEN_BITS + 3)) - 1), b = (h >> 32) & ((1ULL << (SEEN_BITS + 3)) - 1);
	bool was = (seen[a >> 3] >> (a & 7) & 1) && (seen[b >> 3] >> (b & 7) & 1);

	seen[a >> 3] |= (unsigned char)(1 << (a & 7));
	seen[b >> 3] |= (unsigned char)(1 << (b & 7));
	return !was;
}

static bool
check_state(uint64_t at, uint32_t recipe, const char *dir, bool twice)
{
	char path[300];
	int status;
	pid_t pid;

	remove_all(dir);
	if (mkdir(dir, 0700) != 0)
		err(1, "%s", dir);
	write_out(OP_ROOT, dir);
	snprintf(active, sizeof(active), "%s/active", dir);
	snprintf(redundant, sizeof(redundant), "%s/redundant", dir);
	snprintf(indexes, sizeof(indexes), "%s.index", dir);
	remove_all(indexes);
	snprintf(path, sizeof(path), "%s.saved", active);
	remove_all(path);
	if ((pid = fork()) == 0) {
		alarm(STATE_TIMEOUT_S);
		nfound = ncopies = ndamaged = 0;
		recover(at, twice);
	}
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	printf("  at op %lu recipe %u (crashcheck -o %lu:%u): %s %d\n", at, recipe, at, recipe,
	    WIFEXITED(status) ? "status" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	fflush(stdout);
	return false;
}

static size_t
nmarks_until(uint64_t at)
{
	static size_t n;

	while (n < nmarks && marks[n].at <= at)
		n++;
	return n;
}

/* What could make another state: all but marks. */
static bool
is_point(uint64_t at)
{
	return ops[at]->type != OP_MARK || (at > 0 && ops[at - 1]->type != OP_MARK);
}

static void
explore(unsigned worker, uint64_t every, uint32_t recipes, const char *workdir, struct totals *out)
{
	char dir[256];

	snprintf(dir, sizeof(dir), "%s/state%u", workdir, worker);
	for (uint64_t at = 0; at < nops; at++) {
		step(at);
		note_sync(at);
		if (!is_point(at))
			continue;
		for (uint32_t recipe = 0; recipe < recipes; recipe++) {
			uint64_t h;

			if (every > 1 && hash(seed, &(uint64_t){at * 64 + recipe}, 8) % every != 0)
				continue;
			state_build(at, recipe);
			h = state_hash();
			if (h % WORKERS != worker)
				continue;
			out->built++;
			/* Marks said since make another question of the same disk. */
			if (!is_new(h ^ (uint64_t)nmarks_until(at) * 0x9e3779b97f4a7c15ULL))
				continue;
			out->distinct++;
			out->twice += out->distinct % 8 == 0;
			if (!check_state(at, recipe, dir, out->distinct % 8 == 0) && ++out->violations >= 10)
				return;
		}
	}
}

static void
quiet(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (!verbose)
		dup2(null, STDERR_FILENO);
	log_init("crash");
}

static int
one_state(const char *spec, const char *workdir)
{
	uint64_t at;
	uint32_t recipe;
	char dir[256];

	if (sscanf(spec, "%lu:%u", &at, &recipe) != 2 || at >= nops)
		errx(100, "not op:recipe");
	for (uint64_t i = 0; i <= at; i++) {
		step(i);
		note_sync(i);
	}
	state_build(at, recipe);
	(void)state_hash();
	snprintf(dir, sizeof(dir), "%s/one", workdir);
	return check_state(at, recipe, dir, true) ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct totals total = {0};
	const char *one = NULL;
	uint64_t most = 0, per_worker;
	uint32_t randoms = 4;
	int c, pipes[WORKERS][2], bad = 0;
	int64_t began = mono_ms();

	seed = 1;
	while ((c = getopt(argc, argv, "n:s:r:o:wv")) != -1) {
		switch (c) {
		case 'n':
			most = strtoul(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			randoms = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'o':
			one = optarg;
			break;
		case 'w':
			is_weak = true;
			break;
		case 'v':
			verbose = true;
			break;
		default:
			errx(100, "usage: crashcheck [-n most] [-s seed] [-r randoms] [-o op:recipe] [-w] [-v] LOG WORKDIR");
		}
	}
	if (argc - optind != 2)
		errx(100, "usage: crashcheck [-n most] [-s seed] [-r randoms] [-o op:recipe] [-w] [-v] LOG WORKDIR");
	read_log(argv[optind]);
	read_marks();
	for (size_t i = 0; i < nmarks; i++)
		(void)user_place(marks[i].user);
	set_up = nmarks == 0 ? nops : marks[0].at;
	quiet();
	if (one != NULL)
		return one_state(one, argv[optind + 1]);
	per_worker = most == 0 ? 1 : nops * (RECIPES_FIXED + randoms) / most + 1;
	for (unsigned w = 0; w < WORKERS; w++) {
		if (pipe(pipes[w]) != 0)
			err(1, "pipe");
		if (fork() == 0) {
			if ((seen = calloc(1, 1 << SEEN_BITS)) == NULL)
				err(1, "memory");
			explore(w, per_worker, RECIPES_FIXED + randoms, argv[optind + 1], &total);
			if (write(pipes[w][1], &total, sizeof(total)) != sizeof(total))
				_exit(1);
			_exit(0);
		}
		close(pipes[w][1]);
	}
	for (unsigned w = 0; w < WORKERS; w++) {
		struct totals t = {0};
		int status;

		if (read(pipes[w][0], &t, sizeof(t)) != sizeof(t))
			bad = 1;
		wait(&status);
		total.built += t.built;
		total.distinct += t.distinct;
		total.twice += t.twice;
		total.violations += t.violations;
	}
	printf("%lu operations, %zu marks, seed %lu, names %s: %lu states built, %lu distinct checked, %lu of them cut twice, "
	    "%lu violations, %ld s\n", nops, nmarks, seed, is_weak ? "weak" : "journalled", total.built, total.distinct, total.twice,
	    total.violations, (long)(mono_ms() - began) / 1000);
	return bad || total.violations > 0;
}
