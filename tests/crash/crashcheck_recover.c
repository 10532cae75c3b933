/*
 * What clients had been told at each point of the run, by the marks of the driver, and whether a state recovered with the
 * engine's own code agrees with it (crashcheck.c).
 */
#include "crashcheck.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "record.h"
#include "store/store.h"

#define INODES_MAX	65536
#define MARKS_MAX	65536

/* ---- what was said to whom ---- */

struct mark {
	uint64_t	 at;
	char		 what;
	char		 user[32], mailbox[64], id[64];
	uint64_t	 number;
};

static struct mark	marks[MARKS_MAX];
static size_t		nmarks;

/* Was there, after the mark and before the cut, a sync that covers the user's log? */
static uint64_t	user_sync[64];		/* last covering sync of each user, by place in user_names */
static char	user_names[64][32];
static uint64_t	user_dirs[64];
static size_t	nusers;

static size_t
user_place(const char *user)
{
	for (size_t i = 0; i < nusers; i++)
		if (strcmp(user_names[i], user) == 0)
			return i;
	if (nusers == 64)
		errx(1, "too many users");
	strcpy(user_names[nusers], user);
	return nusers++;
}

void
marks_read(void)
{
	for (uint64_t i = 0; i < nops; i++) {
		char text[256];
		struct mark *m = &marks[nmarks];

		if (ops[i]->type != OP_MARK || ops[i]->ndata >= sizeof(text) || nmarks == MARKS_MAX)
			continue;
		memcpy(text, data_of(ops[i]), ops[i]->ndata);
		text[ops[i]->ndata] = '\0';
		*m = (struct mark){.at = i};
		if (sscanf(text, "%c %31s %63s %63s %lu", &m->what, m->user, m->mailbox, m->id, &m->number) >= 3)
			nmarks++;
	}
	for (size_t i = 0; i < nmarks; i++)
		(void)user_place(marks[i].user);
}

/* Files of a user's directory, by parent of their creation. */
static uint64_t	file_parent[INODES_MAX];

void
marks_step(uint64_t at)
{
	const struct op *o = ops[at];

	if (o->type == OP_CREATE)
		file_parent[o->ino] = o->parent;
	if (o->type == OP_MKDIR)
		for (size_t i = 0; i < nmarks; i++)
			if (strlen(marks[i].user) == o->nname && memcmp(marks[i].user, name_of(o), o->nname) == 0)
				user_dirs[user_place(marks[i].user)] = o->ino;
	for (size_t u = 0; u < nusers; u++)
		if (o->type == OP_SYNC_ALL || (o->type == OP_SYNC && file_parent[o->ino] == user_dirs[u] && user_dirs[u] != 0))
			user_sync[u] = at;
}

/* ---- recovery ---- */

static char	active[256], indexes[256], redundant[256];

_Noreturn static void __attribute__((format(printf, 1, 2)))
violation(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dprintf(STDOUT_FILENO, "VIOLATION %s\n", text);
	_exit(1);
}

struct found {
	char		 user[32], mailbox[64], id[64];
	uint32_t	 uid, flags;
};

static struct found	found[8192];
static size_t		nfound, ndamaged;

/* A message of the driver names itself and the checksum of what follows: "X-Crash: id sum". */
static bool
take_id(const char *p, size_t n, char *id_out)
{
	const char *x = memmem(p, n, "X-Crash: ", 9), *end;
	uint64_t sum;

	if (x == NULL || (end = memmem(x, (size_t)(p + n - x), "\r\n", 2)) == NULL || sscanf(x, "X-Crash: %63s %lx", id_out, &sum) != 2)
		return false;
	end += 2;
	return hash(HASH_BEGIN, end, (size_t)(p + n - end)) == sum;
}

static void
read_body(struct store *s, const char *user, const char *mailbox, const struct msg_info *m)
{
	static char body[4 << 20];
	struct found *f = &found[nfound];
	uint64_t at;
	int fd;

	switch (store_body_open(s, m, &fd, &at)) {
	case STORE_OK:
		break;
	case STORE_DAMAGED:
		ndamaged++;	/* not served; whether anybody was told that it is there the marks say */
		return;
	default:
		violation("%s %s uid %u: its body cannot be read", user, mailbox, m->uid);
	}
	if (m->size > sizeof(body) || pread(fd, body, m->size, (off_t)at) != (ssize_t)m->size)
		violation("%s %s uid %u: short body", user, mailbox, m->uid);
	close(fd);
	if (!take_id(body, m->size, f->id))
		violation("%s %s uid %u: serves what nobody sent", user, mailbox, m->uid);
	snprintf(f->user, sizeof(f->user), "%s", user);
	snprintf(f->mailbox, sizeof(f->mailbox), "%s", mailbox);
	f->uid = m->uid;
	f->flags = m->flags;
	if (++nfound == sizeof(found) / sizeof(found[0]))
		violation("the explorer's own: too many messages");
}

