/*
 * An operator's connection:
 *
 *	connected --ROTATE, STATUS--> answered, closed
 *	connected --PURGE--> waiting --helper ended--> answered, closed
 */
#include "operator.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "committer.h"
#include "control.h"
#include "daylog.h"
#include "index.h"
#include "ipc.h"
#include "log.h"

#define OPERATOR_ORDER_S	10
#define OPERATOR_PURGE_S	3600	/* removing very large files takes its time */
#define OPERATOR_MSG_BYTES	64

struct operator {
	struct days	*days;
	struct operator	*next;
	int		 fd;		/* owned */
	struct event	*readable;	/* owned */
	bool		 is_waiting;	/* for a purge */
};

static void
operator_free(struct operator *o)
{
	struct operator **at;

	for (at = &o->days->operators; *at != o; at = &(*at)->next)
		continue;
	*at = o->next;
	event_free(o->readable);
	close(o->fd);
	free(o);
}

static void
operator_send(struct operator *o, struct buf *msg)
{
	/* One who does not read his answer does not get it. */
	if (ipc_send(o->fd, buf_slice(msg), NULL, 0) < 0)
		LOG("rotatectl.gone", log_str("why", strerrordesc_np(errno)));
	buf_free(msg);
}

static void
operator_answer(struct operator *o, bool is_done, const char *why)
{
	struct buf msg = buf_make(CONTROL_MSG_MAX_BYTES);

	control_pack_end(&msg, is_done, slice_of(why));
	operator_send(o, &msg);
	operator_free(o);
}

/* ---- status ---- */

struct status {
	struct operator	*operator;
	const struct day *day;
	struct buf	 text;
};

static void
status_flush(struct status *s)
{
	struct buf msg = buf_make(CONTROL_MSG_MAX_BYTES);

	control_pack_text(&msg, buf_slice(&s->text));
	operator_send(s->operator, &msg);
	buf_clear(&s->text);
}

static void
status_log(void *arg, int day_dir, const char *partition)
{
	struct status *s = arg;
	const struct days *d = s->operator->days;
	bool is_current = day_compare(s->day, &d->current) == 0;
	char name[DAYLOG_NAME_BYTES], line[256];
	struct stat st;

	if (!daylog_name(partition, ".log", name) || fstatat(day_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	snprintf(line, sizeof(line), "%s %s %llu %s\n", s->day->name, partition, (unsigned long long)st.st_size,
	    is_current && committer_is_connected(d, partition) ? "current connected" :
	    is_current ? "current unconnected" : committer_has_open(d, s->day) ? "closing" :
	    index_is_current(day_dir, partition) ? "indexed" : "unindexed");
	if (buf_add_str(&s->text, line) < 0) {
		status_flush(s);
		(void)buf_add_str(&s->text, line);	/* fits: the buffer is empty */
	}
}

static void
operator_status(struct operator *o)
{
	struct status s = {.operator = o, .text = buf_make(CONTROL_TEXT_MAX_BYTES)};
	struct day *days;
	size_t n;

	if (daylog_list(o->days->dir, &days, &n) < 0) {
		operator_answer(o, false, "cannot read the spool");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		s.day = &days[i];
		(void)daylog_each(o->days->dir, &days[i], ".log", status_log, &s);
	}
	free(days);
	if (s.text.n > 0)
		status_flush(&s);
	buf_free(&s.text);
	operator_answer(o, true, "");
}

/* ---- orders ---- */

static void
operator_order(struct operator *o, enum control_order order)
{
	static const struct timeval purge = {.tv_sec = OPERATOR_PURGE_S};
	struct days *d = o->days;

	switch (order) {
	case CONTROL_STATUS:
		operator_status(o);
		break;
	case CONTROL_ROTATE:
		LOG0("rotatectl.rotate");
		if (days_rotate(d) < 0)
			operator_answer(o, false, "cannot begin another day");
		else
			operator_answer(o, true, d->current.name);
		break;
	case CONTROL_PURGE:
		LOG0("rotatectl.purge");
		o->is_waiting = true;
		event_del(o->readable);
		event_add(o->readable, &purge);
		d->wants_purge = true;
		days_order(d);
		break;
	}
}

static void
operator_readable(evutil_socket_t fd, short what, void *arg)
{
	struct operator *o = arg;
	char msg[OPERATOR_MSG_BYTES];
	int fds[IPC_FDS_MAX];
	enum control_order order;
	struct unpack u;
	size_t nfds;
	ssize_t n = 0;

	if (!(what & EV_TIMEOUT)) {
		n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n > 0)
			ipc_close_fds(fds, nfds);
	}
	u = unpack_make(msg, n > 0 ? (size_t)n : 0);
	if (n <= 0 || o->is_waiting || !control_unpack_order(&u, &order))
		operator_free(o);
	else
		operator_order(o, order);
}

void
operator_make(struct days *d, int fd)
{
	static const struct timeval limit = {.tv_sec = OPERATOR_ORDER_S};
	struct operator *o = calloc(1, sizeof(*o));

	if (o == NULL || (o->readable = event_new(d->base, fd, EV_READ | EV_PERSIST, operator_readable, o)) == NULL ||
	    event_add(o->readable, &limit) < 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "operator"));
	o->days = d;
	o->fd = fd;
	o->next = d->operators;
	d->operators = o;
}

void
operator_purged(struct days *d, bool is_good, uint32_t count)
{
	struct operator *o, *next;
	char why[64];

	snprintf(why, sizeof(why), "%u days removed", (unsigned)count);
	for (o = d->operators; o != NULL; o = next) {
		next = o->next;
		if (o->is_waiting)
			operator_answer(o, is_good, is_good ? why : "some days could not be removed: see the log");
	}
}

size_t
operator_count(const struct days *d)
{
	size_t n = 0;

	for (const struct operator *o = d->operators; o != NULL; o = o->next)
		n++;
	return n;
}

void
operator_free_all(struct days *d)
{
	while (d->operators != NULL)
		operator_free(d->operators);
}
