/*
 * The relay. See relay.h. Bytes are read into one scratch block of the process and written on at once;
 * what is not taken is copied to a block from a pool.
 */
#include "relay.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "log.h"

#define RELAY_ROUNDS	8	/* blocks of one connection before the others have their turn */
#define POOL_KEEP	64	/* free blocks kept: 1 MiB */

struct relay_block {
	struct relay_block	*next;		/* in the pool */
	size_t			 from, to;	/* what is held */
	char			 p[RELAY_BLOCK_BYTES];
};

static struct relay_block *pool;
static size_t pool_n;
static char scratch[RELAY_BLOCK_BYTES];

static struct relay_block *
block_take(struct slice held)
{
	struct relay_block *b = pool;

	assert(held.n <= RELAY_BLOCK_BYTES);
	if (b != NULL) {
		pool = b->next;
		pool_n--;
	} else if ((b = malloc(sizeof(*b))) == NULL) {
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(*b)));
	}
	memcpy(b->p, held.p, held.n);
	b->from = 0;
	b->to = held.n;
	return b;
}

static void
block_give(struct relay_block **at)
{
	struct relay_block *b = *at;

	*at = NULL;
	if (b == NULL)
		return;
	explicit_bzero(b->p, b->to);	/* mail; and the next to hold it is somebody else's */
	if (pool_n >= POOL_KEEP) {
		free(b);
		return;
	}
	b->next = pool;
	pool = b;
	pool_n++;
}

void
relay_init(struct relay *r, const char *tag)
{
	*r = (struct relay){.why = "", .last = '\n'};
	if (tag == NULL)
		return;
	strcpy(r->answer, tag);
	strcat(r->answer, " ");
}

void
relay_free(struct relay *r)
{
	block_give(&r->up);
	block_give(&r->down);
}

void
relay_preload(struct relay *r, struct slice s)
{
	assert(r->up == NULL);
	if (s.n > 0)
		r->up = block_take(s);
}

bool
relay_is_stuck(const struct relay *r)
{
	return r->up != NULL || r->down != NULL;
}

/* Looks through the backend's output for the login's answer: "TAG OK", "TAG NO", "+OK", "-ERR" at a line's beginning. */
static void
watch(struct relay *r, struct slice s)
{
	size_t want = strlen(r->answer);

	for (size_t i = 0; i < s.n && r->login == RELAY_WAITING; i++) {
		char c = s.p[i];

		if (!r->is_other_line && r->matched == want)
			r->login = c == 'O' || c == 'o' || c == '+' ? RELAY_ACCEPTED : RELAY_REFUSED;
		else if (!r->is_other_line && c == r->answer[r->matched])
			r->matched++;
		else
			r->is_other_line = true;
		if (c == '\n') {
			r->is_other_line = false;
			r->matched = 0;
		}
	}
}

static enum relay_state
over(struct relay *r, const char *why)
{
	r->why = why;
	return RELAY_OVER;
}

/* Writes to the client; how many were taken, -1 when it is gone. */
static ssize_t
client_write(struct relay *r, struct tls_stream *client, const char *p, size_t n)
{
	size_t done = 0, put = 0;

	while (done < n) {
		enum tls_io io = tls_write(client, p + done, n - done, &put);

		if (io == TLS_WANT_READ || io == TLS_WANT_WRITE) {
			r->want_client |= io == TLS_WANT_READ ? RELAY_READ : RELAY_WRITE;
			break;
		}
		if (io != TLS_DONE)
			return -1;
		done += put;
		r->last = p[done - 1];
	}
	r->bytes_out += done;
	r->moved = r->moved || done > 0;
	return (ssize_t)done;
}

static ssize_t
backend_write(struct relay *r, int backend, const char *p, size_t n)
{
	ssize_t put;

	do
		put = send(backend, p, n, MSG_NOSIGNAL);
	while (put == -1 && errno == EINTR);
	if (put == -1 && errno != EAGAIN)
		return -1;
	if (put != (ssize_t)n)
		r->want_backend |= RELAY_WRITE;
	r->moved = r->moved || put > 0;
	return put == -1 ? 0 : put;
}

