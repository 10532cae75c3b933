/*
 * A load of whole IMAP sessions: N connections, each of which logs in, selects INBOX, fetches 50 envelopes, then three
 * whole messages one at a time, changes a flag and logs out, and begins again as another user, for M sessions in all. Every
 * command waits for the answer to the one before, as mail clients do. An answer that is not OK or lacks a message ends the
 * program: nothing is fast because it fails. Used by imap.py against us and the peers.
 *   imapload HOST PORT plain|tls connections sessions first user-format users password
 * first is the number of sessions that runs before had: it decides which flag is changed, so that something is. Prints:
 * sessions seconds rate p50_ms p99_ms bytes
 */
#include <errno.h>

#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "imapwire.h"

#define SECONDS_MAX	300
#define ENVELOPES	50
#define BODIES		3
#define UNCHANGED_MAX_PART 10

enum step { GREETING, LOGIN, SELECT, ENVELOPE, BODY, STORE = BODY + BODIES, LOGOUT, STEPS };

struct conn {
	const char	*host, *port;
	int		 fd;
	SSL		*ssl;
	struct event	*event;
	struct wire	 wire;
	enum step	 step;
	unsigned long	 number, fetched;
	uint64_t	 started_us;
	bool		 is_over;
	char		 out[256];
	size_t		 out_n, out_at;
};

static struct event_base *base;
static SSL_CTX *tls;
static const char *user_format, *password;
static unsigned long users, total, first, begun, done, unchanged;
static uint64_t bytes;
static uint32_t *latency_us;
static char input[WIRE_READ_BYTES];

static void session_begin(struct conn *);
static void ready(evutil_socket_t, short, void *);

static void
wait_for(struct conn *c, short what)
{
	event_assign(c->event, base, c->fd, what, ready, c);
	event_add(c->event, NULL);
}

/* Returns what was moved, 0 if the socket is not ready (and then waits for it), -1 at the end. */
static ssize_t
moved(struct conn *c, ssize_t n, short wanted)
{
	int why;

	if (n > 0)
		return n;
	if (c->ssl != NULL) {
		why = SSL_get_error(c->ssl, (int)n);
		if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
			wait_for(c, why == SSL_ERROR_WANT_READ ? EV_READ : EV_WRITE);
			return 0;
		}
		ERR_clear_error();
		return -1;
	}
	if (n < 0 && errno == EAGAIN) {
		wait_for(c, wanted);
		return 0;
	}
	return -1;
}

/* False if the connection has to wait. */
static bool
send_rest(struct conn *c)
{
	while (c->out_at < c->out_n) {
		size_t left = c->out_n - c->out_at;
		ssize_t n = c->ssl != NULL ? SSL_write(c->ssl, c->out + c->out_at, (int)left) :
		    send(c->fd, c->out + c->out_at, left, MSG_NOSIGNAL);

		if ((n = moved(c, n, EV_WRITE)) < 0)
			errx(1, "connection ended at step %d", c->step);
		if (n == 0)
			return false;
		c->out_at += (size_t)n;
	}
	return true;
}

/* The command of the step; its tag is the step's letter. */
static void
command(struct conn *c)
{
	char what[192], user[64];
	/* three of the first fifty, others in each session */
	unsigned long at = c->number * 7 % ENVELOPES;

	switch (c->step) {
	case LOGIN:
		wire_user(user, sizeof(user), user_format, c->number % users);
		snprintf(what, sizeof(what), "LOGIN %s %s", user, password);
		break;
	case SELECT:
		snprintf(what, sizeof(what), "SELECT INBOX");
		break;
	case ENVELOPE:
		snprintf(what, sizeof(what), "FETCH 1:%d (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)", ENVELOPES);
		break;
	case STORE:
		/* a user's next session changes it back: every one changes something */
		snprintf(what, sizeof(what), "STORE %lu %cFLAGS (\\Flagged)", c->number / users % ENVELOPES / 2 + 1,
		    c->number / users % 2 == 0 ? '+' : '-');
		break;
	case LOGOUT:
		snprintf(what, sizeof(what), "LOGOUT");
		break;
	default:
		snprintf(what, sizeof(what), "FETCH %lu (BODY.PEEK[])", (at + (c->step - BODY) * 11) % ENVELOPES + 1);
		break;
	}
	c->out_n = (size_t)snprintf(c->out, sizeof(c->out), "%c %s\r\n", 'a' + (char)c->step, what);
	c->out_at = 0;
	c->fetched = 0;
}

static unsigned long
fetched_due(enum step step)
{
	return step == ENVELOPE ? ENVELOPES : step >= BODY && step < STORE ? 1 : 0;
}

