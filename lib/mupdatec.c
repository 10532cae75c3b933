/*
 * The blocking MUPDATE client: spoold's workers tell mupdated what they make and remove. One command
 * at a time, each with a deadline; after anything but a clear answer the connection is dead, and the
 * outcome is TEMP. It must never take silence for a NO. RFC 3656.
 */
#include "mupdatec.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "mboxname.h"
#include "mupdatewire.h"

#define WIRE_MAX_BYTES	(4 * MBOXNAME_MAX_BYTES)

struct mupdatec {
	int		fd;		/* owned, non-blocking; -1 once it is of no more use */
	int		timeout_ms;	/* of a command, from its first byte to its answer's last */
	int64_t		deadline_ms;	/* of the one running */
	unsigned	serial;		/* of its tag */
	size_t		done;		/* bytes of `in` that belong to lines already seen */
	struct buf	in, out;
};

/* Waits for events until the deadline. 0 or -1 (ETIMEDOUT). */
static int
fd_wait(int fd, short events, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd pfd = {fd, events, 0};
		int64_t left = deadline_ms - mono_ms();
		int n;

		if (left <= 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		n = poll(&pfd, 1, left > 60000 ? 60000 : (int)left);
		if (n > 0)
			return 0;
		if (n == -1 && errno != EINTR)
			return -1;
	}
}

/* Connects a new non-blocking socket. Descriptor or -1. */
static int
addr_connect(const struct sockaddr *sa, socklen_t salen, int64_t deadline_ms)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err = 0, saved;
	socklen_t n = sizeof(err);

	if (fd == -1)
		return -1;
	if (connect(fd, sa, salen) == 0)
		return fd;
	if (errno == EINPROGRESS && fd_wait(fd, POLLOUT, deadline_ms) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) == 0) {
		if (err == 0)
			return fd;
		errno = err;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* A Unix socket with a full backlog says EAGAIN; that is a reason to try again until the deadline. */
static int
unix_connect(const char *path, int64_t deadline_ms)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	for (;;) {
		int fd = addr_connect((struct sockaddr *)&sun, sizeof(sun), deadline_ms);

		if (fd != -1 || errno != EAGAIN)
			return fd;
		if (mono_ms() >= deadline_ms) {
			errno = ETIMEDOUT;
			return -1;
		}
		(void)poll(NULL, 0, 10);
	}
}

/* "ADDR:PORT" or "[ADDR6]:PORT", numeric. */
static int
tcp_connect(const char *where, int64_t deadline_ms)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	struct addrinfo *ai;
	const char *colon = strrchr(where, ':');
	char host[64];
	size_t n = colon != NULL ? (size_t)(colon - where) : 0;
	int fd;

	if (n > 2 && where[0] == '[' && where[n - 1] == ']') {
		where++;
		n -= 2;
	}
	if (colon == NULL || n == 0 || n >= sizeof(host)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(host, where, n);
	host[n] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &ai) != 0) {
		errno = EINVAL;
		return -1;
	}
	fd = addr_connect(ai->ai_addr, ai->ai_addrlen, deadline_ms);
	freeaddrinfo(ai);
	return fd;
}

/* The connection is of no more use. Keeps errno. Always false. */
static bool
client_die(struct mupdatec *c)
{
	int saved = errno;

	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
	errno = saved;
	return false;
}

/* The next line of the server, taken apart as far as it goes; its slices are good until the next call. */
static bool
line_read(struct mupdatec *c, struct mupdate_line *line)
{
	struct mupdate_frame f = {0};

	buf_drop(&c->in, c->done);
	c->done = 0;
	for (;;) {
		enum mupdate_framing got = mupdate_frame(&f, buf_slice(&c->in), MUPDATE_STRING_MAX_BYTES,
		    MUPDATE_WHOLE_MAX_BYTES);
		ssize_t n;
		char *room;

		if (got == MUPDATE_WHOLE) {
			c->done = f.at;
			(void)mupdate_parse(c->in.p, f.at, line);
			if (line->tag.n > 0)
				return true;
			errno = EPROTO;
			return client_die(c);
		}
		if (got != MUPDATE_MORE || (room = buf_room(&c->in, 4096)) == NULL) {
			errno = EPROTO;
			return client_die(c);
		}
		if (fd_wait(c->fd, POLLIN, c->deadline_ms) == -1)
			return client_die(c);
		n = read(c->fd, room, 4096);
		if (n > 0) {
			c->in.n += (size_t)n;
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			if (n == 0)
				errno = ECONNRESET;
			return client_die(c);
		}
	}
}

