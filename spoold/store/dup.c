/*
 * The delivery keys of the last dup_window_ms. Called when a delivered record or a void record is
 * indexed. Must never let a delivery that was acknowledged be dropped in favour of one that cannot be
 * read or is expunged by a void.
 */
#include "store/dup.h"

#include "store/body.h"

#define KEY_BYTES	16
#define FORGET_MOST	4	/* old keys dropped with each new one: the list gets shorter, no delivery waits */

static struct ix_key
dup_key(const unsigned char *key, uint32_t num)
{
	struct ix_key k = key_of('d');

	key_add(&k, key, KEY_BYTES);
	key_u32(&k, num);
	return k;
}

static struct ix_key
date_key(int64_t date_ms, const unsigned char *key, uint32_t num)
{
	struct ix_key k = key_of('q');

	key_u64(&k, date_ms > 0 ? (uint64_t)date_ms : 0);
	key_add(&k, key, KEY_BYTES);
	key_u32(&k, num);
	return k;
}

static void
forget(struct index *ix, int64_t date_ms, const unsigned char *key, uint32_t num)
{
	struct ix_key k = dup_key(key, num);

	index_delete(ix, &k);
	k = date_key(date_ms, key, num);
	index_delete(ix, &k);
}

static void
forget_old(struct index *ix, int64_t date_ms)
{
	struct ix_key from = key_of('q');
	struct iter it;
	struct slice k, v;

	iter_begin(&it, ix, &from, 1);
	for (int i = 0; i < FORGET_MOST && iter_next(&it, &k, &v); i++) {
		const unsigned char *p = (const unsigned char *)k.p;
		int64_t then = (int64_t)key_get_u64(p + 1);
		unsigned char key[KEY_BYTES];
		uint32_t num = key_get_u32(p + 1 + 8 + KEY_BYTES);

		if (then >= date_ms - ix->spool->host->dup_window_ms)
			break;
		memcpy(key, p + 1 + 8, KEY_BYTES);
		forget(ix, then, key, num);
	}
	iter_end(&it);
}

bool
dup_check(struct index *ix, const unsigned char *key, uint32_t num, int64_t date_ms, uint64_t modseq)
{
	static const unsigned char none[KEY_BYTES];
	struct ix_key k = dup_key(key, num);
	struct ix_dup d;
	int64_t apart;

	if (memcmp(key, none, KEY_BYTES) == 0)
		return false;
	if (index_get_fixed(ix, &k, &d, sizeof(d))) {
		apart = date_ms > d.date_ms ? date_ms - d.date_ms : d.date_ms - date_ms;
		if (apart <= ix->spool->host->dup_window_ms && body_stands(ix, d.body_modseq)) {
			d.stands_for++;
			index_put(ix, &k, &d, sizeof(d));
			return true;
		}
		forget(ix, d.date_ms, key, num);
	}
	forget_old(ix, date_ms);
	d = (struct ix_dup){.date_ms = date_ms, .body_modseq = modseq};
	index_put(ix, &k, &d, sizeof(d));
	k = date_key(date_ms, key, num);
	index_put(ix, &k, "", 0);
	return false;
}

bool
dup_void(struct index *ix, uint64_t modseq)
{
	struct ix_key from = key_of('d');
	struct iter it;
	struct slice k, v;
	struct ix_dup d;
	bool may_go = true;

	/* Not looked for by key: a void is rare, and so are keys within the window. */
	iter_begin(&it, ix, &from, 1);
	while (iter_next(&it, &k, &v)) {
		const unsigned char *p = (const unsigned char *)k.p;
		unsigned char key[KEY_BYTES];
		uint32_t num = key_get_u32(p + 1 + KEY_BYTES);

		memcpy(&d, v.p, sizeof(d));
		if (d.body_modseq != modseq)
			continue;
		memcpy(key, p + 1, KEY_BYTES);
		may_go = d.stands_for == 0;
		if (may_go)
			forget(ix, d.date_ms, key, num);
		break;
	}
	iter_end(&it);
	return may_go;
}
