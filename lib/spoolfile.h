/*
 * One message on its way through a net process: in memory up to SPOOLFILE_MEMORY_BYTES, above that
 * in an unlinked file (O_TMPFILE). Bytes are counted against the process's limit of bytes in flight.
 */
#ifndef TS_SPOOLFILE_H
#define TS_SPOOLFILE_H

#include <stdint.h>
#include <sys/types.h>

#include "buf.h"

#define SPOOLFILE_MEMORY_BYTES	(64 * 1024)	/* what still travels inline to spoold */
#define SPOOLFILE_STEP_BYTES	(80 * 1024)	/* most that is added between two spoolfile_commit */

/* Bytes in flight of one process, and where its temporary files are made. */
struct inflight {
	uint64_t	used, max;
	int		dir_fd;		/* open directory (O_PATH); -1: no files, everything above the memory limit fails */
};

struct spoolfile {
	struct inflight	*inflight;
	struct buf	 mem;		/* not yet written bytes; the whole message while fd is -1 */
	int		 fd;		/* owned; -1: none */
	uint64_t	 written;	/* bytes in fd */
	uint64_t	 counted;	/* of size, in inflight->used */
};

struct spoolfile	spoolfile_make(struct inflight *);
/* Forgets the message; keeps a small buffer for the next one. */
void			spoolfile_reset(struct spoolfile *);
void			spoolfile_free(struct spoolfile *);
/*
 * Adding: append to mem (at most SPOOLFILE_STEP_BYTES), then commit. 0; -1 with errno: ENOBUFS (limit of
 * bytes in flight), EFBIG (a file is needed and there is no directory), or of the file system. After -1 only reset or free.
 * Writes to the file block as file writes do.
 */
int			spoolfile_commit(struct spoolfile *) __attribute__((warn_unused_result));
/* Writes what is left to the file, if there is one: after this either fd is -1 and mem is all, or fd is all. */
int			spoolfile_finish(struct spoolfile *) __attribute__((warn_unused_result));
uint64_t		spoolfile_size(const struct spoolfile *);
/* After finish: up to cap bytes from offset into out. Bytes read, 0 at the end, -1 with errno. */
ssize_t			spoolfile_read(const struct spoolfile *, uint64_t offset, char *out, size_t cap);

#endif
