/*
 * The location map in LMDB. mupdated's map process writes it; processes that hold passwords or routes
 * read it. A key is the mailbox's wire name with the separator as 0x1F, so that iterating gives the
 * order that Cyrus 3.6 merges by; the value holds the whole entry. It must never take an entry that
 * cannot be read for one that is not there.
 */
#include "locmap.h"

#include <assert.h>
#include <errno.h>
#include <lmdb.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "mboxname.h"
#include "pack.h"

#define VALUE_VERSION		1
#define READERS_MAX		512	/* processes reading at once; LMDB's default is 126 */
#define READER_CHECK_COMMITS	256	/* a reader that was killed pins pages until somebody looks */
#define MAP_MIN_BYTES		(1024 * 1024)
/* LMDB's limit of a key is 511 bytes. A longer name keeps its beginning and 16 bytes of its SHA-256. */
#define KEY_MAX_BYTES		511
#define KEY_DIGEST_BYTES	16
#define WIRE_MAX_BYTES		(4 * MBOXNAME_MAX_BYTES)
#define VALUE_MAX_BYTES		(2 + 3 * 4 + MBOXNAME_MAX_BYTES + LOCATION_MAX_BYTES + ACL_MAX_BYTES)

#define SEPARATOR_HIERARCHY	'\x1f'	/* Cyrus' DB_HIERSEP */
#define SEPARATOR_DOMAIN	'\x1d'	/* Cyrus' DB_DOMAINSEP, for the '!' of "domain!user.x" */

struct locmap {
	MDB_env		*env;		/* owned */
	MDB_txn		*read;		/* owned; reset between calls, so that it pins nothing */
	MDB_dbi		 dbi;
	bool		 is_writer;
	unsigned	 commits;	/* since the last mdb_reader_check */
	const char	*dir;		/* owned; for the log */
};

struct key {
	char	s[WIRE_MAX_BYTES];
	size_t	n;
};

/* Logs an error of LMDB (or errno) and sets errno from it. Always -1. */
static int
map_failed(const struct locmap *m, const char *what, int rc)
{
	LOG("warn.map.failed", log_str("dir", m->dir), log_str("what", what), log_str("why", mdb_strerror(rc)));
	errno = rc > 0 ? rc : rc == MDB_MAP_FULL ? ENOSPC : EIO;
	return -1;
}

static bool
has_root(struct slice name, struct slice root)
{
	return name.n > root.n && memcmp(name.p, root.p, root.n) == 0;
}

/* False where the name cannot be in the map: empty, not UTF-8, too long. */
static bool
key_make(struct slice name, struct key *out)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	size_t rest = 0;
	char *bang;
	long n;

	if (name.n == 0 || name.n > MBOXNAME_MAX_BYTES)
		return false;
	n = mutf7_encode(name, out->s, sizeof(out->s));
	if (n <= 0)
		return false;
	out->n = (size_t)n;
	/* "domain!user.x": the domain's dots are no separators. Our own trees may have '!' in a mailbox's name. */
	bang = has_root(name, SLICE("user.")) || has_root(name, SLICE("shared.")) ? NULL : memchr(out->s, '!', out->n);
	if (bang != NULL) {
		*bang = SEPARATOR_DOMAIN;
		rest = (size_t)(bang - out->s);
	}
	for (size_t i = rest; i < out->n; i++)
		if (out->s[i] == '.')
			out->s[i] = SEPARATOR_HIERARCHY;
	if (out->n <= KEY_MAX_BYTES)
		return true;
	(void)SHA256((const unsigned char *)out->s, out->n, digest);
	memcpy(out->s + KEY_MAX_BYTES - KEY_DIGEST_BYTES, digest, KEY_DIGEST_BYTES);
	out->n = KEY_MAX_BYTES;
	return true;
}

void
loc_entry_pack(struct buf *b, const struct loc_entry *e)
{
	pack_u8(b, VALUE_VERSION);
	pack_u8(b, e->state == LOC_ACTIVE ? 1 : 0);
	pack_str(b, e->name);
	pack_str(b, e->location);
	pack_str(b, e->acl);
}

bool
loc_entry_unpack(struct slice in, struct loc_entry *out)
{
	struct unpack u = unpack_make(in.p, in.n);
	uint8_t version = unpack_u8(&u), state = unpack_u8(&u);

	out->state = state == 1 ? LOC_ACTIVE : LOC_RESERVED;
	out->name = unpack_str(&u);
	out->location = unpack_str(&u);
	out->acl = unpack_str(&u);
	return unpack_end(&u) && version == VALUE_VERSION && state <= 1 && out->name.n > 0 &&
	    out->name.n <= MBOXNAME_MAX_BYTES && out->location.n > 0 && out->location.n <= LOCATION_MAX_BYTES &&
	    out->acl.n <= ACL_MAX_BYTES && (state == 1 || out->acl.n == 0);
}

