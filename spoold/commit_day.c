/*
 * The day's redundant file, as rotated hands it over: one connection a partition, tried again five
 * times a second while it is down. When it closes the descriptor is given up and deliveries are
 * deferred, so that nothing is written where rotated no longer looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "commit.h"
#include "ipc.h"
#include "log.h"

void
commit_day_free(struct commit_day *d)
{
	close(d->fd);
	free(d);
}

void
commit_day_lose(struct commit_part *p, struct commit_day *d)
{
	if (d == p->ahead)
		d->is_lost = true;
	else
		commit_day_free(d);
}

static void
day_log_absent(struct commit_part *p)
{
	int64_t now = mono_ms();

	if (p->is_absent ? now - p->logged_ms < COMMIT_ABSENT_LOG_MS :
	    p->ndeferred == 0 && now - p->absent_ms < COMMIT_ABSENT_MS)
		return;
	LOG("warn.redundant.absent", log_str("partition", p->name), log_u64("deferred", p->ndeferred),
	    log_u64("dropped", p->ndropped), log_str("why", "rotated gives no descriptor"));
	p->is_absent = true;
	p->logged_ms = now;
	p->ndeferred = 0;
	p->ndropped = 0;
}

void
commit_day_missed(struct commit_part *p, bool was_waiting)
{
	if (was_waiting)
		p->ndeferred++;
	else
		p->ndropped++;
	day_log_absent(p);
}

static void
day_settle(struct commit_part *p)
{
	unsigned bit = 1u << (p - p->commit->parts);

	/* Delivery workers look at it, so that nothing is appended only to be taken back. */
	if (p->day == NULL)
		atomic_fetch_or(&p->commit->site->notify.shared->absent, bit);
	else
		atomic_fetch_and(&p->commit->site->notify.shared->absent, ~bit);
	p->is_settled = true;
	event_active(p->commit->batch_ev, 0, 0);
}

static void
day_retry(struct commit_part *p)
{
	struct timeval tv = {.tv_usec = COMMIT_RETRY_MS * 1000};

	evtimer_add(p->retry, &tv);
}

/* rotated is gone, or is not to be believed: everything it gave is given up. */
static void
day_lost(struct commit_part *p)
{
	event_free(p->ev);
	p->ev = NULL;
	close(p->fd);
	p->fd = -1;
	if (p->day != NULL)
		commit_day_lose(p, p->day);
	p->day = NULL;
	for (struct commit_day *d = p->retiring, *next; d != NULL; d = next) {
		next = d->next;
		commit_day_lose(p, d);
	}
	p->retiring = NULL;
	p->absent_ms = mono_ms();
	day_settle(p);
	day_retry(p);
}

static bool
is_append_only(int fd, struct stat *st)
{
	int flags = fcntl(fd, F_GETFL);

	return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && flags >= 0 && (flags & O_APPEND) != 0 &&
	    (flags & O_ACCMODE) == O_WRONLY;
}

/* The next day: the one before is synced and closed with the batch that begins next. */
static bool
day_take(struct commit_part *p, struct slice msg, int fd)
{
	struct unpack u = unpack_make(msg.p, msg.n);
	struct commit_day *d;
	struct slice day;
	struct stat st;
	uint64_t bytes;
	uint32_t salt;

	if (unpack_u8(&u) != REDUNDANT_DAY || !redundant_unpack_day(&u, &day, &salt, &bytes) ||
	    day.n > REDUNDANT_DAY_MAX_BYTES || !is_append_only(fd, &st))
		return false;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*d)));
	d->fd = fd;
	d->salt = salt;
	d->dev = st.st_dev;
	memcpy(d->day, day.p, day.n);
	if (p->day != NULL) {
		p->day->next = p->retiring;
		p->retiring = p->day;
	}
	p->day = d;
	LOG("redundant.present", log_str("partition", p->name), log_str("day", d->day), log_u64("bytes", bytes));
	p->is_absent = false;
	day_settle(p);
	return true;
}

static void
on_rotated(evutil_socket_t fd, short what, void *arg)
{
	struct commit_part *p = arg;
	char msg[256];
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n = ipc_recv((int)fd, msg, sizeof(msg), fds, &nfds);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && nfds == 1 && day_take(p, (struct slice){msg, (size_t)n}, fds[0]))
		return;
	if (n > 0) {
		LOG("warn.redundant.bad", log_str("partition", p->name), log_u64("bytes", (uint64_t)n));
		ipc_close_fds(fds, nfds);
	}
	day_lost(p);
}

/* Not ipc_connect: this one must not wait, and the filter lets us make no socket non-blocking later. */
static int
day_connect(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || strlen(path) >= sizeof(sun.sun_path))
		return fd;
	memcpy(sun.sun_path, path, strlen(path));
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct commit_part *p = arg;
	struct buf hello = buf_make(256);

	(void)fd;
	(void)what;
	p->fd = day_connect(p->commit->site->conf.redundant_socket);
	if (p->fd < 0) {
		day_log_absent(p);
		if (!p->is_settled)
			day_settle(p);
		day_retry(p);
		return;
	}
	p->ev = event_new(p->commit->base, p->fd, EV_READ | EV_PERSIST, on_rotated, p);
	if (p->ev == NULL || event_add(p->ev, NULL) != 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	redundant_pack_hello(&hello, slice_of(p->name));
	if (ipc_send(p->fd, buf_slice(&hello), NULL, 0) != 0)
		day_lost(p);
	buf_free(&hello);
}

void
commit_day_start(struct commit *c)
{
	for (size_t i = 0; i < c->site->npartitions; i++) {
		struct commit_part *p = &c->parts[i];

		p->commit = c;
		p->name = c->site->partitions[i];
		atomic_fetch_and(&c->site->notify.shared->absent, ~(1u << i));
		p->fd = -1;
		p->absent_ms = mono_ms();
		p->retry = evtimer_new(c->base, on_retry, p);
		if (p->retry == NULL)
			DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
		if (c->site->conf.single_copy)
			p->is_settled = true;
		else
			on_retry(-1, 0, p);
	}
}

void
commit_day_closed(struct commit_part *p, struct commit_day *d)
{
	struct buf b = buf_make(256);

	redundant_pack_closed(&b, slice_of(d->day));
	if (p->fd >= 0 && ipc_send(p->fd, buf_slice(&b), NULL, 0) != 0)
		LOG("warn.redundant.closed", log_str("partition", p->name), log_str("day", d->day),
		    log_str("why", "rotated could not be told"));
	buf_free(&b);
	commit_day_free(d);
}