static bool
out_flush(struct mupdatec *c)
{
	while (c->out.n > 0) {
		ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);

		if (n > 0)
			buf_drop(&c->out, (size_t)n);
		else if (n == -1 && errno != EAGAIN && errno != EINTR)
			return client_die(c);
		else if (fd_wait(c->fd, POLLOUT, c->deadline_ms) == -1)
			return client_die(c);
	}
	return true;
}

struct mupdatec *
mupdatec_open(const char *where, int timeout_ms)
{
	struct mupdatec *c = calloc(1, sizeof(*c));
	struct mupdate_line line;

	if (c == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("where", "mupdatec"));
	c->timeout_ms = timeout_ms;
	c->deadline_ms = mono_ms() + timeout_ms;
	c->in = buf_make(MUPDATE_WHOLE_MAX_BYTES + 8192);
	c->out = buf_make(MUPDATE_WHOLE_MAX_BYTES);
	c->fd = strncmp(where, "unix:", 5) == 0 ? unix_connect(where + 5, c->deadline_ms) :
	    tcp_connect(where, c->deadline_ms);
	while (c->fd != -1 && line_read(c, &line)) {
		/* RFC 3656 3.8: whatever is unknown before the OK is to be ignored. */
		if (slice_is_nocase(line.word, SLICE("OK")))
			return c;
		if (slice_is_nocase(line.word, SLICE("BYE"))) {
			errno = ECONNREFUSED;
			break;
		}
	}
	{
		int saved = errno;

		mupdatec_close(c);
		errno = saved;
	}
	return NULL;
}

void
mupdatec_close(struct mupdatec *c)
{
	static const char goodbye[] = "Q1 LOGOUT\r\n";

	if (c == NULL)
		return;
	if (c->fd != -1) {
		(void)!send(c->fd, goodbye, sizeof(goodbye) - 1, MSG_NOSIGNAL);
		close(c->fd);
	}
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
}

/* Begins a command. */
static void
command_begin(struct mupdatec *c, const char *word)
{
	buf_clear(&c->out);
	c->deadline_ms = mono_ms() + c->timeout_ms;
	(void)buf_addf(&c->out, "C%u %s", ++c->serial, word);
}

/* Adds a mailbox's name as it stands on the wire. False: it has none. */
static bool
command_name(struct mupdatec *c, struct slice name)
{
	char wire[WIRE_MAX_BYTES];
	long n = mutf7_encode(name, wire, sizeof(wire));

	return n > 0 && mupdate_string_add(&c->out, 0, (struct slice){wire, (size_t)n}) == 0;
}

static bool
command_string(struct mupdatec *c, struct slice s)
{
	return mupdate_string_add(&c->out, 0, s) == 0;
}

static bool
command_send(struct mupdatec *c)
{
	return c->fd != -1 && buf_add(&c->out, "\r\n", 2) == 0 && out_flush(c);
}

/* True where the line answers the command now running. */
static bool
is_ours(const struct mupdatec *c, const struct mupdate_line *line)
{
	char tag[16];

	(void)snprintf(tag, sizeof(tag), "C%u", c->serial);
	return slice_is(line->tag, slice_of(tag));
}

/* The server's words for people, without what a log or a reply could not hold. */
static void
text_copy(const struct mupdate_line *line, char *out)
{
	size_t n = line->nargs > 0 ? line->args[0].n : 0;

	if (n >= REPLY_TEXT_MAX_BYTES)
		n = REPLY_TEXT_MAX_BYTES - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = line->args[0].p[i] >= ' ' && line->args[0].p[i] < 0x7f ? line->args[0].p[i] : '?';
	out[n] = '\0';
}

