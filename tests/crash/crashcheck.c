/*
 * The crash explorer. Reads what crashfs wrote down of a run of the real daemons and builds, for every point
 * of it, the states that a loss of power there could have left on the disk; recovers each with the engine's own
 * code and compares it with what clients had been told by then.
 *
 * What a cut keeps: all that a sync covered that had ended. Of the rest any part: no data, all of it, all but one
 * write, random subsets; the last write torn at 512 or 4096 bytes at either side; sizes that grew over zeros. Names
 * (create, rename, remove): a journalling file system commits them in order, so any beginning of their sequence,
 * and a sync of anything commits those before it; with "weak" a directory's names are only as sure as a sync of
 * that directory (of what was made after the first mark). Left out: damage to what was synced, and writes of one call torn in more than two pieces.
 *
 *   crashcheck [-n most] [-s seed] [-r random states a point] [-o op:recipe] [-w] [-v] LOG WORKDIR
 *
 * -o builds one state again and leaves it in WORKDIR. Exit status 1: there were violations.
 */
#include "crashcheck.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define WORKERS		2
#define SEEN_BITS	22
#define STATE_TIMEOUT_S	60

/* ---- the log ---- */

struct op	**ops;
uint64_t	 nops, seed;
static bool	 verbose;

static void
read_log(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *all;
	size_t at = 0;

	if (fd < 0 || fstat(fd, &st) != 0 || (all = malloc((size_t)st.st_size + 1)) == NULL)
		err(1, "%s", path);
	for (ssize_t n; at < (size_t)st.st_size; at += (size_t)n)
		if ((n = read(fd, all + at, (size_t)st.st_size - at)) <= 0)
			err(1, "%s", path);
	close(fd);
	for (at = 0; at + sizeof(struct op) <= (size_t)st.st_size; nops++) {
		struct op *o = malloc(sizeof(*o) + ((const struct op *)(void *)(all + at))->nname +
		    ((const struct op *)(void *)(all + at))->nname2 + ((const struct op *)(void *)(all + at))->ndata);
		struct op head;
		size_t n;

		memcpy(&head, all + at, sizeof(head));
		n = sizeof(head) + head.nname + head.nname2 + head.ndata;
		memcpy(o, all + at, n);
		at += n;
		if (nops % 4096 == 0 && (ops = realloc(ops, (nops + 4096) * sizeof(*ops))) == NULL)
			err(1, "memory");
		ops[nops] = o;
	}
	free(all);
}

/* ---- the exploration ---- */

struct totals {
	uint64_t	built, distinct, violations, twice;
};

static unsigned char *seen;

static bool
is_new(uint64_t h)
{
	uint64_t a = h & ((1ULL << (SEEN_BITS + 3)) - 1), b = (h >> 32) & ((1ULL << (SEEN_BITS + 3)) - 1);
	bool was = (seen[a >> 3] >> (a & 7) & 1) && (seen[b >> 3] >> (b & 7) & 1);

	seen[a >> 3] |= (unsigned char)(1 << (a & 7));
	seen[b >> 3] |= (unsigned char)(1 << (b & 7));
	return !was;
}

