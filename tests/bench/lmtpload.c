/*
 * A load of LMTP deliveries: N connections that each send one message after another as a pipelining
 * MTA does (MAIL, RCPT, DATA in one packet, the message at 354), for M messages in all; the rate and
 * the latency from MAIL to the last recipient's reply. Used by bench.py against us and the peers.
 *   lmtpload HOST PORT connections messages bytes user-format users
 * Prints: messages seconds rate p50_ms p99_ms failed
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "slice.h"

#define LINE_BYTES	4096
#define SECONDS_MAX	300

enum state { GREETING, LHLO, ENVELOPE, BODY };

struct conn {
	int		 fd;
	struct event	*read, *write;
	enum state	 state;
	int		 replies_due;
	char		 in[LINE_BYTES];
	size_t		 in_n;
	const char	*out;
	size_t		 out_n;
	char		 envelope[512];
	uint64_t	 started_us;
};

static struct event_base *base;
static const char *user_format, *domain = "example.test";
static unsigned long users, total, begun, done, failed;
static char *body;
static size_t body_n;
static uint32_t *latency_us;

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
send_more(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	ssize_t n;

	(void)what;
	while (c->out_n > 0) {
		n = send(fd, c->out, c->out_n, MSG_NOSIGNAL);
		if (n < 0) {
			if (errno == EAGAIN) {
				event_add(c->write, NULL);
				return;
			}
			err(1, "send");
		}
		c->out += n;
		c->out_n -= (size_t)n;
	}
}

static void
send_now(struct conn *c, const char *p, size_t n)
{
	c->out = p;
	c->out_n = n;
	send_more(c->fd, 0, c);
}

static void
begin_message(struct conn *c)
{
	char user[64];

	if (begun == total) {
		event_del(c->read);
		return;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(user, sizeof user, user_format, (int)(begun % users));
#pragma GCC diagnostic pop
	begun++;
	c->started_us = now_us();
	c->state = ENVELOPE;
	c->replies_due = 3;
	snprintf(c->envelope, sizeof c->envelope, "MAIL FROM:<sender@elsewhere.example>\r\nRCPT TO:<%s@%s>\r\nDATA\r\n", user,
	    domain);
	send_now(c, c->envelope, strlen(c->envelope));
}

static void
reply(struct conn *c, const char *line)
{
	bool good = line[0] == '2' || line[0] == '3';

	if (line[3] == '-')
		return;
	switch (c->state) {
	case GREETING:
		c->state = LHLO;
		send_now(c, "LHLO bench.example\r\n", 20);
		break;
	case LHLO:
		begin_message(c);
		break;
	case ENVELOPE:
		if (!good)
			errx(1, "refused: %s", line);
		if (--c->replies_due == 0) {
			c->state = BODY;
			send_now(c, body, body_n);
		}
		break;
	case BODY:
		if (!good) {
			if (failed == 0)
				warnx("not delivered: %s", line);
			failed++;
		}
		latency_us[done++] = (uint32_t)(now_us() - c->started_us);
		if (done == total)
			event_base_loopbreak(base);
		else
			begin_message(c);
		break;
	}
}

static void
readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	ssize_t n = recv(fd, c->in + c->in_n, sizeof c->in - c->in_n - 1, 0);
	char *line, *end;

	(void)what;
	if (n <= 0)
		errx(1, "connection ended");
	c->in_n += (size_t)n;
	c->in[c->in_n] = '\0';
	for (line = c->in; (end = strstr(line, "\r\n")) != NULL; line = end + 2) {
		*end = '\0';
		reply(c, line);
	}
	c->in_n -= (size_t)(line - c->in);
	memmove(c->in, line, c->in_n);
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void
make_body(size_t bytes)
{
	static const char head[] = "From: sender@elsewhere.example\r\nTo: someone@example.test\r\nSubject: bench\r\n\r\n";
	uint64_t x = now_us() | 1;
	size_t i;

	body_n = bytes + 5;
	body = malloc(body_n + 1);
	if (body == NULL)
		err(1, "malloc");
	memcpy(body, head, sizeof head - 1);
	for (i = sizeof head - 1; i < bytes; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		body[i] = (i % 78 == 76) ? '\r' : (i % 78 == 77) ? '\n' : (char)('a' + (x >> 60));
	}
	/* whole lines only */
	while (bytes > 0 && body[bytes - 1] != '\n')
		bytes--;
	memcpy(body + bytes, ".\r\n", 4);
	body_n = bytes + 3;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct timeval limit = {SECONDS_MAX, 0};
	unsigned long nconns, i;
	uint64_t t0;
	double s;
	int one = 1;

	if (argc != 8)
		errx(100, "usage: lmtpload HOST PORT connections messages bytes user-format users");
	inet_pton(AF_INET, argv[1], &sin.sin_addr);
	sin.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	nconns = strtoul(argv[3], NULL, 10);
	total = strtoul(argv[4], NULL, 10);
	make_body(strtoul(argv[5], NULL, 10));
	user_format = argv[6];
	users = strtoul(argv[7], NULL, 10);
	latency_us = calloc(total, sizeof *latency_us);
	base = event_base_new();
	if (latency_us == NULL || base == NULL || users == 0 || total < nconns)
		errx(1, "cannot start");
	t0 = now_us();
	for (i = 0; i < nconns; i++) {
		struct conn *c = calloc(1, sizeof *c);

		if (c == NULL || (c->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0 ||
		    connect(c->fd, (struct sockaddr *)&sin, sizeof sin) != 0)
			err(1, "connect");
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		evutil_make_socket_nonblocking(c->fd);
		c->read = event_new(base, c->fd, EV_READ | EV_PERSIST, readable, c);
		c->write = event_new(base, c->fd, EV_WRITE, send_more, c);
		event_add(c->read, NULL);
	}
	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
	s = (double)(now_us() - t0) / 1e6;
	if (done != total)
		errx(1, "only %lu of %lu messages in %d s", done, total, SECONDS_MAX);
	qsort(latency_us, total, sizeof *latency_us, compare);
	printf("%lu %.3f %.1f %.3f %.3f %lu\n", total, s, (double)total / s, latency_us[total / 2] / 1e3,
	    latency_us[total * 99 / 100] / 1e3, failed);
	return 0;
}