/* A held block first. 1: the way is free; 0: still held; -1: the side it goes to is gone. */
static int
flush_up(struct relay *r, int backend)
{
	ssize_t n;

	if (r->up == NULL)
		return 1;
	n = backend_write(r, backend, r->up->p + r->up->from, r->up->to - r->up->from);
	if (n == -1)
		return -1;
	r->up->from += (size_t)n;
	if (r->up->from < r->up->to)
		return 0;
	block_give(&r->up);
	return 1;
}

static int
flush_down(struct relay *r, struct tls_stream *client)
{
	ssize_t n;

	if (r->down == NULL)
		return 1;
	n = client_write(r, client, r->down->p + r->down->from, r->down->to - r->down->from);
	if (n == -1)
		return -1;
	r->down->from += (size_t)n;
	if (r->down->from < r->down->to)
		return 0;
	block_give(&r->down);
	return 1;
}

/* Client to backend. True: something may be left to do at once. *state_out is set when it is over. */
static bool
pump_up(struct relay *r, struct tls_stream *client, int backend, enum relay_state *state_out)
{
	size_t n = 0;
	ssize_t put;
	int free_way;

	if (r->login != RELAY_ACCEPTED)
		return false;
	free_way = r->backend_ended ? 0 : flush_up(r, backend);
	if (free_way == -1)
		r->backend_ended = true;	/* it may have said something before: read on */
	if (free_way != 1 || r->client_ended) {
		if (r->client_ended && r->up == NULL && !r->up_shut && !r->backend_ended) {
			shutdown(backend, SHUT_WR);
			r->up_shut = true;
		}
		return false;
	}
	switch (tls_read(client, scratch, sizeof(scratch), &n)) {
	case TLS_DONE:
		break;
	case TLS_WANT_READ:
		r->want_client |= RELAY_READ;
		return false;
	case TLS_WANT_WRITE:
		r->want_client |= RELAY_WRITE;
		return false;
	case TLS_END:
		r->client_ended = true;
		return true;
	case TLS_FAIL:
		*state_out = over(r, "client_lost");
		return false;
	}
	r->bytes_in += n;
	r->moved = true;
	put = backend_write(r, backend, scratch, n);
	if (put == -1)
		r->backend_ended = true;
	else if ((size_t)put < n)
		r->up = block_take((struct slice){scratch + put, n - (size_t)put});
	return put == (ssize_t)n;
}

/* Backend to client. */
static bool
pump_down(struct relay *r, struct tls_stream *client, int backend, enum relay_state *state_out)
{
	int free_way = flush_down(r, client);
	ssize_t n, put;

	if (free_way == -1)
		*state_out = over(r, "client_lost");
	if (free_way != 1)
		return false;
	do
		n = recv(backend, scratch, sizeof(scratch), 0);
	while (n == -1 && errno == EINTR);
	if (n == -1 && errno == EAGAIN) {
		r->want_backend |= RELAY_READ;
		return false;
	}
	if (n <= 0) {
		r->backend_ended = true;
		*state_out = over(r, r->client_ended ? "client_end" : "backend_end");
		return false;
	}
	if (r->login == RELAY_WAITING)
		watch(r, (struct slice){scratch, (size_t)n});
	put = client_write(r, client, scratch, (size_t)n);
	if (put == -1)
		*state_out = over(r, "client_lost");
	else if (put < n)
		r->down = block_take((struct slice){scratch + put, (size_t)(n - put)});
	return put == n;
}

enum relay_state
relay_pump(struct relay *r, struct tls_stream *client, int backend)
{
	enum relay_state state = RELAY_GOING;
	bool up = true, down = true;

	r->moved = false;
	for (int i = 0; i < RELAY_ROUNDS && (up || down) && state == RELAY_GOING; i++) {
		r->want_client = r->want_backend = 0;
		/* Down first: the answer to a login opens the way up. */
		down = pump_down(r, client, backend, &state);
		up = state == RELAY_GOING && pump_up(r, client, backend, &state);
	}
	if (state != RELAY_GOING)
		return state;
	return up || down ? RELAY_AGAIN : RELAY_GOING;
}
