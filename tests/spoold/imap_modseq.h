/*
 * Transcripts with modseqs in them, which no test knows beforehand: numbers taken out of answers, and put into
 * commands and what is wanted.
 */
#ifndef TS_TEST_IMAP_MODSEQ_H
#define TS_TEST_IMAP_MODSEQ_H

#include "imap_transcript.h"

/* A number in what the client gets next: the one after `before`. */
static inline unsigned long long
number_after(struct client *c, const char *send, const char *before)
{
	struct buf		got = buf_make(1024 * 1024);
	unsigned long long	n;
	const char		*at;

	client_send(c, slice_of(send), 0, 0);
	(void)client_take(c, &got);
	(void)buf_add(&got, "", 1);
	if ((at = strstr(got.p, before)) == NULL)
		fail_msg("sent:\n%s\ngot:\n%s\nwithout %s", send, got.p, before);
	n = strtoull(at + strlen(before), NULL, 10);
	buf_free(&got);
	return n;
}

static inline unsigned long long
highest(struct client *c)
{
	return number_after(c, "h STATUS INBOX (HIGHESTMODSEQ)\r\n", "HIGHESTMODSEQ ");
}

static inline unsigned long long
modseq_of(struct client *c, int seq)
{
	char	send[64];

	(void)snprintf(send, sizeof(send), "m FETCH %d MODSEQ\r\n", seq);
	return number_after(c, send, "MODSEQ (");
}

/* "@1" to "@9" in text become numbers. */
static inline void
fill(char *out, size_t cap, const char *text, const unsigned long long *numbers)
{
	size_t	n = 0;

	for (; *text != '\0'; text++) {
		if (text[0] == '@' && text[1] >= '1' && text[1] <= '9')
			n += (size_t)snprintf(out + n, cap - n, "%llu", numbers[*++text - '1']);
		else
			out[n++] = *text;
		assert_true(n + 1 < cap);
	}
	out[n] = '\0';
}

static inline void
filled_do(const char *test, struct client *c, const char *send, const char *want, const unsigned long long *numbers)
{
	char	commands[4096], wants[4096];

	fill(commands, sizeof(commands), send, numbers);
	fill(wants, sizeof(wants), want, numbers);
	client_send(c, slice_of(commands), 0, 0);
	got_check(test, commands, c, wants);
}
#define DOF(c, send, want, ...)	filled_do(__func__, &(c), send, want, (const unsigned long long[]){__VA_ARGS__})

static inline void
two_clients(struct client *a, struct client *b, const char *user, int messages)
{
	assert_int_equal(client_begin(a, user), 0);
	assert_int_equal(client_begin(b, user), 0);
	for (int i = 0; i < messages; i++)
		append(a, "INBOX", "", PLAIN);
}

#endif
