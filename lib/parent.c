/*
 * The parent of a daemon: its children, their channels, its signals. Every daemon's main() runs in it.
 * Never reads from the network, never blocks. Listeners and the re-execution are in keep.c.
 */
#include "parent.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf.h"
#include "ipc.h"
#include "keep.h"
#include "log.h"

#define PARENT_RESTART_MS	100	/* first wait before a dead child is started again */
#define PARENT_RESTART_MAX_MS	5000
#define PARENT_STEADY_MS	10000	/* a child that lived so long was well */
#define PARENT_TERM_AGAIN_MS	1000	/* SIGTERM once more: a child just born may have had nobody to hear it */
#define PARENT_CHECK_MS		20000	/* longest run of our own -n before a reload */
#define PARENT_MSGS		32	/* messages of one child before the others have their turn */
#define PARENT_HOOKS_MAX	4

struct child {
	struct child_spec	 spec;
	struct parent		*parent;
	struct child		*next;
	int			*keep;		/* owned copy */
	pid_t			 pid;		/* -1 while down */
	int			 chan;		/* owned; -1 while down */
	struct event		*readable, *restart;	/* owned */
	int64_t			 started_ms;
	int			 wait_ms;	/* before the next start */
	bool			 is_asked;	/* to stop */
};

struct parent_hook {
	struct event	*event;		/* owned */
	void		(*fn)(void *);
	void		*arg;
};

struct parent {
	struct event_base	*base;
	char			**argv;		/* main()'s */
	int64_t			 stop_ms;
	struct child		*children;	/* owned */
	struct keep		*keep;		/* owned */
	struct event		*sigterm, *sigint, *sighup, *sigchld, *deadline, *again, *check_deadline;
	struct parent_hook	 hooks[PARENT_HOOKS_MAX];
	size_t			 nhooks;
	bool			 is_stopping;
	pid_t			 check_pid;	/* our own -n before a reload; -1: none */
	char			 msg[IPC_MSG_MAX_BYTES];
};

volatile sig_atomic_t child_term;

static void	child_start(struct child *);

static void *
parent_alloc(size_t n, size_t each)
{
	void *p = calloc(n, each);

	if (p == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "parent"));
	return p;
}

static void
event_after(struct event *ev, int64_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

	if (evtimer_add(ev, &tv) < 0)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "timer"));
}

static struct event *
event_make(struct parent *p, int fd, short what, event_callback_fn fn, void *arg)
{
	struct event *ev = event_new(p->base, fd, what, fn, arg);

	if (ev == NULL)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "new"));
	/* Timers are armed when they are due. */
	if (fd >= 0 && event_add(ev, NULL) < 0)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "add"));
	return ev;
}

/* ---- messages of a child ---- */

static void
child_read(struct child *c)
{
	struct parent *p = c->parent;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = 0;

	for (int i = 0; i < PARENT_MSGS && c->chan >= 0; i++) {
		if ((n = ipc_recv(c->chan, p->msg, sizeof(p->msg), fds, &nfds)) <= 0)
			break;
		c->spec.verb(c, c->spec.arg, (struct slice){p->msg, (size_t)n}, fds, nfds);
	}
	if (n < 0 && errno == EMSGSIZE)
		LOG("warn.child.message", log_str("name", c->spec.name), log_str("why", "too large"));
	/* Closed without dying yet: SIGCHLD will tell. */
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR && errno != EMSGSIZE))
		event_del(c->readable);
}

static void
child_readable(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	child_read(arg);
}

/* ---- birth ---- */

static void
child_on_term(int signo)
{
	(void)signo;
	child_term = 1;
}