static void
check_validity(const char *user, const struct mbox_info *m, const char *name, uint64_t at)
{
	for (size_t i = 0; i < nmarks && marks[i].at <= at; i++)
		if (marks[i].what == 'V' && strcmp(marks[i].user, user) == 0 && strcmp(marks[i].mailbox, name) == 0 &&
		    strtoul(marks[i].id, NULL, 10) != m->uidvalidity)
			violation("%s %s: UIDVALIDITY %u, told %s", user, name, m->uidvalidity, marks[i].id);
}

static void
read_mailbox(struct store *s, const char *user, const struct mbox_info *m, uint64_t at)
{
	static struct msg_info msgs[STORE_BATCH_MSGS];
	char name[64];
	struct view v;
	uint32_t lo = 1, n_all = 0;
	size_t n;

	snprintf(name, sizeof(name), "%.*s", (int)m->name.n, m->name.p);
	check_validity(user, m, name, at);
	if (view_open(s, m->id, false, &v) != STORE_OK)
		violation("%s %s: cannot be opened", user, name);
	do {
		if (view_range(s, &v, lo, UINT32_MAX, msgs, STORE_BATCH_MSGS, &n) != STORE_OK)
			violation("%s %s: cannot be listed", user, name);
		for (size_t i = 0; i < n; i++)
			read_body(s, user, name, &msgs[i]);
		if (n > 0)
			lo = msgs[n - 1].uid + 1;
		n_all += (uint32_t)n;
	} while (n == STORE_BATCH_MSGS);
	if (n_all != m->exists)
		violation("%s %s: %u messages, %u counted", user, name, n_all, m->exists);
}

/* The number in each user's entry "/private/crash", 0 where there is none; by user_place. */
static uint64_t	user_entry[64];

static void
read_metadata(struct store *s, const char *user)
{
	struct arena a = arena_make(1 << 20);
	struct meta_entry *e;
	size_t n;

	if (store_metadata_list(s, NULL, &a, &e, &n) != STORE_OK)
		violation("%s: metadata cannot be listed", user);
	user_entry[user_place(user)] = 0;
	for (size_t i = 0; i < n; i++)
		if (slice_is(e[i].name, SLICE("/private/crash")))
			user_entry[user_place(user)] = strtoull(e[i].value.p, NULL, 10);
	arena_free(&a);
}

static void
read_user(const struct store_host *host, const char *user, uint64_t at)
{
	struct arena a = arena_make(1 << 20);
	struct mbox_info *m;
	struct store *s;
	size_t n;

	if (store_open(host, slice_of(user), &s) != FOUND)
		violation("%s: the spool cannot be opened", user);
	if (store_mbox_list(s, &a, &m, &n) != STORE_OK)
		violation("%s: mailboxes cannot be listed", user);
	for (size_t i = 0; i < n; i++)
		read_mailbox(s, user, &m[i], at);
	read_metadata(s, user);
	store_close(s);
	arena_free(&a);
}

/* Ids of whole records in the redundant spool. */
static char	copies[8192][64];
static size_t	ncopies;

static void
read_day(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint32_t salt;
	size_t need;
	char *p, *x;

	if (fd < 0 || fstat(fd, &st) != 0 || (p = malloc((size_t)st.st_size + 1)) == NULL ||
	    read(fd, p, (size_t)st.st_size) != st.st_size)
		violation("the explorer's own: %s: %s", path, strerror(errno));
	close(fd);
	x = record_parse_salt((struct slice){p, (size_t)st.st_size}, &salt, &need) == PARSE_OK ? p : p + st.st_size;
	while ((x = memmem(x, (size_t)(p + st.st_size - x), "TSR1 ", 5)) != NULL) {
		struct slice in = {x, (size_t)(p + st.st_size - x)};
		struct record r, t = {0};

		if (record_parse_head(in, salt, &r, &need) == PARSE_OK && in.n >= need + r.body_bytes + RECORD_TRAILER_BYTES &&
		    record_parse_trailer((struct slice){x + need + r.body_bytes, RECORD_TRAILER_BYTES}, salt, &t) == PARSE_OK &&
		    t.start == (uint64_t)(x - p) && t.header_crc == r.header_crc &&
		    t.body_crc == record_crc(salt, (struct slice){x + need, r.body_bytes})) {
			if ((r.type == RECORD_MESSAGE || r.type == RECORD_BODY) && take_id(x + need, r.body_bytes, copies[ncopies]) && ++ncopies == sizeof(copies) / sizeof(copies[0]))
				violation("the explorer's own: too many copies");
			x += need + r.body_bytes;
		} else
			x++;
	}
	free(p);
}