bool
location_split(struct slice location, struct slice *host_out, struct slice *partition_out)
{
	const char *bang = location.n > 0 ? memchr(location.p, '!', location.n) : NULL;
	size_t host;

	if (bang == NULL)
		return false;
	host = (size_t)(bang - location.p);
	if (memchr(bang + 1, '!', location.n - host - 1) != NULL)
		return false;
	*host_out = (struct slice){location.p, host};
	*partition_out = (struct slice){bang + 1, location.n - host - 1};
	return true;
}

/*
 * A reader must not be the one who creates lock.mdb: it would belong to the wrong user. So it looks for the
 * data first. The umask would take the group's right to write, which every reader needs.
 */
static int
env_open(struct locmap *m, uint64_t map_bytes)
{
	char path[4096];
	mode_t old;
	int rc;

	if (!m->is_writer) {
		int n = snprintf(path, sizeof(path), "%s/data.mdb", m->dir);

		if (n < 0 || (size_t)n >= sizeof(path)) {
			errno = ENAMETOOLONG;
			return -1;
		}
		if (access(path, R_OK) == -1)
			return -1;
	}
	rc = mdb_env_create(&m->env);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(m->env, READERS_MAX);
	if (rc == 0 && map_bytes > 0)
		rc = mdb_env_set_mapsize(m->env, map_bytes < MAP_MIN_BYTES ? MAP_MIN_BYTES : map_bytes);
	if (rc == 0) {
		old = umask(S_IRWXO);
		rc = mdb_env_open(m->env, m->dir, m->is_writer ? MDB_NOTLS : MDB_RDONLY | MDB_NOTLS, 0660);
		(void)umask(old);
	}
	if (rc == 0)
		rc = mdb_reader_check(m->env, NULL);
	return rc == 0 ? 0 : map_failed(m, "open", rc);
}

/* Starts the read transaction anew. 0 or -1. */
static int
read_begin(struct locmap *m)
{
	int rc = m->read != NULL ? mdb_txn_renew(m->read) : mdb_txn_begin(m->env, NULL, MDB_RDONLY, &m->read);

	if (rc == MDB_MAP_RESIZED) {
		/* The writer's map grew: take its size. No transaction of ours may live meanwhile. */
		mdb_txn_abort(m->read);
		m->read = NULL;
		rc = mdb_env_set_mapsize(m->env, 0);
		if (rc == 0)
			rc = mdb_txn_begin(m->env, NULL, MDB_RDONLY, &m->read);
	}
	return rc == 0 ? 0 : map_failed(m, "read", rc);
}

/* The unnamed database always exists; a reader opens its handle in a read transaction, the writer in a write one. */
static int
dbi_open(struct locmap *m)
{
	MDB_txn *txn;
	int rc;

	if (!m->is_writer) {
		if (read_begin(m) == -1)
			return -1;
		rc = mdb_dbi_open(m->read, NULL, 0, &m->dbi);
		mdb_txn_reset(m->read);
		return rc == 0 ? 0 : map_failed(m, "open", rc);
	}
	rc = mdb_txn_begin(m->env, NULL, 0, &txn);
	if (rc != 0)
		return map_failed(m, "open", rc);
	rc = mdb_dbi_open(txn, NULL, 0, &m->dbi);
	if (rc == 0)
		rc = mdb_txn_commit(txn);
	else
		mdb_txn_abort(txn);
	return rc == 0 ? 0 : map_failed(m, "open", rc);
}

struct locmap *
locmap_open(const char *dir, bool writer, uint64_t map_bytes)
{
	struct locmap *m = calloc(1, sizeof(*m));
	char *copy = strdup(dir);
	int saved;

	if (m == NULL || copy == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("where", "locmap"));
	m->dir = copy;
	m->is_writer = writer;
	if (env_open(m, map_bytes) == 0 && dbi_open(m) == 0)
		return m;
	saved = errno;
	locmap_close(m);
	errno = saved;
	return NULL;
}

void
locmap_close(struct locmap *m)
{
	if (m == NULL)
		return;
	if (m->read != NULL)
		mdb_txn_abort(m->read);
	if (m->env != NULL)
		mdb_env_close(m->env);
	free((char *)m->dir);
	free(m);
}

static void
entry_damaged(const struct locmap *m, struct slice key)
{
	LOG("warn.map.damaged", log_str("dir", m->dir), log_slice("key", key));
	errno = EIO;
}

static enum lookup
entry_copy(struct arena *a, const struct loc_entry *e, struct loc_entry *out)
{
	*out = (struct loc_entry){arena_slice(a, e->name), e->state, arena_slice(a, e->location),
	    arena_slice(a, e->acl)};
	/* An arena that is full gives NULL: then the entry is there, but we could not tell. */
	return out->name.p != NULL && out->location.p != NULL && (out->acl.p != NULL || e->acl.n == 0) ? FOUND :
	    LOOKUP_TEMP;
}

