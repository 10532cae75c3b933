/*
 * The LMDB environment under the index: opening, transactions, entries. Called by everything in the
 * store that reads or changes mailbox state. Never synced, never without its locks (MDB_NOLOCK), no
 * writeable map; a transaction never outlives a call into the store.
 */
#include "store/index.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "log.h"

#define OPEN_FLAGS	(MDB_NOSYNC | MDB_NOMETASYNC | MDB_NOTLS)
#define READERS_MAX	256	/* processes that may have one user's index open */

struct ix_key
key_name(char kind, struct slice name)
{
	struct ix_key k = key_of(kind);
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (name.n <= IX_NAME_MAX) {
		key_add(&k, name.p, name.n);
		return k;
	}
	if (EVP_Digest(name.p, name.n, hash, &n, EVP_sha256(), NULL) != 1)
		DIE(EXIT_TEMP, "fatal.store.hash", log_slice("name", name));
	key_add(&k, name.p, IX_NAME_PLAIN);
	key_add(&k, hash, n);
	return k;
}

static int
open_env(struct index *ix, const char *path, unsigned how)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int dead, rc;

	if ((rc = mdb_env_create(&ix->env)) != 0)
		return rc;
	if ((rc = mdb_env_set_mapsize(ix->env, ix->spool->host->map_bytes / page * page)) == 0 &&
	    (rc = mdb_env_set_maxreaders(ix->env, READERS_MAX)) == 0 &&
	    (rc = mdb_env_open(ix->env, path, OPEN_FLAGS | how, 0600)) == 0 &&
	    (rc = mdb_reader_check(ix->env, &dead)) == 0) {
		/* The unnamed tree has a fixed handle; any transaction may open it. */
		MDB_txn *txn;

		if ((rc = mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &txn)) == 0) {
			rc = mdb_dbi_open(txn, NULL, 0, &ix->dbi);
			mdb_txn_abort(txn);
		}
	}
	if (rc != 0)
		index_close_env(ix);
	return rc;
}

int
index_open_env(struct index *ix, const char *path)
{
	int rc = open_env(ix, path, 0);

	return rc == EROFS ? open_env(ix, path, MDB_RDONLY) : rc;
}

void
index_close_env(struct index *ix)
{
	if (ix->reader != NULL)
		mdb_txn_abort(ix->reader);
	index_turn_end(ix);
	if (ix->env != NULL)
		mdb_env_close(ix->env);
	ix->reader = NULL;
	ix->env = NULL;
}

void
index_close(struct index *ix)
{
	if (ix->txn != NULL)
		(void)index_end(ix);
	index_close_env(ix);
}

/* One place decides what an LMDB error means. */
static enum store_result
fail(struct index *ix, int rc)
{
	const char *user = ix->spool->user;

	switch (rc) {
	case MDB_MAP_FULL:
		LOG("warn.index.full", log_str("user", user), log_str("raise", "map_size"),
		    log_u64("bytes", ix->spool->host->map_bytes));
		break;
	case ENOSPC:
	case EDQUOT:
	case EIO:
	case EROFS:
	case EACCES:	/* it was opened on a file system that was read-only, and may not be any more */
		ix->is_stuck = rc == EACCES && mono_ms() >= ix->save_again_ms;
		ix->is_unsaved = true;
		ix->save_again_ms = mono_ms() + INDEX_SAVE_MS;
		LOG("warn.index.write", log_str("user", user), log_str("why", mdb_strerror(rc)));
		break;
	case MDB_PANIC:	/* after a meta page could not be written */
	case MDB_MAP_RESIZED:
		ix->is_stuck = true;
		LOG("warn.index.write", log_str("user", user), log_str("why", mdb_strerror(rc)));
		break;
	case MDB_READERS_FULL:
	case MDB_TXN_FULL:
		LOG("warn.index.write", log_str("user", user), log_str("why", mdb_strerror(rc)));
		break;
	default:
		LOG("warn.index.bad", log_str("user", user), log_str("why", mdb_strerror(rc)));
		ix->is_bad = true;
		break;
	}
	return STORE_TEMP;
}

/* The lock of the turn is on the data file: LMDB locks only its other one. */
static bool
turn_lock(struct index *ix, int how)
{
	int fd, rc;

	if (ix->env == NULL || mdb_env_get_fd(ix->env, &fd) != 0)
		return false;
	while ((rc = flock(fd, how)) != 0 && errno == EINTR)
		continue;
	return rc == 0;
}

bool
index_turn_try(struct index *ix)
{
	if (!ix->has_turn)
		ix->has_turn = turn_lock(ix, LOCK_EX | LOCK_NB);
	/* Another error is not somebody else's turn. */
	return ix->has_turn || (ix->env != NULL && errno != EWOULDBLOCK);
}

void
index_turn_end(struct index *ix)
{
	ix->keeps_turn = false;
	if (ix->has_turn)
		(void)turn_lock(ix, LOCK_UN);
	ix->has_turn = false;
}

