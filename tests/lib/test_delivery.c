/*
 * The records between lmtpd and spoold: what is packed comes back, what is not exactly right or over
 * a limit is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "delivery.h"
#include "mboxname.h"

static struct delivery d, got;
static struct buf b;
static char bytes[DELIVERY_INLINE_BYTES + 1];

static int
setup(void **state)
{
	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	d = (struct delivery){.req = 7, .sid = SLICE("s1"), .qid = SLICE("4XkQ2"), .sender = SLICE("ann@b.example"),
	    .key = "0123456789abcde", .received_ms = 1234567, .size = 6, .message = SLICE("a: b\r\n"), .nrcpts = 2};
	d.rcpts[0] = (struct delivery_rcpt){.user = SLICE("alice"), .mailbox = SLICE(""), .place = true};
	d.rcpts[1] = (struct delivery_rcpt){.user = SLICE("bob"), .mailbox = SLICE("Lists/dev"), .place = false};
	buf_free(&b);
	b = buf_make(1024 * 1024);
	return 0;
}

static bool
round_trip(void)
{
	struct unpack u;

	buf_clear(&b);
	delivery_pack_submit(&b, &d);
	assert_true(pack_ok(&b));
	u = unpack_make(b.p, b.n);
	assert_int_equal(unpack_u8(&u), DELIVERY_SUBMIT);
	return delivery_unpack_submit(&u, &got);
}

static void
test_submit(void **state)
{
	(void)state;
	assert_true(round_trip());
	assert_int_equal(got.req, 7);
	assert_true(slice_is(got.sid, d.sid) && slice_is(got.qid, d.qid) && slice_is(got.sender, d.sender));
	assert_memory_equal(got.key, d.key, sizeof(d.key));
	assert_int_equal(got.received_ms, 1234567);
	assert_int_equal(got.size, 6);
	assert_true(slice_is(got.message, d.message));
	assert_int_equal(got.nrcpts, 2);
	assert_true(slice_is(got.rcpts[0].user, SLICE("alice")) && got.rcpts[0].place);
	assert_true(slice_is(got.rcpts[1].mailbox, SLICE("Lists/dev")) && !got.rcpts[1].place);
}

static void
test_submit_limits(void **state)
{
	static char sender[ADDRESS_MAX_BYTES + 1], mailbox[MBOXNAME_MAX_BYTES + 1];

	(void)state;
	memset(sender, 's', sizeof(sender));
	memset(mailbox, 'm', sizeof(mailbox));
	d.sender = (struct slice){sender, ADDRESS_MAX_BYTES};
	d.rcpts[1].mailbox = (struct slice){mailbox, MBOXNAME_MAX_BYTES};
	d.message = (struct slice){bytes, DELIVERY_INLINE_BYTES};
	d.size = DELIVERY_INLINE_BYTES;
	assert_true(round_trip());
	d.sender.n++;
	assert_false(round_trip());
	d.sender.n--;
	d.rcpts[1].mailbox.n++;
	assert_false(round_trip());
	d.rcpts[1].mailbox.n--;
	d.qid = (struct slice){bytes, DELIVERY_QID_MAX_BYTES};
	assert_true(round_trip());
	d.qid.n++;
	assert_false(round_trip());
	d.qid.n--;
	d.message.n++;
	d.size++;
	assert_false(round_trip());
	d.message = SLICE("");		/* by descriptor */
	assert_true(round_trip());
}

static void
test_submit_rcpts(void **state)
{
	(void)state;
	for (size_t i = 0; i < DELIVERY_RCPTS_MAX; i++)
		d.rcpts[i] = d.rcpts[0];
	d.nrcpts = DELIVERY_RCPTS_MAX;
	assert_true(round_trip());
	/* One more than the packer itself would take: the count's bytes, patched. */
	for (size_t i = 0; i + 1 < b.n; i++)
		if (b.p[i] == DELIVERY_RCPTS_MAX && b.p[i + 1] == 0 && b.p[i + 2] == 5) {
			struct unpack u;

			b.p[i]++;
			u = unpack_make(b.p + 1, b.n - 1);
			assert_false(delivery_unpack_submit(&u, &got));
			return;
		}
	fail_msg("no count found");
}