enum lookup
locmap_find(struct locmap *m, struct slice name, struct arena *a, struct loc_entry *out)
{
	enum lookup result = LOOKUP_TEMP;
	struct loc_entry e;
	struct key key;
	MDB_val k, v;
	int rc;

	if (!key_make(name, &key))
		return ABSENT;
	if (read_begin(m) == -1)
		return LOOKUP_TEMP;
	k = (MDB_val){key.n, key.s};
	rc = mdb_get(m->read, m->dbi, &k, &v);
	if (rc == MDB_NOTFOUND)
		result = ABSENT;
	else if (rc != 0)
		(void)map_failed(m, "read", rc);
	else if (!loc_entry_unpack((struct slice){v.mv_data, v.mv_size}, &e) || !slice_is(e.name, name))
		entry_damaged(m, name);
	else
		result = entry_copy(a, &e, out);
	mdb_txn_reset(m->read);
	return result;
}

/* What locmap_each was called with: the filter before the caller's function. */
struct by_location {
	struct slice	prefix;
	bool		(*fn)(void *arg, const struct loc_entry *);
	void		*arg;
};

static bool
by_location(void *arg, const struct loc_entry *e)
{
	const struct by_location *b = arg;

	if (e->location.n < b->prefix.n || (b->prefix.n > 0 && memcmp(e->location.p, b->prefix.p, b->prefix.n) != 0))
		return true;
	return b->fn(b->arg, e);
}

int
locmap_each(struct locmap *m, struct slice location_prefix, bool (*fn)(void *, const struct loc_entry *), void *arg)
{
	struct by_location b = {location_prefix, fn, arg};

	return locmap_each_after(m, SLICE(""), by_location, &b);
}

/* From the cursor's first entry on. `after` is left out when it is met. 0 or -1. */
static int
each_from(struct locmap *m, MDB_cursor *c, const struct key *after, bool (*fn)(void *, const struct loc_entry *),
    void *arg)
{
	MDB_val k = {after->n, (void *)(uintptr_t)after->s}, v;
	int rc = mdb_cursor_get(c, &k, &v, after->n > 0 ? MDB_SET_RANGE : MDB_FIRST);

	if (rc == 0 && k.mv_size == after->n && memcmp(k.mv_data, after->s, after->n) == 0)
		rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	for (; rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
		struct loc_entry e;

		if (!loc_entry_unpack((struct slice){v.mv_data, v.mv_size}, &e)) {
			entry_damaged(m, (struct slice){k.mv_data, k.mv_size});
			return -1;
		}
		if (!fn(arg, &e))
			return 0;
	}
	return rc == MDB_NOTFOUND ? 0 : map_failed(m, "read", rc);
}

int
locmap_each_after(struct locmap *m, struct slice after, bool (*fn)(void *, const struct loc_entry *), void *arg)
{
	struct key key = {.n = 0};
	MDB_cursor *c;
	int rc;

	if (after.n > 0 && !key_make(after, &key)) {
		errno = EINVAL;
		return -1;
	}
	if (read_begin(m) == -1)
		return -1;
	rc = mdb_cursor_open(m->read, m->dbi, &c);
	if (rc != 0) {
		rc = map_failed(m, "read", rc);
	} else {
		rc = each_from(m, c, &key, fn, arg);
		mdb_cursor_close(c);
	}
	mdb_txn_reset(m->read);
	return rc;
}

/* Ends a write transaction as its steps so far went. mdb_txn_commit syncs before it returns. */
static int
write_end(struct locmap *m, MDB_txn *txn, int rc)
{
	int dead;

	if (rc == 0)
		rc = mdb_txn_commit(txn);
	else
		mdb_txn_abort(txn);
	if (rc != 0)
		return map_failed(m, "write", rc);
	if (++m->commits % READER_CHECK_COMMITS == 0 && mdb_reader_check(m->env, &dead) == 0 && dead > 0)
		LOG("map.readers_cleared", log_str("dir", m->dir), log_u64("count", (uint64_t)dead));
	return 0;
}

int
locmap_put(struct locmap *m, const struct loc_entry *e)
{
	struct buf b = buf_make(VALUE_MAX_BYTES);
	struct loc_entry check;
	struct key key;
	MDB_val k, v;
	MDB_txn *txn;
	int rc;

	assert(m->is_writer);
	loc_entry_pack(&b, e);
	if (!key_make(e->name, &key) || !pack_ok(&b) || !loc_entry_unpack(buf_slice(&b), &check)) {
		buf_free(&b);
		errno = EINVAL;
		return -1;
	}
	k = (MDB_val){key.n, key.s};
	v = (MDB_val){b.n, b.p};
	rc = mdb_txn_begin(m->env, NULL, 0, &txn);
	rc = rc != 0 ? map_failed(m, "write", rc) : write_end(m, txn, mdb_put(txn, m->dbi, &k, &v, 0));
	buf_free(&b);
	return rc;
}

int
locmap_delete(struct locmap *m, struct slice name)
{
	struct key key;
	MDB_txn *txn;
	MDB_val k;
	int rc;

	assert(m->is_writer);
	if (!key_make(name, &key))
		return 0;
	k = (MDB_val){key.n, key.s};
	rc = mdb_txn_begin(m->env, NULL, 0, &txn);
	if (rc != 0)
		return map_failed(m, "write", rc);
	rc = mdb_del(txn, m->dbi, &k, NULL);
	if (rc == MDB_NOTFOUND) {
		mdb_txn_abort(txn);
		return 0;
	}
	return write_end(m, txn, rc);
}
