/*
 * What siphash.h says. Called by users.c and imap/idset.c.
 */
#include "siphash.h"

#include <string.h>

static uint64_t
rotl(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void
rounds(uint64_t v[4], int n)
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
take_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	rounds(v, 2);
	v[0] ^= word;
}

struct siphash
siphash(struct siphash secret, struct slice s)
{
	uint64_t v[4] = {secret.half[0] ^ 0x736f6d6570736575, secret.half[1] ^ 0x646f72616e646f6d ^ 0xee,
	    secret.half[0] ^ 0x6c7967656e657261, secret.half[1] ^ 0x7465646279746573};
	struct siphash out;
	uint64_t word;
	size_t at = 0;

	for (; at + sizeof(word) <= s.n; at += sizeof(word)) {
		memcpy(&word, s.p + at, sizeof(word));
		take_word(v, word);
	}
	word = (uint64_t)s.n << 56;
	for (size_t i = 0; at + i < s.n; i++)
		word |= (uint64_t)(unsigned char)s.p[at + i] << (8 * i);
	take_word(v, word);
	v[2] ^= 0xee;
	rounds(v, 4);
	out.half[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
	v[1] ^= 0xdd;
	rounds(v, 4);
	out.half[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
	return out;
}