static void
read_redundant(void)
{
	DIR *d = opendir(redundant);
	const struct dirent *e;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		char path[600];

		snprintf(path, sizeof(path), "%s/%s/default.log", redundant, e->d_name);
		if (e->d_name[0] != '.' && access(path, F_OK) == 0)
			read_day(path);
	}
	closedir(d);
}

static size_t
count_found(const struct mark *m, uint32_t *flags_out)
{
	size_t n = 0;

	for (size_t i = 0; i < nfound; i++)
		if (strcmp(found[i].id, m->id) == 0 && strcmp(found[i].user, m->user) == 0 && strcmp(found[i].mailbox, m->mailbox) == 0) {
			n++;
			*flags_out = found[i].flags;
		}
	return n;
}

/* Did somebody say, until the cut, that the message may go (x) from there, or has gone (G, X)? */
static bool
may_be_gone(const struct mark *m, uint64_t at)
{
	for (size_t i = 0; i < nmarks && marks[i].at <= at; i++)
		if (strchr("xXG", marks[i].what) != NULL && strcmp(marks[i].id, m->id) == 0 && strcmp(marks[i].user, m->user) == 0 &&
		    strcmp(marks[i].mailbox, m->mailbox) == 0)
			return true;
	return false;
}

static void
check_copy(const struct mark *m)
{
	for (size_t i = 0; i < ncopies; i++)
		if (strcmp(copies[i], m->id) == 0)
			return;
	violation("%s: acknowledged, and not in the redundant spool", m->id);
}

static void
check_mark(const struct mark *m, uint64_t at)
{
	bool is_covered = user_sync[user_place(m->user)] > m->at;
	uint32_t flags = 0;
	size_t n;

	switch (m->what) {
	case 'A':	/* acknowledged */
		n = count_found(m, &flags);
		if (n > 1 || (n == 0 && !may_be_gone(m, at)))
			violation("%s %s %s: acknowledged, and there %zu times", m->user, m->mailbox, m->id, n);
		if (m->number == 0)
			check_copy(m);
		break;
	case 'G':	/* moved away: durable when said */
		if (count_found(m, &flags) != 0)
			violation("%s %s %s: moved, and still there", m->user, m->mailbox, m->id);
		break;
	case 'X':	/* expunged: for sure after a later sync */
		if (is_covered && count_found(m, &flags) != 0)
			violation("%s %s %s: expunged and synced, and still there", m->user, m->mailbox, m->id);
		break;
	case 'F':	/* flags, likewise */
		if (is_covered && count_found(m, &flags) == 1 && (flags & m->number) != m->number)
			violation("%s %s %s: flags %x, told and synced %lx", m->user, m->mailbox, m->id, flags, m->number);
		break;
	case 'M':	/* a metadata entry that only grows, like flags */
		if (is_covered && user_entry[user_place(m->user)] < m->number)
			violation("%s: entry %lu, %lu told and synced", m->user, user_entry[user_place(m->user)], m->number);
		break;
	case 'U':	/* this UID was told for that message */
		for (size_t i = 0; i < nfound; i++)
			if (strcmp(found[i].user, m->user) == 0 && strcmp(found[i].mailbox, m->mailbox) == 0 &&
			    (found[i].uid == m->number) != (strcmp(found[i].id, m->id) == 0))
				violation("%s %s: uid %u is %s, told %s has %lu", m->user, m->mailbox, found[i].uid, found[i].id,
				    m->id, m->number);
		break;
	}
}

static uint32_t
deliver(const struct store_host *host, const char *user, uint32_t serial)
{
	unsigned char key[16] = "crash", guid[16] = "crash";
	char text[256], rest[] = "\r\nafter the crash\r\n";
	struct store_placed placed;
	struct store_delivery d = {.user = slice_of(user), .mailbox = SLICE(""), .sender = SLICE("x@example.test"), .qid = SLICE("q"),
	    .key = key, .guid = guid, .date_ms = now_ms()};
	int n = snprintf(text, sizeof(text), "X-Crash: after%u %lx\r\n%s", serial,
	    hash(HASH_BEGIN, rest, strlen(rest)), rest);

	memcpy(key + 8, &serial, sizeof(serial));
	memcpy(guid + 8, &serial, sizeof(serial));
	d.body = (struct body_src){.mem = {text, (size_t)n}, .fd = -1, .bytes = (uint64_t)n};
	if (store_deliver(host, &d, &placed) != STORE_OK)
		violation("%s: nothing can be delivered any more", user);
	close(placed.log_fd);
	return placed.uid;
}

