/*
 * Mailboxes in the spool and in the location map, kept in step: reserved there before they are made
 * here, activated after. Called by session and delivery workers. A map that does not answer means
 * TEMP and nothing changed; one that cannot be told afterwards is logged and stays behind, because
 * the spool is the truth for the users of this host. RFC 3656 3.
 */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "mupdatec.h"

#define OWNER_RIGHTS	"lrswipkxtecda"	/* RFC 4314: all a user has in the own mailboxes */
#define ARENA_BYTES	(16 * 1024 * 1024)	/* the names of STORE_MAILBOXES_MAX mailboxes */
/* Beside the hash folders of the first partition; no hash or user begins with '~'. */
#define LOCK_NAME	"~place.lock"
#define HALF_DIR	"~placing"

static const struct {
	const char	*name;		/* NULL: INBOX */
	enum special_use use;
} first_mailboxes[] = {
	{NULL, USE_NONE},
	{"Drafts", USE_DRAFTS},
	{"Sent", USE_SENT},
	{"Trash", USE_TRASH},
	{"Junk", USE_JUNK},
	{"Archive", USE_ARCHIVE},
};
#define FIRST_MAILBOXES	(sizeof(first_mailboxes) / sizeof(first_mailboxes[0]))

static struct place_conf conf;
static struct mupdatec *map;	/* owned; NULL while not connected */
static int64_t map_paused_ms;	/* nothing is asked before then (mono_ms) */

void
place_init(const struct place_conf *c)
{
	conf = *c;
}

/* ---- the map ---- */

static bool
has_map(void)
{
	return conf.mupdate != NULL && conf.mupdate[0] != '\0';
}

static bool
map_open(void)
{
	if (mono_ms() < map_paused_ms)
		return false;
	if (map == NULL)
		map = mupdatec_open(conf.mupdate, conf.timeout_ms);
	if (map == NULL)
		LOG("warn.mupdate.unreachable", log_str("where", conf.mupdate), log_str("why", strerrordesc_np(errno)));
	return map != NULL;
}

static void
map_close(void)
{
	if (map != NULL)
		mupdatec_close(map);
	map = NULL;
}

enum map_verb { MAP_RESERVE, MAP_ACTIVATE, MAP_DELETE, MAP_NOOP };

struct map_change {
	struct slice	name, location, acl;
};

static enum result
map_once(enum map_verb verb, const struct map_change *m, char *text_out)
{
	if (!map_open())
		return TEMP;
	switch (verb) {
	case MAP_RESERVE:
		return mupdatec_reserve(map, m->name, m->location, text_out);
	case MAP_ACTIVATE:
		return mupdatec_activate(map, m->name, m->location, m->acl, text_out);
	case MAP_DELETE:
		return mupdatec_delete(map, m->name, text_out);
	case MAP_NOOP:
		break;
	}
	return mupdatec_noop(map);
}

/*
 * The kept connection may have ended since: once more on a new one. But what timed out hangs: it is not
 * asked again for a while where others wait behind us.
 */
static enum result
map_do(enum map_verb verb, const struct map_change *m)
{
	char text[REPLY_TEXT_MAX_BYTES] = "";
	enum result r = TEMP;

	for (int tries = 0; tries < 2 && r == TEMP; tries++) {
		int64_t began = mono_ms();

		r = map_once(verb, m, text);
		if (r != TEMP)
			break;
		map_close();
		if (mono_ms() - began >= conf.timeout_ms) {
			map_paused_ms = mono_ms() + conf.pause_ms;
			break;
		}
	}
	if (r == TEMP)
		LOG("warn.mupdate.temp", log_slice("mailbox", m->name), log_u64("verb", verb));
	return r;
}

/* Who has a name that could not be reserved: DONE when it is this host (an attempt that was cut off), PERM another one. */
static enum result
map_is_ours(struct slice name)
{
	struct arena a = arena_make(ACL_MAX_BYTES + 4096);
	struct loc_entry e;
	struct slice host, partition;
	enum result r = TEMP;

	if (map_open())
		switch (mupdatec_find(map, name, &a, &e)) {
		case FOUND:
			r = location_split(e.location, &host, &partition) && slice_is(host, slice_of(conf.hostname)) ? DONE : PERM;
			break;
		case ABSENT:
			break;
		case LOOKUP_TEMP:
			map_close();
			break;
		}
	arena_free(&a);
	return r;
}

