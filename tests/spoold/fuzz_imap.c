/*
 * A whole IMAP session: the input is what a logged-in client sends, to a spool with two messages. Whatever
 * it is, the session ends or parks, its state is taken up again, and every line it sent begins as one
 * of the protocol's.
 */
#include <stdint.h>

#include "imap_client.h"

#define FUZZ_RUNS_PER_USER	2000	/* then a fresh spool: what was appended is not searched for ever */

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const char prepare[] =
    "a APPEND INBOX (\\Seen $Junk) \"17-Jul-1996 02:44:25 -0700\" {58+}\r\n"
    "From: ann@a.example\r\nTo: bob@b.example\r\n\r\nHello Bob.\r\n\r\n\r\n"
    "b APPEND INBOX {114+}\r\n"
    "Subject: two\r\nContent-Type: multipart/mixed; boundary=X\r\n\r\n--X\r\n\r\none\r\n"
    "--X\r\nContent-Type: text/html\r\n\r\ntwo\r\n--X--\r\n\r\n"
    "c LOGOUT\r\n";

static char	user[32];
static unsigned	runs;

static void
spool_prepare(void)
{
	struct client	c;

	if (test_dir[0] == '\0') {
		host_begin();
		(void)atexit(host_end);
	}
	(void)snprintf(user, sizeof(user), "fuzz%u", runs / FUZZ_RUNS_PER_USER);
	client_open(&c, user, SLICE(prepare));
	client_close(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct client	c;
	struct buf	got = buf_make(256 * 1024 * 1024);
	struct slice	text;

	if (n > 64 * 1024)	/* fits the socket: nobody waits */
		return 0;
	if (runs++ % FUZZ_RUNS_PER_USER == 0)
		spool_prepare();
	client_connect(&c, user, (struct slice){(const char *)p, n});
	(void)shutdown(c.fd, SHUT_WR);
	client_turn(&c, SESSION_NEW);
	for (int turn = 0; c.is_open; turn++) {
		client_turn(&c, turn % 2 == 0 ? SESSION_INPUT : SESSION_CHANGED);
		if (turn == 1000)
			abort();
	}
	text = client_take(&c, &got);
	if (text.n < 2 || memcmp(text.p + text.n - 2, "\r\n", 2) != 0)
		abort();
	client_close(&c);
	buf_free(&got);
	return 0;
}
