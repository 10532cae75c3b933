/*
 * Finding and opening a session. See backend.h. A map that cannot be read never means "nobody has this
 * user": that is only said by a map that answers.
 */
#include "backend.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "ipc.h"
#include "locmap.h"
#include "log.h"
#include "mboxname.h"

#define OPEN_TIMEOUT_S		5	/* the lot answers at once or not at all */
#define OPEN_TRIES	3	/* lots asked, where one ends without an answer */
#define OPEN_MSG_MAX_BYTES	4096
#define FIND_MAX_BYTES		(16 * 1024)	/* one entry with its ACL */

struct backend {
	const struct settings	*conf;
	struct locmap		*map;	/* owned; NULL while it could not be opened */
	struct arena		 arena;
};

struct backend *
backend_make(const struct settings *conf)
{
	struct backend *b = calloc(1, sizeof(*b));

	if (b == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "backend"));
	b->conf = conf;
	b->arena = arena_make(FIND_MAX_BYTES);
	return b;
}

/* Is the user's mail here, or to be made here? 0, or an enum auth_fail. */
static int
user_locate(struct backend *b, const struct sessopen *who)
{
	struct slice host = {NULL, 0}, partition;
	struct mboxname inbox;
	struct loc_entry e;
	int fail = 0;

	if (b->conf->map_dir[0] == '\0')
		return 0;
	if (b->map == NULL)
		b->map = locmap_open(b->conf->map_dir, false, 0);
	if (b->map == NULL) {
		LOG("warn.login.map", log_slice("sid", who->sid), log_str("why", strerrordesc_np(errno)));
		return AUTH_TEMP;
	}
	mboxname_inbox(who->user, &inbox);
	switch (locmap_find(b->map, (struct slice){inbox.s, inbox.n}, &b->arena, &e)) {
	case FOUND:
		if (!location_split(e.location, &host, &partition))
			fail = AUTH_TEMP;
		else if (!slice_is_nocase(host, slice_of(b->conf->hostname)))
			fail = AUTH_ELSEWHERE;
		if (fail != 0)
			LOG("warn.login.elsewhere", log_slice("sid", who->sid), log_slice("user", who->user),
			    log_slice("location", e.location));
		break;
	case ABSENT:
		break;
	case LOOKUP_TEMP:
		fail = AUTH_TEMP;
		break;
	}
	arena_reset(&b->arena);
	return fail;
}

/* Sends the open record with one end of the session's stream; the lot's answer, or 0 for none in time. */
static int
session_ask(int fd, const struct sessopen *who, int session)
{
	struct timeval limit = {.tv_sec = OPEN_TIMEOUT_S};
	struct buf b = buf_make(OPEN_MSG_MAX_BYTES);
	int fds[IPC_FDS_MAX], answer = 0;
	char msg[16];
	size_t nfds;
	ssize_t n;

	sessopen_pack(&b, who);
	if (pack_ok(&b) && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
	    ipc_send(fd, buf_slice(&b), &session, 1) == 0) {
		n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);
		if (n >= 1)
			ipc_close_fds(fds, nfds);
		answer = n == 1 ? msg[0] : 0;
	}
	buf_free(&b);
	return answer;
}

/* One attempt: the lot's answer; 0: the lot ended without one; -1: spoold cannot be reached. */
static int
session_try(struct backend *b, const struct sessopen *who, int *fd_out)
{
	int fd = ipc_connect(b->conf->session_socket, SOCK_SEQPACKET), pair[2], answer;

	if (fd == -1) {
		LOG("warn.session.unreachable", log_slice("sid", who->sid), log_str("why", strerrordesc_np(errno)));
		return -1;
	}
	if (ipc_pair(SOCK_STREAM, pair) == -1)
		DIE(EXIT_TEMP, "fatal.child", log_str("what", "socketpair"));
	answer = session_ask(fd, who, pair[1]);
	close(pair[1]);
	close(fd);
	if (answer == SESSOPEN_OK)
		*fd_out = pair[0];
	else
		close(pair[0]);
	return answer;
}

/* A lot that drains may end between taking the connection and reading it: then nothing was opened, and another lot is asked. */
static int
session_open(struct backend *b, const struct sessopen *who, int *fd_out)
{
	int64_t began = mono_ms();
	int answer = session_try(b, who, fd_out);

	for (int tries = 1; answer == 0 && tries < OPEN_TRIES && mono_ms() - began < OPEN_TIMEOUT_S * 1000 / 2; tries++)
		answer = session_try(b, who, fd_out);
	if (answer == SESSOPEN_OK)
		return 0;
	if (answer == SESSOPEN_BUSY)
		return AUTH_BUSY;
	if (answer != -1)
		LOG("warn.session.refused", log_slice("sid", who->sid), log_i64("answer", answer));
	return AUTH_TEMP;
}

int
backend_open(struct backend *b, const struct sessopen *who, int *fd_out)
{
	int fail = user_locate(b, who);

	return fail != 0 ? fail : session_open(b, who, fd_out);
}
