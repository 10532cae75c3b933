/*
 * A MUPDATE connection: reading, framing, writing, deadlines. libevent for readiness; nothing blocks.
 * Only conn_close frees, and only conn_work, conn_sweep and net.c call it, so that a handler never
 * loses its connection under its feet.
 */
#include "conn.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "net.h"
#include "stream.h"

#define READ_BYTES	8192
#define BUSY_IN_BYTES	READ_BYTES	/* pipelined input that is taken while a command is under way */
#define OUT_SLACK_BYTES	(2 * 1024 * 1024)	/* high water, a piece of a dump as lines, replies */
#define ENDING_ALL_MS	60000		/* for a queue of many MiB after BYE, if it moves */
#define SHUT_MS		2000		/* for the peer to close after us, so that no reset eats the last words */

static void
fd_ready(int fd, short what, void *arg);

static struct event *
event_of(struct conn *c, short what)
{
	struct event *e = event_new(c->net->base, c->fd, what | EV_PERSIST, fd_ready, c);

	if (e == NULL)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "connection"));
	return e;
}

void
conn_open(struct net *net, struct conn *c, uint64_t id, int fd, bool is_unix, const char *addr)
{
	size_t backlog = net->config->update_backlog_max_bytes;

	*c = (struct conn){.id = id, .net = net, .fd = fd, .is_unix = is_unix};
	c->state = is_unix ? CONN_OPEN : CONN_FRESH;
	c->in = buf_make(MUPDATE_WHOLE_MAX_BYTES + 2 * READ_BYTES);
	c->out = buf_make(backlog + OUT_SLACK_BYTES);
	c->pending = buf_make(backlog + OUT_SLACK_BYTES);
	c->hosts = buf_make(CONN_HOSTS_MAX * (LOCATION_MAX_BYTES + 1));
	c->readable = event_of(c, EV_READ);
	c->writable = event_of(c, EV_WRITE);
	c->start_ms = c->input_ms = c->output_ms = mono_ms();
	(void)snprintf(c->sid, sizeof(c->sid), "%08x%06x", net->sid_salt, (unsigned)(id >> 16) & 0xffffff);
	(void)snprintf(c->addr, sizeof(c->addr), "%s", addr);
	net->nconns++;
	if (is_unix)
		(void)snprintf(c->user, sizeof(c->user), "%s", addr);
	else
		net->nfresh++;
	command_banner(c, net->hostname, is_unix ? NULL : net->mechs);
}

void
conn_close(struct conn *c, const char *why)
{
	struct net *net = c->net;

	LOG("session.end", log_str("sid", c->sid), log_str("addr", c->addr), log_str("user", c->user),
	    log_str("why", c->end_why != NULL ? c->end_why : why), log_u64("commands", c->commands),
	    log_u64("in_bytes", c->bytes_in), log_u64("out_bytes", c->bytes_out),
	    log_i64("ms", mono_ms() - c->start_ms));
	if (c->state == CONN_LOGIN) {
		verb_pack_forget(&net->out, c->id);
		net_send(net);
	}
	event_free(c->readable);
	event_free(c->writable);
	close(c->fd);
	buf_wipe(&c->in);
	buf_free(&c->out);
	buf_free(&c->pending);
	buf_free(&c->hosts);
	net->nconns--;
	if (c->user[0] == '\0')
		net->nfresh--;
	c->id = 0;
	if (net->is_draining && net->nconns == 0)
		event_base_loopbreak(net->base);
}

void
conn_end(struct conn *c, const char *why)
{
	if (c->state == CONN_ENDING)
		return;
	if (c->state == CONN_LOGIN) {
		verb_pack_forget(&c->net->out, c->id);
		net_send(c->net);
	}
	c->state = CONN_ENDING;
	c->end_why = why;
	c->ending_ms = mono_ms();
	c->is_busy = false;
	c->wants_piece = false;
	buf_free(&c->pending);
}

bool
conn_append(struct conn *c, struct buf *to, struct slice s)
{
	if (c->state != CONN_ENDING && buf_add_slice(to, s) == 0) {
		if (to == &c->out && c->out.n == s.n)
			c->output_ms = mono_ms();	/* the stall is counted from here */
		return true;
	}
	conn_end(c, "room");
	return false;
}

void
conn_reply(struct conn *c, const char *tag, const char *word, const char *text)
{
	struct buf line = buf_make(MUPDATE_TAG_MAX_BYTES + REPLY_TEXT_MAX_BYTES + 64);

	if (buf_addf(&line, "%s %s", tag, word) == 0 && mupdate_string_add(&line, 0, slice_of(text)) == 0 &&
	    buf_add(&line, "\r\n", 2) == 0)
		(void)conn_append(c, &c->out, buf_slice(&line));
	else
		conn_end(c, "room");
	buf_free(&line);
}

void
conn_bye(struct conn *c, const char *tag, const char *text, const char *why)
{
	if (c->state == CONN_ENDING)
		return;
	conn_reply(c, tag, "BYE", text);
	conn_end(c, why);
}

/* ---- input ---- */

/* Forgets what was consumed; it may have been a password. */
static void
in_drop(struct conn *c, size_t n)
{
	explicit_bzero(c->in.p, n);
	buf_drop(&c->in, n);
	c->frame.at = 0;
}

