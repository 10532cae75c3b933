/*
 * A load of LMTP deliveries: N connections that each send one message after another as a pipelining
 * MTA does (MAIL, RCPT, DATA in one packet, the message at 354), for M messages in all; the rate and
 * the latency from MAIL to the last recipient's reply. Used by bench.py against us and the peers.
 *   lmtpload HOST PORT connections messages bytes|mix recipients user-format users
 * mix: 70 % of 4 KiB, 20 % of 20 KiB, 9 % of 100 KiB, 1 % of 1 MiB, spread evenly.
 * Prints: messages seconds rate p50_ms p99_ms failed bytes
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
#define RCPTS_MAX	50

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
	char		 envelope[RCPTS_MAX * 80 + 128];
	const struct body *body;
	uint64_t	 started_us;
};

static struct event_base *base;
static const char *user_format, *domain = "example.test";
static unsigned long users, total, begun, done, failed, rcpts;
static uint64_t bytes_sent;

/* What the messages are made of; the same few again and again, so that making them costs nothing. */
static struct body {
	char	*p;
	size_t	 n;
} bodies[4];
static bool is_mix;
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

/* Of 100 messages in a row so many have each size. */
static const struct body *
body_of(unsigned long i)
{
	/* 37 and 100 have no divisor in common: the sizes come mixed. */
	unsigned long at = i * 37 % 100;

	return &bodies[!is_mix || at < 70 ? 0 : at < 90 ? 1 : at < 99 ? 2 : 3];
}

static void
begin_message(struct conn *c)
{
	size_t n;

	if (begun == total) {
		event_del(c->read);
		return;
	}
	n = (size_t)snprintf(c->envelope, sizeof c->envelope, "MAIL FROM:<sender@elsewhere.example>\r\n");
	for (unsigned long i = 0; i < rcpts; i++) {
		char user[64];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(user, sizeof user, user_format, (int)((begun * rcpts + i) % users));
#pragma GCC diagnostic pop
		n += (size_t)snprintf(c->envelope + n, sizeof c->envelope - n, "RCPT TO:<%s@%s>\r\n", user, domain);
	}
	n += (size_t)snprintf(c->envelope + n, sizeof c->envelope - n, "DATA\r\n");
	c->body = body_of(begun++);
	c->started_us = now_us();
	c->state = ENVELOPE;
	c->replies_due = 2 + (int)rcpts;
	send_now(c, c->envelope, n);
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
			c->replies_due = (int)rcpts;
			bytes_sent += c->body->n;
			send_now(c, c->body->p, c->body->n);
		}
		break;
	case BODY:
		if (!good) {
			if (failed == 0)
				warnx("not delivered: %s", line);
			failed++;
		}
		if (--c->replies_due > 0)
			break;
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
make_body(struct body *out, size_t bytes)
{
	static const char head[] = "From: sender@elsewhere.example\r\nTo: someone@example.test\r\nSubject: bench\r\n\r\n";
	uint64_t x = now_us() | 1;
	char *p = malloc(bytes + 6);

	if (p == NULL)
		err(1, "malloc");
	memcpy(p, head, sizeof head - 1);
	for (size_t i = sizeof head - 1; i < bytes; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		p[i] = (i % 78 == 76) ? '\r' : (i % 78 == 77) ? '\n' : (char)('a' + (x >> 60));
	}
	/* whole lines only */
	while (bytes > 0 && p[bytes - 1] != '\n')
		bytes--;
	memcpy(p + bytes, ".\r\n", 4);
	*out = (struct body){p, bytes + 3};
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

	if (argc != 9)
		errx(100, "usage: lmtpload HOST PORT connections messages bytes|mix recipients user-format users");
	inet_pton(AF_INET, argv[1], &sin.sin_addr);
	sin.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	nconns = strtoul(argv[3], NULL, 10);
	total = strtoul(argv[4], NULL, 10);
	is_mix = strcmp(argv[5], "mix") == 0;
	make_body(&bodies[0], is_mix ? 4096 : strtoul(argv[5], NULL, 10));
	make_body(&bodies[1], 20 * 1024);
	make_body(&bodies[2], 100 * 1024);
	make_body(&bodies[3], 1024 * 1024);
	rcpts = strtoul(argv[6], NULL, 10);
	user_format = argv[7];
	users = strtoul(argv[8], NULL, 10);
	latency_us = calloc(total, sizeof *latency_us);
	base = event_base_new();
	if (latency_us == NULL || base == NULL || users == 0 || total < nconns || rcpts == 0 || rcpts > RCPTS_MAX)
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
	printf("%lu %.3f %.1f %.3f %.3f %lu %lu\n", total, s, (double)total / s, latency_us[total / 2] / 1e3,
	    latency_us[total * 99 / 100] / 1e3, failed, bytes_sent);
	return 0;
}
