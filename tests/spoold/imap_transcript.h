/*
 * IMAP by transcripts, for tests: what a client sends and what it must get, through imap_run on a real spool in a
 * temporary directory, parked after each step. In what is wanted, '~' stands for any run of bytes.
 */
#ifndef TS_TEST_IMAP_TRANSCRIPT_H
#define TS_TEST_IMAP_TRANSCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap_client.h"

struct step {
	const char	*send, *want;
};

/* Does text match want with its '~'? Linear but for the last '~'. */
static inline bool
text_matches(struct slice text, const char *want)
{
	const char	*star = NULL;
	size_t		 at = 0, from = 0;

	while (at < text.n) {
		if (*want == '~') {
			star = ++want;
			from = at;
		} else if (*want != '\0' && text.p[at] == *want) {
			want++;
			at++;
		} else if (star != NULL) {
			want = star;
			at = ++from;
		} else {
			return false;
		}
	}
	while (*want == '~')
		want++;
	return *want == '\0';
}

static inline void
got_check(const char *test, const char *send, struct client *c, const char *want)
{
	struct buf	got = buf_make(256 * 1024 * 1024);
	struct slice	text = client_take(c, &got);

	if (!text_matches(text, want)) {
		print_error("%s: sent:\n%s\ngot:\n%.*s\nwant:\n%s\n", test, send, (int)(text.n > 20000 ? 20000 : text.n),
		    text.n > 0 ? text.p : "", want);
		fail();
	}
	buf_free(&got);
}

static inline void
steps_run(const char *test, struct client *c, const struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		client_send(c, slice_of(steps[i].send), 0, 0);
		got_check(test, steps[i].send, c, steps[i].want);
	}
}
#define STEPS(c, steps)	steps_run(__func__, (c), (steps), sizeof(steps) / sizeof((steps)[0]))

#define DO(c, send, want) do { client_send(&(c), SLICE(send), 0, 0); got_check(#c, send, &(c), want); } while (0)

#define PLAIN	"From: Ann <ann@a.example>\r\nTo: bob@b.example\r\nSubject: hello =?utf-8?q?w=C3=B6rld?=\r\n" \
		"Date: Wed, 17 Jul 1996 02:23:25 -0700\r\nMessage-Id: <1@a.example>\r\n\r\nHello Bob.\r\n"
#define PLAIN_N	"165"
#define MIXED	"From: ann@a.example\r\nSubject: two parts\r\nMIME-Version: 1.0\r\n" \
		"Content-Type: multipart/mixed; boundary=XX\r\n\r\npreamble\r\n--XX\r\n\r\nfirst part\r\n--XX\r\n" \
		"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n--XX--\r\n"

/* Every test has a user of its own. */
static inline int
client_begin(struct client *c, const char *user)
{
	client_open(c, user, SLICE(""));
	if (!c->is_open)
		return -1;
	got_check(user, "(login)", c, "L1 OK [CAPABILITY IMAP4rev1 ~] Logged in\r\n");
	return 0;
}

static inline void
append(struct client *c, const char *mailbox, const char *how, const char *message)
{
	char	command[8192];

	(void)snprintf(command, sizeof(command), "p APPEND %s %s{%zu+}\r\n%s\r\n", mailbox, how, strlen(message), message);
	client_send(c, slice_of(command), 0, 0);
	got_check("append", command, c, "~p OK [APPENDUID ~] APPEND completed\r\n");
}

static inline int
group_begin(void **state)
{
	(void)state;
	host_begin();
	return 0;
}

static inline int
group_end(void **state)
{
	(void)state;
	host_end();
	return 0;
}

#endif
