/*
 * Answers that wait for room in a socket. Used by the committer and the delivery workers towards
 * lmtpd, and by the committer towards the workers. Never blocks, never reorders, never drops one of
 * many: a peer that is too slow loses the connection.
 */
#include "outq.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "ipc.h"
#include "log.h"

struct outq_msg {
	struct outq_msg	*next;
	size_t		 n;
	char		 p[];
};

static void
outq_clear(struct outq *q)
{
	for (struct outq_msg *m = q->head, *next; m != NULL; m = next) {
		next = m->next;
		free(m);
	}
	q->head = NULL;
	q->end = &q->head;
	q->bytes = 0;
}

/* True when it is out of our hands: sent, or the peer is gone. False: the socket is full. */
static bool
send_now(struct outq *q, struct slice msg)
{
	int sent;

	while ((sent = ipc_send(q->fd, msg, NULL, 0)) != 0 && errno == EINTR)
		continue;
	return sent == 0 || errno != EAGAIN;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct outq *q = arg;
	struct outq_msg *m;

	(void)fd;
	(void)what;
	while ((m = q->head) != NULL && send_now(q, (struct slice){m->p, m->n})) {
		q->head = m->next;
		if (q->head == NULL)
			q->end = &q->head;
		q->bytes -= m->n;
		free(m);
	}
	if (q->head != NULL)
		event_add(q->ev, NULL);
}

void
outq_init(struct outq *q, struct event_base *base, int fd)
{
	*q = (struct outq){.fd = fd, .end = &q->head};
	q->ev = event_new(base, fd, EV_WRITE, on_writable, q);
	if (q->ev == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
}

void
outq_free(struct outq *q)
{
	outq_clear(q);
	if (q->ev != NULL)
		event_free(q->ev);
	q->ev = NULL;
}

void
outq_send(struct outq *q, struct slice msg)
{
	struct outq_msg *m;

	if (q->head == NULL && send_now(q, msg))
		return;
	if (q->bytes + msg.n > OUTQ_MAX_BYTES) {
		LOG("warn.peer.slow", log_u64("bytes", q->bytes));
		shutdown(q->fd, SHUT_RDWR);
		outq_clear(q);
		return;
	}
	m = malloc(sizeof(*m) + msg.n);
	if (m == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*m) + msg.n));
	m->next = NULL;
	m->n = msg.n;
	memcpy(m->p, msg.p, msg.n);
	*q->end = m;
	q->end = &m->next;
	q->bytes += msg.n;
	event_add(q->ev, NULL);
}
