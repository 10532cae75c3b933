/*
 * Any bytes as a client before login: IMAP and POP3, with and without TLS, an auth that answers what the first
 * byte says. No crash, nothing held past the caps, no byte of a client's but the tag said back.
 */
#include <stdint.h>
#include <stdlib.h>

#include "prelogin.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum pre_act
answer(struct prelogin *p, unsigned how, struct buf *out)
{
	prelogin_sent(p);
	if (how % 3 == 0)
		return prelogin_failed(p, AUTH_BAD, out);
	if (how % 3 == 1)
		prelogin_challenge(p, SLICE("challenge"), out);
	else
		prelogin_refused(p);
	return PRE_MORE;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *const mechs[] = {(char[]){"PLAIN"}, (char[]){"LOGIN"}, (char[]){"SCRAM-SHA-1"}};
	struct buf in = buf_make(PRE_IN_MAX_BYTES), out = buf_make(PRE_OUT_MAX_BYTES);
	struct pre_policy policy;
	struct prelogin p;
	enum pre_act act = PRE_MORE;
	unsigned how = n > 0 ? data[0] : 0;
	size_t step = n > 1 ? 1 + data[1] % 64u * 16u : 1;

	if (pre_policy_make(&policy, mechs, 3, how & 1, 3) != 0)
		abort();
	prelogin_init(&p, &policy, how & 2 ? SESS_POP3 : SESS_IMAP, how & 4);
	for (size_t at = 2; at < n && act != PRE_CLOSE;) {
		size_t take = n - at < step ? n - at : step;

		if (take > in.cap - in.n)
			take = in.cap - in.n;
		/* Input that fills the buffer is always acted upon. */
		if (take == 0 || buf_add(&in, data + at, take) != 0)
			abort();
		at += take;
		do {
			act = prelogin_input(&p, &in, &out);
			if (act == PRE_START || act == PRE_STEP)
				act = answer(&p, how++ >> 3, &out) == PRE_CLOSE ? PRE_CLOSE : PRE_START;
			else if (act == PRE_TLS)
				prelogin_secured(&p);
			if (out.n > PRE_OUT_MAX_BYTES - 2048)
				abort();
			if (out.n > 0 && memchr(out.p, '\0', out.n) != NULL)
				abort();
			buf_clear(&out);
		} while (act != PRE_MORE && act != PRE_CLOSE);
	}
	prelogin_free(&p);
	buf_free(&in);
	buf_free(&out);
	return 0;
}
