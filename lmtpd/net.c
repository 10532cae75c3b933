/*
 * lmtpd's network process: LMTP sessions in front, connections to spoold behind. It lives in an empty
 * root directory; its one way out is the parent's verb CONNECT, answered with a connected descriptor.
 * Started by main(); must never open anything by name but its unlinked temporary files.
 */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "deliver.h"
#include "ipc.h"
#include "lmtpnet.h"
#include "log.h"
#include "parent.h"
#include "sandbox.h"

#define VERB_CONNECT	'C'	/* net: "C"; the parent: "C" with a descriptor, or without one */
#define WAIT_MS		5000	/* for a connection while spoold is started again; an MTA waits 300 s for RCPT */
#define CHECK_MS	30000	/* spoold asks a lock at most */
#define SPARE_FDS	64	/* listeners, channels, epoll, stderr */

struct process {
	int			 chan;
	struct event_base	*base;
	struct lmtpnet		*net;
	struct event		*parent, *drain_limit;
	struct timeval		 drain_max;
	struct deliver		 deliver;
};

/* A connection now or not at all: a full queue at spoold must not stop the parent. -1 with errno. */
static int
connect_now(const char *path)
{
	struct sockaddr_un	sun = {.sun_family = AF_UNIX};
	int			fd, saved;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if ((fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

void
net_verb(struct child *c, void *arg, struct slice msg, int *fds, size_t nfds)
{
	static bool		 is_absent;
	const struct net	*net = arg;
	int			 fd;

	ipc_close_fds(fds, nfds);
	if (!slice_is(msg, SLICE("C"))) {
		LOG("warn.child.verb", log_slice("verb", msg));
		return;
	}
	fd = connect_now(net->config->deliver_socket);
	if (fd < 0 && !is_absent)
		LOG("spool.absent", log_str("path", net->config->deliver_socket), log_str("why", strerror(errno)));
	if (fd >= 0 && is_absent)
		LOG("spool.present", log_str("path", net->config->deliver_socket));
	is_absent = fd < 0;
	if (ipc_send(child_chan(c), SLICE("C"), &fd, fd < 0 ? 0 : 1) < 0)
		LOG("warn.child.channel", log_str("why", strerror(errno)));
	if (fd >= 0)
		close(fd);
}

static void
process_drain(struct process *p)
{
	if (event_add(p->drain_limit, &p->drain_max) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	lmtpnet_drain(p->net);
}

/* spool_conf.ask: a full channel is asked again at the next tick. */
static void
ask_connection(void *arg)
{
	struct process	*p = arg;

	if (ipc_send(p->chan, SLICE("C"), NULL, 0) < 0 && errno != EAGAIN && errno != EPIPE)
		LOG("warn.child.channel", log_str("why", strerror(errno)));
}

static void
on_chan(evutil_socket_t chan, short what, void *arg)
{
	struct process	*p = arg;
	char		 msg[16];
	int		 fds[IPC_FDS_MAX];
	size_t		 nfds;
	ssize_t		 n = ipc_recv(chan, msg, sizeof(msg), fds, &nfds);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* The parent has made way for a new generation. The connections to spoold that we have stay. */
		event_del(p->parent);
		process_drain(p);
		return;
	}
	if (msg[0] == VERB_CONNECT && nfds == 1)
		spool_take(p->deliver.spool, fds[0]);
	else
		ipc_close_fds(fds, nfds);
}

static void
on_term(evutil_socket_t signo, short what, void *arg)
{
	(void)signo;
	(void)what;
	process_drain(arg);
}

static void
on_drain_limit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	LOG("net.drain.limit", log_u64("sessions", lmtpnet_count(((struct process *)arg)->net)));
	event_base_loopbreak(((struct process *)arg)->base);
}

static void
on_drained(void *arg)
{
	event_base_loopbreak(((struct process *)arg)->base);
}

static struct event *
event_make(struct process *p, int fd, short what, event_callback_fn fn)
{
	struct event	*e = event_new(p->base, fd, what, fn, p);

	if (e == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	if (what != 0 && event_add(e, NULL) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	return e;
}

/* Gives everything up but what a session needs. The directory stays reachable as a descriptor. */
static int
confine(const struct config *conf)
{
	const struct sandbox_path	tmp = {.path = conf->tmp_dir, .write = true};
	int				dir = open(conf->tmp_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		DIE(EXIT_TEMP, "fatal.net.tmp", log_str("path", conf->tmp_dir));
	lmtps_setup();
	sandbox_limits(conf->connections_max * 2 + conf->spoold_connections + SPARE_FDS, 0, true);
	sandbox_paths(&tmp, 1);
	privileges_drop(&conf->net_user, conf->tmp_dir, 0);
	sandbox_seccomp(SANDBOX_CLIENT);
	return dir;
}

void
net_main(void *arg, int chan)
{
	const struct net	*net = arg;
	const struct config	*conf = net->config;
	struct process		 p = {.chan = chan, .drain_max = {.tv_sec = (time_t)conf->drain_max_s}};
	struct inflight		 inflight = {.max = conf->inflight_max};
	struct lmtpnet_conf	 nc = {
		.listeners = net->listeners, .nlisteners = net->nlisteners, .connections_max = conf->connections_max,
		.command_timeout_ms = (int64_t)conf->command_timeout_s * 1000, .trusted = &conf->trusted,
		.session = {.hostname = conf->hostname, .size_max = conf->size_max, .inflight = &inflight},
		.ops = deliver_ops, .arg = &p.deliver, .drained = on_drained, .drained_arg = &p,
	};
	struct spool_conf	 sc = {
		.nconns = conf->spoold_connections, .wait_ms = WAIT_MS, .check_timeout_ms = CHECK_MS,
		.submit_timeout_ms = (int64_t)conf->hop_timeout_s * 1000, .ask = ask_connection, .arg = &p,
	};

	p.deliver.users = (struct rcptuser_conf){
		.domains = &conf->domains, .delimiter = conf->recipient_delimiter[0],
		.detail_mailbox = conf->detail_mailbox, .postmaster = conf->postmaster,
	};
	nc.nuids = conf_uids(&conf->lmtp_clients, nc.uids, LMTPNET_UIDS_MAX);
	inflight.dir_fd = confine(conf);
	if ((p.base = event_base_new()) == NULL || fd_nonblock(chan) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event base"));
	p.parent = event_make(&p, chan, EV_READ | EV_PERSIST, on_chan);
	event_make(&p, SIGTERM, EV_SIGNAL | EV_PERSIST, on_term);
	p.drain_limit = event_make(&p, -1, 0, on_drain_limit);
	p.deliver.spool = spool_make(p.base, &sc);
	p.net = lmtpnet_make(p.base, &nc);
	event_base_dispatch(p.base);
}