static bool
line(void *arg, const char *head)
{
	struct conn *c = arg;
	char tagged[8];

	if (wire_is_numbered(head, "FETCH"))
		c->fetched++;
	snprintf(tagged, sizeof(tagged), "%c OK", 'a' + (char)c->step);
	if (c->step == GREETING ? strncmp(head, "* OK", 4) != 0 : strncmp(head, tagged, 4) != 0) {
		if (c->step == GREETING || head[0] == tagged[0] || (c->step != LOGOUT && strncmp(head, "* BYE", 5) == 0))
			errx(1, "refused at step %d: %s", c->step, head);
		return true;
	}
	if (c->fetched < fetched_due(c->step))
		errx(1, "step %d brought %lu messages: %s", c->step, c->fetched, head);
	if (c->step == STORE && c->fetched == 0)
		unchanged++;
	if (++c->step == STEPS) {
		c->is_over = true;
		return false;
	}
	command(c);
	return true;
}

static void
session_end(struct conn *c)
{
	bytes += c->wire.bytes;
	latency_us[done++] = (uint32_t)(wire_now_us() - c->started_us);
	if (c->ssl != NULL)
		SSL_free(c->ssl);
	close(c->fd);
	if (done == total)
		event_base_loopbreak(base);
	else if (begun < total)
		session_begin(c);
}

static void
ready(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	ssize_t n;

	(void)fd;
	(void)what;
	for (;;) {
		if (!send_rest(c))
			return;
		n = c->ssl != NULL ? SSL_read(c->ssl, input, sizeof(input)) : recv(c->fd, input, sizeof(input), 0);
		if ((n = moved(c, n, EV_READ)) == 0)
			return;
		if (n < 0)
			errx(1, "connection ended at step %d", c->step);
		wire_quickack(c->fd);
		wire_feed(&c->wire, input, (size_t)n, line, c);
		if (c->is_over) {
			session_end(c);
			return;
		}
	}
}

static void
session_begin(struct conn *c)
{
	c->number = first + begun++;
	c->started_us = wire_now_us();
	c->wire = (struct wire){0};
	c->step = GREETING;
	c->out_n = c->out_at = 0;
	c->is_over = false;
	c->ssl = NULL;
	c->fd = wire_connect(c->host, c->port);
	evutil_make_socket_nonblocking(c->fd);
	if (tls != NULL) {
		if ((c->ssl = SSL_new(tls)) == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
			errx(1, "TLS");
		SSL_set_connect_state(c->ssl);
	}
	wait_for(c, tls != NULL ? EV_WRITE : EV_READ);
}

int
main(int argc, char **argv)
{
	struct timeval limit = {SECONDS_MAX, 0};
	unsigned long nconns;
	uint64_t t0;
	double s;

	if (argc != 10)
		errx(100, "usage: imapload HOST PORT plain|tls connections sessions first user-format users password");
	if (strcmp(argv[3], "tls") == 0 && (tls = SSL_CTX_new(TLS_client_method())) == NULL)
		errx(1, "TLS");
	nconns = strtoul(argv[4], NULL, 10);
	total = strtoul(argv[5], NULL, 10);
	first = strtoul(argv[6], NULL, 10);
	user_format = argv[7];
	users = strtoul(argv[8], NULL, 10);
	password = argv[9];
	latency_us = calloc(total + 1, sizeof(*latency_us));
	base = event_base_new();
	if (latency_us == NULL || base == NULL || users == 0 || nconns == 0 || total < nconns)
		errx(1, "cannot start");
	t0 = wire_now_us();
	for (unsigned long i = 0; i < nconns; i++) {
		struct conn *c = calloc(1, sizeof(*c));

		if (c == NULL || (c->event = event_new(base, -1, 0, ready, c)) == NULL)
			err(1, "malloc");
		c->host = argv[1];
		c->port = argv[2];
		session_begin(c);
	}
	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
	s = (double)(wire_now_us() - t0) / 1e6;
	if (done != total)
		errx(1, "only %lu of %lu sessions in %d s", done, total, SECONDS_MAX);
	/* two sessions of a user that meet can change a flag twice the same way, but few do */
	if (unchanged > total / UNCHANGED_MAX_PART)
		errx(1, "%lu of %lu sessions changed no flag", unchanged, total);
	qsort(latency_us, total, sizeof(*latency_us), wire_compare);
	printf("%lu %.3f %.1f %.3f %.3f %lu\n", total, s, (double)total / s, latency_us[total / 2] / 1e3,
	    latency_us[total * 99 / 100] / 1e3, bytes);
	return 0;
}
