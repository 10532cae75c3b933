/*
 * Upkeep. Blocking code: an order is worked off before the next is looked at; between two pieces of work it
 * is seen whether to stop.
 *
 * EOF on the channel (the next generation has its own) or SIGTERM: stops at the next piece, for whatever
 * is half done is begun again another time.
 */
#include "upkeep.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "parent.h"
#include "upkeepmsg.h"
#include "worker.h"

#define UPKEEP_NICE		10	/* deliveries and sessions come first */
#define ORDER_WAIT_MS		10000	/* for the order of who connected */
#define PROGRESS_MS		200

struct upkeep {
	const struct site	*site;
	struct store_host	 host;
	struct commitc		 commit;
	struct store_pace	 pace;
	int			 chan;
	char			*due[UPKEEP_DUE_MAX];	/* owned names */
	size_t			 ndue;
	/* the order at hand */
	struct upkeep_order	 order;
	struct upkeep_end	 end;
	int			 client;	/* -1: nobody waits for the answer */
	uint64_t		 total;
	int64_t			 told_ms;
};

void
upkeep_due(void *arg, struct slice user)
{
	const struct site *site = arg;

	(void)!send(site->due_send_fd, user.p, user.n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool
is_over(const struct upkeep *u)
{
	struct pollfd p = {.fd = u->chan, .events = POLLIN};

	return child_term || poll(&p, 1, 0) > 0;
}

static bool
on_step(void *arg, uint64_t done, uint64_t total)
{
	(void)done;
	(void)total;
	return !is_over(arg);
}

static void
tell(struct upkeep *u, struct buf *b)
{
	if (u->client >= 0 && ipc_send(u->client, buf_slice(b), NULL, 0) != 0 && errno != EAGAIN) {
		close(u->client);
		u->client = -1;
	}
	buf_free(b);
}

static void
tell_progress(struct upkeep *u, struct slice user)
{
	struct upkeep_progress p = {.done = u->end.users, .total = u->total > u->end.users ? u->total : u->end.users, .user = user};
	struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);

	if (mono_ms() - u->told_ms < PROGRESS_MS) {
		buf_free(&b);
		return;
	}
	u->told_ms = mono_ms();
	upkeep_pack_progress(&b, &p);
	tell(u, &b);
}

/* ---- one user ---- */

static enum store_result
work_on(struct upkeep *u, struct store *s)
{
	int64_t keep_ms = (int64_t)u->site->conf.expunge_keep_s * 1000;
	struct store_compacted c;
	enum store_result r = STORE_OK;
	uint64_t n;

	if (u->order.what & UPKEEP_PURGE) {
		r = store_purge(s, now_ms() - keep_ms, &n);
		if (r == STORE_OK)
			u->end.purged += n;
	}
	if (r == STORE_OK && (u->order.what & UPKEEP_CHECKPOINT))
		r = store_checkpoint(s, &u->pace, u->order.is_forced);
	if (r == STORE_OK && (u->order.what & UPKEEP_COMPACT)) {
		r = store_compact(s, &u->pace, u->order.is_forced ? 0 : (unsigned)u->site->conf.compact_waste, &c);
		u->end.segments += c.segments;
		u->end.damaged += c.damaged;
		u->end.before_bytes += c.before_bytes;
		u->end.after_bytes += c.after_bytes;
	}
	return r;
}

/* ---- checkpoints that are due ---- */

static void
due_add(struct upkeep *u, struct slice user)
{
	if (!user_is_valid(user) || u->ndue == UPKEEP_DUE_MAX)
		return;
	for (size_t i = 0; i < u->ndue; i++)
		if (slice_is(slice_of(u->due[i]), user))
			return;
	if ((u->due[u->ndue] = strndup(user.p, user.n)) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", user.n));
	u->ndue++;
}

static void
take_due(struct upkeep *u)
{
	char name[USER_MAX_BYTES + 1];
	ssize_t n;

	while ((n = recv(u->site->due_recv_fd, name, sizeof(name), MSG_DONTWAIT)) > 0)
		due_add(u, (struct slice){name, (size_t)n});
}

static void
work_off_due(struct upkeep *u)
{
	for (size_t i = 0; i < u->ndue; i++) {
		struct store *s;

		if (!is_over(u) && store_open(&u->host, slice_of(u->due[i]), &s) == FOUND) {
			(void)store_checkpoint(s, &u->pace, false);
			store_close(s);
			store_drop_cached();
		}
		free(u->due[i]);
	}
	u->ndue = 0;
}

/* ---- users ---- */

static bool
on_user(void *arg, struct slice user)
{
	struct upkeep *u = arg;
	enum store_result r = STORE_TEMP;
	struct store *s;

	if (is_over(u)) {
		u->end.is_cut = true;
		return false;
	}
	tell_progress(u, user);
	if (store_open(&u->host, user, &s) == FOUND) {
		r = work_on(u, s);
		store_close(s);
	}
	u->end.users++;
	/* What was cut short is not a fault. */
	if (r != STORE_OK && is_over(u))
		u->end.is_cut = true;
	else if (r != STORE_OK) {
		u->end.failed++;
		LOG("upkeep.failed", log_slice("user", user), log_str("why", r == STORE_FULL ? "full" : "see the lines before"));
	}
	store_drop_cached();	/* the next one is another's */
	/* An order for all users takes hours: sessions do not wait so long for their checkpoints. */
	take_due(u);
	work_off_due(u);
	return !u->end.is_cut;
}

static bool
on_count(void *arg, struct slice user)
{
	(void)user;
	((struct upkeep *)arg)->total++;
	return true;
}

/* ---- orders ---- */

static void
work_on_all(struct upkeep *u)
{
	for (size_t i = 0; i < u->site->npartitions; i++)
		(void)store_each_user(&u->host, u->site->partitions[i], on_count, u);
	for (size_t i = 0; i < u->site->npartitions && !u->end.is_cut; i++)
		if (store_each_user(&u->host, u->site->partitions[i], on_user, u) != 0) {
			u->end.failed++;
			LOG("upkeep.failed", log_str("partition", u->site->partitions[i]), log_str("why", strerrordesc_np(errno)));
		}
}

static void
work_off(struct upkeep *u)
{
	struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);
	int64_t began = mono_ms();
	const char *partition;

	u->end = (struct upkeep_end){0};
	u->total = 0;
	u->told_ms = 0;
	if (u->order.user.n == 0)
		work_on_all(u);
	else if (store_exists(&u->host, u->order.user, &partition) == FOUND) {
		u->total = 1;
		(void)on_user(u, u->order.user);
	} else
		u->end.failed++;
	LOG("upkeep.done", log_u64("what", u->order.what), log_slice("user", u->order.user), log_u64("users", u->end.users),
	    log_u64("failed", u->end.failed), log_u64("purged", u->end.purged), log_u64("segments", u->end.segments),
	    log_u64("damaged", u->end.damaged), log_u64("freed_bytes", u->end.before_bytes - u->end.after_bytes),
	    log_u64("cut", u->end.is_cut), log_i64("ms", mono_ms() - began));
	upkeep_pack_end(&b, &u->end);
	tell(u, &b);
}

static void
take_order(struct upkeep *u)
{
	char msg[UPKEEP_MSG_MAX_BYTES];
	int fds[IPC_FDS_MAX], fd = accept4(u->site->upkeep_fd, NULL, NULL, SOCK_CLOEXEC);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct unpack unpack;
	size_t nfds;
	ssize_t n;

	if (fd < 0)
		return;
	if (!ipc_peer_is(fd, u->site->upkeep_uids, u->site->nupkeep_uids)) {
		LOG("warn.peer.refused", log_str("socket", "upkeep"));
		close(fd);
		return;
	}
	n = poll(&p, 1, ORDER_WAIT_MS) == 1 ? ipc_recv(fd, msg, sizeof(msg), fds, &nfds) : 0;
	if (n > 0)
		ipc_close_fds(fds, nfds);
	unpack = unpack_make(msg, n > 0 ? (size_t)n : 0);
	if (n <= 0 || unpack_u8(&unpack) != UPKEEP_ORDER || !upkeep_unpack_order(&unpack, &u->order)) {
		LOG("warn.upkeep.bad", log_i64("bytes", n));
		close(fd);
		return;
	}
	u->client = fd;
	(void)fd_nonblock(fd);
	work_off(u);
	if (u->client >= 0)
		close(u->client);
	u->client = -1;
}

void
upkeep_run(void *arg, int chan)
{
	static struct upkeep upkeep;
	struct upkeep *u = &upkeep;

	u->site = arg;
	u->chan = chan;
	u->client = -1;
	(void)setpriority(PRIO_PROCESS, 0, UPKEEP_NICE);
	worker_confine(u->site, true);
	worker_host(u->site, false, &u->commit, &u->host);
	u->host.due = NULL;	/* it is we who make them */
	u->pace = (struct store_pace){.rate_bytes = u->site->conf.upkeep_rate, .step = on_step, .arg = u};
	while (!is_over(u)) {
		struct pollfd p[] = {{.fd = u->chan, .events = POLLIN}, {.fd = u->site->due_recv_fd, .events = POLLIN},
		    {.fd = u->site->upkeep_fd, .events = POLLIN}};

		if (poll(p, 3, -1) < 0)
			continue;
		if (p[1].revents != 0) {
			take_due(u);
			work_off_due(u);
		}
		if (p[2].revents != 0)
			take_order(u);
	}
	_exit(0);
}
