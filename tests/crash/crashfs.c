/*
 * A file system in memory that writes down what is done to it (oplog.h), for the crash explorer. One
 * thread: operations are totally ordered. No write-back cache: a write comes when it is made. Each open
 * has a number of its own, so that a sync is known by its open file however the descriptor travelled.
 *
 *   crashfs LOG MOUNTPOINT
 *
 * Linux does not forward syncfs(2) to such a file system: syncfs.so turns it into fdatasync of the directory,
 * which arrives here as FSYNCDIR with the flag of fdatasync. A write to /.mark is a mark; "EIO n" there makes
 * the n-th sync from now fail as a disk does: each file open at that time hears of it once, and what the sync
 * should have covered is lost although it can still be read.
 */
#define FUSE_USE_VERSION 312

#include <err.h>
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "oplog.h"

#define NODES_MAX	65536
#define OPENS_MAX	262144
#define BLOCK		4096

struct entry {
	char		*name;
	uint64_t	 ino;
};

struct node {
	struct stat	 st;
	char		*data;
	size_t		 cap;
	struct entry	*entries;
	size_t		 nentries;
	uint64_t	 parent;
	uint64_t	 nlookup, nopen;
	uint32_t	 error_seq;	/* failed syncs of it */
};

static struct node	*nodes[NODES_MAX];
static uint64_t		 nnodes = OP_ROOT, nopens;
static uint32_t		 seen_seq[OPENS_MAX], seen_all[OPENS_MAX], all_seq;
static long		 fail_in;	/* syncs until one fails; 0: none does */
static FILE		*oplog;
static uint64_t		 mark_ino;

/* ---- the log ---- */

static void
put(struct op op, const char *name, const char *name2, const void *data)
{
	op.nname = name == NULL ? 0 : (uint32_t)strlen(name);
	op.nname2 = name2 == NULL ? 0 : (uint32_t)strlen(name2);
	if (fwrite(&op, sizeof(op), 1, oplog) != 1 || fwrite(name, 1, op.nname, oplog) != op.nname ||
	    fwrite(name2, 1, op.nname2, oplog) != op.nname2 || fwrite(data, 1, op.ndata, oplog) != op.ndata)
		err(1, "log");
}

/* ---- nodes ---- */

static struct node *
node_of(fuse_ino_t ino)
{
	return ino < NODES_MAX ? nodes[ino] : NULL;
}

static uint64_t
node_make(mode_t mode, const struct fuse_ctx *ctx, uint64_t parent)
{
	struct node *n = calloc(1, sizeof(*n));
	uint64_t ino = nnodes++;

	if (n == NULL || ino >= NODES_MAX)
		errx(1, "too many files");
	n->st.st_ino = ino;
	n->st.st_mode = mode;
	n->st.st_nlink = S_ISDIR(mode) ? 2 : 1;
	n->st.st_blksize = BLOCK;
	n->parent = parent;
	if (ctx != NULL) {
		n->st.st_uid = ctx->uid;
		n->st.st_gid = ctx->gid;
	}
	clock_gettime(CLOCK_REALTIME, &n->st.st_mtim);
	n->st.st_ctim = n->st.st_atim = n->st.st_mtim;
	nodes[ino] = n;
	return ino;
}

static struct entry *
entry_of(struct node *d, const char *name)
{
	for (size_t i = 0; i < d->nentries; i++)
		if (strcmp(d->entries[i].name, name) == 0)
			return &d->entries[i];
	return NULL;
}

static void
entry_add(struct node *d, const char *name, uint64_t ino)
{
	d->entries = realloc(d->entries, (d->nentries + 1) * sizeof(*d->entries));
	if (d->entries == NULL || (d->entries[d->nentries].name = strdup(name)) == NULL)
		errx(1, "memory");
	d->entries[d->nentries++].ino = ino;
}

static void
entry_drop(struct node *d, struct entry *e)
{
	free(e->name);
	*e = d->entries[--d->nentries];
}

static void
resize(struct node *n, size_t size)
{
	if (size > n->cap) {
		size_t cap = size * 2;

		if ((n->data = realloc(n->data, cap)) == NULL)
			errx(1, "memory");
		memset(n->data + n->cap, 0, cap - n->cap);
		n->cap = cap;
	}
	if (size < (size_t)n->st.st_size)
		memset(n->data + size, 0, (size_t)n->st.st_size - size);
	n->st.st_size = (off_t)size;
	n->st.st_blocks = (blkcnt_t)((size + 511) / 512);
}

static void
reply_entry(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi)
{
	struct fuse_entry_param e = {.ino = ino, .attr = nodes[ino]->st, .attr_timeout = 0, .entry_timeout = 0};

	nodes[ino]->nlookup++;
	if (fi != NULL)
		fuse_reply_create(req, &e, fi);
	else
		fuse_reply_entry(req, &e);
}

static void
fs_init(void *arg, struct fuse_conn_info *conn)
{
	(void)arg;
	conn->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
	conn->max_write = 1 << 20;
}

