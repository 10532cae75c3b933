/*
 * The days process. Its loop waits for committers, operators, the parent and the clock; the only disk
 * work it does itself is opening a day's log and writing its header.
 */
#include "days.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "committer.h"
#include "daylog.h"
#include "helper.h"
#include "index.h"
#include "ipc.h"
#include "log.h"
#include "operator.h"
#include "upkeepmsg.h"

#define DAYS_TICK_S		60	/* the clock may be set: never sleep longer towards the next day */
#define DAYS_RETRY_S		5	/* a log that could not be opened: deliveries wait for it */
#define DAYS_PEERS_MAX		64	/* connections of each kind */
#define DAYS_ACCEPT_PAUSE_S	1

/* A listener and what it is for. */
struct door {
	struct days	*days;
	size_t		 at;	/* in days->doors */
	const uid_t	*uids;
	size_t		 nuids;
	size_t		(*count)(const struct days *);
	void		(*make)(struct days *, int fd);
	const char	*name;
};

static int64_t
clock_now_s(void)
{
	return (int64_t)time(NULL);
}

static void
days_wake_in(struct days *d, int64_t s)
{
	struct timeval tv = {.tv_sec = s > 0 ? s : 1};

	if (d->tick != NULL && evtimer_add(d->tick, &tv) < 0)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "timer"));
}

static int64_t
days_number(const struct days *d)
{
	return day_number_at(d->now_s(), d->settings->rotate_hour, d->settings->rotate_minute);
}

/* When to look at the clock again. */
static void
days_sleep(struct days *d, bool is_all_given)
{
	int64_t now = d->now_s();
	int64_t left = day_next_start(now, d->settings->rotate_hour, d->settings->rotate_minute) - now;

	days_wake_in(d, !is_all_given ? DAYS_RETRY_S : left < DAYS_TICK_S ? left : DAYS_TICK_S);
}

int
days_begin(struct days *d)
{
	if (daylog_newest(d->dir, days_number(d), &d->current) < 0 || daylog_make_day(d->dir, &d->current) < 0) {
		LOG("warn.redundant.open", log_str("why", strerrordesc_np(errno)));
		return -1;
	}
	LOG("redundant.begun", log_str("day", d->current.name));
	d->wants_purge = true;
	days_look(d);
	return 0;
}

/* Checkpoints, purge and compaction are spoold's work, and its log says what came of it. */
static void
order_upkeep(const struct days *d)
{
	struct upkeep_order order = {.what = UPKEEP_ALL};

	if (d->settings->upkeep_socket[0] == '\0')
		return;
	if (upkeep_ask(d->settings->upkeep_socket, &order) == 0)
		LOG0("upkeep.ordered");
	else
		LOG("upkeep.unreachable", log_str("socket", d->settings->upkeep_socket), log_str("why", strerrordesc_np(errno)));
}

int
days_rotate(struct days *d)
{
	int64_t number = days_number(d);
	struct day day, before = d->current;
	bool is_headerless;	/* not of a day just begun */

	/* Never back, whatever the clock says. */
	if (number < before.number)
		number = before.number;
	if (daylog_newest(d->dir, number, &day) < 0) {
		LOG("warn.redundant.open", log_str("why", strerrordesc_np(errno)));
		return -1;
	}
	if (number == before.number && day_compare(&day, &before) < 0)
		day = before;	/* somebody removed it */
	if (number == before.number) {
		if (day.part == DAY_PART_MAX) {
			LOG("warn.redundant.open", log_str("why", "too many parts of a day"));
			return -1;
		}
		day_make(number, day.part + 1, &day);
	}
	if (daylog_make_day(d->dir, &day) < 0) {
		LOG("warn.redundant.open", log_str("day", day.name), log_str("why", strerrordesc_np(errno)));
		return -1;
	}
	d->current = day;
	d->wants_purge = true;
	LOG("redundant.rotated", log_str("day", day.name), log_str("before", before.name));
	order_upkeep(d);
	days_sleep(d, committer_give_all(d, &is_headerless));
	days_look(d);
	return 0;
}

void
days_give(struct days *d)
{
	bool is_headerless, is_all = committer_give_all(d, &is_headerless);

	if (!is_headerless || days_rotate(d) < 0)
		days_sleep(d, is_all);
}

static void
days_tick(evutil_socket_t fd, short what, void *arg)
{
	struct days *d = arg;

	(void)fd;
	(void)what;
	committer_check_late(d);
	for (size_t i = 0; i < 2; i++)
		event_add(d->doors[i], NULL);	/* where one was closed for want of descriptors */
	if (days_number(d) <= d->current.number)
		days_give(d);
	else if (days_rotate(d) < 0)
		days_sleep(d, false);
}

/* ---- helpers ---- */

struct looking {
	bool	is_current;	/* every log has its index */
};

static void
look_at_log(void *arg, int day_dir, const char *partition)
{
	struct looking *l = arg;

	if (!index_is_current(day_dir, partition))
		l->is_current = false;
}

