/*
 * Length-prefixed records between our own daemons: pack and unpack stand side by side. Integers are
 * little-endian, strings are a u32 length and bytes. An unpack past the end, or bytes left at
 * unpack_end, is an error: nothing is parsed leniently.
 */
#ifndef TS_PACK_H
#define TS_PACK_H

#include "buf.h"

/* Each appends to the buffer; past its cap the buffer is poisoned: pack_ok says false. */
void	pack_u8(struct buf *, uint8_t);
void	pack_u16(struct buf *, uint16_t);
void	pack_u32(struct buf *, uint32_t);
void	pack_u64(struct buf *, uint64_t);
void	pack_i64(struct buf *, int64_t);
void	pack_bytes(struct buf *, const void *, size_t);	/* raw, no length */
void	pack_str(struct buf *, struct slice);		/* u32 length, bytes */
/* False once something did not fit (then the buffer must not be sent). */
bool	pack_ok(const struct buf *);

struct unpack {
	const unsigned char	*p;
	size_t			 n;	/* left */
	bool			 bad;	/* something ran past the end: every later value is 0 or empty */
};

struct unpack	unpack_make(const void *, size_t);
uint8_t		unpack_u8(struct unpack *);
uint16_t	unpack_u16(struct unpack *);
uint32_t	unpack_u32(struct unpack *);
uint64_t	unpack_u64(struct unpack *);
int64_t		unpack_i64(struct unpack *);
/* Points into the input. */
struct slice	unpack_str(struct unpack *);
/* Copies exactly n bytes to out (zeroes when bad). */
void		unpack_bytes(struct unpack *, void *out, size_t n);
/* True when nothing went wrong and nothing is left. */
bool		unpack_end(const struct unpack *);

#endif