static void
fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node *d = node_of(parent);
	struct entry *e = d == NULL ? NULL : entry_of(d, name);

	if (e == NULL)
		fuse_reply_err(req, ENOENT);
	else
		reply_entry(req, e->ino, NULL);
}

static void
fs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	(void)ino;
	(void)n;
	fuse_reply_none(req);	/* nodes stay: their numbers are never used again */
}

static void
fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	fuse_reply_attr(req, &node_of(ino)->st, 0);
}

static void
fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int what, struct fuse_file_info *fi)
{
	struct node *n = node_of(ino);

	(void)fi;
	if (what & FUSE_SET_ATTR_MODE)
		n->st.st_mode = (n->st.st_mode & S_IFMT) | (st->st_mode & 07777);
	if (what & FUSE_SET_ATTR_UID)
		n->st.st_uid = st->st_uid;
	if (what & FUSE_SET_ATTR_GID)
		n->st.st_gid = st->st_gid;
	if (what & FUSE_SET_ATTR_SIZE) {
		resize(n, (size_t)st->st_size);
		put((struct op){.type = OP_TRUNCATE, .ino = ino, .offset = (uint64_t)st->st_size}, NULL, NULL, NULL);
	}
	fuse_reply_attr(req, &n->st, 0);
}

static uint64_t
open_make(uint64_t ino)
{
	uint64_t fh = nopens++;

	if (fh >= OPENS_MAX)
		errx(1, "too many opens");
	seen_seq[fh] = nodes[ino]->error_seq;
	seen_all[fh] = all_seq;
	return fh;
}

static uint64_t
make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	uint64_t ino = node_make(mode, fuse_req_ctx(req), parent);

	entry_add(nodes[parent], name, ino);
	if (S_ISDIR(mode))
		nodes[parent]->st.st_nlink++;
	put((struct op){.type = S_ISDIR(mode) ? OP_MKDIR : OP_CREATE, .ino = ino, .parent = parent}, name, NULL, NULL);
	return ino;
}

static void
fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct node *d = node_of(parent);
	struct entry *e = entry_of(d, name);
	uint64_t ino = e != NULL ? e->ino : make(req, parent, name, S_IFREG | (mode & 07777));

	if (parent == OP_ROOT && strcmp(name, ".mark") == 0)
		mark_ino = ino;
	fi->fh = open_make(ino);
	reply_entry(req, ino, fi);
}

static void
fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	if (entry_of(node_of(parent), name) != NULL)
		fuse_reply_err(req, EEXIST);
	else
		reply_entry(req, make(req, parent, name, S_IFDIR | (mode & 07777)), NULL);
}

static void
fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node *d = node_of(parent);
	struct entry *e = entry_of(d, name);
	struct node *n = e == NULL ? NULL : nodes[e->ino];

	if (n == NULL) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	if (S_ISDIR(n->st.st_mode) && n->nentries > 0) {
		fuse_reply_err(req, ENOTEMPTY);
		return;
	}
	if (S_ISDIR(n->st.st_mode))
		d->st.st_nlink--;
	n->st.st_nlink = 0;
	entry_drop(d, e);
	put((struct op){.type = OP_UNLINK, .parent = parent}, name, NULL, NULL);
	fuse_reply_err(req, 0);
}

static void
fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t parent2, const char *name2, unsigned flags)
{
	struct entry *from = entry_of(node_of(parent), name), *to = entry_of(node_of(parent2), name2);
	uint64_t ino;

	if (from == NULL || flags != 0) {
		fuse_reply_err(req, from == NULL ? ENOENT : EINVAL);
		return;
	}
	ino = from->ino;
	if (to != NULL) {
		if (S_ISDIR(nodes[to->ino]->st.st_mode) && nodes[to->ino]->nentries > 0) {
			fuse_reply_err(req, ENOTEMPTY);
			return;
		}
		nodes[to->ino]->st.st_nlink = 0;
		entry_drop(node_of(parent2), to);
		from = entry_of(node_of(parent), name);
	}
	entry_drop(node_of(parent), from);
	entry_add(node_of(parent2), name2, ino);
	put((struct op){.type = OP_RENAME, .parent = parent, .parent2 = parent2}, name, name2, NULL);
	fuse_reply_err(req, 0);
}

static void
fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->fh = open_make(ino);
	fuse_reply_open(req, fi);
}

static void
fs_read(fuse_req_t req, fuse_ino_t ino, size_t n, off_t off, struct fuse_file_info *fi)
{
	const struct node *f = node_of(ino);
	size_t size = (size_t)f->st.st_size, at = (size_t)off;

	(void)fi;
	if (at >= size)
		n = 0;
	else if (n > size - at)
		n = size - at;
	fuse_reply_buf(req, n == 0 ? NULL : f->data + at, n);
}

static void
mark(const char *text, size_t n)
{
	if (n > 4 && memcmp(text, "EIO ", 4) == 0)
		fail_in = strtol(text + 4, NULL, 10);
	put((struct op){.type = OP_MARK, .ndata = (uint32_t)n}, NULL, NULL, text);
}

