/*
 * The parent's children: started here, restarted by lib/parent. A session worker is started when its
 * lot asks, and ends when the lot closes the socketpair between them. The parent believes a lot
 * only so far that it gives it workers_max.
 */
#include "children.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commit.h"
#include "deliver.h"
#include "ipc.h"
#include "log.h"
#include "lot.h"
#include "mime/mime.h"
#include "upkeep.h"
#include "worker.h"

#define DELIVER_MAX	64	/* as in the table of keys */
#define KEEP_MAX	(3 * PARTITIONS_MAX + 2 * LOTS_MAX + 8)

struct lot_child {
	struct lot_arg	 arg;		/* first: it is the child's */
	struct child	*child;
	size_t		 nworkers;
};

struct worker_child {
	struct worker_arg arg;		/* first: it is the child's */
	struct lot_child *lot;
	bool		  is_open;	/* arg.fd is still the parent's, too: it was not forked yet */
};

static struct {
	struct parent		*parent;
	struct site		*site;
	struct child		*commit;
	struct child		*deliver[DELIVER_MAX];
	struct child		*upkeep;
	struct lot_child	 lots[LOTS_MAX];
} family;

struct keep {
	int	fds[KEEP_MAX];
	size_t	n;
};

static void
keep_add(struct keep *k, int fd)
{
	if (k->n == KEEP_MAX)
		abort();
	k->fds[k->n++] = fd;
}

/* Every process keeps the locks: as long as one lives no other spoold begins. */
static struct keep
keep_locks(const struct site *s)
{
	struct keep k = {.n = 0};

	for (size_t i = 0; i < s->npartitions; i++)
		if (s->lock_fds[i] >= 0)
			keep_add(&k, s->lock_fds[i]);
	return k;
}

static void
keep_notify(struct keep *k, const struct site *s)
{
	for (size_t i = 0; i < s->notify.nlots; i++)
		keep_add(k, s->notify.send_fds[i]);
}

/* ---- session workers ---- */

static void
worker_ended(struct child *c, void *arg)
{
	struct worker_child *w = arg;

	(void)c;
	w->lot->nworkers--;
	if (w->is_open)
		close(w->arg.fd);
	free(w);
}

/* Starts a worker; the lot's end of the socketpair, or -1. */
static int
worker_start(struct lot_child *lot)
{
	struct child_spec spec = {.name = "spoold/worker", .run = worker_run, .once = true, .ended = worker_ended};
	struct keep k = keep_locks(family.site);
	struct worker_child *w;
	int pair[2];

	if (lot->nworkers >= family.site->conf.workers_max || ipc_pair(SOCK_SEQPACKET, pair) != 0)
		return -1;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*w)));
	w->arg = (struct worker_arg){.site = family.site, .fd = pair[1]};
	w->lot = lot;
	lot->nworkers++;
	keep_notify(&k, family.site);
	keep_add(&k, family.site->due_send_fd);
	keep_add(&k, pair[1]);
	spec.arg = w;
	spec.keep = k.fds;
	spec.nkeep = k.n;
	/* Where the fork failed it is tried again later: the descriptor must still be there then. */
	w->is_open = child_pid(parent_spawn(family.parent, &spec)) < 0;
	if (!w->is_open)
		close(pair[1]);
	return pair[0];
}

static void
lot_verb(struct child *c, void *arg, struct slice msg, int *fds, size_t nfds)
{
	unsigned char verb = LOT_WORKER;
	int fd;

	ipc_close_fds(fds, nfds);
	if (msg.n != 1 || msg.p[0] != LOT_WANT_WORKER) {
		LOG("warn.child.verb", log_str("name", "spoold/lot"));
		return;
	}
	fd = worker_start(arg);
	if (child_chan(c) >= 0 && ipc_send(child_chan(c), (struct slice){(char *)&verb, 1}, &fd, fd >= 0 ? 1 : 0) != 0)
		LOG("warn.child.send", log_str("name", "spoold/lot"), log_str("why", strerrordesc_np(errno)));
	if (fd >= 0)
		close(fd);
}

