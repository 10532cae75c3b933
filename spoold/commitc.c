/*
 * The client side of the committer. A request that could not be sent is sent again on a new
 * connection; one that was sent and not answered is never: whether it is durable is not known then,
 * and "not known" is TEMP.
 */
#include "commitc.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"

void
commitc_init(struct commitc *c, const struct site *site)
{
	*c = (struct commitc){.site = site, .fd = -1};
}

void
commitc_close(struct commitc *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

int
commitc_connect(struct commitc *c, int wait_ms)
{
	struct timeval limit = {.tv_sec = COMMITC_SEND_MS / 1000};
	struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	int64_t end = mono_ms() + wait_ms;

	while (c->fd < 0) {
		c->fd = ipc_connect(c->site->conf.commit_socket, SOCK_SEQPACKET);
		if (c->fd >= 0)
			break;
		if (mono_ms() >= end)
			return -1;
		nanosleep(&pause, NULL);
	}
	return setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

int
commitc_send(struct commitc *c, struct slice request, const int *fds, size_t nfds)
{
	while (request.n > 0 || nfds > 0) {
		size_t n = request.n < COMMIT_PIECE_BYTES ? request.n : COMMIT_PIECE_BYTES;
		size_t k = nfds < IPC_FDS_MAX ? nfds : IPC_FDS_MAX;
		char head[2] = {COMMIT_PIECE, n == request.n && k == nfds};
		struct slice parts[2] = {{head, sizeof(head)}, {request.p, n}};
		int sent;

		while ((sent = ipc_sendv(c->fd, parts, 2, fds, k)) != 0 && errno == EINTR)
			continue;
		if (sent != 0)
			return -1;
		request.p += n;
		request.n -= n;
		fds += k;
		nfds -= k;
	}
	return 0;
}

/* Reads what the committer said while we did not listen: that it goes, or is gone. Leaves us connected or not. */
static void
commitc_look(struct commitc *c)
{
	char msg[16];

	while (c->fd >= 0) {
		ssize_t n = recv(c->fd, msg, sizeof(msg), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 || msg[0] == COMMIT_DRAIN)
			commitc_close(c);
	}
}

/* Waits for the answer to req. 0: durable; -1: not, or not known. */
static int
commitc_wait(struct commitc *c, uint64_t req)
{
	int64_t end = mono_ms() + COMMITC_WAIT_MS, left;
	bool is_drained = false;

	while ((left = end - mono_ms()) > 0) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		char msg[64];
		struct unpack u;
		ssize_t n;
		uint8_t verb, outcome;

		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = recv(c->fd, msg, sizeof(msg), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			break;
		u = unpack_make(msg, (size_t)n);
		verb = unpack_u8(&u);
		is_drained = is_drained || verb == COMMIT_DRAIN;
		if (verb != COMMIT_RESULT || unpack_u64(&u) != req)
			continue;
		outcome = unpack_u8(&u);
		if (is_drained)
			commitc_close(c);
		c->last = unpack_end(&u) && outcome <= COMMIT_MOVED ? (enum commit_outcome)outcome : COMMIT_FAILED;
		return c->last == COMMIT_OK ? 0 : -1;
	}
	LOG("warn.commit.unknown", log_str("why", left > 0 ? "committer is gone" : "no answer in time"));
	commitc_close(c);
	return -1;
}

/* Bytes too many for a message travel as a file without a name. -1 with errno. */
static int
memory_file(struct slice s)
{
	int fd = memfd_create("body", MFD_CLOEXEC);

	for (size_t at = 0; fd >= 0 && at < s.n;) {
		ssize_t n = pwrite(fd, s.p + at, s.n - at, (off_t)at);

		if (n <= 0) {
			close(fd);
			return -1;
		}
		at += (size_t)n;
	}
	return fd;
}

static_assert(1 + STORE_APPEND_FILES_MAX <= COMMIT_FDS_MAX, "a log and the files of an append fit a request");

/* The descriptors of a request: borrowed ones, then how many we made. */
struct request {
	struct buf	b;
	int		fds[COMMIT_FDS_MAX];
	size_t		nfds;
	int		made[COMMIT_FDS_MAX];
	size_t		nmade;
};

static int
request_body(struct request *q, const struct body_src *src, struct commit_body *out)
{
	*out = (struct commit_body){.mem = src->mem};
	if (src->fd < 0 && src->bytes <= DELIVERY_INLINE_BYTES)
		return 0;
	if (q->nfds == COMMIT_FDS_MAX)
		return -1;
	*out = (struct commit_body){.is_fd = true, .offset = src->offset};
	if (src->fd >= 0) {
		q->fds[q->nfds++] = src->fd;
		return 0;
	}
	out->offset = 0;
	q->fds[q->nfds] = memory_file(src->mem);
	if (q->fds[q->nfds] < 0)
		return -1;
	q->made[q->nmade++] = q->fds[q->nfds++];
	return 0;
}

static int
request_make(struct request *q, struct commitc *c, const struct store_commit *sc)
{
	struct commit_head h = {.req = ++c->next_req, .wait = sc->wait, .epoch = c->site->epoch, .user = sc->user,
	    .nlogs = sc->wait ? 1 : 0, .nrecords = (uint32_t)sc->nrecords};
	size_t body = 0;

	h.partition = (uint16_t)site_partition(c->site, sc->partition);
	assert(h.partition < c->site->npartitions);
	if (sc->nrecords > COMMIT_RECORDS_MAX)
		return -1;
	q->b = buf_make(COMMIT_REQUEST_MAX_BYTES);
	if (sc->wait)
		q->fds[q->nfds++] = sc->log_fd;
	commit_pack_head(&q->b, &h);
	for (size_t i = 0; i < sc->nrecords; i++) {
		struct commit_body b = {0};

		if (sc->records[i].body_bytes > 0 && request_body(q, &sc->bodies[body++], &b) != 0)
			return -1;
		commit_pack_record(&q->b, &sc->records[i], &b);
	}
	return pack_ok(&q->b) ? 0 : -1;
}

static int
request_send(struct commitc *c, const struct request *q)
{
	for (int tries = 0; tries < 2; tries++) {
		commitc_look(c);
		if (commitc_connect(c, COMMITC_CONNECT_MS) != 0)
			break;
		if (commitc_send(c, buf_slice(&q->b), q->fds, q->nfds) == 0)
			return 0;
		commitc_close(c);
	}
	LOG("warn.commit.unreachable", log_str("why", "no connection to the committer"));
	return -1;
}

int
commitc_commit(void *arg, const struct store_commit *sc)
{
	struct commitc *c = arg;
	struct request q = {.nfds = 0};
	int done;

	/* What is undone after a failure is not waited for, and must not take the reason along. */
	if (sc->wait)
		c->last = COMMIT_FAILED;
	done = request_make(&q, c, sc);
	if (done != 0)
		LOG("warn.commit.limit", log_slice("user", sc->user), log_u64("records", sc->nrecords));
	if (done == 0)
		done = request_send(c, &q);
	ipc_close_fds(q.made, q.nmade);
	buf_free(&q.b);
	if (done == 0 && sc->wait)
		done = commitc_wait(c, c->next_req);
	return done;
}
