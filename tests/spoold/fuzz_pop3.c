/*
 * A POP3 session after login with any input, on a real spool: the answers are whole lines, only QUIT removes, the lock is free
 * after. The same bytes as a parked state: refused, or exactly what would be packed.
 */
#include "pop3_client.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct spool sp;

static void
sp_free(void)
{
	spool_free(&sp);
}

/* The spool, made once, always with three messages and more. */
static void
sp_ready(void)
{
	char left[100];
	size_t i, n = 0;

	if (sp.user.n == 0) {
		spool_make(&sp);
		atexit(sp_free);
	}
	spool_list(&sp, left, sizeof(left));
	for (i = 0; left[i] != '\0'; i++)
		n += left[i] == ' ';
	for (; n < 3; n++)
		spool_add(&sp, n == 0 ? SLICE("A: b\r\n\r\n.x\r\ny") : n == 1 ? SLICE("A: b\r\nFrom: \xc3\xa4 <\xe4@b>\r\n\r\n\0") :
		    SLICE("A: b\r\n"));
}

static void
state_check(struct slice in)
{
	struct session s = {.state = buf_make(SESSION_STATE_MAX_BYTES)};
	struct pop3 p = {.s = &s};

	if (state_unpack(&p, in) && (!state_pack(&p) || !slice_is(buf_slice(&s.state), in)))
		abort();
	buf_free(&p.marks);
	buf_free(&s.state);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct slice in = {(const char *)bytes, n};
	char before[100], after[100];
	struct lot1 l;

	if (n > 4096)
		return 0;
	state_check(in);
	sp_ready();
	sp.is_utf8 = n % 2 == 1;
	spool_list(&sp, before, sizeof(before));
	if (!lot1_open(&l, &sp))
		abort();
	if (send(l.client, in.p, in.n, MSG_NOSIGNAL) != (ssize_t)n)
		abort();
	shutdown(l.client, SHUT_WR);
	if (lot1_run(&l, SESSION_INPUT))
		abort();
	lot1_close(&l);
	if (memchr(l.said.p, '\0', l.said.n) != NULL || memcmp(l.said.p + l.said.n - 2, "\r\n", 2) != 0)
		abort();
	spool_list(&sp, after, sizeof(after));
	if (strcmp(l.why, "logout") != 0) {	/* \Seen may have come, nothing may have gone */
		size_t i, spaces = 0;

		for (i = 0; before[i] != '\0'; i++)
			spaces += before[i] == ' ';
		for (i = 0; after[i] != '\0'; i++)
			spaces -= after[i] == ' ';
		if (spaces != 0)
			abort();
	}
	buf_free(&l.said);
	return 0;
}