static void
lot_start(struct lot_child *lot, size_t index)
{
	struct child_spec spec = {.name = "spoold/lot", .run = lot_run, .arg = lot, .verb = lot_verb};
	struct keep k = keep_locks(family.site);

	lot->arg = (struct lot_arg){.site = family.site, .index = index};
	keep_add(&k, family.site->session_fd);
	keep_add(&k, family.site->notify.recv_fds[index]);
	spec.keep = k.fds;
	spec.nkeep = k.n;
	lot->child = parent_spawn(family.parent, &spec);
}

/* ---- the committer ---- */

static void
tell(struct child *c, unsigned char verb)
{
	if (child_chan(c) >= 0 && ipc_send(child_chan(c), (struct slice){(char *)&verb, 1}, NULL, 0) != 0)
		LOG("warn.child.send", log_u64("verb", verb), log_str("why", strerrordesc_np(errno)));
}

/*
 * A sync failed: what the disk holds is not known. In the next epoch every log is scanned before it
 * is appended to. Processes of the old one finish what they have and are replaced.
 */
static void
commit_verb(struct child *c, void *arg, struct slice msg, int *fds, size_t nfds)
{
	(void)arg;
	ipc_close_fds(fds, nfds);
	if (msg.n != 1 || msg.p[0] != COMMIT_CHAN_FAILED) {
		LOG("warn.child.verb", log_str("name", "spoold/commit"));
		return;
	}
	site_raise_epoch(family.site, family.parent);
	tell(c, COMMIT_CHAN_FAILED);
	for (size_t i = 0; i < family.site->conf.lots; i++)
		tell(family.lots[i].child, LOT_RENEW);
	for (size_t i = 0; i < family.site->conf.deliver_workers; i++)
		child_stop(family.deliver[i]);
	child_stop(family.upkeep);
}

static void
commit_start(void)
{
	struct child_spec spec = {.name = "spoold/commit", .run = commit_run, .arg = family.site, .verb = commit_verb};
	struct keep k = keep_locks(family.site);

	keep_notify(&k, family.site);
	keep_add(&k, family.site->commit_fd);
	for (size_t i = 0; i < family.site->nvolumes; i++)
		if (family.site->volumes[i].fd >= 0)
			keep_add(&k, family.site->volumes[i].fd);
	spec.keep = k.fds;
	spec.nkeep = k.n;
	family.commit = parent_spawn(family.parent, &spec);
}

static void
deliver_start(size_t i)
{
	struct child_spec spec = {.name = "spoold/deliver", .run = deliver_run, .arg = family.site};
	struct keep k = keep_locks(family.site);

	keep_add(&k, family.site->deliver_fd);
	keep_add(&k, family.site->due_send_fd);
	spec.keep = k.fds;
	spec.nkeep = k.n;
	family.deliver[i] = parent_spawn(family.parent, &spec);
}

static void
upkeep_start(void)
{
	struct child_spec spec = {.name = "spoold/upkeep", .run = upkeep_run, .arg = family.site};
	struct keep k = keep_locks(family.site);

	keep_add(&k, family.site->upkeep_fd);
	keep_add(&k, family.site->due_recv_fd);
	spec.keep = k.fds;
	spec.nkeep = k.n;
	family.upkeep = parent_spawn(family.parent, &spec);
}

void
children_start(struct parent *p, struct site *site)
{
	family.parent = p;
	family.site = site;
	/* Before any worker is born and confined: they all share the tables. */
	mime_charset_preload();
	commit_start();
	for (size_t i = 0; i < site->conf.lots; i++)
		lot_start(&family.lots[i], i);
	for (size_t i = 0; i < site->conf.deliver_workers; i++)
		deliver_start(i);
	upkeep_start();
}
