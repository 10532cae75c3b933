/*
 * Configuration: "key = value" lines; a line that begins with # is a comment. One table a daemon drives the parser, -n (check),
 * -d (print what is in force) and the test that holds it equal to the man page. Unknown key, value
 * out of range, key given twice: "file:line: ..." through DIE(EXIT_CONF, "fatal.conf", ...).
 */
#ifndef TS_CONF_H
#define TS_CONF_H

#include <stdint.h>
#include <sys/types.h>

#include "slice.h"

enum conf_type {
	CONF_STR,	/* const char *; may be empty; least/most bound its length */
	CONF_PATH,	/* const char *; absolute, or empty where least is 0 */
	CONF_UINT,	/* uint64_t; decimal with optional k, m, g (1024s) where unit is "bytes" */
	CONF_BOOL,	/* bool; yes or no */
	CONF_LIST,	/* struct conf_list; values split at white space; least/most bound the count */
	CONF_USER,	/* struct conf_user; a login name, or UID:GID[,GID...], or empty (no change) */
};

struct conf_list {
	char	**v;	/* owned by the process for its life; NUL-terminated strings */
	size_t	  n;
};

#define CONF_GROUPS_MAX	8
struct conf_user {
	bool	 is_set;
	uid_t	 uid;
	gid_t	 gid;			/* first of groups */
	gid_t	 groups[CONF_GROUPS_MAX];
	size_t	 ngroups;
};

struct conf_key {
	const char	*key;
	enum conf_type	 type;
	const char	*def;		/* as written in a file */
	uint64_t	 least, most;	/* most 0: no upper bound (not for CONF_UINT) */
	const char	*unit;		/* "ms", "s", "bytes", "" */
	size_t		 offset;	/* of the value in the daemon's struct */
	const char	*help;		/* one sentence; the man page says the same */
};

/*
 * Login names or numeric uids of a list -> uids (SO_PEERCRED checks). How many; ends the process (100)
 * on an unknown name or more than cap.
 */
size_t	conf_uids(const struct conf_list *, uid_t *out, size_t cap);
/*
 * Makes a directory and its missing parents (parents 0755), owner and mode of the last set where we are root
 * (uid -1: leave). The last must not be a symbolic link where we are root: a child that owns the folder above could aim it. 0 or -1.
 */
int	dir_make(const char *path, uid_t, gid_t, mode_t);
/* Reads path into the struct at out; ends the process (100) at the first fault. */
void	conf_load(const struct conf_key *, size_t nkeys, const char *path, void *out);
/* Prints every key in force as "key = value" to stdout. */
void	conf_dump(const struct conf_key *, size_t nkeys, const void *conf);
/* What a check found; the process ends with it (100), so the strings may live in static memory. */
struct conf_wrong {
	const char	*key;
	const char	*value;		/* the one that is wrong; NULL: not to be said */
	const char	*why;
};
/*
 * All that no table can say (an address that is none, two keys that exclude each other, a file that cannot be used): called
 * after loading with the daemon's struct, by -n and by a start, not by -d alone. It may fill in what it works out. False: out
 * is filled. What the start would end with must be found here, for a reload relies on -n. Set before conf_main.
 */
void	conf_check_with(bool (*check)(void *conf, struct conf_wrong *out));
/* For such a check: true where conf_uids would take the list; else out is filled. */
bool	conf_check_users(const char *key, const struct conf_list *, size_t cap, struct conf_wrong *out);
/*
 * What every main() does first: log_init(daemon), then -c FILE (default /etc/twinspool/DAEMON.conf),
 * -n (check and exit 0), -d (dump and exit 0), -V; anything else is usage, exit 100.
 */
void	conf_main(int argc, char **argv, const char *daemon, const struct conf_key *, size_t nkeys, void *out);

#endif
