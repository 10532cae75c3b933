/*
 * Many idling IMAP sessions: opens them (LOGIN, SELECT INBOX, IDLE), keeps them, and on order delivers messages one after
 * another over LMTP and takes the time from each acknowledgement until every session of its user is told EXISTS. Used by
 * imap.py against us and the peers.
 *   imapidle HOST IMAP-PORT LMTP-PORT user-format users password sessions
 * Sessions are of the users in turn. Prints "idle sessions seconds" when all idle; then, for each line of input with a number
 * of deliveries: "told samples p50_ms p99_ms worst_ms missed"; ends at the end of input.
 */
#include <errno.h>

#include <event2/event.h>

#include "imapwire.h"

#define OPENING_MAX	64		/* sessions that log in at a time */
#define OPEN_SECONDS_MAX 600
#define TOLD_SECONDS_MAX 40		/* longer than servers that poll wait for */
#define BETWEEN_US	20000		/* of one delivery and the next, and up to twice that: not in step with anybody's timer */
#define LINE_BYTES	1024

enum step { GREETING, LOGIN, SELECT, IDLE, IDLING };

struct conn {
	int		 fd;
	struct event	*event;
	struct wire	 wire;
	enum step	 step;
	unsigned long	 user;
	bool		 is_awaited;	/* EXISTS of the delivery that is under way */
};

static struct event_base *base;
static struct conn *conns;
static const char *host, *imap_port, *user_format, *password;
static unsigned long users, sessions, begun, idling, awaited;
static uint64_t acked_us;
static uint32_t *samples;
static size_t nsamples, samples_max;
static char input[WIRE_READ_BYTES];

static void session_begin(void);

static void
time_is_up(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	event_base_loopbreak(base);
}

/* Until somebody breaks the loop, or so long. */
static void
dispatch(int seconds)
{
	struct timeval limit = {seconds, 0};
	struct event *timer = evtimer_new(base, time_is_up, NULL);

	if (timer == NULL)
		errx(1, "event");
	evtimer_add(timer, &limit);
	event_base_dispatch(base);
	event_free(timer);
}

static void
command(struct conn *c)
{
	char what[256], user[64];
	size_t n;

	wire_user(user, sizeof(user), user_format, c->user);
	n = (size_t)(c->step == LOGIN ? snprintf(what, sizeof(what), "b LOGIN %s %s\r\n", user, password) :
	    c->step == SELECT ? snprintf(what, sizeof(what), "c SELECT INBOX\r\n") : snprintf(what, sizeof(what), "d IDLE\r\n"));
	if (send(c->fd, what, n, MSG_NOSIGNAL) != (ssize_t)n)
		err(1, "send");
}

static void
told(struct conn *c)
{
	if (!c->is_awaited)
		return;
	c->is_awaited = false;
	if (nsamples < samples_max)
		samples[nsamples++] = (uint32_t)(wire_now_us() - acked_us);
	if (--awaited == 0)
		event_base_loopbreak(base);
}

static bool
line(void *arg, const char *head)
{
	struct conn *c = arg;
	char tagged[8];

	if (strncmp(head, "* BYE", 5) == 0)
		errx(1, "session ended: %s", head);
	if (c->step == IDLING) {
		if (wire_is_numbered(head, "EXISTS"))
			told(c);
		return true;
	}
	snprintf(tagged, sizeof(tagged), "%c OK", 'a' + (char)c->step);
	if (c->step == GREETING ? strncmp(head, "* OK", 4) != 0 : c->step == IDLE ? head[0] != '+' : strncmp(head, tagged, 4) != 0) {
		if (head[0] != '*')
			errx(1, "refused at step %d: %s", c->step, head);
		return true;
	}
	if (++c->step < IDLING) {
		command(c);
		return true;
	}
	if (++idling == sessions)
		event_base_loopbreak(base);
	else if (begun < sessions)
		session_begin();
	return true;
}

static void
readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	ssize_t n = recv(fd, input, sizeof(input), MSG_DONTWAIT);

	(void)what;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		errx(1, "connection ended at step %d, %lu sessions idling", c->step, idling);
	wire_quickack(fd);
	wire_feed(&c->wire, input, (size_t)n, line, c);
}

static void
session_begin(void)
{
	struct conn *c = &conns[begun];

	c->user = begun++ % users;
	c->fd = wire_connect(host, imap_port);
	if ((c->event = event_new(base, c->fd, EV_READ | EV_PERSIST, readable, c)) == NULL)
		errx(1, "event");
	event_add(c->event, NULL);
}

