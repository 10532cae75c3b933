/*
 * SipHash-2-4 with a result of 128 bits, by Aumasson and Bernstein ("SipHash: a fast short-input PRF", 2012, and its
 * authors' 128-bit variant): for tables whose keys come from outside. Who does not know the secret can't make texts that meet.
 */
#ifndef TS_SIPHASH_H
#define TS_SIPHASH_H

#include <stdint.h>

#include "slice.h"

struct siphash {
	uint64_t	half[2];
};

struct siphash	siphash(struct siphash secret, struct slice s);

#endif
