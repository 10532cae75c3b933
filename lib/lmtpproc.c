/*
 * The frame of a network process. Started by the parents of lmtpd and relayd; after lmtpproc_confine it can
 * open nothing by name but unlinked temporary files, so whatever else it needs comes over the channel.
 */
#include "lmtpproc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "sandbox.h"

#define MESSAGE_MAX_BYTES	256	/* a verb, a number */

int
lmtpproc_confine(const char *tmp_dir, const struct conf_user *user, uint64_t nofile)
{
	const struct sandbox_path	tmp = {.path = tmp_dir, .write = true};
	int				dir = open(tmp_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		DIE(EXIT_TEMP, "fatal.net.tmp", log_str("path", tmp_dir));
	lmtps_setup();
	sandbox_limits(nofile, 0, true);
	sandbox_paths(&tmp, 1);
	privileges_drop(user, tmp_dir, 0);
	sandbox_seccomp(SANDBOX_CLIENT);
	return dir;
}

static void
proc_drain(struct lmtpproc *p)
{
	if (event_add(p->limit, &p->drain_max) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	lmtpnet_drain(p->net);
}

static void
on_chan(evutil_socket_t chan, short what, void *arg)
{
	struct lmtpproc	*p = arg;
	char		 msg[MESSAGE_MAX_BYTES];
	int		 fds[IPC_FDS_MAX];
	size_t		 nfds;
	ssize_t		 n = ipc_recv(chan, msg, sizeof(msg), fds, &nfds);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		p->message(p->arg, (struct slice){msg, (size_t)n}, fds, nfds);
		return;
	}
	/* The parent has made way for a new generation. */
	event_del(p->parent);
	proc_drain(p);
}

static void
on_term(evutil_socket_t signo, short what, void *arg)
{
	(void)signo;
	(void)what;
	proc_drain(arg);
}

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct lmtpproc	*p = arg;

	(void)fd;
	(void)what;
	LOG("drain.late", log_u64("sessions", lmtpnet_count(p->net)));
	event_base_loopbreak(p->base);
}

static void
on_drained(void *arg)
{
	event_base_loopbreak(((struct lmtpproc *)arg)->base);
}

static struct event *
event_make(struct lmtpproc *p, int fd, short what, event_callback_fn fn)
{
	struct event	*e = event_new(p->base, fd, what, fn, p);

	if (e == NULL || (what != 0 && event_add(e, NULL) < 0))
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	return e;
}

void
lmtpproc_make(struct lmtpproc *p, int chan, uint64_t drain_max_s, void (*message)(void *, struct slice, int *, size_t),
    void *arg)
{
	*p = (struct lmtpproc){
		.chan = chan, .message = message, .arg = arg, .drain_max = {.tv_sec = (time_t)drain_max_s},
		.base = event_base_new(),
	};
	if (p->base == NULL || fd_nonblock(chan) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event base"));
	p->parent = event_make(p, chan, EV_READ | EV_PERSIST, on_chan);
	p->limit = event_make(p, -1, 0, on_limit);
	event_make(p, SIGTERM, EV_SIGNAL | EV_PERSIST, on_term);
}

void
lmtpproc_run(struct lmtpproc *p, struct lmtpnet_conf *conf)
{
	conf->drained = on_drained;
	conf->drained_arg = p;
	p->net = lmtpnet_make(p->base, conf);
	event_base_dispatch(p->base);
}

bool
lmtpproc_ask(struct lmtpproc *p, struct slice msg)
{
	return ipc_send(p->chan, msg, NULL, 0) == 0;
}

int
lmtpproc_connect(const char *path, int type)
{
	struct sockaddr_un	sun = {.sun_family = AF_UNIX};
	int			fd, saved;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if ((fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}
