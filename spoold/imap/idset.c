/*
 * The table behind idset.h: open addressing, doubled when half full. Called by thread.c. The secret is new for each table.
 * SipHash by Aumasson and Bernstein.
 */
#include "imap/idset.h"

#include <sys/random.h>

#include "log.h"

#define SLOTS_FIRST		1024
#define SLOTS_FIRST_MOST	(4U * 1024 * 1024)

static uint64_t
rotl(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void
sip_rounds(uint64_t v[4], int n)
{
	for (int i = 0; i < n; i++) {
		v[0] += v[1];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[0] = rotl(v[0], 32);
		v[2] += v[3];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[2] = rotl(v[2], 32);
	}
}

static void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_rounds(v, 2);
	v[0] ^= word;
}

struct idset_key
idset_hash(struct idset_key secret, struct slice s)
{
	uint64_t		v[4] = {secret.half[0] ^ 0x736f6d6570736575, secret.half[1] ^ 0x646f72616e646f6d ^ 0xee,
				    secret.half[0] ^ 0x6c7967656e657261, secret.half[1] ^ 0x7465646279746573};
	struct idset_key	out;
	uint64_t		word;
	size_t			at = 0;

	for (; at + sizeof(word) <= s.n; at += sizeof(word)) {
		memcpy(&word, s.p + at, sizeof(word));
		sip_word(v, word);
	}
	word = (uint64_t)s.n << 56;
	for (size_t i = 0; at + i < s.n; i++)
		word |= (uint64_t)(unsigned char)s.p[at + i] << (8 * i);
	sip_word(v, word);
	v[2] ^= 0xee;
	sip_rounds(v, 4);
	out.half[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
	v[1] ^= 0xdd;
	sip_rounds(v, 4);
	out.half[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
	return out;
}

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
slot_find(const struct idset *set, struct idset_key key)
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
	struct idset_key	*keys;

	if (set->n < set->cap)
		return true;
	if (nslots == 0 || (keys = ARENA_NEW(set->arena, struct idset_key, nslots / 2)) == NULL ||
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
	struct idset_key	key = idset_hash(set->secret, text);
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
