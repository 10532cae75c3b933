/*
 * Configuration: "key = value" lines driven by one table a daemon. Read once by main() before
 * anything is given up; the values live as long as the process. A fault names file and line and ends the process.
 */
#include "conf.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define CONF_LINE_MAX_BYTES	8192	/* a list of many names */
#define CONF_LIST_MAX		1024
#define CONF_KEYS_MAX		64	/* twice what any daemon has */

static bool (*conf_check)(void *conf, struct conf_wrong *out);

/* Where a value comes from, for the fault's line. */
struct conf_from {
	const char	*path;
	unsigned	 line;		/* 0: the table's default */
};

static _Noreturn void
conf_fault(const struct conf_from *from, const char *key, const char *why)
{
	char at[512];

	snprintf(at, sizeof(at), "%s:%u", from->path, from->line);
	errno = 0;
	DIE(EXIT_CONF, "fatal.conf", log_str("at", at), log_str("key", key), log_str("why", why));
}

static char *
conf_copy(const char *p, size_t n)
{
	char *s = malloc(n + 1);

	if (s == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", n + 1));
	if (n > 0)
		memcpy(s, p, n);
	s[n] = '\0';
	return s;
}

/* Decimal with an optional k, m, g; false on anything else or past 64 bits. */
static bool
conf_number(const char *s, bool may_scale, uint64_t *out)
{
	uint64_t v = 0, scale = 1;
	const char *p = s;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	}
	if (p == s)
		return false;
	if (may_scale && *p != '\0') {
		switch (*p++) {
		case 'k':
			scale = 1024;
			break;
		case 'm':
			scale = 1024 * 1024;
			break;
		case 'g':
			scale = 1024 * 1024 * 1024;
			break;
		default:
			return false;
		}
	}
	return *p == '\0' && !__builtin_mul_overflow(v, scale, out);
}