static int
begin_write(struct index *ix)
{
	int rc;

	/* Where it cannot be had LMDB's own lock is enough: then nobody knows that we write, and waits. */
	if (!ix->has_turn)
		ix->has_turn = turn_lock(ix, LOCK_EX);
	ix->touched = 0;
	for (size_t i = 0; i < sizeof(ix->held) / sizeof(ix->held[0]); i++)
		ix->held[i].is_used = false;
	if ((rc = mdb_txn_begin(ix->env, NULL, 0, &ix->txn)) != 0)
		index_turn_end(ix);
	return rc;
}

static void
written(struct index *ix)
{
	ix->txn = NULL;
	if (!ix->keeps_turn)
		index_turn_end(ix);
}

enum store_result
index_begin(struct index *ix, bool is_write)
{
	struct ix_key key = key_of('A');
	struct slice meta;

	assert(ix->txn == NULL);
	ix->rc = 0;
	ix->is_write = is_write;
	if (is_write)
		ix->rc = begin_write(ix);
	else if (ix->reader == NULL) {
		if ((ix->rc = mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &ix->reader)) == 0)
			ix->txn = ix->reader;
	} else if ((ix->rc = mdb_txn_renew(ix->reader)) == 0)
		ix->txn = ix->reader;
	if (ix->rc != 0) {
		ix->txn = NULL;
		return fail(ix, ix->rc);
	}
	/* None in a new environment; one of another size is another schema's. Both read as version 0. */
	ix->meta = (struct ix_meta){0};
	if (index_get(ix, &key, &meta) && meta.n == sizeof(ix->meta))
		memcpy(&ix->meta, meta.p, meta.n);
	return STORE_OK;
}

static MDB_val
val_of(const void *p, size_t n)
{
	return (MDB_val){n, (void *)(uintptr_t)p};
}

static void
put_entry(struct index *ix, const struct ix_key *key, const void *p, size_t n)
{
	MDB_val k = val_of(key->p, key->n), v = val_of(p, n);

	if (ix->rc == 0)
		ix->rc = mdb_put(ix->txn, ix->dbi, &k, &v, 0);
}

static void
delete_entry(struct index *ix, const struct ix_key *key)
{
	MDB_val k = val_of(key->p, key->n);
	int rc;

	if (ix->rc == 0 && (rc = mdb_del(ix->txn, ix->dbi, &k, NULL)) != 0 && rc != MDB_NOTFOUND)
		ix->rc = rc;
}

/* The place for entries of the key's kind; NULL: they are not held. */
static struct held *
held_of(struct index *ix, const struct ix_key *key)
{
	const char *at;

	if (!ix->is_write || (at = memchr(HELD_KINDS, key->p[0], sizeof(HELD_KINDS) - 1)) == NULL)
		return NULL;
	return &ix->held[at - HELD_KINDS];
}

static bool
held_is(const struct held *h, const struct ix_key *key)
{
	return h->is_used && h->key.n == key->n && memcmp(h->key.p, key->p, key->n) == 0;
}

static void
held_write(struct index *ix, struct held *h)
{
	if (h->is_used && h->is_gone)
		delete_entry(ix, &h->key);
	else if (h->is_used)
		put_entry(ix, &h->key, h->value, h->n);
	h->is_used = false;
}

/* Before entries from this key on are gone through. */
static void
held_write_for(struct index *ix, const struct ix_key *from, size_t prefix)
{
	struct held *h = held_of(ix, from);

	for (size_t i = 0; ix->is_write && prefix == 0 && i < sizeof(ix->held) / sizeof(ix->held[0]); i++)
		held_write(ix, &ix->held[i]);
	if (h != NULL)
		held_write(ix, h);
}

static struct held *
held_begin(struct index *ix, struct held *h, const struct ix_key *key)
{
	if (h->is_used && !held_is(h, key))
		held_write(ix, h);
	h->is_used = true;
	memcpy(h->key.p, key->p, key->n);
	h->key.n = key->n;
	return h;
}

enum store_result
index_end(struct index *ix)
{
	if (ix->is_write) {
		mdb_txn_abort(ix->txn);
		written(ix);
	} else
		mdb_txn_reset(ix->reader);
	ix->txn = NULL;
	return ix->rc == 0 ? STORE_OK : fail(ix, ix->rc);
}

enum store_result
index_commit(struct index *ix)
{
	struct ix_key key = key_of('A');

	assert(ix->is_write);
	for (size_t i = 0; i < sizeof(ix->held) / sizeof(ix->held[0]); i++)
		held_write(ix, &ix->held[i]);
	index_put(ix, &key, &ix->meta, sizeof(ix->meta));
	if (ix->rc != 0)
		return index_end(ix);
	ix->rc = mdb_txn_commit(ix->txn);
	written(ix);
	return ix->rc == 0 ? STORE_OK : fail(ix, ix->rc);
}

