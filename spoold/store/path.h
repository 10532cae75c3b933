/*
 * Where a user's directories are: DIR/<partition>/<hash>/<user>/, hash being the low byte of the
 * user's CRC32C (RFC 3720) as two hexadecimal digits. Names that no user can have begin with '~'.
 */
#ifndef TS_STORE_PATH_H
#define TS_STORE_PATH_H

#include <limits.h>

#include "store/store.h"

/* DIR/<partition>/<hash>/<prefix><user> into out (PATH_MAX). 0, or -1 with ENAMETOOLONG. */
int	path_user(const char *dir, const char *partition, const char *prefix, struct slice user, char *out);
/* Makes DIR, DIR/<partition> and DIR/<partition>/<hash> where missing; each new name is synced. 0 or -1. */
int	path_make_parents(const char *dir, const char *partition, struct slice user);
/* Opens the directory that holds path and syncs it. 0 or -1. */
int	path_sync_parent(const char *path);
#define PATH_ASIDE	"aside"	/* a directory in a claimed one, on its way to be removed */
/*
 * Makes or takes over the directory at path for as long as the descriptor returned is open: whoever
 * else wants it waits, and finds it empty (what a dead one left is removed). -1 with errno.
 */
int	path_claim(const char *path);
/* Removes a directory with its plain files and what was put aside in it. 0 or -1. */
int	path_remove(const char *path);

#endif
