/*
 * Change notices between spoold's processes. Sending never blocks and never fails towards the
 * caller: a notice that does not fit becomes a flag. No notice is believed to mean more than "look".
 */
#include "notify.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "ipc.h"
#include "log.h"

/* A notice is about 900 bytes of socket memory: room for some thousands where the kernel allows it. */
#define NOTIFY_QUEUE_BYTES	(4 * 1024 * 1024)

void
notify_make(struct notify *n, size_t nlots)
{
	int pair[2], size = NOTIFY_QUEUE_BYTES;

	n->nlots = nlots;
	n->shared = mmap(NULL, sizeof(*n->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (n->shared == MAP_FAILED)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "shared page"));
	for (size_t i = 0; i < nlots; i++) {
		if (ipc_pair(SOCK_DGRAM, pair) != 0 || fd_nonblock(pair[0]) != 0 || fd_nonblock(pair[1]) != 0)
			DIE(EXIT_TEMP, "fatal.system", log_str("what", "notify sockets"));
		/* Best effort: the flag covers what does not fit. */
		if (setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
			(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		n->send_fds[i] = pair[0];
		n->recv_fds[i] = pair[1];
	}
}

static uint32_t
bucket_of(struct slice user)
{
	uint32_t h = 2166136261U;	/* FNV-1a; who makes names collide is told more in vain, no more */

	for (size_t i = 0; i < user.n; i++)
		h = (h ^ (unsigned char)user.p[i]) * 16777619U;
	return (h ^ h >> 16) % NOTIFY_BUCKETS;
}

void
notify_watch(const struct notify *n, size_t lot, struct slice user, bool on)
{
	atomic_uint *count = &n->shared->watched[lot][bucket_of(user)];

	if (on)
		atomic_fetch_add(count, 1);
	else
		atomic_fetch_sub(count, 1);
}

void
notify_watch_none(const struct notify *n, size_t lot)
{
	for (size_t i = 0; i < NOTIFY_BUCKETS; i++)
		atomic_store(&n->shared->watched[lot][i], 0);
}

void
notify_user(const struct notify *n, struct slice user, uint64_t origin)
{
	char msg[NOTIFY_MSG_MAX_BYTES];
	size_t len = sizeof(origin) + user.n;
	uint32_t bucket = bucket_of(user);

	if (user.n == 0 || user.n > USER_MAX_BYTES)
		return;
	memcpy(msg, &origin, sizeof(origin));
	memcpy(msg + sizeof(origin), user.p, user.n);
	for (size_t i = 0; i < n->nlots; i++) {
		if (atomic_load(&n->shared->watched[i][bucket]) == 0)
			continue;
		if (send(n->send_fds[i], msg, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			continue;
		/*
		 * The flag first, then once more: if the lot emptied its queue between the two and
		 * had looked at the flag before we set it, this second notice makes it look again.
		 */
		atomic_store(&n->shared->overflow[i], 1);
		(void)!send(n->send_fds[i], msg, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
}

bool
notify_read(const struct notify *n, size_t lot, char user_out[USER_MAX_BYTES + 1], uint64_t *origin_out)
{
	char msg[NOTIFY_MSG_MAX_BYTES + 1];
	ssize_t got;

	while ((got = recv(n->recv_fds[lot], msg, sizeof(msg), MSG_DONTWAIT)) >= 0 || errno == EINTR) {
		if (got <= (ssize_t)sizeof(*origin_out) || (size_t)got > NOTIFY_MSG_MAX_BYTES)
			continue;
		memcpy(origin_out, msg, sizeof(*origin_out));
		memcpy(user_out, msg + sizeof(*origin_out), (size_t)got - sizeof(*origin_out));
		user_out[(size_t)got - sizeof(*origin_out)] = '\0';
		return true;
	}
	return false;
}

bool
notify_missed(const struct notify *n, size_t lot)
{
	return atomic_exchange(&n->shared->overflow[lot], 0) != 0;
}