static bool
conf_id(const char *s, size_t n, uint32_t *out)
{
	char copy[16];
	uint64_t v;

	if (n == 0 || n >= sizeof(copy))
		return false;
	memcpy(copy, s, n);
	copy[n] = '\0';
	/* All ones means "no change" to the system's calls. */
	if (!conf_number(copy, false, &v) || v >= UINT32_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

/* UID:GID[,GID...] */
static const char *
conf_user_numbers(const char *s, struct conf_user *out)
{
	size_t n = strcspn(s, ":");

	if (!conf_id(s, n, &out->uid) || s[n] != ':')
		return "not UID:GID[,GID...]";
	s += n + 1;
	for (;;) {
		n = strcspn(s, ",");
		if (out->ngroups == CONF_GROUPS_MAX)
			return "too many groups";
		if (!conf_id(s, n, &out->groups[out->ngroups++]))
			return "not UID:GID[,GID...]";
		if (s[n] == '\0')
			return NULL;
		s += n + 1;
	}
}

static const char *
conf_user_name(const char *s, struct conf_user *out)
{
	int ngroups = CONF_GROUPS_MAX;
	struct passwd *pw;

	errno = 0;
	if ((pw = getpwnam(s)) == NULL)
		return errno == 0 || errno == ENOENT ? "no such user" : "cannot look up the user";
	out->uid = pw->pw_uid;
	if (getgrouplist(s, pw->pw_gid, out->groups, &ngroups) < 0)
		return "user is in too many groups";
	out->ngroups = (size_t)ngroups;
	/* getgrouplist puts the group given first. */
	return NULL;
}

static const char *
conf_set_user(const char *s, struct conf_user *out)
{
	const char *why;

	*out = (struct conf_user){0};
	if (*s == '\0')
		return NULL;
	why = strchr(s, ':') != NULL ? conf_user_numbers(s, out) : conf_user_name(s, out);
	out->gid = out->groups[0];
	out->is_set = true;
	return why;
}

static const char *
conf_set_list(const struct conf_key *k, const char *s, struct conf_list *out)
{
	*out = (struct conf_list){0};
	if ((out->v = calloc(CONF_LIST_MAX, sizeof(*out->v))) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "list"));
	for (;;) {
		size_t n;

		s += strspn(s, " \t");
		if ((n = strcspn(s, " \t")) == 0)
			break;
		if (out->n == CONF_LIST_MAX || (k->most > 0 && out->n == k->most))
			return "too many values";
		out->v[out->n++] = conf_copy(s, n);
		s += n;
	}
	return out->n < k->least ? "too few values" : NULL;
}

static const char *
conf_set_str(const struct conf_key *k, const char *s, const char **out)
{
	size_t n = strlen(s);

	if (n < k->least)
		return n == 0 ? "must not be empty" : "too short";
	if (k->most > 0 && n > k->most)
		return "too long";
	if (k->type == CONF_PATH && n > 0 && s[0] != '/')
		return "not an absolute path";
	*out = conf_copy(s, n);
	return NULL;
}

static const char *
conf_set_uint(const struct conf_key *k, const char *s, uint64_t *out)
{
	if (!conf_number(s, strcmp(k->unit, "bytes") == 0, out))
		return "not a number";
	return *out < k->least ? "too small" : *out > k->most ? "too large" : NULL;
}

static const char *
conf_set_bool(const char *s, bool *out)
{
	*out = strcmp(s, "yes") == 0;
	return *out || strcmp(s, "no") == 0 ? NULL : "not yes or no";
}

static void
conf_set(const struct conf_key *k, const char *s, void *conf, const struct conf_from *from)
{
	void *at = (char *)conf + k->offset;
	const char *why = NULL;

	switch (k->type) {
	case CONF_STR:
	case CONF_PATH:
		why = conf_set_str(k, s, at);
		break;
	case CONF_UINT:
		why = conf_set_uint(k, s, at);
		break;
	case CONF_BOOL:
		why = conf_set_bool(s, at);
		break;
	case CONF_LIST:
		why = conf_set_list(k, s, at);
		break;
	case CONF_USER:
		why = conf_set_user(s, at);
		break;
	}
	if (why != NULL)
		conf_fault(from, k->key, why);
}

/* Cuts white space at both ends, in place. */
static char *
conf_trim(char *s)
{
	size_t n;

	s += strspn(s, " \t\r\n");
	for (n = strlen(s); n > 0 && strchr(" \t\r\n", s[n - 1]) != NULL; n--)
		continue;
	s[n] = '\0';
	return s;
}

static void
conf_line(const struct conf_key *keys, size_t nkeys, char *line, bool *seen, void *out, const struct conf_from *from)
{
	char *key = conf_trim(line), *eq;

	if (*key == '\0' || *key == '#')
		return;
	if ((eq = strchr(key, '=')) == NULL)
		conf_fault(from, key, "not key = value");
	*eq = '\0';
	key = conf_trim(key);
	for (size_t i = 0; i < nkeys; i++) {
		if (strcmp(keys[i].key, key) != 0)
			continue;
		if (seen[i])
			conf_fault(from, key, "given twice");
		seen[i] = true;
		conf_set(&keys[i], conf_trim(eq + 1), out, from);
		return;
	}
	conf_fault(from, key, "unknown key");
}

void
conf_load(const struct conf_key *keys, size_t nkeys, const char *path, void *out)
{
	struct conf_from from = {.path = path};
	char line[CONF_LINE_MAX_BYTES];
	bool seen[CONF_KEYS_MAX] = {false};
	FILE *f;

	if (nkeys > CONF_KEYS_MAX)
		conf_fault(&from, "", "table too large");
	if ((f = fopen(path, "re")) == NULL)
		DIE(EXIT_CONF, "fatal.conf", log_str("at", path), log_str("why", "cannot open"));
	while (fgets(line, sizeof(line), f) != NULL) {
		from.line++;
		if (strlen(line) == sizeof(line) - 1)
			conf_fault(&from, "", "line too long");
		conf_line(keys, nkeys, line, seen, out, &from);
	}
	if (ferror(f))
		DIE(EXIT_CONF, "fatal.conf", log_str("at", path), log_str("why", "cannot read"));
	fclose(f);
	from.line = 0;
	for (size_t i = 0; i < nkeys; i++) {
		if (!seen[i])
			conf_set(&keys[i], keys[i].def, out, &from);
	}
}

void
conf_check_with(bool (*check)(void *conf, struct conf_wrong *out))
{
	conf_check = check;
}

static void
conf_dump_user(const struct conf_user *u)
{
	if (!u->is_set)
		return;
	printf("%u:", (unsigned)u->uid);
	for (size_t i = 0; i < u->ngroups; i++)
		printf("%s%u", i == 0 ? "" : ",", (unsigned)u->groups[i]);
}

void
conf_dump(const struct conf_key *keys, size_t nkeys, const void *conf)
{
	for (size_t i = 0; i < nkeys; i++) {
		const char *at = (const char *)conf + keys[i].offset;
		const struct conf_list *list;

		printf("%s =%s", keys[i].key, keys[i].type == CONF_LIST ? "" : " ");
		switch (keys[i].type) {
		case CONF_STR:
		case CONF_PATH:
			printf("%s", *(const char *const *)(const void *)at);
			break;
		case CONF_UINT:
			printf("%llu", (unsigned long long)*(const uint64_t *)(const void *)at);
			break;
		case CONF_BOOL:
			printf("%s", *(const bool *)at ? "yes" : "no");
			break;
		case CONF_LIST:
			list = (const struct conf_list *)(const void *)at;
			for (size_t j = 0; j < list->n; j++)
				printf(" %s", list->v[j]);
			break;
		case CONF_USER:
			conf_dump_user((const struct conf_user *)(const void *)at);
			break;
		}
		printf("\n");
	}
	fflush(stdout);
}

/* The uid of list's i-th user. NULL, or what is wrong. */
static const char *
conf_uid(const struct conf_list *names, size_t i, size_t cap, uid_t *out)
{
	const char *name = names->v[i];
	struct passwd *pw;

	if (i >= cap)
		return "too many users";
	if (conf_id(name, strlen(name), out))
		return NULL;
	errno = 0;
	if ((pw = getpwnam(name)) == NULL)
		return errno == 0 || errno == ENOENT ? "no such user" : "cannot look up the user";
	*out = pw->pw_uid;
	return NULL;
}

bool
conf_check_users(const char *key, const struct conf_list *names, size_t cap, struct conf_wrong *out)
{
	uid_t uid;

	for (size_t i = 0; i < names->n; i++) {
		const char *why = conf_uid(names, i, cap, &uid);

		if (why == NULL)
			continue;
		*out = (struct conf_wrong){key, names->v[i], why};
		return false;
	}
	return true;
}

size_t
conf_uids(const struct conf_list *names, uid_t *out, size_t cap)
{
	for (size_t i = 0; i < names->n; i++) {
		uid_t uid;
		const char *why = conf_uid(names, i, cap, &uid);

		if (why != NULL)
			DIE(EXIT_CONF, "fatal.conf", log_str("value", names->v[i]), log_str("why", why));
		out[i] = uid;
	}
	return names->n;
}

/* Owner and mode of a directory just made or found. The last step of path must not be a symbolic link. */
static int
dir_own(const char *path, uid_t uid, gid_t gid, mode_t mode, bool is_new)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), saved, failed = 0;

	if (fd < 0)
		return -1;
	if (geteuid() == 0 && uid != (uid_t)-1)
		failed = fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0;
	else if (is_new)
		failed = fchmod(fd, mode) < 0;	/* whatever the umask is */
	saved = errno;
	close(fd);
	errno = saved;
	return failed ? -1 : 0;
}

