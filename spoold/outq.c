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

#define AT_ONCE	32	/* messages in one call */

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

/* Sends some of what waits in one call: how many messages are out of our hands; 0: the socket is full. */
static size_t
send_some(struct outq *q)
{
	struct mmsghdr v[AT_ONCE];
	struct iovec iov[AT_ONCE];
	unsigned n = 0;
	int sent;

	memset(v, 0, sizeof(v));
	for (struct outq_msg *m = q->head; m != NULL && n < AT_ONCE; m = m->next, n++) {
		iov[n] = (struct iovec){m->p, m->n};
		v[n].msg_hdr.msg_iov = &iov[n];
		v[n].msg_hdr.msg_iovlen = 1;
	}
	while ((sent = sendmmsg(q->fd, v, n, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0 && errno == EINTR)
		continue;
	return sent > 0 ? (size_t)sent : errno == EAGAIN ? 0 : n;
}

void
outq_push(struct outq *q)
{
	while (q->head != NULL) {
		size_t n = send_some(q);

		if (n == 0) {
			event_add(q->ev, NULL);
			return;
		}
		for (struct outq_msg *m; n > 0; n--) {
			m = q->head;
			q->head = m->next;
			q->bytes -= m->n;
			free(m);
		}
	}
	q->end = &q->head;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	outq_push(arg);
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
outq_add(struct outq *q, struct slice msg)
{
	struct outq_msg *m;

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
}

void
outq_send(struct outq *q, struct slice msg)
{
	if (q->head == NULL && send_now(q, msg))
		return;
	outq_add(q, msg);
	if (q->head != NULL)
		event_add(q->ev, NULL);
}
