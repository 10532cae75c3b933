/*
 * Opening and closing stores. A process keeps the last STORES_KEPT environments open, because LMDB
 * allows one of a file in a process and opening one costs more than an append.
 */
#include "store/untold.h"

#include <stdlib.h>

#include "log.h"

#define STORES_KEPT	64

static struct store *kept[STORES_KEPT];
static uint64_t opens;

static void
free_store(struct store *s)
{
	body_file_close(&s->body_file);
	index_close(&s->ix);
	spool_put(s->spool);
	untold_free(&s->untold);
	free(s);
}

/* A free place, or that of the one nobody holds and used longest ago; STORES_KEPT when all are held. */
static size_t
make_place(void)
{
	size_t oldest = STORES_KEPT;

	for (size_t i = 0; i < STORES_KEPT; i++) {
		if (kept[i] == NULL)
			return i;
		if (kept[i]->refs == 0 && (oldest == STORES_KEPT || kept[i]->used < kept[oldest]->used))
			oldest = i;
	}
	if (oldest < STORES_KEPT) {
		free_store(kept[oldest]);
		kept[oldest] = NULL;
	}
	return oldest;
}

/*
 * The user's place among the kept ones, or STORES_KEPT. An index that was put aside since is let go of: what it lacks, or knows
 * too much, is why another was made, and all processes are to say the same.
 */
static size_t
find_kept(const struct store_host *host, struct slice user)
{
	for (size_t i = 0; i < STORES_KEPT; i++) {
		if (kept[i] == NULL || kept[i]->spool->host != host || !slice_is(store_user(kept[i]), user))
			continue;
		if (kept[i]->refs > 0 || index_is_in_place(&kept[i]->ix))
			return i;
		free_store(kept[i]);
		kept[i] = NULL;
		break;
	}
	return STORES_KEPT;
}

enum lookup
store_open(const struct store_host *host, struct slice user, struct store **out)
{
	size_t place = find_kept(host, user);
	struct store *s;
	struct spool *spool;
	enum lookup found;

	if (place < STORES_KEPT) {
		kept[place]->refs++;
		kept[place]->used = ++opens;
		*out = kept[place];
		return FOUND;
	}
	if ((found = spool_get(host, user, &spool)) != FOUND)
		return found;
	if ((place = make_place()) == STORES_KEPT) {
		LOG("warn.store.open", log_slice("user", user), log_str("why", "too many open in this process"));
		spool_put(spool);
		return LOOKUP_TEMP;
	}
	if ((s = calloc(1, sizeof(*s))) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*s)));
	s->spool = spool;
	s->body_file.fd = -1;
	if (index_open(&s->ix, spool, 0) != STORE_OK) {
		spool_put(spool);
		free(s);
		return LOOKUP_TEMP;
	}
	s->refs = 1;
	s->used = ++opens;
	kept[place] = *out = s;
	return FOUND;
}

void
store_close(struct store *s)
{
	if (--s->refs == 0)
		body_file_close(&s->body_file);
}

void
store_drop_cached(void)
{
	for (size_t i = 0; i < STORES_KEPT; i++)
		if (kept[i] != NULL && kept[i]->refs == 0) {
			free_store(kept[i]);
			kept[i] = NULL;
		}
	spool_drop_cached();
}

struct slice
store_user(const struct store *s)
{
	return slice_of(s->spool->user);
}

const char *
store_partition(const struct store *s)
{
	return s->spool->partition;
}
