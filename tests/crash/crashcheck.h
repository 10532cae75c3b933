/*
 * What the files of the crash explorer share (crashcheck.c says what it does).
 */
#ifndef TS_CRASH_CRASHCHECK_H
#define TS_CRASH_CRASHCHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oplog.h"

#define RECIPES_FIXED	12
#define HASH_BEGIN	14695981039346656037ULL

extern struct op	**ops;
extern uint64_t		 nops, seed;

static inline const char *name_of(const struct op *o) { return (const char *)(o + 1); }
static inline const char *name2_of(const struct op *o) { return name_of(o) + o->nname; }
static inline const char *data_of(const struct op *o) { return name2_of(o) + o->nname2; }

uint64_t hash(uint64_t h, const void *, size_t);

/* ---- crashcheck_disk.c: the disk, and the states that a cut can leave of it ---- */

extern bool		 is_weak;	/* names are only as sure as a sync of their directory */
extern uint64_t		 set_up;	/* directories made before this op are there whatever happens */

/* The next operation happens. */
void	disk_step(uint64_t at);
/* The state that a recipe makes of what is sure and what is in flight after op at; then its hash, and the files. */
void	state_build(uint64_t at, uint32_t recipe);
uint64_t state_hash(void);
void	state_write(const char *path);
void	remove_all(const char *path);

/* ---- crashcheck_recover.c: what clients were told, and whether a recovered state agrees ---- */

void	marks_read(void);
/* Marks until an op; the op of the first. */
size_t	marks_until(uint64_t at);
uint64_t marks_first(void);
/* The next operation: was it a sync that covers somebody's log? */
void	marks_step(uint64_t at);
/* In a process of its own: recovers the state below dir and compares; ends with 0, or says what is wrong and ends with 1. */
_Noreturn void recover(uint64_t at, const char *dir, bool twice);

#endif
