/*
 * A committer's connection:
 *
 *	connected --HELLO--> named: gets the current day, then each next one
 *
 * It says CLOSED for every day but the last; a day nobody has open any more is finished. When a connection
 * ends its committer has given up its descriptors.
 */
#include "committer.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daylog.h"
#include "ipc.h"
#include "log.h"

#define COMMITTER_HELLO_S	10
#define COMMITTER_LATE_MS	(10 * 60 * 1000)	/* a batch takes well under a second */
#define COMMITTER_MSG_BYTES	256

struct committer {
	struct days		*days;
	struct committer	*next;
	int			 fd;		/* owned */
	struct event		*readable;	/* owned */
	char			 partition[REDUNDANT_PARTITION_MAX_BYTES + 1];	/* "" until HELLO */
	struct day		 open[DAYS_OPEN_MAX];	/* oldest first; the last is what it writes to */
	size_t			 nopen;
	int64_t			 given_ms;	/* monotonic: when the last was handed over */
	bool			 is_late;
};

static void
committer_free(struct committer *c)
{
	struct committer **at;

	for (at = &c->days->committers; *at != c; at = &(*at)->next)
		continue;
	*at = c->next;
	event_free(c->readable);
	close(c->fd);
	free(c);
}

static void
committer_end(struct committer *c, const char *why)
{
	struct days *d = c->days;

	LOG("redundant.disconnected", log_str("partition", c->partition), log_str("why", why));
	committer_free(c);
	days_look(d);
}

/* 0; 1: its connection is of no more use; -1 with errno: no log to give, it keeps what it has. */
static int
committer_give(struct committer *c)
{
	const struct day *day = &c->days->current;
	struct buf msg = buf_make(COMMITTER_MSG_BYTES);
	uint32_t salt;
	uint64_t size;
	int fd, failed;

	if (c->nopen == DAYS_OPEN_MAX) {
		errno = EBUSY;
		return -1;
	}
	if ((fd = daylog_open(c->days->dir, day, c->partition, &salt, &size)) < 0)
		return -1;
	redundant_pack_day(&msg, slice_of(day->name), salt, size);
	failed = ipc_send(c->fd, buf_slice(&msg), &fd, 1);
	buf_free(&msg);
	close(fd);
	if (failed < 0)
		return 1;
	c->open[c->nopen++] = *day;
	c->given_ms = mono_ms();
	c->is_late = false;
	LOG("redundant.opened", log_str("partition", c->partition), log_str("day", day->name), log_u64("bytes", size));
	return 0;
}

static bool
committer_has(const struct committer *c, const struct day *day)
{
	for (size_t i = 0; i < c->nopen; i++) {
		if (day_compare(&c->open[i], day) == 0)
			return true;
	}
	return false;
}

bool
committer_give_all(struct days *d, bool *headerless_out)
{
	struct committer *c, *next;
	bool is_all = true;

	*headerless_out = false;
	for (c = d->committers; c != NULL; c = next) {
		int got = c->partition[0] == '\0' || committer_has(c, &d->current) ? 0 : committer_give(c);

		next = c->next;
		if (got < 0) {
			is_all = false;
			*headerless_out |= errno == EBADMSG;
			LOG("warn.redundant.open", log_str("partition", c->partition), log_str("day", d->current.name),
			    log_str("why", errno == EBADMSG ? "no header" : strerrordesc_np(errno)));
		} else if (got > 0) {
			LOG("redundant.disconnected", log_str("partition", c->partition), log_str("why", "send"));
			committer_free(c);
		}
	}
	return is_all;
}

static bool
committer_hello(struct committer *c, struct slice partition)
{
	struct days *d = c->days;

	if (c->partition[0] != '\0' || !daylog_is_partition(partition))
		return false;
	memcpy(c->partition, partition.p, partition.n);
	event_del(c->readable);
	event_add(c->readable, NULL);	/* named: no more deadline */
	LOG("redundant.connected", log_str("partition", c->partition));
	days_give(d);	/* may free c */
	return true;
}

static bool
committer_closed(struct committer *c, struct slice name)
{
	struct days *d = c->days;
	struct day day;

	for (size_t i = 0; i + 1 < c->nopen; i++) {
		if (!slice_is(slice_of(c->open[i].name), name))
			continue;
		day = c->open[i];
		memmove(&c->open[i], &c->open[i + 1], (c->nopen - i - 1) * sizeof(c->open[0]));
		c->nopen--;
		if (!committer_has_open(d, &day)) {
			LOG("redundant.finished", log_str("day", day.name));
			days_look(d);
		}
		return true;
	}
	return false;
}

/* False: it does not speak our language. c may be gone when true. */
static bool
committer_said(struct committer *c, const char *msg, size_t n)
{
	struct unpack u = unpack_make(msg, n);
	struct slice name;

	switch (unpack_u8(&u)) {
	case REDUNDANT_HELLO:
		return redundant_unpack_hello(&u, &name) && committer_hello(c, name);
	case REDUNDANT_CLOSED:
		return redundant_unpack_closed(&u, &name) && committer_closed(c, name);
	default:
		return false;
	}
}

static void
committer_readable(evutil_socket_t fd, short what, void *arg)
{
	struct committer *c = arg;
	char msg[COMMITTER_MSG_BYTES];
	int fds[IPC_FDS_MAX];
	size_t nfds;
	ssize_t n;

	if (what & EV_TIMEOUT) {
		committer_end(c, "no hello");
		return;
	}
	n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		ipc_close_fds(fds, nfds);
	if (n == 0)
		committer_end(c, "closed");
	else if (n < 0 || !committer_said(c, msg, (size_t)n))
		committer_end(c, "protocol");
}

void
committer_make(struct days *d, int fd)
{
	static const struct timeval hello = {.tv_sec = COMMITTER_HELLO_S};
	struct committer *c = calloc(1, sizeof(*c));

	if (c == NULL || (c->readable = event_new(d->base, fd, EV_READ | EV_PERSIST, committer_readable, c)) == NULL ||
	    event_add(c->readable, &hello) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "committer"));
	c->days = d;
	c->fd = fd;
	c->next = d->committers;
	d->committers = c;
}

bool
committer_has_open(const struct days *d, const struct day *day)
{
	for (const struct committer *c = d->committers; c != NULL; c = c->next) {
		if (committer_has(c, day))
			return true;
	}
	return false;
}

void
committer_oldest(const struct days *d, struct day *out)
{
	*out = d->current;
	for (const struct committer *c = d->committers; c != NULL; c = c->next) {
		if (c->nopen > 0 && day_compare(&c->open[0], out) < 0)
			*out = c->open[0];
	}
}

bool
committer_is_connected(const struct days *d, const char *partition)
{
	for (const struct committer *c = d->committers; c != NULL; c = c->next) {
		if (strcmp(c->partition, partition) == 0)
			return true;
	}
	return false;
}

size_t
committer_count(const struct days *d)
{
	size_t n = 0;

	for (const struct committer *c = d->committers; c != NULL; c = c->next)
		n++;
	return n;
}

void
committer_check_late(struct days *d)
{
	for (struct committer *c = d->committers; c != NULL; c = c->next) {
		if (c->nopen < 2 || c->is_late || mono_ms() - c->given_ms < COMMITTER_LATE_MS)
			continue;
		c->is_late = true;
		LOG("warn.redundant.unclosed", log_str("partition", c->partition), log_str("day", c->open[0].name));
	}
}

void
committer_free_all(struct days *d)
{
	while (d->committers != NULL)
		committer_free(d->committers);
}
