/*
 * The table behind idset.h: open addressing, doubled when half full. Called by thread.c. The secret is new for each table.
 */
#include "imap/idset.h"

#include <sys/random.h>

#include "log.h"

#define SLOTS_FIRST		1024
#define SLOTS_FIRST_MOST	(4U * 1024 * 1024)

struct idset
idset_make(struct arena *arena, size_t about)
{
	struct idset	set = {.arena = arena, .first = SLOTS_FIRST};

	while (set.first / 2 < about && set.first < SLOTS_FIRST_MOST)
		set.first *= 2;
	if (getrandom(&set.secret, sizeof(set.secret), 0) != (ssize_t)sizeof(set.secret))
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "getrandom"));
	return set;
}

/* The slot of a key: its own, or the free one it would get. */
static uint32_t
slot_find(const struct idset *set, struct siphash key)
{
	uint32_t	at = (uint32_t)key.half[0] & (set->nslots - 1);

	while (set->slots[at] != 0 && memcmp(&set->keys[set->slots[at] - 1], &key, sizeof(key)) != 0)
		at = (at + 1) & (set->nslots - 1);
	return at;
}

/* Room for one more. */
static bool
set_grow(struct idset *set)
{
	uint32_t		 nslots = set->nslots == 0 ? set->first : set->nslots * 2;
	struct siphash	*keys;

	if (set->n < set->cap)
		return true;
	if (nslots == 0 || (keys = ARENA_NEW(set->arena, struct siphash, nslots / 2)) == NULL ||
	    (set->slots = ARENA_NEW(set->arena, uint32_t, nslots)) == NULL)
		return false;
	if (set->n > 0)
		memcpy(keys, set->keys, set->n * sizeof(*keys));
	set->keys = keys;
	set->cap = nslots / 2;
	set->nslots = nslots;
	for (uint32_t i = 0; i < set->n; i++)
		set->slots[slot_find(set, keys[i])] = i + 1;
	return true;
}

uint32_t
idset_add(struct idset *set, struct slice text)
{
	struct siphash	key = siphash(set->secret, text);
	uint32_t		at;

	if (!set_grow(set))
		return IDSET_FULL;
	at = slot_find(set, key);
	if (set->slots[at] == 0) {
		set->keys[set->n++] = key;
		set->slots[at] = set->n;
	}
	return set->slots[at] - 1;
}