static void
child_signals(void)
{
	struct sigaction sa = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &sa, NULL);	/* KILL, STOP and libc's own refuse */
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);	/* a terminal's goes to all of us: the parent tells its children itself */
	sa.sa_handler = child_on_term;	/* without SA_RESTART: a blocking call ends with EINTR */
	sigaction(SIGTERM, &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
fd_compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Closes every descriptor but 0-2, chan and the kept ones. */
static void
child_close_others(const struct child *c, int chan)
{
	int *stay = parent_alloc(c->spec.nkeep + 1, sizeof(*stay));
	unsigned from = 3;

	for (size_t i = 0; i < c->spec.nkeep; i++)
		stay[i] = c->keep[i];
	stay[c->spec.nkeep] = chan;
	qsort(stay, c->spec.nkeep + 1, sizeof(*stay), fd_compare);
	for (size_t i = 0; i <= c->spec.nkeep; i++) {
		if (stay[i] < (int)from)
			continue;
		if ((unsigned)stay[i] > from && close_range(from, (unsigned)stay[i] - 1, 0) < 0)
			DIE(EXIT_TEMP, "fatal.child", log_str("what", "close_range"));
		from = (unsigned)stay[i] + 1;
	}
	if (close_range(from, ~0U, 0) < 0)
		DIE(EXIT_TEMP, "fatal.child", log_str("what", "close_range"));
	free(stay);
}

static _Noreturn void
child_main(struct child *c, int chan, pid_t parent_pid)
{
	const char *slash = strchr(c->spec.name, '/');

	log_init(c->spec.name);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		DIE(EXIT_TEMP, "fatal.child", log_str("what", "pdeathsig"));
	if (getppid() != parent_pid)
		_exit(EXIT_TEMP);	/* it died before we asked */
	/* event_reinit gives the base descriptors of its own, so that freeing it leaves the parent's alone. */
	if (event_reinit(c->parent->base) < 0)
		DIE(EXIT_TEMP, "fatal.child", log_str("what", "event_reinit"));
	event_base_free(c->parent->base);
	c->parent->base = NULL;
	/* 15 bytes are shown: the whole name where it fits, else what comes after the daemon's. */
	(void)prctl(PR_SET_NAME, strlen(c->spec.name) < 16 || slash == NULL ? c->spec.name : slash + 1);
	child_close_others(c, chan);
	child_signals();
	c->spec.run(c->spec.arg, chan);
	_exit(0);
}

static void
child_start_later(struct child *c)
{
	event_after(c->restart, c->wait_ms);
	c->wait_ms = c->wait_ms * 2 > PARENT_RESTART_MAX_MS ? PARENT_RESTART_MAX_MS : c->wait_ms * 2;
}

static void
child_start(struct child *c)
{
	struct parent *p = c->parent;
	sigset_t all, before;
	pid_t pid = -1, parent_pid = getpid();
	int pair[2];

	if (p->is_stopping)
		return;
	if (ipc_pair(SOCK_SEQPACKET, pair) < 0) {
		LOG("warn.child.fork", log_str("name", c->spec.name), log_str("why", strerrordesc_np(errno)));
		child_start_later(c);
		return;
	}
	/* Blocked, so that no signal runs the parent's handlers in the child. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	if ((pid = fork()) == 0)
		child_main(c, pair[1], parent_pid);
	if (pid < 0)
		LOG("warn.child.fork", log_str("name", c->spec.name), log_str("why", strerrordesc_np(errno)));
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(pair[1]);
	if (pid < 0 || fd_nonblock(pair[0]) < 0) {
		/* A child whose channel cannot be used sees it end, and drains. */
		close(pair[0]);
		if (pid < 0) {
			child_start_later(c);
			return;
		}
		pair[0] = -1;
	}
	c->pid = pid;
	c->chan = pair[0];
	c->is_asked = false;
	c->started_ms = mono_ms();
	if (c->spec.verb != NULL && c->chan >= 0)
		c->readable = event_make(p, c->chan, EV_READ | EV_PERSIST, child_readable, c);
}

static void
child_restart(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	child_start(arg);
}

struct child *
parent_spawn(struct parent *p, const struct child_spec *spec)
{
	struct child *c = parent_alloc(1, sizeof(*c)), **at;

	c->spec = *spec;
	c->parent = p;
	c->pid = -1;
	c->chan = -1;
	c->wait_ms = PARENT_RESTART_MS;
	c->keep = parent_alloc(spec->nkeep + 1, sizeof(*c->keep));
	for (size_t i = 0; i < spec->nkeep; i++)
		c->keep[i] = spec->keep[i];
	c->spec.keep = c->keep;
	c->restart = event_make(p, -1, 0, child_restart, c);
	for (at = &p->children; *at != NULL; at = &(*at)->next)
		continue;
	*at = c;
	child_start(c);
	return c;
}

/* ---- death ---- */

static void
child_free(struct child *c)
{
	struct child **at;

	for (at = &c->parent->children; *at != c; at = &(*at)->next)
		continue;
	*at = c->next;
	event_free(c->restart);
	free(c->keep);
	free(c);
}

static void
child_log_end(const struct child *c, pid_t pid, int status)
{
	int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	bool is_wanted = c->is_asked || c->parent->is_stopping;

	if ((signal == 0 && code == 0 && (is_wanted || c->spec.once)) || (is_wanted && signal == SIGTERM))
		LOG("child.ended", log_str("name", c->spec.name), log_i64("pid", pid));
	else
		LOG("warn.child.died", log_str("name", c->spec.name), log_i64("pid", pid), log_i64("signal", signal),
		    log_i64("status", code));
}

