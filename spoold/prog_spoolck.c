/*
 * spoolck: verify, rebuild and show the spools of users, accept what they lost. Run beside spoold as a guest, or while it is stopped
 * with the partition's lock, which spoold holds as long as one of its processes lives.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ck/ck.h"
#include "log.h"
#include "sandbox.h"
#include "settings.h"
#include "site.h"
#include "worker.h"

enum { EXIT_DAMAGE = 1, EXIT_LOSS = 2 };

struct job {
	struct ck	 ck;
	struct site	 site;		/* configuration alone */
	const char	*names[PARTITIONS_MAX + 1];
	bool		(*work)(struct ck *, struct slice user);
	uint32_t	 epochs[PARTITIONS_MAX];
	int		 locks[PARTITIONS_MAX];	/* -1: spoold has it */
	bool		 is_begun[PARTITIONS_MAX];
	uint64_t	 total;
};

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: spoolck [-lqr] [-c file] verify | rebuild | show -a | -p partition | user ...\n"
	    "       spoolck [-c file] accept user ...\n");
	exit(EXIT_CONF);
}

static _Noreturn void
trouble(const char *what, const char *why)
{
	fprintf(stderr, "spoolck: %s: %s\n", what, why);
	exit(EXIT_TEMP);
}

/* ---- partitions ---- */

/*
 * Whoever verifies needs no lock: readers never do. To rebuild while spoold is stopped is to do what its start
 * does: with the lock, in a new epoch where the last stop was not orderly.
 */
static void
partition_enter(struct job *j, size_t i, bool writes)
{
	const char *active = j->site.conf.active_dir;
	char path[4096];

	j->locks[i] = -1;
	snprintf(path, sizeof(path), "%s/%s/lock", active, j->names[i]);
	if (writes) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			trouble(path, strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
			j->locks[i] = fd;
			if (epoch_begin(active, j->names[i], false, &j->epochs[i]) != 0)
				trouble(path, "the epoch cannot be begun");
			j->is_begun[i] = true;
			return;
		}
		close(fd);
	}
	if (!epoch_read(active, j->names[i], &j->epochs[i]))
		trouble(path, "the partition's epoch cannot be read: spoold has never run here");
}

static void
partition_leave(struct job *j, size_t i)
{
	if (j->is_begun[i] && epoch_end(j->site.conf.active_dir, j->names[i]) != 0)
		fprintf(stderr, "spoolck: %s: not synced; the next start raises the epoch\n", j->names[i]);
	if (j->locks[i] >= 0)
		close(j->locks[i]);
}

/* ---- users ---- */

static bool
on_count(void *arg, struct slice user)
{
	struct job *j = arg;

	j->total += ck_log_bytes(&j->ck, user);
	return true;
}

static bool
on_user(void *arg, struct slice user)
{
	struct job *j = arg;
	const char *partition;

	if (store_exists(&j->ck.host, user, &partition) == FOUND)
		for (size_t i = 0; j->names[i] != NULL; i++)
			if (strcmp(j->names[i], partition) == 0)
				j->ck.host.epoch = j->epochs[i];
	(void)j->work(&j->ck, user);
	progress_step(&j->ck.progress, j->ck.done_bytes, "");
	return true;
}

static void
each_user(struct job *j, const char *only, bool (*fn)(void *, struct slice))
{
	for (size_t i = 0; j->names[i] != NULL; i++) {
		if (only != NULL && strcmp(only, j->names[i]) != 0)
			continue;
		if (store_each_user(&j->ck.host, j->names[i], fn, j) != 0) {
			fprintf(stderr, "spoolck: %s: %s\n", j->names[i], strerror(errno));
			j->ck.failed++;
		}
	}
}

static void
each_named(struct job *j, char **users, bool (*fn)(void *, struct slice))
{
	for (; *users != NULL; users++) {
		struct slice user = slice_of(*users);

		if (!user_is_valid(user)) {
			fprintf(stderr, "spoolck: %s: not a user's name\n", *users);
			j->ck.failed++;
		} else
			(void)fn(j, user);
	}
}

/* ---- the start ---- */