/* Reads replies up to one that is no continuation line; its code. */
static int
lmtp_reply(FILE *f)
{
	char text[LINE_BYTES];

	do {
		if (fgets(text, sizeof(text), f) == NULL)
			errx(1, "LMTP: closed");
	} while (strlen(text) > 3 && text[3] == '-');
	return atoi(text);
}

static void
lmtp_expect(FILE *f, int code, const char *what)
{
	int got = lmtp_reply(f);

	if (got != code)
		errx(1, "LMTP: %s: %d", what, got);
}

static void
deliver(FILE *out, FILE *in, unsigned long user, unsigned long number)
{
	char name[64];

	wire_user(name, sizeof(name), user_format, user);
	fprintf(out, "MAIL FROM:<sender@elsewhere.example>\r\nRCPT TO:<%s@example.test>\r\nDATA\r\n", name);
	fflush(out);
	lmtp_expect(in, 250, "MAIL");
	lmtp_expect(in, 250, "RCPT");
	lmtp_expect(in, 354, "DATA");
	fprintf(out, "From: sender@elsewhere.example\r\nTo: %s@example.test\r\nSubject: delivery %lu of %d\r\n\r\nHere it is.\r\n.\r\n",
	    name, number, (int)getpid());
	fflush(out);
	lmtp_expect(in, 250, "message");
	acked_us = wire_now_us();
}

/* Waits until all sessions of the user are told; returns how many were not in time. */
static unsigned long
wait_told(void)
{
	unsigned long missed;

	if (awaited > 0)
		dispatch(TOLD_SECONDS_MAX);
	missed = awaited;
	for (unsigned long i = 0; i < sessions; i++)
		conns[i].is_awaited = false;
	return missed;
}

static void
deliveries(FILE *out, FILE *in, unsigned long n)
{
	unsigned long missed = 0;

	samples_max = n * (sessions / users + 1);
	nsamples = 0;
	if ((samples = calloc(samples_max + 1, sizeof(*samples))) == NULL)
		err(1, "malloc");
	for (unsigned long i = 0; i < n; i++) {
		unsigned long user = i % (users < sessions ? users : sessions);

		awaited = 0;
		for (unsigned long k = user; k < sessions; k += users) {
			conns[k].is_awaited = true;
			awaited++;
		}
		deliver(out, in, user, i);
		missed += wait_told();
		usleep(BETWEEN_US + (useconds_t)(wire_now_us() % BETWEEN_US));
	}
	qsort(samples, nsamples, sizeof(*samples), wire_compare);
	if (nsamples == 0)
		samples[nsamples++] = TOLD_SECONDS_MAX * 1000000U;
	printf("told %zu %.3f %.3f %.3f %lu\n", nsamples, samples[nsamples / 2] / 1e3, samples[nsamples * 99 / 100] / 1e3,
	    samples[nsamples - 1] / 1e3, missed);
	fflush(stdout);
	free(samples);
}

int
main(int argc, char **argv)
{
	char text[LINE_BYTES];
	uint64_t t0 = wire_now_us();
	FILE *in, *out;
	int fd;

	if (argc != 8)
		errx(100, "usage: imapidle HOST IMAP-PORT LMTP-PORT user-format users password sessions");
	host = argv[1];
	imap_port = argv[2];
	user_format = argv[4];
	users = strtoul(argv[5], NULL, 10);
	password = argv[6];
	sessions = strtoul(argv[7], NULL, 10);
	base = event_base_new();
	if (base == NULL || users == 0 || sessions == 0 || (conns = calloc(sessions, sizeof(*conns))) == NULL)
		errx(1, "cannot start");
	while (begun < sessions && begun < OPENING_MAX)
		session_begin();
	dispatch(OPEN_SECONDS_MAX);
	if (idling < sessions)
		errx(1, "only %lu of %lu sessions in %d s", idling, sessions, OPEN_SECONDS_MAX);
	printf("idle %lu %.3f\n", sessions, (double)(wire_now_us() - t0) / 1e6);
	fflush(stdout);
	fd = wire_connect(host, argv[3]);
	if ((in = fdopen(fd, "r")) == NULL || (out = fdopen(dup(fd), "w")) == NULL)
		err(1, "fdopen");
	lmtp_expect(in, 220, "greeting");
	fprintf(out, "LHLO bench.example\r\n");
	fflush(out);
	lmtp_expect(in, 250, "LHLO");
	while (fgets(text, sizeof(text), stdin) != NULL)
		deliveries(out, in, strtoul(text, NULL, 10));
	return 0;
}
