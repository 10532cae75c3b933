/*
 * The client side: whatever a server says, each recipient gets exactly one reply, and none is 2xx that was not
 * said after the message. First byte: bit 0 SMTP, the rest the number of recipients; second: pieces.
 */
#include <assert.h>
#include <stdint.h>

#include "lmtpx.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static unsigned	replies[DELIVERY_RCPTS_MAX];

static void
on_done(void *arg, size_t i, const struct reply *r)
{
	const struct lmtpx	*x = arg;

	replies[i]++;
	assert(r->result != DONE || x->is_sent);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const unsigned char	key[DELIVERY_KEY_BYTES];
	static struct inflight		inflight = {.max = 1 << 20, .dir_fd = -1};
	struct lmtpx_rcpt		rcpts[DELIVERY_RCPTS_MAX];
	struct spoolfile		message = spoolfile_make(&inflight);
	struct lmtpx_job		job = {.qid = "q", .sender = "s@x", .key = key, .message = &message, .rcpts = rcpts};
	struct lmtpx			x;
	size_t				step;

	if (n < 2)
		return 0;
	job.nrcpts = (size_t)(data[0] >> 1) % DELIVERY_RCPTS_MAX + 1;
	job.done = on_done;
	job.arg = &x;
	for (size_t i = 0; i < job.nrcpts; i++) {
		rcpts[i] = (struct lmtpx_rcpt){.address = "a@b", .user = "a", .place = i % 2 == 0};
		replies[i] = 0;
	}
	for (int i = 0; i < (data[1] == 255 ? 5000 : 2); i++)
		(void)buf_add_str(&message.mem, ".a\r\n..\r\n");
	x = lmtpx_make(data[0] & 1, "hop", "me");
	lmtpx_begin(&x, &job);
	step = (size_t)data[1] + 1;
	for (size_t at = 2; at < n && x.state != LMTPX_OVER; at += step) {
		if (buf_add(&x.in, data + at, step < n - at ? step : n - at) < 0)
			break;
		lmtpx_run(&x);
		buf_clear(&x.out);
		lmtpx_run(&x);
	}
	lmtpx_fail(&x, 451, "4.4.2 lost");
	for (size_t i = 0; i < job.nrcpts; i++)
		assert(replies[i] == 1);
	lmtpx_free(&x);
	spoolfile_free(&message);
	return 0;
}
