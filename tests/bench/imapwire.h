/*
 * What the IMAP load programs share: the framing of a server's answers (RFC 9051, 4.3: a line that ends in {n} goes on
 * after n bytes), connections, the clock and sorted samples. A line of any length is taken as it comes; only its first
 * bytes are kept, for no figure needs more, so that the client costs little beside the server.
 */
#ifndef TS_BENCH_IMAPWIRE_H
#define TS_BENCH_IMAPWIRE_H

#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WIRE_HEAD_BYTES	160	/* of a line that are kept */
#define WIRE_TAIL_BYTES	24	/* more than "{18446744073709551615}\r\n" */
#define WIRE_READ_BYTES	(64 * 1024)

struct wire {
	char		head[WIRE_HEAD_BYTES + 1];
	char		tail[WIRE_TAIL_BYTES + 1];
	size_t		head_n, tail_n;
	uint64_t	literal;	/* bytes of it still to come */
	uint64_t	bytes;		/* all that came */
};

/* A response is over, literals and all: its first bytes without CRLF. Returns false if no more of this input is to be read. */
typedef bool wire_line(void *arg, const char *head);

static inline uint64_t
wire_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline void
wire_keep_tail(struct wire *w, const char *p, size_t n)
{
	size_t old;

	if (n > WIRE_TAIL_BYTES) {
		p += n - WIRE_TAIL_BYTES;
		n = WIRE_TAIL_BYTES;
	}
	old = w->tail_n + n > WIRE_TAIL_BYTES ? WIRE_TAIL_BYTES - n : w->tail_n;
	memmove(w->tail, w->tail + w->tail_n - old, old);
	memcpy(w->tail + old, p, n);
	w->tail_n = old + n;
	w->tail[w->tail_n] = '\0';
}

/* The size of the literal that a line's end announces; 0 if none does. */
static inline uint64_t
wire_literal(const struct wire *w)
{
	const char *open = strrchr(w->tail, '{');
	unsigned long long n;
	char *end;

	if (open == NULL || open[1] < '0' || open[1] > '9')
		return 0;
	n = strtoull(open + 1, &end, 10);
	return strcmp(end, "}\r\n") == 0 ? n : 0;
}

static inline void
wire_feed(struct wire *w, const char *p, size_t n, wire_line *line, void *arg)
{
	w->bytes += n;
	while (n > 0) {
		const char *end;
		size_t take, head;

		if (w->literal > 0) {
			take = n < w->literal ? n : (size_t)w->literal;
			w->literal -= take;
			p += take;
			n -= take;
			continue;
		}
		end = memchr(p, '\n', n);
		take = end == NULL ? n : (size_t)(end - p) + 1;
		head = take < WIRE_HEAD_BYTES - w->head_n ? take : WIRE_HEAD_BYTES - w->head_n;
		memcpy(w->head + w->head_n, p, head);
		w->head_n += head;
		wire_keep_tail(w, p, take);
		p += take;
		n -= take;
		if (end == NULL)
			return;
		w->literal = wire_literal(w);
		w->tail_n = 0;
		if (w->literal > 0)
			continue;
		w->head[w->head_n] = '\0';
		w->head[strcspn(w->head, "\r\n")] = '\0';
		w->head_n = 0;
		if (!line(arg, w->head))
			return;
	}
}

/* True if the line is an untagged response of that kind, as "* 12 FETCH": the word at its third place. */
static inline bool
wire_is_numbered(const char *head, const char *kind)
{
	size_t digits;

	if (strncmp(head, "* ", 2) != 0 || (digits = strspn(head + 2, "0123456789")) == 0 || head[2 + digits] != ' ')
		return false;
	return strncmp(head + 3 + digits, kind, strlen(kind)) == 0;
}

static inline int
wire_connect(const char *host, const char *port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
	int fd, one = 1;

	if (inet_pton(AF_INET, host, &sin.sin_addr) != 1 || (fd = socket(AF_INET, SOCK_STREAM, 0)) < 0 ||
	    connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0)
		err(1, "connect to %s port %s", host, port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/*
 * To be called after each read: acknowledge at once. A server that writes an answer in two pieces without TCP_NODELAY waits
 * for the acknowledgement of the first, which Linux delays by 40 ms; it is not those that are to be measured.
 */
static inline void
wire_quickack(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
}

static inline void
wire_user(char *out, size_t size, const char *format, unsigned long n)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(out, size, format, (int)n);
#pragma GCC diagnostic pop
}

static inline int
wire_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

#endif
