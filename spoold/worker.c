/*
 * A session worker: gets one session at a time from its lot, serves it with plain blocking code until
 * its client is quiet, gives it back. Nothing of a session stays here but open indexes: everything
 * else is made anew for each. Ends when the lot closes its end.
 */
#include "worker.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "commitc.h"
#include "ipc.h"
#include "log.h"
#include "place.h"
#include "sandbox.h"
#include "upkeep.h"
#include "work.h"

#define WORKER_MMAP_BYTES	(256 * 1024)

struct worker {
	const struct site	*site;
	struct store_host	 host;
	struct commitc		 commit;
	int			 fd;		/* to the lot */
	char			 msg[IPC_MSG_MAX_BYTES];
	struct buf		 answer;
};

/* A user whose spool was begun and not finished (a crash in between) is completed before the first command. */
static void
finish_placing(struct session *s)
{
	if (s->why == SESSION_NEW && place_is_half(s->host, s->who.user))
		(void)place_user(s->host, s->who.user);
}

static enum session_end
run(struct session *s)
{
	finish_placing(s);
	return s->who.proto == SESS_IMAP ? imap_run(s) : pop3_run(s);
}

/* Parks what can be parked; everything else is over. */
static void
give_back(struct worker *w, const struct work *work, struct session *s, enum session_end end)
{
	struct work_result r = {.id = work->id, .commands = s->commands, .bytes_in = s->bytes_in, .bytes_out = s->bytes_out};
	int sent;

	(void)session_flush(s);
	r.is_parked = end == SESSION_PARK && !s->is_dead && s->in.n <= SESSION_UNREAD_MAX_BYTES;
	if (r.is_parked) {
		r.wants_changes = s->wants_changes;
		r.has_lock = s->lock_fd >= 0;
		r.timer_ms = s->timer_ms < WORK_TIMER_MAX_MS ? s->timer_ms : WORK_TIMER_MAX_MS;
		r.state = buf_slice(&s->state);
		r.unread = buf_slice(&s->in);
	} else {
		r.end_why = slice_of(s->end_why);
	}
	buf_clear(&w->answer);
	work_pack_result(&w->answer, &r);
	while ((sent = ipc_send(w->fd, buf_slice(&w->answer), &s->lock_fd, r.has_lock ? 1 : 0)) != 0 && errno == EINTR)
		continue;
	if (sent != 0)
		_exit(0);	/* the lot is gone, and its sessions with it */
}

static void
serve(struct worker *w, const struct work *work, int fd, int lock_fd)
{
	struct session s;
	enum session_end end;

	session_begin(&s, &w->host, work->id, fd, lock_fd);
	s.why = work->why;
	if (!sessopen_unpack(work->open, &s.who) || buf_add_slice(&s.in, work->unread) != 0 ||
	    buf_add_slice(&s.state, work->state) != 0)
		DIE(EXIT_TEMP, "bug.worker", log_str("why", "the lot's record"));
	if (work->is_suspect) {
		store_drop_cached();	/* it may be open here */
		store_discard_index(&w->host, s.who.user);
	}
	end = run(&s);
	give_back(w, work, &s, end);
	session_free(&s);
}

/* One message of the lot. */
static void
take(struct worker *w, struct slice msg, int *fds, size_t nfds)
{
	struct unpack u = unpack_make(msg.p, msg.n);
	struct work work;
	uint8_t verb = unpack_u8(&u);

	if (verb == WORK_HURRY)
		return;		/* for the session before this */
	if (verb != WORK_SESSION || !work_unpack(&u, &work) || nfds != (work.has_lock ? 2u : 1u))
		DIE(EXIT_TEMP, "bug.worker", log_str("why", "the lot's message"));
	serve(w, &work, fds[0], work.has_lock ? fds[1] : -1);
}

void
worker_host(const struct site *site, bool is_deliver, struct commitc *commit, struct store_host *host_out)
{
	struct place_conf place = {.mupdate = site->conf.mupdate, .hostname = site->conf.hostname,
	    .timeout_ms = is_deliver ? DELIVER_MUPDATE_MS : WORKER_MUPDATE_MS,
	    .pause_ms = is_deliver ? DELIVER_PAUSE_MS : 0};

	place_init(&place);
	commitc_init(commit, site);
	*host_out = site_host(site);
	host_out->commit = commitc_commit;
	host_out->commit_arg = commit;
	host_out->due = upkeep_due;
	host_out->due_arg = (void *)(uintptr_t)site;
}

void
worker_confine(const struct site *site, bool threads)
{
	struct sandbox_path paths[] = {{site->conf.active_dir, true}, {site->conf.index_dir, true}};

	signal(SIGPIPE, SIG_IGN);
	/*
	 * LMDB takes 2 MiB for every open index and touches little of it. Fixed, the threshold keeps that mapped
	 * and untouched; left to itself glibc raises it and then hands out, and clears, ordinary memory.
	 */
	(void)mallopt(M_MMAP_THRESHOLD, WORKER_MMAP_BYTES);
	sandbox_limits(0, 0, !threads);
	sandbox_paths(paths, 2);
	privileges_drop(&site->conf.worker_user, NULL, 0);
	sandbox_seccomp(SANDBOX_FILES);
}

void
worker_run(void *arg, int chan)
{
	const struct worker_arg *a = arg;
	struct worker *w = calloc(1, sizeof(*w));
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n;

	(void)chan;
	if (w == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*w)));
	/* The lot says when to end: it needs us to say BYE while the daemon stops. */
	signal(SIGTERM, SIG_IGN);
	w->site = a->site;
	w->fd = a->fd;
	w->answer = buf_make(IPC_MSG_MAX_BYTES);
	worker_confine(a->site, false);
	worker_host(a->site, false, &w->commit, &w->host);
	session_init(w->fd, &a->site->notify);
	pop3_init(a->site->conf.pop3_login_delay_s);
	for (;;) {
		n = ipc_recv(w->fd, w->msg, sizeof(w->msg), fds, &nfds);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0);
		take(w, (struct slice){w->msg, (size_t)n}, fds, nfds);
	}
}