int
dir_make(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	char at[4096];
	size_t n = strlen(path);
	bool is_new;

	if (n >= sizeof(at)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(at, path, n + 1);
	while (n > 1 && at[n - 1] == '/')
		at[--n] = '\0';
	for (size_t i = 1; i < n; i++) {
		if (at[i] != '/')
			continue;
		at[i] = '\0';
		if (mkdir(at, 0755) < 0 && errno != EEXIST)
			return -1;
		at[i] = '/';
	}
	is_new = mkdir(at, mode) == 0;
	if (!is_new && errno != EEXIST)
		return -1;
	if (!is_new && geteuid() != 0)
		return 0;	/* perhaps not ours to open: who uses it will see */
	return dir_own(at, uid, gid, mode, is_new);
}

static void
conf_check_all(const char *file, void *conf)
{
	struct conf_wrong w = {.key = ""};

	if (conf_check == NULL || conf_check(conf, &w))
		return;
	errno = 0;
	if (w.value == NULL)
		DIE(EXIT_CONF, "fatal.conf", log_str("at", file), log_str("key", w.key), log_str("why", w.why));
	DIE(EXIT_CONF, "fatal.conf", log_str("at", file), log_str("key", w.key), log_str("value", w.value),
	    log_str("why", w.why));
}

void
conf_main(int argc, char **argv, const char *daemon, const struct conf_key *keys, size_t nkeys, void *out)
{
	char path[256];
	const char *file = path;
	bool is_check = false, is_dump = false;
	int c;

	log_init(daemon);
	snprintf(path, sizeof(path), "/etc/twinspool/%s.conf", daemon);
	opterr = 0;	/* getopt would print outside the log's grammar */
	while ((c = getopt(argc, argv, "c:dnV")) != -1) {
		switch (c) {
		case 'c':
			file = optarg;
			break;
		case 'd':
			is_dump = true;
			break;
		case 'n':
			is_check = true;
			break;
		case 'V':
			printf("%s %s\n", daemon, TS_VERSION);
			exit(0);
		default:
			errno = 0;
			DIE(EXIT_CONF, "fatal.usage", log_str("why", "usage: [-c file] [-dnV]"));
		}
	}
	if (optind != argc) {
		errno = 0;
		DIE(EXIT_CONF, "fatal.usage", log_str("why", "usage: [-c file] [-dnV]"));
	}
	conf_load(keys, nkeys, file, out);
	/* What is in force can be printed where it cannot be used. */
	if (is_check || !is_dump)
		conf_check_all(file, out);
	if (is_dump)
		conf_dump(keys, nkeys, out);
	if (is_check || is_dump)
		exit(0);
}
