/*
 * The keyed table of a lot's users. Out of memory ends the process like everywhere.
 */
#include "users.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

#include "log.h"

#define BUCKETS_LEAST	64

static struct user **
buckets_new(size_t n)
{
	struct user **b = calloc(n, sizeof(struct user *));

	if (b == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", n * sizeof(struct user *)));
	return b;
}

void
users_init(struct users *us)
{
	*us = (struct users){.nbuckets = BUCKETS_LEAST, .buckets = buckets_new(BUCKETS_LEAST)};
	if (getrandom(&us->secret, sizeof(us->secret), 0) != (ssize_t)sizeof(us->secret))
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "getrandom"));
}

static struct user **
bucket_of(const struct users *us, struct slice name)
{
	return &us->buckets[siphash(us->secret, name).half[0] & (us->nbuckets - 1)];
}

struct user *
users_find(const struct users *us, struct slice name)
{
	for (struct user *u = *bucket_of(us, name); u != NULL; u = u->next)
		if (slice_is((struct slice){u->name, u->n}, name))
			return u;
	return NULL;
}

static void
users_grow(struct users *us)
{
	struct users wide = *us;

	wide.nbuckets *= 2;
	wide.buckets = buckets_new(wide.nbuckets);
	for (size_t i = 0; i < us->nbuckets; i++)
		for (struct user *u = us->buckets[i], *next; u != NULL; u = next) {
			struct user **b = bucket_of(&wide, (struct slice){u->name, u->n});

			next = u->next;
			u->next = *b;
			*b = u;
		}
	free(us->buckets);
	*us = wide;
}

struct user *
users_get(struct users *us, struct slice name)
{
	struct user *u = users_find(us, name), **b;

	if (u != NULL)
		return u;
	assert(name.n <= UINT16_MAX);
	if (us->n >= us->nbuckets)
		users_grow(us);
	u = calloc(1, sizeof(*u) + name.n + 1);
	if (u == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*u) + name.n + 1));
	memcpy(u->name, name.p, name.n);
	u->n = (uint16_t)name.n;
	u->waiting_end = &u->waiting;
	u->last_worker = UINT32_MAX;
	b = bucket_of(us, name);
	u->next = *b;
	*b = u;
	us->n++;
	return u;
}

void
users_drop(struct users *us, struct user *u)
{
	struct user **at = bucket_of(us, (struct slice){u->name, u->n});

	assert(u->sessions == NULL && u->nserved == 0 && u->waiting == NULL);
	while (*at != u)
		at = &(*at)->next;
	*at = u->next;
	us->n--;
	free(u);
}

void
users_each(const struct users *us, void (*fn)(void *, struct user *), void *arg)
{
	for (size_t i = 0; i < us->nbuckets; i++)
		for (struct user *u = us->buckets[i]; u != NULL; u = u->next)
			fn(arg, u);
}
