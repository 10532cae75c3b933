/*
 * Length-prefixed little-endian records between our own daemons. Pure. A value that does not fit
 * marks the buffer short; one that is not there marks the cursor bad, and all later ones are empty.
 */
#include "pack.h"

static void
pack_le(struct buf *b, uint64_t v, size_t n)
{
	unsigned char p[8];

	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(v >> (8 * i));
	pack_bytes(b, p, n);
}

void
pack_u8(struct buf *b, uint8_t v)
{
	pack_le(b, v, 1);
}

void
pack_u16(struct buf *b, uint16_t v)
{
	pack_le(b, v, 2);
}

void
pack_u32(struct buf *b, uint32_t v)
{
	pack_le(b, v, 4);
}

void
pack_u64(struct buf *b, uint64_t v)
{
	pack_le(b, v, 8);
}

void
pack_i64(struct buf *b, int64_t v)
{
	pack_le(b, (uint64_t)v, 8);
}

void
pack_bytes(struct buf *b, const void *p, size_t n)
{
	if (b->is_short || buf_add(b, p, n) < 0)
		b->is_short = true;
}

void
pack_str(struct buf *b, struct slice s)
{
	if (s.n > UINT32_MAX) {
		b->is_short = true;
		return;
	}
	pack_u32(b, (uint32_t)s.n);
	pack_bytes(b, s.p, s.n);
}

bool
pack_ok(const struct buf *b)
{
	return !b->is_short;
}

struct unpack
unpack_make(const void *p, size_t n)
{
	return (struct unpack){.p = p, .n = n};
}

static const unsigned char *
unpack_take(struct unpack *u, size_t n)
{
	const unsigned char *p = u->p;

	if (u->bad || n > u->n) {
		u->bad = true;
		return NULL;
	}
	if (n > 0) {
		u->p += n;
		u->n -= n;
	}
	return p;
}

static uint64_t
unpack_le(struct unpack *u, size_t n)
{
	const unsigned char *p = unpack_take(u, n);
	uint64_t v = 0;

	if (p == NULL)
		return 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t
unpack_u8(struct unpack *u)
{
	return (uint8_t)unpack_le(u, 1);
}

uint16_t
unpack_u16(struct unpack *u)
{
	return (uint16_t)unpack_le(u, 2);
}

uint32_t
unpack_u32(struct unpack *u)
{
	return (uint32_t)unpack_le(u, 4);
}

uint64_t
unpack_u64(struct unpack *u)
{
	return unpack_le(u, 8);
}

int64_t
unpack_i64(struct unpack *u)
{
	return (int64_t)unpack_le(u, 8);
}

struct slice
unpack_str(struct unpack *u)
{
	size_t n = unpack_u32(u);
	const unsigned char *p = unpack_take(u, n);

	return p == NULL ? SLICE("") : (struct slice){(const char *)p, n};
}

void
unpack_bytes(struct unpack *u, void *out, size_t n)
{
	const unsigned char *p = unpack_take(u, n);

	if (n == 0)
		return;
	if (p == NULL)
		memset(out, 0, n);
	else
		memcpy(out, p, n);
}

bool
unpack_end(const struct unpack *u)
{
	return !u->bad && u->n == 0;
}
