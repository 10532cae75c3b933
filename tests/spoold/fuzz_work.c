/*
 * What a lot takes from a worker and a worker from a lot, and what the committer takes from both: no
 * input reads past the end, and results that pass keep within the limits the lot relies on.
 */
#include <stdint.h>
#include <stdlib.h>

#include "commitreq.h"
#include "work.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
work(struct unpack u)
{
	struct work_result r;
	struct work w;

	switch (unpack_u8(&u)) {
	case WORK_SESSION:
		(void)work_unpack(&u, &w);
		break;
	case WORK_RESULT:
		if (work_unpack_result(&u, &r) && (r.state.n > SESSION_STATE_MAX_BYTES ||
		    r.unread.n > SESSION_UNREAD_MAX_BYTES || r.timer_ms < 0 || r.timer_ms > WORK_TIMER_MAX_MS))
			abort();
		break;
	}
}

static void
request(struct unpack u)
{
	static struct commit_head h;
	struct commit_body body;
	struct record r;

	if (!commit_unpack_head(&u, &h))
		return;
	for (uint32_t i = 0; i < h.nrecords; i++) {
		if (!commit_unpack_record(&u, &r, &body))
			return;
		if (!body.is_fd && body.mem.n != r.body_bytes)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n == 0)
		return 0;
	if (p[0] < 4)
		work(unpack_make(p, n));
	else
		request(unpack_make(p + 1, n - 1));
	return 0;
}