/* A line of a SASL exchange. False: there is none yet. */
static bool
sasl_next(struct conn *c)
{
	struct frame_line l;
	enum frame_fault fault;

	switch (frame_line(buf_slice(&c->in), MUPDATE_LINE_MAX_BYTES, false, &l, &fault)) {
	case PARSE_MORE:
		return false;
	case PARSE_BAD:
		conn_bye(c, "*", "malformed line", "bad");
		return false;
	case PARSE_OK:
		break;
	}
	command_sasl(c, l.text);
	in_drop(c, l.used);
	return true;
}

/* A command. False: there is none yet. */
static bool
command_next(struct conn *c)
{
	bool fresh = c->state == CONN_FRESH;

	switch (mupdate_frame(&c->frame, buf_slice(&c->in), fresh ? CONN_FRESH_STRING_BYTES : MUPDATE_STRING_MAX_BYTES,
	    fresh ? CONN_FRESH_WHOLE_BYTES : MUPDATE_WHOLE_MAX_BYTES)) {
	case MUPDATE_MORE:
		return false;
	case MUPDATE_GO_AHEAD:
		return conn_append(c, &c->out, SLICE("+ go ahead\r\n"));
	case MUPDATE_LONG:
		conn_bye(c, "*", "line or string too long", "long");
		return false;
	case MUPDATE_REFUSED:	/* the line ends where its literal is missing: not well formed */
	case MUPDATE_WHOLE:
		command_run(c, c->in.p, c->frame.at);
		break;
	case MUPDATE_SPOILT:
		command_spoilt(c);
		break;
	}
	in_drop(c, c->frame.at);
	return true;
}

/* Runs what is there. True: it stopped for the output alone. */
static bool
in_work(struct conn *c)
{
	while (c->state != CONN_ENDING && !c->is_busy && c->in.n > 0) {
		if (c->out.n >= CONN_OUT_HIGH_BYTES)
			return true;
		if (!(c->state == CONN_LOGIN ? sasl_next(c) : command_next(c)))
			break;
	}
	return false;
}

/* Takes what has come. False: the peer is gone. */
static bool
in_read(struct conn *c)
{
	char *room = buf_room(&c->in, READ_BYTES);
	ssize_t n;

	assert(room != NULL);	/* reading stops well below the cap */
	n = recv(c->fd, room, READ_BYTES, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	c->bytes_in += (uint64_t)n;
	c->input_ms = mono_ms();
	if (c->state != CONN_ENDING)
		c->in.n += (size_t)n;
	return true;
}

/* ---- output ---- */

/* Writes what can be. False: the peer is gone. */
static bool
out_write(struct conn *c)
{
	size_t done = 0;

	while (done < c->out.n) {
		ssize_t n = send(c->fd, c->out.p + done, c->out.n - done, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0)
			return false;
		done += (size_t)n;
	}
	if (done > 0) {
		c->bytes_out += done;
		c->output_ms = mono_ms();
		buf_drop(&c->out, done);
		if (c->out.n == 0)
			buf_free(&c->out);	/* an idle connection holds no memory */
	}
	return true;
}

static void
event_want(struct event *e, short what, bool want)
{
	bool has = event_pending(e, what, NULL) != 0;

	if (want && !has && event_add(e, NULL) < 0)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "add"));
	if (!want && has)
		(void)event_del(e);
}

void
conn_work(struct conn *c)
{
	bool held, reads;

	do {
		held = in_work(c);
		if (c->net->is_draining && !c->is_busy)
			conn_bye(c, "*", "server is going down", "drain");
		if (!out_write(c)) {
			conn_close(c, "gone");
			return;
		}
	} while (held && c->out.n < CONN_OUT_HIGH_BYTES && c->state != CONN_ENDING);
	stream_go_on(c);
	if (c->state == CONN_ENDING && c->out.n == 0 && c->net->is_draining) {
		conn_close(c, "drain");
		return;
	}
	if (c->state == CONN_ENDING && c->out.n == 0 && !c->is_shut) {
		c->is_shut = true;
		c->ending_ms = mono_ms();
		(void)shutdown(c->fd, SHUT_WR);
	}
	if (c->in.n == 0)
		buf_free(&c->in);
	/* While busy, and while nobody takes the output, little input is taken. */
	reads = c->state == CONN_ENDING || (!c->is_busy && c->out.n < CONN_OUT_HIGH_BYTES) || c->in.n < BUSY_IN_BYTES;
	event_want(c->readable, EV_READ, reads);
	event_want(c->writable, EV_WRITE, c->out.n > 0);
}

static void
fd_ready(int fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	if ((what & EV_READ) != 0 && !in_read(c)) {
		conn_close(c, "eof");
		return;
	}
	conn_work(c);
}

/* ---- time ---- */

void
conn_sweep(struct conn *c, int64_t now)
{
	const struct config *conf = c->net->config;

	if (c->state == CONN_ENDING) {
		int64_t since = now - c->ending_ms;

		if (since > (c->is_shut ? SHUT_MS : ENDING_ALL_MS) ||
		    (c->out.n > 0 && now - c->output_ms > CONN_ENDING_MS && since > CONN_ENDING_MS))
			conn_close(c, "stalled");
		return;
	}
	if (c->user[0] == '\0' && now - c->start_ms > (int64_t)conf->login_timeout_s * 1000)
		conn_bye(c, "*", "no login in time", "timeout");
	else if (!c->is_busy && now - c->input_ms > (int64_t)conf->idle_timeout_s * 1000)
		conn_bye(c, "*", "idle for too long", "timeout");
	else if (c->out.n > 0 && c->state != CONN_STREAMING && now - c->output_ms > CONN_STALL_MS)
		conn_end(c, "stalled");
	else
		return;
	conn_work(c);
}