static void
prepare(struct job *j, const char *conf_path, const char *only)
{
	struct spoold_conf *c = &j->site.conf;
	bool known = only == NULL;

	conf_load(spoold_keys, spoold_nkeys, conf_path, c);
	spoold_conf_finish(c);
	for (size_t i = 0; i < c->partitions.n; i++) {
		j->names[i] = c->partitions.v[i];
		known = known || strcmp(only, j->names[i]) == 0;
	}
	if (!known)
		trouble(only, "no partition of that name");
	j->ck.host = (struct store_host){.active_dir = c->active_dir, .index_dir = c->index_dir, .partition = j->names[0],
	    .partitions = j->names, .segment_max_bytes = c->segment_max_bytes, .map_bytes = c->map_bytes,
	    .reserve_bytes = c->reserve_bytes, .dup_window_ms = (int64_t)c->dup_window_s * 1000};
}

/* What is read from here on may be hostile: as a worker, and no more than one. */
static void
confine(struct job *j)
{
	const struct spoold_conf *c = &j->site.conf;

	worker_confine(&j->site, false);
	snprintf(j->ck.dir, sizeof(j->ck.dir), "%s/%s/~ck.%d", c->index_dir, j->names[0], (int)getpid());
	if (mkdir(j->ck.dir, 0700) != 0)
		trouble(j->ck.dir, strerror(errno));
}

struct args {
	char	**users;
	const char *only;	/* partition */
	bool	 all, quiet;
};

static int
work_on_all(struct job *j, const struct args *a)
{
	if (j->work == ck_verify) {
		if (a->all)
			each_user(j, a->only, on_count);
		else
			each_named(j, a->users, on_count);
		j->ck.failed = 0;	/* counted again below */
	}
	progress_begin(&j->ck.progress, "bytes", j->total, a->quiet || j->work != ck_verify);
	if (a->all)
		each_user(j, a->only, on_user);
	else
		each_named(j, a->users, on_user);
	progress_end(&j->ck.progress);
	rmdir(j->ck.dir);
	if (j->work != ck_show)
		printf("users %llu findings %llu failed %llu\n", (unsigned long long)j->ck.users, (unsigned long long)j->ck.findings,
		    (unsigned long long)j->ck.failed);
	if (fflush(stdout) != 0)
		return EXIT_TEMP;
	if (j->ck.failed > 0)
		return j->work == ck_rebuild || j->work == ck_accept ? EXIT_LOSS : EXIT_TEMP;
	return j->ck.findings > 0 ? EXIT_DAMAGE : 0;
}

/*
 * The work is done by a child, which keeps nothing of root: what it reads may be hostile. Only who stays behind
 * can write the epoch of an orderly stop.
 */
static int
run(struct job *j, const struct args *a)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		trouble("fork", strerror(errno));
	if (pid == 0) {
		confine(j);
		_exit(work_on_all(j, a));
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			trouble("waitpid", strerror(errno));
	for (size_t i = 0; j->names[i] != NULL; i++)
		partition_leave(j, i);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "spoolck: ended by signal %d: an index may be damaged; rebuild it\n", WTERMSIG(status));
	return EXIT_TEMP;
}

int
main(int argc, char **argv)
{
	static struct job job;
	struct job *j = &job;
	const char *conf = "/etc/twinspool/spoold.conf";
	bool no_checkpoint = false;
	struct args a = {0};
	const char *verb;
	int c;

	log_init("spoolck");
	opterr = 0;
	while ((c = getopt(argc, argv, "+c:lqr")) != -1) {
		if (c == 'c')
			conf = optarg;
		else if (c == 'l')
			no_checkpoint = true;
		else if (c == 'q')
			a.quiet = true;
		else if (c == 'r')
			j->ck.records = true;
		else
			usage();
	}
	if (argc - optind < 2)
		usage();
	verb = argv[optind++];
	j->work = strcmp(verb, "rebuild") == 0 ? ck_rebuild : strcmp(verb, "verify") == 0 ? ck_verify :
	    strcmp(verb, "show") == 0 ? ck_show : strcmp(verb, "accept") == 0 ? ck_accept : NULL;
	a.users = argv + optind;
	a.all = strcmp(argv[optind], "-a") == 0 || strcmp(argv[optind], "-p") == 0;
	if (a.all && argv[optind][1] == 'p')
		a.only = argv[optind + 1];
	/* A loss is accepted for somebody, never for all at once. */
	if (j->work == NULL || (a.all && j->work == ck_accept) || (a.all && argc - optind != (argv[optind][1] == 'p' ? 2 : 1)))
		usage();
	prepare(j, conf, a.only);
	j->ck.host.no_checkpoint = no_checkpoint;
	for (size_t i = 0; j->names[i] != NULL; i++)
		partition_enter(j, i, j->work == ck_rebuild || j->work == ck_accept);
	return run(j, &a);
}