static void
child_ended(struct child *c, int status)
{
	pid_t pid = c->pid;

	/* What it said last is still to be heard. */
	if (c->spec.verb != NULL && c->chan >= 0)
		child_read(c);
	if (c->readable != NULL)
		event_free(c->readable);
	c->readable = NULL;
	if (c->chan >= 0)
		close(c->chan);
	c->chan = -1;
	c->pid = -1;
	child_log_end(c, pid, status);
	if (c->spec.ended != NULL)
		c->spec.ended(c, c->spec.arg);
	if (c->spec.once) {
		child_free(c);
		return;
	}
	if (c->parent->is_stopping)
		return;
	if (mono_ms() - c->started_ms >= PARENT_STEADY_MS)
		c->wait_ms = PARENT_RESTART_MS;
	child_start_later(c);
}

static bool
parent_is_alone(const struct parent *p)
{
	for (const struct child *c = p->children; c != NULL; c = c->next) {
		if (c->pid >= 0)
			return false;
	}
	return keep_nold(p->keep) == 0;
}

/* ---- reload ---- */

static void
parent_refuse_reload(const char *why)
{
	LOG("warn.reload.refused", log_str("why", why));
}

/* The new image takes over under our pid; our children see their channels end, and drain. */
static void
parent_reload(struct parent *p)
{
	sigset_t all, before;

	for (const struct child *c = p->children; c != NULL; c = c->next) {
		if (c->pid >= 0)
			keep_add_old(p->keep, c->pid);
	}
	LOG("parent.reload", log_i64("pid", getpid()));
	/* Stays blocked over exec until the new image has its handlers. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	keep_exec(p->keep, p->argv);
	sigprocmask(SIG_SETMASK, &before, NULL);
	keep_forget_old(p->keep);
	parent_refuse_reload("cannot execute");
}

static _Noreturn void
check_main(char **argv)
{
	char **with = NULL;
	size_t n = 0;

	while (argv[n] != NULL)
		n++;
	with = parent_alloc(n + 2, sizeof(*with));
	with[0] = argv[0];
	with[1] = (char[]){"-n"};
	memcpy(with + 2, argv + 1, n * sizeof(*with));
	child_signals();
	/* exec'd with SIGPIPE, SIGHUP, SIGINT ignored, which a check does not mind. */
	execv("/proc/self/exe", with);
	_exit(EXIT_TEMP);
}

/* A broken configuration must not end what runs: asks the own binary first. */
static void
parent_on_hup(evutil_socket_t fd, short what, void *arg)
{
	struct parent *p = arg;
	sigset_t all, before;

	(void)fd;
	(void)what;
	if (p->is_stopping || p->check_pid >= 0)
		return;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	if ((p->check_pid = fork()) == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		check_main(p->argv);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (p->check_pid < 0)
		parent_refuse_reload("cannot fork");
	else
		event_after(p->check_deadline, PARENT_CHECK_MS);
}

static void
parent_on_check_late(evutil_socket_t fd, short what, void *arg)
{
	struct parent *p = arg;

	(void)fd;
	(void)what;
	if (p->check_pid >= 0)
		kill(p->check_pid, SIGKILL);
}

static void
parent_checked(struct parent *p, int status)
{
	p->check_pid = -1;
	event_del(p->check_deadline);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		parent_refuse_reload("configuration");
	else if (!p->is_stopping)
		parent_reload(p);
}

/* ---- signals ---- */

static void
parent_reaped(struct parent *p, pid_t pid, int status)
{
	if (pid == p->check_pid) {
		parent_checked(p, status);
		return;
	}
	for (struct child *c = p->children; c != NULL; c = c->next) {
		if (c->pid == pid) {
			child_ended(c, status);
			return;
		}
	}
	keep_drop_old(p->keep, pid);
	LOG("child.drained", log_i64("pid", pid));
}

static void
parent_reap(struct parent *p)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		parent_reaped(p, pid, status);
	if (p->is_stopping && parent_is_alone(p))
		event_base_loopbreak(p->base);
}

static void
parent_on_chld(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	parent_reap(arg);
}

static void
parent_kill_all(struct parent *p, int signo)
{
	for (struct child *c = p->children; c != NULL; c = c->next) {
		if (c->pid >= 0)
			kill(c->pid, signo);
	}
	keep_kill_old(p->keep, signo);
}

static void
parent_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	parent_kill_all(arg, SIGKILL);
}

static void
parent_on_again(evutil_socket_t fd, short what, void *arg)
{
	struct parent *p = arg;

	(void)fd;
	(void)what;
	parent_kill_all(p, SIGTERM);
	event_after(p->again, PARENT_TERM_AGAIN_MS);
}

