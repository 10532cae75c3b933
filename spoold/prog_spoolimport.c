/*
 * spoolimport: foreign mailboxes into a user's spool, beside a running spoold, whose committer makes them durable in both
 * spools. What it reads may be hostile: it is confined as a session worker, but that it may read the sources
 * whoever owns them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "commitc.h"
#include "import/import.h"
#include "log.h"
#include "sandbox.h"
#include "settings.h"
#include "site.h"
#include "worker.h"

#define SOURCES_MAX	10000	/* mailboxes of one run, as many as a user may have */
#define DEPTH_MAX	16	/* of folders */

static struct site	site;
static struct import	im = {.state_fd = -1};
static struct import_source sources[SOURCES_MAX];
static size_t		nsources;
static struct slice	user;
static enum import_kind	kind_wanted;

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: spoolimport [-nq] [-c file] [-m mailbox] [-s statefile] [-t mbox | maildir | mbx] user source ...\n");
	exit(EXIT_CONF);
}

static _Noreturn void
trouble(const char *what, const char *why)
{
	fprintf(stderr, "spoolimport: %s: %s\n", what, why);
	exit(EXIT_TEMP);
}

static void
bad_source(const char *path, const char *why)
{
	printf("%s:0: %s\n", path, why);
	im.bad++;
}

/* ---- what there is to import ---- */

static int
open_nofollow(const char *path)
{
	return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

static void
source_add(const char *path, enum import_kind kind, const char *mailbox, bool mutf7)
{
	struct import_source *s = &sources[nsources];
	struct stat st;

	if (strpbrk(path, "\t\n") != NULL) {
		bad_source(path, "a name that a state file cannot hold");
		return;
	}
	if (nsources == SOURCES_MAX) {
		bad_source(path, "too many mailboxes for one run");
		return;
	}
	if (mboxname_from_client(user, slice_of(mailbox), mutf7, false, &s->mailbox) != PARSE_OK) {
		bad_source(path, "no mailbox can have that name; use -m");
		return;
	}
	s->path = strdup(path);
	s->kind = kind;
	s->bytes = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	if (s->path == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", strlen(path)));
	nsources++;
}

/* BASE and NAME with a '/' between them; INBOX has no folders below it here. */
static void
mailbox_join(char *out, size_t cap, const char *base, const char *name)
{
	if (base[0] == '\0' || strcasecmp(base, "INBOX") == 0)
		snprintf(out, cap, "%s", name);
	else
		snprintf(out, cap, "%s/%s", base, name);
}

/* Maildir++: the folder A/B stands in a directory .A.B. */
static void
add_maildir(const char *path, const char *mailbox)
{
	DIR *d = opendir(path);
	const struct dirent *e;

	source_add(path, IMPORT_MAILDIR, mailbox[0] == '\0' ? "INBOX" : mailbox, false);
	if (d == NULL) {
		bad_source(path, strerror(errno));
		return;
	}
	while ((e = readdir(d)) != NULL) {
		char sub[PATH_MAX], folder[PATH_MAX], name[PATH_MAX];
		int fd;

		if (e->d_name[0] != '.' || e->d_name[1] == '\0' || strcmp(e->d_name, "..") == 0 ||
		    (size_t)snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) >= sizeof(sub))
			continue;
		if ((fd = open_nofollow(sub)) < 0)
			continue;
		if (reader_kind(fd) == IMPORT_MAILDIR) {
			snprintf(folder, sizeof(folder), "%s", e->d_name + 1);
			for (char *c = folder; *c != '\0'; c++)
				*c = *c == '.' ? '/' : *c;
			mailbox_join(name, sizeof(name), mailbox, folder);
			source_add(sub, IMPORT_MAILDIR, name, true);
		}
		close(fd);
	}
	closedir(d);
}

static void	add_path(const char *path, const char *mailbox, int depth);

static void
add_tree(const char *path, const char *mailbox, int depth)
{
	DIR *d = opendir(path);
	const struct dirent *e;

	if (d == NULL) {
		bad_source(path, strerror(errno));
		return;
	}
	while ((e = readdir(d)) != NULL) {
		char sub[PATH_MAX], name[PATH_MAX];

		if (e->d_name[0] == '.' || (size_t)snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) >= sizeof(sub))
			continue;
		mailbox_join(name, sizeof(name), mailbox, strcasecmp(e->d_name, "mbox") == 0 && mailbox[0] == '\0' ? "INBOX" : e->d_name);
		add_path(sub, name, depth + 1);
	}
	closedir(d);
}