/* The outcome that a line ends a command with; DONE and PERM leave the connection as it is. */
static enum result
line_result(struct mupdatec *c, const struct mupdate_line *line, char *text_out)
{
	if (text_out != NULL)
		text_copy(line, text_out);
	if (slice_is_nocase(line->word, SLICE("OK")))
		return DONE;
	if (slice_is_nocase(line->word, SLICE("NO")))
		return PERM;
	errno = EPROTO;
	(void)client_die(c);
	return TEMP;
}

/* Sends a command whose only answer is OK or NO. */
static enum result
command_run(struct mupdatec *c, bool is_whole, char *text_out)
{
	struct mupdate_line line;

	if (text_out != NULL)
		*text_out = '\0';
	if (!is_whole) {
		if (text_out != NULL)
			(void)snprintf(text_out, REPLY_TEXT_MAX_BYTES, "not a name for a mailbox or too long");
		return PERM;
	}
	if (!command_send(c) || !line_read(c, &line))
		return TEMP;
	if (!is_ours(c, &line)) {
		errno = EPROTO;
		(void)client_die(c);
		return TEMP;
	}
	return line_result(c, &line, text_out);
}

enum result
mupdatec_reserve(struct mupdatec *c, struct slice name, struct slice location, char *text_out)
{
	command_begin(c, "RESERVE");
	return command_run(c, command_name(c, name) && command_string(c, location), text_out);
}

enum result
mupdatec_activate(struct mupdatec *c, struct slice name, struct slice location, struct slice acl, char *text_out)
{
	command_begin(c, "ACTIVATE");
	return command_run(c, command_name(c, name) && command_string(c, location) && command_string(c, acl), text_out);
}

enum result
mupdatec_delete(struct mupdatec *c, struct slice name, char *text_out)
{
	command_begin(c, "DELETE");
	return command_run(c, command_name(c, name), text_out);
}

enum result
mupdatec_noop(struct mupdatec *c)
{
	command_begin(c, "NOOP");
	return command_run(c, true, NULL);
}

/* The record of FIND, MAILBOX or RESERVE. False where it is not about this name, or the arena is full. */
static bool
entry_read(const struct mupdate_line *line, struct slice name, struct arena *a, struct loc_entry *out)
{
	bool is_active = slice_is_nocase(line->word, SLICE("MAILBOX"));
	char utf8[MBOXNAME_MAX_BYTES];
	long n;

	if ((!is_active && !slice_is_nocase(line->word, SLICE("RESERVE"))) || line->nargs < (is_active ? 3 : 2))
		return false;
	n = mutf7_decode(line->args[0], utf8, sizeof(utf8));
	if (n < 0 || !slice_is(name, (struct slice){utf8, (size_t)n}))
		return false;
	*out = (struct loc_entry){arena_slice(a, name), is_active ? LOC_ACTIVE : LOC_RESERVED,
	    arena_slice(a, line->args[1]), arena_slice(a, is_active ? line->args[2] : SLICE(""))};
	return out->name.p != NULL && out->location.p != NULL && out->acl.p != NULL;
}

enum lookup
mupdatec_find(struct mupdatec *c, struct slice name, struct arena *a, struct loc_entry *out)
{
	enum lookup result = ABSENT;
	struct mupdate_line line;

	command_begin(c, "FIND");
	if (!command_name(c, name))
		return ABSENT;
	if (!command_send(c))
		return LOOKUP_TEMP;
	while (line_read(c, &line) && is_ours(c, &line)) {
		if (entry_read(&line, name, a, out)) {
			result = FOUND;
			continue;
		}
		return line_result(c, &line, NULL) == DONE ? result : LOOKUP_TEMP;
	}
	(void)client_die(c);
	return LOOKUP_TEMP;
}