static enum result
map_reserve(const struct map_change *m)
{
	enum result r;

	if (!has_map())
		return DONE;
	r = map_do(MAP_RESERVE, m);
	return r == PERM ? map_is_ours(m->name) : r;
}

static enum result
map_activate(const struct map_change *m)
{
	return has_map() ? map_do(MAP_ACTIVATE, m) : DONE;
}

/* After the spool changed there is no way back: what the map missed is logged for mupdated's comparison. */
static void
map_follow(enum map_verb verb, const struct map_change *m)
{
	if (has_map() && map_do(verb, m) != DONE)
		LOG("warn.place.stale", log_slice("mailbox", m->name), log_str("why", "the map was not told"));
}

static enum store_result
store_of(enum result r)
{
	return r == DONE ? STORE_OK : r == PERM ? STORE_EXISTS : STORE_TEMP;
}

/* Location and ACL of a user's mailboxes, in the caller's buffers. */
struct where {
	char	location[LOCATION_MAX_BYTES + 1];
	char	acl[USER_MAX_BYTES + 32];
};

static struct map_change
change_of(struct where *w, struct slice user, const char *partition)
{
	struct map_change m = {.location = {w->location, 0}, .acl = {w->acl, 0}};

	m.location.n = (size_t)snprintf(w->location, sizeof(w->location), "%s!%s", conf.hostname, partition);
	m.acl.n = (size_t)snprintf(w->acl, sizeof(w->acl), "%.*s\t%s\t", (int)user.n, user.p, OWNER_RIGHTS);
	return m;
}

/* ---- a new user ---- */

/* One process at a time for a user; the descriptor holds the lock. -1 with errno. */
static int
user_lock(const struct store_host *host, struct slice user)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	char path[PATH_MAX];
	int fd;

	lock.l_start = record_crc(0, user);
	(void)snprintf(path, sizeof(path), "%s/%s/%s", host->active_dir, host->partitions[0], LOCK_NAME);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	while (fd >= 0 && fcntl(fd, F_OFD_SETLKW, &lock) != 0) {
		if (errno == EINTR)
			continue;
		close(fd);
		return -1;
	}
	return fd;
}

static void
half_path(const struct store_host *host, struct slice user, char path[PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, "%s/%s/%s/%.*s", host->active_dir, host->partitions[0], HALF_DIR, (int)user.n, user.p);
}

bool
place_is_half(const struct store_host *host, struct slice user)
{
	char path[PATH_MAX];

	half_path(host, user, path);
	return access(path, F_OK) == 0;
}

static int
sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), done;

	if (fd < 0)
		return -1;
	done = fsync(fd);
	close(fd);
	return done;
}

/* The mark that a spool is being made, on disk before the spool is. */
static int
half_mark(const struct store_host *host, struct slice user)
{
	char path[PATH_MAX], dir[PATH_MAX];
	int fd;

	(void)snprintf(dir, sizeof(dir), "%s/%s/%s", host->active_dir, host->partitions[0], HALF_DIR);
	half_path(host, user, path);
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -1;
	close(fd);
	return sync_dir(dir);
}

static void
half_clear(const struct store_host *host, struct slice user)
{
	char path[PATH_MAX];

	half_path(host, user, path);
	(void)unlink(path);
}

static const char *
emptiest_partition(const struct store_host *host)
{
	const char *best = host->partitions[0];
	unsigned long long most = 0;

	for (size_t i = 0; host->partitions[i] != NULL; i++) {
		char path[PATH_MAX];
		struct statvfs st;
		unsigned long long room;

		(void)snprintf(path, sizeof(path), "%s/%s", host->active_dir, host->partitions[i]);
		if ((host->is_down != NULL && host->is_down[i]) || statvfs(path, &st) != 0)
			continue;
		room = (unsigned long long)st.f_bavail * st.f_frsize;
		if (room <= most)
			continue;
		most = room;
		best = host->partitions[i];
	}
	return best;
}

static void
first_name(struct slice user, size_t i, struct mboxname *out)
{
	mboxname_inbox(user, out);
	if (first_mailboxes[i].name != NULL)
		out->n += (size_t)snprintf(out->s + out->n, sizeof(out->s) - out->n, ".%s", first_mailboxes[i].name);
}