static void
parent_on_term(evutil_socket_t fd, short what, void *arg)
{
	struct parent *p = arg;

	(void)fd;
	(void)what;
	if (p->is_stopping)
		return;
	p->is_stopping = true;
	LOG("parent.stopping", log_i64("pid", getpid()));
	for (struct child *c = p->children; c != NULL; c = c->next)
		event_del(c->restart);
	parent_kill_all(p, SIGTERM);
	event_after(p->deadline, p->stop_ms);
	event_after(p->again, PARENT_TERM_AGAIN_MS);
	parent_reap(p);
}

static void
parent_on_hook(evutil_socket_t fd, short what, void *arg)
{
	struct parent_hook *h = arg;

	(void)fd;
	(void)what;
	h->fn(h->arg);
}

static void
parent_libevent_log(int severity, const char *msg)
{
	if (severity >= EVENT_LOG_WARN)
		LOG("warn.libevent", log_str("why", msg));
}

struct parent *
parent_make(char **argv, int64_t stop_ms)
{
	struct parent *p = parent_alloc(1, sizeof(*p));
	const char *slash = strrchr(argv[0], '/');

	/* After a re-execution it would be "exe". */
	(void)prctl(PR_SET_NAME, slash == NULL ? argv[0] : slash + 1);
	event_set_log_callback(parent_libevent_log);
	if ((p->base = event_base_new()) == NULL)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "base"));
	p->argv = argv;
	p->stop_ms = stop_ms;
	p->check_pid = -1;
	p->keep = keep_make();
	signal(SIGPIPE, SIG_IGN);
	p->sigterm = event_make(p, SIGTERM, EV_SIGNAL | EV_PERSIST, parent_on_term, p);
	p->sigint = event_make(p, SIGINT, EV_SIGNAL | EV_PERSIST, parent_on_term, p);
	p->sighup = event_make(p, SIGHUP, EV_SIGNAL | EV_PERSIST, parent_on_hup, p);
	p->sigchld = event_make(p, SIGCHLD, EV_SIGNAL | EV_PERSIST, parent_on_chld, p);
	p->deadline = event_make(p, -1, 0, parent_on_deadline, p);
	p->again = event_make(p, -1, 0, parent_on_again, p);
	p->check_deadline = event_make(p, -1, 0, parent_on_check_late, p);
	return p;
}

struct event_base *
parent_base(struct parent *p)
{
	return p->base;
}

void
parent_on_signal(struct parent *p, int signo, void (*fn)(void *arg), void *arg)
{
	struct parent_hook *h = &p->hooks[p->nhooks];

	if (p->nhooks == PARENT_HOOKS_MAX)
		DIE(EXIT_TEMP, "bug.parent", log_str("what", "too many signal hooks"));
	p->nhooks++;
	h->fn = fn;
	h->arg = arg;
	h->event = event_make(p, signo, EV_SIGNAL | EV_PERSIST, parent_on_hook, h);
}

int
parent_listen(struct parent *p, const char *where, bool seqpacket, uid_t uid, gid_t gid, mode_t mode)
{
	return keep_listen(p->keep, where, seqpacket, uid, gid, mode);
}

bool
parent_check_where(const char *key, const char *where, struct conf_wrong *out)
{
	const char *why = keep_where_fault(where);

	*out = (struct conf_wrong){key, where, why};
	return why == NULL;
}

bool
parent_check_listen(const char *key, const struct conf_list *list, struct conf_wrong *out)
{
	for (size_t i = 0; i < list->n; i++) {
		if (!parent_check_where(key, list->v[i], out))
			return false;
		for (size_t j = 0; j < i; j++) {
			if (strcmp(list->v[j], list->v[i]) != 0)
				continue;
			out->why = "named twice";
			return false;
		}
	}
	return true;
}

void
parent_keep_fd(struct parent *p, const char *name, int fd)
{
	keep_fd(p->keep, name, fd);
}

int
parent_kept_fd(struct parent *p, const char *name)
{
	return keep_claim(p->keep, name);
}

void
parent_drop_fd(struct parent *p, const char *name)
{
	keep_drop(p->keep, name);
}

int
child_chan(const struct child *c)
{
	return c->chan;
}

pid_t
child_pid(const struct child *c)
{
	return c->pid;
}

void *
child_arg(const struct child *c)
{
	return c->spec.arg;
}

void
child_stop(struct child *c)
{
	if (c->pid < 0)
		return;
	c->is_asked = true;
	kill(c->pid, SIGTERM);
}

int
parent_run(struct parent *p)
{
	sigset_t none;

	keep_close_unclaimed(p->keep);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);	/* blocked by the image before us, if there was one */
	parent_reap(p);	/* who died while we had no handler */
	event_base_dispatch(p->base);
	LOG("parent.stopped", log_i64("pid", getpid()));
	return 0;
}