static bool
check_state(uint64_t at, uint32_t recipe, const char *dir, bool twice)
{
	char path[300];
	int status;
	pid_t pid;

	remove_all(dir);
	if (mkdir(dir, 0700) != 0)
		err(1, "%s", dir);
	state_write(dir);
	snprintf(path, sizeof(path), "%s.index", dir);
	remove_all(path);
	if ((pid = fork()) == 0) {
		alarm(STATE_TIMEOUT_S);
		recover(at, dir, twice);
	}
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	printf("  at op %lu recipe %u (crashcheck -o %lu:%u): %s %d\n", at, recipe, at, recipe,
	    WIFEXITED(status) ? "status" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	fflush(stdout);
	return false;
}

/* What could make another state: all but marks. */
static bool
is_point(uint64_t at)
{
	return ops[at]->type != OP_MARK || (at > 0 && ops[at - 1]->type != OP_MARK);
}

static void
explore(unsigned worker, uint64_t every, uint32_t recipes, const char *workdir, struct totals *out)
{
	char dir[256];

	snprintf(dir, sizeof(dir), "%s/state%u", workdir, worker);
	for (uint64_t at = 0; at < nops; at++) {
		disk_step(at);
		marks_step(at);
		if (!is_point(at))
			continue;
		for (uint32_t recipe = 0; recipe < recipes; recipe++) {
			uint64_t h;

			if (every > 1 && hash(seed, &(uint64_t){at * 64 + recipe}, 8) % every != 0)
				continue;
			state_build(at, recipe);
			h = state_hash();
			if (h % WORKERS != worker)
				continue;
			out->built++;
			/* Marks said since make another question of the same disk. */
			if (!is_new(h ^ (uint64_t)marks_until(at) * 0x9e3779b97f4a7c15ULL))
				continue;
			out->distinct++;
			out->twice += out->distinct % 8 == 0;
			if (!check_state(at, recipe, dir, out->distinct % 8 == 0) && ++out->violations >= 10)
				return;
		}
	}
}

static void
quiet(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (!verbose)
		dup2(null, STDERR_FILENO);
	log_init("crash");
}

static int
one_state(const char *spec, const char *workdir)
{
	uint64_t at;
	uint32_t recipe;
	char dir[256];

	if (sscanf(spec, "%lu:%u", &at, &recipe) != 2 || at >= nops)
		errx(100, "not op:recipe");
	for (uint64_t i = 0; i <= at; i++) {
		disk_step(i);
		marks_step(i);
	}
	state_build(at, recipe);
	(void)state_hash();
	snprintf(dir, sizeof(dir), "%s/one", workdir);
	return check_state(at, recipe, dir, true) ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct totals total = {0};
	const char *one = NULL;
	uint64_t most = 0, per_worker;
	uint32_t randoms = 4;
	int c, pipes[WORKERS][2], bad = 0;
	int64_t began = mono_ms();

	seed = 1;
	while ((c = getopt(argc, argv, "n:s:r:o:wv")) != -1) {
		switch (c) {
		case 'n':
			most = strtoul(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			randoms = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'o':
			one = optarg;
			break;
		case 'w':
			is_weak = true;
			break;
		case 'v':
			verbose = true;
			break;
		default:
			errx(100, "usage: crashcheck [-n most] [-s seed] [-r randoms] [-o op:recipe] [-w] [-v] LOG WORKDIR");
		}
	}
	if (argc - optind != 2)
		errx(100, "usage: crashcheck [-n most] [-s seed] [-r randoms] [-o op:recipe] [-w] [-v] LOG WORKDIR");
	read_log(argv[optind]);
	marks_read();
	set_up = marks_first();
	quiet();
	if (one != NULL)
		return one_state(one, argv[optind + 1]);
	per_worker = most == 0 ? 1 : nops * (RECIPES_FIXED + randoms) / most + 1;
	for (unsigned w = 0; w < WORKERS; w++) {
		if (pipe(pipes[w]) != 0)
			err(1, "pipe");
		if (fork() == 0) {
			if ((seen = calloc(1, 1 << SEEN_BITS)) == NULL)
				err(1, "memory");
			explore(w, per_worker, RECIPES_FIXED + randoms, argv[optind + 1], &total);
			if (write(pipes[w][1], &total, sizeof(total)) != sizeof(total))
				_exit(1);
			_exit(0);
		}
		close(pipes[w][1]);
	}
	for (unsigned w = 0; w < WORKERS; w++) {
		struct totals t = {0};
		int status;

		if (read(pipes[w][0], &t, sizeof(t)) != sizeof(t))
			bad = 1;
		wait(&status);
		total.built += t.built;
		total.distinct += t.distinct;
		total.twice += t.twice;
		total.violations += t.violations;
	}
	printf("%lu operations, %zu marks, seed %lu, names %s: %lu states built, %lu distinct checked, %lu of them cut twice, "
	    "%lu violations, %ld s\n", nops, marks_until(nops), seed, is_weak ? "weak" : "journalled", total.built, total.distinct, total.twice,
	    total.violations, (long)(mono_ms() - began) / 1000);
	return bad || total.violations > 0;
}
