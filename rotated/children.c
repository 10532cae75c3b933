/*
 * rotated's parent. Makes the directories, opens both sockets, starts the days process; starts a
 * helper on its order and tells it when that has ended. Passes SIGUSR1 on as an order to rotate.
 */
#include "children.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "days.h"
#include "helper.h"
#include "ipc.h"
#include "log.h"
#include "parent.h"

#define CHILDREN_STOP_MS	10000	/* the days process ends at once; a helper's work is begun again */
#define CHILDREN_SOCKET_MODE	0666	/* who may speak is decided by SO_PEERCRED */

struct children {
	const struct settings	*settings;
	struct parent		*parent;
	struct child		*days;
	struct days_start	 start;
	struct child		*helper;	/* NULL: none runs */
	struct helper_job	 job;
	struct orders_done	 done;		/* of the helper, as it said itself */
	struct helper_job	 next;		/* asked for while one runs */
	bool			 has_next;
};

static void	helper_start(struct children *, const struct helper_job *);

static void
tell_days(struct children *c, struct buf *msg)
{
	/* A days process that is down asks again when it is up. */
	if (child_chan(c->days) >= 0 && ipc_send(child_chan(c->days), buf_slice(msg), NULL, 0) < 0)
		LOG("warn.rotated.channel", log_str("why", strerrordesc_np(errno)));
	buf_free(msg);
}

static void
on_usr1(void *arg)
{
	struct buf msg = buf_make(ORDERS_MAX_BYTES);

	orders_pack_rotate(&msg);
	tell_days(arg, &msg);
}

static void
helper_said(struct child *child, void *arg, struct slice msg, int *fds, size_t nfds)
{
	struct unpack u = unpack_make(msg.p, msg.n);
	struct children *c = arg;
	struct orders_done done;

	(void)child;
	ipc_close_fds(fds, nfds);
	if (unpack_u8(&u) == ORDERS_DONE && orders_unpack_done(&u, &done))
		c->done = done;
}

static void
helper_ended(struct child *child, void *arg)
{
	struct children *c = arg;
	struct buf msg = buf_make(ORDERS_MAX_BYTES);

	(void)child;
	c->helper = NULL;
	if (c->has_next) {
		c->has_next = false;
		helper_start(c, &c->next);
		return;
	}
	c->done.verb = (uint8_t)c->job.verb;
	orders_pack_done(&msg, &c->done);
	tell_days(c, &msg);
}

static void
run_helper(void *arg, int chan)
{
	const struct children *c = arg;

	helper_run(&c->job, chan);
}

static void
run_days(void *arg, int chan)
{
	const struct children *c = arg;

	days_run(&c->start, chan);
}

static void
helper_start(struct children *c, const struct helper_job *job)
{
	const struct child_spec spec = {
		.name = job->verb == ORDERS_PURGE ? "rotated/purge" : "rotated/index",
		.run = run_helper,
		.arg = c,
		.once = true,
		.verb = helper_said,
		.ended = helper_ended,
	};

	c->job = *job;
	c->job.settings = c->settings;
	c->done = (struct orders_done){0};
	c->helper = parent_spawn(c->parent, &spec);
}

/* A message of the days process. One that makes no sense is not served. */
static void
days_said(struct child *child, void *arg, struct slice msg, int *fds, size_t nfds)
{
	struct children *c = arg;
	struct unpack u = unpack_make(msg.p, msg.n);
	struct helper_job job = {.verb = unpack_u8(&u)};
	bool is_good = false;

	(void)child;
	ipc_close_fds(fds, nfds);
	if (job.verb == ORDERS_INDEX)
		is_good = orders_unpack_index(&u, &job.day);
	else if (job.verb == ORDERS_PURGE)
		is_good = orders_unpack_purge(&u, &job.day, &job.oldest);
	if (!is_good) {
		LOG("warn.rotated.order", log_u64("verb", job.verb));
		return;
	}
	/* One at a time. A days process that died asked for the one that runs, and the new one knows nothing of it. */
	if (c->helper != NULL) {
		c->next = job;
		c->has_next = true;
		return;
	}
	helper_start(c, &job);
}

/* The directory a socket stands in. */
static void
make_socket_dir(const char *path)
{
	char *dir = strdup(path), *slash;

	if (dir == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "path"));
	slash = strrchr(dir, '/');
	*slash = '\0';
	if (slash != dir && dir_make(dir, (uid_t)-1, (gid_t)-1, 0755) < 0)
		DIE(EXIT_TEMP, "fatal.dir", log_str("dir", dir));
	free(dir);
}

static int
listen_at(struct parent *parent, const char *path)
{
	char where[128];

	make_socket_dir(path);
	snprintf(where, sizeof(where), "unix:%s", path);
	return parent_listen(parent, where, true, (uid_t)-1, (gid_t)-1, CHILDREN_SOCKET_MODE);
}

int
children_run(char **argv, const struct settings *settings)
{
	struct children c = {.settings = settings};
	int keep[2];
	struct child_spec spec = {
		.name = "rotated/days", .run = run_days, .arg = &c, .keep = keep, .nkeep = 2, .verb = days_said,
	};
	uid_t uid = settings->user.is_set ? settings->user.uid : (uid_t)-1;
	gid_t gid = settings->user.is_set ? settings->user.gid : (gid_t)-1;

	if (dir_make(settings->redundant_dir, uid, gid, 0700) < 0)
		DIE(EXIT_TEMP, "fatal.dir", log_str("dir", settings->redundant_dir));
	c.parent = parent_make(argv, CHILDREN_STOP_MS);
	c.start.settings = settings;
	keep[0] = c.start.redundant_fd = listen_at(c.parent, settings->redundant_socket);
	keep[1] = c.start.control_fd = listen_at(c.parent, settings->control_socket);
	parent_on_signal(c.parent, SIGUSR1, on_usr1, &c);
	c.days = parent_spawn(c.parent, &spec);
	return parent_run(c.parent);
}
