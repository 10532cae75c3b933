/*
 * The LMTP server session. The first byte says how the fake daemon behaves (bit 0: answers later, bit 1:
 * trusted peer), the second how long the pieces are; the rest is what the client sends.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "lmtpreply.h"
#include "lmtps.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct lmtps		*session;
static struct lmtps_rcpt	*asked[DELIVERY_RCPTS_MAX];
static size_t			 nasked;
static bool			 is_late, is_owing;

static void
answer(struct lmtps_rcpt *r)
{
	struct reply	reply;

	reply_set(&reply, r->cmd.to.text[0] == 'p' ? 550 : r->cmd.to.text[0] == 't' ? 451 : 250, "2.1.5 ok");
	lmtps_rcpt_reply(session, r, &reply);
}

static void
deliver(void)
{
	struct reply	reply;

	reply_set(&reply, 250, "2.0.0 ok");
	for (size_t i = session->nrcpts; i-- > 0;)
		lmtps_done(session, i, &reply);
}

static void
on_rcpt(struct lmtps *s, struct lmtps_rcpt *r)
{
	(void)s;
	if (!is_late) {
		answer(r);
		return;
	}
	assert(nasked < DELIVERY_RCPTS_MAX);
	asked[nasked++] = r;
}

static void
on_trace(struct lmtps *s, struct buf *b)
{
	(void)s;
	(void)buf_add_str(b, "T\r\n");
}

/* What is delivered is in wire form: CRLF lines only, no NUL. */
static void
on_message(struct lmtps *s)
{
	struct slice	m = buf_slice(&s->message.mem);

	assert(s->nrcpts > 0 && s->message.fd == -1 && m.n >= 3 && m.p[m.n - 1] == '\n');
	for (size_t i = 0; i < m.n; i++) {
		assert(m.p[i] != '\0');
		assert(m.p[i] != '\n' || (i > 0 && m.p[i - 1] == '\r'));
		assert(m.p[i] != '\r' || m.p[i + 1] == '\n');
	}
	is_owing = is_late;
	if (!is_late)
		deliver();
}

static void
on_ready(struct lmtps *s)
{
	(void)s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct lmtps_ops	ops = {
		.rcpt_bytes = 8, .rcpt = on_rcpt, .trace = on_trace, .message = on_message, .ready = on_ready,
	};
	static struct inflight		inflight = {.max = 100000, .dir_fd = -1};
	static const struct lmtps_conf	conf = {.hostname = "h", .size_max = 60000, .inflight = &inflight};
	static int			null_fd, stderr_fd;
	size_t				step;

	if (null_fd == 0) {
		lmtps_setup();
		null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
		stderr_fd = fcntl(2, F_DUPFD_CLOEXEC, 3);
	}
	if (n < 2 || n > 20000)
		return 0;
	(void)dup2(null_fd, 2);		/* the log */
	is_late = data[0] & 1;
	is_owing = false;
	nasked = 0;
	session = lmtps_make(&conf, &ops, "unix", data[0] & 2);
	step = (size_t)data[1] + 1;
	for (size_t at = 2; at < n && lmtps_wants_input(session); at += step) {
		(void)buf_add(&session->in, data + at, step < n - at ? step : n - at);
		do {
			while (nasked > 0)
				answer(asked[--nasked]);
			if (is_owing)
				deliver();
			is_owing = false;
			lmtps_run(session);
			buf_clear(&session->out);
		} while (session->is_full || nasked > 0 || is_owing);
	}
	assert(!lmtps_is_busy(session));
	lmtps_free(session);
	(void)dup2(stderr_fd, 2);
	assert(inflight.used == 0);
	return 0;
}
