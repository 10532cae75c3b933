/*
 * The committer's writing of redundant records, call by call: what it calls done is whole in the file, at the place its
 * trailer names, whatever failed before; one failure loses nothing; one request that cannot be written costs
 * the others of its batch nothing.
 */
#include "store_fixture.h"

#include "commit.h"
#include "fail_calls.h"

#define SALT		0x1234567U
#define REQUESTS	5
#define LARGE_BYTES	(3U * 1024 * 1024)	/* more than is written at once */
#define CALLS_MAX	200

struct batch {
	struct commit_day	day;
	struct commit_part	part;
	struct commit_request	requests[REQUESTS];
	struct buf		bodies[REQUESTS];
	char			path[64];
};

static uint32_t calls;

static void
request_make(struct batch *b, size_t i)
{
	static const uint32_t sizes[REQUESTS] = {10, 70000, 1000, LARGE_BYTES, 20};
	static struct record_message m;
	struct commit_request *q = &b->requests[i];
	struct commit_head h = {.req = i + 1, .wait = true, .epoch = 3, .nrecords = 1};
	struct buf extra = buf_make(4096);
	struct commit_body body = {.is_fd = sizes[i] > 1000};
	struct record r;

	b->bodies[i] = buf_make(LARGE_BYTES);
	for (uint32_t at = 0; at < sizes[i]; at++)
		buf_add(&b->bodies[i], &"0123456789abcdef"[(at * (i + 3) + at / 777) % 16], 1);
	m = (struct record_message){.sender = SLICE("ann@b.example"), .qid = SLICE("q"), .naddressees = 1};
	m.addressees[0] = (struct record_addressee){.user = SLICE("alice"), .uid = (uint32_t)i + 1, .modseq = 1};
	record_message_pack(&extra, &m);
	r = (struct record){.type = RECORD_MESSAGE, .extra = buf_slice(&extra), .body_bytes = sizes[i]};
	*q = (struct commit_request){.outcome = COMMIT_OK};
	if (body.is_fd) {
		q->fds[q->nfds++] = memfd_create("body", MFD_CLOEXEC);
		assert_int_equal(pwrite(q->fds[0], b->bodies[i].p, sizes[i], 0), sizes[i]);
	} else
		body.mem = buf_slice(&b->bodies[i]);
	q->raw = buf_make(COMMIT_REQUEST_MAX_BYTES);
	commit_pack_head(&q->raw, &h);
	commit_pack_record(&q->raw, &r, &body);
	q->records = unpack_make(q->raw.p, q->raw.n);
	assert_true(commit_unpack_head(&q->records, &q->head));
	if (i > 0)
		b->requests[i - 1].write_next = q;
	buf_free(&extra);
}

static void
batch_begin(struct batch *b)
{
	fx_quiet();
	memset(b, 0, sizeof(*b));
	log_init("test");
	snprintf(b->path, sizeof(b->path), "/tmp/ts-redundant.XXXXXX");
	close(mkstemp(b->path));
	b->day.fd = open(b->path, O_RDWR | O_APPEND | O_CLOEXEC);
	b->day.salt = SALT;
	b->part = (struct commit_part){.name = "default", .day = &b->day};
	for (size_t i = 0; i < REQUESTS; i++)
		request_make(b, i);
}

static void
batch_end(struct batch *b)
{
	for (size_t i = 0; i < REQUESTS; i++) {
		for (size_t j = 0; j < b->requests[i].nfds; j++)
			close(b->requests[i].fds[j]);
		buf_free(&b->requests[i].raw);
		buf_free(&b->bodies[i]);
	}
	close(b->day.fd);
	unlink(b->path);
}

/* Is it where it says, with its body? */
static bool
is_whole(struct batch *b, size_t i)
{
	struct slice want = buf_slice(&b->bodies[i]);
	struct record t = {0}, r;
	struct buf all = buf_make(LARGE_BYTES + 4096);
	uint64_t end = b->requests[i].end;
	char line[RECORD_TRAILER_BYTES];
	bool ok = false;
	size_t need, n;

	if (end >= sizeof(line) && end != UINT64_MAX &&
	    pread(b->day.fd, line, sizeof(line), (off_t)(end - sizeof(line))) == (ssize_t)sizeof(line) &&
	    record_parse_trailer((struct slice){line, sizeof(line)}, SALT, &t) == PARSE_OK && t.start < end) {
		n = (size_t)(end - t.start);
		assert_int_equal(pread(b->day.fd, buf_room(&all, n), n, (off_t)t.start), n);
		ok = record_parse_head((struct slice){all.p, n}, SALT, &r, &need) == PARSE_OK && record_bytes(&r) == n &&
		    r.body_bytes == want.n && memcmp(all.p + need, want.p, want.n) == 0 &&
		    t.body_crc == record_crc(SALT, want);
	}
	buf_free(&all);
	return ok;
}

static bool
try_nth(int with, bool on, int at)
{
	struct batch b;
	bool came;

	batch_begin(&b);
	fail_begin(at, with, on);
	commit_write(&b.part, b.requests);
	came = fail_end();
	calls += came;
	for (size_t i = 0; i < REQUESTS; i++) {
		bool is_ok = b.requests[i].outcome == COMMIT_OK;

		if (is_ok && !is_whole(&b, i))
			fail_msg("errno %d, call %d: request %zu is not whole", with, at, i);
		if (!is_ok && !on)
			fail_msg("errno %d, call %d: request %zu failed by one failure", with, at, i);
	}
	batch_end(&b);
	return came;
}

static void
test_nth(void **state)
{
	static const int with[] = {EIO, ENOSPC, EDQUOT, EINTR, FAIL_SHORT};

	(void)state;
	for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
		for (int at = 1; try_nth(with[i], false, at); at++)
			assert_true(at < CALLS_MAX);
		for (int at = 1; with[i] != EINTR && with[i] != FAIL_SHORT && try_nth(with[i], true, at); at++)
			assert_true(at < CALLS_MAX);
	}
	fprintf(stderr, "# %u calls failed, 0 violations\n", calls);
}

/* Each request in turn has a body that cannot be read: that one fails, and no other. */
static void
test_bad_body(void **state)
{
	(void)state;
	for (size_t bad = 0; bad < REQUESTS; bad++) {
		struct batch b;

		batch_begin(&b);
		if (b.requests[bad].nfds == 0) {
			batch_end(&b);
			continue;
		}
		/* Shorter than was said: to its middle, what was written of it stays, and is skipped by readers. */
		assert_int_equal(ftruncate(b.requests[bad].fds[0], (off_t)(b.bodies[bad].n / 2)), 0);
		commit_write(&b.part, b.requests);
		for (size_t i = 0; i < REQUESTS; i++) {
			if ((b.requests[i].outcome == COMMIT_OK) != (i != bad))
				fail_msg("bad %zu: request %zu has outcome %d", bad, i, b.requests[i].outcome);
			if (i != bad && !is_whole(&b, i))
				fail_msg("bad %zu: request %zu is not whole", bad, i);
		}
		batch_end(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nth),
		cmocka_unit_test(test_bad_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