void
days_look(struct days *d)
{
	struct day *days;
	size_t n, kept = 0;

	if (daylog_list(d->dir, &days, &n) < 0) {
		LOG("warn.redundant.index", log_str("why", strerrordesc_np(errno)));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct looking looking = {true};

		if (day_compare(&days[i], &d->current) == 0 || committer_has_open(d, &days[i]))
			continue;
		(void)daylog_each(d->dir, &days[i], ".log", look_at_log, &looking);
		if (!looking.is_current)
			days[kept++] = days[i];
	}
	free(d->todo);
	d->todo = days;
	d->ntodo = kept;
	d->next_todo = 0;
	days_order(d);
}

void
days_order(struct days *d)
{
	struct buf msg = buf_make(ORDERS_MAX_BYTES);
	struct day oldest;

	if (d->is_helped)
		return;
	if (d->wants_purge) {
		committer_oldest(d, &oldest);
		orders_pack_purge(&msg, &d->current, &oldest);
		d->wants_purge = false;
	} else if (d->next_todo < d->ntodo) {
		orders_pack_index(&msg, &d->todo[d->next_todo++]);
	} else {
		return;
	}
	if (ipc_send(d->chan, buf_slice(&msg), NULL, 0) == 0)
		d->is_helped = true;
	else
		LOG("warn.rotated.channel", log_str("why", strerrordesc_np(errno)));
	buf_free(&msg);
}

void
days_told(struct days *d, struct slice msg)
{
	struct unpack u = unpack_make(msg.p, msg.n);
	struct orders_done done;

	switch (unpack_u8(&u)) {
	case ORDERS_ROTATE:
		(void)days_rotate(d);
		break;
	case ORDERS_DONE:
		if (!orders_unpack_done(&u, &done))
			break;
		d->is_helped = false;
		if (done.verb == ORDERS_PURGE && !d->wants_purge)
			operator_purged(d, done.is_good, done.count);
		days_order(d);
		break;
	}
}

/* ---- the loop ---- */

static void
days_chan_readable(evutil_socket_t fd, short what, void *arg)
{
	struct days *d = arg;
	char msg[ORDERS_MAX_BYTES];
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);

	(void)what;
	if (n > 0) {
		ipc_close_fds(fds, nfds);
		days_told(d, (struct slice){msg, (size_t)n});
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		/* The parent has a new generation: committers reconnect to that. */
		event_base_loopbreak(d->base);
	}
}

static void
days_term(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static void
door_open(evutil_socket_t listener, short what, void *arg)
{
	struct door *door = arg;
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		LOG("warn.rotated.accept", log_str("socket", door->name), log_str("why", strerrordesc_np(errno)));
		event_del(door->days->doors[door->at]);
		days_wake_in(door->days, DAYS_ACCEPT_PAUSE_S);
		return;
	}
	if (!ipc_peer_is(fd, door->uids, door->nuids) || door->count(door->days) >= DAYS_PEERS_MAX) {
		(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
		LOG("warn.rotated.refused", log_str("socket", door->name), log_u64("uid", peer.uid));
		close(fd);
		return;
	}
	door->make(door->days, fd);
}

static void
door_listen(struct door *door, int fd)
{
	struct event *ev = event_new(door->days->base, fd, EV_READ | EV_PERSIST, door_open, door);

	door->days->doors[door->at] = ev;
	if (ev == NULL || event_add(ev, NULL) < 0)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "listener"));
}

static void
days_loop(struct days *d, const struct days_start *start)
{
	const struct settings *s = d->settings;
	struct door redundant = {
		.days = d, .uids = s->redundant_uids, .nuids = s->nredundant_uids, .count = committer_count,
		.make = committer_make, .name = "redundant",
	};
	struct door control = {
		.days = d, .at = 1, .uids = s->control_uids, .nuids = s->ncontrol_uids, .count = operator_count,
		.make = operator_make, .name = "control",
	};
	struct event *chan = event_new(d->base, d->chan, EV_READ | EV_PERSIST, days_chan_readable, d);
	struct event *term = evsignal_new(d->base, SIGTERM, days_term, d->base);

	d->tick = evtimer_new(d->base, days_tick, d);
	if (chan == NULL || term == NULL || d->tick == NULL || event_add(chan, NULL) < 0 || event_add(term, NULL) < 0)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "loop"));
	if (days_begin(d) < 0)
		DIE(EXIT_TEMP, "fatal.redundant", log_str("dir", s->redundant_dir));
	days_sleep(d, true);
	door_listen(&redundant, start->redundant_fd);
	door_listen(&control, start->control_fd);
	event_base_dispatch(d->base);
	event_free(d->doors[0]);
	event_free(d->doors[1]);
	event_free(d->tick);
	event_free(chan);
	event_free(term);
}

_Noreturn void
days_run(const struct days_start *start, int chan)
{
	struct days d = {.settings = start->settings, .chan = chan, .now_s = clock_now_s};

	d.dir = helper_enter(d.settings);
	if ((d.base = event_base_new()) == NULL)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "base"));
	days_loop(&d, start);
	committer_free_all(&d);
	operator_free_all(&d);
	_exit(0);
}
