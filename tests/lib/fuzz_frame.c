/*
 * Framing of anything: a message decoded in two pieces is what it is in one, holds no lone CR or LF, and survives
 * being sent again; a line never claims more than there is.
 */
#include <assert.h>
#include <stdint.h>

#include "frame.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_wire(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		assert(s.p[i] != '\0');
		assert(s.p[i] != '\r' || (i + 1 < s.n && s.p[i + 1] == '\n'));
		assert(s.p[i] != '\n' || (i > 0 && s.p[i - 1] == '\r'));
	}
}

static void
fuzz_dot(struct slice in, size_t split)
{
	struct frame_dot whole = {0}, parts = {0}, again = {0};
	struct buf a = buf_make(in.n * 8 + 64), b = buf_make(in.n * 8 + 64), c = buf_make(in.n * 32 + 256);
	struct frame_stuff stuff = {0};
	size_t used, used_first, used_second = 0;
	enum parse got = frame_dot(&whole, in, &used, &a), got_parts;

	got_parts = frame_dot(&parts, (struct slice){in.p, split}, &used_first, &b);
	if (got_parts == PARSE_MORE)
		got_parts = frame_dot(&parts, (struct slice){in.p + split, in.n - split}, &used_second, &b);
	assert(got == got_parts && used == used_first + used_second && slice_is(buf_slice(&a), buf_slice(&b)));
	assert(whole.bare == parts.bare && whole.nuls == parts.nuls);
	assert(got == PARSE_MORE || (used >= 3 && memcmp(in.p + used - 3, ".\r\n", 3) == 0));
	if (got == PARSE_OK) {
		check_wire(buf_slice(&a));
		assert(frame_stuff(&stuff, buf_slice(&a), &c) == 0 && frame_stuff_end(&stuff, &c) == 0);
		buf_clear(&b);
		assert(frame_dot(&again, buf_slice(&c), &used, &b) == PARSE_OK && used == c.n);
		assert(slice_is(buf_slice(&a), buf_slice(&b)) && again.bare == 0);
	}
	buf_free(&a);
	buf_free(&b);
	buf_free(&c);
}

static void
fuzz_chunk(struct slice in, size_t split)
{
	struct frame_dot d = {0};
	struct buf out = buf_make(in.n * 8 + 64);

	assert(frame_chunk(&d, (struct slice){in.p, split}, false, &out) == 0);
	assert(frame_chunk(&d, (struct slice){in.p + split, in.n - split}, true, &out) == 0);
	check_wire(buf_slice(&out));
	buf_free(&out);
}

static void
fuzz_line(struct slice in)
{
	enum frame_fault fault;
	struct frame_line l;

	switch (frame_line(in, 64, true, &l, &fault)) {
	case PARSE_OK:
		assert(l.used >= 2 && l.used <= in.n && l.text.n == l.used - 2 && l.text.n <= 64 && l.before.n <= l.text.n);
		assert(memchr(l.text.p, '\r', l.text.n) == NULL && memchr(l.text.p, '\n', l.text.n) == NULL);
		break;
	case PARSE_MORE:
		assert(in.n <= 65 && memchr(in.p, '\n', in.n) == NULL);
		break;
	case PARSE_BAD:
		assert(l.used <= in.n && (l.used == 0 || in.p[l.used - 1] == '\n'));
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice in;

	if (n < 2)
		return 0;
	in = (struct slice){(const char *)data + 1, n - 1};
	fuzz_dot(in, data[0] % (in.n + 1));
	fuzz_chunk(in, data[0] % (in.n + 1));
	fuzz_line(in);
	return 0;
}