static enum store_result
user_mailboxes(struct store *st, struct slice user)
{
	for (size_t i = 0; i < FIRST_MAILBOXES; i++) {
		unsigned char id[RECORD_ID_BYTES];
		struct mboxname name;
		enum store_result r;

		first_name(user, i, &name);
		r = store_mbox_create(st, (struct slice){name.s, name.n}, first_mailboxes[i].use, id);
		if (r != STORE_OK && r != STORE_EXISTS)
			return r;
		r = store_subscribe(st, (struct slice){name.s, name.n}, true);
		if (r != STORE_OK)
			return r;
	}
	return STORE_OK;
}

static enum store_result
user_map(struct slice user, const char *partition, enum result (*step)(const struct map_change *))
{
	struct where w;
	struct map_change m = change_of(&w, user, partition);

	for (size_t i = 0; i < FIRST_MAILBOXES; i++) {
		struct mboxname name;
		enum result r;

		first_name(user, i, &name);
		m.name = (struct slice){name.s, name.n};
		r = step(&m);
		if (r != DONE)
			return store_of(r);
	}
	return STORE_OK;
}

/* Reserve, make, activate: each step may have been done before by an attempt that was cut off. */
static enum store_result
user_make(const struct store_host *host, struct slice user, const char *partition)
{
	struct store_host at = *host;
	struct store *st;
	enum store_result r = user_map(user, partition, map_reserve);

	if (r != STORE_OK)
		return r;
	if (half_mark(host, user) != 0) {
		LOG("warn.place.mark", log_slice("user", user), log_str("why", strerrordesc_np(errno)));
		return STORE_TEMP;
	}
	at.partition = partition;
	r = store_create(&at, user);
	if (r != STORE_OK)
		return r;
	/* Not by the copy: what is open stays open, with its host, after we return. */
	if (store_open(host, user, &st) != FOUND)
		return STORE_TEMP;
	r = user_mailboxes(st, user);
	store_close(st);
	if (r == STORE_OK)
		r = user_map(user, partition, map_activate);
	if (r == STORE_OK) {
		half_clear(host, user);
		LOG("user.placed", log_slice("user", user), log_str("partition", partition));
	}
	return r;
}

/* With the lock: is there anything to do? */
static enum store_result
user_place_locked(const struct store_host *host, struct slice user)
{
	const char *partition;
	struct arena a;
	struct mbox_info info;
	struct mboxname inbox;
	struct store *st;
	enum store_result r = STORE_TEMP;

	switch (store_exists(host, user, &partition)) {
	case LOOKUP_TEMP:
		return STORE_TEMP;
	case ABSENT:
		return user_make(host, user, emptiest_partition(host));
	case FOUND:
		break;
	}
	if (place_is_half(host, user)) {
		/* Whoever began it may have died of the index, and a delivery worker has nobody who remembers. */
		store_discard_index(host, user);
		return user_make(host, user, partition);
	}
	if (store_open(host, user, &st) != FOUND)
		return STORE_TEMP;
	a = arena_make(ARENA_BYTES);
	mboxname_inbox(user, &inbox);
	r = store_mbox_by_name(st, (struct slice){inbox.s, inbox.n}, &a, &info);
	arena_free(&a);
	store_close(st);
	return r == STORE_NOMBOX ? user_make(host, user, partition) : r;
}

enum store_result
place_user(const struct store_host *host, struct slice user)
{
	int lock_fd = user_lock(host, user);
	enum store_result r;

	if (lock_fd < 0) {
		LOG("warn.place.lock", log_slice("user", user), log_str("why", strerrordesc_np(errno)));
		return STORE_TEMP;
	}
	r = user_place_locked(host, user);
	close(lock_fd);
	return r;
}

/* ---- mailboxes of a user who is here ---- */