bool
index_is_in_memory(const struct index *ix)
{
	return ix->is_unsaved && mono_ms() < ix->save_again_ms;
}

enum store_result
index_save(struct index *ix)
{
	enum store_result r;

	if (index_is_in_memory(ix)) {
		r = index_end(ix);
		return r == STORE_OK ? STORE_TEMP : r;
	}
	if ((r = index_commit(ix)) != STORE_OK)
		return r;
	if (ix->is_unsaved)
		LOG("index.saved", log_str("user", ix->spool->user));
	ix->is_unsaved = false;
	return STORE_OK;
}

bool
index_get(struct index *ix, const struct ix_key *key, struct slice *out)
{
	MDB_val k = val_of(key->p, key->n), v;
	const struct held *h = held_of(ix, key);
	int rc;

	if (ix->rc != 0)
		return false;
	if (h != NULL && held_is(h, key)) {
		*out = (struct slice){h->value, h->n};
		return !h->is_gone;
	}
	if ((rc = mdb_get(ix->txn, ix->dbi, &k, &v)) != 0) {
		if (rc != MDB_NOTFOUND)
			ix->rc = rc;
		return false;
	}
	*out = (struct slice){v.mv_data, v.mv_size};
	return true;
}

bool
index_get_fixed(struct index *ix, const struct ix_key *key, void *out, size_t n)
{
	struct slice v;

	if (!index_get(ix, key, &v))
		return false;
	if (v.n != n) {
		ix->rc = MDB_CORRUPTED;
		return false;
	}
	memcpy(out, v.p, n);
	return true;
}

void
index_put(struct index *ix, const struct ix_key *key, const void *p, size_t n)
{
	struct held *h = held_of(ix, key);

	if (h == NULL) {
		put_entry(ix, key, p, n);
		return;
	}
	assert(n <= sizeof(h->value));
	h = held_begin(ix, h, key);
	memcpy(h->value, p, n);
	h->n = n;
	h->is_gone = false;
}

void
index_delete(struct index *ix, const struct ix_key *key)
{
	struct held *h = held_of(ix, key);

	if (h != NULL)
		held_begin(ix, h, key)->is_gone = true;
	else
		delete_entry(ix, key);
}

void
iter_begin(struct iter *it, struct index *ix, const struct ix_key *from, size_t prefix)
{
	*it = (struct iter){.ix = ix, .at = *from, .prefix = prefix};
	held_write_for(ix, from, prefix);
	if (ix->rc == 0)
		ix->rc = mdb_cursor_open(ix->txn, ix->dbi, &it->cursor);
}

void
iter_begin_steady(struct iter *it, struct index *ix, const struct ix_key *from, size_t prefix)
{
	iter_begin(it, ix, from, prefix);
	it->is_steady = true;
}

/*
 * In a write transaction the tree may have moved under the cursor: it looks for the smallest key
 * above the last one, which is that key and a zero byte.
 */
bool
iter_next(struct iter *it, struct slice *key_out, struct slice *value_out)
{
	struct index *ix = it->ix;
	MDB_val k = val_of(it->at.p, it->at.n), v;
	int rc;

	if (ix->rc != 0 || it->cursor == NULL)
		return false;
	if (ix->is_write && !it->is_steady)
		held_write_for(ix, &it->at, it->prefix);
	if (it->is_begun && (it->is_steady || !ix->is_write))
		rc = mdb_cursor_get(it->cursor, &k, &v, MDB_NEXT);
	else
		rc = mdb_cursor_get(it->cursor, &k, &v, MDB_SET_RANGE);
	if (rc != 0) {
		if (rc != MDB_NOTFOUND)
			ix->rc = rc;
		return false;
	}
	if (k.mv_size < it->prefix || k.mv_size >= IX_KEY_MAX || memcmp(k.mv_data, it->at.p, it->prefix) != 0)
		return false;
	it->is_begun = true;
	if (ix->is_write && !it->is_steady) {
		memcpy(it->at.p, k.mv_data, k.mv_size);
		it->at.p[k.mv_size] = 0;
		it->at.n = k.mv_size + 1;
	}
	*key_out = (struct slice){k.mv_data, k.mv_size};
	*value_out = (struct slice){v.mv_data, v.mv_size};
	return true;
}

void
iter_replace(struct iter *it, const void *p, size_t n)
{
	struct index *ix = it->ix;
	MDB_val k, v = val_of(p, n);

	if (ix->rc == 0 && (ix->rc = mdb_cursor_get(it->cursor, &k, &(MDB_val){0}, MDB_GET_CURRENT)) == 0)
		ix->rc = mdb_cursor_put(it->cursor, &k, &v, MDB_CURRENT);
}

void
iter_end(struct iter *it)
{
	if (it->cursor != NULL)
		mdb_cursor_close(it->cursor);
	it->cursor = NULL;
}