static void
check_new_uid(const char *user, uint32_t uid, uint64_t at, const char *when)
{
	for (size_t i = 0; i < nfound; i++)
		if (strcmp(found[i].user, user) == 0 && found[i].uid >= uid)
			violation("%s: %s uid %u, though %u is in use", user, when, uid, found[i].uid);
	for (size_t i = 0; i < nmarks && marks[i].at <= at; i++)
		if (marks[i].what == 'U' && strcmp(marks[i].user, user) == 0 && marks[i].number >= uid)
			violation("%s: %s uid %u, though %lu was told", user, when, uid, marks[i].number);
}

static bool
on_user(void *arg, struct slice user)
{
	char (*names)[32] = arg;
	size_t i = 0;

	while (names[i][0] != '\0')
		i++;
	memcpy(names[i], user.p, user.n < 31 ? user.n : 31);
	return i < 62;
}

static void
copy_tree(const char *from, const char *to)
{
	char command[1200];

	snprintf(command, sizeof(command), "rm -rf %s && cp -a %s %s", to, from, to);
	if (system(command) != 0)
		violation("the explorer's own: %s", command);
}

/* Two cuts in a row: what the first recovery wrote to the logs is lost; the epoch it had synced, and the directory of it, is not. */
static void
check_second_cut(const struct store_host *before, const char *saved, char (*users)[32], const uint32_t *uids, uint64_t at)
{
	const char *partitions[] = {"default", NULL};
	struct store_host host = *before;
	char epoch_file[300], command[3000];

	store_drop_cached();
	snprintf(epoch_file, sizeof(epoch_file), "%s/default/epoch", active);
	snprintf(command, sizeof(command), "cp %s %s.epoch && rm -rf %s %s && cp -a %s %s && mkdir -p %s/default && cp %s.epoch %s",
	    epoch_file, saved, active, indexes, saved, active, active, saved, epoch_file);
	if (system(command) != 0)
		violation("the explorer's own: %s", command);
	host.partitions = partitions;
	if (epoch_begin(active, "default", false, &host.epoch) != 0)
		violation("epoch of the second start");
	for (size_t i = 0; users[i][0] != '\0'; i++) {
		uint32_t uid = deliver(&host, users[i], 1000 + (uint32_t)i);

		check_new_uid(users[i], uid, at, "after two cuts");
		if (uid <= uids[i])
			violation("%s: uid %u after two cuts, %u was given out between them", users[i], uid, uids[i]);
	}
}

_Noreturn void
recover(uint64_t at, const char *dir, bool twice)
{
	static char users[64][32];
	uint32_t uids[64];
	const char *partitions[] = {"default", NULL};
	struct store_host host = {.active_dir = active, .index_dir = indexes, .partition = "default", .partitions = partitions,
	    .segment_max_bytes = 64 << 20, .map_bytes = 64 << 20, .dup_window_ms = 86400000};
	char saved[300];
	size_t before;

	snprintf(active, sizeof(active), "%s/active", dir);
	snprintf(redundant, sizeof(redundant), "%s/redundant", dir);
	snprintf(indexes, sizeof(indexes), "%s.index", dir);
	snprintf(saved, sizeof(saved), "%s.saved", active);
	/* Before the first start was over. */
	if (access(active, F_OK) != 0 && marks_until(at) == 0)
		_exit(0);
	if (twice)
		copy_tree(active, saved);
	if (epoch_begin(active, "default", false, &host.epoch) != 0)
		violation("the epoch cannot be begun");
	if (store_each_user(&host, "default", on_user, users) != 0)
		violation("users cannot be listed");
	for (size_t i = 0; users[i][0] != '\0'; i++)
		read_user(&host, users[i], at);
	read_redundant();
	for (size_t i = 0; i < nmarks && marks[i].at <= at; i++)
		check_mark(&marks[i], at);
	for (size_t i = 0; users[i][0] != '\0'; i++) {
		uids[i] = deliver(&host, users[i], (uint32_t)i);
		check_new_uid(users[i], uids[i], at, "new");
	}
	/* And once more: the same, and one more each. */
	before = nfound + ndamaged;
	nfound = ndamaged = 0;
	store_drop_cached();
	for (size_t i = 0; users[i][0] != '\0'; i++)
		read_user(&host, users[i], at);
	for (size_t i = 0; i < nmarks && marks[i].at <= at; i++)
		check_mark(&marks[i], at);
	for (size_t i = 0; users[i][0] != '\0'; i++)
		before++;
	if (nfound + ndamaged != before)
		violation("%zu messages when looked at again, not %zu", nfound + ndamaged, before);
	if (twice)
		check_second_cut(&host, saved, users, uids, at);
	_exit(0);
}

size_t
marks_until(uint64_t at)
{
	static size_t n;

	while (n < nmarks && marks[n].at <= at)
		n++;
	return n;
}

uint64_t
marks_first(void)
{
	return nmarks == 0 ? nops : marks[0].at;
}