static void
add_path(const char *path, const char *mailbox, int depth)
{
	enum import_kind kind;
	struct stat st;
	int fd = open_nofollow(path);

	if (fd < 0 || fstat(fd, &st) != 0) {
		bad_source(path, errno == ELOOP ? "a symbolic link" : strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	kind = kind_wanted != IMPORT_UNKNOWN && !S_ISDIR(st.st_mode) ? kind_wanted : reader_kind(fd);
	close(fd);
	if (kind == IMPORT_MAILDIR)
		add_maildir(path, mailbox);
	else if (kind != IMPORT_UNKNOWN)
		source_add(path, kind, mailbox[0] == '\0' ? "INBOX" : mailbox, false);
	else if (!S_ISDIR(st.st_mode))
		bad_source(path, "neither mbox, Maildir nor mbx");
	else if (depth >= DEPTH_MAX)
		bad_source(path, "too deep");
	else
		add_tree(path, mailbox, depth);
}

static int
by_path(const void *a, const void *b)
{
	return strcmp(((const struct import_source *)a)->path, ((const struct import_source *)b)->path);
}

/* ---- the start ---- */

static void
load_conf(const char *path)
{
	conf_load(spoold_keys, spoold_nkeys, path, &site.conf);
	spoold_conf_finish(&site.conf);
	site.npartitions = site.conf.partitions.n;
	for (size_t i = 0; i < site.npartitions; i++)
		site.partitions[i] = site.conf.partitions.v[i];
	site.due_send_fd = -1;
}

/* The epoch that the running spoold is in. Mail goes through its committer: without it there is nowhere to go. */
static void
find_spoold(void)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s/lock", site.conf.active_dir, site.partitions[0]);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		trouble(path, strerror(errno));
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		trouble("spoold", "is not running, and mail goes through it");
	close(fd);
	if (!epoch_read(site.conf.active_dir, site.partitions[0], &site.epoch))
		trouble(path, "the epoch cannot be read");
}

static void
open_state(const char *path)
{
	im.state_fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (im.state_fd < 0)
		trouble(path, strerror(errno));
	if (flock(im.state_fd, LOCK_EX | LOCK_NB) != 0)
		trouble(path, "another run has it");
}

static void
confine(char **paths)
{
	struct sandbox_path allowed[66] = {{site.conf.active_dir, true}, {site.conf.index_dir, true}};
	size_t n = 2;

	for (; *paths != NULL; paths++) {
		if (n == sizeof(allowed) / sizeof(allowed[0]))
			trouble(*paths, "more than 64 sources in one run");
		allowed[n++] = (struct sandbox_path){*paths, false};
	}
	tzset();
	signal(SIGPIPE, SIG_IGN);
	sandbox_limits(0, 0, true);
	sandbox_paths(allowed, n);
	privileges_drop(&site.conf.worker_user, NULL, site.conf.worker_user.is_set ? 1ULL << CAP_DAC_READ_SEARCH : 0);
	sandbox_seccomp(SANDBOX_FILES);
}

static void
check_paths(char **paths)
{
	for (; *paths != NULL; paths++)
		if (access(*paths, F_OK) != 0)
			trouble(*paths, strerror(errno));
}

static int
import_all(void)
{
	uint64_t total = 0;
	bool ok = true;

	for (size_t i = 0; i < nsources; i++)
		total += sources[i].bytes;
	progress_total(&im.progress, total);
	for (size_t i = 0; i < nsources && ok; i++) {
		int fd = open_nofollow(sources[i].path);

		if (fd < 0) {
			bad_source(sources[i].path, strerror(errno));
			continue;
		}
		ok = import_run(&im, &sources[i], fd);
	}
	progress_end(&im.progress);
	printf("mailboxes %zu messages %llu skipped %llu bad %llu%s\n", nsources, (unsigned long long)im.imported,
	    (unsigned long long)im.skipped, (unsigned long long)im.bad, im.store == NULL ? " (only read)" : "");
	if (!ok) {
		fflush(stdout);
		trouble("stopped", im.stopped);
	}
	return im.bad > 0 ? 1 : 0;
}

int
main(int argc, char **argv)
{
	static struct commitc commit;
	static struct store_host host;
	const char *conf = "/etc/twinspool/spoold.conf", *mailbox = "", *state = NULL;
	bool only_read = false, quiet = false;
	struct store *store;
	char state_path[PATH_MAX];
	int c;

	log_init("spoolimport");
	opterr = 0;
	while ((c = getopt(argc, argv, "+c:m:nqs:t:")) != -1) {
		if (c == 'c')
			conf = optarg;
		else if (c == 'm')
			mailbox = optarg;
		else if (c == 'n')
			only_read = true;
		else if (c == 'q')
			quiet = true;
		else if (c == 's')
			state = optarg;
		else if (c == 't')
			kind_wanted = strcmp(optarg, "mbox") == 0 ? IMPORT_MBOX : strcmp(optarg, "mbx") == 0 ? IMPORT_MBX :
			    strcmp(optarg, "maildir") == 0 ? IMPORT_MAILDIR : IMPORT_UNKNOWN;
		else
			usage();
		if (c == 't' && kind_wanted == IMPORT_UNKNOWN)
			usage();
	}
	if (argc - optind < 2)
		usage();
	user = slice_of(argv[optind++]);
	if (!user_is_valid(user))
		trouble(argv[optind - 1], "not a user's name");
	load_conf(conf);
	check_paths(argv + optind);
	if (!only_read) {
		find_spoold();
		if (state == NULL) {
			snprintf(state_path, sizeof(state_path), "spoolimport.%.*s", (int)user.n, user.p);
			state = state_path;
		}
		open_state(state);
	}
	confine(argv + optind);
	worker_host(&site, false, &commit, &host);
	host.due = NULL;
	if (!only_read && store_open(&host, user, &store) != FOUND)
		trouble(argv[optind - 1], "no spool that can be opened: the user must have had mail or a login");
	im.store = only_read ? NULL : store;
	progress_begin(&im.progress, "bytes", 0, quiet);
	for (char **p = argv + optind; *p != NULL; p++)
		add_path(*p, mailbox, 0);
	if (nsources > 0)
		qsort(sources, nsources, sizeof(sources[0]), by_path);
	return import_all();
}