enum store_result
place_create(struct store *st, struct slice inside, enum special_use use, unsigned char *id_out)
{
	struct where w;
	struct map_change m = change_of(&w, store_user(st), store_partition(st));
	struct arena a = arena_make(ARENA_BYTES);
	struct mbox_info info;
	enum store_result r = store_mbox_by_name(st, inside, &a, &info);

	arena_free(&a);
	if (r != STORE_NOMBOX)
		return r == STORE_OK ? STORE_EXISTS : r;
	m.name = inside;
	r = store_of(map_reserve(&m));
	if (r != STORE_OK)
		return r;
	r = store_mbox_create(st, inside, use, id_out);
	if (r == STORE_OK)
		map_follow(MAP_ACTIVATE, &m);
	else if (r != STORE_EXISTS)
		map_follow(MAP_DELETE, &m);
	return r;
}

enum store_result
place_delete(struct store *st, struct slice inside)
{
	struct map_change m = {.name = inside};
	enum store_result r;

	/* Is the map there at all? Else nothing is changed. */
	if (has_map() && map_do(MAP_NOOP, &m) != DONE)
		return STORE_TEMP;
	r = store_mbox_delete(st, inside);
	if (r == STORE_OK)
		map_follow(MAP_DELETE, &m);
	return r;
}

/* A mailbox and those below it, by their old and new names. */
struct rename {
	struct slice	*from, *to;	/* in the arena; from[i] empty: it stays (INBOX) */
	size_t		 n;
};

static bool
is_below(struct slice name, struct slice root)
{
	return name.n > root.n && memcmp(name.p, root.p, root.n) == 0 && name.p[root.n] == '.';
}

static enum store_result
rename_list(struct store *st, struct slice from, struct slice to, struct arena *a, struct rename *out)
{
	struct mbox_info *boxes;
	struct mboxname inbox;
	bool is_inbox;
	size_t n;
	enum store_result r = store_mbox_list(st, a, &boxes, &n);

	if (r != STORE_OK)
		return r;
	mboxname_inbox(store_user(st), &inbox);
	is_inbox = slice_is(from, (struct slice){inbox.s, inbox.n});
	*out = (struct rename){.from = ARENA_NEW(a, struct slice, n + 1), .to = ARENA_NEW(a, struct slice, n + 1)};
	if (out->from == NULL || out->to == NULL)
		return STORE_LIMIT;
	for (size_t i = 0; i < n; i++) {
		struct slice old = boxes[i].name;
		size_t below = old.n - from.n;
		char *name;

		if (!slice_is(old, from) && (is_inbox || !is_below(old, from)))
			continue;
		if (to.n + below > MBOXNAME_MAX_BYTES || (name = arena_alloc(a, to.n + below + 1, 1)) == NULL)
			return STORE_LIMIT;
		memcpy(name, to.p, to.n);
		memcpy(name + to.n, old.p + from.n, below);
		out->from[out->n] = is_inbox ? SLICE("") : old;
		out->to[out->n++] = (struct slice){name, to.n + below};
	}
	return out->n > 0 ? STORE_OK : STORE_NOMBOX;
}

static enum store_result
rename_do(struct store *st, struct slice from, struct slice to, const struct rename *rn)
{
	struct where w;
	struct map_change m = change_of(&w, store_user(st), store_partition(st));
	enum store_result r = STORE_OK;
	size_t reserved = 0;

	for (; reserved < rn->n && r == STORE_OK; reserved++) {
		m.name = rn->to[reserved];
		r = store_of(map_reserve(&m));
	}
	if (r == STORE_OK)
		r = store_mbox_rename(st, from, to);
	else
		reserved--;
	for (size_t i = 0; i < reserved; i++) {
		m.name = rn->to[i];
		map_follow(r == STORE_OK ? MAP_ACTIVATE : MAP_DELETE, &m);
	}
	for (size_t i = 0; i < rn->n && r == STORE_OK; i++) {
		m.name = rn->from[i];
		if (m.name.n > 0)
			map_follow(MAP_DELETE, &m);
	}
	return r;
}

enum store_result
place_rename(struct store *st, struct slice from, struct slice to)
{
	struct arena a = arena_make(ARENA_BYTES);
	struct mbox_info info;
	struct rename rn;
	enum store_result r = store_mbox_by_name(st, to, &a, &info);

	if (r != STORE_NOMBOX)
		r = r == STORE_OK ? STORE_EXISTS : r;
	else
		r = rename_list(st, from, to, &a, &rn);
	if (r == STORE_OK)
		r = rename_do(st, from, to, &rn);
	arena_free(&a);
	return r;
}