static void
fs_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t n, off_t off, struct fuse_file_info *fi)
{
	struct node *f = node_of(ino);
	size_t end = (size_t)off + n;

	if (ino == mark_ino) {
		mark(p, n);
		fuse_reply_write(req, n);
		return;
	}
	if (end > (size_t)f->st.st_size)
		resize(f, end);
	memcpy(f->data + off, p, n);
	clock_gettime(CLOCK_REALTIME, &f->st.st_mtim);
	put((struct op){.type = OP_WRITE, .ino = ino, .offset = (uint64_t)off, .ndata = (uint32_t)n, .fh = fi->fh}, NULL, NULL, p);
	fuse_reply_write(req, n);
}

/* 0 or EIO, by Linux's rules: an open file hears once of each failure that happened while it was open. */
static int
sync_result(uint64_t ino, uint64_t fh, bool is_all)
{
	uint32_t *seen = is_all ? &seen_all[fh] : &seen_seq[fh], now = is_all ? all_seq : nodes[ino]->error_seq;
	bool is_new = *seen != now;

	*seen = now;
	return is_new ? EIO : 0;
}

static void
sync_one(fuse_req_t req, uint64_t ino, uint64_t fh, enum op_type type)
{
	bool is_all = type == OP_SYNC_ALL;

	if (fail_in > 0 && type != OP_SYNC_DIR && --fail_in == 0) {
		all_seq++;
		if (is_all)
			for (uint64_t i = OP_ROOT; i < nnodes; i++)
				nodes[i]->error_seq++;
		else
			nodes[ino]->error_seq++;
		put((struct op){.type = OP_SYNC_FAILED, .ino = is_all ? 0 : ino, .fh = fh}, NULL, NULL, NULL);
		(void)sync_result(ino, fh, is_all);
		fuse_reply_err(req, EIO);
		return;
	}
	put((struct op){.type = type, .ino = ino, .fh = fh}, NULL, NULL, NULL);
	fuse_reply_err(req, type == OP_SYNC_DIR ? 0 : sync_result(ino, fh, is_all));
}

static void
fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	sync_one(req, ino, fi->fh, OP_SYNC);
}

static void
fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	sync_one(req, ino, fi->fh, datasync ? OP_SYNC_ALL : OP_SYNC_DIR);
}

static void
fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	const struct node *d = node_of(ino);
	char *out = malloc(size);
	size_t n = 0;

	(void)fi;
	for (size_t i = (size_t)off; i < d->nentries; i++) {
		struct stat st = {.st_ino = d->entries[i].ino, .st_mode = nodes[d->entries[i].ino]->st.st_mode};
		size_t need = fuse_add_direntry(req, out + n, size - n, d->entries[i].name, &st, (off_t)i + 1);

		if (need > size - n)
			break;
		n += need;
	}
	fuse_reply_buf(req, out, n);
	free(out);
}

static void
fs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t n, struct fuse_file_info *fi)
{
	(void)ino;
	(void)off;
	(void)n;
	(void)fi;
	fuse_reply_err(req, mode == 1 ? 0 : EOPNOTSUPP);	/* FALLOC_FL_KEEP_SIZE: nothing that a crash could show */
}

static void
fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs v = {.f_bsize = BLOCK, .f_frsize = BLOCK, .f_blocks = 1 << 24, .f_bfree = 1 << 23, .f_bavail = 1 << 23,
	    .f_files = 1 << 20, .f_ffree = 1 << 19, .f_namemax = 255};

	(void)ino;
	fuse_reply_statfs(req, &v);
}

static const struct fuse_lowlevel_ops ops = {
	.init = fs_init, .lookup = fs_lookup, .forget = fs_forget, .getattr = fs_getattr, .setattr = fs_setattr,
	.create = fs_create, .mkdir = fs_mkdir, .unlink = fs_unlink, .rmdir = fs_unlink, .rename = fs_rename,
	.open = fs_open, .read = fs_read, .write = fs_write, .fsync = fs_fsync, .opendir = fs_open, .fsyncdir = fs_fsyncdir,
	.readdir = fs_readdir, .fallocate = fs_fallocate, .statfs = fs_statfs,
};

int
main(int argc, char **argv)
{
	char *options[] = {argv[0], "-o", "allow_other,default_permissions,fsname=crashfs,subtype=crashfs"};
	struct fuse_args args = FUSE_ARGS_INIT(3, options);
	struct fuse_session *session;

	if (argc != 3)
		errx(100, "usage: crashfs LOG MOUNTPOINT");
	if ((oplog = fopen(argv[1], "we")) == NULL)
		err(1, "%s", argv[1]);
	node_make(S_IFDIR | 0755, NULL, OP_ROOT);
	session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (session == NULL || fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, argv[2]) != 0)
		errx(1, "cannot mount");
	fuse_session_loop(session);
	fuse_session_unmount(session);
	fuse_session_destroy(session);
	return fclose(oplog) == 0 ? 0 : 1;
}
