/*
 * The delivery worker's connection to the committer. When it ends with answers outstanding nobody
 * knows what became of them: nothing is voided (the answer may have been 250), and lmtpd's
 * connections that wait are closed, which it takes as 451.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "deliver.h"
#include "ipc.h"
#include "log.h"

static void
link_free(struct deliver_link *l)
{
	struct deliver_link **at = &l->deliver->links;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	if (l->ev != NULL)
		event_free(l->ev);
	commitc_close(&l->commit);
	free(l);
}

/* Cuts first, settles then: a connection may wait for several answers. */
static void
link_lost(struct deliver_link *l)
{
	struct deliver *d = l->deliver;
	struct deliver_pending *list = l->pending;
	size_t n = 0;

	l->pending = NULL;
	for (struct deliver_pending *p = list; p != NULL; p = p->next, n++)
		deliver_conn_cut(p->conn);
	link_free(l);
	if (n > 0)
		LOG("warn.commit.lost", log_u64("messages", n), log_str("why", "the committer is gone"));
	for (struct deliver_pending *p = list, *next; p != NULL; p = next) {
		next = p->next;
		deliver_conn_settle(p->conn);
		free(p);
	}
	deliver_end_if_idle(d);
}

static struct deliver_pending *
pending_take(struct deliver_link *l, uint64_t commit_req)
{
	for (struct deliver_pending **at = &l->pending; *at != NULL; at = &(*at)->next) {
		struct deliver_pending *p = *at;

		if (p->commit_req != commit_req)
			continue;
		*at = p->next;
		if (*at == NULL)
			l->pending_end = at;
		return p;
	}
	return NULL;
}

/* False: nonsense. */
static bool
link_result(struct deliver_link *l, struct slice msg)
{
	struct unpack u = unpack_make(msg.p, msg.n);
	struct deliver_pending *p;
	uint64_t commit_req;
	uint8_t outcome;

	if (unpack_u8(&u) != COMMIT_RESULT)
		return false;
	commit_req = unpack_u64(&u);
	outcome = unpack_u8(&u);
	if (!unpack_end(&u) || outcome > COMMIT_MOVED || (p = pending_take(l, commit_req)) == NULL)
		return false;
	if (outcome != COMMIT_OK)
		deliver_failed(l->deliver, p, (enum commit_outcome)outcome);
	deliver_conn_settle(p->conn);
	free(p);
	return true;
}

static void
on_link(evutil_socket_t fd, short what, void *arg)
{
	struct deliver_link *l = arg;
	struct deliver *d = l->deliver;
	char msg[64];
	ssize_t n;

	(void)what;
	while ((n = recv((int)fd, msg, sizeof(msg), MSG_DONTWAIT)) > 0) {
		if (msg[0] == COMMIT_DRAIN) {
			l->is_drained = true;
			continue;
		}
		if (!link_result(l, (struct slice){msg, (size_t)n})) {
			LOG("warn.commit.bad", log_i64("bytes", n));
			n = 0;
			break;
		}
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		link_lost(l);
	else if (l->is_drained && l->pending == NULL)
		link_free(l);
	deliver_end_if_idle(d);
}

static int
link_tell_conn(struct deliver_link *l, const struct deliver_conn *cn)
{
	struct buf b = buf_make(16);
	int sent;

	pack_u8(&b, COMMIT_CONN);
	pack_u32(&b, cn->id);
	while ((sent = ipc_send(l->commit.fd, buf_slice(&b), &cn->fd, 1)) != 0 && errno == EINTR)
		continue;
	buf_free(&b);
	return sent;
}

static struct deliver_link *
link_open(struct deliver *d)
{
	struct deliver_link *l = calloc(1, sizeof(*l));

	if (l == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*l)));
	l->deliver = d;
	l->serial = ++d->next_link;
	l->pending_end = &l->pending;
	l->next = d->links;
	d->links = l;
	commitc_init(&l->commit, d->site);
	if (commitc_connect(&l->commit, COMMITC_CONNECT_MS) != 0) {
		LOG("warn.commit.unreachable", log_str("why", strerrordesc_np(errno)));
		link_free(l);
		return NULL;
	}
	l->ev = event_new(d->base, l->commit.fd, EV_READ | EV_PERSIST, on_link, l);
	if (l->ev == NULL || event_add(l->ev, NULL) != 0)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "event"));
	return l;
}

/* A connection that lmtpd made after the link, or the link after it: told where it is first needed. */
struct deliver_link *
deliver_link_get(struct deliver *d, struct deliver_conn *cn)
{
	struct deliver_link *l = d->links;

	for (int tries = 0; tries < 2; tries++) {
		if (l == NULL || l->is_drained)
			l = link_open(d);
		if (l == NULL)
			return NULL;
		if (cn->link == l->serial || link_tell_conn(l, cn) == 0) {
			cn->link = l->serial;
			return l;
		}
		link_lost(l);
		l = d->links;
	}
	return NULL;
}

int
deliver_link_send(struct deliver_link *l, struct slice request, const int *fds, size_t nfds, struct deliver_pending *p)
{
	if (commitc_send(&l->commit, request, fds, nfds) != 0) {
		free(p);
		link_lost(l);
		return -1;
	}
	p->conn->npending++;
	p->next = NULL;
	*l->pending_end = p;
	l->pending_end = &p->next;
	return 0;
}

void
deliver_link_gone(struct deliver *d, uint32_t conn)
{
	struct buf b = buf_make(16);

	pack_u8(&b, COMMIT_GONE);
	pack_u32(&b, conn);
	for (struct deliver_link *l = d->links; l != NULL; l = l->next)
		if (l->commit.fd >= 0)	/* not while it is being connected */
			(void)!ipc_send(l->commit.fd, buf_slice(&b), NULL, 0);
	buf_free(&b);
}