static void
test_submit_bad(void **state)
{
	(void)state;
	d.rcpts[0].user = SLICE("Alice");
	assert_false(round_trip());
	d.rcpts[0].user = SLICE("../x");
	assert_false(round_trip());
	d.rcpts[0].user = SLICE("alice");
	d.sid = SLICE("a\nb");
	assert_false(round_trip());
	d.sid = SLICE("s1");
	d.size = 7;			/* more than there is inline */
	assert_false(round_trip());
	d.size = 6;
	d.received_ms = -1;
	assert_false(round_trip());
	d.received_ms = 0;
	d.rcpts[1].mailbox = SLICE("a\rb");
	assert_false(round_trip());
	d.rcpts[1].mailbox = SLICE("");
	assert_true(round_trip());
}

static void
test_lengths(void **state)
{
	struct unpack u;

	(void)state;
	delivery_pack_submit(&b, &d);
	for (size_t n = 1; n < b.n; n++) {
		u = unpack_make(b.p + 1, n - 1);
		assert_false(delivery_unpack_submit(&u, &got));
	}
	pack_u8(&b, 0);
	u = unpack_make(b.p + 1, b.n - 1);
	assert_false(delivery_unpack_submit(&u, &got));
}

static void
test_check(void **state)
{
	struct slice user;
	struct unpack u;
	uint32_t req;
	bool place;

	(void)state;
	delivery_pack_check(&b, 9, true, SLICE("bob"));
	u = unpack_make(b.p, b.n);
	assert_int_equal(unpack_u8(&u), DELIVERY_CHECK);
	assert_true(delivery_unpack_check(&u, &req, &place, &user));
	assert_int_equal(req, 9);
	assert_true(place);
	assert_true(slice_is(user, SLICE("bob")));
	b.p[5] = 2;			/* a bool that is none */
	u = unpack_make(b.p + 1, b.n - 1);
	assert_false(delivery_unpack_check(&u, &req, &place, &user));
}

/* Code and result agree, texts hold no control bytes. */
static void
test_replies(void **state)
{
	static const struct {
		const char *name;
		struct reply r;
		bool	     want;
	} rows[] = {
		{"ok", {DONE, 250, "2.1.5 ok"}, true},
		{"temp", {TEMP, 451, "4.3.0 later"}, true},
		{"perm", {PERM, 550, "5.1.1 no"}, true},
		{"no text", {DONE, 250, ""}, true},
		{"done with 451", {DONE, 451, "x"}, false},
		{"temp with 250", {TEMP, 250, "x"}, false},
		{"perm with 450", {PERM, 450, "x"}, false},
		{"code 600", {PERM, 600, "x"}, false},
		{"a line end", {DONE, 250, "ok\r\n250 forged"}, false},
	};
	struct unpack u;
	struct reply r;
	uint32_t req, index;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_clear(&b);
		delivery_pack_done(&b, 3, DELIVERY_RCPTS_MAX - 1, &rows[i].r);
		u = unpack_make(b.p + 1, b.n - 1);
		if (delivery_unpack_done(&u, &req, &index, &r) != rows[i].want)
			fail_msg("done: %s", rows[i].name);
		if (rows[i].want && (req != 3 || index != DELIVERY_RCPTS_MAX - 1 || r.code != rows[i].r.code ||
		    strcmp(r.text, rows[i].r.text) != 0))
			fail_msg("done came back different: %s", rows[i].name);
		buf_clear(&b);
		delivery_pack_checked(&b, 3, &rows[i].r);
		u = unpack_make(b.p + 1, b.n - 1);
		if (delivery_unpack_checked(&u, &req, &r) != rows[i].want)
			fail_msg("checked: %s", rows[i].name);
	}
	buf_clear(&b);
	delivery_pack_done(&b, 3, DELIVERY_RCPTS_MAX, &rows[0].r);
	u = unpack_make(b.p + 1, b.n - 1);
	assert_false(delivery_unpack_done(&u, &req, &index, &r));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_submit, setup),
		cmocka_unit_test_setup(test_submit_limits, setup),
		cmocka_unit_test_setup(test_submit_rcpts, setup),
		cmocka_unit_test_setup(test_submit_bad, setup),
		cmocka_unit_test_setup(test_lengths, setup),
		cmocka_unit_test_setup(test_check, setup),
		cmocka_unit_test_setup(test_replies, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
