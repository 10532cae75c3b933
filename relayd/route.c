/*
 * relayd's route process: the one that reads the location map, so that no process which parses the
 * network does. It inherits the routing table in memory and answers each net process over a socketpair.
 * Started by main(). Never writes anything but LMDB's reader table.
 */
#include "route.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc.h"
#include "lmtpreply.h"
#include "log.h"
#include "parent.h"
#include "sandbox.h"

#define BURST		64	/* look-ups of one net process before the others have their turn */
#define WAIT_US		100000	/* for mupdated to make its directory */
#define REOPEN_MS	500	/* between two tries to open a map that is not there yet */

struct process {
	const struct route	*route;
	struct resolve_conf	 resolve;
	struct event_base	*base;
	struct locmap		*map;		/* NULL: not there yet */
	int64_t			 opened_ms;	/* last try */
	struct arena		 arena;
	struct buf		 out;
	size_t			 nets_left;
	struct link		*links;
	struct route_answer	 answer;
};

struct link {
	struct process	*process;
	struct event	*read;
};

static enum lookup
map_find(void *arg, struct slice name, struct arena *arena, struct loc_entry *out)
{
	struct process	*p = arg;
	int64_t		 now = mono_ms();

	if (p->map == NULL && now - p->opened_ms >= REOPEN_MS) {
		p->opened_ms = now;
		p->map = locmap_open(p->route->config->map_dir, false, 0);
		LOG(p->map != NULL ? "route.map.open" : "route.map.absent", log_str("dir", p->route->config->map_dir),
		    log_str("why", p->map != NULL ? "" : strerror(errno)));
	}
	return p->map != NULL ? locmap_find(p->map, name, arena, out) : LOOKUP_TEMP;
}

static void
answer(struct process *p, int fd, struct slice msg)
{
	struct slice	address;
	uint32_t	req;

	if (!routemsg_unpack_ask(msg, &req, &address)) {
		LOG("bug.route.ask", log_u64("bytes", msg.n));
		return;
	}
	arena_reset(&p->arena);
	buf_clear(&p->out);
	resolve(&p->resolve, address, &p->arena, &p->answer);
	routemsg_pack_answer(&p->out, req, &p->answer);
	if (!pack_ok(&p->out)) {
		LOG("warn.route.alias", log_str("why", "answer too long"), log_slice("target", address));
		reply_set(&p->answer.reply, 451, "4.3.5 alias is too large");
		p->answer.ntargets = 0;
		buf_clear(&p->out);
		routemsg_pack_answer(&p->out, req, &p->answer);
	}
	/* Where the net process does not read, its own timeout answers for us. */
	if (ipc_send(fd, buf_slice(&p->out), NULL, 0) < 0)
		LOG("warn.route.answer", log_str("why", strerror(errno)));
}

static void
on_ask(evutil_socket_t fd, short what, void *arg)
{
	struct link	*l = arg;
	char		 msg[ADDRESS_MAX_BYTES + 64];
	int		 fds[IPC_FDS_MAX];
	size_t		 nfds;

	(void)what;
	for (int i = 0; i < BURST; i++) {
		ssize_t	n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n == 0 || (n < 0 && errno != EMSGSIZE)) {
			/* Every copy of the other end is closed: an old generation has drained. */
			event_del(l->read);
			if (--l->process->nets_left == 0)
				event_base_loopbreak(l->process->base);
			return;
		}
		ipc_close_fds(fds, nfds);
		if (n > 0)
			answer(l->process, fd, (struct slice){msg, (size_t)n});
	}
}

static void
on_chan(evutil_socket_t chan, short what, void *arg)
{
	char	msg[16];
	int	fds[IPC_FDS_MAX];
	size_t	nfds;
	ssize_t	n = ipc_recv(chan, msg, sizeof(msg), fds, &nfds);

	(void)what;
	ipc_close_fds(fds, nfds);
	/* After a reload we stay until the net processes that ask us are gone. */
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		event_del(arg);
}

static void
on_term(evutil_socket_t signo, short what, void *arg)
{
	(void)signo;
	(void)what;
	event_base_loopbreak(arg);
}

static struct event *
event_start(struct event_base *base, int fd, short what, event_callback_fn fn, void *arg)
{
	struct event	*e = event_new(base, fd, what | EV_PERSIST, fn, arg);

	if (e == NULL || event_add(e, NULL) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	return e;
}

/* Waits for the map's directory, which is mupdated's to make: Landlock needs it to be there. */
static void
wait_for_map(const char *dir)
{
	if (access(dir, F_OK) == 0)
		return;
	LOG("route.map.absent", log_str("dir", dir), log_str("why", strerror(errno)));
	while (access(dir, F_OK) < 0) {
		if (child_term)
			_exit(0);
		usleep(WAIT_US);
	}
}

void
route_main(void *arg, int chan)
{
	static struct process		 p;
	const struct route		*route = arg;
	const struct sandbox_path	 map = {.path = route->config->map_dir, .write = true};

	p.route = route;
	p.resolve = route->resolve;
	p.resolve.find = map_find;
	p.resolve.map = &p;
	p.opened_ms = INT64_MIN / 2;
	p.arena = arena_make(RESOLVE_ARENA_BYTES);
	p.out = buf_make(IPC_MSG_MAX_BYTES);
	wait_for_map(route->config->map_dir);
	sandbox_limits(0, 0, true);
	sandbox_paths(&map, 1);
	privileges_drop(&route->config->route_user, NULL, 0);
	sandbox_seccomp(SANDBOX_FILES);
	if ((p.base = event_base_new()) == NULL || (p.links = calloc(route->nnets, sizeof(*p.links))) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event base"));
	for (size_t i = 0; i < route->nnets; i++) {
		if (fd_nonblock(route->nets[i]) < 0)
			DIE(EXIT_TEMP, "fatal.route.socket", log_u64("net", i));
		p.links[i].process = &p;
		p.links[i].read = event_start(p.base, route->nets[i], EV_READ, on_ask, &p.links[i]);
	}
	p.nets_left = route->nnets;
	if (fd_nonblock(chan) < 0)
		DIE(EXIT_TEMP, "fatal.route.socket", log_str("net", "parent"));
	event_start(p.base, chan, EV_READ, on_chan, event_self_cbarg());
	event_start(p.base, SIGTERM, EV_SIGNAL, on_term, p.base);
	event_base_dispatch(p.base);
	if (p.map != NULL)
		locmap_close(p.map);
}
