/*
 * The log of operations that crashfs writes and crashcheck reads: what the daemons did to the file system
 * of the two spools, in the order in which it happened, and between it the marks of who watched them.
 * Each is a struct op followed by its name, its second name and its data.
 */
#ifndef TS_CRASH_OPLOG_H
#define TS_CRASH_OPLOG_H

#include <stdint.h>

enum op_type {
	OP_CREATE = 1,	/* parent, name: a file ino */
	OP_MKDIR,	/* parent, name: a directory ino */
	OP_WRITE,	/* ino, offset, data */
	OP_TRUNCATE,	/* ino, offset: the size it has then */
	OP_RENAME,	/* parent, name to parent2, name2 */
	OP_UNLINK,	/* parent, name (directories too) */
	OP_SYNC,	/* ino, fh: fsync or fdatasync of a file; began at began */
	OP_SYNC_DIR,	/* ino: fsync of a directory */
	OP_SYNC_ALL,	/* syncfs; fh: of the directory it was called on */
	OP_SYNC_FAILED,	/* a sync that said EIO: what it should have covered is lost, though the cache has it. ino 0: all */
	OP_MARK,	/* data: text of the driver */
};

struct op {
	uint32_t	type, nname, nname2, ndata;
	uint64_t	ino, parent, parent2, offset, fh;
};

#define OP_ROOT	1	/* inode of the root */

#endif
